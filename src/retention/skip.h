/*-------------------------------------------------------------------------
 *
 * skip.h
 *	  Rows that were left out because their subjects have opted out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_SKIP_H
#define FACEMATCH_RETENTION_SKIP_H

#include "postgres.h"

#include "commands/trigger.h"
#include "utils/uuid.h"

extern bool face_skips_opted_out(void);
extern void face_skip(Oid relid, const pg_uuid_t *subject, bool in_gallery, int64 gallery_id);
extern void face_report_skipped(const TriggerData *trigger);
extern void face_skip_init(void);

#endif							/* FACEMATCH_RETENTION_SKIP_H */
