/*-------------------------------------------------------------------------
 *
 * half.h
 *	  IEEE 754 half precision <-> float32, one value at a time, in plain C.
 *
 * The reference that every vector conversion equals bit for bit, and what the
 * kernels use for the last few components of an array.  Lowest layer: needs
 * nothing but the integer types of c.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_SIMD_HALF_H
#define FACEMATCH_SIMD_HALF_H

#include "c.h"

#define HALF_SIGN			0x8000
#define HALF_MAGNITUDE		0x7FFF
#define HALF_INFINITY		0x7C00	/* anything above it is NaN */
#define HALF_QUIET_BIT		0x0200
#define HALF_MANTISSA_BITS	10
#define HALF_BIAS			15
#define HALF_MAX			65504.0f	/* largest finite value */

#define FLOAT_MAGNITUDE		0x7FFFFFFF
#define FLOAT_INFINITY		0x7F800000
#define FLOAT_QUIET_BIT		0x00400000
#define FLOAT_MANTISSA_BITS 23
#define FLOAT_BIAS			127

#define HALF_SHIFT			(FLOAT_MANTISSA_BITS - HALF_MANTISSA_BITS)
#define HALF_FIELDS_IN_FLOAT 0x8FFFE000
#define HALF_RESCALE		0x1p112f
#define HALF_REBIAS			((uint32) (FLOAT_BIAS - HALF_BIAS) << FLOAT_MANTISSA_BITS)

/* 65520, halfway between HALF_MAX and the next power of two: rounds to infinity */
#define FLOAT_HALF_OVERFLOW 0x477FF000

/* 2^-14, the smallest normal half */
#define FLOAT_HALF_NORMAL	0x38800000

/* 0.5, whose unit in the last place is the spacing of denormal halves, 2^-24 */
#define FLOAT_HALF_DENORMAL_MAGIC 0x3F000000

typedef union FloatBits
{
	float		f;
	uint32		u;
} FloatBits;

static inline bool
half_is_finite(uint16 h)
{
	return (h & HALF_MAGNITUDE) < HALF_INFINITY;
}

/*
 * Exact for every half but infinity and NaN.
 *
 * The half's fields moved into the float's places read as the value times
 * 2^-112; one exact multiplication undoes that, denormals included.  No branch
 * is taken, so that loops over this vectorize.
 */
static inline float
half_finite_to_float(uint16 h)
{
	FloatBits	value;

	/* the sign is shifted in from above, with copies that the mask removes */
	value.u = ((uint32) (int16) h << HALF_SHIFT) & HALF_FIELDS_IN_FLOAT;
	return value.f * HALF_RESCALE;
}

/* Exact; infinity and NaN keep sign and payload, NaN becomes quiet. */
static inline float
half_to_float(uint16 h)
{
	FloatBits	value;

	value.f = half_finite_to_float(h);
	if (!half_is_finite(h))
		value.u |= FLOAT_INFINITY;
	if ((h & HALF_MAGNITUDE) > HALF_INFINITY)
		value.u |= FLOAT_QUIET_BIT;
	return value.f;
}

/* Rounds to nearest, ties to even; beyond HALF_MAX gives infinity. */
static inline uint16
half_from_float(float f)
{
	FloatBits	value;
	uint32		magnitude;
	uint16		sign;

	value.f = f;
	sign = (value.u >> 16) & HALF_SIGN;
	magnitude = value.u & FLOAT_MAGNITUDE;

	if (magnitude > FLOAT_INFINITY)
		return sign | HALF_INFINITY | HALF_QUIET_BIT |
			((magnitude >> HALF_SHIFT) & (HALF_INFINITY ^ HALF_MAGNITUDE));
	if (magnitude >= FLOAT_HALF_OVERFLOW)
		return sign | HALF_INFINITY;
	if (magnitude < FLOAT_HALF_NORMAL)
	{
		/* let the float adder round at 2^-24; the count is what it added */
		FloatBits	magic;

		magic.u = FLOAT_HALF_DENORMAL_MAGIC;
		value.u = magnitude;
		value.f += magic.f;
		return sign | (uint16) (value.u - magic.u);
	}

	/* just under half a unit, one more if the kept part is odd: ties to even */
	magnitude += (1U << (HALF_SHIFT - 1)) - 1 + ((magnitude >> HALF_SHIFT) & 1);
	return sign | (uint16) ((magnitude - HALF_REBIAS) >> HALF_SHIFT);
}

#endif							/* FACEMATCH_SIMD_HALF_H */
