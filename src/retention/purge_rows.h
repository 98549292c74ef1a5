/*-------------------------------------------------------------------------
 *
 * purge_rows.h
 *	  The statement by which the purge deletes due rows, and their receipts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_PURGE_ROWS_H
#define FACEMATCH_RETENTION_PURGE_ROWS_H

#include "postgres.h"

#include "erasure/erase_purge.h"
#include "retention/retained.h"

extern uint64 face_purge_some(const FaceRetained *table, Oid leaf, int32 batch, FacePurgeErasure *erasure);
extern uint64 face_count_due(const FaceRetained *table, Oid part);

#endif							/* FACEMATCH_RETENTION_PURGE_ROWS_H */
