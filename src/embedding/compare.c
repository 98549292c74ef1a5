/*-------------------------------------------------------------------------
 *
 * compare.c
 *	  Equality, order and hash of templates as values.
 *
 * A total order by model tag, dimensions and components, for btree, hash,
 * DISTINCT and GROUP BY.  It says nothing about faces and never fails: values
 * of different models or dimensions are simply different values.  The norm
 * follows from the components and is left out.  Sealed ones are compared by their
 * bytes and never opened: the same face, sealed twice, is two values.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "embedding/embedding.h"
#include "embedding/value.h"
#include "simd/half.h"

PG_FUNCTION_INFO_V1(face_embedding_hash);
PG_FUNCTION_INFO_V1(face_embedding_hash_extended);

/* Halves in numeric order as integers.  -0 does not occur, infinity neither. */
static inline int
half_rank(uint16 half)
{
	return (half & HALF_SIGN) ? -(int) (half & HALF_MAGNITUDE) : (int) half;
}

/* The bytes after the model: of a sealed one its key's name, nonce, tag and ciphertext. */
static int
compare_sealed(const FaceEmbedding *a, const FaceEmbedding *b)
{
	return memcmp(&a->norm, &b->norm, VARSIZE(a) - offsetof(FaceEmbedding, norm));
}

int
face_embedding_compare(const FaceEmbedding *a, const FaceEmbedding *b)
{
	if (a->model != b->model)
		return a->model < b->model ? -1 : 1;
	if (a->dims != b->dims)
		return a->dims < b->dims ? -1 : 1;
	if (face_is_sealed(a))
		return compare_sealed(a, b);
	for (int i = 0; i < a->dims; i++)
	{
		if (a->x[i] != b->x[i])
			return half_rank(a->x[i]) < half_rank(b->x[i]) ? -1 : 1;
	}
	return 0;
}

static int
compare_arguments(FunctionCallInfo fcinfo)
{
	FaceEmbedding *a = PG_GETARG_FACE_EMBEDDING(0);
	FaceEmbedding *b = PG_GETARG_FACE_EMBEDDING(1);
	int			result = face_embedding_compare(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

FACE_VALUE_COMPARISONS(face_embedding)

/* The bytes that make one template another than others: the norm follows from the components. */
static const unsigned char *
own_bytes(const FaceEmbedding *a, int *size)
{
	const unsigned char *bytes = face_is_sealed(a) ? (const unsigned char *) &a->norm : (const unsigned char *) a->x;

	*size = (int) (VARSIZE(a) - (bytes - (const unsigned char *) a));
	return bytes;
}

Datum
face_embedding_hash(PG_FUNCTION_ARGS)
{
	FaceEmbedding *a = PG_GETARG_FACE_EMBEDDING(0);
	int			size;
	const unsigned char *bytes = own_bytes(a, &size);
	uint32		hash = hash_bytes(bytes, size);

	hash = hash_combine(hash, hash_bytes_uint32((uint32) a->model));
	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_INT32((int32) hash);
}

uint64
face_embedding_hash_value(const FaceEmbedding *a, uint64 seed)
{
	int			size;
	const unsigned char *bytes = own_bytes(a, &size);
	uint64		hash = hash_bytes_extended(bytes, size, seed);

	return hash_combine64(hash, hash_bytes_uint32_extended((uint32) a->model, seed));
}

Datum
face_embedding_hash_extended(PG_FUNCTION_ARGS)
{
	FaceEmbedding *a = PG_GETARG_FACE_EMBEDDING(0);
	uint64		hash = face_embedding_hash_value(a, (uint64) PG_GETARG_INT64(1));

	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_INT64((int64) hash);
}
