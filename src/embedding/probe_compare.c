/*-------------------------------------------------------------------------
 *
 * probe_compare.c
 *	  Equality, order and hash of probes as values.
 *
 * By embedding, then by kind of threshold and threshold, for btree, hash, DISTINCT and the rows that
 * logical replication finds by all their columns.  Like those of embeddings
 * they never fail.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/fmgrprotos.h"

#include "embedding/threshold.h"
#include "embedding/value.h"

PG_FUNCTION_INFO_V1(face_probe_hash);
PG_FUNCTION_INFO_V1(face_probe_hash_extended);

static int
compare_arguments(FunctionCallInfo fcinfo)
{
	FaceProbe  *a = PG_GETARG_FACE_PROBE(0);
	FaceProbe  *b = PG_GETARG_FACE_PROBE(1);
	int			result = face_embedding_compare(&a->embedding, &b->embedding);

	if (result == 0)
		result = a->kind - b->kind;
	/* A threshold is a number, and never -0. */
	if (result == 0 && a->limit != b->limit)
		result = a->limit < b->limit ? -1 : 1;
	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

FACE_VALUE_COMPARISONS(face_probe)

static uint64
hash_probe(FaceProbe *probe, int64 seed)
{
	uint64		hash = face_embedding_hash_value(&probe->embedding, (uint64) seed);

	hash = hash_combine64(hash, (uint64) probe->kind);
	return hash_combine64(hash, DatumGetUInt64(DirectFunctionCall2(hashfloat8extended, Float8GetDatum(probe->limit),
																   Int64GetDatum(seed))));
}

/* What the other gives for seed 0, but narrower: PostgreSQL wants them so. */
Datum
face_probe_hash(PG_FUNCTION_ARGS)
{
	FaceProbe  *a = PG_GETARG_FACE_PROBE(0);
	uint64		hash = hash_probe(a, 0);

	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_INT32((int32) hash);
}

Datum
face_probe_hash_extended(PG_FUNCTION_ARGS)
{
	FaceProbe  *a = PG_GETARG_FACE_PROBE(0);
	uint64		hash = hash_probe(a, PG_GETARG_INT64(1));

	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_INT64((int64) hash);
}
