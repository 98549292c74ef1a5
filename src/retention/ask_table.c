/*-------------------------------------------------------------------------
 *
 * ask_table.c
 *	  facematch_internal.ask_table(): what reports and checks ask of a table under
 *	  retention, with the rights of that table's owner.
 *
 * A table of a user's may have columns of the user's types, with casts and
 * operators of the user's making, or have become a view: whoever reads it runs
 * that code.  So nothing reads it with the rights of the extension's owner, for
 * whom reports and checks run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "retention/retained.h"
#include "base/run.h"

PG_FUNCTION_INFO_V1(facematch_ask_table);

/* What comes back is of the types that the caller named, none of them a user's. */
static void
check_columns(TupleDesc got, TupleDesc wanted)
{
	bool		same = got->natts == wanted->natts;

	for (int i = 0; same && i < wanted->natts; i++)
		same = TupleDescAttr(got, i)->atttypid == TupleDescAttr(wanted, i)->atttypid;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("columns of the table are not of the types that retention needs"),
				 errhint("Detach the table with facematch.release() and attach it again with facematch.retain().")));
}

/*
 * ask_table(table regclass, query text, value text): the query's rows.  Its
 * parameters: $1 the moment, $2 text[] keys of held rows, $3 uuid[] held subjects,
 * $4 the value.
 */
Datum
facematch_ask_table(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			types[] = {TIMESTAMPTZOID, TEXTARRAYOID, UUIDARRAYOID, TEXTOID};
	Datum		values[lengthof(types)];
	Oid			table;
	Oid			owner;
	FaceKept	kept;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a table and a query are needed")));
	table = PG_GETARG_OID(0);
	owner = face_owner(table);
	if (!has_privs_of_role(GetUserId(), owner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(table));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	kept = face_kept_by_holds(table);
	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[1] = kept.rows;
	values[2] = kept.subjects;
	/* A parameter is never NULL: there is a value, or the query does not ask for it. */
	values[3] = PG_ARGISNULL(2) ? CStringGetTextDatum("") : PG_GETARG_DATUM(2);
	SPI_connect();
	(void) face_run(text_to_cstring(PG_GETARG_TEXT_PP(1)), lengthof(types), types, values, owner);
	if (SPI_tuptable != NULL)
	{
		check_columns(SPI_tuptable->tupdesc, result->setDesc);
		for (uint64 i = 0; i < SPI_processed; i++)
			tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	}
	SPI_finish();
	return (Datum) 0;
}
