/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  State of a running index scan; see README, "Searching".
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_SCAN_H
#define FACEMATCH_INDEX_SCAN_H

#include <float.h>
#include <math.h>

#include "access/genam.h"
#include "access/relscan.h"
#include "lib/binaryheap.h"
#include "lib/pairingheap.h"
#include "nodes/tidbitmap.h"
#include "utils/float.h"

#include "index/page.h"

/* What one scan did, for facematch.last_scan() and EXPLAIN. */
typedef struct FaceScanCounters
{
	uint64		lists;			/* posting lists read */
	uint64		pages;			/* sketch pages read */
	uint64		sketches;		/* templates whose sketch was compared */
	uint64		refined;		/* templates whose refinement code was compared */
	uint64		measured;		/* templates read from the heap and compared exactly */
	uint64		returned;		/* rows handed to the executor */
} FaceScanCounters;

/* A condition: a template is no farther from the probe. */
typedef struct FaceCondition
{
	const FaceEmbedding *probe;
	FaceMetric	metric;
	double		max_distance;
} FaceCondition;

/* Hashes that one key column may have. */
typedef struct FaceKeyChoice
{
	bool		given;			/* false: any */
	int			nvalues;
	uint64	   *values;
} FaceKeyChoice;

/* Probes prepared against one epoch. */
typedef struct FaceEpochPlan
{
	const FaceEpochState *state;
	FaceQuery  *order;			/* NULL when the scan does not order */
	FaceQuery **conditions;		/* one each, may be the same as order */
	FaceQuery  *query;			/* order, or the first condition */
} FaceEpochPlan;

/* A sketch page that was read, and where its lower bounds are. */
typedef struct FaceScanPage
{
	uint64		stamp;
	Size		base;			/* of its bounds in FaceScan.lower */
	BlockNumber blkno;
	uint16		epoch;
	uint16		slots;
	BlockNumber refine_blocks[FACE_MAX_REFINE_PAGES];
} FaceScanPage;

/* A template that passed its sketch: by bound in one heap, by distance in another. */
typedef struct FaceCandidate
{
	pairingheap_node node;
	double		bound;			/* safe lower bound, or the distance itself */
	double		estimate;		/* middle of the bounds */
	ItemPointerData tid;
} FaceCandidate;

/* A refinement code to look at. */
typedef struct FaceRefineJob
{
	int			page;			/* in FaceScan.pages */
	uint16		which;			/* of the page's refinement pages */
	uint16		entry;			/* on that */
} FaceRefineJob;

/* What was read of a refinement code that no other query's condition rules out. */
typedef struct FaceRefined
{
	FaceRefineScalars scalars;
	int32		dot;			/* with the scan's query: the ordering's, or the first condition's */
	FaceRefineJob job;
	ItemPointerData tid;
} FaceRefined;

/* Jobs done together, so that one waits for memory while others are fetched; a page may add all its slots. */
#define FACE_REFINE_BATCH 256
#define FACE_MAX_JOBS (FACE_REFINE_BATCH + BLCKSZ / sizeof(uint16))

typedef struct FaceScan
{
	Relation	index;
	MemoryContext context;		/* of one (re)scan's work */
	FaceMetaData meta;
	FaceScanCounters counters;
	bool		started;

	/* what is asked for */
	bool		orders;
	bool		null_probe;		/* ORDER BY embedding <=> NULL */
	FaceMetric	metric;
	const FaceEmbedding *probe;
	FaceCondition *conditions;
	int			nconditions;
	FaceKeyChoice *keys;		/* per key column */
	bool		impossible;		/* a condition is null: no row passes */

	FaceEpochPlan *plans[FACE_MAX_EPOCHS];

	/* what the pass over the sketches found */
	FaceScanPage *pages;
	int			npages;
	int			max_pages;
	float	   *page_lower;		/* smallest bound of each page */
	float	   *lower;			/* bounds of all slots; infinity: out */
	Size		nlower;
	Size		max_lower;

	/* rows to return before and after the ordered ones */
	ItemPointerData *first;
	Size		nfirst;
	Size		max_first;
	ItemPointerData *last;		/* null distance */
	Size		nlast;
	Size		max_last;
	Size		next_first;
	Size		next_last;

	/* multi-step search: see order.c */
	double		frontier;		/* every slot with a bound up to here is refined */
	uint64		emitted;
	uint64		goal;			/* rows the consumer is expected to want */
	double		limit;			/* where the frontier is heading */
	pairingheap *refined;		/* candidates by lower bound */
	pairingheap *measured;		/* candidates by distance */
	double	   *distances;		/* every distance measured, returned or not */
	Size		ndistances;
	Size		max_distances;
	binaryheap *nearest;		/* the goal smallest of them, largest on top */
	struct FaceHeapReader *reader;
} FaceScan;

/* pass.c */
extern void face_scan_pass(FaceScan *scan);
extern void face_scan_add_first(FaceScan *scan, const ItemPointerData *tid);
extern void *face_grow(void *array, Size used, Size more, Size *max, Size element);

/* A float near to x, or x itself, on the safe side. */
static inline float
face_round_down(double x)
{
	float		rounded = (float) x;

	return rounded > x ? rounded - (fabsf(rounded) * FLT_EPSILON + FLT_MIN) : rounded;
}

static inline float
face_round_up(double x)
{
	return -face_round_down(-x);
}

/* refine.c */
extern int	face_take_jobs(FaceScan *scan, int which, float limit, FaceRefineJob *jobs);
extern void face_return_slot(FaceScan *scan, const FaceRefined *refined, double bound);
typedef void (*FaceRefineCallback) (FaceScan *scan, const FaceScanPage *page, const FaceRefined *refined);
extern void face_refine(FaceScan *scan, const FaceRefineJob *jobs, int njobs, FaceRefineCallback callback);

/* heap.c */
typedef struct FaceHeapReader FaceHeapReader;
extern FaceHeapReader *face_heap_reader_create(Relation heap, Relation index, Snapshot snapshot);
extern const FaceEmbedding *face_heap_read(FaceHeapReader *reader, ItemPointer tid);
extern void face_heap_reader_free(FaceHeapReader *reader);

/* order.c */
extern void face_order_begin(FaceScan *scan);
extern bool face_order_next(FaceScan *scan, ItemPointer tid, double *distance);

/* scan.c */
extern FaceScanCounters face_last_scan;

extern IndexScanDesc face_beginscan(Relation index, int nkeys, int norderbys);
extern void face_rescan(IndexScanDesc desc, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool face_gettuple(IndexScanDesc desc, ScanDirection dir);
extern int64 face_getbitmap(IndexScanDesc desc, TIDBitmap *tbm);
extern void face_endscan(IndexScanDesc desc);
extern FaceScanCounters face_scan_counters(IndexScanDesc desc);

#endif							/* FACEMATCH_INDEX_SCAN_H */
