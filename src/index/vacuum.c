/*-------------------------------------------------------------------------
 *
 * vacuum.c
 *	  Removing templates of dead rows, leaving no bit of them, and giving
 *	  pages back.
 *
 * The first phase walks all sketch pages in physical order, which misses no
 * entry: entries never move.  The second walks the lists that lost something:
 * empty pages leave their chain, empty lists the directory, and insertion is
 * told to look for free slots from the head again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/indexfsm.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "index/handler.h"
#include "index/posting.h"

/* A vacuum of one index. */
typedef struct FaceVacuum
{
	Relation	index;
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *callback_state;
	FaceWriter *writer;
	HTAB	   *lists;			/* ids of lists that lost templates */
} FaceVacuum;

/* Is any TID of this refinement page dead?  Marks its slots. */
static bool
find_dead(FaceVacuum *vacuum, const FaceLayout *layout, Page refine, int first_slot, bool *dead)
{
	bool		any = false;

	for (int i = 0; i < layout->refine_slots && first_slot + i < layout->slots; i++)
	{
		FaceRefineEntry *entry = FaceRefineEntryOf(refine, layout, i);

		if (!ItemPointerIsValid(&entry->tid))
			continue;
		if (vacuum->callback(&entry->tid, vacuum->callback_state))
			dead[first_slot + i] = any = true;
		else
			vacuum->stats->num_index_tuples += 1;
	}
	return any;
}

/* Zero the dead slots that share one refinement page; the plane page is InvalidBuffer where there is none. */
static void
clear_slots(FaceVacuum *vacuum, const FaceEpochState *state, Buffer buffer, Buffer plane_buffer, Buffer refine_buffer,
			int first_slot, const bool *dead)
{
	const FaceLayout *layout = &state->layout;
	GenericXLogState *xlog = GenericXLogStart(vacuum->index);
	FaceSlotPages pages;

	pages.sketch = GenericXLogRegisterBuffer(xlog, buffer, 0);
	pages.plane = BufferIsValid(plane_buffer) ? GenericXLogRegisterBuffer(xlog, plane_buffer, 0) : NULL;
	pages.refine = GenericXLogRegisterBuffer(xlog, refine_buffer, 0);
	for (int i = 0; i < layout->refine_slots && first_slot + i < layout->slots; i++)
	{
		if (!dead[first_slot + i])
			continue;
		face_slot_clear(state, &pages, first_slot + i);
		vacuum->stats->tuples_removed += 1;
	}
	GenericXLogFinish(xlog);
}

/* Lock a page that a sketch page names. */
static Buffer
lock_side_page(FaceVacuum *vacuum, BlockNumber blkno, FacePageKind kind, uint64 stamp)
{
	Buffer		buffer = face_read_page_extended(vacuum->index, blkno, BUFFER_LOCK_EXCLUSIVE, vacuum->info->strategy);

	face_check_side_page(vacuum->index, buffer, kind, stamp);
	return buffer;
}

/* Remove dead templates from a sketch page, held by the caller's exclusive lock. */
static void
vacuum_sketch_page(FaceVacuum *vacuum, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	uint64		list_id = FacePageGetOpaque(page)->list_id;
	uint64		stamp = FacePageGetOpaque(page)->stamp;
	const FaceEpochState *state = face_writer_epoch(vacuum->writer, FacePageGetSketchHeader(page)->epoch);
	const FaceLayout *layout = &state->layout;
	bool		dead[BLCKSZ];
	bool		any = false;
	Buffer		plane = InvalidBuffer;

	memset(dead, 0, sizeof(bool) * layout->slots);
	for (int i = 0; i < layout->refine_pages; i++)
	{
		BlockNumber refine_block = FaceSketchRefineBlocks(page, layout)[i];
		Buffer		refine;

		if (!BlockNumberIsValid(refine_block))
			continue;
		refine = lock_side_page(vacuum, refine_block, FACE_PAGE_REFINE, stamp);
		if (find_dead(vacuum, layout, BufferGetPage(refine), i * layout->refine_slots, dead))
		{
			if (layout->has_plane && !BufferIsValid(plane))
				plane = lock_side_page(vacuum, *FaceSketchPlaneBlock(page, layout), FACE_PAGE_PLANE, stamp);
			clear_slots(vacuum, state, buffer, plane, refine, i * layout->refine_slots, dead);
			any = true;
		}
		UnlockReleaseBuffer(refine);
	}
	if (BufferIsValid(plane))
		UnlockReleaseBuffer(plane);
	if (any)
		hash_search(vacuum->lists, &list_id, HASH_ENTER, NULL);
}

/* Phase one: every sketch page; free pages are noted on the way. */
static void
vacuum_pages(FaceVacuum *vacuum)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(vacuum->index);

	for (BlockNumber blkno = FACE_META_BLOCK + 1; blkno < nblocks; blkno++)
	{
		Buffer		buffer;
		Page		page;

		face_vacuum_delay();
		buffer = face_read_page_extended(vacuum->index, blkno, BUFFER_LOCK_EXCLUSIVE, vacuum->info->strategy);
		page = BufferGetPage(buffer);
		if (face_page_is(page, FACE_PAGE_SKETCH))
			vacuum_sketch_page(vacuum, buffer);
		UnlockReleaseBuffer(buffer);
	}
}

/* -------------------------------------------------------------------------
 * Phase two: pages and lists that became empty
 * ------------------------------------------------------------------------- */

/* Free the plane and refinement pages of a locked, empty sketch page, one WAL record each. */
static void
free_side_pages(FaceVacuum *vacuum, const FaceLayout *layout, Buffer buffer)
{
	uint64		stamp = FacePageGetOpaque(BufferGetPage(buffer))->stamp;

	for (int i = 0; i < face_named_pages(layout); i++)
	{
		BlockNumber blkno = FaceSketchRefineBlocks(BufferGetPage(buffer), layout)[i];
		Buffer		side;
		GenericXLogState *xlog;

		if (!BlockNumberIsValid(blkno))
			continue;
		side = lock_side_page(vacuum, blkno, i < layout->refine_pages ? FACE_PAGE_REFINE : FACE_PAGE_PLANE, stamp);
		xlog = GenericXLogStart(vacuum->index);
		FaceSketchRefineBlocks(GenericXLogRegisterBuffer(xlog, buffer, 0), layout)[i] = InvalidBlockNumber;
		face_page_init_free(GenericXLogRegisterBuffer(xlog, side, GENERIC_XLOG_FULL_IMAGE));
		GenericXLogFinish(xlog);
		UnlockReleaseBuffer(side);
		RecordFreeIndexPage(vacuum->index, blkno);
		vacuum->stats->pages_newly_deleted++;
	}
}

/*
 * Take an empty sketch page out of its chain.  The bucket is locked, and so
 * are the page and, unless it is the head, its predecessor.
 */
static void
unlink_page(FaceVacuum *vacuum, FaceEntryLock *lock, Buffer previous, Buffer buffer)
{
	const FaceMetaData *meta = &vacuum->writer->meta;
	BlockNumber blkno = BufferGetBlockNumber(buffer);
	FaceSketchHeader *header = FacePageGetSketchHeader(BufferGetPage(buffer));
	BlockNumber next = header->next;
	uint64		next_stamp = header->next_stamp;
	GenericXLogState *xlog = GenericXLogStart(vacuum->index);
	Page		bucket = GenericXLogRegisterBuffer(xlog, lock->buffer, 0);
	FaceListEntry *entry = face_directory_locked_entry(meta, lock, bucket);

	if (BufferIsValid(previous))
	{
		header = FacePageGetSketchHeader(GenericXLogRegisterBuffer(xlog, previous, 0));
		header->next = next;
		header->next_stamp = next_stamp;
		if (entry->tail == blkno)
			entry->tail = BufferGetBlockNumber(previous);
		entry->insert_page = entry->head;
	}
	else if (BlockNumberIsValid(next))
	{
		entry->head = entry->insert_page = next;
		entry->head_stamp = next_stamp;
	}
	else
		face_bucket_remove(meta, bucket, lock->position);
	face_page_init_free(GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE));
	GenericXLogFinish(xlog);
	RecordFreeIndexPage(vacuum->index, blkno);
	vacuum->stats->pages_newly_deleted++;
}

/*
 * Free the sketch page at *blkno if it is still in its list behind `previous`
 * and still empty.  Returns whether the list has changed in a way that makes
 * the caller stop.
 */
static bool
try_unlink(FaceVacuum *vacuum, const FaceListEntry *list, BlockNumber previous, BlockNumber blkno)
{
	FaceEntryLock lock;
	Buffer		previous_buffer = InvalidBuffer;
	Buffer		buffer;
	bool		unlinked = false;

	face_directory_lock(vacuum->index, &vacuum->writer->meta, &list->key, &lock);
	if (lock.position < 0)
	{
		face_directory_unlock(&lock);
		return false;
	}
	if (BlockNumberIsValid(previous))
		previous_buffer = face_read_page(vacuum->index, previous, BUFFER_LOCK_EXCLUSIVE);
	buffer = face_read_page(vacuum->index, blkno, BUFFER_LOCK_EXCLUSIVE);
	if (face_page_is(BufferGetPage(buffer), FACE_PAGE_SKETCH) &&
		FacePageGetOpaque(BufferGetPage(buffer))->list_id == list->list_id &&
		FacePageGetSketchHeader(BufferGetPage(buffer))->used == 0)
	{
		const FaceEpochState *state = face_writer_epoch(vacuum->writer,
														FacePageGetSketchHeader(BufferGetPage(buffer))->epoch);

		free_side_pages(vacuum, &state->layout, buffer);
		unlink_page(vacuum, &lock, previous_buffer, buffer);
		unlinked = true;
	}
	UnlockReleaseBuffer(buffer);
	if (BufferIsValid(previous_buffer))
		UnlockReleaseBuffer(previous_buffer);
	face_directory_unlock(&lock);
	return unlinked;
}

/* Walk one list; only vacuum unlinks, and there is one vacuum at a time. */
static void
vacuum_list(FaceVacuum *vacuum, const FaceListEntry *list)
{
	BlockNumber previous = InvalidBlockNumber;
	BlockNumber blkno = list->head;
	FaceChainWalk walk = {0};

	while (BlockNumberIsValid(blkno))
	{
		Buffer		buffer;
		FaceSketchHeader *header;
		BlockNumber next;
		bool		empty;

		face_vacuum_delay();
		face_chain_step(vacuum->index, &walk);
		buffer = face_read_page(vacuum->index, blkno, BUFFER_LOCK_SHARE);
		face_check_page(vacuum->index, buffer, FACE_PAGE_SKETCH);
		header = FacePageGetSketchHeader(BufferGetPage(buffer));
		next = header->next;
		empty = header->used == 0;
		UnlockReleaseBuffer(buffer);

		if (!empty || !try_unlink(vacuum, list, previous, blkno))
			previous = blkno;
		blkno = next;
	}
}

/* Let insertion look for room from the head of the list again. */
static void
reset_insert_page(FaceVacuum *vacuum, const FaceListEntry *list)
{
	FaceEntryLock lock;

	face_directory_lock(vacuum->index, &vacuum->writer->meta, &list->key, &lock);
	if (lock.position >= 0)
	{
		GenericXLogState *xlog = GenericXLogStart(vacuum->index);
		FaceListEntry *entry = face_directory_locked_entry(&vacuum->writer->meta, &lock,
														   GenericXLogRegisterBuffer(xlog, lock.buffer, 0));

		entry->insert_page = entry->head;
		GenericXLogFinish(xlog);
	}
	face_directory_unlock(&lock);
}

static void
vacuum_lists(FaceVacuum *vacuum)
{
	bool		given[INDEX_MAX_KEYS] = {false};
	uint64		keys[INDEX_MAX_KEYS] = {0};
	List	   *lists;
	ListCell   *cell;

	if (hash_get_num_entries(vacuum->lists) == 0)
		return;
	lists = face_directory_find(vacuum->index, &vacuum->writer->meta, keys, given);
	foreach(cell, lists)
	{
		FaceListEntry *list = lfirst(cell);

		if (hash_search(vacuum->lists, &list->list_id, HASH_FIND, NULL) == NULL)
			continue;
		reset_insert_page(vacuum, list);
		vacuum_list(vacuum, list);
	}
	list_free_deep(lists);
}

IndexBulkDeleteResult *
face_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats, IndexBulkDeleteCallback callback,
				void *callback_state)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "facematch vacuum", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	FaceVacuum	vacuum = {0};
	HASHCTL		control = {0};

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	else
		stats->num_index_tuples = 0;

	old = MemoryContextSwitchTo(context);
	vacuum.index = info->index;
	vacuum.info = info;
	vacuum.stats = stats;
	vacuum.callback = callback;
	vacuum.callback_state = callback_state;
	vacuum.writer = face_writer_create(info->index);
	vacuum.writer->blind = true;
	control.keysize = sizeof(uint64);
	control.entrysize = sizeof(uint64);
	control.hcxt = context;
	vacuum.lists = hash_create("facematch lists", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	vacuum_pages(&vacuum);
	vacuum_lists(&vacuum);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return stats;
}

static void
learn_in_private_memory(Relation index)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "facematch centres", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	face_learn_centres(index);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* Shorten the directory, put every free page into the free space map, count, and learn centres. */
IndexBulkDeleteResult *
face_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	FaceMetaData meta;
	BlockNumber nblocks;
	double		ntuples = 0;

	if (info->analyze_only)
		return stats;
	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));

	face_meta_read(info->index, &meta);
	stats->pages_newly_deleted += face_directory_trim(info->index, &meta);
	stats->pages_free = 0;
	nblocks = RelationGetNumberOfBlocks(info->index);
	for (BlockNumber blkno = FACE_META_BLOCK + 1; blkno < nblocks; blkno++)
	{
		Buffer		buffer;
		Page		page;

		face_vacuum_delay();
		buffer = face_read_page_extended(info->index, blkno, BUFFER_LOCK_SHARE, info->strategy);
		page = BufferGetPage(buffer);
		if (PageIsNew(page) || face_page_is(page, FACE_PAGE_FREE))
		{
			RecordFreeIndexPage(info->index, blkno);
			stats->pages_free++;
		}
		else if (face_page_is(page, FACE_PAGE_SKETCH))
			ntuples += FacePageGetSketchHeader(page)->used;
		UnlockReleaseBuffer(buffer);
	}
	IndexFreeSpaceMapVacuum(info->index);
	learn_in_private_memory(info->index);
	stats->num_pages = nblocks;
	stats->num_index_tuples = ntuples;
	stats->estimated_count = false;
	return stats;
}
