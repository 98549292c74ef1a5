/*-------------------------------------------------------------------------
 *
 * row_key.h
 *	  Which key a row's template is sealed under, and what was under which key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_GALLERY_ROW_KEY_H
#define FACEMATCH_GALLERY_ROW_KEY_H

#include "postgres.h"

#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "embedding/sealed.h"

/* What a key is for. */
typedef struct FaceKeyPurpose
{
	int64		gallery_id;
	uint64		class;			/* a hash of its name */
	TimestampTz due;			/* all rows under it are due by then; DT_NOEND: they have no deadline */
	int64		held;			/* of rows that stay although they are due */
} FaceKeyPurpose;

/* Of a row of this gallery, retention class and deadline; infinity: it has none. */
extern FaceKeyPurpose face_key_purpose(int64 gallery_id, text *class, TimestampTz purge_after);

/*
 * Whether a row of this purpose may stay under the key that it is under, which
 * is locked then.  One that is not known here stays.
 */
extern bool face_key_stays(const pg_uuid_t *id, const FaceKeyPurpose *purpose, TimestampTz purge_after);

/* The key that seals a row of this purpose, locked; made if there is none.  class: the text of which the purpose has a hash. */
extern pg_uuid_t face_current_key(const FaceKeyPurpose *purpose, Datum class);

/* A row has gone from one key to another: copies from before stay readable until the first is destroyed too. */
extern void face_note_earlier_key(const pg_uuid_t *from, const pg_uuid_t *to);

/* A template of this table has gone. */
extern void face_note_row_gone(Oid relid, const FaceEmbedding *template);

/* Says on the receipt that was just written which keys the rows were under.  Within SPI_connect. */
extern void face_write_receipt_keys(Oid relid, const char *class);

extern void face_row_key_init(void);

#endif							/* FACEMATCH_GALLERY_ROW_KEY_H */
