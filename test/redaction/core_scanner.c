/*-------------------------------------------------------------------------
 *
 * core_scanner.c
 *	  The constants of random statements, as PostgreSQL's own scanner finds them
 *	  and as src/redaction/constants.c does (core_scanner.pl).
 *
 * With standard_conforming_strings on and off: constants.c knows nothing of the
 * setting, so what it accepts has to have the same constants in both.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/keywords.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/scanner.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "redaction/constants.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(compare_scanners);

/* As scanner.h promises. */
#define FIRST_CONSTANT	260		/* FCONST */
#define LAST_CONSTANT	264		/* XCONST */
#define INTEGER			266		/* ICONST */

#define MOST_FRAGMENTS	24
#define LONGEST			(MOST_FRAGMENTS * 10 + 1)

static const char *const fragments[] = {
	"'", "'", "'", "''", "E'", "e'", "U&'", "u&\"", "U&", "\"", "\"\"", "B'", "x'", "N'", "\\", "\\'", "\\\\", "$$", "$$", "$a$", "$a$", "$a", "$b$", "$1", "$",
	"--", "/*", "/*", "*/", "*/", "\n", "\n", "\r", " ", " ", " ", "\t", "1", "0", "0x", "0b1", "1.5", "..", ".", "e", "e+", "E5", "_", "a", "ab1", "\303\251", "+", "-", "/",
	"*", "<", "(", ",", "::", ";", "[", "&", "x", "12345678901", "f"
};

/* Of each byte of a statement, who takes it for one of a constant. */
typedef struct Bytes
{
	char		core[LONGEST];
	char		constant[LONGEST];	/* here */
	char		other[LONGEST];		/* a comment or a name, here */
} Bytes;

static void
random_statement(pg_prng_state *state, char *into)
{
	int			n = 1 + pg_prng_uint64(state) % MOST_FRAGMENTS;

	for (*into = '\0'; n > 0; n--)
		strcat(into, fragments[pg_prng_uint64(state) % lengthof(fragments)]);
}

/* After each token, the scanner keeps a zero byte at its end: so pg_stat_statements finds lengths, too. */
static void
scan_core(const char *statement, bool conforming, char *bytes)
{
	core_yy_extra_type extra;
	core_yyscan_t scanner = scanner_init(statement, &extra, &ScanKeywords, ScanKeywordTokens);
	core_YYSTYPE value;
	YYLTYPE		location;
	int			token;

#if PG_VERSION_NUM < 190000
	extra.escape_string_warning = false;
	extra.standard_conforming_strings = conforming;
#endif
	while ((token = core_yylex(&value, &location, scanner)) != 0)
	{
		if ((token >= FIRST_CONSTANT && token <= LAST_CONSTANT) || token == INTEGER)
			memset(bytes + location, 1, strlen(extra.scanbuf + location));
	}
	scanner_finish(scanner);
}

static bool
core_accepts(const char *statement, bool conforming, char *bytes)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool accepts = true;

	memset(bytes, 0, LONGEST);
	PG_TRY();
	{
		scan_core(statement, conforming, bytes);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		accepts = false;
	}
	PG_END_TRY();
	return accepts;
}

static bool
accepts_here(const char *statement, Bytes *bytes)
{
	const char *at = statement;
	FacePart	part;
	FaceFound	found;

	memset(bytes->constant, 0, LONGEST);
	memset(bytes->other, 0, LONGEST);
	while ((found = face_next_constant(&at, statement + strlen(statement), &part)) == FACE_PART)
	{
		/* An N before a quote is a token of its own. */
		const char *from = part.from + (*part.from == 'N' && face_is_value(&part));

		memset((face_is_value(&part) ? bytes->constant : bytes->other) + (from - statement), 1, part.to - from);
	}
	return found == FACE_NO_MORE;
}

/* One token of PostgreSQL's may be several constants with blanks and comments between them. */
static bool
agree(const char *statement, const Bytes *bytes)
{
	for (int i = 0; statement[i] != '\0'; i++)
	{
		if (bytes->constant[i] && !bytes->core[i])
			return false;
		if (bytes->core[i] && !bytes->constant[i] && !bytes->other[i] && strchr(" \t\r\n", statement[i]) == NULL)
			return false;
	}
	return true;
}

/* Refused here, though not by PostgreSQL: only for a quote behind a backslash. */
static bool
try_statement(const char *statement, bool conforming, Bytes *bytes, int *accepted, int *ambiguous)
{
	if (!core_accepts(statement, conforming, bytes->core))
		return true;
	if (accepts_here(statement, bytes))
	{
		(*accepted)++;
		return agree(statement, bytes);
	}
	(*ambiguous)++;
	return strstr(statement, "\\'") != NULL;
}

/* compare_scanners(tries, seed): how many statements both accept, and how many only PostgreSQL does */
Datum
compare_scanners(PG_FUNCTION_ARGS)
{
	pg_prng_state state;
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "a statement", ALLOCSET_DEFAULT_SIZES);
	Bytes	   *bytes = palloc(sizeof(Bytes));
	int			accepted = 0;
	int			ambiguous = 0;

	pg_prng_seed(&state, PG_GETARG_INT32(1));
	for (int i = 0; i < PG_GETARG_INT32(0); i++)
	{
		MemoryContext before = MemoryContextSwitchTo(each);
		char		statement[LONGEST];

		CHECK_FOR_INTERRUPTS();
		random_statement(&state, statement);
		/* PostgreSQL 19 knows standard strings only. */
		for (int conforming = PG_VERSION_NUM >= 190000; conforming <= 1; conforming++)
			if (!try_statement(statement, conforming, bytes, &accepted, &ambiguous))
				ereport(ERROR, errmsg("the scanners disagree with standard_conforming_strings = %d: %s", conforming, statement));
		MemoryContextSwitchTo(before);
		MemoryContextReset(each);
	}
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d|%d", accepted, ambiguous)));
}
