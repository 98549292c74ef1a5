/*-------------------------------------------------------------------------
 *
 * validate.c
 *	  Checks operator classes for the access method.
 *
 * Two sorts of class: of a key (equality and an extended hash function) and of
 * the embedding (three orderings and two thresholds, no function).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "compat.h"
#include "index/handler.h"
#include "index/keys.h"

static bool
complain(const char *family, const char *what, const char *which)
{
	ereport(INFO,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("operator family \"%s\" of access method facematch contains %s %s", family, what, which)));
	return false;
}

/* A search operator returns boolean, an ordering operator float8 sorted by its default btree family. */
static bool
check_operator(const char *family, Form_pg_amop op)
{
	bool		ordering = op->amoppurpose == AMOP_ORDER;
	bool		valid;

	if (ordering)
		valid = op->amopstrategy >= FACE_COSINE_STRATEGY && op->amopstrategy <= FACE_INNER_PRODUCT_STRATEGY &&
			opfamily_can_sort_type(op->amopsortfamily, FLOAT8OID);
	else
		valid = op->amopstrategy == FACE_KEY_EQUAL_STRATEGY || op->amopstrategy == FACE_THRESHOLD_STRATEGY ||
			op->amopstrategy == FACE_MAY_MATCH_STRATEGY;
	valid = valid && check_amop_signature(op->amopopr, ordering ? FLOAT8OID : BOOLOID,
										  op->amoplefttype, op->amoprighttype);
	return valid || complain(family, "unsuitable operator", format_operator(op->amopopr));
}

/*
 * A hash function takes the type itself or one stored alike: PostgreSQL hashes
 * dates as integers and bytea as any varlena.
 */
static bool
check_function(const char *family, Form_pg_amproc proc)
{
	Oid		   *types;
	int			ntypes;
	Oid			result = get_func_signature(proc->amproc, &types, &ntypes);

	if (proc->amprocnum == FACE_HASH_PROC &&
		proc->amproclefttype == proc->amprocrighttype &&
		result == INT8OID && ntypes == 2 && types[1] == INT8OID &&
		(types[0] == proc->amproclefttype || types[0] == INTERNALOID ||
		 (get_typlen(types[0]) == get_typlen(proc->amproclefttype) &&
		  get_typbyval(types[0]) == get_typbyval(proc->amproclefttype)) ||
		 get_typtype(types[0]) == TYPTYPE_PSEUDO))
		return true;
	return complain(family, "unsuitable function", format_procedure(proc->amproc));
}

/* Every type compared in a key family needs its hash function. */
static bool
check_groups(const char *family, CatCList *operators, CatCList *functions)
{
	bool		valid = true;
	ListCell   *cell;

	foreach(cell, identify_opfamily_groups(operators, functions))
	{
		OpFamilyOpFuncGroup *group = lfirst(cell);
		bool		key = (group->operatorset & (UINT64CONST(1) << FACE_KEY_EQUAL_STRATEGY)) != 0;
		bool		threshold = (group->operatorset & (UINT64CONST(1) << FACE_THRESHOLD_STRATEGY)) != 0;

		/* the embedding's orderings share the number of a key's equality */
		if (threshold || (group->operatorset & (UINT64CONST(1) << FACE_EUCLIDEAN_STRATEGY)) != 0)
			continue;
		if (key && group->lefttype == group->righttype && group->functionset == 0)
			valid = complain(family, "no hash function for type", format_type_be(group->lefttype));
	}
	return valid;
}

bool
face_validate(Oid opclass)
{
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Oid			family;
	char	   *name;
	CatCList   *operators;
	CatCList   *functions;
	bool		valid = true;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	family = ((Form_pg_opclass) GETSTRUCT(tuple))->opcfamily;
	ReleaseSysCache(tuple);
	tuple = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(family));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator family %u", family);
	name = pstrdup(NameStr(((Form_pg_opfamily) GETSTRUCT(tuple))->opfname));
	ReleaseSysCache(tuple);

	operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(family));
	functions = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(family));
	for (int i = 0; i < operators->n_members; i++)
		valid = check_operator(name, (Form_pg_amop) GETSTRUCT(&operators->members[i]->tuple)) && valid;
	for (int i = 0; i < functions->n_members; i++)
		valid = check_function(name, (Form_pg_amproc) GETSTRUCT(&functions->members[i]->tuple)) && valid;
	valid = check_groups(name, operators, functions) && valid;
	ReleaseCatCacheList(functions);
	ReleaseCatCacheList(operators);
	return valid;
}
