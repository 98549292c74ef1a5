/*-------------------------------------------------------------------------
 *
 * declined.c
 *	  The subjects who have opted out, cached for a bulk load.
 *
 * Looking up one subject in the index of opt-outs costs as much as storing the row.
 * After so many look-ups that reading all opt-outs would have cost the same, the
 * transaction reads all of them, once. So it never spends more than twice the cost
 * of the better way. Before it reads, it takes the share locks on all subjects
 * (facts.c), so that nobody can record another opt-out until it ends. It drops the
 * cache when it records an opt-out itself, or loses a lock with a subtransaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "base/run.h"
#include "retention/declined.h"
#include "retention/facts.h"
#include "retention/person.h"

/* Look-ups between two estimates of what reading all would cost. */
#define LOOKUPS_BETWEEN_ESTIMATES	64

/* Rows that a sequential scan reads in the time of one look-up, and rows on a page: both measured, roughly. */
#define ROWS_PER_LOOKUP				8
#define OPT_OUTS_PER_PAGE			70

static HTAB *declined = NULL;
static uint64 lookups = 0;
static bool forgets_at_end = false;

void
face_forget_declined(void)
{
	if (declined != NULL)
		hash_destroy(declined);
	declined = NULL;
	lookups = 0;
}

/* What was read holds while the locks do. */
static void
forget_with_locks(void)
{
	if (!forgets_at_end)
		face_forget_at_end(face_forget_declined);
	forgets_at_end = true;
}

static void
read_all(Relation rel)
{
	HASHCTL		control = {.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(pg_uuid_t)};
	HTAB	   *found = hash_create("facematch opt-outs", 1024, &control, HASH_ELEM | HASH_BLOBS);
	AttrNumber	subject_column = get_attnum(RelationGetRelid(rel), "subject_id");
	AttrNumber	revoked_column = get_attnum(RelationGetRelid(rel), "revoked_at");
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = face_table_beginscan(rel, snapshot);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		ListCell   *cell;

		CHECK_FOR_INTERRUPTS();
		slot_getattr(slot, revoked_column, &isnull);
		if (!isnull)
			continue;
		foreach(cell, face_aliases(DatumGetUUIDP(slot_getattr(slot, subject_column, &isnull))))
			hash_search(found, lfirst(cell), HASH_ENTER, NULL);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	declined = found;
}

/* False: the subject, whose lock this transaction holds, has no opt-out that stands, nor has its person. */
bool
face_may_have_declined(Oid opt_out, const pg_uuid_t *subject)
{
	forget_with_locks();
	if (declined == NULL && ++lookups % LOOKUPS_BETWEEN_ESTIMATES == 0)
	{
		Relation	rel = table_open(opt_out, AccessShareLock);

		if ((uint64) RelationGetNumberOfBlocks(rel) * OPT_OUTS_PER_PAGE <= lookups * ROWS_PER_LOOKUP)
		{
			face_share_all_subjects(opt_out);
			read_all(rel);
		}
		table_close(rel, AccessShareLock);
	}
	return declined == NULL || hash_search(declined, subject, HASH_FIND, NULL) != NULL;
}
