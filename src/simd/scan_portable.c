/*-------------------------------------------------------------------------
 *
 * scan_portable.c
 *	  Kernels of the index in plain C, for any CPU; the definition of the
 *	  result.
 *
 * Every other instruction set must return exactly these bits.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include "simd/scan_common.h"

static void
portable_sketch_sums(const FaceBlocks *blocks, const uint8 *tables, uint32 *sums)
{
	int			rows = blocks->groups / 2;
	const uint8 *odd_tables = tables + (Size) rows * FACE_SKETCH_TABLE;

	for (int block = 0; block < blocks->nblocks; block++)
	{
		const uint8 *codes = blocks->first + block * blocks->stride;
		const uint8 *ahead = blocks->ahead + block * blocks->stride;
		uint32		acc[FACE_BLOCK_SLOTS] = {0};

		for (int row = 0; row < rows; row++)
		{
			const uint8 *even = tables + row * FACE_SKETCH_TABLE;
			const uint8 *odd = odd_tables + row * FACE_SKETCH_TABLE;

			if (row % (FACE_CACHE_LINE / FACE_BLOCK_SLOTS) == 0)
				__builtin_prefetch(ahead + row * FACE_BLOCK_SLOTS);
			for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot++)
				acc[slot] += even[codes[slot] & 0x0F] + odd[codes[slot] >> 4];
			codes += FACE_BLOCK_SLOTS;
		}
		face_prefetch_scalars(ahead + rows * FACE_BLOCK_SLOTS);
		memcpy(sums, acc, sizeof(acc));
		sums += FACE_BLOCK_SLOTS;
	}
}

static inline float
lesser(float a, float b)
{
	return a < b ? a : b;
}

static inline float
greater(float a, float b)
{
	return a > b ? a : b;
}

/* Upper bound on the cosine between probe and template. */
static inline float
cosine_upper(const FaceBoundTerms *t, uint32 sum, const FaceBlockScalars *s, int slot)
{
	float		product = (float) s->centre_product[slot] * t->centre_scale;
	float		a = ((float) (int32) sum * t->sum_scale + t->sum_offset) * half_to_float(s->inverse[slot]);
	float		b = half_to_float(s->tangent[slot]) * t->width;
	float		d = b * b + 1.0f;
	float		residual;
	float		length_squared;

	a = greater(lesser(a, 1.0f), -1.0f);
	residual = (a + b * sqrtf(d - a * a)) / d + t->residual_slack;
	length_squared = t->residual_base - (product + product) + copysignf(t->residual_error, residual);
	residual *= sqrtf(greater(length_squared, 0.0f)) * t->probe_residual;
	return lesser(product + t->cosine_offset + residual, t->cosine_limit);
}

static inline float
norm_value(uint16 code, int step)
{
	FloatBits	bits;

	bits.u = (((uint32) code + step) << FACE_NORM_SHIFT) + FACE_NORM_BASE;
	return bits.f;
}

static inline float
cosine_distance(const FaceBoundTerms *t, float cosine, uint16 norm)
{
	return 1.0f - cosine;
}

/* Of all lengths that the stored norm may mean, the one that comes nearest to the probe. */
static inline float
euclidean_distance(const FaceBoundTerms *t, float cosine, uint16 norm)
{
	float		along;
	float		gap;
	float		across;

	cosine = greater(lesser(cosine, 1.0f), -1.0f);
	along = t->probe_norm * cosine;
	gap = greater(lesser(along, norm_value(norm, 1)), norm_value(norm, 0)) - along;
	across = t->probe_norm * t->probe_norm * ((1.0f - cosine) * (1.0f + cosine));
	return sqrtf(gap * gap + across) * t->distance_shrink;
}

static inline float
inner_product_distance(const FaceBoundTerms *t, float cosine, uint16 norm)
{
	return 0.0f - norm_value(norm, cosine >= 0.0f ? 1 : 0) * t->probe_norm * cosine;
}

typedef float (*Distance) (const FaceBoundTerms *t, float cosine, uint16 norm);

static pg_attribute_always_inline float
bounds(const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit, float *lower,
	   Distance distance)
{
	float		smallest = INFINITY;

	for (int block = 0; block < blocks->nblocks; block++)
	{
		const FaceBlockScalars *s = face_block_scalars(blocks, block);

		for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot++)
		{
			float		bound = distance(terms, cosine_upper(terms, *sums++, s, slot), s->norm[slot]);

			bound = greater(bound, -FLT_MAX);
			bound = bound > limit ? INFINITY : bound;
			smallest = lesser(bound, smallest);
			*lower++ = bound;
		}
	}
	return smallest;
}

static float
portable_cosine_bounds(const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit, float *lower)
{
	return bounds(terms, blocks, sums, limit, lower, cosine_distance);
}

static float
portable_euclidean_bounds(const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit,
						  float *lower)
{
	return bounds(terms, blocks, sums, limit, lower, euclidean_distance);
}

static float
portable_inner_product_bounds(const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit,
							  float *lower)
{
	return bounds(terms, blocks, sums, limit, lower, inner_product_distance);
}

static float
portable_take_slots(int nblocks, float limit, float *lower, uint16 *taken)
{
	float		smallest = INFINITY;

	for (int block = 0; block < nblocks; block++)
	{
		int			bits = 0;

		for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot++)
		{
			bool		take = lower[slot] <= limit;

			bits |= take << slot;
			lower[slot] = take ? INFINITY : lower[slot];
			smallest = lesser(lower[slot], smallest);
		}
		taken[block] = bits;
		lower += FACE_BLOCK_SLOTS;
	}
	return smallest;
}

static int32
dot1(int n, const uint8 *codes, const int16 *query)
{
	int32		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (codes[i / 8] >> (i % 8) & 1) * query[i];
	return sum;
}

static void
portable_bit_sums(int n, const FaceBitQuery *query, int count, const uint8 *codes, int32 *sums)
{
	for (int i = 0; i < count; i++)
		sums[i] = dot1(n, codes + i * FACE_BITS_STRIDE(n), query->values);
}

static int32
portable_dot2(int n, const uint8 *codes, const int16 *query)
{
	int32		sum = 0;

	for (int i = 0; i < n; i += 64)
	{
		for (int j = 0; j < 16; j++)
			for (int m = 0; m < 4; m++)
				sum += (codes[j] >> (2 * m) & 3) * query[16 * m + j];
		codes += 16;
		query += 64;
	}
	return sum;
}

static int32
portable_dot4(int n, const uint8 *codes, const int16 *query)
{
	int32		sum = 0;

	for (int i = 0; i < n; i += 64)
	{
		for (int j = 0; j < 16; j++)
		{
			sum += (codes[2 * j] & 0x0F) * query[j];
			sum += (codes[2 * j] >> 4) * query[16 + j];
			sum += (codes[2 * j + 1] & 0x0F) * query[32 + j];
			sum += (codes[2 * j + 1] >> 4) * query[48 + j];
		}
		codes += 32;
		query += 64;
	}
	return sum;
}

static int32
portable_dot8(int n, const uint8 *codes, const int16 *query)
{
	int32		sum = 0;

	for (int i = 0; i < n; i += 32)
	{
		for (int j = 0; j < 16; j++)
		{
			sum += codes[2 * j] * query[j];
			sum += codes[2 * j + 1] * query[16 + j];
		}
		codes += 32;
		query += 32;
	}
	return sum;
}

static void
portable_quantize(int n, const float *r, float scale, int max_code, uint8 *codes,
				  float *dot, float *length_squared)
{
	float		dots[FACE_QUANTIZE_LANES] = {0};
	float		squares[FACE_QUANTIZE_LANES] = {0};
	float		half_range = max_code / 2.0f;
	float		zero = half_range + 0.5f;

	for (int i = 0; i < n; i += FACE_QUANTIZE_LANES)
	{
		for (int lane = 0; lane < FACE_QUANTIZE_LANES; lane++)
		{
			float		place = lesser(greater(r[i + lane] * scale + zero, 0.0f), (float) max_code);
			int32		code = (int32) place;
			float		level = (float) code - half_range;

			codes[i + lane] = code;
			dots[lane] += level * r[i + lane];
			squares[lane] += level * level;
		}
	}
	*dot = face_sum_lanes(dots);
	*length_squared = face_sum_lanes(squares);
}

const FaceScanKernels face_scan_portable = {
	.sketch_sums = portable_sketch_sums,
	.cosine_bounds = portable_cosine_bounds,
	.euclidean_bounds = portable_euclidean_bounds,
	.inner_product_bounds = portable_inner_product_bounds,
	.take_slots = portable_take_slots,
	.bit_sums = portable_bit_sums,
	.dot2 = portable_dot2,
	.dot4 = portable_dot4,
	.dot8 = portable_dot8,
	.quantize = portable_quantize,
};
