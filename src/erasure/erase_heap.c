/*-------------------------------------------------------------------------
 *
 * erase_heap.c
 *	  Removed rows in the pages of a table or TOAST table.
 *
 * Dead rows are pruned, as in VACUUM, and PostgreSQL logs what a standby has to
 * wait for, or cancel, there. Pruning leaves a line pointer, and the row's bytes in
 * the hole of the page; the hole is then set to zero. The line pointer stays until
 * VACUUM, as long as indexes may have an entry for it. That is why entries of dead
 * rows can be removed from indexes without waiting.
 *
 * Pruning moves tuples, so it needs a page that nobody else has pinned. It does not
 * wait for such a page, because an open cursor may keep it pinned for hours. Pages
 * that cannot be pruned are counted and tried again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/visibilitymap.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/procarray.h"

#include "compat.h"
#include "erasure/erase_heap.h"

/* A pin of a running query is gone within milliseconds; a cursor's is not worth the wait. */
#define RETRIES			3
#define RETRY_AFTER_US	5000L

struct FaceHeapErasure
{
	TransactionId oldest;
	GlobalVisState *visible;
	FaceDeadRows *dead;
	FaceErased *done;
	FaceBlockRange	busy;			/* pages with dead rows that somebody had pinned */
};

/* What a page holds beside live rows, under the caller's lock. */
void
face_look_at_heap_page(Relation rel, Buffer buffer, TransactionId oldest, FaceRemains *remains, FaceDeadRows *dead)
{
	Page		page = BufferGetPage(buffer);
	bool		all_visible;

	remains->pages++;
	if (PageIsNew(page))
		return;
	face_check_layout(rel, buffer, FACE_PAGE_ITEMS);
	all_visible = PageIsAllVisible(page);
	for (OffsetNumber line = FirstOffsetNumber; line <= PageGetMaxOffsetNumber(page); line++)
	{
		ItemId		item = PageGetItemId(page, line);
		HeapTupleData tuple;

		if (ItemIdIsDead(item) && dead != NULL)
			face_dead_row(dead, BufferGetBlockNumber(buffer), line);
		if (!ItemIdIsNormal(item) || all_visible)
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, BufferGetBlockNumber(buffer), line);
		switch (HeapTupleSatisfiesVacuum(&tuple, oldest, buffer))
		{
			case HEAPTUPLE_DEAD:
				remains->dead++;
				break;
			case HEAPTUPLE_RECENTLY_DEAD:
			case HEAPTUPLE_DELETE_IN_PROGRESS:
				remains->fading++;
				break;
			default:
				break;
		}
	}
	face_count_free(page, FACE_PAGE_ITEMS, remains);
}

FaceHeapErasure *
face_heap_erasure(Relation rel, FaceDeadRows *dead, FaceErased *done)
{
	FaceHeapErasure *erasure = palloc0(sizeof(FaceHeapErasure));

	erasure->oldest = GetOldestNonRemovableTransactionId(rel);
	erasure->visible = GlobalVisTestFor(rel);
	erasure->dead = dead;
	erasure->done = done;
	return erasure;
}

/* Lets go of dead rows if nobody else has the page pinned; the page is locked exclusively either way. */
static void
prune(Relation rel, Buffer buffer, FaceHeapErasure *erasure)
{
	Buffer		map = InvalidBuffer;

	face_pin_map(rel, buffer, &map);
	if (ConditionalLockBufferForCleanup(buffer))
		face_prune_page(rel, buffer, map, erasure->oldest, erasure->visible);
	else
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (BufferIsValid(map))
		ReleaseBuffer(map);
}

/* One page; the locks needed are taken and given back here, the pin is the caller's. */
static bool
erase_page(Relation rel, Buffer buffer, FaceHeapErasure *erasure)
{
	FaceRemains before = {0};
	FaceRemains after = {0};
	FaceErased *done = erasure->done;
	int64		lines = erasure->dead->count;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	face_look_at_heap_page(rel, buffer, erasure->oldest, &before, erasure->dead);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (before.dead + before.stray + before.padding == 0)
	{
		done->fading += before.fading;
		return true;
	}

	if (before.dead > 0)
		prune(rel, buffer, erasure);
	else
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	erasure->dead->count = lines;
	face_look_at_heap_page(rel, buffer, erasure->oldest, &after, erasure->dead);
	if (after.stray + after.padding > 0)
		face_clear_free(rel, buffer, FACE_PAGE_ITEMS);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	done->cleared += before.dead != after.dead || after.stray + after.padding > 0;
	done->removed += Max(before.dead - after.dead, 0);
	if (after.dead > 0)
		return false;
	done->fading += after.fading;
	return true;
}

void
face_erase_heap_page(Relation rel, Buffer buffer, void *state)
{
	FaceHeapErasure *erasure = state;

	erasure->done->pages++;
	if (!erase_page(rel, buffer, erasure))
		face_add_block(&erasure->busy, BufferGetBlockNumber(buffer));
}

/* Pages that were pinned, again: what still is remains for the next time. */
void
face_retry_heap_pages(Relation rel, FaceHeapErasure *erasure)
{
	for (int try = 0; try < RETRIES && erasure->busy.count > 0; try++)
	{
		FaceBlockRange	still = {0};

		pg_usleep(RETRY_AFTER_US);
		for (int64 i = 0; i < erasure->busy.count; i++)
		{
			Buffer		buffer;

			face_vacuum_delay();
			buffer = ReadBuffer(rel, erasure->busy.blocks[i]);
			if (!erase_page(rel, buffer, erasure))
				face_add_block(&still, erasure->busy.blocks[i]);
			ReleaseBuffer(buffer);
		}
		erasure->busy = still;
	}
	erasure->done->busy += erasure->busy.count;
}
