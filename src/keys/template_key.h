/*-------------------------------------------------------------------------
 *
 * template_key.h
 *	  The keys of sealed templates, and where a backend gets them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_KEYS_TEMPLATE_KEY_H
#define FACEMATCH_KEYS_TEMPLATE_KEY_H

#include "postgres.h"

#include "utils/uuid.h"

#include "keys/cipher.h"

/*
 * The two keys of a name, FACE_KEY_BYTES each: for values (face_cipher_seal) and
 * for blocks of an index (face_block_cipher).  False: the key has been destroyed.
 * A key that should be there and is not, or cannot be read: an error.
 *
 * The pointers stay good until the transaction ends; a key that is destroyed
 * meanwhile becomes zero bytes there.  May read a file or run a command the first
 * time: not to be called with a buffer locked.
 */
extern bool face_template_key(const pg_uuid_t *id, const uint8 **value_key, const uint8 **block_key);

/*
 * The name of the site's key, with which an index seals what belongs to no chain:
 * its centre and seed.  It is made where there is none, and never destroyed; the
 * index stores the name and asks face_template_key() with it.  A key that was lost
 * is made again under its name: seal with face_cipher_seal(), which notices.
 */
extern pg_uuid_t face_site_key(void);

/* The name alone, which says of which database of which cluster the site is; and whether that is another one that is there. */
extern pg_uuid_t face_site_key_name(void);
extern bool face_is_anothers_site(const pg_uuid_t *site);

/* Makes the key of a name.  First: there was none before. */
extern void face_make_template_key(const pg_uuid_t *id, bool first);
extern bool face_destroy_template_key(const pg_uuid_t *id);

/* From now on each key is asked for again before it is used; and how often this was called. */
extern void face_doubt_template_keys(void);
extern uint64 face_template_key_doubts(void);

/* Whether a name is that of the key of a site, which belongs to no row. */
extern bool face_is_site_key_name(const pg_uuid_t *id);

/*
 * Whether the current user may have sealed templates opened by comparing them:
 * whoever may read those of references, and the owner, as whom the library's own
 * statements run.  Exact distances to a few vectors are the template.
 */
extern bool face_may_open(void);

extern void face_template_key_init(void);

#endif							/* FACEMATCH_KEYS_TEMPLATE_KEY_H */
