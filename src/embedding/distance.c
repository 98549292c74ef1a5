/*-------------------------------------------------------------------------
 *
 * distance.c
 *	  The three comparisons of two templates, and the similarity.
 *
 * Everything that scores a pair comes through here, so that an operator, a
 * threshold and the index's recheck can never disagree about a decision: the
 * similarity is computed once, and the cosine distance is 1 minus it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "embedding/sealed.h"
#include "simd/simd.h"

PG_FUNCTION_INFO_V1(face_embedding_cosine_distance);
PG_FUNCTION_INFO_V1(face_embedding_euclidean_distance);
PG_FUNCTION_INFO_V1(face_embedding_negative_inner_product);
PG_FUNCTION_INFO_V1(face_similarity);

static pg_noinline void
report_not_comparable(const FaceEmbedding *a, const FaceEmbedding *b)
{
	if (a->dims != b->dims)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("face embeddings of %d and %d dimensions cannot be compared", a->dims, b->dims),
				 errhint("Both must be made by the same model.")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("face embeddings of models %d and %d cannot be compared", a->model, b->model),
			 errhint("Scores of different models mean nothing; make the probe with the model of the references.")));
}

/* Of equal dimensions, and not of different models. */
bool
face_comparable(const FaceEmbedding *a, const FaceEmbedding *b)
{
	return a->dims == b->dims &&
		(a->model == b->model || a->model == FACE_NO_MODEL || b->model == FACE_NO_MODEL);
}

static void
check_comparable(const FaceEmbedding *a, const FaceEmbedding *b)
{
	if (unlikely(!face_comparable(a, b)))
		report_not_comparable(a, b);
}

#define CACHE_LINE	64

/*
 * A sequential scan visits the tuples of a page from its end downwards, so the
 * template that is compared next most likely lies just below this one.  Fetching
 * it while this one is compared halves the time of a scan of 200,000 x 512
 * (bench/measure.py seqscan); for any other caller it is a few idle loads.
 * Prefetches cannot fault, so what really lies there does not matter.
 */
static inline void
prefetch_next_template(const FaceEmbedding *stored)
{
	const char *here = (const char *) stored;
	const char *line;

	for (line = here - CACHE_LINE; line > here - FACE_EMBEDDING_SIZE(stored->dims) - CACHE_LINE; line -= CACHE_LINE)
		__builtin_prefetch(line);
}

double
face_cosine_similarity(const FaceEmbedding *a, const FaceEmbedding *b)
{
	double		similarity;

	check_comparable(a, b);
	prefetch_next_template(a);
	similarity = face_kernels->dot(a->dims, a->x, b->x) / ((double) a->norm * (double) b->norm);
	if (similarity > 1.0)
		return 1.0;
	if (similarity < -1.0)
		return -1.0;
	return similarity;
}

static double
cosine_distance(const FaceEmbedding *a, const FaceEmbedding *b)
{
	return 1.0 - face_cosine_similarity(a, b);
}

static double
euclidean_distance(const FaceEmbedding *a, const FaceEmbedding *b)
{
	check_comparable(a, b);
	prefetch_next_template(a);
	return sqrt(face_kernels->l2_squared(a->dims, a->x, b->x));
}

static double
negative_inner_product(const FaceEmbedding *a, const FaceEmbedding *b)
{
	check_comparable(a, b);
	prefetch_next_template(a);
	/* a difference, so that orthogonal templates have 0 and not -0 */
	return 0.0 - face_kernels->dot(a->dims, a->x, b->x);
}

double
face_distance(FaceMetric metric, const FaceEmbedding *a, const FaceEmbedding *b)
{
	switch (metric)
	{
		case FACE_COSINE:
			return cosine_distance(a, b);
		case FACE_EUCLIDEAN:
			return euclidean_distance(a, b);
		case FACE_NEGATIVE_INNER_PRODUCT:
			return negative_inner_product(a, b);
	}
	pg_unreachable();
}

typedef double (*Measure) (const FaceEmbedding *a, const FaceEmbedding *b);

/* NULL: the key of one has been destroyed, so it compares with nobody. */
static pg_noinline Datum
measure_sealed(FunctionCallInfo fcinfo, const FaceEmbedding *a, const FaceEmbedding *b, Measure measure)
{
	FacePair	pair;
	double		result = 0;

	fcinfo->isnull = !face_open_pair(a, b, &pair);
	if (!fcinfo->isnull)
	{
		result = measure(pair.opened[0], pair.opened[1]);
		face_wipe_pair(&pair);
	}
	return Float8GetDatum(result);
}

static inline Datum
measured(FunctionCallInfo fcinfo, Measure measure)
{
	FaceEmbedding *a = PG_GETARG_FACE_EMBEDDING(0);
	FaceEmbedding *b = PG_GETARG_FACE_EMBEDDING(1);

	if (unlikely(face_is_sealed(a) || face_is_sealed(b)))
		return measure_sealed(fcinfo, a, b, measure);
	return Float8GetDatum(measure(a, b));
}

Datum
face_embedding_cosine_distance(PG_FUNCTION_ARGS)
{
	return measured(fcinfo, cosine_distance);
}

Datum
face_embedding_euclidean_distance(PG_FUNCTION_ARGS)
{
	return measured(fcinfo, euclidean_distance);
}

Datum
face_embedding_negative_inner_product(PG_FUNCTION_ARGS)
{
	return measured(fcinfo, negative_inner_product);
}

Datum
face_similarity(PG_FUNCTION_ARGS)
{
	return measured(fcinfo, face_cosine_similarity);
}
