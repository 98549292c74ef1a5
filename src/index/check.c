/*-------------------------------------------------------------------------
 *
 * check.c
 *	  facematch.index_check() and index_problems(): is this index sound?
 *
 * In the manner of amcheck. Under AccessShareLock other sessions may insert and
 * vacuum: if two pages contradict each other, they are read again before an
 * error is reported. The comparison with the table takes ShareLock, so that
 * nobody changes it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "base/gate.h"
#include "index/check.h"
#include "index/inspect.h"

PG_FUNCTION_INFO_V1(facematch_index_check);

/* Columns of index_problems(). */
#define PROBLEM_COLUMNS 2

/* -------------------------------------------------------------------------
 * What all parts of a check use
 * ------------------------------------------------------------------------- */

/*
 * Raise a problem, or put it on the list.  The text never holds anything of a
 * template.
 */
void
face_check_report(FaceCheck *check, BlockNumber blkno, const char *format,...)
{
	StringInfoData text;
	va_list		args;
	Datum		values[PROBLEM_COLUMNS];
	bool		isnull[PROBLEM_COLUMNS] = {false};

	initStringInfo(&text);
	for (;;)
	{
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&text, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	if (check->problems == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" is damaged at block %u: %s",
						RelationGetRelationName(check->index), blkno, text.data),
				 errhint("Please REINDEX it. facematch_internal.index_problems() lists everything that is wrong.")));
	values[0] = Int64GetDatum((int64) blkno);
	values[1] = CStringGetTextDatum(text.data);
	tuplestore_putvalues(check->problems->setResult, check->problems->setDesc, values, isnull);
	pfree(DatumGetPointer(values[1]));
	pfree(text.data);
}

/* Copy a page that some other page names; false when the index has no such block. */
bool
face_check_copy(FaceCheck *check, BlockNumber blkno, Page page)
{
	Buffer		buffer;

	CHECK_FOR_INTERRUPTS();
	if (!BlockNumberIsValid(blkno) ||
		(blkno >= check->nblocks && blkno >= RelationGetNumberOfBlocks(check->index)))
		return false;
	buffer = face_read_page_extended(check->index, blkno, BUFFER_LOCK_SHARE, check->strategy);
	memcpy(page, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	return true;
}

/*
 * A page of this stamp was named by page `from`, the only one that may name
 * it; InvalidBlockNumber where that can change.
 */
void
face_check_reach(FaceCheck *check, BlockNumber blkno, uint64 stamp, BlockNumber from)
{
	FaceCheckBlock *block;

	if (blkno >= check->nblocks)
		return;
	block = &check->blocks[blkno];
	if (block->reached_stamp == stamp && BlockNumberIsValid(from) && block->reached_from != from)
		face_check_report(check, blkno, "is named by both block %u and block %u", block->reached_from, from);
	block->reached_stamp = stamp;
	block->reached_from = from;
}

/* The posting list with this key; false if there is none. */
bool
face_check_list_of(FaceCheck *check, const FaceListKey *key, uint64 *list_id)
{
	const Size	key_size = FACE_LIST_KEY_SIZE(check->writer->meta.nkeys);
	const char *found = hash_search(check->keys, key, HASH_FIND, NULL);

	if (found == NULL)
		return false;
	memcpy(list_id, found + key_size, sizeof(*list_id));
	return true;
}

/* -------------------------------------------------------------------------
 * A check from its start to its end
 * ------------------------------------------------------------------------- */

static FaceCheck *
check_create(Relation heap, Relation index, bool heapallindexed, ReturnSetInfo *problems)
{
	FaceCheck  *check = palloc0(sizeof(FaceCheck));
	HASHCTL		control = {0};

	check->heap = heap;
	check->index = index;
	check->quiet = heapallindexed;
	check->problems = problems;
	check->strategy = GetAccessStrategy(BAS_BULKREAD);
	check->writer = face_writer_create(index);
	check->nblocks = RelationGetNumberOfBlocks(index);
	check->blocks = MemoryContextAllocExtended(CurrentMemoryContext, check->nblocks * sizeof(FaceCheckBlock),
											   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	control.hcxt = CurrentMemoryContext;
	control.keysize = control.entrysize = sizeof(uint64);
	check->list_ids = hash_create("facematch list ids", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	control.keysize = FACE_LIST_KEY_SIZE(check->writer->meta.nkeys);
	control.entrysize = control.keysize + sizeof(uint64);
	check->keys = hash_create("facematch list keys", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	if (heapallindexed)
		check->heap_check = face_heap_check_create(check);
	return check;
}

static void
check_index(Relation heap, Relation index, bool heapallindexed, ReturnSetInfo *problems)
{
	FaceCheck  *check = check_create(heap, index, heapallindexed, problems);

	/*
	 * Pages first: whatever was in place when its page was read can be reached
	 * afterwards, unless it has been given back since.
	 */
	face_check_pages(check);
	face_check_directory(check);
	face_check_lists(check);
	face_check_unreached(check);
	if (check->heap_check != NULL)
		face_heap_check_run(check->heap_check);
}

static void
require_valid(Relation index)
{
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid and may lack rows", RelationGetRelationName(index)),
				 errhint("Check it without heapallindexed.")));
}

static void
run_check(Oid index_oid, bool heapallindexed, ReturnSetInfo *problems)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "facematch check", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Relation	heap;
	Relation	index;
	FaceGate	gate;

	face_inspect_open(index_oid, heapallindexed ? ShareLock : AccessShareLock, &heap, &index);
	if (heapallindexed)
		require_valid(index);

	/* Expressions of the index are the table owner's code: not to be run with the caller's privileges. */
	face_open_for_table(&gate, RelationGetRelid(heap), NULL);
	PG_TRY();
	{
		face_restrict_search_path();
		check_index(heap, index, heapallindexed, problems);
	}
	PG_CATCH();
	{
		face_gate_failed(&gate);
		PG_RE_THROW();
	}
	PG_END_TRY();
	face_close_gate(&gate);
	face_inspect_close(heap, index);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * facematch.index_check(index regclass, heapallindexed boolean) returns void, and
 * facematch_internal.index_problems(index regclass, heapallindexed boolean) returns setof (block, problem)
 */
Datum
facematch_index_check(PG_FUNCTION_ARGS)
{
	bool		lists = fcinfo->flinfo->fn_retset;

	if (lists)
		InitMaterializedSRF(fcinfo, 0);
	run_check(PG_GETARG_OID(0), PG_GETARG_BOOL(1), lists ? (ReturnSetInfo *) fcinfo->resultinfo : NULL);
	return (Datum) 0;
}
