/*-------------------------------------------------------------------------
 *
 * gallery_size.c
 *	  How many references a gallery has, and of how many persons, asked at every
 *	  search.
 *
 * A gallery that states a target FPIR gets its threshold from its size, so a
 * size that is too small shows scores that nobody should see. What is counted
 * is at least what is compared: with the snapshot of the search, and what was
 * not due when the statement or the transaction began. And never less than
 * others see: references that this transaction itself removed or shortened
 * count until it commits. Otherwise a user who may stage could empty a gallery,
 * learn scores at the threshold of a gallery of one, and roll back.
 *
 * A count is valid for its snapshot, and forgotten with the transaction.
 * Counting is cheap for a flight and expensive for a million, so a session
 * remembers the count of a large gallery, for a hundred times as long as it
 * took and a minute at most: counting then costs a hundredth of the time,
 * nothing has to be written when references come and go, and it works on a
 * standby.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/run.h"
#include "gallery/gallery_size.h"

PG_FUNCTION_INFO_V1(facematch_gallery_size);

/* So many are counted, in half a millisecond, for each snapshot. */
#define FEW_REFERENCES		5000

/* How many times as long as counting took a count is used; but counting may have waited, for a processor or a lock. */
#define REUSE_FACTOR		100
#define LONGEST_REUSE		(60 * USECS_PER_SEC)

/* Galleries remembered; when there are more, all are counted again. */
#define MOST_REMEMBERED		4096

typedef struct FaceSize
{
	int64		references;
	int64		persons;		/* subjects: merges are not looked at, so there may be fewer */
} FaceSize;

/* Row security may show users different rows. */
typedef struct SizeKey
{
	int64		gallery_id;
	Oid			user;
	Oid			unused;			/* a key has no bytes that nobody sets */
} SizeKey;

typedef struct SizeEntry
{
	SizeKey		key;
	FaceSize	size;
	uint64		counted_in;		/* number of the snapshot that it was counted in */
	TimestampTz until;			/* the end of its use in others */
} SizeEntry;

static HTAB *remembered = NULL;

/* The snapshot and the moment that small galleries were counted in. */
typedef struct CountedIn
{
	uint64		number;			/* changes with it */
	bool		any;
	SnapshotData snapshot;
	TransactionId *xids;		/* xip, then subxip */
	Size		size;			/* bytes that it has room for */
	TimestampTz moment;
} CountedIn;

static CountedIn counted_in;

/* No later than the moment that any search of this statement and transaction takes. */
static TimestampTz
not_due_at(void)
{
	return Max(GetCurrentStatementStartTimestamp(), GetCurrentTransactionStartTimestamp());
}

/* Snapshots are copied without what their counts tell is not there, or not looked at. */
static Size
xip_size(Snapshot snapshot)
{
	return snapshot->xcnt * sizeof(TransactionId);
}

static Size
subxip_size(Snapshot snapshot)
{
	bool		used = snapshot->subxcnt > 0 && (!snapshot->suboverflowed || snapshot->takenDuringRecovery);

	return used ? snapshot->subxcnt * sizeof(TransactionId) : 0;
}

static bool
is_same(const void *a, const void *b, Size size)
{
	return size == 0 || memcmp(a, b, size) == 0;
}

static bool
is_same_snapshot(Snapshot snapshot)
{
	const Snapshot was = &counted_in.snapshot;

	return counted_in.any && counted_in.moment == not_due_at() &&
		snapshot->snapshot_type == was->snapshot_type && snapshot->curcid == was->curcid &&
		snapshot->xmin == was->xmin && snapshot->xmax == was->xmax && snapshot->xcnt == was->xcnt &&
		snapshot->subxcnt == was->subxcnt && snapshot->suboverflowed == was->suboverflowed &&
		snapshot->takenDuringRecovery == was->takenDuringRecovery &&
		is_same(snapshot->xip, counted_in.xids, xip_size(snapshot)) &&
		is_same(snapshot->subxip, counted_in.xids + snapshot->xcnt, subxip_size(snapshot));
}

/* From now on small galleries are counted again. */
static void
forget_snapshot(void)
{
	counted_in.any = false;
	counted_in.number++;
}

static void
remember_snapshot(Snapshot snapshot)
{
	Size		size = xip_size(snapshot) + subxip_size(snapshot);

	if (is_same_snapshot(snapshot))
		return;
	forget_snapshot();
	if (counted_in.xids == NULL || counted_in.size < size)
	{
		if (counted_in.xids != NULL)
			pfree(counted_in.xids);
		counted_in.xids = NULL;
		counted_in.xids = MemoryContextAlloc(TopMemoryContext, Max(size, 1));
		counted_in.size = size;
	}
	if (xip_size(snapshot) > 0)
		memcpy(counted_in.xids, snapshot->xip, xip_size(snapshot));
	if (subxip_size(snapshot) > 0)
		memcpy(counted_in.xids + snapshot->xcnt, snapshot->subxip, subxip_size(snapshot));
	counted_in.snapshot = *snapshot;
	counted_in.moment = not_due_at();
	counted_in.any = true;
}

static void
forget_all(void)
{
	if (remembered != NULL)
		hash_destroy(remembered);
	remembered = NULL;
	forget_snapshot();
}

/* What was counted in a transaction that comes to nothing may have been its own. */
static void
forget_at_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
		forget_all();
	else
		forget_snapshot();
}

static void
forget_at_abort(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_all();
}

void
face_gallery_size_init(void)
{
	RegisterXactCallback(forget_at_end, NULL);
	RegisterSubXactCallback(forget_at_abort, NULL);
}

/* With the active snapshot, and the caller's privileges: row security may show users different rows.  Within SPI_connect. */
static FaceSize
count_with_snapshot(int64 gallery_id)
{
	static FacePlan count = {
		"SELECT COALESCE(pg_catalog.sum(s.n)::pg_catalog.int8, 0), pg_catalog.count(*) FROM (SELECT pg_catalog.count(*) AS n"
		" FROM facematch.reference r WHERE r.gallery_id OPERATOR(pg_catalog.=) $1 AND r.purge_after OPERATOR(pg_catalog.>) $2"
		" GROUP BY r.subject_id) s", 2, {INT8OID, TIMESTAMPTZOID}, NULL
	};
	Datum		arguments[] = {Int64GetDatum(gallery_id), TimestampTzGetDatum(not_due_at())};

	face_read_plan(&count, arguments, InvalidOid);
	return (FaceSize) {DatumGetInt64(face_result(1, NULL)), DatumGetInt64(face_result(2, NULL))};
}

static FaceSize
count_references(int64 gallery_id)
{
	FaceSize	size;

	SPI_connect();
	size = count_with_snapshot(gallery_id);

	/* As it was before the transaction's first command: without its own rows, and with those that it has removed. */
	if (GetActiveSnapshot()->curcid != FirstCommandId)
	{
		FaceSize	was;

		PushCopiedSnapshot(GetActiveSnapshot());
		GetActiveSnapshot()->curcid = FirstCommandId;
		was = count_with_snapshot(gallery_id);
		PopActiveSnapshot();
		/* More of either gives a higher threshold. */
		size = (FaceSize) {Max(size.references, was.references), Max(size.persons, was.persons)};
	}
	SPI_finish();
	return size;
}

static Datum
answer(FunctionCallInfo fcinfo, FaceSize size)
{
	Datum		values[] = {Int64GetDatum(size.references), Int64GetDatum(size.persons)};
	bool		nulls[lengthof(values)] = {false};
	TupleDesc	description;

	get_call_result_type(fcinfo, NULL, &description);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls));
}

/* gallery_size(gallery_id bigint): live_references, live_persons */
Datum
facematch_gallery_size(PG_FUNCTION_ARGS)
{
	SizeKey		key = {PG_GETARG_INT64(0), GetUserId(), InvalidOid};
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz took;
	SizeEntry  *entry;
	FaceSize	size;

	if (remembered == NULL || hash_get_num_entries(remembered) >= MOST_REMEMBERED)
	{
		HASHCTL		control = {.keysize = sizeof(SizeKey),.entrysize = sizeof(SizeEntry)};

		forget_all();
		remembered = hash_create("facematch gallery sizes", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	remember_snapshot(GetActiveSnapshot());
	entry = hash_search(remembered, &key, HASH_FIND, NULL);
	if (entry != NULL && (start < entry->until || entry->counted_in == counted_in.number))
		return answer(fcinfo, entry->size);
	size = count_references(key.gallery_id);
	took = GetCurrentTimestamp() - start;
	/* A policy's function that catches an error has made it forget. */
	if (remembered == NULL)
		return answer(fcinfo, size);
	entry = hash_search(remembered, &key, HASH_ENTER, NULL);
	entry->size = size;
	entry->counted_in = counted_in.number;
	entry->until = size.references > FEW_REFERENCES ? start + took + Min(took * REUSE_FACTOR, LONGEST_REUSE) : start;
	return answer(fcinfo, size);
}
