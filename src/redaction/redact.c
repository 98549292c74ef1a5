/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  No template and no image in the server's log.
 *
 * Whatever is about to be written there, by a failing statement, log_statement,
 * log_min_duration_statement, auto_explain or a function that raises it, goes
 * through emit_log_hook, whatever the format of the log.  Stretches that read
 * as a template or an image (stretch.c) are replaced in its message, detail,
 * hint, context and internal query, and in the statement that is logged beside
 * it.  A client that is sent the same message reads the same text.
 *
 * Utility statements of clients (CREATE TABLE AS, EXPLAIN, DECLARE CURSOR, DO) are
 * stored by pg_stat_statements as they were written, where it takes the
 * constants out of others.  So their text is replaced before it is stored, as
 * long as it was, for the places in it that others have noted.  And what
 * pg_stat_activity shows of a running statement is replaced when it has been
 * parsed.
 *
 * This needs the library to be loaded before the statement: by
 * shared_preload_libraries or session_preload_libraries, behind
 * pg_stat_statements, whose hook it then comes before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "parser/analyze.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "redaction/redact.h"

PG_FUNCTION_INFO_V1(facematch_redacted);

static bool redact_log = true;
static emit_log_hook_type next_emit_log = NULL;
static post_parse_analyze_hook_type next_post_parse_analyze = NULL;
static ProcessUtility_hook_type next_process_utility = NULL;

/* A copy of a text without templates; NULL: there is none to take out, or no memory for it. */
static char *
redacted(const char *text, MemoryContext memory)
{
	FaceStretch found;
	char	   *copy;

	if (text == NULL || !face_find_stretch(text, &found))
		return NULL;
	copy = MemoryContextAllocExtended(memory, strlen(text) + 1, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
	if (copy != NULL)
		face_redact(text, copy);
	return copy;
}

/* Within error handling nothing may fail: without memory, the text ends where the template begins. */
static void
redact_field(char **field)
{
	char	   *copy = redacted(*field, CurrentMemoryContext);
	FaceStretch found;

	if (copy != NULL)
		*field = copy;
	else if (*field != NULL && face_find_stretch(*field, &found))
		(*field)[found.from - *field] = '\0';
}

static void
redact_error(ErrorData *edata)
{
	char	   *internal = edata->internalquery;

	if (redact_log)
	{
		redact_field(&edata->message);
		redact_field(&edata->detail);
		redact_field(&edata->detail_log);
		redact_field(&edata->hint);
		redact_field(&edata->context);
		redact_field(&edata->internalquery);
		if (edata->internalquery != internal)
			edata->internalpos = 0; /* a place in the text as it was */
		if (!edata->hide_stmt && debug_query_string != NULL)
		{
			/* It lives as long as the statement it stands for. */
			char	   *copy = MessageContext == NULL ? NULL : redacted(debug_query_string, MessageContext);
			FaceStretch found;

			if (copy != NULL)
				debug_query_string = copy;
			else if (face_find_stretch(debug_query_string, &found))
				edata->hide_stmt = true;
		}
	}
	if (next_emit_log != NULL)
		next_emit_log(edata);
}

static void
hide_activity(ParseState *pstate, Query *query, FACE_JUMBLE *jstate)
{
	if (next_post_parse_analyze != NULL)
		next_post_parse_analyze(pstate, query, jstate);
	/* Only what the client sent, which is what shows there, and as much of it. */
	if (redact_log && pstate->p_sourcetext != NULL && pstate->p_sourcetext == debug_query_string)
	{
		char	   *begin = pnstrdup(pstate->p_sourcetext, pgstat_track_activity_query_size);
		char	   *shown = redacted(begin, CurrentMemoryContext);

		if (shown != NULL)
		{
			pgstat_report_activity(STATE_RUNNING, shown);
			pfree(shown);
		}
		pfree(begin);
	}
}

/* Whether a statement within a text, which may be of many, has something to take out. */
static bool
to_be_redacted(const char *text, const PlannedStmt *statement)
{
	const char *begin = text + Max(statement->stmt_location, 0);
	char	   *alone = statement->stmt_len > 0 ? pnstrdup(begin, statement->stmt_len) : NULL;
	FaceStretch found;
	bool		any = face_find_stretch(alone == NULL ? begin : alone, &found);

	if (alone != NULL)
		pfree(alone);
	return any;
}

/* The same text with blanks where the stretches were longer than what stands for them. */
static const char *
redacted_in_place(const char *text)
{
	size_t		length = strlen(text);
	char	   *copy = palloc_extended(length + 1, MCXT_ALLOC_HUGE);
	FaceSearch	search;
	FaceStretch found;

	memcpy(copy, text, length + 1);
	face_begin_search(&search, text);
	while (face_find_next(&search, &found))
	{
		char	   *into = copy + (found.from - text);

		memset(into, ' ', found.to - found.from);
		memset(into, '.', Min(3, found.to - found.from));
	}
	return copy;
}

static void
hide_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree, ProcessUtilityContext context,
			 ParamListInfo params, QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	/* What a client sent: an extension's script has a thousand statements, and no template. */
	if (redact_log && context == PROCESS_UTILITY_TOPLEVEL && to_be_redacted(queryString, pstmt))
		queryString = redacted_in_place(queryString);
	if (next_process_utility != NULL)
		next_process_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
}

void
face_redact_init(void)
{
	DefineCustomBoolVariable("facematch.redact_log",
							 "Takes templates and images out of what is written to the server's log.",
							 "Also out of the statements that pg_stat_statements and pg_stat_activity show.",
							 &redact_log,
							 true,
							 PGC_SUSET,
							 0,
							 NULL,
							 NULL,
							 NULL);
	next_emit_log = emit_log_hook;
	emit_log_hook = redact_error;
	next_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = hide_activity;
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = hide_utility;
}

/* facematch_internal.redacted(text): what would stand in the log */
Datum
facematch_redacted(PG_FUNCTION_ARGS)
{
	char	   *value = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *copy = redacted(value, CurrentMemoryContext);

	PG_RETURN_TEXT_P(cstring_to_text(copy == NULL ? value : copy));
}
