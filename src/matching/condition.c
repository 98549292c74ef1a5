/*-------------------------------------------------------------------------
 *
 * condition.c
 *	  face_match(column, probe, t) as an index condition.
 *
 * The access method knows the operator column =~ face_probe(probe, t).  The
 * planner is offered that form for every call whose probe and threshold do not
 * depend on the row.  Objects are found by OID and by the function's own
 * schema, never by search_path: the planner may run under any.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "index/keys.h"
#include "matching/condition.h"

/* OID of face_probe(face_embedding, float8) beside the given function, or invalid. */
static Oid
probe_constructor(Oid beside, Oid embedding_type)
{
	char	   *schema = get_namespace_name(get_func_namespace(beside));
	Oid			types[2] = {embedding_type, FLOAT8OID};

	if (schema == NULL)
		return InvalidOid;
	return LookupFuncName(list_make2(makeString(schema), makeString("face_probe")), 2, types, true);
}

/*
 * The call as a list of index conditions, or NIL.  Exact for the executor: an
 * index scan rechecks the operator, which decides as the function does.
 */
List *
face_match_index_condition(SupportRequestIndexCondition *request)
{
	FuncExpr   *call;
	Node	   *column;
	Node	   *probe;
	Node	   *threshold;
	Oid			embedding_type;
	Oid			constructor;
	Oid			probe_type;
	Oid			operator;
	FuncExpr   *probe_call;

	if (!IsA(request->node, FuncExpr) || request->indexarg != 0)
		return NIL;
	call = (FuncExpr *) request->node;
	column = linitial(call->args);
	probe = lsecond(call->args);
	threshold = lthird(call->args);
	if (!is_pseudo_constant_for_index(request->root, probe, request->index) ||
		!is_pseudo_constant_for_index(request->root, threshold, request->index))
		return NIL;

	embedding_type = request->index->opcintype[request->indexcol];
	constructor = probe_constructor(request->funcid, embedding_type);
	if (!OidIsValid(constructor))
		return NIL;
	probe_type = get_func_rettype(constructor);
	operator = get_opfamily_member(request->opfamily, embedding_type, probe_type, FACE_THRESHOLD_STRATEGY);
	if (!OidIsValid(operator))
		return NIL;

	probe_call = makeFuncExpr(constructor, probe_type, list_make2(probe, threshold),
							  InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	request->lossy = false;
	return list_make1(make_opclause(operator, BOOLOID, false, (Expr *) column,
									(Expr *) eval_const_expressions(request->root, (Node *) probe_call),
									InvalidOid, InvalidOid));
}
