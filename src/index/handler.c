/*-------------------------------------------------------------------------
 *
 * handler.c
 *	  What PostgreSQL is told of the access method.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "commands/vacuum.h"
#include "fmgr.h"

#include "compat.h"
#include "index/handler.h"
#include "index/keys.h"
#include "index/scan.h"

PG_FUNCTION_INFO_V1(facematch_handler);

/* There are no storage parameters; a misspelt one must not pass silently. */
static bytea *
face_options(Datum reloptions, bool validate)
{
	static relopt_kind kind = RELOPT_KIND_LOCAL;

	if (kind == RELOPT_KIND_LOCAL)
		kind = add_reloption_kind();
	return (bytea *) build_reloptions(reloptions, validate, kind, sizeof(StdRdOptions), NULL, 0);
}

Datum
facematch_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *am = makeNode(IndexAmRoutine);

	am->amstrategies = 0;		/* key and embedding classes number differently */
	am->amsupport = FACE_HASH_PROC;
	am->amoptsprocnum = 0;
	am->amcanorder = false;
	am->amcanorderbyop = true;
	am->amcanbackward = false;
	am->amcanunique = false;
	am->amcanmulticol = true;
	am->amoptionalkey = true;
	am->amsearcharray = true;
	am->amsearchnulls = false;
	am->amstorage = false;
	am->amclusterable = false;
	am->ampredlocks = false;
	am->amcanparallel = true;
#if PG_VERSION_NUM >= 170000
	am->amcanbuildparallel = true;
#endif
	am->amcaninclude = false;
	am->amusemaintenanceworkmem = false;
#if PG_VERSION_NUM >= 160000
	am->amsummarizing = false;
#endif
	am->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL | VACUUM_OPTION_PARALLEL_COND_CLEANUP;
	am->amkeytype = InvalidOid;

	am->ambuild = face_build;
	am->ambuildempty = face_buildempty;
	am->aminsert = face_insert;
	am->ambulkdelete = face_bulkdelete;
	am->amvacuumcleanup = face_vacuumcleanup;
	am->amcostestimate = face_costestimate;
	am->amoptions = face_options;
	am->ambuildphasename = face_buildphasename;
	am->amvalidate = face_validate;
	am->ambeginscan = face_beginscan;
	am->amrescan = face_rescan;
	am->amgettuple = face_gettuple;
	am->amgetbitmap = face_getbitmap;
	am->amendscan = face_endscan;
	am->amestimateparallelscan = face_estimateparallelscan;
	am->aminitparallelscan = face_initparallelscan;
	am->amparallelrescan = face_parallelrescan;

	PG_RETURN_POINTER(am);
}
