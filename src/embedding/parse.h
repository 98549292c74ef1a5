/*-------------------------------------------------------------------------
 *
 * parse.h
 *	  Reading the text and binary forms of a template, without the backend.
 *
 * The two readers of untrusted bytes stand alone: they allocate nothing, raise
 * nothing and call nothing of PostgreSQL, so that test/fuzz can link them by
 * themselves.  io.c turns their status codes into errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_EMBEDDING_PARSE_H
#define FACEMATCH_EMBEDDING_PARSE_H

#include "c.h"

typedef enum FaceParseStatus
{
	FACE_PARSE_OK,
	FACE_PARSE_NO_BRACKET,		/* text does not begin with "[" or "tag:[" */
	FACE_PARSE_BAD_TAG,			/* tag outside 1 .. FACE_MAX_MODEL */
	FACE_PARSE_EMPTY,			/* no component at all */
	FACE_PARSE_BAD_NUMBER,		/* something else where a component belongs */
	FACE_PARSE_BAD_SEPARATOR,	/* neither "," nor "]" after a component */
	FACE_PARSE_TRAILING,		/* something after the closing bracket */
	FACE_PARSE_NOT_FINITE,		/* the words NaN, inf or infinity */
	FACE_PARSE_TOO_MANY,		/* more components than allowed */
	FACE_PARSE_BAD_DIMS,		/* binary: dimensions outside 1 .. FACE_MAX_DIMS */
	FACE_PARSE_BAD_LENGTH		/* binary: length does not fit the dimensions */
} FaceParseStatus;

typedef struct FaceParsed
{
	int			dims;
	int			model;
	int			position;		/* on failure: byte offset in the input */
} FaceParsed;

/*
 * Read "[c, c, ...]" or "tag:[c, c, ...]" into values[FACE_MAX_DIMS], each
 * component correctly rounded to float32 where it matters to half precision
 * (magnitudes below 1e-30 may become zero, out-of-range ones infinity).
 * The text ends with NUL.
 */
extern FaceParseStatus face_parse_text(const char *text, float *values, FaceParsed *parsed);

/* Read int16 dims, int16 tag, dims x float4, all big-endian. */
extern FaceParseStatus face_parse_binary(const unsigned char *bytes, Size len,
										 float *values, FaceParsed *parsed);

/*
 * The float32 nearest to digits * 10^exponent.  The only arithmetic that turns
 * decimals into components; the output function verifies its text with it.
 * "token" is the decimal as text, for the rare value too close to a rounding
 * boundary to be settled in double precision.
 */
extern float face_decimal_to_float(uint64 digits, int exponent, const char *token);

#endif							/* FACEMATCH_EMBEDDING_PARSE_H */
