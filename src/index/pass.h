/*-------------------------------------------------------------------------
 *
 * pass.h
 *	  The pass over the sketches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_PASS_H
#define FACEMATCH_INDEX_PASS_H

#include "storage/buf.h"

#include "index/directory.h"
#include "index/scan_state.h"

/* Over lists, of FaceListEntry pointers; what comes before it, and before these lists. */
extern void face_scan_pass(FaceScan *scan, List *lists);
extern void face_scan_prepare(FaceScan *scan);
extern List *face_scan_lists(FaceScan *scan);

/* Pages of a list, from one to another; without an end to that of the list. */
typedef struct FaceRun
{
	const FaceListEntry *entry;
	BlockNumber start;
	uint64		stamp;
	BlockNumber end;
	uint64		end_stamp;
} FaceRun;

/*
 * Whether several processes may read a list: not if a scan orders and the rows
 * have no place in the order.
 */
extern bool face_scan_can_share(const FaceScan *scan, const FaceListEntry *entry);

/*
 * The pass over one run.  False: its pages were recycled meanwhile, or do not
 * lead to its end, or the key of the list was destroyed.
 */
extern bool face_scan_run(FaceScan *scan, const FaceRun *run);

/* The scan's probes prepared against an epoch whose templates they compare with. */
extern const FaceEpochPlan *face_scan_plan(FaceScan *scan, int epoch);

/*
 * Bounds of all slots of a locked sketch page, open, by one query, infinity for free
 * slots and beyond the limit, while the page `next` (NULL for none) is fetched
 * from memory.  Returns the smallest.
 */
extern float face_page_bounds(const FaceQuery *query, const FaceEpochState *state, Page page, Page next, float limit,
							  float *lower, FaceSketchSum *sums);

/* What a scan has to know of a locked sketch page; and one more page, with its bounds and sums next in the arrays. */
extern void face_describe_page(const FaceLayout *layout, Buffer buffer, const uint8 *key, FaceScanPage *described);
extern void face_append_page(FaceScan *scan, const FaceLayout *layout, float smallest);

/* A row to return before the ordered ones, or of a scan that does not order. */
extern void face_scan_add_first(FaceScan *scan, const ItemPointerData *tid);
extern void face_scan_add_lost(FaceScan *scan, const ItemPointerData *tid);

/* Rows that were returned with a distance, and are not to be returned without one when their key is destroyed. */
extern void face_scan_note_returned(FaceScan *scan, FaceNearRow *rows, int n);

#endif							/* FACEMATCH_INDEX_PASS_H */
