/*-------------------------------------------------------------------------
 *
 * errors.h
 *	  Errors about templates that do not repeat a template.
 *
 * SQLSTATEs of the type, all of class 22 except three:
 *	  22P02  text that is not of the form [c, ...] or tag:[c, ...]
 *	  22P03  binary whose length or dimensions contradict themselves
 *	  22003  component, tag, dimension or threshold out of range
 *	  22000  NaN, infinity, zero norm, empty, unequal dimensions
 *	  22023  templates or columns of different models
 *	  22004  NULL among the components
 *	  2202E  array of more than one dimension
 *	  54000  more than FACE_MAX_DIMS components
 *	  55000  components of a sealed template
 *	  XX001  a sealed template that was changed
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_EMBEDDING_ERRORS_H
#define FACEMATCH_EMBEDDING_ERRORS_H

#include "postgres.h"

/*
 * Call before raising an error while a value is read.  COPY adds the text of
 * the column to the error's context, and the server log the whole statement;
 * both hold the template.  The line and column names of COPY stay.
 */
extern void face_withhold_copied_value(void);

/*
 * An error about a template that is being read or made: position and limits
 * may be told, values never.
 */
#define face_input_error(...) \
	do { \
		face_withhold_copied_value(); \
		ereport(ERROR, (errhidestmt(true), __VA_ARGS__)); \
	} while (0)

#endif							/* FACEMATCH_EMBEDDING_ERRORS_H */
