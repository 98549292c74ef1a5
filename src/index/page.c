/*-------------------------------------------------------------------------
 *
 * page.c
 *	  Taking, initialising and checking pages of a facematch index, and the
 *	  arithmetic of what fits on them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/buf_internals.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"

#include "compat.h"
#include "index/page.h"

/*
 * Stamps need only differ from those of the page's former lives, so that 64
 * random bits do, and nobody contends for a counter.
 */
uint64
face_random_stamp(void)
{
	uint64		stamp;

	do
	{
		stamp = pg_prng_uint64(&pg_global_prng_state);
	} while (stamp == 0);
	return stamp;
}

void
face_page_init(Page page, FacePageKind kind, uint64 list_id, uint64 stamp)
{
	FacePageOpaque opaque;

	PageInit(page, BLCKSZ, sizeof(FacePageOpaqueData));
	opaque = FacePageGetOpaque(page);
	opaque->list_id = list_id;
	opaque->stamp = stamp;
	opaque->next = InvalidBlockNumber;
	opaque->kind = kind;
	opaque->page_id = FACE_PAGE_ID;
}

/* Turn a page into a free one, in the caller's WAL record. */
void
face_page_init_free(Page page)
{
	face_page_init(page, FACE_PAGE_FREE, 0, face_random_stamp());
	face_page_set_lower(page, PageGetContents(page) - (char *) page);
}

/*
 * Say where the page's data ends: GenericXLog zeroes what lies between
 * pd_lower and pd_upper.
 */
void
face_page_set_lower(Page page, Size end_offset)
{
	Assert(end_offset <= ((PageHeader) page)->pd_upper);
	((PageHeader) page)->pd_lower = (LocationIndex) end_offset;
}

/* Let the page's data reach at least to this offset. */
void
face_page_raise_lower(Page page, Size end_offset)
{
	if (((PageHeader) page)->pd_lower < end_offset)
		face_page_set_lower(page, end_offset);
}

/* Is this a well-formed page of the given kind? */
bool
face_page_is(Page page, FacePageKind kind)
{
	FacePageOpaque opaque;

	if (PageIsNew(page) ||
		PageGetSpecialSize(page) != MAXALIGN(sizeof(FacePageOpaqueData)))
		return false;
	opaque = FacePageGetOpaque(page);
	return opaque->page_id == FACE_PAGE_ID && opaque->kind == kind;
}

static void
report_unexpected_page(Relation index, Buffer buffer)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" has an unexpected page at block %u",
					RelationGetRelationName(index), BufferGetBlockNumber(buffer)),
			 errhint("Please REINDEX it.")));
}

/*
 * Does this entry, on a locked page of the index, name a row?  A search never
 * asks for InvalidBlockNumber: PostgreSQL would add a page to the table.
 */
bool
face_entry_names_row(Relation index, Buffer buffer, const FaceRefineEntry *entry)
{
	if (!ItemPointerIsValid(&entry->tid))
		return false;
	if (!BlockNumberIsValid(ItemPointerGetBlockNumber(&entry->tid)))
		report_unexpected_page(index, buffer);
	return true;
}

/* Raise an error unless the locked page is one of the given kind. */
void
face_check_page(Relation index, Buffer buffer, FacePageKind kind)
{
	if (!face_page_is(BufferGetPage(buffer), kind))
		report_unexpected_page(index, buffer);
}

/* The same for a page that bears its sketch page's stamp. */
void
face_check_side_page(Relation index, Buffer buffer, FacePageKind kind, uint64 stamp)
{
	face_check_page(index, buffer, kind);
	if (FacePageGetOpaque(BufferGetPage(buffer))->stamp != stamp)
		report_unexpected_page(index, buffer);
}

static void
report_bad_link(Relation index)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" has an invalid link between pages", RelationGetRelationName(index)),
			 errhint("Please REINDEX it.")));
}

/* Before each page of a chain: raise an error once it has more pages than the index. */
void
face_chain_step(Relation index, FaceChainWalk *walk)
{
	if (++walk->steps <= walk->limit)
		return;
	walk->limit = RelationGetNumberOfBlocks(index);
	if (walk->steps > walk->limit)
		report_bad_link(index);
}

/*
 * Where the pages of an index were last seen in the buffer pool.  Finding a
 * buffer through the shared hash table costs several cache misses, about as
 * much as refining ten templates; asking the buffer whether it still is that
 * page costs one.  Lives in the relation descriptor.
 */
typedef struct BufferHints
{
	BlockNumber nblocks;
	Buffer		buffers[FLEXIBLE_ARRAY_MEMBER];
} BufferHints;

/* No hints for what lies beyond: 4 bytes a block, in every backend. */
#define MAX_HINTED_BLOCKS ((BlockNumber) 4 * 1024 * 1024)

/* The hint of a block; NULL if it has none. */
static Buffer *
buffer_hint(Relation index, BlockNumber blkno)
{
	BufferHints *hints = index->rd_amcache;

	if (blkno >= MAX_HINTED_BLOCKS || RelationUsesLocalBuffers(index))
		return NULL;
	if (hints == NULL || blkno >= hints->nblocks)
	{
		BlockNumber nblocks = Min(MAX_HINTED_BLOCKS, Max(blkno + 1, RelationGetNumberOfBlocks(index)));
		BufferHints *larger;

		if (blkno >= nblocks)
			return NULL;
		larger = MemoryContextAllocZero(index->rd_indexcxt,
										offsetof(BufferHints, buffers) + sizeof(Buffer) * nblocks);
		larger->nblocks = nblocks;
		if (hints != NULL)
		{
			memcpy(larger->buffers, hints->buffers, sizeof(Buffer) * Min(hints->nblocks, nblocks));
			pfree(hints);
		}
		index->rd_amcache = hints = larger;
	}
	return &hints->buffers[blkno];
}

/* How much face_hints_share() writes. */
Size
face_hints_size(Relation index)
{
	const BufferHints *hints = index->rd_amcache;

	return offsetof(BufferHints, buffers) + (hints == NULL ? 0 : sizeof(Buffer) * hints->nblocks);
}

/* Where this process has seen pages, for another one. */
void
face_hints_share(Relation index, void *shared)
{
	static const BufferHints none = {0};

	memcpy(shared, index->rd_amcache == NULL ? &none : index->rd_amcache, face_hints_size(index));
}

/* Take over where another process has seen pages, unless this one knows. */
void
face_hints_take(Relation index, const void *shared)
{
	const BufferHints *hints = shared;

	if (hints->nblocks == 0 || index->rd_amcache != NULL)
		return;
	index->rd_amcache = MemoryContextAlloc(index->rd_indexcxt, offsetof(BufferHints, buffers) + sizeof(Buffer) * hints->nblocks);
	memcpy(index->rd_amcache, hints, offsetof(BufferHints, buffers) + sizeof(Buffer) * hints->nblocks);
}

/* Pin a page by way of its hint. */
static Buffer
pin_page(Relation index, BlockNumber blkno, BufferAccessStrategy strategy)
{
	Buffer	   *hint = buffer_hint(index, blkno);
	Buffer		buffer;

	if (hint != NULL && BufferIsValid(*hint) &&
		ReadRecentBuffer(face_relation_file(index), MAIN_FORKNUM, blkno, *hint))
		return *hint;
	buffer = ReadBufferExtended(index, MAIN_FORKNUM, blkno, RBM_NORMAL, strategy);
	if (hint != NULL)
		*hint = buffer;
	return buffer;
}

/*
 * Where a page lies if it is still where it was last seen, else NULL; nobody
 * pins it, so it is good for fetching bytes into the processor's cache only.
 * With `prefetch` that is done for what reading and locking the page touches.
 */
Page
face_expect_page(Relation index, BlockNumber blkno, bool prefetch)
{
	Buffer	   *hint = buffer_hint(index, blkno);
	Page		page;

	if (hint == NULL || !BufferIsValid(*hint))
		return NULL;
	page = (Page) BufferGetBlock(*hint);
	if (prefetch)
	{
		__builtin_prefetch(GetBufferDescriptor(*hint - 1));
		__builtin_prefetch(page);
		__builtin_prefetch(page + BLCKSZ - sizeof(FacePageOpaqueData));
	}
	return page;
}

/*
 * Read a page that some other page names, and lock it unless lockmode is
 * BUFFER_LOCK_UNLOCK.  Only a damaged page names no block, or one whose lock
 * this backend holds: waiting for oneself could not even be cancelled.
 */
Buffer
face_read_page_extended(Relation index, BlockNumber blkno, int lockmode, BufferAccessStrategy strategy)
{
	Buffer		buffer;

	if (blkno == P_NEW)
		report_bad_link(index);
	buffer = pin_page(index, blkno, strategy);
	if (lockmode == BUFFER_LOCK_UNLOCK)
		return buffer;
	if (!BufferIsLocal(buffer) && face_holds_page_lock(buffer))
		report_bad_link(index);
	LockBuffer(buffer, lockmode);
	return buffer;
}

Buffer
face_read_page(Relation index, BlockNumber blkno, int lockmode)
{
	return face_read_page_extended(index, blkno, lockmode, NULL);
}

/*
 * A page to write on, exclusively locked: recycled if the free space map knows
 * one, else new.  The caller initialises it in its own WAL record; until then
 * it stays what it was, so an error loses nothing but a hint.
 */
Buffer
face_take_page(Relation index)
{
	Buffer		buffer;
	bool		extend_lock;

	for (;;)
	{
		BlockNumber blkno = GetFreeIndexPage(index);

		if (blkno == InvalidBlockNumber)
			break;
		if (blkno >= RelationGetNumberOfBlocks(index))
			continue;
		buffer = ReadBuffer(index, blkno);

		/* The map is a hint: the holder of the lock may be using the page. */
		if (ConditionalLockBuffer(buffer))
		{
			Page		page = BufferGetPage(buffer);

			if (PageIsNew(page) || face_page_is(page, FACE_PAGE_FREE))
				return buffer;
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		}
		ReleaseBuffer(buffer);
	}

	extend_lock = !RELATION_IS_LOCAL(index);
	if (extend_lock)
		LockRelationForExtension(index, ExclusiveLock);
	buffer = ReadBuffer(index, P_NEW);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (extend_lock)
		UnlockRelationForExtension(index, ExclusiveLock);
	return buffer;
}

/*
 * Where second bits are: the numbers of all slots, from a cache line on, and
 * behind them the codes, for slots come by the dozen: those of 512 dimensions
 * are a line each.  Sealed, what is of a slot is together, and a nonce behind it.
 */
static void
layout_plane(FaceLayout *layout)
{
	layout->plane_scalars_offset = TYPEALIGN(CPU_CACHE_LINE, MAXALIGN(SizeOfPageHeaderData));
	layout->plane_scalars_stride = sizeof(FaceScalars);
	layout->planes_offset = layout->plane_scalars_offset + sizeof(FaceScalars) * layout->slots;
	layout->plane_stride = layout->plane_bytes;
	if (!layout->sealed)
		return;
	layout->planes_offset = layout->plane_scalars_offset + sizeof(FaceScalars);
	layout->plane_stride = layout->plane_scalars_stride = sizeof(FaceScalars) + layout->plane_bytes + FACE_NONCE_BYTES;
}

/* Where everything is if a sketch page has so many blocks; false if that is too many. */
static bool
layout_blocks(FaceLayout *layout, int nblocks)
{
	const Size	start = MAXALIGN(SizeOfPageHeaderData);
	const Size	limit = start + FACE_PAGE_DATA_SIZE;

	layout->slots = nblocks * FACE_BLOCK_SLOTS;
	layout->refine_pages = (layout->slots + layout->refine_slots - 1) / layout->refine_slots;
	layout->sealed_by_offset = start + MAXALIGN(sizeof(FaceSketchHeader));
	layout->bitmap_offset = layout->sealed_by_offset + (layout->sealed ? sizeof(pg_uuid_t) : 0);
	layout->refine_blocks_offset = INTALIGN(layout->bitmap_offset + (layout->slots + 7) / 8);
	layout->nonces_offset = layout->refine_blocks_offset + sizeof(BlockNumber) * face_named_pages(layout);
	layout->blocks_offset = MAXALIGN(layout->nonces_offset + (layout->sealed ? nblocks * FACE_NONCE_BYTES : 0));
	layout_plane(layout);
	return layout->blocks_offset + nblocks * layout->block_stride <= limit &&
		layout->planes_offset + layout->slots * layout->plane_stride <= limit;
}

/* Offsets and capacities of the pages that hold codes of this codec. */
void
face_layout_compute(const FaceCodec *codec, bool sealed, FaceLayout *layout)
{
	int			nblocks = FACE_PAGE_DATA_SIZE / codec->block_bytes;

	layout->sealed = sealed;
	layout->refine_entry_size = SHORTALIGN(offsetof(FaceRefineEntry, code) + codec->refine_bytes +
										   (sealed ? FACE_NONCE_BYTES : 0));
	layout->refine_slots = FACE_PAGE_DATA_SIZE / layout->refine_entry_size;
	layout->has_plane = codec->plane_bytes > 0;
	layout->plane_bytes = codec->plane_bytes;
	layout->scalars_offset = codec->block_bytes;
	layout->block_stride = FACE_BLOCK_SIZE(codec);
	while (nblocks > 0 && !layout_blocks(layout, nblocks))
		nblocks--;
	if (nblocks == 0 || layout->refine_slots == 0 || layout->refine_pages > FACE_MAX_REFINE_PAGES || layout->slots > FACE_MAX_SLOTS)
		elog(ERROR, "sketches of %d dimensions do not fit a page", codec->dims);

	/* Spread the slots evenly, so that the last refinement page is not left half empty. */
	layout->refine_slots = (layout->slots + layout->refine_pages - 1) / layout->refine_pages;
}
