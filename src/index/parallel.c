/*-------------------------------------------------------------------------
 *
 * parallel.c
 *	  The first half of a build by several processes.
 *
 * The leader and its workers share one scan of the heap.  Each encodes and
 * sorts what it gets; the leader merges the sorted runs and alone writes
 * posting lists.  Workers write to the index only when they meet a kind of
 * template that the sample had not: then they add an epoch, under the lock of
 * the meta page and logged, which needs no transaction id.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "index/build.h"

/* What is in the dynamic shared memory of a build. */
#define KEY_SHARED	1
#define KEY_SCAN	2
#define KEY_SORT	3
#define KEY_USAGE	4
#define KEY_QUERY	5

/* What one worker used; read once it has finished. */
typedef struct WorkerUsage
{
	WalUsage	wal;
	BufferUsage buffers;
} WorkerUsage;

typedef struct SharedBuild
{
	Oid			heap;
	Oid			index;
	bool		concurrent;
	int			memory;			/* of each participant's sort, in kB */
	uint64		query_id;
	FaceBuildCounts counts[FLEXIBLE_ARRAY_MEMBER];	/* of each worker, read once it has finished */
} SharedBuild;

struct FaceParallelBuild
{
	ParallelContext *context;
	Snapshot	snapshot;		/* SnapshotAny, or a registered one */
	SharedBuild *shared;
	ParallelTableScanDesc scan;
	Sharedsort *sort;
};

PGDLLEXPORT void face_build_worker(dsm_segment *segment, shm_toc *toc);

/* How many workers to ask for. */
int
face_parallel_workers(Relation heap, Relation index, IndexInfo *info)
{
#if PG_VERSION_NUM >= 170000
	return info->ii_ParallelWorkers;
#else
	/* these plan the workers of a btree only */
	return IsNormalProcessingMode() ? plan_create_index_workers(RelationGetRelid(heap), RelationGetRelid(index)) : 0;
#endif
}

/* -------------------------------------------------------------------------
 * What a participant does
 * ------------------------------------------------------------------------- */

/* Encode and sort a share of the heap into a run that the leader will merge. */
static void
encode_share(Relation heap, Relation index, IndexInfo *info, int memory, Sharedsort *shared_sort,
			 ParallelTableScanDesc shared_scan, bool progress, FaceBuildCounts *counts)
{
	SortCoordinateData coordinate = {.isWorker = true, .nParticipants = -1, .sharedsort = shared_sort};
	FaceSpool  *spool = face_spool_create(index, face_sort_begin(memory, &coordinate));

	counts->heap_tuples = face_spool_scan(spool, heap, info, face_table_beginscan_parallel(heap, shared_scan), progress);
	counts->index_tuples = spool->ntuples;
	tuplesort_performsort(spool->sort);
	tuplesort_end(spool->sort);
	counts->broken_hot_chain = info->ii_BrokenHotChain;
}

/* Entry point of a worker. */
void
face_build_worker(dsm_segment *segment, shm_toc *toc)
{
	SharedBuild *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	Sharedsort *sort = shm_toc_lookup(toc, KEY_SORT, false);
	WorkerUsage *usage = (WorkerUsage *) shm_toc_lookup(toc, KEY_USAGE, false) + ParallelWorkerNumber;
	LOCKMODE	heap_lock = shared->concurrent ? ShareUpdateExclusiveLock : ShareLock;
	LOCKMODE	index_lock = shared->concurrent ? RowExclusiveLock : AccessExclusiveLock;
	Relation	heap;
	Relation	index;
	IndexInfo  *info;

	debug_query_string = shm_toc_lookup(toc, KEY_QUERY, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	pgstat_report_query_id(shared->query_id, false);

	/* the locks that the leader has: members of a lock group do not conflict */
	heap = table_open(shared->heap, heap_lock);
	index = index_open(shared->index, index_lock);
	info = BuildIndexInfo(index);
	info->ii_Concurrent = shared->concurrent;

	tuplesort_attach_shared(sort, segment);
	InstrStartParallelQuery();
	encode_share(heap, index, info, shared->memory, sort, shm_toc_lookup(toc, KEY_SCAN, false), false,
				 &shared->counts[ParallelWorkerNumber]);
	InstrEndParallelQuery(&usage->buffers, &usage->wal);

	index_close(index, index_lock);
	table_close(heap, heap_lock);
}

/* -------------------------------------------------------------------------
 * What the leader does
 * ------------------------------------------------------------------------- */

static void
estimate(ParallelContext *context, Size size)
{
	shm_toc_estimate_chunk(&context->estimator, size);
	shm_toc_estimate_keys(&context->estimator, 1);
}

static void *
allocate(ParallelContext *context, uint64 key, Size size)
{
	void	   *chunk = shm_toc_allocate(context->toc, size);

	memset(chunk, 0, size);
	shm_toc_insert(context->toc, key, chunk);
	return chunk;
}

/* Fill the shared memory for `participants` processes, the leader included. */
static void
share_build(FaceParallelBuild *build, Relation heap, Relation index, bool concurrent, int participants)
{
	ParallelContext *context = build->context;
	Size		shared_size = offsetof(SharedBuild, counts) + sizeof(FaceBuildCounts) * context->nworkers;
	Size		scan_size = table_parallelscan_estimate(heap, build->snapshot);
	Size		sort_size = tuplesort_estimate_shared(participants);
	Size		usage_size = sizeof(WorkerUsage) * context->nworkers;
	Size		query_size = debug_query_string ? strlen(debug_query_string) + 1 : 0;

	estimate(context, shared_size);
	estimate(context, scan_size);
	estimate(context, sort_size);
	estimate(context, usage_size);
	if (query_size > 0)
		estimate(context, query_size);
	InitializeParallelDSM(context);

	/* without shared memory available, no worker will be launched */
	if (context->seg == NULL)
		return;
	build->shared = allocate(context, KEY_SHARED, shared_size);
	build->shared->heap = RelationGetRelid(heap);
	build->shared->index = RelationGetRelid(index);
	build->shared->concurrent = concurrent;
	build->shared->memory = maintenance_work_mem / participants;
	build->shared->query_id = pgstat_get_my_query_id();
	build->scan = allocate(context, KEY_SCAN, scan_size);
	table_parallelscan_initialize(heap, build->scan, build->snapshot);
	build->sort = allocate(context, KEY_SORT, sort_size);
	tuplesort_initialize_shared(build->sort, participants, context->seg);
	allocate(context, KEY_USAGE, usage_size);
	if (query_size > 0)
		memcpy(allocate(context, KEY_QUERY, query_size), debug_query_string, query_size);
}

/* Launch workers; NULL if none can be had, then the caller builds alone. */
FaceParallelBuild *
face_parallel_begin(Relation heap, Relation index, IndexInfo *info, int nworkers)
{
	FaceParallelBuild *build;

	if (nworkers == 0)
		return NULL;
	build = palloc0(sizeof(FaceParallelBuild));
	EnterParallelMode();
	build->context = CreateParallelContext("$libdir/facematch", "face_build_worker", nworkers);

	/* the snapshots that a build by one process takes */
	build->snapshot = info->ii_Concurrent ? RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;
	share_build(build, heap, index, info->ii_Concurrent, nworkers + 1);
	LaunchParallelWorkers(build->context);
	ereport(DEBUG1,
			(errmsg_internal("building index \"%s\" with %d of %d workers planned", RelationGetRelationName(index),
							 build->context->nworkers_launched, nworkers)));
	if (build->context->nworkers_launched == 0)
	{
		face_parallel_end(build);
		return NULL;
	}
	return build;
}

/* Encode and sort with the workers; adds up what they counted and returns the merged sort, not yet performed. */
Tuplesortstate *
face_parallel_encode(FaceParallelBuild *build, Relation heap, Relation index, IndexInfo *info, FaceBuildCounts *counts)
{
	const int	launched = build->context->nworkers_launched;
	SortCoordinate coordinate = palloc0(sizeof(SortCoordinateData));

	encode_share(heap, index, info, build->shared->memory, build->sort, build->scan, true, counts);
	WaitForParallelWorkersToFinish(build->context);
	for (int i = 0; i < launched; i++)
	{
		const FaceBuildCounts *worker = &build->shared->counts[i];

		counts->heap_tuples += worker->heap_tuples;
		counts->index_tuples += worker->index_tuples;
		counts->broken_hot_chain |= worker->broken_hot_chain;
	}

	coordinate->nParticipants = launched + 1;
	coordinate->sharedsort = build->sort;
	return face_sort_begin(maintenance_work_mem, coordinate);
}

/* Release what the workers left, the sorted runs included. */
void
face_parallel_end(FaceParallelBuild *build)
{
	ParallelContext *context = build->context;

	WaitForParallelWorkersToFinish(context);
	for (int i = 0; i < context->nworkers_launched; i++)
	{
		WorkerUsage *usage = (WorkerUsage *) shm_toc_lookup(context->toc, KEY_USAGE, false) + i;

		InstrAccumParallelQuery(&usage->buffers, &usage->wal);
	}
	if (IsMVCCSnapshot(build->snapshot))
		UnregisterSnapshot(build->snapshot);
	DestroyParallelContext(context);
	ExitParallelMode();
	pfree(build);
}
