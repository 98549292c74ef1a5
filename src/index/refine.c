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
 * Call back with the refinement entry of each of these slots (ascending) of a
 * sketch page.  A page recycled since the pass held only templates that were
 * dead to every snapshot, or newer than ours: its slots are skipped.
 */
void
face_refine_slots(FaceScan *scan, const FaceScanPage *page, const int *slots, int nslots,
				  FaceRefineCallback callback)
{
	const FaceLayout *layout = &scan->plans[page->epoch]->state->layout;
	Buffer		buffer = InvalidBuffer;
	int			current = -1;
	bool		valid = false;

	for (int i = 0; i < nslots; i++)
	{
		int			which = slots[i] / layout->refine_slots;
		FaceRefineEntry *entry;

		if (which != current)
		{
			if (BufferIsValid(buffer))
				UnlockReleaseBuffer(buffer);
			buffer = face_read_page(scan->index, page->refine_blocks[which], BUFFER_LOCK_SHARE);
			current = which;
			valid = face_page_is(BufferGetPage(buffer), FACE_PAGE_REFINE) &&
				FacePageGetOpaque(BufferGetPage(buffer))->stamp == page->stamp;
			if (!valid)
			{
				UnlockReleaseBuffer(buffer);
				buffer = InvalidBuffer;
				check_recycled(scan, page, which);
			}
		}
		if (!valid)
			continue;
		entry = FaceRefineEntryOf(BufferGetPage(buffer), layout, slots[i] % layout->refine_slots);
		if (!ItemPointerIsValid(&entry->tid))
			continue;
		scan->counters.refined++;
		callback(scan, page, entry);
	}
	if (BufferIsValid(buffer))
		UnlockReleaseBuffer(buffer);
}
