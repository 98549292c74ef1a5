/*-------------------------------------------------------------------------
 *
 * near.h
 *	  The persons whom a search came near, and what it is worth on each.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_MATCHING_NEAR_H
#define FACEMATCH_MATCHING_NEAR_H

#include "matching/question.h"

/*
 * Steps 5 and 6: attempts of limited roles, and the row of the search.  Sorted: the
 * references that it came near; candidates: how many it tells.
 */
extern void face_account_near(FaceQuestion *question, const FaceCandidate **sorted, int count, int candidates);

/* The same of a search; by mean, of all references of the persons whom it came near. */
extern void face_account_search(FaceQuestion *question, const FaceCandidates *references, const FaceCandidate **sorted,
								int candidates);

/*
 * Of a person's references of one strength, the one with the lowest number is
 * told: which of them is better is as much as a score, to who has staged one.
 */
extern void face_hide_order(const FaceQuestion *question, FaceCandidates *found, const FaceCandidate **sorted, int count);

#endif							/* FACEMATCH_MATCHING_NEAR_H */
