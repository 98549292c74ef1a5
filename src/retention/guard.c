/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  The trigger before every row that is put into, changed in or taken from a
 *	  table under retention.
 *
 * Into: purge_after is computed from the row's facts; a value that came with the
 * row (a dump's, a publisher's) stays if it is nearer.  A template of a subject
 * who has opted out is refused, or left out.
 * Changed: purge_after comes nearer or stays; to push it away is refused.  Only
 * when facts outside the row changed, and a rule says so, does it move away
 * (recompute.c), and never for a row that is due.  A held row keeps what the
 * hold is about.
 * Taken: not while a hold names the row or its subject.
 *
 * In a replica (logical replication, session_replication_role) the guard
 * corrects where it would refuse: a replica that stops protects nobody.
 *
 * The trigger's arguments are name=column pairs: what, key, class, recorded,
 * purge (purge_after), and where the table has them subject, template, gallery,
 * verified, anchor, rule.  They are read once a statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "retention/declined.h"
#include "retention/facts.h"
#include "retention/policy.h"
#include "retention/retained.h"
#include "retention/rights.h"
#include "retention/run.h"
#include "retention/skip.h"

PG_FUNCTION_INFO_V1(facematch_guard);

/* Column numbers; 0 where the table has no such column. */
typedef struct Guard
{
	char	   *what;
	AttrNumber	key;
	AttrNumber	class;
	AttrNumber	recorded;
	AttrNumber	purge_after;
	AttrNumber	subject;
	AttrNumber	template;
	AttrNumber	gallery;
	AttrNumber	verified;
	AttrNumber	anchor;
	AttrNumber	rule;
	FmgrInfo	key_output;
	List	   *relids;			/* the table, then what it is a partition of */
	FaceRights	rights;
} Guard;

static AttrNumber
column_of(Relation rel, const char *name, Oid type)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			attnum = SPI_fnumber(desc, name);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\", which its retention trigger names", RelationGetRelationName(rel), name),
				 errhint("Detach the table with facematch.release() and attach it again with facematch.retain().")));
	if (OidIsValid(type) && SPI_gettypeid(desc, attnum) != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is not of type %s, which retention needs", name,
						RelationGetRelationName(rel), format_type_be(type))));
	return attnum;
}

static void
read_argument(Guard *guard, Relation rel, const char *argument)
{
	struct
	{
		const char *name;
		AttrNumber *column;
		Oid			type;
	}			known[] = {
		{"key", &guard->key, InvalidOid},
		{"class", &guard->class, TEXTOID},
		{"recorded", &guard->recorded, TIMESTAMPTZOID},
		{"purge", &guard->purge_after, TIMESTAMPTZOID},
		{"subject", &guard->subject, UUIDOID},
		{"template", &guard->template, InvalidOid},
		{"gallery", &guard->gallery, INT8OID},
		{"verified", &guard->verified, TIMESTAMPTZOID},
		{"anchor", &guard->anchor, TIMESTAMPTZOID},
		{"rule", &guard->rule, TEXTOID}
	};
	const char *equals = strchr(argument, '=');
	size_t		length = equals == NULL ? 0 : equals - argument;

	if (length == strlen("what") && strncmp(argument, "what", length) == 0)
	{
		guard->what = pstrdup(equals + 1);
		return;
	}
	for (int i = 0; i < lengthof(known); i++)
	{
		if (length == strlen(known[i].name) && strncmp(argument, known[i].name, length) == 0)
		{
			*known[i].column = column_of(rel, equals + 1, known[i].type);
			return;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is no argument of a retention trigger", argument),
			 errhint("facematch.retain() makes the triggers.")));
}

static Guard *
make_guard(FunctionCallInfo fcinfo, TriggerData *trigger)
{
	Relation	rel = trigger->tg_relation;
	MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	Guard	   *guard = palloc0(sizeof(Guard));
	Oid			output;
	bool		varlena;

	for (int i = 0; i < trigger->tg_trigger->tgnargs; i++)
		read_argument(guard, rel, trigger->tg_trigger->tgargs[i]);
	if (guard->what == NULL || guard->key == 0 || guard->class == 0 || guard->recorded == 0 || guard->purge_after == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the retention trigger of \"%s\" lacks an argument", RelationGetRelationName(rel)),
				 errhint("facematch.retain() makes the triggers.")));
	getTypeOutputInfo(SPI_gettypeid(RelationGetDescr(rel), guard->key), &output, &varlena);
	fmgr_info_cxt(output, &guard->key_output, fcinfo->flinfo->fn_mcxt);
	if (rel->rd_rel->relispartition)
		guard->relids = get_partition_ancestors(RelationGetRelid(rel));
	guard->relids = lcons_oid(RelationGetRelid(rel), guard->relids);
	face_find_rights(&guard->rights);
	MemoryContextSwitchTo(caller);
	fcinfo->flinfo->fn_extra = guard;
	return guard;
}

/* Where the guard corrects and does not refuse. */
static bool
is_replica(void)
{
	return SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA;
}

static TimestampTz
time_of(HeapTuple row, TupleDesc desc, AttrNumber column)
{
	bool		isnull = true;
	Datum		value = column == 0 ? (Datum) 0 : heap_getattr(row, column, desc, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

static bool
is_null(HeapTuple row, TupleDesc desc, AttrNumber column)
{
	return column == 0 || heap_attisnull(row, column, desc);
}

static bool
gallery_of(const Guard *guard, HeapTuple row, TupleDesc desc, int64 *gallery_id)
{
	bool		isnull = true;
	Datum		value = guard->gallery == 0 ? (Datum) 0 : heap_getattr(row, guard->gallery, desc, &isnull);

	*gallery_id = isnull ? 0 : DatumGetInt64(value);
	return !isnull;
}

static const pg_uuid_t *
subject_of(const Guard *guard, HeapTuple row, TupleDesc desc)
{
	bool		isnull = true;
	Datum		value = guard->subject == 0 ? (Datum) 0 : heap_getattr(row, guard->subject, desc, &isnull);

	return isnull ? NULL : DatumGetUUIDP(value);
}

/* What the row itself says; a time in the future would be a deadline of one's own choice. */
static FaceFacts
facts_of(const Guard *guard, HeapTuple row, TupleDesc desc)
{
	FaceFacts	facts = {.anchor = DT_NOEND, .ceiling = DT_NOEND};
	TimestampTz now = GetCurrentTimestamp();
	int64		gallery_id;

	facts.recorded = Min(time_of(row, desc, guard->recorded), now);
	facts.verified = time_of(row, desc, guard->verified);
	if (!TIMESTAMP_IS_NOEND(facts.verified))
		facts.verified = Min(facts.verified, now);
	facts.subject = subject_of(guard, row, desc);
	if (guard->anchor != 0)
		facts.anchor = time_of(row, desc, guard->anchor);
	else if (gallery_of(guard, row, desc, &gallery_id))
	{
		const FaceGallery *gallery = face_gallery(gallery_id, true);

		facts.anchor = gallery->anchor;
		facts.ceiling = gallery->purge_after;
	}
	return facts;
}

static const FacePolicy *
policy_of(const Guard *guard, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(row, guard->class, desc, &isnull);

	return isnull ? NULL : face_policy(guard->what, TextDatumGetCString(value));
}

static void
refuse_class(const Guard *guard, Relation rel, HeapTuple row)
{
	char	   *class = SPI_getvalue(row, RelationGetDescr(rel), guard->class);

	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
			 errmsg("no retention rule is in force for class \"%s\" and %s", class == NULL ? "NULL" : class, guard->what),
			 errdetail("Nothing is kept in \"%s\" without a deadline.", RelationGetRelationName(rel)),
			 errhint("facematch.retention_rule has the rules; a site adds its own classes and rules there.")));
}

static FaceDue
due_of(const Guard *guard, Relation rel, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(rel);
	FaceFacts	facts = facts_of(guard, row, desc);
	FaceDue		due = face_due(policy_of(guard, row, desc), &facts, NULL);

	if (due.rule == NULL)
		refuse_class(guard, rel, row);
	return due;
}

static HeapTuple
with_deadline(const Guard *guard, Relation rel, HeapTuple row, TimestampTz due, const FaceRule *rule)
{
	int			columns[2] = {guard->purge_after, guard->rule};
	Datum		values[2] = {TimestampTzGetDatum(due), (Datum) 0};
	bool		nulls[2] = {false, false};

	if (guard->rule != 0 && rule != NULL)
		values[1] = CStringGetTextDatum(rule->name);
	return heap_modify_tuple_by_cols(row, RelationGetDescr(rel), guard->rule != 0 && rule != NULL ? 2 : 1, columns, values, nulls);
}

static bool
is_held(const Guard *guard, Relation rel, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(rel);
	bool		isnull;
	Datum		key = heap_getattr(row, guard->key, desc, &isnull);
	char	   *row_id = isnull ? "" : OutputFunctionCall((FmgrInfo *) &guard->key_output, key);

	return face_held(&guard->rights, guard->relids, row_id, subject_of(guard, row, desc));
}

/* Whoever files an opt-out or an event of the row's subject meanwhile waits for this transaction, or it for them. */
static void
lock_subject(const Guard *guard, const pg_uuid_t *subject)
{
	if (subject != NULL)
		face_share_subject(guard->rights.opt_out, subject);
}

/* Whether an opt-out forbids the row's template; the subject is locked. */
static bool
is_declined(const Guard *guard, Relation rel, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(rel);
	const pg_uuid_t *subject = subject_of(guard, row, desc);
	int64		gallery_id;
	bool		in_gallery = gallery_of(guard, row, desc, &gallery_id);

	if (subject == NULL || is_null(row, desc, guard->template))
		return false;
	return face_may_have_declined(guard->rights.opt_out, subject) &&
		face_opted_out(&guard->rights, subject, in_gallery, gallery_id);
}

static void
refuse_declined(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION),
			 errmsg("the subject has opted out: no template of theirs can be put into \"%s\"", RelationGetRelationName(rel)),
			 errhint("Use the alternative that facematch.opt_out names. To stage the others of a manifest, SET facematch.on_opt_out = skip.")));
}

static void
skip_declined(const Guard *guard, Relation rel, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int64		gallery_id;
	bool		in_gallery = gallery_of(guard, row, desc, &gallery_id);

	face_skip(RelationGetRelid(rel), subject_of(guard, row, desc), in_gallery, gallery_id);
}

static void
refuse_closed(const Guard *guard, Relation rel, HeapTuple row)
{
	int64		gallery_id;

	if (gallery_of(guard, row, RelationGetDescr(rel), &gallery_id) && face_gallery(gallery_id, true)->closed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("gallery %lld is closed", (long long) gallery_id),
				 errhint("Stage the template in another gallery.")));
}

static HeapTuple
guard_insert(const Guard *guard, Relation rel, HeapTuple row)
{
	bool		dated = !is_null(row, RelationGetDescr(rel), guard->purge_after);
	TimestampTz given = time_of(row, RelationGetDescr(rel), guard->purge_after);
	FaceDue		due;

	lock_subject(guard, subject_of(guard, row, RelationGetDescr(rel)));
	due = due_of(guard, rel, row);

	/* A row that brings its deadline comes from a dump or a publisher, and the gallery may have been closed since. */
	if (!dated && guard->template != 0)
		refuse_closed(guard, rel, row);
	due.due = Min(due.due, given);
	if (is_declined(guard, rel, row))
	{
		/* What a hold kept of an opted-out subject is due for ever, and comes back from a dump as that. */
		if (due.due > GetCurrentTimestamp() || !is_held(guard, rel, row))
		{
			if (!face_skips_opted_out())
				refuse_declined(rel);
			skip_declined(guard, rel, row);
			return NULL;
		}
	}
	return with_deadline(guard, rel, row, due.due, due.rule);
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

/* Deadlines computed anew: NULL leaves the row alone. */
static HeapTuple
guard_recompute(const Guard *guard, Relation rel, const FaceRecompute *why, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(rel);
	TimestampTz old = time_of(row, desc, guard->purge_after);
	const FacePolicy *policy = policy_of(guard, row, desc);
	FaceFacts	facts = facts_of(guard, row, desc);
	FaceDue		due = face_due(policy, &facts, NULL);
	FaceFacts	were = facts;
	TimestampTz before;
	TimestampTz new;

	if (due.rule == NULL)
		return NULL;
	if (why->gallery)
	{
		were.anchor = why->anchor;
		were.ceiling = why->ceiling;
	}
	were.event = why->event;
	were.event_at = why->event_at;
	before = face_due(policy, &were, why->new_rule).due;
	new = settle(old, before, &due, why->rules ? why->new_rule != NULL && due.lengthened : due.rule->follows_anchor);
	if (new == old)
		return NULL;
	face_count_recomputed(new > old);
	return with_deadline(guard, rel, row, new, due.rule);
}

static void
refuse_push(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION),
			 errmsg("purge_after of \"%s\" cannot be pushed away", RelationGetRelationName(rel)),
			 errdetail("A deadline is computed from the retention rules and only comes nearer."),
			 errhint("To keep a row for an inquiry, insert it into facematch.hold.")));
}

/* An own anchor (a gallery's departure) that moves away takes the deadline along where the rule says so. */
static TimestampTz
moved_deadline(const Guard *guard, Relation rel, HeapTuple was, TimestampTz old, const FaceDue *due)
{
	TupleDesc	desc = RelationGetDescr(rel);
	FaceFacts	facts = facts_of(guard, was, desc);
	FaceDue		before = face_due(policy_of(guard, was, desc), &facts, NULL);

	return settle(old, before.due, due, due->rule->follows_anchor);
}

static void
refuse_held(Relation rel, const char *how)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION),
			 errmsg("the row of \"%s\" is held and cannot be %s", RelationGetRelationName(rel), how),
			 errhint("facematch.held says why and until when.")));
}

/* Whether a column changed; one that is written again with equal bytes did not. */
static bool
differs(HeapTuple was, HeapTuple row, TupleDesc desc, AttrNumber column)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);
	bool		was_null;
	bool		isnull;
	Datum		old = heap_getattr(was, column, desc, &was_null);
	Datum		new = heap_getattr(row, column, desc, &isnull);

	if (was_null || isnull)
		return was_null != isnull;
	return !datumIsEqual(old, new, attribute->attbyval, attribute->attlen);
}

/* A hold names a row by its key or its subject, for what the template shows: none of them slips out under it. */
static bool
escapes_hold(const Guard *guard, Relation rel, HeapTuple was, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(rel);
	bool		other_template = guard->template != 0 && differs(was, row, desc, guard->template);
	bool		other_name = differs(was, row, desc, guard->key) || (guard->subject != 0 && differs(was, row, desc, guard->subject));

	if (!other_template && !other_name)
		return false;
	return is_held(guard, rel, was) && (other_template || !is_held(guard, rel, row));
}

/* Another class is another law: who changed it stands in the log. */
static void
log_class(const Guard *guard, Relation rel, HeapTuple was, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(rel);
	struct
	{
		const char *name;
		char	   *value;
	}			said[] = {
		{"{\"table\": ", face_qualified_name(linitial_oid(guard->relids))},
		{", \"row\": ", SPI_getvalue(row, desc, guard->key)},
		{", \"from\": ", SPI_getvalue(was, desc, guard->class)},
		{", \"to\": ", SPI_getvalue(row, desc, guard->class)}
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
guard_update(const Guard *guard, Relation rel, HeapTuple was, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(rel);
	const FaceRecompute *why = face_recomputing(RelationGetRelid(rel), guard->relids);
	TimestampTz old = time_of(was, desc, guard->purge_after);
	TimestampTz given = time_of(row, desc, guard->purge_after);
	const pg_uuid_t *old_subject = subject_of(guard, was, desc);
	const pg_uuid_t *subject = subject_of(guard, row, desc);
	bool		other_subject = subject != NULL && (old_subject == NULL || memcmp(subject, old_subject, UUID_LEN) != 0);
	bool		new_template = is_null(was, desc, guard->template) && !is_null(row, desc, guard->template);
	bool		moved = guard->gallery != 0 && !is_null(row, desc, guard->gallery) && differs(was, row, desc, guard->gallery);
	bool		enters = other_subject || new_template || moved;
	FaceDue		due;
	TimestampTz new;

	if (why != NULL)
		return guard_recompute(guard, rel, why, row);
	if (enters)
		lock_subject(guard, subject);
	if (!is_replica())
	{
		if (given > old)
			refuse_push(rel);
		if (moved && guard->template != 0)
			refuse_closed(guard, rel, row);
		if (escapes_hold(guard, rel, was, row))
			refuse_held(rel, "changed");
	}
	due = due_of(guard, rel, row);
	new = Min(Min(due.due, given), old);
	if (guard->anchor != 0 && given == old && due.due > old &&
		time_of(was, desc, guard->anchor) != time_of(row, desc, guard->anchor))
		new = moved_deadline(guard, rel, was, old, &due);

	if (enters && is_declined(guard, rel, row))
	{
		if (!face_skips_opted_out())
			refuse_declined(rel);
		skip_declined(guard, rel, row);
		return NULL;
	}
	if (!is_replica() && differs(was, row, desc, guard->class))
		log_class(guard, rel, was, row);
	return with_deadline(guard, rel, row, new, due.rule);
}

static HeapTuple
guard_delete(const Guard *guard, Relation rel, HeapTuple row)
{
	if (!is_held(guard, rel, row))
		return row;
	if (!is_replica())
		refuse_held(rel, "deleted");
	return NULL;
}

Datum
facematch_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Guard	   *guard = fcinfo->flinfo->fn_extra;
	Relation	rel;
	HeapTuple	result;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("facematch.guard must be fired before each row")));
	rel = trigger->tg_relation;
	if (guard == NULL)
		guard = make_guard(fcinfo, trigger);

	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		result = guard_insert(guard, rel, trigger->tg_trigtuple);
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		result = guard_update(guard, rel, trigger->tg_trigtuple, trigger->tg_newtuple);
	else
		result = guard_delete(guard, rel, trigger->tg_trigtuple);
	return PointerGetDatum(result);
}
