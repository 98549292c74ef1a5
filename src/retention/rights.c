/*-------------------------------------------------------------------------
 *
 * rights.c
 *	  Events of the stream of rights, numbered as they are committed.
 *
 * Other sites copy the stream by number: after number n, they ask for what follows
 * it. So no lower number may be committed later, and none may be missing. The
 * trigger only notes the event. It is written when the transaction is about to
 * commit, under the lock that gives numbers, which is held only until the commit.
 * So a session that records an opt-out and then idles delays nobody, even with SET
 * CONSTRAINTS ALL IMMEDIATE. A transaction that is to be prepared could keep the
 * lock for ever, so it is refused.
 *
 * Rows from a dump are in the stream already. They are recognised by the audit log,
 * which has a new row only since this transaction. An event that is replayed, or
 * arrives from another site, is in the stream as it was written there:
 * facematch_internal.apply_right() marks this by facematch.right_arrives.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/refusal.h"
#include "base/run.h"
#include "retention/rights.h"

PG_FUNCTION_INFO_V1(facematch_write_right);

/* An event that is written when the transaction commits. */
typedef struct Noted
{
	SubTransactionId sub;
	const char *what;
	Datum		before;
	Datum		after;
} Noted;

static List *noted = NIL;		/* of this transaction, in its memory */

static bool right_arrives = false;
static char *rights_carried_out = NULL;
static char *rights_early = NULL;

/* Arguments of the trigger that are needed here; sql/retention/rights.sql has all. */
enum
{
	ARGUMENT_WHAT, ARGUMENT_KEYS, ARGUMENT_LEFT_OUT, ARGUMENT_SAME, ARGUMENT_END, NUMBER_OF_ARGUMENTS
};

static const char newest_of_the_log[] =
"SELECT e.xmin FROM facematch.audit_event e WHERE e.detail ? 'about' AND e.detail ->> 'about' ="
" facematch_internal.redacted($1 || ':' || (SELECT string_agg(to_jsonb($2) ->> k.name, ',' ORDER BY k.place)"
" FROM string_to_table($3, ',') WITH ORDINALITY k (name, place))) ORDER BY e.event_id DESC LIMIT 1";

/*
 * A gallery has another number elsewhere: its name goes along, and until when it is there.  A version of a notice may
 * be another one elsewhere: its texts go along with a posting.
 */
static const char row_of_the_stream[] =
"SELECT (r.j - string_to_array($2, ',')) || coalesce((SELECT jsonb_build_object('gallery', g.name, 'gallery_until', g.purge_after)"
" FROM facematch.gallery g WHERE g.gallery_id = coalesce(r.j ->> 'gallery_id',"
" CASE WHEN r.j ->> 'table_name' = 'facematch.gallery' THEN r.j ->> 'row_id' END)::bigint), '{}')"
" || coalesce((SELECT jsonb_build_object('texts', n.texts) FROM facematch.notice n"
" WHERE n.name = r.j ->> 'notice' AND n.version = (r.j ->> 'version')::integer), '{}')"
" FROM (SELECT to_jsonb($1) AS j OFFSET 0) r";

static const char insert_event[] =
"INSERT INTO facematch.rights_event (site, number, at, actor, what, before, after)"
" SELECT s.site, coalesce(e.number, 0) + 1, greatest(e.at, clock_timestamp()), session_user, $1,"
" nullif($2, 'null'), nullif($3, 'null')"
" FROM (SELECT o.site FROM facematch_internal.site o ORDER BY o.since, o.site LIMIT 1) s"
" LEFT JOIN LATERAL (SELECT n.number, n.at FROM facematch.rights_event n WHERE n.site = s.site"
" ORDER BY n.number DESC LIMIT 1) e ON true";

/* Until the transaction ends, nobody else gives a number. */
static void
lock_numbers(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, face_table("rights_event"), 0, 0);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

static Oid
owner(void)
{
	return face_owner(face_table("rights_event"));
}

/* Whether this transaction has written a new row to the log, or a dump has brought both. */
static bool
is_new(char **arguments, Oid row_type, Datum row)
{
	Oid			types[] = {TEXTOID, row_type, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(arguments[ARGUMENT_WHAT]), row, CStringGetTextDatum(arguments[ARGUMENT_KEYS])};

	if (face_run(newest_of_the_log, lengthof(types), types, values, owner()) == 0)
		return false;
	return TransactionIdIsCurrentTransactionId(
		DatumGetTransactionId(face_result(1, NULL)));
}

static Datum
stream_row(char **arguments, Oid row_type, Datum row)
{
	Oid			types[] = {row_type, TEXTOID};
	Datum		values[] = {row, CStringGetTextDatum(arguments[ARGUMENT_LEFT_OUT])};

	(void) face_run(row_of_the_stream, lengthof(types), types, values, owner());
	return face_result(1, NULL);
}

static void
write_event(const char *what, Datum before, Datum after)
{
	Oid			types[] = {TEXTOID, JSONBOID, JSONBOID};
	Datum		values[] = {CStringGetTextDatum(what), before, after};

	lock_numbers();
	(void) face_run(insert_event, lengthof(types), types, values, owner());
}

static void
note_event(const char *what, Datum before, Datum after)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	Noted	   *note = palloc(sizeof(Noted));

	note->sub = GetCurrentSubTransactionId();
	note->what = pstrdup(what);
	note->before = datumCopy(before, false, -1);
	note->after = datumCopy(after, false, -1);
	noted = lappend(noted, note);
	MemoryContextSwitchTo(caller);
}

static void
write_noted(void)
{
	ListCell   *cell;

	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	foreach(cell, noted)
	{
		const Noted *note = lfirst(cell);

		write_event(note->what, note->before, note->after);
	}
	SPI_finish();
	PopActiveSnapshot();
}

static void
end_transaction(XactEvent event, void *arg)
{
	if (noted == NIL)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), face_refusal("rights_are_committed_at_once"),
				 errmsg("a transaction that changes opt-outs, holds, rules or other rights cannot be prepared"),
				 errdetail("Until it ended, nobody could commit another event of the stream of rights."),
				 errhint("Commit it.")));
	if (event == XACT_EVENT_PRE_COMMIT)
		write_noted();
	else
		noted = NIL;
}

/* What a subtransaction has noted goes with it, or is its parent's. */
static void
end_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	ListCell   *cell;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	foreach(cell, noted)
	{
		Noted	   *note = lfirst(cell);

		if (note->sub != mine)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			noted = foreach_delete_current(noted, cell);
		else
			note->sub = parent;
	}
}

static void
check_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		trigger->tg_trigger->tgnargs != NUMBER_OF_ARGUMENTS)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("facematch_internal.write_right must be fired after each row, with %d arguments", NUMBER_OF_ARGUMENTS)));
}

void
face_rights_init(void)
{
	RegisterXactCallback(end_transaction, NULL);
	RegisterSubXactCallback(end_subtransaction, NULL);
	DefineCustomBoolVariable("facematch.right_arrives",
							 "Whether what changes now is in the stream of rights already.",
							 "facematch_internal.apply_right() sets it, for itself.",
							 &right_arrives,
							 false,
							 PGC_SUSET,
							 GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							 NULL, NULL, NULL);
	DefineCustomStringVariable("facematch.rights_carried_out",
							   "For each site of which events arrive in this transaction, the last one carried out here.",
							   "facematch_internal.right_arrived() and apply_right() set it, for themselves.",
							   &rights_carried_out,
							   "{}",
							   PGC_SUSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("facematch.rights_early",
							   "Ends that this transaction has carried out before the rows that they end have arrived.",
							   "facematch_internal.apply_right() sets it, for itself.",
							   &rights_early,
							   "[]",
							   PGC_SUSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   NULL, NULL, NULL);
}

/* Trigger after each row of a table of rights.  What an extension's script ships is no event. */
Datum
facematch_write_right(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Datum		nothing = DirectFunctionCall1(jsonb_in, CStringGetDatum("null"));
	TupleDesc	desc;
	char	  **arguments;
	Datum		was;
	Datum		is;

	check_trigger(fcinfo);
	if (creating_extension || right_arrives)
		return PointerGetDatum(NULL);
	desc = RelationGetDescr(trigger->tg_relation);
	arguments = trigger->tg_trigger->tgargs;
	SPI_connect();
	was = heap_copy_tuple_as_datum(trigger->tg_trigtuple, desc);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		if (is_new(arguments, desc->tdtypeid, was))
			note_event(arguments[ARGUMENT_WHAT], nothing, stream_row(arguments, desc->tdtypeid, was));
	}
	else
	{
		was = stream_row(arguments, desc->tdtypeid, was);
		is = TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ? nothing :
			stream_row(arguments, desc->tdtypeid, heap_copy_tuple_as_datum(trigger->tg_newtuple, desc));
		if (!DatumGetBool(DirectFunctionCall2(jsonb_eq, was, is)))
			note_event(arguments[ARGUMENT_WHAT], was, is);
	}
	SPI_finish();
	return PointerGetDatum(NULL);
}
