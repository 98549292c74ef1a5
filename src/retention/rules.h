/*-------------------------------------------------------------------------
 *
 * rules.h
 *	  The retention rules, cached in the backend, and the deadline they give.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_RULES_H
#define FACEMATCH_RETENTION_RULES_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "gallery/gallery.h"

/* Events that every row may know itself; any other is an event of its subject. */
typedef enum FaceAnchorKind
{
	FACE_ANCHOR_RECORDED,		/* the row's photograph was taken or enrolled */
	FACE_ANCHOR_VERIFICATION,	/* the person's identity was verified */
	FACE_ANCHOR_GALLERY,		/* the event its gallery is for: the departure */
	FACE_ANCHOR_EVENT			/* a row of facematch.anchor_event */
} FaceAnchorKind;

typedef struct FaceTerm
{
	FaceAnchorKind kind;
	char	   *anchor;
	Interval	keep;
} FaceTerm;

/* The command that inserted a rule or changed it. */
typedef struct FaceCommand
{
	TransactionId xid;
	CommandId	cid;
} FaceCommand;

typedef struct FaceRule
{
	char	   *name;
	FaceCommand written_by;
	char	   *class;
	char	   *what;
	TimestampTz valid_from;
	TimestampTz valid_to;
	bool		latest;			/* the latest of the terms, else the earliest */
	bool		follows_anchor;	/* an anchor that moves away takes the deadline along */
	bool		lengthens;		/* applies to rows that exist even where it is longer */
	bool		has_fallback;
	FaceTerm	fallback;
	int			nterms;
	FaceTerm   *terms;
} FaceRule;

/* All rules of one class and kind of row, in order of valid_from. */
typedef struct FaceRuleSet
{
	char	   *class;
	char	   *what;
	int			nrules;
	FaceRule   *rules;
} FaceRuleSet;

/* What is known of a row.  Times that are not known are DT_NOEND. */
typedef struct FaceFacts
{
	TimestampTz recorded;
	TimestampTz verified;
	TimestampTz anchor;			/* its own, or its gallery's */
	TimestampTz ceiling;		/* the gallery's own deadline */
	const pg_uuid_t *subject;	/* or NULL */
	const char *event;			/* an event to take from here and not from the table, or NULL */
	TimestampTz event_at;
} FaceFacts;

/* A deadline, and why. */
typedef struct FaceDue
{
	TimestampTz due;			/* DT_NOEND: none */
	const FaceRule *rule;
	const FaceTerm *term;		/* what it counts from; NULL: nothing has happened yet */
	TimestampTz anchor_at;
	bool		lengthened;		/* a later rule that says so made it longer */
	bool		capped;			/* the gallery goes first */
} FaceDue;

extern const FaceRuleSet *face_rule_set(const char *what, const text *class);
extern FaceFacts face_facts(TimestampTz recorded, TimestampTz verified, TimestampTz anchor, const FaceGallery *gallery,
							const pg_uuid_t *subject, TimestampTz now);
extern FaceDue face_due(const FaceRuleSet *set, const FaceFacts *facts, const FaceCommand *without);
extern bool face_event_matters(const char *event);
extern void face_forget_rules(void);

#endif							/* FACEMATCH_RETENTION_RULES_H */
