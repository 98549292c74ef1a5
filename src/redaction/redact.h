/*-------------------------------------------------------------------------
 *
 * redact.h
 *	  Templates and images taken out of texts that go to the server's log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_REDACTION_REDACT_H
#define FACEMATCH_REDACTION_REDACT_H

#include "postgres.h"

#include "utils/jsonb.h"

/* A stretch of a text that reads as a template or an image. */
typedef struct FaceStretch
{
	const char *from;
	const char *to;
	int			count;			/* of numbers, or of characters */
	const char *unit;
} FaceStretch;

/* Kinds of fractions that may have anything between them. */
#define FACE_LOOSE_RULES	2

/*
 * A search through a text.  Each kind of stretch is looked for ahead of the place
 * that the search is at, and not again where it was looked for in vain: so that
 * it takes as long as the text is, whatever is in it.
 */
typedef struct FaceSearch
{
	const char *text;
	const char *at;
	const char *lines;
	const char *pieces;
	const char *loose[FACE_LOOSE_RULES];
} FaceSearch;

extern void face_begin_search(FaceSearch *search, const char *text);
extern bool face_find_next(FaceSearch *search, FaceStretch *found);
extern bool face_find_stretch(const char *text, FaceStretch *found);
extern bool face_redact(const char *text, char *into);
extern Jsonb *face_redact_json(Jsonb *value);
extern void face_redact_init(void);

#endif							/* FACEMATCH_REDACTION_REDACT_H */
