/*-------------------------------------------------------------------------
 *
 * erase.c
 *	  facematch.erase(): sets the bytes of removed rows to zero in a table, its
 *	  TOAST table and all their indexes.
 *
 * It processes a table page by page (erase_heap.c), which gives a list of rows
 * whose index entries must be removed, and then the indexes (erase_index.c). If the
 * list outgrows maintenance_work_mem, it processes the indexes in between. Each
 * page is changed by WAL records of its own, even if the transaction fails. After a
 * cancel or a crash some pages are erased and others not, and the next call only
 * reads the former.
 *
 * The lock on the table is VACUUM's. It excludes VACUUM and other calls, and lets
 * everybody read and write. vacuum_cost_delay slows the erasure down, and
 * pg_stat_progress_vacuum shows it, as for VACUUM.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/backend_progress.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "erasure/erase.h"
#include "erasure/erase_heap.h"
#include "erasure/erase_index.h"
#include "erasure/walk.h"
#include "base/gate.h"
#include "base/kin.h"
#include "base/run.h"

PG_FUNCTION_INFO_V1(facematch_erase);

/* The last of the numbers that a command may show: facematch.erase_progress tells ours from VACUUM's by it. */
#define PROGRESS_ERASE_MARK		(PGSTAT_NUM_PROGRESS_PARAM - 1)
#define ERASE_MARK				0xFACE

/* Pages between two reports of progress: each costs more than a look at a clean page. */
#define PROGRESS_PAGES			64

/*--------------------------------------------------------- what can be erased */

/* Refuses what has no pages of ours to look at. */
void
face_check_erasable(Relation rel)
{
	const char *name = RelationGetRelationName(rel);

	if (!RELKIND_HAS_TABLE_AM(rel->rd_rel->relkind) || rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" has no pages that can be erased", name),
				 errhint("Name a table that stores its rows in PostgreSQL's own way (heap), or one that has such partitions.")));
	if (RELATION_IS_OTHER_TEMP(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" is a temporary table of another session", name),
				 errhint("Its pages are in that session's memory.")));
}

/*
 * The table itself, its partitions and those that inherit from it, without
 * those that only lead to others.  A foreign table among them is an error: its
 * rows are another server's.  Of one that is named itself, its values in the
 * planner's statistics are here, which no page of its own holds.
 */
List *
face_erasable_tables(Oid relid)
{
	List	   *tables = NIL;
	ListCell   *cell;

	/* A partition that goes meanwhile is nothing to do; the table that somebody names has to be there. */
	if (!face_exists(relid))
		face_report_missing(relid);
	if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
		return NIL;
	foreach(cell, face_with_heirs(relid, AccessShareLock))
	{
		if (get_rel_relkind(lfirst_oid(cell)) != RELKIND_PARTITIONED_TABLE)
			tables = lappend_oid(tables, lfirst_oid(cell));
	}
	return tables;
}

/*--------------------------------------------------------- one table */

typedef struct TableErasure
{
	Relation	table;
	List	   *indexes;		/* Relation */
	List	   *done;			/* FaceErased: of the table, then of each index */
	FaceDeadRows dead;
	int64		dead_limit;
	FaceHeapErasure *heap;
} TableErasure;

static FaceErased *
start_account(TableErasure *erasure, Relation rel)
{
	FaceErased *done = palloc0(sizeof(FaceErased));

	done->relid = RelationGetRelid(rel);
	erasure->done = lappend(erasure->done, done);
	return done;
}

static void
erase_indexes(TableErasure *erasure)
{
	ListCell   *cell;
	int			i = 0;

	pgstat_progress_update_param(PROGRESS_VACUUM_PHASE, PROGRESS_VACUUM_PHASE_VACUUM_INDEX);
	face_sort_dead_rows(&erasure->dead);
	foreach(cell, erasure->indexes)
		face_erase_index(erasure->table, lfirst(cell), &erasure->dead, list_nth(erasure->done, ++i));
	pgstat_progress_update_param(PROGRESS_VACUUM_PHASE, PROGRESS_VACUUM_PHASE_SCAN_HEAP);
	erasure->dead.count = 0;
}

static void
visit_table_page(Relation table, Buffer buffer, void *state)
{
	TableErasure *erasure = state;
	BlockNumber block = BufferGetBlockNumber(buffer);

	face_erase_heap_page(table, buffer, erasure->heap);
	if (block % PROGRESS_PAGES == 0)
		pgstat_progress_update_param(PROGRESS_VACUUM_HEAP_BLKS_SCANNED, block);
	if (erasure->dead.count >= erasure->dead_limit)
		erase_indexes(erasure);
}

/* A checkpoint passes over unlogged relations: their files would keep the bytes until the server stops. */
static void
write_unlogged(Relation rel)
{
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		FlushRelationBuffers(rel);
}

/* A table or TOAST table that the caller has locked, and its indexes. */
static List *
erase_one(Relation table)
{
	TableErasure erasure = {0};
	ListCell   *cell;

	pgstat_progress_start_command(PROGRESS_COMMAND_VACUUM, RelationGetRelid(table));
	pgstat_progress_update_param(PROGRESS_ERASE_MARK, ERASE_MARK);
	pgstat_progress_update_param(PROGRESS_VACUUM_PHASE, PROGRESS_VACUUM_PHASE_SCAN_HEAP);
	pgstat_progress_update_param(PROGRESS_VACUUM_TOTAL_HEAP_BLKS, RelationGetNumberOfBlocks(table));

	erasure.table = table;
	erasure.dead_limit = (int64) maintenance_work_mem * 1024 / sizeof(ItemPointerData);
	erasure.heap = face_heap_erasure(table, &erasure.dead, start_account(&erasure, table));
	foreach(cell, RelationGetIndexList(table))
	{
		Relation	index = index_open(lfirst_oid(cell), RowExclusiveLock);

		erasure.indexes = lappend(erasure.indexes, index);
		(void) start_account(&erasure, index);
	}

	face_each_page(table, MAIN_FORKNUM, visit_table_page, &erasure);
	face_retry_heap_pages(table, erasure.heap);
	erase_indexes(&erasure);

	foreach(cell, erasure.indexes)
	{
		write_unlogged(lfirst(cell));
		index_close(lfirst(cell), NoLock);
	}
	write_unlogged(table);
	pgstat_progress_end_command();
	return erasure.done;
}

/* The function that prunes a page has other arguments in some minor releases than in others. */
static void
check_server(void)
{
	const char *version = GetConfigOption("server_version_num", false, false);

	if (!face_pruning_fits(atoi(version)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("facematch was built for another minor release of PostgreSQL than %s", version),
				 errhint("Build and install it for this release, whose function that prunes pages has other arguments.")));
}

/* NIL: the table, which another session has dropped, is gone. */
static List *
erase_with_toast(Oid relid)
{
	Relation	table = try_table_open(relid, ShareUpdateExclusiveLock);
	List	   *done;
	Oid			toast;

	if (table == NULL)
		return NIL;
	toast = table->rd_rel->reltoastrelid;
	face_check_erasable(table);
	done = erase_one(table);
	table_close(table, NoLock);
	if (OidIsValid(toast))
	{
		table = table_open(toast, ShareUpdateExclusiveLock);
		done = list_concat(done, erase_one(table));
		table_close(table, NoLock);
	}
	return done;
}

/*
 * Erases what removed rows left in a table, its TOAST table and their indexes, as
 * the table's owner, as VACUUM does.  Returns a list of FaceErased.
 */
List *
face_erase_table(Oid relid)
{
	FaceGate	gate;
	List	   *done = NIL;

	if (!face_exists(relid))
		return NIL;
	check_server();
	/* Before its owner is looked up, who may change while this waits. */
	LockRelationOid(relid, ShareUpdateExclusiveLock);
	if (!face_exists(relid))
		return NIL;
	face_open_for_table(&gate, relid, NULL);
	face_start_vacuum_delay();
	PG_TRY();
	{
		done = erase_with_toast(relid);
	}
	PG_CATCH();
	{
		VacuumCostActive = false;
		face_gate_failed(&gate);
		PG_RE_THROW();
	}
	PG_END_TRY();
	VacuumCostActive = false;
	face_close_gate(&gate);
	return done;
}

/*--------------------------------------------------------- SQL */

static void
report(ReturnSetInfo *result, const FaceErased *done)
{
	Datum		values[] = {
		ObjectIdGetDatum(done->relid), Int64GetDatum(done->pages), Int64GetDatum(done->cleared), Int64GetDatum(done->removed),
		Int64GetDatum(done->fading), Int64GetDatum(done->busy), BoolGetDatum(done->left_to_vacuum)
	};
	bool		nulls[lengthof(values)] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* erase(table regclass): a row for each relation */
Datum
facematch_erase(PG_FUNCTION_ARGS)
{
	ListCell   *table;
	ListCell   *cell;

	PreventCommandIfReadOnly("facematch.erase()");
	PreventCommandDuringRecovery("facematch.erase()");
	InitMaterializedSRF(fcinfo, 0);
	foreach(table, face_erasable_tables(PG_GETARG_OID(0)))
	{
		foreach(cell, face_erase_table(lfirst_oid(table)))
			report((ReturnSetInfo *) fcinfo->resultinfo, lfirst(cell));
	}
	return (Datum) 0;
}
