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
 * So many templates are worth a process of their own.  To start one and to wait
 * for its end takes 4 to 10 ms, in which a million are compared; and without
 * huge pages it has to map every page it reads (docs/performance.md).
 */
#define FACE_TEMPLATES_A_PROCESS 2000000

/* When the module is loaded, which the planner sees to before it plans for a table with such an index. */
extern void face_paths_init(void);

#endif							/* FACEMATCH_INDEX_PATHS_H */
