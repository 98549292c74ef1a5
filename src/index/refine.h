/*-------------------------------------------------------------------------
 *
 * refine.h
 *	  The second look: templates whose sketch passed, by their other codes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_REFINE_H
#define FACEMATCH_INDEX_REFINE_H

#include "index/scan_state.h"

/* A template to look at. */
typedef struct FaceJob
{
	int			page;			/* in FaceScan.pages */
	int			slot;			/* on that */
} FaceJob;

/* Jobs done together, so that one waits for memory while others are fetched; a page may add all its slots. */
#define FACE_JOB_BATCH	256
#define FACE_MAX_JOBS	(2 * FACE_JOB_BATCH + FACE_MAX_SLOTS)

/* So many jobs ahead bytes are fetched from memory: a processor has buffers for a few dozen lines. */
#define FACE_JOBS_AHEAD 16

typedef struct FaceJobs
{
	int			n;
	FaceJob		jobs[FACE_MAX_JOBS];
	int32	   *sums;			/* what their first two bits gave: FACE_MAX_JOBS for each target */
} FaceJobs;

/* What was read of a refinement code that no other target's condition rules out. */
typedef struct FaceRefined
{
	FaceScalars scalars;
	int32		sum;			/* by the first target's query */
	FaceJob		job;
	ItemPointerData tid;
} FaceRefined;

typedef void (*FaceRefineCallback) (FaceScan *scan, const FaceScanPage *page, const FaceRefined *refined);

/*
 * Call back with the codes of all slots with bounds up to the limit, which leave
 * the bounds, unless their second bits show them to be beyond FaceScan.limit.
 * `between`, if it is not NULL, is called behind every batch and may lower
 * both.
 */
extern void face_refine_up_to(FaceScan *scan, const double *limit, FaceRefineCallback callback,
							  void (*between) (FaceScan *scan));

/* Was its key destroyed since the pass? */
extern bool face_page_is_lost(const FaceScanPage *page);

/* Put a slot back among the bounds, with the better one that another code gave. */
extern void face_return_slot(FaceScan *scan, const FaceJob *job, double bound);

/*
 * Pin and lock a page that the page of a job names.  False if it was recycled
 * since the pass: then it held only templates that were dead to every snapshot,
 * or newer than ours.
 */
extern bool face_lock_named_page(FaceScan *scan, const FaceJob *job, int which, Buffer *buffer);

/* The page that bytes are fetched of ahead of their use. */
typedef struct FaceAhead
{
	BlockNumber blkno;
	Page		page;			/* where it was last seen, or NULL */
} FaceAhead;

/* Go on to a page, with what pinning, locking and checking it will touch. */
static inline void
face_look_ahead(FaceScan *scan, FaceAhead *ahead, BlockNumber blkno)
{
	if (ahead->blkno == blkno)
		return;
	ahead->blkno = blkno;
	ahead->page = face_expect_page(scan->index, blkno, true);
}

/*
 * Have some of its bytes on their way from memory.  Always inline: gcc takes a
 * function that only fetches ahead to have no effect, and drops calls of it.
 */
static pg_attribute_always_inline void
face_prefetch(const FaceAhead *ahead, Size offset, Size bytes)
{
	if (ahead->page == NULL)
		return;
	for (Size i = 0; i < bytes; i += CPU_CACHE_LINE)
		__builtin_prefetch((char *) ahead->page + offset + i);
	__builtin_prefetch((char *) ahead->page + offset + bytes - 1);
}

/*
 * planes.c: the second bits of the jobs, all of one epoch that has them.  Those
 * that may still be of interest go behind the others in `passed`.
 */
extern void face_look_at_planes(FaceScan *scan, FaceJobs *jobs, FaceJobs *passed);

#endif							/* FACEMATCH_INDEX_REFINE_H */
