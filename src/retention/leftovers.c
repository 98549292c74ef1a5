/*-------------------------------------------------------------------------
 *
 * leftovers.c
 *	  What deleted rows have left behind in a table's pages.
 *
 * Reads every page of a table and of its TOAST table, and counts tuples that are
 * deleted but still whole, and bytes outside all tuples that are not zero.  It
 * looks and changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(facematch_leftovers);

typedef struct Leftovers
{
	int64		pages;
	int64		dead_tuples;	/* nobody can see them */
	int64		fading_tuples;	/* deleted, but an old snapshot may still see them */
	int64		stray_bytes;	/* not zero, outside all tuples */
} Leftovers;

static int64
nonzero_bytes(const char *from, const char *to)
{
	int64		count = 0;

	for (; from < to; from++)
		count += *from != 0;
	return count;
}

/* Tuples first: what they cover is marked, then the rest of the tuple area is looked at. */
static void
look_at_page(Relation rel, Buffer buffer, TransactionId oldest, Leftovers *found)
{
	Page		page = BufferGetPage(buffer);
	bool		covered[BLCKSZ];
	PageHeader	header = (PageHeader) page;

	found->pages++;
	if (PageIsNew(page))
		return;
	memset(covered, false, sizeof(covered));
	for (OffsetNumber line = FirstOffsetNumber; line <= PageGetMaxOffsetNumber(page); line++)
	{
		ItemId		item = PageGetItemId(page, line);
		HeapTupleData tuple;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, BufferGetBlockNumber(buffer), line);
		memset(covered + ItemIdGetOffset(item), true, tuple.t_len);
		switch (HeapTupleSatisfiesVacuum(&tuple, oldest, buffer))
		{
			case HEAPTUPLE_DEAD:
				found->dead_tuples++;
				break;
			case HEAPTUPLE_RECENTLY_DEAD:
			case HEAPTUPLE_DELETE_IN_PROGRESS:
				found->fading_tuples++;
				break;
			default:
				break;
		}
	}
	found->stray_bytes += nonzero_bytes((char *) page + header->pd_lower, (char *) page + header->pd_upper);
	for (int i = header->pd_upper; i < header->pd_special; i++)
		found->stray_bytes += !covered[i] && ((char *) page)[i] != 0;
}

static Leftovers
look_at_table(Relation rel)
{
	Leftovers	found = {0};
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	TransactionId oldest = GetOldestNonRemovableTransactionId(rel);
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);

	for (BlockNumber block = 0; block < blocks; block++)
	{
		Buffer		buffer;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		look_at_page(rel, buffer, oldest, &found);
		UnlockReleaseBuffer(buffer);
	}
	FreeAccessStrategy(strategy);
	return found;
}

static void
report(ReturnSetInfo *result, Relation rel)
{
	Leftovers	found = look_at_table(rel);
	Datum		values[6] = {
		ObjectIdGetDatum(RelationGetRelid(rel)), Int64GetDatum(found.pages), Int64GetDatum(found.dead_tuples),
		Int64GetDatum(found.fading_tuples), Int64GetDatum(found.stray_bytes),
		BoolGetDatum(found.dead_tuples + found.fading_tuples + found.stray_bytes == 0)
	};
	bool		nulls[6] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* leftovers(table regclass): one row for the table, one for its TOAST table */
Datum
facematch_leftovers(PG_FUNCTION_ARGS)
{
	Relation	rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	Oid			toast = rel->rd_rel->reltoastrelid;

	if (rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an ordinary table", RelationGetRelationName(rel)),
				 errhint("Of a partitioned table, look at each partition.")));
	InitMaterializedSRF(fcinfo, 0);
	report((ReturnSetInfo *) fcinfo->resultinfo, rel);
	if (OidIsValid(toast))
	{
		Relation	toast_rel = table_open(toast, AccessShareLock);

		report((ReturnSetInfo *) fcinfo->resultinfo, toast_rel);
		table_close(toast_rel, AccessShareLock);
	}
	table_close(rel, AccessShareLock);
	return (Datum) 0;
}
