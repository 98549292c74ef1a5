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
#include "catalog/pg_class.h"
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

#include "base/attempt.h"
#include "retention/declined.h"
#include "erasure/erase.h"
#include "retention/facts.h"
#include "retention/retained.h"
#include "base/run.h"

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
	return !face_is_own(table);
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

/* The table, and partitions that it has half lost: statements that name the table pass over these. */
static List *
relations_to_clear(Oid table)
{
	List	   *relations = list_make1_oid(table);
	Oid			type = OIDOID;
	Datum		value = ObjectIdGetDatum(table);
	MemoryContext caller = CurrentMemoryContext;
	bool		isnull;

	if (get_rel_relkind(table) != RELKIND_PARTITIONED_TABLE)
		return relations;
	SPI_connect();
	face_run("WITH RECURSIVE member AS (SELECT $1 AS oid UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i"
			 " JOIN member m ON m.oid OPERATOR(pg_catalog.=) i.inhparent)"
			 " SELECT i.inhrelid FROM member m JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) m.oid WHERE i.inhdetachpending",
			 1, &type, &value, face_owner(face_table("retained")));
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
		relations = lappend_oid(relations, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));
	SPI_finish();
	return relations;
}

static void
remove_from_relation(const OptOut *opt_out, Oid relation, uint64 *removed, uint64 *held)
{
	const FaceRetained *table = opt_out->table;
	FaceKept	kept = face_kept_by_holds(table->relid);
	Oid			types[4] = {UUIDOID, INT8OID, TEXTARRAYOID, UUIDARRAYOID};
	Datum		values[4] = {opt_out->subject, opt_out->gallery_id, kept.rows, kept.subjects};
	char	   *name = face_qualified_name(relation);
	char	   *rows = of_subject(opt_out);
	char	   *free_rows = psprintf("%s AND %s", rows, not_held(table, 3));
	Oid			owner = face_owner(relation);
	char	   *sql;

	if (table->keeps_row)
		sql = psprintf("UPDATE %s t SET %s = NULL WHERE %s", name, face_column(table->relid, table->template), free_rows);
	else
		sql = psprintf("DELETE FROM %s t WHERE %s", name, free_rows);
	SPI_connect();
	*removed += face_run(sql, lengthof(types), types, values, owner);
	*held += face_run(psprintf("UPDATE %s t SET purge_after = pg_catalog.clock_timestamp() WHERE %s"
							 " AND t.purge_after OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() AND NOT (%s)",
							   name, rows, not_held(table, 3)), lengthof(types), types, values, owner);
	SPI_finish();
}

static void
remove_from_table(void *state)
{
	const OptOut *opt_out = state;
	const FaceRetained *table = opt_out->table;
	uint64		removed = 0;
	uint64		held = 0;
	ListCell   *cell;

	foreach(cell, relations_to_clear(table->relid))
		remove_from_relation(opt_out, lfirst_oid(cell), &removed, &held);
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
				 errmsg("facematch_internal.remove_opted_out must be fired after each inserted row")));
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
		/* No table of a user's keeps anybody from declining: health_check() names those where templates stay. */
		if (is_users(table->relid))
			(void) face_attempt(table->relid, "rid of the subject's templates", face_opt_out_table_until(list_length(tables) - foreach_current_index(cell)),
								remove_from_table, &opt_out);
		else
			remove_from_table(&opt_out);
	}
	return PointerGetDatum(NULL);
}

/*--------------------------------------------------------- the purge */

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
				   name, name, not_held(table, 2), only_when_free(table), face_column(leaf, table->class));
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

/* The extension's own; galleries, that wait for their references; users' tables, whose owners can keep them from going. */
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

/* What a purge goes through with. */
typedef struct Purge
{
	int32		batch;
	bool		commits;
	MemoryContext memory;		/* outlives transactions */
	MemoryContext working;		/* of a batch */
	StringInfoData failed;		/* names of tables that it could not purge */
	List	   *failures;		/* Oid: the same */
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

/* A table under retention, with its partitions as they were when the purge came to it. */
typedef struct Purged
{
	const FaceRetained *table;
	List	   *parts;			/* Oid */
	FacePurgeErasure *erasure;	/* NULL: none now */
} Purged;

static void
tell_failure(Purge *purge, Oid part)
{
	MemoryContext old = MemoryContextSwitchTo(purge->memory);

	if (!list_member_oid(purge->failures, part))
		appendStringInfo(&purge->failed, "%s%s", purge->failed.len > 0 ? ", " : "", face_qualified_name(part));
	purge->failures = list_append_unique_oid(purge->failures, part);
	MemoryContextSwitchTo(old);
}

/* All that is due in one table that is no partitioned one. */
static void
purge_part(Purge *purge, const Purged *purged, Oid part, int tables_left)
{
	Batch		batch = {purge, purged->table, part, purged->erasure, PG_UINT64_MAX, 1};
	TimestampTz until = face_purge_table_until(tables_left);

	for (uint64 gone = 0; batch.rows > 0 && gone < batch.most; gone += batch.rows)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(purge->working);
		batch.rows = 0;
		/* Of the extension's own tables nobody's triggers take the time: only a lock that somebody keeps does. */
		if (!is_users(purged->table->relid))
			until = face_purge_table_until(tables_left);
		if (!purge->commits)
			purge_batch(&batch);
		else
		{
			if (!face_attempt(part, "purged", until, purge_batch, &batch))
			{
				batch.rows = 0;
				tell_failure(purge, part);
			}
			face_next_transaction();
		}
		MemoryContextReset(purge->working);
	}
}

/* tables_left: how many share what time there is, this one included; of its partitions each gets its part, for one may be locked. */
static void
purge_table(Purge *purge, Purged *purged, int tables_left)
{
	Oid			table = purged->table->relid;
	ListCell   *part;

	if (!face_exists(table))
		return;
	MemoryContextSwitchTo(purge->memory);
	purged->erasure = purge->commits ? face_purge_erasure(table) : NULL;
	purged->parts = face_with_heirs(table, NoLock);
	foreach(part, purged->parts)
	{
		if (get_rel_relkind(lfirst_oid(part)) == RELKIND_RELATION)
			purge_part(purge, purged, lfirst_oid(part), tables_left - 1 + list_length(purged->parts) - foreach_current_index(part));
	}
}

/*--------------------------------------------------------- and its bytes */

typedef struct Erasing
{
	FacePurgeErasure *erasure;
	Oid			part;
	Datum		seen;
} Erasing;

static void
erase_removed(void *state)
{
	Erasing    *erasing = state;

	face_erase_removed(erasing->erasure, erasing->part, erasing->seen);
}

/* A page that is damaged keeps no other table from being erased. */
static void
erase_part(Purge *purge, FacePurgeErasure *erasure, Oid part)
{
	Erasing		erasing = {erasure, part};
	bool		has_to;

	MemoryContextSwitchTo(purge->working);
	has_to = face_has_to_erase(erasure, part, &erasing.seen);
	face_next_transaction();
	if (has_to)
	{
		MemoryContextSwitchTo(purge->working);
		if (!face_attempt(part, "erased", DT_NOEND, erase_removed, &erasing))
		{
			face_note_failure(erasure, part);
			tell_failure(purge, part);
		}
		face_next_transaction();
	}
	MemoryContextReset(purge->working);
}

/* When nothing is deleted any more: a trigger may remove rows of a partition that comes earlier, or of another table. */
static void
erase_table(Purge *purge, const Purged *purged)
{
	static void (*const steps[]) (FacePurgeErasure *) = {face_forget_statistics, face_erase_statistics, face_record_erasure};
	ListCell   *part;

	if (purged->erasure == NULL)
		return;
	foreach(part, purged->parts)
	{
		if (get_rel_relkind(lfirst_oid(part)) == RELKIND_RELATION)
			erase_part(purge, purged->erasure, lfirst_oid(part));
	}
	foreach(part, face_parts_left(purged->erasure))
		erase_part(purge, purged->erasure, lfirst_oid(part));
	for (int i = 0; i < lengthof(steps) && face_exists(purged->table->relid); i++)
	{
		MemoryContextSwitchTo(purge->working);
		steps[i] (purged->erasure);
		MemoryContextReset(purge->working);
		face_next_transaction();
	}
}

static void
destroy_keys_now(void *state)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	face_run("SELECT facematch_internal.destroy_keys()", 0, NULL, NULL, face_owner(*(Oid *) state));
	SPI_finish();
	PopActiveSnapshot();
}

/* The keys of the photographs that went: once that is committed, for a key does not come back.  A directory that is missing keeps nothing else. */
static void
destroy_keys(Purge *purge)
{
	Oid			photograph = face_table("photograph");

	if (!purge->commits)
		return;
	MemoryContextSwitchTo(purge->working);
	if (!face_attempt(photograph, "rid of its keys", DT_NOEND, destroy_keys_now, &photograph))
		tell_failure(purge, photograph);
	MemoryContextReset(purge->working);
	face_next_transaction();
}

/*
 * Tables from one on, as far as "last" is their turn at most: all that is due,
 * the keys, then the bytes.  Returns the first of those that are left.
 */
static int
purge_tables(Purge *purge, Purged *tables, int first, int count, int last)
{
	int			end = first;

	for (; end < count && turn(tables[end].table) <= last; end++)
		purge_table(purge, &tables[end], count - end);
	/* Photographs go with the extension's own rows. */
	if (last < LAST_TURN)
		destroy_keys(purge);
	for (int i = first; i < end; i++)
		erase_table(purge, &tables[i]);
	return end;
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
	Purged	   *purged;
	int			own;
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
	if (purge.commits)
		face_next_transaction();
	MemoryContextSwitchTo(purge.memory);
	tables = face_retained_tables();
	list_sort(tables, in_turn);
	purged = palloc0(sizeof(Purged) * Max(list_length(tables), 1));
	foreach(cell, tables)
		purged[foreach_current_index(cell)].table = lfirst(cell);
	/* No table of a user's, whose triggers may take their time, comes before the extension's own are erased. */
	own = purge_tables(&purge, purged, 0, list_length(tables), LAST_TURN - 1);
	purge_tables(&purge, purged, own, list_length(tables), LAST_TURN);
	if (purge.failed.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tables could not be purged: %s", purge.failed.data),
				 errdetail("All others have been. The warnings say why; rows that are due match nobody meanwhile."),
				 errhint("facematch.health_check() names tables with overdue rows.")));
	SPI_finish();
	PG_RETURN_VOID();
}
