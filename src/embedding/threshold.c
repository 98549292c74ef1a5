/*-------------------------------------------------------------------------
 *
 * threshold.c
 *	  The threshold decision, as a function and as operators.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "embedding/sealed.h"
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

static FaceMetric
metric_of(FaceProbeKind kind)
{
	switch (kind)
	{
		case FACE_MOST_EUCLIDEAN:
			return FACE_EUCLIDEAN;
		case FACE_MOST_NEGATIVE_INNER_PRODUCT:
			return FACE_NEGATIVE_INNER_PRODUCT;
		default:
			return FACE_COSINE;
	}
}

FaceMetric
face_probe_metric(const FaceProbe *probe)
{
	return metric_of(probe->kind);
}

/* More than the limit by what another way to compute it may be off. */
static double
max_distance_of(FaceProbeKind kind, double limit)
{
	double		distance = kind == FACE_LEAST_SIMILARITY ? 1.0 - limit : limit;

	return distance + FACE_THRESHOLD_SLACK * (1.0 + fabs(distance));
}

double
face_probe_max_distance(const FaceProbe *probe)
{
	return max_distance_of(probe->kind, probe->limit);
}

/* A decision about two templates, by the metric: is the one within the limit of the other? */
typedef struct Decision
{
	FaceProbeKind kind;
	double		limit;
	bool		may;			/* what cannot be compared may match */
} Decision;

static bool
decide(const FaceEmbedding *reference, const FaceEmbedding *probe, const Decision *decision)
{
	if (decision->may && !face_comparable(reference, probe))
		return true;
	if (!decision->may && decision->kind == FACE_LEAST_SIMILARITY)
		return face_cosine_similarity(reference, probe) >= decision->limit;
	return face_distance(metric_of(decision->kind), reference, probe) <=
		(decision->may ? max_distance_of(decision->kind, decision->limit) : decision->limit);
}

/*
 * Nobody matches a template whose key has been destroyed.  To say what may match
 * without an error, nothing is opened: a key may be missing.
 */
static pg_noinline bool
decide_sealed(const FaceEmbedding *reference, const FaceEmbedding *probe, const Decision *decision)
{
	FacePair	pair;
	bool		matches;

	if (decision->may)
		return true;
	if (!face_open_pair(reference, probe, &pair))
		return false;
	matches = decide(pair.opened[0], pair.opened[1], decision);
	face_wipe_pair(&pair);
	return matches;
}

static inline bool
decided(const FaceEmbedding *reference, const FaceEmbedding *probe, const Decision *decision)
{
	if (unlikely(face_is_sealed(reference) || face_is_sealed(probe)))
		return decide_sealed(reference, probe, decision);
	return decide(reference, probe, decision);
}

Datum
face_match(PG_FUNCTION_ARGS)
{
	Decision	decision = {FACE_LEAST_SIMILARITY, PG_GETARG_FLOAT8(2), false};

	face_check_min_similarity(decision.limit);
	PG_RETURN_BOOL(decided(PG_GETARG_FACE_EMBEDDING(0), PG_GETARG_FACE_EMBEDDING(1), &decision));
}

Datum
face_embedding_matches_probe(PG_FUNCTION_ARGS)
{
	FaceProbe  *probe = PG_GETARG_FACE_PROBE(1);
	Decision	decision = {probe->kind, probe->limit, false};

	PG_RETURN_BOOL(decided(PG_GETARG_FACE_EMBEDDING(0), &probe->embedding, &decision));
}

/* reference =~? probe: LEAKPROOF, for no template there is raises an error. */
Datum
face_embedding_may_match_probe(PG_FUNCTION_ARGS)
{
	FaceProbe  *probe = PG_GETARG_FACE_PROBE(1);
	Decision	decision = {probe->kind, probe->limit, true};

	PG_RETURN_BOOL(decided(PG_GETARG_FACE_EMBEDDING(0), &probe->embedding, &decision));
}
