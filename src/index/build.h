/*-------------------------------------------------------------------------
 *
 * build.h
 *	  Building an index: sample, encode and sort, load.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_BUILD_H
#define FACEMATCH_INDEX_BUILD_H

#include "access/genam.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/tuplesort.h"

#include "embedding/sealed.h"
#include "index/posting.h"

/*
 * Phases that pg_stat_progress_create_index shows; 1 is PostgreSQL's own
 * "initializing".
 */
#define FACE_PHASE_SAMPLE	2
#define FACE_PHASE_ENCODE	3
#define FACE_PHASE_SORT		4
#define FACE_PHASE_LOAD		5

/*
 * One template on its way through the sort, the payload of a sort tuple: this
 * header, the list key, then what is sealed of a sealed template: the numbers
 * beside sketch, second bits and refinement code, and these; a nonce behind.
 */
typedef struct FaceSortHeader
{
	ItemPointerData tid;
	uint16		epoch;
} FaceSortHeader;

#define FACE_SORT_SCALARS 3

extern Size face_sort_codes_size(const FaceCodec *codec);

/* sample.c: epochs with the mean of a sample as centre */
extern void face_sample_epochs(Relation heap, Relation index, IndexInfo *info);

/* spool.c: encode rows into a sort by posting list */
typedef struct FaceSpool
{
	Relation	index;
	FaceWriter *writer;
	Tuplesortstate *sort;
	TupleTableSlot *slot;
	MemoryContext per_row;
	double		ntuples;
	FaceRoom	room;			/* for an opened template */
} FaceSpool;

/* What a build, or a share of it, has seen. */
typedef struct FaceBuildCounts
{
	double		heap_tuples;
	double		index_tuples;
	bool		broken_hot_chain;
} FaceBuildCounts;

/* Columns of the sort: a hash of the list, another with the place in the heap, the payload. */
#define FACE_SORT_KEYS		2
#define FACE_SORT_PAYLOAD	3

extern TupleDesc face_sort_descriptor(void);
extern Tuplesortstate *face_sort_begin(int memory, SortCoordinate coordinate);
extern FaceSpool *face_spool_create(Relation index, Tuplesortstate *sort);
extern double face_spool_scan(FaceSpool *spool, Relation heap, IndexInfo *info, TableScanDesc scan, bool progress);

/* parallel.c: the same by several processes */
typedef struct FaceParallelBuild FaceParallelBuild;

extern int	face_parallel_workers(Relation heap, Relation index, IndexInfo *info);
extern FaceParallelBuild *face_parallel_begin(Relation heap, Relation index, IndexInfo *info, int nworkers);
extern Tuplesortstate *face_parallel_encode(FaceParallelBuild *build, Relation heap, Relation index, IndexInfo *info,
											FaceBuildCounts *counts);
extern void face_parallel_end(FaceParallelBuild *build);

/* load.c: write posting lists from the sorted templates */
extern void face_load(Relation index, Tuplesortstate *sort);

#endif							/* FACEMATCH_INDEX_BUILD_H */
