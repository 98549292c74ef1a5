/*-------------------------------------------------------------------------
 *
 * keystore.c
 *	  The keys of photographs, in files outside the data directory.
 *
 * A photograph's key is in no table, no WAL, no dump and no base backup: it is a
 * file of its own in facematch.key_directory, made and flushed before the row
 * that it seals is committed, overwritten, flushed and unlinked when the row is
 * gone.  A key of a transaction that fails goes with it; one that a crash left
 * behind is found by facematch_internal.destroy_keys(), for each file says which database
 * made it.  The key of a database that is there is nobody else's: a copy of that
 * database, in the same cluster, neither reads with it nor destroys it.
 *
 * Nothing is read or written that others than the server's user could have put
 * there, or could read: directory and files have to be his and closed to group
 * and others, and links are not followed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "base/refusal.h"
#include "sealing/keystore.h"

PG_FUNCTION_INFO_V1(facematch_destroy_key);
PG_FUNCTION_INFO_V1(facematch_key_files);

#define KEY_MAGIC	"facekey1"
#define KEY_SUFFIX	".key"
#define KEY_NAME	(36 + sizeof(KEY_SUFFIX))	/* a UUID as text, suffix and end */
#define OPEN_TO_OTHERS	(S_IRWXG | S_IRWXO)

typedef struct KeyFile
{
	char		magic[sizeof(KEY_MAGIC) - 1];
	uint64		system;			/* the cluster and the database that made it */
	uint64		database;
	FaceKey		key;
} KeyFile;

static char *key_directory = NULL;

/* Keys that this transaction has made. */
static List *made = NIL;

static void
refuse_directory(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("key_directory_is_safe"),
			 errmsg("facematch.key_directory %s", why),
			 errhint("Set it to a directory outside the data directory and its backups, owned by the server's user, with mode 0700.")));
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
static int
open_directory(void)
{
	char		real[PATH_MAX];
	struct stat st;
	int			directory;

	if (key_directory == NULL || key_directory[0] == '\0')
		refuse_directory("is not set");
	if (!is_absolute_path(key_directory))
		refuse_directory("is not an absolute path");
	if (realpath(key_directory, real) == NULL)
		refuse_directory("cannot be found");
	if (is_backed_up(real))
		refuse_directory("lies within the data directory or a tablespace");
	directory = open(real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (directory < 0)
		refuse_directory("cannot be opened");
	if (fstat(directory, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & OPEN_TO_OTHERS) != 0)
	{
		close(directory);
		refuse_directory("is not the server user's own, or is open to others");
	}
	return directory;
}

static void
name_key(const pg_uuid_t *id, char *name)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));

	snprintf(name, KEY_NAME, "%s" KEY_SUFFIX, text);
	pfree(text);
}

static bool
is_own_file(int file, off_t size)
{
	struct stat st;

	return fstat(file, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & OPEN_TO_OTHERS) == 0 &&
		st.st_nlink == 1 && st.st_size == size;
}

static bool
write_whole(int file, const void *bytes, size_t size)
{
	return pwrite(file, bytes, size, 0) == (ssize_t) size && fsync(file) == 0;
}

/* Overwrites, flushes and unlinks.  0: done; ENOENT: it was gone; else errno. */
static int
destroy_file(int directory, const char *name)
{
	char		noise[sizeof(KeyFile)];
	int			file = openat(directory, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	int			problem = 0;

	if (file < 0)
		return errno;
	if (!pg_strong_random(noise, sizeof(noise)))
		memset(noise, 0, sizeof(noise));
	if (!write_whole(file, noise, sizeof(noise)) || unlinkat(directory, name, 0) != 0)
		problem = errno;
	close(file);
	if (problem == 0 && fsync(directory) != 0)
		problem = errno;
	return problem;
}

static void
report_key(int elevel, const char *what, int problem)
{
	errno = problem;
	ereport(elevel,
			(errcode_for_file_access(),
			 errmsg("could not %s the key of a photograph: %m", what)));
}

static void
end_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_ABORT && event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_ABORT && made != NIL)
	{
		int			directory = open(key_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ListCell   *cell;

		foreach(cell, made)
		{
			int			problem = directory < 0 ? ENOENT : destroy_file(directory, lfirst(cell));

			if (problem != 0 && problem != ENOENT)
				report_key(WARNING, "destroy", problem);
		}
		if (directory >= 0)
			close(directory);
	}
	list_free_deep(made);
	made = NIL;
}

/* A new key, safely stored. */
void
face_make_key(const pg_uuid_t *id, FaceKey *key)
{
	KeyFile		content = {.system = GetSystemIdentifier(), .database = MyDatabaseId};
	MemoryContext caller;
	int			directory;
	int			file;
	int			problem = 0;
	char	   *name;

	memcpy(content.magic, KEY_MAGIC, sizeof(content.magic));
	if (!pg_strong_random(&content.key, sizeof(content.key)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make random numbers for a key")));
	caller = MemoryContextSwitchTo(TopMemoryContext);
	name = palloc(KEY_NAME);
	name_key(id, name);
	made = lappend(made, name);
	MemoryContextSwitchTo(caller);

	directory = open_directory();
	file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (file < 0 || !write_whole(file, &content, sizeof(content)) || fsync(directory) != 0)
		problem = errno;
	if (file >= 0)
		close(file);
	close(directory);
	*key = content.key;
	explicit_bzero(&content, sizeof(content));
	if (problem != 0)
		report_key(ERROR, "store", problem);
}

static int
read_file(int directory, const char *name, KeyFile *content)
{
	int			file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int			problem = 0;

	if (file < 0)
		return errno;
	if (!is_own_file(file, sizeof(KeyFile)))
		problem = EPERM;
	else if (pread(file, content, sizeof(KeyFile), 0) != sizeof(KeyFile))
		problem = EIO;
	else if (memcmp(content->magic, KEY_MAGIC, sizeof(content->magic)) != 0)
		problem = EINVAL;
	close(file);
	return problem;
}

/*
 * Whether the key is that of another database that is there.  Where that one is
 * gone, or was in another cluster, whoever has the photograph has the key: a
 * restored dump, a cluster after pg_upgrade.
 */
static bool
is_anothers(const KeyFile *content)
{
	return content->system == GetSystemIdentifier() && content->database != MyDatabaseId &&
		SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum((Oid) content->database));
}

static void
refuse_anothers(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("key_is_of_this_database"),
			 errmsg("the key of a photograph is another database's, and is not %s here", what),
			 errhint("This database is a copy, which has the photograph but not the key while the database that stored it is there.")));
}

/* Whether there is the key. */
bool
face_read_key(const pg_uuid_t *id, FaceKey *key)
{
	char		name[KEY_NAME];
	KeyFile		content;
	int			directory;
	int			problem;

	name_key(id, name);
	directory = open_directory();
	problem = read_file(directory, name, &content);
	close(directory);
	if (problem == ENOENT)
		return false;
	if (problem != 0)
		report_key(ERROR, "read", problem);
	*key = content.key;
	explicit_bzero(&content.key, sizeof(content.key));
	if (is_anothers(&content))
	{
		explicit_bzero(key, sizeof(*key));
		refuse_anothers("used");
	}
	return true;
}

/* facematch_internal.destroy_key(uuid): whether it was there */
Datum
facematch_destroy_key(PG_FUNCTION_ARGS)
{
	char		name[KEY_NAME];
	KeyFile		content;
	int			directory;
	int			problem;
	bool		anothers;

	name_key(PG_GETARG_UUID_P(0), name);
	directory = open_directory();
	/* What cannot be read as a key is nobody's, and shall go. */
	anothers = read_file(directory, name, &content) == 0 && is_anothers(&content);
	explicit_bzero(&content, sizeof(content));
	problem = anothers ? 0 : destroy_file(directory, name);
	close(directory);
	if (anothers)
		refuse_anothers("destroyed");
	if (problem != 0 && problem != ENOENT)
		report_key(ERROR, "destroy", problem);
	PG_RETURN_BOOL(problem == 0);
}

/* facematch_internal.key_files(): each key there is, and which database made it */
Datum
facematch_key_files(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			directory;
	DIR		   *listing;
	struct dirent *entry;

	InitMaterializedSRF(fcinfo, 0);
	directory = open_directory();
	listing = fdopendir(directory);
	if (listing == NULL)
	{
		close(directory);
		refuse_directory("cannot be read");
	}
	while ((entry = readdir(listing)) != NULL)
	{
		char		text[KEY_NAME];
		KeyFile		content;
		Datum		values[3];
		bool		nulls[lengthof(values)] = {false};

		if (strlen(entry->d_name) != KEY_NAME - 1 || strcmp(entry->d_name + 36, KEY_SUFFIX) != 0 ||
			strspn(entry->d_name, "0123456789abcdef-") != 36 ||
			read_file(dirfd(listing), entry->d_name, &content) != 0)
			continue;
		explicit_bzero(&content.key, sizeof(content.key));
		strlcpy(text, entry->d_name, 37);
		values[0] = DirectFunctionCall1(uuid_in, CStringGetDatum(text));
		values[1] = ObjectIdGetDatum((Oid) content.database);
		values[2] = BoolGetDatum(content.system == GetSystemIdentifier());
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	closedir(listing);
	return (Datum) 0;
}

void
face_keystore_init(void)
{
	DefineCustomStringVariable("facematch.key_directory",
							   "Directory of the keys of photographs.",
							   "Outside the data directory, its tablespaces and its backups; the server user's own, mode 0700. Empty: photographs cannot be stored.",
							   &key_directory,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   NULL,
							   NULL,
							   NULL);
	RegisterXactCallback(end_transaction, NULL);
}
