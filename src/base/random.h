/*-------------------------------------------------------------------------
 *
 * random.h
 *	  Random numbers that every machine draws alike from a seed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_RANDOM_H
#define FACEMATCH_BASE_RANDOM_H

#include "c.h"

/* SplitMix64 (Steele, Lea and Flood 2014) */
static inline uint64
face_random(uint64 *state)
{
	uint64		z = (*state += UINT64CONST(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

#endif							/* FACEMATCH_BASE_RANDOM_H */
