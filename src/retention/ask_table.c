/*-------------------------------------------------------------------------
 *
 * ask_table.c
 *	  facematch_internal.ask_table(): queries of reports and checks about a table
 *	  under retention, run with the privileges of that table's owner; and
 *	  change_table().
 *
 * A user's table may have columns of the user's types, with the user's casts and
 * operators, or have become a view, and reading it runs that code. So nothing reads
 * it with the privileges of the extension's owner, as whom reports and checks run,
 * nor for longer than one table may take.
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

#include "base/attempt.h"
#include "base/kin.h"
#include "base/refusal.h"
#include "base/run.h"
#include "retention/gone.h"
#include "retention/retained.h"

/* How a query names the table that it asks. */
#define THE_TABLE	"@table"

PG_FUNCTION_INFO_V1(facematch_ask_table);
PG_FUNCTION_INFO_V1(facematch_change_table);

/* What comes back is of the types that the caller named, none of them a user's. */
static void
check_columns(TupleDesc got, TupleDesc wanted)
{
	bool		same = got->natts == wanted->natts;

	for (int i = 0; same && i < wanted->natts; i++)
		same = TupleDescAttr(got, i)->atttypid == TupleDescAttr(wanted, i)->atttypid;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH), face_refusal("retained_column_type"),
				 errmsg("columns of the table are not of the types that retention needs"),
				 errhint("Detach the table with facematch.release() and attach it again with facematch.retain().")));
}

/* A query and where its rows go. */
typedef struct Question
{
	Oid			table;
	const char *query;
	bool		of_opt_outs;
	Datum		now;
	Datum		value;
	ReturnSetInfo *result;
} Question;

/* The query with the table's name for @table, but not in quotes, where it is part of a value or of another name. */
static char *
name_table(const char *query, Oid relid)
{
	const char *name = face_qualified_name(relid);
	StringInfoData named;
	char		quote = '\0';

	initStringInfo(&named);
	for (const char *c = query; *c != '\0'; c++)
	{
		/* a doubled quote ends and begins again */
		if (quote == '\0' ? *c == '\'' || *c == '"' : *c == quote)
			quote = quote == '\0' ? *c : '\0';
		if (quote == '\0' && strncmp(c, THE_TABLE, strlen(THE_TABLE)) == 0)
		{
			appendStringInfoString(&named, name);
			c += strlen(THE_TABLE) - 1;
		}
		else
			appendStringInfoChar(&named, *c);
	}
	return named.data;
}

/* Asks a table, or a partition that statements about the table pass over. */
static void
ask_one(Question *question, Oid relid)
{
	FaceKept	kept = face_kept_by_holds(relid);
	Oid			types[] = {TIMESTAMPTZOID, TEXTARRAYOID, UUIDARRAYOID, TEXTOID, REGCLASSOID};
	Datum		values[] = {question->now, kept.rows, kept.subjects, question->value, ObjectIdGetDatum(relid)};
	char	   *query = name_table(question->query, relid);

	SPI_connect();
	if (question->of_opt_outs)
		(void) face_run_deletion("opt_out", question->table, relid, query, lengthof(types), types, values);
	else
		(void) face_run_on(relid, query, lengthof(types), types, values);
	if (SPI_tuptable != NULL)
	{
		check_columns(SPI_tuptable->tupdesc, question->result->setDesc);
		for (uint64 i = 0; i < SPI_processed; i++)
			tuplestore_puttuple(question->result->setResult, SPI_tuptable->vals[i]);
	}
	SPI_finish();
	face_write_gone(question->table);
}

static void
ask(void *state)
{
	Question   *question = state;
	ListCell   *cell;

	foreach(cell, face_with_half_detached(question->table))
		ask_one(question, lfirst_oid(cell));
}

/* ask_table(table regclass, query text, value text, limited boolean, of_opt_outs boolean): the query's rows */
Datum
facematch_ask_table(PG_FUNCTION_ARGS)
{
	Question	question = {.result = (ReturnSetInfo *) fcinfo->resultinfo};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), face_refusal("question_is_given"),
				 errmsg("a table and a query are needed")));
	question.table = PG_GETARG_OID(0);
	question.query = text_to_cstring(PG_GETARG_TEXT_PP(1));
	question.of_opt_outs = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
	if (!has_privs_of_role(GetUserId(), face_owner(question.table)))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(question.table));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	question.now = TimestampTzGetDatum(GetCurrentTimestamp());
	/* A parameter is never NULL: there is a value, or the query does not ask for it. */
	question.value = PG_ARGISNULL(2) ? CStringGetTextDatum("") : PG_GETARG_DATUM(2);
	if (face_is_own(question.table))
		ask(&question);
	else
		face_limited(question.table, !PG_ARGISNULL(3) && PG_GETARG_BOOL(3) ? face_table_until(1) : DT_NOEND, ask, &question);
	return (Datum) 0;
}

/* change_table(table regclass, statement text): what is made on a user's table, or dropped, with the caller's privileges */
Datum
facematch_change_table(PG_FUNCTION_ARGS)
{
	if (!has_privs_of_role(GetUserId(), face_owner(PG_GETARG_OID(0))))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(PG_GETARG_OID(0)));
	SPI_connect();
	face_run_ddl(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1)));
	SPI_finish();
	PG_RETURN_VOID();
}
