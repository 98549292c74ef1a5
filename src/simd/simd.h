/*-------------------------------------------------------------------------
 *
 * simd.h
 *	  Distance kernels over half-precision components, chosen at run time.
 *
 * The lowest layer: knows arrays of numbers, nothing of PostgreSQL beyond its
 * integer types.  One file per instruction set, one table per file, and
 * dispatch.c picks the table by CPU or by the facematch.simd setting.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_SIMD_SIMD_H
#define FACEMATCH_SIMD_SIMD_H

#include "c.h"

/*
 * All tables return the same bits for the same arguments (README.md), whatever
 * the alignment.  Distances are defined for finite halves and n >= 0.
 */
typedef struct FaceKernels
{
	const char *name;			/* "portable", "avx2", "avx512", "neon" */

	/* sum of a[i] * b[i] */
	double		(*dot) (int n, const uint16 *a, const uint16 *b);

	/* sum of (a[i] - b[i])^2 */
	double		(*l2_squared) (int n, const uint16 *a, const uint16 *b);

	/* IEEE half <-> float32, round to nearest even; overflow gives infinity */
	void		(*half_to_float) (int n, const uint16 *src, float *dst);
	void		(*float_to_half) (int n, const float *src, uint16 *dst);

	/* the index's kernels for the same instruction set */
	const struct FaceScanKernels *scan;
} FaceKernels;

/*
 * The table in use.  Points to the portable one until face_simd_init(), which
 * takes "auto": the widest table that this CPU can run, but for the kernels
 * that measured faster in a narrower one.
 */
extern const FaceKernels *face_kernels;

/* Called once by _PG_init. */
extern void face_simd_init(void);

/* A table by name, or "auto"; NULL if it cannot run here. */
extern const FaceKernels *face_simd_find(const char *name);

/* Switch to a table by name, or to "auto"; false if it cannot run here. */
extern bool face_simd_select(const char *name);

/* Every table of this build that this CPU can run, widest first; NULL at the end. */
extern const FaceKernels *const *face_simd_available(void);

/* A kernel of a table, and the name of the table that it is from. */
typedef struct FaceKernelPart
{
	const char *kernel;
	const char *level;
} FaceKernelPart;

/* The parts of a table, by number from 0; false behind the last. */
extern bool face_simd_part(const FaceKernels *table, int number, FaceKernelPart *part);

#endif							/* FACEMATCH_SIMD_SIMD_H */
