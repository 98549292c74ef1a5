/*-------------------------------------------------------------------------
 *
 * threshold.h
 *	  The threshold decision: is a reference near enough to a probe?
 *
 * face_match(reference, probe, min_similarity) is what people write.  An index
 * condition has one right-hand side, so probe and threshold also come as one
 * value, a face_probe: reference =~ probe decides as face_match does, and
 * reference =~? probe holds of all that =~ holds of and of what cannot be
 * compared, so that it never raises an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_EMBEDDING_THRESHOLD_H
#define FACEMATCH_EMBEDDING_THRESHOLD_H

#include "embedding/embedding.h"

/* What the limit of a face_probe is of. */
typedef enum FaceProbeKind
{
	FACE_LEAST_SIMILARITY,		/* cosine, in [-1, 1] */
	FACE_MOST_COSINE,			/* a distance; any number but NaN */
	FACE_MOST_EUCLIDEAN,
	FACE_MOST_NEGATIVE_INNER_PRODUCT
} FaceProbeKind;

/* A threshold and a probe; the embedding is a whole datum with its own header, and sealed if it came so. */
typedef struct FaceProbe
{
	int32		vl_len_;		/* varlena header, do not touch directly */
	int32		kind;			/* FaceProbeKind */
	float8		limit;
	FaceEmbedding embedding;
} FaceProbe;

#define DatumGetFaceProbe(d)	((FaceProbe *) PG_DETOAST_DATUM(d))
#define PG_GETARG_FACE_PROBE(n) DatumGetFaceProbe(PG_GETARG_DATUM(n))

/*
 * Where a distance is computed in another way than a comparison computes it,
 * by arithmetic on the limit or from another form of the same threshold, so
 * much more of it, or of 1, passes.
 */
#define FACE_THRESHOLD_SLACK 1e-6

/* Raises 22023 for NaN and 22003 outside [-1, 1]. */
extern void face_check_min_similarity(double min_similarity);

/* Which distance decides, and how far a reference may be away. */
extern FaceMetric face_probe_metric(const FaceProbe *probe);
extern double face_probe_max_distance(const FaceProbe *probe);

#endif							/* FACEMATCH_EMBEDDING_THRESHOLD_H */
