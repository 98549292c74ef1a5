/*-------------------------------------------------------------------------
 *
 * format.c
 *	  The text of one component: the shortest that reads back the same, but
 *	  large whole numbers whole.
 *
 * Half precision needs at most five significant digits.  For one digit, two,
 * and so on, the two decimals around the exact value are tried; the first that
 * lies in the half's rounding interval is written.  Of two equally short ones
 * the nearer wins.  Near the ends of the interval the parser's own arithmetic
 * has the last word, as it rounds to float32 on the way.
 *
 * From 4,096 on halves are four apart and more, and the shortest decimal may be
 * another whole number: 65500 for 65504.  Those are written as they are.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include <string.h>

#include "embedding/format.h"
#include "embedding/parse.h"
#include "simd/half.h"

/* 11 bits of mantissa are told apart by 1 + ceil(11 * log10(2)) digits. */
#define HALF_DIGITS			5

/*
 * Below 1e-4 the exponent is written out, as PostgreSQL does for real.  Above,
 * no half has more digits before the point than it has in all.
 */
#define MIN_PLAIN_POINT		(-3)

/* Halves from here on are whole numbers, more than two apart. */
#define WHOLE_FROM			4096

/* Twice the relative error of rounding to float32. */
#define FLOAT_DOUBT			(1.0 / (1 << 23))

/* The reals that round to one half: between two midpoints. */
typedef struct HalfInterval
{
	double		value;
	double		low;
	double		high;
	bool		ends_included;	/* ties go to the even mantissa */
} HalfInterval;

static const double pow10_table[] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12
};

/* Of a positive half. */
static inline HalfInterval
interval_of(uint16 half)
{
	HalfInterval result;
	double		below = half_to_float(half - 1);

	result.value = half_to_float(half);
	result.low = (below + result.value) / 2;
	if (half + 1 < HALF_INFINITY)
		result.high = (result.value + half_to_float(half + 1)) / 2;
	else
		result.high = result.value + (result.value - result.low);
	result.ends_included = (half & 1) == 0;
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

/* Does the parser bring this decimal, with its text, into the interval? */
static pg_noinline bool
reads_back(const HalfInterval *interval, uint32 digits, int exponent)
{
	char		text[FACE_COMPONENT_TEXT_SIZE];
	double		back;

	text[put_decimal(digits, exponent, text)] = '\0';
	back = face_decimal_to_float(digits, exponent, text);
	if (interval->ends_included)
		return back >= interval->low && back <= interval->high;
	return back > interval->low && back < interval->high;
}

/*
 * Is digits * 10^exponent in the interval?  "low" and "high" are its ends in
 * units of 10^exponent.
 */
static inline bool
is_inside(const HalfInterval *interval, uint32 digits, int exponent, double low, double high)
{
	if (digits > low * (1 + FLOAT_DOUBT) && digits < high * (1 - FLOAT_DOUBT))
		return true;
	if (digits < low * (1 - FLOAT_DOUBT) || digits > high * (1 + FLOAT_DOUBT))
		return false;
	return reads_back(interval, digits, exponent);
}

/* The power of ten that leaves one digit before the point. */
static inline int
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

/* The decimal of a positive half: *digits * 10^exponent. */
static int
shortest_decimal(uint16 half, uint32 *digits)
{
	HalfInterval interval = interval_of(half);
	int			scale = scale_of(interval.value);

	if (interval.value >= WHOLE_FROM)
	{
		*digits = (uint32) interval.value;
		return 0;
	}
	for (int n = 1; n <= HALF_DIGITS; n++, scale++)
	{
		/* off by 2^-53 at most, far less than the doubt of is_inside() */
		double		factor = scale >= 0 ? pow10_table[scale] : 1 / pow10_table[-scale];
		double		scaled = interval.value * factor;
		uint32		below = (uint32) scaled;
		uint32		nearer = below + (scaled - below > 0.5 ? 1 : 0);

		*digits = nearer;
		if (is_inside(&interval, nearer, -scale, interval.low * factor, interval.high * factor))
			return -scale;
		*digits = below + below + 1 - nearer;
		if (is_inside(&interval, *digits, -scale, interval.low * factor, interval.high * factor))
			return -scale;
	}
	pg_unreachable();
}

int
face_format_half(uint16 half, char *text)
{
	char	   *p = text;
	uint16		magnitude = half & HALF_MAGNITUDE;
	uint32		digits;
	int			exponent;

	if (magnitude != half)
		*p++ = '-';
	if (magnitude == 0)
	{
		*p = '0';
		return (int) (p + 1 - text);
	}
	exponent = shortest_decimal(magnitude, &digits);
	while (digits % 10 == 0)
	{
		digits /= 10;
		exponent++;
	}
	return (int) (p - text) + put_decimal(digits, exponent, p);
}
