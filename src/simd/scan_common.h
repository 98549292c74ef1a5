/*-------------------------------------------------------------------------
 *
 * scan_common.h
 *	  What the instruction sets' scan kernels share.
 *
 * Private to src/simd.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_SCAN_COMMON_H
#define FACEMATCH_SCAN_COMMON_H

#include <string.h>

#include "simd/half.h"
#include "simd/scan.h"

/* Entries of a look-up table: the values of a nibble. */
#define FACE_SKETCH_TABLE	16

/*
 * Sketches are fetched so far ahead of their use; past the end of an array the
 * fetch is idle, it cannot fault.  The processor's own prefetching left a scan
 * from memory at 2.3 times a plain read of its bytes; 2 kB ahead it takes 1.2
 * to 1.3 times, 1 kB and 3 kB 1.4 (AMD Zen 3, 512 dimensions).
 */
#define FACE_PREFETCH_BYTES 2048

/* Element i is added to lane i mod 8, as one AVX register does. */
#define FACE_QUANTIZE_LANES 8

static inline float
face_sum_lanes(const float *lanes)
{
	float		even = (lanes[0] + lanes[4]) + (lanes[2] + lanes[6]);
	float		odd = (lanes[1] + lanes[5]) + (lanes[3] + lanes[7]);

	return even + odd;
}

#endif							/* FACEMATCH_SCAN_COMMON_H */
