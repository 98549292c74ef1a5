/*-------------------------------------------------------------------------
 *
 * check_heap.c
 *	  facematch.index_check(), third pass: every row of the table has exactly
 *	  one entry, in the right posting list, with the codes of its template.
 *
 * Entries are sorted by row, with a hash of their codes, and merged with a scan
 * of the table that encodes every template again; the sort keeps to
 * maintenance_work_mem. Nobody changes the table during the check.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"

#include "compat.h"
#include "embedding/sealed.h"
#include "index/check.h"
#include "index/keys.h"

/* Sort columns: the row, then what the index has of it. */
enum
{
	SORT_TID, SORT_BLOCK, SORT_SLOT, SORT_EPOCH, SORT_LIST, SORT_CODES, SORT_COLUMNS
};

/* An entry of the index. */
typedef struct Indexed
{
	ItemPointerData tid;
	BlockNumber blkno;			/* sketch page */
	int			slot;
	int			epoch;
	uint64		list_id;
	uint64		codes;			/* hash */
	bool		seen;			/* the row was there */
} Indexed;

struct FaceHeapCheck
{
	FaceCheck  *check;
	Tuplesortstate *sort;
	TupleTableSlot *slot;
	MemoryContext per_row;
	BlockNumber heap_blocks;
	BlockNumber block;			/* of the table, that of the entries below */
	Indexed    *entries;		/* ascending */
	int			nentries;
	int			max_entries;
	Indexed		ahead;			/* the next block's first */
	bool		more;			/* there is one */
	FaceRoom	room;			/* for an opened template */
};

/* -------------------------------------------------------------------------
 * Entries into the sort, and out of it by block of the table
 * ------------------------------------------------------------------------- */

FaceHeapCheck *
face_heap_check_create(FaceCheck *check)
{
	FaceHeapCheck *heap_check = palloc0(sizeof(FaceHeapCheck));
	TupleDesc	desc = CreateTemplateTupleDesc(SORT_COLUMNS);
	AttrNumber	column = SORT_TID + 1;
	Oid			operator = Int8LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;

	for (int i = 0; i < SORT_COLUMNS; i++)
		TupleDescInitEntry(desc, i + 1, NULL, INT8OID, -1, 0);
	face_finish_descriptor(desc);
	heap_check->check = check;
	heap_check->sort = tuplesort_begin_heap(desc, 1, &column, &operator, &collation, &nulls_first,
											maintenance_work_mem, NULL, TUPLESORT_NONE);
	heap_check->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	heap_check->per_row = AllocSetContextCreate(CurrentMemoryContext, "facematch row check", ALLOCSET_DEFAULT_SIZES);
	heap_check->max_entries = MaxHeapTuplesPerPage;
	heap_check->entries = palloc(sizeof(Indexed) * heap_check->max_entries);
	return heap_check;
}

/* A hash of everything that follows from the template. */
static uint64
hash_codes(const FaceCodec *codec, const FaceCodes *codes)
{
	uint64		hash = hash_bytes_extended(codes->sketch, codec->groups / 2, 0);

	hash = hash_bytes_extended(codes->plane, (int) codec->plane_bytes, hash);
	hash = hash_bytes_extended(codes->refine, (int) codec->refine_bytes, hash);
	hash = hash_bytes_extended((const unsigned char *) &codes->plane_scalars, sizeof(codes->plane_scalars), hash);
	hash = hash_bytes_extended((const unsigned char *) &codes->sketch_scalars, sizeof(codes->sketch_scalars), hash);
	return hash_bytes_extended((const unsigned char *) &codes->refine_scalars, sizeof(codes->refine_scalars), hash);
}

void
face_heap_check_add(FaceHeapCheck *heap_check, ItemPointer tid, BlockNumber blkno, int slot, int epoch,
					uint64 list_id, const FaceCodec *codec, const FaceCodes *codes)
{
	TupleTableSlot *row = heap_check->slot;

	ExecClearTuple(row);
	row->tts_values[SORT_TID] = Int64GetDatum((int64) ItemPointerGetBlockNumber(tid) << 16 | ItemPointerGetOffsetNumber(tid));
	row->tts_values[SORT_BLOCK] = Int64GetDatum((int64) blkno);
	row->tts_values[SORT_SLOT] = Int64GetDatum((int64) slot);
	row->tts_values[SORT_EPOCH] = Int64GetDatum((int64) epoch);
	row->tts_values[SORT_LIST] = Int64GetDatum((int64) list_id);
	row->tts_values[SORT_CODES] = Int64GetDatum(codes != NULL ? (int64) hash_codes(codec, codes) : 0);
	memset(row->tts_isnull, false, sizeof(bool) * SORT_COLUMNS);
	ExecStoreVirtualTuple(row);
	tuplesort_puttupleslot(heap_check->sort, row);
}

/* Read one entry ahead. */
static void
read_ahead(FaceHeapCheck *heap_check)
{
	Indexed    *ahead = &heap_check->ahead;
	Datum	   *values = heap_check->slot->tts_values;
	int64		tid;

	heap_check->more = tuplesort_gettupleslot(heap_check->sort, true, false, heap_check->slot, NULL);
	if (!heap_check->more)
		return;
	slot_getallattrs(heap_check->slot);
	tid = DatumGetInt64(values[SORT_TID]);
	ItemPointerSet(&ahead->tid, (BlockNumber) (tid >> 16), (OffsetNumber) (tid & 0xFFFF));
	ahead->blkno = (BlockNumber) DatumGetInt64(values[SORT_BLOCK]);
	ahead->slot = (int) DatumGetInt64(values[SORT_SLOT]);
	ahead->epoch = (int) DatumGetInt64(values[SORT_EPOCH]);
	ahead->list_id = (uint64) DatumGetInt64(values[SORT_LIST]);
	ahead->codes = (uint64) DatumGetInt64(values[SORT_CODES]);
	ahead->seen = false;
}

/* Collect the entries for the next block of the table that has any. */
static void
next_block(FaceHeapCheck *heap_check)
{
	heap_check->nentries = 0;
	heap_check->block = heap_check->more ? ItemPointerGetBlockNumber(&heap_check->ahead.tid) : InvalidBlockNumber;
	while (heap_check->more && ItemPointerGetBlockNumber(&heap_check->ahead.tid) == heap_check->block)
	{
		const int	n = heap_check->nentries;

		if (n > 0 && ItemPointerEquals(&heap_check->entries[n - 1].tid, &heap_check->ahead.tid))
			face_check_report(heap_check->check, heap_check->ahead.blkno,
							  "slot %d and slot %d of block %u have the same row (%u,%u)",
							  heap_check->ahead.slot, heap_check->entries[n - 1].slot, heap_check->entries[n - 1].blkno,
							  heap_check->block, ItemPointerGetOffsetNumber(&heap_check->ahead.tid));
		if (n == heap_check->max_entries)
		{
			heap_check->max_entries *= 2;
			heap_check->entries = repalloc_huge(heap_check->entries, sizeof(Indexed) * heap_check->max_entries);
		}
		heap_check->entries[heap_check->nentries++] = heap_check->ahead;
		read_ahead(heap_check);
	}
}

/* -------------------------------------------------------------------------
 * Entries without a visible row
 * ------------------------------------------------------------------------- */

/* May an index entry point there?  Rows die before their entries, but their line pointers live as long. */
static bool
is_entry_target(Page page, OffsetNumber offset)
{
	ItemId		item;

	if (PageIsNew(page) || offset > PageGetMaxOffsetNumber(page))
		return false;
	item = PageGetItemId(page, offset);
	if (!ItemIdIsUsed(item))
		return false;
	return !ItemIdIsNormal(item) || !HeapTupleHeaderIsHeapOnly((HeapTupleHeader) PageGetItem(page, item));
}

/* Entries of the current block whose rows the scan of the table did not show. */
static void
finish_block(FaceHeapCheck *heap_check)
{
	Relation	heap = heap_check->check->heap;
	PGAlignedBlock block;
	bool		read = false;

	for (int i = 0; i < heap_check->nentries; i++)
	{
		const Indexed *entry = &heap_check->entries[i];
		const OffsetNumber offset = ItemPointerGetOffsetNumber(&entry->tid);

		if (entry->seen)
			continue;
		if (!read && heap_check->block < heap_check->heap_blocks && heap->rd_rel->relam == HEAP_TABLE_AM_OID)
		{
			Buffer		buffer = ReadBufferExtended(heap, MAIN_FORKNUM, heap_check->block, RBM_NORMAL,
													heap_check->check->strategy);

			LockBuffer(buffer, BUFFER_LOCK_SHARE);
			memcpy(block.data, BufferGetPage(buffer), BLCKSZ);
			UnlockReleaseBuffer(buffer);
			read = true;
		}
		if (heap_check->block >= heap_check->heap_blocks || (read && !is_entry_target((Page) block.data, offset)))
			face_check_report(heap_check->check, entry->blkno, "slot %d has row (%u,%u), which does not exist",
							  entry->slot, heap_check->block, offset);
	}
}

/* Go on to a block of the table. */
static void
advance(FaceHeapCheck *heap_check, BlockNumber block)
{
	while (heap_check->block < block)
	{
		CHECK_FOR_INTERRUPTS();
		finish_block(heap_check);
		next_block(heap_check);
	}
}

/* -------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------- */

static int
compare_tids(const void *key, const void *entry)
{
	return ItemPointerCompare((ItemPointer) key, &((Indexed *) entry)->tid);
}

/* Do the codes of an entry follow from this template?  Of one that cannot be opened, nothing does. */
static bool
codes_agree(FaceCheck *check, const Indexed *entry, const FaceListKey *key, const FaceEmbedding *e)
{
	const FaceEpochState *state = face_check_epoch(check, entry->blkno, entry->epoch);
	const FaceTemplateKind expected = face_list_kind(key);
	FaceTemplateKind kind;

	if (state == NULL)
		return false;
	kind = face_epoch_kind(&state->epoch);
	if (key->unread || memcmp(&kind, &expected, sizeof(kind)) != 0)
		return key->unread;
	return hash_codes(state->codec, face_writer_encode(check->writer, entry->epoch, e)) == entry->codes;
}

/*
 * Is an entry in the list of these keys?  What is sealed may be in that of
 * templates that were not read when they came: its key has come since, or gone.
 */
static bool
is_in_list(FaceCheck *check, const Indexed *entry, FaceListKey *key)
{
	uint64		list_id;

	if (face_check_list_of(check, key, &list_id) && list_id == entry->list_id)
		return true;
	if (!face_list_is_sealed(key))
		return false;
	key->unread = !key->unread;
	return face_check_list_of(check, key, &list_id) && list_id == entry->list_id;
}

/* IndexBuildCallback: a row that everybody sees, and who refers to it. */
static void
check_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	FaceHeapCheck *heap_check = state;
	FaceCheck  *check = heap_check->check;
	const BlockNumber block = ItemPointerGetBlockNumber(tid);
	const OffsetNumber offset = ItemPointerGetOffsetNumber(tid);
	const int	nkeys = check->writer->meta.nkeys;
	MemoryContext old;
	const FaceEmbedding *stored;
	const FaceEmbedding *e;
	FaceListKey *key;
	Indexed    *entry;

	advance(heap_check, block);
	entry = heap_check->block != block ? NULL :
		bsearch(tid, heap_check->entries, heap_check->nentries, sizeof(Indexed), compare_tids);
	if (entry == NULL)
	{
		face_check_report(check, FACE_META_BLOCK, "row (%u,%u) has no entry", block, offset);
		return;
	}
	entry->seen = true;

	old = MemoryContextSwitchTo(heap_check->per_row);
	stored = isnull[nkeys] ? NULL : DatumGetFaceEmbedding(values[nkeys]);
	e = face_opened(stored, &heap_check->room.value);
	key = face_list_key(index, nkeys, values, isnull, stored, e);
	if (!is_in_list(check, entry, key))
		face_check_report(check, entry->blkno, "slot %d with row (%u,%u) is in another posting list than the row's",
						  entry->slot, block, offset);
	if ((e != NULL || !face_list_is_sealed(key)) && !codes_agree(check, entry, key, e))
		face_check_report(check, entry->blkno, "slot %d does not have the codes of the template in row (%u,%u)",
						  entry->slot, block, offset);
	MemoryContextSwitchTo(old);
	MemoryContextReset(heap_check->per_row);
}

void
face_heap_check_run(FaceHeapCheck *heap_check)
{
	FaceCheck  *check = heap_check->check;
	IndexInfo  *info = BuildIndexInfo(check->index);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan_strat(check->heap, snapshot, 0, NULL, true, false);
	TupleTableSlot *written = heap_check->slot;

	heap_check->heap_blocks = RelationGetNumberOfBlocks(check->heap);
	heap_check->slot = MakeSingleTupleTableSlot(written->tts_tupleDescriptor, &TTSOpsMinimalTuple);
	ExecDropSingleTupleTableSlot(written);
	tuplesort_performsort(heap_check->sort);
	read_ahead(heap_check);
	next_block(heap_check);

	/* Rows in the order of their blocks, for the scan was not begun as one that joins others, as the given snapshot sees them. */
	info->ii_Concurrent = true;
	info->ii_Unique = false;
	table_index_build_scan(check->heap, check->index, info, true, false, check_row, heap_check, scan);
	advance(heap_check, InvalidBlockNumber);

	UnregisterSnapshot(snapshot);
	face_wipe(&heap_check->room.value);
	ExecDropSingleTupleTableSlot(heap_check->slot);
	tuplesort_end(heap_check->sort);
}
