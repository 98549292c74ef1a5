/*-------------------------------------------------------------------------
 *
 * embedding.h
 *	  The face_embedding type: a template as it is stored.
 *
 * One value is one template: dimensions, model tag, cached Euclidean norm and
 * the components in IEEE 754 half precision.  The type has storage PLAIN: a
 * template is never compressed and never leaves the row (a TOAST table would
 * keep it after its purge, and cost four buffer reads a comparison).
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_EMBEDDING_EMBEDDING_H
#define FACEMATCH_EMBEDDING_EMBEDDING_H

#include "postgres.h"

#include "compat.h"
#include "embedding/embedding_limits.h"
#include "fmgr.h"
#include "lib/stringinfo.h"

typedef struct FaceEmbedding
{
	int32		vl_len_;		/* varlena header, do not touch directly */
	int16		dims;			/* 1 .. FACE_MAX_DIMS, and FACE_SEALED */
	int16		model;			/* FACE_NO_MODEL or 1 .. FACE_MAX_MODEL */
	float4		norm;			/* Euclidean norm of x[], > 0, finite */
	uint16		x[FLEXIBLE_ARRAY_MEMBER];	/* IEEE half, finite, never -0 */
} FaceEmbedding;

/* What follows the model of a sealed one is not norm and components: sealed.h. */
static inline bool
face_is_sealed(const FaceEmbedding *a)
{
	return (a->dims & FACE_SEALED) != 0;
}

static inline int
face_dims_of(const FaceEmbedding *a)
{
	return a->dims & ~FACE_SEALED;
}

/* Raises 55000: its components are not given out. */
extern void face_check_unsealed(const FaceEmbedding *stored);

#define FACE_EMBEDDING_SIZE(dims) \
	(offsetof(FaceEmbedding, x) + (Size) (dims) * sizeof(uint16))

#define DatumGetFaceEmbedding(d)	((FaceEmbedding *) PG_DETOAST_DATUM(d))
#define PG_GETARG_FACE_EMBEDDING(n) DatumGetFaceEmbedding(PG_GETARG_DATUM(n))
#define PG_RETURN_FACE_EMBEDDING(p) PG_RETURN_POINTER(p)

/*
 * typmod: dimensions in the upper bits, model tag in the lower 15.  Either may
 * be 0 for "any" within the typmod; -1 means no typmod at all.
 */
#define FACE_TYPMOD(dims, model)	(((int32) (dims) << 15) | (int32) (model))
#define FACE_TYPMOD_DIMS(typmod)	((typmod) >> 15)
#define FACE_TYPMOD_MODEL(typmod)	((typmod) & 0x7FFF)

/*
 * Make a template from float32 components: rounds to half (nearest even),
 * turns -0 into +0, computes the norm.  Errors, none of which repeats a value:
 * 22003 for a component beyond half precision or infinite, 22000 for NaN and
 * for a template whose every component rounds to zero (see errors.h).
 */
extern FaceEmbedding *face_embedding_from_floats(int dims, int model, const float *values);

/* Text and binary forms, for types that contain a template. */
extern FaceEmbedding *face_embedding_from_text(const char *text);
extern FaceEmbedding *face_embedding_from_message(StringInfo message);
extern void face_embedding_append_text(StringInfo text, const FaceEmbedding *a);
extern void face_embedding_append_message(StringInfo message, const FaceEmbedding *a);

/*
 * The template as a column of this typmod stores it: an untagged one gets the
 * column's tag (in a copy), one of other dimensions (22000) or of another
 * model (22023) is refused.
 */
extern FaceEmbedding *face_embedding_apply_typmod(FaceEmbedding *a, int32 typmod);

/* Order and hash of values, which say nothing about likeness: by model tag, dimensions and components. */
extern int	face_embedding_compare(const FaceEmbedding *a, const FaceEmbedding *b);
extern uint64 face_embedding_hash_value(const FaceEmbedding *a, uint64 seed);

/*
 * The three comparisons.  Both arguments must have the same dimensions and not
 * be of different models (22000 and 22023).
 * Cosine distance is in [0, 2], Euclidean >= 0, negative inner product any
 * finite value.  The same bits on every CPU.
 */
typedef enum FaceMetric
{
	FACE_COSINE,
	FACE_EUCLIDEAN,
	FACE_NEGATIVE_INNER_PRODUCT
} FaceMetric;

extern bool face_comparable(const FaceEmbedding *a, const FaceEmbedding *b);
extern double face_distance(FaceMetric metric, const FaceEmbedding *a, const FaceEmbedding *b);

/* Cosine similarity, 1 - cosine distance, in [-1, 1]. */
extern double face_cosine_similarity(const FaceEmbedding *a, const FaceEmbedding *b);

#endif							/* FACEMATCH_EMBEDDING_EMBEDDING_H */
