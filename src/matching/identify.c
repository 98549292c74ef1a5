/*-------------------------------------------------------------------------
 *
 * identify.c
 *	  Identification (1:N) and verification (1:1 and 1:few): checks of the
 *	  question, the account of the search, and the answer.
 *
 * README.md has the steps in their order, and the reason for the order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "base/refusal.h"
#include "base/run.h"
#include "compat.h"
#include "embedding/sealed.h"
#include "gallery/staging.h"
#include "matching/account.h"
#include "matching/candidates.h"
#include "matching/near.h"
#include "matching/question.h"
#include "matching/unseen.h"
#include "retention/person.h"

PG_FUNCTION_INFO_V1(facematch_identify);
PG_FUNCTION_INFO_V1(facematch_check_comparison);
PG_FUNCTION_INFO_V1(facematch_verify);
PG_FUNCTION_INFO_V1(facematch_verify_subject);

/* References that are looked at for attempts, at least. */
#define MOST_NEAR	64

/*
 * Opened once for all comparisons.  One whose key has been destroyed stays as it
 * is, and compares with nobody.  Only by roles that may read templates: searches by one
 * that was stolen, among templates of one's own, would tell what it is.
 */
FaceEmbedding *
face_opened_probe(FaceEmbedding *probe)
{
	FaceEmbedding *opened;

	if (!face_is_sealed(probe))
		return probe;
	if (!face_reads_templates())
		face_refuse_opening();
	opened = face_opened_copy(probe);
	return opened == NULL ? probe : opened;
}

static FaceEmbedding *
argument_probe(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : face_opened_probe(PG_GETARG_FACE_EMBEDDING(number));
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
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("max_candidates_range"),
				 errmsg("max_candidates is %s", PG_ARGISNULL(number) ? "NULL" : psprintf("%d", PG_GETARG_INT32(number))),
				 errhint("Ask for at least one candidate.")));
	return PG_GETARG_INT32(number);
}

/* What a line of the answer is. */
static void
read_by(FunctionCallInfo fcinfo, int number, FaceQuestion *question)
{
	const char *by = argument_text(fcinfo, number);

	question->by_mean = by != NULL && strcmp(by, "mean") == 0;
	question->by_person = question->by_mean || (by != NULL && strcmp(by, "subject") == 0);
	if (!question->by_person && (by == NULL || strcmp(by, "reference") != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("search_is_by_subject_or_reference"),
				 errmsg("a search is by subject, mean or reference, not by %s", by == NULL ? "NULL" : quote_literal_cstr(by)),
				 errhint("by => 'subject' has one line a person, by the best reference, 'mean' by the mean of all of them;"
						 " 'reference' one a template.")));
}

/* Scores of enough probes tell a template: below the gallery's threshold they are for roles that may read templates. */
static void
check_threshold(FaceQuestion *question)
{
	if (question->reads)
		return;
	if (question->threshold < question->gallery.threshold)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), face_refusal("min_similarity_is_not_below"),
				 errmsg("min_similarity is below the threshold of gallery %s, %g", quote_literal_cstr(question->gallery.name),
						question->gallery.threshold),
				 errhint("A template can be computed from the scores of enough probes: only a role that may read facematch.reference.embedding"
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

/* Step 3: the candidates, and all references that were looked at. */
void
face_search(const FaceQuestion *question, FaceCandidates *found, FaceCandidates *references)
{
	double		least = question->reads ? question->threshold : Max(question->threshold - FACE_NEAR, -1.0);
	/* No number of better ones keeps a miss from being counted. */
	const bool	whole = !question->reads;

	if (question->by_person)
	{
		face_find_persons(&question->gallery, question->probe, question->threshold, least, whole, question->most,
						  question->by_mean, found, references);
		return;
	}
	for (int64 most = Max((int64) question->most, MOST_NEAR);; most *= 4)
	{
		CHECK_FOR_INTERRUPTS();
		face_find_references(&question->gallery, question->probe, least, most, references);
		if (references->all || !whole)
			break;
	}
	*found = *references;
	found->count = Min(found->count, question->most);
	while (found->count > 0 && found->list[found->count - 1].similarity < question->threshold)
		found->count--;
}

/* Steps 5 to 7, behind which the probe's number stands first unless it is 0. */
void
face_answer(FunctionCallInfo fcinfo, FaceQuestion *question, FaceCandidates *found, const FaceCandidates *references,
			bool exactly, int number)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const int	skipped = number == 0 ? 1 : 0;
	const bool	hides = question->by_person && !question->reads;
	const FaceCandidate **sorted = hides || question->accounted ? face_sorted_by_person(references) : NULL;

	if (hides)
		face_hide_order(question, found, sorted, references->count);
	face_account_search(question, references, sorted, found->count);
	for (int i = 0; i < found->count; i++)
	{
		const FaceCandidate *candidate = &found->list[i];
		double		similarity = exactly ? candidate->similarity :
			face_shown_similarity(candidate->similarity, question->gallery.threshold);
		Datum		values[] = {
			Int32GetDatum(number), Int32GetDatum(i + 1), Int64GetDatum(candidate->reference_id),
			UUIDPGetDatum(&candidate->subject), Float8GetDatum(similarity), Int64GetDatum(candidate->matches),
			CStringGetTextDatum(candidate->retention_class)
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
	read_by(fcinfo, 4, question);
}

/* Steps 1 and 2 of a search by one probe. */
void
face_check_search(FunctionCallInfo fcinfo, FaceQuestion *question, FaceEmbedding *probe, const char *kind, bool exactly)
{
	question->probe = probe;
	check_question(question, PG_ARGISNULL(3) ? 0.0 : PG_GETARG_FLOAT8(3), !PG_ARGISNULL(3), kind, argument_text(fcinfo, 5));
	if (question->accounted && !question->reads)
		question->gallery.asker = question->search.asker;
	if (!exactly)
		check_threshold(question);
}

typedef struct Run
{
	FunctionCallInfo fcinfo;
	FaceQuestion question;
	bool		exactly;
} Run;

static void
search_and_answer(void *state)
{
	Run		   *run = state;
	FaceCandidates found;
	FaceCandidates references;

	face_search(&run->question, &found, &references);
	face_answer(run->fcinfo, &run->question, &found, &references, run->exactly, 0);
}

/*
 * identify(probe, gallery, max_candidates, min_similarity, by, purpose): rank, reference_id, subject_id, similarity, matches
 *
 * As find_candidates(), for the extension's own functions, which tell scores as they may be told, it has one more argument, the kind
 * of search, and one more column, the class of the reference.
 */
Datum
facematch_identify(PG_FUNCTION_ARGS)
{
	bool		exactly = PG_NARGS() > 6;
	Run			run = {.fcinfo = fcinfo};

	InitMaterializedSRF(fcinfo, 0);
	face_read_question(fcinfo, &run.question);
	face_check_search(fcinfo, &run.question, argument_probe(fcinfo, 0), exactly ? argument_text(fcinfo, 6) : "identify", exactly);
	run.exactly = exactly || run.question.reads;
	if (run.question.gallery.asker != NULL)
		face_do_unseen(search_and_answer, &run);
	else
		search_and_answer(&run);
	return (Datum) 0;
}

/* check_comparison(probe, gallery text, model text, model_tag integer, dims integer, min_similarity) */
Datum
facematch_check_comparison(PG_FUNCTION_ARGS)
{
	FaceEmbedding *probe = PG_ARGISNULL(0) ? NULL : PG_GETARG_FACE_EMBEDDING(0);
	/* search_shards() names no gallery: the shards have them. */
	FaceSearched gallery = {
		.name = PG_ARGISNULL(1) ? "" : argument_text(fcinfo, 1),.model = PG_ARGISNULL(2) ? "" : argument_text(fcinfo, 2),
		.model_tag = (int16) PG_GETARG_INT32(3),.dims = (int16) PG_GETARG_INT32(4)
	};

	face_check_probe(probe, &gallery, PG_ARGISNULL(5) ? 0.0 : PG_GETARG_FLOAT8(5));
	/* Answers about a stolen one, among templates of one's own, would tell what it is. */
	if (face_is_sealed(probe) && !face_reads_templates())
		face_refuse_opening();
	PG_RETURN_VOID();
}

/*--------------------------------------------------------- verification */

/* Columns that verification answers. */
enum
{
	VERIFIED_MATCH, VERIFIED_SIMILARITY, VERIFIED_THRESHOLD, VERIFIED_SUBJECT, VERIFIED_REFERENCE, VERIFIED_REASON,
	VERIFIED_COLUMNS
};

/* NULL for "best": there is none; for "threshold": nobody said in which gallery. */
static void
tell_verified(FunctionCallInfo fcinfo, const FaceQuestion *question, const double *threshold, const FaceCandidate *best, bool match,
			  const char *reason)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	/* A miss is told by name only to roles that may know whose reference that is. */
	bool		named = match || (best != NULL && (question->reads || face_may_stage(question->gallery.gallery_id)));
	bool		scored = match || (best != NULL && question->reads);
	Datum		values[VERIFIED_COLUMNS] = {0};
	bool		isnull[VERIFIED_COLUMNS] = {false};

	values[VERIFIED_MATCH] = BoolGetDatum(match);
	isnull[VERIFIED_SIMILARITY] = !scored;
	if (scored)
		values[VERIFIED_SIMILARITY] = Float8GetDatum(question->reads ? best->similarity :
													 face_shown_similarity(best->similarity, question->gallery.threshold));
	isnull[VERIFIED_THRESHOLD] = threshold == NULL;
	if (threshold != NULL)
		values[VERIFIED_THRESHOLD] = Float8GetDatum(*threshold);
	isnull[VERIFIED_SUBJECT] = isnull[VERIFIED_REFERENCE] = !named;
	if (named)
	{
		values[VERIFIED_SUBJECT] = UUIDPGetDatum(&best->subject);
		values[VERIFIED_REFERENCE] = Int64GetDatum(best->reference_id);
	}
	isnull[VERIFIED_REASON] = reason == NULL;
	if (reason != NULL)
		values[VERIFIED_REASON] = CStringGetTextDatum(reason);
	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
}

/* A reference that is one, or was until it became due. */
typedef struct Reference
{
	FaceCandidate candidate;
	int64		gallery_id;
	bool		due;
	FaceEmbedding *template;
} Reference;

static bool
find_reference(int64 reference_id, Reference *reference)
{
	static FacePlan plan = {
		"SELECT r.subject_id, r.gallery_id, CASE WHEN true" FACE_REACHED
		" THEN r.purge_after ELSE '-infinity' END, r.embedding FROM facematch.reference r"
		" WHERE r.reference_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}, NULL
	};
	Datum		values[] = {Int64GetDatum(reference_id)};
	bool		found;
	bool		isnull;

	SPI_connect();
	face_run_plan(&plan, values, face_owner(face_table("reference")));
	found = SPI_processed == 1;
	if (found)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		reference->candidate.reference_id = reference_id;
		reference->candidate.subject = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
		reference->candidate.person = face_person(&reference->candidate.subject);
		reference->gallery_id = DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
		reference->due = DatumGetTimestampTz(SPI_getbinval(row, desc, 3, &isnull)) <= GetCurrentTimestamp();
		reference->template = (FaceEmbedding *) DatumGetPointer(SPI_datumTransfer(SPI_getbinval(row, desc, 4, &isnull), false, -1));
	}
	SPI_finish();
	return found;
}

/* Why there is nothing to compare with, for roles that may know it of that gallery; NULL for others. */
static const char *
why_absent(int64 gallery_id, pg_uuid_t *subject)
{
	static FacePlan plan = {
		"SELECT CASE WHEN facematch.is_opted_out($2, $1) THEN 'declined'"
		" WHEN EXISTS (SELECT FROM facematch.reference r WHERE r.gallery_id OPERATOR(pg_catalog.=) $1"
		" AND r.subject_id OPERATOR(pg_catalog.=) ANY ($3)) THEN 'expired' ELSE 'not_enrolled' END",
		3, {INT8OID, UUIDOID, UUIDARRAYOID}, NULL
	};
	MemoryContext memory = CurrentMemoryContext;
	Datum		values[] = {Int64GetDatum(gallery_id), UUIDPGetDatum(subject), face_alias_array(subject)};
	char	   *reason;

	if (!face_reads_templates() && !face_may_stage(gallery_id))
		return NULL;
	SPI_connect();
	face_run_plan(&plan, values, face_owner(face_table("reference")));
	reason = MemoryContextStrdup(memory, TextDatumGetCString(face_result(1, NULL)));
	SPI_finish();
	return reason;
}

/* A verification names the person and is refused for every score, so the refusal reveals nothing. */
static void
refuse_named(FaceQuestion *question, const pg_uuid_t *subject)
{
	TimestampTz next;

	if (!question->accounted || question->reads)
		return;
	next = face_next_attempt(question->search.asker, subject);
	if (next == 0)
		return;
	question->search.refused = true;
	face_record_search(&question->search);
	face_refuse_attempt(next);
}

typedef struct Verified
{
	FaceQuestion *question;
	const FaceCandidates *references;	/* of the person, the best first */
	bool		match;
} Verified;

static void
account_verified(void *state)
{
	Verified   *verified = state;
	const FaceQuestion *question = verified->question;
	FaceCandidates near = *verified->references;

	if (near.count > 0)
		refuse_named(verified->question, &near.list[0].subject);
	while (near.count > 0 && near.list[near.count - 1].similarity < question->threshold - FACE_NEAR)
		near.count--;
	face_account_near(verified->question, face_sorted_by_person(&near), near.count, verified->match ? 1 : 0);
}

/* "named": the person whom the caller names is the references'.  Whether that matches. */
static bool
account_verification(FaceQuestion *question, const FaceCandidates *references, bool named)
{
	Verified	verified = {
		question, references, named && references->count > 0 && references->list[0].similarity >= question->threshold
	};

	question->by_person = true;
	question->by_mean = false;
	if (question->accounted && !question->reads)
		face_do_unseen(account_verified, &verified);
	else
		account_verified(&verified);
	return verified.match;
}

/* Whether the caller says nothing of the person, or names the reference's, by any pseudonym. */
static bool
is_of_named(FunctionCallInfo fcinfo, const Reference *reference)
{
	pg_uuid_t	named;

	if (PG_ARGISNULL(2))
		return true;
	named = face_person(PG_GETARG_UUID_P(2));
	return memcmp(&named, &reference->candidate.person, sizeof(pg_uuid_t)) == 0;
}

/* verify(probe, reference_id, subject_id, min_similarity, purpose): match, similarity, threshold, subject, reference, reason */
Datum
facematch_verify(PG_FUNCTION_ARGS)
{
	FaceQuestion question;
	Reference	reference;
	FaceCandidates compared = {&reference.candidate, 1, true};
	FaceEmbedding *template = NULL;
	bool		found;
	bool		match;

	InitMaterializedSRF(fcinfo, 0);
	question.probe = argument_probe(fcinfo, 0);
	face_check_probe(question.probe, NULL, 0.0);
	found = !PG_ARGISNULL(1) && find_reference(PG_GETARG_INT64(1), &reference);
	/* One whose key has been destroyed is due in all copies: it compares with nobody, here too. */
	if (found && !reference.due && !face_is_sealed(question.probe))
		template = face_opened_copy(reference.template);
	if (template == NULL)
	{
		FaceAsked	asked = {
			.kind = "verify",.asker = GetUserNameFromId(GetSessionUserId(), false),
			.purpose = face_checked_purpose(argument_text(fcinfo, 4), false, NULL)
		};

		if (face_is_accounted())
			face_record_search(&asked);
		tell_verified(fcinfo, &question, NULL, NULL, false, found ? why_absent(reference.gallery_id, &reference.candidate.subject) :
					  face_reads_templates() ? "not_enrolled" : NULL);
		return (Datum) 0;
	}
	face_find_gallery_by_id(reference.gallery_id, &question.gallery);
	check_question(&question, PG_ARGISNULL(3) ? 0.0 : PG_GETARG_FLOAT8(3), !PG_ARGISNULL(3), "verify", argument_text(fcinfo, 4));
	check_threshold(&question);
	reference.candidate.similarity = face_cosine_similarity(template, question.probe);
	/* Another person than the named one is a miss like any other: who is on a watchlist is not told without a face. */
	match = account_verification(&question, &compared, is_of_named(fcinfo, &reference));
	tell_verified(fcinfo, &question, &question.threshold, &reference.candidate, match, NULL);
	return (Datum) 0;
}

/* verify(probe, gallery, subject_id, min_similarity, purpose): the best of all references of the person there */
Datum
facematch_verify_subject(PG_FUNCTION_ARGS)
{
	FaceQuestion question;
	FaceCandidates references;
	FaceCandidates found;
	bool		match;

	InitMaterializedSRF(fcinfo, 0);
	face_find_gallery(PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), &question.gallery);
	question.probe = argument_probe(fcinfo, 0);
	check_question(&question, PG_ARGISNULL(3) ? 0.0 : PG_GETARG_FLOAT8(3), !PG_ARGISNULL(3), "verify", argument_text(fcinfo, 4));
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), face_refusal("subject_is_given"),
				 errmsg("subject_id is NULL"),
				 errhint("facematch.subject_id() makes a pseudonym of a document.")));
	check_threshold(&question);
	face_find_of_subject(&question.gallery, question.probe, PG_GETARG_UUID_P(2), &references);
	found = references;
	found.count = Min(found.count, 1);
	found.list = memcpy(palloc(sizeof(FaceCandidate)), references.list, sizeof(FaceCandidate) * found.count);
	match = account_verification(&question, &references, true);
	if (!question.reads)
		face_hide_order(&question, &found, face_sorted_by_person(&references), references.count);
	/* The threshold also where the person has no reference: without it, it would tell who has one. */
	tell_verified(fcinfo, &question, &question.threshold, found.count == 0 ? NULL : found.list, match,
				  found.count == 0 ? why_absent(question.gallery.gallery_id, PG_GETARG_UUID_P(2)) : NULL);
	return (Datum) 0;
}
