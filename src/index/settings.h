/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  Settings of index scans, defined with the module's others.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_SETTINGS_H
#define FACEMATCH_INDEX_SETTINGS_H

/*
 * facematch.miss_probability.  The default loses one mate in a billion
 * comparisons at the very threshold; more than the maximum is no search.
 */
#define FACE_DEFAULT_MISS_PROBABILITY	1e-9
#define FACE_MAX_MISS_PROBABILITY		0.1

extern double face_miss_probability;

#endif							/* FACEMATCH_INDEX_SETTINGS_H */
