/*-------------------------------------------------------------------------
 *
 * immintrin.h
 *	  The x86 intrinsics in portable C (SIMDe), under their own names: lets
 *	  the AVX-512 kernels give their results on a CPU without AVX-512.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_TEST_IMMINTRIN_H
#define FACEMATCH_TEST_IMMINTRIN_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

/* What SIMDe 0.7 lacks, from its own 256-bit forms. */
#ifndef _mm512_cvtph_ps
static inline simde__m512
_mm512_cvtph_ps(simde__m256i halves)
{
	simde__m256 low = simde_mm256_cvtph_ps(simde_mm256_castsi256_si128(halves));
	simde__m256 high = simde_mm256_cvtph_ps(simde_mm256_extracti128_si256(halves, 1));
	simde__m256 both[] = {low, high};

	return simde_mm512_loadu_ps(both);
}
#endif

#ifndef _mm512_cvtps_ph
static inline simde__m256i
_mm512_cvtps_ph(simde__m512 floats, int rounding)
{
	float		values[16];

	simde_mm512_storeu_ps(values, floats);
	return simde_mm256_set_m128i(simde_mm256_cvtps_ph(simde_mm256_loadu_ps(values + 8), rounding),
								 simde_mm256_cvtps_ph(simde_mm256_loadu_ps(values), rounding));
}
#endif

#ifndef _mm512_cvtps_pd
static inline simde__m512d
_mm512_cvtps_pd(simde__m256 floats)
{
	simde__m256d low = simde_mm256_cvtps_pd(simde_mm256_castps256_ps128(floats));
	simde__m256d high = simde_mm256_cvtps_pd(simde_mm256_extractf128_ps(floats, 1));
	simde__m256d both[] = {low, high};

	return simde_mm512_loadu_pd(both);
}
#endif

#ifndef _mm512_cvtepi16_epi32
static inline simde__m512i
_mm512_cvtepi16_epi32(simde__m256i words)
{
	simde__m256i low = simde_mm256_cvtepi16_epi32(simde_mm256_castsi256_si128(words));
	simde__m256i high = simde_mm256_cvtepi16_epi32(simde_mm256_extracti128_si256(words, 1));
	simde__m256i both[] = {low, high};

	return simde_mm512_loadu_si512(both);
}
#endif

#ifndef _mm512_cvtepu16_epi32
static inline simde__m512i
_mm512_cvtepu16_epi32(simde__m256i words)
{
	simde__m256i low = simde_mm256_cvtepu16_epi32(simde_mm256_castsi256_si128(words));
	simde__m256i high = simde_mm256_cvtepu16_epi32(simde_mm256_extracti128_si256(words, 1));
	simde__m256i both[] = {low, high};

	return simde_mm512_loadu_si512(both);
}
#endif

#ifndef _mm512_cvtepi32_ps
static inline simde__m512
_mm512_cvtepi32_ps(simde__m512i integers)
{
	simde__m256 low = simde_mm256_cvtepi32_ps(simde_mm512_castsi512_si256(integers));
	simde__m256 high = simde_mm256_cvtepi32_ps(simde_mm512_extracti64x4_epi64(integers, 1));
	simde__m256 both[] = {low, high};

	return simde_mm512_loadu_ps(both);
}
#endif

#ifndef _mm512_cvttps_epi32
static inline simde__m512i
_mm512_cvttps_epi32(simde__m512 floats)
{
	float		values[16];
	simde__m256i both[2];

	simde_mm512_storeu_ps(values, floats);
	both[0] = simde_mm256_cvttps_epi32(simde_mm256_loadu_ps(values));
	both[1] = simde_mm256_cvttps_epi32(simde_mm256_loadu_ps(values + 8));
	return simde_mm512_loadu_si512(both);
}
#endif

/* Its alias there has the arguments of the masked form. */
#undef _mm512_madd_epi16
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)

typedef simde__mmask16 __mmask16;

#endif							/* FACEMATCH_TEST_IMMINTRIN_H */
