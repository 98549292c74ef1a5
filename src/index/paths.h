/*-------------------------------------------------------------------------
 *
 * paths.h
 *	  Plans that use the index for thresholds it does not know by themselves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_PATHS_H
#define FACEMATCH_INDEX_PATHS_H

/*
 * So many templates are worth a process of their own.  Starting one takes about
 * 2 ms, in which half a million are compared, and memory has to keep up.
 */
#define FACE_TEMPLATES_A_PROCESS 1000000

/* When the module is loaded, which the planner sees to before it plans for a table with such an index. */
extern void face_paths_init(void);

#endif							/* FACEMATCH_INDEX_PATHS_H */
