/*-------------------------------------------------------------------------
 *
 * probe.c
 *	  The face_probe type: a probe together with its threshold.
 *
 * Text is "0.42@[0.1,-0.2]": a minimum similarity, "@" and the embedding's
 * text. A maximum distance has its operator before it: "<->0.9@[0.1,-0.2]".
 * Binary is the kind as int16, the limit as float8 and then the embedding's
 * binary form.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "libpq/pqformat.h"
#include "utils/float.h"

#include "embedding/errors.h"
#include "embedding/threshold.h"

PG_FUNCTION_INFO_V1(face_probe);
PG_FUNCTION_INFO_V1(face_probe_within);
PG_FUNCTION_INFO_V1(face_probe_in);
PG_FUNCTION_INFO_V1(face_probe_out);
PG_FUNCTION_INFO_V1(face_probe_recv);
PG_FUNCTION_INFO_V1(face_probe_send);

/* The operators of the kinds; a similarity has none. */
static const char *const operators[] = {"", "<=>", "<->", "<#>"};

static FaceProbe *
make_probe(const FaceEmbedding *probe, FaceProbeKind kind, double limit)
{
	Size		size = offsetof(FaceProbe, embedding) + VARSIZE(probe);
	FaceProbe  *result;

	if (kind == FACE_LEAST_SIMILARITY)
		face_check_min_similarity(limit);
	result = (FaceProbe *) palloc0(size);
	SET_VARSIZE(result, size);
	result->kind = kind;
	/* -0 and 0 are one threshold; PostgreSQL sorts NaN behind all numbers */
	result->limit = isnan(limit) ? get_float8_infinity() : limit + 0.0;
	memcpy(&result->embedding, probe, VARSIZE(probe));
	return result;
}

static FaceProbeKind
check_kind(int kind)
{
	if (kind < FACE_LEAST_SIMILARITY || kind > FACE_MOST_NEGATIVE_INNER_PRODUCT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d is no kind of threshold", kind),
				 errhint("0 is a minimum similarity; 1, 2 and 3 are a maximum distance by <=>, <-> and <#>.")));
	return kind;
}

Datum
face_probe(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(make_probe(PG_GETARG_FACE_EMBEDDING(0), FACE_LEAST_SIMILARITY, PG_GETARG_FLOAT8(1)));
}

/*
 * face_probe_within(probe, kind smallint, bound, factor, addend): the limit is
 * bound * factor + addend, in arithmetic that does not raise errors.
 */
Datum
face_probe_within(PG_FUNCTION_ARGS)
{
	double		limit = PG_GETARG_FLOAT8(2) * PG_GETARG_FLOAT8(3) + PG_GETARG_FLOAT8(4);

	PG_RETURN_POINTER(make_probe(PG_GETARG_FACE_EMBEDDING(0), check_kind(PG_GETARG_INT16(1)), limit));
}

/* The kind whose operator the text begins with, and what is behind it. */
static FaceProbeKind
read_kind(const char **text)
{
	for (int kind = lengthof(operators) - 1; kind > FACE_LEAST_SIMILARITY; kind--)
	{
		if (strncmp(*text, operators[kind], strlen(operators[kind])) == 0)
		{
			*text += strlen(operators[kind]);
			return kind;
		}
	}
	return FACE_LEAST_SIMILARITY;
}

Datum
face_probe_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	FaceProbeKind kind = read_kind(&text);
	char	   *end;
	double		limit = strtod(text, &end);

	if (end == text || *end != '@')
		face_input_error(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						 errmsg("invalid input syntax for type face_probe"),
						 errhint("Write a minimum similarity, \"@\" and a face embedding, such as 0.42@[0.1,-0.2]."));
	if (kind == FACE_LEAST_SIMILARITY)
		face_check_min_similarity(limit);
	PG_RETURN_POINTER(make_probe(face_embedding_from_text(end + 1), kind, limit));
}

Datum
face_probe_out(PG_FUNCTION_ARGS)
{
	FaceProbe  *probe = PG_GETARG_FACE_PROBE(0);
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, operators[check_kind(probe->kind)]);
	appendStringInfoString(&text, float8out_internal(probe->limit));
	appendStringInfoChar(&text, '@');
	face_embedding_append_text(&text, &probe->embedding);
	PG_RETURN_CSTRING(text.data);
}

Datum
face_probe_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	FaceProbeKind kind = check_kind(pq_getmsgint(message, sizeof(int16)));
	double		limit = pq_getmsgfloat8(message);

	PG_RETURN_POINTER(make_probe(face_embedding_from_message(message), kind, limit));
}

Datum
face_probe_send(PG_FUNCTION_ARGS)
{
	FaceProbe  *probe = PG_GETARG_FACE_PROBE(0);
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendint16(&message, probe->kind);
	pq_sendfloat8(&message, probe->limit);
	face_embedding_append_message(&message, &probe->embedding);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
