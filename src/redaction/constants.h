/*-------------------------------------------------------------------------
 *
 * constants.h
 *	  The constants of an SQL statement, one after the other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_REDACTION_CONSTANTS_H
#define FACEMATCH_REDACTION_CONSTANTS_H

#include "redaction/part.h"

typedef enum FaceFound
{
	FACE_NO_MORE,
	FACE_PART,
	FACE_BROKEN					/* from here on, the text is not a statement, or is one in two ways */
} FaceFound;

extern FaceFound face_next_constant(const char **at, const char *end, FacePart *part);

#endif							/* FACEMATCH_REDACTION_CONSTANTS_H */
