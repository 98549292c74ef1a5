/*-------------------------------------------------------------------------
 *
 * build.h
 *	  Building an index: sample, encode and sort, load.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BUILD_H
#define FACEMATCH_BUILD_H

#include "access/genam.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/tuplesort.h"

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
 * header, the list key, the sketch, the refinement code.
 */
typedef struct FaceSortHeader
{
	ItemPointerData tid;
	uint16		epoch;
	FaceSketchScalars sketch_scalars;
	FaceRefineScalars refine_scalars;
} FaceSortHeader;

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
} FaceSpool;

extern TupleDesc face_sort_descriptor(void);
extern Tuplesortstate *face_sort_begin(int memory, SortCoordinate coordinate);
extern FaceSpool *face_spool_create(Relation index, Tuplesortstate *sort);
extern double face_spool_scan(FaceSpool *spool, Relation heap, IndexInfo *info, TableScanDesc scan, bool progress);

/* load.c: write posting lists from the sorted templates */
extern void face_load(FaceWriter *writer, Tuplesortstate *sort);

#endif							/* FACEMATCH_BUILD_H */
