/*-------------------------------------------------------------------------
 *
 * rights.h
 *	  Opt-outs and holds, as the guard looks them up for every row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_RIGHTS_H
#define FACEMATCH_RETENTION_RIGHTS_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/uuid.h"

/* Where to look, found once a statement. */
typedef struct FaceRights
{
	Oid			opt_out;
	Oid			opt_out_by_subject;
	AttrNumber	opt_out_revoked;
	AttrNumber	opt_out_until;
	AttrNumber	opt_out_gallery;
	Oid			hold;
	Oid			hold_by_row;
	Oid			hold_by_subject;
	AttrNumber	hold_released;
	AttrNumber	hold_until;
} FaceRights;

extern void face_find_rights(FaceRights *rights);
extern bool face_opted_out(const FaceRights *rights, const pg_uuid_t *subject, bool in_gallery, int64 gallery_id);
extern bool face_held(const FaceRights *rights, List *relids, const char *row_id, const pg_uuid_t *subject);

#endif							/* FACEMATCH_RETENTION_RIGHTS_H */
