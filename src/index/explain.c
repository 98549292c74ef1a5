/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  What a scan did, in EXPLAIN (ANALYZE); PostgreSQL 18 and later.
 *
 * Before 18 a module cannot add to EXPLAIN: use facematch.last_scan().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "index/explain.h"
#include "index/handler.h"
#include "index/scan.h"

#if FACE_HAVE_EXPLAIN_HOOK

#include "commands/explain.h"
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#include "utils/rel.h"

static explain_per_node_hook_type previous_hook;

/* The scan of a plan node that has run and reads a facematch index; else NULL. */
static IndexScanDesc
scan_of_node(const PlanState *node)
{
	IndexScanDesc scan = NULL;

	if (IsA(node, IndexScanState))
		scan = ((const IndexScanState *) node)->iss_ScanDesc;
	else if (IsA(node, BitmapIndexScanState))
		scan = ((const BitmapIndexScanState *) node)->biss_ScanDesc;
	return scan != NULL && scan->indexRelation->rd_indam->aminsert == face_insert ? scan : NULL;
}

static void
show_counters(const FaceScanCounters *counters, ExplainState *es)
{
	if (es->format == EXPLAIN_FORMAT_TEXT)
	{
		ExplainIndentText(es);
		appendStringInfo(es->str, "Facematch: lists=" UINT64_FORMAT " pages=" UINT64_FORMAT " sketches=" UINT64_FORMAT
						 " planes=" UINT64_FORMAT " refined=" UINT64_FORMAT " measured=" UINT64_FORMAT "\n",
						 counters->lists, counters->pages, counters->sketches, counters->planes, counters->refined,
						 counters->measured);
		return;
	}
	ExplainOpenGroup("Facematch", "Facematch", true, es);
	ExplainPropertyUInteger("Lists", NULL, counters->lists, es);
	ExplainPropertyUInteger("Pages", NULL, counters->pages, es);
	ExplainPropertyUInteger("Sketches", NULL, counters->sketches, es);
	ExplainPropertyUInteger("Planes", NULL, counters->planes, es);
	ExplainPropertyUInteger("Refined", NULL, counters->refined, es);
	ExplainPropertyUInteger("Measured", NULL, counters->measured, es);
	ExplainCloseGroup("Facematch", "Facematch", true, es);
}

static void
explain_node(PlanState *node, List *ancestors, const char *relationship, const char *plan_name, ExplainState *es)
{
	if (previous_hook != NULL)
		previous_hook(node, ancestors, relationship, plan_name, es);
	if (es->analyze)
	{
		IndexScanDesc scan = scan_of_node(node);

		if (scan != NULL)
		{
			FaceScanCounters counters = face_scan_counters(scan);

			show_counters(&counters, es);
		}
	}
}

void
face_explain_init(void)
{
	previous_hook = explain_per_node_hook;
	explain_per_node_hook = explain_node;
}

#else

void
face_explain_init(void)
{
}

#endif
