/*-------------------------------------------------------------------------
 *
 * insert.c
 *	  Insertion of one row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "compat.h"
#include "embedding/sealed.h"
#include "index/handler.h"
#include "index/keys.h"
#include "index/posting.h"

/* What a statement's insertions share. */
typedef struct FaceInsertCache
{
	FaceWriter *writer;
	MemoryContext per_row;
	FaceRoom	room;			/* for an opened template */
} FaceInsertCache;

static FaceInsertCache *
insert_cache(Relation index, IndexInfo *info)
{
	FaceInsertCache *cache = info->ii_AmCache;

	if (cache == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(info->ii_Context);

		cache = palloc(sizeof(FaceInsertCache));
		cache->writer = face_writer_create(index);
		cache->per_row = AllocSetContextCreate(info->ii_Context, "facematch insert", ALLOCSET_DEFAULT_SIZES);
		info->ii_AmCache = cache;
		MemoryContextSwitchTo(old);
	}

	/* The relation descriptor may have been rebuilt since the last row. */
	cache->writer->index = index;
	return cache;
}

bool
face_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
			IndexUniqueCheck unique, bool unchanged, IndexInfo *info)
{
	FaceInsertCache *cache = insert_cache(index, info);
	const int	nkeys = cache->writer->meta.nkeys;
	MemoryContext old = MemoryContextSwitchTo(cache->per_row);
	const FaceEmbedding *stored = isnull[nkeys] ? NULL : DatumGetFaceEmbedding(values[nkeys]);
	const FaceEmbedding *e = face_opened(stored, &cache->room.value);

	face_posting_insert(cache->writer, face_list_key(index, nkeys, values, isnull, stored, e), e, tid);
	if (e != NULL && e != stored)
		face_wipe(&cache->room.value);
	MemoryContextSwitchTo(old);
	MemoryContextReset(cache->per_row);
	return false;
}
