/*-------------------------------------------------------------------------
 *
 * build.c
 *	  CREATE INDEX: sample for the centres, encode and sort, load.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"

#include "compat.h"
#include "index/build.h"
#include "index/handler.h"
#include "index/keys.h"

char *
face_buildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case FACE_PHASE_SAMPLE:
			return "sampling templates";
		case FACE_PHASE_ENCODE:
			return "encoding templates";
		case FACE_PHASE_SORT:
			return "sorting by gallery";
		case FACE_PHASE_LOAD:
			return "writing posting lists";
		default:
			return NULL;
	}
}

/* Keys first, the embedding last: classes of keys have a hash function, that of embeddings has none. */
static void
check_columns(Relation index)
{
	const int	ncolumns = IndexRelationGetNumberOfKeyAttributes(index);

	for (int column = 1; column <= ncolumns; column++)
		if (OidIsValid(index_getprocid(index, column, FACE_HASH_PROC)) != (column < ncolumns))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a facematch index has exactly one embedding, as its last column"),
					 errhint("Write USING facematch (gallery_id, embedding), or (embedding) alone.")));
}

static void
report_phase(int phase)
{
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, phase);
}

IndexBuildResult *
face_build(Relation heap, Relation index, IndexInfo *info)
{
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));
	FaceSpool  *spool;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
	check_columns(index);
	face_meta_init(index, MAIN_FORKNUM);

	report_phase(FACE_PHASE_SAMPLE);
	face_sample_epochs(heap, index, info);

	report_phase(FACE_PHASE_ENCODE);
	spool = face_spool_create(index, face_sort_begin(maintenance_work_mem, NULL));
	result->heap_tuples = face_spool_scan(spool, heap, info, NULL, true);
	result->index_tuples = spool->ntuples;

	report_phase(FACE_PHASE_SORT);
	tuplesort_performsort(spool->sort);

	report_phase(FACE_PHASE_LOAD);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) spool->ntuples);
	face_load(spool->writer, spool->sort);
	tuplesort_end(spool->sort);

	if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index), true);
	return result;
}

/* The init fork of an unlogged index, copied over it after a crash. */
void
face_buildempty(Relation index)
{
	check_columns(index);
	face_meta_init(index, INIT_FORKNUM);
}
