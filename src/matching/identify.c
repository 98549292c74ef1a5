/*-------------------------------------------------------------------------
 *
 * identify.c
 *	  Identification (1:N) and verification (1:1 and 1:few): what is asked, what
 *	  is accounted for, and what is told.
 *
 * README.md tells the order of the steps, and why they come in that order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "base/run.h"
#include "compat.h"
#include "gallery/staging.h"
#include "matching/account.h"
#include "matching/candidates.h"
#include "matching/question.h"
#include "retention/person.h"

PG_FUNCTION_INFO_V1(facematch_identify);
PG_FUNCTION_INFO_V1(facematch_find_candidates);
PG_FUNCTION_INFO_V1(facematch_verify);
PG_FUNCTION_INFO_V1(facematch_verify_subject);

/* References that are looked at for attempts, at least. */
#define MOST_NEAR	64

static FaceEmbedding *
argument_probe(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : PG_GETARG_FACE_EMBEDDING(number);
}

static char *
argument_text(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

static int
argument_most(FunctionCallInfo fcinfo, int number)
{
	if (PG_ARGISNULL(number) || PG_GETARG_INT32(number) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_candidates is %s", PG_ARGISNULL(number) ? "NULL" : psprintf("%d", PG_GETARG_INT32(number))),
				 errhint("Ask for at least one candidate.")));
	return PG_GETARG_INT32(number);
}

static bool
argument_by_person(FunctionCallInfo fcinfo, int number)
{
	const char *by = argument_text(fcinfo, number);

	if (by != NULL && strcmp(by, "subject") == 0)
		return true;
	if (by == NULL || strcmp(by, "reference") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a search is by subject or by reference, not by %s", by == NULL ? "NULL" : quote_literal_cstr(by)),
				 errhint("by => 'subject' has one line a person, by => 'reference' one a template.")));
	return false;
}

/* Scores of enough probes tell a template: below the gallery's threshold they are for who may read templates. */
static void
check_threshold(FaceQuestion *question)
{
	if (question->reads)
		return;
	if (question->threshold < question->gallery.threshold)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("min_similarity is below the threshold of gallery %s, %g", quote_literal_cstr(question->gallery.name),
						question->gallery.threshold),
				 errhint("Scores of enough probes tell a template: only a role that may read facematch.reference.embedding"
						 " gets those below the threshold.")));
	question->threshold = face_asked_threshold(question->threshold, question->gallery.threshold);
}

/* Steps 1 and 2: everything is refused that can be, before anything is compared. */
static void
check_question(FaceQuestion *question, double min_similarity, bool has_min_similarity, const char *kind, const char *purpose)
{
	question->threshold = has_min_similarity ? min_similarity : question->gallery.threshold;
	face_check_probe(question->probe, &question->gallery, question->threshold);
	question->reads = face_reads_templates();
	question->accounted = face_is_accounted();
	question->search = (FaceAsked) {
		.kind = kind,.asker = GetUserNameFromId(GetSessionUserId(), false),.gallery_id = question->gallery.gallery_id,
		.purpose = face_checked_purpose(purpose, question->gallery.purpose_required, question->gallery.name)
	};
}

/* Steps 5 and 6: attempts of who is limited, and the row of the search. */
static void
account(FaceQuestion *question, const FaceCandidates *near, int candidates)
{
	pg_uuid_t  *persons = NULL;
	int			count = 0;

	if (!question->accounted)
		return;
	if (near->count > 0)
	{
		HASHCTL		control = {.keysize = sizeof(pg_uuid_t),.entrysize = sizeof(pg_uuid_t),.hcxt = CurrentMemoryContext};
		HTAB	   *seen = hash_create("facematch attempts", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		bool		found;

		persons = palloc(sizeof(pg_uuid_t) * near->count);
		for (int i = 0; i < near->count; i++)
		{
			hash_search(seen, &near->list[i].person, HASH_ENTER, &found);
			if (!found)
				persons[count++] = near->list[i].subject;
		}
	}
	question->search.candidates = candidates;
	face_account_for(&question->search, persons, count, !question->reads);
}

/* Step 3: the candidates, and all references that were looked at. */
void
face_search(const FaceQuestion *question, FaceCandidates *found, FaceCandidates *references)
{
	double		least = question->reads ? question->threshold : Max(question->threshold - FACE_NEAR, -1.0);

	if (question->by_person)
	{
		face_find_persons(&question->gallery, question->probe, question->threshold, least, question->most, found, references);
		return;
	}
	face_find_references(&question->gallery, question->probe, least, Max((int64) question->most, MOST_NEAR), references);
	*found = *references;
	found->count = Min(found->count, question->most);
	while (found->count > 0 && found->list[found->count - 1].similarity < question->threshold)
		found->count--;
}

/* Steps 5 to 7, behind which the probe's number stands first unless it is 0. */
void
face_answer(FunctionCallInfo fcinfo, FaceQuestion *question, const FaceCandidates *found, const FaceCandidates *references,
			bool exactly, int number)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const int	skipped = number == 0 ? 1 : 0;

	account(question, references, found->count);
	for (int i = 0; i < found->count; i++)
	{
		const FaceCandidate *candidate = &found->list[i];
		double		similarity = exactly ? candidate->similarity :
			face_shown_similarity(candidate->similarity, question->threshold);
		Datum		values[] = {
			Int32GetDatum(number), Int32GetDatum(i + 1), Int64GetDatum(candidate->reference_id),
			UUIDPGetDatum(&candidate->subject), Float8GetDatum(similarity), Int64GetDatum(candidate->matches)
		};
		bool		isnull[lengthof(values)] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values + skipped, isnull);
	}
}

/* The arguments behind the probe: gallery, max_candidates, min_similarity, by, purpose. */
void
face_read_question(FunctionCallInfo fcinfo, FaceQuestion *question)
{
	face_find_gallery(PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), &question->gallery);
	question->most = argument_most(fcinfo, 2);
	question->by_person = argument_by_person(fcinfo, 4);
}

/* Steps 1 and 2 of a search by one probe. */
void
face_check_search(FunctionCallInfo fcinfo, FaceQuestion *question, FaceEmbedding *probe, const char *kind, bool exactly)
{
	question->probe = probe;
	check_question(question, PG_ARGISNULL(3) ? 0.0 : PG_GETARG_FLOAT8(3), !PG_ARGISNULL(3), kind, argument_text(fcinfo, 5));
	if (!exactly)
		check_threshold(question);
}

static void
run_search(FunctionCallInfo fcinfo, const char *kind, bool exactly)
{
	FaceQuestion question;
	FaceCandidates found;
	FaceCandidates references;

	InitMaterializedSRF(fcinfo, 0);
	face_read_question(fcinfo, &question);
	face_check_search(fcinfo, &question, argument_probe(fcinfo, 0), kind, exactly);
	face_search(&question, &found, &references);
	face_answer(fcinfo, &question, &found, &references, exactly || question.reads, 0);
}

/* identify(probe, gallery, max_candidates, min_similarity, by, purpose): rank, reference_id, subject_id, similarity, matches */
Datum
facematch_identify(PG_FUNCTION_ARGS)
{
	run_search(fcinfo, "identify", false);
	return (Datum) 0;
}

/* The same for the extension's own functions, which tell scores as they may be told: one more argument, the kind of search. */
Datum
facematch_find_candidates(PG_FUNCTION_ARGS)
{
	run_search(fcinfo, argument_text(fcinfo, 6), true);
	return (Datum) 0;
}

/*--------------------------------------------------------- verification */

/* Columns that verification answers. */
enum
{
	VERIFIED_MATCH, VERIFIED_SIMILARITY, VERIFIED_THRESHOLD, VERIFIED_SUBJECT, VERIFIED_REFERENCE,
	VERIFIED_COLUMNS
};

static void
tell_verified(FunctionCallInfo fcinfo, const FaceQuestion *question, const FaceCandidate *best)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		match = best != NULL && best->similarity >= question->threshold;
	/* A miss is told by name only to who may know whose reference that is. */
	bool		named = match || (best != NULL && (question->reads || face_may_stage(question->gallery.gallery_id)));
	bool		scored = match || (best != NULL && question->reads);
	Datum		values[VERIFIED_COLUMNS] = {0};
	bool		isnull[VERIFIED_COLUMNS] = {false};

	values[VERIFIED_MATCH] = BoolGetDatum(match);
	isnull[VERIFIED_SIMILARITY] = !scored;
	if (scored)
		values[VERIFIED_SIMILARITY] = Float8GetDatum(question->reads ? best->similarity :
													 face_shown_similarity(best->similarity, question->threshold));
	isnull[VERIFIED_THRESHOLD] = best == NULL;
	if (best != NULL)
		values[VERIFIED_THRESHOLD] = Float8GetDatum(question->threshold);
	isnull[VERIFIED_SUBJECT] = isnull[VERIFIED_REFERENCE] = !named;
	if (named)
	{
		values[VERIFIED_SUBJECT] = UUIDPGetDatum(&best->subject);
		values[VERIFIED_REFERENCE] = Int64GetDatum(best->reference_id);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
}

/* The reference, unless it is not there or due. */
static bool
find_reference(int64 reference_id, FaceCandidate *reference, int64 *gallery_id, FaceEmbedding **template)
{
	static FacePlan plan = {
		"SELECT r.reference_id, r.subject_id, r.gallery_id, r.embedding FROM facematch.reference r"
		" WHERE r.reference_id OPERATOR(pg_catalog.=) $1 AND r.purge_after OPERATOR(pg_catalog.>) $2",
		2, {INT8OID, TIMESTAMPTZOID}, NULL
	};
	Datum		values[] = {Int64GetDatum(reference_id), TimestampTzGetDatum(GetCurrentTimestamp())};
	bool		found;
	bool		isnull;

	SPI_connect();
	face_run_plan(&plan, values, face_owner(face_table("reference")));
	found = SPI_processed == 1;
	if (found)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		reference->reference_id = reference_id;
		reference->subject = *DatumGetUUIDP(SPI_getbinval(row, desc, 2, &isnull));
		reference->person = face_person(&reference->subject);
		*gallery_id = DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull));
		*template = (FaceEmbedding *) DatumGetPointer(SPI_datumTransfer(SPI_getbinval(row, desc, 4, &isnull), false, -1));
	}
	SPI_finish();
	return found;
}

static void
account_verification(FaceQuestion *question, const FaceCandidate *best)
{
	FaceCandidates near = {.list = unconstify(FaceCandidate *, best),.count = 0};

	if (best != NULL && best->similarity >= question->threshold - FACE_NEAR)
		near.count = 1;
	account(question, &near, best != NULL && best->similarity >= question->threshold ? 1 : 0);
}

/* verify(probe, reference_id, min_similarity, purpose): match, similarity, threshold, subject_id, reference_id */
Datum
facematch_verify(PG_FUNCTION_ARGS)
{
	FaceQuestion question;
	FaceCandidate reference;
	FaceEmbedding *template;
	int64		gallery_id;

	InitMaterializedSRF(fcinfo, 0);
	question.probe = argument_probe(fcinfo, 0);
	face_check_probe(question.probe, NULL, 0.0);
	if (PG_ARGISNULL(1) || !find_reference(PG_GETARG_INT64(1), &reference, &gallery_id, &template))
	{
		FaceAsked	asked = {
			.kind = "verify",.asker = GetUserNameFromId(GetSessionUserId(), false),
			.purpose = face_checked_purpose(argument_text(fcinfo, 3), false, NULL)
		};

		if (face_is_accounted())
			face_record_search(&asked);
		tell_verified(fcinfo, &question, NULL);
		return (Datum) 0;
	}
	face_find_gallery_by_id(gallery_id, &question.gallery);
	check_question(&question, PG_ARGISNULL(2) ? 0.0 : PG_GETARG_FLOAT8(2), !PG_ARGISNULL(2), "verify", argument_text(fcinfo, 3));
	check_threshold(&question);
	reference.similarity = face_cosine_similarity(template, question.probe);
	account_verification(&question, &reference);
	tell_verified(fcinfo, &question, &reference);
	return (Datum) 0;
}

/* verify(probe, gallery, subject_id, min_similarity, purpose): the best of all references of the person there */
Datum
facematch_verify_subject(PG_FUNCTION_ARGS)
{
	FaceQuestion question;
	FaceCandidate best;
	bool		found;

	InitMaterializedSRF(fcinfo, 0);
	face_find_gallery(PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), &question.gallery);
	question.probe = argument_probe(fcinfo, 0);
	check_question(&question, PG_ARGISNULL(3) ? 0.0 : PG_GETARG_FLOAT8(3), !PG_ARGISNULL(3), "verify", argument_text(fcinfo, 4));
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("subject_id is NULL"),
				 errhint("facematch.subject_id() makes a pseudonym of a document.")));
	check_threshold(&question);
	found = face_find_best_of_subject(&question.gallery, question.probe, PG_GETARG_UUID_P(2), &best);
	account_verification(&question, found ? &best : NULL);
	tell_verified(fcinfo, &question, found ? &best : NULL);
	return (Datum) 0;
}
