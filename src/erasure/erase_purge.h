/*-------------------------------------------------------------------------
 *
 * erase_purge.h
 *	  The purge erases what it removed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_ERASURE_ERASE_PURGE_H
#define FACEMATCH_ERASURE_ERASE_PURGE_H

#include "postgres.h"

#include "nodes/pg_list.h"

typedef struct FacePurgeErasure FacePurgeErasure;

extern FacePurgeErasure *face_purge_erasure(Oid table);
extern void face_note_receipt(FacePurgeErasure *erasure);
extern List *face_parts_left(FacePurgeErasure *erasure);
extern bool face_has_to_erase(FacePurgeErasure *erasure, Oid part, Datum *seen);
extern void face_erase_removed(FacePurgeErasure *erasure, Oid part, Datum seen);
extern void face_note_failure(FacePurgeErasure *erasure, Oid part);

/* What is done once a table is erased, each in a transaction of its own; the state is the erasure. */
extern void face_forget_statistics(void *state);
extern void face_erase_statistics(void *state);
extern void face_record_erasure(void *state);
extern void face_erase_init(void);

#endif							/* FACEMATCH_ERASURE_ERASE_PURGE_H */
