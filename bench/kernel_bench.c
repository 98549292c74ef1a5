/*-------------------------------------------------------------------------
 *
 * kernel_bench.c
 *	  Nanoseconds of every kernel, the instruction sets that this CPU can run
 *	  side by side, and which of them "auto" takes.
 *
 * The distance kernels compare templates that lie as they do in a tuple: 12
 * bytes of header, then the components, 8-byte steps between values.  Those of
 * the index work on blocks of sketches as they lie on a page.  Each figure is
 * the median of several rounds, and the rounds of all figures take turns, so
 * that a busy moment of the machine does not fall on one of them only.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "simd/half.h"
#include "simd/kernels.h"

#define ROUNDS			11
#define HEADER			12		/* offsetof(FaceEmbedding, x) */
#define CACHE_BYTES		((size_t) 16 * 1024)	/* half of a first-level cache of 32 kB */
#define MEMORY_BYTES	((size_t) 512 * 1024 * 1024)	/* beyond any cache */
#define ROUND_BYTES		((size_t) 64 * 1024 * 1024)	/* of the memory, one round after the other */
#define REPEATS			400000	/* of what is in cache, in a round */
#define MAX_LEVELS		4
#define MAX_DIMS		512
#define PAGE_BLOCKS		6		/* about as many as a page of 512 dimensions has */
#define GROUPS			(MAX_DIMS / 4)
#define SLOTS			(PAGE_BLOCKS * FACE_BLOCK_SLOTS)

static uint8 *memory;
static size_t turn;				/* which part of the memory the next round streams */

/* Results are added up here, so that no work can be optimized away. */
static volatile double sink;

typedef struct Job
{
	const FaceKernels *kernels;
	int			dims;
	bool		streaming;
} Job;

/* Does the work and returns how often: templates, or components converted, as the kernel's name tells. */
typedef size_t (*Run) (const Job *job);

typedef struct Row
{
	const char *kernel;
	const char *unit;
	Run			run;
	int			dims;
	bool		streaming;
	double		ns[MAX_LEVELS][ROUNDS];
} Row;

/* CPU time: the turns that other programs take on this core do not count. */
static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Half-precision components between -1/16 and 1/16 in all of the memory. */
static void
fill_memory(void)
{
	uint32		state = 1;

	for (size_t i = 0; i < MEMORY_BYTES / sizeof(uint16); i++)
	{
		state = state * 1664525 + 1013904223;
		((uint16 *) memory)[i] = half_from_float(((int32) state) * 0x1p-35f);
	}
}

/* So many of them as float32. */
static void
floats(int n, float *out)
{
	for (int i = 0; i < n; i++)
		out[i] = half_to_float(((const uint16 *) memory)[i]);
}

/* The bytes of this round: so many steps, of cached ones often enough to add up to REPEATS. */
static const uint8 *
round_bytes(const Job *job, size_t step, size_t *steps, size_t *times)
{
	*steps = (job->streaming ? ROUND_BYTES : CACHE_BYTES) / step;
	*times = job->streaming ? 1 : REPEATS / *steps + 1;
	return job->streaming ? memory + turn * ROUND_BYTES : memory;
}

static size_t
compare(const Job *job, double (*kernel) (int, const uint16 *, const uint16 *))
{
	const size_t step = (HEADER + job->dims * sizeof(uint16) + 7) / 8 * 8;
	const uint16 *probe = (const uint16 *) (memory + HEADER);
	size_t		steps;
	size_t		times;
	const uint8 *first = round_bytes(job, step, &steps, &times);
	double		sum = 0;

	for (size_t time = 0; time < times; time++)
		for (size_t i = 0; i < steps; i++)
			sum += kernel(job->dims, probe, (const uint16 *) (first + i * step + HEADER));
	sink = sum;
	return steps * times;
}

static size_t
run_dot(const Job *job)
{
	return compare(job, job->kernels->dot);
}

static size_t
run_l2_squared(const Job *job)
{
	return compare(job, job->kernels->l2_squared);
}

static size_t
run_half_to_float(const Job *job)
{
	float		out[MAX_DIMS];

	for (size_t i = 0; i < REPEATS; i++)
	{
		job->kernels->half_to_float(job->dims, (const uint16 *) memory, out);
		sink = out[i % job->dims];
	}
	return REPEATS;
}

static size_t
run_float_to_half(const Job *job)
{
	float		in[MAX_DIMS];
	uint16		out[MAX_DIMS];

	floats(job->dims, in);
	for (size_t i = 0; i < REPEATS; i++)
	{
		job->kernels->float_to_half(job->dims, in, out);
		sink = out[i % job->dims];
	}
	return REPEATS;
}

/* Pages of blocks with what is to be read next behind them, as a search goes over them. */
static size_t
run_sketch_sums(const Job *job)
{
	const size_t stride = GROUPS / 2 * FACE_BLOCK_SLOTS + sizeof(FaceBlockScalars);
	FaceBlocks	blocks = {.nblocks = PAGE_BLOCKS, .groups = GROUPS, .stride = stride};
	static uint8 tables[GROUPS * 16];
	uint32		sums[SLOTS];
	size_t		steps;
	size_t		times;
	const uint8 *first = round_bytes(job, stride * PAGE_BLOCKS, &steps, &times);

	for (size_t time = 0; time < times; time++)
	{
		for (size_t i = 0; i < steps; i++)
		{
			blocks.first = first + i * stride * PAGE_BLOCKS;
			blocks.ahead = job->streaming && i + 1 < steps ? blocks.first + stride * PAGE_BLOCKS : blocks.first;
			job->kernels->scan->sketch_sums(&blocks, tables, sums);
			sink = sums[0];
		}
	}
	return steps * times * SLOTS;
}

static size_t
bound(FaceBoundKernel kernel)
{
	FaceBlockScalars scalars[PAGE_BLOCKS];
	FaceBlocks	blocks = {.nblocks = PAGE_BLOCKS, .stride = sizeof(FaceBlockScalars), .first = (uint8 *) scalars};
	FaceBoundTerms terms = {.sum_scale = 1e-4f, .width = 0.25f, .residual_base = 1, .probe_residual = 1,
		.cosine_limit = 1, .probe_norm = 1, .distance_shrink = 1};
	uint32		sums[SLOTS] = {0};
	float		lower[SLOTS];

	for (int block = 0; block < PAGE_BLOCKS; block++)
		for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot++)
		{
			scalars[block].inverse[slot] = scalars[block].tangent[slot] = half_from_float(1);
			scalars[block].centre_product[slot] = 0;
			scalars[block].norm[slot] = 25 << 10;
		}
	for (size_t i = 0; i < REPEATS / SLOTS; i++)
		sink = kernel(&terms, &blocks, sums, 0.6f, lower);
	return REPEATS / SLOTS * SLOTS;
}

static size_t
run_cosine_bounds(const Job *job)
{
	return bound(job->kernels->scan->cosine_bounds);
}

static size_t
run_euclidean_bounds(const Job *job)
{
	return bound(job->kernels->scan->euclidean_bounds);
}

static size_t
run_inner_product_bounds(const Job *job)
{
	return bound(job->kernels->scan->inner_product_bounds);
}

static size_t
run_take_slots(const Job *job)
{
	float		lower[SLOTS];
	uint16		taken[PAGE_BLOCKS];

	for (int i = 0; i < SLOTS; i++)
		lower[i] = 0.8f;
	for (size_t i = 0; i < REPEATS / SLOTS; i++)
		sink = job->kernels->scan->take_slots(PAGE_BLOCKS, 0.6f, lower, taken);
	return REPEATS / SLOTS * SLOTS;
}

static size_t
refine(const Job *job, int32 (*kernel) (int, const uint8 *, const int16 *), size_t bytes)
{
	size_t		steps;
	size_t		times;
	const uint8 *first = round_bytes(job, bytes, &steps, &times);
	int64		sum = 0;

	for (size_t time = 0; time < times; time++)
		for (size_t i = 0; i < steps; i++)
			sum += kernel(job->dims, first + i * bytes, (const int16 *) memory);
	sink = (double) sum;
	return steps * times;
}

static size_t
run_bit_sums(const Job *job)
{
	static uint8 tables[FACE_BITS_TABLES(4096)];
	const FaceBitQuery query = {(const int16 *) memory, tables};
	const size_t bytes = FACE_BITS_STRIDE(job->dims) * FACE_BLOCK_SLOTS;
	size_t		steps;
	size_t		times;
	const uint8 *first = round_bytes(job, bytes, &steps, &times);
	int32		sums[FACE_BLOCK_SLOTS];

	for (size_t time = 0; time < times; time++)
		for (size_t i = 0; i < steps; i++)
			job->kernels->scan->bit_sums(job->dims, &query, FACE_BLOCK_SLOTS, first + i * bytes, sums);
	sink = (double) sums[0];
	return steps * times * FACE_BLOCK_SLOTS;
}

static size_t
run_dot2(const Job *job)
{
	return refine(job, job->kernels->scan->dot2, job->dims / 4);
}

static size_t
run_dot4(const Job *job)
{
	return refine(job, job->kernels->scan->dot4, job->dims / 2);
}

static size_t
run_dot8(const Job *job)
{
	return refine(job, job->kernels->scan->dot8, job->dims);
}

static size_t
run_quantize(const Job *job)
{
	float		in[MAX_DIMS];
	uint8		codes[MAX_DIMS];
	float		dot;
	float		squares;

	floats(job->dims, in);
	for (size_t i = 0; i < REPEATS / 4; i++)
	{
		job->kernels->scan->quantize(job->dims, in, 60.0f, 15, codes, &dot, &squares);
		sink = dot;
	}
	return REPEATS / 4;
}

#define ROW(name, what, n, from_memory) {.kernel = #name, .unit = what, .run = run_##name, .dims = n, .streaming = from_memory}

static Row rows[] = {
	ROW(dot, "comparison", 512, false),
	ROW(dot, "comparison", 512, true),
	ROW(dot, "comparison", 128, false),
	ROW(dot, "comparison", 128, true),
	ROW(l2_squared, "comparison", 512, false),
	ROW(l2_squared, "comparison", 512, true),
	ROW(l2_squared, "comparison", 128, false),
	ROW(l2_squared, "comparison", 128, true),
	ROW(half_to_float, "template", 512, false),
	ROW(float_to_half, "template", 512, false),
	ROW(sketch_sums, "sketch", 512, false),
	ROW(sketch_sums, "sketch", 512, true),
	ROW(cosine_bounds, "sketch", 512, false),
	ROW(euclidean_bounds, "sketch", 512, false),
	ROW(inner_product_bounds, "sketch", 512, false),
	ROW(take_slots, "sketch", 512, false),
	ROW(bit_sums, "code", 512, false),
	ROW(bit_sums, "code", 512, true),
	ROW(dot2, "code", 512, false),
	ROW(dot2, "code", 512, true),
	ROW(dot4, "code", 128, false),
	ROW(dot4, "code", 128, true),
	ROW(dot8, "code", 64, false),
	ROW(quantize, "template", 512, false),
};

#define NROWS ((int) (sizeof(rows) / sizeof(*rows)))

/* GB/s of reading one word of every cache line, from the four quarters of the memory in turn. */
static double
read_memory(void)
{
	const uint64 *words = (const uint64 *) memory;
	const size_t line = 64 / sizeof(uint64);
	const size_t quarter = MEMORY_BYTES / sizeof(uint64) / 4;
	uint64		sum[4] = {0};
	double		start = now_ns();

	for (size_t i = 0; i < quarter; i += line)
		for (int j = 0; j < 4; j++)
			sum[j] += words[i + j * quarter];
	sink = (double) (sum[0] + sum[1] + sum[2] + sum[3]);
	return MEMORY_BYTES / (now_ns() - start);
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
median(double *values)
{
	qsort(values, ROUNDS, sizeof(double), compare_doubles);
	return values[ROUNDS / 2];
}

/* The level of the kernel of this name that searches use. */
static const char *
level_in_use(const char *kernel)
{
	FaceKernelPart part;

	for (int i = 0; face_simd_part(face_kernels, i, &part); i++)
		if (strcmp(part.kernel, kernel) == 0)
			return part.level;
	return "none";
}

static void
print_rows(const FaceKernels *const *levels, double *bandwidth)
{
	printf("memory, one word read of each cache line: %.1f GB/s; nanoseconds:\n\n", median(bandwidth));
	printf("| kernel | dimensions | of a | from |");
	for (int level = 0; levels[level] != NULL; level++)
		printf(" %s |", levels[level]->name);
	printf(" in use |\n|---|---|---|---|");
	for (int level = 0; levels[level] != NULL; level++)
		printf("---|");
	printf("---|\n");
	for (Row *row = rows; row < rows + NROWS; row++)
	{
		printf("| %s | %d | %s | %s |", row->kernel, row->dims, row->unit, row->streaming ? "memory" : "cache");
		for (int level = 0; levels[level] != NULL; level++)
			printf(" %.2f |", median(row->ns[level]));
		printf(" %s |\n", level_in_use(row->kernel));
	}
}

int
main(void)
{
	const FaceKernels *const *levels = face_simd_available();
	double		bandwidth[ROUNDS];

	memory = malloc(MEMORY_BYTES);
	if (memory == NULL)
	{
		perror("malloc");
		return EXIT_FAILURE;
	}
	fill_memory();
	face_simd_init();
	for (int round = 0; round < ROUNDS; round++)
	{
		bandwidth[round] = read_memory();
		for (Row *row = rows; row < rows + NROWS; row++)
			for (int level = 0; levels[level] != NULL; level++)
			{
				Job			job = {.kernels = levels[level], .dims = row->dims, .streaming = row->streaming};
				double		start = now_ns();
				size_t		done = row->run(&job);

				row->ns[level][round] = (now_ns() - start) / (double) done;
				turn = (turn + 1) % (MEMORY_BYTES / ROUND_BYTES);
			}
	}
	print_rows(levels, bandwidth);
	free(memory);
	return EXIT_SUCCESS;
}
