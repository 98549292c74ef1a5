/*-------------------------------------------------------------------------
 *
 * recompute.h
 *	  Deadlines of a subject's rows, computed again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_RECOMPUTE_H
#define FACEMATCH_RETENTION_RECOMPUTE_H

#include "postgres.h"

#include "commands/trigger.h"

#include "retention/retained.h"
#include "retention/rules.h"

extern void face_gallery_moved(const TriggerData *trigger);
extern void face_rule_changed(const TriggerData *trigger);
extern void face_event_happened(const TriggerData *trigger);
extern void face_recompute_subject(Datum subject, const char *cause);
extern void face_recompute_class(const FaceRetained *table, Datum class, const FaceCommand *new_rules);

#endif							/* FACEMATCH_RETENTION_RECOMPUTE_H */
