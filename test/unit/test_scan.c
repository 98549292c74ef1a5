/*-------------------------------------------------------------------------
 *
 * test_scan.c
 *	  The index's kernels: sums and dots against plain arithmetic written
 *	  here, everything bit for bit against the portable table.
 *
 *-------------------------------------------------------------------------
 */
#include "test_simd.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "simd/half.h"
#include "simd/scan.h"

#define MAX_BLOCKS	5
#define MAX_GROUPS	4096
#define MAX_DIMS	4032
#define ROUNDS		40

static uint64 state = 20241107;

static uint8
random_byte(int round)
{
	/* the first rounds: nothing, then as much as can be */
	return round == 0 ? 0 : round == 1 ? 255 : random_bits(&state) >> 56;
}

static void
fill_bytes(uint8 *bytes, size_t n, int round)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = random_byte(round);
}

static void
test_sums(const FaceScanKernels *kernels, const GuardedArea *area, int groups, int nblocks, int round)
{
	static uint8 tables[MAX_GROUPS * 16];
	size_t		size = (size_t) groups / 2 * 16;
	size_t		gap = round % 3 * sizeof(FaceBlockScalars);
	uint8	   *first = area->end - size * nblocks - gap * (nblocks - 1);
	FaceBlocks	blocks = {.nblocks = nblocks, .groups = groups, .stride = size + gap, .first = first, .ahead = first};
	uint32		sums[MAX_BLOCKS * FACE_BLOCK_SLOTS];

	fill_bytes(first, area->end - first, round);
	fill_bytes(tables, (size_t) groups * 16, round);
	kernels->sketch_sums(&blocks, tables, sums);

	for (int i = 0; i < nblocks * FACE_BLOCK_SLOTS; i++)
	{
		uint32		sum = 0;

		for (int group = 0; group < groups; group++)
		{
			int			plane = (group % 2) * groups / 2 + group / 2;
			int			byte = first[i / 16 * blocks.stride + group / 2 * 16 + i % 16];

			sum += tables[plane * 16 + (group % 2 ? byte / 16 : byte % 16)];
		}
		check(sums[i] == sum, "sum of %d groups, slot %d of %d blocks", groups, i, nblocks);
	}
}

static int16
random_query(int round)
{
	return round == 1 ? INT16_MAX : (int) (random_bits(&state) >> 48) % INT16_MAX;
}

/* The tables that FaceBitQuery describes. */
static int32
fill_bit_tables(int n, const int16 *values, uint8 *tables)
{
	int32		all_lowest = 0;

	memset(tables, 0, FACE_BITS_TABLES(n));
	for (int i = 0; i < n; i += 4)
	{
		int32		lowest = 0;

		for (int bit = 0; bit < 4; bit++)
			lowest += values[i + bit] < 0 ? values[i + bit] : 0;
		for (int nibble = 0; nibble < 16; nibble++)
		{
			int32		sum = -lowest;

			for (int bit = 0; bit < 4; bit++)
				sum += (nibble >> bit & 1) * values[i + bit];
			tables[face_bits_table(i / 8, i / 4 % 2, 0) + nibble] = sum & 0xFF;
			tables[face_bits_table(i / 8, i / 4 % 2, 1) + nibble] = sum >> 8;
		}
		all_lowest += lowest;
	}
	return all_lowest;
}

/* With tables and without, of values of which four fit 16 bits. */
static void
check_bit_sums(const FaceScanKernels *kernels, int n, const int16 *query, uint8 *codes, int round)
{
	static uint8 tables[FACE_BITS_TABLES(4096)];
	int16		values[4096];
	FaceBitQuery bits = {.values = values};

	for (int i = 0; i < n; i++)
		values[i] = query[i] / 2;
	fill_bytes(codes, FACE_BLOCK_SLOTS * FACE_BITS_STRIDE(n), round);
	for (int with_tables = 0; with_tables < 2; with_tables++)
	{
		const int	count = 1 + (n / 64 + round) % FACE_BLOCK_SLOTS;
		int32		sums[FACE_BLOCK_SLOTS + 1] = {0};

		kernels->bit_sums(n, &bits, count, codes, sums);
		for (int slot = 0; slot < count; slot++)
		{
			const uint8 *code = codes + slot * FACE_BITS_STRIDE(n);
			int32		sum = 0;

			for (int i = 0; i < n; i++)
				sum += (code[i / 8] >> (i % 8) & 1) * values[i];
			check(sums[slot] == sum, "sum of %d bits, code %d of %d, tables: %d", n, slot, count, with_tables);
		}
		check(sums[count] == 0, "sums of %d codes of %d bits, and no more", count, n);
		bits.lowest = fill_bit_tables(n, values, tables);
		bits.tables = tables;
	}
}

static void
test_dots(const FaceScanKernels *kernels, const GuardedArea *area, int n, int round)
{
	int16		query[MAX_DIMS] = {0};
	uint8	   *codes = area->end - n / 2;
	int64_t		sum = 0;

	for (int i = 0; i < n; i++)
		query[i] = random_query(round);
	fill_bytes(codes, n / 2, round);
	for (int i = 0; i < n; i++)
	{
		const uint8 *word = codes + i / 64 * 32 + i % 16 * 2;
		int			nibble = i % 64 / 16;

		sum += (int64_t) (word[nibble / 2] >> (nibble % 2 * 4) & 15) * query[i];
	}
	check(kernels->dot4(n, codes, query) == sum, "dot of %d 4-bit codes", n);

	codes = area->end - n / 4;
	sum = 0;
	for (int i = 0; i < n; i++)
		sum += (codes[i / 64 * 16 + i % 16] >> (i % 64 / 16 * 2) & 3) * query[i];
	check(kernels->dot2(n, codes, query) == sum, "dot of %d 2-bit codes", n);

	check_bit_sums(kernels, n, query, area->end - FACE_BLOCK_SLOTS * FACE_BITS_STRIDE(n), round);

	if (n <= 256)
	{
		codes = area->end - n;
		fill_bytes(codes, n, round);
		sum = 0;
		for (int i = 0; i < n; i++)
			sum += (int64_t) codes[i / 32 * 32 + i % 16 * 2 + i % 32 / 16] * query[i];
		check(kernels->dot8(n, codes, query) == sum, "dot of %d 8-bit codes", n);
	}
}

static float
random_float(double low, double high)
{
	return (float) (low + (high - low) * random_uniform(&state));
}

static void
fill_scalars(FaceBlockScalars *s)
{
	for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot++)
	{
		s->inverse[slot] = half_from_float(random_float(0, 70));
		s->tangent[slot] = half_from_float(random_float(0, slot % 2 ? 1 : 60));
		s->centre_product[slot] = (int16) (random_bits(&state) >> 48);
		s->norm[slot] = random_bits(&state) >> 48;
	}
}

#define SLOTS (MAX_BLOCKS * FACE_BLOCK_SLOTS)

static int
by_value(const void *a, const void *b)
{
	float		x = *(const float *) a;
	float		y = *(const float *) b;

	return (x > y) - (x < y);
}

/* Every limit that some bounds pass: the middle one, none, all. */
static void
same_bounds(FaceBoundKernel kernel, FaceBoundKernel reference, const FaceBoundTerms *terms,
			const uint32 *sums, const FaceBlocks *blocks, const char *metric)
{
	float		all[SLOTS];
	float		sorted[SLOTS];
	float		limits[4] = {0, -FLT_MAX, INFINITY, 0};
	float		result[SLOTS];
	float		smallest;
	int			wrong = 0;

	smallest = reference(terms, blocks, sums, INFINITY, all);
	memcpy(sorted, all, sizeof(all));
	qsort(sorted, SLOTS, sizeof(float), by_value);
	check(smallest == sorted[0], "the smallest %s bound is the least of them", metric);
	limits[0] = sorted[SLOTS / 2];
	limits[3] = nextafterf(sorted[0], -INFINITY);
	for (int i = 0; i < 4; i++)
	{
		smallest = kernel(terms, blocks, sums, limits[i], result);
		check(smallest == (sorted[0] <= limits[i] ? sorted[0] : INFINITY), "the smallest %s bound within a limit", metric);
		for (int slot = 0; slot < SLOTS; slot++)
		{
			float		expected = all[slot] <= limits[i] ? all[slot] : INFINITY;

			wrong += memcmp(&result[slot], &expected, sizeof(float)) != 0;
		}
	}
	check(wrong == 0, "%s bounds have the portable bits, infinity beyond the limit: %d have not", metric, wrong);
}

/* Against arithmetic written here: who is taken, what is left. */
static void
test_take(const FaceScanKernels *kernels, int round)
{
	float		lower[SLOTS];
	float		left[SLOTS];
	uint16		taken[MAX_BLOCKS] = {0};
	float		limit = round == 0 ? FLT_MAX : round == 1 ? -FLT_MAX : random_float(-1, 1);
	float		smallest = INFINITY;
	float		result;
	int			wrong = 0;

	for (int i = 0; i < SLOTS; i++)
		left[i] = lower[i] = i % 5 == 0 ? INFINITY : i % 7 == 0 ? limit : random_float(-1, 1);
	result = kernels->take_slots(MAX_BLOCKS, limit, left, taken);
	for (int i = 0; i < SLOTS; i++)
	{
		bool		take = lower[i] <= limit;
		bool		bit = taken[i / FACE_BLOCK_SLOTS] >> (i % FACE_BLOCK_SLOTS) & 1;

		wrong += bit != take || left[i] != (take ? INFINITY : lower[i]);
		if (!take)
			smallest = fminf(smallest, lower[i]);
	}
	check(wrong == 0, "%d slots wrongly taken or left", wrong);
	check(result == smallest, "the smallest bound left");
}

static void
test_bounds(const FaceScanKernels *kernels)
{
	/* blocks of 16 groups, which nothing reads here, and their scalars */
	uint8		bytes[MAX_BLOCKS * (128 + sizeof(FaceBlockScalars))] = {0};
	FaceBlocks	blocks = {.nblocks = MAX_BLOCKS, .groups = 16, .stride = sizeof(bytes) / MAX_BLOCKS, .first = bytes, .ahead = bytes};
	uint32		sums[SLOTS];
	FaceBoundTerms terms = {
		.sum_scale = random_float(1e-5, 1e-3),
		.sum_offset = random_float(-1, 1),
		.width = random_float(0, 1),
		.residual_slack = 1e-3f,
		.centre_scale = random_float(0, 3e-5),
		.residual_base = random_float(1, 2),
		.residual_error = 1e-4f,
		.probe_residual = random_float(0, 2),
		.cosine_offset = random_float(-1, 1),
		.cosine_limit = 1.00002f,
		.probe_norm = random_float(1e-4, 6e4),
		.distance_shrink = 0.99999f,
	};

	for (int i = 0; i < MAX_BLOCKS * FACE_BLOCK_SLOTS; i++)
		sums[i] = random_bits(&state) >> 51;
	for (int i = 0; i < MAX_BLOCKS; i++)
		fill_scalars((FaceBlockScalars *) face_block_scalars(&blocks, i));
	same_bounds(kernels->cosine_bounds, face_scan_portable.cosine_bounds, &terms, sums, &blocks, "cosine");
	same_bounds(kernels->euclidean_bounds, face_scan_portable.euclidean_bounds, &terms, sums, &blocks, "euclidean");
	same_bounds(kernels->inner_product_bounds, face_scan_portable.inner_product_bounds, &terms, sums, &blocks,
				"inner product");

	/* what damage makes no number is not ruled out */
	((FaceBlockScalars *) face_block_scalars(&blocks, 0))->tangent[3] = 0x7E00;
	{
		float		lower[SLOTS];

		check(kernels->cosine_bounds(&terms, &blocks, sums, 0.0f, lower) < 0 && lower[3] < 0,
			  "a bound that is no number passes");
	}
}

static void
test_quantize(const FaceScanKernels *kernels, int n, int bits)
{
	float		r[MAX_DIMS];
	uint8		codes[MAX_DIMS];
	uint8		expected[MAX_DIMS];
	float		sums[4];
	float		scale = random_float(0.1, 30);
	int			max_code = (1 << bits) - 1;
	int			wrong = 0;

	for (int i = 0; i < n; i++)
		r[i] = random_float(-1, 1);
	kernels->quantize(n, r, scale, max_code, codes, &sums[0], &sums[1]);
	face_scan_portable.quantize(n, r, scale, max_code, expected, &sums[2], &sums[3]);
	check(memcmp(codes, expected, n) == 0, "%d codes of %d bits are the portable ones", n, bits);
	check(memcmp(sums, sums + 2, 2 * sizeof(float)) == 0, "their sums have the portable bits");

	/* every code is the nearest level, but for rounding where two are equally near */
	for (int i = 0; i < n; i++)
	{
		double		place = (double) r[i] * scale + max_code / 2.0;
		double		nearest = place < 0 ? 0 : place > max_code ? max_code : place;
		double		miss = codes[i] - nearest;

		wrong += miss > 0.50001 || miss < -0.50001 || codes[i] > max_code;
	}
	check(wrong == 0, "%d of %d codes are not the nearest level", wrong, n);
}

void
test_scan(const FaceKernels *table)
{
	const FaceScanKernels *kernels = table->scan;
	GuardedArea area = guarded_area(MAX_GROUPS / 2 * FACE_BLOCK_SLOTS * MAX_BLOCKS);
	static const int groups[] = {16, 32, 64, 128, 144, 512, 528, 1024, 1040, 4032};
	static const int dims[] = {64, 128, 192, 256, 512, 1024, 2048, 4032};

	for (int round = 0; round < ROUNDS; round++)
	{
		for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
			test_sums(kernels, &area, groups[i], 1 + round % MAX_BLOCKS, round);
		for (size_t i = 0; i < sizeof(dims) / sizeof(*dims); i++)
		{
			test_dots(kernels, &area, dims[i], round);
			test_quantize(kernels, dims[i], 1 << round % 4);
		}
		test_bounds(kernels);
		test_take(kernels, round);
	}
}
