/*-------------------------------------------------------------------------
 *
 * cast.c
 *	  Casts of face_embedding: to a column's modifier, from and to arrays.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "embedding/embedding.h"
#include "embedding/errors.h"
#include "simd/simd.h"

PG_FUNCTION_INFO_V1(face_embedding_cast);
PG_FUNCTION_INFO_V1(array_to_face_embedding);
PG_FUNCTION_INFO_V1(face_embedding_to_float4);
PG_FUNCTION_INFO_V1(face_embedding_to_float8);

Datum
face_embedding_cast(PG_FUNCTION_ARGS)
{
	FaceEmbedding *a = PG_GETARG_FACE_EMBEDDING(0);

	PG_RETURN_FACE_EMBEDDING(face_embedding_apply_typmod(a, PG_GETARG_INT32(1)));
}

/*
 * One array element as float32.  Overflow gives infinity, which
 * face_embedding_from_floats() reports by position.
 */
static float
element_to_float(Datum element, Oid type)
{
	switch (type)
	{
		case FLOAT4OID:
			return DatumGetFloat4(element);
		case FLOAT8OID:
			return (float) DatumGetFloat8(element);
		case INT4OID:
			return (float) DatumGetInt32(element);
		case NUMERICOID:
			/* not numeric_float4: its error repeats the value */
			return (float) DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, element));
		default:
			elog(ERROR, "unsupported element type %u", type);
	}
}

/* One C function for the four element types of the CREATE CAST commands. */
Datum
array_to_face_embedding(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Oid			type = ARR_ELEMTYPE(array);
	float		values[FACE_MAX_DIMS];
	FaceEmbedding *result;
	int16		length;
	bool		by_value;
	char		alignment;
	Datum	   *elements;
	int			n;

	if (ARR_NDIM(array) > 1)
		face_input_error(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						 errmsg("array must have one dimension to become a face embedding"));
	if (ARR_HASNULL(array) && array_contains_nulls(array))
		face_input_error(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						 errmsg("array must not contain nulls to become a face embedding"));
	n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (n > FACE_MAX_DIMS)
		face_input_error(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("face embedding cannot have more than %d dimensions", FACE_MAX_DIMS));

	get_typlenbyvalalign(type, &length, &by_value, &alignment);
	deconstruct_array(array, type, length, by_value, alignment, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		values[i] = element_to_float(elements[i], type);
	pfree(elements);
	result = face_embedding_from_floats(n, FACE_NO_MODEL, values);
	PG_RETURN_FACE_EMBEDDING(face_embedding_apply_typmod(result, PG_GETARG_INT32(1)));
}

/* float4[] or float8[] */
static ArrayType *
to_array(FaceEmbedding *a, Oid type)
{
	float		values[FACE_MAX_DIMS];
	Datum	   *elements;
	int16		length;
	bool		by_value;
	char		alignment;

	face_check_unsealed(a);
	elements = (Datum *) palloc(sizeof(Datum) * a->dims);
	face_kernels->half_to_float(a->dims, a->x, values);
	for (int i = 0; i < a->dims; i++)
		elements[i] = type == FLOAT4OID ? Float4GetDatum(values[i]) : Float8GetDatum((float8) values[i]);
	get_typlenbyvalalign(type, &length, &by_value, &alignment);
	return construct_array(elements, a->dims, type, length, by_value, alignment);
}

Datum
face_embedding_to_float4(PG_FUNCTION_ARGS)
{
	PG_RETURN_ARRAYTYPE_P(to_array(PG_GETARG_FACE_EMBEDDING(0), FLOAT4OID));
}

Datum
face_embedding_to_float8(PG_FUNCTION_ARGS)
{
	PG_RETURN_ARRAYTYPE_P(to_array(PG_GETARG_FACE_EMBEDDING(0), FLOAT8OID));
}
