/*-------------------------------------------------------------------------
 *
 * tail.h
 *	  Tail of one coordinate of a uniform point on a sphere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_TAIL_H
#define FACEMATCH_INDEX_TAIL_H

/* P(Z > z), Z one coordinate of a uniform point on the unit sphere of R^n; n >= 2, z in [0, 1] */
extern double face_sphere_tail(int n, double z);

/* The z with P(Z > z) = p: 1 for p = 0, 0 for p >= 1/2. */
extern double face_sphere_quantile(int n, double p);

#endif							/* FACEMATCH_INDEX_TAIL_H */
