/*-------------------------------------------------------------------------
 *
 * scan_neon.c
 *	  Kernels of the index for 64-bit ARM.
 *
 * The same bits as scan_portable.c; no fused multiply-add, which would round
 * differently.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include "simd/scan_common.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#define INLINE static pg_attribute_always_inline

#define WIDTH	4				/* float32 lanes of a vector */

/* Rows of 16-bit sums that cannot overflow: each adds two bytes. */
#define ROWS_A_FLUSH (UINT16_MAX / (2 * UINT8_MAX))

/* 16-bit sums of slots 0 to 7 and 8 to 15. */
typedef struct Sums16
{
	uint16x8_t	low;
	uint16x8_t	high;
} Sums16;

INLINE Sums16
add_row(Sums16 sums, const uint8 *row, const uint8 *even_table, const uint8 *odd_table)
{
	uint8x16_t	codes = vld1q_u8(row);
	uint8x16_t	even = vqtbl1q_u8(vld1q_u8(even_table), vandq_u8(codes, vdupq_n_u8(0x0F)));
	uint8x16_t	odd = vqtbl1q_u8(vld1q_u8(odd_table), vshrq_n_u8(codes, 4));

	sums.low = vaddq_u16(sums.low, vaddl_u8(vget_low_u8(even), vget_low_u8(odd)));
	sums.high = vaddq_u16(sums.high, vaddl_high_u8(even, odd));
	return sums;
}

INLINE void
add_widened(uint32 *sums, uint16x8_t part)
{
	vst1q_u32(sums, vaddw_u16(vld1q_u32(sums), vget_low_u16(part)));
	vst1q_u32(sums + WIDTH, vaddw_high_u16(vld1q_u32(sums + WIDTH), part));
}

static void
neon_sketch_sums(const FaceBlocks *blocks, const uint8 *tables, uint32 *sums)
{
	int			rows = blocks->groups / 2;
	const uint8 *odd_tables = tables + (size_t) rows * FACE_SKETCH_TABLE;

	memset(sums, 0, (size_t) blocks->nblocks * FACE_BLOCK_SLOTS * sizeof(uint32));
	for (int block = 0; block < blocks->nblocks; block++)
	{
		const uint8 *codes = blocks->first + block * blocks->stride;
		const uint8 *ahead = blocks->ahead + block * blocks->stride;

		for (int start = 0; start < rows; start += ROWS_A_FLUSH)
		{
			int			end = rows - start > ROWS_A_FLUSH ? start + ROWS_A_FLUSH : rows;
			Sums16		part = {vdupq_n_u16(0), vdupq_n_u16(0)};

			for (int row = start; row < end; row++)
			{
				if (row % (FACE_CACHE_LINE / FACE_BLOCK_SLOTS) == 0)
					__builtin_prefetch(ahead + row * FACE_BLOCK_SLOTS);
				part = add_row(part, codes + row * FACE_BLOCK_SLOTS, tables + row * FACE_SKETCH_TABLE,
							   odd_tables + row * FACE_SKETCH_TABLE);
			}
			add_widened(sums, part.low);
			add_widened(sums + FACE_BLOCK_SLOTS / 2, part.high);
		}
		face_prefetch_scalars(ahead + rows * FACE_BLOCK_SLOTS);
		sums += FACE_BLOCK_SLOTS;
	}
}

INLINE float32x4_t
load_half(const uint16 *x)
{
	return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x)));
}

/* Upper bounds on the cosines between probe and four templates. */
INLINE float32x4_t
cosine_upper(const FaceBoundTerms *t, const uint32 *sums, const FaceBlockScalars *s, int slot)
{
	const float32x4_t one = vdupq_n_f32(1.0f);
	float32x4_t product = vcvtq_f32_s32(vmovl_s16(vld1_s16(s->centre_product + slot)));
	float32x4_t a = vcvtq_f32_s32(vreinterpretq_s32_u32(vld1q_u32(sums)));
	float32x4_t b = vmulq_n_f32(load_half(s->tangent + slot), t->width);
	float32x4_t d = vaddq_f32(vmulq_f32(b, b), one);
	float32x4_t residual;
	float32x4_t error;
	float32x4_t length;

	product = vmulq_n_f32(product, t->centre_scale);
	a = vaddq_f32(vmulq_n_f32(a, t->sum_scale), vdupq_n_f32(t->sum_offset));
	a = vmulq_f32(a, load_half(s->inverse + slot));
	a = vmaxq_f32(vminq_f32(a, one), vdupq_n_f32(-1.0f));

	residual = vmulq_f32(b, vsqrtq_f32(vsubq_f32(d, vmulq_f32(a, a))));
	residual = vdivq_f32(vaddq_f32(a, residual), d);
	residual = vaddq_f32(residual, vdupq_n_f32(t->residual_slack));

	error = vbslq_f32(vdupq_n_u32(0x80000000), residual, vdupq_n_f32(t->residual_error));
	length = vsubq_f32(vdupq_n_f32(t->residual_base), vaddq_f32(product, product));
	length = vsqrtq_f32(vmaxq_f32(vaddq_f32(length, error), vdupq_n_f32(0.0f)));
	residual = vmulq_f32(residual, vmulq_n_f32(length, t->probe_residual));

	product = vaddq_f32(product, vdupq_n_f32(t->cosine_offset));
	return vminq_f32(vaddq_f32(product, residual), vdupq_n_f32(t->cosine_limit));
}

/* The template norms that four codes stand for, or with step 1 those of the next codes. */
INLINE float32x4_t
norm_values(const FaceBlockScalars *s, int slot, uint32 step)
{
	uint32x4_t	code = vaddq_u32(vmovl_u16(vld1_u16(s->norm + slot)), vdupq_n_u32(step));

	code = vshlq_n_u32(code, FACE_NORM_SHIFT);
	return vreinterpretq_f32_u32(vaddq_u32(code, vdupq_n_u32(FACE_NORM_BASE)));
}

INLINE float32x4_t
cosine_distance(const FaceBoundTerms *t, float32x4_t cosine, const FaceBlockScalars *s, int slot)
{
	return vsubq_f32(vdupq_n_f32(1.0f), cosine);
}

INLINE float32x4_t
euclidean_distance(const FaceBoundTerms *t, float32x4_t cosine, const FaceBlockScalars *s, int slot)
{
	const float32x4_t one = vdupq_n_f32(1.0f);
	const float32x4_t probe_norm = vdupq_n_f32(t->probe_norm);
	float32x4_t along;
	float32x4_t gap;
	float32x4_t across;

	cosine = vmaxq_f32(vminq_f32(cosine, one), vdupq_n_f32(-1.0f));
	along = vmulq_f32(probe_norm, cosine);
	gap = vmaxq_f32(vminq_f32(along, norm_values(s, slot, 1)), norm_values(s, slot, 0));
	gap = vsubq_f32(gap, along);
	across = vmulq_f32(vsubq_f32(one, cosine), vaddq_f32(one, cosine));
	across = vmulq_f32(vmulq_f32(probe_norm, probe_norm), across);
	return vmulq_n_f32(vsqrtq_f32(vaddq_f32(vmulq_f32(gap, gap), across)), t->distance_shrink);
}

INLINE float32x4_t
inner_product_distance(const FaceBoundTerms *t, float32x4_t cosine, const FaceBlockScalars *s, int slot)
{
	float32x4_t norm = vbslq_f32(vcgezq_f32(cosine), norm_values(s, slot, 1), norm_values(s, slot, 0));
	float32x4_t product = vmulq_f32(vmulq_n_f32(norm, t->probe_norm), cosine);

	return vsubq_f32(vdupq_n_f32(0.0f), product);
}

typedef float32x4_t (*Distance) (const FaceBoundTerms *t, float32x4_t cosine, const FaceBlockScalars *s, int slot);

INLINE float
bounds(const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit, float *lower,
	   Distance distance)
{
	const float32x4_t infinity = vdupq_n_f32(INFINITY);
	const float32x4_t lowest = vdupq_n_f32(-FLT_MAX);
	float32x4_t smallest = infinity;

	for (int block = 0; block < blocks->nblocks; block++)
	{
		const FaceBlockScalars *scalars = face_block_scalars(blocks, block);

		for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot += WIDTH)
		{
			float32x4_t bound = distance(terms, cosine_upper(terms, sums, scalars, slot), scalars, slot);

			bound = vbslq_f32(vcgtq_f32(bound, lowest), bound, lowest);
			bound = vbslq_f32(vcgtq_f32(bound, vdupq_n_f32(limit)), infinity, bound);
			smallest = vminq_f32(smallest, bound);
			vst1q_f32(lower, bound);
			sums += WIDTH;
			lower += WIDTH;
		}
	}
	return vminvq_f32(smallest);
}

static float
neon_cosine_bounds(const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit, float *lower)
{
	return bounds(terms, blocks, sums, limit, lower, cosine_distance);
}

static float
neon_euclidean_bounds(const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit, float *lower)
{
	return bounds(terms, blocks, sums, limit, lower, euclidean_distance);
}

static float
neon_inner_product_bounds(const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit,
						  float *lower)
{
	return bounds(terms, blocks, sums, limit, lower, inner_product_distance);
}

static float
neon_take_slots(int nblocks, float limit, float *lower, uint16 *taken)
{
	const float32x4_t infinity = vdupq_n_f32(INFINITY);
	const uint32x4_t bit = {1, 2, 4, 8};
	float32x4_t smallest = infinity;

	for (int block = 0; block < nblocks; block++)
	{
		int			bits = 0;

		for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot += WIDTH)
		{
			float32x4_t bound = vld1q_f32(lower);
			uint32x4_t	take = vcleq_f32(bound, vdupq_n_f32(limit));

			bits |= vaddvq_u32(vandq_u32(take, bit)) << slot;
			bound = vbslq_f32(take, infinity, bound);
			smallest = vminq_f32(smallest, bound);
			vst1q_f32(lower, bound);
			lower += WIDTH;
		}
		taken[block] = bits;
	}
	return vminvq_f32(smallest);
}

/* sum + codes . query, eight of each */
INLINE int32x4_t
add_products(int32x4_t sum, uint16x8_t codes, const int16 *query)
{
	int16x8_t	a = vreinterpretq_s16_u16(codes);
	int16x8_t	b = vld1q_s16(query);

	return vmlal_high_s16(vmlal_s16(sum, vget_low_s16(a), vget_low_s16(b)), a, b);
}

static int32
dot1(int n, const uint8 *codes, const int16 *query)
{
	static const uint16 places[] = {1, 2, 4, 8, 16, 32, 64, 128};
	const uint16x8_t bits = vld1q_u16(places);
	int32x4_t	sum = vdupq_n_s32(0);

	for (int i = 0; i < n; i += 8)
	{
		uint16x8_t	set = vtstq_u16(vdupq_n_u16(*codes++), bits);

		sum = vpadalq_s16(sum, vandq_s16(vreinterpretq_s16_u16(set), vld1q_s16(query + i)));
	}
	return vaddvq_s32(sum);
}

static void
neon_bit_sums(int n, const FaceBitQuery *query, int count, const uint8 *codes, int32 *sums)
{
	for (int i = 0; i < count; i++)
		sums[i] = dot1(n, codes + i * FACE_BITS_STRIDE(n), query->values);
}

static int32
neon_dot2(int n, const uint8 *codes, const int16 *query)
{
	const uint8x16_t two_bits = vdupq_n_u8(0x03);
	int32x4_t	sum[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};

	for (int i = 0; i < n; i += 64)
	{
		uint8x16_t	bytes = vld1q_u8(codes);

		for (int m = 0; m < 4; m++)
		{
			uint8x16_t	values = vandq_u8(bytes, two_bits);

			sum[0] = add_products(sum[0], vmovl_u8(vget_low_u8(values)), query);
			sum[1] = add_products(sum[1], vmovl_high_u8(values), query + 8);
			bytes = vshrq_n_u8(bytes, 2);
			query += 16;
		}
		codes += 16;
	}
	return vaddvq_s32(vaddq_s32(sum[0], sum[1]));
}

static int32
neon_dot4(int n, const uint8 *codes, const int16 *query)
{
	const uint16x8_t nibble = vdupq_n_u16(0x000F);
	int32x4_t	sum[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};

	for (int i = 0; i < n; i += 64)
	{
		for (int half = 0; half < 2; half++)
		{
			uint16x8_t	words = vreinterpretq_u16_u8(vld1q_u8(codes + half * 16));
			const int16 *q = query + half * 8;

			sum[half] = add_products(sum[half], vandq_u16(words, nibble), q);
			sum[half] = add_products(sum[half], vandq_u16(vshrq_n_u16(words, 4), nibble), q + 16);
			sum[half] = add_products(sum[half], vandq_u16(vshrq_n_u16(words, 8), nibble), q + 32);
			sum[half] = add_products(sum[half], vshrq_n_u16(words, 12), q + 48);
		}
		codes += 32;
		query += 64;
	}
	return vaddvq_s32(vaddq_s32(sum[0], sum[1]));
}

static int32
neon_dot8(int n, const uint8 *codes, const int16 *query)
{
	const uint16x8_t byte = vdupq_n_u16(0x00FF);
	int32x4_t	sum[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};

	for (int i = 0; i < n; i += 32)
	{
		for (int half = 0; half < 2; half++)
		{
			uint16x8_t	words = vreinterpretq_u16_u8(vld1q_u8(codes + half * 16));
			const int16 *q = query + half * 8;

			sum[half] = add_products(sum[half], vandq_u16(words, byte), q);
			sum[half] = add_products(sum[half], vshrq_n_u16(words, 8), q + 16);
		}
		codes += 32;
		query += 32;
	}
	return vaddvq_s32(vaddq_s32(sum[0], sum[1]));
}

static void
neon_quantize(int n, const float *r, float scale, int max_code, uint8 *codes,
			  float *dot, float *length_squared)
{
	const float32x4_t half_range = vdupq_n_f32(max_code / 2.0f);
	const float32x4_t zero = vdupq_n_f32(max_code / 2.0f + 0.5f);
	const float32x4_t top = vdupq_n_f32((float) max_code);
	float32x4_t dots[2] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
	float32x4_t squares[2] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
	float		lanes[FACE_QUANTIZE_LANES];

	for (int i = 0; i < n; i += FACE_QUANTIZE_LANES)
	{
		uint16x4_t	words[2];

		for (int half = 0; half < 2; half++)
		{
			float32x4_t value = vld1q_f32(r + i + half * WIDTH);
			float32x4_t place = vaddq_f32(vmulq_n_f32(value, scale), zero);
			uint32x4_t	code = vcvtq_u32_f32(vminq_f32(vmaxq_f32(place, vdupq_n_f32(0.0f)), top));
			float32x4_t level = vsubq_f32(vcvtq_f32_u32(code), half_range);

			words[half] = vmovn_u32(code);
			dots[half] = vaddq_f32(dots[half], vmulq_f32(level, value));
			squares[half] = vaddq_f32(squares[half], vmulq_f32(level, level));
		}
		vst1_u8(codes + i, vmovn_u16(vcombine_u16(words[0], words[1])));
	}
	vst1q_f32(lanes, dots[0]);
	vst1q_f32(lanes + WIDTH, dots[1]);
	*dot = face_sum_lanes(lanes);
	vst1q_f32(lanes, squares[0]);
	vst1q_f32(lanes + WIDTH, squares[1]);
	*length_squared = face_sum_lanes(lanes);
}

const FaceScanKernels face_scan_neon = {
	.sketch_sums = neon_sketch_sums,
	.cosine_bounds = neon_cosine_bounds,
	.euclidean_bounds = neon_euclidean_bounds,
	.inner_product_bounds = neon_inner_product_bounds,
	.take_slots = neon_take_slots,
	.bit_sums = neon_bit_sums,
	.dot2 = neon_dot2,
	.dot4 = neon_dot4,
	.dot8 = neon_dot8,
	.quantize = neon_quantize,
};

#endif							/* __aarch64__ */
