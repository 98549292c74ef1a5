/*-------------------------------------------------------------------------
 *
 * condition.c
 *	  Thresholds as index conditions.
 *
 * The access method knows the operator column =~ face_probe(probe, t).  The
 * planner is offered that form for every face_match(column, probe, t) whose
 * probe and threshold do not depend on the row.  Objects are found by OID and
 * by the operator class's own schema, never by search_path: the planner may run
 * under any.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "index/condition.h"
#include "index/keys.h"

#define MOST_ARGUMENTS 5

Oid
face_index_type(const IndexOptInfo *index)
{
	return index->opcintype[index->nkeycolumns - 1];
}

Oid
face_index_operator(const IndexOptInfo *index, Oid right_type, int strategy)
{
	return get_opfamily_member(index->opfamily[index->nkeycolumns - 1], face_index_type(index), right_type, strategy);
}

static Oid
function_beside(const IndexOptInfo *index, const char *name, int nargs, const Oid *types)
{
	Oid			distance = get_opcode(face_index_operator(index, face_index_type(index), FACE_COSINE_STRATEGY));
	char	   *schema = OidIsValid(distance) ? get_namespace_name(get_func_namespace(distance)) : NULL;

	if (schema == NULL)
		return InvalidOid;
	return LookupFuncName(list_make2(makeString(schema), makeString(pstrdup(name))), nargs, types, true);
}

Oid
face_function_beside(const IndexOptInfo *index, const char *name, int ntemplates, int nnumbers)
{
	Oid			types[MOST_ARGUMENTS];

	for (int i = 0; i < ntemplates + nnumbers; i++)
		types[i] = i < ntemplates ? face_index_type(index) : FLOAT8OID;
	return function_beside(index, name, ntemplates + nnumbers, types);
}

/* The call of a constructor of face_probe, its result if that is known. */
static Expr *
probe_call(PlannerInfo *root, Oid constructor, List *args)
{
	FuncExpr   *call;

	if (!OidIsValid(constructor))
		return NULL;
	call = makeFuncExpr(constructor, get_func_rettype(constructor), args, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	return (Expr *) eval_const_expressions(root, (Node *) call);
}

Expr *
face_probe_of_similarity(PlannerInfo *root, const IndexOptInfo *index, Node *probe, Node *min_similarity)
{
	return probe_call(root, face_function_beside(index, "face_probe", 1, 1), list_make2(probe, min_similarity));
}

static Node *
float8_constant(double value)
{
	return (Node *) makeConst(FLOAT8OID, -1, InvalidOid, sizeof(float8), Float8GetDatum(value), false, FLOAT8PASSBYVAL);
}

Expr *
face_probe_of_distance(PlannerInfo *root, const IndexOptInfo *index, Node *probe, FaceProbeKind kind,
					   Node *bound, double factor, double addend)
{
	Oid			types[] = {face_index_type(index), INT2OID, FLOAT8OID, FLOAT8OID, FLOAT8OID};
	Node	   *kind_constant = (Node *) makeConst(INT2OID, -1, InvalidOid, sizeof(int16), Int16GetDatum(kind), false, true);

	return probe_call(root, function_beside(index, "face_probe_within", lengthof(types), types),
					  list_make5(probe, kind_constant, bound, float8_constant(factor), float8_constant(addend)));
}

/*
 * The call as a list of index conditions, or NIL.  Exact for the executor: an
 * index scan rechecks the operator, which decides as the function does.
 */
List *
face_match_index_condition(SupportRequestIndexCondition *request)
{
	List	   *args;
	Expr	   *probe;
	Oid			operator;

	if (!IsA(request->node, FuncExpr) || request->indexarg != 0)
		return NIL;
	args = ((FuncExpr *) request->node)->args;
	if (!is_pseudo_constant_for_index(request->root, lsecond(args), request->index) ||
		!is_pseudo_constant_for_index(request->root, lthird(args), request->index))
		return NIL;
	probe = face_probe_of_similarity(request->root, request->index, lsecond(args), lthird(args));
	if (probe == NULL)
		return NIL;
	operator = face_index_operator(request->index, exprType((Node *) probe), FACE_THRESHOLD_STRATEGY);
	if (!OidIsValid(operator))
		return NIL;
	request->lossy = false;
	return list_make1(make_opclause(operator, BOOLOID, false, linitial(args), probe, InvalidOid, InvalidOid));
}
