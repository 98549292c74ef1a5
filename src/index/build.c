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

/* Encode and sort in this process alone; the sort is not yet performed. */
static Tuplesortstate *
encode_serially(Relation heap, Relation index, IndexInfo *info, FaceBuildCounts *counts)
{
	FaceSpool  *spool = face_spool_create(index, face_sort_begin(maintenance_work_mem, NULL));

	counts->heap_tuples = face_spool_scan(spool, heap, info, NULL, true);
	counts->index_tuples = spool->ntuples;
	counts->broken_hot_chain = info->ii_BrokenHotChain;
	return spool->sort;
}

IndexBuildResult *
face_build(Relation heap, Relation index, IndexInfo *info)
{
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));
	FaceBuildCounts counts = {0};
	FaceParallelBuild *parallel;
	Tuplesortstate *sort;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
	check_columns(index);
	face_meta_init(index, MAIN_FORKNUM);

	report_phase(FACE_PHASE_SAMPLE);
	face_sample_epochs(heap, index, info);

	report_phase(FACE_PHASE_ENCODE);
	parallel = face_parallel_begin(heap, index, info, face_parallel_workers(heap, index, info));
	sort = parallel != NULL ?
		face_parallel_encode(parallel, heap, index, info, &counts) :
		encode_serially(heap, index, info, &counts);

	report_phase(FACE_PHASE_SORT);
	tuplesort_performsort(sort);

	report_phase(FACE_PHASE_LOAD);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) counts.index_tuples);
	face_load(index, sort);
	tuplesort_end(sort);
	if (parallel != NULL)
		face_parallel_end(parallel);

	if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index), true);
	info->ii_BrokenHotChain = counts.broken_hot_chain;
	result->heap_tuples = counts.heap_tuples;
	result->index_tuples = counts.index_tuples;
	return result;
}

/* The init fork of an unlogged index, copied over it after a crash. */
void
face_buildempty(Relation index)
{
	check_columns(index);
	face_meta_init(index, INIT_FORKNUM);
}
