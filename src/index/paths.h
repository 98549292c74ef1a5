/*-------------------------------------------------------------------------
 *
 * paths.h
 *	  Plans that use the index for thresholds it does not know by themselves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_PATHS_H
#define FACEMATCH_INDEX_PATHS_H

/* When the module is loaded, which the planner sees to before it plans for a table with such an index. */
extern void face_paths_init(void);

#endif							/* FACEMATCH_INDEX_PATHS_H */
