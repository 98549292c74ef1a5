/*-------------------------------------------------------------------------
 *
 * kernel_bench.c
 *	  Nanoseconds per comparison of every kernel table that this CPU can run,
 *	  in cache and streaming from memory, beside the memory bandwidth that a
 *	  reading loop reaches in the same run.
 *
 * Templates lie as they do in a tuple: 12 bytes of header, then the
 * components, 8-byte steps between values.  Each figure is the median of
 * several rounds, and the rounds of all figures take turns, so that a busy
 * moment of the machine does not fall on one of them only.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "simd/half.h"
#include "simd/kernels.h"

#define ROUNDS			11
#define HEADER			12		/* offsetof(FaceEmbedding, x) */
#define CACHE_BYTES		((size_t) 16 * 1024)	/* half of a first-level cache of 32 kB */
#define CACHE_COMPARISONS	400000
#define MEMORY_BYTES	((size_t) 512 * 1024 * 1024)	/* beyond any cache */
#define MAX_FIGURES		64

typedef struct Figure
{
	const FaceKernels *kernels; /* NULL: the reading loop */
	bool		l2;
	bool		streaming;
	int			dims;
	double		ns[ROUNDS];		/* per comparison, or per kB read */
} Figure;

static Figure figures[MAX_FIGURES];
static int	nfigures = 0;
static uint8 *memory;

/* Results are added up here, so that no comparison can be optimized away. */
static volatile double sink;

static size_t
stride(int dims)
{
	return (HEADER + dims * sizeof(uint16) + 7) / 8 * 8;
}

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

/* One word of every cache line, from the four quarters of the memory in turn. */
static uint64
read_memory(void)
{
	const uint64 *words = (const uint64 *) memory;
	const size_t line = 64 / sizeof(uint64);
	const size_t quarter = MEMORY_BYTES / sizeof(uint64) / 4;
	uint64		sum[4] = {0};

	for (size_t i = 0; i < quarter; i += line)
	{
		sum[0] += words[i];
		sum[1] += words[i + quarter];
		sum[2] += words[i + 2 * quarter];
		sum[3] += words[i + 3 * quarter];
	}
	return sum[0] + sum[1] + sum[2] + sum[3];
}

static double
run(const Figure *f)
{
	size_t		step = stride(f->dims);
	size_t		resident = (f->streaming ? MEMORY_BYTES : CACHE_BYTES) / step;
	size_t		comparisons = f->streaming ? resident : CACHE_COMPARISONS;
	double		(*compare) (int, const uint16 *, const uint16 *);
	const uint16 *probe = (const uint16 *) (memory + HEADER);
	double		sum = 0;
	size_t		done = 0;
	double		start = now_ns();

	compare = f->l2 ? f->kernels->l2_squared : f->kernels->dot;
	do
	{
		for (size_t i = 0; i < resident; i++)
			sum += compare(f->dims, probe, (const uint16 *) (memory + i * step + HEADER));
		done += resident;
	} while (done < comparisons);
	sink = sum;
	return (now_ns() - start) / (double) done;
}

static double
run_reading(void)
{
	double		start = now_ns();

	sink = (double) read_memory();
	return (now_ns() - start) / (MEMORY_BYTES / 1000.0);
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static void
add_figures(const FaceKernels *kernels)
{
	static const int dims[] = {512, 128};

	for (int d = 0; d < 2; d++)
		for (int l2 = 0; l2 < 2; l2++)
			for (int streaming = 0; streaming < 2; streaming++)
				figures[nfigures++] = (Figure) {
				.kernels = kernels,.l2 = l2,.streaming = streaming,.dims = dims[d]
				};
}

static void
print_figures(void)
{
	double		bandwidth = 1000 / figures[0].ns[ROUNDS / 2];

	printf("memory, one word read of each cache line: %.1f GB/s\n\n", bandwidth);
	printf("%-10s %-11s %5s  %12s  %12s %8s %6s\n",
		   "kernels", "function", "dims", "in cache ns", "streaming ns", "GB/s", "of max");
	for (int i = 1; i < nfigures; i += 2)
	{
		const Figure *f = &figures[i];
		double		streaming = f[1].ns[ROUNDS / 2];
		double		rate = stride(f->dims) / streaming;

		printf("%-10s %-11s %5d  %12.1f  %12.1f %8.1f %5.0f%%\n", f->kernels->name,
			   f->l2 ? "l2_squared" : "dot", f->dims, f->ns[ROUNDS / 2], streaming, rate,
			   100 * rate / bandwidth);
	}
}

int
main(void)
{
	memory = malloc(MEMORY_BYTES);
	if (memory == NULL)
	{
		perror("malloc");
		return EXIT_FAILURE;
	}
	fill_memory();

	figures[nfigures++] = (Figure) {.kernels = NULL};
	for (const FaceKernels *const *table = face_simd_available(); *table != NULL; table++)
		add_figures(*table);

	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < nfigures; i++)
			figures[i].ns[round] = figures[i].kernels ? run(&figures[i]) : run_reading();
	for (int i = 0; i < nfigures; i++)
		qsort(figures[i].ns, ROUNDS, sizeof(double), compare_doubles);

	print_figures();
	free(memory);
	return EXIT_SUCCESS;
}
