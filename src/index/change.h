/*-------------------------------------------------------------------------
 *
 * change.h
 *	  One change of several pages, in one WAL record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_CHANGE_H
#define FACEMATCH_INDEX_CHANGE_H

#include "storage/bufmgr.h"
#include "utils/rel.h"

/* As GenericXLogStart and the rest; one change at a time in a process, of at most three pages. */
extern void face_change_start(Relation index);
extern Page face_change_page(Buffer buffer, bool whole);
extern void face_change_finish(void);

#endif							/* FACEMATCH_INDEX_CHANGE_H */
