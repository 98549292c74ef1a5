/*-------------------------------------------------------------------------
 *
 * surviving.c
 *	  Rows that stay even if the transaction that wrote them fails.
 *
 * A user who searches must not be able to remove the record of the search: by
 * ROLLBACK, by an error, in a READ ONLY transaction, or by killing the client. So
 * the row is inserted frozen: visible to everybody at once, like a row that VACUUM
 * has frozen. It is written through generic WAL, which needs no transaction ID, so
 * a transaction that only searches still commits without waiting for the disk.
 *
 * The WAL writer is told of each search at once, because a transaction that fails
 * tells it nothing. A crash of the server may lose the rows of the last moments, up
 * to three times wal_writer_delay (0.6 s by default), unless a later commit has been
 * flushed. Before PostgreSQL 17 to tell it is nearly always to wake it, which costs
 * as much as the rest of a short search. So there a session tells it once in
 * wal_writer_delay (0.2 s), and what the session wrote after that waits until anybody
 * tells it the next time. The background writer does so every 15 s, or 25 s on an
 * idle server, where it sleeps for 50 times bgwriter_delay; with wal_level = minimal
 * it does not, and the next checkpoint flushes it.
 *
 * Such rows bypass triggers, constraints and row security. So only tables of the
 * extension are written in this way, with values that the extension made, and their
 * indexes are on plain columns, without a condition, and not unique. A site can add
 * nothing else to them (retention/keep.c). If it is there all the same, the search
 * goes on: expressions and conditions are code of others, which does not run here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/generic_xlog.h"
#include "access/hio.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "pgstat.h"
#include "postmaster/walwriter.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "base/run.h"
#include "base/surviving.h"

/* Where the WAL of the last row ends. */
static XLogRecPtr last_row_end = InvalidXLogRecPtr;

static void
make_frozen(HeapTuple tuple, Oid relid)
{
	HeapTupleHeader header = tuple->t_data;

	header->t_infomask &= ~HEAP_XACT_MASK;
	header->t_infomask2 &= ~HEAP2_XACT_MASK;
	header->t_infomask |= HEAP_XMAX_INVALID | HEAP_XMIN_FROZEN;
	HeapTupleHeaderSetXmin(header, FrozenTransactionId);
	HeapTupleHeaderSetCmin(header, FirstCommandId);
	HeapTupleHeaderSetXmax(header, InvalidTransactionId);
	tuple->t_tableOid = relid;
}

/* Sets the tuple's t_self. */
static void
put_on_page(Relation rel, HeapTuple tuple)
{
	Buffer		map = InvalidBuffer;
	Buffer		buffer = face_buffer_for_tuple(rel, tuple->t_len, &map);
	bool		first = PageGetMaxOffsetNumber(BufferGetPage(buffer)) == 0;
	GenericXLogState *state = GenericXLogStart(rel);
	/* What is on disk of a page that is new may be nothing at all. */
	Page		page = GenericXLogRegisterBuffer(state, buffer, first ? GENERIC_XLOG_FULL_IMAGE : 0);
	OffsetNumber line = PageAddItem(page, (Pointer) tuple->t_data, tuple->t_len, InvalidOffsetNumber, false, true);

	if (line == InvalidOffsetNumber)
		elog(ERROR, "no room on a page of relation %u that was found to have some", RelationGetRelid(rel));
	ItemPointerSet(&tuple->t_self, BufferGetBlockNumber(buffer), line);
	((HeapTupleHeader) PageGetItem(page, PageGetItemId(page, line)))->t_ctid = tuple->t_self;
	GenericXLogFinish(state);
	UnlockReleaseBuffer(buffer);
	if (BufferIsValid(map))
		ReleaseBuffer(map);
}

/* Looked up without BuildIndexInfo(), which runs the immutable functions of expressions and conditions to simplify them. */
static bool
is_plain(Relation index)
{
	return heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) &&
		heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
}

static void
put_in_index(Relation rel, HeapTuple tuple, Oid indexid)
{
	Relation	index = index_open(indexid, RowExclusiveLock);

	/* One whose build was interrupted may have no pages; one that is being built takes the row from the table. */
	if (index->rd_index->indisready && is_plain(index))
	{
		IndexInfo  *info = BuildIndexInfo(index);
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];

		for (int i = 0; i < info->ii_NumIndexAttrs; i++)
			values[i] = heap_getattr(tuple, info->ii_IndexAttrNumbers[i], RelationGetDescr(rel), &isnull[i]);
		(void) index_insert(index, values, isnull, &tuple->t_self, rel, UNIQUE_CHECK_NO, false, info);
		face_index_insert_cleanup(index, info);
	}
	index_close(index, NoLock);
}

/* The row ends with the extension's columns.  PostgreSQL reads others as of rows from before them: a constant default, or NULL. */
static HeapTuple
form_row(TupleDesc desc, Datum *values, bool *isnull, int columns)
{
	TupleDesc	own = CreateTemplateTupleDesc(columns);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		/* Who reads such a column may not look whether it is there. */
		if (column->attnotnull && (i < columns ? isnull[i] : !column->atthasmissing))
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("the extension does not fill column \"%s\", which may not be NULL", NameStr(column->attname)),
					 errhint("Drop the column, or let it be NULL.")));
		if (i < columns)
			TupleDescCopyEntry(own, i + 1, desc, i + 1);
	}
	face_finish_descriptor(own);
	return heap_form_tuple(own, values, isnull);
}

/* Whether a table has such rows. */
bool
face_has_surviving(Oid relid)
{
	return face_is_own(relid) &&
		(relid == face_table("search") || relid == face_table("attempt") || relid == face_table("quarantined"));
}

/* Inserts a row of a table of the extension's that stays, whatever becomes of the transaction. */
void
face_insert_surviving(Oid relid, Datum *values, bool *isnull, int columns)
{
	Relation	rel = table_open(relid, RowExclusiveLock);
	HeapTuple	tuple = form_row(RelationGetDescr(rel), values, isnull, columns);
	XLogRecPtr	transaction_end = XactLastRecEnd;
	List	   *indexes;
	ListCell   *cell;

	make_frozen(tuple, relid);
	put_on_page(rel, tuple);
	indexes = RelationGetIndexList(rel);
	foreach(cell, indexes)
		put_in_index(rel, tuple, lfirst_oid(cell));
	list_free(indexes);
	/* The row's WAL is none of the transaction's. */
	last_row_end = XactLastRecEnd;
	XactLastRecEnd = transaction_end;
	pgstat_count_heap_insert(rel, 1);
	heap_freetuple(tuple);
	table_close(rel, NoLock);
}

/* To be called after the rows of one search: the WAL writer will bring them to disk. */
void
face_tell_wal_writer(void)
{
	static TimestampTz last_told = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (!FACE_WAL_WRITER_WAKES || TimestampDifferenceExceeds(last_told, now, WalWriterDelay))
	{
		XLogSetAsyncXactLSN(last_row_end);
		last_told = now;
	}
}
