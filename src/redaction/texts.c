/*-------------------------------------------------------------------------
 *
 * texts.c
 *	  No template in the texts that the extension keeps.
 *
 * Names, remarks and what an event of the audit log says of a row are texts that
 * somebody chose: a key of a user's table, the name of a flight.  They outlive
 * templates, so no template may get into them.  In a JSON value each text is
 * judged by itself: an array of many short ones is not a list of numbers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/jsonfuncs.h"

#include "redaction/redact.h"
#include "redaction/texts.h"

PG_FUNCTION_INFO_V1(facematch_redacted);
PG_FUNCTION_INFO_V1(facematch_redacted_json);

static text *
redacted(const char *data, int length, FaceText kind)
{
	char	   *copy = palloc(length + 1);
	text	   *result;

	(void) face_redact(data, length, kind, FACE_SHORTEN, copy);
	result = cstring_to_text(copy);
	pfree(copy);
	return result;
}

/* facematch_internal.redacted(value text, is_statement boolean): what would stand in the log */
Datum
facematch_redacted(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(redacted(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), PG_GETARG_BOOL(1) ? FACE_STATEMENT : FACE_ANY_TEXT));
}

static bool
has_template(Jsonb *value)
{
	JsonbIterator *it = JsonbIteratorInit(&value->root);
	JsonbIteratorToken token;
	JsonbValue	part;
	bool		has = false;

	while (!has && (token = JsonbIteratorNext(&it, &part, false)) != WJB_DONE)
	{
		if ((token == WJB_VALUE || token == WJB_ELEM) && part.type == jbvString)
			has = face_redact(part.val.string.val, part.val.string.len, FACE_ANY_TEXT, FACE_ASK, NULL);
	}
	return has;
}

static text *
redact_part(void *state, char *data, int length)
{
	return redacted(data, length, FACE_ANY_TEXT);
}

/* The same value where there is nothing to take out, as nearly always. */
Jsonb *
face_redact_json(Jsonb *value)
{
	return has_template(value) ? transform_jsonb_string_values(value, NULL, redact_part) : value;
}

/* facematch_internal.redacted(jsonb) */
Datum
facematch_redacted_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(face_redact_json(PG_GETARG_JSONB_P(0)));
}
