/*-------------------------------------------------------------------------
 *
 * avx512.c
 *	  Distance kernels for x86-64 CPUs with AVX-512 F and BW (since 2017).
 *
 * One step takes FACE_LANES components into two vectors of sixteen lanes.
 * The same bits as portable.c: README.md says why.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include "simd/half.h"
#include "simd/kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* test/unit also builds this file over SIMDe, for CPUs without AVX-512 */
#ifdef FACE_SIMDE
#define TARGET
#else
#define TARGET __attribute__((target("avx512f,avx512bw,avx2,fma,f16c")))
#endif

#define WIDTH	16				/* float32 lanes of a vector */
#define VECTORS (FACE_LANES / WIDTH)

typedef void (*Step) (__m512 *lanes, const uint16 *a, const uint16 *b);

TARGET static inline __m512
load(const uint16 *x)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) x));
}

TARGET static inline void
dot_step(__m512 *lanes, const uint16 *a, const uint16 *b)
{
	for (int v = 0; v < VECTORS; v++)
		lanes[v] = _mm512_fmadd_ps(load(a + v * WIDTH), load(b + v * WIDTH), lanes[v]);
}

/* No fused multiply-add: unlike a product of halves, the square is rounded. */
TARGET static inline void
l2_squared_step(__m512 *lanes, const uint16 *a, const uint16 *b)
{
	for (int v = 0; v < VECTORS; v++)
	{
		__m512		difference = _mm512_sub_ps(load(a + v * WIDTH), load(b + v * WIDTH));
		__m512		square = _mm512_mul_ps(difference, difference);

		lanes[v] = _mm512_add_ps(lanes[v], square);
	}
}

TARGET static inline __m512d
low(__m512 x)
{
	return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
}

TARGET static inline __m512d
high(__m512 x)
{
	__m256d		bits = _mm512_extractf64x4_pd(_mm512_castps_pd(x), 1);

	return _mm512_cvtps_pd(_mm256_castpd_ps(bits));
}

/* Add the upper half of the lanes to the lower, in double, until one is left. */
TARGET static inline double
reduce(const __m512 *lanes)
{
	__m512d		sum0 = _mm512_add_pd(low(lanes[0]), low(lanes[1]));
	__m512d		sum8 = _mm512_add_pd(high(lanes[0]), high(lanes[1]));
	__m512d		eight = _mm512_add_pd(sum0, sum8);
	__m256d		four;
	__m128d		two;

	four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
	two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
	return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

TARGET static pg_attribute_always_inline double
accumulate(int n, const uint16 *a, const uint16 *b, Step step)
{
	__m512		lanes[VECTORS];
	int			i;

	for (int v = 0; v < VECTORS; v++)
		lanes[v] = _mm512_setzero_ps();
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

TARGET static double
avx512_dot(int n, const uint16 *a, const uint16 *b)
{
	return accumulate(n, a, b, dot_step);
}

TARGET static double
avx512_l2_squared(int n, const uint16 *a, const uint16 *b)
{
	return accumulate(n, a, b, l2_squared_step);
}

TARGET static void
avx512_half_to_float(int n, const uint16 *src, float *dst)
{
	int			i;

	for (i = 0; i + WIDTH <= n; i += WIDTH)
		_mm512_storeu_ps(dst + i, load(src + i));
	for (; i < n; i++)
		dst[i] = half_to_float(src[i]);
}

TARGET static void
avx512_float_to_half(int n, const float *src, uint16 *dst)
{
	int			i;

	for (i = 0; i + WIDTH <= n; i += WIDTH)
		_mm256_storeu_si256((__m256i *) (dst + i),
							_mm512_cvtps_ph(_mm512_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
	for (; i < n; i++)
		dst[i] = half_from_float(src[i]);
}

const FaceKernels face_kernels_avx512 = {
	.name = "avx512",
	.dot = avx512_dot,
	.l2_squared = avx512_l2_squared,
	.half_to_float = avx512_half_to_float,
	.float_to_half = avx512_float_to_half,
};

#endif							/* __x86_64__ */
