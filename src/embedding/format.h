/*-------------------------------------------------------------------------
 *
 * format.h
 *	  The text of one component.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_EMBEDDING_FORMAT_H
#define FACEMATCH_EMBEDDING_FORMAT_H

#include "c.h"

/* "-0.00012207" and "-5.96e-08" are the longest; room for the like. */
#define FACE_COMPONENT_TEXT_SIZE 16

/*
 * Write the shortest decimal that reads back to this half (finite), or the
 * half itself where it is a whole number of 4,096 or more, without NUL.
 * Returns the number of characters, less than FACE_COMPONENT_TEXT_SIZE.
 */
extern int	face_format_half(uint16 half, char *text);

#endif							/* FACEMATCH_EMBEDDING_FORMAT_H */
