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
 * for its end takes 4 to 10 ms, in which a million are compared.  Where shared
 * buffers are not certainly of huge pages, a process has to map every small page
 * that it reads, which takes half as long as comparing: on two cores that never
 * pays, on more it does for lists that are larger by far (docs/performance.md).
 */
extern double face_templates_a_process(void);

/* When the module is loaded, which the planner sees to before it plans for a table with such an index. */
extern void face_paths_init(void);

#endif							/* FACEMATCH_INDEX_PATHS_H */
