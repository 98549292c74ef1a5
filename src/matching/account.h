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

#include "matching/attempts.h"

/* Strengths of a match that are told apart, and none. */
#define FACE_STRENGTHS	16

/* A search as it is accounted for. */
typedef struct FaceAsked
{
	const char *kind;			/* identify, verify, record_encounter, search_shards, ask */
	const char *asker;			/* the session's user, or a partner */
	const char *purpose;		/* NULL: not said */
	int64		gallery_id;		/* 0: of a reference that is not there */
	int			candidates;		/* how many were found: none is no hit */
	int			near;			/* how many persons it came near */
	TimestampTz withheld_until; /* of somebody in the gallery, whom the search may have been for; 0: nobody is withheld */
	bool		refused;		/* nothing was told */
} FaceAsked;

extern bool face_is_accounted(void);
extern const char *face_checked_purpose(const char *purpose, bool required, const char *gallery);
extern TimestampTz face_search_due(const char *what);
extern Datum face_random_id(void);
extern void face_record_search(const FaceAsked *search);
extern void face_account_for(FaceAsked *search, const FaceNear *near, int count, bool limited);
extern int	face_strength(double similarity, double threshold);
extern double face_shown_similarity(double similarity, double threshold);
extern double face_asked_threshold(double asked, double own);
extern void face_account_init(void);

#endif							/* FACEMATCH_MATCHING_ACCOUNT_H */
