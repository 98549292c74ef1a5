/*-------------------------------------------------------------------------
 *
 * facts.c
 *	  The facts outside a row on which its deadline depends, and the locks that
 *	  keep them unchanged until the row is committed.
 *
 * A transaction that adds a template holds a share lock on the subject's bucket
 * until it ends. A transaction that records an opt-out holds an exclusive lock on
 * it. So the second of two such transactions waits, and with the newest snapshot it
 * sees what the first has done. There are few buckets, because a transaction that
 * stages 100,000 templates must fit into the lock table (64 locks for each of
 * max_connections, by default): 64 is what one transaction may use on average.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/attempt.h"
#include "base/run.h"
#include "retention/facts.h"
#include "retention/person.h"

#define FACE_BUCKETS	64

/* The buckets that this transaction has share-locked. */
static uint64 shared_buckets = 0;

static void
forget_shared(void)
{
	shared_buckets = 0;
}

void
face_facts_init(void)
{
	face_forget_at_end(forget_shared);
}

/* When an event last happened to a subject's person, without one row (0: none); DT_NOEND: not yet. */
TimestampTz
face_anchor_event(const pg_uuid_t *subject, const char *event, int64 but)
{
	static FacePlan look = {
		"SELECT pg_catalog.max(e.occurred_at) FROM facematch.anchor_event e"
		" WHERE e.subject_id OPERATOR(pg_catalog.=) ANY ($1) AND e.event OPERATOR(pg_catalog.=) $2"
		" AND e.event_id OPERATOR(pg_catalog.<>) $3",
		3, {UUIDARRAYOID, TEXTOID, INT8OID}, NULL
	};
	Datum		values[3] = {face_alias_array(subject), CStringGetTextDatum(event), Int64GetDatum(but)};
	Datum		at;
	bool		isnull;

	SPI_connect();
	face_run_plan(&look, values, face_owner(face_table("anchor_event")));
	at = face_result(1, &isnull);
	SPI_finish();
	return isnull ? DT_NOEND : DatumGetTimestampTz(at);
}

static int
face_bucket(const pg_uuid_t *subject)
{
	return (int) (hash_bytes(subject->data, UUID_LEN) % FACE_BUCKETS);
}

/* The locks are on numbered parts of a table, the lock class: no advisory lock of an application meets them. */
static void
share_bucket(Oid lock_class, int bucket)
{
	if (shared_buckets & (UINT64CONST(1) << bucket))
		return;
	LockDatabaseObject(lock_class, (Oid) (bucket + 1), 0, ShareLock);
	shared_buckets |= UINT64CONST(1) << bucket;
}

void
face_share_subject(Oid lock_class, const pg_uuid_t *subject)
{
	share_bucket(lock_class, face_bucket(subject));
}

void
face_share_all_subjects(Oid lock_class)
{
	for (int bucket = 0; bucket < FACE_BUCKETS; bucket++)
		share_bucket(lock_class, bucket);
}

/* The buckets of all subjects of a person. */
static uint64
buckets_of(const pg_uuid_t *subject)
{
	uint64		buckets = 0;
	ListCell   *cell;

	foreach(cell, face_aliases(subject))
		buckets |= UINT64CONST(1) << face_bucket(lfirst(cell));
	return buckets;
}

/* In one order for everybody.  A merge may be committed while this waits: then there are more of them. */
void
face_own_subject(const pg_uuid_t *subject)
{
	Oid			lock_class = face_table("opt_out");
	uint64		owned = 0;
	uint64		wanted;

	while ((wanted = buckets_of(subject) & ~owned) != 0)
	{
		for (int bucket = 0; bucket < FACE_BUCKETS; bucket++)
		{
			if (wanted & (UINT64CONST(1) << bucket))
				LockDatabaseObject(lock_class, (Oid) (bucket + 1), 0, ExclusiveLock);
		}
		owned |= wanted;
	}
}

static void
own_subject(void *subject)
{
	face_own_subject(subject);
}

/*
 * The same, but not for longer than a table may take: a session that adds
 * templates may leave it at that, in an idle session or a prepared transaction.
 * The warning is here; what that transaction adds has to be removed later.
 */
bool
face_lock_subject(Datum subject, int tables_left)
{
	return face_attempt(face_table("opt_out"), "locked for the subject", face_table_until(tables_left), own_subject, DatumGetPointer(subject));
}
