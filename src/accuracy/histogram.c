/*-------------------------------------------------------------------------
 *
 * histogram.c
 *	  How many mated and non-mated comparisons score between given edges.
 *
 * The range of scores is cut into narrow cells.  A cell that no edge comes
 * near lies in one bin whatever the rounding; a score in any other cell is
 * looked at closer, and where an edge is within its rounding it is computed
 * again by the type's own kernel.  So counting a score is one look at a table,
 * without a branch, and yet exact.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "accuracy/compare.h"

PG_FUNCTION_INFO_V1(facematch_count_scores);

/* Cells for scores from -1 to 1, and some beyond for rounding. */
#define CELLS_PER_UNIT	32768
#define CELL_OFFSET		(CELLS_PER_UNIT + 64)
#define CELLS			(2 * CELL_OFFSET)

/* The cell of a score is found in float32: its own rounding, in units of score. */
#define CELL_ROUNDING	(4.0 / (1 << 24))

/* Bins, and the one after the last, which stands for "look closer", are what int16 numbers. */
#define MOST_EDGES		32000

typedef struct Histogram
{
	FaceConsumer consumer;
	int			nedges;
	double	   *edges;
	int16	   *bin_of_cell;	/* NULL until the dimensions, and so the margin, are known */
	int64	   *counts[2];		/* non-mated, mated; nedges + 1 bins, and one to look closer at */
	int			cells[FACE_TILE_COLUMNS];	/* of a row */
	int			columns[FACE_TILE_COLUMNS]; /* some of a row */
} Histogram;

static inline int
unsure_bin(const Histogram *h)
{
	return h->nedges + 1;
}

/* How many edges are not above a score: the bin it belongs to. */
static int
bin_of(const Histogram *h, double score)
{
	int			low = 0;
	int			high = h->nedges;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (h->edges[middle] <= score)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
make_cells(Histogram *h, double margin)
{
	double		reach = margin + CELL_ROUNDING;

	h->bin_of_cell = palloc(CELLS * sizeof(int16));
	for (int cell = 0; cell < CELLS; cell++)
	{
		int			least = bin_of(h, (double) (cell - CELL_OFFSET) / CELLS_PER_UNIT - reach);
		int			most = bin_of(h, (double) (cell + 1 - CELL_OFFSET) / CELLS_PER_UNIT + reach);

		h->bin_of_cell[cell] = least == most ? least : unsure_bin(h);
	}
}

/* The bin of a score, by the type's own kernel if an edge is near. */
static int
sure_bin(const Histogram *h, const FaceTile *tile, int row, int column)
{
	double		score = tile->scores[(Size) row * tile->columns + column];
	int			least = bin_of(h, score - tile->margin);

	if (least == h->nedges || h->edges[least] > score + tile->margin)
		return least;
	return bin_of(h, face_exact(tile, row, column));
}

/* All comparisons of a row as if they were non-mated. */
static void
count_row(Histogram *h, const FaceTile *tile, int row, int start)
{
	const float *scores = tile->scores + (Size) row * tile->columns;
	int64	   *counts = h->counts[false];
	int			unsure = unsure_bin(h);
	int			nunsure = 0;

	/* a loop of its own: compilers make it vector instructions */
	for (int j = start; j < tile->columns; j++)
		h->cells[j] = (int) (scores[j] * CELLS_PER_UNIT + CELL_OFFSET);
	for (int j = start; j < tile->columns; j++)
	{
		int			bin = h->bin_of_cell[h->cells[j]];

		counts[bin]++;
		h->columns[nunsure] = j;
		nunsure += bin == unsure;
	}
	for (int i = 0; i < nunsure; i++)
		counts[sure_bin(h, tile, row, h->columns[i])]++;
}

/* Those that are mated change sides. */
static void
move_mated(Histogram *h, const FaceTile *tile, int row, int start)
{
	int			nmated = face_find_subject(tile->enrolled, tile->first_column + start, tile->columns - start,
										   &tile->probes->labels[tile->first_row + row], h->columns);

	for (int i = 0; i < nmated; i++)
	{
		int			bin = sure_bin(h, tile, row, start + h->columns[i]);

		h->counts[false][bin]--;
		h->counts[true][bin]++;
	}
}

static void
visit(FaceConsumer *self, const FaceTile *tile)
{
	Histogram  *h = (Histogram *) self;

	if (h->bin_of_cell == NULL)
		make_cells(h, tile->margin);
	for (int row = 0; row < tile->rows; row++)
	{
		int			start = face_tile_start(tile, row);

		count_row(h, tile, row, start);
		move_mated(h, tile, row, start);
	}
}

static void
read_edges(Histogram *h, ArrayType *array)
{
	Datum	   *values;
	bool	   *nulls;

	deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, &nulls, &h->nedges);
	if (h->nedges > MOST_EDGES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d edges are too many", h->nedges),
				 errhint("A histogram has at most %d.", MOST_EDGES)));
	h->edges = palloc(Max(h->nedges, 1) * sizeof(double));
	for (int i = 0; i < h->nedges; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("an edge is NULL")));
		h->edges[i] = DatumGetFloat8(values[i]);
		if (isnan(h->edges[i]) || (i > 0 && h->edges[i] <= h->edges[i - 1]))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("edges of a histogram must ascend"),
					 errhint("Give each threshold once, in order.")));
	}
}

/* count_scores(probes text, enrolled text, edges float8[]) returns setof (low, high, non_mated, mated) */
Datum
facematch_count_scores(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Histogram	h = {.consumer = {.visit = visit}};
	char	   *probes;
	char	   *enrolled;

	face_require_argument(fcinfo, 0, "probes");
	face_require_argument(fcinfo, 2, "edges");
	probes = text_to_cstring(PG_GETARG_TEXT_PP(0));
	enrolled = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	read_edges(&h, PG_GETARG_ARRAYTYPE_P(2));
	for (int mated = 0; mated < 2; mated++)
		h.counts[mated] = palloc0((unsure_bin(&h) + 1) * sizeof(int64));
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	face_compare_sets(probes, enrolled, &h.consumer);
	SPI_finish();

	for (int bin = 0; bin <= h.nedges; bin++)
	{
		Datum		values[4] = {
			Float8GetDatum(bin == 0 ? 0 : h.edges[bin - 1]), Float8GetDatum(bin == h.nedges ? 0 : h.edges[bin]),
			Int64GetDatum(h.counts[false][bin]), Int64GetDatum(h.counts[true][bin])
		};
		bool		nulls[4] = {bin == 0, bin == h.nedges, false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
