/*-------------------------------------------------------------------------
 *
 * purge.c
 *	  facematch.purge(): deletes due rows, and then erases their bytes.
 *
 * Each table is processed in transactions of its own, as its owner and within its
 * time limit (base/gate.h). README.md describes all steps.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/attempt.h"
#include "base/kin.h"
#include "base/refusal.h"
#include "base/run.h"
#include "erasure/erase_purge.h"
#include "retention/purge_rows.h"
#include "retention/retained.h"
#include "retention/unreached.h"

PG_FUNCTION_INFO_V1(facematch_purge);

/* The extension's own; galleries, that wait for their references; users' tables, whose owners can keep them from going. */
#define LAST_TURN	2

static int
turn(const FaceRetained *table)
{
	if (!face_is_own(table->relid))
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

/* A batch of one table that is not partitioned. */
typedef struct Batch
{
	const Purge *purge;
	const FaceRetained *table;
	Oid			part;
	FacePurgeErasure *erasure;
	uint64		most;			/* rows to go in all batches, once it is known */
	uint64		rows;			/* that went in this one */
	const char *entry;			/* or a note of rows that an opt-out, a rule or an event did not reach */
} Batch;

static void
purge_batch(void *state)
{
	Batch	   *batch = state;

	if (batch->most == PG_UINT64_MAX && !face_is_own(batch->part))
		batch->most = face_count_due(batch->table, batch->part);
	batch->rows = face_purge_some(batch->table, batch->part, batch->purge->batch, batch->erasure);
	if (batch->purge->commits && batch->rows > 0)
		face_fire_deferred(batch->table->relid, batch->part);
}

/* A table under retention, with its partitions as they were when the purge came to it. */
typedef struct Purged
{
	const FaceRetained *table;
	List	   *parts;			/* Oid */
	FacePurgeErasure *erasure;	/* NULL: none now */
	int			tables_left;	/* how many share what time there is, this one included */
} Purged;

static void
tell_failure(Purge *purge, Oid part)
{
	MemoryContext old;

	/* Dropped meanwhile: nothing to do. */
	if (!face_exists(part))
		return;
	old = MemoryContextSwitchTo(purge->memory);
	if (!list_member_oid(purge->failures, part))
		appendStringInfo(&purge->failed, "%s%s", purge->failed.len > 0 ? ", " : "", face_qualified_name(part));
	purge->failures = list_append_unique_oid(purge->failures, part);
	MemoryContextSwitchTo(old);
}

/* Ends an attempt's transaction, where the purge has transactions of its own. */
static void
next_step(const Purge *purge)
{
	if (purge->commits)
		face_next_transaction();
	MemoryContextReset(purge->working);
}

/* All that is due in one table that is not partitioned; false: not done in its time. */
static bool
purge_part(Purge *purge, const Purged *purged, Oid part, TimestampTz until)
{
	Batch		batch = {purge, purged->table, part, purged->erasure, PG_UINT64_MAX, 1};
	bool		done = true;

	for (uint64 gone = 0; done && batch.rows > 0 && gone < batch.most; gone += batch.rows)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(purge->working);
		batch.rows = 0;
		/* Of the extension's own tables nobody's triggers take the time: only a lock that somebody keeps does. */
		if (face_is_own(part))
			until = face_purge_table_until(purged->tables_left);
		done = face_attempt(part, "purged", until, purge_batch, &batch);
		next_step(purge);
	}
	return done;
}

static void
reach(void *state)
{
	const Batch *batch = state;

	PushActiveSnapshot(GetTransactionSnapshot());
	face_reach(batch->table, batch->entry);
	PopActiveSnapshot();
	if (batch->purge->commits)
		face_fire_deferred(batch->table->relid, batch->table->relid);
}

/* What had to be left to the purge comes first: rows that a shorter rule makes due go with this one. */
static void
reach_rows(Purge *purge, const Purged *purged, TimestampTz until)
{
	List	   *entries;
	ListCell   *cell;
	bool		reached = true;

	MemoryContextSwitchTo(purge->memory);
	entries = face_unreached(purged->table->relid);
	foreach(cell, entries)
	{
		Batch		batch = {.purge = purge,.table = purged->table,.entry = lfirst(cell)};

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(purge->working);
		/* One that the table refuses keeps the later ones from nothing; only the end of its time does. */
		if (!face_attempt(purged->table->relid, "given what the law says", until, reach, &batch))
			reached = false;
		next_step(purge);
		if (!reached && GetCurrentTimestamp() >= until)
			break;
	}
	if (!reached)
		tell_failure(purge, purged->table->relid);
}

/*
 * The parts of a table share its time: one that is locked, or whose triggers wait,
 * gets its part of what is left.  Those that were not done in theirs get what the
 * others did not need.
 */
static void
purge_parts(Purge *purge, const Purged *purged, TimestampTz until)
{
	List	   *left = purged->parts;
	int			tries = 0;
	ListCell   *part;

	do
	{
		List	   *not_done = NIL;

		tries++;
		foreach(part, left)
		{
			TimestampTz share = face_share_of_time(until, list_length(left) - foreach_current_index(part));
			MemoryContext old;

			if (purge_part(purge, purged, lfirst_oid(part), share))
				continue;
			if (GetCurrentTimestamp() < share)
			{
				/* More time would not help. */
				tell_failure(purge, lfirst_oid(part));
				continue;
			}
			old = MemoryContextSwitchTo(purge->memory);
			not_done = lappend_oid(not_done, lfirst_oid(part));
			MemoryContextSwitchTo(old);
		}
		left = not_done;
	} while (tries < 2 && left != NIL && list_length(purged->parts) > 1 && GetCurrentTimestamp() < until);
	foreach(part, left)
		tell_failure(purge, lfirst_oid(part));
}

static void
purge_table(Purge *purge, Purged *purged, int tables_left)
{
	Oid			table = purged->table->relid;
	TimestampTz until = face_purge_table_until(tables_left);
	ListCell   *part;

	purged->tables_left = tables_left;
	if (!face_exists(table))
		return;
	MemoryContextSwitchTo(purge->memory);
	purged->erasure = purge->commits ? face_purge_erasure(table) : NULL;
	reach_rows(purge, purged, until);
	MemoryContextSwitchTo(purge->memory);
	foreach(part, face_with_heirs(table, NoLock))
	{
		if (get_rel_relkind(lfirst_oid(part)) == RELKIND_RELATION)
			purged->parts = lappend_oid(purged->parts, lfirst_oid(part));
	}
	purge_parts(purge, purged, until);
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
	static void (*const steps[]) (void *) = {face_forget_statistics, face_erase_statistics, face_record_erasure};
	ListCell   *part;

	if (purged->erasure == NULL)
		return;
	foreach(part, purged->parts)
		erase_part(purge, purged->erasure, lfirst_oid(part));
	foreach(part, face_parts_left(purged->erasure))
	{
		if (!list_member_oid(purged->parts, lfirst_oid(part)))
			erase_part(purge, purged->erasure, lfirst_oid(part));
	}
	for (int i = 0; i < lengthof(steps); i++)
	{
		MemoryContextSwitchTo(purge->working);
		/* The planner's statistics are in pages that may be damaged, and belong to all tables. */
		if (!face_attempt(purged->table->relid, "erased", DT_NOEND, steps[i], purged->erasure))
		{
			face_note_failure(purged->erasure, purged->table->relid);
			tell_failure(purge, purged->table->relid);
		}
		MemoryContextReset(purge->working);
		face_next_transaction();
	}
}

typedef struct Errand
{
	Oid			table;
	const char *sql;
	uint64		rows;			/* that the statement gave */
} Errand;

static void
run_errand(void *state)
{
	Errand	   *errand = state;

	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	errand->rows = face_run(errand->sql, 0, NULL, NULL, face_owner(errand->table));
	SPI_finish();
	PopActiveSnapshot();
}

/*
 * What else is to be done about a table, in a transaction of its own: if it
 * fails, that keeps nothing else.  Returns whether the statement gave a row.
 */
static bool
do_errand(Purge *purge, const char *table, const char *done, const char *sql)
{
	Errand		errand = {.table = face_table(table),.sql = sql};
	bool		succeeded;

	if (!purge->commits)
		return false;
	MemoryContextSwitchTo(purge->working);
	succeeded = face_attempt(errand.table, done, DT_NOEND, run_errand, &errand);
	if (!succeeded)
		tell_failure(purge, errand.table);
	MemoryContextReset(purge->working);
	face_next_transaction();
	return succeeded && errand.rows > 0;
}

/*
 * Once a week the templates without a deadline go under new keys, so that older
 * copies of those that have been removed since end too; a batch a transaction.
 */
static void
rotate_keys(Purge *purge)
{
	char		rotate[128];

	snprintf(rotate, sizeof(rotate), "SELECT FROM facematch_internal.rotate_some(NULL, %d) moved"
			 " WHERE moved OPERATOR(pg_catalog.>) 0", purge->batch);
	do_errand(purge, "template_key", "rid of keys that are a week old",
			  "SELECT facematch_internal.retire_keys(NULL) FROM facematch_internal.template_key t"
			  " WHERE t.destroyed_at IS NULL AND t.retired_at IS NULL AND t.due OPERATOR(pg_catalog.=) 'infinity'"
			  " AND t.made_at OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) interval '7 days')"
			  " LIMIT 1");
	while (do_errand(purge, "template_key", "rotated", rotate))
		CHECK_FOR_INTERRUPTS();
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
	/* Photographs go with the extension's own rows; their keys once that is committed, for a key does not come back. */
	if (last < LAST_TURN)
	{
		do_errand(purge, "photograph", "rid of its keys", "SELECT facematch_internal.destroy_keys()");
		rotate_keys(purge);
		do_errand(purge, "template_key", "left by what is held", "SELECT facematch_internal.leave_due_keys()");
		do_errand(purge, "template_key", "rid of keys without rows", "SELECT facematch_internal.destroy_template_keys()");
		do_errand(purge, "search", "written to the log", "SELECT facematch_internal.digest_searches()");
		do_errand(purge, "rights_event", "told of to the other sites",
				  "INSERT INTO facematch_internal.site_state (site, at, rules_from, has) SELECT n.site, n.at, n.rules_from, n.has"
				  " FROM facematch_internal.site_now n");
	}
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
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("purge_batch_range"),
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
	/* In the caller's transaction an error would undo what has been purged. */
	if (purge.failed.len > 0 && !purge.commits)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tables could not be purged: %s", purge.failed.data),
				 errdetail("All others have been purged, once this transaction commits. Due rows match nobody meanwhile.")));
	else if (purge.failed.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("purge_is_complete"),
				 errmsg("tables could not be purged: %s", purge.failed.data),
				 errdetail("All others have been purged. The warnings name the causes. Due rows match nobody meanwhile."),
				 errhint("Each warning names a table and a cause: remove the cause, and call the purge again.")));
	SPI_finish();
	PG_RETURN_VOID();
}
