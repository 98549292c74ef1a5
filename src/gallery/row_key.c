/*-------------------------------------------------------------------------
 *
 * row_key.c
 *	  Which key a row's template is sealed under.
 *
 * A key is of a gallery, a retention class and a term: rows that are due at
 * about the same time are under one key, which the purge destroys when the last
 * of them is gone. A row whose class or term changes is sealed again, and the
 * new key remembers the old one: copies of the row from before are readable as
 * long as that is. Rows that stay although they are due are held: they get a
 * key of their own, and keep no other key alive.
 *
 * A transaction that seals a row holds a share lock on the key's name until it
 * ends; one that destroys a key takes an exclusive lock, and then checks again
 * that no row uses the key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/bytes.h"
#include "base/run.h"
#include "gallery/row_key.h"
#include "keys/template_key.h"

PG_FUNCTION_INFO_V1(facematch_own_template_key);

typedef struct Key
{
	pg_uuid_t	id;				/* key of the table of keys */
	bool		known;			/* facematch_internal.template_key has it, and it was not destroyed */
	bool		retired;		/* rotated: no new row uses it */
	FaceKeyPurpose purpose;
	TimestampTz made;
} Key;

typedef struct Current
{
	FaceKeyPurpose purpose;		/* key of the table of current keys */
	pg_uuid_t	id;
} Current;

/* A key that rows were under that have gone, or have gone under another one. */
typedef struct Left
{
	Oid			relid;			/* of rows that have gone; else InvalidOid */
	pg_uuid_t	from;
	pg_uuid_t	to;
	SubTransactionId by;
} Left;

/* What this transaction has found out and locked, in memory of its own. */
static MemoryContext memory = NULL;
static HTAB *keys = NULL;
static HTAB *currents = NULL;

/* And what it has taken away, in the transaction's memory. */
static List *left = NIL;

static void
forget(void)
{
	if (memory != NULL)
		MemoryContextReset(memory);
	keys = NULL;
	currents = NULL;
}

/* Not before the commit: receipts of what was deleted by hand are written then. */
static void
forget_at_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE || event == XACT_EVENT_PARALLEL_PRE_COMMIT)
		return;
	forget();
	left = NIL;
}

/* Locks go with the subtransaction that took them, and so does what it has taken away. */
static void
note_subtransaction(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid, void *arg)
{
	ListCell   *cell;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(cell, left)
	{
		Left	   *note = lfirst(cell);

		if (note->by != mySubid)
			continue;
		note->by = parentSubid;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			left = foreach_delete_current(left, cell);
	}
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget();
}

void
face_row_key_init(void)
{
	RegisterXactCallback(forget_at_end, NULL);
	RegisterSubXactCallback(note_subtransaction, NULL);
}

static void
prepare(void)
{
	HASHCTL		by_id = {.keysize = sizeof(pg_uuid_t),.entrysize = sizeof(Key)};
	HASHCTL		by_purpose = {.keysize = sizeof(FaceKeyPurpose),.entrysize = sizeof(Current)};

	if (keys != NULL)
		return;
	if (memory == NULL)
		memory = AllocSetContextCreate(TopMemoryContext, "facematch sealed rows", ALLOCSET_DEFAULT_SIZES);
	by_id.hcxt = by_purpose.hcxt = memory;
	keys = hash_create("keys of this transaction", 64, &by_id, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	currents = hash_create("current keys of this transaction", 64, &by_purpose, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*--------------------------------------------------------- terms */

/*
 * Deadlines that fall into one term share a key: an hour of the next two days, a
 * day of the next month, and so on, so that there are few keys, and what is due
 * stays readable in copies for a small part of its life longer.
 */
static int64
grain(TimestampTz from, TimestampTz due)
{
	const int64 ahead = due - from;

	if (ahead <= 2 * USECS_PER_DAY)
		return USECS_PER_HOUR;
	if (ahead <= 30 * USECS_PER_DAY)
		return USECS_PER_DAY;
	if (ahead <= 366 * USECS_PER_DAY)
		return 7 * USECS_PER_DAY;
	if (ahead <= 5 * 366 * USECS_PER_DAY)
		return 30 * USECS_PER_DAY;
	return 366 * USECS_PER_DAY;
}

static TimestampTz
term_of(TimestampTz from, TimestampTz due)
{
	int64		step;

	if (TIMESTAMP_NOT_FINITE(due))
		return DT_NOEND;
	step = grain(from, due);
	if (due >= END_TIMESTAMP - step)
		return DT_NOEND;		/* no timestamp comes after it */
	return (due / step + (due % step > 0 ? 1 : 0)) * step;
}

static uint64
class_of(text *class)
{
	return hash_bytes_extended((const unsigned char *) VARDATA_ANY(class), VARSIZE_ANY_EXHDR(class), 0);
}

FaceKeyPurpose
face_key_purpose(int64 gallery_id, text *class, TimestampTz purge_after)
{
	FaceKeyPurpose purpose;
	TimestampTz now = GetCurrentTimestamp();

	memset(&purpose, 0, sizeof(purpose));
	purpose.gallery_id = gallery_id;
	purpose.class = class_of(class);
	purpose.held = purge_after <= now;
	purpose.due = purpose.held ? DT_NOEND : term_of(now, purge_after);
	return purpose;
}

/* Whether a row may stay under the key that it is under. */
static bool
serves(const Key *key, const FaceKeyPurpose *purpose, TimestampTz purge_after)
{
	if (key->retired || key->purpose.gallery_id != purpose->gallery_id || key->purpose.class != purpose->class)
		return false;
	/* A due row is deleted by the next purge; a held one is sealed under another key before this one is destroyed. */
	if (purpose->held)
		return key->purpose.held || key->purpose.due > GetCurrentTimestamp();
	if (key->purpose.held || TIMESTAMP_NOT_FINITE(purge_after) || TIMESTAMP_NOT_FINITE(key->purpose.due))
		return !key->purpose.held && key->purpose.due == purpose->due;
	return key->purpose.due >= purge_after && key->purpose.due - purge_after <= grain(key->made, key->purpose.due);
}

/*--------------------------------------------------------- keys */

static Oid
owner(void)
{
	return face_owner(face_table("template_key"));
}

/* Nobody destroys the key until this transaction ends. */
static void
lock_key(const pg_uuid_t *id)
{
	LockDatabaseObject(face_table("template_key"), hash_bytes(id->data, UUID_LEN), 0, ShareLock);
}

/* Locked, and then looked at: what was destroyed before is seen. */
static Key *
look_up(const pg_uuid_t *id)
{
	static FacePlan plan = {
		"SELECT k.gallery_id, k.retention_class, k.due, k.held, k.made_at, k.retired_at IS NOT NULL"
		" FROM facematch_internal.template_key k WHERE k.key_id OPERATOR(pg_catalog.=) $1 AND k.destroyed_at IS NULL",
		1, {UUIDOID}, NULL
	};
	Datum		value = UUIDPGetDatum(id);
	bool		found;
	Key		   *key;

	prepare();
	key = hash_search(keys, id, HASH_FIND, NULL);
	if (key != NULL)
		return key;
	lock_key(id);
	SPI_connect();
	face_run_plan(&plan, &value, owner());
	prepare();
	key = hash_search(keys, id, HASH_ENTER, &found);
	memset((char *) key + sizeof(pg_uuid_t), 0, sizeof(Key) - sizeof(pg_uuid_t));
	key->known = SPI_processed == 1;
	if (key->known)
	{
		key->purpose.gallery_id = DatumGetInt64(face_result(1, NULL));
		key->purpose.class = class_of(DatumGetTextPP(face_result(2, NULL)));
		key->purpose.due = DatumGetTimestampTz(face_result(3, NULL));
		key->purpose.held = DatumGetBool(face_result(4, NULL));
		key->made = DatumGetTimestampTz(face_result(5, NULL));
		key->retired = DatumGetBool(face_result(6, NULL));
	}
	SPI_finish();
	return key;
}

/* Asks for the newest key of the purpose; it may be destroyed before it is locked.  False: there is none. */
static bool
find_current(const FaceKeyPurpose *purpose, Datum class, pg_uuid_t *id)
{
	static FacePlan plan = {
		"SELECT k.key_id FROM facematch_internal.template_key k WHERE k.gallery_id OPERATOR(pg_catalog.=) $1"
		" AND k.retention_class OPERATOR(pg_catalog.=) $2 AND k.due OPERATOR(pg_catalog.=) $3 AND k.held OPERATOR(pg_catalog.=) $4"
		" AND k.retired_at IS NULL AND k.destroyed_at IS NULL ORDER BY k.made_at DESC LIMIT 1",
		4, {INT8OID, TEXTOID, TIMESTAMPTZOID, BOOLOID}, NULL
	};
	Datum		values[] = {Int64GetDatum(purpose->gallery_id), class, TimestampTzGetDatum(purpose->due), BoolGetDatum(purpose->held != 0)};
	bool		found;

	SPI_connect();
	face_run_plan(&plan, values, owner());
	found = SPI_processed == 1;
	if (found)
		*id = *DatumGetUUIDP(face_result(1, NULL));
	SPI_finish();
	return found;
}

static void
make_key(const FaceKeyPurpose *purpose, Datum class, pg_uuid_t *id)
{
	static FacePlan plan = {
		"INSERT INTO facematch_internal.template_key (key_id, gallery_id, retention_class, due, held, made_in)"
		" VALUES ($1, $2, $3, $4, $5, $6)",
		6, {UUIDOID, INT8OID, TEXTOID, TIMESTAMPTZOID, BOOLOID, UUIDOID}, NULL
	};
	pg_uuid_t	made_in = face_site_key_name();
	Datum		values[] = {
		UUIDPGetDatum(id), Int64GetDatum(purpose->gallery_id), class, TimestampTzGetDatum(purpose->due), BoolGetDatum(purpose->held != 0),
		UUIDPGetDatum(&made_in)
	};
	bool		first;

	*id = *DatumGetUUIDP(OidFunctionCall0(F_GEN_RANDOM_UUID));
	SPI_connect();
	face_run("SELECT FROM facematch_internal.template_key LIMIT 1", 0, NULL, NULL, owner());
	first = SPI_processed == 0;
	lock_key(id);
	face_make_template_key(id, first);
	face_run_plan(&plan, values, owner());
	SPI_finish();
}

bool
face_key_stays(const pg_uuid_t *id, const FaceKeyPurpose *purpose, TimestampTz purge_after)
{
	const Key  *key = look_up(id);

	return !key->known || serves(key, purpose, purge_after);
}

/* A crash that came while it was destroyed leaves its row, until the next purge. */
static bool
can_seal(const pg_uuid_t *id)
{
	const uint8 *value_key;
	const uint8 *block_key;

	return face_template_key(id, &value_key, &block_key);
}

pg_uuid_t
face_current_key(const FaceKeyPurpose *purpose, Datum class)
{
	Current    *current;
	pg_uuid_t	id;
	bool		found;

	prepare();
	current = hash_search(currents, purpose, HASH_FIND, NULL);
	if (current != NULL)
		return current->id;
	do
	{
		found = find_current(purpose, class, &id);
	} while (found && !look_up(&id)->known);
	if (!found || !can_seal(&id))
		make_key(purpose, class, &id);
	prepare();
	current = hash_search(currents, purpose, HASH_ENTER, NULL);
	current->id = id;
	return id;
}

/*--------------------------------------------------------- what was under which key */

static bool
note_left(const Left *note)
{
	MemoryContext caller;
	ListCell   *cell;
	Left	   *kept;

	foreach(cell, left)
	{
		if (memcmp(lfirst(cell), note, offsetof(Left, by)) == 0)
			return false;
	}
	caller = MemoryContextSwitchTo(TopTransactionContext);
	kept = palloc(sizeof(Left));
	*kept = *note;
	kept->by = GetCurrentSubTransactionId();
	left = lappend(left, kept);
	MemoryContextSwitchTo(caller);
	return true;
}

void
face_note_earlier_key(const pg_uuid_t *from, const pg_uuid_t *to)
{
	static FacePlan plan = {
		"UPDATE facematch_internal.template_key k SET earlier = k.earlier OPERATOR(pg_catalog.||) $1"
		" WHERE k.key_id OPERATOR(pg_catalog.=) $2 AND $1 OPERATOR(pg_catalog.<>) ALL (k.earlier)",
		2, {UUIDOID, UUIDOID}, NULL
	};
	Left		note = {InvalidOid, *from, *to};
	Datum		values[] = {UUIDPGetDatum(from), UUIDPGetDatum(to)};

	if (!note_left(&note))
		return;
	SPI_connect();
	face_run_plan(&plan, values, owner());
	SPI_finish();
}

void
face_note_row_gone(Oid relid, const FaceEmbedding *template)
{
	Left		note;

	memset(&note, 0, sizeof(note));
	note.relid = relid;
	if (face_is_sealed(template))
		note.from = *face_sealed_by(template);
	(void) note_left(&note);
}

static bool
is_nil(const pg_uuid_t *id)
{
	static const pg_uuid_t nil = {{0}};

	return memcmp(id, &nil, UUID_LEN) == 0;
}

/* Of another class they are on another receipt.  The nil UUID: some of the rows were not sealed. */
void
face_write_receipt_keys(Oid relid, const char *class)
{
	static FacePlan plan = {
		"INSERT INTO facematch_internal.receipt_key (receipt_id, key_id)"
		" SELECT pg_catalog.currval('facematch.purge_receipt_receipt_id_seq'::pg_catalog.regclass), k.key_id"
		" FROM pg_catalog.unnest($1) k (key_id)"
		" WHERE NOT EXISTS (SELECT FROM facematch_internal.template_key t"
		" WHERE t.key_id OPERATOR(pg_catalog.=) k.key_id"
		" AND $2 OPERATOR(pg_catalog.<>) '' AND t.retention_class OPERATOR(pg_catalog.<>) $2)",
		2, {UUIDARRAYOID, TEXTOID}, NULL
	};
	List	   *gone = NIL;
	Datum		values[2];
	bool		sealed = false;
	ListCell   *cell;

	foreach(cell, left)
	{
		Left	   *note = lfirst(cell);

		if (note->relid != relid)
			continue;
		gone = lappend(gone, &note->from);
		sealed = sealed || !is_nil(&note->from);
	}
	/* Where nothing was sealed there is nothing to say. */
	if (!sealed)
		return;
	values[0] = PointerGetDatum(face_uuid_array(gone));
	values[1] = CStringGetTextDatum(class == NULL ? "" : class);
	face_run_plan(&plan, values, face_owner(face_table("purge_receipt")));
}

/* A copy of a database leaves keys to the one that made them, wherever keys are. */
static bool
is_anothers(const pg_uuid_t *id)
{
	static FacePlan plan = {
		"SELECT k.made_in FROM facematch_internal.template_key k WHERE k.key_id OPERATOR(pg_catalog.=) $1", 1, {UUIDOID}, NULL
	};
	Datum		value = UUIDPGetDatum(id);
	bool		anothers;

	SPI_connect();
	face_run_plan(&plan, &value, owner());
	anothers = SPI_processed == 1 && face_is_anothers_site(DatumGetUUIDP(face_result(1, NULL)));
	SPI_finish();
	return anothers;
}

/* facematch_internal.own_template_key(uuid): whether nobody is putting a row under it; nobody does until the transaction ends */
Datum
facematch_own_template_key(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	if (is_anothers(PG_GETARG_UUID_P(0)))
		PG_RETURN_BOOL(false);
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, face_table("template_key"), hash_bytes(PG_GETARG_UUID_P(0)->data, UUID_LEN), 0);
	PG_RETURN_BOOL(LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL);
}
