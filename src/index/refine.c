/*-------------------------------------------------------------------------
 *
 * refine.c
 *	  The second look: templates whose sketch passed, by their second bits
 *	  where there are any (planes.c), then by their refinement codes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "miscadmin.h"
#include "port/pg_bitutils.h"

#include "compat.h"
#include "index/pass.h"
#include "index/refine.h"
#include "index/sealed.h"
#include "simd/simd.h"

/* With so many that their second bits left over, their refinement codes are read. */
#define REFINE_BATCH 64

/*
 * A page was not the one meant.  Either vacuum has freed it with its sketch
 * page, or it is damaged; then the sketch page still names it.
 */
static void
check_recycled(FaceScan *scan, const FaceScanPage *page, int which)
{
	const FaceLayout *layout = &scan->plans[page->epoch]->state->layout;
	Buffer		buffer = face_read_page(scan->index, page->blkno, BUFFER_LOCK_SHARE);
	Page		sketch = BufferGetPage(buffer);

	if (face_page_is(sketch, FACE_PAGE_SKETCH) && FacePageGetOpaque(sketch)->stamp == page->stamp &&
		FaceSketchRefineBlocks(sketch, layout)[which] == page->named[which])
	{
		Buffer		named = face_read_page(scan->index, page->named[which], BUFFER_LOCK_SHARE);

		face_check_side_page(scan->index, named, which < layout->refine_pages ? FACE_PAGE_REFINE : FACE_PAGE_PLANE,
							 page->stamp);
		UnlockReleaseBuffer(named);
	}
	UnlockReleaseBuffer(buffer);
}

bool
face_lock_named_page(FaceScan *scan, const FaceJob *job, int which, Buffer *buffer)
{
	const FaceScanPage *page = &scan->pages[job->page];
	const FaceLayout *layout = &scan->plans[page->epoch]->state->layout;

	*buffer = face_read_page(scan->index, page->named[which], BUFFER_LOCK_SHARE);
	if (face_page_is(BufferGetPage(*buffer), which < layout->refine_pages ? FACE_PAGE_REFINE : FACE_PAGE_PLANE) &&
		FacePageGetOpaque(BufferGetPage(*buffer))->stamp == page->stamp)
		return true;
	LockBuffer(*buffer, BUFFER_LOCK_UNLOCK);
	check_recycled(scan, page, which);
	LockBuffer(*buffer, BUFFER_LOCK_SHARE);
	return false;
}

/* Take the slots of a page with bounds up to the limit as jobs; they leave the bounds. */
static void
take_jobs(FaceScan *scan, int which, float limit, FaceJobs *jobs)
{
	const FaceScanPage *page = &scan->pages[which];
	const int	nblocks = page->slots / FACE_BLOCK_SLOTS;
	uint16		taken[FACE_MAX_SLOTS / FACE_BLOCK_SLOTS];

	/* infinity is no bound: the slot is free, ruled out or taken */
	limit = Min(limit, FLT_MAX);
	if (!(scan->page_lower[which] <= limit))
		return;
	scan->page_lower[which] = face_kernels->scan->take_slots(nblocks, limit, scan->lower + page->base, taken);
	for (int block = 0; block < nblocks; block++)
	{
		for (unsigned bits = taken[block]; bits != 0; bits &= bits - 1)
		{
			jobs->jobs[jobs->n].page = which;
			jobs->jobs[jobs->n++].slot = block * FACE_BLOCK_SLOTS + pg_rightmost_one_pos32(bits);
		}
	}
}

bool
face_page_is_lost(const FaceScanPage *page)
{
	return page->key != NULL && face_key_is_destroyed(page->key);
}

void
face_return_slot(FaceScan *scan, const FaceJob *job, double bound)
{
	const float lower = Min(face_round_down(bound), FLT_MAX);

	scan->lower[scan->pages[job->page].base + job->slot] = lower;
	scan->page_lower[job->page] = Min(scan->page_lower[job->page], lower);
}

static const FaceLayout *
layout_of(const FaceScan *scan, const FaceJob *job)
{
	return &scan->plans[scan->pages[job->page].epoch]->state->layout;
}

/* Have a job's entry on its way from memory. */
static void
prefetch_entry(FaceScan *scan, const FaceJob *job, FaceAhead *ahead)
{
	const FaceLayout *layout = layout_of(scan, job);

	face_look_ahead(scan, ahead, scan->pages[job->page].named[job->slot / layout->refine_slots]);
	face_prefetch(ahead, MAXALIGN(SizeOfPageHeaderData) + (Size) (job->slot % layout->refine_slots) * layout->refine_entry_size,
				  layout->refine_entry_size);
}

/* Does any condition with a query of its own rule this template out? */
static bool
ruled_out(const FaceScan *scan, const FaceEpochPlan *plan, const int32 *sums, const FaceRefineEntry *entry)
{
	FaceBounds	bounds;

	for (int i = 1; i < scan->ntargets; i++)
	{
		const double max_distance = scan->targets[i].max_distance;
		int32		sum = face_query_refine_sum(plan->queries[i], sums[i * FACE_MAX_JOBS], entry->code);

		if (!face_query_refine(plan->queries[i], sum, &entry->scalars, max_distance, &bounds) ||
			bounds.lower > max_distance)
			return true;
	}
	return false;
}

/*
 * Read the refinement entries of some jobs; those in a row on one page share
 * its lock.  Returns how many are still of interest.
 */
static int
read_entries(FaceScan *scan, const FaceJob *jobs, const int32 *sums, int njobs, FaceRefined *refined)
{
	FaceAhead	ahead = {InvalidBlockNumber};
	BlockNumber locked = InvalidBlockNumber;
	Buffer		buffer = InvalidBuffer;
	bool		valid = false;
	int			nrefined = 0;
	FaceSlotRoom room;

	for (int i = 0; i < Min(njobs, FACE_JOBS_AHEAD); i++)
		prefetch_entry(scan, &jobs[i], &ahead);
	for (int i = 0; i < njobs; i++)
	{
		const FaceScanPage *page = &scan->pages[jobs[i].page];
		const FaceEpochPlan *plan = scan->plans[page->epoch];
		const FaceLayout *layout = &plan->state->layout;
		const int	which = jobs[i].slot / layout->refine_slots;
		const FaceRefineEntry *entry;

		if (i + FACE_JOBS_AHEAD < njobs)
			prefetch_entry(scan, &jobs[i + FACE_JOBS_AHEAD], &ahead);
		if (!BufferIsValid(buffer) || page->named[which] != locked)
		{
			if (BufferIsValid(buffer))
				UnlockReleaseBuffer(buffer);
			valid = face_lock_named_page(scan, &jobs[i], which, &buffer);
			locked = page->named[which];
		}
		entry = FaceRefineEntryOf(BufferGetPage(buffer), layout, jobs[i].slot % layout->refine_slots);
		if (!valid || !face_entry_names_row(scan->index, buffer, entry))
			continue;
		if (face_page_is_lost(page))
		{
			face_scan_add_lost(scan, &entry->tid);
			continue;
		}
		scan->counters.refined++;
		entry = face_open_entry(layout, page->key, entry, &room);
		if (ruled_out(scan, plan, sums + i, entry))
			continue;
		refined[nrefined].scalars = entry->scalars;
		refined[nrefined].sum = face_query_refine_sum(plan->queries[0], sums[i], entry->code);
		refined[nrefined].job = jobs[i];
		refined[nrefined++].tid = entry->tid;
	}
	if (BufferIsValid(buffer))
		UnlockReleaseBuffer(buffer);
	return nrefined;
}

/*
 * Call back with what the jobs' refinement entries say.  First all are read,
 * then judged: the processor does several roots and divisions at a time when
 * nothing between them waits for memory.
 */
static void
refine(FaceScan *scan, FaceJobs *jobs, FaceRefineCallback callback, void (*between) (FaceScan *scan))
{
	FaceRefined refined[FACE_JOB_BATCH];

	for (int i = 0; i < jobs->n; i += FACE_JOB_BATCH)
	{
		int			nrefined = read_entries(scan, jobs->jobs + i, jobs->sums + i, Min(jobs->n - i, FACE_JOB_BATCH), refined);

		for (int j = 0; j < nrefined; j++)
			callback(scan, &scan->pages[refined[j].job.page], &refined[j]);
	}
	jobs->n = 0;
	if (between != NULL)
		between(scan);
}

/* Hand jobs on to be refined: all, or those whose second bits let them pass. */
static void
pass_on(FaceScan *scan, FaceJobs *taken, FaceJobs *passed)
{
	CHECK_FOR_INTERRUPTS();
	if (taken->n > 0 && layout_of(scan, &taken->jobs[0])->has_plane)
		face_look_at_planes(scan, taken, passed);
	else
	{
		memcpy(passed->jobs + passed->n, taken->jobs, sizeof(FaceJob) * taken->n);
		passed->n += taken->n;
	}
	taken->n = 0;
}

void
face_refine_up_to(FaceScan *scan, const double *limit, FaceRefineCallback callback, void (*between) (FaceScan *scan))
{
	const Size	sums = sizeof(int32) * FACE_MAX_JOBS * Max(scan->ntargets, 1);
	FaceJobs	taken = {.sums = palloc0(sums)};
	FaceJobs	passed = {.sums = palloc0(sums)};

	for (int which = 0; which < scan->npages; which++)
	{
		if (taken.n > 0 && scan->pages[taken.jobs[0].page].epoch != scan->pages[which].epoch)
			pass_on(scan, &taken, &passed);
		take_jobs(scan, which, face_round_up(*limit), &taken);
		if (taken.n >= FACE_JOB_BATCH)
			pass_on(scan, &taken, &passed);
		if (passed.n >= REFINE_BATCH)
			refine(scan, &passed, callback, between);
	}
	pass_on(scan, &taken, &passed);
	refine(scan, &passed, callback, between);
	pfree(taken.sums);
	pfree(passed.sums);
}
