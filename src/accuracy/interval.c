/*-------------------------------------------------------------------------
 *
 * interval.c
 *	  Quantiles of the normal distribution, for confidence intervals.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"

PG_FUNCTION_INFO_V1(facematch_normal_quantile);

/* No double is farther out: the tail beyond is less than the least one. */
#define FARTHEST	40.0

/* Each halves the interval: 2 * FARTHEST / 2^60 is below what a double resolves. */
#define HALVINGS	60

/* normal_quantile(p float8) returns float8: the z below which a share p lies */
Datum
facematch_normal_quantile(PG_FUNCTION_ARGS)
{
	double		p = PG_GETARG_FLOAT8(0);
	bool		upper = p > 0.5;
	double		tail = upper ? 1 - p : p;
	double		low = -FARTHEST;
	double		high = 0;

	if (!(p > 0 && p < 1))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a share of %g has no quantile", p),
				 errhint("It lies between 0 and 1; a confidence of 95 %% is 0.95.")));
	for (int i = 0; i < HALVINGS; i++)
	{
		double		middle = (low + high) / 2;

		if (erfc(-middle / M_SQRT2) / 2 < tail)
			low = middle;
		else
			high = middle;
	}
	PG_RETURN_FLOAT8(upper ? -high : high);
}
