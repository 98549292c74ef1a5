/*-------------------------------------------------------------------------
 *
 * analyze.c
 *	  ANALYZE of face_embedding: no value reaches pg_statistic.
 *
 * The standard routine copies most common values and a histogram into
 * pg_statistic, where a template outlives its row's deletion and purge.  What
 * the planner can use of templates is little: how many are NULL, how wide they
 * are, and that hardly two are equal.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"

#include "embedding/embedding.h"

/*
 * Rows to sample for a null fraction and a width, to within a few per cent.
 * Other columns of the table may ask for more.
 */
#define FACE_SAMPLE_ROWS	3000

PG_FUNCTION_INFO_V1(face_embedding_typanalyze);

static void
compute_face_stats(VacAttrStatsP stats, AnalyzeAttrFetchFunc fetchfunc,
				   int samplerows, double totalrows)
{
	int			nulls = 0;
	double		total_width = 0;

	for (int i = 0; i < samplerows; i++)
	{
		bool		isnull;
		Datum		value;

		face_analyze_delay();
		value = fetchfunc(stats, i, &isnull);
		if (isnull)
			nulls++;
		else
			total_width += VARSIZE_ANY(DatumGetPointer(value));
	}
	if (samplerows <= 0)
		return;

	stats->stats_valid = true;
	stats->stanullfrac = (float4) ((double) nulls / samplerows);
	if (nulls == samplerows)
		return;
	stats->stawidth = (int32) (total_width / (samplerows - nulls));
	/* every template is its own: as many distinct values as rows that have one */
	stats->stadistinct = (float4) (-1.0 * (1.0 - stats->stanullfrac));
}

Datum
face_embedding_typanalyze(PG_FUNCTION_ARGS)
{
	VacAttrStats *stats = (VacAttrStats *) PG_GETARG_POINTER(0);

	stats->compute_stats = compute_face_stats;
	stats->minrows = FACE_SAMPLE_ROWS;
	PG_RETURN_BOOL(true);
}
