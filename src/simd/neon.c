/*-------------------------------------------------------------------------
 *
 * neon.c
 *	  Distance kernels for 64-bit ARM, where NEON with half conversion is
 *	  part of the base architecture.
 *
 * One step takes FACE_LANES components into eight vectors of four lanes.
 * The same bits as portable.c: README.md says why.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include "simd/half.h"
#include "simd/kernels.h"
#include "simd/scan.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#define WIDTH	4				/* float32 lanes of a vector */
#define VECTORS (FACE_LANES / WIDTH)

typedef void (*Step) (float32x4_t *lanes, const uint16 *a, const uint16 *b);

static inline float32x4_t
load(const uint16 *x)
{
	return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x)));
}

static inline void
dot_step(float32x4_t *lanes, const uint16 *a, const uint16 *b)
{
	for (int v = 0; v < VECTORS; v++)
		lanes[v] = vfmaq_f32(lanes[v], load(a + v * WIDTH), load(b + v * WIDTH));
}

/* No fused multiply-add: unlike a product of halves, the square is rounded. */
static inline void
l2_squared_step(float32x4_t *lanes, const uint16 *a, const uint16 *b)
{
	for (int v = 0; v < VECTORS; v++)
	{
		float32x4_t difference = vsubq_f32(load(a + v * WIDTH), load(b + v * WIDTH));
		float32x4_t square = vmulq_f32(difference, difference);

		lanes[v] = vaddq_f32(lanes[v], square);
	}
}

/* Add the upper half of the lanes to the lower, in double, until one is left. */
static inline double
reduce(const float32x4_t *lanes)
{
	float64x2_t sum[FACE_LANES / 2];

	for (int v = 0; v < VECTORS; v++)
	{
		sum[2 * v] = vcvt_f64_f32(vget_low_f32(lanes[v]));
		sum[2 * v + 1] = vcvt_high_f64_f32(lanes[v]);
	}
	for (int width = FACE_LANES / 4; width > 0; width /= 2)
		for (int i = 0; i < width; i++)
			sum[i] = vaddq_f64(sum[i], sum[i + width]);
	return vgetq_lane_f64(sum[0], 0) + vgetq_lane_f64(sum[0], 1);
}

static pg_attribute_always_inline double
accumulate(int n, const uint16 *a, const uint16 *b, Step step)
{
	float32x4_t lanes[VECTORS];
	int			i;

	for (int v = 0; v < VECTORS; v++)
		lanes[v] = vdupq_n_f32(0);
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
neon_dot(int n, const uint16 *a, const uint16 *b)
{
	return accumulate(n, a, b, dot_step);
}

static double
neon_l2_squared(int n, const uint16 *a, const uint16 *b)
{
	return accumulate(n, a, b, l2_squared_step);
}

static void
neon_half_to_float(int n, const uint16 *src, float *dst)
{
	int			i;

	for (i = 0; i + WIDTH <= n; i += WIDTH)
		vst1q_f32(dst + i, load(src + i));
	for (; i < n; i++)
		dst[i] = half_to_float(src[i]);
}

static void
neon_float_to_half(int n, const float *src, uint16 *dst)
{
	int			i;

	for (i = 0; i + WIDTH <= n; i += WIDTH)
		vst1_u16(dst + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(src + i))));
	for (; i < n; i++)
		dst[i] = half_from_float(src[i]);
}

const FaceKernels face_kernels_neon = {
	.name = "neon",
	.dot = neon_dot,
	.l2_squared = neon_l2_squared,
	.half_to_float = neon_half_to_float,
	.float_to_half = neon_float_to_half,
	.scan = &face_scan_neon,
};

#endif							/* __aarch64__ */
