/*-------------------------------------------------------------------------
 *
 * keep.c
 *	  Refuses ordinary DDL that would remove what the law keeps.
 *
 * - The extension, and whatever belongs to it, cannot be dropped while its tables
 *   have rows, unless facematch.decommission() is the newest event of the log.
 * - What belongs to it cannot be renamed or moved, because its functions call each
 *   other by name.
 * - Nothing is added to a table whose rows survive their transaction that its rows
 *   would be written past (base/surviving.c).
 * - A table under retention, or a partition of one, cannot be dropped or detached
 *   while a hold keeps rows of it, nor can the columns by which holds name rows be
 *   rewritten. Without held rows this is allowed and logged.
 *
 * PostgreSQL calls object_access_hook for each object that is dropped or changed,
 * however the statement reached it: DROP OWNED, or DROP SCHEMA ... CASCADE. That
 * hook needs the library to be loaded. So the extension owns an event trigger
 * before each DDL statement, facematch_keep, whose function is in this file: to
 * call it, the session loads the library.
 *
 * The scripts of CREATE EXTENSION and ALTER EXTENSION UPDATE, and pg_upgrade, are
 * allowed. DROP DATABASE does not look into the database, so nothing there can
 * refuse it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/objectaccess.h"
#include "catalog/objectaddress.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/gate.h"
#include "base/kin.h"
#include "base/refusal.h"
#include "base/run.h"
#include "base/surviving.h"
#include "retention/keep.h"
#include "retention/retained.h"

PG_FUNCTION_INFO_V1(facematch_keep);

/* In this transaction the extension may go: asked once, before the first of its objects is gone. */
static TransactionId going = InvalidTransactionId;

/*--------------------------------------------------------- the extension */

/* What prevents dropping the extension, in words; NULL: nothing. */
static char *
what_stands(void)
{
	MemoryContext memory = CurrentMemoryContext;
	char	   *stands;

	SPI_connect();
	face_run("SELECT pg_catalog.string_agg(s.what, ', ') FROM facematch_internal.standing s", 0, NULL, NULL, face_owner(face_table("retained")));
	stands = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (stands != NULL)
		stands = MemoryContextStrdup(memory, stands);
	SPI_finish();
	return stands;
}

static void
refuse_while_rows_stand(void)
{
	char	   *stands;

	if (TransactionIdIsValid(going) && going == GetTopTransactionIdIfAny())
		return;
	stands = what_stands();
	if (stands != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST), face_refusal("extension_has_no_rows"),
				 errmsg("extension facematch cannot be dropped, nor a part of it: it has %s", stands),
				 errdetail("They would be deleted with it, without a receipt."),
				 errhint("To remove everything, CALL facematch.decommission('reason'), then drop the extension."
						 " To restore a dump, restore it into an empty database.")));
	going = GetTopTransactionId();
}

/* A column that a site has added to a table of the extension's: it is no part of it, and its dumps do not restore. */
static bool
is_sites_column(Oid classId, Oid objectId, int subId)
{
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(objectId), (Datum) 0};
	char	   *column = classId == RelationRelationId && subId > 0 ? get_attname(objectId, subId, true) : NULL;
	bool		isnull;
	Datum		known;
	bool		is_sites;

	if (column == NULL)
		return false;
	values[1] = CStringGetTextDatum(column);
	SPI_connect();
	face_run("SELECT pg_catalog.bool_or(e.name OPERATOR(pg_catalog.=) $2) FROM facematch_internal.expected_part e"
			 " WHERE e.table_name OPERATOR(pg_catalog.=) $1 AND e.kind OPERATOR(pg_catalog.=) 'column'",
			 lengthof(types), types, values, face_owner(face_table("retained")));
	known = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	is_sites = !isnull && !DatumGetBool(known);
	SPI_finish();
	return is_sites;
}

/*--------------------------------------------------------- names */

/* Where an object's name is: a row of a catalog. */
typedef struct NamedRow
{
	Oid			catalog;
	Oid			index;
	int			nkeys;
	ScanKeyData keys[2];
	AttrNumber	name;
	AttrNumber	schema;
} NamedRow;

static bool
find_named_row(NamedRow *row, Oid classId, Oid objectId, int subId)
{
	bool		column = classId == RelationRelationId && subId != 0;

	if (!column && !is_objectclass_supported(classId))
		return false;
	row->catalog = column ? AttributeRelationId : classId;
	row->index = column ? AttributeRelidNumIndexId : get_object_oid_index(classId);
	row->nkeys = column ? 2 : 1;
	row->name = column ? Anum_pg_attribute_attname : get_object_attnum_name(classId);
	row->schema = column ? InvalidAttrNumber : get_object_attnum_namespace(classId);
	ScanKeyInit(&row->keys[0], column ? Anum_pg_attribute_attrelid : get_object_attnum_oid(classId),
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(objectId));
	ScanKeyInit(&row->keys[1], Anum_pg_attribute_attnum, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(subId));
	return row->name != InvalidAttrNumber;
}

/* The name, and the schema, that a snapshot shows. */
static char *
name_by(const NamedRow *row, Snapshot snapshot)
{
	Relation	rel = table_open(row->catalog, AccessShareLock);
	ScanKeyData keys[2] = {row->keys[0], row->keys[1]};
	SysScanDesc scan = systable_beginscan(rel, row->index, true, snapshot, row->nkeys, keys);
	HeapTuple	tuple = systable_getnext(scan);
	char	   *name = NULL;
	bool		isnull;

	if (HeapTupleIsValid(tuple))
		name = psprintf("%u.%s",
						row->schema == InvalidAttrNumber ? InvalidOid :
						DatumGetObjectId(heap_getattr(tuple, row->schema, RelationGetDescr(rel), &isnull)),
						NameStr(*DatumGetName(heap_getattr(tuple, row->name, RelationGetDescr(rel), &isnull))));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return name;
}

/* Whether the statement gives an object another name or schema: what it has written, and what was there before. */
static bool
is_renamed(Oid classId, Oid objectId, int subId)
{
	NamedRow	row;
	char	   *before;
	char	   *after;

	if (!find_named_row(&row, classId, objectId, subId))
		return false;
	before = name_by(&row, NULL);
	after = name_by(&row, SnapshotSelf);
	return before != NULL && after != NULL && strcmp(before, after) != 0;
}

/* The schema that the type is in, which need not be the extension's own. */
static Oid
schema_of_type(Oid extension)
{
	List	   *rows = face_catalog_rows(ExtensionRelationId, ExtensionOidIndexId, Anum_pg_extension_oid, extension, NULL);

	return rows == NIL ? InvalidOid : ((Form_pg_extension) GETSTRUCT((HeapTuple) linitial(rows)))->extnamespace;
}

static bool
is_part(Oid extension, Oid classId, Oid objectId)
{
	return getExtensionOfObject(classId, objectId) == extension ||
		(classId == NamespaceRelationId && objectId == schema_of_type(extension));
}

static void
refuse_other_name(Oid extension, Oid classId, Oid objectId, int subId)
{
	ObjectAddress object;

	if (!is_part(extension, classId, objectId) || !is_renamed(classId, objectId, subId))
		return;
	ObjectAddressSubSet(object, classId, objectId, subId);
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), face_refusal("extension_keeps_its_names"),
			 errmsg("%s cannot be renamed or moved", getObjectDescription(&object, false)),
			 errdetail("It is part of extension facematch, whose functions call each other by name."),
			 errhint("A view of your own can have the other name.")));
}

/*--------------------------------------------------------- tables under retention */

/* The table under retention that a relation is, or is a partition of. */
static const FaceRetained *
retained_by(Oid relid, Oid parent)
{
	List	   *line = face_line(OidIsValid(parent) ? parent : relid);

	return face_retained_among(list_append_unique_oid(line, relid));
}

static bool
keeps_any(const FaceKept *kept)
{
	ArrayType  *rows = DatumGetArrayTypeP(kept->rows);
	ArrayType  *subjects = DatumGetArrayTypeP(kept->subjects);

	return ArrayGetNItems(ARR_NDIM(rows), ARR_DIMS(rows)) + ArrayGetNItems(ARR_NDIM(subjects), ARR_DIMS(subjects)) > 0;
}

/* Rows that leave with a relation, and how many of them a hold keeps. */
typedef struct Leaving
{
	const FaceRetained *table;
	FaceKept	kept;
	bool		any;			/* whether there is a hold at all */
	int64		rows;
	int64		held;
} Leaving;

static void
count_rows(Leaving *leaving, Oid relid)
{
	FaceRetained part = *leaving->table;
	Oid			types[] = {TEXTARRAYOID, UUIDARRAYOID};
	Datum		values[] = {leaving->kept.rows, leaving->kept.subjects};
	const char *not_held = "$1 IS NOT NULL OR $2 IS NOT NULL";

	part.relid = relid;
	if (leaving->any)
		not_held = face_not_held(&part, "d", 1);
	SPI_connect();
	face_run_on(relid, psprintf("SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE NOT (%s)) FROM ONLY %s d",
								not_held, face_qualified_name(relid)), lengthof(types), types, values);
	leaving->rows += DatumGetInt64(face_result(1, NULL));
	leaving->held += DatumGetInt64(face_result(2, NULL));
	SPI_finish();
}

/* Partition by partition: no query reads a partitioned table that is just being detached. */
static Leaving
rows_leaving(const FaceRetained *table, Oid relid)
{
	Leaving		leaving = {.table = table, .kept = face_kept_by_holds(table->relid)};
	ListCell   *cell;

	leaving.any = keeps_any(&leaving.kept);
	foreach(cell, face_with_heirs(relid, AccessShareLock))
	{
		Oid			part = lfirst_oid(cell);

		if (get_rel_relkind(part) == RELKIND_RELATION && (part == relid || get_rel_relispartition(part)))
			count_rows(&leaving, part);
	}
	return leaving;
}

static void
log_rows_gone(const char *action, Oid relid, int64 rows)
{
	StringInfoData detail;

	initStringInfo(&detail);
	appendStringInfoString(&detail, "{\"table\": ");
	escape_json(&detail, face_qualified_name(relid));
	appendStringInfo(&detail, ", \"rows\": %lld}", (long long) rows);
	face_write_audit(action, detail.data);
}

/* Rows leave retention with the relation, or with a column of it that a hold is about. */
static void
refuse_while_held(const FaceRetained *table, Oid relid, const char *how, const char *action)
{
	Leaving		leaving;

	if (table == NULL)
		return;
	leaving = rows_leaving(table, relid);
	if (leaving.held > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION), face_refusal("row_is_not_held"),
				 errmsg("%s is under retention and cannot be %s: holds keep %lld of its rows",
						face_qualified_name(relid), how, (long long) leaving.held),
				 errhint("facematch.held says why and until when.")));
	log_rows_gone(action, relid, leaving.rows);
}

/* What a hold names a row by, and what it keeps of it. */
static bool
holds_need(const FaceRetained *table, Oid relid, int subId)
{
	char	   *column = get_attname(relid, subId, true);

	return table != NULL && column != NULL &&
		(strcmp(column, table->key) == 0 ||
		 (table->subject != NULL && strcmp(column, table->subject) == 0) ||
		 (table->template != NULL && strcmp(column, table->template) == 0));
}

/* Both ATTACH and DETACH tell of the pair; after DETACH there is no row of it any more. */
static bool
is_detached(Oid child, Oid parent)
{
	ListCell   *cell;

	foreach(cell, face_catalog_rows(InheritsRelationId, InheritsRelidSeqnoIndexId, Anum_pg_inherits_inhrelid, child, SnapshotSelf))
	{
		if (((Form_pg_inherits) GETSTRUCT((HeapTuple) lfirst(cell)))->inhparent == parent)
			return false;
	}
	return true;
}

/*--------------------------------------------------------- before a statement */

/* Searches go on, and their rows would be without what the owner adds here. */
static void
refuse_added(Oid relid, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), face_refusal("surviving_rows_are_plain"),
			 errmsg("%s cannot have %s", face_qualified_name(relid), what),
			 errdetail("Its rows stay even if their transaction fails: no constraint, expression or condition is looked at."),
			 errhint("An index on plain columns can be added. Keep other columns in a table of your own.")));
}

/* The table of a statement, if its rows survive and the user may alter it; who may not is refused by PostgreSQL. */
static Oid
surviving_table(const RangeVar *relation)
{
	Oid			relid = RangeVarGetRelid(relation, NoLock, true);

	return OidIsValid(relid) && face_has_surviving(relid) && has_privs_of_role(GetUserId(), face_owner(relid)) ? relid : InvalidOid;
}

static void
refuse_index(const IndexStmt *statement)
{
	Oid			relid = surviving_table(statement->relation);
	ListCell   *cell;

	if (!OidIsValid(relid))
		return;
	if (statement->unique)
		refuse_added(relid, "a unique index");
	if (statement->whereClause != NULL)
		refuse_added(relid, "an index with a condition");
	foreach(cell, statement->indexParams)
	{
		if (lfirst_node(IndexElem, cell)->expr != NULL)
			refuse_added(relid, "an index on an expression");
	}
}

static void
refuse_column_or_constraint(const AlterTableStmt *statement)
{
	Oid			relid = surviving_table(statement->relation);
	ListCell   *cell;

	if (!OidIsValid(relid))
		return;
	foreach(cell, statement->cmds)
	{
		switch (lfirst_node(AlterTableCmd, cell)->subtype)
		{
			case AT_AddColumn:
				refuse_added(relid, "a column of a site");
				break;
			case AT_AlterColumnType:
				refuse_added(relid, "a column of another type");
				break;
			case AT_SetNotNull:
			case AT_AddConstraint:
				refuse_added(relid, "a constraint");
				break;
			default:
				break;
		}
	}
}

/*
 * A new type, or USING, writes the values of a column again past every trigger; an
 * unlogged table is empty after a crash, and on every standby.  Both are refused
 * before the statement, when the rows can still be read.  Whose table it is not is
 * refused by PostgreSQL, and told nothing.
 */
static void
refuse_altered(AlterTableStmt *statement)
{
	Oid			relid = RangeVarGetRelid(statement->relation, NoLock, true);
	ListCell   *cell;

	if (!OidIsValid(relid) || !has_privs_of_role(GetUserId(), face_owner(relid)))
		return;
	foreach(cell, statement->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);
		const FaceRetained *table;

		if (command->subtype != AT_AlterColumnType && command->subtype != AT_SetUnLogged)
			continue;
		table = retained_by(relid, InvalidOid);
		if (command->subtype == AT_SetUnLogged)
			refuse_while_held(table, relid, "made unlogged", "table_unlogged");
		else if (holds_need(table, relid, get_attnum(relid, command->name)))
			refuse_while_held(table, relid, "rewritten", "column_rewritten");
	}
}

/* keep() returns event_trigger: before each DDL statement.  It loads the library, and the question is asked again. */
Datum
facematch_keep(PG_FUNCTION_ARGS)
{
	Node	   *statement;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("facematch_internal.keep must be fired by an event trigger")));
	going = InvalidTransactionId;
	statement = ((EventTriggerData *) fcinfo->context)->parsetree;
	if (!creating_extension && IsA(statement, AlterTableStmt))
	{
		refuse_column_or_constraint((AlterTableStmt *) statement);
		refuse_altered((AlterTableStmt *) statement);
	}
	else if (!creating_extension && IsA(statement, IndexStmt))
		refuse_index((IndexStmt *) statement);
	PG_RETURN_NULL();
}

/*--------------------------------------------------------- what PostgreSQL tells */

static bool
is_table(Oid classId, Oid objectId)
{
	char		kind = classId == RelationRelationId ? get_rel_relkind(objectId) : '\0';

	return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE;
}

static void
before_drop(Oid extension, Oid classId, Oid objectId, int subId)
{
	if (getExtensionOfObject(classId, objectId) == extension)
	{
		if (!is_sites_column(classId, objectId, subId))
			refuse_while_rows_stand();
	}
	/* While the extension itself goes, it has looked at all of it before. */
	else if (!is_table(classId, objectId) || going == GetTopTransactionIdIfAny())
		return;
	else
	{
		const FaceRetained *table = retained_by(objectId, InvalidOid);

		if (subId == 0)
			refuse_while_held(table, objectId, "dropped", "table_dropped");
		else if (holds_need(table, objectId, subId))
			refuse_while_held(table, objectId, "altered", "column_dropped");
	}
}

/* A trigger refuses it on the table under retention itself; PostgreSQL gives its partitions none. */
static void
before_truncate(Oid relid)
{
	const FaceRetained *table = get_rel_relispartition(relid) ? retained_by(relid, InvalidOid) : NULL;

	refuse_while_held(table, relid, "truncated", "partition_truncated");
}

static void
after_alter(Oid extension, Oid classId, Oid objectId, int subId, Oid parent)
{
	if (classId != InheritsRelationId)
		refuse_other_name(extension, classId, objectId, subId);
	else if (get_rel_relispartition(objectId) && is_detached(objectId, parent))
		refuse_while_held(retained_by(objectId, parent), objectId, "detached", "partition_detached");
}

/* The server's own work: temporary tables, what CLUSTER and REINDEX leave. */
static bool
is_internal(ObjectAccessType access, void *arg)
{
	if (access == OAT_DROP)
		return (((ObjectAccessDrop *) arg)->dropflags & PERFORM_DELETION_INTERNAL) != 0;
	return access == OAT_POST_ALTER && ((ObjectAccessPostAlter *) arg)->is_internal;
}

static void
keep(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	Oid			extension;

	if ((access != OAT_DROP && access != OAT_POST_ALTER && access != OAT_TRUNCATE) || is_internal(access, arg) ||
		creating_extension || IsBinaryUpgrade || !IsNormalProcessingMode())
		return;
	extension = get_extension_oid("facematch", true);
	/* While it is being dropped, its tables are gone before it is. */
	if (!OidIsValid(extension) || !OidIsValid(get_relname_relid("retained", get_namespace_oid(FACE_INTERNAL_SCHEMA, true))))
		return;
	if (access == OAT_DROP)
		before_drop(extension, classId, objectId, subId);
	else if (access == OAT_TRUNCATE)
		before_truncate(objectId);
	else
		after_alter(extension, classId, objectId, subId, ((ObjectAccessPostAlter *) arg)->auxiliary_id);
}

void
face_keep_init(void)
{
	face_watch_objects(keep);
}
