/*-------------------------------------------------------------------------
 *
 * tail.c
 *	  Tail of one coordinate of a uniform point on a sphere.
 *
 * The square of that coordinate follows Beta(1/2, (n - 1)/2), hence
 * P(Z > z) = I(1 - z^2; (n - 1)/2, 1/2) / 2 with the regularised incomplete
 * beta function I.  This is the only probability in the bounds of the codec
 * (docs/exactness.md).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "index/tail.h"

/* Relative precision of the continued fraction; far below any effect on a bound. */
#define FRACTION_EPSILON	1e-14

/* It converges in about sqrt(max(a, b)) terms, 45 for the largest n. */
#define FRACTION_TERMS		1000

/* Denominators nearer to zero than this are moved here (Lentz's method). */
#define FRACTION_TINY		1e-300

#define QUANTILE_EPSILON	1e-12
#define QUANTILE_STEPS		200

static double
away_from_zero(double x)
{
	return fabs(x) < FRACTION_TINY ? FRACTION_TINY : x;
}

/*
 * Continued fraction of the incomplete beta function (DLMF 8.17.22) by the
 * modified Lentz method; converges fast for x < (a + 1) / (a + b + 2).
 */
static double
beta_fraction(double x, double a, double b)
{
	double		c = 1.0;
	double		d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
	double		fraction = d;

	for (int m = 1; m <= FRACTION_TERMS; m++)
	{
		double		even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m));
		double		odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0));
		double		factor;

		d = 1.0 / away_from_zero(1.0 + even * d);
		c = away_from_zero(1.0 + even / c);
		fraction *= d * c;
		d = 1.0 / away_from_zero(1.0 + odd * d);
		c = away_from_zero(1.0 + odd / c);
		factor = d * c;
		fraction *= factor;
		if (fabs(factor - 1.0) < FRACTION_EPSILON)
			break;
	}
	return fraction;
}

/* log of 1 / B((n - 1)/2, 1/2): the density of Z is (1 - z^2)^((n - 3)/2) times it */
static double
log_density_constant(int n)
{
	return lgamma(n / 2.0) - lgamma((n - 1) / 2.0) - 0.5 * log(M_PI);
}

static double
sphere_tail(int n, double z, double log_constant)
{
	double		a = (n - 1) / 2.0;
	double		b = 0.5;
	double		x = (1.0 - z) * (1.0 + z);
	double		front;

	if (z <= 0.0)
		return 0.5;
	if (z >= 1.0)
		return 0.0;
	front = exp(log_constant + a * log(x) + 2 * b * log(z));
	if (x < (a + 1.0) / (a + b + 2.0))
		return 0.5 * front * beta_fraction(x, a, b) / a;
	return 0.5 * (1.0 - front * beta_fraction(z * z, b, a) / b);
}

double
face_sphere_tail(int n, double z)
{
	return sphere_tail(n, z, log_density_constant(n));
}

/* Newton's method on the logarithm of the tail, within a shrinking bracket. */
double
face_sphere_quantile(int n, double p)
{
	double		log_constant = log_density_constant(n);
	double		low = 0.0;
	double		high = 1.0;
	double		z;

	if (p <= 0.0)
		return 1.0;
	if (p >= 0.5)
		return 0.0;

	/* as if normal: P(Z > z) < exp(-n z^2 / 2) */
	z = Min(sqrt(-2.0 * log(p) / n), 0.5);
	for (int i = 0; i < QUANTILE_STEPS; i++)
	{
		double		tail = sphere_tail(n, z, log_constant);
		double		density = exp(log_constant + (n - 3) / 2.0 * log((1.0 - z) * (1.0 + z)));
		double		next;

		if (tail > p)
			low = z;
		else
			high = z;
		next = z + tail / density * log(tail / p);
		if (!(next > low && next < high))
			next = (low + high) / 2;
		if (fabs(next - z) < QUANTILE_EPSILON)
			return next;
		z = next;
	}
	return high;
}
