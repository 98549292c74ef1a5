/*-------------------------------------------------------------------------
 *
 * parse.c
 *	  Reading the text and binary forms of a template, without the backend.
 *
 * Bulk loads of templates are text, so this loop decides how fast a gallery is
 * staged.  A component is read as an integer of up to 19 digits and a power of
 * ten, and multiplied in double precision.  That product is off by a few units
 * in its last place, which can only matter to the float32 if it lies within a
 * few units of the midpoint of two floats; those rare values go to strtof().
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "embedding/embedding_limits.h"
#include "embedding/parse.h"

/* 10^19 - 1 is the largest run of nines that fits 64 bits. */
#define MAX_DIGITS			19

/*
 * Beyond these powers of ten a component has left the range of half precision
 * whatever its 19 digits are, on either side and by far; up to them the product
 * stays within the range of float32.
 */
#define MAX_EXPONENT		18
#define MIN_EXPONENT		(-60)

/*
 * Written exponents stop counting here.  A value of less than 1 GB cannot make
 * up for it with digits, and the sum of the two stays below 2^31.
 */
#define EXPONENT_CEILING	100000000

/* A double has 29 bits more than a float; the pattern of a float midpoint. */
#define EXTRA_BITS_MASK		UINT64CONST(0x1FFFFFFF)
#define EXTRA_BITS_MIDPOINT UINT64CONST(0x10000000)

/*
 * How near to a midpoint a double is not trusted, in units of its last place:
 * the conversion of the digits and up to four tabulated powers and products
 * err by half a unit each, digits beyond the 19th by less.
 */
#define MIDPOINT_MARGIN		8

static const double powers_of_ten[MAX_EXPONENT + 1] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18
};

static const double negative_powers_of_ten[MAX_EXPONENT + 1] = {
	1e-0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11,
	1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17, 1e-18
};

/* The white space of isspace() in the C locale, regardless of the current locale. */
static inline bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline const char *
skip_space(const char *p)
{
	while (is_space(*p))
		p++;
	return p;
}

static inline bool
is_digit(char c)
{
	return (unsigned char) (c - '0') <= 9;
}

float
face_decimal_to_float(uint64 digits, int exponent, const char *token)
{
	double		d = (double) digits;
	uint64		bits;
	int64		distance;

	if (digits == 0 || exponent < MIN_EXPONENT)
		return 0.0f;
	if (exponent > MAX_EXPONENT)
		return HUGE_VALF;

	if (exponent >= 0)
		d *= powers_of_ten[exponent];
	else
	{
		while (exponent < -MAX_EXPONENT)
		{
			d *= negative_powers_of_ten[MAX_EXPONENT];
			exponent += MAX_EXPONENT;
		}
		d *= negative_powers_of_ten[-exponent];
	}

	memcpy(&bits, &d, sizeof(bits));
	distance = (int64) (bits & EXTRA_BITS_MASK) - (int64) EXTRA_BITS_MIDPOINT;
	if (unlikely(distance >= -MIDPOINT_MARGIN && distance <= MIDPOINT_MARGIN))
		return strtof(token, NULL);
	return (float) d;
}

/* Read the digits after "e"; NULL if there is none. */
static const char *
parse_exponent(const char *p, int *exponent)
{
	bool		negative = false;
	int			value = 0;

	if (*p == '+' || *p == '-')
		negative = (*p++ == '-');
	if (!is_digit(*p))
		return NULL;
	for (; is_digit(*p); p++)
	{
		if (value < EXPONENT_CEILING)
			value = value * 10 + (*p - '0');
	}
	*exponent += negative ? -value : value;
	return p;
}

/*
 * Eight digits at once, by the usual trick of adding neighbours in one 64-bit
 * word; little-endian only.  False if the eight bytes are not all digits.
 */
#define BLOCK_DIGITS		8
#define BLOCK_SCALE			100000000

static inline bool
read_digit_block(const char *p, uint64 *value)
{
#ifdef WORDS_BIGENDIAN
	return false;
#else
	const uint64 zeros = UINT64CONST(0x3030303030303030);
	const uint64 high_nibbles = UINT64CONST(0xF0F0F0F0F0F0F0F0);
	const uint64 to_overflow = UINT64CONST(0x0606060606060606);
	uint64		block;

	memcpy(&block, p, sizeof(block));
	if (((block & high_nibbles) | (((block + to_overflow) & high_nibbles) >> 4)) != (zeros | (zeros >> 4)))
		return false;
	block -= zeros;
	block = block * 10 + (block >> 8);	/* pairs, in every other byte */
	*value = (((block & UINT64CONST(0x000000FF000000FF)) * UINT64CONST(0x000F424000000064)) +
			  (((block >> 16) & UINT64CONST(0x000000FF000000FF)) * UINT64CONST(0x0000271000000001))) >> 32;
	return true;
#endif
}

/*
 * The digits of a component: integer part, point, fraction.  NULL if there is
 * no digit.  Leading zeros do not count towards the 19 that are kept.
 */
static inline const char *
parse_digits(const char *p, const char *end, uint64 *digits, int *exponent)
{
	const char *start = p;
	uint64		value = 0;
	int			room = MAX_DIGITS;
	bool		any;

	for (; is_digit(*p); p++)
	{
		if (likely(room > 0))
		{
			value = value * 10 + (uint64) (*p - '0');
			room -= (value != 0);
		}
		else
			(*exponent)++;
	}
	any = (p > start);
	if (*p == '.')
	{
		const char *fraction = ++p;

		if (value == 0)
		{
			for (; *p == '0'; p++)
				(*exponent)--;
		}
		for (uint64 block; room >= BLOCK_DIGITS && end - p >= BLOCK_DIGITS && read_digit_block(p, &block);)
		{
			value = value * BLOCK_SCALE + block;
			room -= BLOCK_DIGITS;
			*exponent -= BLOCK_DIGITS;
			p += BLOCK_DIGITS;
		}
		for (; is_digit(*p); p++)
		{
			if (likely(room > 0))
			{
				value = value * 10 + (uint64) (*p - '0');
				room--;
				(*exponent)--;
			}
		}
		any = any || (p > fraction);
	}
	*digits = value;
	return any ? p : NULL;
}

static bool
starts_with_word(const char *p, const char *word)
{
	for (; *word != '\0'; p++, word++)
	{
		if ((*p | 0x20) != *word)
			return false;
	}
	return true;
}

static FaceParseStatus
classify_bad_number(const char *p)
{
	if (*p == '+' || *p == '-')
		p++;
	if (starts_with_word(p, "nan") || starts_with_word(p, "inf"))
		return FACE_PARSE_NOT_FINITE;
	return FACE_PARSE_BAD_NUMBER;
}

/* Read one component; returns where it ends, or NULL if it is none. */
static inline const char *
parse_component(const char *token, const char *end, float *value)
{
	const char *p = token;
	bool		negative = false;
	uint64		digits;
	int			exponent = 0;
	float		magnitude;

	if (*p == '-' || *p == '+')
		negative = (*p++ == '-');
	token = p;
	p = parse_digits(p, end, &digits, &exponent);
	if (p == NULL)
		return NULL;
	if (unlikely(*p == 'e' || *p == 'E'))
	{
		p = parse_exponent(p + 1, &exponent);
		if (p == NULL)
			return NULL;
	}
	magnitude = face_decimal_to_float(digits, exponent, token);
	*value = negative ? -magnitude : magnitude;
	return p;
}

/* Read an optional "tag:"; what follows must be the opening bracket. */
static FaceParseStatus
parse_head(const char **cursor, int *model)
{
	const char *p = *cursor;
	int			tag = 0;

	*model = FACE_NO_MODEL;
	if (is_digit(*p))
	{
		const char *start = p;

		for (; is_digit(*p); p++)
		{
			if (tag <= FACE_MAX_MODEL)
				tag = tag * 10 + (*p - '0');
		}
		*cursor = p;
		if (*p != ':')
			return FACE_PARSE_NO_BRACKET;
		if (tag < 1 || tag > FACE_MAX_MODEL)
		{
			*cursor = start;
			return FACE_PARSE_BAD_TAG;
		}
		*model = tag;
		p++;
	}
	*cursor = p;
	if (*p != '[')
		return FACE_PARSE_NO_BRACKET;
	*cursor = p + 1;
	return FACE_PARSE_OK;
}

/* Read the components and the closing bracket. */
static FaceParseStatus
parse_components(const char **cursor, const char *end, float *values, int *dims)
{
	const char *p = skip_space(*cursor);
	int			n = 0;

	*cursor = p;
	if (*p == ']')
		return FACE_PARSE_EMPTY;
	for (;;)
	{
		const char *after;

		*cursor = p;
		if (n == FACE_MAX_DIMS)
			return FACE_PARSE_TOO_MANY;
		after = parse_component(p, end, &values[n]);
		if (after == NULL)
			return classify_bad_number(p);
		n++;
		p = skip_space(after);
		if (likely(*p == ','))
			p = skip_space(p + 1);
		else
			break;
	}
	*cursor = p;
	if (*p != ']')
		return FACE_PARSE_BAD_SEPARATOR;
	*cursor = p + 1;
	*dims = n;
	return FACE_PARSE_OK;
}

FaceParseStatus
face_parse_text(const char *text, float *values, FaceParsed *parsed)
{
	const char *p = skip_space(text);
	FaceParseStatus status;

	status = parse_head(&p, &parsed->model);
	if (status == FACE_PARSE_OK)
		status = parse_components(&p, p + strlen(p), values, &parsed->dims);
	if (status == FACE_PARSE_OK)
	{
		p = skip_space(p);
		if (*p != '\0')
			status = FACE_PARSE_TRAILING;
	}
	parsed->position = (int) (p - text);
	return status;
}

static inline int
read_int16(const unsigned char *bytes)
{
	return (int16) ((bytes[0] << 8) | bytes[1]);
}

FaceParseStatus
face_parse_binary(const unsigned char *bytes, Size len, float *values, FaceParsed *parsed)
{
	const Size	header = 2 * sizeof(int16);

	parsed->position = 0;
	if (len < header)
		return FACE_PARSE_BAD_LENGTH;
	parsed->dims = read_int16(bytes);
	parsed->model = read_int16(bytes + sizeof(int16));
	if (parsed->dims < 1 || parsed->dims > FACE_MAX_DIMS)
		return FACE_PARSE_BAD_DIMS;
	if (parsed->model < FACE_NO_MODEL)
		return FACE_PARSE_BAD_TAG;
	if (len - header != (Size) parsed->dims * sizeof(float))
		return FACE_PARSE_BAD_LENGTH;
	for (int i = 0; i < parsed->dims; i++)
	{
		const unsigned char *b = bytes + header + i * sizeof(float);
		uint32		bits = ((uint32) b[0] << 24) | ((uint32) b[1] << 16) |
		((uint32) b[2] << 8) | (uint32) b[3];

		memcpy(&values[i], &bits, sizeof(bits));
	}
	return FACE_PARSE_OK;
}
