/*-------------------------------------------------------------------------
 *
 * removal.c
 *	  Rows that go: at an opt-out, and when they are due.
 *
 * Each statement runs as the owner of the table it empties, so a trigger there
 * has that owner's rights and no more.  Held rows stay: an opt-out makes them
 * due, which takes them from every search, and the purge passes over them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "retention/attempt.h"
#include "retention/declined.h"
#include "retention/erase.h"
#include "retention/facts.h"
#include "retention/retained.h"
#include "retention/run.h"

PG_FUNCTION_INFO_V1(facematch_opted_out);
PG_FUNCTION_INFO_V1(facematch_purge);

/* The condition that no hold names the row, with parameters numbered from "first". */
static char *
not_held(const FaceRetained *table, int first)
{
	char	   *by_row = psprintf("t.%s::pg_catalog.text OPERATOR(pg_catalog.<>) ALL ($%d)",
								  face_column(table->relid, table->key), first);

	if (table->subject == NULL)
		return psprintf("%s AND $%d IS NOT NULL", by_row, first + 1);
	return psprintf("%s AND (t.%s IS NULL OR t.%s OPERATOR(pg_catalog.<>) ALL ($%d))", by_row,
					face_column(table->relid, table->subject), face_column(table->relid, table->subject), first + 1);
}

/* A user's table, not the extension's own. */
static bool
is_users(Oid table)
{
	return get_rel_namespace(table) != get_namespace_oid("facematch", false);
}

/*--------------------------------------------------------- opt-outs */

typedef struct OptOut
{
	const FaceRetained *table;	/* the one to remove from */
	Datum		subject;
	bool		one_gallery;
	Datum		gallery_id;
} OptOut;

/* The rows that an opt-out concerns: parameters $1 subject, $2 gallery, which is never NULL but may not matter. */
static char *
of_subject(const OptOut *opt_out)
{
	const FaceRetained *table = opt_out->table;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "t.%s OPERATOR(pg_catalog.=) $1", face_column(table->relid, table->subject));
	if (opt_out->one_gallery)
		appendStringInfo(&sql, " AND t.%s OPERATOR(pg_catalog.=) $2", face_column(table->relid, table->gallery));
	else
		appendStringInfoString(&sql, " AND $2 IS NOT NULL");
	if (table->template != NULL)
		appendStringInfo(&sql, " AND t.%s IS NOT NULL", face_column(table->relid, table->template));
	return sql.data;
}

static void
remove_from_table(void *state)
{
	const OptOut *opt_out = state;
	const FaceRetained *table = opt_out->table;
	FaceKept	kept = face_kept_by_holds(table->relid);
	Oid			types[4] = {UUIDOID, INT8OID, TEXTARRAYOID, UUIDARRAYOID};
	Datum		values[4] = {opt_out->subject, opt_out->gallery_id, kept.rows, kept.subjects};
	char	   *name = face_qualified_name(table->relid);
	char	   *rows = of_subject(opt_out);
	char	   *free_rows = psprintf("%s AND %s", rows, not_held(table, 3));
	Oid			owner = face_owner(table->relid);
	uint64		removed;
	uint64		held;
	char	   *sql;

	if (table->keeps_row)
		sql = psprintf("UPDATE %s t SET %s = NULL WHERE %s", name, face_column(table->relid, table->template), free_rows);
	else
		sql = psprintf("DELETE FROM %s t WHERE %s", name, free_rows);
	SPI_connect();
	removed = face_run(sql, lengthof(types), types, values, owner);
	held = face_run(psprintf("UPDATE %s t SET purge_after = pg_catalog.clock_timestamp() WHERE %s"
							 " AND t.purge_after OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() AND NOT (%s)",
							 name, rows, not_held(table, 3)), lengthof(types), types, values, owner);
	SPI_finish();
	if (removed + held > 0)
		face_write_receipt("opt_out", table->relid, NULL, removed, held, DT_NOBEGIN, DT_NOBEGIN);
}

static Datum
opt_out_column(Relation rel, HeapTuple row, const char *column, bool *isnull)
{
	return SPI_getbinval(row, RelationGetDescr(rel), SPI_fnumber(RelationGetDescr(rel), column), isnull);
}

/* Whether the row says anything today: a dump has opt-outs that were revoked long ago. */
static bool
stands(Relation rel, HeapTuple row)
{
	bool		isnull;
	Datum		until;

	opt_out_column(rel, row, "revoked_at", &isnull);
	if (!isnull)
		return false;
	until = opt_out_column(rel, row, "until", &isnull);
	return isnull || DatumGetTimestampTz(until) > GetCurrentTimestamp();
}

/* Trigger after each opt-out: the templates of the subject go in the same transaction. */
Datum
facematch_opted_out(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	OptOut		opt_out;
	Relation	rel;
	List	   *tables;
	ListCell   *cell;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("facematch.remove_opted_out must be fired after each inserted row")));
	rel = trigger->tg_relation;
	if (!stands(rel, trigger->tg_trigtuple))
		return PointerGetDatum(NULL);
	opt_out.subject = opt_out_column(rel, trigger->tg_trigtuple, "subject_id", &isnull);
	opt_out.gallery_id = opt_out_column(rel, trigger->tg_trigtuple, "gallery_id", &isnull);
	opt_out.one_gallery = !isnull;

	face_own_subject(RelationGetRelid(rel), DatumGetUUIDP(opt_out.subject));
	face_forget_declined();
	tables = face_retained_tables();
	foreach(cell, tables)
	{
		const FaceRetained *table = lfirst(cell);

		if (table->subject == NULL || table->template == NULL || (table->gallery == NULL && opt_out.one_gallery))
			continue;
		opt_out.table = table;
		/* No table of a user's keeps anybody from declining: check_policies() names those where templates stay. */
		if (is_users(table->relid))
			(void) face_attempt(table->relid, "rid of the subject's templates", face_opt_out_table_until(list_length(tables) - foreach_current_index(cell)),
								remove_from_table, &opt_out);
		else
			remove_from_table(&opt_out);
	}
	return PointerGetDatum(NULL);
}

/*--------------------------------------------------------- the purge */

/* A gallery goes when its last reference has gone, held ones included. */
static const char *
only_when_empty(const FaceRetained *table)
{
	if (strcmp(table->what, "gallery") != 0)
		return "";
	return " AND NOT EXISTS (SELECT FROM facematch.reference r WHERE r.gallery_id OPERATOR(pg_catalog.=) t.gallery_id)";
}

/* Receipts for what went, by class. */
static void
write_receipts(const FaceRetained *table, uint64 groups, FacePurgeErasure *erasure)
{
	SPITupleTable *result = SPI_tuptable;

	for (uint64 i = 0; i < groups; i++)
	{
		HeapTuple	row = result->vals[i];
		bool		isnull;
		char	   *class = SPI_getvalue(row, result->tupdesc, 1);
		uint64		rows = (uint64) DatumGetInt64(SPI_getbinval(row, result->tupdesc, 2, &isnull));
		TimestampTz earliest = DatumGetTimestampTz(SPI_getbinval(row, result->tupdesc, 3, &isnull));
		TimestampTz latest = DatumGetTimestampTz(SPI_getbinval(row, result->tupdesc, 4, &isnull));

		face_write_receipt("retention", table->relid, class, rows, 0, earliest, latest);
		if (erasure != NULL)
			face_note_receipt(erasure);
	}
}

/*
 * Deletes up to "batch" due rows of one table that is no partitioned one, the
 * longest due first; rows that another purge is at are left to it.  Returns how
 * many went.
 */
static uint64
purge_some(const FaceRetained *table, Oid leaf, int32 batch, FacePurgeErasure *erasure)
{
	Oid			types[4] = {INT4OID, TEXTARRAYOID, UUIDARRAYOID, TIMESTAMPTZOID};
	Datum		values[4];
	char	   *name = face_qualified_name(leaf);
	FaceKept	kept;
	uint64		groups;
	uint64		rows = 0;
	char	   *sql;

	/* Nobody can hold a row between this look at the holds and the end of the transaction. */
	LockRelationOid(face_table("hold"), ShareLock);
	PushActiveSnapshot(GetTransactionSnapshot());
	kept = face_kept_by_holds(table->relid);
	values[0] = Int32GetDatum(batch);
	values[1] = kept.rows;
	values[2] = kept.subjects;
	values[3] = TimestampTzGetDatum(GetCurrentTimestamp());
	sql = psprintf("WITH gone AS (DELETE FROM ONLY %s d WHERE d.ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
				   "SELECT t.ctid FROM ONLY %s t WHERE t.purge_after OPERATOR(pg_catalog.<=) $4 AND %s%s"
				   " ORDER BY t.purge_after LIMIT $1 FOR UPDATE OF t SKIP LOCKED))"
				   " RETURNING d.%s AS class, d.purge_after::pg_catalog.timestamptz AS purge_after)"
				   " SELECT g.class, pg_catalog.count(*), pg_catalog.min(g.purge_after), pg_catalog.max(g.purge_after)"
				   " FROM gone g GROUP BY g.class ORDER BY g.class COLLATE pg_catalog.\"C\"",
				   name, name, not_held(table, 2), only_when_empty(table), face_column(leaf, table->class));
	SPI_connect();
	groups = face_run(sql, lengthof(types), types, values, face_owner(leaf));
	for (uint64 i = 0; i < groups; i++)
	{
		bool		isnull;

		rows += (uint64) DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
	}
	write_receipts(table, groups, erasure);
	SPI_finish();
	PopActiveSnapshot();
	return rows;
}

/* The extension's own, which nobody else can keep from going; galleries, that wait for their references; users' tables. */
#define LAST_TURN	2

static int
turn(const FaceRetained *table)
{
	if (is_users(table->relid))
		return LAST_TURN;
	return strcmp(table->what, "gallery") == 0 ? 1 : 0;
}

static int
in_turn(const ListCell *a, const ListCell *b)
{
	const FaceRetained *one = lfirst(a);
	const FaceRetained *other = lfirst(b);

	if (turn(one) != turn(other))
		return turn(one) - turn(other);
	return one->relid < other->relid ? -1 : 1;
}

/* The keys of the photographs that went: once that is committed, for a key does not come back. */
static void
destroy_keys(void)
{
	Oid			photograph = get_relname_relid("photograph", get_namespace_oid("facematch", false));

	/* Version 0.1.0's tables know none. */
	if (!OidIsValid(photograph))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	face_run("SELECT facematch.destroy_keys()", 0, NULL, NULL, face_owner(photograph));
	SPI_finish();
	PopActiveSnapshot();
	SPI_commit();
}

/* What a purge goes through with. */
typedef struct Purge
{
	int32		batch;
	bool		commits;
	MemoryContext memory;		/* outlives transactions */
	MemoryContext working;		/* of a batch */
	StringInfoData failed;		/* names of tables that it could not purge */
} Purge;

/* How many rows are due now: a trigger of a user's that puts back what goes keeps no purge from ending. */
static uint64
count_due(Oid part)
{
	bool		isnull;
	uint64		due;

	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	face_run(psprintf("SELECT pg_catalog.count(*) FROM ONLY %s t WHERE t.purge_after OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()",
					  face_qualified_name(part)), 0, NULL, NULL, face_owner(part));
	due = (uint64) DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	PopActiveSnapshot();
	return due;
}

/* A batch of one table that is no partitioned one. */
typedef struct Batch
{
	const Purge *purge;
	const FaceRetained *table;
	Oid			part;
	FacePurgeErasure *erasure;
	uint64		most;			/* rows to go in all batches, once it is known */
	uint64		rows;			/* that went in this one */
} Batch;

static void
purge_batch(void *state)
{
	Batch	   *batch = state;

	if (batch->most == PG_UINT64_MAX && is_users(batch->part))
		batch->most = count_due(batch->part);
	batch->rows = purge_some(batch->table, batch->part, batch->purge->batch, batch->erasure);
}

static void
erase_part(Purge *purge, FacePurgeErasure *erasure, Oid part)
{
	MemoryContextSwitchTo(purge->working);
	face_erase_removed(erasure, part);
	MemoryContextReset(purge->working);
	SPI_commit();
}

/* All that is due in one table that is no partitioned one; then, when deleting is committed, its bytes. */
static void
purge_part(Purge *purge, const FaceRetained *table, Oid part, TimestampTz until, FacePurgeErasure *erasure)
{
	Batch		batch = {purge, table, part, erasure, PG_UINT64_MAX, 1};
	char	   *name;

	if (!face_exists(part))
		return;
	MemoryContextSwitchTo(purge->memory);
	name = face_qualified_name(part);
	for (uint64 gone = 0; batch.rows > 0 && gone < batch.most; gone += batch.rows)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(purge->working);
		batch.rows = 0;
		if (!purge->commits)
			purge_batch(&batch);
		else
		{
			if (!face_attempt(part, "purged", until, purge_batch, &batch))
			{
				batch.rows = 0;
				appendStringInfo(&purge->failed, "%s%s", purge->failed.len > 0 ? ", " : "", name);
			}
			SPI_commit();
		}
		MemoryContextReset(purge->working);
	}
	if (erasure != NULL)
		erase_part(purge, erasure, part);
}

/* What is left to do for a table when its rows have been erased, in transactions of their own. */
static void
finish_erasure(Purge *purge, FacePurgeErasure *erasure)
{
	static void (*const steps[]) (FacePurgeErasure *) = {face_forget_statistics, face_erase_statistics, face_record_erasure};

	for (int i = 0; i < lengthof(steps); i++)
	{
		MemoryContextSwitchTo(purge->working);
		steps[i] (erasure);
		MemoryContextReset(purge->working);
		SPI_commit();
	}
}

/* tables_left: how many share what time there is, this one included; of its partitions each gets its part, for one may be locked. */
static void
purge_table(Purge *purge, const FaceRetained *table, int tables_left)
{
	FacePurgeErasure *erasure;
	List	   *parts;
	ListCell   *part;

	if (!face_exists(table->relid))
		return;
	MemoryContextSwitchTo(purge->memory);
	erasure = purge->commits ? face_purge_erasure(table->relid) : NULL;
	parts = find_all_inheritors(table->relid, NoLock, NULL);
	foreach(part, parts)
	{
		int			share = tables_left - 1 + list_length(parts) - foreach_current_index(part);

		if (get_rel_relkind(lfirst_oid(part)) == RELKIND_RELATION)
			purge_part(purge, table, lfirst_oid(part), is_users(table->relid) ? face_purge_table_until(share) : DT_NOEND, erasure);
	}
	if (erasure == NULL)
		return;
	foreach(part, face_parts_left(erasure))
		erase_part(purge, erasure, lfirst_oid(part));
	if (face_exists(table->relid))
		finish_erasure(purge, erasure);
}

/* facematch.purge(batch) */
Datum
facematch_purge(PG_FUNCTION_ARGS)
{
	Purge		purge = {
		.batch = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0),
		.commits = fcinfo->context != NULL && IsA(fcinfo->context, CallContext) && !castNode(CallContext, fcinfo->context)->atomic
	};
	List	   *tables;
	ListCell   *cell;

	purge.memory = AllocSetContextCreate(purge.commits ? PortalContext : CurrentMemoryContext, "facematch purge",
										 ALLOCSET_SMALL_SIZES);
	purge.working = AllocSetContextCreate(purge.memory, "facematch purge batch", ALLOCSET_DEFAULT_SIZES);
	if (purge.batch < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a batch must be at least 1 row")));
	SPI_connect_ext(purge.commits ? SPI_OPT_NONATOMIC : 0);
	MemoryContextSwitchTo(purge.memory);
	initStringInfo(&purge.failed);
	tables = face_retained_tables();
	list_sort(tables, in_turn);
	foreach(cell, tables)
		purge_table(&purge, lfirst(cell), list_length(tables) - foreach_current_index(cell));
	if (purge.commits)
		destroy_keys();
	if (purge.failed.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tables could not be purged: %s", purge.failed.data),
				 errdetail("All others have been. The warnings say why; rows that are due match nobody meanwhile."),
				 errhint("facematch.check_policies() names tables with overdue rows.")));
	SPI_finish();
	PG_RETURN_VOID();
}
