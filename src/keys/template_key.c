/*-------------------------------------------------------------------------
 *
 * template_key.c
 *	  The keys of sealed templates, and where a backend gets them.
 *
 * A key comes from a file (wrapped.c) or from a command (key_command.c), and is
 * kept in this backend's memory, never in shared memory.  Destroying one sends an
 * invalidation of facematch_internal.template_key: from then on each backend asks
 * again for every key that it uses, and what it does not use again goes when its
 * transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "storage/sinval.h"
#include "utils/acl.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "compat.h"
#include "base/refusal.h"
#include "base/run.h"
#include "keys/key_command.h"
#include "keys/keyfile.h"
#include "keys/template_key.h"
#include "keys/wrapped.h"

PG_FUNCTION_INFO_V1(facematch_keys_are_possible);
PG_FUNCTION_INFO_V1(facematch_rotate_wrapping_key);

#define VALUE_PURPOSE	"facematch: values, 1"
#define BLOCK_PURPOSE	"facematch: blocks of an index, 1"

/* The end of the name of a site's key. */
static const char site_name[] = {'s', 'i', 't', 'e'};

/* A key that this backend has asked for. */
typedef struct Cached
{
	pg_uuid_t	id;
	bool		gone;			/* it has been destroyed */
	uint64		doubts;			/* how many there were when it was asked for */
	uint8		value_key[FACE_KEY_BYTES];
	uint8		block_key[FACE_KEY_BYTES];
} Cached;

static HTAB *cache = NULL;
static Cached *last = NULL;		/* the one that was asked for before */
static Oid	table = InvalidOid;
static uint64 doubts = 0;
static uint64 swept = 0;		/* how many doubts there were when the doubtful went */

static void
derive(Cached *entry, uint8 *key)
{
	face_derive_key(key, VALUE_PURPOSE, entry->value_key);
	face_derive_key(key, BLOCK_PURPOSE, entry->block_key);
	explicit_bzero(key, FACE_KEY_BYTES);
	entry->gone = false;
}

static void
wipe(Cached *entry)
{
	explicit_bzero(entry->value_key, sizeof(entry->value_key));
	explicit_bzero(entry->block_key, sizeof(entry->block_key));
}

/*--------------------------------------------------------- how keys become doubtful */

void
face_doubt_template_keys(void)
{
	doubts++;
}

uint64
face_template_key_doubts(void)
{
	return doubts;
}

/* Plans may have a distance computed in them; and the table may have been dropped with the extension. */
static void
doubt(Datum arg, Oid relid)
{
	if (relid != table && OidIsValid(relid))
		return;
	table = InvalidOid;
	face_doubt_template_keys();
	ResetPlanCache();
}

/* No pointers to keys are in use: remove the doubtful ones. */
static void
end_transaction(XactEvent event, void *arg)
{
	HASH_SEQ_STATUS status;
	Cached	   *entry;

	if (cache == NULL || swept == doubts || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE &&
						  event != XACT_EVENT_PARALLEL_COMMIT && event != XACT_EVENT_PARALLEL_ABORT))
		return;
	hash_seq_init(&status, cache);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->doubts == doubts)
			continue;
		wipe(entry);
		hash_search(cache, &entry->id, HASH_REMOVE, NULL);
	}
	last = NULL;
	swept = doubts;
	face_forget_ciphers();
}

/*--------------------------------------------------------- the site's key */

typedef struct SiteName
{
	uint64		system;			/* in the order of the network */
	uint32		database;
	char		what[sizeof(site_name)];
} SiteName;

StaticAssertDecl(sizeof(SiteName) == UUID_LEN, "a name fills a UUID");

/* Of this database in this cluster: the same in every backend, and known without a table. */
pg_uuid_t
face_site_key_name(void)
{
	SiteName	name = {pg_hton64(GetSystemIdentifier()), pg_hton32(MyDatabaseId)};
	pg_uuid_t	id;

	memcpy(name.what, site_name, sizeof(site_name));
	memcpy(id.data, &name, UUID_LEN);
	return id;
}

bool
face_is_anothers_site(const pg_uuid_t *site)
{
	SiteName	name;
	FaceKeyHeader header = {0};

	memcpy(&name, site->data, UUID_LEN);
	header.system = pg_ntoh64(name.system);
	header.database = pg_ntoh32(name.database);
	return face_is_anothers_key(&header);
}

bool
face_is_site_key_name(const pg_uuid_t *id)
{
	return memcmp(id->data + UUID_LEN - sizeof(site_name), site_name, sizeof(site_name)) == 0;
}

pg_uuid_t
face_site_key(void)
{
	pg_uuid_t	id = face_site_key_name();

	/* The command makes it when it is first asked for. */
	if (!face_key_command_is_set() && !face_is_wrapped_key(&id))
		face_make_lasting_key(&id);
	return id;
}

/*--------------------------------------------------------- asking */

static Cached *
find_or_make(const pg_uuid_t *id)
{
	Cached	   *entry;
	bool		found;

	if (cache == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(pg_uuid_t),.entrysize = sizeof(Cached),.hcxt = TopMemoryContext};

		cache = hash_create("keys of sealed templates", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		CacheRegisterRelcacheCallback(doubt, (Datum) 0);
	}
	if (!OidIsValid(table))
		table = face_table("template_key");
	entry = hash_search(cache, id, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) entry + sizeof(pg_uuid_t), 0, sizeof(Cached) - sizeof(pg_uuid_t));
		entry->gone = true;
		entry->doubts = doubts - 1;
	}
	return entry;
}

/* Asks for the key; an error leaves the entry in doubt. */
static void
ask(Cached *entry)
{
	uint8		key[FACE_KEY_BYTES];
	uint64		asked_at = doubts;
	pg_uuid_t	site = face_site_key_name();
	bool		is_site = memcmp(&site, &entry->id, UUID_LEN) == 0;
	bool		found;

	if (face_key_command_is_set())
		found = face_run_key_command(is_site ? "site" : "read", &entry->id, key);
	else
		found = face_read_wrapped_key(&entry->id, key);
	if (found)
		derive(entry, key);
	else
	{
		wipe(entry);
		entry->gone = true;
	}
	entry->doubts = asked_at;
}

static Cached *
asked_for(const pg_uuid_t *id)
{
	Cached	   *entry;

	if (likely(last != NULL && last->doubts == doubts && memcmp(&last->id, id, UUID_LEN) == 0))
		return last;
	last = NULL;
	entry = find_or_make(id);
	if (entry->doubts != doubts)
		ask(entry);
	return last = entry;
}

bool
face_template_key(const pg_uuid_t *id, const uint8 **value_key, const uint8 **block_key)
{
	Cached	   *entry = asked_for(id);

	*value_key = entry->value_key;
	*block_key = entry->block_key;
	return !entry->gone;
}

/*--------------------------------------------------------- who may have a template opened */

/* Asked once a statement and user: a scan compares a million. */
bool
face_may_open(void)
{
	static Oid	user = InvalidOid;
	static TimestampTz since = 0;
	static bool may = false;

	if (user != GetUserId() || since != GetCurrentStatementStartTimestamp())
	{
		const Oid	reference = face_table("reference");

		user = GetUserId();
		since = GetCurrentStatementStartTimestamp();
		may = pg_class_aclcheck(reference, user, ACL_SELECT) == ACLCHECK_OK ||
			pg_attribute_aclcheck(reference, get_attnum(reference, "embedding"), user, ACL_SELECT) == ACLCHECK_OK;
	}
	return may;
}

/*--------------------------------------------------------- making and destroying */

/*
 * A new key, which is removed if the transaction fails; a service keeps it, and
 * it is the key of nothing. First: no template is sealed yet, so that a
 * directory without a wrapping key is a new one.
 */
void
face_make_template_key(const pg_uuid_t *id, bool first)
{
	Cached	   *entry = find_or_make(id);
	uint8		key[FACE_KEY_BYTES];
	uint64		asked_at = doubts;

	if (!face_key_command_is_set())
		face_make_wrapped_key(id, first, key);
	else if (!face_run_key_command("make", id, key))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), face_refusal("key_command_works"),
				 errmsg("facematch.key_command made no key"),
				 errhint("With %%o replaced by make, it must make a key named %%k and print it as 64 hexadecimal digits.")));
	derive(entry, key);
	entry->doubts = asked_at;
}

/* Tells all backends at once, as the key is gone at once; those that are idle are woken to hear it. */
static void
tell_backends(Oid keys)
{
	SharedInvalidationMessage message = {.rc = {.id = SHAREDINVALRELCACHE_ID,.dbId = MyDatabaseId,.relId = keys}};

	SendSharedInvalidMessages(&message, 1);
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		const PGPROC *backend = &ProcGlobal->allProcs[i];
		int			pid = backend->pid;

		if (pid != 0 && pid != MyProcPid && backend->databaseId == MyDatabaseId)
			(void) SendProcSignal(pid, PROCSIG_CATCHUP_INTERRUPT, FACE_ANY_BACKEND);
	}
}

/* Whether it existed; takes effect at once, even if the transaction fails. */
bool
face_destroy_template_key(const pg_uuid_t *id)
{
	Oid			keys = face_table("template_key");
	volatile bool there = true;

	PG_TRY();
	{
		if (face_key_command_is_set())
			(void) face_run_key_command("destroy", id, NULL);
		else
			there = face_destroy_wrapped_key(id);
	}
	PG_FINALLY();
	{
		/* Half destroyed it is of no use either. */
		tell_backends(keys);
	}
	PG_END_TRY();
	/* Standbys hear it from the commit. */
	CacheInvalidateRelcacheByRelid(keys);
	return there;
}

/* facematch_internal.keys_are_possible(): whether there is a place for keys */
Datum
facematch_keys_are_possible(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(face_key_command_is_set() || face_key_directory_is_set());
}

/* facematch_internal.rotate_wrapping_key(): how many keys are wrapped again */
Datum
facematch_rotate_wrapping_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(face_key_directory_is_set() && !face_key_command_is_set() ? face_rotate_wrapping_key() : 0);
}

void
face_template_key_init(void)
{
	RegisterXactCallback(end_transaction, NULL);
}
