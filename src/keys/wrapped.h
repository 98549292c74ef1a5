/*-------------------------------------------------------------------------
 *
 * wrapped.h
 *	  Keys of templates as files, wrapped under the site's wrapping key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_KEYS_WRAPPED_H
#define FACEMATCH_KEYS_WRAPPED_H

#include "postgres.h"

#include "utils/uuid.h"

extern void face_make_wrapped_key(const pg_uuid_t *id, bool first, uint8 *key);
extern void face_make_lasting_key(const pg_uuid_t *id);
extern bool face_is_wrapped_key(const pg_uuid_t *id);
extern bool face_read_wrapped_key(const pg_uuid_t *id, uint8 *key);
extern bool face_destroy_wrapped_key(const pg_uuid_t *id);
extern int64 face_rotate_wrapping_key(void);

#endif							/* FACEMATCH_KEYS_WRAPPED_H */
