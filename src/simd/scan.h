/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  Kernels of the index scan: sketch sums, sketch bounds, refinement dots.
 *
 * Beside simd.h in the lowest layer and chosen together with it.  Every
 * integer result is the same on every instruction set; so are the bounds, as
 * they use only operations that IEEE 754 defines to the last bit.
 * docs/exactness.md derives the arithmetic, index/codec.h gives it meaning.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_SCAN_H
#define FACEMATCH_SCAN_H

#include "c.h"

/* Templates whose sketches are interleaved so that one shuffle scores all. */
#define FACE_BLOCK_SLOTS	16

/*
 * The numbers beside the sketches of one block, by kind, 128 bytes.  See
 * FaceSketchScalars in index/codec.h for what they are.
 */
typedef struct FaceBlockScalars
{
	uint16		inverse[FACE_BLOCK_SLOTS];
	uint16		tangent[FACE_BLOCK_SLOTS];
	int16		centre_product[FACE_BLOCK_SLOTS];
	uint16		norm[FACE_BLOCK_SLOTS];
} FaceBlockScalars;

#endif							/* FACEMATCH_SCAN_H */
