/*-------------------------------------------------------------------------
 *
 * wrapped.c
 *	  Keys of templates as files, wrapped under the site's wrapping key.
 *
 * Files of facematch.key_directory:
 *	  NUMBER.site	  the wrapping key; the highest number is the one in use
 *	  UUID.template	  the key of a gallery and class, AES-256-GCM under NUMBER.site
 *	  destroyed		  the names of keys that were destroyed, 16 bytes each
 *
 * A file that is missing is a key that was lost, and an error: unless its name
 * is in "destroyed", which is written before the key is removed. So a directory
 * that is empty, another's or only half there is never taken for one whose keys
 * were destroyed.
 *
 * A process that changes what others read together (the wrapping key, or the
 * names of the destroyed), or that makes or destroys a key, has the directory
 * locked with flock().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"

#include "base/refusal.h"
#include "keys/cipher.h"
#include "keys/keyfile.h"
#include "keys/wrapped.h"

#define SITE_MAGIC		"facesite"
#define SITE_SUFFIX		".site"
#define NEW_SUFFIX		".new"

typedef struct SiteFile
{
	FaceKeyHeader header;
	uint8		key[FACE_KEY_BYTES];
} SiteFile;

typedef struct WrappedFile
{
	FaceKeyHeader header;
	uint64		site;			/* the wrapping key's number */
	uint8		nonce[FACE_NONCE_BYTES];
	uint8		tag[FACE_TAG_BYTES];
	uint8		key[FACE_KEY_BYTES];
	uint8		unused[4];
} WrappedFile;

/* What a wrapping authenticates: no file can replace another. */
typedef struct Said
{
	pg_uuid_t	id;
	FaceKeyHeader header;
	uint64		site;
} Said;

static pg_noinline void
refuse_lost(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("key_is_there"),
			 errmsg("%s is missing in facematch.key_directory, and was not destroyed", what),
			 errhint("The directory may be the wrong one or incomplete: restore its files. No template is lost meanwhile.")));
}

/* Closes the directory, and raises the error that there was. */
static void
close_checked(int directory, const char *what, int problem)
{
	close(directory);
	if (problem == ENODATA)
		refuse_lost("the site's wrapping key");
	if (problem != 0)
		face_report_key(ERROR, what, problem);
}

/*--------------------------------------------------------- the wrapping key */

static void
name_site(uint64 number, char *name)
{
	snprintf(name, FACE_KEY_NAME, UINT64_FORMAT SITE_SUFFIX, number);
}

/* The highest number of a wrapping key; 0: there is none.  With the directory locked. */
static uint64
newest_site(int directory)
{
	DIR		   *listing = fdopendir(dup(directory));
	struct dirent *entry;
	uint64		newest = 0;

	if (listing == NULL)
		return 0;
	rewinddir(listing);
	while ((entry = readdir(listing)) != NULL)
	{
		char	   *end;
		uint64		number = strtoull(entry->d_name, &end, 10);

		if (end == entry->d_name || strcmp(end, SITE_SUFFIX) != 0)
			continue;
		if (face_key_file_is_empty(directory, entry->d_name))
			unlinkat(directory, entry->d_name, 0);	/* what a crash left */
		else
			newest = Max(newest, number);
	}
	closedir(listing);
	return newest;
}

static int
read_site(int directory, uint64 number, SiteFile *site)
{
	char		name[FACE_KEY_NAME];
	int			problem;

	name_site(number, name);
	problem = face_read_key_file(directory, name, SITE_MAGIC, &site->header, sizeof(SiteFile));
	return problem == ENOENT ? ENODATA : problem;
}

static int
make_site(int directory, uint64 number, SiteFile *site)
{
	char		name[FACE_KEY_NAME];

	name_site(number, name);
	face_fill_key_header(&site->header, SITE_MAGIC);
	if (!pg_strong_random(site->key, sizeof(site->key)))
		return EIO;
	return face_store_key_file(directory, name, site, sizeof(SiteFile));
}

/*--------------------------------------------------------- wrapped keys */

static Said
said_of(const pg_uuid_t *id, const WrappedFile *content)
{
	Said		said = {*id, content->header, content->site};

	return said;
}

/* Seals content->key under the wrapping key. */
static int
wrap(const pg_uuid_t *id, WrappedFile *content, uint64 number, const SiteFile *site)
{
	Said		said;

	content->site = number;
	if (!pg_strong_random(content->nonce, sizeof(content->nonce)))
		return EIO;
	said = said_of(id, content);
	face_cipher_seal(site->key, content->nonce, &said, sizeof(said), content->key, sizeof(content->key), content->tag);
	return 0;
}

/* Reads a file and opens content->key. */
static int
read_wrapped(int directory, const pg_uuid_t *id, WrappedFile *content)
{
	char		name[FACE_KEY_NAME];
	SiteFile	site;
	Said		said;
	int			problem;

	face_name_key(id, FACE_TEMPLATE_SUFFIX, name);
	problem = face_read_key_file(directory, name, FACE_TEMPLATE_MAGIC, &content->header, sizeof(WrappedFile));
	if (problem == 0)
		problem = read_site(directory, content->site, &site);
	if (problem != 0)
		return problem;
	said = said_of(id, content);
	if (!face_cipher_open(site.key, content->nonce, &said, sizeof(said), content->key, sizeof(content->key), content->tag))
		problem = EBADMSG;
	explicit_bzero(&site, sizeof(site));
	return problem;
}

/* A file, and not one that a crash left empty. */
static bool
is_there(int directory, const char *name)
{
	return faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && !face_key_file_is_empty(directory, name);
}

/* Whether there is a file of this name. */
bool
face_is_wrapped_key(const pg_uuid_t *id)
{
	int			directory = face_open_key_directory();
	char		name[FACE_KEY_NAME];
	bool		there;

	face_name_key(id, FACE_TEMPLATE_SUFFIX, name);
	there = is_there(directory, name);
	close(directory);
	return there;
}

/* The wrapping key for new keys.  A crash may have come before it was flushed: then that is done first. */
static int
newest_wrapping_key(int directory, bool first, uint64 *number, SiteFile *site)
{
	char		name[FACE_KEY_NAME];
	int			problem;

	*number = newest_site(directory);
	if (*number == 0 && first)
		return make_site(directory, *number = 1, site);
	name_site(*number, name);
	problem = read_site(directory, *number, site);
	return problem == 0 ? face_flush_key_file(directory, name) : problem;
}

/* A new key. First: the site may have no wrapping key yet. Stays: even if the transaction fails. */
static int
make_wrapped(int directory, const pg_uuid_t *id, bool first, bool stays, uint8 *key)
{
	char		name[FACE_KEY_NAME];
	WrappedFile content = {0};
	SiteFile	site;
	uint64		number;
	int			problem = newest_wrapping_key(directory, first, &number, &site);

	face_fill_key_header(&content.header, FACE_TEMPLATE_MAGIC);
	face_name_key(id, FACE_TEMPLATE_SUFFIX, name);
	if (problem == 0 && !pg_strong_random(content.key, sizeof(content.key)))
		problem = EIO;
	memcpy(key, content.key, sizeof(content.key));
	if (problem == 0)
		problem = wrap(id, &content, number, &site);
	explicit_bzero(&site, sizeof(site));
	if (problem == 0)
		problem = (stays ? face_store_key_file : face_make_key_file) (directory, name, &content, sizeof(content));
	return problem;
}

void
face_make_wrapped_key(const pg_uuid_t *id, bool first, uint8 *key)
{
	int			directory = face_open_key_directory_locked(LOCK_EX);

	close_checked(directory, "store", make_wrapped(directory, id, first, false, key));
}

/* A key that stays even if the transaction fails, unless another process has made it meanwhile. */
void
face_make_lasting_key(const pg_uuid_t *id)
{
	int			directory = face_open_key_directory_locked(LOCK_EX);
	char		name[FACE_KEY_NAME];
	uint8		key[FACE_KEY_BYTES];
	int			problem = 0;

	face_name_key(id, FACE_TEMPLATE_SUFFIX, name);
	if (face_key_file_is_empty(directory, name))
		unlinkat(directory, name, 0);	/* what a crash left */
	if (!is_there(directory, name))
		problem = make_wrapped(directory, id, true, true, key);
	explicit_bzero(key, sizeof(key));
	close_checked(directory, "store", problem);
}

/*--------------------------------------------------------- keys that are there, and destroyed ones */

/* Whether there is the key; false: it has been destroyed. */
bool
face_read_wrapped_key(const pg_uuid_t *id, uint8 *key)
{
	int			directory = face_open_key_directory_locked(LOCK_SH);
	WrappedFile content;
	int			problem = read_wrapped(directory, id, &content);
	/* Also while its file is there: a crash may have left it half destroyed. */
	bool		destroyed = problem != 0 && face_key_was_destroyed(directory, id);

	if (destroyed)
		problem = 0;
	if (problem == ENOENT)
	{
		close(directory);
		refuse_lost("the key of sealed templates");
	}
	close_checked(directory, "read", problem);
	if (!destroyed)
		memcpy(key, content.key, FACE_KEY_BYTES);
	explicit_bzero(&content, sizeof(content));
	return !destroyed;
}

/*
 * Whether it was there.  Another database's that is there is left: a copy does not
 * destroy.  One that is missing is not called destroyed: its file is where the
 * directory was, or will be again.
 */
bool
face_destroy_wrapped_key(const pg_uuid_t *id)
{
	int			directory = face_open_key_directory_locked(LOCK_EX);
	char		name[FACE_KEY_NAME];
	char		new[FACE_KEY_NAME];
	WrappedFile content;
	int			problem = 0;
	bool		anothers;

	face_name_key(id, FACE_TEMPLATE_SUFFIX, name);
	anothers = face_read_key_file(directory, name, FACE_TEMPLATE_MAGIC, &content.header, sizeof(content)) == 0 &&
		face_is_anothers_key(&content.header);
	if (anothers)
	{
		close(directory);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("key_is_of_this_database"),
				 errmsg("the key of sealed templates belongs to another database, and is not destroyed here"),
				 errhint("This database is a copy: the database that made the key destroys it.")));
	}
	if (faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && !face_key_was_destroyed(directory, id))
	{
		close(directory);
		refuse_lost("the key of sealed templates");
	}
	if (!face_key_file_is_empty(directory, name))
		problem = face_note_destroyed_key(directory, id);
	/* What a crash has left of a rotation is the key once more. */
	face_name_key(id, NEW_SUFFIX, new);
	if (problem == 0)
		problem = face_destroy_key_file(directory, new);
	if (problem == 0 || problem == ENOENT)
		problem = face_destroy_key_file(directory, name);
	close_checked(directory, "destroy", problem == ENOENT ? 0 : problem);
	return problem == 0;
}

/*--------------------------------------------------------- a new wrapping key */

/* Wraps one key under the newest wrapping key, in place of the file it was in. */
static int
wrap_anew(int directory, const pg_uuid_t *id, uint64 number, const SiteFile *site)
{
	char		name[FACE_KEY_NAME];
	char		new[FACE_KEY_NAME];
	WrappedFile content;
	int			problem = read_wrapped(directory, id, &content);

	/* What a crash left of a key is for the purge. */
	if (problem != 0 && (problem == ENOENT || face_key_was_destroyed(directory, id)))
		return 0;
	face_name_key(id, FACE_TEMPLATE_SUFFIX, name);
	if (problem != 0)
		return face_key_file_is_empty(directory, name) ? 0 : problem;
	if (content.site != number)
	{
		face_name_key(id, NEW_SUFFIX, new);
		unlinkat(directory, new, 0);	/* what a crash left */
		problem = wrap(id, &content, number, site);
		if (problem == 0)
			problem = face_store_key_file(directory, new, &content, sizeof(content));
		if (problem == 0 && (renameat(directory, new, directory, name) != 0 || fsync(directory) != 0))
			problem = errno;
	}
	explicit_bzero(&content, sizeof(content));
	return problem;
}

/* Wraps each key again, and counts them. */
static int
wrap_all(int directory, uint64 number, const SiteFile *site, int64 *count)
{
	DIR		   *listing = fdopendir(dup(directory));
	struct dirent *entry;
	int			problem = listing == NULL ? errno : 0;

	if (listing == NULL)
		return problem;
	rewinddir(listing);
	while (problem == 0 && (entry = readdir(listing)) != NULL)
	{
		pg_uuid_t	id;

		if (!face_is_key_name(entry->d_name, FACE_TEMPLATE_SUFFIX, &id))
			continue;
		problem = wrap_anew(directory, &id, number, site);
		(*count)++;
	}
	closedir(listing);
	return problem;
}

/*
 * A new wrapping key for all the site's keys; the old ones are destroyed when
 * none is wrapped under them. If it was interrupted, the next call continues:
 * it makes another, and wraps what is under any of the older ones. Returns how
 * many keys.
 */
int64
face_rotate_wrapping_key(void)
{
	int			directory = face_open_key_directory_locked(LOCK_EX);
	uint64		number = newest_site(directory) + 1;
	char		name[FACE_KEY_NAME];
	SiteFile	site;
	int64		count = 0;
	int			problem = number == 1 ? ENODATA : make_site(directory, number, &site);

	if (problem == 0)
		problem = wrap_all(directory, number, &site, &count);
	explicit_bzero(&site, sizeof(site));
	/* All of them: a crash may have left one below others that are gone. */
	for (uint64 old = number - 1; problem == 0 && old > 0; old--)
	{
		name_site(old, name);
		problem = face_destroy_key_file(directory, name);
		if (problem == ENOENT)
			problem = 0;
	}
	close_checked(directory, "wrap anew", problem);
	return count;
}
