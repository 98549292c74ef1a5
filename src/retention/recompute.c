/*-------------------------------------------------------------------------
 *
 * recompute.c
 *	  Triggers on galleries, rules and events of subjects: deadlines depend on
 *	  these.
 *
 * Rows that are being written at the same time are not missed. A transaction that
 * stages into a gallery locks the gallery's row. A subject is locked by its bucket
 * (facts.c). A change of rules keeps writers, not readers, out of the tables that
 * it applies to.
 *
 * A user's table has a time limit, and cannot prevent a rule, event or gallery from
 * taking effect. Rows that could not be reached there are recorded (unreached.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "gallery/gallery.h"
#include "retention/facts.h"
#include "retention/person.h"
#include "retention/recompute.h"
#include "retention/rules.h"
#include "retention/retained.h"
#include "retention/unreached.h"
#include "base/attempt.h"
#include "base/row.h"
#include "base/run.h"

static TimestampTz
column_time(Relation rel, HeapTuple row, const char *column)
{
	bool		isnull;
	Datum		value = face_named_value(rel, row, column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

/* Deadlines that moved away are part of the log; those that came nearer show in the receipts. */
static void
log_lengthening(const FaceRetained *table, const FaceRecompute *why, const char *cause)
{
	StringInfoData detail;

	if (why->farther == 0)
		return;
	initStringInfo(&detail);
	appendStringInfoString(&detail, "{\"table\": ");
	escape_json(&detail, face_qualified_name(table->relid));
	appendStringInfo(&detail, ", \"rows\": %llu, \"cause\": ", (unsigned long long) why->farther);
	escape_json(&detail, cause);
	appendStringInfoChar(&detail, '}');
	face_write_audit("deadline_lengthened", detail.data);
}

/* Deadlines of one table's rows, those with a value in a column. */
typedef struct Recomputation
{
	const FaceRetained *table;
	FaceRecompute why;
	FaceUnreachedKind kind;
	const char *column;
	Oid			type;
	Datum		value;
	const char *cause;
} Recomputation;

/* Where only the lock is missing, rows that are there get their deadlines all the same: those that a session is adding are noted. */
static void
recompute_unlocked(void *state)
{
	Recomputation *work = state;

	work->why.nearer = work->why.farther = 0;
	face_recompute_rows(work->table, &work->why, work->column, work->type, work->value);
	log_lengthening(work->table, &work->why, work->cause);
}

static void
recompute_now(void *state)
{
	Recomputation *work = state;

	if (work->kind == FACE_UNREACHED_CLASS)
		face_lock_for_rules(work->table);
	recompute_unlocked(work);
}

static char *
value_as_text(Oid type, Datum value)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(type, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

static void
recompute(Recomputation *work, int tables_left)
{
	bool		own = face_is_own(work->table->relid);
	bool		rules = work->kind == FACE_UNREACHED_CLASS;

	if (own && !rules)
	{
		recompute_now(work);
		return;
	}
	if (face_attempt(work->table->relid, "given new deadlines", rules ? face_purge_table_until(tables_left) : face_table_until(tables_left),
					 recompute_now, work))
		return;
	if (own)
		(void) face_attempt(work->table->relid, "given new deadlines", face_purge_table_until(tables_left), recompute_unlocked, work);
	face_note_unreached(work->table, work->kind, value_as_text(work->type, work->value));
	if (work->why.new_rules != NULL)
		face_note_unreached(work->table, FACE_UNREACHED_LONGER,
							psprintf("%u %u %s", work->why.new_rules->xid, work->why.new_rules->cid, TextDatumGetCString(work->value)));
}

/* Deadlines of a table's rows of a class, after new rules that a command wrote: what could not be done then. */
void
face_recompute_class(const FaceRetained *table, Datum class, const FaceCommand *new_rules)
{
	Recomputation work = {table, {.rules = true, .new_rules = new_rules}, FACE_UNREACHED_CLASS, table->class, TEXTOID, class,
	"retention rule"};

	recompute_now(&work);
}

/* After a gallery has changed or gone: nothing that this transaction remembers of it holds any more. */
void
face_gallery_moved(const TriggerData *trigger)
{
	Relation	rel = trigger->tg_relation;
	bool		isnull;
	Datum		gallery_id;
	List	   *tables;
	ListCell   *cell;

	face_forget_galleries();
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		return;
	gallery_id = face_named_value(rel, trigger->tg_newtuple, "gallery_id", &isnull);
	if (column_time(rel, trigger->tg_trigtuple, "anchor_at") == column_time(rel, trigger->tg_newtuple, "anchor_at") &&
		column_time(rel, trigger->tg_trigtuple, "purge_after") == column_time(rel, trigger->tg_newtuple, "purge_after"))
		return;
	tables = face_retained_tables();
	foreach(cell, tables)
	{
		Recomputation work = {lfirst(cell), {.gallery = true}, FACE_UNREACHED_GALLERY, NULL, INT8OID, gallery_id, "gallery anchor moved"};

		work.column = work.table->gallery;
		work.why.anchor = column_time(rel, trigger->tg_trigtuple, "anchor_at");
		work.why.ceiling = column_time(rel, trigger->tg_trigtuple, "purge_after");
		if (work.column != NULL)
			recompute(&work, list_length(tables) - foreach_current_index(cell));
	}
}

/* A rule that has come into force lengthens nothing any more, when it is ended: what was nearer by then stays. */
static void
apply_rule(Relation rel, HeapTuple row, bool takes_effect)
{
	bool		isnull;
	Datum		class = face_named_value(rel, row, "retention_class", &isnull);
	char	   *what = TextDatumGetCString(face_named_value(rel, row, "what", &isnull));
	/* Rules that come in one statement come into force together. */
	FaceCommand command = {HeapTupleHeaderGetXmin(row->t_data), HeapTupleHeaderGetRawCommandId(row->t_data)};
	List	   *tables = face_retained_tables();
	ListCell   *cell;

	foreach(cell, tables)
	{
		Recomputation work = {lfirst(cell), {.rules = true, .new_rules = takes_effect ? &command : NULL}, FACE_UNREACHED_CLASS, NULL,
		TEXTOID, class, "retention rule"};

		work.column = work.table->class;
		if (strcmp(work.table->what, what) == 0)
			recompute(&work, list_length(tables) - foreach_current_index(cell));
	}
}

/* After a rule came, went or was ended. */
void
face_rule_changed(const TriggerData *trigger)
{
	Relation	rel = trigger->tg_relation;

	face_forget_rules();
	apply_rule(rel, trigger->tg_trigtuple, TRIGGER_FIRED_BY_INSERT(trigger->tg_event));
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		apply_rule(rel, trigger->tg_newtuple, column_time(rel, trigger->tg_trigtuple, "valid_from") > GetCurrentTransactionStartTimestamp());
}

/* In each table; the work says why, and of which subject. */
static void
recompute_subject(Recomputation work, List *tables, bool locked)
{
	ListCell   *cell;

	foreach(cell, tables)
	{
		work.table = lfirst(cell);
		work.column = work.table->subject;
		if (work.column == NULL)
			continue;
		recompute(&work, list_length(tables) - foreach_current_index(cell));
		if (!locked)
			face_note_unreached(work.table, work.kind, value_as_text(UUIDOID, work.value));
	}
}

/* After an event of a subject that deadlines may count from. */
void
face_event_happened(const TriggerData *trigger)
{
	Relation	rel = trigger->tg_relation;
	bool		isnull;
	Datum		subject = face_named_value(rel, trigger->tg_trigtuple, "subject_id", &isnull);
	char	   *event = TextDatumGetCString(face_named_value(rel, trigger->tg_trigtuple, "event", &isnull));
	TimestampTz before;
	bool		locked;
	List	   *tables;
	ListCell   *cell;

	if (!face_event_matters(event))
		return;
	tables = face_retained_tables();
	locked = face_lock_subject(subject, list_length(tables) + 1);
	before = face_anchor_event(DatumGetUUIDP(subject), event,
							   DatumGetInt64(face_named_value(rel, trigger->tg_trigtuple, "event_id", &isnull)));
	foreach(cell, face_aliases(DatumGetUUIDP(subject)))
	{
		Recomputation work = {NULL, {.event = event, .event_at = before}, FACE_UNREACHED_EVENT, NULL, UUIDOID,
		UUIDPGetDatum(lfirst(cell)), "event of the subject"};

		recompute_subject(work, tables, locked);
	}
}

/* Deadlines of a subject's rows, in all tables, after more or other events count for them: they become earlier. */
void
face_recompute_subject(Datum subject, const char *cause)
{
	Recomputation work = {NULL, {.rules = true}, FACE_UNREACHED_EVENT, NULL, UUIDOID, subject, cause};

	recompute_subject(work, face_retained_tables(), true);
}
