/*-------------------------------------------------------------------------
 *
 * redact_json.c
 *	  Templates and images taken out of the texts in a JSON value.
 *
 * What an event of the log says of a row has texts that somebody chose: a key of
 * a user's table, a name.  The log is never changed, so no template may get into
 * it.  Each text is looked at by itself, as stretch.c looks at one: an array of
 * many short ones is no list of numbers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/jsonfuncs.h"

#include "redaction/redact.h"

PG_FUNCTION_INFO_V1(facematch_redacted_json);

/* A text of the value, which does not end with a zero byte. */
static char *
text_of(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static bool
has_stretch(Jsonb *value)
{
	JsonbIterator *it = JsonbIteratorInit(&value->root);
	JsonbIteratorToken token;
	JsonbValue	part;
	FaceStretch found;
	bool		has = false;

	while (!has && (token = JsonbIteratorNext(&it, &part, false)) != WJB_DONE)
	{
		if ((token == WJB_VALUE || token == WJB_ELEM) && part.type == jbvString)
		{
			char	   *text = text_of(&part);

			has = face_find_stretch(text, &found);
			pfree(text);
		}
	}
	return has;
}

static text *
redact_part(void *state, char *data, int length)
{
	char	   *value = pnstrdup(data, length);
	char	   *copy = palloc(length + 1);

	return cstring_to_text(face_redact(value, copy) ? copy : value);
}

/* The same value where there is nothing to take out, as nearly always. */
Jsonb *
face_redact_json(Jsonb *value)
{
	return has_stretch(value) ? transform_jsonb_string_values(value, NULL, redact_part) : value;
}

/* facematch_internal.redacted(jsonb) */
Datum
facematch_redacted_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(face_redact_json(PG_GETARG_JSONB_P(0)));
}
