/*-------------------------------------------------------------------------
 *
 * purge_rows.c
 *	  The statement by which the purge deletes due rows, and their receipts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/refusal.h"
#include "base/run.h"
#include "retention/gone.h"
#include "retention/purge_rows.h"

/*
 * A gallery goes when its last reference has gone, held ones included; and not
 * while somebody has an assignment of it locked, which goes along with it.
 */
static const char *
only_when_free(const FaceRetained *table)
{
	if (strcmp(table->what, "gallery") != 0)
		return "";
	return " AND NOT EXISTS (SELECT FROM facematch.reference r WHERE r.gallery_id OPERATOR(pg_catalog.=) t.gallery_id)"
		" AND (SELECT pg_catalog.count(*) FROM facematch.partner_gallery p WHERE p.gallery_id OPERATOR(pg_catalog.=) t.gallery_id) OPERATOR(pg_catalog.=)"
		" (SELECT pg_catalog.count(*) FROM (SELECT FROM facematch.partner_gallery p WHERE p.gallery_id OPERATOR(pg_catalog.=) t.gallery_id"
		" FOR UPDATE SKIP LOCKED) l)";
}

static void
write_receipt(const FaceRetained *table, const char *class, uint64 rows, TimestampTz earliest, TimestampTz latest, ArrayType *subjects,
			  FacePurgeErasure *erasure)
{
	face_write_receipt("retention", table->relid, class, rows, 0, earliest, latest, subjects);
	if (erasure != NULL)
		face_note_receipt(erasure);
}

static ArrayBuildState *
add_all(ArrayBuildState *to, ArrayType *subjects)
{
	Datum	   *values;
	int			count;

	deconstruct_array(subjects, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &values, NULL, &count);
	for (int i = 0; i < count; i++)
		to = accumArrayResult(to, values[i], false, UUIDOID, CurrentMemoryContext);
	return to;
}

/* Receipts for what went, by class; one for all classes that no rule names. */
static void
write_receipts(const FaceRetained *table, uint64 groups, FacePurgeErasure *erasure)
{
	SPITupleTable *result = SPI_tuptable;
	ArrayBuildState *unnamed_subjects = NULL;
	uint64		unnamed = 0;
	TimestampTz first = DT_NOEND;
	TimestampTz last = DT_NOBEGIN;

	for (uint64 i = 0; i < groups; i++)
	{
		HeapTuple	row = result->vals[i];
		bool		isnull;
		Datum		class = SPI_getbinval(row, result->tupdesc, FACE_DELETED_CLASS, &isnull);
		const char *told = isnull ? "" : face_class_told(table->what, class);
		uint64		rows = (uint64) DatumGetInt64(SPI_getbinval(row, result->tupdesc, FACE_DELETED_ROWS, &isnull));
		TimestampTz earliest = DatumGetTimestampTz(SPI_getbinval(row, result->tupdesc, FACE_DELETED_SUBJECTS + 1, &isnull));
		TimestampTz latest = DatumGetTimestampTz(SPI_getbinval(row, result->tupdesc, FACE_DELETED_SUBJECTS + 2, &isnull));
		Datum		subjects = SPI_getbinval(row, result->tupdesc, FACE_DELETED_SUBJECTS, &isnull);

		if (told[0] != '\0')
		{
			write_receipt(table, told, rows, earliest, latest, isnull ? NULL : DatumGetArrayTypeP(subjects), erasure);
			continue;
		}
		unnamed += rows;
		first = Min(first, earliest);
		last = Max(last, latest);
		if (!isnull)
			unnamed_subjects = add_all(unnamed_subjects, DatumGetArrayTypeP(subjects));
	}
	if (unnamed > 0)
		write_receipt(table, "", unnamed, first, last, unnamed_subjects == NULL ? NULL :
					  DatumGetArrayTypeP(makeArrayResult(unnamed_subjects, CurrentMemoryContext)), erasure);
}

/* What the statement gives beside that, to look at holds once more: text[] keys, and text[] galleries. */
enum
{
	PURGED_KEYS = FACE_DELETED_SUBJECTS + 3,
	PURGED_GALLERIES
};

/*
 * A user's code ran while rows of his table were deleted, for as long as it liked, so holds could be placed meanwhile.  Only now are
 * they locked, until the commit: a hold that names a row that has gone undoes the batch.  Those that stood were seen by the guard.
 */
static void
check_holds(const FaceRetained *table, uint64 groups)
{
	SPITupleTable *result = SPI_tuptable;

	LockRelationOid(face_table("hold"), ShareLock);
	for (uint64 i = 0; i < groups; i++)
	{
		HeapTuple	row = result->vals[i];
		bool		no_keys;
		bool		no_galleries;
		bool		no_subjects;
		Datum		keys = SPI_getbinval(row, result->tupdesc, PURGED_KEYS, &no_keys);
		Datum		galleries = SPI_getbinval(row, result->tupdesc, PURGED_GALLERIES, &no_galleries);
		Datum		subjects = SPI_getbinval(row, result->tupdesc, FACE_DELETED_SUBJECTS, &no_subjects);
		Datum		no_text = PointerGetDatum(construct_empty_array(TEXTOID));
		Datum		no_uuid = PointerGetDatum(construct_empty_array(UUIDOID));

		if (face_holds_name(table->relid, no_keys ? no_text : keys, no_galleries ? no_text : galleries, no_subjects ? no_uuid : subjects))
			ereport(ERROR,
					(errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION), face_refusal("row_is_not_held"),
					 errmsg("a hold was placed on rows while they were being deleted"),
					 errhint("The next purge leaves them, and takes the others.")));
	}
}

/* More rows at once would not go into an array of their subjects. */
#define MOST_AT_ONCE	1000000

/* How statements name the rows of one table that is not partitioned, and a condition on rows "t". */
typedef struct Target
{
	Oid			relid;			/* whose rights they need */
	char	   *name;
	char	   *condition;
} Target;

/* Where a partition is not his whose code may run there, it is reached through the table, whose owner needs no right on the partition. */
static Target
target(const FaceRetained *table, Oid part)
{
	Target		found = {part, psprintf("ONLY %s", face_qualified_name(part)), ""};

	if (face_acts_as(part, NULL) != face_owner(part) && part != table->relid)
	{
		found.relid = table->relid;
		found.name = face_qualified_name(table->relid);
		found.condition = psprintf(" AND t.tableoid OPERATOR(pg_catalog.=) %u", part);
	}
	return found;
}

/*
 * Deletes up to "batch" due rows of one table that is not partitioned, the
 * longest due first; rows that another purge is at are left to it.  Returns how
 * many went.
 */
uint64
face_purge_some(const FaceRetained *table, Oid leaf, int32 batch, FacePurgeErasure *erasure)
{
	Oid			types[4] = {INT4OID, TEXTARRAYOID, UUIDARRAYOID, TIMESTAMPTZOID};
	Datum		values[4];
	Target		in = target(table, leaf);
	bool		own = face_is_own(table->relid);
	FaceKept	kept;
	uint64		rows;
	char	   *sql;

	/* Nobody can hold a row between this look at the holds and the end of the transaction; where a user's code runs, it is looked again. */
	if (own)
		LockRelationOid(face_table("hold"), ShareLock);
	PushActiveSnapshot(GetTransactionSnapshot());
	kept = face_kept_by_holds(table->relid);
	values[0] = Int32GetDatum(Min(batch, MOST_AT_ONCE));
	values[1] = kept.rows;
	values[2] = kept.subjects;
	values[3] = TimestampTzGetDatum(GetCurrentTimestamp());
	sql = psprintf("WITH gone AS (DELETE FROM %s t WHERE t.ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
				   "SELECT t.ctid FROM %s t WHERE t.purge_after OPERATOR(pg_catalog.<=) $4 AND %s%s%s"
				   " ORDER BY t.purge_after LIMIT $1 FOR UPDATE OF t SKIP LOCKED))%s"
				   " RETURNING t.%s::pg_catalog.text AS class, t.purge_after::pg_catalog.timestamptz AS purge_after, %s AS subject,"
				   " %s AS key, %s AS gallery)"
				   " SELECT g.class, pg_catalog.count(*), pg_catalog.array_agg(g.subject) FILTER (WHERE g.subject IS NOT NULL),"
				   " pg_catalog.min(g.purge_after), pg_catalog.max(g.purge_after), pg_catalog.array_agg(g.key),"
				   " pg_catalog.array_agg(DISTINCT g.gallery)"
				   " FROM gone g GROUP BY g.class ORDER BY g.class COLLATE pg_catalog.\"C\"",
				   in.name, in.name, face_not_held(table, "t", 2), only_when_free(table), in.condition, in.condition,
				   face_column(leaf, table->class),
				   table->subject == NULL ? "NULL::pg_catalog.uuid" : psprintf("t.%s::pg_catalog.uuid", face_column(leaf, table->subject)),
				   own ? "NULL::pg_catalog.text" : psprintf("t.%s::pg_catalog.text", face_column(leaf, table->key)),
				   own || table->gallery == NULL ? "NULL::pg_catalog.text" :
				   psprintf("t.%s::pg_catalog.text", face_column(leaf, table->gallery)));
	SPI_connect();
	rows = face_run_deletion(NULL, table->relid, in.relid, sql, lengthof(types), types, values);
	if (!own && rows > 0)
		check_holds(table, SPI_processed);
	write_receipts(table, SPI_processed, erasure);
	SPI_finish();
	face_write_gone(table->relid);
	PopActiveSnapshot();
	return rows;
}

/* How many rows are due now: a trigger of a user's that puts back what goes keeps no purge from ending. */
uint64
face_count_due(const FaceRetained *table, Oid part)
{
	Target		in = target(table, part);
	uint64		due;

	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	face_run_on(in.relid, psprintf("SELECT pg_catalog.count(*) FROM %s t WHERE t.purge_after OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()%s",
								   in.name, in.condition), 0, NULL, NULL);
	due = (uint64) DatumGetInt64(face_result(1, NULL));
	SPI_finish();
	PopActiveSnapshot();
	return due;
}
