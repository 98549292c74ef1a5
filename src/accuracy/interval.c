/*-------------------------------------------------------------------------
 *
 * interval.c
 *	  A rate of events in independent trials, and how sure it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"

PG_FUNCTION_INFO_V1(facematch_rate_interval);

/* No double is farther out: the tail beyond is less than the least one. */
#define FARTHEST	40.0

/* Each halves the interval: 2 * FARTHEST / 2^60 is below what a double resolves. */
#define HALVINGS	60

/* Doddington's rule of 30. */
#define SURE_EVENTS	30

/* The z beyond which a share of the standard normal distribution lies, half of it at most. */
static double
normal_quantile(double tail)
{
	double		low = 0;
	double		high = FARTHEST;

	for (int i = 0; i < HALVINGS; i++)
	{
		double		middle = (low + high) / 2;

		if (erfc(middle / M_SQRT2) / 2 < tail)
			high = middle;
		else
			low = middle;
	}
	return low;
}

/* rate_interval(events int8, trials int8, confidence float8) returns (rate, lower, upper, below, sure) */
Datum
facematch_rate_interval(PG_FUNCTION_ARGS)
{
	int64		events = PG_GETARG_INT64(0);
	int64		trials = PG_GETARG_INT64(1);
	double		confidence = PG_GETARG_FLOAT8(2);
	double		n = trials;
	double		p = events / n;
	double		z;
	double		middle;
	double		half;
	TupleDesc	description;
	Datum		values[5] = {0};
	bool		nulls[5] = {trials == 0, trials == 0, trials == 0, trials == 0 || events > 0, false};

	if (!(confidence > 0 && confidence < 1))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("confidence must be between 0 and 1"),
				 errhint("95 %% is 0.95.")));
	if (events < 0 || trials < events)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the number of events is %lld, that of trials %lld", (long long) events, (long long) trials),
				 errhint("There must be at least as many trials as events.")));
	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "rate_interval does not return a row");

	z = normal_quantile((1 - confidence) / 2);
	middle = p + z * z / (2 * n);
	half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
	values[0] = Float8GetDatum(p);
	values[1] = Float8GetDatum(events == 0 ? 0 : (middle - half) / (1 + z * z / n));
	values[2] = Float8GetDatum(events == trials ? 1 : (middle + half) / (1 + z * z / n));
	values[3] = Float8GetDatum(1 - pow(1 - confidence, 1 / n));
	values[4] = BoolGetDatum(Min(events, trials - events) >= SURE_EVENTS);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls)));
}
