/*-------------------------------------------------------------------------
 *
 * facts.c
 *	  What a row's deadline depends on outside the row, and the locks that keep
 *	  it from changing until the row is committed.
 *
 * Galleries: the first row that a transaction puts into a gallery locks the
 * gallery's row FOR SHARE.  A new departure time waits for that transaction,
 * then finds its rows and moves their deadlines; so does who would give the
 * gallery another model, or delete it.  Holding the lock, the transaction may
 * remember the gallery, until it changes or deletes it itself.
 *
 * Subjects: whoever adds a template holds a share lock on the subject's bucket
 * until the transaction ends, whoever files an opt-out an exclusive one.  So of
 * two such transactions the second waits, and with the newest snapshot it sees
 * what the first has done.  There are few buckets, because a transaction that
 * stages 100,000 templates must fit into the lock table (64 locks for each of
 * max_connections, by default); 64 is what one transaction is allowed on average.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "retention/declined.h"
#include "retention/facts.h"
#include "retention/run.h"

#define FACE_BUCKETS	64

/* The galleries that this transaction has locked; NULL: none. */
static HTAB *galleries = NULL;
static FaceGallery *last_gallery = NULL;
static uint64 shared_buckets = 0;

/* Locks go with the transaction, and with the subtransaction that took them. */
void
face_forget_facts(void)
{
	if (galleries != NULL)
		hash_destroy(galleries);
	galleries = NULL;
	last_gallery = NULL;
	shared_buckets = 0;
	face_forget_declined();
}

static void
forget_at_end(XactEvent event, void *arg)
{
	face_forget_facts();
}

static void
forget_at_abort(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		face_forget_facts();
}

void
face_facts_init(void)
{
	RegisterXactCallback(forget_at_end, NULL);
	RegisterSubXactCallback(forget_at_abort, NULL);
}

static TimestampTz
result_time(int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

static int16
result_int2(int column)
{
	bool		isnull;

	return DatumGetInt16(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull));
}

static void
read_gallery(FaceGallery *gallery, bool lock)
{
	static FacePlan look = {
		"SELECT g.anchor_at, g.purge_after, g.closed_at, g.model_tag, g.dims FROM facematch.gallery g WHERE g.gallery_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}, NULL
	};
	static FacePlan hold = {
		"SELECT g.anchor_at, g.purge_after, g.closed_at, g.model_tag, g.dims FROM facematch.gallery g WHERE g.gallery_id OPERATOR(pg_catalog.=) $1"
		" FOR SHARE",
		1, {INT8OID}, NULL
	};
	Datum		id = Int64GetDatum(gallery->gallery_id);

	SPI_connect();
	face_run_plan(lock ? &hold : &look, &id, face_owner(face_table("gallery")));
	gallery->exists = SPI_processed == 1;
	gallery->anchor = gallery->exists ? result_time(1) : DT_NOEND;
	gallery->purge_after = gallery->exists ? result_time(2) : DT_NOEND;
	gallery->closed = gallery->exists && !TIMESTAMP_IS_NOEND(result_time(3));
	gallery->model_tag = gallery->exists ? result_int2(4) : 0;
	gallery->dims = gallery->exists ? result_int2(5) : 0;
	SPI_finish();
}

static FaceGallery *
remember_gallery(const FaceGallery *gallery)
{
	FaceGallery *entry;

	if (galleries == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(FaceGallery)};

		galleries = hash_create("facematch galleries", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(galleries, &gallery->gallery_id, HASH_ENTER, NULL);
	*entry = *gallery;
	return entry;
}

/*
 * A gallery as it will stay until this transaction ends, if it is locked.  One
 * that is not there cannot be locked, and may come.  Good until the next call.
 */
const FaceGallery *
face_gallery(int64 gallery_id, bool lock)
{
	static FaceGallery unlocked;
	FaceGallery *known = last_gallery;

	if (known != NULL && known->gallery_id == gallery_id)
		return known;
	if (galleries != NULL)
		known = hash_search(galleries, &gallery_id, HASH_FIND, NULL);
	else
		known = NULL;
	if (known == NULL)
	{
		unlocked = (FaceGallery) {.gallery_id = gallery_id};
		read_gallery(&unlocked, lock);
		if (!lock || !unlocked.exists)
			return &unlocked;
		known = remember_gallery(&unlocked);
	}
	last_gallery = known;
	return known;
}

/* When an event last happened to a subject; DT_NOEND: not yet. */
TimestampTz
face_anchor_event(const pg_uuid_t *subject, const char *event)
{
	static FacePlan look = {
		"SELECT pg_catalog.max(e.occurred_at) FROM facematch.anchor_event e"
		" WHERE e.subject_id OPERATOR(pg_catalog.=) $1 AND e.event OPERATOR(pg_catalog.=) $2",
		2, {UUIDOID, TEXTOID}, NULL
	};
	Datum		values[2] = {UUIDPGetDatum(subject), CStringGetTextDatum(event)};
	TimestampTz at;

	SPI_connect();
	face_run_plan(&look, values, face_owner(face_table("anchor_event")));
	at = result_time(1);
	SPI_finish();
	return at;
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

void
face_own_subject(Oid lock_class, const pg_uuid_t *subject)
{
	LockDatabaseObject(lock_class, (Oid) (face_bucket(subject) + 1), 0, ExclusiveLock);
}
