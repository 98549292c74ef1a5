/*-------------------------------------------------------------------------
 *
 * match.h
 *	  The threshold decision: is a reference similar enough to a probe?
 *
 * face_match(reference, probe, min_similarity) is what people write.  Its
 * other form, reference =~ face_probe(probe, min_similarity), puts probe and
 * threshold into one value, because an index condition has one right-hand
 * side.  Both decide through face_is_match().
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_MATCHING_MATCH_H
#define FACEMATCH_MATCHING_MATCH_H

#include "embedding/embedding.h"

/* A threshold and a probe; the embedding is a whole datum with its own header. */
typedef struct FaceProbe
{
	int32		vl_len_;		/* varlena header, do not touch directly */
	int32		unused;			/* keeps the threshold aligned; always 0 */
	float8		min_similarity; /* in [-1, 1] */
	FaceEmbedding embedding;
} FaceProbe;

#define FACE_PROBE_SIZE(dims) \
	(offsetof(FaceProbe, embedding) + FACE_EMBEDDING_SIZE(dims))

#define DatumGetFaceProbe(d)	((FaceProbe *) PG_DETOAST_DATUM(d))
#define PG_GETARG_FACE_PROBE(n) DatumGetFaceProbe(PG_GETARG_DATUM(n))

/* Raises 22023 for NaN and 22003 outside [-1, 1]. */
extern void face_check_min_similarity(double min_similarity);

extern FaceProbe *face_probe_make(const FaceEmbedding *probe, double min_similarity);

/* face_cosine_similarity(reference, probe) >= min_similarity */
extern bool face_is_match(const FaceEmbedding *reference, const FaceEmbedding *probe,
						  double min_similarity);
extern bool face_probe_matches(const FaceEmbedding *reference, const FaceProbe *probe);

#endif							/* FACEMATCH_MATCHING_MATCH_H */
