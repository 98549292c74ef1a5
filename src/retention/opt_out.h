/*-------------------------------------------------------------------------
 *
 * opt_out.h
 *	  What an opt-out takes out of a table under retention.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_OPT_OUT_H
#define FACEMATCH_RETENTION_OPT_OUT_H

#include "postgres.h"

#include "retention/retained.h"

typedef struct FaceOptOut
{
	const FaceRetained *table;	/* the one to remove from */
	Datum		subject;
	bool		one_gallery;
	Datum		gallery_id;
} FaceOptOut;

extern bool face_concerns(const FaceRetained *table, bool one_gallery);
extern void face_remove_opted_out(void *state);

#endif							/* FACEMATCH_RETENTION_OPT_OUT_H */
