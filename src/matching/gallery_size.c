/*-------------------------------------------------------------------------
 *
 * gallery_size.c
 *	  How many references a gallery has, asked at every search.
 *
 * A gallery that states a target FPIR gets its threshold from its size.  To
 * count it is cheap for a flight and dear for a million, so a session remembers
 * the count of a large gallery, for a hundred times as long as it took and a
 * minute at most: counting then costs a hundredth of the time, nothing has to be
 * written when references come and go, and it works on a standby.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(facematch_gallery_size);

/*
 * So many are counted, in half a millisecond, for each statement of the client:
 * not twice within one, so that what an encounter is decided with and what it
 * records are the same.
 */
#define FEW_REFERENCES		5000

/* How many times as long as counting took a count is used; but counting may have waited, for a processor or a lock. */
#define REUSE_FACTOR		100
#define LONGEST_REUSE		(60 * USECS_PER_SEC)

/* Galleries remembered; when there are more, all are counted anew. */
#define MOST_REMEMBERED		4096

/* Row security may show users different rows. */
typedef struct SizeKey
{
	int64		gallery_id;
	Oid			user;
	Oid			unused;			/* a key has no bytes that nobody sets */
} SizeKey;

typedef struct SizeEntry
{
	SizeKey		key;
	int64		size;
	TimestampTz statement;		/* start of the client's statement that it was counted for */
	TimestampTz until;
} SizeEntry;

static HTAB *remembered = NULL;

static int64
count_references(int64 gallery_id)
{
	static SPIPlanPtr plan = NULL;
	Datum		arguments[] = {Int64GetDatum(gallery_id), TimestampTzGetDatum(GetCurrentTimestamp())};
	int64		size;
	bool		isnull;

	SPI_connect();
	if (plan == NULL)
	{
		Oid			types[] = {INT8OID, TIMESTAMPTZOID};

		plan = SPI_prepare("SELECT pg_catalog.count(*) FROM facematch.reference r"
						   " WHERE r.gallery_id OPERATOR(pg_catalog.=) $1"
						   " AND r.purge_after OPERATOR(pg_catalog.>) $2", lengthof(types), types);
		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
	}
	if (SPI_execute_plan(plan, arguments, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not count the references of gallery %lld", (long long) gallery_id);
	size = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return size;
}

static void
forget_all(void)
{
	HASHCTL		control = {.keysize = sizeof(SizeKey),.entrysize = sizeof(SizeEntry)};

	if (remembered != NULL)
		hash_destroy(remembered);
	remembered = NULL;			/* should the next fail */
	remembered = hash_create("facematch gallery sizes", 64, &control, HASH_ELEM | HASH_BLOBS);
}

/* gallery_size(gallery_id bigint) returns bigint */
Datum
facematch_gallery_size(PG_FUNCTION_ARGS)
{
	SizeKey		key = {PG_GETARG_INT64(0), GetUserId(), InvalidOid};
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz took;
	SizeEntry  *entry;
	int64		size;

	if (remembered == NULL)
		forget_all();
	entry = hash_search(remembered, &key, HASH_FIND, NULL);
	if (entry != NULL && (start < entry->until || entry->statement == GetCurrentStatementStartTimestamp()))
		PG_RETURN_INT64(entry->size);
	size = count_references(key.gallery_id);
	took = GetCurrentTimestamp() - start;
	if (hash_get_num_entries(remembered) >= MOST_REMEMBERED)
		forget_all();
	entry = hash_search(remembered, &key, HASH_ENTER, NULL);
	entry->size = size;
	entry->statement = GetCurrentStatementStartTimestamp();
	entry->until = size > FEW_REFERENCES ? start + took + Min(took * REUSE_FACTOR, LONGEST_REUSE) : start;
	PG_RETURN_INT64(size);
}
