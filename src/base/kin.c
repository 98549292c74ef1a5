/*-------------------------------------------------------------------------
 *
 * kin.c
 *	  Tables that belong together: partitions, tables that inherit, and those
 *	  that foreign keys lead to.
 *
 * Nothing here reads a partition key or a bound: PostgreSQL folds those when it
 * builds what it knows of a partitioned table, and they may call its owner's
 * functions (gate.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "base/kin.h"
#include "base/run.h"

PG_FUNCTION_INFO_V1(facematch_with_heirs);

/* The rows of a catalog that have this key, copied, by an index that begins with it; snapshot NULL: the newest. */
List *
face_catalog_rows(Oid catalog, Oid index, AttrNumber column, Oid key, Snapshot snapshot)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData equal;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *rows = NIL;

	ScanKeyInit(&equal, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(key));
	scan = systable_beginscan(rel, index, true, snapshot, 1, &equal);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		rows = lappend(rows, heap_copytuple(tuple));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return rows;
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

	for (int i = 0; i < list_length(found); i++)
	{
		/* One that is dropped has none. */
		if (face_exists(list_nth_oid(found, i)))
			found = list_concat_unique_oid(found, find_inheritance_children_extended(list_nth_oid(found, i), false, lockmode, NULL, NULL));
	}
	return found;
}

static List *
links_of(Oid relid)
{
	return face_catalog_rows(InheritsRelationId, InheritsRelidSeqnoIndexId, Anum_pg_inherits_inhrelid, relid, NULL);
}

static void
add_parents(List **line)
{
	ListCell   *cell;

	for (int i = 0; i < list_length(*line); i++)
	{
		foreach(cell, links_of(list_nth_oid(*line, i)))
			*line = list_append_unique_oid(*line, ((Form_pg_inherits) GETSTRUCT((HeapTuple) lfirst(cell)))->inhparent);
	}
}

/* And what it is a partition of, or inherits from. */
List *
face_with_kin(Oid relid)
{
	List	   *kin = face_with_heirs(relid, NoLock);

	add_parents(&kin);
	return kin;
}

/*
 * A relation, then what it is a partition of, from its parent on.  PostgreSQL's
 * own list of ancestors ends at a partition that is half detached.
 */
List *
face_line(Oid relid)
{
	List	   *line = list_make1_oid(relid);

	if (get_rel_relispartition(relid))
		add_parents(&line);
	return line;
}

/* A table, and its partitions that a DETACH CONCURRENTLY has begun to detach: statements that name the table pass over these. */
List *
face_with_half_detached(Oid relid)
{
	List	   *found = list_make1_oid(relid);
	ListCell   *heir;
	ListCell   *cell;

	foreach(heir, face_with_heirs(relid, NoLock))
	{
		foreach(cell, links_of(lfirst_oid(heir)))
		{
			if (lfirst_oid(heir) != relid && ((Form_pg_inherits) GETSTRUCT((HeapTuple) lfirst(cell)))->inhdetachpending)
				found = lappend_oid(found, lfirst_oid(heir));
		}
	}
	return found;
}

/* What foreign keys do to rows that refer to one that goes or gets another key; "no action" and "restrict" change none. */
typedef bool (*IsAction) (Oid function);

static bool
deletes_on_delete(Oid function)
{
	return function == F_RI_FKEY_CASCADE_DEL;
}

static bool
updates_on_delete(Oid function)
{
	return function == F_RI_FKEY_SETNULL_DEL || function == F_RI_FKEY_SETDEFAULT_DEL;
}

static bool
updates_on_update(Oid function)
{
	return function == F_RI_FKEY_CASCADE_UPD || function == F_RI_FKEY_SETNULL_UPD || function == F_RI_FKEY_SETDEFAULT_UPD;
}

static List *
add_referring(Oid relid, IsAction is_action, LOCKMODE lockmode, List *found)
{
	List	   *referring = NIL;
	ListCell   *cell;

	foreach(cell, face_catalog_rows(TriggerRelationId, TriggerRelidNameIndexId, Anum_pg_trigger_tgrelid, relid, NULL))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT((HeapTuple) lfirst(cell));

		if (trigger->tgisinternal && trigger->tgenabled != TRIGGER_DISABLED && is_action(trigger->tgfoid) &&
			!list_member_oid(found, trigger->tgconstrrelid))
			referring = list_append_unique_oid(referring, trigger->tgconstrrelid);
	}
	foreach(cell, referring)
	{
		if (lockmode != NoLock)
			LockRelationOid(lfirst_oid(cell), lockmode);
	}
	return list_concat(found, referring);
}

/* One that is dropped has none. */
static List *
add_heirs(Oid relid, LOCKMODE lockmode, List *found)
{
	if (!face_exists(relid))
		return found;
	return list_concat_unique_oid(found, find_inheritance_children_extended(relid, false, lockmode, NULL, NULL));
}

/* A table that a statement deletes from or updates, its heirs, and the tables whose rows foreign keys change or delete with theirs, and so on. */
List *
face_reached(Oid relid, bool deletes, bool updates, LOCKMODE lockmode)
{
	List	   *deleted = deletes ? list_make1_oid(relid) : NIL;
	List	   *updated = updates ? list_make1_oid(relid) : NIL;

	for (int i = 0; i < list_length(deleted); i++)
	{
		Oid			of = list_nth_oid(deleted, i);

		deleted = add_heirs(of, lockmode, deleted);
		deleted = add_referring(of, deletes_on_delete, lockmode, deleted);
		updated = add_referring(of, updates_on_delete, lockmode, updated);
	}
	for (int i = 0; i < list_length(updated); i++)
	{
		Oid			of = list_nth_oid(updated, i);

		updated = add_heirs(of, lockmode, updated);
		updated = add_referring(of, updates_on_update, lockmode, updated);
	}
	return list_concat_unique_oid(deleted, updated);
}

/*--------------------------------------------------------- SQL */

/* with_heirs(table regclass, and_parents boolean, and_referring boolean) */
Datum
facematch_with_heirs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = PG_GETARG_OID(0);
	List	   *relations = PG_GETARG_BOOL(1) ? face_with_kin(relid) : PG_GETARG_BOOL(2) ? face_reached(relid, true, true, NoLock) :
		face_with_heirs(relid, NoLock);
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	foreach(cell, relations)
	{
		Datum		value = ObjectIdGetDatum(lfirst_oid(cell));
		bool		isnull = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}
