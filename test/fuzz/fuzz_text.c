/*-------------------------------------------------------------------------
 *
 * fuzz_text.c
 *	  libFuzzer harness of the text reader and writer of templates.
 *
 * Beyond crashes: every accepted component must round to the same half as
 * strtof() makes of it, and every half must be written so that it reads back.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include <stdlib.h>
#include <string.h>

#include "embedding/embedding_limits.h"
#include "embedding/format.h"
#include "embedding/parse.h"
#include "simd/half.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static float values[FACE_MAX_DIMS];
static float again[FACE_MAX_DIMS];

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
compare_with_strtof(const char *text, const FaceParsed *parsed)
{
	const char *p = strchr(text, '[') + 1;

	for (int i = 0; i < parsed->dims; i++)
	{
		char	   *end;

		require(half_from_float(strtof(p, &end)) == half_from_float(values[i]));
		p = strpbrk(end, ",]") + 1;
	}
	require(p[-1] == ']');
}

static void
write_and_read_back(const FaceParsed *parsed)
{
	char	   *text = malloc((size_t) parsed->dims * FACE_COMPONENT_TEXT_SIZE + 2);
	char	   *p = text;
	FaceParsed	second;

	for (int i = 0; i < parsed->dims; i++)
	{
		uint16		half = half_from_float(values[i]);

		*p++ = i == 0 ? '[' : ',';
		p += face_format_half(half_is_finite(half) ? half : 0, p);
	}
	*p++ = ']';
	*p = '\0';
	require(face_parse_text(text, again, &second) == FACE_PARSE_OK && second.dims == parsed->dims);
	for (int i = 0; i < parsed->dims; i++)
	{
		uint16		half = half_from_float(values[i]);

		require(!half_is_finite(half) || half_from_float(again[i]) == half);
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = malloc(size + 1);
	FaceParsed	parsed;

	memcpy(text, data, size);
	text[size] = '\0';
	if (face_parse_text(text, values, &parsed) == FACE_PARSE_OK)
	{
		require(parsed.dims >= 1 && parsed.dims <= FACE_MAX_DIMS);
		require(parsed.model >= FACE_NO_MODEL && parsed.model <= FACE_MAX_MODEL);
		compare_with_strtof(text, &parsed);
		write_and_read_back(&parsed);
	}
	require(parsed.position >= 0 && (size_t) parsed.position <= strlen(text));
	free(text);
	return 0;
}
