/*-------------------------------------------------------------------------
 *
 * codec.h
 *	  Templates as short codes, probes as look-up tables, and proven bounds.
 *
 * A template u (unit length) is centred, rotated at random and kept as two
 * codes: a sketch (1, 2 or 4 bits a dimension) that a scan reads for every
 * template, and a refinement (4 or 8 bits) that it reads for the few whose
 * sketch passes.  From a code and the probe follow bounds on the distance.
 * Knows nothing of pages.  docs/exactness.md derives what is computed here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_CODEC_H
#define FACEMATCH_INDEX_CODEC_H

#include "embedding/embedding.h"
#include "simd/scan.h"			/* FACE_BLOCK_SLOTS, FaceBlockScalars */

/* What every code of one index has in common. */
typedef struct FaceCodec
{
	int			dims;
	int			padded;			/* dimensions after rotation, multiple of 64 */
	int			sketch_bits;	/* 1, 2 or 4 */
	int			refine_bits;	/* 4 or 8 */
	int			groups;			/* nibbles a sketch: padded * sketch_bits / 4 */
	Size		block_bytes;	/* sketches of one block: groups / 2 * FACE_BLOCK_SLOTS */
	Size		plane_bytes;	/* second bits of one template; 0: the sketch is of more bits anyway */
	Size		refine_bytes;	/* refinement code of one template */
	struct FaceRotation *rotation;
} FaceCodec;

/*
 * A centre: mean of unit-length templates, already rotated.  The zero centre
 * is always valid.
 */
typedef struct FaceCentre
{
	float		norm_squared;	/* of the values below */
	float		values[FLEXIBLE_ARRAY_MEMBER];	/* codec->padded */
} FaceCentre;

/* A block of sketches with its scalars behind it. */
#define FACE_BLOCK_SIZE(codec) ((codec)->block_bytes + sizeof(FaceBlockScalars))

#define FACE_CENTRE_SIZE(codec) (offsetof(FaceCentre, values) + sizeof(float) * (codec)->padded)

/* Per-template numbers beside the sketch, 8 bytes a template. */
typedef struct FaceSketchScalars
{
	uint16		inverse;		/* half: lenmax / (|code| cos) */
	uint16		tangent;		/* half, rounded up: tan of angle(code, residual) */
	int16		centre_product; /* fixed point, |centre| / 32767: unit template . centre */
	uint16		norm;			/* short float, rounded down: |template| */
} FaceSketchScalars;

/* Per-template numbers beside the refinement code. */
typedef struct FaceRefineScalars
{
	float		inverse;		/* 1 / (|code| cos) */
	float		tangent;		/* of angle(code, residual) */
	float		centre_product; /* unit template . centre */
	float		norm;			/* |template| */
} FaceRefineScalars;

/* One template encoded; sketch = groups / 2 bytes (low nibble: even group). */
typedef struct FaceCodes
{
	FaceSketchScalars sketch_scalars;
	FaceRefineScalars refine_scalars;
	FaceSketchScalars plane_scalars;	/* of sketch and second bits together */
	uint8	   *sketch;
	uint8	   *plane;			/* plane_bytes: bit i % 8 of byte i / 8 */
	uint8	   *refine;
} FaceCodes;

/* A probe prepared against one centre. */
typedef struct FaceQuery FaceQuery;

/*
 * All functions palloc in the current memory context.  A query keeps pointers
 * to its codec and centre; query and codes are one chunk each, for pfree.
 */
extern FaceCodec *face_codec_create(int dims, uint64 seed);
extern void face_codec_rotate(const FaceCodec *codec, const FaceEmbedding *e, bool unit, float *out);	/* out: padded */
extern FaceCodes *face_codes_create(const FaceCodec *codec);
extern void face_encode(const FaceCodec *codec, const FaceCentre *centre, const FaceEmbedding *e, FaceCodes *out);

/* Approximate unit template (rotated, centre added back) from its refinement code: out[padded]. */
extern void face_decode(const FaceCodec *codec, const FaceCentre *centre, const uint8 *refine,
						const FaceRefineScalars *s, float *out);

/*
 * Put the sketch and its numbers into, or zero them in, place `slot` of an
 * interleaved block and of the block's numbers.  Neither needs alignment
 * beyond 2 bytes.
 */
extern void face_block_put(const FaceCodec *codec, uint8 *block, FaceBlockScalars *scalars, int slot,
						   const FaceCodes *codes);
extern void face_block_clear(const FaceCodec *codec, uint8 *block, FaceBlockScalars *scalars, int slot);

/*
 * The sketch's share of the miss probability; the rest is the refinement's.
 * What a looser refinement lets through is a few rows to measure, what a looser
 * sketch lets through are thousands of templates to refine.
 */
#define FACE_SKETCH_SHARE	0.8

/* The second bits' share; without them it is the sketch's too. */
#define FACE_PLANE_SHARE	0.1

/*
 * miss_probability in [0, 1): chance that a lower bound exceeds the true
 * distance, per comparison, shared between the stages.  0: the deterministic
 * bound.
 */
extern FaceQuery *face_query_create(const FaceCodec *codec, const FaceCentre *centre, const FaceEmbedding *probe,
									FaceMetric metric, double miss_probability);

/*
 * lower[i] <= distance of template i (but for the miss probability), for
 * nblocks consecutive blocks, each of codec->block_bytes and its scalars;
 * infinity for bounds beyond the limit.  Returns the smallest.  Meanwhile as
 * many bytes at "ahead" are fetched from memory.
 * Slots that hold no template get some value; the caller masks them.  sums, if
 * it is not NULL, gets what the look-ups gave: face_query_plane_bound() wants it.
 */
extern float face_query_sketch_bounds(const FaceQuery *q, int nblocks, const uint8 *blocks, const uint8 *ahead,
									  float limit, float *lower, uint32 *sums);

/*
 * A lower bound on the distance by the first two bits of a template: what its
 * sketch's look-ups gave, and its second bits.
 */
extern double face_query_plane_bound(const FaceQuery *q, uint32 sketch_sum, const uint8 *plane, const FaceSketchScalars *s);

/*
 * Bounds by the refinement code.  lower: may be exceeded with the miss
 * probability (prune by it).  safe_lower <= distance <= safe_upper: at
 * FACE_SAFE_PROBABILITY or better whatever miss_probability says (what the
 * executor is told must never exceed the distance it computes itself, or the
 * query fails).
 */
#define FACE_SAFE_PROBABILITY	1e-15
typedef struct FaceBounds
{
	double		lower;
	double		safe_lower;
	double		safe_upper;
	double		estimate;		/* of the distance: no bound, but where to look first */
} FaceBounds;

/*
 * The same when only what may be within `limit` is of interest: false, with
 * safe_lower and estimate alone filled in, when safe_lower is beyond it.
 */
extern bool face_query_refine_within(const FaceQuery *q, int32 dot, const FaceRefineScalars *s, double limit,
									 FaceBounds *out);

/* What the bounds need of a refinement code. */
extern int32 face_query_refine_dot(const FaceQuery *q, const uint8 *refine);
extern void face_query_refine(const FaceQuery *q, const uint8 *refine, const FaceRefineScalars *s, FaceBounds *out);

#endif							/* FACEMATCH_INDEX_CODEC_H */
