/*-------------------------------------------------------------------------
 *
 * bytes.h
 *	  Bytes of memory as a value of SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_BYTES_H
#define FACEMATCH_BASE_BYTES_H

#include "postgres.h"

/* A copy of these bytes, in the current memory context. */
static inline bytea *
face_bytea(const void *bytes, size_t size)
{
	bytea	   *value = palloc(VARHDRSZ + size);

	SET_VARSIZE(value, VARHDRSZ + size);
	memcpy(VARDATA(value), bytes, size);
	return value;
}

#endif							/* FACEMATCH_BASE_BYTES_H */
