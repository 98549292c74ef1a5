/*-------------------------------------------------------------------------
 *
 * question.h
 *	  What a search was asked, and its steps, for one probe and for many.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_MATCHING_QUESTION_H
#define FACEMATCH_MATCHING_QUESTION_H

#include "fmgr.h"

#include "matching/account.h"
#include "matching/candidates.h"

/* What a search was asked, checked. */
typedef struct FaceQuestion
{
	FaceSearched gallery;
	FaceEmbedding *probe;
	double		threshold;
	int			most;
	bool		by_person;
	bool		by_mean;		/* of all of a person's references, not by the best of them */
	bool		reads;			/* by a role that may read templates anyway */
	bool		accounted;		/* leaves a row */
	FaceAsked	search;
} FaceQuestion;

/* Of a function whose arguments are those of identify(). */
extern void face_read_question(FunctionCallInfo fcinfo, FaceQuestion *question);
extern FaceEmbedding *face_opened_probe(FaceEmbedding *probe);
extern void face_check_search(FunctionCallInfo fcinfo, FaceQuestion *question, FaceEmbedding *probe, const char *kind,
							  bool exactly);
extern void face_search(const FaceQuestion *question, FaceCandidates *found, FaceCandidates *references);
extern void face_answer(FunctionCallInfo fcinfo, FaceQuestion *question, FaceCandidates *found,
						const FaceCandidates *references, bool exactly, int number);

#endif							/* FACEMATCH_MATCHING_QUESTION_H */
