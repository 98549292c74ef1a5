/*-------------------------------------------------------------------------
 *
 * stretch.c
 *	  What in a text reads as a template or an image.
 *
 * Lists of numbers, however they are written: [0.1,-0.2], 7:[…], {…}, ARRAY[…],
 * with quotes and casts between them, one to a line, one to a column of COPY,
 * cut off in the middle; and numbers with many decimals that follow each other
 * closely, whatever is written between them: rows of a list, the members of a
 * JSON object, parameters, assignments.  Hexadecimal, octal and base64 bytes.
 * What is found is meant to be too much rather than too little: dates,
 * identifiers, a few numbers in a statement, costs and times of plans and hashes
 * without \x before them are left alone.
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
/* Numbers that may have anything between them: how many, with how many decimals, how far apart. */
#define MANY_LOOSE			12
#define LOOSE_DECIMALS		4
#define LOOSE_APART			64
/* Digits after \x: more than a UUID's, fewer than a template of 9 dimensions has in half precision. */
#define HEX_AFTER_X			33
/* Letters and digits in a row: more than an identifier or a SHA-256 has. */
#define MIN_ENCODED			100
/* A line of encoded bytes that the next one may continue: base64 breaks lines at 64 or 76. */
#define ENCODED_LINE		60
/* Escaped bytes and letters, and how far apart: the bytea format "escape", \x of E'' strings, short pieces of hexadecimal. */
#define MIN_ESCAPES			12
#define ESCAPES_APART		64

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

/* Of base64, and of its form for addresses, which has - and _ instead of + and /. */
static inline bool
is_encoded(char c)
{
	return is_word(c) || c == '+' || c == '/' || c == '-';
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

static const char *
skip_decimal(const char *at, bool *fraction)
{
	const char *p = at + (*at == '-' || *at == '+');
	const char *digits;

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

/* A byte of a dump: 0x1f, 1f */
static const char *
skip_hex_byte(const char *at)
{
	const char *p = at + (at[0] == '0' && (at[1] == 'x' || at[1] == 'X') ? 2 : 0);

	return is_hex(p[0]) && is_hex(p[1]) && !is_word(p[2]) ? p + 2 : NULL;
}

/* The end of a number that begins here; NULL: none does. */
static const char *
skip_number(const char *at, bool *fraction)
{
	const char *p;

	/* (-0.1)::real */
	if (*at == '(' && at[1] != '(')
	{
		p = skip_number(at + 1, fraction);
		return p != NULL && *p == ')' ? p + 1 : NULL;
	}
	p = skip_decimal(at, fraction);
	return p == NULL ? skip_hex_byte(at) : p;
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

/* Whether the seconds of a time of day stand here: 13:14:37.736362 */
static bool
is_time(const char *text, const char *at)
{
	return at - text >= 6 && at[-1] == ':' && is_digit(at[-2]) && is_digit(at[-3]) && at[-4] == ':' && is_digit(at[-5]) && is_digit(at[-6]);
}

/* The end of a number that has the decimals of a component, or an exponent; NULL: another number, or none. */
static const char *
skip_component(const char *text, const char *at)
{
	bool		fraction = false;
	const char *end = *at == '(' ? NULL : skip_number(at, &fraction);
	const char *point;

	if (end == NULL || !fraction || (at > text && (is_word(at[-1]) || at[-1] == '.')) || is_time(text, at))
		return NULL;
	for (point = at; point < end && *point != '.' && *point != 'e' && *point != 'E'; point++)
		;
	return *point != '.' || end - point > LOOSE_DECIMALS ? end : NULL;
}

/* Numbers with many decimals from here on, with whatever between them.  "next" is where to look on, if these are few. */
static bool
find_loose(const char *text, const char *at, FaceStretch *found, const char **next)
{
	const char *from = NULL;
	const char *end = at;
	const char *p = at;
	int			count = 0;

	while (*p != '\0' && p - end <= LOOSE_APART)
	{
		const char *after = skip_component(text, p);

		if (after == NULL)
			p++;
		else
		{
			if (count++ == 0)
				from = p;
			end = p = after;
		}
	}
	*next = p;
	if (count < MANY_LOOSE)
		return false;
	*found = (FaceStretch) {from, end, count, "numbers"};
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
		/* Lines that are drawn with - and names that are joined by _ are no bytes. */
		for (; is_encoded(*p); p++)
			count += *p != '-' && *p != '_';
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

/* The length of an escape, with as many backslashes as quoting has given it; 0: none. */
static int
escape_length(const char *at)
{
	int			slashes = 0;
	int			digits = 3;
	int			first;

	while (at[slashes] == '\\')
		slashes++;
	if (slashes == 0)
		return 0;
	first = slashes + 1;
	switch (at[slashes])
	{
		case 'x':
		case 'X':
			digits = 2;
			break;
		case 'u':
			digits = 4;
			break;
		case 'U':
			digits = 8;
			break;
		default:
			first = slashes;
			if (at[slashes] < '0' || at[slashes] > '3')
				return 0;
	}
	for (int i = 0; i < digits; i++)
	{
		if (first > slashes ? !is_hex(at[first + i]) : (at[first + i] < '0' || at[first + i] > '7'))
			return 0;
	}
	return first + digits;
}

/* Escapes with a few plain characters between them, and the digits that go on after the last. */
static bool
find_escapes(const char *at, FaceStretch *found)
{
	const char *end = at;
	int			count = 0;

	for (const char *p = at; *p != '\0' && p - end <= ESCAPES_APART;)
	{
		int			length = escape_length(p);

		if (length > 0)
		{
			count++;
			end = p += length;
		}
		else
			p++;
	}
	if (count < MIN_ESCAPES)
		return false;
	while (is_hex(*end))
		end++;
	*found = (FaceStretch) {at, end, count, "bytes"};
	return true;
}

/* The first stretch of a text that reads as a template or an image. */
bool
face_find_stretch(const char *text, FaceStretch *found)
{
	const char *at = text;
	const char *searched = text;	/* for encoded bytes */
	const char *loose = text;	/* for numbers that are apart */
	const char *next;

	while (*at != '\0')
	{
		if (*at == '\\' && (find_hex(at, found) || (escape_length(at) > 0 && find_escapes(at, found))))
			return true;
		if (at >= searched && is_encoded(*at) && find_encoded(at, found, &searched))
			return true;
		next = at + 1;
		if ((is_digit(*at) || *at == '-' || *at == '+' || *at == '.' || *at == '(' || *at == 'n' || *at == 'N' || *at == 'i' || *at == 'I') &&
			find_list(text, at, found, &next))
			return true;
		if (at >= loose && (is_digit(*at) || *at == '-' || *at == '.') && find_loose(text, at, found, &loose))
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
