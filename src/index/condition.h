/*-------------------------------------------------------------------------
 *
 * condition.h
 *	  Thresholds as index conditions: the probe on the right-hand side.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_CONDITION_H
#define FACEMATCH_INDEX_CONDITION_H

#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"

#include "embedding/threshold.h"

/* The type of templates that the index is of, and the operator of its class for them with a right-hand side. */
extern Oid	face_index_type(const IndexOptInfo *index);
extern Oid	face_index_operator(const IndexOptInfo *index, Oid right_type, int strategy);

/* A function on templates, found in the schema of the operator class's own, with n numbers behind them; or invalid. */
extern Oid	face_function_beside(const IndexOptInfo *index, const char *name, int ntemplates, int nnumbers);

/* face_probe(probe, min_similarity), and face_probe_within(probe, kind, bound, factor, addend); NULL if they are not there. */
extern Expr *face_probe_of_similarity(PlannerInfo *root, const IndexOptInfo *index, Node *probe, Node *min_similarity);
extern Expr *face_probe_of_distance(PlannerInfo *root, const IndexOptInfo *index, Node *probe, FaceProbeKind kind,
									Node *bound, double factor, double addend);

extern List *face_match_index_condition(SupportRequestIndexCondition *request);

#endif							/* FACEMATCH_INDEX_CONDITION_H */
