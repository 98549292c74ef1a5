/*-------------------------------------------------------------------------
 *
 * selectivity.c
 *	  What the planner is told about threshold matching.
 *
 * pg_statistic holds nothing about templates, on purpose.  The estimate comes
 * from a model of face recognition instead: nearly all comparisons of a scan
 * are non-mated, and non-mated similarities are close to normal around 0.  At
 * 512 dimensions a real model measured 0.010 +- 0.097, with a false match rate
 * of 1e-3 at 0.337 where the normal tail says 3e-4: good enough to tell a
 * threshold that keeps a few rows from one that keeps a third.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "utils/selfuncs.h"

#include "compat.h"
#include "embedding/threshold.h"
#include "index/condition.h"

/* Standard deviation of non-mated similarities in the model above. */
#define NON_MATED_DEVIATION		0.1

/* Beyond the tail: mates, who are a few in a gallery of any size. */
#define LEAST_SELECTIVITY		1e-6

/* A threshold that is not known when planning is some usual one, about 0.31. */
#define DEFAULT_SELECTIVITY		1e-3

/*
 * A comparison of 512 dimensions takes about as long as four cheap operators;
 * half of that is the call, the rest grows with the dimensions.
 */
#define CALL_COST				2.0
#define COST_PER_DIMENSION		(2.0 / 512)
#define DEFAULT_DIMENSIONS		512

PG_FUNCTION_INFO_V1(face_match_support);
PG_FUNCTION_INFO_V1(face_probe_sel);

static Selectivity
threshold_selectivity(double min_similarity)
{
	double		tail = 0.5 * erfc(min_similarity / (NON_MATED_DEVIATION * M_SQRT2));

	return Max(tail, LEAST_SELECTIVITY);
}

/* The non-null constant that an expression is known to be, or NULL. */
static Const *
known_constant(PlannerInfo *root, Node *expression)
{
	Node	   *estimated = root != NULL ? estimate_expression_value(root, expression) : expression;

	if (IsA(estimated, Const) && !((Const *) estimated)->constisnull)
		return (Const *) estimated;
	return NULL;
}

static void
estimate_selectivity(SupportRequestSelectivity *request)
{
	Const	   *threshold = known_constant(request->root, (Node *) lthird(request->args));

	request->selectivity = threshold != NULL
		? threshold_selectivity(DatumGetFloat8(threshold->constvalue))
		: DEFAULT_SELECTIVITY;
}

static void
estimate_cost(SupportRequestCost *request)
{
	int			dims = DEFAULT_DIMENSIONS;

	if (request->node != NULL && IsA(request->node, FuncExpr))
	{
		Const	   *probe = known_constant(request->root, (Node *) lsecond(((FuncExpr *) request->node)->args));

		if (probe != NULL)
			dims = face_dims_of(DatumGetFaceEmbedding(probe->constvalue));
	}
	request->startup = 0;
	request->per_tuple = cpu_operator_cost * (CALL_COST + COST_PER_DIMENSION * dims);
}

/* Planner support of face_match(reference, probe, min_similarity). */
Datum
face_match_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	switch (nodeTag(request))
	{
		case T_SupportRequestSelectivity:
			estimate_selectivity((SupportRequestSelectivity *) request);
			PG_RETURN_POINTER(request);
		case T_SupportRequestCost:
			estimate_cost((SupportRequestCost *) request);
			PG_RETURN_POINTER(request);
		case T_SupportRequestIndexCondition:
			PG_RETURN_POINTER(face_match_index_condition((SupportRequestIndexCondition *) request));
		default:
			PG_RETURN_POINTER(NULL);
	}
}

/*
 * The cosine similarity that a threshold stands for, as if references were as
 * long as the probe: models either make unit vectors or lengths that vary little.
 */
static double
similarity_of(const FaceProbe *probe)
{
	const double squared = (double) probe->embedding.norm * probe->embedding.norm;

	switch (probe->kind)
	{
		case FACE_MOST_COSINE:
			return 1.0 - probe->limit;
		case FACE_MOST_EUCLIDEAN:
			return probe->limit < 0 ? 1.0 : 1.0 - probe->limit * probe->limit / (2.0 * squared);
		case FACE_MOST_NEGATIVE_INNER_PRODUCT:
			return -probe->limit / squared;
		default:
			return probe->limit;
	}
}

/* Restriction selectivity of face_embedding =~ face_probe and =~?. */
Datum
face_probe_sel(PG_FUNCTION_ARGS)
{
	PlannerInfo *root = (PlannerInfo *) PG_GETARG_POINTER(0);
	List	   *args = (List *) PG_GETARG_POINTER(2);
	Const	   *probe = known_constant(root, (Node *) lsecond(args));

	PG_RETURN_FLOAT8(probe != NULL
					 ? threshold_selectivity(similarity_of(DatumGetFaceProbe(probe->constvalue)))
					 : DEFAULT_SELECTIVITY);
}
