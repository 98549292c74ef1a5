/*-------------------------------------------------------------------------
 *
 * cipher.c
 *	  AES-256 of OpenSSL: authenticated for values, a plain stream for blocks.
 *
 * A search opens thousands of blocks and values, so each backend makes the
 * contexts once, and expands a key only if it differs from the previous one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "miscadmin.h"
#include "port/pg_bswap.h"

#include "keys/cipher.h"

/* The system is asked for so many at a time: each question costs as much as sealing a slot of an index. */
#define DRAWN_AT_ONCE	4096

#define COUNTER_BYTES	16		/* nonce, and the number of the block of AES */

/* As much of several streams is made at a time: what sixteen slots of 512 dimensions need. */
#define STREAM_BYTES	1280

/* A context, and the key that it has expanded. */
typedef struct Cipher
{
	EVP_CIPHER_CTX *context;
	bool		keyed;
	uint8		key[FACE_KEY_BYTES];
} Cipher;

/* Some of each kind, by the first bits of the key: the rows of a gallery are under a few keys. */
#define CONTEXTS		16		/* a power of two */

static Cipher sealing[CONTEXTS];
static Cipher opening[CONTEXTS];
static Cipher blocks[CONTEXTS];
static Cipher streams[CONTEXTS];

static pg_noinline void
refuse_cipher(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("OpenSSL could not encrypt or decrypt"),
			 errhint("facematch needs AES-256 in GCM, CTR and ECB mode, and HMAC-SHA-256.")));
}

static inline void
check(int done)
{
	if (unlikely(done != 1))
		refuse_cipher();
}

/* The context with key and nonce set. */
static inline EVP_CIPHER_CTX *
ready(Cipher *ciphers, const EVP_CIPHER *(*kind) (void), const uint8 *key, const uint8 *nonce, int encrypts)
{
	Cipher	   *cipher = &ciphers[key[0] % CONTEXTS];

	if (likely(cipher->keyed && memcmp(cipher->key, key, FACE_KEY_BYTES) == 0))
	{
		check(EVP_CipherInit_ex(cipher->context, NULL, NULL, NULL, nonce, encrypts));
		return cipher->context;
	}
	if (cipher->context == NULL)
		cipher->context = EVP_CIPHER_CTX_new();
	if (cipher->context == NULL)
		refuse_cipher();
	cipher->keyed = false;
	check(EVP_CipherInit_ex(cipher->context, kind(), NULL, key, nonce, encrypts));
	memcpy(cipher->key, key, FACE_KEY_BYTES);
	cipher->keyed = true;
	return cipher->context;
}

void
face_cipher_seal(const uint8 *key, const uint8 *nonce, const void *said, size_t said_size, uint8 *bytes, size_t size, uint8 *tag)
{
	EVP_CIPHER_CTX *context = ready(sealing, EVP_aes_256_gcm, key, nonce, 1);
	int			done;

	check(EVP_EncryptUpdate(context, NULL, &done, said, (int) said_size));
	check(EVP_EncryptUpdate(context, bytes, &done, bytes, (int) size));
	check(EVP_EncryptFinal_ex(context, bytes + size, &done));
	check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, FACE_TAG_BYTES, tag));
}

bool
face_cipher_open(const uint8 *key, const uint8 *nonce, const void *said, size_t said_size, uint8 *bytes, size_t size, const uint8 *tag)
{
	EVP_CIPHER_CTX *context = ready(opening, EVP_aes_256_gcm, key, nonce, 0);
	int			done;

	check(EVP_DecryptUpdate(context, NULL, &done, said, (int) said_size));
	check(EVP_DecryptUpdate(context, bytes, &done, bytes, (int) size));
	check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, FACE_TAG_BYTES, unconstify(uint8 *, tag)));
	if (EVP_DecryptFinal_ex(context, bytes + size, &done) == 1)
		return true;
	explicit_bzero(bytes, size);
	return false;
}

void
face_block_cipher(const uint8 *key, const uint8 *nonce, const uint8 *from, uint8 *to, size_t size)
{
	uint8		counter[COUNTER_BYTES] = {0};
	EVP_CIPHER_CTX *context;
	int			done;

	memcpy(counter, nonce, FACE_NONCE_BYTES);
	context = ready(blocks, EVP_aes_256_ctr, key, counter, 1);
	check(EVP_EncryptUpdate(context, to, &done, from, (int) size));
}

/* The stream's blocks of one piece, before they are encrypted. */
static uint8 *
write_counters(const uint8 *nonce, size_t size, uint8 *counter)
{
	for (uint32 i = 0; i * (size_t) COUNTER_BYTES < size; i++)
	{
		const uint32 number = pg_hton32(i);

		memcpy(counter, nonce, FACE_NONCE_BYTES);
		memcpy(counter + FACE_NONCE_BYTES, &number, sizeof(number));
		counter += COUNTER_BYTES;
	}
	return counter;
}

/*
 * A call of OpenSSL costs as much as a kilobyte, and one in CTR mode has one
 * nonce.  CTR is the counters, encrypted one by one, over the bytes: so all
 * pieces' counters are encrypted by few calls in ECB mode.
 */
void
face_blocks_cipher(const uint8 *key, int n, uint8 *pieces, size_t size)
{
	const size_t bytes = size - FACE_NONCE_BYTES;
	const size_t whole = (bytes + COUNTER_BYTES - 1) / COUNTER_BYTES * COUNTER_BYTES;
	EVP_CIPHER_CTX *context = ready(streams, EVP_aes_256_ecb, key, NULL, 1);
	uint8		stream[STREAM_BYTES];
	int			done;

	Assert(whole <= sizeof(stream));
	for (int i = 0; i < n;)
	{
		const int	first = i;
		uint8	   *end = stream;

		for (; i < n && end + whole <= stream + sizeof(stream); i++)
			end = write_counters(pieces + i * size + bytes, bytes, end);
		check(EVP_EncryptUpdate(context, stream, &done, stream, (int) (end - stream)));
		for (int piece = first; piece < i; piece++)
			for (size_t at = 0; at < bytes; at++)
				pieces[piece * size + at] ^= stream[(piece - first) * whole + at];
	}
	explicit_bzero(stream, sizeof(stream));
}

void
face_derive_key(const uint8 *key, const char *purpose, uint8 *derived)
{
	unsigned int size = FACE_KEY_BYTES;

	if (HMAC(EVP_sha256(), key, FACE_KEY_BYTES, (const unsigned char *) purpose, strlen(purpose), derived, &size) == NULL)
		refuse_cipher();
}

static void
forget(Cipher *ciphers)
{
	for (int i = 0; i < CONTEXTS; i++)
		EVP_CIPHER_CTX_free(ciphers[i].context);
	explicit_bzero(ciphers, sizeof(Cipher) * CONTEXTS);
}

void
face_forget_ciphers(void)
{
	forget(sealing);
	forget(opening);
	forget(blocks);
	forget(streams);
}

void
face_random_bytes(void *bytes, size_t size)
{
	if (!pg_strong_random(bytes, size))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make random numbers")));
}

void
face_draw_bytes(void *bytes, size_t size)
{
	static uint8 drawn[DRAWN_AT_ONCE];
	static size_t left = 0;
	static int	drawn_by = 0;	/* no other process draws the same */

	Assert(size <= sizeof(drawn));
	if (left < size || drawn_by != MyProcPid)
	{
		face_random_bytes(drawn, sizeof(drawn));
		left = sizeof(drawn);
		drawn_by = MyProcPid;
	}
	left -= size;
	memcpy(bytes, drawn + left, size);
}
