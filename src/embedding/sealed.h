/*-------------------------------------------------------------------------
 *
 * sealed.h
 *	  Sealed templates: the one way from a stored value to its numbers.
 *
 * A sealed value is a face_embedding whose norm and components are ciphertext.
 * Code that needs components calls face_opened() first. As values, by =, order
 * and hash, sealed ones are compared by their bytes, and never opened.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_EMBEDDING_SEALED_H
#define FACEMATCH_EMBEDDING_SEALED_H

#include "embedding/embedding.h"
#include "keys/cipher.h"
#include "utils/uuid.h"

typedef struct FaceSealedEmbedding
{
	int32		vl_len_;		/* varlena header, do not touch directly */
	int16		dims;			/* with FACE_SEALED */
	int16		model;
	pg_uuid_t	key;			/* its name */
	uint8		nonce[FACE_NONCE_BYTES];
	uint8		tag[FACE_TAG_BYTES];
	uint8		text[FLEXIBLE_ARRAY_MEMBER];	/* norm and components, encrypted */
} FaceSealedEmbedding;

/* Bytes of norm and components. */
#define FACE_SECRET_SIZE(dims)	(sizeof(float4) + (Size) (dims) * sizeof(uint16))
#define FACE_SEALED_SIZE(dims)	(offsetof(FaceSealedEmbedding, text) + FACE_SECRET_SIZE(dims))

/* Room for any template that is opened. */
typedef union FaceRoom
{
	FaceEmbedding value;
	uint8		bytes[FACE_EMBEDDING_SIZE(FACE_MAX_DIMS)];
} FaceRoom;

/* The name of its key; NULL: it is not sealed. */
static inline const pg_uuid_t *
face_sealed_by(const FaceEmbedding *stored)
{
	return face_is_sealed(stored) ? &((const FaceSealedEmbedding *) stored)->key : NULL;
}

/*
 * The value itself if it is NULL or not sealed, else opened into the room, which
 * is to be wiped after use.  NULL: its key has been destroyed, so it compares with
 * nobody.  Bytes that are not those that were sealed: XX001.
 */
extern const FaceEmbedding *face_opened(const FaceEmbedding *stored, FaceEmbedding *room);
extern void face_wipe(FaceEmbedding *room);

/* Raises 42501 unless the current user may have sealed templates opened (keys/template_key.h); or at once. */
extern void face_check_may_open(void);
extern _Noreturn void face_refuse_opening(void);

/* Two templates of which one is sealed at least, opened for a comparison. */
typedef struct FacePair
{
	const FaceEmbedding *opened[2];
	FaceRoom	rooms[2];
} FacePair;

/*
 * For what anybody may call: users who may not have them opened are refused, and
 * so are changed bytes.  To be wiped after use.  False: the key of one has been
 * destroyed, and nothing is left open.
 */
extern bool face_open_pair(const FaceEmbedding *a, const FaceEmbedding *b, FacePair *pair);
extern void face_wipe_pair(FacePair *pair);

/* One opened in the current memory context, for what is kept longer than a room. */
extern FaceEmbedding *face_opened_copy(const FaceEmbedding *stored);

/* The same for what anybody may call: 42501. */
extern FaceEmbedding *face_opened_copy_if_allowed(const FaceEmbedding *stored);

/* Sealed under a key; NULL: that has been destroyed. */
extern FaceEmbedding *face_sealed(const FaceEmbedding *plain, const pg_uuid_t *key);

/* "sealed:MODEL:DIMS:KEY:BASE64"; binary dims with FACE_SEALED, model, and the rest as it is stored (sealed_io.c). */
#define FACE_SEALED_TEXT "sealed:"

extern FaceEmbedding *face_sealed_from_text(const char *text);
extern FaceEmbedding *face_sealed_from_bytes(const uint8 *bytes, int size);
extern void face_sealed_append_text(StringInfo text, const FaceEmbedding *a);
extern void face_sealed_append_bytes(StringInfo message, const FaceEmbedding *a);

#endif							/* FACEMATCH_EMBEDDING_SEALED_H */
