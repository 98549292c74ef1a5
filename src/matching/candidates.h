/*-------------------------------------------------------------------------
 *
 * candidates.h
 *	  The candidates of a search, by reference and by person.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_MATCHING_CANDIDATES_H
#define FACEMATCH_MATCHING_CANDIDATES_H

#include "postgres.h"

#include "utils/snapshot.h"
#include "utils/uuid.h"

#include "embedding/embedding.h"

/*
 * What an opt-out, a rule or an event could not reach, such as a reference
 * that another transaction had staged and not committed, matches nobody.  The
 * policy of the table says so too, but not to its owner, as whom searches run.
 */
#define FACE_REACHED \
	" AND facematch_internal.is_reached('facematch.reference'::pg_catalog.regclass, r.subject_id, r.retention_class, r.gallery_id)"

/* A gallery as a search needs it. */
typedef struct FaceSearched
{
	int64		gallery_id;
	char	   *name;
	char	   *model;
	int16		model_tag;
	int16		dims;
	double		threshold;		/* its own */
	bool		purpose_required;
	Snapshot	snapshot;		/* of its searches; NULL: the newest each time */
	const char *asker;			/* from whom persons are withheld; NULL: nobody is */
} FaceSearched;

/* A reference that was found, or a person: by its best reference, or by the mean of all, returned with the first of them. */
typedef struct FaceCandidate
{
	int64		reference_id;
	pg_uuid_t	subject;
	pg_uuid_t	person;			/* what all subjects of its person have in common */
	double		similarity;
	char	   *retention_class;	/* of the reference */
	int64		matches;		/* of the person's references, how many reach the threshold */
} FaceCandidate;

/* The best of a search, most similar first; equal ones in order of reference_id. */
typedef struct FaceCandidates
{
	FaceCandidate *list;
	int			count;
	bool		all;			/* there is nothing more that reaches the least similarity */
} FaceCandidates;

extern void face_find_gallery(const text *name, FaceSearched *gallery);
extern void face_find_gallery_by_id(int64 gallery_id, FaceSearched *gallery);
extern void face_check_probe(const FaceEmbedding *probe, const FaceSearched *gallery, double min_similarity);
extern void face_find_references(const FaceSearched *gallery, const FaceEmbedding *probe, double least, int64 most,
								 FaceCandidates *found);
extern void face_find_persons(const FaceSearched *gallery, const FaceEmbedding *probe, double threshold, double least, bool whole,
							  int most, bool mean, FaceCandidates *persons, FaceCandidates *references);
extern void face_find_of_persons(const FaceSearched *gallery, const FaceEmbedding *probe, const FaceCandidates *persons,
								 FaceCandidates *found);
extern void face_find_of_subject(const FaceSearched *gallery, const FaceEmbedding *probe, const pg_uuid_t *subject,
								 FaceCandidates *found);

/* References by person, the best of each first, in the order of a list of candidates. */
extern int	face_by_person(const void *a, const void *b);
extern const FaceCandidate **face_sorted_by_person(const FaceCandidates *references);

#endif							/* FACEMATCH_MATCHING_CANDIDATES_H */
