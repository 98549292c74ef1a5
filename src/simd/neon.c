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

#define TARGET
#define INLINE static pg_attribute_always_inline

#define LEVEL	neon
#define WIDTH	4				/* float32 lanes of a vector */
#define VECTORS (FACE_LANES / WIDTH)

/* WIDTH sums, and what the next components of two templates add to them */
typedef float32x4_t (*Add) (float32x4_t sums, const uint16 *a, const uint16 *b);

typedef struct Lanes
{
	float32x4_t v[VECTORS];
} Lanes;

INLINE float32x4_t
load(const uint16 *x)
{
	return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x)));
}

INLINE void
store(float *x, float32x4_t v)
{
	vst1q_f32(x, v);
}

INLINE void
store_halves(uint16 *x, const float *v)
{
	vst1_u16(x, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(v))));
}

INLINE float32x4_t
add_products(float32x4_t sums, const uint16 *a, const uint16 *b)
{
	return vfmaq_f32(sums, load(a), load(b));
}

/* No fused multiply-add: unlike a product of halves, the square is rounded. */
INLINE float32x4_t
add_squares(float32x4_t sums, const uint16 *a, const uint16 *b)
{
	float32x4_t difference = vsubq_f32(load(a), load(b));
	float32x4_t square = vmulq_f32(difference, difference);

	return vaddq_f32(sums, square);
}

INLINE void
step(Lanes *lanes, const uint16 *a, const uint16 *b, Add add)
{
	for (int v = 0; v < VECTORS; v++)
		lanes->v[v] = add(lanes->v[v], a + v * WIDTH, b + v * WIDTH);
}

/* Add the upper half of the lanes to the lower, in double, until one is left. */
INLINE double
reduce(Lanes lanes)
{
	float64x2_t sum[FACE_LANES / 2];

	for (int v = 0; v < VECTORS; v++)
	{
		sum[2 * v] = vcvt_f64_f32(vget_low_f32(lanes.v[v]));
		sum[2 * v + 1] = vcvt_high_f64_f32(lanes.v[v]);
	}
	for (int width = FACE_LANES / 4; width > 0; width /= 2)
		for (int i = 0; i < width; i++)
			sum[i] = vaddq_f64(sum[i], sum[i + width]);
	return vgetq_lane_f64(sum[0], 0) + vgetq_lane_f64(sum[0], 1);
}

#include "simd/distance_template.h"

#endif							/* __aarch64__ */
