/*-------------------------------------------------------------------------
 *
 * test_simd.h
 *	  The parts of the kernels' unit test.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_TEST_SIMD_H
#define FACEMATCH_TEST_SIMD_H

#include "simd/kernels.h"

extern void test_half(const FaceKernels *kernels);
extern void test_distances(const FaceKernels *kernels);
extern void test_scan(const FaceKernels *kernels);

#endif							/* FACEMATCH_TEST_SIMD_H */
