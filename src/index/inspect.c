/*-------------------------------------------------------------------------
 *
 * inspect.c
 *	  facematch.index_stats() and index_epochs(): what an index holds, in the
 *	  manner of pgstattuple.
 *
 * One pass over the pages, each locked by itself: figures of an index that is
 * being changed are of no single moment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "index/handler.h"
#include "index/inspect.h"
#include "index/posting.h"

PG_FUNCTION_INFO_V1(facematch_index_stats);
PG_FUNCTION_INFO_V1(facematch_index_epochs);

/* What was counted of the pages of one epoch. */
typedef struct EpochCounts
{
	int64		sketch_pages;
	int64		plane_pages;
	int64		refine_pages;
	int64		slots;
	int64		used;
} EpochCounts;

/* Reads the rows of index entries to tell whether they are dead. */
typedef struct DeadCounter
{
	Relation	heap;
	BlockNumber nblocks;		/* of the heap */
	Snapshot	snapshot;
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	int64		dead;
} DeadCounter;

typedef struct IndexCounts
{
	Relation	index;
	BufferAccessStrategy strategy;
	FaceWriter *writer;
	BlockNumber nblocks;
	DeadCounter *dead;			/* NULL unless dead entries are to be counted */
	int64		kinds[FACE_LAST_PAGE_KIND + 1];	/* pages by FacePageKind */
	int64		damaged;		/* pages of no kind */
	EpochCounts epochs[FACE_MAX_EPOCHS];
} IndexCounts;

/* -------------------------------------------------------------------------
 * Opening
 * ------------------------------------------------------------------------- */

static void
check_is_ours(Relation index)
{
	const char *name = RelationGetRelationName(index);

	if (index->rd_rel->relkind != RELKIND_INDEX || index->rd_indam->aminsert != face_insert)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a facematch index", name),
				 index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX ?
				 errhint("Name the index of one partition.") : 0));
	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot look into index \"%s\", which is a temporary index of another session", name)));
	if (RecoveryInProgress() && !RelationNeedsWAL(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot look into unlogged index \"%s\" during recovery", name)));
}

void
face_inspect_open(Oid index_oid, LOCKMODE lockmode, Relation *heap, Relation *index)
{
	Oid			heap_oid = IndexGetRelation(index_oid, true);

	*heap = OidIsValid(heap_oid) ? try_table_open(heap_oid, lockmode) : NULL;
	*index = try_relation_open(index_oid, lockmode);
	if (*index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("index with OID %u does not exist", index_oid),
				 errhint("It has been dropped, or the number is not the OID of an index.")));
	check_is_ours(*index);
	if (*heap == NULL || IndexGetRelation(index_oid, false) != heap_oid)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("could not open the table of index \"%s\"", RelationGetRelationName(*index))));
}

void
face_inspect_close(Relation heap, Relation index)
{
	index_close(index, NoLock);
	table_close(heap, NoLock);
}

/* -------------------------------------------------------------------------
 * Counting
 * ------------------------------------------------------------------------- */

static DeadCounter *
dead_counter_create(Relation heap)
{
	DeadCounter *counter = palloc0(sizeof(DeadCounter));

	counter->heap = heap;
	counter->nblocks = RelationGetNumberOfBlocks(heap);
	counter->snapshot = RegisterSnapshot(GetLatestSnapshot());
	counter->fetch = face_index_fetch_begin(heap);
	counter->slot = table_slot_create(heap, NULL);
	return counter;
}

static void
dead_counter_free(DeadCounter *counter)
{
	table_index_fetch_end(counter->fetch);
	ExecDropSingleTupleTableSlot(counter->slot);
	UnregisterSnapshot(counter->snapshot);
	pfree(counter);
}

/* Is the row at this TID dead to everybody? */
static bool
is_dead(DeadCounter *counter, ItemPointer tid)
{
	bool		call_again = false;
	bool		all_dead = false;

	/* a row newer than the count, or a damaged entry */
	if (ItemPointerGetBlockNumber(tid) >= counter->nblocks)
		return false;
	return !table_index_fetch_tuple(counter->fetch, tid, counter->snapshot, counter->slot, &call_again, &all_dead) &&
		all_dead;
}

/* Count the dead entries of a refinement page, whose lock is not held while rows are read. */
static void
count_dead(IndexCounts *counts, const FaceLayout *layout, BlockNumber blkno, uint64 stamp)
{
	Buffer		buffer;
	Page		page;
	ItemPointerData tids[BLCKSZ / sizeof(FaceRefineEntry)];
	int			ntids = 0;

	if (blkno >= counts->nblocks)
		return;
	buffer = face_read_page_extended(counts->index, blkno, BUFFER_LOCK_SHARE, counts->strategy);
	page = BufferGetPage(buffer);
	if (face_page_is(page, FACE_PAGE_REFINE) && FacePageGetOpaque(page)->stamp == stamp)
	{
		for (int i = 0; i < layout->refine_slots; i++)
			if (ItemPointerIsValid(&FaceRefineEntryOf(page, layout, i)->tid))
				tids[ntids++] = FaceRefineEntryOf(page, layout, i)->tid;
	}
	UnlockReleaseBuffer(buffer);
	for (int i = 0; i < ntids; i++)
		counts->dead->dead += is_dead(counts->dead, &tids[i]);
}

/* Count what a sketch page holds; releases it. */
static void
count_sketch_page(IndexCounts *counts, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	const FaceSketchHeader *header = FacePageGetSketchHeader(page);
	const FaceLayout *layout = &face_writer_epoch(counts->writer, header->epoch)->layout;
	EpochCounts *epoch = &counts->epochs[header->epoch];
	uint64		stamp = FacePageGetOpaque(page)->stamp;
	BlockNumber refine_blocks[FACE_MAX_REFINE_PAGES];

	epoch->sketch_pages++;
	epoch->slots += layout->slots;
	epoch->used += header->used;
	epoch->plane_pages += layout->has_plane && BlockNumberIsValid(*FaceSketchPlaneBlock(page, layout));
	memcpy(refine_blocks, FaceSketchRefineBlocks(page, layout), sizeof(BlockNumber) * layout->refine_pages);
	UnlockReleaseBuffer(buffer);
	for (int i = 0; i < layout->refine_pages; i++)
	{
		if (!BlockNumberIsValid(refine_blocks[i]))
			continue;
		epoch->refine_pages++;
		if (counts->dead != NULL)
			count_dead(counts, layout, refine_blocks[i], stamp);
	}
}

static void
count_pages(IndexCounts *counts)
{
	for (BlockNumber blkno = 0; blkno < counts->nblocks; blkno++)
	{
		Buffer		buffer;
		Page		page;
		int			kind = FACE_PAGE_FREE;

		CHECK_FOR_INTERRUPTS();
		buffer = face_read_page_extended(counts->index, blkno, BUFFER_LOCK_SHARE, counts->strategy);
		page = BufferGetPage(buffer);
		if (!PageIsNew(page))
		{
			for (; kind <= FACE_LAST_PAGE_KIND && !face_page_is(page, kind); kind++)
				;
		}
		if (kind > FACE_LAST_PAGE_KIND)
			counts->damaged++;
		else
			counts->kinds[kind]++;
		if (kind == FACE_PAGE_SKETCH)
			count_sketch_page(counts, buffer);
		else
			UnlockReleaseBuffer(buffer);
	}
}

/* Reads the whole index, or only its meta page unless pages are to be counted. */
static IndexCounts *
count_index(Relation index, DeadCounter *dead, bool counted)
{
	IndexCounts *counts = palloc0(sizeof(IndexCounts));

	counts->index = index;
	counts->strategy = GetAccessStrategy(BAS_BULKREAD);
	counts->writer = face_writer_create(index);
	counts->writer->blind = true;
	counts->nblocks = RelationGetNumberOfBlocks(index);
	counts->dead = dead;
	if (counted)
		count_pages(counts);
	FreeAccessStrategy(counts->strategy);

	/* epochs that came while we counted */
	face_meta_read(index, &counts->writer->meta);
	return counts;
}

static int64
count_lists(const IndexCounts *counts)
{
	uint64		keys[INDEX_MAX_KEYS] = {0};
	bool		given[INDEX_MAX_KEYS] = {false};
	List	   *lists = face_directory_find(counts->index, &counts->writer->meta, keys, given);
	int64		nlists = list_length(lists);

	list_free_deep(lists);
	return nlists;
}

/* Bytes of one sketch, without the numbers beside it. */
static int
sketch_bytes(const FaceCodec *codec)
{
	return codec->groups / 2;
}

/* -------------------------------------------------------------------------
 * SQL functions
 * ------------------------------------------------------------------------- */

/* facematch.index_stats(index regclass, count_dead boolean): one row, columns in the order of sql/index/inspection.sql. */
Datum
facematch_index_stats(PG_FUNCTION_ARGS)
{
	enum
	{
		VERSION, SIZE, LISTS, TEMPLATES, NULLS, DEAD, SLOTS, FREE_SLOTS, FILL, DIRECTORY_PAGES, CENTRE_PAGES,
		SKETCH_PAGES, PLANE_PAGES, REFINE_PAGES, FREE_PAGES, DAMAGED_PAGES, SKETCH_BYTES, BYTES_PER_TEMPLATE, COLUMNS
	};
	Datum		values[COLUMNS];
	bool		isnull[COLUMNS] = {false};
	Relation	heap;
	Relation	index;
	DeadCounter *dead = NULL;
	IndexCounts *counts;
	TupleDesc	desc;
	int64		templates = 0;
	int64		nulls = 0;
	int64		slots = 0;
	int64		sketches = 0;
	int64		size;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	face_inspect_open(PG_GETARG_OID(0), AccessShareLock, &heap, &index);
	if (PG_GETARG_BOOL(1))
		dead = dead_counter_create(heap);
	counts = count_index(index, dead, true);

	for (int i = 0; i < counts->writer->meta.nepochs; i++)
	{
		const EpochCounts *epoch = &counts->epochs[i];

		slots += epoch->slots;
		if (counts->writer->meta.epochs[i].dims == 0)
			nulls += epoch->used;
		else if (epoch->used > 0)
		{
			templates += epoch->used;
			sketches += epoch->used * sketch_bytes(face_writer_epoch(counts->writer, i)->codec);
		}
	}
	size = (int64) counts->nblocks * BLCKSZ;

	values[VERSION] = Int32GetDatum((int32) counts->writer->meta.version);
	values[SIZE] = Int64GetDatum(size);
	values[LISTS] = Int64GetDatum(count_lists(counts));
	values[TEMPLATES] = Int64GetDatum(templates);
	values[NULLS] = Int64GetDatum(nulls);
	values[DEAD] = Int64GetDatum(dead != NULL ? dead->dead : 0);
	isnull[DEAD] = dead == NULL;
	values[SLOTS] = Int64GetDatum(slots);
	values[FREE_SLOTS] = Int64GetDatum(slots - templates - nulls);
	values[FILL] = Float8GetDatum(slots > 0 ? 100.0 * (templates + nulls) / slots : 0);
	isnull[FILL] = slots == 0;
	values[DIRECTORY_PAGES] = Int64GetDatum(counts->kinds[FACE_PAGE_ROOT] + counts->kinds[FACE_PAGE_BUCKET]);
	values[CENTRE_PAGES] = Int64GetDatum(counts->kinds[FACE_PAGE_CENTRE]);
	values[SKETCH_PAGES] = Int64GetDatum(counts->kinds[FACE_PAGE_SKETCH]);
	values[PLANE_PAGES] = Int64GetDatum(counts->kinds[FACE_PAGE_PLANE]);
	values[REFINE_PAGES] = Int64GetDatum(counts->kinds[FACE_PAGE_REFINE]);
	values[FREE_PAGES] = Int64GetDatum(counts->kinds[FACE_PAGE_FREE]);
	values[DAMAGED_PAGES] = Int64GetDatum(counts->damaged);
	values[SKETCH_BYTES] = Int64GetDatum(sketches);
	values[BYTES_PER_TEMPLATE] = Float8GetDatum(templates > 0 ? (double) size / templates : 0);
	isnull[BYTES_PER_TEMPLATE] = templates == 0;

	if (dead != NULL)
		dead_counter_free(dead);
	face_inspect_close(heap, index);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, isnull)));
}

/* facematch_internal.index_epochs(index regclass, counted boolean): a row for each epoch, columns in the order of sql/index/inspection.sql. */
Datum
facematch_index_epochs(PG_FUNCTION_ARGS)
{
	enum
	{
		EPOCH, DIMS, MODEL, SKETCH_BITS, PLANE_BITS, REFINE_BITS, SEED, CENTRE_LENGTH, TEMPLATES, SLOTS, SKETCH_PAGES,
		PLANE_PAGES, REFINE_PAGES, SKETCH_BYTES, PLANE_BYTES, REFINE_BYTES, COLUMNS
	};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		counted = PG_GETARG_BOOL(1);
	Relation	heap;
	Relation	index;
	IndexCounts *counts;

	InitMaterializedSRF(fcinfo, 0);
	face_inspect_open(PG_GETARG_OID(0), AccessShareLock, &heap, &index);
	counts = count_index(index, NULL, counted);
	for (int i = 0; i < counts->writer->meta.nepochs; i++)
	{
		const FaceEpochState *state = face_writer_epoch(counts->writer, i);
		const EpochCounts *epoch = &counts->epochs[i];
		Datum		values[COLUMNS];
		bool		isnull[COLUMNS] = {false};

		values[EPOCH] = Int32GetDatum(i);
		values[DIMS] = Int32GetDatum(state->epoch.dims);
		values[MODEL] = Int32GetDatum(state->epoch.model);
		values[SKETCH_BITS] = Int32GetDatum(state->epoch.sketch_bits);
		values[PLANE_BITS] = Int32GetDatum(state->layout.has_plane);
		values[REFINE_BITS] = Int32GetDatum(state->epoch.refine_bits);
		values[SEED] = CStringGetTextDatum(psprintf("%016llx", (unsigned long long) state->epoch.seed));
		values[CENTRE_LENGTH] = Float8GetDatum(sqrt(state->centre->norm_squared));
		isnull[SEED] = isnull[CENTRE_LENGTH] = state->epoch.sealed;
		values[TEMPLATES] = Int64GetDatum(epoch->used);
		values[SLOTS] = Int64GetDatum(epoch->slots);
		values[SKETCH_PAGES] = Int64GetDatum(epoch->sketch_pages);
		values[PLANE_PAGES] = Int64GetDatum(epoch->plane_pages);
		values[REFINE_PAGES] = Int64GetDatum(epoch->refine_pages);
		isnull[TEMPLATES] = isnull[SLOTS] = isnull[SKETCH_PAGES] = isnull[PLANE_PAGES] = isnull[REFINE_PAGES] = !counted;
		values[SKETCH_BYTES] = Int32GetDatum(sketch_bytes(state->codec));
		values[PLANE_BYTES] = Int32GetDatum((int32) state->codec->plane_bytes);
		values[REFINE_BYTES] = Int32GetDatum((int32) state->codec->refine_bytes);
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	face_inspect_close(heap, index);
	return (Datum) 0;
}
