/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  A text without the templates in it.
 *
 * A statement is judged by its constants (constants.c), any other text by its
 * words (words.c).  Each has a weight, and what weighs more than
 * FACE_MOST_SHOWN together is replaced: a list of constants, all constants of a
 * statement, the stretch from the first word to the last of another text.
 *
 * Nothing here raises an error or allocates, and the time grows with the text's
 * length only: each place is looked at twice at most.
 *
 *-------------------------------------------------------------------------
 */
#include "redaction/redact.h"

#include <stdio.h>
#include <string.h>

#include "redaction/constants.h"
#include "redaction/words.h"

/* How far words of a stretch may be from each other: a record or a statement for each number, with long names. */
#define APART			160
/* What replaces a value that is too short for words. */
#define DOTS			3

typedef struct Output
{
	FaceText	kind;
	FaceForm	form;
	const char *copied;			/* up to here */
	char	   *into;
	bool		any;
} Output;

static void
copy_to(Output *output, const char *to)
{
	size_t		length = to - output->copied;

	if (output->form != FACE_ASK)
	{
		memmove(output->into, output->copied, length);
		output->into += length;
	}
	output->copied = to;
}

/* Writes how many of a unit were there, or dots if that is longer than they were, or if there is no count. */
static void
replace(Output *output, const char *from, const char *to, size_t count, const char *unit)
{
	size_t		room = to - from;
	char		said[48];
	size_t		length = snprintf(said, sizeof(said), "<%zu %s>", count, unit);

	output->any = true;
	copy_to(output, from);
	output->copied = to;
	if (output->form == FACE_ASK)
		return;
	if (count == 0 || length > room || output->form == FACE_BLANK)
	{
		length = room < DOTS ? room : DOTS;
		memset(said, '.', length);
	}
	memcpy(output->into, said, length);
	if (output->form == FACE_BLANK)
		memset(output->into + length, ' ', room - length);
	output->into += output->form == FACE_BLANK ? room : length;
}

/*
 * A constant that is to be as long as it was is to be one token, too: a reader
 * who has noted where it begins looks for its end there. So a number becomes
 * zeros.
 */
static void
blank(Output *output, const FacePart *part)
{
	const char *p = part->inner;

	/* pg_hint_plan reads its hints here. */
	if (part->from[0] == '/' && p < part->inner_end && *p == '+')
		return;
	if (!face_is_digit(*part->from) && *part->from != '.')
	{
		replace(output, p, part->inner_end, 0, "");
		return;
	}
	output->any = true;
	copy_to(output, p);
	output->copied = part->inner_end;
	for (; p < part->inner_end; p++)
		*output->into++ = face_is_digit(*p) || (p > part->inner + 1 && face_is_hex(*p) && *p != 'e' && *p != 'E') ? '0' : *p;
}

/* Constants with nothing but signs between them. */
typedef struct Run
{
	FacePart	first;
	const char *to;
	size_t		count;
	int			weight;
} Run;

static int
add_weight(int weight, int more)
{
	return weight > FACE_MOST_SHOWN ? weight : weight + more;
}

static bool
is_beside(const char *from, const char *to)
{
	while (from < to && !face_continues_name(*from) && *from != '"' && *from != '\'')
		from++;
	return from == to;
}

static FaceFound
next_part(const Output *output, const char **at, const char *end, FacePart *part)
{
	FaceFound	found;

	do
		found = face_next_constant(at, end, part);
	while (found == FACE_PART && output->kind == FACE_NAMES_OF_STATEMENT && face_is_value(part));
	return found == FACE_BROKEN && output->kind == FACE_NAMES_OF_STATEMENT ? FACE_NO_MORE : found;
}

/* The run that comes next, and moves behind it.  A broken part ends the text and the last run. */
static FaceFound
next_run(const Output *output, const char **at, const char *end, Run *run)
{
	const char *next = *at;
	FacePart	part;
	FaceFound	found = next_part(output, &next, end, &part);

	*run = (Run) {.first = part};
	while (found != FACE_NO_MORE && (run->count == 0 || is_beside(run->to, part.from)))
	{
		run->to = *at = part.to;
		run->count++;
		run->weight = add_weight(run->weight, part.weight);
		if (found == FACE_BROKEN)
			return found;
		next = *at;
		found = next_part(output, &next, end, &part);
	}
	return run->count > 0 ? FACE_PART : FACE_NO_MORE;
}

/* Of some constants the long ones, or all. */
static void
replace_each(Output *output, const char *at, const char *end, bool all)
{
	FacePart	part;

	while (next_part(output, &at, end, &part) != FACE_NO_MORE)
	{
		at = part.to;
		if (!all && !part.is_long)
			continue;
		if (output->form == FACE_BLANK)
			blank(output, &part);
		else
			replace(output, part.inner, part.inner_end, all ? 0 : part.inner_end - part.inner, "bytes");
	}
}

/* Lists that are too long; of the other constants the long ones, or all. */
static void
replace_constants(Output *output, const char *at, const char *end, bool all)
{
	Run			run;

	while (next_run(output, &at, end, &run) != FACE_NO_MORE)
	{
		bool		whole = all || run.weight > FACE_MOST_SHOWN;

		if (whole && run.count > 1 && output->form != FACE_BLANK)
			replace(output, run.first.from, run.to, run.count, "values");
		else
			replace_each(output, run.first.from, run.to, whole);
	}
}

static void
redact_statement(Output *output, const char *text, const char *end)
{
	const char *at = text;
	Run			run;
	FaceFound	found;
	int			weight = 0;

	while ((found = next_run(output, &at, end, &run)) == FACE_PART || (found == FACE_BROKEN && output->kind == FACE_STATEMENT_CUT))
		weight = add_weight(weight, run.weight > FACE_MOST_SHOWN ? 0 : run.weight);
	if (found == FACE_BROKEN)
		replace(output, text, end, end - text, "bytes");
	else
		replace_constants(output, text, end, weight > FACE_MOST_SHOWN);
}

/* Indentation is no distance: PostgreSQL writes the trees of statements a member to a line. */
static bool
is_near(const char *from, const char *to)
{
	int			apart = 0;

	for (; from < to && apart <= APART; from++)
		apart += *from != ' ' && *from != '\n' && *from != '\t';
	return apart <= APART;
}

static void
redact_words(Output *output, const char *text, const char *end)
{
	FaceWords	words = {.text = text, .end = end, .at = text};
	FacePart	part;
	bool		more = face_next_word(&words, &part);

	while (more)
	{
		const char *from = part.from;
		const char *to = from;
		int			weight = 0;
		size_t		count = 0;

		while (more && is_near(to, part.from))
		{
			weight = add_weight(weight, part.weight);
			count++;
			to = part.to;
			more = face_next_word(&words, &part);
		}
		if (weight > FACE_MOST_SHOWN)
			replace(output, from, to, count == 1 ? (size_t) (to - from) : count, count == 1 ? "bytes" : "values");
	}
}

/*
 * Whether there is something to take out of a text.  Unless this was only asked,
 * the text without it is written, and ends with a zero byte: "into" has room for
 * the text and that, or is where the text is.
 */
bool
face_redact(const char *text, size_t length, FaceText kind, FaceForm form, char *into)
{
	Output		output = {kind, form, text, into, false};
	const char *end = text + length;

	if (kind == FACE_ANY_TEXT)
		redact_words(&output, text, end);
	else
		redact_statement(&output, text, end);
	if (form != FACE_ASK)
	{
		copy_to(&output, end);
		*output.into = '\0';
	}
	return output.any;
}
