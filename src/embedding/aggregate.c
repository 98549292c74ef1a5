/*-------------------------------------------------------------------------
 *
 * aggregate.c
 *	  avg(face_embedding), template fusion by the arithmetic mean, and sum().
 *
 * Sums are kept in double precision.  A half is a multiple of 2^-24 below
 * 2^16, so that 53 bits hold the sum of 8,192 of the largest ones exactly, and
 * of half a billion components below 1: the mean does not depend on the order
 * of the rows or on the number of parallel workers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "libpq/pqformat.h"

#include "embedding/embedding.h"
#include "embedding/errors.h"
#include "simd/simd.h"

typedef struct SumState
{
	int64		count;
	int32		dims;
	int32		model;			/* the one tag seen, or FACE_NO_MODEL */
	double		sums[FLEXIBLE_ARRAY_MEMBER];
} SumState;

#define SUM_STATE_SIZE(dims) \
	(offsetof(SumState, sums) + (Size) (dims) * sizeof(double))

PG_FUNCTION_INFO_V1(face_embedding_avg_accum);
PG_FUNCTION_INFO_V1(face_embedding_avg_combine);
PG_FUNCTION_INFO_V1(face_embedding_avg_serialize);
PG_FUNCTION_INFO_V1(face_embedding_avg_deserialize);
PG_FUNCTION_INFO_V1(face_embedding_avg_final);
PG_FUNCTION_INFO_V1(face_embedding_sum_final);

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate support function called outside an aggregate");
	return context;
}

static SumState *
new_state(MemoryContext context, int dims, int model)
{
	SumState  *state = (SumState *) MemoryContextAllocZero(context, SUM_STATE_SIZE(dims));

	state->dims = dims;
	state->model = model;
	return state;
}

/* Untagged templates mix with any one model, as in a comparison. */
static void
check_same_kind(SumState *state, int dims, int model)
{
	if (state->dims != dims)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("face embeddings of %d and %d dimensions cannot be aggregated", state->dims, dims),
				 errhint("Aggregate the templates of one model at a time.")));
	if (state->model == FACE_NO_MODEL)
		state->model = model;
	else if (model != FACE_NO_MODEL && model != state->model)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("face embeddings of models %d and %d cannot be aggregated", state->model, model),
				 errhint("Aggregate the templates of one model at a time, with GROUP BY or WHERE face_model(...).")));
}

Datum
face_embedding_avg_accum(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	SumState  *state = PG_ARGISNULL(0) ? NULL : (SumState *) PG_GETARG_POINTER(0);
	FaceEmbedding *a;
	float		values[FACE_MAX_DIMS];

	if (PG_ARGISNULL(1))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}
	a = PG_GETARG_FACE_EMBEDDING(1);
	face_check_unsealed(a);
	if (state == NULL)
		state = new_state(context, a->dims, a->model);
	check_same_kind(state, a->dims, a->model);

	face_kernels->half_to_float(a->dims, a->x, values);
	for (int i = 0; i < a->dims; i++)
		state->sums[i] += values[i];
	state->count++;
	PG_FREE_IF_COPY(a, 1);
	PG_RETURN_POINTER(state);
}

Datum
face_embedding_avg_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	SumState  *state = PG_ARGISNULL(0) ? NULL : (SumState *) PG_GETARG_POINTER(0);
	SumState  *other = PG_ARGISNULL(1) ? NULL : (SumState *) PG_GETARG_POINTER(1);

	if (other == NULL)
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}
	if (state == NULL)
		state = new_state(context, other->dims, other->model);
	check_same_kind(state, other->dims, other->model);
	for (int i = 0; i < other->dims; i++)
		state->sums[i] += other->sums[i];
	state->count += other->count;
	PG_RETURN_POINTER(state);
}

Datum
face_embedding_avg_serialize(PG_FUNCTION_ARGS)
{
	SumState  *state;
	StringInfoData message;

	(void) aggregate_context(fcinfo);
	state = (SumState *) PG_GETARG_POINTER(0);
	pq_begintypsend(&message);
	pq_sendint64(&message, (uint64) state->count);
	pq_sendint32(&message, (uint32) state->dims);
	pq_sendint32(&message, (uint32) state->model);
	for (int i = 0; i < state->dims; i++)
		pq_sendfloat8(&message, state->sums[i]);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/*
 * Only ever given what serialize made: SQL cannot call it, as it takes and
 * returns internal.
 */
Datum
face_embedding_avg_deserialize(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	StringInfoData message;
	SumState  *state;
	int64		count;
	int			dims;
	int			model;

	initStringInfo(&message);
	appendBinaryStringInfo(&message, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	count = pq_getmsgint64(&message);
	dims = (int) pq_getmsgint(&message, sizeof(int32));
	model = (int) pq_getmsgint(&message, sizeof(int32));
	state = new_state(context, dims, model);
	state->count = count;
	for (int i = 0; i < dims; i++)
		state->sums[i] = pq_getmsgfloat8(&message);
	pq_getmsgend(&message);
	pfree(message.data);
	PG_RETURN_POINTER(state);
}

/* The sums divided by "divisor", as a template. */
static FaceEmbedding *
scaled_sums(const SumState *state, double divisor)
{
	float		values[FACE_MAX_DIMS];

	for (int i = 0; i < state->dims; i++)
		values[i] = (float) (state->sums[i] / divisor);
	return face_embedding_from_floats(state->dims, state->model, values);
}

Datum
face_embedding_avg_final(PG_FUNCTION_ARGS)
{
	SumState   *state;

	(void) aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = (SumState *) PG_GETARG_POINTER(0);
	PG_RETURN_FACE_EMBEDDING(scaled_sums(state, (double) state->count));
}

Datum
face_embedding_sum_final(PG_FUNCTION_ARGS)
{
	(void) aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_FACE_EMBEDDING(scaled_sums((SumState *) PG_GETARG_POINTER(0), 1));
}
