/*-------------------------------------------------------------------------
 *
 * named.h
 *	  What a statement on a user's table names, and what it reaches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_NAMED_H
#define FACEMATCH_BASE_NAMED_H

#include "postgres.h"

#include "nodes/parsenodes.h"

extern bool face_reaches_others(Oid relid);
extern void face_check_named(Query *query, Oid relid, Oid role, bool several);
extern void face_keep_name(Oid relid, const char *sql);

#endif							/* FACEMATCH_BASE_NAMED_H */
