/*-------------------------------------------------------------------------
 *
 * meta.h
 *	  The meta page, and epochs: how templates of one model are encoded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_META_H
#define FACEMATCH_INDEX_META_H

#include "index/page.h"

/* An epoch ready for work: layout, codec, centre.  Cached per backend. */
typedef struct FaceEpochState
{
	FaceEpoch	epoch;
	FaceLayout	layout;
	FaceCodec  *codec;
	FaceCentre *centre;
} FaceEpochState;

extern void face_meta_init(Relation index, ForkNumber fork);
extern void face_meta_read(Relation index, FaceMetaData *meta);
extern const FaceEpochState *face_epoch_state(Relation index, int epoch);
extern int	face_epoch_for(Relation index, int dims, int model);
extern int	face_epoch_add_mean(Relation index, int dims, int model, const float *mean);
extern int	face_epoch_add(Relation index, int dims, int model, uint64 seed, const float *centre);

#endif							/* FACEMATCH_INDEX_META_H */
