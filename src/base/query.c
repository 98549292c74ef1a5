/*-------------------------------------------------------------------------
 *
 * query.c
 *	  A query of the caller's, read row by row with the caller's own privileges.
 *
 * The caller could have run it directly, so it needs no gate (gate.c). This file is
 * also part of the accuracy module, which has nothing else of base.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/query.h"

/* The schema of the extension's type, quoted.  Within SPI_connect, as all of these. */
char *
face_type_schema(void)
{
	if (SPI_execute("SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e"
					" JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace"
					" WHERE e.extname OPERATOR(pg_catalog.=) 'facematch'", true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"facematch\" is not in this database")));
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* A plan, which need not be a query's: SPI_is_cursor_plan() says. */
SPIPlanPtr
face_prepare_query(const char *sql)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, 0, NULL, CURSOR_OPT_NO_SCROLL);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare_cursor failed: %s", SPI_result_code_string(SPI_result));
	return plan;
}

Portal
face_open_query(SPIPlanPtr plan)
{
	return SPI_cursor_open(NULL, plan, NULL, NULL, true);
}
