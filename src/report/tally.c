/*-------------------------------------------------------------------------
 *
 * tally.c
 *	  Counting encounters for reports: histograms as an aggregate.
 *
 * Reports count a million rows in many ways at once.  As an aggregate of a
 * group a histogram costs an addition a row; as groups of their own its bins
 * would cost a hash table and another pass.  The state is the result, an array
 * whose subscripts are the bins, so that there is nothing to serialize between
 * parallel workers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"

#include "base/refusal.h"

PG_FUNCTION_INFO_V1(facematch_bin_counts_add);
PG_FUNCTION_INFO_V1(facematch_bin_counts_merge);

/* Bins are what a smallint numbers. */
#define LEAST_BIN	PG_INT16_MIN
#define MOST_BIN	PG_INT16_MAX

#define COUNTS(array)	((int64 *) ARR_DATA_PTR(array))
#define LOWEST(array)	(ARR_LBOUND(array)[0])
#define WIDTH(array)	(ARR_DIMS(array)[0])

static ArrayType *
check_histogram(ArrayType *array)
{
	if (ARR_NDIM(array) != 1 || ARR_HASNULL(array) || ARR_ELEMTYPE(array) != INT8OID ||
		LOWEST(array) < LEAST_BIN || LOWEST(array) > MOST_BIN || WIDTH(array) > MOST_BIN - LOWEST(array) + 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("histogram_is_whole"),
				 errmsg("an array is not a histogram"),
				 errhint("It has one dimension, counts without NULL, and subscripts that are a smallint.")));
	return array;
}

/* All zero, for bins from low to high. */
static ArrayType *
empty_histogram(int low, int high)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + (Size) (high - low + 1) * sizeof(int64);
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = INT8OID;
	ARR_DIMS(array)[0] = high - low + 1;
	ARR_LBOUND(array)[0] = low;
	return array;
}

/* Room for bins from low to high: the array itself where it has it and is the aggregate's own, else a copy. */
static ArrayType *
with_room(FunctionCallInfo fcinfo, ArrayType *array, int low, int high)
{
	int			highest = LOWEST(array) + WIDTH(array) - 1;
	ArrayType  *wider;

	if (low >= LOWEST(array) && high <= highest && AggCheckCallContext(fcinfo, NULL))
		return array;
	wider = empty_histogram(Min(low, LOWEST(array)), Max(high, highest));
	memcpy(COUNTS(wider) + (LOWEST(array) - LOWEST(wider)), COUNTS(array), WIDTH(array) * sizeof(int64));
	return wider;
}

/* bin_counts_add(counts bigint[], bin smallint): NULL counts for nothing */
Datum
facematch_bin_counts_add(PG_FUNCTION_ARGS)
{
	ArrayType  *array;
	int			bin;

	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	bin = PG_GETARG_INT16(1);
	if (PG_ARGISNULL(0))
		array = empty_histogram(bin, bin);
	else
		array = with_room(fcinfo, check_histogram(PG_GETARG_ARRAYTYPE_P(0)), bin, bin);
	COUNTS(array)[bin - LOWEST(array)]++;
	PG_RETURN_ARRAYTYPE_P(array);
}

/* bin_counts_merge(counts bigint[], others bigint[]): strict, so that a worker that counted nothing adds nothing */
Datum
facematch_bin_counts_merge(PG_FUNCTION_ARGS)
{
	ArrayType  *array = check_histogram(PG_GETARG_ARRAYTYPE_P(0));
	ArrayType  *others = check_histogram(PG_GETARG_ARRAYTYPE_P(1));

	array = with_room(fcinfo, array, LOWEST(others), LOWEST(others) + WIDTH(others) - 1);
	for (int i = 0; i < WIDTH(others); i++)
		COUNTS(array)[LOWEST(others) - LOWEST(array) + i] += COUNTS(others)[i];
	PG_RETURN_ARRAYTYPE_P(array);
}
