/*-------------------------------------------------------------------------
 *
 * condition.h
 *	  face_match(column, probe, t) as an index condition.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_MATCHING_CONDITION_H
#define FACEMATCH_MATCHING_CONDITION_H

#include "nodes/supportnodes.h"

extern List *face_match_index_condition(SupportRequestIndexCondition *request);

#endif							/* FACEMATCH_MATCHING_CONDITION_H */
