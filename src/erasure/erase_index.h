/*-------------------------------------------------------------------------
 *
 * erase_index.h
 *	  Removed rows in indexes of any kind.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_ERASURE_ERASE_INDEX_H
#define FACEMATCH_ERASURE_ERASE_INDEX_H

#include "postgres.h"

#include "erasure/erase.h"
#include "erasure/erase_page.h"

/* Access methods, by what can be said of their pages. */
typedef enum FaceIndexKind
{
	FACE_INDEX_BTREE,
	FACE_INDEX_FACEMATCH,
	FACE_INDEX_HASH,
	FACE_INDEX_GIST,
	FACE_INDEX_SPGIST,
	FACE_INDEX_GIN,
	FACE_INDEX_BRIN,
	FACE_INDEX_BLOOM,
	FACE_INDEX_UNKNOWN
} FaceIndexKind;

extern FaceIndexKind face_index_kind(Relation index);
extern FacePageForm face_checked_index_page(Relation index, FaceIndexKind kind, Buffer buffer);
extern void face_erase_index(Relation table, Relation index, const FaceDeadRows *dead, FaceErased *done);
extern bool face_index_row_is_dead(ItemPointer tid, void *dead);

#endif							/* FACEMATCH_ERASURE_ERASE_INDEX_H */
