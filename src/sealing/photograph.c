/*-------------------------------------------------------------------------
 *
 * photograph.c
 *	  Sealed photographs: AES-256 in CBC mode, then HMAC-SHA-256 over all of it.
 *
 * Each has a key of its own (keystore.c) and a random initialisation vector. The
 * HMAC covers the version, the key's name, the caller's description of the
 * photograph, vector and ciphertext, so that no photograph can replace another. The
 * primitives are pgcrypto's, called as functions: in a statement, the key would be
 * a parameter that a log could show.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "parser/parse_func.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "base/bytes.h"
#include "base/refusal.h"
#include "base/run.h"
#include "keys/cipher.h"
#include "sealing/keystore.h"

PG_FUNCTION_INFO_V1(facematch_seal);
PG_FUNCTION_INFO_V1(facematch_unseal);

#define SEAL_VERSION	1
#define IV_BYTES		16		/* a block of AES */
#define MAC_BYTES		32		/* SHA-256 */
#define CIPHER			"aes-cbc/pad:pkcs"

/* version, vector, ciphertext, MAC */
#define SEAL_HEADER		(1 + IV_BYTES)

/* A function of pgcrypto, wherever it stands. */
static Oid
pgcrypto(const char *name, int nargs, const Oid *types)
{
	bool		isnull = true;
	Datum		schema = (Datum) 0;

	SPI_connect();
	face_run("SELECT e.extnamespace FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'pgcrypto'", 0, NULL, NULL,
			 face_owner(face_table("photograph")));
	if (SPI_processed == 1)
		schema = face_result(1, &isnull);
	SPI_finish();
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), face_refusal("pgcrypto_is_installed"),
				 errmsg("extension pgcrypto is missing")));
	return LookupFuncName(list_make2(makeString(get_namespace_name(DatumGetObjectId(schema))), makeString(pstrdup(name))),
						  nargs, types, false);
}

static bytea *
cipher(const char *function, const uint8 *bytes, size_t size, const FaceKey *key, const uint8 *iv)
{
	static const Oid types[] = {BYTEAOID, BYTEAOID, BYTEAOID, TEXTOID};
	bytea	   *key_bytes = face_bytea(key->cipher, sizeof(key->cipher));
	bytea	   *result;

	result = DatumGetByteaPP(OidFunctionCall4(pgcrypto(function, lengthof(types), types),
											  PointerGetDatum(face_bytea(bytes, size)), PointerGetDatum(key_bytes),
											  PointerGetDatum(face_bytea(iv, IV_BYTES)), CStringGetTextDatum(CIPHER)));
	explicit_bzero(VARDATA(key_bytes), sizeof(key->cipher));
	return result;
}

/* The MAC of a seal's header and ciphertext, under a key and for a purpose. */
static bytea *
authenticate(const pg_uuid_t *id, const char *sealed, size_t size, text *said, const FaceKey *key)
{
	static const Oid types[] = {BYTEAOID, BYTEAOID, TEXTOID};
	uint32		said_size = pg_hton32((uint32) VARSIZE_ANY_EXHDR(said));
	size_t		total = UUID_LEN + sizeof(said_size) + VARSIZE_ANY_EXHDR(said) + size;
	bytea	   *whole = palloc(VARHDRSZ + total);
	bytea	   *key_bytes = face_bytea(key->mac, sizeof(key->mac));
	char	   *into = VARDATA(whole);
	bytea	   *mac;

	SET_VARSIZE(whole, VARHDRSZ + total);
	memcpy(into, id->data, UUID_LEN);
	into += UUID_LEN;
	memcpy(into, &said_size, sizeof(said_size));
	into += sizeof(said_size);
	memcpy(into, VARDATA_ANY(said), VARSIZE_ANY_EXHDR(said));
	into += VARSIZE_ANY_EXHDR(said);
	memcpy(into, sealed, size);
	mac = DatumGetByteaPP(OidFunctionCall3(pgcrypto("hmac", lengthof(types), types), PointerGetDatum(whole),
										   PointerGetDatum(key_bytes), CStringGetTextDatum("sha256")));
	explicit_bzero(VARDATA(key_bytes), sizeof(key->mac));
	return mac;
}

/* facematch_internal.seal_photograph(image, key_id, said): makes the key and seals the image with it */
Datum
facematch_seal(PG_FUNCTION_ARGS)
{
	bytea	   *image = PG_GETARG_BYTEA_PP(0);
	pg_uuid_t  *id = PG_GETARG_UUID_P(1);
	text	   *said = PG_GETARG_TEXT_PP(2);
	uint8		header[SEAL_HEADER] = {SEAL_VERSION};
	FaceKey		key;
	bytea	   *ciphertext;
	bytea	   *mac;
	bytea	   *sealed;
	size_t		size;

	face_random_bytes(header + 1, IV_BYTES);
	face_make_key(id, &key);
	ciphertext = cipher("encrypt_iv", (uint8 *) VARDATA_ANY(image), VARSIZE_ANY_EXHDR(image), &key, header + 1);
	size = SEAL_HEADER + VARSIZE_ANY_EXHDR(ciphertext);
	sealed = palloc(VARHDRSZ + size + MAC_BYTES);
	SET_VARSIZE(sealed, VARHDRSZ + size + MAC_BYTES);
	memcpy(VARDATA(sealed), header, SEAL_HEADER);
	memcpy(VARDATA(sealed) + SEAL_HEADER, VARDATA_ANY(ciphertext), VARSIZE_ANY_EXHDR(ciphertext));
	mac = authenticate(id, VARDATA(sealed), size, said, &key);
	memcpy(VARDATA(sealed) + size, VARDATA_ANY(mac), MAC_BYTES);
	explicit_bzero(&key, sizeof(key));
	PG_RETURN_BYTEA_P(sealed);
}

/* facematch_internal.unseal_photograph(sealed, key_id, said): the image; NULL: the key has been destroyed */
Datum
facematch_unseal(PG_FUNCTION_ARGS)
{
	bytea	   *sealed = PG_GETARG_BYTEA_PP(0);
	pg_uuid_t  *id = PG_GETARG_UUID_P(1);
	text	   *said = PG_GETARG_TEXT_PP(2);
	char	   *bytes = VARDATA_ANY(sealed);
	size_t		size = VARSIZE_ANY_EXHDR(sealed);
	FaceKey		key;
	bytea	   *mac;
	bytea	   *image;
	uint8		differs = 0;

	if (!face_read_key(id, &key))
		PG_RETURN_NULL();
	if (size >= SEAL_HEADER + MAC_BYTES && bytes[0] == SEAL_VERSION)
	{
		size -= MAC_BYTES;
		mac = authenticate(id, bytes, size, said, &key);
		for (int i = 0; i < MAC_BYTES; i++)
			differs |= (uint8) bytes[size + i] ^ (uint8) VARDATA_ANY(mac)[i];
	}
	else
		differs = 1;
	if (differs != 0)
	{
		explicit_bzero(&key, sizeof(key));
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the sealed photograph is not the one that was stored"),
				 errhint("It was changed, or put in another's place.")));
	}
	image = cipher("decrypt_iv", (uint8 *) bytes + SEAL_HEADER, size - SEAL_HEADER, &key, (uint8 *) bytes + 1);
	explicit_bzero(&key, sizeof(key));
	PG_RETURN_BYTEA_P(image);
}
