/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  A deadline and its reasons, computed as the guard computes them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "gallery/gallery.h"
#include "retention/rules.h"

PG_FUNCTION_INFO_V1(facematch_retention_due);

#define ARG_TIME(n) (PG_ARGISNULL(n) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(n))

enum
{
	DUE_RULE,
	DUE_ANCHOR,
	DUE_ANCHOR_TIME,
	DUE_KEEP,
	DUE_DUE,
	DUE_CAPPED,
	DUE_LENGTHENED,
	DUE_COLUMNS
};

/* retention_due(what, retention_class, recorded_at, verified_at, anchor_at, gallery_id, subject_id) */
Datum
facematch_retention_due(PG_FUNCTION_ARGS)
{
	FaceDue		due = {.due = DT_NOEND};
	TupleDesc	desc;
	Datum		values[DUE_COLUMNS] = {0};
	bool		nulls[DUE_COLUMNS];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!PG_ARGISNULL(0) && !PG_ARGISNULL(1))
	{
		FaceFacts	facts = face_facts(ARG_TIME(2), ARG_TIME(3), ARG_TIME(4), PG_ARGISNULL(5) ? NULL : face_gallery(PG_GETARG_INT64(5), false),
									   PG_ARGISNULL(6) ? NULL : PG_GETARG_UUID_P(6), GetCurrentTimestamp());

		due = face_due(face_rule_set(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_TEXT_PP(1)), &facts, NULL);
	}

	memset(nulls, true, sizeof(nulls));
	if (due.rule != NULL)
	{
		nulls[DUE_RULE] = nulls[DUE_DUE] = nulls[DUE_CAPPED] = nulls[DUE_LENGTHENED] = false;
		values[DUE_RULE] = CStringGetTextDatum(due.rule->name);
		values[DUE_DUE] = TimestampTzGetDatum(due.due);
		values[DUE_CAPPED] = BoolGetDatum(due.capped);
		values[DUE_LENGTHENED] = BoolGetDatum(due.lengthened);
		if (due.term != NULL)
		{
			nulls[DUE_ANCHOR] = nulls[DUE_ANCHOR_TIME] = nulls[DUE_KEEP] = false;
			values[DUE_ANCHOR] = CStringGetTextDatum(due.term->anchor);
			values[DUE_ANCHOR_TIME] = TimestampTzGetDatum(due.anchor_at);
			values[DUE_KEEP] = IntervalPGetDatum(&due.term->keep);
		}
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
