/*-------------------------------------------------------------------------
 *
 * spelling.c
 *	  The ways to write a threshold, reduced to one.
 *
 *	  embedding <=> probe < 0.5			the distance, by any of the three operators
 *	  0.5 >= probe <=> embedding		the same the other way round
 *	  1 - (embedding <=> probe) > 0.5	arithmetic with constants on the distance
 *	  face_similarity(embedding, probe) >= 0.5
 *
 * become embedding =~? face_probe_within(probe, kind, 0.5, factor, addend),
 * where the last three give the largest distance that passes.  It holds of
 * every row that the clause holds of, and is cheap to decide by index.  The
 * clause itself stays as a filter, so nothing here needs to be exact beyond
 * FACE_THRESHOLD_SLACK.
 *
 * Objects are found by OID, from the index's operator class, and by its
 * functions' own schema, never by search_path: the planner may run under any.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "embedding/threshold.h"
#include "index/condition.h"
#include "index/keys.h"
#include "index/spelling.h"

/* Constants beyond this make rounding errors that FACE_THRESHOLD_SLACK does not cover. */
#define MOST_CONSTANT	1e3

/* bound >= distance * factor + addend, or <= where the factor is negative. */
typedef struct Threshold
{
	FaceProbeKind kind;
	Node	   *column;
	Node	   *probe;
	Node	   *bound;
	double		factor;
	double		addend;
} Threshold;

/* The kind of threshold that a most result of this function is; false if it compares no templates. */
static bool
distance_kind(const IndexOptInfo *index, Oid function, FaceProbeKind *kind)
{
	static const int strategies[] = {FACE_COSINE_STRATEGY, FACE_EUCLIDEAN_STRATEGY, FACE_INNER_PRODUCT_STRATEGY};
	static const FaceProbeKind kinds[] = {FACE_MOST_COSINE, FACE_MOST_EUCLIDEAN, FACE_MOST_NEGATIVE_INNER_PRODUCT};

	for (int i = 0; i < lengthof(kinds); i++)
	{
		*kind = kinds[i];
		if (function == get_opcode(face_index_operator(index, face_index_type(index), strategies[i])))
			return true;
	}
	*kind = FACE_LEAST_SIMILARITY;
	return function == face_function_beside(index, "face_similarity", 2, 0);
}

/* A call of a function or operator: its function and arguments; NIL for anything else. */
static List *
call_arguments(Node *node, Oid *function)
{
	*function = InvalidOid;
	if (node != NULL && IsA(node, FuncExpr))
	{
		*function = ((FuncExpr *) node)->funcid;
		return ((FuncExpr *) node)->args;
	}
	if (node != NULL && IsA(node, OpExpr))
	{
		*function = get_opcode(((OpExpr *) node)->opno);
		return ((OpExpr *) node)->args;
	}
	return NIL;
}

/* A number that is known and whose size does no harm. */
static bool
modest_constant(Node *node, double *value)
{
	if (!IsA(node, Const) || ((Const *) node)->constisnull || ((Const *) node)->consttype != FLOAT8OID)
		return false;
	*value = DatumGetFloat8(((Const *) node)->constvalue);
	return fabs(*value) <= MOST_CONSTANT;	/* false for NaN */
}

/* One step of arithmetic on the distance: takes it into factor and addend, and returns what it is done to; NULL if it is none. */
static Node *
undo_arithmetic(Oid function, List *args, Threshold *t)
{
	double		value;
	bool		first = list_length(args) == 2 && modest_constant(linitial(args), &value);
	bool		second = list_length(args) == 2 && !first && modest_constant(lsecond(args), &value);

	if (function == F_FLOAT8UM)
	{
		t->factor = -t->factor;
		return linitial(args);
	}
	if (!first && !second)
		return NULL;
	switch (function)
	{
		case F_FLOAT8PL:
			t->addend += t->factor * value;
			break;
		case F_FLOAT8MI:
			t->addend += t->factor * (first ? value : -value);
			t->factor = first ? -t->factor : t->factor;
			break;
		case F_FLOAT8MUL:
			t->factor *= value;
			break;
		case F_FLOAT8DIV:
			if (first)
				return NULL;
			t->factor /= value;
			break;
		default:
			return NULL;
	}
	return first ? lsecond(args) : linitial(args);
}

/* Is one of the arguments the index's column, and the other the same for all rows? */
static bool
column_and_probe(PlannerInfo *root, IndexOptInfo *index, List *args, Threshold *t)
{
	const int	column = index->nkeycolumns - 1;

	for (int i = 0; i < 2; i++)
	{
		t->column = list_nth(args, i);
		t->probe = list_nth(args, 1 - i);
		if (match_index_to_operand(t->column, column, index) && is_pseudo_constant_for_index(root, t->probe, index))
			return true;
	}
	return false;
}

/* Is "distance" arithmetic on a distance, of which a bound from above (or from below) is a threshold? */
static bool
read_distance(PlannerInfo *root, IndexOptInfo *index, Node *distance, bool from_above, Threshold *t)
{
	Oid			function;
	List	   *args = call_arguments(distance, &function);

	t->factor = 1;
	t->addend = 0;
	while (args != NIL && !distance_kind(index, function, &t->kind))
	{
		check_stack_depth();
		distance = undo_arithmetic(function, args, t);
		args = call_arguments(distance, &function);
	}
	if (args == NIL || !column_and_probe(root, index, args, t))
		return false;

	/* a similarity is 1 minus a distance */
	if (t->kind == FACE_LEAST_SIMILARITY)
	{
		t->kind = FACE_MOST_COSINE;
		t->addend += t->factor;
		t->factor = -t->factor;
	}
	return fabs(t->factor) >= 1 / MOST_CONSTANT && fabs(t->factor) <= MOST_CONSTANT &&
		fabs(t->addend) <= MOST_CONSTANT && from_above == (t->factor > 0);
}

/* A bound as float8; NULL if it depends on the row. */
static Node *
bound_as_float8(PlannerInfo *root, IndexOptInfo *index, Node *bound)
{
	if (!is_pseudo_constant_for_index(root, bound, index))
		return NULL;
	if (exprType(bound) == FLOAT4OID)
		return (Node *) makeFuncExpr(F_FLOAT8_FLOAT4, FLOAT8OID, list_make1(bound), InvalidOid, InvalidOid,
									 COERCE_IMPLICIT_CAST);
	return bound;
}

/* Is the comparison's left side the smaller one, or its right side?  False if it is no comparison of numbers. */
static bool
read_comparison(Oid function, bool *left_is_smaller)
{
	switch (function)
	{
		case F_FLOAT8LT:
		case F_FLOAT8LE:
		case F_FLOAT48LT:
		case F_FLOAT48LE:
		case F_FLOAT84LT:
		case F_FLOAT84LE:
			*left_is_smaller = true;
			return true;
		case F_FLOAT8GT:
		case F_FLOAT8GE:
		case F_FLOAT48GT:
		case F_FLOAT48GE:
		case F_FLOAT84GT:
		case F_FLOAT84GE:
			*left_is_smaller = false;
			return true;
		default:
			return false;
	}
}

/* A distance compared with a bound. */
static Expr *
threshold_of_comparison(PlannerInfo *root, IndexOptInfo *index, List *args, bool left_is_smaller, Threshold *t)
{
	for (int i = 0; i < 2; i++)
	{
		const bool	from_above = i == 0 ? left_is_smaller : !left_is_smaller;

		if (!read_distance(root, index, list_nth(args, i), from_above, t))
			continue;
		t->bound = bound_as_float8(root, index, list_nth(args, 1 - i));
		if (t->bound != NULL)
			return face_probe_of_distance(root, index, t->probe, t->kind, t->bound, 1 / t->factor, 0 - t->addend / t->factor);
	}
	return NULL;
}

/* Is it =~ of the index's operator class? */
static bool
is_threshold_operator(const IndexOptInfo *index, Oid operator)
{
	return get_op_opfamily_strategy(operator, index->opfamily[index->nkeycolumns - 1]) == FACE_THRESHOLD_STRATEGY;
}

/*
 * The face_probe of a threshold that needs no reduction: face_match, either way
 * round, or =~.  Where the planner can use it as it is, it does.
 */
static Expr *
threshold_of_match(PlannerInfo *root, IndexOptInfo *index, const RestrictInfo *clause, Oid function, List *args, Threshold *t)
{
	const bool	call = IsA(clause->clause, FuncExpr);

	if (call && (list_length(args) != 3 || function != face_function_beside(index, "face_match", 2, 1) ||
				 !is_pseudo_constant_for_index(root, lthird(args), index)))
		return NULL;
	if (!call && (list_length(args) != 2 || !is_threshold_operator(index, ((OpExpr *) clause->clause)->opno)))
		return NULL;
	if (!column_and_probe(root, index, args, t) ||
		(t->column == linitial(args) && restriction_is_securely_promotable((RestrictInfo *) clause, index->rel)))
		return NULL;
	return call ? face_probe_of_similarity(root, index, t->probe, lthird(args)) : (Expr *) t->probe;
}

Expr *
face_threshold_of(PlannerInfo *root, IndexOptInfo *index, const RestrictInfo *clause)
{
	Threshold	t;
	Oid			function;
	List	   *args = call_arguments((Node *) clause->clause, &function);
	bool		left_is_smaller;
	Expr	   *probe = NULL;
	Oid			operator;

	if (read_comparison(function, &left_is_smaller))
		probe = threshold_of_comparison(root, index, args, left_is_smaller, &t);
	else if (args != NIL)
		probe = threshold_of_match(root, index, clause, function, args, &t);
	if (probe == NULL)
		return NULL;
	operator = face_index_operator(index, exprType((Node *) probe), FACE_MAY_MATCH_STRATEGY);
	if (!OidIsValid(operator))
		return NULL;
	return make_opclause(operator, BOOLOID, false, (Expr *) t.column, probe, InvalidOid, InvalidOid);
}
