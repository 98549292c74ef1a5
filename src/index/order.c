/*-------------------------------------------------------------------------
 *
 * order.c
 *	  Rows in the order of their distance: the multi-step nearest-neighbour
 *	  search of Seidl and Kriegel (SIGMOD 1998).
 *
 * Templates pass four stages, each with a better bound: the sketch (a float a
 * slot, from the pass), the second bits (the same float), the refinement code
 * (heap `refined`, by lower bound), the row itself (heap `measured`, by
 * distance). The frontier is a distance up to which every sketch bound has been
 * refined. A measured row is the next one when neither the frontier nor any
 * refined bound is nearer. What a refinement shows to be beyond the frontier
 * only has its bound replaced by the better one: most templates are not read
 * again.
 *
 * The consumer does not say how many rows it wants. The frontier advances to
 * the goal-th smallest distance known, and the goal grows with the rows
 * returned: few sweeps over the bounds, each reaching little further than
 * needed.
 *
 * Several processes go to one goal, with one cut: the goal-th smallest distance
 * that any of them knows (share.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "compat.h"
#include "index/heap.h"
#include "index/order.h"
#include "index/pass.h"
#include "index/refine.h"
#include "index/share.h"

/*
 * Templates refined, for each row of the goal, before the first sweep, so that
 * the first cut comes from distances and not from sketches: among so many with
 * the best sketches most of the rows wanted are found, and their distances
 * spare the sweep the rest.
 */
#define SEEDS_PER_ROW 256

/* But no more than this share of all: a small gallery is swept as quickly. */
#define SEED_SHARE (1.0 / 32)

/*
 * Goals are 1, 10, 100, ...: the limits that queries mostly have.  One row
 * more in a goal is 4 % more to refine.
 */
#define GOAL_STEP 10

/*
 * But no more rows at a time, which bounds the memory that a scan takes beside
 * its float a template: a cursor may fetch a hundred million.
 */
#define MOST_WANTED 100000

/* Bisections that find a rank among bounds closely enough. */
#define RANK_STEPS 12

/*
 * While few pages of many are asked for, the best bounds of pages stand for
 * those of slots; else so many slots that lie evenly do.
 */
#define PAGES_FOR_SEED 2
#define RANK_SAMPLE 8192

/* A template that passed its sketch: by bound in one heap, by distance in another. */
typedef struct FaceCandidate
{
	pairingheap_node node;
	double		bound;			/* safe lower bound, or the distance itself */
	double		estimate;		/* middle of the bounds */
	ItemPointerData tid;
} FaceCandidate;

#define heap_top(heap) ((FaceCandidate *) pairingheap_container(FaceCandidate, node, pairingheap_first(heap)))
#define heap_pop(heap) ((FaceCandidate *) pairingheap_container(FaceCandidate, node, pairingheap_remove_first(heap)))

static int
compare_bounds(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	double		x = pairingheap_const_container(FaceCandidate, node, a)->bound;
	double		y = pairingheap_const_container(FaceCandidate, node, b)->bound;

	return x < y ? 1 : x > y ? -1 : 0;
}

static int
compare_distances(Datum a, Datum b, void *arg)
{
	double		x = DatumGetFloat8(a);
	double		y = DatumGetFloat8(b);

	return x < y ? -1 : x > y ? 1 : 0;
}

static double
top_bound(pairingheap *heap)
{
	return pairingheap_is_empty(heap) ? get_float8_infinity() : heap_top(heap)->bound;
}

/* A row whose place is known from bounds only. */
static void
add_candidate_row(FaceScan *scan, const ItemPointerData *tid, double bound, double estimate)
{
	FaceCandidate *candidate = palloc(sizeof(FaceCandidate));

	candidate->bound = bound;
	candidate->estimate = estimate;
	candidate->tid = *tid;
	pairingheap_add(scan->refined, &candidate->node);
}

void
face_order_begin(FaceScan *scan)
{
	scan->refined = pairingheap_allocate(compare_bounds, NULL);
	scan->measured = pairingheap_allocate(compare_bounds, NULL);
	scan->frontier = -get_float8_infinity();
	scan->goal = 1;

	/* Templates without codes have no bound, so they are measured before anything is returned. */
	for (Size i = 0; i < scan->nunread; i++)
		add_candidate_row(scan, &scan->unread[i], -get_float8_infinity(), -get_float8_infinity());
}

/* -------------------------------------------------------------------------
 * From refined to measured
 * ------------------------------------------------------------------------- */

/* Keep the smallest distances, as many as the goal wants. */
static void
note_nearest(FaceScan *scan, double distance)
{
	binaryheap *nearest = scan->nearest;

	if (nearest == NULL)
		return;
	if (nearest->bh_size < nearest->bh_space)
		binaryheap_add(nearest, Float8GetDatum(distance));
	else if (distance < DatumGetFloat8(binaryheap_first(nearest)))
		binaryheap_replace_first(nearest, Float8GetDatum(distance));
}

/* How far the frontier has to go for the goal, as far as is known. */
static double
goal_distance(const FaceScan *scan)
{
	if (scan->share != NULL)
		return face_share_cut(scan->share);
	if (scan->nearest->bh_size < scan->nearest->bh_space)
		return get_float8_infinity();
	return DatumGetFloat8(binaryheap_first(scan->nearest));
}

/*
 * Measure the best refined candidate; rows that the snapshot does not see, or
 * that were returned before, end here.
 */
static void
measure_best(FaceScan *scan)
{
	FaceCandidate *candidate = heap_pop(scan->refined);
	bool		seen;
	const FaceEmbedding *e = face_heap_read(scan->reader, &candidate->tid, &seen);

	scan->counters.measured++;
	if (e == NULL && seen)
		face_scan_add_lost(scan, &candidate->tid);
	if (e != NULL)
		candidate->bound = face_distance(scan->targets[0].metric, e, scan->targets[0].probe);
	if (e != NULL && scan->share != NULL)
		face_share_offer(scan->share, candidate->bound, &candidate->tid);
	if (e == NULL || scan->share != NULL || candidate->bound <= scan->returned_up_to)
	{
		pfree(candidate);
		return;
	}
	pairingheap_add(scan->measured, &candidate->node);
	scan->distances = face_grow(scan->distances, scan->ndistances, 1, &scan->max_distances, sizeof(double));
	scan->distances[scan->ndistances++] = candidate->bound;
	note_nearest(scan, candidate->bound);
}

/* -------------------------------------------------------------------------
 * From sketch to refined
 * ------------------------------------------------------------------------- */

/* Keep a refined template: as a candidate, or by its better bound if that is beyond the limit. */
static void
add_refined(FaceScan *scan, const FaceRefined *refined, double bound, double estimate)
{
	if (bound > scan->limit)
		face_return_slot(scan, &refined->job, bound);
	else
		add_candidate_row(scan, &refined->tid, bound, estimate);
}

/*
 * A number that about `rank` of every stride-th of n bounds are or are below,
 * and not fewer; infinite bounds do not count.
 */
static float
bound_of_rank(const float *bounds, Size n, Size stride, Size rank)
{
	float		low = get_float4_infinity();
	float		high = -get_float4_infinity();
	Size		finite = 0;

	for (Size i = 0; i < n; i += stride)
	{
		if (isinf(bounds[i]))
			continue;
		low = Min(low, bounds[i]);
		high = Max(high, bounds[i]);
		finite++;
	}
	if (finite <= rank)
		return get_float4_infinity();
	for (int step = 0; step < RANK_STEPS; step++)
	{
		float		middle = low + (high - low) / 2;
		Size		count = 0;

		for (Size i = 0; i < n; i += stride)
			count += bounds[i] <= middle;
		if (count < rank)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* FaceRefineCallback: a candidate, unless a condition rules it out. */
static void
add_candidate(FaceScan *scan, const FaceScanPage *page, const FaceRefined *refined)
{
	const double max_distance = scan->targets[0].max_distance;
	FaceBounds	bounds;
	bool		within = face_query_refine(scan->plans[page->epoch]->queries[0], refined->sum, &refined->scalars,
										   scan->limit, &bounds);

	if (isnan(bounds.safe_lower))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a damaged template near block %u",
						RelationGetRelationName(scan->index), page->blkno),
				 errhint("Please REINDEX it.")));
	if (bounds.safe_lower > max_distance || (within && bounds.lower > max_distance))
		return;
	add_refined(scan, refined, bounds.safe_lower, bounds.estimate);
}

/* Measure the rows that are probably nearer than the goal: they move it. */
static void
measure_promising(FaceScan *scan)
{
	scan->limit = goal_distance(scan);
	while (!pairingheap_is_empty(scan->refined) && heap_top(scan->refined)->estimate < scan->limit)
	{
		measure_best(scan);
		scan->limit = goal_distance(scan);
	}
}

/*
 * Advance the frontier to the distance of the goal-th nearest row, which gets
 * nearer on the way as nearer rows are found.
 */
static void
sweep(FaceScan *scan)
{
	scan->limit = goal_distance(scan);
	face_refine_up_to(scan, &scan->limit, add_candidate, measure_promising);
	scan->frontier = scan->limit;
}

/* Refine about so many of the most promising templates, at least one if any is left. */
static void
refine_most_promising(FaceScan *scan, uint64 seeds)
{
	const Size	stride = scan->nlower / RANK_SAMPLE + 1;
	double		limit;

	if (seeds * PAGES_FOR_SEED <= scan->npages)
		limit = bound_of_rank(scan->page_lower, scan->npages, 1, seeds);
	else
		limit = bound_of_rank(scan->lower, scan->nlower, stride, seeds / stride + 1);
	face_refine_up_to(scan, &limit, add_candidate, NULL);
}

/* Is there a slot that was not refined? */
static bool
anything_left(const FaceScan *scan)
{
	for (int which = 0; which < scan->npages; which++)
		if (!isinf(scan->page_lower[which]))
			return true;
	return false;
}

/* Forget the distances of rows that were returned, and find the nearest of the others. */
static void
collect_nearest(FaceScan *scan, uint64 wanted)
{
	Size		pending = 0;

	scan->nearest = binaryheap_allocate((int) wanted, compare_distances, NULL);
	for (Size i = 0; i < scan->ndistances; i++)
	{
		if (scan->distances[i] <= scan->frontier)
			continue;
		scan->distances[pending++] = scan->distances[i];
		note_nearest(scan, scan->distances[i]);
	}
	scan->ndistances = pending;
}

/* Know the distances of as many rows as the goal says, then sweep up to the last of them. */
static void
reach_goal(FaceScan *scan, uint64 seeds)
{
	scan->limit = get_float8_infinity();
	seeds = Min(seeds, (uint64) (scan->counters.sketches * SEED_SHARE) + 1);
	while (scan->counters.refined < seeds && anything_left(scan))
		refine_most_promising(scan, seeds - scan->counters.refined);
	while (isinf(goal_distance(scan)) ||
		   (!pairingheap_is_empty(scan->refined) && heap_top(scan->refined)->estimate < goal_distance(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		if (!pairingheap_is_empty(scan->refined))
			measure_best(scan);
		else if (anything_left(scan))
		{
			/* Conditions may exclude all rows that are refined: finding the next one reads all pages. */
			seeds *= 2;
			refine_most_promising(scan, seeds);
		}
		else
			break;
	}
	sweep(scan);
}

/* Every row up to the frontier has been returned. */
static void
advance_frontier(FaceScan *scan)
{
	uint64		wanted;

	while (scan->emitted >= scan->goal)
		scan->goal *= GOAL_STEP;
	wanted = Min(scan->goal - scan->emitted, MOST_WANTED);
	collect_nearest(scan, Max(Min(wanted, scan->counters.sketches), 1));
	reach_goal(scan, scan->goal * SEEDS_PER_ROW);
	binaryheap_free(scan->nearest);
	scan->nearest = NULL;
}

void
face_order_together(FaceScan *scan)
{
	const int	parts = face_share_parts(scan->share);

	reach_goal(scan, (face_share_goal(scan->share) * SEEDS_PER_ROW + parts - 1) / parts);
	while (top_bound(scan->refined) <= goal_distance(scan) && !pairingheap_is_empty(scan->refined))
	{
		CHECK_FOR_INTERRUPTS();
		measure_best(scan);
	}
}

/* The next row in the order of distance, with its distance; false at the end. */
bool
face_order_next(FaceScan *scan, ItemPointer tid, double *distance)
{
	for (;;)
	{
		double		measured = top_bound(scan->measured);
		double		refined = top_bound(scan->refined);

		if (refined < measured && refined <= scan->frontier)
			measure_best(scan);
		else if (!pairingheap_is_empty(scan->measured) && measured <= scan->frontier)
		{
			FaceCandidate *candidate = heap_pop(scan->measured);

			*tid = candidate->tid;
			*distance = candidate->bound;
			pfree(candidate);
			scan->emitted++;
			return true;
		}
		else if (anything_left(scan))
			advance_frontier(scan);
		else if (!isinf(scan->frontier) || scan->frontier < 0)
			scan->frontier = get_float8_infinity();
		else
			return false;
	}
}
