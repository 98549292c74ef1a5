/*-------------------------------------------------------------------------
 *
 * fuzz_binary.c
 *	  libFuzzer harness of the binary reader of templates.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include <stdlib.h>
#include <string.h>

#include "embedding/embedding_limits.h"
#include "embedding/parse.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static float values[FACE_MAX_DIMS];

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *bytes = malloc(size);
	FaceParsed	parsed;

	/* a copy of the exact size, so that reading past it is noticed */
	if (size > 0)
		memcpy(bytes, data, size);
	if (face_parse_binary(bytes, size, values, &parsed) == FACE_PARSE_OK)
	{
		if (parsed.dims < 1 || parsed.dims > FACE_MAX_DIMS || parsed.model < FACE_NO_MODEL ||
			size != 4 + 4 * (size_t) parsed.dims)
			abort();
	}
	free(bytes);
	return 0;
}
