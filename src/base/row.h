/*-------------------------------------------------------------------------
 *
 * row.h
 *	  A row before a trigger, taken apart once for all that is asked of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_ROW_H
#define FACEMATCH_BASE_ROW_H

#include "postgres.h"

#include "access/htup_details.h"
#include "datatype/timestamp.h"
#include "utils/rel.h"
#include "utils/uuid.h"

typedef struct FaceRow
{
	Relation	rel;
	HeapTuple	tuple;
	Datum	   *values;			/* by column number - 1 */
	bool	   *nulls;
} FaceRow;

/* Column number 0 is one that the table has not: NULL in every row. */
static inline bool
face_row_null(const FaceRow *row, AttrNumber column)
{
	return column == 0 || row->nulls[column - 1];
}

extern void face_row_room(FaceRow *row, Relation rel);
extern void face_row_read(FaceRow *row, Relation rel, HeapTuple tuple);
extern TimestampTz face_row_time(const FaceRow *row, AttrNumber column);
extern int64 face_row_number(const FaceRow *row, AttrNumber column);
extern const pg_uuid_t *face_row_uuid(const FaceRow *row, AttrNumber column);
extern bool face_row_differs(const FaceRow *was, const FaceRow *row, AttrNumber column);
extern void face_row_set(FaceRow *row, AttrNumber column, Datum value);
extern HeapTuple face_row_tuple(const FaceRow *row);
extern Datum face_named_value(Relation rel, HeapTuple row, const char *column, bool *isnull);

#endif							/* FACEMATCH_BASE_ROW_H */
