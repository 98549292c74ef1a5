/*-------------------------------------------------------------------------
 *
 * opt_out.h
 *	  The rows that an opt-out deletes from a table under retention.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_OPT_OUT_H
#define FACEMATCH_RETENTION_OPT_OUT_H

#include "postgres.h"

#include "commands/trigger.h"

#include "retention/retained.h"

typedef struct FaceOptOut
{
	const FaceRetained *table;	/* the one to remove from */
	Datum		subject;		/* any of the person's */
	Datum		opt_out_id;
	bool		one_gallery;
	Datum		gallery_id;
} FaceOptOut;

extern bool face_concerns(const FaceRetained *table, bool one_gallery);
extern void face_remove_opted_out(void *state);
extern List *face_standing_opt_outs(Datum subject);
extern void face_opt_out_recorded(const TriggerData *trigger);
extern void face_carry_out_opt_outs(Datum subject);

#endif							/* FACEMATCH_RETENTION_OPT_OUT_H */
