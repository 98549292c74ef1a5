/*-------------------------------------------------------------------------
 *
 * embedding.c
 *	  Making a template, and the properties that need no second one.
 *
 * Every template in the database passes through face_embedding_from_floats(),
 * whether it was text, binary, an array, a mean or a cast. What it refuses
 * cannot be stored, so its callers do not check again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "commands/copy.h"
#include "commands/copyfrom_internal.h"

#include "embedding/embedding.h"
#include "embedding/errors.h"
#include "simd/half.h"
#include "simd/simd.h"

PG_FUNCTION_INFO_V1(face_dims);
PG_FUNCTION_INFO_V1(face_model);
PG_FUNCTION_INFO_V1(face_norm);
PG_FUNCTION_INFO_V1(face_with_model);

void
face_withhold_copied_value(void)
{
	ErrorContextCallback *context;

	for (context = error_context_stack; context != NULL; context = context->previous)
	{
		if (context->callback == CopyFromErrorCallback)
		{
			CopyFromState copying = (CopyFromState) context->arg;

			/* Binary COPY shows no value and leaves this NULL. */
			if (copying->cur_attval != NULL)
				copying->cur_attval = "(template withheld)";
		}
	}
}

static void
component_error(int index, float value)
{
	if (isnan(value))
		face_input_error(errcode(ERRCODE_DATA_EXCEPTION),
						 errmsg("component %d of the face embedding is NaN", index + 1),
						 errhint("Every component must be a finite number."));
	if (isinf(value))
		face_input_error(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						 errmsg("component %d of the face embedding is infinite or beyond single precision", index + 1),
						 errhint("Every component must be a finite number."));
	face_input_error(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("component %d of the face embedding is out of range", index + 1),
					 errhint("Components are stored in half precision: their magnitude must be below 65520. "
							 "Normalise the template to unit length."));
}

/*
 * The norm is rounded towards zero.  A template's inner product with itself
 * then never falls short of its squared norm, so that its similarity with
 * itself is exactly 1 and not 1 - 6e-8.
 */
static float4
norm_towards_zero(double squared)
{
	double		norm = sqrt(squared);
	float4		rounded = (float4) norm;

	if ((double) rounded * (double) rounded > squared)
		rounded = nextafterf(rounded, 0.0f);
	return rounded;
}

/* Canonical zeros, no overflow, and a norm. */
static void
finish_components(FaceEmbedding *result, const float *values)
{
	double		squared;

	for (int i = 0; i < result->dims; i++)
	{
		if (unlikely(!half_is_finite(result->x[i])))
			component_error(i, values[i]);
		if (result->x[i] == HALF_SIGN)	/* -0 */
			result->x[i] = 0;
	}
	squared = face_kernels->dot(result->dims, result->x, result->x);
	if (!(squared > 0))
		face_input_error(errcode(ERRCODE_DATA_EXCEPTION),
						 errmsg("face embedding has zero norm"),
						 errdetail("Every component is zero or rounds to zero in half precision."),
						 errhint("A failed capture has no template; store NULL instead."));
	result->norm = norm_towards_zero(squared);
}

FaceEmbedding *
face_embedding_from_floats(int dims, int model, const float *values)
{
	FaceEmbedding *result;

	if (dims < 1)
		face_input_error(errcode(ERRCODE_DATA_EXCEPTION),
						 errmsg("face embedding must have at least 1 dimension"));
	if (dims > FACE_MAX_DIMS)
		face_input_error(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("face embedding cannot have more than %d dimensions", FACE_MAX_DIMS));

	/* zeroed: the bytes of a datum may be compared and hashed by PostgreSQL */
	result = (FaceEmbedding *) palloc0(FACE_EMBEDDING_SIZE(dims));
	SET_VARSIZE(result, FACE_EMBEDDING_SIZE(dims));
	result->dims = (int16) dims;
	result->model = (int16) model;
	face_kernels->float_to_half(dims, values, result->x);
	finish_components(result, values);
	return result;
}

FaceEmbedding *
face_embedding_apply_typmod(FaceEmbedding *a, int32 typmod)
{
	int			dims = FACE_TYPMOD_DIMS(typmod);
	int			model = FACE_TYPMOD_MODEL(typmod);
	FaceEmbedding *stamped;

	if (typmod < 0)
		return a;
	if (dims != 0 && dims != face_dims_of(a))
		face_input_error(errcode(ERRCODE_DATA_EXCEPTION),
						 errmsg("face embedding has %d dimensions, %d are expected", face_dims_of(a), dims),
						 errhint("The column or cast is declared as face_embedding(%d).", dims));
	if (model == FACE_NO_MODEL || model == a->model)
		return a;
	if (a->model != FACE_NO_MODEL)
		face_input_error(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("face embedding is of model %d, model %d is expected", a->model, model),
						 errhint("Templates of different models cannot be compared; make the template again with the expected model."));
	/* The tag is authenticated. */
	face_check_unsealed(a);

	stamped = (FaceEmbedding *) palloc(VARSIZE(a));
	memcpy(stamped, a, VARSIZE(a));
	stamped->model = (int16) model;
	return stamped;
}

Datum
face_dims(PG_FUNCTION_ARGS)
{
	FaceEmbedding *a = PG_GETARG_FACE_EMBEDDING(0);

	PG_RETURN_INT32(face_dims_of(a));
}

/*
 * 0 for an untagged template, not NULL: CHECK (face_model(e) = 7) must refuse
 * it, and a CHECK that is NULL passes.
 */
Datum
face_model(PG_FUNCTION_ARGS)
{
	FaceEmbedding *a = PG_GETARG_FACE_EMBEDDING(0);

	PG_RETURN_INT32(a->model);
}

Datum
face_norm(PG_FUNCTION_ARGS)
{
	FaceEmbedding *a = PG_GETARG_FACE_EMBEDDING(0);

	face_check_unsealed(a);
	PG_RETURN_FLOAT8((float8) a->norm);
}

Datum
face_with_model(PG_FUNCTION_ARGS)
{
	FaceEmbedding *a = PG_GETARG_FACE_EMBEDDING(0);
	int32		model = PG_GETARG_INT32(1);

	if (model < 1 || model > FACE_MAX_MODEL)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("model tag must be between 1 and %d", FACE_MAX_MODEL)));
	PG_RETURN_FACE_EMBEDDING(face_embedding_apply_typmod(a, FACE_TYPMOD(0, model)));
}
