/*-------------------------------------------------------------------------
 *
 * heap.h
 *	  Reading the template itself, for the distance itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_HEAP_H
#define FACEMATCH_INDEX_HEAP_H

#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "embedding/embedding.h"
#include "storage/itemptr.h"

typedef struct FaceHeapReader FaceHeapReader;

extern FaceHeapReader *face_heap_reader_create(Relation heap, Relation index, Snapshot snapshot);
extern const FaceEmbedding *face_heap_read(FaceHeapReader *reader, ItemPointer tid, bool *seen);
extern void face_heap_reader_free(FaceHeapReader *reader);

#endif							/* FACEMATCH_INDEX_HEAP_H */
