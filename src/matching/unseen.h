/*-------------------------------------------------------------------------
 *
 * unseen.h
 *	  What a search reads and writes is not seen by counting it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_MATCHING_UNSEEN_H
#define FACEMATCH_MATCHING_UNSEEN_H

#include "postgres.h"

extern void face_do_unseen(void (*work) (void *), void *state);
extern void face_unseen_init(void);

#endif							/* FACEMATCH_MATCHING_UNSEEN_H */
