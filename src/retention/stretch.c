/*-------------------------------------------------------------------------
 *
 * stretch.c
 *	  What in a text reads as a template or an image.
 *
 * Lists of numbers, however they are written: [0.1,-0.2], 7:[…], {…}, ARRAY[…],
 * with quotes and casts between them, one to a line, one to a column of COPY,
 * cut off in the middle.  Hexadecimal, octal and base64 bytes.  What is found is
 * meant to be too much rather than too little: dates, identifiers, a few numbers
 * in a statement and hashes without \x before them are left alone.
 *
 * It knows nothing of SQL: the texts are statements, parameters, rows, plans in
 * four formats and what functions raise, and any of them may be cut off.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "retention/redact.h"

/* Numbers in a row that make a list.  Fewer suffice behind a bracket, as the type writes them. */
#define LIST_WITH_FRACTIONS 12
#define LIST_OF_INTEGERS	24
#define BRACKETED_WITH_FRACTIONS 2
#define BRACKETED_INTEGERS	12
/* Between two numbers of a list: a comma, line breaks and indentation, a cast such as ::double precision. */
#define MAX_SEPARATOR		48
/* Digits after \x: more than a UUID's, fewer than a template of 9 dimensions has in half precision. */
#define HEX_AFTER_X			33
/* Letters and digits in a row: more than an identifier or a SHA-256 has. */
#define MIN_ENCODED			100
/* A line of encoded bytes that the next one may continue: base64 breaks lines at 64 or 76. */
#define ENCODED_LINE		60
/* Octal escapes, and how far apart in the bytea format "escape". */
#define MIN_OCTAL			12
#define OCTAL_APART			64

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static inline bool
is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static inline bool
is_encoded(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '/';
}

/* The words that stand for a number, in whatever case. */
static const char *
skip_word_number(const char *at)
{
	static const char *const words[] = {"infinity", "inf", "nan", "null"};

	for (int i = 0; i < lengthof(words); i++)
	{
		size_t		length = strlen(words[i]);

		if (pg_strncasecmp(at, words[i], length) == 0 && !is_word(at[length]))
			return at + length;
	}
	return NULL;
}

/* The end of a number that begins here; NULL: none does. */
static const char *
skip_number(const char *at, bool *fraction)
{
	const char *p = at + (*at == '-' || *at == '+');
	const char *digits;

	/* (-0.1)::real */
	if (*at == '(' && at[1] != '(')
	{
		p = skip_number(at + 1, fraction);
		return p != NULL && *p == ')' ? p + 1 : NULL;
	}
	if (!is_digit(*p) && !(*p == '.' && is_digit(p[1])))
		return skip_word_number(p);
	while (is_digit(*p))
		p++;
	if (*p == '.' && p[1] != '.')
	{
		*fraction = true;
		for (p++; is_digit(*p); p++)
			;
	}
	digits = p + 1;
	if ((*p == 'e' || *p == 'E') && (is_digit(*digits) || ((*digits == '-' || *digits == '+') && is_digit(digits[1]))))
	{
		*fraction = true;
		for (p = digits + 1; is_digit(*p); p++)
			;
	}
	return is_word(*p) ? NULL : p;
}

/* ::real, ::double precision, ::pg_catalog.float4 */
static const char *
skip_cast(const char *at)
{
	const char *p = at + 2;

	while (is_word(*p) || *p == '.' || *p == '"')
		p++;
	if (strncmp(p, " precision", 10) == 0)
		p += 10;
	return p;
}

/* The end of what separates two numbers; NULL: nothing that does. */
static const char *
skip_separator(const char *at)
{
	const char *p = at;
	bool		separates = false;

	while (*p != '\0' && p - at <= MAX_SEPARATOR)
	{
		if (p[0] == ':' && p[1] == ':')
			p = skip_cast(p);
		else if (p[0] == '\\' && (p[1] == 'n' || p[1] == 't' || p[1] == 'r'))
		{
			separates = true;
			p += 2;
		}
		else if (*p == ',' || *p == ';' || *p == '|' || *p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
		{
			separates = true;
			p++;
		}
		else if (*p == '\'' || *p == '"' || *p == '\\')
			p++;
		else
			break;
	}
	return separates && p - at <= MAX_SEPARATOR ? p : NULL;
}

/* Whether a list's bracket stands before a place, quotes and spaces aside. */
static bool
behind_bracket(const char *text, const char *at)
{
	while (at > text && (at[-1] == ' ' || at[-1] == '\n' || at[-1] == '\t' || at[-1] == '"' || at[-1] == '\'' || at[-1] == '\\'))
		at--;
	return at > text && (at[-1] == '[' || at[-1] == '{');
}

/* A list of numbers that begins here.  "next" is where to look on, if there is none. */
static bool
find_list(const char *text, const char *at, FaceStretch *found, const char **next)
{
	bool		bracketed;
	bool		fraction = false;
	const char *end;
	int			count = 0;

	*next = at + 1;
	if (at > text && (is_word(at[-1]) || at[-1] == '.'))
		return false;
	bracketed = behind_bracket(text, at);
	end = at;
	for (const char *p = at; p != NULL && (p = skip_number(p, &fraction)) != NULL; p = skip_separator(end))
	{
		end = p;
		count++;
	}
	if (count == 0)
		return false;
	*next = end;
	if (count < (bracketed ? (fraction ? BRACKETED_WITH_FRACTIONS : BRACKETED_INTEGERS) : (fraction ? LIST_WITH_FRACTIONS : LIST_OF_INTEGERS)))
		return false;
	*found = (FaceStretch) {at, end, count, "numbers"};
	return true;
}

/* \x and hexadecimal digits. */
static bool
find_hex(const char *at, FaceStretch *found)
{
	const char *p;

	if (at[0] != '\\' || (at[1] != 'x' && at[1] != 'X'))
		return false;
	for (p = at + 2; is_hex(*p); p++)
		;
	if (p - at - 2 < HEX_AFTER_X)
		return false;
	*found = (FaceStretch) {at + 2, p, (int) (p - at - 2), "hexadecimal digits"};
	return true;
}

/* Letters and digits without an end, over line breaks where the lines are long.  Digits may be hexadecimal, or base64. */
static bool
find_encoded(const char *at, FaceStretch *found, const char **next)
{
	const char *line = at;
	const char *p = at;
	int			count = 0;

	for (;;)
	{
		while (is_encoded(*p))
			p++;
		count += p - line;
		if (p - line < ENCODED_LINE)
			break;
		if (p[0] == '\r' && p[1] == '\n' && is_encoded(p[2]))
			line = p = p + 2;
		else if (p[0] == '\n' && is_encoded(p[1]))
			line = p = p + 1;
		else if (p[0] == '\\' && p[1] == 'n' && is_encoded(p[2]))
			line = p = p + 2;
		else
			break;
	}
	*next = p;
	if (count < MIN_ENCODED)
		return false;
	while (*p == '=')
		p++;
	*found = (FaceStretch) {at, p, count, "characters"};
	return true;
}

/* The length of an octal escape, with as many backslashes as quoting has given it; 0: none. */
static int
octal_escape(const char *at)
{
	int			slashes = 0;

	while (at[slashes] == '\\')
		slashes++;
	if (slashes == 0 || at[slashes] < '0' || at[slashes] > '3')
		return 0;
	for (int i = 1; i < 3; i++)
	{
		if (at[slashes + i] < '0' || at[slashes + i] > '7')
			return 0;
	}
	return slashes + 3;
}

/* Bytes in the format "escape": octal escapes with a few plain characters between them. */
static bool
find_octal(const char *at, FaceStretch *found)
{
	const char *end = at;
	int			count = 0;

	for (const char *p = at; *p != '\0' && p - end <= OCTAL_APART;)
	{
		int			length = octal_escape(p);

		if (length > 0)
		{
			count++;
			end = p += length;
		}
		else
			p++;
	}
	if (count < MIN_OCTAL)
		return false;
	*found = (FaceStretch) {at, end, count, "bytes"};
	return true;
}

/* The first stretch of a text that reads as a template or an image. */
bool
face_find_stretch(const char *text, FaceStretch *found)
{
	const char *at = text;
	const char *searched = text;	/* for encoded bytes */
	const char *next;

	while (*at != '\0')
	{
		if (*at == '\\' && (find_hex(at, found) || (octal_escape(at) > 0 && find_octal(at, found))))
			return true;
		if (at >= searched && is_encoded(*at) && find_encoded(at, found, &searched))
			return true;
		next = at + 1;
		if ((is_digit(*at) || *at == '-' || *at == '+' || *at == '.' || *at == '(' || *at == 'n' || *at == 'N' || *at == 'i' || *at == 'I') &&
			find_list(text, at, found, &next))
			return true;
		at = next;
	}
	return false;
}

/*
 * Writes a text with the stretches replaced, into as many bytes as it has.
 * Returns whether there was one; if not, nothing is written.
 */
bool
face_redact(const char *text, char *into)
{
	FaceStretch found;
	bool		any = false;

	while (face_find_stretch(text, &found))
	{
		char		said[64];
		int			length = snprintf(said, sizeof(said), "<%d %s>", found.count, found.unit);

		any = true;
		memcpy(into, text, found.from - text);
		into += found.from - text;
		if (length > found.to - found.from)
			length = snprintf(said, sizeof(said), "%.*s", (int) Min(3, found.to - found.from), "...");
		memcpy(into, said, length);
		into += length;
		text = found.to;
	}
	if (any)
		strcpy(into, text);
	return any;
}
