/*-------------------------------------------------------------------------
 *
 * gate.c
 *	  The gate through which the code of users' tables runs: identity, settings
 *	  and locks.
 *
 * A user's table has code: triggers, constraints, defaults, partition keys, casts,
 * row security policies, expressions of indexes. A statement that touches the table
 * runs some of it. There are three ways through:
 *
 * - Own: a statement on the extension's tables runs as their owner, as those of
 *   foreign keys do, so the user whose statement fires a trigger needs no
 *   privilege.
 * - Table: a statement on a user's table runs as the table's owner, so its code has
 *   that owner's privileges and no more. If a table, its partitions and its parents
 *   belong to different roles, code of each may run: it runs as the one of them that
 *   is not a superuser. With two such roles each function that would be called is
 *   refused (fmgr_hook): whose it is does not say who has put it there, and planning
 *   alone calls what constraints and indexes have. The text of the statement has a
 *   name, and its owner or the schema's may put something else in its place: so what
 *   the name has led to is looked at before anything is planned (named.c).
 * - DDL: the extension's triggers, row security policies and indexes on a user's
 *   table are made with the caller's privileges, because its owner may lack those
 *   (CREATE on a schema, EXECUTE on the extension's functions). But PostgreSQL
 *   folds constraints and partition keys on the way, and each function that it
 *   calls there runs as the owner (fmgr_hook).
 *
 * If that role is not a superuser, the work is a restricted operation, as in
 * VACUUM: no SET ROLE, no temporary table, and nothing deferred to the commit,
 * where it would run with the privileges of the committing user; settings are
 * restored. Some things would survive this. The code may not take or release advisory
 * locks of the session, because these are not rolled back (object_access_hook, which
 * sees an expression when it is made ready: not one that the caller's own statement
 * has made ready in the same transaction). It may not say when constraints are checked
 * (ProcessUtility_hook): SET CONSTRAINTS fires what the caller has deferred, as the
 * code's role, and holds for the rest of the caller's transaction. It may take only a
 * limited share of the server's lock table, so that the rest of the transaction finds
 * room there. And it may not notify while the queue of notifications is half full,
 * because the commit fails if it is full; how much it notifies in one transaction,
 * nothing bounds but its time and the server's memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "replication/origin.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc_tables.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "base/gate.h"
#include "base/kin.h"
#include "base/named.h"
#include "base/refusal.h"
#include "base/run.h"

/* Of the server's lock table a transaction may hold 1 in so many, before what one table's code takes is bounded to 1 in so many. */
#define LOCK_TABLE_SHARE	2
#define TABLE_SHARE			8

/* How full the queue of notifications may be when a table's code notifies. */
#define FULLEST_QUEUE		0.5

static Oid	foreign_owner = InvalidOid; /* whose code runs now; InvalidOid: nobody's but the extension's */
static Oid	contained_from = InvalidOid;	/* and whose rights it must not have: those that DDL is done with */
static Oid	of_several = InvalidOid;	/* the table for which none runs, because several roles could have put it there */

/* The statement that runs for the extension on a user's table, and the table that it must name; NULL: none that has a text. */
static const char *running_statement = NULL;
static Oid	running_on = InvalidOid;

static bool is_own = false;		/* a statement on the extension's own tables runs now, and no code of a user's table in it */

static object_access_hook_type next_object_access = NULL;
static post_parse_analyze_hook_type next_post_parse_analyze = NULL;
static ProcessUtility_hook_type next_process_utility = NULL;
static object_access_hook_type watch_objects = NULL;	/* what retention wants to know of */
static needs_fmgr_hook_type next_needs_fmgr = NULL;
static fmgr_hook_type next_fmgr = NULL;

/*--------------------------------------------------------- as whom */

void
face_report_missing(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation with OID %u does not exist", relid),
			 errhint("It has been dropped, or the number is not the OID of a relation.")));
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

/* Who of the owners of a table and its kin is not a superuser, the table's own before others, and whether there are several. */
static Oid
ordinary_owner(Oid relid, bool *several)
{
	Oid			owner = face_owner(relid);
	Oid			role = superuser_arg(owner) ? InvalidOid : owner;
	ListCell   *cell;

	*several = false;
	foreach(cell, face_with_kin(relid))
	{
		Oid			other;

		/* One that is being dropped has nothing that runs. */
		if (!face_exists(lfirst_oid(cell)))
			continue;
		other = face_owner(lfirst_oid(cell));
		if (other == role || superuser_arg(other))
			continue;
		*several = *several || OidIsValid(role);
		if (!OidIsValid(role))
			role = other;
	}
	return OidIsValid(role) ? role : owner;
}

static void
report_several_owners(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("retained_table_has_one_owner"),
			 errmsg("table %s, its partitions and parents belong to more than one role that is not a superuser",
					face_qualified_name(relid)),
			 errdetail("The code of one of them would run with the privileges of another."),
			 errhint("Give them to one role: ALTER TABLE ... OWNER TO.")));
}

/*
 * The role for statements on a user's table: the one role among the owners of the table and its kin that is not a superuser.
 * With several such roles the code of one would run with the privileges of another: then it is the table's owner, and no code
 * runs.  A superuser's table of several others is refused.
 */
Oid
face_acts_as(Oid relid, bool *several)
{
	bool		unasked;
	Oid			role;

	if (several == NULL)
		several = &unasked;
	role = ordinary_owner(relid, several);
	if (*several && role != face_owner(relid))
		report_several_owners(relid);
	return role;
}

/*--------------------------------------------------------- in and out */

static void
set_for_now(const char *name, const char *value, GucContext context)
{
	(void) set_config_option(name, value, context, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static void
open_gate(FaceGate *gate, Oid run_as, bool restricted)
{
	gate->outer_owner = foreign_owner;
	gate->outer_contained = contained_from;
	gate->outer_several = of_several;
	gate->outer_own = is_own;
	gate->outer_statement = running_statement;
	gate->outer_named = running_on;
	is_own = false;
	of_several = InvalidOid;
	gate->restricted = restricted;
	gate->settings = NewGUCNestLevel();
	/* Plans of what runs here, with a subject's pseudonym as a constant, would go to the client that asked for them. */
	if (Debug_print_plan)
		set_for_now("debug_print_plan", "off", PGC_USERSET);
	/* A search of a large list costs so much by the planner's measure that it would be compiled, which takes longer than the search. */
	if (jit_enabled)
		set_for_now("jit", "off", PGC_USERSET);
	/* What a superuser's session does as a replica was sent by nobody: rows that hang on others go with them, and the log has it. */
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA && !face_was_sent())
		set_for_now("session_replication_role", "origin", PGC_SUSET);
	GetUserIdAndSecContext(&gate->user, &gate->context);
	SetUserIdAndSecContext(run_as, gate->context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS |
						   (restricted ? SECURITY_RESTRICTED_OPERATION : 0));
}

/* For a statement on the extension's own tables, as their owner. */
void
face_open_for_own(FaceGate *gate, Oid run_as)
{
	open_gate(gate, run_as, !superuser_arg(run_as));
	foreign_owner = contained_from = InvalidOid;
	is_own = true;
}

/* For one on a user's table.  A superuser's table may reach others' by foreign keys: then their code runs inside. */
void
face_open_for_table(FaceGate *gate, Oid relid, const char *statement)
{
	bool		several;
	Oid			role = face_acts_as(relid, &several);

	open_gate(gate, role, !superuser_arg(role) || face_reaches_others(relid));
	foreign_owner = role;
	of_several = several ? relid : InvalidOid;
	contained_from = InvalidOid;
	running_statement = statement;
	running_on = relid;
}

/* For one that changes a user's table, with the caller's privileges: only code that it runs has its owner's. */
void
face_open_for_ddl(FaceGate *gate, Oid relid)
{
	bool		several;
	Oid			role = ordinary_owner(relid, &several);

	open_gate(gate, GetUserId(), false);
	gate->restricted = !superuser_arg(role);
	foreign_owner = role;
	of_several = several ? relid : InvalidOid;
	contained_from = GetUserId();
}

/* After an error the end of the (sub)transaction does the rest. */
void
face_gate_failed(const FaceGate *gate)
{
	foreign_owner = gate->outer_owner;
	contained_from = gate->outer_contained;
	of_several = gate->outer_several;
	is_own = gate->outer_own;
	running_statement = gate->outer_statement;
	running_on = gate->outer_named;
}

void
face_close_gate(const FaceGate *gate)
{
	face_gate_failed(gate);
	SetUserIdAndSecContext(gate->user, gate->context);
	AtEOXact_GUC(!gate->restricted, gate->settings);
}

/*
 * Looks at a statement between its analysis, which resolves names and locks, and its planning, which may call functions.  A plan
 * that is made again comes here again.  Code of the table may have run the same text: then that is looked at, too.
 */
static void
analyzed(ParseState *pstate, Query *query, FACE_JUMBLE *jstate)
{
	if (next_post_parse_analyze != NULL)
		next_post_parse_analyze(pstate, query, jstate);
	if (running_statement != NULL && pstate->p_sourcetext != NULL && query->commandType != CMD_UTILITY &&
		OidIsValid(foreign_owner) && strcmp(pstate->p_sourcetext, running_statement) == 0)
		face_check_named(query, running_on, foreign_owner, OidIsValid(of_several));
}

/*--------------------------------------------------------- code of tables in somebody's session */

/*
 * Whether what runs now is code of a user's table, with its owner's privileges, in the
 * session of somebody else: of whoever purges, or analyzes it, makes an index, or
 * of an autovacuum worker, who is a superuser.  What facematch tells goes by the
 * session's user, who has asked nothing.  A row that another server has sent runs the
 * extension's code as the tables' owner, which is no table's code; but what the gate has
 * opened for a table is, whoever sent the row.
 */
bool
face_is_tables_code(void)
{
	return InSecurityRestrictedOperation() && !is_own && (OidIsValid(foreign_owner) || !face_was_sent());
}

/* Functions that tell nothing by the session's user, and that tables may call in checks and triggers. */
static const char *const for_tables[] = {"is_opted_out", "may_decline", "subject_id"};

static void
refuse_answers(Oid function)
{
	char	   *name;

	if (function < FirstNormalObjectId || !face_is_tables_code() ||
		get_func_namespace(function) != get_namespace_oid(FACE_SCHEMA, true))
		return;
	name = get_func_name(function);
	for (int i = 0; i < lengthof(for_tables); i++)
	{
		if (strcmp(name, for_tables[i]) == 0)
			return;
	}
	face_refuse_tables_code(name);
}

void
face_refuse_tables_code(const char *function)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), face_refusal("caller_is_nobodys_table"),
			 errmsg("code of a table cannot call facematch.%s() in the session of another user", function),
			 errhint("Triggers, indexes and defaults that run while others purge or analyze the table may call is_opted_out(), may_decline() and subject_id().")));
}

/*--------------------------------------------------------- what would outlive a table's code: notifications */

/* Whether code of a user's table may run now: all of it is contained, also behind the foreign keys of a superuser's table. */
static bool
is_contained(void)
{
	return OidIsValid(foreign_owner) && InSecurityRestrictedOperation();
}

/*
 * What is notified is queued by the commit, which fails if the queue is full. It fills
 * when somebody who listens stays in a transaction; then a table notifies nobody.
 */
static void
refuse_notice(bool notifies)
{
	if (notifies && is_contained() && DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, (Datum) 0)) > FULLEST_QUEUE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("code of a table under retention cannot notify while the queue of notifications is half full"),
				 errhint("End the session that listens and stays in a transaction: the server's log names it.")));
}

/* The trigger function of contrib/tcn, which is C and so is called like PostgreSQL's own. */
static bool
is_change_notification(Oid function)
{
	HeapTuple	tuple = function < FirstNormalObjectId ? NULL : SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		found;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return false;
	found = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId &&
		strcmp(TextDatumGetCString(SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull)), "triggered_change_notification") == 0;
	ReleaseSysCache(tuple);
	return found;
}

/*--------------------------------------------------------- functions that statements call */

/* Code of somebody's who need not be a superuser: neither the server's, nor C, nor the extension's, nor a superuser's event trigger. */
static bool
is_foreign(Oid function)
{
	HeapTuple	tuple;
	Form_pg_proc proc;
	bool		foreign;

	if (function < FirstNormalObjectId)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	foreign = proc->prolang != INTERNALlanguageId && proc->prolang != ClanguageId &&
		!face_is_own_schema(proc->pronamespace) &&
		!(proc->prorettype == EVENT_TRIGGEROID && superuser_arg(proc->proowner));
	ReleaseSysCache(tuple);
	return foreign;
}

static bool
needs_owner(Oid function)
{
	refuse_notice(is_contained() && is_change_notification(function));
	if ((OidIsValid(of_several) || (OidIsValid(contained_from) && contained_from != foreign_owner)) && is_foreign(function))
		return true;
	return next_needs_fmgr != NULL && next_needs_fmgr(function);
}

/* What a function is called with, and what the next hook keeps of it. */
typedef struct Contained
{
	bool		entered;
	Oid			several;
	Oid			user;
	int			context;
	Datum		next;
} Contained;

static void
contain(FmgrHookEventType event, FmgrInfo *function, Datum *private)
{
	Contained  *call = (Contained *) DatumGetPointer(*private);

	if (call == NULL)
	{
		call = MemoryContextAllocZero(function->fn_mcxt, sizeof(Contained));
		*private = PointerGetDatum(call);
	}
	if (event == FHET_START)
	{
		call->several = of_several;
		if (OidIsValid(of_several) && is_foreign(function->fn_oid))
		{
			/* An event trigger is a superuser's choice, and none of the table's: DDL contains it, and what it calls, as any. */
			if (get_func_rettype(function->fn_oid) != EVENT_TRIGGEROID)
				report_several_owners(of_several);
			of_several = InvalidOid;
		}
		GetUserIdAndSecContext(&call->user, &call->context);
		call->entered = OidIsValid(contained_from) && contained_from == call->user && is_foreign(function->fn_oid);
		if (call->entered)
			SetUserIdAndSecContext(foreign_owner, call->context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	}
	if (next_fmgr != NULL)
		next_fmgr(event, function, &call->next);
	if (event == FHET_START)
		return;
	of_several = call->several;
	if (call->entered)
		SetUserIdAndSecContext(call->user, call->context);
}

/*--------------------------------------------------------- what would outlive a table's code: locks, constraints */

static bool
is_session_lock(Oid function)
{
	char	   *name;
	bool		found;

	if (function >= FirstNormalObjectId)
		return false;
	name = get_func_name(function);
	found = name != NULL && (strncmp(name, "pg_advisory_", 12) == 0 || strncmp(name, "pg_try_advisory_", 16) == 0) &&
		strstr(name, "_xact_") == NULL;
	return found;
}

/* The session's own advisory locks outlive what is rolled back: taken, they fill the server's lock table; released, they are missed. */
static void
refuse_session_locks(Oid function)
{
	if (is_contained() && is_session_lock(function))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("code of a table under retention cannot call %s()", get_func_name(function)),
				 errhint("Use pg_advisory_xact_lock(), whose lock ends with the transaction.")));
}

/* What the extension itself fires is the statement that it has opened the gate for. */
static void
refuse_set_constraints(const PlannedStmt *statement, const char *text)
{
	if (IsA(statement->utilityStmt, ConstraintsSetStmt) && is_contained() &&
		(running_statement == NULL || strcmp(text, running_statement) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("code of a table under retention cannot execute SET CONSTRAINTS"),
				 errhint("Declare the constraint as it should be checked.")));
}

static void
utility(PlannedStmt *statement, const char *text, bool read_only_tree, ProcessUtilityContext context,
		ParamListInfo params, QueryEnvironment *environment, DestReceiver *destination, QueryCompletion *completion)
{
	refuse_set_constraints(statement, text);
	refuse_notice(IsA(statement->utilityStmt, NotifyStmt));
	(next_process_utility != NULL ? next_process_utility : standard_ProcessUtility)
		(statement, text, read_only_tree, context, params, environment, destination, completion);
}

/* The library's one object_access_hook. */
static void
object_accessed(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	if (next_object_access != NULL)
		next_object_access(access, classId, objectId, subId, arg);
	if (access == OAT_FUNCTION_EXECUTE)
	{
		refuse_session_locks(objectId);
		refuse_notice(objectId == F_PG_NOTIFY);
		refuse_answers(objectId);
	}
	else if (watch_objects != NULL)
		watch_objects(access, classId, objectId, subId, arg);
}

void
face_watch_objects(object_access_hook_type watch)
{
	watch_objects = watch;
}

/* Locks that this process holds. */
int
face_locks_held(void)
{
	int			held = 0;

	for (int i = 0; i < NUM_LOCK_PARTITIONS; i++)
	{
		LWLockAcquire(LockHashPartitionLockByIndex(i), LW_SHARED);
		held += face_count_proc_locks(i);
		LWLockRelease(LockHashPartitionLockByIndex(i));
	}
	return held;
}

/* What is left of the lock table is for the rest of the transaction and for others: an error gives them back what one table's code took. */
void
face_check_locks_held(int before)
{
	int64		room = (int64) max_locks_per_xact * (MaxBackends + max_prepared_xacts);
	int			held = face_locks_held();

	if (held > room / LOCK_TABLE_SHARE && held - before > room / TABLE_SHARE)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("the transaction holds %d of the server's %lld locks", held, (long long) room),
				 errhint("Raise max_locks_per_transaction if the table has many partitions.")));
}

/* Settings by which a trigger could end the session with its error, instead of only what it is asked for. */
static const char *const session_ending[] = {"exit_on_error", "transaction_timeout"};

void
face_gate_init(void)
{
	/* What runs with a table owner's privileges cannot change them; the second came with 17. */
	for (int i = 0; i < lengthof(session_ending); i++)
	{
		struct config_generic *setting = face_find_setting(session_ending[i]);

		if (setting != NULL)
			setting->flags |= GUC_NOT_WHILE_SEC_REST;
	}
	next_object_access = object_access_hook;
	object_access_hook = object_accessed;
	next_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyzed;
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
	next_needs_fmgr = needs_fmgr_hook;
	needs_fmgr_hook = needs_owner;
	next_fmgr = fmgr_hook;
	fmgr_hook = contain;
}
