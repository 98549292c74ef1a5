/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15 and 19, in one place.
 *
 * Include after postgres.h.  Everything else in this extension is written as
 * for the newest of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_COMPAT_H
#define FACEMATCH_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "facematch needs PostgreSQL 15 or later"
#endif

/* varlena macros moved out of postgres.h */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* The locks of this process in a partition of the lock table, whose lock the caller has; needs storage/proc.h.  16 has typed lists. */
#ifdef _PROC_H_
static inline int
face_count_proc_locks(int partition)
{
	int			count = 0;
#if PG_VERSION_NUM >= 160000
	dlist_iter	iter;

	dlist_foreach(iter, &MyProc->myProcLocks[partition])
		count++;
#else
	SHM_QUEUE  *first = &MyProc->myProcLocks[partition];

	for (void *next = SHMQueueNext(first, first, 0); next != NULL; next = SHMQueueNext(first, next, 0))
		count++;
#endif
	return count;
}
#endif							/* _PROC_H_ */

/* Since 17 XLogSetAsyncXactLSN() wakes the WAL writer only when wal_writer_flush_after is reached, or it sleeps long */
#define FACE_WAL_WRITER_WAKES	(PG_VERSION_NUM < 170000)

/* 18 lets a module state its name and version (pg_get_loaded_modules) */
#if PG_VERSION_NUM >= 180000
#define FACE_MODULE_MAGIC	PG_MODULE_MAGIC_EXT(.name = "facematch", .version = FACEMATCH_VERSION)
#else
#define FACE_MODULE_MAGIC	PG_MODULE_MAGIC
#endif

/* 18 tells vacuum_delay_point whether it is ANALYZE that waits */
#if PG_VERSION_NUM >= 180000
#define face_vacuum_delay()	vacuum_delay_point(false)
#define face_analyze_delay()	vacuum_delay_point(true)
#else
#define face_vacuum_delay()	vacuum_delay_point()
#define face_analyze_delay()	vacuum_delay_point()
#endif

/* 17 looks through the planner's knowledge for the length of an array; needs utils/selfuncs.h */
#if PG_VERSION_NUM >= 170000
#define face_array_length(root, array)	((int) estimate_array_length(root, array))
#else
#define face_array_length(root, array)	estimate_array_length(array)
#endif

/* 17 runs maintenance with a safe search_path; needs utils/guc.h */
#if PG_VERSION_NUM >= 170000
#define face_restrict_search_path()	RestrictSearchPath()
#else
#define face_restrict_search_path()	((void) 0)
#endif

/* 18 shows how often an index was searched, which index methods count; needs access/relscan.h */
#if PG_VERSION_NUM >= 180000
#define face_count_search(scan) \
	do { \
		if ((scan)->instrument != NULL) \
			(scan)->instrument->nsearches++; \
	} while (0)
#else
#define face_count_search(scan)	((void) 0)
#endif

/* 17 and 18 tell an index method more of a scan whose shared memory it is to estimate; 18 keeps that in another place */
#if PG_VERSION_NUM >= 180000
#define FACE_ESTIMATE_PARAMETERS	Relation index, int nkeys, int norderbys
#define face_parallel_area(shared)	OffsetToPointer(shared, (shared)->ps_offset_am)
#else
#if PG_VERSION_NUM >= 170000
#define FACE_ESTIMATE_PARAMETERS	int nkeys, int norderbys
#else
#define FACE_ESTIMATE_PARAMETERS	void
#endif
#define face_parallel_area(shared)	OffsetToPointer(shared, (shared)->ps_offset)
#endif

/* ExecutorRun_hook; 18 knows by itself whether a query runs once */
#if PG_VERSION_NUM >= 180000
#define FACE_RUN_PARAMETERS	QueryDesc *query, ScanDirection direction, uint64 count
#define FACE_RUN_ARGUMENTS	query, direction, count
#else
#define FACE_RUN_PARAMETERS	QueryDesc *query, ScanDirection direction, uint64 count, bool once
#define FACE_RUN_ARGUMENTS	query, direction, count, once
#endif

/* 18 lets a module add to what EXPLAIN shows of a plan node */
#define FACE_HAVE_EXPLAIN_HOOK	(PG_VERSION_NUM >= 180000)

/* 17 reads ahead through streams; 18 starts reads together when telling the next block needs no lock and no wait */
#define FACE_HAVE_READ_STREAMS	(PG_VERSION_NUM >= 170000)
#if FACE_HAVE_READ_STREAMS
#include "storage/read_stream.h"
#endif
#if PG_VERSION_NUM >= 180000
#define FACE_WALK_FLAGS	(READ_STREAM_MAINTENANCE | READ_STREAM_FULL | READ_STREAM_USE_BATCHING)
#else
#define FACE_WALK_FLAGS	(READ_STREAM_MAINTENANCE | READ_STREAM_FULL)
#endif

/* A setting by its name, NULL if there is none; for who includes utils/guc_tables.h before.  16 looks it up in a hash table. */
#ifdef GUC_TABLES_H
static inline struct config_generic *
face_find_setting(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, 0);
#else
	struct config_generic **settings = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
		if (strcmp(settings[i]->name, name) == 0)
			return settings[i];
	return NULL;
#endif
}
#endif							/* GUC_TABLES_H */

/* 16 renamed the relation's file */
#if PG_VERSION_NUM >= 160000
#define face_relation_file(relation)	((relation)->rd_locator)
#else
#define face_relation_file(relation)	((relation)->rd_node)
#endif

/* 18 counts an index's searches; needs access/genam.h.  19 lets scans say what they are for; needs access/tableam.h */
#if PG_VERSION_NUM >= 190000
#define face_index_beginscan(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, norderbys, SO_NONE)
#define face_index_fetch_begin(heap)	table_index_fetch_begin(heap, SO_NONE)
#define face_table_beginscan(rel, snapshot)	table_beginscan(rel, snapshot, 0, NULL, SO_NONE)
#define face_table_beginscan_parallel(rel, shared)	table_beginscan_parallel(rel, shared, SO_NONE)
#else
#if PG_VERSION_NUM >= 180000
#define face_index_beginscan(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, norderbys)
#else
#define face_index_beginscan(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan(heap, index, snapshot, nkeys, norderbys)
#endif
#define face_index_fetch_begin(heap)	table_index_fetch_begin(heap)
#define face_table_beginscan(rel, snapshot)	table_beginscan(rel, snapshot, 0, NULL)
#define face_table_beginscan_parallel(rel, shared)	table_beginscan_parallel(rel, shared)
#endif

/* 17 lets an index method keep pages pinned from one row that is inserted to the next (BRIN does); needs access/genam.h */
#if PG_VERSION_NUM >= 170000
#define face_index_insert_cleanup(index, info)	index_insert_cleanup(index, info)
#else
#define face_index_insert_cleanup(index, info)	((void) 0)
#endif

/* 19 computes where columns lie once all are there: without, it reads them from wrong places; needs access/tupdesc.h */
#if PG_VERSION_NUM >= 190000
#define face_finish_descriptor(desc)	TupleDescFinalize(desc)
#else
#define face_finish_descriptor(desc)	((void) 0)
#endif

/* 19 has locks and a wider state of its own for buffers; needs storage/buf_internals.h */
#if PG_VERSION_NUM >= 190000
#define face_holds_page_lock(buffer)	BufferIsLockedByMe(buffer)
#define face_buffer_state(buffer)	pg_atomic_read_u64(&GetBufferDescriptor((buffer) - 1)->state)
#else
#define face_holds_page_lock(buffer)	LWLockHeldByMe(BufferDescriptorGetContentLock(GetBufferDescriptor((buffer) - 1)))
#define face_buffer_state(buffer)	pg_atomic_read_u32(&GetBufferDescriptor((buffer) - 1)->state)
#endif

/* 19 keeps what a transaction came from by replication in one place; needs replication/origin.h */
#if PG_VERSION_NUM >= 190000
#define face_was_sent()	(replorigin_xact_state.origin != InvalidReplOriginId)
#else
#define face_was_sent()	(replorigin_session_origin != InvalidRepOriginId)
#endif

/* 19 lets nobody change what a statement was normalized to */
#if PG_VERSION_NUM >= 190000
#define FACE_JUMBLE	const JumbleState
#else
#define FACE_JUMBLE	JumbleState
#endif

/* 16 extends a table by several pages at once where many write; needs access/hio.h */
#if PG_VERSION_NUM >= 160000
#define face_buffer_for_tuple(rel, length, map) \
	RelationGetBufferForTuple(rel, length, InvalidBuffer, 0, NULL, map, NULL, 0)
#else
#define face_buffer_for_tuple(rel, length, map) \
	RelationGetBufferForTuple(rel, length, InvalidBuffer, 0, NULL, map, NULL)
#endif

/* What a backend has counted of a table; needs pgstat.h */
#if PG_VERSION_NUM >= 160000
#define face_table_counts(status)	((status)->counts)
#else
#define face_table_counts(status)	((status)->t_counts)
#endif

/* 17 numbers processes from 0, before from 1; needs storage/lock.h */
#if PG_VERSION_NUM >= 170000
#define face_backend_number()	((int) MyProcNumber)
#else
#define face_backend_number()	((int) MyBackendId - 1)
#endif

/* 16 gives a vacuum of an index its table; needs access/genam.h */
#if PG_VERSION_NUM >= 160000
#define face_set_vacuumed_table(info, table)	((void) ((info)->heaprel = (table)))
#else
#define face_set_vacuumed_table(info, table)	((void) 0)
#endif

/* 16 computes the cost-based delay again when settings change; needs commands/vacuum.h and miscadmin.h */
#if PG_VERSION_NUM >= 160000
#define face_start_vacuum_delay()	VacuumUpdateCosts()
#else
#define face_start_vacuum_delay() \
	do { \
		VacuumCostActive = VacuumCostDelay > 0; \
		VacuumCostBalance = 0; \
	} while (0)
#endif

/*
 * Pruning of a heap page; needs access/heapam.h.  17 joined it with freezing,
 * and 19 looks at the page's bits in the visibility map, for which the map has
 * to be pinned before the page is locked (access/visibilitymap.h).
 *
 * 15.8 and 16.4 told it VACUUM's horizon as well as the one that moves, and
 * changed the function's arguments in doing so: a library that was built for
 * one of them must not call the other (face_pruning_fits, of a server's version
 * number).
 */
#if PG_VERSION_NUM >= 190000
#define face_pin_map(rel, buffer, map)	visibilitymap_pin(rel, BufferGetBlockNumber(buffer), map)
#define face_prune_page(rel, page, map, oldest, visible) \
	do { \
		PruneFreezeParams pruning = {rel, page, map, PRUNE_VACUUM_SCAN, 0, visible, NULL}; \
		PruneFreezeResult pruned; \
		OffsetNumber pruned_line; \
		heap_page_prune_and_freeze(&pruning, &pruned, &pruned_line, NULL, NULL); \
	} while (0)
#else
#define face_pin_map(rel, buffer, map)	((void) 0)
#if PG_VERSION_NUM >= 170000
#define face_prune_page(rel, page, map, oldest, visible) \
	do { \
		PruneFreezeResult pruned; \
		OffsetNumber pruned_line; \
		heap_page_prune_and_freeze(rel, page, visible, 0, NULL, &pruned, PRUNE_VACUUM_SCAN, &pruned_line, NULL, NULL); \
	} while (0)
#elif PG_VERSION_NUM >= 160004 || (PG_VERSION_NUM >= 150008 && PG_VERSION_NUM < 160000)
#define face_prune_page(rel, page, map, oldest, visible) \
	do { \
		int			newly_dead; \
		(void) heap_page_prune(rel, page, oldest, visible, InvalidTransactionId, 0, &newly_dead, NULL); \
	} while (0)
#else
#define face_prune_page(rel, page, map, oldest, visible) \
	do { \
		int			newly_dead; \
		(void) heap_page_prune(rel, page, visible, InvalidTransactionId, 0, &newly_dead, NULL); \
	} while (0)
#endif
#endif
/* Both are older than the change, or both are not; a library loads in servers of its own major version only. */
#define FACE_PRUNING_CHANGED	(PG_VERSION_NUM >= 160000 ? 160004 : 150008)
#define face_pruning_fits(version)	(((version) >= FACE_PRUNING_CHANGED) == (PG_VERSION_NUM >= FACE_PRUNING_CHANGED))

/* For SendProcSignal(): a backend that is known by its process only. */
#if PG_VERSION_NUM >= 170000
#define FACE_ANY_BACKEND INVALID_PROC_NUMBER
#else
#define FACE_ANY_BACKEND InvalidBackendId
#endif

#endif							/* FACEMATCH_COMPAT_H */
