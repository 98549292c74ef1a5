/*-------------------------------------------------------------------------
 *
 * openblas.h
 *	  Matrix multiplication by the serial OpenBLAS.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_ACCURACY_OPENBLAS_H
#define FACEMATCH_ACCURACY_OPENBLAS_H

/*
 * scores[m][n] = a[m][k] * transpose of b[n][k], all rows contiguous.  Loads
 * OpenBLAS at the first call; 58P01 or 0A000 if it cannot be had serial.
 *
 * The products of FACE_SGEMM_CHUNK dimensions are added up, then the sums: so
 * none takes part in more than a chunk's additions and one for each chunk, and
 * the bound of the rounding is a third of that of a plain sum of 512.
 */
#define FACE_SGEMM_CHUNK	128

extern void face_sgemm(int m, int n, int k, const float *a, const float *b, float *scores);

#endif							/* FACEMATCH_ACCURACY_OPENBLAS_H */
