/*-------------------------------------------------------------------------
 *
 * scan_common.h
 *	  What the instruction sets' scan kernels share.
 *
 * Private to src/simd.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_SIMD_SCAN_COMMON_H
#define FACEMATCH_SIMD_SCAN_COMMON_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "simd/half.h"
#include "simd/scan.h"

/* Entries of a look-up table: the values of a nibble. */
#define FACE_SKETCH_TABLE	16

/* Bytes that one prefetch brings. */
#define FACE_CACHE_LINE		64

/*
 * Fetch what comes after a block's sketches: its numbers.  The kernels fetch
 * the sketches, a line at a time between their look-ups: all at once they would
 * wait for the processor's few buffers.  Left to itself the processor, whose
 * own prefetching ends with each page of memory, took twice as long.
 */
static inline void
face_prefetch_scalars(const uint8 *scalars)
{
	for (size_t offset = 0; offset <= sizeof(FaceBlockScalars); offset += FACE_CACHE_LINE)
		__builtin_prefetch(scalars + offset);
}

/* Element i is added to lane i mod 8, as one AVX register does. */
#define FACE_QUANTIZE_LANES 8

static inline float
face_sum_lanes(const float *lanes)
{
	float		even = (lanes[0] + lanes[4]) + (lanes[2] + lanes[6]);
	float		odd = (lanes[1] + lanes[5]) + (lanes[3] + lanes[7]);

	return even + odd;
}

#endif							/* FACEMATCH_SIMD_SCAN_COMMON_H */
