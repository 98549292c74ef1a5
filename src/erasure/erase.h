/*-------------------------------------------------------------------------
 *
 * erase.h
 *	  Making the bytes of removed rows zero in one table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_ERASURE_ERASE_H
#define FACEMATCH_ERASURE_ERASE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/rel.h"

/* What was done to one relation. */
typedef struct FaceErased
{
	Oid			relid;
	int64		pages;			/* looked at */
	int64		cleared;		/* changed */
	int64		removed;		/* rows or entries */
	int64		fading;			/* rows that must wait for a snapshot */
	int64		busy;			/* pages with dead rows that somebody looks at */
	bool		left_to_vacuum; /* entries of dead rows that only VACUUM takes out of this kind of index */
	bool		unproven;		/* an index whose pages do not tell what outlives rows there */
} FaceErased;

extern void face_check_erasable(Relation rel);
extern List *face_erase_table(Oid relid);
extern List *face_erasable_tables(Oid relid);

#endif							/* FACEMATCH_ERASURE_ERASE_H */
