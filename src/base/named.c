/*-------------------------------------------------------------------------
 *
 * named.c
 *	  What a statement on a user's table names, and what it reaches.
 *
 * The gate chooses the role by the table's OID, but a statement is a text with a
 * name. While it waits for a lock, whoever owns the schema may drop the table and
 * make a view of the same name, or rename the schema, which takes no lock on the
 * table. So:
 *
 * - A query is looked at after its analysis, which has resolved its names and locked
 *   what they lead to, and before its planning, which may call functions (gate.c).
 *   What it names must be the table itself, or the extension's, or the server's, and
 *   the role must still be the one that the gate would choose.
 * - A statement that changes a table resolves its names too late for that. So the
 *   table and the name of its schema are locked first.
 *
 * Foreign keys with an action carry a deletion or a new key to tables that refer to
 * the table. There PostgreSQL runs checks, defaults and BEFORE triggers as that
 * table's owner, but AFTER triggers as the role of the statement, also those of tables
 * that a rewrite rule leads to. So AFTER triggers and rules of another ordinary role
 * are refused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "base/gate.h"
#include "base/kin.h"
#include "base/named.h"
#include "base/refusal.h"
#include "base/run.h"

/*--------------------------------------------------------- what it reaches */

static bool
belongs_to_another(Oid relid, Oid role)
{
	Oid			owner;

	if (!face_exists(relid))
		return false;
	owner = face_owner(relid);
	return owner != role && !superuser_arg(owner);
}

/* Whether foreign keys lead from a table to one that belongs to an ordinary role who is not its owner. */
bool
face_reaches_others(Oid relid)
{
	Oid			owner = face_owner(relid);
	ListCell   *cell;

	foreach(cell, face_reached(relid, true, true, NoLock))
	{
		if (belongs_to_another(lfirst_oid(cell), owner))
			return true;
	}
	return false;
}

/* Whether it may fire for a statement that foreign keys run, which may move a row: those of the extension act for nobody. */
static bool
fires_after(Form_pg_trigger trigger)
{
	return !trigger->tgisinternal && trigger->tgenabled != TRIGGER_DISABLED && TRIGGER_FOR_AFTER(trigger->tgtype) &&
		(TRIGGER_FOR_DELETE(trigger->tgtype) || TRIGGER_FOR_UPDATE(trigger->tgtype) || TRIGGER_FOR_INSERT(trigger->tgtype)) &&
		!face_is_own_schema(get_func_namespace(trigger->tgfoid));
}

static void
refuse_code(const char *kind, const char *name, Oid relid, Oid reached)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("retained_table_fires_no_others_triggers"),
			 errmsg("%s \"%s\" on %s, which foreign keys lead to, would run with the privileges of the owner of %s",
					kind, name, face_qualified_name(reached), face_qualified_name(relid)),
			 errhint("Drop it, or make it a BEFORE trigger, which runs as its table's owner.")));
}

/* A rule of a table, NULL: it has none. */
static char *
rule_of(Oid relid)
{
	List	   *rules = face_catalog_rows(RewriteRelationId, RewriteRelRulenameIndexId, Anum_pg_rewrite_ev_class, relid, NULL);

	return rules == NIL ? NULL : NameStr(((Form_pg_rewrite) GETSTRUCT((HeapTuple) linitial(rules)))->rulename);
}

static void
refuse_rules(Oid relid, Oid reached)
{
	char	   *rule = rule_of(reached);

	if (rule != NULL)
		refuse_code("rule", rule, relid, reached);
}

static void
refuse_triggers_after(Oid relid, Oid reached)
{
	ListCell   *cell;

	foreach(cell, face_catalog_rows(TriggerRelationId, TriggerRelidNameIndexId, Anum_pg_trigger_tgrelid, reached, NULL))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT((HeapTuple) lfirst(cell));

		if (fires_after(trigger))
			refuse_code("trigger", NameStr(trigger->tgname), relid, reached);
	}
}

/*--------------------------------------------------------- what it names */

typedef struct Named
{
	Oid			relid;			/* what it must be about */
	bool		found;
	bool		others;			/* of a user's */
	bool		deletes;
	bool		updates;
	LOCKMODE	lockmode;		/* that it has taken on the table */
} Named;

static void
look_at_command(const Query *query, Named *named)
{
	named->deletes = named->deletes || query->commandType == CMD_DELETE || query->commandType == CMD_MERGE;
	named->updates = named->updates || query->commandType == CMD_UPDATE || query->commandType == CMD_MERGE || query->onConflict != NULL;
}

static bool
look_at(Node *node, void *context)
{
	Named	   *named = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		look_at_command((Query *) node, named);
		return query_tree_walker((Query *) node, look_at, named, QTW_EXAMINE_RTES_BEFORE);
	}
	if (IsA(node, RangeTblEntry))
	{
		const RangeTblEntry *entry = (RangeTblEntry *) node;

		if (entry->rtekind != RTE_RELATION)
			return false;
		if (entry->relid == named->relid)
		{
			named->found = true;
			named->lockmode = Max(named->lockmode, entry->rellockmode);
		}
		else if (entry->relid >= FirstNormalObjectId && !face_is_own(entry->relid))
			named->others = true;
		return false;
	}
	return expression_tree_walker(node, look_at, named);
}

static void
report_replaced(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("retained_table_is_what_is_named"),
			 errmsg("the table has another name or another owner than when the statement on it began"),
			 errhint("Try again.")));
}

/* A statement on a table, as that role, whose names are resolved and locked.  Several: none of the table's code runs. */
void
face_check_named(Query *query, Oid relid, Oid role, bool several)
{
	bool		several_now;
	bool		rewritten;
	Named		named = {.relid = relid};
	List	   *reached;
	ListCell   *cell;

	(void) look_at((Node *) query, &named);
	if (!named.found || named.others)
		report_replaced();
	/* A partition that goes to another owner meanwhile has code of his. */
	if (superuser_arg(role))
		(void) face_with_heirs(relid, named.lockmode);
	if (face_acts_as(relid, &several_now) != role || (several_now && !several))
		report_replaced();
	if (named.lockmode < RowExclusiveLock)
		return;
	/* Its rules may make another statement of this one. */
	rewritten = rule_of(relid) != NULL;
	/* The locks keep others from adding to it; of the extension's tables only who was granted REFERENCES could. */
	reached = face_reached(relid, named.deletes || rewritten, named.updates || rewritten,
						   face_is_own(relid) ? NoLock : RowExclusiveLock);
	foreach(cell, reached)
	{
		if (!belongs_to_another(lfirst_oid(cell), role))
			continue;
		refuse_triggers_after(relid, lfirst_oid(cell));
		refuse_rules(relid, lfirst_oid(cell));
		/* It came to be reached since the gate was opened, which did not know. */
		if (!InSecurityRestrictedOperation())
			report_replaced();
	}
}

/*--------------------------------------------------------- what is changed by name */

/* Whether a text has the name, and not as a part of another. */
static bool
has_name(const char *sql, const char *name)
{
	size_t		length = strlen(name);

	for (const char *at = strstr(sql, name); at != NULL; at = strstr(at + 1, name))
	{
		if (at > sql && at[-1] == ' ' && (at[length] == ' ' || at[length] == '\0'))
			return true;
	}
	return false;
}

/* Keeps a table and its name as they are until the transaction ends, for a statement that has this name. */
void
face_keep_name(Oid relid, const char *sql)
{
	static FacePlan keep_schema = {
		"SELECT FROM pg_catalog.pg_namespace n WHERE n.oid OPERATOR(pg_catalog.=) $1 FOR KEY SHARE", 1, {OIDOID}
	};
	Datum		schema;

	LockRelationOid(relid, AccessExclusiveLock);
	if (!face_exists(relid))
		face_report_missing(relid);
	schema = ObjectIdGetDatum(get_rel_namespace(relid));
	/* ALTER SCHEMA RENAME waits for nothing else.  It needs UPDATE on the catalog, which the extension's owner may lack. */
	face_run_plan(&keep_schema, &schema, BOOTSTRAP_SUPERUSERID);
	AcceptInvalidationMessages();
	/* As the statement was put together: by the same search path and settings. */
	if (!has_name(sql, DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(relid)))))
		report_replaced();
}
