/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  facematch.verify_erased(): what the pages of a table hold in addition to
 *	  live rows.
 *
 * Reads every page of every fork of a table, its TOAST table and their indexes, and
 * changes nothing; it also runs on a standby. A relation is clean when all its
 * bytes were examined and belong to rows that some snapshot may see. It is not
 * clean when something else was found. It is neither if its format does not show
 * which bytes belong to what.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/visibilitymapdefs.h"
#include "catalog/pg_class.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "storage/smgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "base/run.h"
#include "erasure/erase.h"
#include "erasure/erase_btree.h"
#include "erasure/erase_heap.h"
#include "erasure/erase_index.h"
#include "erasure/walk.h"
#include "index/remains.h"

PG_FUNCTION_INFO_V1(facematch_verify_pages);

typedef enum Verdict
{
	NOT_CLEAN,
	CLEAN,
	CANNOT_TELL
} Verdict;

typedef struct TableCheck
{
	ReturnSetInfo *result;
	TransactionId oldest;
	FaceDeadRows dead;
	FaceRemains *found;
	FaceIndexKind kind;
	bool		rows_left;		/* the table has removed rows that are whole, and indexes may lead to them */
	int64		hole_bytes;		/* of the strays in a facematch index, those in the free space of pages */
} TableCheck;

static bool
is_unwritten(Buffer buffer)
{
	return !BufferIsLocal(buffer) && (face_buffer_state(buffer) & BM_DIRTY) != 0;
}

static void
emit(TableCheck *check, Relation rel, const char *part, const FaceRemains *found, Verdict verdict, const char *note)
{
	Datum		values[] = {
		ObjectIdGetDatum(RelationGetRelid(rel)), CStringGetTextDatum(part), Int64GetDatum(found->pages), Int64GetDatum(found->dead),
		Int64GetDatum(found->fading), Int64GetDatum(found->stray), Int64GetDatum(found->padding), Int64GetDatum(found->keys),
		Int64GetDatum(found->unwritten), BoolGetDatum(verdict == CLEAN), note == NULL ? (Datum) 0 : CStringGetTextDatum(note)
	};
	bool		nulls[lengthof(values)] = {false};

	nulls[lengthof(values) - 2] = verdict == CANNOT_TELL;
	nulls[lengthof(values) - 1] = note == NULL;
	tuplestore_putvalues(check->result->setResult, check->result->setDesc, values, nulls);
}

static bool
nothing_found(const FaceRemains *found)
{
	return found->dead + found->fading + found->stray + found->padding + found->keys == 0;
}

/*--------------------------------------------------------- tables */

static void
visit_heap_page(Relation rel, Buffer buffer, void *state)
{
	TableCheck *check = state;

	check->found->unwritten += is_unwritten(buffer);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	face_look_at_heap_page(rel, buffer, check->oldest, check->found, &check->dead);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

/* Two bits for each block of the table: nothing behind its end, and no page frozen that is not all visible. */
static void
visit_visibility_page(Relation rel, Buffer buffer, void *state)
{
	TableCheck *check = state;
	const uint8 *map = (const uint8 *) PageGetContents(BufferGetPage(buffer));
	const int64 map_size = BLCKSZ - MAXALIGN(SizeOfPageHeaderData);
	const int64 first = BufferGetBlockNumber(buffer) * map_size * BITS_PER_BYTE / BITS_PER_HEAPBLOCK;
	BlockNumber blocks;

	check->found->pages++;
	check->found->unwritten += is_unwritten(buffer);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	/* Under the lock: since PostgreSQL 19 any query sets bits, those of pages that the table has just got among them. */
	blocks = RelationGetNumberOfBlocks(rel);
	if (!PageIsNew(BufferGetPage(buffer)))
	{
		for (int64 i = 0; i < map_size; i++)
		{
			int			visible = map[i] & 0x55;
			int			frozen = (map[i] >> 1) & 0x55;
			int64		block = first + i * BITS_PER_BYTE / BITS_PER_HEAPBLOCK;

			check->found->stray += (frozen & ~visible) != 0 || (map[i] != 0 && block >= blocks);
		}
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

static void
visit_other_page(Relation rel, Buffer buffer, void *state)
{
	TableCheck *check = state;

	check->found->pages++;
	check->found->unwritten += is_unwritten(buffer);
}

static const char *
why_not_clean(const FaceRemains *found)
{
	if (found->fading > 0)
		return "deleted rows that a running transaction may still see; call facematch.erase() once it has ended";
	if (nothing_found(found))
		return NULL;
	return "facematch.erase() makes it zero";
}

/* The maps that go with a relation. */
static void
check_maps(TableCheck *check, Relation rel)
{
	FaceRemains found = {0};

	check->found = &found;
	if (smgrexists(RelationGetSmgr(rel), VISIBILITYMAP_FORKNUM))
	{
		face_each_page(rel, VISIBILITYMAP_FORKNUM, visit_visibility_page, check);
		emit(check, rel, "visibility map", &found, nothing_found(&found) ? CLEAN : NOT_CLEAN,
			 nothing_found(&found) ? NULL : "VACUUM (DISABLE_PAGE_SKIPPING) rebuilds the map");
		memset(&found, 0, sizeof(found));
	}
	if (smgrexists(RelationGetSmgr(rel), FSM_FORKNUM))
	{
		face_each_page(rel, FSM_FORKNUM, visit_other_page, check);
		emit(check, rel, "free space map", &found, CANNOT_TELL, "a number for each page, which no page says to be right");
	}
}

/*--------------------------------------------------------- indexes */

static void
visit_index_page(Relation index, Buffer buffer, void *state)
{
	TableCheck *check = state;
	FacePageForm form;

	check->found->pages++;
	check->found->unwritten += is_unwritten(buffer);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	form = face_checked_index_page(index, check->kind, buffer);
	face_count_free(BufferGetPage(buffer), form, check->found);
	if (check->kind == FACE_INDEX_BTREE && form == FACE_PAGE_ITEMS)
		(void) face_btree_has_dead_entries(index, buffer, &check->dead, check->found);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

/* What belongs to nobody in a facematch index; its own walk counts the free space of pages as well. */
static void
check_facematch(TableCheck *check, Relation index)
{
	FaceIndexRemains remains = {0};

	check->hole_bytes = check->found->stray;
	face_index_remains(index, face_index_row_is_dead, &check->dead, &remains);
	check->found->dead = remains.dead;
	check->found->stray = remains.stray;
	check->found->padding = 0;
}

static Verdict
judge_index(const TableCheck *check, const char **note)
{
	const FaceRemains *found = check->found;
	bool		entries_unknown = check->kind != FACE_INDEX_BTREE && check->kind != FACE_INDEX_FACEMATCH && check->dead.count > 0;

	*note = why_not_clean(found);
	if (found->keys > 0 && found->dead + found->stray + found->padding == 0)
		*note = "inner pages still have keys of removed rows; REINDEX INDEX CONCURRENTLY removes them";
	if (check->kind == FACE_INDEX_FACEMATCH && found->stray > check->hole_bytes)
		*note = "has bytes that belong to no template; REINDEX INDEX CONCURRENTLY removes them";
	if (!nothing_found(found))
		return NOT_CLEAN;
	if (check->rows_left)
	{
		*note = "has entries of removed rows that are still in the table";
		return NOT_CLEAN;
	}
	if (check->kind == FACE_INDEX_UNKNOWN)
	{
		*note = "facematch does not know what this access method keeps";
		return CANNOT_TELL;
	}
	if (entries_unknown)
	{
		*note = "entries of removed rows may be there until VACUUM";
		return NOT_CLEAN;
	}
	switch (check->kind)
	{
		case FACE_INDEX_GIST:
		case FACE_INDEX_SPGIST:
		case FACE_INDEX_GIN:
		case FACE_INDEX_BRIN:
			*note = "inner keys and summaries of removed rows may remain; REINDEX INDEX CONCURRENTLY rebuilds them";
			return CANNOT_TELL;
		default:
			return CLEAN;
	}
}

/* One that no statement keeps as long as it is not ready. */
static void
visit_unfinished_page(Relation index, Buffer buffer, void *state)
{
	TableCheck *check = state;

	check->found->pages++;
	check->found->unwritten += is_unwritten(buffer);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	check->found->stray += face_bytes_on_page(BufferGetPage(buffer));
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

static void
check_index(TableCheck *check, Relation index)
{
	FaceRemains found = {0};
	bool		ready = index->rd_index->indisready;
	const char *note = "nothing maintains it: a CREATE INDEX or REINDEX CONCURRENTLY is running or did not finish; DROP INDEX removes it";
	Verdict		verdict = NOT_CLEAN;

	check->found = &found;
	check->kind = face_index_kind(index);
	face_each_page(index, MAIN_FORKNUM, ready ? visit_index_page : visit_unfinished_page, check);
	if (ready && check->kind == FACE_INDEX_FACEMATCH)
		check_facematch(check, index);
	if (ready && check->kind == FACE_INDEX_BTREE)
		found.keys = face_btree_lost_keys(index, &check->dead);
	if (ready)
		verdict = judge_index(check, &note);
	emit(check, index, "index", &found, verdict, note);
	check_maps(check, index);
	if (smgrexists(RelationGetSmgr(index), INIT_FORKNUM))
	{
		memset(&found, 0, sizeof(found));
		check->found = &found;
		face_each_page(index, INIT_FORKNUM, visit_index_page, check);
		emit(check, index, "init fork", &found, nothing_found(&found) ? CLEAN : NOT_CLEAN, NULL);
	}
}

/*--------------------------------------------------------- one table with all that is its own */

static void
check_one(TableCheck *check, Relation rel, const char *part)
{
	FaceRemains found = {0};
	ListCell   *cell;

	memset(&check->dead, 0, sizeof(check->dead));
	check->found = &found;
	check->oldest = GetOldestNonRemovableTransactionId(rel);
	face_each_page(rel, MAIN_FORKNUM, visit_heap_page, check);
	check->rows_left = found.dead + found.fading > 0;
	emit(check, rel, part, &found, nothing_found(&found) ? CLEAN : NOT_CLEAN, why_not_clean(&found));
	check_maps(check, rel);
	face_sort_dead_rows(&check->dead);
	foreach(cell, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		check_index(check, index);
		index_close(index, AccessShareLock);
	}
}

static void
check_with_toast(TableCheck *check, Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Oid			toast = rel->rd_rel->reltoastrelid;

	face_check_erasable(rel);
	check_one(check, rel, "table");
	table_close(rel, AccessShareLock);
	if (OidIsValid(toast))
	{
		rel = table_open(toast, AccessShareLock);
		check_one(check, rel, "toast");
		table_close(rel, AccessShareLock);
	}
}

/* verify_pages(table regclass): a row for each relation and fork */
Datum
facematch_verify_pages(PG_FUNCTION_ARGS)
{
	TableCheck	check = {0};
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	check.result = (ReturnSetInfo *) fcinfo->resultinfo;
	face_start_vacuum_delay();
	PG_TRY();
	{
		foreach(cell, face_erasable_tables(PG_GETARG_OID(0)))
			check_with_toast(&check, lfirst_oid(cell));
	}
	PG_FINALLY();
	{
		VacuumCostActive = false;
	}
	PG_END_TRY();
	return (Datum) 0;
}
