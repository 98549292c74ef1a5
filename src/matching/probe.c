/*-------------------------------------------------------------------------
 *
 * probe.c
 *	  The face_probe type: a probe together with its threshold.
 *
 * Text is "0.42@[0.1,-0.2]", with the embedding's text after the "@"; binary
 * is the threshold as float8 and then the embedding's binary form.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "libpq/pqformat.h"
#include "utils/float.h"
#include "utils/builtins.h"

#include "embedding/errors.h"
#include "matching/match.h"

PG_FUNCTION_INFO_V1(face_probe);
PG_FUNCTION_INFO_V1(face_probe_in);
PG_FUNCTION_INFO_V1(face_probe_out);
PG_FUNCTION_INFO_V1(face_probe_recv);
PG_FUNCTION_INFO_V1(face_probe_send);

FaceProbe *
face_probe_make(const FaceEmbedding *probe, double min_similarity)
{
	Size		size = FACE_PROBE_SIZE(probe->dims);
	FaceProbe  *result;

	face_check_min_similarity(min_similarity);
	result = (FaceProbe *) palloc0(size);
	SET_VARSIZE(result, size);
	/* -0 and 0 are one threshold */
	result->min_similarity = min_similarity + 0.0;
	memcpy(&result->embedding, probe, VARSIZE(probe));
	return result;
}

Datum
face_probe(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(face_probe_make(PG_GETARG_FACE_EMBEDDING(0), PG_GETARG_FLOAT8(1)));
}

Datum
face_probe_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	char	   *end;
	double		min_similarity = strtod(text, &end);

	if (end == text || *end != '@')
		face_input_error(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						 errmsg("invalid input syntax for type face_probe"),
						 errhint("Write a minimum similarity, \"@\" and a face embedding, such as 0.42@[0.1,-0.2]."));
	face_check_min_similarity(min_similarity);
	PG_RETURN_POINTER(face_probe_make(face_embedding_from_text(end + 1), min_similarity));
}

Datum
face_probe_out(PG_FUNCTION_ARGS)
{
	FaceProbe  *probe = PG_GETARG_FACE_PROBE(0);
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, float8out_internal(probe->min_similarity));
	appendStringInfoChar(&text, '@');
	face_embedding_append_text(&text, &probe->embedding);
	PG_RETURN_CSTRING(text.data);
}

Datum
face_probe_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	double		min_similarity = pq_getmsgfloat8(message);

	PG_RETURN_POINTER(face_probe_make(face_embedding_from_message(message), min_similarity));
}

Datum
face_probe_send(PG_FUNCTION_ARGS)
{
	FaceProbe  *probe = PG_GETARG_FACE_PROBE(0);
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendfloat8(&message, probe->min_similarity);
	face_embedding_append_message(&message, &probe->embedding);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
