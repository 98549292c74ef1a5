/*-------------------------------------------------------------------------
 *
 * share.h
 *	  One scan by several processes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_SHARE_H
#define FACEMATCH_INDEX_SHARE_H

#include "index/scan_state.h"

/*
 * Ordered rows that processes look for together. A process that wants more of
 * them is served by one process alone from there on, so nothing is gained.
 */
#define FACE_MOST_SHARED_ROWS 1000

/* What is left to do for a process behind the pass. */
typedef enum FaceShareRole
{
	FACE_SHARE_ALONE,			/* all of the scan, the pass as well */
	FACE_SHARE_ALL,				/* all but the pass, in which it read everything */
	FACE_SHARE_PART,			/* its part */
	FACE_SHARE_NOTHING
} FaceShareRole;

/* The pass, of as many pages as the others leave. */
extern FaceShareRole face_share_pass(FaceScan *scan, FaceShare *share);

/* The rows that an ordered scan looks for, and a distance that so many rows known to any process do not exceed. */
extern uint64 face_share_goal(const FaceShare *share);
extern double face_share_cut(FaceShare *share);

/* Processes that have a part each. */
extern int	face_share_parts(const FaceShare *share);

/* Tell the others of a row; what lies beyond the cut is not kept. */
extern void face_share_offer(FaceShare *share, double distance, const ItemPointerData *tid);

/* A row that has been looked for has no distance any more: its key was destroyed. */
extern void face_share_lose(FaceShare *share);

/*
 * A process has done its part. The one that returns the ordered rows gets them,
 * and so does the leader what all have counted. False: a key was destroyed
 * meanwhile, and the returning process starts again, alone.
 */
extern bool face_share_finish(FaceScan *scan);

/* Called when the library is loaded. */
extern void face_share_init(void);

#endif							/* FACEMATCH_INDEX_SHARE_H */
