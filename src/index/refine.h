/*-------------------------------------------------------------------------
 *
 * refine.h
 *	  The second look: refinement codes of the templates whose sketch passed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_REFINE_H
#define FACEMATCH_INDEX_REFINE_H

#include "index/scan_state.h"

/* A refinement code to look at. */
typedef struct FaceRefineJob
{
	int			page;			/* in FaceScan.pages */
	uint16		which;			/* of the page's refinement pages */
	uint16		entry;			/* on that */
} FaceRefineJob;

/* What was read of a refinement code that no other query's condition rules out. */
typedef struct FaceRefined
{
	FaceRefineScalars scalars;
	int32		dot;			/* with the scan's query: the ordering's, or the first condition's */
	FaceRefineJob job;
	ItemPointerData tid;
} FaceRefined;

typedef void (*FaceRefineCallback) (FaceScan *scan, const FaceScanPage *page, const FaceRefined *refined);

/*
 * Call back with the codes of all slots with bounds up to the limit, which leave
 * the bounds.  `between`, if it is not NULL, is called behind every batch and
 * may lower the limit.
 */
extern void face_refine_up_to(FaceScan *scan, const double *limit, FaceRefineCallback callback,
							  void (*between) (FaceScan *scan));

/* Put a slot back among the bounds, with the better one that its refinement code gave. */
extern void face_return_slot(FaceScan *scan, const FaceRefined *refined, double bound);

#endif							/* FACEMATCH_INDEX_REFINE_H */
