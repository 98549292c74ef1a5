/*-------------------------------------------------------------------------
 *
 * retained.h
 *	  The tables under retention, and the receipts and events for their rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_RETAINED_H
#define FACEMATCH_RETENTION_RETAINED_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/uuid.h"

#include "retention/rules.h"

/* A row of facematch_internal.retained.  Columns that the table has not are NULL. */
typedef struct FaceRetained
{
	Oid			relid;
	char	   *what;
	char	   *key;
	char	   *class;
	char	   *subject;
	char	   *template;
	char	   *gallery;
	char	   *recorded;
	char	   *verified;
	char	   *anchor;
	bool		keeps_row;		/* an opt-out clears the template, the rest of the row is a record */
} FaceRetained;

/* What holds keep in a table: text[] of row ids, uuid[] of subjects. */
typedef struct FaceKept
{
	Datum		rows;
	Datum		subjects;
} FaceKept;

/* A reason to compute deadlines again that may move them away. */
typedef struct FaceRecompute
{
	Oid			relid;			/* the table under recomputation */
	bool		rules;			/* rules changed; else an anchor did */
	const FaceCommand *new_rules;	/* whose rules may move deadlines away, or NULL */
	bool		gallery;		/* the anchor is the gallery's: as it was */
	TimestampTz anchor;
	TimestampTz ceiling;
	const char *event;			/* or a subject's event: as it was */
	TimestampTz event_at;
	uint64		nearer;			/* counted by the guard */
	uint64		farther;
} FaceRecompute;

extern List *face_retained_tables(void);
extern const FaceRetained *face_retained_among(List *relids);
extern FaceKept face_kept_by_holds(Oid relid);
extern bool face_holds_name(Oid relid, Datum keys, Datum galleries, Datum subjects);
extern char *face_not_held(const FaceRetained *table, const char *alias, int first);
extern void face_fire_deferred(Oid table, Oid part);
extern void face_lock_for_rules(const FaceRetained *table);
extern void face_recompute_rows(const FaceRetained *table, FaceRecompute *why, const char *column, Oid type, Datum value);
extern const FaceRecompute *face_recomputing(Oid relid, List *ancestors);
extern void face_count_recomputed(bool farther);

extern void face_write_receipt(const char *cause, Oid relid, const char *class, uint64 rows, uint64 held,
							   TimestampTz earliest, TimestampTz latest, ArrayType *subjects);
extern void face_write_audit(const char *action, char *detail);

#endif							/* FACEMATCH_RETENTION_RETAINED_H */
