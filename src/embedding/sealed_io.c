/*-------------------------------------------------------------------------
 *
 * sealed_io.c
 *	  Text and binary forms of sealed templates.
 *
 * Text is "sealed:MODEL:DIMS:KEY:BASE64", the key's name as a UUID and then nonce,
 * tag and ciphertext.  Binary is int16 dimensions with FACE_SEALED, int16 model
 * tag, and what is stored.  Neither needs the key, in either direction: what was
 * changed is found when it is opened.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/base64.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

#include "embedding/errors.h"
#include "embedding/sealed.h"

#define UUID_TEXT		36

/* What follows the key's name. */
#define SECRET_OFFSET	offsetof(FaceSealedEmbedding, nonce)

static pg_noinline void
refuse_text(void)
{
	face_input_error(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid input syntax for a sealed face embedding"),
					 errhint("It is sealed:MODEL:DIMENSIONS:KEY:BASE64, as the type writes it."));
}

static FaceSealedEmbedding *
new_sealed(int model, int dims)
{
	FaceSealedEmbedding *sealed = palloc0(FACE_SEALED_SIZE(dims));

	SET_VARSIZE(sealed, FACE_SEALED_SIZE(dims));
	sealed->dims = (int16) (dims | FACE_SEALED);
	sealed->model = (int16) model;
	return sealed;
}

/* A number and the colon after it. */
static int
read_number(const char **text, int least, int most)
{
	char	   *end;
	long		number = strtol(*text, &end, 10);

	if (**text < '0' || **text > '9' || *end != ':' || number < least || number > most)
		refuse_text();
	*text = end + 1;
	return (int) number;
}

static void
read_key(const char **text, pg_uuid_t *key)
{
	char		name[UUID_TEXT + 1];

	if (strspn(*text, "0123456789abcdefABCDEF-") != UUID_TEXT || (*text)[UUID_TEXT] != ':')
		refuse_text();
	strlcpy(name, *text, sizeof(name));
	*key = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(name)));
	*text += UUID_TEXT + 1;
}

FaceEmbedding *
face_sealed_from_text(const char *text)
{
	FaceSealedEmbedding *sealed;
	int			model;
	int			dims;
	int			size;

	text += strlen(FACE_SEALED_TEXT);
	model = read_number(&text, FACE_NO_MODEL, FACE_MAX_MODEL);
	dims = read_number(&text, 1, FACE_MAX_DIMS);
	sealed = new_sealed(model, dims);
	read_key(&text, &sealed->key);
	size = VARSIZE(sealed) - SECRET_OFFSET;
	if (pg_b64_decode(text, (int) strlen(text), (void *) sealed->nonce, size) != size)
		refuse_text();
	return (FaceEmbedding *) sealed;
}

FaceEmbedding *
face_sealed_from_bytes(const uint8 *bytes, int size)
{
	const int	header = 2 * sizeof(int16);
	int			dims = size < header ? 0 : ((bytes[0] << 8) | bytes[1]) & ~FACE_SEALED;
	FaceSealedEmbedding *sealed;

	if (dims < 1 || dims > FACE_MAX_DIMS || (bytes[2] & 0x80) != 0 ||
		(Size) (size - header) != FACE_SEALED_SIZE(dims) - offsetof(FaceSealedEmbedding, key))
		face_input_error(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						 errmsg("a sealed face embedding has a length that does not fit its dimensions"));
	sealed = new_sealed((bytes[2] << 8) | bytes[3], dims);
	memcpy(&sealed->key, bytes + header, size - header);
	return (FaceEmbedding *) sealed;
}

void
face_sealed_append_text(StringInfo text, const FaceEmbedding *a)
{
	const FaceSealedEmbedding *sealed = (const FaceSealedEmbedding *) a;
	int			size = VARSIZE(sealed) - SECRET_OFFSET;

	appendStringInfo(text, FACE_SEALED_TEXT "%d:%d:%s:", sealed->model, face_dims_of(a),
					 DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&sealed->key))));
	enlargeStringInfo(text, pg_b64_enc_len(size));
	text->len += pg_b64_encode((const void *) sealed->nonce, size, text->data + text->len, pg_b64_enc_len(size));
	text->data[text->len] = '\0';
}

void
face_sealed_append_bytes(StringInfo message, const FaceEmbedding *a)
{
	const FaceSealedEmbedding *sealed = (const FaceSealedEmbedding *) a;

	pq_sendint16(message, (uint16) sealed->dims);
	pq_sendint16(message, (uint16) sealed->model);
	pq_sendbytes(message, (void *) &sealed->key, VARSIZE(sealed) - offsetof(FaceSealedEmbedding, key));
}
