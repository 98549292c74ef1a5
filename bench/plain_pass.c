/*-------------------------------------------------------------------------
 *
 * plain_pass.c
 *	  The bar of the index: read so many bytes once, in sequence, one core.
 *
 *		plain_pass BYTES...
 *
 * prints the median, the 99th percentile and the bandwidth of summing an array
 * of that size with vector adds, nothing else done to the bytes.  An exact scan
 * over sketches that take as many bytes cannot be faster than this.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PASSES		201
#define WARM_UP		5

typedef uint64_t Words __attribute__((vector_size(32)));

#define UNROLL		8			/* independent sums: hide the adds' latency */

#if defined(__x86_64__) && !defined(__clang__)
__attribute__((target_clones("avx2", "default")))
#endif
static uint64_t
pass(const Words *words, size_t n)
{
	Words		sum[UNROLL] = {0};
	uint64_t	total = 0;

	for (size_t i = 0; i + UNROLL <= n; i += UNROLL)
	{
		for (int j = 0; j < UNROLL; j++)
			sum[j] += words[i + (size_t) j];
	}
	for (int j = 0; j < UNROLL; j++)
		total += sum[j][0] + sum[j][1] + sum[j][2] + sum[j][3];
	return total;
}

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static int
by_value(const void *a, const void *b)
{
	double		x = *(const double *) a,
				y = *(const double *) b;

	return (x > y) - (x < y);
}

static void
measure(size_t bytes)
{
	size_t		n = bytes / sizeof(Words);
	Words	   *words = aligned_alloc(4096, (bytes + 4095) & ~(size_t) 4095);
	double		ms[PASSES];
	volatile uint64_t sink;

	if (words == NULL)
	{
		fprintf(stderr, "plain_pass: out of memory\n");
		exit(1);
	}
	memset(words, 0x5A, bytes);
	for (int i = -WARM_UP; i < PASSES; i++)
	{
		double		start = now_ms();

		sink = pass(words, n);
		if (i >= 0)
			ms[i] = now_ms() - start;
	}
	(void) sink;
	qsort(ms, PASSES, sizeof(ms[0]), by_value);
	printf("%zu bytes\tmedian %.3f ms\tp99 %.3f ms\t%.1f GB/s\n", bytes, ms[PASSES / 2], ms[PASSES * 99 / 100],
		   (double) bytes / ms[PASSES / 2] / 1e6);
	free(words);
}

int
main(int argc, char **argv)
{
	if (argc < 2)
	{
		fprintf(stderr, "Usage: plain_pass BYTES...\n");
		return 2;
	}
	for (int i = 1; i < argc; i++)
	{
		char	   *end;
		unsigned long long bytes;

		errno = 0;
		bytes = strtoull(argv[i], &end, 10);
		if (errno != 0 || *end != '\0' || argv[i][0] == '-' || bytes < sizeof(Words) * UNROLL || bytes > SIZE_MAX / 2)
		{
			fprintf(stderr, "plain_pass: not a number of bytes: \"%s\"\n", argv[i]);
			return 2;
		}
		measure((size_t) bytes);
	}
	return 0;
}
