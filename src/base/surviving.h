/*-------------------------------------------------------------------------
 *
 * surviving.h
 *	  Rows that stay whatever becomes of the transaction that wrote them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_SURVIVING_H
#define FACEMATCH_BASE_SURVIVING_H

#include "postgres.h"

extern void face_insert_surviving(Oid relid, Datum *values, bool *isnull, int columns);
extern void face_tell_wal_writer(void);
extern bool face_has_surviving(Oid relid);

#endif							/* FACEMATCH_BASE_SURVIVING_H */
