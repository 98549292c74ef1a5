/*-------------------------------------------------------------------------
 *
 * quarantine.c
 *	  Tables whose code cannot be stopped: none of it runs any more.
 *
 * A trigger may catch the cancel that its time is over, and the next, for ever.  All
 * that ends it is the end of the session, which undoes everything, and would be met
 * again by the next purge.  So the table is written down first, by a row that is
 * visible whatever becomes of its transaction: it is inserted frozen.  From then on
 * the table counts as one that refuses.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "base/quarantine.h"
#include "base/run.h"

/* Columns of facematch_internal.quarantined, which has no index: a row is inserted without the executor. */
enum
{
	QUARANTINED_RELATION = 1,
	QUARANTINED_SINCE,
	QUARANTINED_COLUMNS = QUARANTINED_SINCE
};

bool
face_is_quarantined(Oid relid)
{
	Relation	rel = table_open(face_table("quarantined"), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = face_table_beginscan(rel, SnapshotSelf);
	bool		found = false;

	while (!found && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;

		found = DatumGetObjectId(slot_getattr(slot, QUARANTINED_RELATION, &isnull)) == relid;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return found;
}

void
face_quarantine(Oid relid)
{
	Relation	rel = table_open(face_table("quarantined"), RowExclusiveLock);
	Datum		values[QUARANTINED_COLUMNS] = {ObjectIdGetDatum(relid), TimestampTzGetDatum(GetCurrentTimestamp())};
	bool		nulls[QUARANTINED_COLUMNS] = {false, false};

	heap_insert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls), GetCurrentCommandId(true), HEAP_INSERT_FROZEN, NULL);
	table_close(rel, NoLock);
}
