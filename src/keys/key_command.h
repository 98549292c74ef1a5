/*-------------------------------------------------------------------------
 *
 * key_command.h
 *	  Keys of templates from a command: the client of a key service.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_KEYS_KEY_COMMAND_H
#define FACEMATCH_KEYS_KEY_COMMAND_H

#include "postgres.h"

#include "utils/uuid.h"

extern bool face_key_command_is_set(void);

/*
 * Runs facematch.key_command for an operation (make, read, site or destroy).
 * What it prints is the key, except with destroy; false: it printed nothing,
 * which says that the key has been destroyed.  All else is an error.
 */
extern bool face_run_key_command(const char *operation, const pg_uuid_t *id, uint8 *key);

extern void face_key_command_init(void);

#endif							/* FACEMATCH_KEYS_KEY_COMMAND_H */
