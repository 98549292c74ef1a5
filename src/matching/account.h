/*-------------------------------------------------------------------------
 *
 * account.h
 *	  What every search leaves behind, and how often one may search.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_MATCHING_ACCOUNT_H
#define FACEMATCH_MATCHING_ACCOUNT_H

#include "postgres.h"

#include "utils/uuid.h"

/* Comparison scores this far below a threshold count as attempts that came near. */
#define FACE_NEAR	0.15

/* Strengths of a match that are told apart, and none. */
#define FACE_STRENGTHS	16

/* A person whom a search came near. */
typedef struct FaceNear
{
	pg_uuid_t	subject;		/* one pseudonym of the person */
	bool		missed;			/* just below the threshold */
	int			attempts;		/* how many this search is worth */
} FaceNear;

/* A search as it is accounted for. */
typedef struct FaceAsked
{
	const char *kind;			/* identify, verify, record_encounter, search_shards, ask */
	const char *asker;			/* the session's user, or a partner */
	const char *purpose;		/* NULL: not said */
	int64		gallery_id;		/* 0: of a reference that is not there */
	int			candidates;		/* how many were found: none is no hit */
	int			near;			/* how many persons it came near */
	bool		refused;		/* one of them too often: nothing was told */
} FaceAsked;

extern bool face_is_accounted(void);
extern const char *face_checked_purpose(const char *purpose, bool required, const char *gallery);
extern void face_record_search(const FaceAsked *search);
extern void face_account_for(FaceAsked *search, const FaceNear *near, int count, bool limited);
extern FaceNear face_near(const pg_uuid_t *subject, double similarity, double threshold);
extern int	face_attempts(int alike);
extern int	face_strength(double similarity, double threshold);
extern double face_shown_similarity(double similarity, double threshold);
extern double face_asked_threshold(double asked, double own);
extern void face_account_init(void);

#endif							/* FACEMATCH_MATCHING_ACCOUNT_H */
