/*-------------------------------------------------------------------------
 *
 * unseen.c
 *	  Hides what a search reads and writes from PostgreSQL's counters.
 *
 * PostgreSQL counts what a statement does, and shows the counts to the user: rows
 * fetched (pg_stat_xact_all_tables, and pg_stat_all_tables for everybody), pages
 * (EXPLAIN (ANALYZE, BUFFERS)), write-ahead log (EXPLAIN (ANALYZE, WAL)). A search
 * fetches the rows that may be near, and records an attempt on each of them. So the
 * counts would reveal whether it came near somebody, even if the answer does not.
 * For searches by roles whose attempts are counted, the counters are therefore
 * reset to their earlier values. A parallel worker counts what it reads itself, and
 * reports it when it ends: its reads of references for such a role are subtracted
 * there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "pgstat.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "base/run.h"
#include "compat.h"
#include "gallery/staging.h"
#include "matching/unseen.h"

/* Tables in which a search reads or writes rows that depend on its scores. */
static const char *const tables[] = {"reference", "attempt", "person", "unreached"};

/* Indexes of these, and more than anybody has. */
#define MOST_RELATIONS	64

typedef struct Counted
{
	Oid			relid;
	PgStat_TableCounts counts;
	PgStat_TableXactStatus *transaction;
	int64		inserted;
} Counted;

typedef struct Counts
{
	BufferUsage buffers;
	WalUsage	wal;
	int			count;
	Counted		of[MOST_RELATIONS];
} Counts;

/* Counts of a relation that was not used yet are none. */
static void
note_counts(Counts *counts, Relation rel)
{
	Counted    *counted = &counts->of[counts->count++];
	PgStat_TableStatus *status = rel->pgstat_info;

	memset(counted, 0, sizeof(Counted));
	counted->relid = RelationGetRelid(rel);
	if (status == NULL)
		return;
	counted->counts = face_table_counts(status);
	counted->transaction = status->trans;
	if (status->trans != NULL)
		counted->inserted = status->trans->tuples_inserted;
}

static void
note_table(Counts *counts, Oid relid)
{
	Relation	rel = RelationIdGetRelation(relid);
	List	   *indexes;
	ListCell   *cell;

	if (!RelationIsValid(rel))
		return;
	indexes = RelationGetIndexList(rel);
	note_counts(counts, rel);
	RelationClose(rel);
	foreach(cell, indexes)
	{
		rel = counts->count < MOST_RELATIONS - lengthof(tables) ? RelationIdGetRelation(lfirst_oid(cell)) : NULL;
		if (!RelationIsValid(rel))
			continue;
		note_counts(counts, rel);
		RelationClose(rel);
	}
	list_free(indexes);
}

static void
restore_counts(const Counted *counted)
{
	Relation	rel = RelationIdGetRelation(counted->relid);
	PgStat_TableStatus *status;

	if (!RelationIsValid(rel))
		return;
	status = rel->pgstat_info;
	if (status != NULL)
	{
		face_table_counts(status) = counted->counts;
		if (status->trans != NULL)
			status->trans->tuples_inserted = status->trans == counted->transaction ? counted->inserted : 0;
	}
	RelationClose(rel);
}

static Counts *
note_all(void)
{
	Counts	   *counts = palloc(sizeof(Counts));

	counts->buffers = pgBufferUsage;
	counts->wal = pgWalUsage;
	counts->count = 0;
	for (int i = 0; i < lengthof(tables); i++)
		note_table(counts, face_table(tables[i]));
	return counts;
}

static void
restore_all(Counts *counts)
{
	for (int i = 0; i < counts->count; i++)
		restore_counts(&counts->of[i]);
	pgBufferUsage = counts->buffers;
	pgWalUsage = counts->wal;
	pfree(counts);
}

/* Does the work of a search; nobody sees by counts how much it was. */
void
face_do_unseen(void (*work) (void *), void *state)
{
	Counts	   *counts = note_all();

	PG_TRY();
	{
		work(state);
	}
	PG_FINALLY();
	{
		restore_all(counts);
	}
	PG_END_TRY();
}

/*--------------------------------------------------------- in parallel workers */

static ExecutorRun_hook_type previous_run_hook;

/* While the extension is being created, there is nothing to read. */
static bool
reads_references(const QueryDesc *query)
{
	const Oid	schema = get_namespace_oid(FACE_SCHEMA, true);
	const Oid	reference = OidIsValid(schema) ? get_relname_relid("reference", schema) : InvalidOid;
	ListCell   *cell;

	if (!OidIsValid(reference))
		return false;
	foreach(cell, query->plannedstmt->rtable)
	{
		if (lfirst_node(RangeTblEntry, cell)->relid == reference)
			return true;
	}
	return false;
}

static void
run(FACE_RUN_PARAMETERS)
{
	if (previous_run_hook != NULL)
		previous_run_hook(FACE_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(FACE_RUN_ARGUMENTS);
}

/* Workers have no part in searches but by the plans that they are given. */
static void
run_unseen(FACE_RUN_PARAMETERS)
{
	Counts	   *counts;

	if (!IsParallelWorker() || !reads_references(query) || face_reads_templates())
	{
		run(FACE_RUN_ARGUMENTS);
		return;
	}
	counts = note_all();
	PG_TRY();
	{
		run(FACE_RUN_ARGUMENTS);
	}
	PG_FINALLY();
	{
		restore_all(counts);
	}
	PG_END_TRY();
}

void
face_unseen_init(void)
{
	previous_run_hook = ExecutorRun_hook;
	ExecutorRun_hook = run_unseen;
}
