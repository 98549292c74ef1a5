/*-------------------------------------------------------------------------
 *
 * threshold.c
 *	  The threshold decision, as a function and as operators.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "embedding/threshold.h"

PG_FUNCTION_INFO_V1(face_match);
PG_FUNCTION_INFO_V1(face_embedding_matches_probe);
PG_FUNCTION_INFO_V1(face_embedding_may_match_probe);

static pg_noinline void
report_min_similarity(double min_similarity)
{
	if (isnan(min_similarity))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("minimum similarity must not be NaN")));
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("minimum similarity must be between -1 and 1"),
			 errhint("It is a cosine similarity, 1 minus the distance of the operator <=>.")));
}

void
face_check_min_similarity(double min_similarity)
{
	if (unlikely(!(min_similarity >= -1.0 && min_similarity <= 1.0)))
		report_min_similarity(min_similarity);
}

bool
face_is_match(const FaceEmbedding *reference, const FaceEmbedding *probe, double min_similarity)
{
	return face_cosine_similarity(reference, probe) >= min_similarity;
}

FaceMetric
face_probe_metric(const FaceProbe *probe)
{
	switch (probe->kind)
	{
		case FACE_MOST_EUCLIDEAN:
			return FACE_EUCLIDEAN;
		case FACE_MOST_NEGATIVE_INNER_PRODUCT:
			return FACE_NEGATIVE_INNER_PRODUCT;
		default:
			return FACE_COSINE;
	}
}

/* More than the limit by what another way to compute it may be off. */
double
face_probe_max_distance(const FaceProbe *probe)
{
	double		limit = probe->kind == FACE_LEAST_SIMILARITY ? 1.0 - probe->limit : probe->limit;

	return limit + FACE_THRESHOLD_SLACK * (1.0 + fabs(limit));
}

bool
face_probe_matches(const FaceEmbedding *reference, const FaceProbe *probe)
{
	if (probe->kind == FACE_LEAST_SIMILARITY)
		return face_is_match(reference, &probe->embedding, probe->limit);
	return face_distance(face_probe_metric(probe), reference, &probe->embedding) <= probe->limit;
}

Datum
face_match(PG_FUNCTION_ARGS)
{
	double		min_similarity = PG_GETARG_FLOAT8(2);

	face_check_min_similarity(min_similarity);
	PG_RETURN_BOOL(face_is_match(PG_GETARG_FACE_EMBEDDING(0), PG_GETARG_FACE_EMBEDDING(1), min_similarity));
}

Datum
face_embedding_matches_probe(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(face_probe_matches(PG_GETARG_FACE_EMBEDDING(0), PG_GETARG_FACE_PROBE(1)));
}

/* reference =~? probe: LEAKPROOF, for no template there is raises an error. */
Datum
face_embedding_may_match_probe(PG_FUNCTION_ARGS)
{
	FaceEmbedding *reference = PG_GETARG_FACE_EMBEDDING(0);
	FaceProbe  *probe = PG_GETARG_FACE_PROBE(1);

	PG_RETURN_BOOL(!face_comparable(reference, &probe->embedding) ||
				   face_distance(face_probe_metric(probe), reference, &probe->embedding) <= face_probe_max_distance(probe));
}
