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

#include "utils/memutils.h"

#include "matching/near.h"

/* By the gallery's own threshold, whatever is asked for; 0: not told. */
static int
strength_of(const FaceQuestion *question, const FaceCandidate *candidate)
{
	if (candidate->similarity < question->threshold)
		return 0;
	return face_strength(candidate->similarity, question->gallery.threshold);
}

static int
of_one_person(const void *a, const void *b)
{
	return memcmp(&(*(const FaceCandidate *const *) a)->person, &(*(const FaceCandidate *const *) b)->person, UUID_LEN);
}

/* By person, the best first, in the order of a list of candidates. */
static int
by_person(const void *a, const void *b)
{
	const FaceCandidate *first = *(const FaceCandidate *const *) a;
	const FaceCandidate *second = *(const FaceCandidate *const *) b;
	int			order = of_one_person(a, b);

	if (order != 0)
		return order;
	if (first->similarity != second->similarity)
		return first->similarity > second->similarity ? -1 : 1;
	return first->reference_id < second->reference_id ? -1 : first->reference_id > second->reference_id;
}

const FaceCandidate **
face_sorted_by_person(const FaceCandidates *references)
{
	const FaceCandidate **sorted = MemoryContextAllocExtended(CurrentMemoryContext,
															  sizeof(FaceCandidate *) * Max(references->count, 1), MCXT_ALLOC_HUGE);

	for (int i = 0; i < references->count; i++)
		sorted[i] = &references->list[i];
	qsort(sorted, references->count, sizeof(FaceCandidate *), by_person);
	return sorted;
}

/*
 * Does what is told depend on a reference that is below the threshold?  A mean
 * does, however far below that is.
 */
static bool
is_missed(const FaceQuestion *question, const FaceCandidate *reference)
{
	if (question->by_mean)
		return reference->similarity < question->threshold;
	return face_is_close_miss(reference->similarity, question->threshold);
}

/* A person, from its references, of which the first is the best; how many they are. */
static int
person_near(const FaceQuestion *question, const FaceCandidate **references, int count, FaceNear *near)
{
	int			of_person = 0;

	*near = (FaceNear) {.subject = references[0]->subject, .attempts = 1};
	while (of_person < count && of_one_person(&references[of_person], references) == 0)
		near->missed |= is_missed(question, references[of_person++]);
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
		/* Whoever has staged all others knows from the mean what this one is. */
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
		const FaceCandidate **same = bsearch(&key, sorted, count, sizeof(FaceCandidate *), by_person);

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
