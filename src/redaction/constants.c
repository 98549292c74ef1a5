/*-------------------------------------------------------------------------
 *
 * constants.c
 *	  The constants of an SQL statement, one after the other.
 *
 * The tokens are those of PostgreSQL's own scanner (scan.l); README.md has their
 * grammar.  Unlike that scanner, this one raises no error and allocates nothing,
 * so that it can run where an error is being reported, and no setting changes
 * what it does.  It does not check what is in a token, as PostgreSQL will.
 *
 *-------------------------------------------------------------------------
 */
#include "redaction/constants.h"

#include <string.h>

#include "redaction/words.h"

/* More than a UUID, a moment or a name of a flight has; fewer than any template. */
#define LONG_CONSTANT	40
/* PostgreSQL cuts names off here; names of so many letters and digits may be bytes. */
#define LONG_NAME		63
#define ENCODED_NAME	16

/* The byte at a place, 0 behind the end. */
static inline char
byte_at(const char *p, const char *end)
{
	return p < end ? *p : '\0';
}

/*
 * The closing quote; NULL: there is none, or it depends on
 * standard_conforming_strings whether a quote behind a backslash is one.
 */
static const char *
closing_quote(const char *p, const char *end, char quote, bool escapes)
{
	for (; p < end; p++)
	{
		if (*p == '\\' && quote == '\'')
		{
			if (escapes || byte_at(p + 1, end) == '\\')
				p++;
			else if (byte_at(p + 1, end) == quote)
				return NULL;
		}
		else if (*p == quote)
		{
			if (byte_at(p + 1, end) != quote)
				return p;
			p++;
		}
	}
	return NULL;
}

/* The end of a $tag$ that begins here; NULL: none does. */
static const char *
tag_end(const char *p, const char *end)
{
	if (face_begins_name(byte_at(++p, end)))
	{
		while (byte_at(p, end) != '$' && face_continues_name(byte_at(p, end)))
			p++;
	}
	return byte_at(p, end) == '$' ? p + 1 : NULL;
}

/* The tag that closes a constant; NULL: none does. */
static const char *
closing_tag(const char *p, const char *end, const char *tag, ptrdiff_t length)
{
	while ((p = memchr(p, '$', end - p)) != NULL && end - p >= length)
	{
		if (memcmp(p, tag, length) == 0)
			return p;
		p++;
	}
	return NULL;
}

/* The mark that closes a comment, which may have others in it; NULL: none does. */
static const char *
closing_mark(const char *p, const char *end)
{
	for (int depth = 1; p < end; p++)
	{
		char		next = byte_at(p + 1, end);

		if (*p == '*' && next == '/' && --depth == 0)
			return p;
		depth += *p == '/' && next == '*';
		p += (*p == '/' && next == '*') || (*p == '*' && next == '/');
	}
	return NULL;
}

static const char *
line_end(const char *p, const char *end)
{
	while (p < end && *p != '\n' && *p != '\r')
		p++;
	return p;
}

static const char *
skip_digits(const char *p, const char *end)
{
	while (face_is_digit(byte_at(p, end)) || byte_at(p, end) == '_')
		p++;
	return p;
}

/* The end of a number; NULL: a name follows without a gap, which is an error. */
static const char *
number_end(const char *p, const char *end)
{
	if (*p == '0' && p + 1 < end && strchr("xXoObB", p[1]) != NULL)
	{
		for (p += 2; face_is_hex(byte_at(p, end)) || byte_at(p, end) == '_'; p++)
			;
	}
	else
	{
		p = skip_digits(p, end);
		if (byte_at(p, end) == '.' && byte_at(p + 1, end) != '.')
			p = skip_digits(p + 1, end);
		if (byte_at(p, end) == 'e' || byte_at(p, end) == 'E')
		{
			const char *digits = p + 1 + (byte_at(p + 1, end) == '+' || byte_at(p + 1, end) == '-');

			if (face_is_digit(byte_at(digits, end)))
				p = skip_digits(digits, end);
		}
	}
	return face_begins_name(byte_at(p, end)) ? NULL : p;
}

/* Whether a name is no name: it is longer than PostgreSQL keeps one, begins with no letter, or is bytes in letters. */
static bool
holds_data(const char *from, const char *to)
{
	bool		hex;

	return to - from > LONG_NAME || (from < to && !face_begins_name(*from)) ||
		(to - from >= ENCODED_NAME && face_weigh_bytes(from, to, &hex) > 0);
}

/* Takes what lies between two marks, the second of which may be missing, and moves behind it. */
static FaceFound
take(const char **at, const char *inner, const char *close, size_t mark, const char *end, FacePart *part)
{
	const char *inner_end = close == NULL ? end : close;
	bool		is_long = inner_end - inner > LONG_CONSTANT;

	*part = (FacePart) {*at, close == NULL ? end : close + mark, inner, inner_end, FACE_WEIGHT(inner_end - inner), is_long};
	if (is_long)
		part->weight = FACE_WEIGHT_OF_MARK;
	*at = part->to;
	return close == NULL ? FACE_BROKEN : FACE_PART;
}

static FaceFound
take_quoted(const char **at, const char *quote, const char *end, bool escapes, FacePart *part)
{
	const char *close = closing_quote(quote + 1, end, *quote, escapes);
	FaceFound	found = take(at, quote + 1, close, 1, end, part);

	return found == FACE_BROKEN || *quote == '\'' || holds_data(quote + 1, close) ? found : FACE_NO_MORE;
}

/* A name, or a constant with a letter before its quote. */
static FaceFound
take_name(const char **at, const char *end, FacePart *part)
{
	const char *name = *at;
	const char *p = name;

	if (byte_at(p + 1, end) == '\'' && strchr("eEbBxXnN", *p) != NULL)
		return take_quoted(at, p + 1, end, *p == 'e' || *p == 'E', part);
	if ((*p == 'u' || *p == 'U') && byte_at(p + 1, end) == '&' && (byte_at(p + 2, end) == '\'' || byte_at(p + 2, end) == '"'))
		return take_quoted(at, p + 2, end, false, part);
	while (face_continues_name(byte_at(p, end)))
		p++;
	(void) take(at, name, p, 0, end, part);
	return holds_data(name, p) ? FACE_PART : FACE_NO_MORE;
}

/* $tag$, $1, or a lone $ */
static FaceFound
take_dollar(const char **at, const char *end, FacePart *part)
{
	const char *tag = *at;
	const char *inner = tag_end(tag, end);

	if (inner != NULL)
		return take(at, inner, closing_tag(inner, end, tag, inner - tag), inner - tag, end, part);
	for ((*at)++; face_is_digit(byte_at(*at, end)); (*at)++)
		;
	return FACE_NO_MORE;
}

/* The mark of values that were replaced before, as redact.c writes it; it contains no constant. */
static const char *
mark_end(const char *p, const char *end)
{
	static const char unit[] = " values>";

	for (p++; face_is_digit(byte_at(p, end)); p++)
		;
	return end - p >= (ptrdiff_t) sizeof(unit) - 1 && memcmp(p, unit, sizeof(unit) - 1) == 0 ? p + sizeof(unit) - 1 : NULL;
}

/* Passes one token.  FACE_NO_MORE: it is not a constant. */
static FaceFound
pass_token(const char **at, const char *end, FacePart *part)
{
	const char *p = *at;
	char		next = byte_at(p + 1, end);

	if (face_begins_name(*p))
		return take_name(at, end, part);
	if (face_is_digit(*p) || (*p == '.' && face_is_digit(next)))
		return take(at, p, number_end(p, end), 0, end, part);
	if (*p == '\'' || *p == '"')
		return take_quoted(at, p, end, false, part);
	if (*p == '$')
		return take_dollar(at, end, part);
	if (*p == '-' && next == '-')
		return take(at, p + 2, line_end(p, end), 0, end, part);
	if (*p == '/' && next == '*')
		return take(at, p + 2, closing_mark(p + 2, end), 2, end, part);
	if (*p == '<' && (p = mark_end(p, end)) != NULL)
		*at = p;
	else
		*at += next == '.' && **at == '.' ? 2 : 1;	/* 1..2 */
	return FACE_NO_MORE;
}

/*
 * The next constant, comment, or name that holds data, and moves behind it.  If
 * the text is broken, the part is what is left of it.
 */
FaceFound
face_next_constant(const char **at, const char *end, FacePart *part)
{
	FaceFound	found = FACE_NO_MORE;

	while (found == FACE_NO_MORE && *at < end)
		found = pass_token(at, end, part);
	return found;
}
