/*-------------------------------------------------------------------------
 *
 * compare.c
 *	  All comparisons between two sets of templates, tile by tile.
 *
 * Probes are read in blocks as large as memory allows; for each block, the
 * enrolled templates are read in small blocks, and each pair of strips is one
 * matrix multiplication. The scores never exist all at once.
 *
 * sgemm rounds differently from the type's kernels, so its scores decide a pair
 * only if they are further from the threshold than score_margin(); the
 * type's own similarity decides the others. So every count is the one that
 * face_similarity() would give.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "miscadmin.h"

#include "accuracy/compare.h"
#include "accuracy/openblas.h"

/* Enrolled templates in memory at a time, when they are not the probes themselves. */
#define PASSING_ROWS	(2 * FACE_TILE_COLUMNS)

/* Half the distance from 1 to the next float32: the largest relative error of one rounding. */
#define FLOAT_ROUNDING	(1.0 / (1 << 24))

/*
 * Let u be FLOAT_ROUNDING and a, b the stored components over their norms.  A
 * component of a unit row carries one rounding; a sum of n products in any
 * order, fused or not, has a relative error of at most n * u of the sum of
 * their sizes, which is at most 1 but for the norms' own rounding (Higham,
 * Accuracy and Stability, 3.1 and 4.2).  face_sgemm() adds up chunks, then one
 * sum for each chunk; the type's kernel adds at most dims / 32 + 1 terms in a
 * lane.  ROUNDINGS covers the few that remain, the last term the products of
 * these errors.
 */
#define ROUNDINGS		16

/* How far a float32 score of unit vectors can be from the type's similarity. */
static double
score_margin(int dims)
{
	double		sgemm_roundings = Min(dims, FACE_SGEMM_CHUNK) + ceil((double) dims / FACE_SGEMM_CHUNK);
	double		roundings = sgemm_roundings + dims / 32.0 + ROUNDINGS;

	return roundings * FLOAT_ROUNDING * (1 + 2 * roundings * FLOAT_ROUNDING);
}

double
face_exact_similarity(const FaceEmbedding *enrolled, const FaceEmbedding *probe)
{
	static PGFunction similarity = NULL;

	/* the main module's: one kernel, and facematch.simd holds here too */
	if (unlikely(similarity == NULL))
		similarity = (PGFunction) load_external_function("$libdir/facematch", "face_similarity", true, NULL);
	return DatumGetFloat8(DirectFunctionCall2(similarity, PointerGetDatum(enrolled), PointerGetDatum(probe)));
}

double
face_exact(const FaceTile *tile, int row, int column)
{
	return face_exact_similarity(tile->enrolled->templates[tile->first_column + column],
								 tile->probes->templates[tile->first_row + row]);
}

void
face_require_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument %s is NULL", name),
				 errhint("Only \"enrolled\" may be: each pair within the probes.")));
}

/* How many of a block's identifiers, which are sorted, are not above one. */
static int
count_not_above(const FaceBlock *block, int64 id)
{
	int			low = 0;
	int			high = block->n;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (block->ids[middle] <= id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int
face_tile_start(const FaceTile *tile, int row)
{
	int			first;

	if (!tile->within)
		return 0;
	first = count_not_above(tile->enrolled, tile->probes->ids[tile->first_row + row]) - tile->first_column;
	return Max(0, Min(first, tile->columns));
}

static void
check_comparable(const FaceSet *probes, const FaceSet *enrolled)
{
	if (probes->dims != enrolled->dims)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("probes have %d dimensions and enrolled templates %d", probes->dims, enrolled->dims),
				 errhint("Both must be made by the same model.")));
	if (probes->model != enrolled->model && probes->model != FACE_NO_MODEL && enrolled->model != FACE_NO_MODEL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("probes are of model %d and enrolled templates of model %d", probes->model, enrolled->model),
				 errhint("Scores of different models mean nothing.")));
}

/* Pairs within one set are told apart by their identifiers, each of which may stand once. */
static void
check_unique(const FaceBlock *block, const FaceBlock *other)
{
	int			j = 0;

	for (int i = 0; i < block->n; i++)
	{
		bool		twice = i > 0 && block->ids[i] == block->ids[i - 1];

		if (other != NULL)
		{
			while (j < other->n && other->ids[j] < block->ids[i])
				j++;
			twice |= j + 1 < other->n && other->ids[j] == block->ids[i] && other->ids[j + 1] == block->ids[i];
		}
		if (twice)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("identifier %lld stands for more than one template", (long long) block->ids[i]),
					 errhint("The first column of the query must be unique, so that each pair is counted once.")));
	}
}

static void
visit_tiles(const FaceBlock *probes, const FaceBlock *enrolled, bool within, float *scores, FaceConsumer *consumer)
{
	FaceTile	tile = {.probes = probes, .enrolled = enrolled, .within = within, .scores = scores};

	tile.margin = score_margin(probes->dims);
	for (tile.first_column = 0; tile.first_column < enrolled->n; tile.first_column += FACE_TILE_COLUMNS)
	{
		tile.columns = Min(FACE_TILE_COLUMNS, enrolled->n - tile.first_column);
		for (tile.first_row = 0; tile.first_row < probes->n; tile.first_row += FACE_TILE_ROWS)
		{
			tile.rows = Min(FACE_TILE_ROWS, probes->n - tile.first_row);
			/* sorted: when no column counts for the first row, none does for the others */
			if (face_tile_start(&tile, 0) == tile.columns)
				break;
			CHECK_FOR_INTERRUPTS();
			face_sgemm(tile.rows, tile.columns, probes->dims,
					   probes->unit + (Size) tile.first_row * probes->dims,
					   enrolled->unit + (Size) tile.first_column * enrolled->dims, scores);
			consumer->visit(consumer, &tile);
		}
	}
}

typedef struct Comparison
{
	FaceSet    *probes;
	FaceSet    *enrolled;
	FaceBlock	block;
	FaceBlock	passing;
	bool		within;
	float	   *scores;
	FaceConsumer *consumer;
} Comparison;

/* One block of probes with every enrolled template that passes by. */
static void
pass_by(Comparison *c)
{
	if (c->enrolled->read > 0)
		face_set_rewind(c->enrolled);
	if (c->consumer->preview != NULL)
	{
		while (face_set_next(c->enrolled, &c->passing, PASSING_ROWS, c->within))
			c->consumer->preview(c->consumer, &c->block, &c->passing);
		face_set_rewind(c->enrolled);
	}
	while (face_set_next(c->enrolled, &c->passing, PASSING_ROWS, c->within))
	{
		check_comparable(c->probes, c->enrolled);
		if (c->within)
			check_unique(&c->block, &c->passing);
		visit_tiles(&c->block, &c->passing, c->within, c->scores, c->consumer);
	}
}

void
face_compare_sets(const char *probes, const char *enrolled, FaceConsumer *consumer)
{
	Comparison	c = {.within = enrolled == NULL,.consumer = consumer};
	bool		whole = false;

	c.probes = face_set_open("probes", probes);
	c.enrolled = c.within ? NULL : face_set_open("enrolled", enrolled);
	c.scores = palloc(FACE_TILE_ROWS * FACE_TILE_COLUMNS * sizeof(float));
	while (face_set_next(c.probes, &c.block, 0, c.within))
	{
		if (consumer->begin != NULL)
			consumer->begin(consumer, &c.block);
		/* The whole of one set in memory is compared with itself there. */
		whole = c.within && c.probes->ended && c.probes->read == c.block.n;
		if (whole)
		{
			check_unique(&c.block, NULL);
			visit_tiles(&c.block, &c.block, true, c.scores, consumer);
		}
		else
		{
			if (c.enrolled == NULL)
				c.enrolled = face_set_open("probes", probes);
			do
				pass_by(&c);
			while (consumer->again != NULL && consumer->again(consumer, &c.block));
		}
		if (consumer->end != NULL)
			consumer->end(consumer, &c.block);
	}
	if (c.enrolled != NULL)
		face_set_close(c.enrolled);
	face_set_close(c.probes);
}
