/*-------------------------------------------------------------------------
 *
 * facts.h
 *	  The facts outside a row on which its deadline depends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_FACTS_H
#define FACEMATCH_RETENTION_FACTS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

extern TimestampTz face_anchor_event(const pg_uuid_t *subject, const char *event, int64 but);

extern void face_share_subject(Oid lock_class, const pg_uuid_t *subject);
extern void face_share_all_subjects(Oid lock_class);
extern void face_own_subject(const pg_uuid_t *subject);
extern bool face_lock_subject(Datum subject, int tables_left);
extern void face_facts_init(void);

#endif							/* FACEMATCH_RETENTION_FACTS_H */
