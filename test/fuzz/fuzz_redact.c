/*-------------------------------------------------------------------------
 *
 * fuzz_redact.c
 *	  libFuzzer harness of what takes templates out of statements and texts.
 *
 * Beyond crashes: the result is no longer than the text, is blanked in place,
 * stays as it is when it is redacted again, and shows no more of a statement's
 * constants than it may.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include <stdlib.h>
#include <string.h>

#include "redaction/constants.h"
#include "redaction/redact.h"

/* Sixteen constants of 15 bytes; longer ones weigh more. */
#define MOST_SHOWN		(FACE_MOST_SHOWN * 15)
#define LONGEST_SHOWN	40

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static bool
is_dots(const char *from, const char *to)
{
	while (from < to && *from == '.')
		from++;
	return from == to;
}

static void
require_little_shown(const char *text, size_t length)
{
	const char *at = text;
	const char *end = text + length;
	size_t		shown = 0;
	FaceFound	found;
	FacePart	part;

	while ((found = face_next_constant(&at, end, &part)) == FACE_PART)
	{
		size_t		inner = part.inner_end - part.inner;

		require(part.from <= part.inner && part.inner <= part.inner_end && part.inner_end <= part.to && part.to == at);
		require(inner <= LONGEST_SHOWN);
		shown += is_dots(part.inner, part.inner_end) ? 0 : inner;
	}
	require(found == FACE_NO_MORE && shown <= MOST_SHOWN);
}

/* A copy of the exact size, so that reading past it is noticed. */
static char *
copy_of(const char *text, size_t size)
{
	char	   *copy = malloc(size > 0 ? size : 1);

	if (size > 0)
		memcpy(copy, text, size);
	return copy;
}

/* A text with blanks has its constants where they were: who has noted the places of all finds each of them. */
static void
require_same_tokens(const char *text, size_t size, FaceText kind, char *blank)
{
	const char *at = text;
	const char *at_blank = blank;
	FacePart	part;
	FacePart	same;
	FaceFound	found;

	(void) face_redact(text, size, kind, FACE_BLANK, blank);
	require(strlen(blank) == size);
	while ((found = face_next_constant(&at, text + size, &part)) == FACE_PART)
		;
	/* A broken one is blank from end to end. */
	if (found == FACE_BROKEN)
		return;
	for (at = text; face_next_constant(&at, text + size, &part) == FACE_PART;)
	{
		/* A name is none that begins with a letter. */
		if (part.inner == part.from && face_begins_name(*part.from))
			continue;
		do
			require(face_next_constant(&at_blank, blank + size, &same) == FACE_PART);
		while (same.from - blank < part.from - text);
		require(same.from - blank == part.from - text && same.to - blank == part.to - text);
	}
}

static void
try_kind(const char *text, size_t size, FaceText kind)
{
	char	   *once = malloc(size + 1);
	char	   *twice = malloc(size + 1);
	char	   *blank = malloc(size + 1);
	bool		any = face_redact(text, size, kind, FACE_SHORTEN, once);
	size_t		length = strlen(once);
	char	   *exact = copy_of(once, length);
	char	   *in_place = malloc(size + 1);

	require(length <= size && any == face_redact(text, size, kind, FACE_ASK, NULL));
	require(any || memcmp(once, text, size) == 0);
	if (kind == FACE_STATEMENT || kind == FACE_NAMES_OF_STATEMENT)
		require_same_tokens(text, size, kind, blank);
	memcpy(in_place, text, size);
	(void) face_redact(in_place, size, kind, FACE_SHORTEN, in_place);
	require(strcmp(once, in_place) == 0);
	(void) face_redact(exact, length, kind, FACE_SHORTEN, twice);
	require(strcmp(once, twice) == 0);
	if (kind == FACE_STATEMENT)
		require_little_shown(exact, length);
	free(once);
	free(twice);
	free(blank);
	free(exact);
	free(in_place);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = copy_of((const char *) data, size);

	/* As strings of the server's, it has no zero bytes. */
	for (size_t i = 0; i < size; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	try_kind(text, size, FACE_ANY_TEXT);
	try_kind(text, size, FACE_STATEMENT);
	try_kind(text, size, FACE_STATEMENT_CUT);
	try_kind(text, size, FACE_NAMES_OF_STATEMENT);
	free(text);
	return 0;
}
