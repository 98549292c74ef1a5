/*-------------------------------------------------------------------------
 *
 * attempts.h
 *	  How often searches may come near one person.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_MATCHING_ATTEMPTS_H
#define FACEMATCH_MATCHING_ATTEMPTS_H

#include "postgres.h"

#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Comparison scores this far below a threshold, at most, count as attempts that came near. */
#define FACE_NEAR	0.06

/* A person whom a search came near. */
typedef struct FaceNear
{
	pg_uuid_t	subject;		/* one pseudonym of the person */
	bool		missed;			/* one of its references, at least, is below the threshold */
	int			attempts;		/* how many this search is worth */
} FaceNear;

extern int	face_attempts(int alike);
extern TimestampTz face_next_attempt(const char *asker, const pg_uuid_t *subject);
extern TimestampTz face_record_attempts(const char *asker, const FaceNear *near, int count);
extern void face_refuse_attempt(TimestampTz next);
extern TimestampTz face_withheld_until(const char *asker, const pg_uuid_t *subject);
extern TimestampTz face_withheld_in(const char *asker, int64 gallery_id);
extern void face_attempts_init(void);

#endif							/* FACEMATCH_MATCHING_ATTEMPTS_H */
