/*-------------------------------------------------------------------------
 *
 * scan_avx512.c
 *	  Kernels of the index for x86-64 CPUs with AVX-512 F and BW.
 *
 * One vector of sketches holds four rows of a block, one of floats a block.
 * The same bits as scan_portable.c; no fused multiply-add, which would round
 * differently.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include "simd/kernels.h"
#include "simd/scan_common.h"

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
#define VECTOR_BYTES 64

#define V(operation) _mm512_##operation

typedef __m512 Floats;
typedef __m512i Integers;
typedef __mmask16 Mask;

INLINE Integers
load_bytes(const uint8 *bytes)
{
	return _mm512_loadu_si512(bytes);
}

INLINE Integers
common_bits(Integers a, Integers b)
{
	return _mm512_and_si512(a, b);
}

/* The sums of all four rows, as eight 32-bit numbers. */
INLINE __m256i
widen(Integers sums)
{
	__m512i		pairs = _mm512_add_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(sums)),
										 _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(sums, 1)));

	return _mm256_add_epi32(_mm512_castsi512_si256(pairs), _mm512_extracti64x4_epi64(pairs, 1));
}

#include "simd/scan_sums_template.h"

INLINE int32
sum_lanes(__m512i x)
{
	__m256i		eight = _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
	__m128i		four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
	__m128i		two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));

	return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

INLINE __m512i
load_query(const int16 *query)
{
	return _mm512_loadu_si512(query);
}

/* The 32 bytes of codes as 16-bit words, moved right by `shift` in the lower half and by `next` in the upper. */
INLINE __m512i
shifted_words(const uint8 *codes, int shift, int next)
{
	__m256i		words = _mm256_loadu_si256((const __m256i *) codes);

	return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_srli_epi16(words, shift)),
							  _mm256_srli_epi16(words, next), 1);
}

TARGET static int32
dot1(int n, const uint8 *codes, const int16 *query)
{
	const __m512i one = _mm512_set1_epi16(1);
	__m512i		sum[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};

	for (int i = 0; i < n; i += 64)
	{
		uint32		bits[2];

		memcpy(bits, codes, sizeof(bits));
		sum[0] = _mm512_add_epi32(sum[0], _mm512_madd_epi16(_mm512_maskz_mov_epi16(bits[0], one), load_query(query)));
		sum[1] = _mm512_add_epi32(sum[1], _mm512_madd_epi16(_mm512_maskz_mov_epi16(bits[1], one), load_query(query + 32)));
		codes += 8;
		query += 64;
	}
	return sum_lanes(_mm512_add_epi32(sum[0], sum[1]));
}

/* Two vectors of FACE_BITS_VECTOR bytes; zeros for the second if there is none. */
INLINE __m512i
load_pair(const uint8 *first, size_t distance, bool both)
{
	__m256i		low = _mm256_loadu_si256((const __m256i *) first);
	__m256i		high = both ? _mm256_loadu_si256((const __m256i *) (first + distance)) : _mm256_setzero_si256();

	return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/* What up to 64 bytes of each of sixteen codes add: tables of bytes, of 16-bit entries the lower and the upper ones. */
INLINE void
add_pair(Sums16 *lower, Sums16 *upper, const uint8 *codes, size_t stride, const uint8 *tables, bool both)
{
	const size_t next = face_bits_table(FACE_BITS_VECTOR, 0, 0);
	__m512i		columns[FACE_BLOCK_SLOTS];

#pragma GCC unroll 16
	for (int i = 0; i < FACE_BLOCK_SLOTS; i++)
		columns[i] = load_pair(codes + i * stride, FACE_BITS_VECTOR, both);
	transpose(columns);

#pragma GCC unroll 16
	for (int j = 0; j < FACE_BLOCK_SLOTS; j++)
	{
		const uint8 *table = tables + face_bits_table(j, 0, 0);
		__m512i		low = low_nibbles(columns[j]);
		__m512i		high = high_nibbles(columns[j]);

		add_entries(lower, _mm512_shuffle_epi8(load_pair(table, next, both), low),
					_mm512_shuffle_epi8(load_pair(table + face_bits_table(0, 1, 0), next, both), high));
		add_entries(upper, _mm512_shuffle_epi8(load_pair(table + face_bits_table(0, 0, 1), next, both), low),
					_mm512_shuffle_epi8(load_pair(table + face_bits_table(0, 1, 1), next, both), high));
	}
}

StaticAssertDecl(FACE_BITS_MOST / VECTOR_BYTES * FACE_BLOCK_SLOTS <= VECTORS_A_FLUSH, "16-bit sums hold all tables");

TARGET static void
avx512_bit_sums(int n, const FaceBitQuery *query, int count, const uint8 *codes, int32 *sums)
{
	const size_t stride = FACE_BITS_STRIDE(n);
	Sums16		low = no_sums();
	Sums16		high = low;
	uint32		lower[FACE_BLOCK_SLOTS] = {0};
	uint32		upper[FACE_BLOCK_SLOTS] = {0};
	size_t		offset = 0;

	if (query->tables == NULL || count < FEW_CODES)
	{
		for (int i = 0; i < count; i++)
			sums[i] = dot1(n, codes + i * stride, query->values);
		return;
	}
	for (; offset + VECTOR_BYTES <= stride; offset += VECTOR_BYTES)
		add_pair(&low, &high, codes + offset, stride, query->tables + face_bits_table(offset, 0, 0), true);
	if (offset < stride)
		add_pair(&low, &high, codes + offset, stride, query->tables + face_bits_table(offset, 0, 0), false);
	flush(&low, lower);
	flush(&high, upper);
	for (int i = 0; i < count; i++)
		sums[i] = query->lowest + (int32) (lower[i] + (upper[i] << 8));
}

/* 16 bytes as 16-bit words twice, shifted right by two amounts. */
INLINE __m512i
shifted_bytes(const uint8 *codes, int low, int high)
{
	__m256i		words = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *) codes));

	return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_srli_epi16(words, low)), _mm256_srli_epi16(words, high), 1);
}

TARGET static int32
avx512_dot2(int n, const uint8 *codes, const int16 *query)
{
	const __m512i two_bits = _mm512_set1_epi16(0x0003);
	__m512i		sum[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};

	for (int i = 0; i < n; i += 64)
	{
		__m512i		first = _mm512_and_si512(shifted_bytes(codes, 0, 2), two_bits);
		__m512i		second = _mm512_and_si512(shifted_bytes(codes, 4, 6), two_bits);

		sum[0] = _mm512_add_epi32(sum[0], _mm512_madd_epi16(first, load_query(query)));
		sum[1] = _mm512_add_epi32(sum[1], _mm512_madd_epi16(second, load_query(query + 32)));
		codes += 16;
		query += 64;
	}
	return sum_lanes(_mm512_add_epi32(sum[0], sum[1]));
}

TARGET static int32
avx512_dot4(int n, const uint8 *codes, const int16 *query)
{
	const __m512i nibble = _mm512_set1_epi16(0x000F);
	__m512i		sum[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};

	for (int i = 0; i < n; i += 64)
	{
		__m512i		first = _mm512_and_si512(shifted_words(codes, 0, 4), nibble);
		__m512i		second = _mm512_and_si512(shifted_words(codes, 8, 12), nibble);

		sum[0] = _mm512_add_epi32(sum[0], _mm512_madd_epi16(first, load_query(query)));
		sum[1] = _mm512_add_epi32(sum[1], _mm512_madd_epi16(second, load_query(query + 32)));
		codes += 32;
		query += 64;
	}
	return sum_lanes(_mm512_add_epi32(sum[0], sum[1]));
}

TARGET static int32
avx512_dot8(int n, const uint8 *codes, const int16 *query)
{
	const __m512i byte = _mm512_set1_epi16(0x00FF);
	__m512i		sum = _mm512_setzero_si512();

	for (int i = 0; i < n; i += 32)
	{
		__m512i		levels = _mm512_and_si512(shifted_words(codes, 0, 8), byte);

		sum = _mm512_add_epi32(sum, _mm512_madd_epi16(levels, load_query(query)));
		codes += 32;
		query += 32;
	}
	return sum_lanes(sum);
}

/* Sixteen bytes of as many numbers. */
INLINE __m128i
narrow(__m512i x)
{
	__m256i		words = _mm256_packus_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));

	words = _mm256_permute4x64_epi64(words, 0xD8);
	return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

/* The lower and the upper half of a vector are two steps of the lanes that scan_common.h defines. */
INLINE __m256
add_halves(__m256 lanes, __m512 x)
{
	lanes = _mm256_add_ps(lanes, _mm512_castps512_ps256(x));
	return _mm256_add_ps(lanes, _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
}

TARGET static void
avx512_quantize(int n, const float *r, float scale, int max_code, uint8 *codes,
				float *dot, float *length_squared)
{
	const __m512 half_range = _mm512_set1_ps(max_code / 2.0f);
	const __m512 zero = _mm512_set1_ps(max_code / 2.0f + 0.5f);
	const __m512 top = _mm512_set1_ps((float) max_code);
	__m256		dots = _mm256_setzero_ps();
	__m256		squares = _mm256_setzero_ps();
	float		lanes[FACE_QUANTIZE_LANES];

	for (int i = 0; i < n; i += WIDTH)
	{
		__m512		value = _mm512_loadu_ps(r + i);
		__m512		place = _mm512_add_ps(_mm512_mul_ps(value, _mm512_set1_ps(scale)), zero);
		__m512i		code = _mm512_cvttps_epi32(_mm512_min_ps(_mm512_max_ps(place, _mm512_setzero_ps()), top));
		__m512		level = _mm512_sub_ps(_mm512_cvtepi32_ps(code), half_range);

		_mm_storeu_si128((__m128i *) (codes + i), narrow(code));
		dots = add_halves(dots, _mm512_mul_ps(level, value));
		squares = add_halves(squares, _mm512_mul_ps(level, level));
	}
	_mm256_storeu_ps(lanes, dots);
	*dot = face_sum_lanes(lanes);
	_mm256_storeu_ps(lanes, squares);
	*length_squared = face_sum_lanes(lanes);
}

INLINE Integers
load_integers(const uint32 *x)
{
	return _mm512_loadu_si512(x);
}

INLINE __m256i
load_words(const void *x)
{
	return _mm256_loadu_si256((const __m256i *) x);
}

INLINE Floats
as_floats(Integers x)
{
	return _mm512_castsi512_ps(x);
}

/* The sign of "sign" on the magnitude. */
INLINE Floats
with_sign(Floats sign, float magnitude)
{
	const __m512i sign_bit = _mm512_set1_epi32(INT32_MIN);
	__m512i		bits = _mm512_castps_si512(_mm512_set1_ps(magnitude));

	return _mm512_castsi512_ps(_mm512_or_si512(_mm512_and_si512(_mm512_castps_si512(sign), sign_bit), bits));
}

INLINE Mask
above(Floats x, Floats limit)
{
	return _mm512_cmp_ps_mask(x, limit, _CMP_GT_OQ);
}

INLINE Mask
up_to(Floats x, Floats limit)
{
	return _mm512_cmp_ps_mask(x, limit, _CMP_LE_OQ);
}

INLINE Floats
choose(Mask mask, Floats yes, Floats no)
{
	return _mm512_mask_blend_ps(mask, no, yes);
}

INLINE int
mask_bits(Mask mask)
{
	return mask;
}

INLINE float
smallest_lane(Floats x)
{
	__m256		high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
	__m256		eight = _mm256_min_ps(_mm512_castps512_ps256(x), high);
	__m128		four = _mm_min_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
	__m128		two = _mm_min_ps(four, _mm_movehl_ps(four, four));

	return _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)));
}

#include "simd/scan_template.h"

#endif							/* __x86_64__ */
