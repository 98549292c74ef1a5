/*-------------------------------------------------------------------------
 *
 * rotation.h
 *	  A seeded random rotation of templates.
 *
 * Belongs to the codec (codec.h).  The bounds of docs/exactness.md hold over
 * the choice of this rotation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_ROTATION_H
#define FACEMATCH_INDEX_ROTATION_H

#include "postgres.h"

/* The padded size is a multiple of this, which is also the smallest. */
#define FACE_ROTATION_UNIT	64

typedef struct FaceRotation FaceRotation;

/* Dimensions after zero padding. */
extern int	face_rotation_padded(int dims);

/* palloc'd; the same seed gives the same rotation on every machine. */
extern FaceRotation *face_rotation_create(int dims, uint64 seed);

/* Rotate x[0 .. padded - 1] in place. */
extern void face_rotation_apply(const FaceRotation *rotation, float *x);

#endif							/* FACEMATCH_INDEX_ROTATION_H */
