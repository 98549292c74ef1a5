/*-------------------------------------------------------------------------
 *
 * redact.h
 *	  Templates and images taken out of texts that go to the server's log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_REDACT_H
#define FACEMATCH_RETENTION_REDACT_H

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

extern bool face_find_stretch(const char *text, FaceStretch *found);
extern bool face_redact(const char *text, char *into);
extern Jsonb *face_redact_json(Jsonb *value);
extern void face_redact_init(void);

#endif							/* FACEMATCH_RETENTION_REDACT_H */
