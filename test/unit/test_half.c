/*-------------------------------------------------------------------------
 *
 * test_half.c
 *	  Half precision conversions against arithmetic in double precision that
 *	  shares nothing with src/simd/half.h: every half, every midpoint between
 *	  two halves, its two neighbours, and random floats of every size.
 *
 *-------------------------------------------------------------------------
 */
#include "test_simd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "simd/half.h"

#define HALVES			65536
#define RANDOM_FLOATS	2000000
#define MAX_TAIL		100		/* lengths to try at the edge of readable memory */
#define CHUNK			1003	/* not a multiple of any vector: tails too */

/* SIMDe turns NaN into NaN, but does not keep its payload as the instructions do. */
#ifdef FACE_SIMDE
#define NAN_KEEPS_PAYLOAD	false
#else
#define NAN_KEEPS_PAYLOAD	true
#endif

static uint32
bits_of(float f)
{
	uint32		bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

static float
float_of(uint32 bits)
{
	float		f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static bool
same_float(float f, uint32 expected)
{
	return bits_of(f) == expected ||
		(!NAN_KEEPS_PAYLOAD && isnan(f) && isnan(float_of(expected)));
}

static bool
same_half(uint16 h, uint16 expected)
{
	return h == expected ||
		(!NAN_KEEPS_PAYLOAD && (h & 0x7FFF) > 0x7C00 && (expected & 0x7FFF) > 0x7C00);
}

/* IEEE 754 binary16 by its definition; NaN comes back quiet, with its payload. */
static uint32
expected_float_bits(uint16 h)
{
	int			exponent = (h >> 10) & 31;
	int			fraction = h & 1023;
	double		sign = (h >> 15) ? -1.0 : 1.0;

	if (exponent == 31 && fraction != 0)
		return ((uint32) (h >> 15) << 31) | 0x7FC00000 | ((uint32) fraction << 13);
	if (exponent == 31)
		return bits_of((float) (sign * INFINITY));
	if (exponent == 0)
		return bits_of((float) (sign * ldexp(fraction, -24)));
	return bits_of((float) (sign * ldexp(1024 + fraction, exponent - 25)));
}

/* Nearest half, ties to even, by rint() of the value in units of its last place. */
static uint16
expected_half(float f)
{
	uint16		sign = signbit(f) ? 0x8000 : 0;
	double		size = fabs((double) f);
	int			exponent;
	double		units;

	if (isnan(f))
		return sign | 0x7E00 | (uint16) ((bits_of(f) >> 13) & 0x1FF);
	if (size >= 65520.0)
		return sign | 0x7C00;
	frexp(size, &exponent);		/* size in [2^(exponent-1), 2^exponent) */
	if (size < ldexp(1, -14))
		exponent = -13;
	units = rint(ldexp(size, 11 - exponent));

	/* a count of 2048 carries into the next exponent, as it should */
	return sign | (uint16) ((exponent + 13) * 1024 + (int) units);
}

static void
test_every_half(const FaceKernels *kernels)
{
	static uint16 halves[HALVES];
	static float floats[HALVES];

	for (int i = 0; i < HALVES; i++)
		halves[i] = (uint16) i;
	for (int i = 0; i < HALVES; i += CHUNK)
		kernels->half_to_float(i + CHUNK < HALVES ? CHUNK : HALVES - i, halves + i, floats + i);

	for (int i = 0; i < HALVES; i++)
	{
		uint32		expected = expected_float_bits((uint16) i);

		check(same_float(floats[i], expected), "%s: half %04x gives float %08x, not %08x",
			  kernels->name, i, bits_of(floats[i]), expected);
		check(bits_of(half_to_float((uint16) i)) == expected, "half.h: half %04x", i);
	}
}

/* Every short length, with unreadable memory behind source and destination. */
static void
test_lengths(const FaceKernels *kernels)
{
	GuardedArea half_area = guarded_area(MAX_TAIL * sizeof(uint16));
	GuardedArea float_area = guarded_area(MAX_TAIL * sizeof(float));

	for (int n = 0; n <= MAX_TAIL; n++)
	{
		uint16	   *halves = guarded_halves(&half_area, n, 0);
		float	   *floats = (float *) float_area.end - n;

		for (int i = 0; i < n; i++)
			halves[i] = (uint16) (i * 307);
		kernels->half_to_float(n, halves, floats);
		memset(halves, 0xFF, n * sizeof(uint16));
		kernels->float_to_half(n, floats, halves);
		for (int i = 0; i < n; i++)
			check(halves[i] == i * 307, "%s: component %d of %d does not survive conversion",
				  kernels->name, i, n);
	}
}

static void
check_to_half(const FaceKernels *kernels, const float *floats, int n)
{
	uint16		halves[CHUNK];

	kernels->float_to_half(n, floats, halves);
	for (int i = 0; i < n; i++)
	{
		uint16		expected = expected_half(floats[i]);

		check(same_half(halves[i], expected), "%s: float %08x gives half %04x, not %04x",
			  kernels->name, bits_of(floats[i]), halves[i], expected);
		check(half_from_float(floats[i]) == expected, "half.h: float %08x gives half %04x, not %04x",
			  bits_of(floats[i]), half_from_float(floats[i]), expected);
	}
}

/* Each half, the midpoint to the next one away from zero, and both neighbours of it. */
static void
test_every_midpoint(const FaceKernels *kernels)
{
	for (int sign = 0; sign < 2; sign++)
		for (int i = 0; i < 0x7C00; i++)
		{
			double		here = float_of(expected_float_bits((uint16) i));
			double		next = i == 0x7BFF ? 65536.0 : float_of(expected_float_bits((uint16) (i + 1)));
			float		middle = (float) ((here + next) / 2);
			float		around[] = {(float) here, nextafterf(middle, 0), middle, nextafterf(middle, INFINITY),
				(float) here, nextafterf(middle, 0), middle, nextafterf(middle, INFINITY)};

			if (sign)
				for (int j = 0; j < 8; j++)
					around[j] = -around[j];
			check_to_half(kernels, around, 8);
		}
}

static void
test_random_floats(const FaceKernels *kernels)
{
	uint64		state = 20240607;
	float		floats[CHUNK];

	for (int done = 0; done < RANDOM_FLOATS; done += CHUNK)
	{
		for (int i = 0; i < CHUNK; i++)
		{
			uint32		bits = (uint32) (random_bits(&state) >> 32);

			/* every other one in the range of halves, 2^-26 to 2^17 */
			if (i % 2)
				bits = (bits & 0x807FFFFF) | (((bits >> 23) % 44 + 101) << 23);
			floats[i] = float_of(bits);
		}
		check_to_half(kernels, floats, CHUNK);
	}
}

void
test_half(const FaceKernels *kernels)
{
	test_every_half(kernels);
	test_lengths(kernels);
	test_every_midpoint(kernels);
	test_random_floats(kernels);
}
