/*-------------------------------------------------------------------------
 *
 * candidates.c
 *	  The candidates of a search, by reference and by person.
 *
 * One bounded query finds the references. The planner uses the face index, a B-tree
 * and a sort, or a scan of the gallery; the answer is the same. The query runs with
 * the newest snapshot (many.c uses another, and checks again), so a person who has
 * declined a moment ago is not a candidate, whatever snapshot the caller's
 * transaction has. It also compares deadlines with the clock, so a due reference is
 * not a candidate, however old the transaction is.
 *
 * By person, the query asks for a multiple of the number of persons wanted. If
 * these references are of too few persons, and there are more references, it asks
 * again for more. So the best persons are exact for any number of references per
 * person, and that number need not be stored; with a few references each, one query
 * is enough.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/bytes.h"
#include "base/refusal.h"
#include "base/run.h"
#include "index/paths.h"
#include "matching/attempts.h"
#include "matching/candidates.h"
#include "retention/person.h"

/* References asked for at first, for each person wanted, and at least. */
#define REFERENCES_A_PERSON	4
#define LEAST_REFERENCES	64

/* Columns of the query that reads a gallery. */
enum
{
	GALLERY_ID = 1, GALLERY_NAME, GALLERY_MODEL, GALLERY_TAG, GALLERY_DIMS, GALLERY_THRESHOLD, GALLERY_HAS_TARGET, GALLERY_PURPOSE
};

#define GALLERY_COLUMNS \
	"SELECT g.gallery_id, g.name, g.model, g.model_tag, g.dims, g.min_similarity, g.target_fpir IS NOT NULL, g.purpose_required" \
	" FROM facematch.gallery g WHERE "

static char *
copied_text(MemoryContext memory, int column)
{
	return MemoryContextStrdup(memory, TextDatumGetCString(face_result(column, NULL)));
}

/* A gallery that states a target FPIR has a threshold that follows from its size.  Within SPI_connect. */
static double
threshold_for_target(int64 gallery_id)
{
	static FacePlan plan = {
		"SELECT facematch_internal.gallery_threshold(g) FROM facematch.gallery g WHERE g.gallery_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}, NULL
	};
	Datum		id = Int64GetDatum(gallery_id);

	face_run_plan(&plan, &id, face_owner(face_table("gallery")));
	return DatumGetFloat8(face_result(1, NULL));
}

/* False: there is none. */
static bool
read_gallery(FacePlan *plan, Datum key, FaceSearched *gallery)
{
	MemoryContext memory = CurrentMemoryContext;
	bool		has_target;

	SPI_connect();
	face_run_plan(plan, &key, face_owner(face_table("gallery")));
	if (SPI_processed != 1)
	{
		SPI_finish();
		return false;
	}
	gallery->gallery_id = DatumGetInt64(face_result(GALLERY_ID, NULL));
	gallery->name = copied_text(memory, GALLERY_NAME);
	gallery->model = copied_text(memory, GALLERY_MODEL);
	gallery->model_tag = DatumGetInt16(face_result(GALLERY_TAG, NULL));
	gallery->dims = DatumGetInt16(face_result(GALLERY_DIMS, NULL));
	gallery->purpose_required = DatumGetBool(face_result(GALLERY_PURPOSE, NULL));
	gallery->snapshot = NULL;
	gallery->asker = NULL;
	has_target = DatumGetBool(face_result(GALLERY_HAS_TARGET, NULL));
	gallery->threshold = DatumGetFloat8(face_result(GALLERY_THRESHOLD, NULL));
	if (has_target)
		gallery->threshold = threshold_for_target(gallery->gallery_id);
	SPI_finish();
	return true;
}

/* No gallery of that name: P0002. */
void
face_find_gallery(const text *name, FaceSearched *gallery)
{
	static FacePlan plan = {GALLERY_COLUMNS "g.name OPERATOR(pg_catalog.=) $1", 1, {TEXTOID}, NULL};

	if (name == NULL || !read_gallery(&plan, PointerGetDatum(name), gallery))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND), face_refusal("gallery_exists"),
				 errmsg("there is no gallery %s", name == NULL ? "NULL" : quote_literal_cstr(text_to_cstring(name))),
				 errhint("SELECT name FROM facematch.gallery lists the galleries that are staged.")));
}

void
face_find_gallery_by_id(int64 gallery_id, FaceSearched *gallery)
{
	static FacePlan plan = {GALLERY_COLUMNS "g.gallery_id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}, NULL};

	if (!read_gallery(&plan, Int64GetDatum(gallery_id), gallery))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND), face_refusal("gallery_exists"),
				 errmsg("gallery %lld is gone", (long long) gallery_id),
				 errhint("It was deleted while the search ran.")));
}

/* What is wrong with a probe or a threshold is said before anything is compared, so that an empty gallery says it too. */
void
face_check_probe(const FaceEmbedding *probe, const FaceSearched *gallery, double min_similarity)
{
	if (probe == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), face_refusal("probe_is_given"),
				 errmsg("there is no probe to compare"),
				 errhint("A capture that gave no template is a failure to acquire, not a search without candidates.")));
	if (gallery == NULL)
		return;
	if (probe->model != FACE_NO_MODEL && probe->model != gallery->model_tag)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("probe_is_of_its_gallerys_model"),
				 errmsg("the probe is of model %d, but gallery %s is of model %d", probe->model, quote_literal_cstr(gallery->name),
						gallery->model_tag),
				 errhint("Make the template with model %s.", quote_literal_cstr(gallery->model))));
	if (face_dims_of(probe) != gallery->dims)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("probe_is_of_its_gallerys_model"),
				 errmsg("the probe has %d dimensions, but gallery %s has %d", face_dims_of(probe), quote_literal_cstr(gallery->name),
						gallery->dims),
				 errhint("Make the template with model %s.", quote_literal_cstr(gallery->model))));
	/* A NaN is no threshold. */
	if (!(min_similarity >= -1.0 && min_similarity <= 1.0))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), face_refusal("min_similarity_range"),
				 errmsg("min_similarity is %g", min_similarity),
				 errhint("A threshold is a cosine similarity, -1 to 1.")));
}

/*--------------------------------------------------------- references */

/* The schema of the type and its operators, quoted; and the type. */
static const char *
type_schema(Oid *type)
{
	Oid			reference = face_table("reference");

	HeapTuple	tuple;
	Oid			schema;

	*type = get_atttype(reference, get_attnum(reference, "embedding"));
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(*type));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", *type);
	schema = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace;
	ReleaseSysCache(tuple);
	return quote_identifier(get_namespace_name(schema));
}

/* The share of all references that are in a gallery, as ANALYZE has found it; 0 unless that is one of the larger ones. */
static double
share_of_references(Oid reference, int64 gallery_id)
{
	HeapTuple	tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(reference),
										Int16GetDatum(get_attnum(reference, "gallery_id")), BoolGetDatum(false));
	AttStatsSlot common;
	double		share = 0;

	if (!HeapTupleIsValid(tuple))
		return 0;
	if (get_attstatsslot(&common, tuple, STATISTIC_KIND_MCV, InvalidOid, ATTSTATSSLOT_VALUES | ATTSTATSSLOT_NUMBERS))
	{
		for (int i = 0; i < common.nvalues; i++)
			if (DatumGetInt64(common.values[i]) == gallery_id)
				share = common.numbers[i];
		free_attstatsslot(&common);
	}
	ReleaseSysCache(tuple);
	return share;
}

/* Is a gallery so large that several processes may search it faster than one? */
static bool
may_be_shared(const FaceSearched *gallery)
{
	Oid			reference = face_table("reference");
	HeapTuple	tuple;
	const double least = 2 * face_templates_a_process();
	double		rows;

	/* many.c has one pass for several probes instead */
	if (max_parallel_workers_per_gather == 0 || gallery->snapshot != NULL)
		return false;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(reference));
	rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
	ReleaseSysCache(tuple);
	return rows >= least && rows * share_of_references(reference, gallery->gallery_id) >= least;
}

/*
 * Within SPI_connect.  Planned once in a backend's life, for a gallery of usual
 * size: planning takes longer than a search of that.  For a large one it is the
 * other way round.
 */
static FacePlan *
search_plan(const FaceSearched *gallery)
{
	static FacePlan usual = {NULL, 5, {INT8OID, InvalidOid, FLOAT8OID, TIMESTAMPTZOID, INT8OID}, NULL};
	static FacePlan large = {NULL, 5, {INT8OID, InvalidOid, FLOAT8OID, TIMESTAMPTZOID, INT8OID}, NULL, CURSOR_OPT_CUSTOM_PLAN | CURSOR_OPT_PARALLEL_OK};
	FacePlan   *plan = may_be_shared(gallery) ? &large : &usual;

	if (plan->sql == NULL)
	{
		const char *schema = type_schema(&plan->types[1]);

		plan->sql = MemoryContextStrdup(TopMemoryContext, psprintf(
				"SELECT r.reference_id, r.subject_id, %s.face_similarity(r.embedding, $2), r.retention_class FROM facematch.reference r"
				" WHERE r.gallery_id OPERATOR(pg_catalog.=) $1 AND %s.face_match(r.embedding, $2, $3)"
				" AND r.purge_after OPERATOR(pg_catalog.>) $4" FACE_REACHED
				" ORDER BY r.embedding OPERATOR(%s.<=>) $2 FETCH FIRST ($5) ROWS WITH TIES", schema, schema, schema));
	}
	return plan;
}

static int
by_similarity(const void *a, const void *b)
{
	const FaceCandidate *first = a;
	const FaceCandidate *second = b;

	if (first->similarity != second->similarity)
		return first->similarity > second->similarity ? -1 : 1;
	return first->reference_id < second->reference_id ? -1 : first->reference_id > second->reference_id;
}

/* One copy serves the references of a class that follow each other: there may be very many. */
static char *
copied_class(MemoryContext memory, HeapTuple row, const FaceCandidates *before)
{
	const FaceCandidate *last = before->count > 0 ? &before->list[before->count - 1] : NULL;
	char	   *retention_class = SPI_getvalue(row, SPI_tuptable->tupdesc, 4);

	char	   *copy = last != NULL && strcmp(last->retention_class, retention_class) == 0 ? last->retention_class :
		MemoryContextStrdup(memory, retention_class);

	pfree(retention_class);
	return copy;
}

/* Without persons who are withheld from the asker; NULL: nobody is. */
static void
copy_results(MemoryContext memory, const char *asker, FaceCandidates *found)
{
	found->count = 0;
	found->list = MemoryContextAllocExtended(memory, sizeof(FaceCandidate) * Max(SPI_processed, 1), MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		FaceCandidate *candidate = &found->list[found->count];
		bool		isnull;

		candidate->similarity = DatumGetFloat8(SPI_getbinval(row, desc, 3, &isnull));
		/* Its key has been destroyed: it compares with nobody. */
		if (isnull)
			continue;
		candidate->reference_id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
		candidate->subject = *DatumGetUUIDP(SPI_getbinval(row, desc, 2, &isnull));
		candidate->person = face_person(&candidate->subject);
		candidate->retention_class = copied_class(memory, row, found);
		candidate->matches = 1;
		found->count += asker == NULL || face_withheld_until(asker, &candidate->subject) == 0;
	}
	/* Equally similar ones came in the order of the plan. */
	qsort(found->list, found->count, sizeof(FaceCandidate), by_similarity);
}

/* The references of a gallery that reach "least", the best "most" of them and those as good as the last. */
void
face_find_references(const FaceSearched *gallery, const FaceEmbedding *probe, double least, int64 most, FaceCandidates *found)
{
	MemoryContext memory = CurrentMemoryContext;
	Datum		values[] = {
		Int64GetDatum(gallery->gallery_id), PointerGetDatum(probe), Float8GetDatum(least),
		TimestampTzGetDatum(GetCurrentTimestamp()), Int64GetDatum(most)
	};

	SPI_connect();
	face_run_plan_at(search_plan(gallery), values, face_owner(face_table("reference")), gallery->snapshot);
	copy_results(memory, gallery->asker, found);
	found->all = (int64) SPI_processed < most;
	SPI_finish();
}

/*--------------------------------------------------------- persons */

/* Pointers to candidates: by person, the best first. */
int
face_by_person(const void *a, const void *b)
{
	const FaceCandidate *first = *(const FaceCandidate *const *) a;
	const FaceCandidate *second = *(const FaceCandidate *const *) b;
	int			order = memcmp(&first->person, &second->person, UUID_LEN);

	return order != 0 ? order : by_similarity(first, second);
}

const FaceCandidate **
face_sorted_by_person(const FaceCandidates *references)
{
	const FaceCandidate **sorted = MemoryContextAllocExtended(CurrentMemoryContext,
															  sizeof(FaceCandidate *) * Max(references->count, 1), MCXT_ALLOC_HUGE);

	for (int i = 0; i < references->count; i++)
		sorted[i] = &references->list[i];
	qsort(sorted, references->count, sizeof(FaceCandidate *), face_by_person);
	return sorted;
}

/* The best reference of each person, at most "most" persons, in order; how many there are besides is not told. */
static void
group_by_person(const FaceCandidates *references, double threshold, int most, FaceCandidates *persons)
{
	FaceCandidates reached = *references;
	const FaceCandidate **sorted;
	int			count = 0;

	while (reached.count > 0 && reached.list[reached.count - 1].similarity < threshold)
		reached.count--;
	sorted = face_sorted_by_person(&reached);
	persons->list = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(FaceCandidate) * Max(reached.count, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < reached.count; i++)
	{
		if (count > 0 && memcmp(&persons->list[count - 1].person, &sorted[i]->person, UUID_LEN) == 0)
			persons->list[count - 1].matches++;
		else
			persons->list[count++] = *sorted[i];
	}
	qsort(persons->list, count, sizeof(FaceCandidate), by_similarity);
	persons->count = Min(count, most);
	pfree(sorted);
}

/* All of some subjects' references in a gallery, whatever their scores, the best first. */
static void
find_of(const FaceSearched *gallery, const FaceEmbedding *probe, Datum subjects, FaceCandidates *found)
{
	static FacePlan plan = {NULL, 4, {INT8OID, InvalidOid, TIMESTAMPTZOID, UUIDARRAYOID}, NULL};
	MemoryContext memory = CurrentMemoryContext;
	Datum		values[] = {
		Int64GetDatum(gallery->gallery_id), PointerGetDatum(probe), TimestampTzGetDatum(GetCurrentTimestamp()), subjects
	};

	if (plan.sql == NULL)
		plan.sql = MemoryContextStrdup(TopMemoryContext, psprintf(
				"SELECT r.reference_id, r.subject_id, %s.face_similarity(r.embedding, $2), r.retention_class FROM facematch.reference r"
				" WHERE r.gallery_id OPERATOR(pg_catalog.=) $1 AND r.subject_id OPERATOR(pg_catalog.=) ANY ($4)"
				" AND r.purge_after OPERATOR(pg_catalog.>) $3" FACE_REACHED, type_schema(&plan.types[1])));
	SPI_connect();
	face_run_plan_at(&plan, values, face_owner(face_table("reference")), gallery->snapshot);
	copy_results(memory, NULL, found);
	SPI_finish();
}

void
face_find_of_subject(const FaceSearched *gallery, const FaceEmbedding *probe, const pg_uuid_t *subject, FaceCandidates *found)
{
	find_of(gallery, probe, face_alias_array(subject), found);
}

/* All subjects of the persons, as uuid[]. */
static Datum
subjects_of(const FaceCandidates *persons)
{
	List	   *subjects = NIL;

	for (int i = 0; i < persons->count; i++)
		subjects = list_concat(subjects, face_aliases(&persons->list[i].subject));
	return PointerGetDatum(face_uuid_array(subjects));
}

static int
by_person_and_number(const void *a, const void *b)
{
	const FaceCandidate *first = a;
	const FaceCandidate *second = b;
	int			order = memcmp(&first->person, &second->person, UUID_LEN);

	if (order != 0)
		return order;
	return first->reference_id < second->reference_id ? -1 : first->reference_id > second->reference_id;
}

void
face_find_of_persons(const FaceSearched *gallery, const FaceEmbedding *probe, const FaceCandidates *persons, FaceCandidates *found)
{
	find_of(gallery, probe, subjects_of(persons), found);
}

/* One person from all of its references, in the order of their numbers: a mean has the same bits with every plan. */
static void
complete(FaceCandidate *person, const FaceCandidate *references, int count, double threshold, bool mean)
{
	double		sum = 0;

	person->matches = 0;
	for (int i = 0; i < count; i++)
	{
		sum += references[i].similarity;
		person->matches += references[i].similarity >= threshold;
	}
	if (!mean)
		return;
	person->reference_id = references[0].reference_id;
	person->subject = references[0].subject;
	person->retention_class = references[0].retention_class;
	person->similarity = sum / count;
}

/* What only all of the persons' references tell: how many reach the threshold, and their mean. */
static void
complete_persons(const FaceSearched *gallery, const FaceEmbedding *probe, double threshold, bool mean, FaceCandidates *persons)
{
	FaceCandidates all;
	int			kept = 0;

	face_find_of_persons(gallery, probe, persons, &all);
	qsort(all.list, all.count, sizeof(FaceCandidate), by_person_and_number);
	qsort(persons->list, persons->count, sizeof(FaceCandidate), by_person_and_number);
	for (int i = 0, at = 0; i < persons->count; i++)
	{
		int			end;

		while (at < all.count && memcmp(&all.list[at].person, &persons->list[i].person, UUID_LEN) < 0)
			at++;
		for (end = at; end < all.count && memcmp(&all.list[end].person, &persons->list[i].person, UUID_LEN) == 0;)
			end++;
		/* It has declined, or is due, since the persons were found. */
		if (end == at)
			continue;
		complete(&persons->list[i], &all.list[at], end - at, threshold, mean);
		if (persons->list[i].similarity >= threshold)
			persons->list[kept++] = persons->list[i];
		at = end;
	}
	persons->count = kept;
	qsort(persons->list, persons->count, sizeof(FaceCandidate), by_similarity);
	pfree(all.list);
}

/*
 * The best "most" persons whose best reference, or the mean of all of them,
 * reaches the threshold, and all references that were looked at, which reach
 * "least" (the threshold, or below): some of these, or the whole of them. No
 * mean is above the best: a person who is not among those that were compared is
 * behind the last of these.
 */
void
face_find_persons(const FaceSearched *gallery, const FaceEmbedding *probe, double threshold, double least, bool whole,
				  int most, bool mean, FaceCandidates *persons, FaceCandidates *references)
{
	int64		asked = Max((int64) most * REFERENCES_A_PERSON, LEAST_REFERENCES);

	for (;; asked *= REFERENCES_A_PERSON)
	{
		double		last = INFINITY;

		CHECK_FOR_INTERRUPTS();
		face_find_references(gallery, probe, least, asked, references);
		if (references->count > 0)
			last = references->list[references->count - 1].similarity;
		persons->all = references->all || last < threshold;
		if (!references->all && whole)
			continue;
		group_by_person(references, threshold, mean ? INT_MAX : most, persons);
		if (mean && persons->count > 0)
			complete_persons(gallery, probe, threshold, true, persons);
		if (persons->all || (persons->count >= most && (!mean || persons->list[most - 1].similarity >= last)))
			break;
	}
	if (!mean && !persons->all)
		complete_persons(gallery, probe, threshold, false, persons);
	persons->count = Min(persons->count, most);
}
