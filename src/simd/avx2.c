/*-------------------------------------------------------------------------
 *
 * avx2.c
 *	  Distance kernels for x86-64 CPUs with AVX2, FMA and F16C (since 2013).
 *
 * One step takes FACE_LANES components into four vectors of eight lanes.
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

/* per function, not per file: the LLVM bitcode build shares one set of flags */
#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE TARGET static pg_attribute_always_inline

#define LEVEL	avx2

#define WIDTH	8				/* float32 lanes of a vector */

/* WIDTH sums, and what the next components of two templates add to them */
typedef __m256 (*Add) (__m256 sums, const uint16 *a, const uint16 *b);

/* By the first lane of each; members, not an array, stay in registers at -O2. */
typedef struct Lanes
{
	__m256		v0;
	__m256		v8;
	__m256		v16;
	__m256		v24;
} Lanes;

INLINE __m256
load(const uint16 *x)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) x));
}

INLINE void
store(float *x, __m256 v)
{
	_mm256_storeu_ps(x, v);
}

INLINE void
store_halves(uint16 *x, const float *v)
{
	_mm_storeu_si128((__m128i *) x, _mm256_cvtps_ph(_mm256_loadu_ps(v), _MM_FROUND_TO_NEAREST_INT));
}

INLINE __m256
add_products(__m256 sums, const uint16 *a, const uint16 *b)
{
	return _mm256_fmadd_ps(load(a), load(b), sums);
}

/* No fused multiply-add: unlike a product of halves, the square is rounded. */
INLINE __m256
add_squares(__m256 sums, const uint16 *a, const uint16 *b)
{
	__m256		difference = _mm256_sub_ps(load(a), load(b));
	__m256		square = _mm256_mul_ps(difference, difference);

	return _mm256_add_ps(sums, square);
}

INLINE __m256d
low(__m256 x)
{
	return _mm256_cvtps_pd(_mm256_castps256_ps128(x));
}

INLINE __m256d
high(__m256 x)
{
	return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
}

/* Add the upper half of the lanes to the lower, in double, until one is left. */
INLINE double
reduce(Lanes lanes)
{
	__m256d		sum0 = _mm256_add_pd(low(lanes.v0), low(lanes.v16));
	__m256d		sum4 = _mm256_add_pd(high(lanes.v0), high(lanes.v16));
	__m256d		sum8 = _mm256_add_pd(low(lanes.v8), low(lanes.v24));
	__m256d		sum12 = _mm256_add_pd(high(lanes.v8), high(lanes.v24));
	__m256d		four;
	__m128d		two;

	four = _mm256_add_pd(_mm256_add_pd(sum0, sum8), _mm256_add_pd(sum4, sum12));
	two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
	return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

INLINE void
step(Lanes *lanes, const uint16 *a, const uint16 *b, Add add)
{
	lanes->v0 = add(lanes->v0, a, b);
	lanes->v8 = add(lanes->v8, a + 8, b + 8);
	lanes->v16 = add(lanes->v16, a + 16, b + 16);
	lanes->v24 = add(lanes->v24, a + 24, b + 24);
}

#include "simd/distance_template.h"

#endif							/* __x86_64__ */
