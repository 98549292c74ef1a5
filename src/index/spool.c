/*-------------------------------------------------------------------------
 *
 * spool.c
 *	  The first half of a build: every row encoded, sorted by posting list.
 *
 * The sort is PostgreSQL's: it keeps to maintenance_work_mem, spills to disk
 * and merges what parallel workers have sorted. Within a list it keeps the
 * order of the heap, whichever process encoded a row: rows enrolled together
 * are stored together, and purged together. What it spills of sealed templates
 * is ciphertext, by their own key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "index/build.h"
#include "index/keys.h"

TupleDesc
face_sort_descriptor(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(FACE_SORT_PAYLOAD);

	TupleDescInitEntry(desc, 1, "hash1", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "hash2_place", INT8OID, -1, 0);
	TupleDescInitEntry(desc, FACE_SORT_PAYLOAD, "payload", BYTEAOID, -1, 0);
	face_finish_descriptor(desc);
	return desc;
}

Tuplesortstate *
face_sort_begin(int memory, SortCoordinate coordinate)
{
	AttrNumber	columns[FACE_SORT_KEYS] = {1, 2};
	Oid			operators[FACE_SORT_KEYS] = {Int8LessOperator, Int8LessOperator};
	Oid			collations[FACE_SORT_KEYS] = {InvalidOid, InvalidOid};
	bool		nulls_first[FACE_SORT_KEYS] = {false, false};

	return tuplesort_begin_heap(face_sort_descriptor(), FACE_SORT_KEYS, columns, operators, collations,
								nulls_first, memory, coordinate, TUPLESORT_NONE);
}

FaceSpool *
face_spool_create(Relation index, Tuplesortstate *sort)
{
	FaceSpool  *spool = palloc0(sizeof(FaceSpool));

	spool->index = index;
	spool->writer = face_writer_create(index);
	spool->sort = sort;
	spool->slot = MakeSingleTupleTableSlot(face_sort_descriptor(), &TTSOpsVirtual);
	spool->per_row = AllocSetContextCreate(CurrentMemoryContext, "facematch build", ALLOCSET_DEFAULT_SIZES);
	return spool;
}

/*
 * The second sort key: the place in the heap, below bits of another hash.
 * With the first key's 64 these keep lists apart in any database; if they ever
 * did not, the load would raise an error.
 */
static int64
hash_and_place(uint64 hash, const ItemPointerData *tid)
{
	return (int64) (hash << 48 | (uint64) ItemPointerGetBlockNumber(tid) << 16 | ItemPointerGetOffsetNumber(tid));
}

static uint64
hash_list(const FaceListKey *key, Size size, uint64 seed)
{
	return hash_bytes_extended((const unsigned char *) key, (int) size, seed);
}

Size
face_sort_codes_size(const FaceCodec *codec)
{
	return sizeof(FaceScalars) * FACE_SORT_SCALARS + codec->groups / 2 + codec->plane_bytes + codec->refine_bytes;
}

/* Put what is of one size behind the last. */
static char *
append(char *to, const void *bytes, Size size)
{
	memcpy(to, bytes, size);
	return to + size;
}

static bytea *
make_payload(FaceSpool *spool, const FaceListKey *key, Size key_size, int epoch, const FaceCodes *codes,
			 ItemPointer tid)
{
	const FaceCodec *codec = face_writer_epoch(spool->writer, epoch)->codec;
	const FaceSortHeader header = {*tid, epoch};
	const Size	codes_size = face_sort_codes_size(codec);
	Size		size = VARHDRSZ + sizeof(header) + key_size + codes_size;
	const uint8 *block_key;
	bytea	   *payload;
	char	   *secret;
	char	   *p;

	if (!face_chain_key(key, &block_key) && !key->unread)
		face_report_lost_key(spool->index);
	if (block_key != NULL)
		size += FACE_NONCE_BYTES;
	payload = palloc(size);
	SET_VARSIZE(payload, size);
	p = VARDATA(payload);
	p = append(p, &header, sizeof(header));
	secret = p = append(p, key, key_size);
	p = append(p, &codes->sketch_scalars, sizeof(FaceScalars));
	p = append(p, &codes->plane_scalars, sizeof(FaceScalars));
	p = append(p, &codes->refine_scalars, sizeof(FaceScalars));
	p = append(p, codes->sketch, codec->groups / 2);
	p = append(p, codes->plane, codec->plane_bytes);
	append(p, codes->refine, codec->refine_bytes);
	if (block_key != NULL)
		face_seal_bytes(spool->index, block_key, (uint8 *) secret, codes_size);
	return payload;
}

/* IndexBuildCallback */
static void
spool_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	FaceSpool  *spool = state;
	const int	nkeys = spool->writer->meta.nkeys;
	const Size	key_size = FACE_LIST_KEY_SIZE(nkeys);
	MemoryContext old = MemoryContextSwitchTo(spool->per_row);
	const FaceEmbedding *stored = isnull[nkeys] ? NULL : DatumGetFaceEmbedding(values[nkeys]);
	const FaceEmbedding *e = face_opened(stored, &spool->room.value);
	FaceListKey *key = face_list_key(index, nkeys, values, isnull, stored, e);
	int			epoch = face_writer_epoch_for(spool->writer, face_list_kind(key));
	const FaceCodes *codes = face_writer_encode(spool->writer, epoch, e);
	TupleTableSlot *slot = spool->slot;

	ExecClearTuple(slot);
	slot->tts_values[0] = Int64GetDatum((int64) hash_list(key, key_size, 0));
	slot->tts_values[1] = Int64GetDatum(hash_and_place(hash_list(key, key_size, 1), tid));
	slot->tts_values[2] = PointerGetDatum(make_payload(spool, key, key_size, epoch, codes, tid));
	memset(slot->tts_isnull, false, sizeof(bool) * FACE_SORT_PAYLOAD);
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(spool->sort, slot);
	ExecClearTuple(slot);
	spool->ntuples++;
	if (e != NULL && e != stored)
		face_wipe(&spool->room.value);

	MemoryContextSwitchTo(old);
	MemoryContextReset(spool->per_row);
}

/* Encode the rows of the heap, or of a parallel scan's share of it; returns the heap rows seen. */
double
face_spool_scan(FaceSpool *spool, Relation heap, IndexInfo *info, TableScanDesc scan, bool progress)
{
	return table_index_build_scan(heap, spool->index, info, true, progress, spool_row, spool, scan);
}
