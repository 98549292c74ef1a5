/*-------------------------------------------------------------------------
 *
 * attempt.h
 *	  Work on a user's table that may refuse, or not end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_ATTEMPT_H
#define FACEMATCH_BASE_ATTEMPT_H

#include "datatype/timestamp.h"

extern bool face_attempt(Oid table, const char *what, TimestampTz until, void (*work) (void *state), void *state);
extern TimestampTz face_purge_table_until(int tables_left);
extern TimestampTz face_table_until(int tables_left);
extern TimestampTz face_share_of_time(TimestampTz until, int parts_left);
extern void face_limited(Oid table, TimestampTz until, void (*work) (void *state), void *state);
extern void face_attempt_init(void);

#endif							/* FACEMATCH_BASE_ATTEMPT_H */
