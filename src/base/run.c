/*-------------------------------------------------------------------------
 *
 * run.c
 *	  Statements, look-ups by name, and look-ups through an index.
 *
 * Statements run through the gate (gate.c): no other file calls what executes SQL.
 * They see the newest committed rows.  In a transaction with one snapshot, a
 * row to change that this snapshot does not show is a serialization failure:
 * otherwise an opt-out could leave the template that was staged beside it.
 *
 * No name is looked up through a search path: callers qualify tables, operators
 * and functions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "base/gate.h"
#include "base/named.h"
#include "base/run.h"

/* A table of the extension, by name, in whichever of its schemas. */
Oid
face_table(const char *name)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid(FACE_SCHEMA, false));

	if (!OidIsValid(relid))
		relid = get_relname_relid(name, get_namespace_oid(FACE_INTERNAL_SCHEMA, false));
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table %s of facematch is missing", name),
				 errhint("Drop extension facematch and create it again.")));
	return relid;
}

/* The schemas that are the extension's own. */
bool
face_is_own_schema(Oid namespace)
{
	return OidIsValid(namespace) &&
		(namespace == get_namespace_oid(FACE_SCHEMA, true) || namespace == get_namespace_oid(FACE_INTERNAL_SCHEMA, true));
}

/* Whether a relation is the extension's own, and not a user's. */
bool
face_is_own(Oid relid)
{
	return face_is_own_schema(get_rel_namespace(relid));
}

/* Whether a relation is there, as far as others have committed. */
bool
face_exists(Oid relid)
{
	AcceptInvalidationMessages();
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
}

/* schema.table, quoted where it must be and not because of a setting: receipts have it for a name. */
char *
face_qualified_name(Oid relid)
{
	const char *schema = get_namespace_name(get_rel_namespace(relid));
	const char *table = get_rel_name(relid);
	bool		all = quote_all_identifiers;
	char	   *name;

	/* Its owner may drop it at any time: what others do waits for that, and then finds it gone. */
	if (schema == NULL || table == NULL)
		face_report_missing(relid);
	quote_all_identifiers = false;
	name = quote_qualified_identifier(schema, table);
	quote_all_identifiers = all;
	return name;
}

/* A column's name, quoted; an error if the table has lost it. */
const char *
face_column(Oid relid, const char *column)
{
	if (get_attnum(relid, column) == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table %s has no column \"%s\", which facematch_internal.retained names", face_qualified_name(relid), column),
				 errhint("Detach the table with facematch.release() and attach it again with facematch.retain().")));
	return quote_identifier(column);
}

/* What runs within the gate. */
typedef struct Statement
{
	FacePlan   *kept;			/* or, not worth a plan: */
	const char *sql;
	int			nargs;
	Oid		   *types;
	Datum	   *values;
	Snapshot	snapshot;		/* NULL: the newest, or the caller's */
} Statement;

static SPIPlanPtr
prepare(const char *sql, int nargs, Oid *types, int options)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, types, options);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	return plan;
}

static SPIPlanPtr
plan_of(const Statement *statement)
{
	FacePlan   *kept = statement->kept;

	if (kept == NULL)
		return prepare(statement->sql, statement->nargs, statement->types, CURSOR_OPT_PARALLEL_OK);
	if (kept->plan == NULL)
	{
		SPIPlanPtr	prepared = prepare(kept->sql, kept->nargs, kept->types,
									   kept->options != 0 ? kept->options : CURSOR_OPT_GENERIC_PLAN);

		if (SPI_keepplan(prepared) != 0)
			elog(ERROR, "SPI_keepplan failed: %s", SPI_result_code_string(SPI_result));
		kept->plan = prepared;
	}
	return kept->plan;
}

/* With the newest committed rows. */
static int
execute(const Statement *statement)
{
	bool		one_snapshot = IsolationUsesXactSnapshot();
	SPIPlanPtr	plan = plan_of(statement);

	CommandCounterIncrement();
	return SPI_execute_snapshot(plan, statement->values, NULL, GetLatestSnapshot(),
								one_snapshot ? GetTransactionSnapshot() : InvalidSnapshot, false, true, 0);
}

/* With the snapshot of the caller. */
static int
execute_read(const Statement *statement)
{
	return SPI_execute_plan(plan_of(statement), statement->values, NULL, true, 1);
}

/* With a snapshot that somebody holds. */
static int
execute_at(const Statement *statement)
{
	return SPI_execute_snapshot(plan_of(statement), statement->values, NULL, statement->snapshot, InvalidSnapshot, true,
								false, 0);
}

static int
execute_utility(const Statement *statement)
{
	return SPI_execute(statement->sql, false, 0);
}

static void
check_status(int status)
{
	if (status < 0)
		elog(ERROR, "a statement through SPI failed: %s", SPI_result_code_string(status));
}

/* The gate is open, and closed at the end. */
static void
run_through(FaceGate *gate, int (*work) (const Statement *statement), const Statement *statement)
{
	PG_TRY();
	{
		check_status(work(statement));
	}
	PG_CATCH();
	{
		face_gate_failed(gate);
		PG_RE_THROW();
	}
	PG_END_TRY();
	face_close_gate(gate);
}

/*
 * Statements on the extension's own tables, as their owner.  Within SPI_connect, as
 * all of these.  With a snapshot that the caller holds it only reads; NULL: the newest.
 */
void
face_run_plan_at(FacePlan *plan, Datum *values, Oid run_as, Snapshot snapshot)
{
	Statement	statement = {.kept = plan, .values = values, .snapshot = snapshot};
	FaceGate	gate;

	face_open_for_own(&gate, run_as);
	run_through(&gate, snapshot == NULL ? execute : execute_at, &statement);
}

uint64
face_run(const char *sql, int nargs, Oid *types, Datum *values, Oid run_as)
{
	Statement	statement = {.sql = sql, .nargs = nargs, .types = types, .values = values};
	FaceGate	gate;

	face_open_for_own(&gate, run_as);
	run_through(&gate, execute, &statement);
	return SPI_processed;
}

/* One row at most that only reads them, with the caller's snapshot; InvalidOid: with the privileges of the caller, too. */
void
face_read_plan(FacePlan *plan, Datum *values, Oid run_as)
{
	Statement	statement = {.kept = plan, .values = values};
	FaceGate	gate;

	if (!OidIsValid(run_as))
	{
		check_status(execute_read(&statement));
		return;
	}
	face_open_for_own(&gate, run_as);
	run_through(&gate, execute_read, &statement);
}

/* A statement on a user's table, or one that runs code of the table's: as its owner. */
uint64
face_run_on(Oid relid, const char *sql, int nargs, Oid *types, Datum *values)
{
	Statement	statement = {.sql = sql, .nargs = nargs, .types = types, .values = values};
	FaceGate	gate;

	face_open_for_table(&gate, relid, sql);
	run_through(&gate, execute, &statement);
	return SPI_processed;
}

/* Rows that are fetched at once. */
#define SCAN_ROWS	1000

static void
scan(const Statement *statement, FaceRowSeen seen, void *state)
{
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext, "facematch rows of a table", ALLOCSET_DEFAULT_SIZES);
	Portal		portal = SPI_cursor_open_with_args(NULL, statement->sql, statement->nargs, statement->types, statement->values,
												   NULL, true, 0);
	uint64		fetched;

	do
	{
		SPITupleTable *table;
		MemoryContext caller;

		SPI_cursor_fetch(portal, true, SCAN_ROWS);
		table = SPI_tuptable;
		fetched = SPI_processed;
		caller = MemoryContextSwitchTo(rows);
		for (uint64 i = 0; i < fetched; i++)
			seen(table->vals[i], table->tupdesc, state);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(rows);
		SPI_freetuptable(table);
		CHECK_FOR_INTERRUPTS();
	} while (fetched > 0);
	SPI_cursor_close(portal);
	MemoryContextDelete(rows);
}

/* A query of a user's table, as its owner, some rows at a time; what is done with them is the extension's. */
void
face_scan_on(Oid relid, const char *sql, int nargs, Oid *types, Datum *values, FaceRowSeen seen, void *state)
{
	Statement	statement = {.sql = sql, .nargs = nargs, .types = types, .values = values};
	FaceGate	gate;

	face_open_for_table(&gate, relid, sql);
	PG_TRY();
	{
		scan(&statement, seen, state);
	}
	PG_CATCH();
	{
		face_gate_failed(&gate);
		PG_RE_THROW();
	}
	PG_END_TRY();
	face_close_gate(&gate);
}

/* A statement that changes what a user's table is, with the caller's privileges. */
void
face_run_ddl(Oid relid, const char *sql)
{
	Statement	statement = {.sql = sql};
	FaceGate	gate;

	face_keep_name(relid, sql);
	face_open_for_ddl(&gate, relid);
	run_through(&gate, execute_utility, &statement);
}

/* Commits; what follows sees what others have committed since, and is not refused because of it. */
void
face_next_transaction(void)
{
	SPI_commit();
	XactIsoLevel = XACT_READ_COMMITTED;
}

static void
forget_at_end(XactEvent event, void *forget)
{
	((void (*) (void)) forget) ();
}

static void
forget_at_abort(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid, void *forget)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		((void (*) (void)) forget) ();
}

/* For what is true while locks are held: they go with the transaction, and with the subtransaction that took them. */
void
face_forget_at_end(void (*forget) (void))
{
	RegisterXactCallback(forget_at_end, (void *) forget);
	RegisterSubXactCallback(forget_at_abort, (void *) forget);
}

/* Whether a row in the index, as newest committed, passes the test.  For what is too hot for SPI. */
bool
face_find_row(Oid table, Oid index, int nkeys, ScanKey keys, FaceRowTest test, void *state)
{
	Relation	heap = table_open(table, AccessShareLock);
	Relation	by = index_open(index, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = NULL;
	IndexScanDesc scan;
	bool		found = false;

	scan = face_index_beginscan(heap, by, snapshot, nkeys, 0);
	index_rescan(scan, keys, nkeys, NULL, 0);
	/* Most look-ups find nothing: the slot is made for the first that does not. */
	while (!found && index_getnext_tid(scan, ForwardScanDirection) != NULL)
	{
		if (slot == NULL)
			slot = table_slot_create(heap, NULL);
		found = index_fetch_heap(scan, slot) && test(slot, state);
	}
	index_endscan(scan);
	if (slot != NULL)
		ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	index_close(by, AccessShareLock);
	table_close(heap, AccessShareLock);
	return found;
}

/* Whether a look-up reads an index as it was made for: the first columns' own order, ascending. */
static bool
is_in_order(Relation heap, Oid indexid, int nkeys)
{
	Relation	index = index_open(indexid, AccessShareLock);
	bool		is = index->rd_rel->relam == BTREE_AM_OID;

	for (int i = 0; is && i < nkeys; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(heap), index->rd_index->indkey.values[i] - 1);

		is = index->rd_indoption[i] == 0 && index->rd_indcollation[i] == column->attcollation &&
			index->rd_opfamily[i] == lookup_type_cache(column->atttypid, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	}
	index_close(index, AccessShareLock);
	return is;
}

/* A finished btree index on all rows of a table that begins with these columns; a site may have added others, of any kind. */
Oid
face_index_on(Oid table, int nkeys, const char *const *columns)
{
	Relation	heap = table_open(table, AccessShareLock);
	List	   *indexes = RelationGetIndexList(heap);
	Oid			found = InvalidOid;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
		Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
		bool		fits = index->indisvalid && index->indnkeyatts >= nkeys &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL);

		for (int i = 0; fits && i < nkeys; i++)
			fits = index->indkey.values[i] == get_attnum(table, columns[i]);
		if (fits && is_in_order(heap, index->indexrelid, nkeys))
			found = index->indexrelid;
		ReleaseSysCache(tuple);
	}
	table_close(heap, AccessShareLock);
	if (!OidIsValid(found))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has lost its index on \"%s\"", get_rel_name(table), columns[0]),
				 errhint("Create the index again: opt-outs and holds are looked up through it for every row.")));
	return found;
}
