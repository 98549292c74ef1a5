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

/* What a statement gives whose caller writes the receipts: of each class the rows that it deleted. */
enum
{
	FACE_DELETED_CLASS = 1,		/* text, as the table has it: face_class_told() what of it a receipt says */
	FACE_DELETED_ROWS,			/* bigint */
	FACE_DELETED_SUBJECTS		/* uuid[], as often as they had a row; NULL: nobody */
};

/*
 * face_run_on() a table under retention, or a partition of it: receipts of what
 * goes from the table have this cause.  NULL: the caller writes those of what the
 * statement gives.  Returns how many rows that are; if it gives none, how many it changed.
 */
extern uint64 face_run_deletion(const char *cause, Oid table, Oid relid, const char *sql, int nargs, Oid *types, Datum *values);
extern const char *face_class_told(const char *what, Datum class);
extern void face_write_gone(Oid table);
extern void face_note_deleted(FunctionCallInfo fcinfo);
extern void face_gone_init(void);

#endif							/* FACEMATCH_RETENTION_GONE_H */
