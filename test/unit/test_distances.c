/*-------------------------------------------------------------------------
 *
 * test_distances.c
 *	  Distances of one table against sums in double precision, and against
 *	  the bits of the portable table: every dimension, aligned or not, with
 *	  the next byte after each array unreadable.
 *
 *-------------------------------------------------------------------------
 */
#include "test_simd.h"

#include <math.h>
#include <string.h>

#include "harness.h"

#define MAX_DIMS		2100
#define LARGEST_DIMS	3584	/* FACE_MAX_DIMS, which embedding.h owns */
#define TOLERANCE		1e-5
#define ALIGNMENTS		33		/* gaps in elements: every place in 64 bytes, and one more */

typedef enum Contents
{
	FACE_LIKE,					/* unit length, bell-shaped components */
	ANY_FINITE,					/* any bit pattern that is a number */
	DENORMALS,
	LARGEST,					/* +-65504 */
	SMALLEST,					/* +-2^-24 and zeros of both signs */
	MIXED_NORMS,				/* one huge component among tiny ones */
	CANCELLING,					/* +-65504 among tiny ones: the order of adding shows */
	CONTENTS
} Contents;

static const char *const contents_name[CONTENTS] = {
	"face-like", "any finite", "denormals", "largest", "smallest", "mixed norms",
	"cancelling"
};

/* The component's value by the definition of binary16. */
static double
value_of(uint16 h)
{
	int			exponent = (h >> 10) & 31;
	int			fraction = h & 1023;
	double		size = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);

	return (h >> 15) ? -size : size;
}

static uint16
bell_shaped(uint64 *state, double scale)
{
	double		sum = 0;
	int			exponent;
	int			units;

	for (int i = 0; i < 12; i++)
		sum += random_uniform(state) - 0.5;
	sum = fabs(sum) * scale;
	if (sum < 0x1p-14)
		return (uint16) ldexp(sum, 24);
	frexp(sum, &exponent);
	units = (int) ldexp(sum, 11 - exponent);
	return (uint16) ((random_bits(state) >> 63 << 15) | ((exponent + 13) * 1024 + units));
}

static uint16
component(Contents contents, int n, int i, uint64 *state)
{
	uint16		bits = (uint16) (random_bits(state) >> 48);
	uint16		sign = bits & 0x8000;

	switch (contents)
	{
		case FACE_LIKE:
			return bell_shaped(state, 1 / sqrt(n));
		case ANY_FINITE:
			return (bits & 0x7C00) == 0x7C00 ? (bits & 0x83FF) : bits;
		case DENORMALS:
			return bits & 0x83FF;
		case LARGEST:
			return sign | 0x7BFF;
		case SMALLEST:
			return sign | (bits & 1);
		case CANCELLING:
			return (bits & 1) ? (sign | 0x7BFF) : (bits & 0x83FF);
		default:
			return i == n / 2 ? (sign | 0x7BFF) : (bits & 0x83FF);
	}
}

static bool
same_bits(double x, double y)
{
	uint64		x_bits;
	uint64		y_bits;

	memcpy(&x_bits, &x, sizeof(x));
	memcpy(&y_bits, &y, sizeof(y));
	return x_bits == y_bits;
}

static void
check_pair(const FaceKernels *kernels, const char *what, int n, const uint16 *a, const uint16 *b)
{
	double		dot = 0;
	double		l2 = 0;
	double		norm_a = 0;
	double		norm_b = 0;
	double		got_dot = kernels->dot(n, a, b);
	double		got_l2 = kernels->l2_squared(n, a, b);
	double		portable_dot = face_kernels_portable.dot(n, a, b);
	double		portable_l2 = face_kernels_portable.l2_squared(n, a, b);

	for (int i = 0; i < n; i++)
	{
		double		x = value_of(a[i]);
		double		y = value_of(b[i]);

		dot += x * y;
		l2 += (x - y) * (x - y);
		norm_a += x * x;
		norm_b += y * y;
	}
	check(fabs(got_dot - dot) <= TOLERANCE * sqrt(norm_a) * sqrt(norm_b),
		  "%s: dot of %d %s: %.17g, not %.17g", kernels->name, n, what, got_dot, dot);
	check(fabs(got_l2 - l2) <= TOLERANCE * l2,
		  "%s: l2_squared of %d %s: %.17g, not %.17g", kernels->name, n, what, got_l2, l2);
	check(same_bits(got_dot, portable_dot),
		  "%s: dot of %d %s: %a, portable %a", kernels->name, n, what, got_dot, portable_dot);
	check(same_bits(got_l2, portable_l2),
		  "%s: l2_squared of %d %s: %a, portable %a", kernels->name, n, what, got_l2, portable_l2);
	check(same_bits(kernels->dot(n, b, a), got_dot) && same_bits(kernels->l2_squared(n, b, a), got_l2),
		  "%s: %d %s: not symmetric", kernels->name, n, what);
	check(kernels->l2_squared(n, a, a) == 0, "%s: %d %s: a template is not at 0 from itself",
		  kernels->name, n, what);
}

static void
check_dims(const FaceKernels *kernels, const GuardedArea *areas, int n, uint64 *state)
{
	for (int c = 0; c < CONTENTS; c++)
	{
		/* dims 1.. go through the alignments, differently for either side */
		uint16	   *a = guarded_halves(&areas[0], n, (n + c) % ALIGNMENTS);
		uint16	   *b = guarded_halves(&areas[1], n, c == 0 ? 0 : (n / ALIGNMENTS) % ALIGNMENTS);

		for (int i = 0; i < n; i++)
		{
			a[i] = component((Contents) c, n, i, state);
			b[i] = component((Contents) c, n, i, state);
		}
		check_pair(kernels, contents_name[c], n, a, b);
	}
}

/* The same numbers at every alignment of either argument: the same bits. */
static void
check_alignments(const FaceKernels *kernels, const GuardedArea *areas, int n, uint64 *state)
{
	uint16		source[2][512];
	double		dot = 0;
	double		l2 = 0;

	for (int i = 0; i < n; i++)
	{
		source[0][i] = component(ANY_FINITE, n, i, state);
		source[1][i] = component(ANY_FINITE, n, i, state);
	}
	for (int gap_a = 0; gap_a < ALIGNMENTS; gap_a++)
		for (int gap_b = 0; gap_b < ALIGNMENTS; gap_b++)
		{
			uint16	   *a = guarded_halves(&areas[0], n, gap_a);
			uint16	   *b = guarded_halves(&areas[1], n, gap_b);

			memcpy(a, source[0], n * sizeof(uint16));
			memcpy(b, source[1], n * sizeof(uint16));
			if (gap_a == 0 && gap_b == 0)
			{
				dot = kernels->dot(n, a, b);
				l2 = kernels->l2_squared(n, a, b);
			}
			check(kernels->dot(n, a, b) == dot && kernels->l2_squared(n, a, b) == l2,
				  "%s: %d dimensions differ at alignment %d, %d", kernels->name, n, gap_a, gap_b);
		}
}

void
test_distances(const FaceKernels *kernels)
{
	GuardedArea areas[2];
	uint64		state = 512;

	areas[0] = guarded_area((LARGEST_DIMS + ALIGNMENTS) * sizeof(uint16));
	areas[1] = guarded_area((LARGEST_DIMS + ALIGNMENTS) * sizeof(uint16));

	check(kernels->dot(0, (uint16 *) areas[0].end, (uint16 *) areas[1].end) == 0 &&
		  kernels->l2_squared(0, (uint16 *) areas[0].end, (uint16 *) areas[1].end) == 0,
		  "%s: no components, no distance", kernels->name);
	for (int n = 1; n <= MAX_DIMS; n++)
		check_dims(kernels, areas, n, &state);
	check_dims(kernels, areas, LARGEST_DIMS, &state);
	check_alignments(kernels, areas, 512, &state);
	check_alignments(kernels, areas, 127, &state);
}
