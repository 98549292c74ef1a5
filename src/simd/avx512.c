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
#include "simd/scan.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* test/unit also builds this file over SIMDe, for CPUs without AVX-512 */
#ifdef FACE_SIMDE
#define TARGET
#else
#define TARGET __attribute__((target("avx512f,avx512bw,avx2,fma,f16c")))
#endif
#define INLINE TARGET static pg_attribute_always_inline

#define LEVEL	avx512
#define WIDTH	16				/* float32 lanes of a vector */

/* WIDTH sums, and what the next components of two templates add to them */
typedef __m512 (*Add) (__m512 sums, const uint16 *a, const uint16 *b);

/* By the first lane of each; members, not an array, stay in registers at -O2. */
typedef struct Lanes
{
	__m512		v0;
	__m512		v16;
} Lanes;

INLINE __m512
load(const uint16 *x)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) x));
}

INLINE void
store(float *x, __m512 v)
{
	_mm512_storeu_ps(x, v);
}

INLINE void
store_halves(uint16 *x, const float *v)
{
	_mm256_storeu_si256((__m256i *) x, _mm512_cvtps_ph(_mm512_loadu_ps(v), _MM_FROUND_TO_NEAREST_INT));
}

INLINE __m512
add_products(__m512 sums, const uint16 *a, const uint16 *b)
{
	return _mm512_fmadd_ps(load(a), load(b), sums);
}

/* No fused multiply-add: unlike a product of halves, the square is rounded. */
INLINE __m512
add_squares(__m512 sums, const uint16 *a, const uint16 *b)
{
	__m512		difference = _mm512_sub_ps(load(a), load(b));
	__m512		square = _mm512_mul_ps(difference, difference);

	return _mm512_add_ps(sums, square);
}

INLINE __m512d
low(__m512 x)
{
	return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
}

INLINE __m512d
high(__m512 x)
{
	__m256d		bits = _mm512_extractf64x4_pd(_mm512_castps_pd(x), 1);

	return _mm512_cvtps_pd(_mm256_castpd_ps(bits));
}

/* Add the upper half of the lanes to the lower, in double, until one is left. */
INLINE double
reduce(Lanes lanes)
{
	__m512d		sum0 = _mm512_add_pd(low(lanes.v0), low(lanes.v16));
	__m512d		sum8 = _mm512_add_pd(high(lanes.v0), high(lanes.v16));
	__m512d		eight = _mm512_add_pd(sum0, sum8);
	__m256d		four;
	__m128d		two;

	four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
	two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
	return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

INLINE void
step(Lanes *lanes, const uint16 *a, const uint16 *b, Add add)
{
	lanes->v0 = add(lanes->v0, a, b);
	lanes->v16 = add(lanes->v16, a + 16, b + 16);
}

#include "simd/distance_template.h"

#endif							/* __x86_64__ */
