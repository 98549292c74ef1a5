/*-------------------------------------------------------------------------
 *
 * order.c
 *	  Rows in the order of a lower bound on their distance: the multi-step
 *	  nearest-neighbour search of Seidl and Kriegel (SIGMOD 1998).
 *
 * The frontier is a distance up to which every sketch bound has been refined:
 * what is not refined is farther away.  A refined template can be returned
 * when its own bound is within the frontier.  The frontier advances only as
 * far as the consumer needs: to the best refined bound, or to the point where
 * a row already returned is certainly nearer than all that remains.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "compat.h"
#include "index/scan.h"

/*
 * The first templates refined are the most promising ones of this many pages,
 * so that the first cut comes from refined bounds and not from sketches.
 */
#define SEED_PAGES 32

/*
 * A consumer that has read this many rows gets the frontier advanced in
 * growing steps: a sweep looks at the bound of every page.
 */
#define STEADY_ROWS 64
#define FIRST_STEP 1e-3

static int
compare_lower(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	double		x = pairingheap_const_container(FaceCandidate, node, a)->safe_lower;
	double		y = pairingheap_const_container(FaceCandidate, node, b)->safe_lower;

	return x < y ? 1 : x > y ? -1 : 0;
}

static int
compare_upper(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	double		x = pairingheap_const_container(FaceCandidate, node, a)->safe_upper;
	double		y = pairingheap_const_container(FaceCandidate, node, b)->safe_upper;

	return x < y ? 1 : x > y ? -1 : 0;
}

#define heap_top(heap) ((FaceCandidate *) pairingheap_container(FaceCandidate, node, pairingheap_first(heap)))
#define heap_pop(heap) ((FaceCandidate *) pairingheap_container(FaceCandidate, node, pairingheap_remove_first(heap)))

/* FaceRefineCallback: a candidate, unless a condition rules it out. */
static void
add_candidate(FaceScan *scan, const FaceScanPage *page, const FaceRefineEntry *entry)
{
	const FaceEpochPlan *plan = scan->plans[page->epoch];
	FaceCandidate *candidate;
	FaceBounds	order_bounds;
	FaceBounds	bounds;

	face_query_refine(plan->order, entry->code, &entry->scalars, &order_bounds);
	if (isnan(order_bounds.safe_lower) || isnan(order_bounds.safe_upper))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a damaged template near block %u",
						RelationGetRelationName(scan->index), page->blkno),
				 errhint("Please REINDEX it.")));
	for (int i = 0; i < scan->nconditions; i++)
	{
		if (plan->conditions[i] == plan->order)
			bounds = order_bounds;
		else
			face_query_refine(plan->conditions[i], entry->code, &entry->scalars, &bounds);
		if (bounds.lower > scan->conditions[i].max_distance)
			return;
	}
	candidate = palloc(sizeof(FaceCandidate));
	candidate->safe_lower = order_bounds.safe_lower;
	candidate->safe_upper = order_bounds.safe_upper;
	candidate->tid = entry->tid;
	pairingheap_add(scan->candidates, &candidate->node);
}

/* Refine a page's slots with bounds up to the limit; they leave the bounds. */
static int
refine_page(FaceScan *scan, int which, double limit)
{
	const FaceScanPage *page = &scan->pages[which];
	float	   *lower = scan->lower + page->base;
	float		smallest = get_float4_infinity();
	int			slots[BLCKSZ / sizeof(uint16)];
	int			nslots = 0;

	for (int slot = 0; slot < page->slots; slot++)
	{
		if (lower[slot] <= limit && !isinf(lower[slot]))
		{
			slots[nslots++] = slot;
			lower[slot] = get_float4_infinity();
		}
		else
			smallest = Min(smallest, lower[slot]);
	}
	scan->page_lower[which] = smallest;
	face_refine_slots(scan, page, slots, nslots, add_candidate);
	return nslots;
}

/*
 * Advance the frontier to `target`, or to the best refined bound if that turns
 * out to be nearer: it can be returned then.
 */
static void
sweep(FaceScan *scan, double target)
{
	uint64		before = scan->counters.refined;

	for (int which = 0; which < scan->npages; which++)
	{
		double		limit = target;

		if (!(scan->page_lower[which] <= target))
			continue;
		CHECK_FOR_INTERRUPTS();
		if (!pairingheap_is_empty(scan->candidates))
			limit = Min(limit, Max(heap_top(scan->candidates)->safe_lower, scan->frontier));
		target = limit;
		if (scan->page_lower[which] <= limit && !isinf(scan->page_lower[which]))
			refine_page(scan, which, limit);
	}
	scan->frontier = target;
	if (scan->emitted > STEADY_ROWS && scan->counters.refined - before < scan->emitted / 2)
		scan->step *= 2;
}

/* Refine the most promising template of each of the most promising pages. */
static void
refine_seeds(FaceScan *scan)
{
	int			best[SEED_PAGES];
	int			nbest = 0;

	for (int which = 0; which < scan->npages; which++)
	{
		int			at = nbest;

		if (isinf(scan->page_lower[which]) ||
			(nbest == SEED_PAGES && scan->page_lower[which] >= scan->page_lower[best[nbest - 1]]))
			continue;
		if (nbest == SEED_PAGES)
			at--;
		else
			nbest++;
		for (; at > 0 && scan->page_lower[best[at - 1]] > scan->page_lower[which]; at--)
			best[at] = best[at - 1];
		best[at] = which;
	}
	for (int i = 0; i < nbest; i++)
		refine_page(scan, best[i], scan->page_lower[best[i]]);
	scan->seeded = true;
}

void
face_order_begin(FaceScan *scan)
{
	scan->candidates = pairingheap_allocate(compare_lower, NULL);
	scan->pending = pairingheap_allocate(compare_upper, NULL);
	scan->frontier = -get_float8_infinity();
	scan->step = FIRST_STEP;
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

/* Hand out the best candidate. */
static void
take_candidate(FaceScan *scan, double distance, ItemPointer tid, double *result)
{
	FaceCandidate *candidate = heap_pop(scan->candidates);

	*tid = candidate->tid;
	*result = distance;
	scan->emitted++;
	if (candidate->safe_upper > scan->frontier)
		pairingheap_add(scan->pending, &candidate->node);
	else
		pfree(candidate);
}

/*
 * The next row in the order of a lower bound, with that bound; false at the
 * end.  The bound is at most the row's distance and at most that of any row
 * not yet returned.
 */
bool
face_order_next(FaceScan *scan, ItemPointer tid, double *distance)
{
	if (!scan->seeded)
		refine_seeds(scan);
	for (;;)
	{
		bool		have = !pairingheap_is_empty(scan->candidates);
		double		target = have ? heap_top(scan->candidates)->safe_lower : get_float8_infinity();

		if (have && target <= scan->frontier)
		{
			take_candidate(scan, target, tid, distance);
			return true;
		}

		/* Rows returned that are nearer than all that remains need no more. */
		while (!pairingheap_is_empty(scan->pending) && heap_top(scan->pending)->safe_upper <= scan->frontier)
		{
			pfree(heap_pop(scan->pending));

			/*
			 * What is returned next only tells the consumer so; its own bound
			 * may be well behind the frontier.
			 */
			if (have && (pairingheap_is_empty(scan->pending) ||
						 heap_top(scan->pending)->safe_upper > scan->frontier))
			{
				take_candidate(scan, scan->frontier, tid, distance);
				return true;
			}
		}
		if (!anything_left(scan))
		{
			if (!have)
				return false;
			scan->frontier = get_float8_infinity();
			continue;
		}
		if (!have)
		{
			/* Conditions have ruled out what was refined: look at the next best. */
			refine_seeds(scan);
			if (pairingheap_is_empty(scan->candidates))
				sweep(scan, get_float8_infinity());
			continue;
		}
		if (!pairingheap_is_empty(scan->pending))
			target = Min(target, heap_top(scan->pending)->safe_upper);
		if (scan->emitted > STEADY_ROWS)
			target = Max(target, scan->frontier + scan->step);
		sweep(scan, target);
	}
}
