/*-------------------------------------------------------------------------
 *
 * activity.c
 *	  What all sessions' index searches did, summed: facematch.stats.
 *
 * Each backend adds to its own row of counters, a few cache lines that no other
 * process writes. So counting costs a search some nanoseconds and is always on.
 * Readers add up the rows. A row outlives its backend; the next backend with
 * the same number continues it. Searches that end in an error are not counted.
 *
 * The rows are in shared memory if the module was loaded with the server
 * (shared_preload_libraries). Otherwise each session has its own counts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "index/activity.h"

PG_FUNCTION_INFO_V1(facematch_search_activity);
PG_FUNCTION_INFO_V1(facematch_reset_stats);

/*
 * The latency histogram: searches below 64 microseconds, below 128, and so on
 * up to 2.1 s; the last bucket has the rest.
 */
#define FIRST_BUCKET_BITS 6
#define LATENCY_BUCKETS 17

typedef enum Counter
{
	COUNT_SEARCHES,
	COUNT_LISTS,
	COUNT_PAGES,
	COUNT_SKETCHES,
	COUNT_REFINED,
	COUNT_MEASURED,
	COUNT_RETURNED,
	COUNT_MICROSECONDS,
	COUNT_LATENCY,				/* the histogram's first bucket */
	NUMBER_OF_COUNTERS = COUNT_LATENCY + LATENCY_BUCKETS
} Counter;

typedef union ActivityRow
{
	pg_atomic_uint64 counters[NUMBER_OF_COUNTERS];
	char		padding[TYPEALIGN(PG_CACHE_LINE_SIZE, NUMBER_OF_COUNTERS * sizeof(pg_atomic_uint64))];
} ActivityRow;

typedef struct Activity
{
	pg_atomic_uint64 since;		/* TimestampTz of the start or the last reset */
	int			nrows;
	ActivityRow rows[FLEXIBLE_ARRAY_MEMBER];
} Activity;

/* MaxBackends is known when shared memory is asked for, not when the module is loaded. */
static Activity *shared_activity = NULL;
static Activity *own_activity = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static Size
activity_size(int nrows)
{
	return add_size(offsetof(Activity, rows), mul_size(nrows, sizeof(ActivityRow)));
}

static void
clear_activity(Activity *activity)
{
	for (int row = 0; row < activity->nrows; row++)
		for (int i = 0; i < NUMBER_OF_COUNTERS; i++)
			pg_atomic_write_u64(&activity->rows[row].counters[i], 0);
	pg_atomic_write_u64(&activity->since, (uint64) GetCurrentTimestamp());
}

static void
init_activity(Activity *activity, int nrows)
{
	activity->nrows = nrows;
	pg_atomic_init_u64(&activity->since, 0);
	for (int row = 0; row < nrows; row++)
		for (int i = 0; i < NUMBER_OF_COUNTERS; i++)
			pg_atomic_init_u64(&activity->rows[row].counters[i], 0);
	clear_activity(activity);
}

static void
request_shared_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(activity_size(MaxBackends));
}

static void
start_shared_memory(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared_activity = ShmemInitStruct("facematch activity", activity_size(MaxBackends), &found);
	if (!found)
		init_activity(shared_activity, MaxBackends);
	LWLockRelease(AddinShmemInitLock);
}

void
face_activity_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

static Activity *
current_activity(void)
{
	if (shared_activity != NULL)
		return shared_activity;
	if (own_activity == NULL)
	{
		/* Filled before it is pointed to: reading the clock does not fail, but memory may. */
		Activity   *activity = MemoryContextAlloc(TopMemoryContext, activity_size(1));

		init_activity(activity, 1);
		own_activity = activity;
	}
	return own_activity;
}

static int
latency_bucket(uint64 microseconds)
{
	int			bits = microseconds == 0 ? 0 : pg_leftmost_one_pos64(microseconds) + 1;

	return Min(Max(bits - FIRST_BUCKET_BITS, 0), LATENCY_BUCKETS - 1);
}

void
face_activity_add(const FaceScanCounters *counters, instr_time spent)
{
	Activity   *activity = current_activity();
	uint64		microseconds = INSTR_TIME_GET_MICROSEC(spent);
	int			number = activity == shared_activity ? face_backend_number() : 0;
	uint64		amounts[COUNT_LATENCY];
	ActivityRow *row;

	if (number < 0 || number >= activity->nrows)
		return;
	row = &activity->rows[number];
	amounts[COUNT_SEARCHES] = 1;
	amounts[COUNT_LISTS] = counters->lists;
	amounts[COUNT_PAGES] = counters->pages;
	amounts[COUNT_SKETCHES] = counters->sketches;
	amounts[COUNT_REFINED] = counters->refined;
	amounts[COUNT_MEASURED] = counters->measured;
	amounts[COUNT_RETURNED] = counters->returned;
	amounts[COUNT_MICROSECONDS] = microseconds;
	for (int i = 0; i < COUNT_LATENCY; i++)
		pg_atomic_fetch_add_u64(&row->counters[i], amounts[i]);
	pg_atomic_fetch_add_u64(&row->counters[COUNT_LATENCY + latency_bucket(microseconds)], 1);
}

static Datum
latency_array(const uint64 *sums)
{
	Datum		buckets[LATENCY_BUCKETS];

	for (int i = 0; i < LATENCY_BUCKETS; i++)
		buckets[i] = Int64GetDatum((int64) sums[COUNT_LATENCY + i]);
	return PointerGetDatum(construct_array(buckets, LATENCY_BUCKETS, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * facematch_internal.search_activity(): server_wide, since, the counters up to
 * COUNT_MICROSECONDS, the histogram.
 */
Datum
facematch_search_activity(PG_FUNCTION_ARGS)
{
	const Activity *activity = current_activity();
	uint64		sums[NUMBER_OF_COUNTERS] = {0};
	Datum		values[2 + COUNT_LATENCY + 1];
	bool		nulls[lengthof(values)] = {false};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int row = 0; row < activity->nrows; row++)
		for (int i = 0; i < NUMBER_OF_COUNTERS; i++)
			sums[i] += pg_atomic_read_u64((pg_atomic_uint64 *) &activity->rows[row].counters[i]);
	values[0] = BoolGetDatum(activity == shared_activity);
	values[1] = TimestampTzGetDatum((TimestampTz) pg_atomic_read_u64((pg_atomic_uint64 *) &activity->since));
	for (int i = 0; i < COUNT_LATENCY; i++)
		values[2 + i] = Int64GetDatum((int64) sums[i]);
	values[2 + COUNT_LATENCY] = latency_array(sums);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
facematch_reset_stats(PG_FUNCTION_ARGS)
{
	clear_activity(current_activity());
	PG_RETURN_VOID();
}
