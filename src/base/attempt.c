/*-------------------------------------------------------------------------
 *
 * attempt.c
 *	  The gate's time limits and errors: work on a user's table that may refuse,
 *	  or not end.
 *
 * If one table refuses, or takes too long, its work is undone and reported, and the
 * other tables are processed all the same. Only the caller's own cancel ends
 * everything. It is recognised by its signal, not by its error: a trigger may raise
 * any SQLSTATE, may catch the cancel, and the cancel of the time limit may come
 * first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "base/attempt.h"
#include "base/gate.h"
#include "base/kin.h"
#include "base/quarantine.h"
#include "base/run.h"

/* Some 20 million rows (docs/retention.md); what is left goes with the next purge. */
#define PURGE_TABLE_MINUTES		10
/* One subject's rows, found by a sequential scan if need be. */
#define TABLE_MINUTES	1
/* A trigger that catches the cancel gets another, and at last the end of its session. */
#define CANCEL_AGAIN_MS			50
#define CANCELS_UNTIL_END		100
/* Deadlocks are nobody's refusal: try again, but not for ever. */
#define DEADLOCK_TRIES			3

static int	purge_table_timeout = PURGE_TABLE_MINUTES * 60 * 1000;
static int	table_timeout = TABLE_MINUTES * 60 * 1000;

static TimeoutId over = MAX_TIMEOUTS;
static volatile sig_atomic_t is_over = false;
static volatile sig_atomic_t cancels = 0;
static Oid	timed_table = InvalidOid;	/* whose time it is */

static int	attempts = 0;		/* that are under way, one inside another */
static volatile sig_atomic_t cancel_asked = false;
static struct sigaction next_on_cancel; /* PostgreSQL's own; since 19 it takes who sent the signal */

/* In a signal handler, before PostgreSQL's own.  The session's lock_timeout and statement_timeout come as the same signal. */
static void
note_cancel(int signo, siginfo_t *info, void *context)
{
	if (!get_timeout_indicator(LOCK_TIMEOUT, false) && !get_timeout_indicator(STATEMENT_TIMEOUT, false))
		cancel_asked = true;
	if (next_on_cancel.sa_flags & SA_SIGINFO)
		next_on_cancel.sa_sigaction(signo, info, context);
	else
		next_on_cancel.sa_handler(signo);
}

/* Once in a backend: PostgreSQL sets its handlers when one starts. */
static void
watch_for_cancel(void)
{
	static bool watching = false;
	struct sigaction action;

	if (watching || sigaction(SIGINT, NULL, &next_on_cancel) != 0 ||
		next_on_cancel.sa_handler == SIG_DFL || next_on_cancel.sa_handler == SIG_IGN)
		return;
	action = next_on_cancel;
	action.sa_sigaction = note_cancel;
	action.sa_flags |= SA_SIGINFO;
	watching = sigaction(SIGINT, &action, NULL) == 0;
}

/* In a signal handler: as PostgreSQL cancels a statement that takes too long. */
static void
cancel_attempt(void)
{
	is_over = true;
	cancels++;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/* An opt-out that a trigger of a purged table makes goes by the purge's clock: returns whether there is one to stop. */
static bool
start_clock(Oid whole, TimestampTz until)
{
	if (over != MAX_TIMEOUTS && get_timeout_active(over))
		return false;
	is_over = false;
	cancels = 0;
	timed_table = whole;
	if (until == DT_NOEND)
		return false;
	if (over == MAX_TIMEOUTS)
		over = RegisterTimeout(USER_TIMEOUT, cancel_attempt);
	enable_timeout_every(over, Max(until, GetCurrentTimestamp()), CANCEL_AGAIN_MS);
	return true;
}

/*
 * Code that catches every cancel begins a subtransaction each time, to catch it in.
 * PostgreSQL lets nothing but the end of the session keep it from that.
 */
static void
end_unstoppable(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid, void *arg)
{
	if (event != SUBXACT_EVENT_START_SUB || cancels < CANCELS_UNTIL_END || !get_timeout_active(over))
		return;
	disable_timeout(over, false);
	QueryCancelPending = false;
	face_quarantine(timed_table);
	ereport(FATAL,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("code of %s has taken longer than it may and cannot be stopped", face_qualified_name(timed_table)),
			 errdetail("No code of the table runs any more. Its rows stay as they are, as in a table that refuses."),
			 errhint("Try again. facematch.health_check() names the table.")));
}

static void
stop_clock(bool started)
{
	if (!started)
		return;
	disable_timeout(over, false);
	/* The limit's cancel has done its work; the caller's has not. */
	if (is_over && !cancel_asked)
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

/* The caller's cancel, or the end of the statement's own time, whatever a trigger has made of it. */
static bool
caller_ends_it(bool had_statement_timeout)
{
	return cancel_asked || (had_statement_timeout && !get_timeout_active(STATEMENT_TIMEOUT));
}

static void
raise_callers_end(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 cancel_asked ? errmsg("canceling statement due to user request") : errmsg("canceling statement due to statement timeout")));
}

/*
 * What ends everything beside that: a cancel that came before the clock was started, and in a
 * transaction with one snapshot what asks for it again, or an opt-out would leave a template
 * that was staged beside it.
 */
static bool
ends_all(const ErrorData *error, bool time_was_over)
{
	if (error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE)
		return IsolationUsesXactSnapshot();
	return is_cancel(error) && !time_was_over;
}

/* NULL: done.  Else what it failed with, undone. */
static ErrorData *
try_once(Oid table, TimestampTz until, void (*work) (void *state), void *state)
{
	MemoryContext memory = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	bool		statement_timeout = get_timeout_active(STATEMENT_TIMEOUT);
	int			locks = face_locks_held();
	/* Of each of its partitions the same code would come next.  Looked up here, where an error leaves no subtransaction open. */
	Oid			whole = llast_oid(face_line(table));
	bool		started;
	ErrorData  *volatile error = NULL;

	watch_for_cancel();
	if (attempts == 0)
		cancel_asked = false;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(memory);
	attempts++;
	started = start_clock(whole, until);
	PG_TRY();
	{
		work(state);
		stop_clock(started);
		face_check_locks_held(locks);
		if (caller_ends_it(statement_timeout))
			raise_callers_end();
		ReleaseCurrentSubTransaction();
		attempts--;
	}
	PG_CATCH();
	{
		attempts--;
		stop_clock(started);
		MemoryContextSwitchTo(memory);
		error = CopyErrorData();
		FlushErrorState();
		/* In any case: an error that left the subtransaction open would leave the session in it. */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(memory);
		CurrentResourceOwner = owner;
		if (caller_ends_it(statement_timeout) && !is_cancel(error))
			raise_callers_end();
		if (caller_ends_it(statement_timeout) || ends_all(error, is_over))
			ReThrowError(error);
		if (is_over && is_cancel(error))
		{
			error->sqlerrcode = ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
			error->message = "its code, or locks on it, have taken longer than it may";
		}
	}
	PG_END_TRY();
	MemoryContextSwitchTo(memory);
	CurrentResourceOwner = owner;
	return error;
}

/* Deadlocks are nobody's refusal: NULL, or what the last try failed with. */
static ErrorData *
try_often(Oid table, TimestampTz until, void (*work) (void *state), void *state)
{
	ErrorData  *error = NULL;

	for (int i = 0; i < DEADLOCK_TRIES && (error == NULL || is_deadlock(error)); i++)
	{
		error = try_once(table, until, work, state);
		if (error == NULL)
			break;
	}
	return error;
}

static bool
is_stuck(Oid table)
{
	ListCell   *cell;

	if (face_is_own(table))
		return false;
	foreach(cell, face_line(table))
	{
		if (face_is_quarantined(lfirst_oid(cell)))
			return true;
	}
	return false;
}

/*
 * Works on one table in a transaction inside this one, until a moment at most (DT_NOEND: for as long as it takes).
 * Returns false after a warning.  A table that is gone is done with.
 */
bool
face_attempt(Oid table, const char *what, TimestampTz until, void (*work) (void *state), void *state)
{
	ErrorData  *error;
	char	   *name;

	if (!face_exists(table))
		return true;
	name = face_qualified_name(table);
	if (is_stuck(table))
	{
		ereport(WARNING,
				(errmsg("%s cannot be %s: its code cannot be stopped, and is not run", name, what)));
		return false;
	}
	error = try_often(table, until, work, state);
	/* Dropped meanwhile: nothing to do. */
	if (error == NULL || !face_exists(table))
		return true;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("%s cannot be %s: %s", name, what, error->message),
			 error->detail == NULL ? 0 : errdetail_internal("%s", error->detail)));
	return false;
}

/* The same for who wants the error.  It is none that a caller in PL/pgSQL cannot catch. */
void
face_limited(Oid table, TimestampTz until, void (*work) (void *state), void *state)
{
	ErrorData  *error;

	if (is_stuck(table))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("its code cannot be stopped, and is not run")));
	error = try_often(table, until, work, state);
	if (error == NULL)
		return;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ASSERT_FAILURE)
		error->sqlerrcode = ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
	ReThrowError(error);
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

/* When an opt-out, an event, a check or a report does. */
TimestampTz
face_table_until(int tables_left)
{
	return part_of_time(table_timeout, tables_left);
}

/* What each of a table's partitions gets of the table's time. */
TimestampTz
face_share_of_time(TimestampTz until, int parts_left)
{
	TimestampTz now = GetCurrentTimestamp();

	return until == DT_NOEND ? until : now + Max(until - now, 0) / Max(parts_left, 1);
}

void
face_attempt_init(void)
{
	RegisterSubXactCallback(end_unstoppable, NULL);
	DefineCustomIntVariable("facematch.purge_table_timeout",
							"How long a purge deletes in one user's table before it goes on to the next.",
							"What is committed by then stays; the rest is left to the next purge. Less if statement_timeout leaves less. 0: no limit but that.",
							&purge_table_timeout,
							PURGE_TABLE_MINUTES * 60 * 1000,
							0, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("facematch.table_timeout",
							"How long an opt-out, an event, a check or a report waits for one user's table before it goes on without it.",
							"Less if statement_timeout leaves less. 0: no limit but that.",
							&table_timeout,
							TABLE_MINUTES * 60 * 1000,
							0, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);
}
