/*-------------------------------------------------------------------------
 *
 * erase_purge.c
 *	  The purge erases the rows that it deleted, and records the result.
 *
 * Rows are erased in a transaction of their own after the one that deleted them has
 * committed. All pages of the table are examined, because earlier versions of a
 * row, which hold its template as well, may be anywhere. A receipt is settled once
 * the erasure is complete. If it is not (because of an old snapshot, a cursor, a
 * running VACUUM, a crash in between, or an opt-out, which erases nothing by
 * itself), the receipt stays open, and the next purge tries again.
 *
 * Rows that were removed in another way (replaced by an UPDATE, or staged and
 * rolled back) have no receipt. The server's counts of changed rows reveal them
 * (sql/erasure/unerased.sql); otherwise the sweep, once a day, does.
 *
 * Values that may be templates are deleted from the planner's statistics too, in
 * one transaction, and their bytes are erased in the next.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_statistic_ext_data.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

#include "erasure/erase.h"
#include "erasure/erase_purge.h"
#include "base/run.h"

PG_FUNCTION_INFO_V1(facematch_erase_table);

/* Counts are lost or switched off at times: re-scan after this long even if they show no change. */
#define SWEEP_MINUTES	(24 * 60)
#define MOST_SWEEP_MINUTES	(366 * 24 * 60)

static bool purge_erases = true;
static int	sweep_interval = SWEEP_MINUTES;

struct FacePurgeErasure
{
	MemoryContext memory;		/* of all below: outlives transactions */
	Oid			table;
	char	   *name;
	ArrayBuildState *receipts;	/* numbers of receipts that this erasure may settle */
	FaceErased	rows;			/* sums over tables and TOAST tables */
	FaceErased	entries;		/* sums over indexes */
	int64		waiting;		/* what is left to another purge or VACUUM: rows, pages, relations that are locked */
	int64		waiting_before_statistics;	/* the part of that which is not the planner's statistics */
	List	   *marks;			/* Datum, facematch_internal.erasure_mark: what the server had counted of partitions that were then erased whole */
	bool		worked;
	List	   *parts_left;		/* partitions that its open receipts are of as well, and that are its own no longer */
	List	   *notes;			/* char *: what could not be erased here */
};

static void
add_receipt(FacePurgeErasure *erasure, Datum receipt)
{
	(void) accumArrayResult(erasure->receipts, receipt, false, INT8OID, erasure->memory);
}

/* Receipts of earlier purges and of opt-outs that are open. */
static void
find_open_receipts(FacePurgeErasure *erasure)
{
	Oid			type = REGCLASSOID;
	Datum		relation = ObjectIdGetDatum(erasure->table);
	bool		isnull;

	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	face_run("SELECT r.receipt_id FROM facematch_internal.receipt_relation r WHERE r.relation OPERATOR(pg_catalog.=) $1 AND NOT r.is_part"
			 " AND NOT EXISTS (SELECT FROM facematch_internal.erased_receipt e WHERE e.receipt_id OPERATOR(pg_catalog.=) r.receipt_id)",
			 1, &type, &relation, face_owner(face_table("purge_receipt")));
	for (uint64 i = 0; i < SPI_processed; i++)
		add_receipt(erasure, SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	PopActiveSnapshot();
}

static void
note(FacePurgeErasure *erasure, Oid relid, const char *what)
{
	MemoryContext old = MemoryContextSwitchTo(erasure->memory);
	char	   *text = face_exists(relid) ? psprintf("%s: %s", face_qualified_name(relid), what) : psprintf("relation %u: %s", relid, what);
	ListCell   *cell;

	foreach(cell, erasure->notes)
	{
		if (strcmp(lfirst(cell), text) == 0)
			break;
	}
	if (cell == NULL)
		erasure->notes = lappend(erasure->notes, text);
	MemoryContextSwitchTo(old);
}

/* One that was dropped meanwhile was given back to the file system as it was. */
static void
add_part_left(FacePurgeErasure *erasure, Oid part)
{
	MemoryContext old;

	if (!face_exists(part))
	{
		erasure->worked = erasure->entries.unproven = true;
		note(erasure, part, "was dropped before the rows that may have been removed from it were erased");
		return;
	}
	old = MemoryContextSwitchTo(erasure->memory);
	erasure->parts_left = lappend_oid(erasure->parts_left, part);
	MemoryContextSwitchTo(old);
}

/*
 * Who detaches a partition takes rows along that were removed from it: the receipts
 * are of them too. Asked when the erasure begins, because a partition may be
 * detached, or dropped, while the purge deletes.
 */
List *
face_parts_left(FacePurgeErasure *erasure)
{
	Oid			type = REGCLASSOID;
	Datum		relation = ObjectIdGetDatum(erasure->table);
	bool		isnull;

	erasure->parts_left = NIL;
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	face_run("SELECT DISTINCT p.relation FROM facematch_internal.receipt_relation r"
			 " JOIN facematch_internal.receipt_relation p ON p.receipt_id OPERATOR(pg_catalog.=) r.receipt_id AND p.is_part"
			 " LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.relation"
			 " WHERE r.relation OPERATOR(pg_catalog.=) $1 AND NOT r.is_part"
			 " AND (c.oid IS NULL OR c.relkind OPERATOR(pg_catalog.=) 'r')"
			 " AND NOT EXISTS (SELECT FROM facematch_internal.erased_receipt e WHERE e.receipt_id OPERATOR(pg_catalog.=) r.receipt_id)"
			 " AND NOT EXISTS (SELECT FROM facematch_internal.with_heirs($1) h WHERE h.relation OPERATOR(pg_catalog.=) p.relation)",
			 1, &type, &relation, face_owner(face_table("purge_receipt")));
	for (uint64 i = 0; i < SPI_processed; i++)
		add_part_left(erasure, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));
	SPI_finish();
	PopActiveSnapshot();
	return erasure->parts_left;
}

/* What a purge of this table will have to erase, in the current memory context; NULL if it shall not. */
FacePurgeErasure *
face_purge_erasure(Oid table)
{
	FacePurgeErasure *erasure;

	if (!purge_erases)
		return NULL;
	erasure = palloc0(sizeof(FacePurgeErasure));
	erasure->memory = CurrentMemoryContext;
	erasure->receipts = initArrayResult(INT8OID, erasure->memory, false);
	erasure->table = table;
	erasure->name = face_qualified_name(table);
	find_open_receipts(erasure);
	return erasure;
}

/* The receipt that was just written is one of this erasure's. */
void
face_note_receipt(FacePurgeErasure *erasure)
{
	SPI_connect();
	face_run("SELECT pg_catalog.currval('facematch.purge_receipt_receipt_id_seq'::pg_catalog.regclass)", 0, NULL, NULL,
			 face_owner(face_table("purge_receipt")));
	add_receipt(erasure, face_result(1, NULL));
	SPI_finish();
}

static void
add_result(FacePurgeErasure *erasure, const FaceErased *done)
{
	FaceErased *sum = get_rel_relkind(done->relid) == RELKIND_INDEX ? &erasure->entries : &erasure->rows;

	sum->pages += done->pages;
	sum->cleared += done->cleared;
	sum->removed += done->removed;
	sum->fading += done->fading;
	sum->busy += done->busy;
	sum->left_to_vacuum |= done->left_to_vacuum;
	sum->unproven |= done->unproven;
	erasure->waiting += done->fading + (sum == &erasure->rows ? done->busy : 0) + (done->left_to_vacuum ? 1 : 0);
	if (done->left_to_vacuum)
		note(erasure, done->relid, "entries of removed rows stay until VACUUM");
	if (done->unproven)
		note(erasure, done->relid, "the access method may keep values of removed rows; REINDEX");
}

/* A table that could not be erased, of which a warning says why. */
void
face_note_failure(FacePurgeErasure *erasure, Oid part)
{
	erasure->waiting++;
	note(erasure, part, "could not be erased: see the server's log");
}

/* VACUUM's lock, which is not waited for. */
static bool
lock_to_erase(FacePurgeErasure *erasure, Oid relid)
{
	if (ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock))
		return true;
	erasure->waiting++;
	note(erasure, relid, "is locked, vacuumed, analyzed or erased by another session");
	return false;
}

/* Those of its indexes, which an owner can keep locked for as long as he likes. */
static bool
lock_indexes_to_erase(FacePurgeErasure *erasure, Oid relid)
{
	Relation	table = table_open(relid, NoLock);
	Oid			toast = table->rd_rel->reltoastrelid;
	bool		locked = true;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(table))
	{
		if (ConditionalLockRelationOid(lfirst_oid(cell), RowExclusiveLock))
			continue;
		erasure->waiting++;
		note(erasure, lfirst_oid(cell), "is locked by another session");
		locked = false;
	}
	table_close(table, NoLock);
	return locked && (!OidIsValid(toast) || (lock_to_erase(erasure, toast) && lock_indexes_to_erase(erasure, toast)));
}

/* A table and all that is erased with it, or nothing. */
static List *
erase_unless_locked(FacePurgeErasure *erasure, Oid relid)
{
	/* One that its owner has dropped was given back to the file system as it was. */
	if (!lock_to_erase(erasure, relid) || !face_exists(relid) || !lock_indexes_to_erase(erasure, relid))
		return NIL;
	return face_erase_table(relid);
}

/* What the server has counted of a table or partition, in the current memory context; whether anything went that no receipt is of. */
static bool
has_changed(Oid part, Datum *seen)
{
	Oid			types[] = {REGCLASSOID, INT4OID};
	Datum		values[] = {ObjectIdGetDatum(part), Int32GetDatum(sweep_interval)};
	MemoryContext caller = CurrentMemoryContext;
	bool		due;

	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	face_run("SELECT b.seen, b.due FROM facematch_internal.begin_erasing($1, pg_catalog.make_interval(mins => $2)) b", lengthof(types), types, values,
			 face_owner(face_table("erasure_mark")));
	due = DatumGetBool(face_result(2, NULL));
	MemoryContextSwitchTo(caller);
	*seen = datumCopy(face_result(1, NULL), false, -1);
	SPI_finish();
	PopActiveSnapshot();
	return due;
}

/*
 * When all that is due in all partitions has been deleted, and that has
 * committed: a trigger may have removed rows of another partition, and rows may
 * have been moved from there.
 */
bool
face_has_to_erase(FacePurgeErasure *erasure, Oid part, Datum *seen)
{
	MemoryContext old;
	bool		changed;

	*seen = (Datum) 0;
	if (!face_exists(part))
		return false;
	old = MemoryContextSwitchTo(erasure->memory);
	changed = has_changed(part, seen);
	MemoryContextSwitchTo(old);
	return changed || erasure->receipts->nelems > 0;
}

/* One table or partition, in a transaction after the one in which its counts were seen. */
void
face_erase_removed(FacePurgeErasure *erasure, Oid part, Datum seen)
{
	int64		waiting = erasure->waiting;
	MemoryContext old;
	ListCell   *cell;

	erasure->worked = true;
	foreach(cell, erase_unless_locked(erasure, part))
		add_result(erasure, lfirst(cell));
	if (erasure->waiting > waiting)
		return;
	old = MemoryContextSwitchTo(erasure->memory);
	erasure->marks = lappend(erasure->marks, DatumGetPointer(seen));
	MemoryContextSwitchTo(old);
}

/* ANALYZE of a table that others inherit from, or are partitions of, gathers their values too. */
static bool
lock_kin(FacePurgeErasure *erasure, Oid table)
{
	Oid			type = REGCLASSOID;
	Datum		value = ObjectIdGetDatum(table);
	bool		locked = true;

	SPI_connect();
	face_run("SELECT k.relation FROM facematch_internal.with_heirs($1, true) k ORDER BY k.relation OPERATOR(pg_catalog.<>) $1, k.relation", 1, &type, &value,
			 face_owner(face_table("erasure")));
	for (uint64 i = 0; i < SPI_processed && locked; i++)
	{
		bool		isnull;

		locked = lock_to_erase(erasure, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));
	}
	SPI_finish();
	return locked;
}

static void
forget_statistics(FacePurgeErasure *erasure, Oid table)
{
	Oid			type = REGCLASSOID;
	Datum		value = ObjectIdGetDatum(table);

	PushActiveSnapshot(GetTransactionSnapshot());
	if (lock_kin(erasure, table) && face_exists(table))
	{
		SPI_connect();
		face_run("SELECT facematch_internal.forget_statistics($1)", 1, &type, &value, face_owner(face_table("erasure")));
		SPI_finish();
	}
	PopActiveSnapshot();
}

/* Takes values that may be templates out of the planner's statistics, while nobody gathers new ones. */
void
face_forget_statistics(void *state)
{
	FacePurgeErasure *erasure = state;
	ListCell   *cell;

	if (!erasure->worked)
		return;
	erasure->waiting_before_statistics = erasure->waiting;
	forget_statistics(erasure, erasure->table);
	foreach(cell, erasure->parts_left)
		forget_statistics(erasure, lfirst_oid(cell));
}

/* When that has committed.  What else is on these pages is not counted, but for what has to wait. */
void
face_erase_statistics(void *state)
{
	FacePurgeErasure *erasure = state;
	const Oid	catalogs[] = {StatisticRelationId, StatisticExtDataRelationId};
	ListCell   *cell;

	if (!erasure->worked)
		return;
	for (int i = 0; i < lengthof(catalogs); i++)
	{
		foreach(cell, erase_unless_locked(erasure, catalogs[i]))
		{
			const FaceErased *done = lfirst(cell);

			erasure->rows.fading += done->fading;
			erasure->rows.busy += done->busy;
			erasure->waiting += done->fading + done->busy;
		}
	}
}

static ArrayType *
notes_array(const FacePurgeErasure *erasure)
{
	Datum	   *texts = palloc(sizeof(Datum) * Max(list_length(erasure->notes), 1));
	ListCell   *cell;
	int			count = 0;

	foreach(cell, erasure->notes)
		texts[count++] = CStringGetTextDatum(lfirst(cell));
	return construct_array(texts, count, TEXTOID, -1, false, TYPALIGN_INT);
}

/* Into the log and the reports, and settles the receipts if nothing is left to wait for. */
static void
write_erasure(const FacePurgeErasure *erasure)
{
	const FaceErased *rows = &erasure->rows;
	const FaceErased *entries = &erasure->entries;
	bool		complete = erasure->waiting == 0;
	Oid			types[] = {TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, BOOLOID, BOOLOID, INT8ARRAYOID, TEXTARRAYOID};
	Datum		values[lengthof(types)] = {
		CStringGetTextDatum(erasure->name),
		Int64GetDatum(rows->pages + entries->pages), Int64GetDatum(rows->cleared + entries->cleared),
		Int64GetDatum(rows->removed), Int64GetDatum(entries->removed),
		Int64GetDatum(rows->fading + entries->fading), Int64GetDatum(rows->busy), BoolGetDatum(complete),
		BoolGetDatum(complete && !entries->unproven),
		makeArrayResult(erasure->receipts, CurrentMemoryContext),
		PointerGetDatum(notes_array(erasure))
	};

	SPI_connect();
	face_run("SELECT facematch_internal.write_erasure($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)", lengthof(types), types, values,
			 face_owner(face_table("erasure")));
	SPI_finish();
}

/* The next purge need not look again unless something changes. */
static void
write_marks(const FacePurgeErasure *erasure)
{
	Oid			table = face_table("erasure_mark");
	Oid			type = get_rel_type_id(table);
	ListCell   *cell;

	/* Of two purges that write the same mark at once one can fail: the other's will do. */
	if (!ConditionalLockRelationOid(table, ShareUpdateExclusiveLock))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	face_run("DELETE FROM facematch_internal.erasure_mark m"
			 " WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) m.relation)", 0, NULL, NULL,
			 face_owner(table));
	foreach(cell, erasure->marks)
	{
		Datum		seen = PointerGetDatum(lfirst(cell));

		face_run("INSERT INTO facematch_internal.erasure_mark SELECT ($1).* ON CONFLICT (relation) DO UPDATE"
				 " SET erased_at = excluded.erased_at, changed = excluded.changed, dead = excluded.dead,"
				 " counted_in = excluded.counted_in, counted_since = excluded.counted_since", 1, &type, &seen, face_owner(table));
	}
	SPI_finish();
	PopActiveSnapshot();
}

/* What was done, unless it was to look and find nothing. */
void
face_record_erasure(void *state)
{
	FacePurgeErasure *erasure = state;
	bool		found = erasure->rows.cleared + erasure->entries.cleared + erasure->rows.removed + erasure->entries.removed > 0;

	if (erasure->worked && (found || erasure->receipts->nelems > 0))
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		write_erasure(erasure);
		PopActiveSnapshot();
	}
	/* Where the statistics have yet to be erased, it has to. */
	if (erasure->waiting == erasure->waiting_before_statistics)
		write_marks(erasure);
}

/*--------------------------------------------------------- one table, once */

/* What a call that settles no receipt has to leave to another. */
static void
tell_what_is_left(const FacePurgeErasure *erasure)
{
	int64		fading = erasure->rows.fading + erasure->entries.fading;
	ListCell   *cell;

	if (fading > 0)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg_plural("%lld deleted row is not erased: a transaction may still see it",
							   "%lld deleted rows are not erased: a transaction may still see them",
							   (unsigned long) fading, (long long) fading),
				 errhint("Call facematch.erase_table() again once it has ended.")));
	if (erasure->rows.busy > 0)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg_plural("%lld page with deleted rows is not erased: another session is using it",
							   "%lld pages with deleted rows are not erased: another session is using them",
							   (unsigned long) erasure->rows.busy, (long long) erasure->rows.busy),
				 errhint("Call facematch.erase_table() again.")));
	foreach(cell, erasure->notes)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("%s", (const char *) lfirst(cell))));
}

/*
 * erase_table(table regclass): what erase() does, and what it has to leave to its next call, because nothing that a transaction
 * deletes can be erased before it has committed.
 */
Datum
facematch_erase_table(PG_FUNCTION_ARGS)
{
	FacePurgeErasure erasure = {.worked = true};
	MemoryContext working;
	ListCell   *cell;

	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) || castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("facematch.erase_table() cannot run inside a transaction block"),
				 errhint("CALL it by itself, or SELECT facematch.erase() twice, with a commit in between.")));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the table to erase must not be NULL")));
	PreventCommandIfReadOnly("facematch.erase_table()");
	PreventCommandDuringRecovery("facematch.erase_table()");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	erasure.memory = AllocSetContextCreate(PortalContext, "facematch erase_table", ALLOCSET_SMALL_SIZES);
	working = AllocSetContextCreate(erasure.memory, "facematch erase_table part", ALLOCSET_DEFAULT_SIZES);
	erasure.table = PG_GETARG_OID(0);
	/* From here on there is no snapshot of this call's that holds anything back. */
	face_next_transaction();
	MemoryContextSwitchTo(erasure.memory);
	foreach(cell, face_erasable_tables(erasure.table))
	{
		ListCell   *done;

		MemoryContextSwitchTo(working);
		foreach(done, face_erase_table(lfirst_oid(cell)))
			add_result(&erasure, lfirst(done));
		MemoryContextReset(working);
		face_next_transaction();
	}
	MemoryContextSwitchTo(working);
	face_forget_statistics(&erasure);
	face_next_transaction();
	MemoryContextSwitchTo(working);
	face_erase_statistics(&erasure);
	face_next_transaction();
	tell_what_is_left(&erasure);
	SPI_finish();
	PG_RETURN_VOID();
}

void
face_erase_init(void)
{
	DefineCustomBoolVariable("facematch.purge_erases",
							 "Whether CALL facematch.purge() also makes the bytes of removed rows zero.",
							 "Off leaves that, with open receipts, to a purge for which it is on.",
							 &purge_erases,
							 true,
							 PGC_SUSET,
							 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("facematch.sweep_interval",
							"How long CALL facematch.purge() does not read a table in which no change was counted.",
							"The purge erases a table when it removed rows of it or the server counted changed rows, and this long after the last time at the latest; 0: each time.",
							&sweep_interval,
							SWEEP_MINUTES,
							0,
							MOST_SWEEP_MINUTES,
							PGC_SUSET,
							GUC_UNIT_MIN,
							NULL, NULL, NULL);
}
