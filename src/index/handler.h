/*-------------------------------------------------------------------------
 *
 * handler.h
 *	  The access method's entry points.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_HANDLER_H
#define FACEMATCH_INDEX_HANDLER_H

#include "access/amapi.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

/* build.c */
extern IndexBuildResult *face_build(Relation heap, Relation index, IndexInfo *info);
extern void face_buildempty(Relation index);
extern char *face_buildphasename(int64 phase);

/* insert.c */
extern bool face_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
						IndexUniqueCheck unique, bool unchanged, IndexInfo *info);

/* vacuum.c */
extern IndexBulkDeleteResult *face_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											  IndexBulkDeleteCallback callback, void *callback_state);
extern IndexBulkDeleteResult *face_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);

/* learn.c */
extern void face_learn_centres(Relation index);

/* cost.c */
extern void face_costestimate(PlannerInfo *root, IndexPath *path, double loop_count, Cost *startup_cost,
							  Cost *total_cost, Selectivity *selectivity, double *correlation, double *pages);

/* Templates whose sketches a scan compares. */
extern double face_templates_read(PlannerInfo *root, const IndexPath *path);

/* validate.c */
extern bool face_validate(Oid opclass);

#endif							/* FACEMATCH_INDEX_HANDLER_H */
