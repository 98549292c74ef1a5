/*-------------------------------------------------------------------------
 *
 * opt_out.c
 *	  Deletes the rows of a subject who opts out.
 *
 * Held rows stay: they become due, which excludes them from every search, and the
 * purge skips them. Rows that a user's table refuses to delete are recorded
 * (unreached.c): they match nobody from then on, and the purge tries again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/attempt.h"
#include "base/kin.h"
#include "base/row.h"
#include "base/run.h"
#include "retention/declined.h"
#include "retention/facts.h"
#include "retention/gone.h"
#include "retention/opt_out.h"
#include "retention/person.h"
#include "retention/unreached.h"

/*
 * Where the law does not give an opt-out: of which class, for what, recorded from when until when.  The law changes only at the
 * dates of its rules, so it is asked once for each of them.
 */
static const char not_given[] =
"SELECT COALESCE(pg_catalog.array_agg(s.class), '{}'), COALESCE(pg_catalog.array_agg(s.purpose), '{}'),"
" COALESCE(pg_catalog.array_agg(s.since), '{}'), COALESCE(pg_catalog.array_agg(s.until), '{}') FROM ("
"SELECT c.name AS class, p.name AS purpose, d.at AS since,"
" pg_catalog.lead(d.at, 1, 'infinity') OVER (PARTITION BY c.name, p.name ORDER BY d.at) AS until,"
" facematch_internal.law_gives(o, c.name, p.name, d.at) AS given"
" FROM facematch.opt_out o CROSS JOIN pg_catalog.unnest($2) c (name)"
" CROSS JOIN (SELECT k.name FROM facematch.gallery_kind k UNION SELECT t.what FROM facematch_internal.retained t UNION SELECT NULL) p"
" CROSS JOIN (SELECT '-infinity'::pg_catalog.timestamptz AS at UNION SELECT r.valid_from FROM facematch.decline_rule r"
" UNION SELECT r.valid_to FROM facematch.decline_rule r) d"
" WHERE o.opt_out_id OPERATOR(pg_catalog.=) $1) s WHERE NOT s.given";

#define NOT_GIVEN_ARRAYS	4

static void
read_not_given(const FaceOptOut *opt_out, Datum classes, Datum *arrays)
{
	static FacePlan plan = {not_given, 2, {INT8OID, TEXTARRAYOID}};
	Datum		values[2] = {opt_out->opt_out_id, classes};

	SPI_connect();
	face_run_plan(&plan, values, face_owner(face_table("opt_out")));
	for (int i = 0; i < NOT_GIVEN_ARRAYS; i++)
		arrays[i] = SPI_datumTransfer(face_result(i + 1, NULL), false, -1);
	SPI_finish();
}

/* What a row's template is for: its gallery's kind in the extension's own tables, the table's word in a user's. */
static char *
purpose_of(const FaceRetained *table)
{
	if (!face_is_own(table->relid))
		return quote_literal_cstr(table->what);
	if (table->gallery == NULL)
		return pstrdup("NULL::pg_catalog.text");
	return psprintf("(SELECT g.kind FROM facematch.gallery g WHERE g.gallery_id OPERATOR(pg_catalog.=) t.%s)",
					face_column(table->relid, table->gallery));
}

/* The rows that an opt-out is about: parameters $1 the person's subjects, $2 gallery, which is never NULL but may not matter. */
static char *
of_subject(const FaceOptOut *opt_out)
{
	const FaceRetained *table = opt_out->table;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "t.%s OPERATOR(pg_catalog.=) ANY ($1)", face_column(table->relid, table->subject));
	if (opt_out->one_gallery)
		appendStringInfo(&sql, " AND t.%s OPERATOR(pg_catalog.=) $2", face_column(table->relid, table->gallery));
	else
		appendStringInfoString(&sql, " AND $2 IS NOT NULL");
	if (table->template != NULL)
		appendStringInfo(&sql, " AND t.%s IS NOT NULL", face_column(table->relid, table->template));
	return sql.data;
}

/* Those of them that it may take along: from $5 on where the law does not give it. */
static char *
of_right(const FaceOptOut *opt_out)
{
	const FaceRetained *table = opt_out->table;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "%s AND NOT EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7),"
					 " pg_catalog.unnest($8)) l (class, purpose, since, until) WHERE l.class OPERATOR(pg_catalog.=) t.%s"
					 " AND COALESCE(l.purpose, '') OPERATOR(pg_catalog.=) COALESCE(%s, '') AND t.%s OPERATOR(pg_catalog.>=) l.since"
					 " AND t.%s OPERATOR(pg_catalog.<) l.until)",
					 of_subject(opt_out), face_column(table->relid, table->class), purpose_of(table), face_column(table->relid, table->recorded),
					 face_column(table->relid, table->recorded));
	return sql.data;
}

/* The classes of the rows that an opt-out is about, text[] whatever type the owner gave the column; false: there is no row. */
static bool
classes_of(const FaceOptOut *opt_out, Oid relation, Datum *values, Datum *classes)
{
	Oid			types[2] = {UUIDARRAYOID, INT8OID};
	bool		isnull;

	SPI_connect();
	face_run_on(relation, psprintf("SELECT pg_catalog.array_agg(DISTINCT t.%s::pg_catalog.text) FROM %s t WHERE %s",
								   face_column(opt_out->table->relid, opt_out->table->class), face_qualified_name(relation),
								   of_subject(opt_out)), lengthof(types), types, values);
	*classes = face_result(1, &isnull);
	if (!isnull)
		*classes = SPI_datumTransfer(*classes, false, -1);
	SPI_finish();
	return !isnull;
}

static void
remove_from_relation(const FaceOptOut *opt_out, Oid relation, uint64 *removed, uint64 *held)
{
	const FaceRetained *table = opt_out->table;
	FaceKept	kept = face_kept_by_holds(table->relid);
	Oid			types[4 + NOT_GIVEN_ARRAYS] = {
		UUIDARRAYOID, INT8OID, TEXTARRAYOID, UUIDARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID
	};
	Datum		values[4 + NOT_GIVEN_ARRAYS] = {
		face_alias_array(DatumGetUUIDP(opt_out->subject)), opt_out->gallery_id, kept.rows, kept.subjects
	};
	char	   *name = face_qualified_name(relation);
	char	   *rows = of_right(opt_out);
	char	   *free_rows = psprintf("%s AND %s", rows, face_not_held(table, "t", 3));
	Datum		classes;
	char	   *sql;

	if (!classes_of(opt_out, relation, values, &classes))
		return;
	read_not_given(opt_out, classes, values + 4);
	if (table->keeps_row)
		sql = psprintf("UPDATE %s t SET %s = NULL WHERE %s", name, face_column(table->relid, table->template), free_rows);
	else
		sql = psprintf("WITH gone AS (DELETE FROM %s t WHERE %s RETURNING t.%s::pg_catalog.text AS class, t.%s::pg_catalog.uuid AS subject)"
					   " SELECT g.class, pg_catalog.count(*), pg_catalog.array_agg(g.subject) FROM gone g GROUP BY g.class",
					   name, free_rows, face_column(table->relid, table->class), face_column(table->relid, table->subject));
	SPI_connect();
	*removed += face_run_deletion(NULL, table->relid, relation, sql, lengthof(types), types, values);
	*held += face_run_on(relation,
						 psprintf("UPDATE %s t SET purge_after = pg_catalog.clock_timestamp() WHERE %s"
								  " AND t.purge_after OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() AND NOT (%s)",
								  name, rows, face_not_held(table, "t", 3)), lengthof(types), types, values);
	SPI_finish();
}

/* Whether an opt-out, of one gallery or of all, is about rows of a table. */
bool
face_concerns(const FaceRetained *table, bool one_gallery)
{
	return table->subject != NULL && table->template != NULL && (table->gallery != NULL || !one_gallery);
}

/* Takes the subject's templates out of one table; the state is a FaceOptOut. */
void
face_remove_opted_out(void *state)
{
	const FaceOptOut *opt_out = state;
	const FaceRetained *table = opt_out->table;
	uint64		removed = 0;
	uint64		held = 0;
	ListCell   *cell;

	foreach(cell, face_with_half_detached(table->relid))
		remove_from_relation(opt_out, lfirst_oid(cell), &removed, &held);
	if (removed + held > 0)
		face_write_receipt("opt_out", table->relid, NULL, removed, held, DT_NOBEGIN, DT_NOBEGIN,
						   DatumGetArrayTypeP(face_alias_array(DatumGetUUIDP(opt_out->subject))));
	face_write_gone(table->relid);
}

/* Whether the row says anything today: a dump has opt-outs that were revoked long ago. */
static bool
stands(Relation rel, HeapTuple row)
{
	bool		isnull;
	Datum		until;

	face_named_value(rel, row, "revoked_at", &isnull);
	if (!isnull)
		return false;
	until = face_named_value(rel, row, "until", &isnull);
	return isnull || DatumGetTimestampTz(until) > GetCurrentTimestamp();
}

/* The opt-outs of a subject's person that stand, FaceOptOut *: one for all galleries, or for each. */
List *
face_standing_opt_outs(Datum subject)
{
	Oid			type = UUIDARRAYOID;
	Datum		subjects = face_alias_array(DatumGetUUIDP(subject));
	MemoryContext caller = CurrentMemoryContext;
	List	   *opt_outs = NIL;

	SPI_connect();
	face_run("SELECT o.gallery_id, o.opt_out_id FROM facematch.opt_out o WHERE o.subject_id OPERATOR(pg_catalog.=) ANY ($1) AND o.revoked_at IS NULL"
			 " AND (o.until IS NULL OR o.until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp())",
			 1, &type, &subjects, face_owner(face_table("opt_out")));
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		FaceOptOut *opt_out = palloc0(sizeof(FaceOptOut));
		bool		isnull;

		opt_out->subject = subject;
		opt_out->gallery_id = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		opt_out->one_gallery = !isnull;
		opt_out->opt_out_id = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull);
		opt_outs = lappend(opt_outs, opt_out);
	}
	SPI_finish();
	return opt_outs;
}

/* By each subject of the person: rows are looked at one by one. */
static void
note_unreached(const FaceRetained *table, Datum subject)
{
	ListCell   *cell;

	foreach(cell, face_aliases(DatumGetUUIDP(subject)))
		face_note_unreached(table, FACE_UNREACHED_OPT_OUT,
							DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(lfirst(cell)))));
}

/*
 * No table of a user's keeps anybody from declining, nor does who is adding the subject's templates just now, or has locked or
 * deleted them and does not end, be they in a table of the extension.
 */
static void
opt_out_of_table(FaceOptOut *opt_out, bool locked, int tables_left)
{
	const FaceRetained *table = opt_out->table;

	if (!face_attempt(table->relid, "rid of the subject's templates", face_table_until(tables_left), face_remove_opted_out, opt_out) ||
		!locked)
		note_unreached(table, opt_out->subject);
}

static void
carry_out(FaceOptOut *opt_out, List *tables, bool locked)
{
	ListCell   *cell;

	foreach(cell, tables)
	{
		opt_out->table = lfirst(cell);
		if (face_concerns(opt_out->table, opt_out->one_gallery))
			opt_out_of_table(opt_out, locked, list_length(tables) - foreach_current_index(cell));
	}
}

/* Whatever the subject's person has declined, whichever of the subjects it was said of: after a merge. */
void
face_carry_out_opt_outs(Datum subject)
{
	List	   *tables = face_retained_tables();
	bool		locked = face_lock_subject(subject, list_length(tables) + 1);
	ListCell   *cell;

	face_forget_declined();
	foreach(cell, face_standing_opt_outs(subject))
		carry_out(lfirst(cell), tables, locked);
	if (locked)
		return;
	/* Who kept the lock may be about to decline for one of them. */
	foreach(cell, tables)
	{
		if (face_concerns(lfirst(cell), false))
			note_unreached(lfirst(cell), subject);
	}
}

/* After each opt-out, and each that the law has come to give: the templates of the subject go in the same transaction. */
void
face_opt_out_recorded(const TriggerData *trigger)
{
	FaceOptOut	opt_out;
	Relation	rel;
	HeapTuple	row;
	List	   *tables;
	bool		isnull;
	bool		locked;

	rel = trigger->tg_relation;
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	if (!stands(rel, row))
		return;
	opt_out.subject = face_named_value(rel, row, "subject_id", &isnull);
	opt_out.gallery_id = face_named_value(rel, row, "gallery_id", &isnull);
	opt_out.one_gallery = !isnull;
	opt_out.opt_out_id = face_named_value(rel, row, "opt_out_id", &isnull);

	tables = face_retained_tables();
	locked = face_lock_subject(opt_out.subject, list_length(tables) + 1);
	face_forget_declined();
	carry_out(&opt_out, tables, locked);
}
