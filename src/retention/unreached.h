/*-------------------------------------------------------------------------
 *
 * unreached.h
 *	  Rows that an opt-out, a rule or an event applies to, and that could not be
 *	  reached.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_UNREACHED_H
#define FACEMATCH_RETENTION_UNREACHED_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/uuid.h"

#include "retention/retained.h"

/* By what the rows are known. */
typedef enum FaceUnreachedKind
{
	FACE_UNREACHED_OPT_OUT = 'o',	/* a subject, who has opted out */
	FACE_UNREACHED_EVENT = 'e', /* a subject, to whom something has happened */
	FACE_UNREACHED_CLASS = 'c', /* a retention class, whose rules have changed */
	FACE_UNREACHED_LONGER = 'l',	/* the command that wrote a rule, and its class: deadlines may move away; hides nothing */
	FACE_UNREACHED_GALLERY = 'g'	/* a gallery, whose anchor has moved */
} FaceUnreachedKind;

extern void face_note_unreached(const FaceRetained *table, FaceUnreachedKind kind, const char *value);
extern List *face_unreached(Oid relid);
extern void face_reach(const FaceRetained *table, const char *entry);

#endif							/* FACEMATCH_RETENTION_UNREACHED_H */
