/*-------------------------------------------------------------------------
 *
 * codec_private.h
 *	  What quantizer.c and bounds.c must agree on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_CODEC_PRIVATE_H
#define FACEMATCH_INDEX_CODEC_PRIVATE_H

#include <math.h>

#include "index/codec.h"

/* Bits of a sketch that one look-up covers. */
#define SKETCH_GROUP_BITS	4

/* Bits of a sketch and of the second bits beside it. */
#define PLANE_BITS	2

/* Dimensions whose values are neighbours in a refinement code: FaceScanKernels.dot2 and its like. */
#define REFINE_WORDS		16

/*
 * A residual shorter than this is rounding noise: cosines move by less than
 * COSINE_SLACK (bounds.c) whatever its direction is taken to be.
 */
#define RESIDUAL_NOTHING	1e-6

/* Unit of the fixed-point products of a unit template and the centre. */
static inline double
face_centre_scale(const FaceCentre *centre)
{
	return sqrt(centre->norm_squared) / PG_INT16_MAX;
}

/* x - centre in place of x; returns its length, and x . centre. */
extern double face_take_residual(const FaceCodec *codec, const FaceCentre *centre, float *x, double *centre_product);

static inline double
face_highest_level(int bits)
{
	return ((1 << bits) - 1) / 2.0;
}

/* Bits a dimension of all codes together: what the numbers beside the refinement are about. */
static inline int
face_all_bits(const FaceCodec *codec)
{
	return codec->refine_bits + (codec->plane_bytes > 0 ? PLANE_BITS : 0);
}

/* Length of the longest possible vector of levels of so many bits: the unit of "inverse". */
static inline double
face_longest_code(const FaceCodec *codec, int bits)
{
	return face_highest_level(bits) * sqrt(codec->padded);
}

#endif							/* FACEMATCH_INDEX_CODEC_PRIVATE_H */
