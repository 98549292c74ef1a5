/*-------------------------------------------------------------------------
 *
 * scan_avx2.c
 *	  Kernels of the index for x86-64 CPUs with AVX2, FMA and F16C.
 *
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

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE TARGET static pg_attribute_always_inline

#define LEVEL	avx2
#define WIDTH	8				/* float32 lanes of a vector */
#define VECTOR_BYTES 32

#define V(operation) _mm256_##operation

typedef __m256 Floats;
typedef __m256i Integers;
typedef __m256 Mask;			/* all bits of a lane, or none */

INLINE Integers
load_bytes(const uint8 *bytes)
{
	return _mm256_loadu_si256((const __m256i *) bytes);
}

INLINE Integers
common_bits(Integers a, Integers b)
{
	return _mm256_and_si256(a, b);
}

/* The sums of both rows, as eight 32-bit numbers. */
INLINE __m256i
widen(Integers sums)
{
	return _mm256_add_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(sums)),
							_mm256_cvtepu16_epi32(_mm256_extracti128_si256(sums, 1)));
}

#include "simd/scan_sums_template.h"

INLINE __m256i
load_query(const int16 *query)
{
	return _mm256_loadu_si256((const __m256i *) query);
}

INLINE int32
sum_lanes(__m256i x)
{
	__m128i		four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
	__m128i		two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));

	return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

/* Lanes of all bits where the lane's own bit of a 16-bit word is set: products with them are those of -1. */
INLINE __m256i
bit_lanes(const uint8 *codes)
{
	const __m256i bits = _mm256_setr_epi16(1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8,
										   1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, (int16) (1 << 15));
	int16		word;

	memcpy(&word, codes, sizeof(word));
	return _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16(word), bits), bits);
}

TARGET static int32
dot1(int n, const uint8 *codes, const int16 *query)
{
	__m256i		sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

	for (int i = 0; i < n; i += 32)
	{
		sum[0] = _mm256_sub_epi32(sum[0], _mm256_madd_epi16(bit_lanes(codes), load_query(query)));
		sum[1] = _mm256_sub_epi32(sum[1], _mm256_madd_epi16(bit_lanes(codes + 2), load_query(query + 16)));
		codes += 4;
		query += 32;
	}
	return sum_lanes(_mm256_add_epi32(sum[0], sum[1]));
}

/* 16-bit entries, in two tables of bytes. */
INLINE void
add_columns(Sums16 *lower, Sums16 *upper, __m256i codes, const uint8 *tables)
{
	const __m256i *table = (const __m256i *) tables;
	__m256i		low = low_nibbles(codes);
	__m256i		high = high_nibbles(codes);

	add_entries(lower, _mm256_shuffle_epi8(_mm256_loadu_si256(table), low),
				_mm256_shuffle_epi8(_mm256_loadu_si256(table + 2), high));
	add_entries(upper, _mm256_shuffle_epi8(_mm256_loadu_si256(table + 1), low),
				_mm256_shuffle_epi8(_mm256_loadu_si256(table + 3), high));
}

/* One after another a code takes 17 ns of 512 dimensions, in sixteens 5. */
TARGET static void
avx2_bit_sums(int n, const FaceBitQuery *query, int count, const uint8 *codes, int32 *sums)
{
	const size_t stride = FACE_BITS_STRIDE(n);
	const size_t flush_after = VECTORS_A_FLUSH / FACE_BLOCK_SLOTS * VECTOR_BYTES;
	const uint8 *tables = query->tables;
	uint32		lower[FACE_BLOCK_SLOTS] = {0};
	uint32		upper[FACE_BLOCK_SLOTS] = {0};

	if (tables == NULL || count < FEW_CODES)
	{
		for (int i = 0; i < count; i++)
			sums[i] = dot1(n, codes + i * stride, query->values);
		return;
	}
	for (size_t start = 0; start < stride; start += flush_after)
	{
		Sums16		low = no_sums();
		Sums16		high = no_sums();

		for (size_t offset = start; offset < stride && offset < start + flush_after; offset += VECTOR_BYTES)
		{
			__m256i		columns[FACE_BLOCK_SLOTS];

#pragma GCC unroll 16
			for (int i = 0; i < FACE_BLOCK_SLOTS; i++)
				columns[i] = load_bytes(codes + offset + i * stride);
			transpose(columns);
			for (int j = 0; j < FACE_BLOCK_SLOTS; j++)
			{
				add_columns(&low, &high, columns[j], tables);
				tables += 2 * 2 * VECTOR_BYTES;
			}
		}
		flush(&low, lower);
		flush(&high, upper);
	}
	for (int i = 0; i < count; i++)
		sums[i] = query->lowest + (int32) (lower[i] + (upper[i] << 8));
}

TARGET static int32
avx2_dot2(int n, const uint8 *codes, const int16 *query)
{
	const __m256i two_bits = _mm256_set1_epi16(0x0003);
	__m256i		sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

	for (int i = 0; i < n; i += 64)
	{
		__m256i		words = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *) codes));
		__m256i		second = _mm256_and_si256(_mm256_srli_epi16(words, 2), two_bits);
		__m256i		third = _mm256_and_si256(_mm256_srli_epi16(words, 4), two_bits);

		sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(_mm256_and_si256(words, two_bits), load_query(query)));
		sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(second, load_query(query + 16)));
		sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(third, load_query(query + 32)));
		sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(_mm256_srli_epi16(words, 6), load_query(query + 48)));
		codes += 16;
		query += 64;
	}
	return sum_lanes(_mm256_add_epi32(sum[0], sum[1]));
}

TARGET static int32
avx2_dot4(int n, const uint8 *codes, const int16 *query)
{
	const __m256i nibble = _mm256_set1_epi16(0x000F);
	__m256i		sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

	for (int i = 0; i < n; i += 64)
	{
		__m256i		words = _mm256_loadu_si256((const __m256i *) codes);
		__m256i		second = _mm256_and_si256(_mm256_srli_epi16(words, 4), nibble);
		__m256i		third = _mm256_and_si256(_mm256_srli_epi16(words, 8), nibble);

		sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(_mm256_and_si256(words, nibble), load_query(query)));
		sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(second, load_query(query + 16)));
		sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(third, load_query(query + 32)));
		sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(_mm256_srli_epi16(words, 12), load_query(query + 48)));
		codes += 32;
		query += 64;
	}
	return sum_lanes(_mm256_add_epi32(sum[0], sum[1]));
}

TARGET static int32
avx2_dot8(int n, const uint8 *codes, const int16 *query)
{
	const __m256i byte = _mm256_set1_epi16(0x00FF);
	__m256i		sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

	for (int i = 0; i < n; i += 32)
	{
		__m256i		words = _mm256_loadu_si256((const __m256i *) codes);

		sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(_mm256_and_si256(words, byte), load_query(query)));
		sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(_mm256_srli_epi16(words, 8), load_query(query + 16)));
		codes += 32;
		query += 32;
	}
	return sum_lanes(_mm256_add_epi32(sum[0], sum[1]));
}

TARGET static void
avx2_quantize(int n, const float *r, float scale, int max_code, uint8 *codes,
			  float *dot, float *length_squared)
{
	const __m256 half_range = _mm256_set1_ps(max_code / 2.0f);
	const __m256 zero = _mm256_set1_ps(max_code / 2.0f + 0.5f);
	const __m256 top = _mm256_set1_ps((float) max_code);
	__m256		dots = _mm256_setzero_ps();
	__m256		squares = _mm256_setzero_ps();
	float		lanes[FACE_QUANTIZE_LANES];

	for (int i = 0; i < n; i += WIDTH)
	{
		__m256		value = _mm256_loadu_ps(r + i);
		__m256		place = _mm256_add_ps(_mm256_mul_ps(value, _mm256_set1_ps(scale)), zero);
		__m256i		code = _mm256_cvttps_epi32(_mm256_min_ps(_mm256_max_ps(place, _mm256_setzero_ps()), top));
		__m256		level = _mm256_sub_ps(_mm256_cvtepi32_ps(code), half_range);
		__m128i		words = _mm_packus_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));

		_mm_storel_epi64((__m128i *) (codes + i), _mm_packus_epi16(words, words));
		dots = _mm256_add_ps(dots, _mm256_mul_ps(level, value));
		squares = _mm256_add_ps(squares, _mm256_mul_ps(level, level));
	}
	_mm256_storeu_ps(lanes, dots);
	*dot = face_sum_lanes(lanes);
	_mm256_storeu_ps(lanes, squares);
	*length_squared = face_sum_lanes(lanes);
}

INLINE Integers
load_integers(const uint32 *x)
{
	return _mm256_loadu_si256((const __m256i *) x);
}

INLINE __m128i
load_words(const void *x)
{
	return _mm_loadu_si128((const __m128i *) x);
}

INLINE Floats
as_floats(Integers x)
{
	return _mm256_castsi256_ps(x);
}

/* The sign of "sign" on the magnitude. */
INLINE Floats
with_sign(Floats sign, float magnitude)
{
	return _mm256_or_ps(_mm256_and_ps(sign, _mm256_set1_ps(-0.0f)), _mm256_set1_ps(magnitude));
}

INLINE Mask
above(Floats x, Floats limit)
{
	return _mm256_cmp_ps(x, limit, _CMP_GT_OQ);
}

INLINE Mask
up_to(Floats x, Floats limit)
{
	return _mm256_cmp_ps(x, limit, _CMP_LE_OQ);
}

INLINE Floats
choose(Mask mask, Floats yes, Floats no)
{
	return _mm256_blendv_ps(no, yes, mask);
}

INLINE int
mask_bits(Mask mask)
{
	return _mm256_movemask_ps(mask);
}

INLINE float
smallest_lane(Floats x)
{
	__m128		four = _mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
	__m128		two = _mm_min_ps(four, _mm_movehl_ps(four, four));

	return _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)));
}

#include "simd/scan_template.h"

#endif							/* __x86_64__ */
