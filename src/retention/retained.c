/*-------------------------------------------------------------------------
 *
 * retained.c
 *	  The tables under retention, computing their deadlines again, and the
 *	  receipts and events for deleted rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/kin.h"
#include "base/run.h"
#include "gallery/row_key.h"
#include "retention/deleted.h"
#include "retention/gone.h"
#include "retention/retained.h"

PG_FUNCTION_INFO_V1(facematch_not_held);

static FaceRecompute *recomputing = NULL;

static char *
text_column(HeapTuple row, int column, MemoryContext memory)
{
	char	   *value = SPI_getvalue(row, SPI_tuptable->tupdesc, column);

	return value == NULL ? NULL : MemoryContextStrdup(memory, value);
}

/* In order of their names, so that transactions that go through all of them do it in one order. */
List *
face_retained_tables(void)
{
	static FacePlan read = {
		"SELECT t.table_name::pg_catalog.oid, t.what, t.key_column, t.class_column, t.subject_column, t.template_column,"
		" t.gallery_column, t.recorded_column, t.verified_column, t.anchor_column, t.keeps_row FROM facematch_internal.retained t"
		" WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) t.table_name)"
		" ORDER BY t.table_name::pg_catalog.oid", 0, {0}, NULL
	};
	MemoryContext memory = CurrentMemoryContext;
	List	   *tables = NIL;

	SPI_connect();
	face_run_plan(&read, NULL, face_owner(face_table("retained")));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		MemoryContext spi_memory = MemoryContextSwitchTo(memory);
		FaceRetained *table = palloc0(sizeof(FaceRetained));
		bool		isnull;

		table->relid = DatumGetObjectId(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		table->what = text_column(row, 2, memory);
		table->key = text_column(row, 3, memory);
		table->class = text_column(row, 4, memory);
		table->subject = text_column(row, 5, memory);
		table->template = text_column(row, 6, memory);
		table->gallery = text_column(row, 7, memory);
		table->recorded = text_column(row, 8, memory);
		table->verified = text_column(row, 9, memory);
		table->anchor = text_column(row, 10, memory);
		table->keeps_row = DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 11, &isnull));
		tables = lappend(tables, table);
		MemoryContextSwitchTo(spi_memory);
	}
	SPI_finish();
	return tables;
}

/* The table under retention among relations, such as a partition and what it is one of; NULL: none is. */
const FaceRetained *
face_retained_among(List *relids)
{
	ListCell   *cell;

	foreach(cell, face_retained_tables())
	{
		const FaceRetained *table = lfirst(cell);

		if (list_member_oid(relids, table->relid))
			return table;
	}
	return NULL;
}

/* Copies an SPI result's only row's array out of SPI. */
static Datum
result_array(int column)
{
	bool		isnull;
	Datum		value = face_result(column, &isnull);

	Assert(!isnull);
	return SPI_datumTransfer(value, false, -1);
}

/* A relation and what it is a partition of, as oid[]: holds name the table under retention. */
static Datum
line_array(Oid relid)
{
	List	   *line = face_line(relid);
	Datum	   *oids = palloc(sizeof(Datum) * list_length(line));

	for (int i = 0; i < list_length(line); i++)
		oids[i] = ObjectIdGetDatum(list_nth_oid(line, i));
	return PointerGetDatum(construct_array(oids, list_length(line), OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

/* Holds h in force, and q, the other subjects of the person whom one names. */
#define HOLDS_IN_FORCE \
	" FROM facematch.hold h" \
	" LEFT JOIN (facematch_internal.person p JOIN facematch_internal.person q ON q.person_id OPERATOR(pg_catalog.=) p.person_id)" \
	" ON p.subject_id OPERATOR(pg_catalog.=) h.subject_id WHERE h.released_at IS NULL" \
	" AND (h.until IS NULL OR h.until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp())"

FaceKept
face_kept_by_holds(Oid relid)
{
	Oid			type = OIDARRAYOID;
	Datum		value = line_array(relid);
	FaceKept	kept;

	SPI_connect();
	face_run("SELECT COALESCE(pg_catalog.array_agg(h.row_id) FILTER (WHERE h.table_name OPERATOR(pg_catalog.=) ANY ($1)), '{}'),"
			 " COALESCE(pg_catalog.array_agg(COALESCE(q.subject_id, h.subject_id)) FILTER (WHERE h.subject_id IS NOT NULL), '{}')"
			 HOLDS_IN_FORCE, 1, &type, &value, face_owner(face_table("hold")));
	kept.rows = result_array(1);
	kept.subjects = result_array(2);
	SPI_finish();
	return kept;
}

/* Whether a hold names one of these rows of a table, by their keys and galleries, text[], or by their subjects, uuid[]. */
bool
face_holds_name(Oid relid, Datum keys, Datum galleries, Datum subjects)
{
	Oid			types[] = {OIDARRAYOID, TEXTARRAYOID, OIDOID, TEXTARRAYOID, UUIDARRAYOID};
	Datum		values[] = {line_array(relid), keys, ObjectIdGetDatum(face_table("gallery")), galleries, subjects};
	bool		named;

	SPI_connect();
	named = face_run("SELECT" HOLDS_IN_FORCE
					 " AND (h.table_name OPERATOR(pg_catalog.=) ANY ($1) AND h.row_id OPERATOR(pg_catalog.=) ANY ($2)"
					 " OR h.table_name OPERATOR(pg_catalog.=) $3 AND h.row_id OPERATOR(pg_catalog.=) ANY ($4)"
					 " OR COALESCE(q.subject_id, h.subject_id) OPERATOR(pg_catalog.=) ANY ($5)) LIMIT 1",
					 lengthof(types), types, values, face_owner(face_table("hold"))) > 0;
	SPI_finish();
	return named;
}

/* The galleries that holds name, as a bigint[] that SQL reads; NULL: none. */
static char *
held_galleries(void)
{
	Oid			type = OIDOID;
	Datum		gallery = ObjectIdGetDatum(face_table("gallery"));
	MemoryContext caller = CurrentMemoryContext;
	char	   *found = NULL;

	SPI_connect();
	face_run("SELECT pg_catalog.array_agg(h.row_id)::pg_catalog.text FROM facematch.hold h"
			 " WHERE h.table_name OPERATOR(pg_catalog.=) $1 AND h.released_at IS NULL"
			 " AND (h.until IS NULL OR h.until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp())",
			 1, &type, &gallery, face_owner(face_table("hold")));
	found = text_column(SPI_tuptable->vals[0], 1, caller);
	SPI_finish();
	return found == NULL ? NULL : psprintf("%s::pg_catalog.int8[]", quote_literal_cstr(found));
}

/* The condition that no hold names a row, with the two arrays as parameters numbered from "first". */
char *
face_not_held(const FaceRetained *table, const char *alias, int first)
{
	char	   *galleries = table->gallery == NULL ? NULL : held_galleries();
	char	   *by_row = psprintf("%s.%s::pg_catalog.text OPERATOR(pg_catalog.<>) ALL ($%d)", alias,
								  face_column(table->relid, table->key), first);
	const char *subject;

	if (galleries != NULL)
		by_row = psprintf("%s AND (%s.%s OPERATOR(pg_catalog.<>) ALL (%s)) IS NOT FALSE", by_row, alias,
						  face_column(table->relid, table->gallery), galleries);
	if (table->subject == NULL)
		return psprintf("%s AND $%d IS NOT NULL", by_row, first + 1);
	subject = face_column(table->relid, table->subject);
	return psprintf("%s AND (%s.%s IS NULL OR %s.%s OPERATOR(pg_catalog.<>) ALL ($%d))", by_row, alias, subject, alias, subject, first + 1);
}

/* not_held(table regclass): the same, for queries of facematch_internal.ask_table() that call a row "d" */
Datum
facematch_not_held(PG_FUNCTION_ARGS)
{
	const FaceRetained *table = face_retained_among(list_make1_oid(PG_GETARG_OID(0)));

	if (table == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(" AND %s", face_not_held(table, "d", 2))));
}

/*
 * Fires what the purge's statements on rows of a table, or of one part of it, have deferred to the commit:
 * there, an error would be that of everything, and not only of this table. Of an
 * owner who is no superuser nothing is deferred (gate.c). For a transaction of the
 * purge's own: SET CONSTRAINTS fires all that is pending under a name, so in another
 * one it would run what the caller has left, even a namesake of his. A name that
 * something has which is not deferrable is left to the commit.
 */
void
face_fire_deferred(Oid table, Oid part)
{
	static FacePlan deferred = {
		"SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%I.%I', n.nspname, d.name), ', ')"
		" FROM facematch_internal.deferred_triggers($1, true) d JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.relation"
		" JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
		" WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint x WHERE x.conname OPERATOR(pg_catalog.=) d.name"
		" AND x.connamespace OPERATOR(pg_catalog.=) n.oid AND NOT x.condeferrable)"
		/* Of most databases only the extension's own is deferred, which is quickly known. */
		" AND EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) g.tgfoid"
		" WHERE g.tgdeferrable AND g.tginitdeferred AND p.pronamespace OPERATOR(pg_catalog.<>) ALL"
		" (ARRAY['facematch'::pg_catalog.regnamespace, 'facematch_internal'::pg_catalog.regnamespace]::pg_catalog.oid[]))", 1, {REGCLASSOID}, NULL
	};
	Datum		value = ObjectIdGetDatum(table);
	char	   *names;

	if (!superuser_arg(face_acts_as(part, NULL)))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	face_run_plan(&deferred, &value, face_owner(face_table("retained")));
	names = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (names != NULL)
	{
		face_run_on(part, psprintf("SET CONSTRAINTS %s IMMEDIATE", names), 0, NULL, NULL);
		face_run_on(part, psprintf("SET CONSTRAINTS %s DEFERRED", names), 0, NULL, NULL);
	}
	SPI_finish();
	PopActiveSnapshot();
}

/* Keeps writers, not readers, out of a table whose rules change, and of its partitions: rows may be on their way into them directly. */
void
face_lock_for_rules(const FaceRetained *table)
{
	LockRelationOid(table->relid, ShareRowExclusiveLock);
	(void) face_with_heirs(table->relid, ShareRowExclusiveLock);
}

/*
 * Lets the guard compute the deadlines of a table's rows again, those with a
 * value in a column.  The guard changes what the reason given allows, and
 * leaves rows alone whose deadline stays.
 */
void
face_recompute_rows(const FaceRetained *table, FaceRecompute *why, const char *column, Oid type, Datum value)
{
	char	   *sql = psprintf("UPDATE %s SET purge_after = purge_after WHERE %s OPERATOR(pg_catalog.=) $1",
							   face_qualified_name(table->relid), face_column(table->relid, column));
	FaceRecompute *outer = recomputing;

	why->relid = table->relid;
	recomputing = why;
	PG_TRY();
	{
		SPI_connect();
		face_run_on(table->relid, sql, 1, &type, &value);
		SPI_finish();
		face_write_gone(table->relid);
	}
	PG_FINALLY();
	{
		recomputing = outer;
	}
	PG_END_TRY();
}

/* Why deadlines of this table are being computed again, or NULL. */
const FaceRecompute *
face_recomputing(Oid relid, List *ancestors)
{
	if (recomputing == NULL)
		return NULL;
	if (recomputing->relid == relid || list_member_oid(ancestors, recomputing->relid))
		return recomputing;
	return NULL;
}

void
face_count_recomputed(bool farther)
{
	if (farther)
		recomputing->farther++;
	else
		recomputing->nearer++;
}

/*
 * Which relation it was is noted beside the receipt, for its name may become another's; and whose rows they were, where
 * they were anybody's (deleted.c).
 */
void
face_write_receipt(const char *cause, Oid relid, const char *class, uint64 rows, uint64 held,
				   TimestampTz earliest, TimestampTz latest, ArrayType *subjects)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[] = {
		CStringGetTextDatum(cause), CStringGetTextDatum(face_qualified_name(relid)), CStringGetTextDatum(class == NULL ? "" : class),
		Int64GetDatum((int64) rows), Int64GetDatum((int64) held), TimestampTzGetDatum(earliest), TimestampTzGetDatum(latest)
	};
	Oid			relation_type = REGCLASSOID;
	Datum		relation = ObjectIdGetDatum(relid);

	SPI_connect();
	face_run("SELECT facematch_internal.write_receipt($1, $2, $3, $4, $5, $6, $7)", lengthof(types), types, values,
			 face_owner(face_table("purge_receipt")));
	face_run("INSERT INTO facematch_internal.receipt_relation (receipt_id, relation, is_part)"
			 " SELECT pg_catalog.currval('facematch.purge_receipt_receipt_id_seq'::pg_catalog.regclass), r.relation, r.is_part"
			 " FROM (SELECT $1, false UNION ALL SELECT h.relation, true FROM facematch_internal.with_heirs($1) h"
			 " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) h.relation AND c.relkind OPERATOR(pg_catalog.=) 'r'"
			 " WHERE h.relation OPERATOR(pg_catalog.<>) $1) r (relation, is_part)",
			 1, &relation_type, &relation, face_owner(face_table("purge_receipt")));
	if (subjects != NULL)
		face_write_receipt_persons(subjects);
	face_write_receipt_keys(relid, class);
	SPI_finish();
}

/* One event of the audit log; detail is a JSON object. */
void
face_write_audit(const char *action, char *detail)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(action), CStringGetTextDatum(detail)};

	SPI_connect();
	face_run("SELECT facematch_internal.write_audit($1, $2::pg_catalog.jsonb)", lengthof(types), types, values,
			 face_owner(face_table("audit_event")));
	SPI_finish();
}
