/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Key columns of a facematch index, reduced to hashes.
 *
 * The index stores 64 bits of each key column and not the key: two galleries
 * whose hashes agree share a posting list, and the executor rechecks the key on
 * every row it gets.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "embedding/sealed.h"
#include "index/keys.h"

/* Any constant: a null key only has to find its own list again. */
#define NULL_KEY_HASH UINT64CONST(0x6E756C6C)

/*
 * Hash of one key value.  subtype is the value's type where it may differ from
 * the column's (int4 compared with an int8 column); the operator family then
 * has a hash function for it that agrees with the column's.
 */
uint64
face_hash_key(Relation index, AttrNumber attno, Oid subtype, Datum value, bool isnull)
{
	Oid			collation = index->rd_indcollation[attno - 1];
	const int64 seed = 0;

	if (isnull)
		return NULL_KEY_HASH;
	if (OidIsValid(subtype) && subtype != index->rd_opcintype[attno - 1])
	{
		Oid			proc = get_opfamily_proc(index->rd_opfamily[attno - 1], subtype, subtype, FACE_HASH_PROC);

		if (!OidIsValid(proc))
			elog(ERROR, "missing hash function for type %u in operator family %u",
				 subtype, index->rd_opfamily[attno - 1]);
		return DatumGetUInt64(OidFunctionCall2Coll(proc, collation, value, Int64GetDatum(seed)));
	}
	return DatumGetUInt64(FunctionCall2Coll(index_getprocinfo(index, attno, FACE_HASH_PROC),
											collation, value, Int64GetDatum(seed)));
}

FaceListKey *
face_list_key(Relation index, int nkeys, const Datum *values, const bool *isnull,
			  const FaceEmbedding *stored, const FaceEmbedding *opened)
{
	FaceListKey *key = palloc0(FACE_LIST_KEY_SIZE(nkeys));
	const pg_uuid_t *sealed_by = stored != NULL ? face_sealed_by(stored) : NULL;

	key->dims = stored != NULL ? face_dims_of(stored) : 0;
	key->model = stored != NULL ? stored->model : FACE_NO_MODEL;
	if (sealed_by != NULL)
	{
		key->sealed_by = *sealed_by;
		key->unread = opened == NULL;
	}
	for (int i = 0; i < nkeys; i++)
		key->keys[i] = face_hash_key(index, i + 1, InvalidOid, values[i], isnull[i]);
	return key;
}
