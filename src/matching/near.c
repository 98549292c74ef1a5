/*-------------------------------------------------------------------------
 *
 * near.c
 *	  The persons whom a search came near, and how many attempts it counts as on
 *	  each.
 *
 * attempts.c has the limits and their reasons.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/refusal.h"
#include "gallery/staging.h"
#include "matching/near.h"
#include "matching/unseen.h"
#include "retention/person.h"

PG_FUNCTION_INFO_V1(facematch_record_search);

/* By the gallery's own threshold, whatever is asked for; 0: not told. */
static int
strength_of(const FaceQuestion *question, const FaceCandidate *candidate)
{
	if (candidate->similarity < question->threshold)
		return 0;
	return face_strength(candidate->similarity, question->gallery.threshold);
}

/*
 * A person, from its references, of which the first is the best; how many they are.
 * By mean all of them are there, since a mean depends on those that are farther too.
 */
static int
person_near(const FaceQuestion *question, const FaceCandidate **references, int count, FaceNear *near)
{
	int			of_person = 0;

	*near = (FaceNear) {.subject = references[0]->subject, .attempts = 1};
	while (of_person < count && memcmp(&references[of_person]->person, &references[0]->person, UUID_LEN) == 0)
		near->missed |= references[of_person++]->similarity < question->threshold;
	return of_person;
}

/* The persons whom references, sorted by person, are of, and what the search is worth on each.  *count: of references, then of persons. */
static FaceNear *
persons_near(const FaceQuestion *question, const FaceCandidate **sorted, int *count)
{
	const int	references = *count;
	int			alike[FACE_STRENGTHS] = {0};
	int		   *strengths = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(int) * Max(references, 1), MCXT_ALLOC_HUGE);
	FaceNear   *near = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(FaceNear) * Max(references, 1), MCXT_ALLOC_HUGE);

	*count = 0;
	for (int i = 0, of_person; i < references; i += of_person)
	{
		of_person = person_near(question, sorted + i, references - i, &near[*count]);
		strengths[*count] = strength_of(question, sorted[i]);
		for (int j = i; j < (question->by_person ? i + 1 : i + of_person); j++)
			alike[strength_of(question, sorted[j])]++;
		/* A user who staged all others could compute this one from the mean. */
		if (question->by_mean)
			near[*count].attempts = face_attempts(of_person);
		(*count)++;
	}
	for (int i = 0; i < *count; i++)
	{
		if (strengths[i] > 0)
			near[i].attempts = Max(near[i].attempts, face_attempts(alike[strengths[i]]));
	}
	pfree(strengths);
	return near;
}

/* Steps 5 and 6: attempts of limited roles, and the row of the search.  Of references sorted by person only the best stay. */
void
face_account_near(FaceQuestion *question, const FaceCandidate **sorted, int count, int candidates)
{
	FaceNear   *near = NULL;

	if (!question->accounted)
		return;
	if (count > 0)
		near = persons_near(question, sorted, &count);
	question->search.candidates = candidates;
	if (candidates == 0 && question->gallery.asker != NULL)
		question->search.withheld_until = face_withheld_in(question->gallery.asker, question->gallery.gallery_id);
	face_account_for(&question->search, near, count, !question->reads);
}

/* The same of a search; by mean, of all references of the persons whom it came near. */
void
face_account_search(FaceQuestion *question, const FaceCandidates *references, const FaceCandidate **sorted, int candidates)
{
	FaceCandidates all;

	if (!question->by_mean || question->reads || !question->accounted || references->count == 0)
	{
		face_account_near(question, sorted, references->count, candidates);
		return;
	}
	face_find_of_persons(&question->gallery, question->probe, references, &all);
	face_account_near(question, face_sorted_by_person(&all), all.count, candidates);
}

/*
 * Of a person's references of one strength, the one with the lowest number is
 * told: which of them is better is as much as a score, to who has staged one.
 */
void
face_hide_order(const FaceQuestion *question, FaceCandidates *found, const FaceCandidate **sorted, int count)
{
	for (int i = 0; i < found->count; i++)
	{
		FaceCandidate *told = &found->list[i];
		const FaceCandidate *key = told;
		int			strength = strength_of(question, told);
		const FaceCandidate **same = bsearch(&key, sorted, count, sizeof(FaceCandidate *), face_by_person);

		for (; same != NULL && same < sorted + count && memcmp(&(*same)->person, &told->person, UUID_LEN) == 0 &&
			 strength_of(question, *same) == strength; same++)
		{
			if ((*same)->reference_id < told->reference_id)
			{
				told->reference_id = (*same)->reference_id;
				told->subject = (*same)->subject;
			}
		}
	}
}

/*--------------------------------------------------------- searches in SQL */

/* There is one strength of a match where the threshold is 1: such a search tells none. */
#define THRESHOLD_OF_ARGUMENTS	1.0

/* References of two arrays, whose they are and how far above the threshold: those that are near. */
static FaceCandidates
argument_references(ArrayType *subjects, ArrayType *above)
{
	FaceCandidates near = {0};
	Datum	   *subject;
	Datum	   *margin;
	bool	   *isnull;
	int			count;
	int			margins;

	if (array_contains_nulls(subjects))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), face_refusal("search_names_persons"),
				 errmsg("a person whom a search came near is NULL")));
	deconstruct_array(subjects, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &subject, NULL, &count);
	deconstruct_array(above, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &margin, &isnull, &margins);
	if (margins != count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR), face_refusal("search_names_scores"),
				 errmsg("the number of persons is %d, that of scores %d", count, margins)));
	near.list = palloc(sizeof(FaceCandidate) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		/* Where the key has been destroyed there is no score: it is near nobody. */
		if (isnull[i] || DatumGetFloat8(margin[i]) < -FACE_NEAR)
			continue;
		near.list[near.count++] = (FaceCandidate) {
			.reference_id = i,.subject = *DatumGetUUIDP(subject[i]),.person = face_person(DatumGetUUIDP(subject[i])),
			.similarity = THRESHOLD_OF_ARGUMENTS + DatumGetFloat8(margin[i])
		};
	}
	return near;
}

typedef struct Recorded
{
	FaceQuestion question;
	FaceCandidates near;
	int			candidates;
} Recorded;

static void
account_recorded(void *state)
{
	Recorded   *recorded = state;

	face_account_near(&recorded->question, face_sorted_by_person(&recorded->near), recorded->near.count, recorded->candidates);
}

/* record_search(kind, asker, gallery_id, candidates, near uuid[], above double precision[]) */
Datum
facematch_record_search(PG_FUNCTION_ARGS)
{
	Recorded	recorded = {0};
	FaceQuestion *question = &recorded.question;

	for (int i = 0; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i) && i != 2)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), face_refusal("search_is_whole"),
					 errmsg("argument %d of record_search() is NULL", i + 1)));
	}
	question->accounted = face_is_accounted();
	if (!question->accounted)
		PG_RETURN_VOID();
	question->reads = face_reads_templates();
	question->by_person = true;
	question->threshold = question->gallery.threshold = THRESHOLD_OF_ARGUMENTS;
	question->search.kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	question->search.asker = text_to_cstring(PG_GETARG_TEXT_PP(1));
	question->search.gallery_id = question->gallery.gallery_id = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	question->search.purpose = face_checked_purpose(NULL, false, NULL);
	if (!question->reads)
		question->gallery.asker = question->search.asker;
	recorded.candidates = PG_GETARG_INT32(3);
	recorded.near = argument_references(PG_GETARG_ARRAYTYPE_P(4), PG_GETARG_ARRAYTYPE_P(5));
	face_do_unseen(account_recorded, &recorded);
	PG_RETURN_VOID();
}
