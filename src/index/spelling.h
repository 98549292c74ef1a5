/*-------------------------------------------------------------------------
 *
 * spelling.h
 *	  The ways to write a threshold, reduced to one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_SPELLING_H
#define FACEMATCH_INDEX_SPELLING_H

#include "nodes/pathnodes.h"

/*
 * The clause column =~? probe that follows from a clause which is a threshold
 * on the embedding column of the index; NULL if it is none.  For clauses that
 * the index does not serve by themselves: face_match() and =~ count only where
 * row security keeps them from the index.
 */
extern Expr *face_threshold_of(PlannerInfo *root, IndexOptInfo *index, const RestrictInfo *clause);

#endif							/* FACEMATCH_INDEX_SPELLING_H */
