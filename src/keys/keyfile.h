/*-------------------------------------------------------------------------
 *
 * keyfile.h
 *	  Files of keys, in a directory outside the data directory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_KEYS_KEYFILE_H
#define FACEMATCH_KEYS_KEYFILE_H

#include "postgres.h"

#include "utils/uuid.h"

#define FACE_KEY_NAME	64		/* room for a file's name */

/* Suffixes and magics of the files that a key is in. */
#define FACE_PHOTOGRAPH_SUFFIX	".key"
#define FACE_PHOTOGRAPH_MAGIC	"facekey1"
#define FACE_TEMPLATE_SUFFIX	".template"
#define FACE_TEMPLATE_MAGIC		"facekey2"

/* What each file begins with. */
typedef struct FaceKeyHeader
{
	char		magic[8];
	uint64		system;			/* the cluster and the database that made it */
	uint64		database;
} FaceKeyHeader;

extern bool face_key_directory_is_set(void);
extern int	face_open_key_directory(void);
extern int	face_open_key_directory_locked(int mode);
extern void face_refuse_key_directory(const char *why);
extern void face_report_key(int elevel, const char *what, int problem);

extern void face_name_key(const pg_uuid_t *id, const char *suffix, char *name);
extern bool face_is_key_name(const char *name, const char *suffix, pg_uuid_t *id);
extern void face_fill_key_header(FaceKeyHeader *header, const char *magic);
extern bool face_is_anothers_key(const FaceKeyHeader *header);

/* 0 or errno. */
extern int	face_make_key_file(int directory, const char *name, const void *content, size_t size);
extern int	face_store_key_file(int directory, const char *name, const void *content, size_t size);
extern int	face_read_key_file(int directory, const char *name, const char *magic, FaceKeyHeader *content, size_t size);
extern int	face_read_key_header(int directory, const char *name, const char *magic, FaceKeyHeader *header);
extern int	face_flush_key_file(int directory, const char *name);
extern int	face_destroy_key_file(int directory, const char *name);
extern bool face_key_file_is_empty(int directory, const char *name);

/* The names of templates' keys that were destroyed.  To write one, with the directory locked: 0 or errno. */
extern bool face_key_was_destroyed(int directory, const pg_uuid_t *id);
extern int	face_note_destroyed_key(int directory, const pg_uuid_t *id);

extern void face_keyfile_init(void);

#endif							/* FACEMATCH_KEYS_KEYFILE_H */
