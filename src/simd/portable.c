/*-------------------------------------------------------------------------
 *
 * portable.c
 *	  Distance kernels in plain C, for any CPU; the definition of the result.
 *
 * Every other instruction set must return exactly these bits.  See README.md.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include <float.h>

#include "simd/half.h"
#include "simd/kernels.h"
#include "simd/scan.h"

/* Wider intermediate results (x87) would make other sums than other CPUs do. */
StaticAssertDecl(FLT_EVAL_METHOD == 0, "float arithmetic must round to float32");

typedef void (*Step) (float *lanes, const uint16 *a, const uint16 *b);

static pg_attribute_always_inline void
dot_step(float *lanes, const uint16 *a, const uint16 *b)
{
	for (int i = 0; i < FACE_LANES; i++)
	{
		float		product = half_finite_to_float(a[i]) * half_finite_to_float(b[i]);

		lanes[i] += product;
	}
}

static pg_attribute_always_inline void
l2_squared_step(float *lanes, const uint16 *a, const uint16 *b)
{
	for (int i = 0; i < FACE_LANES; i++)
	{
		float		difference = half_finite_to_float(a[i]) - half_finite_to_float(b[i]);
		float		square = difference * difference;

		lanes[i] += square;
	}
}

static inline double
reduce(const float *lanes)
{
	double		sum[FACE_LANES];

	for (int i = 0; i < FACE_LANES; i++)
		sum[i] = lanes[i];
	for (int width = FACE_LANES / 2; width > 0; width /= 2)
		for (int i = 0; i < width; i++)
			sum[i] += sum[i + width];
	return sum[0];
}

static pg_attribute_always_inline double
accumulate(int n, const uint16 *a, const uint16 *b, Step step)
{
	float		lanes[FACE_LANES] = {0};
	int			i;

	for (i = 0; i + FACE_LANES <= n; i += FACE_LANES)
		step(lanes, a + i, b + i);
	if (i < n)
	{
		uint16		tail_a[FACE_LANES];
		uint16		tail_b[FACE_LANES];

		face_pad_tail(tail_a, a + i, n - i);
		face_pad_tail(tail_b, b + i, n - i);
		step(lanes, tail_a, tail_b);
	}
	return reduce(lanes);
}

static double
portable_dot(int n, const uint16 *a, const uint16 *b)
{
	return accumulate(n, a, b, dot_step);
}

static double
portable_l2_squared(int n, const uint16 *a, const uint16 *b)
{
	return accumulate(n, a, b, l2_squared_step);
}

static void
portable_half_to_float(int n, const uint16 *src, float *dst)
{
	for (int i = 0; i < n; i++)
		dst[i] = half_to_float(src[i]);
}

static void
portable_float_to_half(int n, const float *src, uint16 *dst)
{
	for (int i = 0; i < n; i++)
		dst[i] = half_from_float(src[i]);
}

const FaceKernels face_kernels_portable = {
	.name = "portable",
	.dot = portable_dot,
	.l2_squared = portable_l2_squared,
	.half_to_float = portable_half_to_float,
	.float_to_half = portable_float_to_half,
	.scan = &face_scan_portable,
};
