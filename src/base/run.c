/*-------------------------------------------------------------------------
 *
 * run.c
 *	  SQL run by the retention triggers, and look-ups through an index.
 *
 * Statements run as the owner of the table they touch, as those of foreign
 * keys do: whoever fires a trigger needs no right of his own to what it reads,
 * and a trigger on a user's table never runs with more than that user's rights.
 * Nor later: where the owner is no superuser the statement is a restricted
 * operation, as VACUUM's index expressions are.  A deferred trigger, which would
 * fire at the commit with the rights of whoever purges, is an error, and what
 * the owner's code sets is set back.
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
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "replication/origin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
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

/* Whether a relation is the extension's own, and not a user's. */
bool
face_is_own(Oid relid)
{
	Oid			schema = get_rel_namespace(relid);

	return schema == get_namespace_oid(FACE_SCHEMA, false) || schema == get_namespace_oid(FACE_INTERNAL_SCHEMA, false);
}

void
face_report_missing(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation with OID %u does not exist", relid),
			 errhint("It has been dropped, or the number was never a relation's.")));
}

Oid
face_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		face_report_missing(relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
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

/* Whose rights there were before, to go back to. */
typedef struct Rights
{
	Oid			user;
	int			context;
	int			settings;
	bool		restricted;
} Rights;

static Rights
take_rights(Oid run_as)
{
	Rights		before;

	before.restricted = !superuser_arg(run_as);
	before.settings = NewGUCNestLevel();
	/* Plans of what runs here, with a subject's pseudonym as a constant, would go to whoever asks for them. */
	if (Debug_print_plan)
		(void) set_config_option("debug_print_plan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	/* What a superuser's session does as a replica was sent by nobody: rows that hang on others go with them, and the log has it. */
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA && !face_was_sent())
		(void) set_config_option("session_replication_role", "origin", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(run_as, before.context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS |
						   (before.restricted ? SECURITY_RESTRICTED_OPERATION : 0));
	return before;
}

/* After an error the (sub)transaction's end does the same. */
static void
give_back_rights(const Rights *before)
{
	SetUserIdAndSecContext(before->user, before->context);
	AtEOXact_GUC(!before->restricted, before->settings);
}

static void
execute(SPIPlanPtr plan, Datum *values)
{
	bool		one_snapshot = IsolationUsesXactSnapshot();
	int			status;

	CommandCounterIncrement();
	status = SPI_execute_snapshot(plan, values, NULL, GetLatestSnapshot(),
								  one_snapshot ? GetTransactionSnapshot() : InvalidSnapshot, false, true, 0);
	if (status < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(status));
}

/* Within SPI_connect. */
void
face_run_plan(FacePlan *plan, Datum *values, Oid run_as)
{
	Rights		before = take_rights(run_as);

	if (plan->plan == NULL)
	{
		SPIPlanPtr	prepared = SPI_prepare(plan->sql, plan->nargs, plan->types);

		if (prepared == NULL || SPI_keepplan(prepared) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		plan->plan = prepared;
	}
	execute(plan->plan, values);
	give_back_rights(&before);
}

/* The same for a statement that is not worth a plan. */
uint64
face_run(const char *sql, int nargs, Oid *types, Datum *values, Oid run_as)
{
	Rights		before = take_rights(run_as);
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_PARALLEL_OK);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	execute(plan, values);
	give_back_rights(&before);
	return SPI_processed;
}

/*
 * A table, its partitions and those that inherit from it, parents first.  One
 * that a DETACH CONCURRENTLY has begun to detach is among them: statements that
 * name the parent pass over it, and its rows are under retention all the same.
 */
List *
face_with_heirs(Oid relid, LOCKMODE lockmode)
{
	List	   *found = list_make1_oid(relid);

	if (!face_exists(relid))
		face_report_missing(relid);
	for (int i = 0; i < list_length(found); i++)
		found = list_concat_unique_oid(found, find_inheritance_children_extended(list_nth_oid(found, i), false, lockmode, NULL, NULL));
	return found;
}

/* Commits; what follows sees what others have committed since, and is not refused because of it. */
void
face_next_transaction(void)
{
	SPI_commit();
	XactIsoLevel = XACT_READ_COMMITTED;
}

/* Whether a row in the index, as newest committed, passes the test.  For what is too hot for SPI. */
bool
face_find_row(Oid table, Oid index, int nkeys, ScanKey keys, FaceRowTest test, void *state)
{
	Relation	heap = table_open(table, AccessShareLock);
	Relation	by = index_open(index, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	IndexScanDesc scan;
	bool		found = false;

	scan = face_index_beginscan(heap, by, snapshot, nkeys, 0);
	index_rescan(scan, keys, nkeys, NULL, 0);
	while (!found && index_getnext_slot(scan, ForwardScanDirection, slot))
		found = test(slot, state);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	index_close(by, AccessShareLock);
	table_close(heap, AccessShareLock);
	return found;
}

/* The valid btree index of a table that begins with these columns. */
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
		if (fits)
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
