/*-------------------------------------------------------------------------
 *
 * vec4.h
 *	  Four float32 at a time, in the compiler's own vector notation.
 *
 * For work that is too small to be dispatched by instruction set: SSE2 and
 * NEON are in the base architecture of their CPUs, and elsewhere the compiler
 * takes the vectors apart.  The same bits everywhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_VEC4_H
#define FACEMATCH_INDEX_VEC4_H

#include <string.h>

#define VEC4_WIDTH	4

typedef float Vec4 __attribute__((vector_size(16)));
typedef int32 Int4 __attribute__((vector_size(16)));

static inline Vec4
vec4_load(const float *x)
{
	Vec4		v;

	memcpy(&v, x, sizeof(v));
	return v;
}

static inline void
vec4_store(float *x, Vec4 v)
{
	memcpy(x, &v, sizeof(v));
}

/* The elements of v in another order; i0 .. i3 are constants. */
#if defined(__clang__)
#define vec4_shuffle(v, i0, i1, i2, i3) __builtin_shufflevector(v, v, i0, i1, i2, i3)
#else
#define vec4_shuffle(v, i0, i1, i2, i3) __builtin_shuffle(v, (Int4) {i0, i1, i2, i3})
#endif

static inline Vec4
vec4_flip_signs(Vec4 v, Int4 signs)
{
	return (Vec4) ((Int4) v ^ signs);
}

static inline Vec4
vec4_max(Vec4 a, Vec4 b)
{
	Int4		greater = a > b;

	return (Vec4) (((Int4) a & greater) | ((Int4) b & ~greater));
}

static inline float
vec4_highest(Vec4 v)
{
	float		a = v[0] > v[1] ? v[0] : v[1];
	float		b = v[2] > v[3] ? v[2] : v[3];

	return a > b ? a : b;
}

#endif							/* FACEMATCH_INDEX_VEC4_H */
