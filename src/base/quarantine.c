/*-------------------------------------------------------------------------
 *
 * quarantine.c
 *	  Tables whose code cannot be stopped: none of it runs any more.
 *
 * A trigger may catch the cancel of its time limit, and the next one, for ever.
 * Only the end of the session stops it, which undoes everything, and the next purge
 * would run it again. So the table is recorded first, in a row that survives this
 * (surviving.c). From then on the table counts as one that refuses.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "base/quarantine.h"
#include "base/run.h"
#include "base/surviving.h"

/* Columns of facematch_internal.quarantined. */
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
	Datum		values[QUARANTINED_COLUMNS] = {ObjectIdGetDatum(relid), TimestampTzGetDatum(GetCurrentTimestamp())};
	bool		nulls[QUARANTINED_COLUMNS] = {false, false};

	face_insert_surviving(face_table("quarantined"), values, nulls, QUARANTINED_COLUMNS);
	face_tell_wal_writer();
}
