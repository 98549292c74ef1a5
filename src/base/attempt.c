/*-------------------------------------------------------------------------
 *
 * attempt.c
 *	  Work on a user's table that may refuse, or not end.
 *
 * Purges and opt-outs run the triggers of users' tables.  What one of them
 * refuses, or does not get done in its time, is told and undone, and others are
 * worked on all the same.  Only the caller's own cancel ends everything: which
 * SQLSTATE a trigger raises does not matter, for it may raise any.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "base/attempt.h"
#include "base/run.h"

/* Some 20 million rows (docs/retention.md); what is left goes with the next purge. */
#define PURGE_TABLE_MINUTES		10
/* One subject's rows, found by a sequential scan if need be. */
#define OPT_OUT_TABLE_MINUTES	1
/* A trigger that catches the cancel gets another. */
#define CANCEL_AGAIN_MS			1000
/* Deadlocks are nobody's refusal: try again, but not for ever. */
#define DEADLOCK_TRIES			3

static int	purge_table_timeout = PURGE_TABLE_MINUTES * 60 * 1000;
static int	opt_out_table_timeout = OPT_OUT_TABLE_MINUTES * 60 * 1000;

static TimeoutId over = MAX_TIMEOUTS;
static volatile sig_atomic_t is_over = false;

/* In a signal handler: as PostgreSQL cancels a statement that takes too long. */
static void
cancel_attempt(void)
{
	is_over = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/* An opt-out that a trigger of a purged table makes goes by the purge's clock: returns whether there is one to stop. */
static bool
start_clock(TimestampTz until)
{
	if (over != MAX_TIMEOUTS && get_timeout_active(over))
		return false;
	is_over = false;
	if (until == DT_NOEND)
		return false;
	if (over == MAX_TIMEOUTS)
		over = RegisterTimeout(USER_TIMEOUT, cancel_attempt);
	enable_timeout_every(over, Max(until, GetCurrentTimestamp()), CANCEL_AGAIN_MS);
	return true;
}

static void
stop_clock(bool started)
{
	if (!started)
		return;
	disable_timeout(over, false);
	if (is_over)
		QueryCancelPending = false;
}

/* Whether the server itself has cancelled the statement, and not a trigger's RAISE. */
static bool
is_cancel(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname != NULL && strcmp(error->funcname, "ProcessInterrupts") == 0;
}

static bool
is_deadlock(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED && error->funcname != NULL && strcmp(error->funcname, "DeadLockReport") == 0;
}

/*
 * What ends everything: the caller's cancel or statement_timeout, and in a
 * transaction with one snapshot what asks for it again, or an opt-out would
 * leave a template that was staged beside it.
 */
static bool
ends_all(const ErrorData *error, bool time_was_over, bool had_statement_timeout)
{
	if (had_statement_timeout && !get_timeout_active(STATEMENT_TIMEOUT))
		return true;
	if (error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE)
		return IsolationUsesXactSnapshot();
	return is_cancel(error) && !time_was_over;
}

/* NULL: done.  Else what it failed with, undone. */
static ErrorData *
try_once(TimestampTz until, void (*work) (void *state), void *state)
{
	MemoryContext memory = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	bool		statement_timeout = get_timeout_active(STATEMENT_TIMEOUT);
	bool		started;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(memory);
	started = start_clock(until);
	PG_TRY();
	{
		work(state);
		stop_clock(started);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		stop_clock(started);
		MemoryContextSwitchTo(memory);
		error = CopyErrorData();
		FlushErrorState();
		/* In any case: an error that left the subtransaction open would leave the session in it. */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(memory);
		CurrentResourceOwner = owner;
		if (ends_all(error, is_over, statement_timeout))
			ReThrowError(error);
		if (is_over && is_cancel(error))
			error->message = "its triggers, or locks on it, have taken longer than it may";
	}
	PG_END_TRY();
	MemoryContextSwitchTo(memory);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * Works on one table in a transaction inside this one, until a moment at most (DT_NOEND: for as long as it takes).
 * Returns false after a warning.  A table that is gone is done with.
 */
bool
face_attempt(Oid table, const char *what, TimestampTz until, void (*work) (void *state), void *state)
{
	ErrorData  *error = NULL;
	char	   *name;

	if (!face_exists(table))
		return true;
	name = face_qualified_name(table);
	for (int i = 0; i < DEADLOCK_TRIES && (error == NULL || is_deadlock(error)); i++)
	{
		error = try_once(until, work, state);
		if (error == NULL)
			return true;
	}
	/* What its owner has dropped meanwhile keeps nothing any more. */
	if (!face_exists(table))
		return true;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("%s cannot be %s: %s", name, what, error->message),
			 error->detail == NULL ? 0 : errdetail_internal("%s", error->detail)));
	return false;
}

/*--------------------------------------------------------- how long */

static TimestampTz
from_now(int milliseconds)
{
	return milliseconds == 0 ? DT_NOEND : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
}

/* Each table gets its part of what statement_timeout leaves. */
static TimestampTz
part_of_time(int milliseconds, int tables_left)
{
	TimestampTz until = from_now(milliseconds);

	if (get_timeout_active(STATEMENT_TIMEOUT))
	{
		TimestampTz now = GetCurrentTimestamp();
		TimestampTz part = now + (get_timeout_finish_time(STATEMENT_TIMEOUT) - now) / (tables_left + 1);

		until = Min(until, part);
	}
	return until;
}

/* When a purge goes on to the next table. */
TimestampTz
face_purge_table_until(int tables_left)
{
	return part_of_time(purge_table_timeout, tables_left);
}

/* When an opt-out does. */
TimestampTz
face_opt_out_table_until(int tables_left)
{
	return part_of_time(opt_out_table_timeout, tables_left);
}

/* Settings by which a trigger could end the session with its error, instead of only what it is asked for. */
static const char *const session_ending[] = {"exit_on_error", "transaction_timeout"};

void
face_attempt_init(void)
{
	/* What runs with a table owner's rights cannot change them; the second came with 17. */
	for (int i = 0; i < lengthof(session_ending); i++)
	{
		struct config_generic *setting = face_find_setting(session_ending[i]);

		if (setting != NULL)
			setting->flags |= GUC_NOT_WHILE_SEC_REST;
	}
	DefineCustomIntVariable("facematch.purge_table_timeout",
							"How long a purge deletes in one table of a user's before it goes on to the next.",
							"What is committed by then stays; the rest is left to the next purge. Less if statement_timeout leaves less. 0: as long as that, or as it takes.",
							&purge_table_timeout,
							PURGE_TABLE_MINUTES * 60 * 1000,
							0, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL,
							NULL,
							NULL);
	DefineCustomIntVariable("facematch.opt_out_table_timeout",
							"How long an opt-out waits for one table of a user's before it goes on without.",
							"Less if statement_timeout leaves less. 0: as long as that, or as it takes.",
							&opt_out_table_timeout,
							OPT_OUT_TABLE_MINUTES * 60 * 1000,
							0, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL,
							NULL,
							NULL);
}
