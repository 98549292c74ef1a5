/*-------------------------------------------------------------------------
 *
 * person.h
 *	  The subjects that are one person.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_PERSON_H
#define FACEMATCH_RETENTION_PERSON_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/uuid.h"

extern List *face_aliases(const pg_uuid_t *subject);
extern Datum face_alias_array(const pg_uuid_t *subject);
extern pg_uuid_t face_person(const pg_uuid_t *subject);

#endif							/* FACEMATCH_RETENTION_PERSON_H */
