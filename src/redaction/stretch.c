/*-------------------------------------------------------------------------
 *
 * stretch.c
 *	  What in a text reads as a template or an image.
 *
 * Lists of numbers, however they are written: [0.1,-0.2], 7:[…], {…}, ARRAY[…],
 * with quotes and casts between them, one to a line, one to a column of COPY,
 * cut off in the middle; and fractions that follow each other closely, whatever
 * is written between them: rows of a list, the members of a JSON object,
 * parameters, assignments.  Hexadecimal, octal and base64 bytes (stretch_bytes.c).
 * What is found is meant to be too much rather than too little: dates,
 * identifiers, a few numbers in a statement, costs and times of plans and a few
 * hashes without \x before them are left alone.
 *
 * It knows nothing of SQL: the texts are statements, parameters, rows, plans in
 * four formats and what functions raise, and any of them may be cut off.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "redaction/redact.h"
#include "redaction/stretch.h"

/* Numbers in a row that make a list.  Fewer suffice behind a bracket, as the type writes them. */
#define LIST_WITH_FRACTIONS 12
#define LIST_OF_INTEGERS	24
#define BRACKETED_WITH_FRACTIONS 2
#define BRACKETED_INTEGERS	12
/* Between two numbers of a list: a comma, line breaks and indentation, a cast such as ::double precision. */
#define MAX_SEPARATOR		48

/* More than prices and the times of plans have. */
#define MANY_DECIMALS		4

/* How far apart fractions may be, whatever is between them: a record or a statement for each, with long names. */
#define LOOSE_APART			160

/* The more decimals they have, the fewer suffice: rows of prices are as short as rows of components. */
typedef struct LooseRule
{
	int			decimals;
	int			many;
} LooseRule;

static const LooseRule loose_rules[FACE_LOOSE_RULES] = {{MANY_DECIMALS, 12}, {0, 24}};

/* The words that stand for a number, in whatever case. */
static const char *
skip_word_number(const char *at)
{
	static const char *const words[] = {"infinity", "inf", "nan", "null"};

	if (*at != 'i' && *at != 'I' && *at != 'n' && *at != 'N')
		return NULL;
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
const char *
face_skip_cast(const char *at)
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
			p = face_skip_cast(p);
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

/* Whether the seconds of a time of day stand here: 13:14:37.736362 */
static bool
is_time(const char *text, const char *at)
{
	return at - text >= 6 && at[-1] == ':' && is_digit(at[-2]) && is_digit(at[-3]) && at[-4] == ':' && is_digit(at[-5]) && is_digit(at[-6]);
}

/*
 * Whether a plan says here how long something took, how much it cost or how many
 * rows it had, none of which is below zero: rows=2.50, "Total Cost": 35.50,
 * <Actual-Total-Time>0.012
 */
static bool
is_of_plan(const char *text, const char *at)
{
	static const char *const words[] = {"cost", "time", "rows"};

	while (at > text && (at[-1] == '=' || at[-1] == ':' || at[-1] == ' ' || at[-1] == '"' || at[-1] == '\\' || at[-1] == '>'))
		at--;
	for (int i = 0; i < lengthof(words); i++)
	{
		if (at - text >= 4 && pg_strncasecmp(at - 4, words[i], 4) == 0)
			return true;
	}
	return false;
}

/* The end of a fraction, and how many decimals it has, many if it has an exponent; NULL: another number, or none. */
static const char *
skip_fraction(const char *text, const char *at, int *decimals)
{
	bool		fraction = false;
	const char *end;
	const char *point;

	if (!(is_digit(*at) || *at == '-' || *at == '+' || *at == '.') || (at > text && (is_word(at[-1]) || at[-1] == '.')))
		return NULL;
	end = skip_number(at, &fraction);
	/* 127.0.0.1, 0.42..8.44 */
	if (end == NULL || !fraction || (*end == '.' && (is_digit(end[1]) || end[1] == '.')) || is_time(text, at))
		return NULL;
	for (point = at; *point != '.' && *point != 'e' && *point != 'E'; point++)
		;
	*decimals = *point == '.' ? end - point - 1 : MANY_DECIMALS;
	return *decimals < MANY_DECIMALS && *at != '-' && is_of_plan(text, at) ? NULL : end;
}

/*
 * Fractions with whatever between them, the first of them before a limit.  Those
 * of fewer decimals than the rule's are in between, too: a template has some.
 * "next" is where to look on, if these are few.
 */
static bool
find_loose(const char *text, const char *at, const char *limit, const LooseRule *rule, FaceStretch *found, const char **next)
{
	const char *from = NULL;
	const char *end = at;
	const char *p = at;
	int			count = 0;
	int			enough = 0;

	while (*p != '\0' && (from == NULL ? p < limit : p - end <= LOOSE_APART))
	{
		int			decimals;
		const char *after = skip_fraction(text, p, &decimals);

		if (after == NULL)
			p++;
		else
		{
			count++;
			enough += decimals >= rule->decimals;
			if (from == NULL)
				from = p;
			end = p = after;
		}
	}
	*next = p;
	if (enough < rule->many)
		return false;
	*found = (FaceStretch) {from, end, count, "numbers"};
	return true;
}

/* Whether a stretch begins here.  If not, "next" is where to look on. */
static bool
find_at(FaceSearch *search, const char *at, FaceStretch *found, const char **next)
{
	*next = at + 1;
	if (face_find_bytes(search, at, found))
		return true;
	if ((is_digit(*at) || *at == '-' || *at == '+' || *at == '.' || *at == '(' || *at == 'n' || *at == 'N' || *at == 'i' || *at == 'I') &&
		find_list(search->text, at, found, next))
		return true;
	if (face_find_pieces(search, at, found))
		return true;
	for (int i = 0; i < FACE_LOOSE_RULES; i++)
	{
		if (at >= search->loose[i] && find_loose(search->text, at, *next, &loose_rules[i], found, &search->loose[i]))
			return true;
	}
	return false;
}

void
face_begin_search(FaceSearch *search, const char *text)
{
	*search = (FaceSearch) {text, text, text, text, {text, text}};
}

/* The next stretch of a text that reads as a template or an image. */
bool
face_find_next(FaceSearch *search, FaceStretch *found)
{
	const char *next;

	for (const char *at = search->at; *at != '\0'; at = next)
	{
		if (find_at(search, at, found, &next))
		{
			search->at = found->to;
			return true;
		}
	}
	return false;
}

/* The first one. */
bool
face_find_stretch(const char *text, FaceStretch *found)
{
	FaceSearch	search;

	face_begin_search(&search, text);
	return face_find_next(&search, found);
}

/*
 * Writes a text with the stretches replaced, into as many bytes as it has.
 * Returns whether there was one; if not, nothing is written.
 */
bool
face_redact(const char *text, char *into)
{
	FaceSearch	search;
	FaceStretch found;
	bool		any = false;

	face_begin_search(&search, text);
	while (face_find_next(&search, &found))
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
