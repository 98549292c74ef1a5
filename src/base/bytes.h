/*-------------------------------------------------------------------------
 *
 * bytes.h
 *	  Bytes and UUIDs of memory as values of SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_BYTES_H
#define FACEMATCH_BASE_BYTES_H

#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/uuid.h"

/* A copy of these bytes, in the current memory context. */
static inline bytea *
face_bytea(const void *bytes, size_t size)
{
	bytea	   *value = palloc(VARHDRSZ + size);

	SET_VARSIZE(value, VARHDRSZ + size);
	memcpy(VARDATA(value), bytes, size);
	return value;
}

/* The same of a list of pg_uuid_t, as uuid[]. */
static inline ArrayType *
face_uuid_array(const List *uuids)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(list_length(uuids), 1));

	for (int i = 0; i < list_length(uuids); i++)
		values[i] = UUIDPGetDatum(list_nth(uuids, i));
	return construct_array(values, list_length(uuids), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
}

#endif							/* FACEMATCH_BASE_BYTES_H */
