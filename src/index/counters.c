/*-------------------------------------------------------------------------
 *
 * counters.c
 *	  facematch.last_scan(): what this session's last index scan did.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"

#include "compat.h"
#include "index/counters.h"

PG_FUNCTION_INFO_V1(facematch_last_scan);

FaceScanCounters face_last_scan;

void
face_add_counters(FaceScanCounters *sum, const FaceScanCounters *counters)
{
	sum->lists += counters->lists;
	sum->pages += counters->pages;
	sum->sketches += counters->sketches;
	sum->planes += counters->planes;
	sum->refined += counters->refined;
	sum->measured += counters->measured;
	sum->returned += counters->returned;
}

Datum
facematch_last_scan(PG_FUNCTION_ARGS)
{
	const FaceScanCounters *counters = &face_last_scan;
	const uint64 columns[] = {
		counters->lists, counters->pages, counters->sketches,
		counters->planes, counters->refined, counters->measured, counters->returned
	};
	Datum		values[lengthof(columns)];
	bool		nulls[lengthof(columns)] = {false};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < lengthof(columns); i++)
		values[i] = Int64GetDatum((int64) columns[i]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
