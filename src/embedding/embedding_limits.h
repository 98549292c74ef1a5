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

/* A row of PostgreSQL's 8 kB page must hold the template and a few columns. */
#define FACE_MAX_DIMS		4000
#define FACE_MAX_MODEL		32767	/* what int16 holds */
#define FACE_NO_MODEL		0	/* untagged: compares with any model */

#endif							/* FACEMATCH_EMBEDDING_EMBEDDING_LIMITS_H */
