/*-------------------------------------------------------------------------
 *
 * vector.c
 *	  A template as a vector: to unit length, and two joined into one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "embedding/embedding.h"
#include "embedding/errors.h"
#include "simd/simd.h"

PG_FUNCTION_INFO_V1(face_embedding_normalize);
PG_FUNCTION_INFO_V1(face_embedding_concat);

Datum
face_embedding_normalize(PG_FUNCTION_ARGS)
{
	FaceEmbedding *a = PG_GETARG_FACE_EMBEDDING(0);
	float		values[FACE_MAX_DIMS];

	face_check_unsealed(a);
	face_kernels->half_to_float(a->dims, a->x, values);
	for (int i = 0; i < a->dims; i++)
		values[i] /= a->norm;
	PG_RETURN_FACE_EMBEDDING(face_embedding_from_floats(a->dims, a->model, values));
}

/* No one model made the result, so it is untagged. */
Datum
face_embedding_concat(PG_FUNCTION_ARGS)
{
	FaceEmbedding *a = PG_GETARG_FACE_EMBEDDING(0);
	FaceEmbedding *b = PG_GETARG_FACE_EMBEDDING(1);
	float		values[FACE_MAX_DIMS];

	face_check_unsealed(a);
	face_check_unsealed(b);
	if (a->dims + b->dims > FACE_MAX_DIMS)
		face_input_error(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("face embeddings of %d and %d dimensions are too long to be joined", a->dims, b->dims),
						 errhint("A face embedding has at most %d dimensions.", FACE_MAX_DIMS));
	face_kernels->half_to_float(a->dims, a->x, values);
	face_kernels->half_to_float(b->dims, b->x, values + a->dims);
	PG_RETURN_FACE_EMBEDDING(face_embedding_from_floats(a->dims + b->dims, FACE_NO_MODEL, values));
}
