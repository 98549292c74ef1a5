/*-------------------------------------------------------------------------
 *
 * test_rotation.c
 *	  The rotation keeps lengths and angles, is the same on every machine and
 *	  spreads even a single component as a uniform rotation does; the tail of
 *	  the sphere against closed forms and numerical integration.
 *
 *-------------------------------------------------------------------------
 */
#include "test_codec.h"

#include <math.h>

#include "harness.h"
#include "index/rotation.h"
#include "index/tail.h"

static double
dot(int n, const float *a, const float *b)
{
	double		sum = 0.0;

	for (int i = 0; i < n; i++)
		sum += (double) a[i] * b[i];
	return sum;
}

static void
test_isometry(int dims, uint64 *state)
{
	FaceRotation *rotation = face_rotation_create(dims, random_bits(state));
	int			n = face_rotation_padded(dims);
	float	   *a = palloc0(sizeof(float) * n);
	float	   *b = palloc0(sizeof(float) * n);
	double		before;
	double		length;

	for (int i = 0; i < dims; i++)
	{
		a[i] = (float) random_normal(state);
		b[i] = (float) random_normal(state);
	}
	before = dot(n, a, b);
	length = dot(n, a, a);
	face_rotation_apply(rotation, a);
	face_rotation_apply(rotation, b);
	check(fabs(dot(n, a, a) / length - 1.0) < 2e-6, "%d dimensions: length is kept", dims);
	check(fabs(dot(n, a, b) - before) < 2e-6 * length, "%d dimensions: angles are kept", dims);
	pfree(rotation);
	pfree(a);
	pfree(b);
}

/* FNV-1a over the bits of a rotated ramp */
static uint32
fingerprint(int dims, uint64 seed)
{
	FaceRotation *rotation = face_rotation_create(dims, seed);
	int			n = face_rotation_padded(dims);
	float	   *x = palloc0(sizeof(float) * n);
	uint32		hash = 2166136261u;

	for (int i = 0; i < dims; i++)
		x[i] = (float) (i % 17) - 8.0f;
	face_rotation_apply(rotation, x);
	for (int i = 0; i < n; i++)
	{
		uint32		bits;

		memcpy(&bits, &x[i], sizeof(bits));
		hash = (hash ^ bits) * 16777619u;
	}
	pfree(rotation);
	pfree(x);
	return hash;
}

/*
 * Over many seeds the projection of a rotated unit vector on a fixed direction
 * must have the variance 1/n and the fourth moment 3/(n (n + 2)) of a uniform
 * point.  Hostile: one component, and a direction of one component.
 */
static void
test_moments(int dims, bool sparse_direction, uint64 *state)
{
	const int	seeds = dims < 1000 ? 20000 : 4000;
	int			n = face_rotation_padded(dims);
	float	   *x = palloc(sizeof(float) * n);
	float	   *direction = palloc0(sizeof(float) * n);
	double		second = 0.0;
	double		fourth = 0.0;
	double		squares;

	for (int i = 0; i < n; i++)
		direction[i] = sparse_direction ? i == n - 1 : (float) random_normal(state);
	squares = dot(n, direction, direction);
	for (int seed = 0; seed < seeds; seed++)
	{
		FaceRotation *rotation = face_rotation_create(dims, random_bits(state));
		double		y;

		memset(x, 0, sizeof(float) * n);
		x[seed % dims] = 1.0f;
		face_rotation_apply(rotation, x);
		y = dot(n, x, direction);
		second += y * y / squares / seeds;
		fourth += y * y * y * y / squares / squares / seeds;
		pfree(rotation);
	}
	check(fabs(second * n - 1.0) < 0.05, "%d dimensions: variance %g of uniform", dims, second * n);
	check(fabs(fourth * n * (n + 2) / 3 - 1.0) < 0.2, "%d dimensions: fourth moment %g of uniform", dims,
		  fourth * n * (n + 2) / 3);
	pfree(x);
	pfree(direction);
}

void
test_rotation(int rounds)
{
	static const int dims[] = {1, 2, 3, 31, 64, 65, 128, 129, 192, 320, 512, 513, 1000, 2000, 3584};
	uint64		state = 7;

	for (size_t i = 0; i < sizeof(dims) / sizeof(*dims); i++)
	{
		check(face_rotation_padded(dims[i]) % 64 == 0 && face_rotation_padded(dims[i]) >= dims[i] &&
			  face_rotation_padded(dims[i]) < dims[i] + 64, "%d dimensions are padded", dims[i]);
		for (int round = 0; round < 5 * rounds; round++)
			test_isometry(dims[i], &state);
	}
	for (int sparse = 0; sparse < 2 && rounds > 1; sparse++)
	{
		test_moments(1, sparse, &state);
		test_moments(64, sparse, &state);
		test_moments(192, sparse, &state);
		test_moments(320, sparse, &state);
		test_moments(1900, sparse, &state);
		test_moments(512, sparse, &state);
	}

	/* an index outlives the machine that built it */
	check(fingerprint(512, 42) == 2926865849u, "rotation of 512 dimensions is the recorded one, not %u",
		  fingerprint(512, 42));
	check(fingerprint(129, 42) == 3467485708u, "rotation of 129 dimensions is the recorded one, not %u",
		  fingerprint(129, 42));
	check(fingerprint(512, 43) != fingerprint(512, 42), "another seed is another rotation");
}

/* P(Z > z) by Simpson's rule over the density; both integrals share its constant. */
static double
integrated_tail(int n, double z)
{
	const int	steps = 200000;
	double		above = 0.0;
	double		all = 0.0;

	for (int part = 0; part < 2; part++)
	{
		double		from = part == 0 ? 0.0 : z;
		double		h = (1.0 - from) / steps;
		double		sum = 0.0;

		for (int i = 0; i <= steps; i++)
		{
			double		x = from + i * h;
			double		weight = i == 0 || i == steps ? 1 : i % 2 ? 4 : 2;

			sum += weight * pow(Max(1.0 - x * x, 0.0), (n - 3) / 2.0);
		}
		*(part == 0 ? &all : &above) = sum * h;
	}
	return above / all / 2;
}

void
test_tail(int rounds)
{
	static const int sizes[] = {63, 127, 191, 511, 2047, 4031};
	static const double probabilities[] = {0.4, 1e-2, 1e-3, 5e-10, 1e-15};

	for (double z = 0.0; z <= 1.0; z += 0.0625)
	{
		check(fabs(face_sphere_tail(2, z) - acos(z) / M_PI) < 1e-12, "circle, z %g", z);
		check(fabs(face_sphere_tail(3, z) - (1.0 - z) / 2) < 1e-12, "sphere, z %g", z);
		check(fabs(face_sphere_tail(4, z) - (acos(z) - z * sqrt(1 - z * z)) / M_PI) < 1e-12, "3-sphere, z %g", z);
		check(fabs(face_sphere_tail(5, z) - (0.5 - 0.75 * (z - z * z * z / 3))) < 1e-12, "4-sphere, z %g", z);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes) && rounds > 1; i++)
	{
		for (size_t j = 0; j < sizeof(probabilities) / sizeof(*probabilities); j++)
		{
			double		z = face_sphere_quantile(sizes[i], probabilities[j]);
			double		tail = integrated_tail(sizes[i], z);

			check(fabs(tail / probabilities[j] - 1.0) < 1e-6, "n %d: quantile of %g has tail %g", sizes[i],
				  probabilities[j], tail);
		}
		check(face_sphere_quantile(sizes[i], 0.0) == 1.0, "n %d: certain", sizes[i]);
		check(face_sphere_quantile(sizes[i], 0.5) == 0.0, "n %d: even", sizes[i]);
	}
}
