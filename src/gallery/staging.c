/*-------------------------------------------------------------------------
 *
 * staging.c
 *	  Which galleries a role that may only stage works with.
 *
 * It works with galleries of passing events: a flight, a ship. A watchlist
 * keeps its templates for decades, an enrolment gallery without an end, and not
 * everybody who works at a gate may know who is in them. The policies of
 * facematch.reference and facematch.partner_gallery call these functions, with
 * the privileges of the querying user, so everybody may execute them. A user
 * without privileges on those tables learns nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

#include "base/gate.h"
#include "base/run.h"
#include "gallery/staging.h"

PG_FUNCTION_INFO_V1(facematch_may_stage);
PG_FUNCTION_INFO_V1(facematch_unseen_galleries);

#define PASSES "g.anchor_at IS NOT NULL AND g.kind OPERATOR(pg_catalog.<>) 'watchlist'"

static bool
has_right(Oid table, Oid user, AclMode rights)
{
	return pg_class_aclmask(table, user, rights, ACLMASK_ANY) != 0 ||
		pg_attribute_aclcheck_all(table, user, rights, ACLMASK_ANY) == ACLCHECK_OK;
}

/* Whether the session's user, or the current user, has any of the privileges on a table or some column. */
static bool
is_concerned(Oid table, AclMode rights)
{
	return has_right(table, GetSessionUserId(), rights) || has_right(table, GetUserId(), rights);
}

static bool
inserts_anywhere(Oid reference)
{
	return !face_is_tables_code() && pg_class_aclcheck(reference, GetSessionUserId(), ACL_INSERT) == ACLCHECK_OK;
}

/* Whether the session's user could read the templates that a search compares with. */
bool
face_reads_templates(void)
{
	Oid			reference = face_table("reference");

	if (face_is_tables_code())
		return false;
	return pg_class_aclcheck(reference, GetSessionUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck(reference, get_attnum(reference, "embedding"), GetSessionUserId(), ACL_SELECT) == ACLCHECK_OK;
}

/* One value, with the owner's privileges and the snapshot of the caller; "none" where there is no row.  Within SPI_connect. */
static Datum
ask_galleries(FacePlan *plan, Datum *values, Datum none)
{
	face_read_plan(plan, values, face_owner(face_table("gallery")));
	return SPI_processed == 0 ? none : face_result(1, NULL);
}

/* Whether the session's user may put references into a gallery and take them out. */
bool
face_may_stage(int64 gallery_id)
{
	static FacePlan look = {
		"SELECT " PASSES " FROM facematch.gallery g WHERE g.gallery_id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}, NULL
	};
	Oid			reference = face_table("reference");
	Datum		id = Int64GetDatum(gallery_id);
	bool		may;

	if (inserts_anywhere(reference))
		return true;
	if (!is_concerned(reference, ACL_INSERT) && !is_concerned(face_table("partner_gallery"), ACL_INSERT | ACL_UPDATE))
		return false;
	SPI_connect();
	may = DatumGetBool(ask_galleries(&look, &id, BoolGetDatum(false)));
	SPI_finish();
	return may;
}

/* may_stage(gallery_id bigint) returns boolean */
Datum
facematch_may_stage(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(face_may_stage(PG_GETARG_INT64(0)));
}

/* unseen_galleries() returns bigint[] */
Datum
facematch_unseen_galleries(PG_FUNCTION_ARGS)
{
	static FacePlan look = {
		"SELECT ARRAY(SELECT g.gallery_id FROM facematch.gallery g WHERE NOT (" PASSES "))", 0, {0}, NULL
	};
	Oid			reference = face_table("reference");
	Datum		result;

	if (inserts_anywhere(reference) || face_reads_templates() ||
		!is_concerned(reference, ACL_SELECT | ACL_UPDATE | ACL_DELETE))
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(INT8OID));
	SPI_connect();
	result = SPI_datumTransfer(ask_galleries(&look, NULL, (Datum) 0), false, -1);
	SPI_finish();
	PG_RETURN_DATUM(result);
}
