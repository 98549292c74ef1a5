/*-------------------------------------------------------------------------
 *
 * pass.h
 *	  The pass over the sketches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_PASS_H
#define FACEMATCH_INDEX_PASS_H

#include "index/scan_state.h"

extern void face_scan_pass(FaceScan *scan);

/* A row to return before the ordered ones, or of a scan that does not order. */
extern void face_scan_add_first(FaceScan *scan, const ItemPointerData *tid);

#endif							/* FACEMATCH_INDEX_PASS_H */
