/*-------------------------------------------------------------------------
 *
 * opt_outs_and_holds.c
 *	  Opt-outs and holds, as the guard looks them up for every row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "retention/opt_outs_and_holds.h"
#include "base/run.h"
#include "retention/person.h"

PG_FUNCTION_INFO_V1(facematch_is_opted_out);

/* A row of opt_out or hold is in force unless it was ended or its time has passed. */
typedef struct InForce
{
	AttrNumber	ended;
	AttrNumber	until;
	AttrNumber	gallery;		/* 0: none */
	bool		in_gallery;
	int64		gallery_id;
} InForce;

void
face_find_lookups(FaceLookups *lookups)
{
	static const char *const by_subject[] = {"subject_id"};
	static const char *const by_row[] = {"table_name", "row_id"};

	lookups->opt_out = face_table("opt_out");
	lookups->opt_out_by_subject = face_index_on(lookups->opt_out, 1, by_subject);
	lookups->opt_out_revoked = get_attnum(lookups->opt_out, "revoked_at");
	lookups->opt_out_until = get_attnum(lookups->opt_out, "until");
	lookups->opt_out_gallery = get_attnum(lookups->opt_out, "gallery_id");
	lookups->hold = face_table("hold");
	lookups->gallery = face_table("gallery");
	lookups->hold_by_row = face_index_on(lookups->hold, 2, by_row);
	lookups->hold_by_subject = face_index_on(lookups->hold, 1, by_subject);
	lookups->hold_released = get_attnum(lookups->hold, "released_at");
	lookups->hold_until = get_attnum(lookups->hold, "until");
}

static bool
in_force(TupleTableSlot *row, void *state)
{
	const InForce *wanted = state;
	bool		isnull;
	Datum		value;

	slot_getattr(row, wanted->ended, &isnull);
	if (!isnull)
		return false;
	value = slot_getattr(row, wanted->until, &isnull);
	if (!isnull && DatumGetTimestampTz(value) <= GetCurrentTimestamp())
		return false;
	if (wanted->gallery == 0)
		return true;
	value = slot_getattr(row, wanted->gallery, &isnull);
	return isnull || (wanted->in_gallery && DatumGetInt64(value) == wanted->gallery_id);
}

/* Whether a row in force names the subject, or another one of the same person. */
static bool
any_in_force(Oid table, Oid by_subject, const pg_uuid_t *subject, InForce *wanted)
{
	ListCell   *cell;

	foreach(cell, face_aliases(subject))
	{
		ScanKeyData key;

		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(lfirst(cell)));
		if (face_find_row(table, by_subject, 1, &key, in_force, wanted))
			return true;
	}
	return false;
}

/* Whether a subject has declined, for every gallery or for this one. */
bool
face_opted_out(const FaceLookups *lookups, const pg_uuid_t *subject, bool in_gallery, int64 gallery_id)
{
	InForce		wanted = {
		lookups->opt_out_revoked, lookups->opt_out_until, lookups->opt_out_gallery, in_gallery, gallery_id
	};

	return any_in_force(lookups->opt_out, lookups->opt_out_by_subject, subject, &wanted);
}

/*
 * Whether the law gives an opt-out of a subject, of which there is one in force, for a row that is recorded now or was at a
 * time.  The purpose is NULL for rows whose gallery says it.
 */
bool
face_declines(const pg_uuid_t *subject, bool in_gallery, int64 gallery_id, const char *class, const char *purpose, TimestampTz recorded)
{
	static FacePlan plan = {
		"SELECT facematch_internal.declines($1, NULLIF($2, 0), $3, NULLIF($4, ''), $5)",
		5, {UUIDOID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
	};
	Datum		values[5] = {
		UUIDPGetDatum(subject), Int64GetDatum(in_gallery ? gallery_id : 0), CStringGetTextDatum(class),
		CStringGetTextDatum(purpose == NULL ? "" : purpose), TimestampTzGetDatum(recorded)
	};
	bool		declines;

	SPI_connect();
	face_run_plan(&plan, values, face_owner(face_table("opt_out")));
	declines = SPI_processed != 1 || DatumGetBool(face_result(1, NULL));
	SPI_finish();
	return declines;
}

/*
 * is_opted_out(subject, gallery): as newest committed, also in a transaction with one
 * snapshot, whose searches would still give somebody who has left meanwhile.
 */
Datum
facematch_is_opted_out(PG_FUNCTION_ARGS)
{
	static FacePlan plan = {
		"SELECT FROM facematch.opt_out o LEFT JOIN facematch.reference r ON r.subject_id OPERATOR(pg_catalog.=) ANY ($1)"
		" AND r.purge_after OPERATOR(pg_catalog.>) $3 AND ($2 OPERATOR(pg_catalog.=) 0 OR r.gallery_id OPERATOR(pg_catalog.=) $2)"
		" WHERE o.subject_id OPERATOR(pg_catalog.=) ANY ($1) AND o.revoked_at IS NULL"
		" AND (o.until IS NULL OR o.until OPERATOR(pg_catalog.>) $3)"
		" AND (o.gallery_id IS NULL OR o.gallery_id OPERATOR(pg_catalog.=) $2)"
		" AND facematch_internal.law_gives(o, r.retention_class,"
		" (SELECT g.kind FROM facematch.gallery g WHERE g.gallery_id OPERATOR(pg_catalog.=) $2), $3) LIMIT 1",
		3, {UUIDARRAYOID, INT8OID, TIMESTAMPTZOID}
	};
	int64		gallery_id = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	FaceLookups lookups;
	Datum		values[3];
	bool		opted_out;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	face_find_lookups(&lookups);
	/* nearly nobody has an opt-out, and the law's answer takes a query */
	if (!face_opted_out(&lookups, PG_GETARG_UUID_P(0), gallery_id != 0, gallery_id))
		PG_RETURN_BOOL(false);
	values[0] = face_alias_array(PG_GETARG_UUID_P(0));
	values[1] = Int64GetDatum(gallery_id);
	values[2] = TimestampTzGetDatum(GetCurrentTimestamp());
	SPI_connect();
	face_run_plan(&plan, values, face_owner(lookups.opt_out));
	opted_out = SPI_processed > 0;
	SPI_finish();
	PG_RETURN_BOOL(opted_out);
}

static bool
row_in_force(const FaceLookups *lookups, Oid relid, const char *row_id, InForce *wanted)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(row_id));
	keys[1].sk_collation = C_COLLATION_OID;
	return face_find_row(lookups->hold, lookups->hold_by_row, 2, keys, in_force, wanted);
}

/* Whether a hold names the row, by the table or one that it is a partition of, or its gallery, or its subject. */
bool
face_held(const FaceLookups *lookups, List *relids, const char *row_id, const pg_uuid_t *subject, bool in_gallery, int64 gallery_id)
{
	InForce		wanted = {lookups->hold_released, lookups->hold_until, 0, false, 0};
	ListCell   *cell;

	foreach(cell, relids)
	{
		if (row_in_force(lookups, lfirst_oid(cell), row_id, &wanted))
			return true;
	}
	if (in_gallery && row_in_force(lookups, lookups->gallery, psprintf(INT64_FORMAT, gallery_id), &wanted))
		return true;
	return subject != NULL && any_in_force(lookups->hold, lookups->hold_by_subject, subject, &wanted);
}
