/*-------------------------------------------------------------------------
 *
 * cost.c
 *	  What a scan costs, for the planner.
 *
 * A scan reads all sketches of the wanted posting lists before it returns the
 * first row, then a few refinement codes. So nearly all of the cost is start-up
 * cost, proportional to the rows that the key conditions select. Each row
 * returned costs its refinement code and its heap fetch, which core adds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"

#include "compat.h"
#include "index/handler.h"

/* Share of an index's pages that are sketch pages: one in three or four, at nearly any number of dimensions. */
#define SKETCH_PAGE_SHARE 0.25

/* Comparing one sketch, as a share of a cheap operator: measured 2 ns. */
#define SKETCH_OPERATORS 0.1

/* Preparing a probe, in cheap operators: measured some 10 us. */
#define PROBE_OPERATORS 500.0

/* Share of the sketches that are refined: few with a threshold, some without. */
#define REFINED_WITH_THRESHOLD 0.005
#define REFINED_WITHOUT_THRESHOLD 0.03

/* Conditions on key columns; the rest are thresholds. */
static List *
key_conditions(PlannerInfo *root, const IndexPath *path, int *nlists)
{
	const int	embedding_column = path->indexinfo->nkeycolumns - 1;
	List	   *conditions = NIL;
	ListCell   *cell;

	*nlists = 1;
	foreach(cell, path->indexclauses)
	{
		IndexClause *clause = lfirst_node(IndexClause, cell);
		ListCell   *qual;

		if (clause->indexcol == embedding_column)
			continue;
		foreach(qual, clause->indexquals)
		{
			RestrictInfo *info = lfirst_node(RestrictInfo, qual);

			conditions = lappend(conditions, info);
			if (IsA(info->clause, ScalarArrayOpExpr))
				*nlists *= Max(face_array_length(root, lsecond(((ScalarArrayOpExpr *) info->clause)->args)), 1);
		}
	}
	return conditions;
}

/* The templates that conditions on keys select. */
static double
templates_of(PlannerInfo *root, const IndexOptInfo *index, List *keys)
{
	return clamp_row_est(index->tuples * clauselist_selectivity(root, keys, index->rel->relid, JOIN_INNER, NULL));
}

double
face_templates_read(PlannerInfo *root, const IndexPath *path)
{
	int			nlists;

	return templates_of(root, path->indexinfo, key_conditions(root, path, &nlists));
}

void
face_costestimate(PlannerInfo *root, IndexPath *path, double loop_count, Cost *startup_cost,
				  Cost *total_cost, Selectivity *selectivity, double *correlation, double *pages)
{
	IndexOptInfo *index = path->indexinfo;
	GenericCosts costs = {0};
	int			nlists;
	List	   *keys = key_conditions(root, path, &nlists);
	bool		threshold = list_length(path->indexclauses) > list_length(keys);
	Selectivity key_selectivity = clauselist_selectivity(root, keys, index->rel->relid, JOIN_INNER, NULL);
	double		templates = templates_of(root, index, keys);
	double		sketch_pages = ceil(index->pages * SKETCH_PAGE_SHARE * key_selectivity) + nlists;
	double		refined = ceil(templates * (threshold ? REFINED_WITH_THRESHOLD : REFINED_WITHOUT_THRESHOLD));
	double		rows;
	double		random_page;
	double		seq_page;

	get_tablespace_page_costs(index->reltablespace, &random_page, &seq_page);

	/* Selectivity, rows and the cost of evaluating the conditions' arguments. */
	costs.numIndexTuples = templates;
	genericcostestimate(root, path, loop_count, &costs);
	rows = costs.indexSelectivity * index->rel->tuples;

	/* The pass over the sketches, in the order of their pages but for the first of each list. */
	*startup_cost = index_other_operands_eval_cost(root, get_quals_from_indexclauses(path->indexclauses))
		+ nlists * random_page + sketch_pages * seq_page
		+ cpu_operator_cost * (templates * SKETCH_OPERATORS + PROBE_OPERATORS)
		+ refined * (cpu_operator_cost + seq_page / 2);

	/* Without a probe everything is read and returned: a poor btree. */
	if (path->indexorderbys == NIL && !threshold)
	{
		*startup_cost += index->pages * key_selectivity * seq_page;
		if (keys == NIL)
			*startup_cost += disable_cost;
	}
	*total_cost = *startup_cost + rows * (cpu_index_tuple_cost + cpu_operator_cost + seq_page / 2);
	*selectivity = costs.indexSelectivity;
	*correlation = 0;
	*pages = sketch_pages + refined;
}
