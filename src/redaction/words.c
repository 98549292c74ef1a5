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

static inline bool
is_slash(char c)
{
	return c == '\\';
}

static const char *
skip_slashes(const char *p, const char *end)
{
	for (int i = 0; p < end && is_slash(*p) && i < MOST_SLASHES; i++)
		p++;
	return p;
}

/* The end of a character of a word, which may be an escape; NULL: none is here. */
static const char *
word_character(const char *p, const char *end)
{
	const char *escape;

	if (p == end)
		return NULL;
	if (face_is_digit(*p) || face_is_lower(*p) || face_is_upper(*p) || strchr("_.+-/%", *p) != NULL)
		return *p == '\0' ? NULL : p + 1;
	escape = skip_slashes(p, end);
	return escape > p && escape < end && strchr("xXuU0123/", *escape) != NULL ? escape + 1 : NULL;
}

/* Behind what is no character of a word: \n, \t and \r are blanks. */
static const char *
skip_separator(const char *p, const char *end)
{
	const char *escape = skip_slashes(p, end);

	if (escape == p)
		return p + 1;
	return escape < end && (*escape == 'n' || *escape == 't' || *escape == 'r') ? escape + 1 : escape;
}

/* The end of a number, and how many decimals it has; -1: it is an integer; NULL: it is none. */
static const char *
number_end(const char *p, const char *end, int *decimals)
{
	const char *digits;
	const char *exponent;

	/* With a sign, or behind a comment. */
	while (p < end && (*p == '-' || *p == '+' || *p == '/'))
		p++;
	*decimals = -1;
	for (digits = p; p < end && face_is_digit(*p); p++)
		;
	if (end - p >= 2 && *p == '.' && face_is_digit(p[1]))
	{
		for (digits = ++p; p < end && face_is_digit(*p); p++)
			;
		*decimals = p - digits;
	}
	if (p == digits)
		return NULL;
	exponent = p < end && (*p == 'e' || *p == 'E') ? p + 1 : p;
	if (exponent > p && end - exponent >= 2 && (*exponent == '-' || *exponent == '+'))
		exponent++;
	if (exponent > p && exponent < end && face_is_digit(*exponent))
	{
		*decimals = MANY_DECIMALS;
		for (p = exponent; p < end && face_is_digit(*p); p++)
			;
	}
	/* At the end of a sentence, before a comment, or cut off there. */
	while (p < end && (*p == '.' || *p == '/' || *p == '%'))
		p++;
	return p;
}

/* Whether nothing is between two numbers but what separates those of a list. */
static bool
is_listed(const char *before, const char *at, const char *end)
{
	while (before != NULL && before < at)
	{
		if (is_slash(*before))
			before = skip_separator(before, end);
		else if (strchr(",;| \t\r\n'\"()[]{}", *before) != NULL)
			before++;
		else
			return false;
	}
	return before == at;
}

/* Whether a list's bracket stands before a place, quotes and blanks aside. */
static bool
is_opened(const char *text, const char *at)
{
	while (at > text && strchr(" \t\r\n'\"\\", at[-1]) != NULL)
		at--;
	return at > text && (at[-1] == '[' || at[-1] == '{');
}

/* Whether the seconds of a time of day stand here: 13:14:37.736362 */
static bool
is_time(const char *text, const char *at)
{
	return at - text >= 6 && at[-1] == ':' && face_is_digit(at[-2]) && at[-4] == ':' && face_is_digit(at[-5]);
}

/*
 * Whether a plan says here how long something took, how much it cost or how many
 * rows it had: rows=2.50, "Total Cost": 35.50, <Actual-Total-Time>0.012
 */
static bool
is_of_plan(const char *text, const char *at)
{
	while (at > text && strchr("=: \"\\>", at[-1]) != NULL)
		at--;
	if (at - text < 4)
		return false;
	for (const char *const *word = (const char *const[]) {"cost", "time", "rows", "read", "rite", NULL}; *word != NULL; word++)
	{
		if ((at[-4] | 0x20) == (*word)[0] && memcmp(at - 3, *word + 1, 3) == 0)
			return true;
	}
	return false;
}

/* What a number weighs: fractions always, integers in a list. */
static int
weigh_number(FaceWords *words, const char *from, const char *to, int decimals)
{
	bool		listed = is_listed(words->number, from, words->end);
	bool		pair = listed && words->opened && (words->fraction || decimals >= 0);

	words->opened = is_opened(words->text, from);
	words->fraction = decimals >= 0;
	words->number = to;
	if (pair)
		return FACE_MOST_SHOWN + 1; /* [0.1,-0.2 */
	if (decimals >= 0 && (is_time(words->text, from) || (*from != '-' && decimals < MANY_DECIMALS && is_of_plan(words->text, from))))
		return 0;
	return decimals >= 0 || listed || words->opened ? FACE_WEIGHT(to - from) : 0;
}

/* Hexadecimal digits, two for each byte: 1f, 0x1f, UUIDs.  Of one byte or without digits they count in a list only. */
static bool
is_hex(const char *from, const char *to, bool *alone)
{
	bool		marked = to - from > 2 && from[0] == '0' && (from[1] == 'x' || from[1] == 'X');
	const char *p = marked ? from + 2 : from;
	int			digits = 0;
	int			letters = 0;

	for (; p < to && (face_is_hex(*p) || *p == '-'); p++)
	{
		digits += face_is_digit(*p);
		letters += face_is_hex(*p) && !face_is_digit(*p);
	}
	*alone = digits > 0 && digits + letters > 2;
	return p == to && (letters > 0 || marked) && (digits + letters) % 2 == 0;
}

static bool
is_escaped(const char *from, const char *to)
{
	return memchr(from, '\\', to - from) != NULL;
}

/* Letters of both cases, and digits. */
static bool
is_base64(const char *from, const char *to)
{
	bool		digits = false;
	bool		upper = false;
	bool		lower = false;

	for (const char *p = from; p < to; p++)
	{
		digits = digits || face_is_digit(*p);
		upper = upper || face_is_upper(*p);
		lower = lower || face_is_lower(*p);
	}
	return to - from >= PIECE && digits && upper && lower;
}

static bool
has_digit(const char *from, const char *to)
{
	while (from < to && !face_is_digit(*from))
		from++;
	return from < to;
}

bool
face_is_encoded(const char *from, const char *to)
{
	bool		alone;

	return is_escaped(from, to) || is_base64(from, to) || (is_hex(from, to, &alone) && alone);
}

static int
weigh(FaceWords *words, const char *from, const char *to)
{
	bool		alone;
	int			decimals;

	if (to - from > LONG_WORD && has_digit(from, to))
		return FACE_MOST_SHOWN + 1;
	if (number_end(from, to, &decimals) == to)
		return weigh_number(words, from, to, decimals);
	if (is_hex(from, to, &alone))
	{
		bool		listed = is_listed(words->number, from, words->end);

		words->number = to;
		words->opened = false;
		return alone || listed ? FACE_WEIGHT(to - from) : 0;
	}
	if (is_escaped(from, to))
		return FACE_WEIGHT(ESCAPED_FACTOR * (to - from));
	return is_base64(from, to) ? FACE_WEIGHT(BASE64_FACTOR * (to - from)) : 0;
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
