/*-------------------------------------------------------------------------
 *
 * keystore.h
 *	  The keys of photographs, in files outside the data directory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_SEALING_KEYSTORE_H
#define FACEMATCH_SEALING_KEYSTORE_H

#include "postgres.h"

#include "utils/uuid.h"

/* Of FACE_KEY_BYTES. */
extern void face_make_key(const pg_uuid_t *id, uint8 *key);
extern bool face_read_key(const pg_uuid_t *id, uint8 *key);

#endif							/* FACEMATCH_SEALING_KEYSTORE_H */
