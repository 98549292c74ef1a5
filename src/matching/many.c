/*-------------------------------------------------------------------------
 *
 * many.c
 *	  Identification of many probes at once.
 *
 * Every probe gets the answer of identify(), and leaves the same rows. Probes are
 * processed in batches: the searches of a batch share one snapshot, so that the
 * face index can compare each page with all of them (index/pass_many.c).
 *
 * That snapshot is the newest when the batch begins. Before the caller gets an
 * answer, a query with the newest snapshot and the clock checks whether all found
 * references still exist: a person who has declined meanwhile, or a due row, is not
 * a candidate. A probe with such a reference is searched for again by itself,
 * because another candidate may take its place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/refusal.h"
#include "base/run.h"
#include "compat.h"
#include "index/pass_many.h"
#include "matching/question.h"
#include "matching/unseen.h"

PG_FUNCTION_INFO_V1(facematch_identify_many);

/* A search of a batch. */
typedef struct Search
{
	FaceQuestion question;
	FaceCandidates found;
	FaceCandidates references;	/* that were looked at */
} Search;

/* The probes, in the order of unnest(); a null one is NULL. */
static FaceEmbedding **
argument_probes(FunctionCallInfo fcinfo, int *count)
{
	ArrayType  *array;
	FaceEmbedding **probes;
	Datum	   *elements;
	bool	   *nulls;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), face_refusal("probe_is_given"),
				 errmsg("there are no probes to compare"),
				 errhint("Give an array of templates; an empty one has no candidates.")));
	array = PG_GETARG_ARRAYTYPE_P(0);
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &typlen, &typbyval, &typalign);
	deconstruct_array(array, ARR_ELEMTYPE(array), typlen, typbyval, typalign, &elements, &nulls, count);
	probes = palloc(sizeof(FaceEmbedding *) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		probes[i] = nulls[i] ? NULL : face_opened_probe(DatumGetFaceEmbedding(elements[i]));
	return probes;
}

/* Steps 1 and 2 for all probes, before anything is compared. */
static void
check_probes(FunctionCallInfo fcinfo, const FaceQuestion *asked, FaceEmbedding **probes, int count)
{
	for (int i = 0; i < count; i++)
	{
		FaceQuestion question = *asked;

		CHECK_FOR_INTERRUPTS();
		face_check_search(fcinfo, &question, probes[i], "identify", false);
	}
}

/* Step 3 for a batch, with one snapshot. */
static void
search_together(Search *searches, FaceEmbedding **probes, int count)
{
	Snapshot	snapshot;

	/* what this transaction has done itself is to be seen */
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	PG_TRY();
	{
		face_many_begin((const FaceEmbedding *const *) probes, count, snapshot);
		for (int i = 0; i < count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			searches[i].question.gallery.snapshot = snapshot;
			face_search(&searches[i].question, &searches[i].found, &searches[i].references);
			searches[i].question.gallery.snapshot = NULL;
		}
	}
	PG_FINALLY();
	{
		face_many_end();
	}
	PG_END_TRY();
	UnregisterSnapshot(snapshot);
}

static int
compare_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

/* The references that any search of a batch has found. */
static ArrayType *
found_references(const Search *searches, int count)
{
	Datum	   *ids;
	Size		nids = 0;
	int			n = 0;

	for (int i = 0; i < count; i++)
		nids += searches[i].references.count;
	ids = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * Max(nids, 1));
	for (int i = 0; i < count; i++)
		for (int j = 0; j < searches[i].references.count; j++)
			ids[n++] = Int64GetDatum(searches[i].references.list[j].reference_id);
	return construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

/* Those that are still there, in order, as the newest snapshot and the clock say. */
static int64 *
still_there(const Search *searches, int batch, int *count)
{
	static FacePlan plan = {
		"SELECT r.reference_id FROM facematch.reference r WHERE r.reference_id OPERATOR(pg_catalog.=) ANY ($1)"
		" AND r.purge_after OPERATOR(pg_catalog.>) $2" FACE_REACHED,
		2, {INT8ARRAYOID, TIMESTAMPTZOID}, NULL
	};
	MemoryContext memory = CurrentMemoryContext;
	Datum		values[] = {PointerGetDatum(found_references(searches, batch)), TimestampTzGetDatum(GetCurrentTimestamp())};
	int64	   *ids;
	bool		isnull;

	SPI_connect();
	face_run_plan(&plan, values, face_owner(face_table("reference")));
	*count = (int) SPI_processed;
	ids = MemoryContextAllocHuge(memory, sizeof(int64) * Max(SPI_processed, 1));
	for (int i = 0; i < *count; i++)
		ids[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	qsort(ids, *count, sizeof(int64), compare_ids);
	return ids;
}

/* Step 4: search again for what found somebody who has gone since. */
static void
check_again(Search *searches, int batch)
{
	int			count;
	int64	   *there = still_there(searches, batch, &count);

	for (int i = 0; i < batch; i++)
	{
		const FaceCandidates *references = &searches[i].references;
		bool		all = true;

		for (int j = 0; all && j < references->count; j++)
			all = bsearch(&references->list[j].reference_id, there, count, sizeof(int64), compare_ids) != NULL;
		if (!all)
			face_search(&searches[i].question, &searches[i].found, &searches[i].references);
	}
}

typedef struct Batch
{
	FunctionCallInfo fcinfo;
	FaceEmbedding **probes;
	Search	   *searches;
	int			count;
	int			first;
} Batch;

static void
search_and_answer(void *state)
{
	Batch	   *batch = state;

	search_together(batch->searches, batch->probes, batch->count);
	check_again(batch->searches, batch->count);
	for (int i = 0; i < batch->count; i++)
	{
		Search	   *search = &batch->searches[i];

		face_answer(batch->fcinfo, &search->question, &search->found, &search->references, search->question.reads,
					batch->first + i + 1);
	}
}

/* Search by the probes from "first" on, and tell. */
static void
run_batch(FunctionCallInfo fcinfo, const FaceQuestion *asked, FaceEmbedding **probes, int count, int first)
{
	Batch		batch = {fcinfo, probes, palloc(sizeof(Search) * count), count, first};

	for (int i = 0; i < count; i++)
	{
		batch.searches[i].question = *asked;
		face_check_search(fcinfo, &batch.searches[i].question, probes[i], "identify", false);
	}
	if (batch.searches[0].question.gallery.asker != NULL)
		face_do_unseen(search_and_answer, &batch);
	else
		search_and_answer(&batch);
}

/*
 * identify_many(probes, gallery, max_candidates, min_similarity, by, purpose):
 * probe, rank, reference_id, subject_id, similarity, matches
 */
Datum
facematch_identify_many(PG_FUNCTION_ARGS)
{
	FaceQuestion asked;
	FaceEmbedding **probes;
	int			count;
	MemoryContext batch;
	MemoryContext old;

	InitMaterializedSRF(fcinfo, 0);
	face_read_question(fcinfo, &asked);
	probes = argument_probes(fcinfo, &count);
	check_probes(fcinfo, &asked, probes, count);
	batch = AllocSetContextCreate(CurrentMemoryContext, "facematch batch of probes", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(batch);
	for (int first = 0; first < count; first += FACE_MOST_TOGETHER)
	{
		run_batch(fcinfo, &asked, probes + first, Min(count - first, FACE_MOST_TOGETHER), first);
		MemoryContextReset(batch);
	}
	MemoryContextSwitchTo(old);
	return (Datum) 0;
}
