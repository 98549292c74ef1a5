/*-------------------------------------------------------------------------
 *
 * erase_btree.h
 *	  Removed rows in B-tree indexes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_ERASURE_ERASE_BTREE_H
#define FACEMATCH_ERASURE_ERASE_BTREE_H

#include "postgres.h"

#include "erasure/erase.h"
#include "erasure/erase_page.h"

extern void face_erase_btree_entries(Relation table, Relation index, Buffer buffer, const FaceDeadRows *dead, FaceErased *done);
extern bool face_btree_has_dead_entries(Relation index, Buffer buffer, const FaceDeadRows *dead, FaceRemains *remains);
extern int64 face_btree_lost_keys(Relation index, const FaceDeadRows *dead);

#endif							/* FACEMATCH_ERASURE_ERASE_BTREE_H */
