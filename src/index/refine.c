/*-------------------------------------------------------------------------
 *
 * refine.c
 *	  The second look: refinement codes of the templates whose sketch passed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "miscadmin.h"
#include "port/pg_bitutils.h"

#include "compat.h"
#include "index/refine.h"
#include "simd/simd.h"

/* Jobs done together, so that one waits for memory while others are fetched; a page may add all its slots. */
#define REFINE_BATCH 256
#define MAX_JOBS (REFINE_BATCH + BLCKSZ / sizeof(uint16))

/* So many jobs ahead entries are fetched from memory: a processor has buffers for a few dozen lines. */
#define JOBS_AHEAD 16

/*
 * A refinement page was not the one meant.  Either vacuum has freed it with its
 * sketch page, or it is damaged; then the sketch page still names it.
 */
static void
check_recycled(FaceScan *scan, const FaceScanPage *page, int which)
{
	const FaceLayout *layout = &scan->plans[page->epoch]->state->layout;
	Buffer		buffer = face_read_page(scan->index, page->blkno, BUFFER_LOCK_SHARE);
	Page		sketch = BufferGetPage(buffer);

	if (face_page_is(sketch, FACE_PAGE_SKETCH) && FacePageGetOpaque(sketch)->stamp == page->stamp &&
		FaceSketchRefineBlocks(sketch, layout)[which] == page->refine_blocks[which])
	{
		Buffer		refine = face_read_page(scan->index, page->refine_blocks[which], BUFFER_LOCK_SHARE);

		face_check_refine_page(scan->index, refine, page->stamp);
		UnlockReleaseBuffer(refine);
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * Take the slots of a page with bounds up to the limit as jobs; they leave the
 * bounds.
 */
static int
take_jobs(FaceScan *scan, int which, float limit, FaceRefineJob *jobs)
{
	const FaceScanPage *page = &scan->pages[which];
	const int	refine_slots = scan->plans[page->epoch]->state->layout.refine_slots;
	const int	nblocks = page->slots / FACE_BLOCK_SLOTS;
	uint16		taken[BLCKSZ / FACE_BLOCK_SLOTS];
	FaceRefineJob job = {.page = which};
	int			first = 0;		/* slot of the refinement page */
	int			njobs = 0;

	/* infinity is no bound: the slot is free, ruled out or taken */
	limit = Min(limit, FLT_MAX);
	if (!(scan->page_lower[which] <= limit))
		return 0;
	scan->page_lower[which] = face_kernels->scan->take_slots(nblocks, limit, scan->lower + page->base, taken);
	for (int block = 0; block < nblocks; block++)
	{
		for (unsigned bits = taken[block]; bits != 0; bits &= bits - 1)
		{
			const int	slot = block * FACE_BLOCK_SLOTS + pg_rightmost_one_pos32(bits);

			while (slot >= first + refine_slots)
			{
				first += refine_slots;
				job.which++;
			}
			job.entry = slot - first;
			jobs[njobs++] = job;
		}
	}
	return njobs;
}

void
face_return_slot(FaceScan *scan, const FaceRefined *refined, double bound)
{
	const FaceScanPage *page = &scan->pages[refined->job.page];
	const int	refine_slots = scan->plans[page->epoch]->state->layout.refine_slots;
	const float lower = Min(face_round_down(bound), FLT_MAX);

	scan->lower[page->base + refined->job.which * refine_slots + refined->job.entry] = lower;
	scan->page_lower[refined->job.page] = Min(scan->page_lower[refined->job.page], lower);
}

static BlockNumber
refine_block(const FaceScan *scan, const FaceRefineJob *job)
{
	return scan->pages[job->page].refine_blocks[job->which];
}

/*
 * Have a job's entry on its way from memory, if the page is where it was last
 * seen.  With each page also what pinning, locking and checking it will touch.
 */
static void
prefetch_job(FaceScan *scan, const FaceRefineJob *job, BlockNumber *previous)
{
	const FaceScanPage *page = &scan->pages[job->page];
	const FaceLayout *layout = &scan->plans[page->epoch]->state->layout;
	BlockNumber blkno = refine_block(scan, job);
	Page		refine = face_expect_page(scan->index, blkno, blkno != *previous);
	const char *entry;

	*previous = blkno;
	if (refine == NULL)
		return;
	entry = (const char *) FaceRefineEntryOf(refine, layout, job->entry);
	for (Size offset = 0; offset < layout->refine_entry_size; offset += CPU_CACHE_LINE)
		__builtin_prefetch(entry + offset);
	__builtin_prefetch(entry + layout->refine_entry_size - 1);
}

/*
 * Pin and lock the refinement page of a job.  False if it was recycled since
 * the pass: then it held only templates that were dead to every snapshot, or
 * newer than ours.
 */
static bool
lock_job(FaceScan *scan, const FaceRefineJob *job, Buffer *buffer)
{
	const FaceScanPage *page = &scan->pages[job->page];

	*buffer = face_read_page(scan->index, refine_block(scan, job), BUFFER_LOCK_SHARE);
	if (face_page_is(BufferGetPage(*buffer), FACE_PAGE_REFINE) &&
		FacePageGetOpaque(BufferGetPage(*buffer))->stamp == page->stamp)
		return true;
	LockBuffer(*buffer, BUFFER_LOCK_UNLOCK);
	check_recycled(scan, page, job->which);
	LockBuffer(*buffer, BUFFER_LOCK_SHARE);
	return false;
}

/* Does any condition with a query of its own rule this template out? */
static bool
ruled_out(const FaceScan *scan, const FaceEpochPlan *plan, const FaceRefineEntry *entry)
{
	FaceBounds	bounds;

	for (int i = 0; i < scan->nconditions; i++)
	{
		if (plan->conditions[i] == plan->query)
			continue;
		face_query_refine(plan->conditions[i], entry->code, &entry->scalars, &bounds);
		if (bounds.lower > scan->conditions[i].max_distance)
			return true;
	}
	return false;
}

/*
 * Read up to REFINE_BATCH refinement entries; those in a row on one page
 * share its lock.  Returns how many are still of interest.
 */
static int
read_entries(FaceScan *scan, const FaceRefineJob *jobs, int njobs, FaceRefined *refined)
{
	BlockNumber prefetched = InvalidBlockNumber;
	BlockNumber locked = InvalidBlockNumber;
	Buffer		buffer = InvalidBuffer;
	bool		valid = false;
	int			nrefined = 0;

	for (int i = 0; i < Min(njobs, JOBS_AHEAD); i++)
		prefetch_job(scan, &jobs[i], &prefetched);
	for (int i = 0; i < njobs; i++)
	{
		const FaceScanPage *page = &scan->pages[jobs[i].page];
		const FaceEpochPlan *plan = scan->plans[page->epoch];
		const FaceLayout *layout = &plan->state->layout;
		FaceRefineEntry *entry;

		if (i + JOBS_AHEAD < njobs)
			prefetch_job(scan, &jobs[i + JOBS_AHEAD], &prefetched);
		if (refine_block(scan, &jobs[i]) != locked)
		{
			if (BufferIsValid(buffer))
				UnlockReleaseBuffer(buffer);
			valid = lock_job(scan, &jobs[i], &buffer);
			locked = refine_block(scan, &jobs[i]);
		}
		entry = FaceRefineEntryOf(BufferGetPage(buffer), layout, jobs[i].entry);
		if (!valid || !ItemPointerIsValid(&entry->tid))
			continue;
		scan->counters.refined++;
		if (ruled_out(scan, plan, entry))
			continue;
		refined[nrefined].scalars = entry->scalars;
		refined[nrefined].dot = face_query_refine_dot(plan->query, entry->code);
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
refine(FaceScan *scan, const FaceRefineJob *jobs, int njobs, FaceRefineCallback callback)
{
	FaceRefined refined[REFINE_BATCH];

	for (int i = 0; i < njobs; i += REFINE_BATCH)
	{
		int			nrefined = read_entries(scan, jobs + i, Min(njobs - i, REFINE_BATCH), refined);

		for (int j = 0; j < nrefined; j++)
			callback(scan, &scan->pages[refined[j].job.page], &refined[j]);
	}
}

void
face_refine_up_to(FaceScan *scan, const double *limit, FaceRefineCallback callback, void (*between) (FaceScan *scan))
{
	FaceRefineJob jobs[MAX_JOBS];
	int			njobs = 0;

	for (int which = 0; which < scan->npages; which++)
	{
		njobs += take_jobs(scan, which, face_round_up(*limit), jobs + njobs);
		if (njobs < REFINE_BATCH && which < scan->npages - 1)
			continue;
		CHECK_FOR_INTERRUPTS();
		refine(scan, jobs, njobs, callback);
		if (between != NULL)
			between(scan);
		njobs = 0;
	}
}
