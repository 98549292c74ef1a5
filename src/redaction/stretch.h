/*-------------------------------------------------------------------------
 *
 * stretch.h
 *	  What stretch.c and stretch_bytes.c have in common: characters and casts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_REDACTION_STRETCH_H
#define FACEMATCH_REDACTION_STRETCH_H

#include "postgres.h"

#include "redaction/redact.h"

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static inline bool
is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

extern const char *face_skip_cast(const char *at);
extern bool face_find_bytes(FaceSearch *search, const char *at, FaceStretch *found);
extern bool face_find_pieces(FaceSearch *search, const char *at, FaceStretch *found);

#endif							/* FACEMATCH_REDACTION_STRETCH_H */
