/*-------------------------------------------------------------------------
 *
 * embedding_limits.h
 *	  How large a template and its model tag may be.
 *
 * Apart from embedding.h because the readers of untrusted bytes need them and
 * are built without the backend.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_EMBEDDING_EMBEDDING_LIMITS_H
#define FACEMATCH_EMBEDDING_EMBEDDING_LIMITS_H

/*
 * A page of PostgreSQL, 8 kB, must hold a row with the template and all columns
 * of an encounter, and a block of an index's sketches.
 */
#define FACE_MAX_DIMS		3584
#define FACE_SEALED			0x4000	/* in FaceEmbedding.dims: the rest is ciphertext (sealed.h) */
#define FACE_MAX_MODEL		32767	/* what int16 holds */
#define FACE_NO_MODEL		0	/* untagged: compares with any model */

#endif							/* FACEMATCH_EMBEDDING_EMBEDDING_LIMITS_H */
