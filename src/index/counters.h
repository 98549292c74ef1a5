/*-------------------------------------------------------------------------
 *
 * counters.h
 *	  What one scan did.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_COUNTERS_H
#define FACEMATCH_INDEX_COUNTERS_H

#include "postgres.h"

/* What one scan did, for facematch.last_scan() and EXPLAIN. */
typedef struct FaceScanCounters
{
	uint64		lists;			/* posting lists read */
	uint64		pages;			/* sketch pages read */
	uint64		sketches;		/* templates whose sketch was compared */
	uint64		planes;			/* templates whose second bits were compared */
	uint64		refined;		/* templates whose refinement code was compared */
	uint64		measured;		/* templates read from the heap and compared exactly */
	uint64		returned;		/* rows handed to the executor */
} FaceScanCounters;

/* Add what a scan did to a sum. */
extern void face_add_counters(FaceScanCounters *sum, const FaceScanCounters *counters);

/* Of this session's last scan. */
extern FaceScanCounters face_last_scan;

#endif							/* FACEMATCH_INDEX_COUNTERS_H */
