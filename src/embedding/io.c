/*-------------------------------------------------------------------------
 *
 * io.c
 *	  face_embedding's text and binary forms, and its type modifier.
 *
 * Text is "[0.1,-0.2]", or "7:[0.1,-0.2]" with the tag of model 7.  Binary is
 * int16 dimensions, int16 tag and big-endian float4 components: for untagged
 * templates what pgvector's client libraries send and read.  Sealed ones have
 * forms of their own (sealed_io.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/array.h"

#include "embedding/embedding.h"
#include "embedding/errors.h"
#include "embedding/format.h"
#include "embedding/parse.h"
#include "embedding/sealed.h"
#include "simd/simd.h"

/* "32767:[" and "]" with NUL. */
#define TEXT_FRAME_SIZE		9

PG_FUNCTION_INFO_V1(face_embedding_in);
PG_FUNCTION_INFO_V1(face_embedding_out);
PG_FUNCTION_INFO_V1(face_embedding_recv);
PG_FUNCTION_INFO_V1(face_embedding_send);
PG_FUNCTION_INFO_V1(face_embedding_typmod_in);
PG_FUNCTION_INFO_V1(face_embedding_typmod_out);

static const char *
syntax_detail(FaceParseStatus status)
{
	switch (status)
	{
		case FACE_PARSE_NO_BRACKET:
			return "The text must begin with \"[\", or with a model tag and \":[\".";
		case FACE_PARSE_EMPTY:
			return "There must be at least one component.";
		case FACE_PARSE_BAD_SEPARATOR:
			return "A component must be followed by \",\" or \"]\".";
		case FACE_PARSE_TRAILING:
			return "Nothing may follow the closing bracket.";
		default:
			return "A component must be a decimal number.";
	}
}

/* Raise what the reader of text or binary found, without repeating the input. */
static void
report_parse_failure(FaceParseStatus status, const FaceParsed *parsed)
{
	switch (status)
	{
		case FACE_PARSE_OK:
			return;
		case FACE_PARSE_BAD_TAG:
			face_input_error(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							 errmsg("model tag of a face embedding must be between 1 and %d", FACE_MAX_MODEL),
							 errhint("Leave the tag out of a text, or send 0 in binary, for an untagged template."));
			break;
		case FACE_PARSE_NOT_FINITE:
			face_input_error(errcode(ERRCODE_DATA_EXCEPTION),
							 errmsg("NaN and infinity are not allowed in a face embedding"),
							 errdetail("Found at byte %d of the text.", parsed->position),
							 errhint("Every component must be a finite number."));
			break;
		case FACE_PARSE_TOO_MANY:
			face_input_error(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							 errmsg("face embedding cannot have more than %d dimensions", FACE_MAX_DIMS));
			break;
		case FACE_PARSE_BAD_DIMS:
			face_input_error(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
							 errmsg("dimensions of a face embedding must be between 1 and %d", FACE_MAX_DIMS));
			break;
		case FACE_PARSE_BAD_LENGTH:
			face_input_error(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
							 errmsg("length of a binary face embedding does not fit its dimensions"),
							 errhint("Send int16 dimensions, int16 model tag and one big-endian float4 per dimension."));
			break;
		default:
			face_input_error(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
							 errmsg("invalid input syntax for type face_embedding at byte %d", parsed->position),
							 errdetail("%s", syntax_detail(status)),
							 errhint("Write [x,y,z] or, with the tag of model 7, 7:[x,y,z]."));
	}
}

FaceEmbedding *
face_embedding_from_text(const char *text)
{
	float		values[FACE_MAX_DIMS];
	FaceParsed	parsed;

	if (strncmp(text, FACE_SEALED_TEXT, strlen(FACE_SEALED_TEXT)) == 0)
		return face_sealed_from_text(text);

	report_parse_failure(face_parse_text(text, values, &parsed), &parsed);
	return face_embedding_from_floats(parsed.dims, parsed.model, values);
}

FaceEmbedding *
face_embedding_from_message(StringInfo message)
{
	float		values[FACE_MAX_DIMS];
	FaceParsed	parsed;
	int			len = message->len - message->cursor;
	const char *bytes = pq_getmsgbytes(message, len);

	if (len > 0 && (bytes[0] & (FACE_SEALED >> 8)) != 0 && (bytes[0] & 0x80) == 0)
		return face_sealed_from_bytes((const uint8 *) bytes, len);
	report_parse_failure(face_parse_binary((const unsigned char *) bytes, (Size) len, values, &parsed), &parsed);
	return face_embedding_from_floats(parsed.dims, parsed.model, values);
}

void
face_embedding_append_text(StringInfo text, const FaceEmbedding *a)
{
	char	   *p;

	if (face_is_sealed(a))
	{
		face_sealed_append_text(text, a);
		return;
	}
	enlargeStringInfo(text, TEXT_FRAME_SIZE + a->dims * FACE_COMPONENT_TEXT_SIZE);
	if (a->model != FACE_NO_MODEL)
		appendStringInfo(text, "%d:", a->model);
	p = text->data + text->len;
	for (int i = 0; i < a->dims; i++)
	{
		*p++ = (i == 0) ? '[' : ',';
		p += face_format_half(a->x[i], p);
	}
	*p++ = ']';
	*p = '\0';
	text->len = (int) (p - text->data);
}

void
face_embedding_append_message(StringInfo message, const FaceEmbedding *a)
{
	float		values[FACE_MAX_DIMS];

	if (face_is_sealed(a))
	{
		face_sealed_append_bytes(message, a);
		return;
	}
	face_kernels->half_to_float(a->dims, a->x, values);
	pq_sendint16(message, (uint16) a->dims);
	pq_sendint16(message, (uint16) a->model);
	for (int i = 0; i < a->dims; i++)
		pq_sendfloat4(message, values[i]);
}

Datum
face_embedding_in(PG_FUNCTION_ARGS)
{
	FaceEmbedding *result = face_embedding_from_text(PG_GETARG_CSTRING(0));

	PG_RETURN_FACE_EMBEDDING(face_embedding_apply_typmod(result, PG_GETARG_INT32(2)));
}

Datum
face_embedding_recv(PG_FUNCTION_ARGS)
{
	FaceEmbedding *result = face_embedding_from_message((StringInfo) PG_GETARG_POINTER(0));

	PG_RETURN_FACE_EMBEDDING(face_embedding_apply_typmod(result, PG_GETARG_INT32(2)));
}

Datum
face_embedding_out(PG_FUNCTION_ARGS)
{
	StringInfoData text;

	initStringInfo(&text);
	face_embedding_append_text(&text, PG_GETARG_FACE_EMBEDDING(0));
	PG_RETURN_CSTRING(text.data);
}

Datum
face_embedding_send(PG_FUNCTION_ARGS)
{
	StringInfoData message;

	pq_begintypsend(&message);
	face_embedding_append_message(&message, PG_GETARG_FACE_EMBEDDING(0));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

Datum
face_embedding_typmod_in(PG_FUNCTION_ARGS)
{
	int			n;
	int32	   *modifiers = ArrayGetIntegerTypmods(PG_GETARG_ARRAYTYPE_P(0), &n);

	if (n < 1 || n > 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid type modifier for type face_embedding"),
				 errhint("Write face_embedding(dimensions) or face_embedding(dimensions, model_tag).")));
	if (modifiers[0] < 1 || modifiers[0] > FACE_MAX_DIMS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions of type face_embedding must be between 1 and %d", FACE_MAX_DIMS)));
	if (n == 2 && (modifiers[1] < 1 || modifiers[1] > FACE_MAX_MODEL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model tag of type face_embedding must be between 1 and %d", FACE_MAX_MODEL)));
	PG_RETURN_INT32(FACE_TYPMOD(modifiers[0], n == 2 ? modifiers[1] : FACE_NO_MODEL));
}

Datum
face_embedding_typmod_out(PG_FUNCTION_ARGS)
{
	int32		typmod = PG_GETARG_INT32(0);

	if (typmod < 0)
		PG_RETURN_CSTRING(pstrdup(""));
	if (FACE_TYPMOD_MODEL(typmod) == FACE_NO_MODEL)
		PG_RETURN_CSTRING(psprintf("(%d)", FACE_TYPMOD_DIMS(typmod)));
	PG_RETURN_CSTRING(psprintf("(%d,%d)", FACE_TYPMOD_DIMS(typmod), FACE_TYPMOD_MODEL(typmod)));
}
