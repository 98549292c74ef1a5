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
	FaceEpoch	epoch;			/* with the seed, if it is sealed as well */
	bool		closed;			/* sealed, and not opened: the shape of pages is right, seed and centre are not */
	FaceLayout	layout;
	FaceCodec  *codec;
	FaceCentre *centre;
} FaceEpochState;

extern void face_meta_init(Relation index, ForkNumber fork);
extern void face_meta_read(Relation index, FaceMetaData *meta);

/* Without `open`, or where the site's key is gone, a sealed epoch stays closed.  With it, not with a page locked. */
extern const FaceEpochState *face_epoch_state(Relation index, int epoch, bool open);

/* Raise an error where seed and centre are wanted of a closed epoch. */
extern void face_epoch_require(Relation index, const FaceEpochState *state);

/* What an epoch's centre pages hold: how much, and whether what is sealed can be opened unless its key is gone. */
extern Size face_centre_size(const FaceEpoch *epoch);
extern bool face_centre_opens(Relation index, const FaceEpoch *epoch);

/* The newest epoch of templates of a kind: on the meta page, -1 for none; and in the index, made if there is none. */
extern int	face_epoch_find(const FaceMetaData *meta, FaceTemplateKind kind);
extern int	face_epoch_for(Relation index, FaceTemplateKind kind);
extern int	face_epoch_add_mean(Relation index, FaceTemplateKind kind, const float *mean);
extern int	face_epoch_add(Relation index, FaceTemplateKind kind, uint64 seed, const float *centre);

#endif							/* FACEMATCH_INDEX_META_H */
