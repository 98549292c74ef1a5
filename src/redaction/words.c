/*-------------------------------------------------------------------------
 *
 * words.c
 *	  The words of any text that may be numbers or bytes of a template.
 *
 * Messages, rows, parameters, plans in four formats, statements within them: any
 * of these may be quoted again, and cut off.  So there is no grammar, only words:
 * letters, digits and the signs that numbers, base64 and escapes are written
 * with.  README.md says which of them count.
 *
 *-------------------------------------------------------------------------
 */
#include "redaction/words.h"

#include <string.h>

/* Longer than the paths of files in messages. */
#define LONG_WORD		100
/* Letters and digits of a piece of base64: shorter ones are names. */
#define PIECE			16
/* How much more than their length they weigh: nobody writes escapes but for bytes. */
#define BASE64_FACTOR	2
#define ESCAPED_FACTOR	4
/* More decimals than the plans' times and costs have. */
#define MANY_DECIMALS	4
/* Backslashes double each time that they are quoted. */
#define MOST_SLASHES	16

static bool
is_one_of(char c, const char *characters)
{
	return c != '\0' && strchr(characters, c) != NULL;
}

static const char *
skip_slashes(const char *p, const char *end)
{
	for (int i = 0; p < end && *p == '\\' && i < MOST_SLASHES; i++)
		p++;
	return p;
}

/* The end of a character of a word, which may be an escape; NULL: none is here. */
static const char *
word_character(const char *p, const char *end)
{
	const char *escape = skip_slashes(p, end);

	if (p < end && (face_is_digit(*p) || face_is_lower(*p) || face_is_upper(*p) || is_one_of(*p, "_.+-/%")))
		return p + 1;
	return escape > p && escape < end && is_one_of(*escape, "xXuU0123/") ? escape + 1 : NULL;
}

/* Behind what is no character of a word: \n, \t and \r are blanks. */
static const char *
skip_separator(const char *p, const char *end)
{
	const char *escape = skip_slashes(p, end);

	if (escape == p)
		return p + 1;
	return escape < end && is_one_of(*escape, "ntr") ? escape + 1 : escape;
}

static const char *
skip_digits(const char *p, const char *end)
{
	while (p < end && face_is_digit(*p))
		p++;
	return p;
}

/* Whether a word is a number, also with a comment beside it or cut off, and how many decimals it has. */
static bool
is_number(const char *p, const char *end, int *decimals)
{
	const char *digits;
	const char *point;

	while (p < end && is_one_of(*p, "+-/"))
		p++;
	digits = p;
	point = p = skip_digits(p, end);
	if (p < end && *p == '.')
		p = skip_digits(p + 1, end);
	*decimals = p > point ? p - point - 1 : 0;
	if (p - digits == (p > point))
		return false;
	if (end - p > 1 && (*p == 'e' || *p == 'E'))
	{
		p = skip_digits(p + 1 + is_one_of(p[1], "+-"), end);
		*decimals = MANY_DECIMALS;
	}
	while (p < end && is_one_of(*p, "./%"))
		p++;
	return p == end;
}

/* Whether nothing is between two numbers but what separates those of a list. */
static bool
is_listed(const char *before, const char *at, const char *end)
{
	while (before != NULL && before < at && is_one_of(*before, ",;| \t\r\n'\"()[]{}\\"))
		before = skip_separator(before, end);
	return before == at;
}

/* Whether a list's bracket precedes a place, ignoring quotes and blanks. */
static bool
is_opened(const char *text, const char *at)
{
	while (at > text && is_one_of(at[-1], " \t\r\n'\"\\"))
		at--;
	return at > text && is_one_of(at[-1], "[{");
}

/*
 * Whether a plan says here how long something took, how much it cost or how many
 * rows it had, or a time of day has its seconds: rows=2.50, "Total Cost": 35.50,
 * <Actual-Total-Time>0.012, 13:14:37.736
 */
static bool
is_of_plan(const char *text, const char *at)
{
	static const char *const words[] = {"cost", "time", "rows", "read", "rite", NULL};

	if (at - text > 1 && at[-1] == ':' && face_is_digit(at[-2]))
		return true;
	while (at > text && is_one_of(at[-1], "=: \"\\>"))
		at--;
	for (int i = 0; words[i] != NULL && at - text >= 4; i++)
	{
		if ((at[-4] | 0x20) == words[i][0] && memcmp(at - 3, words[i] + 1, 3) == 0)
			return true;
	}
	return false;
}

/* What a number weighs: fractions always, integers in a list, the second one of [0.1,-0.2 too much. */
static int
weigh_number(FaceWords *words, const char *from, const char *to, int decimals)
{
	bool		listed = is_listed(words->number, from, words->end);
	bool		pair = listed && words->opened && (words->fraction || decimals > 0);

	words->opened = is_opened(words->text, from);
	words->fraction = decimals > 0;
	words->number = to;
	if (pair)
		return FACE_MOST_SHOWN + 1;
	if (decimals == 0 ? !listed && !words->opened : decimals < MANY_DECIMALS && *from != '-' && is_of_plan(words->text, from))
		return 0;
	return FACE_WEIGHT(to - from);
}

/*
 * What a word weighs as bytes: escapes; hexadecimal digits, two for each byte, as
 * in 1f2e, 0x1f and UUIDs; base64, which has digits and letters of both cases.
 * Of one byte or without a digit, hexadecimal digits weigh in a list only.
 */
int
face_weigh_bytes(const char *from, const char *to, bool *hex)
{
	size_t		length = to - from;
	bool		marked = length > 2 && from[0] == '0' && (from[1] == 'x' || from[1] == 'X');
	size_t		digits = 0;
	size_t		hex_digits = 0;
	size_t		upper = 0;
	size_t		lower = 0;
	size_t		dashes = 0;

	for (const char *p = from + (marked ? 2 : 0); p < to; p++)
	{
		digits += face_is_digit(*p);
		hex_digits += face_is_hex(*p);
		upper += face_is_upper(*p);
		lower += face_is_lower(*p);
		dashes += *p == '-';
	}
	*hex = hex_digits + dashes + (marked ? 2 : 0) == length && hex_digits % 2 == 0 && (hex_digits > digits || marked);
	if (length > LONG_WORD && digits > 0)
		return FACE_MOST_SHOWN + 1;
	if (memchr(from, '\\', length) != NULL)
		return FACE_WEIGHT(ESCAPED_FACTOR * length);
	if (*hex)
		return digits > 0 && hex_digits > 2 ? FACE_WEIGHT(length) : 0;
	return length >= PIECE && digits > 0 && upper > 0 && lower > 0 ? FACE_WEIGHT(BASE64_FACTOR * length) : 0;
}

static int
weigh(FaceWords *words, const char *from, const char *to)
{
	int			decimals;
	int			weight;
	bool		hex;

	if (is_number(from, to, &decimals))
		return weigh_number(words, from, to, decimals);
	weight = face_weigh_bytes(from, to, &hex);
	if (hex)
	{
		if (weight == 0 && is_listed(words->number, from, words->end))
			weight = FACE_WEIGHT(to - from);
		words->number = to;
		words->opened = false;
	}
	return weight;
}

/* The next word that counts. */
bool
face_next_word(FaceWords *words, FacePart *part)
{
	while (words->at < words->end)
	{
		const char *from = words->at;
		const char *next;
		int			weight;

		while ((next = word_character(words->at, words->end)) != NULL)
			words->at = next;
		if (words->at == from)
			words->at = skip_separator(from, words->end);
		else if ((weight = weigh(words, from, words->at)) > 0)
		{
			*part = (FacePart) {from, words->at, from, words->at, weight, false};
			return true;
		}
	}
	return false;
}
