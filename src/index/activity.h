/*-------------------------------------------------------------------------
 *
 * activity.h
 *	  What all sessions' index searches did, summed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_ACTIVITY_H
#define FACEMATCH_INDEX_ACTIVITY_H

#include "portability/instr_time.h"

#include "index/counters.h"

/* Ask for shared memory, when the module is loaded with the server; called once by _PG_init. */
extern void face_activity_init(void);

/* Add a search that has ended, and the time it took inside the access method. */
extern void face_activity_add(const FaceScanCounters *counters, instr_time spent);

#endif							/* FACEMATCH_INDEX_ACTIVITY_H */
