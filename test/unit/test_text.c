/*-------------------------------------------------------------------------
 *
 * test_text.c
 *	  The text of components against the C library: what is read, and that
 *	  what is written is right and could not be shorter.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embedding/embedding_limits.h"
#include "embedding/format.h"
#include "embedding/parse.h"
#include "harness.h"
#include "simd/half.h"

#define RANDOM_TEXTS	2000000
#define LONGEST_TEXT	64

static float
read_one(const char *component)
{
	static float values[FACE_MAX_DIMS];
	char		text[LONGEST_TEXT + 3];
	FaceParsed	parsed;

	snprintf(text, sizeof(text), "[%s]", component);
	if (face_parse_text(text, values, &parsed) != FACE_PARSE_OK || parsed.dims != 1)
	{
		check(false, "%s is not read", text);
		return NAN;
	}
	return values[0];
}

static void
check_reading(const char *component)
{
	uint16		expected = half_from_float(strtof(component, NULL));
	uint16		found = half_from_float(read_one(component));

	check(found == expected, "%s is read as half %04x, not %04x", component, found, expected);
}

/* Numbers of every magnitude, and as near as text can say to where rounding turns. */
static void
test_reading(void)
{
	uint64		state = 20261123;

	for (int i = 0; i < RANDOM_TEXTS; i++)
	{
		double		low = half_to_float((uint16) (random_uniform(&state) * HALF_INFINITY));
		double		midpoint = low + (half_to_float(half_from_float((float) low) + 1) - low) / 2;
		double		value = midpoint;
		char		text[LONGEST_TEXT];

		if (isinf(midpoint))
			continue;
		switch (i % 5)
		{
			case 0:
				value = low + random_uniform(&state) * (midpoint - low) * 2;
				break;
			case 1:
				value = nextafterf((float) midpoint, i % 2 ? 0.0f : 1e30f);
				break;
			case 2:
				value = nextafter(midpoint, i % 2 ? 0.0 : 1e30);
				break;
			case 3:			/* the midpoint of a half's midpoint and its float neighbour */
				value = (midpoint + nextafterf((float) midpoint, i % 2 ? 0.0f : 1e30f)) / 2;
				break;
		}
		snprintf(text, sizeof(text), i % 3 ? "%.*g" : "%.*e", 1 + (int) (random_uniform(&state) * 30), i % 7 ? value : -value);
		check_reading(text);
	}
	check_reading("0.00000000000000000000000000000000000000000000000012");
	check_reading("1000000000000000000000000000000e-30");
	check_reading("0000000000000000000000000000000.5");
	check_reading("65519.99999");
	check_reading("-0");
	check_reading("1e-999999999999");
	check_reading("1e999999999999");
	check_reading("0e999999999999");
	check_reading(".5");
	check_reading("5.");
}

/* Is there a decimal of this many digits that the C library reads as this half? */
static bool
readable_with_digits(uint16 half, int digits)
{
	char		text[LONGEST_TEXT];
	long		mantissa;
	int			exponent;

	snprintf(text, sizeof(text), "%.*e", digits - 1, (double) half_to_float(half));
	exponent = atoi(strchr(text, 'e') + 1) - (digits - 1);
	*strchr(text, 'e') = '\0';
	if (digits > 1)
		memmove(text + 1, text + 2, strlen(text + 1));
	mantissa = atol(text);
	for (long near = mantissa - 1; near <= mantissa + 1; near++)
	{
		snprintf(text, sizeof(text), "%lde%d", near, exponent);
		if (half_from_float(strtof(text, NULL)) == half)
			return true;
	}
	return false;
}

static int
count_digits(const char *text)
{
	char		digits[LONGEST_TEXT] = {0};
	int			n = 0;

	for (; *text != '\0' && *text != 'e'; text++)
	{
		if (*text >= '0' && *text <= '9' && (n > 0 || *text != '0'))
			digits[n++] = *text;
	}
	while (n > 0 && digits[n - 1] == '0')
		n--;
	return n;
}

/* From here on whole numbers are written whole: 65504, which 65500 would be read as. */
#define WHOLE_FROM			4096

static void
test_writing(void)
{
	for (int half = 0; half <= HALF_SIGN + HALF_MAGNITUDE; half++)
	{
		char		text[FACE_COMPONENT_TEXT_SIZE];
		int			len;

		if (!half_is_finite((uint16) half) || half == HALF_SIGN)
			continue;
		memset(text, '!', sizeof(text));
		len = face_format_half((uint16) half, text);
		check(len < FACE_COMPONENT_TEXT_SIZE, "text of half %04x is too long", half);
		text[len] = '\0';
		check(half_from_float(strtof(text, NULL)) == half, "half %04x is written as %s", half, text);
		check(half_from_float(read_one(text)) == half, "half %04x is not read back from %s", half, text);
		if (fabsf(half_to_float((uint16) half)) >= WHOLE_FROM)
			check(strtof(text, NULL) == half_to_float((uint16) half), "half %04x is another whole number than %s", half, text);
		else if (count_digits(text) > 1)
			check(!readable_with_digits((uint16) (half & HALF_MAGNITUDE), count_digits(text) - 1),
				  "half %04x has a shorter text than %s", half, text);
	}
}

int
main(void)
{
	test_reading();
	test_writing();
	return check_summary();
}
