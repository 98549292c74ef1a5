/*-------------------------------------------------------------------------
 *
 * server_log.c
 *	  No template and no image in the server's log.
 *
 * Every message that a failing statement, log_statement,
 * log_min_duration_statement, auto_explain or a function writes there passes
 * emit_log_hook, in every format of the log: its message, detail, hint, context
 * and internal query, and the statement that is logged beside it. A client that
 * is sent the same message reads the same text.
 *
 * pg_stat_statements takes the constants out of statements, but stores comments
 * and names as they were written, and utility statements of clients (CREATE TABLE
 * AS, EXPLAIN, DECLARE CURSOR, DO) whole.  So it is given a text with blanks in
 * place of what is taken out: the places that it has noted stay right.  And what
 * pg_stat_activity shows of a running statement is replaced when it has been
 * parsed.
 *
 * This needs the library to be loaded before the statement: by
 * shared_preload_libraries or session_preload_libraries, behind
 * pg_stat_statements, whose hooks it then comes before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "parser/analyze.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "redaction/redact.h"
#include "redaction/server_log.h"

static bool redact_log = true;
static emit_log_hook_type next_emit_log = NULL;
static post_parse_analyze_hook_type next_post_parse_analyze = NULL;
static ProcessUtility_hook_type next_process_utility = NULL;

/* The last copy that replaced the client's statement, and the original; only for comparison. */
static const char *shown_statement = NULL;
static const char *own_statement = NULL;

/* A copy of a text without templates; NULL: there is none to take out, or no memory for it. */
static char *
redacted(const char *text, size_t length, FaceText kind, FaceForm form, MemoryContext memory)
{
	char	   *copy;

	if (!face_redact(text, length, kind, FACE_ASK, NULL))
		return NULL;
	copy = MemoryContextAllocExtended(memory, length + 1, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
	if (copy != NULL)
		(void) face_redact(text, length, kind, form, copy);
	return copy;
}

/* In place, for within error handling nothing may fail.  Whether there was something to take out. */
static bool
redact_field(char *field, FaceText kind)
{
	return field != NULL && face_redact(field, strlen(field), kind, FACE_SHORTEN, field);
}

/*
 * Whether a message is a statement with a few words before it, in any language:
 * "duration: %s ms statement: %s". PostgreSQL writes such ones without the
 * statement beside them, and their detail is the statement's parameters.
 */
static bool
is_statement(const ErrorData *edata)
{
	const char *form = edata->message_id;
	size_t		length = form == NULL ? 0 : strlen(form);

	return edata->hide_stmt && length >= 4 && strcmp(form + length - 4, ": %s") == 0;
}

/*
 * The statement that is logged beside a message.  A copy lives as long as the
 * statement it stands for: in a worker, as long as that.
 */
static void
redact_own_statement(ErrorData *edata)
{
	size_t		length = strlen(debug_query_string);

	if (face_redact(debug_query_string, length, FACE_STATEMENT, FACE_ASK, NULL))
	{
		char	   *copy = redacted(debug_query_string, length, FACE_STATEMENT, FACE_SHORTEN, MessageContext == NULL ? TopMemoryContext : MessageContext);

		if (copy == NULL)
			edata->hide_stmt = true;
		else
		{
			own_statement = debug_query_string;
			debug_query_string = shown_statement = copy;
		}
	}
}

/* The time that such a message begins with is none of the statement's constants: "duration: %s ms  statement: %s". */
static void
redact_message(const ErrorData *edata, FaceText kind)
{
	static const char digits[] = "0123456789.";
	char	   *text = edata->message;

	if (kind == FACE_STATEMENT && text != NULL && strncmp(edata->message_id, "duration: %s", 12) == 0)
	{
		text += strcspn(text, digits);
		text += strspn(text, digits);
	}
	(void) redact_field(text, kind);
}

static void
redact_error(ErrorData *edata)
{
	FaceText	kind = is_statement(edata) ? FACE_STATEMENT : FACE_ANY_TEXT;

	if (redact_log)
	{
		redact_message(edata, kind);
		(void) redact_field(edata->detail, kind);
		(void) redact_field(edata->detail_log, kind);
		(void) redact_field(edata->hint, FACE_ANY_TEXT);
		(void) redact_field(edata->context, FACE_ANY_TEXT);
		if (redact_field(edata->internalquery, FACE_STATEMENT))
			edata->internalpos = 0; /* a place in the text as it was */
		if (!edata->hide_stmt && debug_query_string != NULL)
			redact_own_statement(edata);
	}
	if (next_emit_log != NULL)
		next_emit_log(edata);
}

/* A text with one of its statements blanked, which may be one of many; the same text, if there is nothing to take out. */
static const char *
blanked(const char *text, int location, int length, FaceText kind)
{
	size_t		from = Max(location, 0);
	size_t		size = length > 0 ? (size_t) length : strlen(text + from);
	char	   *copy;

	if (!face_redact(text + from, size, kind, FACE_ASK, NULL))
		return text;
	copy = MemoryContextAllocHuge(CurrentMemoryContext, from + strlen(text + from) + 1);
	strcpy(copy, text);
	(void) face_redact(text + from, size, kind, FACE_BLANK, copy + from);
	copy[from + size] = text[from + size];
	return copy;
}

static void
hide_activity(const char *text)
{
	size_t		length = strnlen(text, pgstat_track_activity_query_size);
	FaceText	kind = text[length] == '\0' ? FACE_STATEMENT : FACE_STATEMENT_CUT;
	char	   *shown = redacted(text, length, kind, FACE_SHORTEN, CurrentMemoryContext);

	if (shown != NULL)
	{
		pgstat_report_activity(STATE_RUNNING, shown);
		pfree(shown);
	}
}

/* Whether a text is what the client sent, though a message about it may have come before. */
static bool
is_own_statement(const char *text)
{
	return text != NULL && (text == debug_query_string || (text == own_statement && debug_query_string == shown_statement));
}

static void
hide_parsed(ParseState *pstate, Query *query, FACE_JUMBLE *jstate)
{
	const char *text = pstate->p_sourcetext;
	/* What the client sent: that shows in pg_stat_activity, and statements within functions are noted by few. */
	bool		hide = redact_log && is_own_statement(text);

	if (next_post_parse_analyze != NULL)
	{
		if (hide)
			pstate->p_sourcetext = blanked(text, query->stmt_location, query->stmt_len, FACE_NAMES_OF_STATEMENT);
		next_post_parse_analyze(pstate, query, jstate);
		pstate->p_sourcetext = text;
	}
	if (hide)
		hide_activity(text);
}

static void
hide_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree, ProcessUtilityContext context,
			 ParamListInfo params, QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	/* What a client sent: an extension's script has a thousand statements, and no template. */
	if (redact_log && context == PROCESS_UTILITY_TOPLEVEL)
		queryString = blanked(queryString, pstmt->stmt_location, pstmt->stmt_len, FACE_STATEMENT);
	if (next_process_utility != NULL)
		next_process_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
}

void
face_server_log_init(void)
{
	DefineCustomBoolVariable("facematch.redact_log",
							 "Takes templates and images out of what is written to the server's log.",
							 "Also out of the statements that pg_stat_statements and pg_stat_activity show.",
							 &redact_log,
							 true,
							 PGC_SUSET,
							 0,
							 NULL, NULL, NULL);
	next_emit_log = emit_log_hook;
	emit_log_hook = redact_error;
	next_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = hide_parsed;
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = hide_utility;
}
