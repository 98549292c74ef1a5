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

#define FACE_CIPHER_KEY	32		/* AES-256 */
#define FACE_MAC_KEY	32		/* HMAC-SHA-256 */

typedef struct FaceKey
{
	uint8		cipher[FACE_CIPHER_KEY];
	uint8		mac[FACE_MAC_KEY];
} FaceKey;

extern void face_make_key(const pg_uuid_t *id, FaceKey *key);
extern bool face_read_key(const pg_uuid_t *id, FaceKey *key);

#endif							/* FACEMATCH_SEALING_KEYSTORE_H */
