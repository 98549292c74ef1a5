/*-------------------------------------------------------------------------
 *
 * heap.c
 *	  Reading the template itself, for the distance itself.
 *
 * An ordered scan computes the distance of the few rows whose bounds do not
 * decide their place. With distances it can stop at the nearest row instead of
 * at the upper bound of the nearest row, which halves the refinements; and it
 * never returns a row that the snapshot does not see.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"

#include "compat.h"
#include "embedding/sealed.h"
#include "index/heap.h"

struct FaceHeapReader
{
	Relation	index;
	Snapshot	snapshot;
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	AttrNumber	column;			/* of the heap; 0: an expression */
	IndexInfo  *info;			/* for an expression */
	EState	   *estate;
	FaceRoom	room;			/* for an opened template */
};

FaceHeapReader *
face_heap_reader_create(Relation heap, Relation index, Snapshot snapshot)
{
	FaceHeapReader *reader = palloc0(sizeof(FaceHeapReader));

	reader->index = index;
	reader->snapshot = snapshot;
	reader->fetch = face_index_fetch_begin(heap);
	reader->slot = table_slot_create(heap, NULL);
	reader->column = index->rd_index->indkey.values[IndexRelationGetNumberOfKeyAttributes(index) - 1];
	if (reader->column == 0)
	{
		reader->info = BuildIndexInfo(index);
		reader->estate = CreateExecutorState();
	}
	return reader;
}

/* The indexed value of an expression index's row. */
static Datum
expression_value(FaceHeapReader *reader, bool *isnull)
{
	const int	last = IndexRelationGetNumberOfKeyAttributes(reader->index) - 1;
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	ResetPerTupleExprContext(reader->estate);
	GetPerTupleExprContext(reader->estate)->ecxt_scantuple = reader->slot;
	FormIndexDatum(reader->info, reader->slot, reader->estate, values, nulls);
	*isnull = nulls[last];
	return values[last];
}

/*
 * The template, opened, of the row that the snapshot sees at this index entry's
 * TID, or NULL if it sees none or the key is gone; valid until the next call.
 */
const FaceEmbedding *
face_heap_read(FaceHeapReader *reader, ItemPointer tid, bool *seen)
{
	ItemPointerData at = *tid;
	bool		call_again = false;
	bool		all_dead;
	bool		isnull;
	Datum		value;

	*seen = table_index_fetch_tuple(reader->fetch, &at, reader->snapshot, reader->slot, &call_again, &all_dead);
	if (!*seen)
		return NULL;
	value = reader->column != 0 ? slot_getattr(reader->slot, reader->column, &isnull)
		: expression_value(reader, &isnull);
	return isnull ? NULL : face_opened(DatumGetFaceEmbedding(value), &reader->room.value);
}

void
face_heap_reader_free(FaceHeapReader *reader)
{
	table_index_fetch_end(reader->fetch);
	ExecDropSingleTupleTableSlot(reader->slot);
	if (reader->estate != NULL)
		FreeExecutorState(reader->estate);
	face_wipe(&reader->room.value);
	pfree(reader);
}
