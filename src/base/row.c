/*-------------------------------------------------------------------------
 *
 * row.c
 *	  A row in a trigger, with its columns extracted once.
 *
 * A template is a kilobyte in the middle of its row. Finding the columns after it
 * again for each question, and copying the row to change one of them, cost more
 * than the guard's own work.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#include "base/row.h"

/* Room for rows of a table, in the current memory context. */
void
face_row_room(FaceRow *row, Relation rel)
{
	int			columns = RelationGetNumberOfAttributes(rel);

	row->values = palloc(sizeof(Datum) * Max(columns, 1));
	row->nulls = palloc(sizeof(bool) * Max(columns, 1));
}

/* Values point into the tuple. */
void
face_row_read(FaceRow *row, Relation rel, HeapTuple tuple)
{
	row->rel = rel;
	row->tuple = tuple;
	heap_deform_tuple(tuple, RelationGetDescr(rel), row->values, row->nulls);
}

/* DT_NOEND for NULL. */
TimestampTz
face_row_time(const FaceRow *row, AttrNumber column)
{
	return face_row_null(row, column) ? DT_NOEND : DatumGetTimestampTz(row->values[column - 1]);
}

/* 0 for NULL. */
int64
face_row_number(const FaceRow *row, AttrNumber column)
{
	return face_row_null(row, column) ? 0 : DatumGetInt64(row->values[column - 1]);
}

/* NULL for NULL. */
const pg_uuid_t *
face_row_uuid(const FaceRow *row, AttrNumber column)
{
	return face_row_null(row, column) ? NULL : DatumGetUUIDP(row->values[column - 1]);
}

/* Whether a column changed; one that is written again with equal bytes did not. */
bool
face_row_differs(const FaceRow *was, const FaceRow *row, AttrNumber column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(row->rel), column - 1);

	if (was->nulls[column - 1] || row->nulls[column - 1])
		return was->nulls[column - 1] != row->nulls[column - 1];
	return !datumIsEqual(was->values[column - 1], row->values[column - 1], attribute->attbyval, attribute->attlen);
}

void
face_row_set(FaceRow *row, AttrNumber column, Datum value)
{
	row->values[column - 1] = value;
	row->nulls[column - 1] = false;
}

/* The row as it now reads. */
HeapTuple
face_row_tuple(const FaceRow *row)
{
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(row->rel), row->values, row->nulls);

	tuple->t_self = row->tuple->t_self;
	tuple->t_tableOid = row->tuple->t_tableOid;
	tuple->t_data->t_ctid = row->tuple->t_data->t_ctid;
	return tuple;
}

/* A column of a row of the extension's own, by its name. */
Datum
face_named_value(Relation rel, HeapTuple row, const char *column, bool *isnull)
{
	int			attnum = SPI_fnumber(RelationGetDescr(rel), column);

	if (attnum <= 0)
		elog(ERROR, "table \"%s\" has no column \"%s\"", RelationGetRelationName(rel), column);
	return SPI_getbinval(row, RelationGetDescr(rel), attnum, isnull);
}
