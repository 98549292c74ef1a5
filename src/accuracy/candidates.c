/*-------------------------------------------------------------------------
 *
 * candidates.c
 *	  The comparisons between two sets that reach a threshold.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "accuracy/compare.h"

PG_FUNCTION_INFO_V1(facematch_compare_sets);

typedef struct Candidates
{
	FaceConsumer consumer;
	double		min_similarity;
	Tuplestorestate *store;
	TupleDesc	description;
} Candidates;

static void
visit(FaceConsumer *self, const FaceTile *tile)
{
	Candidates *c = (Candidates *) self;
	float		surely_below = (float) (c->min_similarity - 2 * tile->margin);

	for (int row = 0; row < tile->rows; row++)
	{
		const float *scores = tile->scores + (Size) row * tile->columns;

		for (int j = face_tile_start(tile, row); j < tile->columns; j++)
		{
			int			probe = tile->first_row + row;
			int			enrolled = tile->first_column + j;
			double		similarity;
			Datum		values[4];
			bool		nulls[4] = {false, false, false, false};

			if (likely(scores[j] < surely_below))
				continue;
			similarity = face_exact(tile, row, j);
			if (similarity < c->min_similarity)
				continue;
			values[0] = Int64GetDatum(tile->probes->ids[probe]);
			values[1] = Int64GetDatum(tile->enrolled->ids[enrolled]);
			values[2] = Float8GetDatum(similarity);
			values[3] = BoolGetDatum(face_same_subject(&tile->probes->labels[probe], &tile->enrolled->labels[enrolled]));
			tuplestore_putvalues(c->store, c->description, values, nulls);
		}
	}
}

/* compare_sets(probes text, enrolled text, min_similarity float8) returns setof (probe_id, enrolled_id, similarity, mated) */
Datum
facematch_compare_sets(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Candidates	c = {.consumer = {.visit = visit}};
	char	   *probes;
	char	   *enrolled;

	face_require_argument(fcinfo, 0, "probes");
	face_require_argument(fcinfo, 2, "min_similarity");
	probes = text_to_cstring(PG_GETARG_TEXT_PP(0));
	enrolled = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	c.min_similarity = PG_GETARG_FLOAT8(2);
	if (!(c.min_similarity >= -1.0 && c.min_similarity <= 1.0))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("minimum similarity must be between -1 and 1"),
				 errhint("It is a cosine similarity, 1 minus the distance of the operator <=>.")));
	InitMaterializedSRF(fcinfo, 0);
	c.store = result->setResult;
	c.description = result->setDesc;
	SPI_connect();
	face_compare_sets(probes, enrolled, &c.consumer);
	SPI_finish();
	return (Datum) 0;
}
