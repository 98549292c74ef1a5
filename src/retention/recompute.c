/*-------------------------------------------------------------------------
 *
 * recompute.c
 *	  Triggers on what deadlines depend on: galleries, rules, events of subjects.
 *
 * Rows that are being written at the same time are not missed.  A gallery's row
 * is locked by whoever stages into it; a subject by its bucket (facts.c); and a
 * change of rules keeps writers, not readers, out of the tables it concerns.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "gallery/gallery.h"
#include "retention/facts.h"
#include "retention/rules.h"
#include "retention/retained.h"
#include "base/run.h"

PG_FUNCTION_INFO_V1(facematch_gallery_moved);
PG_FUNCTION_INFO_V1(facematch_rule_changed);
PG_FUNCTION_INFO_V1(facematch_event_happened);

static TriggerData *
after_row(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the trigger must be fired after each row")));
	return trigger;
}

static Datum
column_value(Relation rel, HeapTuple row, const char *column, bool *isnull)
{
	int			attnum = SPI_fnumber(RelationGetDescr(rel), column);

	if (attnum <= 0)
		elog(ERROR, "table \"%s\" has no column \"%s\"", RelationGetRelationName(rel), column);
	return SPI_getbinval(row, RelationGetDescr(rel), attnum, isnull);
}

static TimestampTz
column_time(Relation rel, HeapTuple row, const char *column)
{
	bool		isnull;
	Datum		value = column_value(rel, row, column, &isnull);

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

/* After a gallery has changed or gone: nothing that this transaction remembers of it holds any more. */
Datum
facematch_gallery_moved(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = after_row(fcinfo);
	Relation	rel = trigger->tg_relation;
	bool		isnull;
	Datum		gallery_id;
	ListCell   *cell;

	face_forget_galleries();
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		return PointerGetDatum(NULL);
	gallery_id = column_value(rel, trigger->tg_newtuple, "gallery_id", &isnull);
	if (column_time(rel, trigger->tg_trigtuple, "anchor_at") == column_time(rel, trigger->tg_newtuple, "anchor_at") &&
		column_time(rel, trigger->tg_trigtuple, "purge_after") == column_time(rel, trigger->tg_newtuple, "purge_after"))
		return PointerGetDatum(NULL);
	foreach(cell, face_retained_tables())
	{
		const FaceRetained *table = lfirst(cell);
		FaceRecompute why = {.gallery = true};

		if (table->gallery == NULL)
			continue;
		why.anchor = column_time(rel, trigger->tg_trigtuple, "anchor_at");
		why.ceiling = column_time(rel, trigger->tg_trigtuple, "purge_after");
		face_recompute_rows(table, &why, table->gallery, INT8OID, gallery_id);
		log_lengthening(table, &why, "gallery anchor moved");
	}
	return PointerGetDatum(NULL);
}

/* A rule that has taken force lengthens nothing any more, when it is ended: what was nearer by then stays. */
static void
apply_rule(Relation rel, HeapTuple row, bool takes_effect)
{
	bool		isnull;
	Datum		class = column_value(rel, row, "retention_class", &isnull);
	char	   *what = TextDatumGetCString(column_value(rel, row, "what", &isnull));
	/* Rules that come in one statement take force together. */
	FaceCommand command = {HeapTupleHeaderGetXmin(row->t_data), HeapTupleHeaderGetRawCommandId(row->t_data)};
	ListCell   *cell;

	foreach(cell, face_retained_tables())
	{
		const FaceRetained *table = lfirst(cell);
		FaceRecompute why = {.rules = true, .new_rules = takes_effect ? &command : NULL};

		if (strcmp(table->what, what) != 0)
			continue;
		LockRelationOid(table->relid, ShareRowExclusiveLock);
		/* Its partitions too: rows may be on their way into them directly. */
		(void) face_with_heirs(table->relid, ShareRowExclusiveLock);
		face_recompute_rows(table, &why, table->class, TEXTOID, class);
		log_lengthening(table, &why, "retention rule");
	}
}

/* After a rule came, went or was ended. */
Datum
facematch_rule_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = after_row(fcinfo);
	Relation	rel = trigger->tg_relation;

	face_forget_rules();
	apply_rule(rel, trigger->tg_trigtuple, TRIGGER_FIRED_BY_INSERT(trigger->tg_event));
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		apply_rule(rel, trigger->tg_newtuple, column_time(rel, trigger->tg_trigtuple, "valid_from") > GetCurrentTransactionStartTimestamp());
	return PointerGetDatum(NULL);
}

/* When the event had last happened to the subject before this row. */
static TimestampTz
event_before(Relation rel, HeapTuple row)
{
	bool		isnull;
	Oid			types[3] = {UUIDOID, TEXTOID, INT8OID};
	Datum		values[3] = {
		column_value(rel, row, "subject_id", &isnull), column_value(rel, row, "event", &isnull),
		column_value(rel, row, "event_id", &isnull)
	};
	TimestampTz at;
	Datum		value;

	SPI_connect();
	face_run("SELECT pg_catalog.max(e.occurred_at) FROM facematch.anchor_event e"
			 " WHERE e.subject_id OPERATOR(pg_catalog.=) $1 AND e.event OPERATOR(pg_catalog.=) $2"
			 " AND e.event_id OPERATOR(pg_catalog.<>) $3", lengthof(types), types, values, rel->rd_rel->relowner);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	at = isnull ? DT_NOEND : DatumGetTimestampTz(value);
	SPI_finish();
	return at;
}

/* After an event of a subject that deadlines may count from. */
Datum
facematch_event_happened(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = after_row(fcinfo);
	Relation	rel = trigger->tg_relation;
	bool		isnull;
	Datum		subject = column_value(rel, trigger->tg_trigtuple, "subject_id", &isnull);
	char	   *event = TextDatumGetCString(column_value(rel, trigger->tg_trigtuple, "event", &isnull));
	ListCell   *cell;

	if (!face_event_matters(event))
		return PointerGetDatum(NULL);
	face_own_subject(face_table("opt_out"), DatumGetUUIDP(subject));
	foreach(cell, face_retained_tables())
	{
		const FaceRetained *table = lfirst(cell);
		FaceRecompute why = {.event = event};

		if (table->subject == NULL)
			continue;
		why.event_at = event_before(rel, trigger->tg_trigtuple);
		face_recompute_rows(table, &why, table->subject, UUIDOID, subject);
		log_lengthening(table, &why, "event of the subject");
	}
	return PointerGetDatum(NULL);
}
