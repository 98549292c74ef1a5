/*-------------------------------------------------------------------------
 *
 * photograph.c
 *	  Sealed photographs: AES-256 in GCM mode.
 *
 * Each has a key of its own (keystore.c).  The key's name and the caller's
 * description of the photograph are authenticated with it, so that no photograph
 * can replace another.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"

#include "compat.h"
#include "base/bytes.h"
#include "keys/cipher.h"
#include "sealing/keystore.h"

PG_FUNCTION_INFO_V1(facematch_seal);
PG_FUNCTION_INFO_V1(facematch_unseal);

#define SEAL_VERSION	1

/* version, nonce; then ciphertext and tag */
#define SEAL_HEADER		(1 + FACE_NONCE_BYTES)
#define SEAL_OVERHEAD	(SEAL_HEADER + FACE_TAG_BYTES)

static StringInfoData
bound_to(const pg_uuid_t *id, text *said)
{
	StringInfoData bound;

	initStringInfo(&bound);
	appendBinaryStringInfo(&bound, (const char *) id->data, UUID_LEN);
	appendBinaryStringInfo(&bound, VARDATA_ANY(said), VARSIZE_ANY_EXHDR(said));
	return bound;
}

/* The cipher keeps the keys that it used last; this one is for one photograph only. */
static void
forget_key(uint8 *key)
{
	explicit_bzero(key, FACE_KEY_BYTES);
	face_forget_ciphers();
}

/* facematch_internal.seal_photograph(image, key_id, said): makes the key and seals the image with it */
Datum
facematch_seal(PG_FUNCTION_ARGS)
{
	bytea	   *image = PG_GETARG_BYTEA_PP(0);
	pg_uuid_t  *id = PG_GETARG_UUID_P(1);
	StringInfoData bound = bound_to(id, PG_GETARG_TEXT_PP(2));
	size_t		size = VARSIZE_ANY_EXHDR(image);
	bytea	   *sealed = palloc(VARHDRSZ + SEAL_OVERHEAD + size);
	uint8	   *nonce = (uint8 *) VARDATA(sealed) + 1;
	uint8	   *bytes = nonce + FACE_NONCE_BYTES;
	uint8		key[FACE_KEY_BYTES];

	SET_VARSIZE(sealed, VARHDRSZ + SEAL_OVERHEAD + size);
	VARDATA(sealed)[0] = SEAL_VERSION;
	face_random_bytes(nonce, FACE_NONCE_BYTES);
	memcpy(bytes, VARDATA_ANY(image), size);
	face_make_key(id, key);
	face_cipher_seal(key, nonce, bound.data, bound.len, bytes, size, bytes + size);
	forget_key(key);
	PG_RETURN_BYTEA_P(sealed);
}

/* facematch_internal.unseal_photograph(sealed, key_id, said): the image; NULL: the key has been destroyed */
Datum
facematch_unseal(PG_FUNCTION_ARGS)
{
	bytea	   *sealed = PG_GETARG_BYTEA_PP(0);
	pg_uuid_t  *id = PG_GETARG_UUID_P(1);
	StringInfoData bound = bound_to(id, PG_GETARG_TEXT_PP(2));
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(sealed);
	size_t		size = VARSIZE_ANY_EXHDR(sealed);
	bytea	   *image = NULL;
	bool		is_whole = false;
	uint8		key[FACE_KEY_BYTES];

	if (!face_read_key(id, key))
		PG_RETURN_NULL();
	if (size >= SEAL_OVERHEAD && bytes[0] == SEAL_VERSION)
	{
		size -= SEAL_OVERHEAD;
		image = face_bytea(bytes + SEAL_HEADER, size);
		is_whole = face_cipher_open(key, bytes + 1, bound.data, bound.len, (uint8 *) VARDATA(image), size,
									bytes + SEAL_HEADER + size);
	}
	forget_key(key);
	if (!is_whole)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the sealed photograph is not the one that was stored"),
				 errhint("It was changed, or put in another's place.")));
	PG_RETURN_BYTEA_P(image);
}
