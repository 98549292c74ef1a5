/*-------------------------------------------------------------------------
 *
 * refine.c
 *	  The second look: refinement codes of the templates whose sketch passed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "index/scan.h"

/* Bytes that one prefetch brings. */
#define CPU_CACHE_LINE 64

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

/* The page and entry of a job, pinned; jobs in a row on one page share the pin. */
typedef struct PinnedJob
{
	Buffer		buffer;
	FaceRefineEntry *entry;
} PinnedJob;

static void
pin_job(FaceScan *scan, const FaceRefineJob *job, const PinnedJob *previous, PinnedJob *pinned)
{
	const FaceScanPage *page = &scan->pages[job->page];
	const FaceLayout *layout = &scan->plans[page->epoch]->state->layout;
	BlockNumber blkno = page->refine_blocks[job->slot / layout->refine_slots];

	if (previous != NULL && BufferGetBlockNumber(previous->buffer) == blkno)
		pinned->buffer = previous->buffer;
	else
	{
		Page		refine;

		pinned->buffer = face_read_page(scan->index, blkno, BUFFER_LOCK_UNLOCK);
		refine = BufferGetPage(pinned->buffer);
		__builtin_prefetch(refine);
		__builtin_prefetch((char *) refine + BLCKSZ - sizeof(FacePageOpaqueData));
	}
	pinned->entry = FaceRefineEntryOf(BufferGetPage(pinned->buffer), layout, job->slot % layout->refine_slots);
	for (Size offset = 0; offset < layout->refine_entry_size; offset += CPU_CACHE_LINE)
		__builtin_prefetch((char *) pinned->entry + offset);
}

/*
 * Call back with the refinement entries of up to FACE_REFINE_BATCH jobs.  A
 * page recycled since the pass held only templates that were dead to every
 * snapshot, or newer than ours: its slots are skipped.
 */
static void
refine_batch(FaceScan *scan, const FaceRefineJob *jobs, int njobs, FaceRefineCallback callback)
{
	PinnedJob	pinned[FACE_REFINE_BATCH];
	bool		valid = false;

	for (int i = 0; i < njobs; i++)
		pin_job(scan, &jobs[i], i > 0 ? &pinned[i - 1] : NULL, &pinned[i]);
	for (int i = 0; i < njobs; i++)
	{
		const FaceScanPage *page = &scan->pages[jobs[i].page];
		Buffer		buffer = pinned[i].buffer;

		if (i == 0 || pinned[i - 1].buffer != buffer)
		{
			LockBuffer(buffer, BUFFER_LOCK_SHARE);
			valid = face_page_is(BufferGetPage(buffer), FACE_PAGE_REFINE) &&
				FacePageGetOpaque(BufferGetPage(buffer))->stamp == page->stamp;
			if (!valid)
			{
				LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
				check_recycled(scan, page, jobs[i].slot / scan->plans[page->epoch]->state->layout.refine_slots);
				LockBuffer(buffer, BUFFER_LOCK_SHARE);
			}
		}
		if (valid && ItemPointerIsValid(&pinned[i].entry->tid))
		{
			scan->counters.refined++;
			callback(scan, page, pinned[i].entry);
		}
		if (i == njobs - 1 || pinned[i + 1].buffer != buffer)
			UnlockReleaseBuffer(buffer);
	}
}

void
face_refine(FaceScan *scan, const FaceRefineJob *jobs, int njobs, FaceRefineCallback callback)
{
	for (int i = 0; i < njobs; i += FACE_REFINE_BATCH)
		refine_batch(scan, jobs + i, Min(njobs - i, FACE_REFINE_BATCH), callback);
}
