/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  Index scans: what the executor asks for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_SCAN_H
#define FACEMATCH_INDEX_SCAN_H

#include "access/genam.h"
#include "access/relscan.h"
#include "nodes/tidbitmap.h"

#include "compat.h"
#include "index/counters.h"

extern IndexScanDesc face_beginscan(Relation index, int nkeys, int norderbys);
extern void face_rescan(IndexScanDesc desc, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool face_gettuple(IndexScanDesc desc, ScanDirection dir);
extern int64 face_getbitmap(IndexScanDesc desc, TIDBitmap *tbm);
extern void face_endscan(IndexScanDesc desc);
extern Size face_estimateparallelscan(FACE_ESTIMATE_PARAMETERS);
extern void face_initparallelscan(void *target);
extern void face_parallelrescan(IndexScanDesc desc);
extern FaceScanCounters face_scan_counters(IndexScanDesc desc);

#endif							/* FACEMATCH_INDEX_SCAN_H */
