/*-------------------------------------------------------------------------
 *
 * codec.h
 *	  Templates as short codes, probes as look-up tables, and proven bounds.
 *
 * A template u (unit length) is centred, rotated at random and kept as codes:
 * a sketch (1, 2 or 4 bits a dimension) that a scan reads for every template,
 * and a refinement (4 or 8 bits) that it reads for the few whose sketch passes.
 * Where the sketch has one bit, the refinement's four are its bit, the second
 * bits, kept by themselves as a plane that a scan reads before it, and two
 * more.  From a code and the probe follow bounds on the distance.  Knows
 * nothing of pages.  docs/exactness.md derives what is computed here.
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
	int			refine_bits;	/* 2 behind a plane, else 4 or 8 */
	int			groups;			/* nibbles a sketch: padded * sketch_bits / 4 */
	Size		block_bytes;	/* sketches of one block: groups / 2 * FACE_BLOCK_SLOTS */
	Size		plane_bytes;	/* second bits of one template; 0: the sketch has more bits, and there are none */
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

/* Numbers beside each code of a template. */
typedef struct FaceScalars
{
	uint16		inverse;		/* half: lenmax / (|code| cos) */
	uint16		tangent;		/* half, rounded up: tan of angle(code, residual) */
	int16		centre_product; /* fixed point, |centre| / 32767: unit template . centre */
	uint16		norm;			/* short float, rounded down: |template| */
} FaceScalars;

/* One template encoded; sketch = groups / 2 bytes (low nibble: even group). */
typedef struct FaceCodes
{
	FaceScalars sketch_scalars;
	FaceScalars plane_scalars;	/* of sketch and second bits together */
	FaceScalars refine_scalars; /* of all bits */
	uint8	   *sketch;
	uint8	   *plane;			/* plane_bytes: bit i % 8 of byte i / 8 */
	uint8	   *refine;
} FaceCodes;

/* A probe prepared against one centre. */
typedef struct FaceQuery FaceQuery;

/* What a sketch's look-ups gave, in units of the query's. */
typedef uint16 FaceSketchSum;

/*
 * All functions palloc in the current memory context.  A query keeps pointers
 * to its codec and centre; query and codes are one chunk each, for pfree.
 */
extern FaceCodec *face_codec_create(int dims, uint64 seed);
extern void face_codec_rotate(const FaceCodec *codec, const FaceEmbedding *e, bool unit, float *out);	/* out: padded */
extern FaceCodes *face_codes_create(const FaceCodec *codec);
extern void face_encode(const FaceCodec *codec, const FaceCentre *centre, const FaceEmbedding *e, FaceCodes *out);

/* Approximate unit template (rotated, centre added back) from its codes: out[padded]. */
extern void face_decode(const FaceCodec *codec, const FaceCentre *centre, const FaceCodes *codes, float *out);

/*
 * Put the sketch and its numbers into, take them from, or zero them in place
 * `slot` of an interleaved block and of the block's numbers.  Neither needs
 * alignment beyond 2 bytes.
 */
extern void face_block_put(const FaceCodec *codec, uint8 *block, FaceBlockScalars *scalars, int slot,
						   const FaceCodes *codes);
extern void face_block_get(const FaceCodec *codec, const uint8 *block, const FaceBlockScalars *scalars, int slot,
						   FaceCodes *codes);
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
 * it is not NULL, gets what the look-ups gave, for the codes behind the sketch.
 */
extern float face_query_sketch_bounds(const FaceQuery *q, int nblocks, const uint8 *blocks, const uint8 *ahead,
									  float limit, float *lower, FaceSketchSum *sums);

/*
 * What the first two bits of some templates give, FACE_BLOCK_SLOTS at most: their
 * sketches' look-ups, and their second bits, which are FACE_BITS_STRIDE(padded)
 * bytes apart, with room for FACE_BLOCK_SLOTS.
 */
extern void face_query_plane_sums(FaceQuery *q, int count, const FaceSketchSum *sketch_sums, const uint8 *planes,
								  int32 *sums);

/* Bounds by such sums and the numbers beside the second bits, as face_query_sketch_bounds() gives them. */
extern float face_query_plane_bounds(const FaceQuery *q, int nblocks, const FaceBlockScalars *scalars, const int32 *sums,
									 float limit, float *lower);

/* What all bits of a template give; plane_sum is not looked at where there are no second bits. */
extern int32 face_query_refine_sum(const FaceQuery *q, int32 plane_sum, const uint8 *refine);

/*
 * Bounds by that sum and the numbers beside the refinement.  lower: may exceed
 * the distance with the miss probability (prune by it).  safe_lower: at
 * FACE_SAFE_PROBABILITY or better whatever miss_probability says (what the
 * executor is told must never exceed the distance it computes itself, or the
 * query fails).
 */
#define FACE_SAFE_PROBABILITY	1e-15
typedef struct FaceBounds
{
	double		lower;
	double		safe_lower;
	double		estimate;		/* of the distance: no bound, but where to look first */
} FaceBounds;

/* False, with safe_lower and estimate alone filled in, when safe_lower is beyond the limit. */
extern bool face_query_refine(const FaceQuery *q, int32 sum, const FaceScalars *s, double limit, FaceBounds *out);

#endif							/* FACEMATCH_INDEX_CODEC_H */
