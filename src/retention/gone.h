/*-------------------------------------------------------------------------
 *
 * gone.h
 *	  Receipts of rows that went by no purge and no opt-out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_GONE_H
#define FACEMATCH_RETENTION_GONE_H

#include "postgres.h"

/* face_run_on() a table under retention, or a partition of it, of whose rows the caller writes a receipt. */
extern uint64 face_run_receipted(Oid table, Oid relid, const char *sql, int nargs, Oid *types, Datum *values);
extern void face_gone_init(void);

#endif							/* FACEMATCH_RETENTION_GONE_H */
