/*-------------------------------------------------------------------------
 *
 * gone.h
 *	  Receipts of rows that were deleted by statements that write no receipt
 *	  themselves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_GONE_H
#define FACEMATCH_RETENTION_GONE_H

#include "postgres.h"

#include "fmgr.h"

/*
 * face_run_on() a table under retention, or a partition of it: receipts of what
 * goes from the table have this cause; NULL: the caller writes them.
 */
extern uint64 face_run_deletion(const char *cause, Oid table, Oid relid, const char *sql, int nargs, Oid *types, Datum *values);
extern void face_note_deleted(FunctionCallInfo fcinfo);
extern void face_gone_init(void);

#endif							/* FACEMATCH_RETENTION_GONE_H */
