/*-------------------------------------------------------------------------
 *
 * opt_outs_and_holds.h
 *	  Opt-outs and holds, as the guard looks them up for every row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_OPT_OUTS_AND_HOLDS_H
#define FACEMATCH_RETENTION_OPT_OUTS_AND_HOLDS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/uuid.h"

/* Where to look, found once a statement. */
typedef struct FaceLookups
{
	Oid			opt_out;
	Oid			opt_out_by_subject;
	AttrNumber	opt_out_revoked;
	AttrNumber	opt_out_until;
	AttrNumber	opt_out_gallery;
	Oid			hold;
	Oid			gallery;
	Oid			hold_by_row;
	Oid			hold_by_subject;
	AttrNumber	hold_released;
	AttrNumber	hold_until;
} FaceLookups;

extern void face_find_lookups(FaceLookups *lookups);
extern bool face_opted_out(const FaceLookups *lookups, const pg_uuid_t *subject, bool in_gallery, int64 gallery_id);
extern bool face_declines(const pg_uuid_t *subject, bool in_gallery, int64 gallery_id, const char *class, const char *purpose,
						  TimestampTz recorded);
extern bool face_held(const FaceLookups *lookups, List *relids, const char *row_id, const pg_uuid_t *subject,
					  bool in_gallery, int64 gallery_id);

#endif							/* FACEMATCH_RETENTION_OPT_OUTS_AND_HOLDS_H */
