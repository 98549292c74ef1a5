/*-------------------------------------------------------------------------
 *
 * keyfile.c
 *	  Files of keys, in a directory outside the data directory.
 *
 * A key is in no table, no WAL, no dump and no base backup: it is a file in
 * facematch.key_directory, written and flushed before the row that it seals is
 * committed. If the transaction fails, the key is destroyed. Each file names the
 * database that made it.
 *
 * No other user may write or read the files: the server's user must own the
 * directory and the files, group and others must have no access, and links are
 * not followed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "base/refusal.h"
#include "keys/keyfile.h"
#include "keys/template_key.h"

#define OPEN_TO_OTHERS	(S_IRWXG | S_IRWXO)
#define DESTROYED		"destroyed"	/* the file of the names of destroyed keys, 16 bytes each */
#define MOST_BYTES		256		/* no file of a key is larger */
#define MOST_TRIES		1000	/* to lock the directory, a millisecond apart */

static char *key_directory = NULL;

/* Files that this transaction has made. */
static List *made = NIL;

bool
face_key_directory_is_set(void)
{
	return key_directory != NULL && key_directory[0] != '\0';
}

void
face_refuse_key_directory(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("key_directory_is_safe"),
			 errmsg("facematch.key_directory %s", why),
			 errhint("Set it to a directory outside the data directory and its backups, owned by the server's user, with mode 0700."
					 " For templates, facematch.key_command may take its place.")));
}

static bool
is_within(const char *path, const char *directory)
{
	char		real[PATH_MAX];
	size_t		length;

	if (realpath(directory, real) == NULL)
		return false;
	length = strlen(real);
	return strncmp(path, real, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* What a base backup copies: the data directory, and what its tablespaces and WAL link to. */
static bool
is_backed_up(const char *path)
{
	char		link[MAXPGPATH * 2];
	bool		within = is_within(path, DataDir);
	DIR		   *tablespaces;
	struct dirent *entry;

	snprintf(link, sizeof(link), "%s/pg_wal", DataDir);
	within = within || is_within(path, link);
	snprintf(link, sizeof(link), "%s/pg_tblspc", DataDir);
	tablespaces = opendir(link);
	while (tablespaces != NULL && !within && (entry = readdir(tablespaces)) != NULL)
	{
		if (entry->d_name[0] == '.')
			continue;
		snprintf(link, sizeof(link), "%s/pg_tblspc/%s", DataDir, entry->d_name);
		within = is_within(path, link);
	}
	if (tablespaces != NULL)
		closedir(tablespaces);
	return within;
}

/* The directory, opened; an error if it is not fit for keys. */
int
face_open_key_directory(void)
{
	char		real[PATH_MAX];
	struct stat st;
	int			directory;

	if (!face_key_directory_is_set())
		face_refuse_key_directory("is not set");
	if (!is_absolute_path(key_directory))
		face_refuse_key_directory("is not an absolute path");
	if (realpath(key_directory, real) == NULL)
		face_refuse_key_directory("cannot be found");
	if (is_backed_up(real))
		face_refuse_key_directory("lies within the data directory or a tablespace");
	directory = open(real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (directory < 0)
		face_refuse_key_directory("cannot be opened");
	if (fstat(directory, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & OPEN_TO_OTHERS) != 0)
	{
		close(directory);
		face_refuse_key_directory("is not the server user's own, or is open to others");
	}
	return directory;
}

/* The same, locked as flock() says; waits for that as long as the statement is not cancelled. */
int
face_open_key_directory_locked(int mode)
{
	for (;;)
	{
		int			directory = face_open_key_directory();
		int			problem = flock(directory, mode | LOCK_NB) == 0 ? 0 : errno;

		if (problem == 0)
			return directory;
		close(directory);
		if (problem != EWOULDBLOCK && problem != EINTR)
			face_report_key(ERROR, "lock", problem);
		CHECK_FOR_INTERRUPTS();
		pg_usleep(1000L);
	}
}

void
face_name_key(const pg_uuid_t *id, const char *suffix, char *name)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));

	snprintf(name, FACE_KEY_NAME, "%s%s", text, suffix);
	pfree(text);
}

/* Whether a file's name is that of a key with this suffix. */
bool
face_is_key_name(const char *name, const char *suffix, pg_uuid_t *id)
{
	char		text[FACE_KEY_NAME];

	if (strlen(name) != 36 + strlen(suffix) || strcmp(name + 36, suffix) != 0 || strspn(name, "0123456789abcdef-") != 36)
		return false;
	strlcpy(text, name, 37);
	*id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
	return true;
}

/* Size 0: any. */
static bool
is_own_file(int file, off_t size)
{
	struct stat st;

	return fstat(file, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & OPEN_TO_OTHERS) == 0 &&
		st.st_nlink == 1 && (size == 0 || st.st_size == size);
}

static bool
write_at(int file, off_t offset, const void *bytes, size_t size)
{
	return pwrite(file, bytes, size, offset) == (ssize_t) size && fsync(file) == 0;
}

/*
 * Overwrites, flushes and unlinks.  0: done; ENOENT: it was gone; else errno.  The
 * header stays, so that what a crash leaves is still known as a key and destroyed.
 */
int
face_destroy_key_file(int directory, const char *name)
{
	char		noise[MOST_BYTES - sizeof(FaceKeyHeader)];
	int			file = openat(directory, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int			problem = 0;

	if (file < 0)
		return errno;
	if (!pg_strong_random(noise, sizeof(noise)))
		memset(noise, 0, sizeof(noise));
	/* An empty one stays empty until it is gone. */
	if (fstat(file, &st) != 0 || (st.st_size > 0 && !write_at(file, sizeof(FaceKeyHeader), noise, sizeof(noise))) ||
		unlinkat(directory, name, 0) != 0)
		problem = errno;
	close(file);
	if (problem == 0 && fsync(directory) != 0)
		problem = errno;
	return problem;
}

bool
face_key_was_destroyed(int directory, const pg_uuid_t *id)
{
	int			file = openat(directory, DESTROYED, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	pg_uuid_t	names[64];
	ssize_t		got;
	bool		found = false;

	if (file < 0)
		return false;
	while (!found && (got = read(file, names, sizeof(names))) >= UUID_LEN)
	{
		for (int i = 0; i < got / UUID_LEN && !found; i++)
			found = memcmp(&names[i], id, UUID_LEN) == 0;
	}
	close(file);
	return found;
}

int
face_note_destroyed_key(int directory, const pg_uuid_t *id)
{
	bool		noted = face_key_was_destroyed(directory, id);
	int			file = openat(directory, DESTROYED, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
	struct stat st;
	int			problem = 0;

	if (file < 0)
		return errno;
	/* What a crash left of a name is written over; what it left of flushing is done now. */
	if (fstat(file, &st) != 0 ||
		(!noted && pwrite(file, id, UUID_LEN, st.st_size - st.st_size % UUID_LEN) != UUID_LEN) ||
		fsync(file) != 0 || fsync(directory) != 0)
		problem = errno;
	close(file);
	return problem;
}

/* In a transaction that fails nothing may raise an error or wait for long: so many tries are for all its keys together. */
static bool
lock_briefly(int directory, int *tries_left)
{
	for (; *tries_left > 0; --*tries_left)
	{
		if (flock(directory, LOCK_EX | LOCK_NB) == 0)
			return true;
		pg_usleep(1000L);
	}
	return false;
}

/*
 * The key of a transaction that fails.  Until VACUUM an index has what was under
 * a template's key, and looks for it: that key is destroyed, and not lost.  One
 * that cannot be noted stays, which harms nobody.
 */
static int
destroy_made(int directory, const char *name, int *tries_left)
{
	pg_uuid_t	id;
	int			problem = 0;

	if (face_is_key_name(name, FACE_TEMPLATE_SUFFIX, &id))
		problem = lock_briefly(directory, tries_left) ? face_note_destroyed_key(directory, &id) : EWOULDBLOCK;
	return problem == 0 ? face_destroy_key_file(directory, name) : problem;
}

static void
end_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_ABORT && event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_ABORT && made != NIL)
	{
		int			directory = open(key_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int			tries_left = MOST_TRIES;
		ListCell   *cell;

		foreach(cell, made)
		{
			int			problem = directory < 0 ? ENOENT : destroy_made(directory, lfirst(cell), &tries_left);

			if (problem != 0 && problem != ENOENT)
				face_report_key(WARNING, "destroy", problem);
		}
		if (directory >= 0)
			close(directory);
	}
	list_free_deep(made);
	made = NIL;
}

void
face_report_key(int elevel, const char *what, int problem)
{
	errno = problem;
	ereport(elevel,
			(errcode_for_file_access(),
			 errmsg("could not %s a key of facematch.key_directory: %m", what)));
}

/* A new file, flushed to disk; removed if the transaction fails.  0 or errno. */
int
face_make_key_file(int directory, const char *name, const void *content, size_t size)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	made = lappend(made, pstrdup(name));
	MemoryContextSwitchTo(caller);
	return face_store_key_file(directory, name, content, size);
}

/* The same for a file that stays even if the transaction fails. */
int
face_store_key_file(int directory, const char *name, const void *content, size_t size)
{
	int			file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
	int			problem = 0;

	if (file < 0 || !write_at(file, 0, content, size) || fsync(directory) != 0)
		problem = errno;
	if (file >= 0)
		close(file);
	return problem;
}

/* 0 or errno. */
int
face_flush_key_file(int directory, const char *name)
{
	int			file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int			problem = file < 0 || fsync(file) != 0 || fsync(directory) != 0 ? errno : 0;

	if (file >= 0)
		close(file);
	return problem;
}

static int
read_file(int directory, const char *name, const char *magic, FaceKeyHeader *content, size_t size, off_t whole)
{
	int			file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int			problem = 0;

	if (file < 0)
		return errno;
	if (!is_own_file(file, whole))
		problem = EPERM;
	else if (pread(file, content, size, 0) != (ssize_t) size)
		problem = EIO;
	else if (memcmp(content->magic, magic, sizeof(content->magic)) != 0)
		problem = EINVAL;
	close(file);
	return problem;
}

/* 0 or errno. */
int
face_read_key_file(int directory, const char *name, const char *magic, FaceKeyHeader *content, size_t size)
{
	return read_file(directory, name, magic, content, size, (off_t) size);
}

int
face_read_key_header(int directory, const char *name, const char *magic, FaceKeyHeader *header)
{
	return read_file(directory, name, magic, header, sizeof(FaceKeyHeader), 0);
}

/* Whether nothing was written to a file before a crash: it is the key of nothing. */
bool
face_key_file_is_empty(int directory, const char *name)
{
	struct stat st;

	return fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

void
face_fill_key_header(FaceKeyHeader *header, const char *magic)
{
	memcpy(header->magic, magic, sizeof(header->magic));
	header->system = GetSystemIdentifier();
	header->database = MyDatabaseId;
}

/*
 * Whether the key is that of another database that is there.  Where that one is
 * gone, or was in another cluster, whoever has the row has the key: a restored
 * dump, a cluster after pg_upgrade.
 */
bool
face_is_anothers_key(const FaceKeyHeader *header)
{
	return header->system == GetSystemIdentifier() && header->database != MyDatabaseId &&
		SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum((Oid) header->database));
}

static void
assign_directory(const char *newval, void *extra)
{
	face_doubt_template_keys();
}

void
face_keyfile_init(void)
{
	DefineCustomStringVariable("facematch.key_directory",
							   "Directory of the keys of photographs and of sealed templates.",
							   "Outside the data directory, its tablespaces and its backups; the server user's own, mode 0700. Empty: photographs cannot be stored, and templates are sealed only with facematch.key_command.",
							   &key_directory,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   NULL,
							   assign_directory,
							   NULL);
	RegisterXactCallback(end_transaction, NULL);
}
