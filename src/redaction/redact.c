/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  A text without the templates in it.
 *
 * A statement is judged by its constants (constants.c), any other text by its
 * words (words.c).  Each has a weight, and what weighs more than
 * FACE_MOST_SHOWN together is replaced: of a statement every constant, of
 * another text the stretch from the first word to the last.
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
/* What stands for a value that is too short for words. */
#define DOTS			3

typedef struct Output
{
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

/* Constants with nothing but signs between them. */
typedef struct Run
{
	FacePart	first;
	const char *to;
	size_t		count;
} Run;

static bool
is_beside(const char *from, const char *to)
{
	while (from < to && !face_continues_name(*from) && *from != '"' && *from != '\'')
		from++;
	return from == to;
}

static void
replace_run(Output *output, const Run *run)
{
	if (run->count == 1)
		replace(output, run->first.inner, run->first.inner_end, 0, "");
	else if (run->count > 1)
		replace(output, run->first.from, run->to, run->count, "values");
}

/* Too many constants: all of them, those of a list together. */
static void
replace_constants(Output *output, const char *at, const char *end)
{
	Run			run = {.count = 0};
	FacePart	part;

	while (face_next_constant(&at, end, &part) != FACE_NO_MORE)
	{
		if (run.count == 0 || !is_beside(run.to, part.from))
		{
			replace_run(output, &run);
			run = (Run) {.first = part};
		}
		run.to = part.to;
		run.count++;
		at = part.to;
	}
	replace_run(output, &run);
}

static void
replace_long_constants(Output *output, const char *at, const char *end)
{
	FacePart	part;

	while (face_next_constant(&at, end, &part) != FACE_NO_MORE)
	{
		if (part.is_long)
			replace(output, part.inner, part.inner_end, part.inner_end - part.inner, "bytes");
		at = part.to;
	}
}

static void
redact_statement(Output *output, const char *text, const char *end, bool cut)
{
	const char *at = text;
	FacePart	part;
	FaceFound	found;
	int			weight = 0;
	bool		any_long = false;

	while ((found = face_next_constant(&at, end, &part)) == FACE_PART)
	{
		weight = weight > FACE_MOST_SHOWN ? weight : weight + part.weight;
		any_long = any_long || part.is_long;
	}
	if (found == FACE_BROKEN && !cut)
		replace(output, text, end, end - text, "bytes");
	else if (weight + (found == FACE_BROKEN ? part.weight : 0) > FACE_MOST_SHOWN)
		replace_constants(output, text, end);
	else if (any_long || found == FACE_BROKEN)
		replace_long_constants(output, text, end);
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

		while (more && part.from - to <= APART)
		{
			weight = weight > FACE_MOST_SHOWN ? weight : weight + part.weight;
			count++;
			to = part.to;
			more = face_next_word(&words, &part);
		}
		if (weight > FACE_MOST_SHOWN)
			replace(output, from, to, count == 1 ? to - from : count, count == 1 ? "bytes" : "values");
	}
}

/*
 * Whether there is something to take out of a text.  Unless this was only asked,
 * the text without it is written, and ends with a zero byte: "into" has room for
 * the text and that.
 */
bool
face_redact(const char *text, size_t length, FaceText kind, FaceForm form, char *into)
{
	Output		output = {form, text, into, false};
	const char *end = text + length;

	if (kind == FACE_ANY_TEXT)
		redact_words(&output, text, end);
	else
		redact_statement(&output, text, end, kind == FACE_STATEMENT_CUT);
	if (form != FACE_ASK)
	{
		copy_to(&output, end);
		*output.into = '\0';
	}
	return output.any;
}
