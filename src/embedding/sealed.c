/*-------------------------------------------------------------------------
 *
 * sealed.c
 *	  Sealed templates: the one way from a stored value to its numbers.
 *
 * AES-256-GCM with a random nonce.  Authenticated with the ciphertext are the
 * version, the model, the dimensions and the key's name, so that no value passes
 * for one of another model, or of another key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/refusal.h"
#include "embedding/sealed.h"
#include "keys/template_key.h"

PG_FUNCTION_INFO_V1(facematch_sealed_by);
PG_FUNCTION_INFO_V1(facematch_opened);

/* The same on every machine: model and dimensions in the order of the network. */
typedef struct Said
{
	uint8		version;
	uint8		model[2];
	uint8		dims[2];
	pg_uuid_t	key;
} Said;

static Said
said_of(int model, int dims, const pg_uuid_t *key)
{
	Said		said = {1, {(uint8) (model >> 8), (uint8) model}, {(uint8) (dims >> 8), (uint8) dims}, *key};

	return said;
}

typedef enum Opening
{
	FACE_OPENED,
	FACE_KEY_GONE,				/* the key has been destroyed */
	FACE_CHANGED				/* these are not the bytes that were sealed */
} Opening;

static Opening
open_sealed(const FaceEmbedding *stored, FaceEmbedding *room)
{
	const FaceSealedEmbedding *sealed = (const FaceSealedEmbedding *) stored;
	int			dims = face_dims_of(stored);
	Said		said = said_of(stored->model, dims, &sealed->key);
	const uint8 *value_key;
	const uint8 *block_key;

	if (!face_template_key(&sealed->key, &value_key, &block_key))
		return FACE_KEY_GONE;
	SET_VARSIZE(room, FACE_EMBEDDING_SIZE(dims));
	room->dims = (int16) dims;
	room->model = stored->model;
	memcpy(&room->norm, sealed->text, FACE_SECRET_SIZE(dims));
	return face_cipher_open(value_key, sealed->nonce, &said, sizeof(said), (uint8 *) &room->norm, FACE_SECRET_SIZE(dims), sealed->tag) ?
		FACE_OPENED : FACE_CHANGED;
}

void
face_refuse_opening(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), face_refusal("sealed_template_may_be_opened"),
			 errmsg("a sealed template is decrypted only for roles that may read templates"),
			 errhint("Search with facematch.identify() or facematch.verify() by an unsealed probe. Whoever may SELECT"
					 " facematch.reference.embedding compares sealed ones.")));
}

static _Noreturn void
refuse_changed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a sealed template is not the one that was stored"),
			 errhint("It was changed, or put together from parts of others.")));
}

void
face_check_may_open(void)
{
	if (unlikely(!face_may_open()))
		face_refuse_opening();
}

const FaceEmbedding *
face_opened(const FaceEmbedding *stored, FaceEmbedding *room)
{
	if (stored == NULL || !face_is_sealed(stored))
		return stored;
	switch (open_sealed(stored, room))
	{
		case FACE_OPENED:
			return room;
		case FACE_KEY_GONE:
			return NULL;
		case FACE_CHANGED:
			refuse_changed();
	}
	pg_unreachable();
}

void
face_wipe(FaceEmbedding *room)
{
	explicit_bzero(&room->norm, FACE_SECRET_SIZE(room->dims));
}

bool
face_open_pair(const FaceEmbedding *a, const FaceEmbedding *b, FacePair *pair)
{
	face_check_may_open();
	pair->opened[0] = a;
	pair->opened[1] = b;
	for (int i = 0; i < 2; i++)
	{
		Opening how;

		if (!face_is_sealed(pair->opened[i]))
			continue;
		how = open_sealed(pair->opened[i], &pair->rooms[i].value);
		if (how != FACE_OPENED)
		{
			face_wipe_pair(pair);
			if (how == FACE_CHANGED)
				refuse_changed();
			return false;
		}
		pair->opened[i] = &pair->rooms[i].value;
	}
	return true;
}

void
face_wipe_pair(FacePair *pair)
{
	for (int i = 0; i < 2; i++)
	{
		if (pair->opened[i] == &pair->rooms[i].value)
			face_wipe(&pair->rooms[i].value);
	}
}

FaceEmbedding *
face_opened_copy(const FaceEmbedding *stored)
{
	FaceEmbedding *room;

	if (!face_is_sealed(stored))
		return unconstify(FaceEmbedding *, stored);
	room = palloc(FACE_EMBEDDING_SIZE(face_dims_of(stored)));
	return unconstify(FaceEmbedding *, face_opened(stored, room));
}

FaceEmbedding *
face_opened_copy_if_allowed(const FaceEmbedding *stored)
{
	if (face_is_sealed(stored))
		face_check_may_open();
	return face_opened_copy(stored);
}

FaceEmbedding *
face_sealed(const FaceEmbedding *plain, const pg_uuid_t *key)
{
	FaceSealedEmbedding *sealed = palloc(FACE_SEALED_SIZE(plain->dims));
	Said		said = said_of(plain->model, plain->dims, key);
	const uint8 *value_key;
	const uint8 *block_key;

	if (!face_template_key(key, &value_key, &block_key))
		return NULL;
	SET_VARSIZE(sealed, FACE_SEALED_SIZE(plain->dims));
	sealed->dims = (int16) (plain->dims | FACE_SEALED);
	sealed->model = plain->model;
	sealed->key = *key;
	face_draw_bytes(sealed->nonce, sizeof(sealed->nonce));
	memcpy(sealed->text, &plain->norm, FACE_SECRET_SIZE(plain->dims));
	face_cipher_seal(value_key, sealed->nonce, &said, sizeof(said), sealed->text, FACE_SECRET_SIZE(plain->dims), sealed->tag);
	return (FaceEmbedding *) sealed;
}

void
face_check_unsealed(const FaceEmbedding *stored)
{
	if (unlikely(face_is_sealed(stored)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the template is sealed, so its components cannot be read"),
				 errhint("facematch.unseal() returns it to roles that may read templates, and is logged.")));
}

/* facematch_internal.sealed_by(template): the name of its key; NULL: it is not sealed */
Datum
facematch_sealed_by(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *key = face_sealed_by(PG_GETARG_FACE_EMBEDDING(0));

	if (key == NULL)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(memcpy(palloc(UUID_LEN), key, UUID_LEN));
}

/* facematch_internal.opened(template): as it was before it was sealed; NULL: its key has been destroyed */
Datum
facematch_opened(PG_FUNCTION_ARGS)
{
	FaceEmbedding *opened = face_opened_copy_if_allowed(PG_GETARG_FACE_EMBEDDING(0));

	if (opened == NULL)
		PG_RETURN_NULL();
	PG_RETURN_FACE_EMBEDDING(opened);
}
