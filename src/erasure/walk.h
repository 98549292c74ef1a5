/*-------------------------------------------------------------------------
 *
 * walk.h
 *	  Every page of a relation, in the order of the file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_ERASURE_WALK_H
#define FACEMATCH_ERASURE_WALK_H

#include "postgres.h"

#include "common/relpath.h"
#include "storage/buf.h"
#include "utils/rel.h"

/* A walk over a relation's pages: each is pinned, not locked. */
typedef void (*FaceVisit) (Relation rel, Buffer buffer, void *state);

extern void face_each_page(Relation rel, ForkNumber fork, FaceVisit visit, void *state);

#endif							/* FACEMATCH_ERASURE_WALK_H */
