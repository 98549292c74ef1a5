/*-------------------------------------------------------------------------
 *
 * keys.h
 *	  Key columns of a facematch index, reduced to hashes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_KEYS_H
#define FACEMATCH_INDEX_KEYS_H

#include "index/page.h"

/* Support function of a key column's operator class: its extended hash function. */
#define FACE_HASH_PROC			1

/* Strategies: equality of key columns; of the embedding, orderings and thresholds. */
#define FACE_KEY_EQUAL_STRATEGY			1
#define FACE_COSINE_STRATEGY			1
#define FACE_EUCLIDEAN_STRATEGY			2
#define FACE_INNER_PRODUCT_STRATEGY		3
#define FACE_THRESHOLD_STRATEGY			4
#define FACE_MAY_MATCH_STRATEGY			5	/* likewise, of a threshold that is also a filter */

extern uint64 face_hash_key(Relation index, AttrNumber attno, Oid subtype, Datum value, bool isnull);

/* Identity of a row's posting list: stored is NULL for a null embedding, opened if it is sealed and its key is gone. */
extern FaceListKey *face_list_key(Relation index, int nkeys, const Datum *values, const bool *isnull,
								  const FaceEmbedding *stored, const FaceEmbedding *opened);

#endif							/* FACEMATCH_INDEX_KEYS_H */
