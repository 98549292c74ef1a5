/*-------------------------------------------------------------------------
 *
 * late.c
 *	  Rows that are stored longer than their rule says.
 *
 * The guard computes deadlines when a row is written or its facts change. A
 * deadline can be later than the rules give if the guard did not run (a partition
 * that was attached with rows, a trigger that was disabled), or got wrong facts (a
 * clock that was ahead). This file applies the rules again, row by row, as fast as
 * the table can be read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "base/attempt.h"
#include "base/kin.h"
#include "base/run.h"
#include "base/refusal.h"
#include "gallery/gallery.h"
#include "retention/retained.h"
#include "retention/rules.h"

PG_FUNCTION_INFO_V1(facematch_late_rows);

/* Columns of the query. */
enum
{
	LATE_KEY, LATE_CLASS, LATE_RECORDED, LATE_VERIFIED, LATE_ANCHOR, LATE_GALLERY, LATE_SUBJECT, LATE_PURGE_AFTER, LATE_COLUMNS
};

/* A row of it, taken apart once. */
typedef struct LateRow
{
	Datum		values[LATE_COLUMNS];
	bool		nulls[LATE_COLUMNS];
} LateRow;

typedef struct Late
{
	const FaceRetained *table;
	TimestampTz now;
	ReturnSetInfo *result;
	HTAB	   *galleries;		/* FaceGallery by gallery_id: rows of one gallery come together, but not always */
} Late;

static const FaceGallery *
gallery_of(Late *late, int64 gallery_id)
{
	FaceGallery *known = hash_search(late->galleries, &gallery_id, HASH_FIND, NULL);

	if (known == NULL)
	{
		FaceGallery found = *face_gallery(gallery_id, false);

		known = hash_search(late->galleries, &gallery_id, HASH_ENTER, NULL);
		*known = found;
	}
	return known;
}

static TimestampTz
time_of(const LateRow *row, int column)
{
	return row->nulls[column] ? DT_NOEND : DatumGetTimestampTz(row->values[column]);
}

static FaceFacts
facts_of(Late *late, const LateRow *row)
{
	return face_facts(time_of(row, LATE_RECORDED), time_of(row, LATE_VERIFIED), time_of(row, LATE_ANCHOR),
					  row->nulls[LATE_GALLERY] ? NULL : gallery_of(late, DatumGetInt64(row->values[LATE_GALLERY])),
					  row->nulls[LATE_SUBJECT] ? NULL : DatumGetUUIDP(row->values[LATE_SUBJECT]), late->now);
}

/*
 * The guard lets such a time in only with a deadline from a dump, or where a partition
 * depends on it.  With it, a deadline would never be late: what it is compared with
 * moves along with the clock.
 */
static bool
is_ahead(const Late *late, const LateRow *row, int column)
{
	return !row->nulls[column] && time_of(row, column) > late->now && time_of(row, column) > GetCurrentTimestamp();
}

static void
look_at(HeapTuple tuple, TupleDesc desc, void *state)
{
	Late	   *late = state;
	LateRow		row;
	TimestampTz kept_until;
	FaceFacts	facts;
	FaceDue		due = {.due = DT_NOEND};
	bool		endless;
	char	   *key;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	heap_deform_tuple(tuple, desc, row.values, row.nulls);
	kept_until = time_of(&row, LATE_PURGE_AFTER);
	facts = facts_of(late, &row);
	/* A gallery that is for no event, such as a watchlist, has no end by right. */
	endless = TIMESTAMP_IS_NOEND(kept_until) && strcmp(late->table->what, "gallery") != 0;
	if (!row.nulls[LATE_CLASS])
		due = face_due(face_rule_set(late->table->what, DatumGetTextPP(row.values[LATE_CLASS])), &facts, NULL);
	if (due.rule != NULL && due.due >= kept_until && !endless && !is_ahead(late, &row, LATE_RECORDED) && !is_ahead(late, &row, LATE_VERIFIED))
		return;
	key = SPI_getvalue(tuple, desc, LATE_KEY + 1);
	nulls[0] = key == NULL;
	values[0] = nulls[0] ? (Datum) 0 : CStringGetTextDatum(key);
	values[1] = TimestampTzGetDatum(due.due);
	nulls[1] = due.rule == NULL;
	tuplestore_putvalues(late->result->setResult, late->result->setDesc, values, nulls);
}

static char *
column_or_null(const FaceRetained *table, const char *column, const char *type)
{
	return column == NULL ? psprintf("NULL::pg_catalog.%s", type) :
		psprintf("d.%s::pg_catalog.%s", face_column(table->relid, column), type);
}

/* The table's rows, or those of a partition that statements about the table pass over. */
static void
look_into(Late *late, Oid relid)
{
	const FaceRetained *table = late->table;
	Oid			type = TIMESTAMPTZOID;
	Datum		now = TimestampTzGetDatum(late->now);

	/* Hardly any row is late: keys become text only then. */
	face_scan_on(relid, psprintf("SELECT d.%s, %s, %s, %s, %s, %s, %s, d.purge_after::pg_catalog.timestamptz FROM %s d"
								 " WHERE d.purge_after OPERATOR(pg_catalog.>) $1",
								 face_column(relid, table->key), column_or_null(table, table->class, "text"),
								 column_or_null(table, table->recorded, "timestamptz"),
								 column_or_null(table, table->verified, "timestamptz"),
								 column_or_null(table, table->anchor, "timestamptz"),
								 column_or_null(table, table->gallery, "int8"),
								 column_or_null(table, table->subject, "uuid"), face_qualified_name(relid)),
				 1, &type, &now, look_at, late);
}

static void
look(void *state)
{
	Late	   *late = state;
	ListCell   *cell;

	SPI_connect();
	foreach(cell, face_with_half_detached(late->table->relid))
		look_into(late, lfirst_oid(cell));
	SPI_finish();
}

static const FaceRetained *
retained(Oid relid)
{
	const FaceRetained *table;

	if (!has_privs_of_role(GetUserId(), face_owner(relid)))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	table = face_retained_among(list_make1_oid(relid));
	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("table_is_retained"),
				 errmsg("table %s is not under retention", face_qualified_name(relid)),
				 errhint("facematch.retain() attaches a table.")));
	return table;
}

/* late_rows(table regclass): the keys of these rows, and when they should go; infinity: a rule without an end keeps them */
Datum
facematch_late_rows(PG_FUNCTION_ARGS)
{
	HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(FaceGallery), .hcxt = CurrentMemoryContext};
	Late		late = {.now = GetCurrentTimestamp(), .result = (ReturnSetInfo *) fcinfo->resultinfo};

	late.table = retained(PG_GETARG_OID(0));
	late.galleries = hash_create("facematch galleries of late rows", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	InitMaterializedSRF(fcinfo, 0);
	if (face_is_own(late.table->relid))
		look(&late);
	else
		face_limited(late.table->relid, face_table_until(1), look, &late);
	return (Datum) 0;
}
