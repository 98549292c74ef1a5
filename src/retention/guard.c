/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  The row trigger before INSERT, UPDATE and DELETE on a table under retention.
 *
 * INSERT: purge_after is computed from the row's facts, and a time of these that
 * lies ahead becomes the present, except in a row that brings its deadline and where
 * the row's partition depends on it (late.c finds those). A value in the row (from a
 * dump, or from a publisher) stays if it is earlier. A template of a subject who has
 * opted out is refused, or left out. A reference must be complete, and of its
 * gallery's model (enrol.c).
 *
 * UPDATE: purge_after becomes earlier or stays; a later value is refused. It
 * becomes later only when facts outside the row change and a rule allows it
 * (recompute.c), and never for a row that is due. A held row keeps the columns by
 * which the hold names it.
 *
 * DELETE: refused while a hold names the row, its gallery or its subject.
 *
 * In a replica (logical replication, session_replication_role) the guard corrects
 * instead of refusing, because a replica that has stopped protects nobody.
 *
 * The function is also the trigger after each deleted row, for receipts (gone.c), and
 * after each statement that inserts, for rows that were left out (skip.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/refusal.h"
#include "base/run.h"
#include "gallery/gallery.h"
#include "retention/declined.h"
#include "retention/facts.h"
#include "retention/gone.h"
#include "retention/guard.h"
#include "retention/retained.h"
#include "retention/rules.h"
#include "retention/skip.h"

PG_FUNCTION_INFO_V1(facematch_guard);

/* Where the guard corrects and does not refuse. */
static bool
is_replica(void)
{
	return SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA;
}

static const pg_uuid_t *
subject_of(const FaceGuard *guard, const FaceRow *row)
{
	return face_row_uuid(row, guard->subject);
}

static bool
in_gallery(const FaceGuard *guard, const FaceRow *row)
{
	return !face_row_null(row, guard->gallery);
}

/* The gallery that an opt-out or a skipped row names; 0: none. */
static int64
gallery_of(const FaceGuard *guard, const FaceRow *row)
{
	return face_row_number(row, guard->gallery);
}

static FaceFacts
facts_of(const FaceGuard *guard, const FaceRow *row)
{
	return face_facts(face_row_time(row, guard->recorded), face_row_time(row, guard->verified), face_row_time(row, guard->anchor),
					  in_gallery(guard, row) ? face_gallery(gallery_of(guard, row), true) : NULL,
					  subject_of(guard, row), GetCurrentTimestamp());
}

static const FaceRuleSet *
rules_of(const FaceGuard *guard, const FaceRow *row)
{
	if (face_row_null(row, guard->class))
		return NULL;
	return face_rule_set(guard->what, DatumGetTextPP(row->values[guard->class - 1]));
}

static void
refuse_class(const FaceGuard *guard, const FaceRow *row)
{
	bool		unnamed = face_row_null(row, guard->class);

	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION), face_refusal("retention_rule_is_in_force"),
			 errmsg("no retention rule is in force for class \"%s\" and %s",
					unnamed ? "NULL" : TextDatumGetCString(row->values[guard->class - 1]), guard->what),
			 errdetail("Nothing is kept in \"%s\" without a deadline.", RelationGetRelationName(row->rel)),
			 errhint("facematch.retention_rule has the rules; a site adds its own classes and rules there.")));
}

static FaceDue
due_of(const FaceGuard *guard, const FaceRow *row)
{
	FaceFacts	facts = facts_of(guard, row);
	FaceDue		due = face_due(rules_of(guard, row), &facts, NULL);

	if (due.rule == NULL)
		refuse_class(guard, row);
	return due;
}

/* Whether the row's partition depends on the column: another value would belong to another partition, which PostgreSQL refuses. */
static bool
is_partition_key(Relation rel, AttrNumber column)
{
	const char *name = NameStr(TupleDescAttr(RelationGetDescr(rel), column - 1)->attname);
	bool		found = false;
	ListCell   *cell;

	if (!rel->rd_rel->relispartition)
		return false;
	foreach(cell, get_partition_ancestors(RelationGetRelid(rel)))
	{
		Relation	parent = table_open(lfirst_oid(cell), AccessShareLock);
		AttrNumber	number = get_attnum(lfirst_oid(cell), name);

		found |= has_partition_attrs(parent, bms_make_singleton(number - FirstLowInvalidHeapAttributeNumber), NULL);
		table_close(parent, NoLock);
	}
	return found;
}

/* A time that lies ahead, and can be put right: later on, nobody could tell what the deadline was computed from. */
static bool
is_ahead(const FaceRow *row, AttrNumber column)
{
	return !face_row_null(row, column) && face_row_time(row, column) > GetCurrentTimestamp() && !is_partition_key(row->rel, column);
}

static void
clip(FaceRow *row, AttrNumber column)
{
	if (is_ahead(row, column))
		face_row_set(row, column, TimestampTzGetDatum(GetCurrentTimestamp()));
}

static void
clip_times(const FaceGuard *guard, FaceRow *row)
{
	clip(row, guard->recorded);
	clip(row, guard->verified);
}

static HeapTuple
with_deadline(const FaceGuard *guard, FaceRow *row, TimestampTz due, const FaceRule *rule)
{
	face_row_set(row, guard->purge_after, TimestampTzGetDatum(due));
	if (guard->rule != 0)
		face_row_set(row, guard->rule, CStringGetTextDatum(rule->name));
	return face_row_tuple(row);
}

static bool
is_held(FaceGuard *guard, const FaceRow *row)
{
	bool		unnamed = face_row_null(row, guard->key);
	char	   *row_id = unnamed ? "" : OutputFunctionCall(&guard->key_output, row->values[guard->key - 1]);

	return face_held(&guard->lookups, guard->relids, row_id, subject_of(guard, row), in_gallery(guard, row), gallery_of(guard, row));
}

/* A concurrent opt-out or event of the row's subject waits for this transaction, or this one waits for it. */
static void
lock_subject(const FaceGuard *guard, const pg_uuid_t *subject)
{
	if (subject != NULL)
		face_share_subject(guard->lookups.opt_out, subject);
}

/* Whether an opt-out forbids the row's template, and the law gives it; the subject is locked. */
static bool
is_declined(const FaceGuard *guard, const FaceRow *row)
{
	const pg_uuid_t *subject = subject_of(guard, row);

	if (subject == NULL || face_row_null(row, guard->template))
		return false;
	if (!face_may_have_declined(guard->lookups.opt_out, subject) ||
		!face_opted_out(&guard->lookups, subject, in_gallery(guard, row), gallery_of(guard, row)))
		return false;
	return face_declines(subject, in_gallery(guard, row), gallery_of(guard, row),
						 face_row_null(row, guard->class) ? "" : TextDatumGetCString(row->values[guard->class - 1]),
						 face_is_own(llast_oid(guard->relids)) ? NULL : guard->what,
						 Min(face_row_time(row, guard->recorded), GetCurrentTimestamp()));
}

/* The row of people who have opted out is left out, where that is wanted. */
static HeapTuple
refuse_declined(const FaceGuard *guard, const FaceRow *row)
{
	if (!face_skips_opted_out())
		ereport(ERROR,
				(errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION), face_refusal("subject_has_not_opted_out"),
				 errmsg("the subject has opted out: no template of theirs can be put into \"%s\"", RelationGetRelationName(row->rel)),
				 errhint("Use the alternative that facematch.opt_out names. To stage the other rows of a manifest, SET LOCAL facematch.on_opt_out = skip.")));
	face_skip(RelationGetRelid(row->rel), subject_of(guard, row), in_gallery(guard, row), gallery_of(guard, row));
	return NULL;
}

/* Only staging is closed: a gate that was cut off brings its encounters when it can. */
static void
refuse_closed(const FaceGuard *guard, const FaceRow *row)
{
	if (guard->enrols && in_gallery(guard, row) && face_gallery(gallery_of(guard, row), true)->closed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("gallery_is_open"),
				 errmsg("gallery %lld is closed", (long long) gallery_of(guard, row)),
				 errhint("Stage the template in another gallery.")));
}

/*
 * A session that stages after the departure would store a row that is due at
 * once, and hear nothing of it. A row that was enrolled before comes in due: a
 * late delivery, or one from a dump.
 */
static void
refuse_departed(const FaceGuard *guard, const FaceRow *row, TimestampTz due)
{
	const FaceGallery *gallery;

	if (!guard->enrols || !in_gallery(guard, row) || due > GetCurrentTimestamp())
		return;
	gallery = face_gallery(gallery_of(guard, row), true);
	if (!TIMESTAMP_IS_NOEND(gallery->anchor) && face_row_time(row, guard->recorded) >= gallery->anchor)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("gallery_has_not_departed"),
				 errmsg("gallery %lld has departed: a template that is staged now would be due at once",
						(long long) gallery_of(guard, row)),
				 errhint("Stage it in the gallery of a later departure, or give the gallery its new time (anchor_at).")));
}

/* A replica takes what its publisher has; health_check() lists references without their gallery. */
static void
enrol(const FaceGuard *guard, FaceRow *row)
{
	if (!guard->enrols)
		return;
	face_stamp(&guard->enrolment, row);
	if (!is_replica())
		face_check_member(&guard->enrolment, row);
}

static HeapTuple
guard_insert(FaceGuard *guard, FaceRow *row)
{
	bool		dated = !face_row_null(row, guard->purge_after);
	TimestampTz given = face_row_time(row, guard->purge_after);
	FaceDue		due;

	if (guard->enrols)
		face_check_whole(&guard->enrolment, row);
	lock_subject(guard, subject_of(guard, row));
	enrol(guard, row);
	due = due_of(guard, row);

	/* A row that brings its deadline comes from a dump or a publisher, and the gallery may have been closed since. */
	if (!dated)
	{
		refuse_closed(guard, row);
		refuse_departed(guard, row, due.due);
		if (guard->enrols && !is_replica())
			face_check_quality(&guard->enrolment, row);
		clip_times(guard, row);
	}
	due.due = Min(due.due, given);

	/*
	 * What a hold kept of an opted-out subject is due for ever, and comes back from a dump as that, although the hold may have ended
	 * since: it matches nobody, and the next purge takes it.  Only a dump or a publisher brings it with its deadline.
	 */
	if (is_declined(guard, row) && (!dated || due.due > GetCurrentTimestamp()))
		return refuse_declined(guard, row);
	return with_deadline(guard, row, due.due, due.rule);
}

/*
 * The new deadline of a row whose facts moved.  "before" is what the rules gave
 * until now: a row that was nearer than that was brought nearer by hand.
 */
static TimestampTz
settle(TimestampTz old, TimestampTz before, const FaceDue *due, bool may_lengthen)
{
	if (due->due <= old || !may_lengthen || old < before || old <= GetCurrentTimestamp())
		return Min(due->due, old);
	return due->due;
}

/* Deadlines computed again: NULL leaves the row alone. */
static HeapTuple
guard_recompute(const FaceGuard *guard, const FaceRecompute *why, FaceRow *row)
{
	TimestampTz old = face_row_time(row, guard->purge_after);
	const FaceRuleSet *policy = rules_of(guard, row);
	FaceFacts	facts = facts_of(guard, row);
	FaceDue		due = face_due(policy, &facts, NULL);
	FaceFacts	were = facts;
	TimestampTz before;
	TimestampTz new;

	if (due.rule == NULL)
		return NULL;
	if (why->gallery)
	{
		if (TIMESTAMP_IS_NOEND(face_row_time(row, guard->anchor)))
			were.anchor = why->anchor;
		were.ceiling = why->ceiling;
	}
	were.event = why->event;
	were.event_at = why->event_at;
	before = face_due(policy, &were, why->new_rules).due;
	/* A rule that is said to have been in force since before the row was recorded lengthens it as one that came later. */
	new = settle(old, before, &due, why->rules ? why->new_rules != NULL && (due.lengthened || due.rule->lengthens) : due.rule->follows_anchor);
	if (new == old && !is_ahead(row, guard->recorded) && !is_ahead(row, guard->verified))
		return NULL;
	if (new != old)
		face_count_recomputed(new > old);
	clip_times(guard, row);
	return with_deadline(guard, row, new, due.rule);
}

static void
refuse_push(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION), face_refusal("purge_after_only_comes_nearer"),
			 errmsg("purge_after of \"%s\" cannot be made later", RelationGetRelationName(rel)),
			 errdetail("A deadline is computed from the retention rules and can only become earlier."),
			 errhint("To keep a row for an inquiry, insert it into facematch.hold.")));
}

/* An own anchor (a gallery's departure) that moves away takes the deadline along where the rule says so. */
static TimestampTz
moved_deadline(const FaceGuard *guard, const FaceRow *was, TimestampTz old, const FaceDue *due)
{
	FaceFacts	facts = facts_of(guard, was);
	FaceDue		before = face_due(rules_of(guard, was), &facts, NULL);

	return settle(old, before.due, due, due->rule->follows_anchor);
}

static void
refuse_held(Relation rel, const char *how)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION), face_refusal("row_is_not_held"),
			 errmsg("the row of \"%s\" is held and cannot be %s", RelationGetRelationName(rel), how),
			 errhint("facematch.held says why and until when.")));
}

static bool
changes(const FaceRow *was, const FaceRow *row, AttrNumber column)
{
	return column != 0 && face_row_differs(was, row, column);
}

/* A hold names a row by its key, its subject or its gallery, for what the template shows: none slips out under it. */
static bool
escapes_hold(FaceGuard *guard, const FaceRow *was, const FaceRow *row)
{
	bool		other_template = changes(was, row, guard->template);
	bool		other_name = changes(was, row, guard->key) || changes(was, row, guard->subject) || changes(was, row, guard->gallery);

	if (!other_template && !other_name)
		return false;
	return is_held(guard, was) && (other_template || !is_held(guard, row));
}

/* What an update may not do; a replica puts it right where it can. */
static void
check_update(FaceGuard *guard, const FaceRow *was, const FaceRow *row, bool moved)
{
	if (face_row_time(row, guard->purge_after) > face_row_time(was, guard->purge_after))
		refuse_push(row->rel);
	if (moved && guard->template != 0)
		refuse_closed(guard, row);
	if (guard->enrols && (moved || changes(was, row, guard->quality) || changes(was, row, guard->template)))
		face_check_quality(&guard->enrolment, row);
	if (escapes_hold(guard, was, row))
		refuse_held(row->rel, "changed");
}

/* Another class is another law: the log says who changed it. */
static void
log_class(const FaceGuard *guard, const FaceRow *was, const FaceRow *row)
{
	TupleDesc	desc = RelationGetDescr(row->rel);
	struct
	{
		const char *name;
		char	   *value;
	}			said[] = {
		{"{\"table\": ", face_qualified_name(linitial_oid(guard->relids))},
		{", \"row\": ", SPI_getvalue(row->tuple, desc, guard->key)},
		{", \"from\": ", SPI_getvalue(was->tuple, desc, guard->class)},
		{", \"to\": ", SPI_getvalue(row->tuple, desc, guard->class)}
	};
	StringInfoData detail;

	initStringInfo(&detail);
	for (int i = 0; i < lengthof(said); i++)
	{
		appendStringInfoString(&detail, said[i].name);
		escape_json(&detail, said[i].value == NULL ? "" : said[i].value);
	}
	appendStringInfoChar(&detail, '}');
	face_write_audit("class_changed", detail.data);
}

static HeapTuple
guard_update(FaceGuard *guard, const FaceRow *was, FaceRow *row)
{
	const FaceRecompute *why = face_recomputing(RelationGetRelid(row->rel), guard->relids);
	TimestampTz old = face_row_time(was, guard->purge_after);
	TimestampTz given = face_row_time(row, guard->purge_after);
	bool		other_subject = !face_row_null(row, guard->subject) && changes(was, row, guard->subject);
	bool		new_template = face_row_null(was, guard->template) && !face_row_null(row, guard->template);
	bool		moved = in_gallery(guard, row) && changes(was, row, guard->gallery);
	bool		enters = other_subject || new_template || moved;
	FaceDue		due;
	TimestampTz new;

	if (why != NULL)
		return guard_recompute(guard, why, row);
	if (guard->enrols)
		face_check_whole(&guard->enrolment, row);
	if (enters)
		lock_subject(guard, subject_of(guard, row));
	if (!is_replica())
		check_update(guard, was, row, moved);
	if (moved || changes(was, row, guard->template))
		enrol(guard, row);
	due = due_of(guard, row);
	new = Min(Min(due.due, given), old);
	if (guard->anchor != 0 && given == old && due.due > old && changes(was, row, guard->anchor))
		new = moved_deadline(guard, was, old, &due);

	if (enters && is_declined(guard, row))
		return refuse_declined(guard, row);
	if (!is_replica() && changes(was, row, guard->class))
		log_class(guard, was, row);
	clip_times(guard, row);
	return with_deadline(guard, row, new, due.rule);
}

static HeapTuple
guard_delete(FaceGuard *guard, const FaceRow *row)
{
	if (!is_held(guard, row))
		return row->tuple;
	if (!is_replica())
		refuse_held(row->rel, "deleted");
	return NULL;
}

static bool
guard_after(FunctionCallInfo fcinfo, const TriggerData *trigger)
{
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) && TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		face_report_skipped(trigger);
	else if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event) && TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		face_note_deleted(fcinfo);
	else
		return false;
	return true;
}

Datum
facematch_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	FaceGuard  *guard = fcinfo->flinfo->fn_extra;
	HeapTuple	result;

	if (CALLED_AS_TRIGGER(fcinfo) && TRIGGER_FIRED_AFTER(trigger->tg_event) && guard_after(fcinfo, trigger))
		return PointerGetDatum(NULL);
	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("facematch_internal.guard is fired before each row, after a deleted one, or after an inserting statement")));
	if (guard == NULL)
		guard = face_guard_of(fcinfo, trigger);

	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		face_row_read(&guard->was, trigger->tg_relation, trigger->tg_trigtuple);
		face_row_read(&guard->row, trigger->tg_relation, trigger->tg_newtuple);
		result = guard_update(guard, &guard->was, &guard->row);
	}
	else
	{
		face_row_read(&guard->row, trigger->tg_relation, trigger->tg_trigtuple);
		result = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? guard_insert(guard, &guard->row) : guard_delete(guard, &guard->row);
	}
	return PointerGetDatum(result);
}
