/*-------------------------------------------------------------------------
 *
 * pass_many.h
 *	  One pass over the sketches for several probes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_PASS_MANY_H
#define FACEMATCH_INDEX_PASS_MANY_H

#include "storage/buf.h"
#include "utils/snapshot.h"

#include "index/scan_state.h"

/* No pass compares with more probes: their tables stay in the processor's cache, and a page is not locked for long. */
#define FACE_MOST_TOGETHER	64

/*
 * Ordered scans by these probes will follow, one after another, all with this
 * snapshot: the first one's pass over the sketches is for the others too.
 * Probes and snapshot outlive face_many_end(), which the caller owes even
 * after an error.
 */
extern void face_many_begin(const FaceEmbedding *const *probes, int count, Snapshot snapshot);
extern void face_many_end(void);

/* What scan.c and pass.c call. */
extern bool face_many_pass(FaceScan *scan, Snapshot snapshot);
extern void face_many_page(FaceScan *walk, const FaceEpochPlan *plan, Buffer buffer, const uint8 *key, Page open, Page next);
extern void face_many_forget(FaceScan *walk);

#endif							/* FACEMATCH_INDEX_PASS_MANY_H */
