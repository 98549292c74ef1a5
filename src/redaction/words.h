/*-------------------------------------------------------------------------
 *
 * words.h
 *	  The words of any text that may be numbers or bytes of a template.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_REDACTION_WORDS_H
#define FACEMATCH_REDACTION_WORDS_H

#include "redaction/part.h"

typedef struct FaceWords
{
	const char *text;
	const char *end;
	const char *at;
	const char *number;			/* where the number before ends; NULL: none was there */
	bool		opened;			/* that number is the first in a bracket */
	bool		fraction;		/* and has decimals */
} FaceWords;

extern bool face_next_word(FaceWords *words, FacePart *part);
extern int	face_weigh_bytes(const char *from, const char *to, bool *hex);

#endif							/* FACEMATCH_REDACTION_WORDS_H */
