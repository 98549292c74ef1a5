/*-------------------------------------------------------------------------
 *
 * format.c
 *	  The text of one component: the shortest that reads back the same.
 *
 * Half precision needs at most five significant digits.  For one digit, two,
 * and so on, the two decimals around the exact value are tried; the first that
 * the parser's own arithmetic brings back into the half's rounding interval is
 * written.  Of two equally short ones the nearer wins.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include <math.h>
#include <string.h>

#include "embedding/format.h"
#include "embedding/parse.h"
#include "simd/half.h"

#define HALF_IMPLIED_BIT	(1 << HALF_MANTISSA_BITS)

/* 11 bits of mantissa are told apart by 1 + ceil(11 * log10(2)) digits. */
#define HALF_DIGITS			5

/*
 * Below 1e-4 the exponent is written out, as PostgreSQL does for real.  Above,
 * no half has more digits before the point than it has in all.
 */
#define MIN_PLAIN_POINT		(-3)

/* The floats that round to one half: between two midpoints. */
typedef struct HalfInterval
{
	double		value;
	float		low;
	float		high;
	bool		ends_included;	/* ties go to the even mantissa */
} HalfInterval;

static const double pow10_table[] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12
};

static HalfInterval
interval_of(uint16 half)
{
	HalfInterval result;
	int			mantissa = half & (HALF_IMPLIED_BIT - 1);
	int			exponent = (half & HALF_MAGNITUDE) >> HALF_MANTISSA_BITS;
	bool		narrow_below = (mantissa == 0 && exponent > 1);	/* a power of two */
	double		unit;

	if (exponent == 0)
		exponent = 1;			/* subnormal: no implied bit */
	else
		mantissa += HALF_IMPLIED_BIT;
	unit = ldexp(1.0, exponent - HALF_BIAS - HALF_MANTISSA_BITS);
	result.value = mantissa * unit;
	result.low = (float) (result.value - unit * (narrow_below ? 0.25 : 0.5));
	result.high = (float) (result.value + unit * 0.5);
	result.ends_included = (mantissa & 1) == 0;
	return result;
}

static int
put_digits(uint32 digits, char *text)
{
	char		reversed[HALF_DIGITS + 1];
	int			n = 0;

	do
	{
		reversed[n++] = (char) ('0' + digits % 10);
		digits /= 10;
	} while (digits > 0);
	for (int i = 0; i < n; i++)
		text[i] = reversed[n - 1 - i];
	return n;
}

/* Write digits * 10^exponent; "digits" does not end in 0. */
static int
put_decimal(uint32 digits, int exponent, char *text)
{
	char		buffer[HALF_DIGITS + 1];
	int			n = put_digits(digits, buffer);
	int			point = n + exponent;	/* digits before the point */
	char	   *p = text;

	if (point < MIN_PLAIN_POINT)
	{
		*p++ = buffer[0];
		if (n > 1)
		{
			*p++ = '.';
			memcpy(p, buffer + 1, n - 1);
			p += n - 1;
		}
		memcpy(p, "e-0", 3);
		p[3] = (char) ('0' + (1 - point));	/* 2^-24 is 6e-08: one digit is enough */
		return (int) (p + 4 - text);
	}
	if (point <= 0)
	{
		*p++ = '0';
		*p++ = '.';
		memset(p, '0', -point);
		p += -point;
		memcpy(p, buffer, n);
		return (int) (p + n - text);
	}
	if (point >= n)
	{
		memcpy(p, buffer, n);
		memset(p + n, '0', point - n);
		return point;
	}
	memcpy(p, buffer, point);
	p[point] = '.';
	memcpy(p + point + 1, buffer + point, n - point);
	return n + 1;
}

/*
 * Does this decimal read back?  On success its text is in "text", which the
 * parser's arithmetic wants for the values it cannot settle.
 */
static int
try_decimal(const HalfInterval *interval, uint32 digits, int exponent, char *text)
{
	float		back;
	int			len;

	while (digits >= 10 && digits % 10 == 0)
	{
		digits /= 10;
		exponent++;
	}
	len = put_decimal(digits, exponent, text);
	text[len] = '\0';
	back = face_decimal_to_float(digits, exponent, text);
	if (back > interval->low && back < interval->high)
		return len;
	if (interval->ends_included && (back == interval->low || back == interval->high))
		return len;
	return 0;
}

/* The power of ten that leaves one digit before the point. */
static int
scale_of(double value)
{
	int			scale = 0;

	if (value >= 1)
	{
		while (value >= pow10_table[scale + 1])
			scale++;
		return -scale;
	}
	while (value * pow10_table[scale] < 1)
		scale++;
	return scale;
}

int
face_format_half(uint16 half, char *text)
{
	HalfInterval interval = interval_of(half);
	char	   *p = text;
	int			scale;

	if ((half & HALF_SIGN) != 0)
		*p++ = '-';
	if (interval.value == 0)
	{
		*p = '0';
		return (int) (p + 1 - text);
	}
	scale = scale_of(interval.value);
	for (int digits = 1; digits <= HALF_DIGITS; digits++, scale++)
	{
		/* exact: 11 bits times at most 28 bits of a power of five */
		double		scaled = scale >= 0 ? interval.value * pow10_table[scale]
			: interval.value / pow10_table[-scale];
		uint32		below = (uint32) scaled;
		bool		nearer_below = (scaled - below <= 0.5);
		int			len;

		len = try_decimal(&interval, below + (nearer_below ? 0 : 1), -scale, p);
		if (len == 0)
			len = try_decimal(&interval, below + (nearer_below ? 1 : 0), -scale, p);
		if (len > 0)
			return (int) (p - text) + len;
	}
	pg_unreachable();
}
