/*-------------------------------------------------------------------------
 *
 * remains.c
 *	  What an index holds beside the templates of living rows.
 *
 * Every entry in use is cleared from private copies of its pages, and so is
 * what leads to other pages: bytes that are not zero then belong to no entry. A
 * plane or refinement page that no sketch page names has no entry in use.
 *
 * Writers may go on: a sketch page is copied together with the pages it names,
 * under its lock, and such a page counts as nobody's only if it was there
 * before the sketch pages were looked at and still is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "index/posting.h"
#include "index/remains.h"

typedef struct RemainsSearch
{
	Relation	index;
	FaceWriter *writer;
	BufferAccessStrategy strategy;
	BlockNumber nblocks;
	uint64	   *unnamed;		/* stamps of plane and refinement pages not named yet; 0 for other pages */
	IndexBulkDeleteCallback is_dead;
	void	   *state;
	FaceIndexRemains *remains;
	PGAlignedBlock sketch;
	PGAlignedBlock plane;
	PGAlignedBlock refine;
} RemainsSearch;

/* Bytes of the page's data that are not zero from an offset on. */
static int64
nonzero_from(Page page, Size from)
{
	int64		count = 0;

	for (Size i = from; i < ((PageHeader) page)->pd_special; i++)
		count += page[i] != 0;
	return count;
}

/* Where the structure of a page that holds no entries ends. */
static Size
structure_end(const FaceMetaData *meta, Page page)
{
	const Size	begin = PageGetContents(page) - (char *) page;

	switch (FacePageGetOpaque(page)->kind)
	{
		case FACE_PAGE_META:
			return begin + offsetof(FaceMetaData, epochs) + sizeof(FaceEpoch) * Min(FacePageGetMeta(page)->nepochs, FACE_MAX_EPOCHS);
		case FACE_PAGE_ROOT:
			return begin + sizeof(FaceRootData);
		case FACE_PAGE_BUCKET:
			return begin + offsetof(FaceBucketData, entries) + FACE_LIST_ENTRY_SIZE(meta->nkeys) *
				Min(FacePageGetBucket(page)->count, FACE_BUCKET_CAPACITY(meta->nkeys));
		case FACE_PAGE_CENTRE:
			return Min(((PageHeader) page)->pd_lower, ((PageHeader) page)->pd_special);
		default:
			return begin;
	}
}

/* First sweep: pages without entries are judged, plane and refinement pages noted. */
static void
sweep_structure(RemainsSearch *search, BlockNumber blkno)
{
	Buffer		buffer = face_read_page_extended(search->index, blkno, BUFFER_LOCK_SHARE, search->strategy);
	Page		page = BufferGetPage(buffer);

	if (!PageIsNew(page))
	{
		uint16		kind = PageGetSpecialSize(page) == MAXALIGN(sizeof(FacePageOpaqueData)) ? FacePageGetOpaque(page)->kind : 0;

		if (kind < FACE_PAGE_FREE || kind > FACE_LAST_PAGE_KIND || !face_page_is(page, kind))
			face_check_page(search->index, buffer, FACE_PAGE_FREE); /* raises the error */
		if (kind == FACE_PAGE_REFINE || kind == FACE_PAGE_PLANE)
			search->unnamed[blkno] = FacePageGetOpaque(page)->stamp;
		else if (kind != FACE_PAGE_SKETCH)
			search->remains->stray += nonzero_from(page, structure_end(&search->writer->meta, page));
	}
	UnlockReleaseBuffer(buffer);
}

/* Copy a page that a sketch page names. */
static void
copy_side_page(RemainsSearch *search, BlockNumber blkno, FacePageKind kind, PGAlignedBlock *copy)
{
	Buffer		buffer = face_read_page_extended(search->index, blkno, BUFFER_LOCK_SHARE, search->strategy);

	face_check_side_page(search->index, buffer, kind, FacePageGetOpaque(search->sketch.data)->stamp);
	memcpy(copy->data, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	if (blkno < search->nblocks)
		search->unnamed[blkno] = 0;
}

/* Clears the entries that pages share from their copies; what is left on the refinement page is nobody's. */
static void
judge_refine_page(RemainsSearch *search, const FaceEpochState *state, const FaceSlotPages *pages, int which)
{
	const FaceLayout *layout = &state->layout;

	for (int i = 0; i < layout->refine_slots && which * layout->refine_slots + i < layout->slots; i++)
	{
		int			slot = which * layout->refine_slots + i;

		if (!face_slot_used(FaceSketchBitmap(pages->sketch, layout), slot))
			continue;
		if (search->is_dead(&FaceRefineEntryOf(pages->refine, layout, i)->tid, search->state))
			search->remains->dead++;
		face_slot_clear(state, pages, slot);
	}
	search->remains->stray += nonzero_from(pages->refine, PageGetContents(pages->refine) - (char *) pages->refine);
}

/* Second sweep: a sketch page with the pages it names. */
static void
sweep_sketches(RemainsSearch *search, BlockNumber blkno)
{
	Buffer		buffer = face_read_page_extended(search->index, blkno, BUFFER_LOCK_SHARE, search->strategy);
	FaceSlotPages pages = {.sketch = (Page) search->sketch.data,.refine = (Page) search->refine.data};
	const FaceEpochState *state;
	BlockNumber *named;

	if (!face_page_is(BufferGetPage(buffer), FACE_PAGE_SKETCH))
	{
		UnlockReleaseBuffer(buffer);
		return;
	}
	memcpy(pages.sketch, BufferGetPage(buffer), BLCKSZ);
	state = face_writer_epoch(search->writer, FacePageGetSketchHeader(pages.sketch)->epoch);
	named = FaceSketchRefineBlocks(pages.sketch, &state->layout);
	if (state->layout.has_plane && BlockNumberIsValid(named[state->layout.refine_pages]))
	{
		pages.plane = (Page) search->plane.data;
		copy_side_page(search, named[state->layout.refine_pages], FACE_PAGE_PLANE, &search->plane);
	}
	for (int i = 0; i < state->layout.refine_pages; i++)
	{
		if (!BlockNumberIsValid(named[i]))
			continue;
		copy_side_page(search, named[i], FACE_PAGE_REFINE, &search->refine);
		judge_refine_page(search, state, &pages, i);
	}
	UnlockReleaseBuffer(buffer);

	memset(FacePageGetSketchHeader(pages.sketch), 0, sizeof(FaceSketchHeader));
	if (state->layout.sealed)
		memset(FaceSketchSealedBy(pages.sketch, &state->layout), 0, sizeof(pg_uuid_t));
	memset(named, 0, sizeof(BlockNumber) * face_named_pages(&state->layout));
	search->remains->stray += nonzero_from(pages.sketch, PageGetContents(pages.sketch) - (char *) pages.sketch);
	if (pages.plane != NULL)
		search->remains->stray += nonzero_from(pages.plane, PageGetContents(pages.plane) - (char *) pages.plane);
}

static void
judge_unnamed_page(RemainsSearch *search, BlockNumber blkno)
{
	Buffer		buffer = face_read_page_extended(search->index, blkno, BUFFER_LOCK_SHARE, search->strategy);
	Page		page = BufferGetPage(buffer);

	if ((face_page_is(page, FACE_PAGE_REFINE) || face_page_is(page, FACE_PAGE_PLANE)) &&
		FacePageGetOpaque(page)->stamp == search->unnamed[blkno])
		search->remains->stray += nonzero_from(page, PageGetContents(page) - (char *) page);
	UnlockReleaseBuffer(buffer);
}

/* Adds to the counts; raises an error if a page is none of such an index. */
void
face_index_remains(Relation index, IndexBulkDeleteCallback is_dead, void *state, FaceIndexRemains *remains)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "facematch remains", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RemainsSearch *search = palloc0(sizeof(RemainsSearch));
	BlockNumber nblocks;

	search->index = index;
	search->writer = face_writer_create(index);
	search->writer->blind = true;
	search->strategy = GetAccessStrategy(BAS_BULKREAD);
	search->is_dead = is_dead;
	search->state = state;
	search->remains = remains;
	search->nblocks = RelationGetNumberOfBlocks(index);
	search->unnamed = MemoryContextAllocHuge(context, sizeof(uint64) * search->nblocks);
	memset(search->unnamed, 0, sizeof(uint64) * search->nblocks);

	for (BlockNumber blkno = 0; blkno < search->nblocks; blkno++)
	{
		face_vacuum_delay();
		sweep_structure(search, blkno);
	}
	nblocks = RelationGetNumberOfBlocks(index);
	for (BlockNumber blkno = 0; blkno < nblocks; blkno++)
	{
		face_vacuum_delay();
		sweep_sketches(search, blkno);
	}
	for (BlockNumber blkno = 0; blkno < search->nblocks; blkno++)
		if (search->unnamed[blkno] != 0)
			judge_unnamed_page(search, blkno);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
