/*-------------------------------------------------------------------------
 *
 * declined.h
 *	  The subjects who have opted out, remembered for a bulk load.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_DECLINED_H
#define FACEMATCH_RETENTION_DECLINED_H

#include "postgres.h"

#include "utils/uuid.h"

extern bool face_may_have_declined(Oid opt_out, const pg_uuid_t *subject);
extern void face_forget_declined(void);

#endif							/* FACEMATCH_RETENTION_DECLINED_H */
