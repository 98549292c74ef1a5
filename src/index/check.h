/*-------------------------------------------------------------------------
 *
 * check.h
 *	  facematch.index_check(): state of one check.
 *
 * README, "Checking", says what is checked and what may run at the same time.
 * Private copies of the pages are examined, so no lock is held and a damaged
 * page cannot lead to another place.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_CHECK_H
#define FACEMATCH_INDEX_CHECK_H

#include "nodes/execnodes.h"
#include "nodes/pg_list.h"
#include "utils/hsearch.h"

#include "index/posting.h"

/* What is known of a block. */
typedef struct FaceCheckBlock
{
	uint64		stamp;			/* when the pass over all pages saw it */
	uint64		reached_stamp;	/* when something named it, 0: nothing has */
	BlockNumber reached_from;	/* the only page that may name it, if there is but one */
	uint16		kind;			/* FacePageKind at that pass, 0: damaged or new */
} FaceCheckBlock;

typedef enum FaceEpochVerdict
{
	FACE_EPOCH_UNKNOWN,
	FACE_EPOCH_SOUND,
	FACE_EPOCH_DAMAGED
} FaceEpochVerdict;

typedef struct FaceHeapCheck FaceHeapCheck;

typedef struct FaceCheck
{
	Relation	heap;
	Relation	index;
	bool		quiet;			/* nobody can change the index during the check */
	ReturnSetInfo *problems;	/* NULL: raise the first */
	BufferAccessStrategy strategy;
	FaceWriter *writer;			/* meta page and epochs */
	FaceEpochVerdict verdicts[FACE_MAX_EPOCHS];
	BlockNumber nblocks;		/* at the start */
	FaceCheckBlock *blocks;
	List	   *entries;		/* of the directory: FaceListEntry */
	HTAB	   *list_ids;		/* of the entries */
	HTAB	   *keys;			/* FaceListKey to list id */
	FaceHeapCheck *heap_check;	/* NULL unless the table is compared too */
} FaceCheck;

/* check.c */
extern void face_check_report(FaceCheck *check, BlockNumber blkno, const char *format,...) pg_attribute_printf(3, 4);
extern bool face_check_copy(FaceCheck *check, BlockNumber blkno, Page page);
extern void face_check_reach(FaceCheck *check, BlockNumber blkno, uint64 stamp, BlockNumber from);
extern bool face_check_list_of(FaceCheck *check, const FaceListKey *key, uint64 *list_id);

/* check_page.c: every page by itself, a sketch page with its refinement pages */
extern void face_check_pages(FaceCheck *check);
extern const FaceEpochState *face_check_epoch(FaceCheck *check, BlockNumber blkno, int epoch);

/* check_links.c: how pages lead to each other */
extern void face_check_directory(FaceCheck *check);
extern void face_check_lists(FaceCheck *check);
extern void face_check_unreached(FaceCheck *check);

/* check_heap.c: entries against the table's rows */
extern FaceHeapCheck *face_heap_check_create(FaceCheck *check);
/* codes: NULL if the key that opens them is gone. */
extern void face_heap_check_add(FaceHeapCheck *heap_check, ItemPointer tid, BlockNumber blkno, int slot, int epoch,
								uint64 list_id, const FaceCodec *codec, const FaceCodes *codes);
extern void face_heap_check_run(FaceHeapCheck *heap_check);

#endif							/* FACEMATCH_INDEX_CHECK_H */
