/*-------------------------------------------------------------------------
 *
 * remains.h
 *	  What an index holds beside the templates of living rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_REMAINS_H
#define FACEMATCH_INDEX_REMAINS_H

#include "access/genam.h"

typedef struct FaceIndexRemains
{
	int64		dead;			/* entries of rows that the caller calls dead */
	int64		stray;			/* bytes that belong to no entry and no structure, and are not zero */
} FaceIndexRemains;

extern void face_index_remains(Relation index, IndexBulkDeleteCallback is_dead, void *state, FaceIndexRemains *remains);

#endif							/* FACEMATCH_INDEX_REMAINS_H */
