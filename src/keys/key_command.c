/*-------------------------------------------------------------------------
 *
 * key_command.c
 *	  Keys of templates from a command: the client of a key service.
 *
 * The command is run by the shell as the server's user, as ssl_passphrase_command
 * is, with %o replaced by the operation and %k by the key's name.  It gets a time
 * limit and a process group of its own, which is killed when the time is over or
 * the statement is cancelled.  Nothing of what it prints is ever shown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/refusal.h"
#include "keys/cipher.h"
#include "keys/key_command.h"
#include "keys/template_key.h"

#define LONGEST_MS		10000
#define GLANCE_MS		100		/* between two looks whether the statement is cancelled */
#define HEX_DIGITS		(2 * FACE_KEY_BYTES)

static char *key_command = NULL;

bool
face_key_command_is_set(void)
{
	return key_command != NULL && key_command[0] != '\0';
}

static char *
written_out(const char *operation, const pg_uuid_t *id)
{
	StringInfoData text;

	initStringInfo(&text);
	for (const char *p = key_command; *p != '\0'; p++)
	{
		if (p[0] != '%' || p[1] == '\0')
			appendStringInfoChar(&text, *p);
		else if (*++p == 'o')
			appendStringInfoString(&text, operation);
		else if (*p == 'k')
			appendStringInfoString(&text, DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id))));
		else
			appendStringInfo(&text, *p == '%' ? "%%" : "%%%c", *p);
	}
	return text.data;
}

static pg_noinline void
refuse_command(const char *operation, const char *what, int number)
{
	ereport(ERROR,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), face_refusal("key_command_works"),
			 errmsg("facematch.key_command failed to %s a key", operation),
			 errdetail(what, number),
			 errhint("The server's log may say more. No key is lost: try again when the command works.")));
}

/* Starts the command; what it prints can be read from the descriptor. */
static pid_t
start(const char *command, int *output)
{
	int			pipes[2];
	pid_t		child;

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return -1;
	child = fork();
	if (child == 0)
	{
		setpgid(0, 0);
		if (dup2(pipes[1], STDOUT_FILENO) < 0 || open("/dev/null", O_RDONLY) < 0)
			_exit(127);
		signal(SIGPIPE, SIG_DFL);
		sigprocmask(SIG_SETMASK, &UnBlockSig, NULL);
		execl("/bin/sh", "sh", "-c", command, (char *) NULL);
		_exit(127);
	}
	/* Whichever comes first: it may have to be killed before it has run at all. */
	if (child > 0)
		(void) setpgid(child, child);
	close(pipes[1]);
	if (child < 0)
		close(pipes[0]);
	*output = pipes[0];
	return child;
}

/* Reads up to "room" bytes until the end of the output; -1: the time is over. */
static int
read_output(int output, char *bytes, int room, TimestampTz until)
{
	int			size = 0;

	for (;;)
	{
		struct pollfd ready = {.fd = output,.events = POLLIN};
		ssize_t		got;

		CHECK_FOR_INTERRUPTS();
		if (GetCurrentTimestamp() >= until)
			return -1;
		if (poll(&ready, 1, GLANCE_MS) <= 0)
			continue;
		got = read(output, bytes + size, room - size);
		if (got == 0 || (got < 0 && errno != EINTR))
			return size;
		size += Max(got, 0);
		if (size == room)
			return size;
	}
}

/* The child's end: what waitpid() says, or -1 when the time is over. */
static int
wait_for(pid_t child, TimestampTz until)
{
	int			status;

	for (;;)
	{
		pid_t		ended = waitpid(child, &status, WNOHANG);

		if (ended == child)
			return status;
		if (ended < 0 && errno != EINTR)
			return 0;
		CHECK_FOR_INTERRUPTS();
		if (GetCurrentTimestamp() >= until)
			return -1;
		pg_usleep(1000L);
	}
}

/* Sixty-four hexadecimal digits and at most the end of a line. */
static bool
is_key(const char *text, int size, uint8 *key)
{
	if (size == HEX_DIGITS + 1 && text[HEX_DIGITS] == '\n')
		size--;
	if (size != HEX_DIGITS || strspn(text, "0123456789abcdefABCDEF") < HEX_DIGITS)
		return false;
	hex_decode(text, HEX_DIGITS, (char *) key);
	return true;
}

bool
face_run_key_command(const char *operation, const pg_uuid_t *id, uint8 *key)
{
	char		text[HEX_DIGITS + 3] = {0};
	char	   *command = written_out(operation, id);
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LONGEST_MS);
	int			end_of_pipe = -1;
	pid_t		child = start(command, &end_of_pipe);
	volatile int output = end_of_pipe;
	volatile int size = -1;
	volatile int status = -1;
	bool		found;

	if (child < 0)
		refuse_command(operation, "It could not be started (error %d).", errno);
	PG_TRY();
	{
		size = read_output(output, text, sizeof(text) - 1, until);
		close(output);
		output = -1;
		if (size >= 0)
			status = wait_for(child, until);
	}
	PG_FINALLY();
	{
		if (output >= 0)
			close(output);
		if (status == -1)
		{
			kill(-child, SIGKILL);
			waitpid(child, NULL, 0);
			explicit_bzero(text, sizeof(text));
		}
	}
	PG_END_TRY();
	pfree(command);
	if (status == -1)
		refuse_command(operation, "It took longer than %d seconds.", LONGEST_MS / 1000);
	if (status != 0)
	{
		explicit_bzero(text, sizeof(text));
		refuse_command(operation, "It ended with status %d.", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	if (key == NULL || size == 0)
		return false;
	found = is_key(text, size, key);
	explicit_bzero(text, sizeof(text));
	if (!found)
		refuse_command(operation, "It printed something else than %d hexadecimal digits.", HEX_DIGITS);
	return true;
}

static void
assign_command(const char *newval, void *extra)
{
	face_doubt_template_keys();
}

void
face_key_command_init(void)
{
	DefineCustomStringVariable("facematch.key_command",
							   "Command that makes, reads and destroys the keys of sealed templates.",
							   "%o is replaced by the operation (make, read, site or destroy), %k by the key's name. It prints the key as 64 hexadecimal digits, and nothing for one that was destroyed. Empty: the keys are files in facematch.key_directory.",
							   &key_command,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   NULL,
							   assign_command,
							   NULL);
}
