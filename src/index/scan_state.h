/*-------------------------------------------------------------------------
 *
 * scan_state.h
 *	  State of a running index scan; see README, "Searching".
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_SCAN_STATE_H
#define FACEMATCH_INDEX_SCAN_STATE_H

#include <float.h>
#include <math.h>

#include "lib/binaryheap.h"
#include "lib/pairingheap.h"
#include "utils/float.h"

#include "index/counters.h"
#include "index/meta.h"

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
	double	   *distances;		/* measured beyond the frontier, and some that were returned since */
	Size		ndistances;
	Size		max_distances;
	binaryheap *nearest;		/* the smallest beyond the frontier, as many as the goal wants, largest on top */
	struct FaceHeapReader *reader;
} FaceScan;

/* Make room for `more` elements behind `used` in a growing array. */
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

#endif							/* FACEMATCH_INDEX_SCAN_STATE_H */
