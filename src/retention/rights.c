/*-------------------------------------------------------------------------
 *
 * rights.c
 *	  Opt-outs and holds, as the guard looks them up for every row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "retention/rights.h"
#include "retention/run.h"

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
face_find_rights(FaceRights *rights)
{
	static const char *const by_subject[] = {"subject_id"};
	static const char *const by_row[] = {"table_name", "row_id"};

	rights->opt_out = face_table("opt_out");
	rights->opt_out_by_subject = face_index_on(rights->opt_out, 1, by_subject);
	rights->opt_out_revoked = get_attnum(rights->opt_out, "revoked_at");
	rights->opt_out_until = get_attnum(rights->opt_out, "until");
	rights->opt_out_gallery = get_attnum(rights->opt_out, "gallery_id");
	rights->hold = face_table("hold");
	rights->hold_by_row = face_index_on(rights->hold, 2, by_row);
	rights->hold_by_subject = face_index_on(rights->hold, 1, by_subject);
	rights->hold_released = get_attnum(rights->hold, "released_at");
	rights->hold_until = get_attnum(rights->hold, "until");
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

/* Whether a subject has declined, for every gallery or for this one. */
bool
face_opted_out(const FaceRights *rights, const pg_uuid_t *subject, bool in_gallery, int64 gallery_id)
{
	InForce		wanted = {
		rights->opt_out_revoked, rights->opt_out_until, rights->opt_out_gallery, in_gallery, gallery_id
	};
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(subject));
	return face_find_row(rights->opt_out, rights->opt_out_by_subject, 1, &key, in_force, &wanted);
}

/* Whether a hold names the row, by the table or one that it is a partition of, or its subject. */
bool
face_held(const FaceRights *rights, List *relids, const char *row_id, const pg_uuid_t *subject)
{
	InForce		wanted = {rights->hold_released, rights->hold_until, 0, false, 0};
	ScanKeyData keys[2];
	ListCell   *cell;

	foreach(cell, relids)
	{
		ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(lfirst_oid(cell)));
		ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(row_id));
		keys[1].sk_collation = C_COLLATION_OID;
		if (face_find_row(rights->hold, rights->hold_by_row, 2, keys, in_force, &wanted))
			return true;
	}
	if (subject == NULL)
		return false;
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(subject));
	return face_find_row(rights->hold, rights->hold_by_subject, 1, keys, in_force, &wanted);
}
