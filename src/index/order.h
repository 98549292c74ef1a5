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
extern bool face_order_next(FaceScan *scan, ItemPointer tid, double *distance);

#endif							/* FACEMATCH_INDEX_ORDER_H */
