/*-------------------------------------------------------------------------
 *
 * order.h
 *	  Rows in the order of their distance.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_ORDER_H
#define FACEMATCH_INDEX_ORDER_H

#include "index/scan_state.h"

extern void face_order_begin(FaceScan *scan);

/* Find the nearest rows of this process's part, and tell the others of those nearer than the cut. */
extern void face_order_together(FaceScan *scan);
extern bool face_order_next(FaceScan *scan, ItemPointer tid, double *distance);

#endif							/* FACEMATCH_INDEX_ORDER_H */
