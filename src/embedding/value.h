/*-------------------------------------------------------------------------
 *
 * value.h
 *	  The comparison functions that btree wants of a type, over one that compares.
 *
 * FACE_VALUE_COMPARISONS(type) defines type_cmp, type_eq, type_ne, type_lt,
 * type_le, type_gt and type_ge.  The file has compare_arguments(), which returns
 * less than, equal to or more than 0.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_EMBEDDING_VALUE_H
#define FACEMATCH_EMBEDDING_VALUE_H

#include "fmgr.h"

#define FACE_VALUE_COMPARISON(name, result) \
PG_FUNCTION_INFO_V1(name); \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	int			order = compare_arguments(fcinfo); \
\
	return result; \
}

#define FACE_VALUE_COMPARISONS(type) \
FACE_VALUE_COMPARISON(type##_cmp, Int32GetDatum(order)) \
FACE_VALUE_COMPARISON(type##_eq, BoolGetDatum(order == 0)) \
FACE_VALUE_COMPARISON(type##_ne, BoolGetDatum(order != 0)) \
FACE_VALUE_COMPARISON(type##_lt, BoolGetDatum(order < 0)) \
FACE_VALUE_COMPARISON(type##_le, BoolGetDatum(order <= 0)) \
FACE_VALUE_COMPARISON(type##_gt, BoolGetDatum(order > 0)) \
FACE_VALUE_COMPARISON(type##_ge, BoolGetDatum(order >= 0))

#endif							/* FACEMATCH_EMBEDDING_VALUE_H */
