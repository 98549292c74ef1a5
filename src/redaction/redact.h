/*-------------------------------------------------------------------------
 *
 * redact.h
 *	  A text without the templates in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_REDACTION_REDACT_H
#define FACEMATCH_REDACTION_REDACT_H

#include "c.h"

/* What a text is. */
typedef enum FaceText
{
	FACE_ANY_TEXT,
	FACE_STATEMENT,
	FACE_STATEMENT_CUT,			/* the beginning of a longer one */
	FACE_NAMES_OF_STATEMENT		/* names and comments of one whose constants somebody else takes out */
} FaceText;

/* What becomes of a text. */
typedef enum FaceForm
{
	FACE_ASK,					/* nothing: whether there is something to take out */
	FACE_SHORTEN,				/* a text of the same length or less */
	FACE_BLANK					/* a statement in which all tokens are where they were */
} FaceForm;

extern bool face_redact(const char *text, size_t length, FaceText kind, FaceForm form, char *into);

#endif							/* FACEMATCH_REDACTION_REDACT_H */
