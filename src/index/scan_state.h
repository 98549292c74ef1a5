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

/*
 * A distance that is asked for: that of the ordering first, if there is one,
 * then those of conditions that are not on one before them.
 */
typedef struct FaceTarget
{
	const FaceEmbedding *probe;
	FaceMetric	metric;
	double		max_distance;	/* a template must be no farther; infinity without a condition */
} FaceTarget;

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
	FaceQuery **queries;		/* one for each target; NULL while no template was compared */
} FaceEpochPlan;

/*
 * A sketch page on which something may be of interest, and where its lower
 * bounds and sketch sums are.
 */
typedef struct FaceScanPage
{
	uint64		stamp;
	const uint8 *key;			/* that opens its codes, NULL if they are not sealed */
	Size		base;			/* of its bounds in FaceScan.lower */
	Size		sums;			/* of its sums in FaceScan.sums: those of all slots for each target in turn */
	BlockNumber blkno;
	uint16		epoch;
	uint16		slots;
	BlockNumber named[FACE_MAX_NAMED_PAGES];	/* its refinement pages and its plane page */
} FaceScanPage;

/* A row that was measured. */
typedef struct FaceNearRow
{
	double		distance;
	ItemPointerData tid;
} FaceNearRow;

/* What several processes of one scan share: share.c. */
typedef struct FaceShare FaceShare;

typedef struct FaceScan
{
	Relation	index;
	MemoryContext context;		/* of one (re)scan's work */
	FaceMetaData meta;
	FaceScanCounters counters;
	bool		started;
	bool		for_many;		/* only a pass, for several probes: see pass_many.c */
	bool		has_room;		/* room.c was asked */

	/* one of several processes: share.c */
	FaceShare  *share;			/* while this one does its part */
	bool		returns;		/* the ordered rows, and is the one that is counted; also if there is no other process */
	FaceNearRow *together;		/* nearest rows, which all have found */
	int			ntogether;
	int			next_together;
	double		returned_up_to; /* those are all up to this distance */
	List	   *shared;			/* lists that processes read; the others are read by the one that returns */
	FaceNearRow *returned_rows; /* those that were returned, by row, once this process goes on alone */
	int			nreturned_rows;
	bool		at_end;			/* no more ordered rows are this process's */

	/* what is asked for */
	bool		orders;
	bool		null_probe;		/* ORDER BY embedding <=> NULL, or a probe whose key is gone */
	uint64		doubts;			/* of keys, when the probe was opened */
	FaceTarget *targets;
	int			ntargets;
	bool		has_conditions; /* on the embedding */
	FaceKeyChoice *keys;		/* per key column */
	bool		impossible;		/* a condition is null: no row passes */

	FaceEpochPlan *plans[FACE_MAX_EPOCHS];
	PGAlignedBlock *opened;		/* room for the sketch page that the pass looks at, if it is sealed */

	/* what the pass over the sketches found: arrays of room.c */
	FaceScanPage *pages;
	int			npages;
	Size		max_pages;
	float	   *page_lower;		/* smallest bound of each page */
	Size		max_page_lower;
	float	   *lower;			/* bounds of all slots; infinity: out */
	Size		nlower;
	Size		max_lower;
	FaceSketchSum *sums;		/* what their look-ups gave, where there are second bits to look at */
	Size		nsums;
	Size		max_sums;

	/* rows to return before and after the ordered ones */
	ItemPointerData *first;
	Size		nfirst;
	Size		max_first;
	ItemPointerData *last;		/* null distance */
	Size		nlast;
	Size		max_last;
	ItemPointerData *unread;	/* sealed templates without codes, to be measured */
	Size		nunread;
	Size		max_unread;
	Size		next_first;
	Size		next_last;

	/* multi-step search: see order.c */
	double		frontier;		/* every slot with a bound up to here is refined */
	uint64		emitted;
	uint64		goal;			/* rows the consumer is expected to want */
	double		limit;			/* where the frontier is heading: nothing beyond is of interest yet */
	pairingheap *refined;		/* candidates by lower bound */
	pairingheap *measured;		/* candidates by distance */
	double	   *distances;		/* measured beyond the frontier, and some that were returned since */
	Size		ndistances;
	Size		max_distances;
	binaryheap *nearest;		/* the smallest beyond the frontier, as many as the goal wants, largest on top */
	struct FaceHeapReader *reader;
} FaceScan;

/*
 * room.c: the arrays of a pass, such as the last scan left them, and until the
 * scan's context is reset; and room for one more page in them.
 */
extern void face_room_take(FaceScan *scan);
extern void face_room_for_page(FaceScan *scan, const FaceLayout *layout);

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
