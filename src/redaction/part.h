/*-------------------------------------------------------------------------
 *
 * part.h
 *	  A part of a text that may hold a template, and the classes of characters
 *	  by which such parts are found.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_REDACTION_PART_H
#define FACEMATCH_REDACTION_PART_H

#include "c.h"

/* A statement, and a stretch of another text, shows no more than this weight. */
#define FACE_MOST_SHOWN		16
/* What a part of this length weighs: one, and one more for each 16 bytes. */
#define FACE_WEIGHT(length)	(1 + (int) ((length) / 16))
/* Its weight when a mark replaces it. */
#define FACE_WEIGHT_OF_MARK	2

typedef struct FacePart
{
	const char *from;
	const char *to;
	const char *inner;			/* without quotes, tags and marks of comments */
	const char *inner_end;
	int			weight;
	bool		is_long;		/* is replaced in any context */
} FacePart;

static inline bool
face_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
face_is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static inline bool
face_is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static inline bool
face_is_hex(char c)
{
	return face_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* In every encoding of a server, all bytes of other characters than ASCII's have the highest bit. */
static inline bool
face_begins_name(char c)
{
	return face_is_lower(c) || face_is_upper(c) || c == '_' || (unsigned char) c >= 0x80;
}

static inline bool
face_continues_name(char c)
{
	return face_begins_name(c) || face_is_digit(c) || c == '$';
}

/* Whether a part is a string or a number: the others are names and comments. */
static inline bool
face_is_value(const FacePart *part)
{
	if (part->inner == part->from)
		return !face_begins_name(*part->from);
	return part->inner[-1] == '\'' || part->inner[-1] == '$';
}

#endif							/* FACEMATCH_REDACTION_PART_H */
