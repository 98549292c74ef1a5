/*-------------------------------------------------------------------------
 *
 * truncate.c
 *	  TRUNCATE is refused by us before it is refused for another reason.
 *
 * Tables under retention and records have a trigger that refuses TRUNCATE
 * (facematch_internal.refuse_change).  PostgreSQL looks at foreign keys before it fires
 * any, and where one refers to the table its hint leads astray: to truncate
 * more, or to CASCADE, which the trigger refuses.  So where the library is
 * loaded, the same is said as soon as the table is named, to whoever might
 * truncate it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "base/run.h"
#include "retention/truncate.h"

static object_access_hook_type next_object_access = NULL;

/* As PostgreSQL decides it for a trigger that it is about to fire. */
static bool
is_enabled(Form_pg_trigger trigger)
{
	switch (trigger->tgenabled)
	{
		case TRIGGER_DISABLED:
			return false;
		case TRIGGER_FIRES_ON_ORIGIN:
			return SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA;
		case TRIGGER_FIRES_ON_REPLICA:
			return SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA;
		default:
			return true;
	}
}

static bool
refuses_truncate(Form_pg_trigger trigger)
{
	char	   *function;

	if (!TRIGGER_FOR_TRUNCATE(trigger->tgtype) || !is_enabled(trigger))
		return false;
	function = get_func_name(trigger->tgfoid);
	return function != NULL && strcmp(function, "refuse_change") == 0 &&
		get_func_namespace(trigger->tgfoid) == get_namespace_oid(FACE_INTERNAL_SCHEMA, true);
}

static bool
has_refusing_trigger(Oid relid)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = refuses_truncate((Form_pg_trigger) GETSTRUCT(tuple));
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return found;
}

static void
refuse_truncate(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	if (next_object_access != NULL)
		next_object_access(access, classId, objectId, subId, arg);
	if (access == OAT_TRUNCATE && pg_class_aclcheck(objectId, GetUserId(), ACL_TRUNCATE) == ACLCHECK_OK && has_refusing_trigger(objectId))
		ereport(ERROR,
				(errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION),
				 errmsg("truncate of %s is refused", quote_identifier(get_rel_name(objectId))),
				 errdetail("It would pass by holds and receipts."),
				 errhint("DELETE rows, or CALL facematch.purge() for what is due.")));
}

void
face_truncate_init(void)
{
	next_object_access = object_access_hook;
	object_access_hook = refuse_truncate;
}
