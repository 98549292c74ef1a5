/*-------------------------------------------------------------------------
 *
 * facts.h
 *	  What a row's deadline depends on outside the row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_FACTS_H
#define FACEMATCH_RETENTION_FACTS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

typedef struct FaceGallery
{
	int64		gallery_id;
	bool		exists;
	bool		closed;
	int16		model_tag;
	int16		dims;
	TimestampTz anchor;			/* DT_NOEND: none */
	TimestampTz purge_after;
} FaceGallery;

extern const FaceGallery *face_gallery(int64 gallery_id, bool lock);
extern TimestampTz face_anchor_event(const pg_uuid_t *subject, const char *event);

extern void face_share_subject(Oid lock_class, const pg_uuid_t *subject);
extern void face_share_all_subjects(Oid lock_class);
extern void face_own_subject(Oid lock_class, const pg_uuid_t *subject);
extern void face_forget_facts(void);
extern void face_facts_init(void);

#endif							/* FACEMATCH_RETENTION_FACTS_H */
