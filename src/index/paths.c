/*-------------------------------------------------------------------------
 *
 * paths.c
 *	  Plans that use the index for thresholds it does not know by themselves.
 *
 * Each such threshold (spelling.c) implies a condition that the index knows.
 * The planner is asked for the index's paths once more with these conditions
 * among the restrictions of the index, and never sees them elsewhere: what it
 * filters by is what was written.
 *
 * The planner does not know what several processes save either: it divides
 * among them the cost from row to row, but nearly all of the cost of a scan of
 * this index comes before its first row, and is divided too.
 *
 * The planner assumes that an unknown comparison passes a third of all rows.
 * The derived condition knows better, so the restriction takes over its
 * estimate, and rows are counted again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "storage/pg_shmem.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "index/handler.h"
#include "index/paths.h"
#include "index/share.h"
#include "index/spelling.h"

/* With huge pages; and how many times as many without. */
#define TEMPLATES_A_PROCESS 2e6
#define SMALL_PAGES_COST 8

static set_rel_pathlist_hook_type previous_hook;

/* Could evaluating this raise an error for some rows, or otherwise tell of them?  What reads no row tells of none. */
static bool
leaks(Node *node)
{
	return contain_var_clause(node) && contain_leaked_vars(node);
}

/* The derived condition, in the place of the restriction that it follows from. */
static RestrictInfo *
derived_info(PlannerInfo *root, const RestrictInfo *original, Expr *clause)
{
	RestrictInfo *info = makeNode(RestrictInfo);

	*info = *original;
	info->clause = clause;
	info->orclause = NULL;
	info->leakproof = get_func_leakproof(get_opcode(((OpExpr *) clause)->opno)) &&
		!leaks(get_leftop(clause)) && !leaks(get_rightop(clause));
	info->left_relids = pull_varnos(root, get_leftop(clause));
	info->right_relids = pull_varnos(root, get_rightop(clause));
	info->can_join = false;
	info->parent_ec = NULL;
	info->eval_cost.startup = -1;
	info->norm_selec = -1;
	info->outer_selec = -1;
	info->mergeopfamilies = NIL;
	info->hashjoinoperator = InvalidOid;
	info->left_ec = NULL;
	info->right_ec = NULL;
	info->left_em = NULL;
	info->right_em = NULL;
	info->scansel_cache = NIL;
	return info;
}

/* The conditions that follow from a list of restrictions, which take over their estimates. */
static List *
derive(PlannerInfo *root, IndexOptInfo *index, List *restrictions)
{
	List	   *derived = NIL;
	ListCell   *cell;

	foreach(cell, restrictions)
	{
		RestrictInfo *restriction = lfirst_node(RestrictInfo, cell);
		Expr	   *clause = restriction->pseudoconstant ? NULL : face_threshold_of(root, index, restriction);
		RestrictInfo *info;

		if (clause == NULL)
			continue;
		info = derived_info(root, restriction, clause);
		restriction->norm_selec = clause_selectivity(root, (Node *) info, index->rel->relid, JOIN_INNER, NULL);
		derived = lappend(derived, info);
	}
	return derived;
}

/* Count the table's rows again, in the paths that were made before as well. */
static void
estimate_rows(PlannerInfo *root, RelOptInfo *rel)
{
	const double before = rel->rows;
	ListCell   *cell;

	set_baserel_size_estimates(root, rel);
	foreach(cell, rel->pathlist)
	{
		Path	   *path = lfirst(cell);

		if (path->param_info == NULL)
			path->rows = rel->rows;
	}
	foreach(cell, rel->partial_pathlist)
	{
		Path	   *path = lfirst(cell);

		path->rows = clamp_row_est(path->rows * rel->rows / before);
	}
}

/* Take derived conditions out of what parameterized paths filter by: what they follow from is there. */
static void
forget_derived(RelOptInfo *rel, List *derived)
{
	ListCell   *cell;

	foreach(cell, rel->ppilist)
	{
		ParamPathInfo *info = lfirst(cell);

		info->ppi_clauses = list_difference_ptr(info->ppi_clauses, derived);
	}
}

/*
 * Paths for several processes, beside those that there are.  PostgreSQL makes
 * none where few rows are read from the table, as if these were the work, nor
 * where a bitmap that one process makes costs less than a scan that has not got
 * its price yet.
 */
static void
make_shared_paths(PlannerInfo *root, RelOptInfo *rel)
{
	List	   *others = rel->partial_pathlist;
	const int	least = min_parallel_table_scan_size;
	const bool	bitmaps = enable_bitmapscan;

	rel->partial_pathlist = NIL;
	PG_TRY();
	{
		min_parallel_table_scan_size = 0;
		enable_bitmapscan = false;
		create_index_paths(root, rel);
	}
	PG_FINALLY();
	{
		min_parallel_table_scan_size = least;
		enable_bitmapscan = bitmaps;
	}
	PG_END_TRY();
	rel->partial_pathlist = list_concat(others, rel->partial_pathlist);
}

double
face_templates_a_process(void)
{
	const char *status = GetConfigOption("huge_pages_status", true, false);	/* from PostgreSQL 17 on */
	const bool	are_huge = huge_pages == HUGE_PAGES_ON || (status != NULL && strcmp(status, "on") == 0);

	return are_huge ? TEMPLATES_A_PROCESS : TEMPLATES_A_PROCESS * SMALL_PAGES_COST;
}

/* Has the index so many templates that several processes may pay? */
static bool
may_be_shared(const RelOptInfo *rel, const IndexOptInfo *index)
{
	return rel->consider_parallel && max_parallel_workers_per_gather > 0 && index->tuples >= 2 * face_templates_a_process();
}

/* The index's paths once more, with derived conditions among its restrictions and the table's joins. */
static void
add_paths(PlannerInfo *root, RelOptInfo *rel, IndexOptInfo *index, List *base, List *join)
{
	List	   *indexes = rel->indexlist;
	List	   *restrictions = index->indrestrictinfo;
	List	   *joins = rel->joininfo;

	rel->indexlist = list_make1(index);
	index->indrestrictinfo = list_concat_copy(restrictions, base);
	rel->joininfo = list_concat_copy(joins, join);
	if (base != NIL || join != NIL)
		create_index_paths(root, rel);
	if (may_be_shared(rel, index))
		make_shared_paths(root, rel);
	rel->indexlist = indexes;
	index->indrestrictinfo = restrictions;
	rel->joininfo = joins;
	forget_derived(rel, join);
}

/* Will the query want more rows, in order, than processes look for together? */
static bool
wants_too_many(const PlannerInfo *root, double rows)
{
	const Query *query = root->parse;

	if (rows <= FACE_MOST_SHARED_ROWS)
		return false;
	if (query->limitCount == NULL || query->limitOption != LIMIT_OPTION_COUNT)
		return true;
	return root->limit_tuples > FACE_MOST_SHARED_ROWS;
}

static bool
depends_on_run(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubPlan) || (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC))
		return true;
	return expression_tree_walker(node, depends_on_run, context);
}

/*
 * May the LIMIT be another one each time that this part of the plan is begun
 * again, as in a LATERAL subquery?  PostgreSQL tells workers only the first one
 * (ExecParallelReinitialize), so that rows would be missing under a later one.
 */
static bool
limit_varies(const PlannerInfo *root)
{
	bool		depends = false;

	for (; root->parent_root != NULL; root = root->parent_root)
	{
		depends |= depends_on_run(root->parse->limitCount, NULL) || depends_on_run(root->parse->limitOffset, NULL);
		if (depends && root->parent_root->plan_params != NIL)
			return true;
	}
	return false;
}

/*
 * Give a scan by several processes as many as pay, and the cost that it then
 * has.  False: one process is as fast, or they cannot be used.
 */
static bool
share_cost(PlannerInfo *root, RelOptInfo *rel, IndexPath *path)
{
	Path	   *scan = &path->path;
	double		processes;
	Cost		saved;

	/* what is asked for by the table's storage parameter is what it gets */
	if (rel->rel_parallel_workers == -1)
		scan->parallel_workers = Min(face_templates_read(root, path) / face_templates_a_process(), max_parallel_workers_per_gather + 1) - 1;
	if (scan->parallel_workers <= 0 || (path->indexorderbys != NIL && wants_too_many(root, rel->rows)) || limit_varies(root))
		return false;
	processes = scan->parallel_workers + (parallel_leader_participation ? 1 : 0);
	saved = scan->startup_cost - scan->startup_cost / processes;
	scan->startup_cost -= saved;
	scan->total_cost -= saved;
	return true;
}

/* The paths with this index for several processes: those that are worth it. */
static void
share_costs(PlannerInfo *root, RelOptInfo *rel)
{
	List	   *paths = rel->partial_pathlist;
	ListCell   *cell;

	rel->partial_pathlist = NIL;
	foreach(cell, paths)
	{
		Path	   *path = lfirst(cell);

		if (!IsA(path, IndexPath) || ((IndexPath *) path)->indexinfo->amcostestimate != face_costestimate ||
			share_cost(root, rel, (IndexPath *) path))
			add_partial_path(rel, path);
	}
	list_free(paths);
}

static void
add_threshold_paths(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	ListCell   *cell;

	if (previous_hook != NULL)
		previous_hook(root, rel, rti, rte);
	if (!IS_SIMPLE_REL(rel) || rte->rtekind != RTE_RELATION || rte->inh || rte->tablesample != NULL || IS_DUMMY_REL(rel))
		return;
	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, cell);
		List	   *base;
		List	   *join;

		if (index->amcostestimate != face_costestimate)
			continue;
		base = derive(root, index, index->indrestrictinfo);
		join = derive(root, index, rel->joininfo);
		if (base == NIL && join == NIL && !may_be_shared(rel, index))
			continue;
		if (base != NIL)
			estimate_rows(root, rel);
		add_paths(root, rel, index, base, join);
	}
	share_costs(root, rel);
}

void
face_paths_init(void)
{
	previous_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = add_threshold_paths;
}
