/*-------------------------------------------------------------------------
 *
 * keystore.c
 *	  The keys of photographs.
 *
 * A photograph's key is a file of its own (keyfile.c), overwritten, flushed and
 * unlinked when the row is deleted. facematch_internal.destroy_keys() finds a key
 * that a crash left behind, because each file says which database made it. As long
 * as that database exists, the key belongs to it: a copy of the database in the
 * same cluster neither reads with it nor destroys it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dirent.h>
#include <sys/file.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "base/refusal.h"
#include "keys/cipher.h"
#include "keys/keyfile.h"
#include "sealing/keystore.h"
#include "keys/template_key.h"

PG_FUNCTION_INFO_V1(facematch_destroy_key);
PG_FUNCTION_INFO_V1(facematch_key_files);

typedef struct KeyFile
{
	FaceKeyHeader header;
	uint8		key[FACE_KEY_BYTES];
} KeyFile;

/* A new key, safely stored. */
void
face_make_key(const pg_uuid_t *id, uint8 *key)
{
	char		name[FACE_KEY_NAME];
	KeyFile		content;
	int			directory;
	int			problem;

	face_fill_key_header(&content.header, FACE_PHOTOGRAPH_MAGIC);
	face_random_bytes(content.key, FACE_KEY_BYTES);
	face_name_key(id, FACE_PHOTOGRAPH_SUFFIX, name);
	/* What is being written is empty, and would be taken for what a crash left. */
	directory = face_open_key_directory_locked(LOCK_SH);
	problem = face_make_key_file(directory, name, &content, sizeof(content));
	close(directory);
	memcpy(key, content.key, FACE_KEY_BYTES);
	explicit_bzero(&content, sizeof(content));
	if (problem != 0)
		face_report_key(ERROR, "store", problem);
}

static int
read_file(int directory, const char *name, KeyFile *content)
{
	return face_read_key_file(directory, name, FACE_PHOTOGRAPH_MAGIC, &content->header, sizeof(KeyFile));
}

static void
refuse_anothers(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), face_refusal("key_is_of_this_database"),
			 errmsg("the key of a photograph belongs to another database, and is not %s here", what),
			 errhint("This database is a copy. It cannot use the key while the database that stored the photograph exists.")));
}

/* Whether there is the key. */
bool
face_read_key(const pg_uuid_t *id, uint8 *key)
{
	char		name[FACE_KEY_NAME];
	KeyFile		content;
	int			directory;
	int			problem;

	face_name_key(id, FACE_PHOTOGRAPH_SUFFIX, name);
	directory = face_open_key_directory();
	problem = read_file(directory, name, &content);
	close(directory);
	if (problem == ENOENT)
		return false;
	if (problem != 0)
		face_report_key(ERROR, "read", problem);
	memcpy(key, content.key, FACE_KEY_BYTES);
	explicit_bzero(content.key, FACE_KEY_BYTES);
	if (face_is_anothers_key(&content.header))
	{
		explicit_bzero(key, FACE_KEY_BYTES);
		refuse_anothers("used");
	}
	return true;
}

static bool
destroy_photograph_key(const pg_uuid_t *id)
{
	char		name[FACE_KEY_NAME];
	KeyFile		content;
	int			directory;
	int			problem;
	bool		anothers;

	face_name_key(id, FACE_PHOTOGRAPH_SUFFIX, name);
	directory = face_open_key_directory_locked(LOCK_EX);
	/* What cannot be read as a key is nobody's, and shall go. */
	anothers = read_file(directory, name, &content) == 0 && face_is_anothers_key(&content.header);
	explicit_bzero(&content, sizeof(content));
	problem = anothers ? 0 : face_destroy_key_file(directory, name);
	close(directory);
	if (anothers)
		refuse_anothers("destroyed");
	if (problem != 0 && problem != ENOENT)
		face_report_key(ERROR, "destroy", problem);
	return problem == 0;
}

/*
 * What was committed asynchronously, and says that no row needs the key, may not be
 * lost by a crash after it is gone. At the beginning of a page the position is behind
 * the page's header, and nothing has been written as far as that.
 */
static void
flush_wal(void)
{
	XLogRecPtr	position = GetXLogInsertRecPtr();

	if (position % XLOG_BLCKSZ == SizeOfXLogShortPHD || XLogSegmentOffset(position, wal_segment_size) == SizeOfXLogLongPHD)
		position -= position % XLOG_BLCKSZ;
	XLogFlush(position);
}

/* facematch_internal.destroy_key(key_id, what): whether it was there */
Datum
facematch_destroy_key(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *id = PG_GETARG_UUID_P(0);
	const char *what = text_to_cstring(PG_GETARG_TEXT_PP(1));

	flush_wal();
	PG_RETURN_BOOL(strcmp(what, "photograph") == 0 ? destroy_photograph_key(id) : face_destroy_template_key(id));
}

/* Whether it can be told whose a file is.  An empty one is nobody's: the next database that purges may have it. */
static bool
read_header(int directory, const char *name, const char *magic, FaceKeyHeader *header, bool *empty)
{
	*empty = face_key_file_is_empty(directory, name);
	if (*empty)
		face_fill_key_header(header, magic);
	return *empty || face_read_key_header(directory, name, magic, header) == 0;
}

/* What a file is the key of; NULL: it is no key that comes and goes with rows. */
static const char *
what_key(int directory, const char *name, pg_uuid_t *id, FaceKeyHeader *header, bool *empty)
{
	if (face_is_key_name(name, FACE_PHOTOGRAPH_SUFFIX, id) &&
		read_header(directory, name, FACE_PHOTOGRAPH_MAGIC, header, empty))
		return "photograph";
	if (face_is_key_name(name, FACE_TEMPLATE_SUFFIX, id) && !face_is_site_key_name(id) &&
		read_header(directory, name, FACE_TEMPLATE_MAGIC, header, empty))
		return "template";
	return NULL;
}

/* facematch_internal.key_files(): each key there is, which database made it, and whether a crash left it empty */
Datum
facematch_key_files(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			directory;
	DIR		   *listing;
	struct dirent *entry;

	InitMaterializedSRF(fcinfo, 0);
	directory = face_open_key_directory();
	listing = fdopendir(directory);
	if (listing == NULL)
	{
		close(directory);
		face_refuse_key_directory("cannot be read");
	}
	while ((entry = readdir(listing)) != NULL)
	{
		pg_uuid_t	id;
		FaceKeyHeader header;
		Datum		values[5];
		bool		nulls[lengthof(values)] = {false};
		bool		empty;
		const char *what = what_key(dirfd(listing), entry->d_name, &id, &header, &empty);

		if (what == NULL)
			continue;
		values[0] = UUIDPGetDatum(&id);
		values[1] = ObjectIdGetDatum((Oid) header.database);
		values[2] = BoolGetDatum(header.system == GetSystemIdentifier());
		values[3] = CStringGetTextDatum(what);
		values[4] = BoolGetDatum(empty);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	closedir(listing);
	return (Datum) 0;
}
