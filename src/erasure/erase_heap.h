/*-------------------------------------------------------------------------
 *
 * erase_heap.h
 *	  Removed rows in the pages of a table or TOAST table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_ERASURE_ERASE_HEAP_H
#define FACEMATCH_ERASURE_ERASE_HEAP_H

#include "postgres.h"

#include "erasure/erase.h"
#include "erasure/erase_page.h"

typedef struct FaceHeapErasure FaceHeapErasure;

extern void face_look_at_heap_page(Relation rel, Buffer buffer, TransactionId oldest, FaceRemains *remains, FaceDeadRows *dead);
extern FaceHeapErasure *face_heap_erasure(Relation rel, FaceDeadRows *dead, FaceErased *done);
extern void face_erase_heap_page(Relation rel, Buffer buffer, void *erasure);
extern void face_retry_heap_pages(Relation rel, FaceHeapErasure *erasure);

#endif							/* FACEMATCH_ERASURE_ERASE_HEAP_H */
