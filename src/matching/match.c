/*-------------------------------------------------------------------------
 *
 * match.c
 *	  The threshold decision, as a function and as an operator.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "matching/match.h"

PG_FUNCTION_INFO_V1(face_match);
PG_FUNCTION_INFO_V1(face_embedding_matches_probe);

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

bool
face_probe_matches(const FaceEmbedding *reference, const FaceProbe *probe)
{
	return face_is_match(reference, &probe->embedding, probe->min_similarity);
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
