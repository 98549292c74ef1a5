/*-------------------------------------------------------------------------
 *
 * skip.c
 *	  Rows that were left out because their subjects have opted out.
 *
 * With facematch.on_opt_out = skip, a manifest can be staged although some of its
 * travelers have declined. Their rows are left out, a warning counts them, and
 * facematch.skipped() lists them until this session leaves out rows in another
 * transaction. Nothing about them is written to disk.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "retention/skip.h"

PG_FUNCTION_INFO_V1(facematch_skipped);

typedef struct SkippedRow
{
	Oid			relid;
	pg_uuid_t	subject;
	bool		in_gallery;
	int64		gallery_id;
} SkippedRow;

enum
{
	ON_OPT_OUT_REFUSE,
	ON_OPT_OUT_SKIP
};

static const struct config_enum_entry on_opt_out_options[] = {
	{"refuse", ON_OPT_OUT_REFUSE, false},
	{"skip", ON_OPT_OUT_SKIP, false},
	{NULL, 0, false}
};

static int	on_opt_out = ON_OPT_OUT_REFUSE;

static SkippedRow *rows = NULL;
static uint64 nrows = 0;
static uint64 room = 0;
static uint64 reported = 0;		/* rows that a warning has counted */
static bool transaction_ended = false;

static void
note_end(XactEvent event, void *arg)
{
	transaction_ended = true;
}

void
face_skip_init(void)
{
	RegisterXactCallback(note_end, NULL);
	DefineCustomEnumVariable("facematch.on_opt_out",
							 "What to do with a row whose subject has opted out.",
							 "\"refuse\" raises an error; \"skip\" leaves the row out, warns, and lists it in facematch.skipped().",
							 &on_opt_out,
							 ON_OPT_OUT_REFUSE,
							 on_opt_out_options,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);
}

/* Replication must not stop at a row that the publisher had before it knew of the opt-out. */
bool
face_skips_opted_out(void)
{
	return on_opt_out == ON_OPT_OUT_SKIP || SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA;
}

void
face_skip(Oid relid, const pg_uuid_t *subject, bool in_gallery, int64 gallery_id)
{
	if (transaction_ended)
		nrows = reported = 0;
	transaction_ended = false;
	if (nrows == room)
	{
		uint64		more = Max(64, room * 2);

		if (rows == NULL)
			rows = MemoryContextAllocHuge(TopMemoryContext, more * sizeof(SkippedRow));
		else
			rows = repalloc_huge(rows, more * sizeof(SkippedRow));
		room = more;
	}
	rows[nrows++] = (SkippedRow) {relid, *subject, in_gallery, gallery_id};
}

/* guard() after each statement that inserts: says how many rows were left out. */
void
face_report_skipped(const TriggerData *trigger)
{
	if (!transaction_ended && reported < nrows)
	{
		uint64		left_out = nrows - reported;

		reported = nrows;
		ereport(WARNING,
				(errmsg_plural("%llu row was not put into \"%s\": its subject has opted out",
							   "%llu rows were not put into \"%s\": their subjects have opted out",
							   (unsigned long) left_out, (unsigned long long) left_out,
							   RelationGetRelationName(trigger->tg_relation)),
				 errhint("SELECT * FROM facematch.skipped() lists them.")));
	}
}

/* facematch.skipped() returns setof (table_name regclass, subject_id uuid, gallery_id bigint) */
Datum
facematch_skipped(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (uint64 i = 0; i < nrows; i++)
	{
		Datum		values[3] = {
			ObjectIdGetDatum(rows[i].relid), UUIDPGetDatum(&rows[i].subject), Int64GetDatum(rows[i].gallery_id)
		};
		bool		nulls[3] = {false, false, !rows[i].in_gallery};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
