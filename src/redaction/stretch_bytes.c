/*-------------------------------------------------------------------------
 *
 * stretch_bytes.c
 *	  Bytes in a text: hexadecimal, octal, base64.
 *
 * They may be in one piece, in lines that are joined by line breaks, quotes or
 * ||, in lists of shorter pieces, as dumps and identifiers are written, or a
 * byte at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "redaction/stretch.h"

/* Digits after \x: more than a UUID's, fewer than a template of 9 dimensions has in half precision. */
#define HEX_AFTER_X			33
/* Letters and digits in a row: more than an identifier or a SHA-256 has. */
#define MIN_ENCODED			100
/* A line of encoded bytes that the next one may continue: base64 breaks lines at 64 or 76. */
#define ENCODED_LINE		60
/* What joins two pieces: a quote, a function's end, ||, its beginning, indentation; the letters beside a dump's line. */
#define MAX_JOINT			48
/* In pieces of a list, together: eight UUIDs, four SHA-256, a template of 64 dimensions in half precision. */
#define MIN_IN_PIECES		256
/* The least piece of base64: shorter ones are names; of hexadecimal; of it with nothing but blanks before it. */
#define BASE64_PIECE		32
#define HEX_PIECE			4
#define HEX_BYTE			2
/* A word of a dump, which may have letters beside its lines. */
#define DUMP_WORD			16
/* The last piece is shorter: this long at least, or it is a word of the statement. */
#define LAST_PIECE			8
/* Escaped bytes and letters, and how far apart: the bytea format "escape", \x of E'' strings, short pieces of hexadecimal. */
#define MIN_ESCAPES			12
#define ESCAPES_APART		64
/* Backslashes before a letter: they double each time that it is quoted. */
#define MAX_SLASHES			16

/* Encoded characters without a gap. */
typedef struct Run
{
	const char *end;
	int			count;			/* without - and _: lines that are drawn and names are no bytes */
	bool		hex;			/* nothing but hexadecimal digits, and - */
	bool		mixed;			/* as bytes have them: letters and digits; in base64, of both cases */
} Run;

/* What is between two runs. */
typedef struct Joint
{
	int			quotes;
	bool		breaks;			/* a line break, or its escape */
	bool		concatenates;	/* || */
	bool		lists;			/* a comma, a bracket */
	bool		words;
} Joint;

typedef enum Wanted
{
	ANY_RUN,
	LINE,
	PIECE,
	LAST
} Wanted;

/* Of base64, and of its form for addresses, which has - and _ instead of + and /. */
static inline bool
is_encoded(char c)
{
	return is_word(c) || c == '+' || c == '/' || c == '-';
}

static int
count_slashes(const char *at)
{
	int			slashes = 0;

	while (at[slashes] == '\\' && slashes < MAX_SLASHES)
		slashes++;
	return slashes;
}

/* The end of an encoded character, also where JSON or an address writes / and + otherwise; NULL: none is here. */
static const char *
skip_encoded(const char *at)
{
	const char *p = at + count_slashes(at);

	if (is_encoded(*at))
		return at + 1;
	if (p > at && *p == '/')
		return p + 1;
	if (*at == '%')
		p = at + 1;
	else if (p > at && p[0] == 'u' && p[1] == '0' && p[2] == '0')
		p += 3;
	else
		return NULL;
	return p[0] == '2' && (p[1] == 'B' || p[1] == 'b' || p[1] == 'F' || p[1] == 'f') ? p + 2 : NULL;
}

static void
read_run(const char *at, Run *run)
{
	const char *p = at[0] == '0' && (at[1] == 'x' || at[1] == 'X') && is_hex(at[2]) ? at + 2 : at;
	bool		digits = false;
	bool		upper = false;
	bool		lower = false;

	*run = (Run) {.hex = true};
	for (const char *after; (after = skip_encoded(p)) != NULL; p = after)
	{
		run->count += *p != '-' && *p != '_';
		run->hex = run->hex && (is_hex(*p) || *p == '-');
		digits = digits || is_digit(*p);
		upper = upper || (*p >= 'A' && *p <= 'Z');
		lower = lower || (*p >= 'a' && *p <= 'z');
	}
	run->end = p;
	run->mixed = digits && (run->hex ? upper || lower : upper && lower);
}

/* Whether a run that begins at "at", behind a joint, is one of those. */
static bool
is_wanted(const Run *run, const char *at, const Joint *joint, Wanted wanted)
{
	bool		blanks = joint->quotes == 0 && !joint->breaks && !joint->concatenates && !joint->lists && !joint->words;

	switch (wanted)
	{
		case LINE:
			/* Each has some that count: a thousand lines drawn with - are looked at once. */
			return run->end - at >= ENCODED_LINE && run->count >= ENCODED_LINE / 2;
		case PIECE:
			if (run->count >= MIN_ENCODED)
				return false;
			if (run->hex)
				return run->count % 2 == 0 && run->count >= (blanks ? HEX_BYTE : HEX_PIECE);
			return run->mixed && run->count >= BASE64_PIECE;
		case LAST:
			return run->mixed && run->count >= LAST_PIECE;
		default:
			return run->count > 0;
	}
}

/* The run that a joint leads to, the first that is wanted; NULL: none is near enough. */
static const char *
next_run(const char *at, Wanted wanted, Joint *joint, Run *run)
{
	const char *p = at;

	*joint = (Joint) {0};
	while (*p != '\0' && p - at <= MAX_JOINT)
	{
		const char *escaped = p + count_slashes(p);

		if (skip_encoded(p) != NULL && !(p[1] == '\'' && (*p == 'E' || *p == 'e')))
		{
			read_run(p, run);
			if (is_wanted(run, p, joint, wanted))
				return p;
			joint->words = true;
			p = run->end;
		}
		else if (escaped > p && (*escaped == 'n' || *escaped == 'r' || *escaped == 't'))
		{
			joint->breaks = joint->breaks || *escaped != 't';
			p = escaped + 1;
		}
		else if (p[0] == ':' && p[1] == ':')
			p = face_skip_cast(p);
		else if (p[0] == '|' && p[1] == '|')
		{
			joint->concatenates = true;
			p += 2;
		}
		else
		{
			joint->quotes += *p == '\'' || *p == '"';
			joint->breaks = joint->breaks || *p == '\n' || *p == '\r';
			joint->lists = joint->lists || strchr(",;|:()[]{}<>", *p) != NULL;
			joint->words = joint->words || strchr("'\" \t\r\n\\=Ee,;|:()[]{}<>", *p) == NULL;
			p++;
		}
	}
	return NULL;
}

/* Whether a word of any length behind a joint goes on with the bytes before it: as a line or a literal does, not as a statement. */
static bool
continues(const Joint *joint)
{
	return !joint->words && !joint->lists && joint->quotes % 2 == 0 && (joint->quotes > 0 || joint->breaks);
}

/* The end of the last piece, which may be shorter than those before it. */
static const char *
skip_last_piece(const char *end, bool listed, int *count)
{
	Run			run;
	Joint		joint;

	if (next_run(end, ANY_RUN, &joint, &run) == NULL || !continues(&joint))
	{
		if (next_run(end, LAST, &joint, &run) == NULL || joint.quotes % 2 != 0 || !(joint.concatenates || (listed && !joint.words)))
			return end;
	}
	*count += run.count;
	return run.end;
}

static const char *
skip_padding(const char *at)
{
	while (*at == '=')
		at++;
	return at;
}

/* Letters and digits without an end, or in long lines with a shorter one at the end. */
static bool
find_lines(const char *at, FaceStretch *found, const char **next)
{
	const char *p = at;
	const char *end;
	int			count;
	Run			run;
	Joint		joint = {0};

	read_run(at, &run);
	count = run.count;
	end = run.end;
	while (is_wanted(&run, p, &joint, LINE))
	{
		p = next_run(end, LINE, &joint, &run);
		if (p == NULL || !(joint.concatenates || (!joint.words && !joint.lists)))
		{
			end = skip_last_piece(end, false, &count);
			break;
		}
		count += run.count;
		end = run.end;
	}
	*next = end;
	if (count < MIN_ENCODED)
		return false;
	*found = (FaceStretch) {at, skip_padding(end), count, "characters"};
	return true;
}

/* Whether a piece belongs to the same list, or the same dump, as the one before it. */
static bool
is_joined(const Joint *joint, const Run *before, const Run *run)
{
	return !joint->words || joint->concatenates || (joint->breaks && before->count <= DUMP_WORD && run->count <= DUMP_WORD);
}

/* Pieces of bytes in a list. */
static bool
find_pieces(const char *at, FaceStretch *found, const char **next)
{
	const char *end = NULL;
	int			count = 0;
	int			mixed = 0;
	int			enough = 0;
	Run			run;
	Run			before;
	Joint		joint = {0};

	read_run(at, &run);
	*next = run.end;
	for (const char *p = at; p != NULL && is_wanted(&run, p, &joint, PIECE);)
	{
		count += run.count;
		mixed += run.mixed ? run.count : 0;
		/* Numbers read as hexadecimal digits, too. */
		if (count >= MIN_IN_PIECES && mixed < count / 4)
			break;
		if (count >= MIN_IN_PIECES)
			enough = count;
		end = run.end;
		before = run;
		p = next_run(end, PIECE, &joint, &run);
		if (p != NULL && !is_joined(&joint, &before, &run))
			break;
	}
	if (end != NULL)
		*next = end;
	if (enough == 0)
		return false;
	end = skip_last_piece(end, true, &enough);
	*found = (FaceStretch) {at, skip_padding(end), enough, "characters"};
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

/* The length of an escape, with as many backslashes as quoting has given it; 0: none. */
static int
escape_length(const char *at)
{
	int			slashes = count_slashes(at);
	int			digits = 3;
	int			first;

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

/* Bytes that begin here, in one piece or in lines, or escaped. */
bool
face_find_bytes(FaceSearch *search, const char *at, FaceStretch *found)
{
	if (*at == '\\' && (find_hex(at, found) || (escape_length(at) > 0 && find_escapes(at, found))))
		return true;
	return at >= search->lines && is_encoded(*at) && find_lines(at, found, &search->lines);
}

/* Bytes that begin here, in pieces: to be looked for after numbers, which read as such. */
bool
face_find_pieces(FaceSearch *search, const char *at, FaceStretch *found)
{
	return at >= search->pieces && is_encoded(*at) && find_pieces(at, found, &search->pieces);
}
