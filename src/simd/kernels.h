/*-------------------------------------------------------------------------
 *
 * kernels.h
 *	  What the instruction sets' files share: the order of summation.
 *
 * Private to src/simd and its tests.  README.md here says why all kernels
 * give the same bits and what a new one must do.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_SIMD_KERNELS_H
#define FACEMATCH_SIMD_KERNELS_H

#include <string.h>

#include "simd/scan.h"
#include "simd/simd.h"

/*
 * Element i is added to lane i mod FACE_LANES.  32 gives AVX2 four and AVX-512
 * two independent sums, which hide the latency of addition behind the two
 * conversions that each step needs; 64 measured no faster (README.md).
 */
#define FACE_LANES	32

extern const FaceKernels face_kernels_portable;
#if defined(__x86_64__)
extern const FaceKernels face_kernels_avx2;
extern const FaceKernels face_kernels_avx512;
#elif defined(__aarch64__)
extern const FaceKernels face_kernels_neon;
#endif

/* Every table of this build, widest first, whatever this CPU can run; NULL at the end. */
extern const FaceKernels *const face_simd_built[];

/* Does this processor carry out 512-bit instructions in two halves? */
extern bool face_simd_has_halves(void);

/*
 * "auto" of these tables, widest first and NULL at the end, for a processor
 * whose widest instructions work in two halves, or for one that has them whole;
 * needs a table to put it into if it is none of them.
 */
typedef struct FaceMixedKernels
{
	FaceKernels kernels;
	struct FaceScanKernels scan;
} FaceMixedKernels;

extern const FaceKernels *face_simd_mix(const FaceKernels *const *tables, bool halves, FaceMixedKernels *mixed);

/* The name of a table, and of an instruction set's function: LEVEL is the set's own name. */
#define FACE_PASTE(a, b)		a##_##b
#define FACE_NAME(a, b)			FACE_PASTE(a, b)
#define KERNEL(name)			FACE_NAME(LEVEL, name)
#define FACE_QUOTE(a)			#a
#define FACE_STRING(a)			FACE_QUOTE(a)

/* Copy the last n < FACE_LANES components to a full step, zeros after them. */
static inline void
face_pad_tail(uint16 *step, const uint16 *src, int n)
{
	memset(step, 0, FACE_LANES * sizeof(uint16));
	memcpy(step, src, n * sizeof(uint16));
}

#endif							/* FACEMATCH_SIMD_KERNELS_H */
