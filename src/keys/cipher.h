/*-------------------------------------------------------------------------
 *
 * cipher.h
 *	  AES-256 of OpenSSL: authenticated for values, a plain stream for blocks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_KEYS_CIPHER_H
#define FACEMATCH_KEYS_CIPHER_H

#include "c.h"

#define FACE_KEY_BYTES		32		/* AES-256 */
#define FACE_NONCE_BYTES	12		/* 96 bits, random at every use */
#define FACE_TAG_BYTES		16

/* GCM, in place.  What is said is authenticated too, and not stored. */
extern void face_cipher_seal(const uint8 *key, const uint8 *nonce, const void *said, size_t said_size,
							 uint8 *bytes, size_t size, uint8 *tag);

/* Whether the tag is right; if not, the bytes are zero. */
extern bool face_cipher_open(const uint8 *key, const uint8 *nonce, const void *said, size_t said_size,
							 uint8 *bytes, size_t size, const uint8 *tag);

/*
 * CTR, from one place to another or in place; the same call encrypts and
 * decrypts.  A nonce is never used for two writes under one key.  The context is
 * kept between calls: with the key of the call before, only the nonce is set.
 */
extern void face_block_cipher(const uint8 *key, const uint8 *nonce, const uint8 *from, uint8 *to, size_t size);

/*
 * The same for n pieces, `size` bytes each and one behind the other, that end
 * with the nonce of what is before it; in place.
 */
extern void face_blocks_cipher(const uint8 *key, int n, uint8 *pieces, size_t size);

/* A key for one purpose, from a key: HMAC-SHA-256 of the purpose. */
extern void face_derive_key(const uint8 *key, const char *purpose, uint8 *derived);

/* No key is left in the contexts. */
extern void face_forget_ciphers(void);

/* Random bytes, or an error; of the second, at most 4 kB that are no secret: nonces, and numbers that nobody shall guess. */
extern void face_random_bytes(void *bytes, size_t size);
extern void face_draw_bytes(void *bytes, size_t size);

#endif							/* FACEMATCH_KEYS_CIPHER_H */
