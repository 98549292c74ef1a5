/*-------------------------------------------------------------------------
 *
 * searches.c
 *	  Every probe as a search (1:N) of a set: what identification rates count.
 *
 * Of each search three things tell its outcome at every threshold and rank:
 * the similarity of the best mate, its place in the candidate list, and the
 * best similarity of anybody else.  Mates are found first, by their subjects
 * alone, so that the scores that come by can be counted against them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "accuracy/compare.h"

PG_FUNCTION_INFO_V1(facematch_search_set);

/* No similarity is as low. */
#define NOBODY	(-2.0)

typedef struct Search
{
	double		mate;			/* similarity of the best mate, or NOBODY */
	double		other;			/* of the best other, or NOBODY */
	int64		mate_id;
	int64		other_id;
	int64		above;			/* others before the mate in the list */
	int64		compared;
} Search;

typedef struct Searches
{
	FaceConsumer consumer;
	MemoryContext context;
	Search	   *searches;
	int			capacity;
	Tuplestorestate *store;
	TupleDesc	description;
} Searches;

static void
begin(FaceConsumer *self, const FaceBlock *probes)
{
	Searches   *s = (Searches *) self;

	if (s->searches == NULL)
		s->searches = MemoryContextAllocHuge(s->context, probes->capacity * sizeof(Search));
	for (int i = 0; i < probes->n; i++)
		s->searches[i] = (Search) {.mate = NOBODY,.other = NOBODY};
}

/* The order of a candidate list: by similarity, ties by identifier. */
static bool
stands_before(double a, int64 a_id, double b, int64 b_id)
{
	return a > b || (a == b && a_id < b_id);
}

static void
preview(FaceConsumer *self, const FaceBlock *probes, const FaceBlock *enrolled)
{
	Searches   *s = (Searches *) self;
	int		   *mates = palloc(enrolled->n * sizeof(int));

	for (int i = 0; i < probes->n; i++)
	{
		Search	   *search = &s->searches[i];
		int			nmates;

		CHECK_FOR_INTERRUPTS();
		nmates = face_find_subject(enrolled, 0, enrolled->n, &probes->labels[i], mates);
		for (int k = 0; k < nmates; k++)
		{
			int			j = mates[k];
			double		similarity = face_exact_similarity(enrolled->templates[j], probes->templates[i]);

			if (stands_before(similarity, enrolled->ids[j], search->mate, search->mate_id))
			{
				search->mate = similarity;
				search->mate_id = enrolled->ids[j];
			}
		}
	}
	pfree(mates);
}

static void
visit_row(Search *search, const FaceTile *tile, int row)
{
	const float *scores = tile->scores + (Size) row * tile->columns;
	const FaceLabel *label = &tile->probes->labels[tile->first_row + row];
	double		reach = 2 * tile->margin;
	bool		has_mate = search->mate > NOBODY;

	search->compared += tile->columns;
	for (int j = 0; j < tile->columns; j++)
	{
		int			enrolled = tile->first_column + j;
		bool		perhaps_best = scores[j] >= search->other - reach;
		bool		perhaps_above = has_mate && scores[j] >= search->mate - reach;
		double		similarity;

		if (likely(!perhaps_best && !perhaps_above))
			continue;
		if (face_same_subject(label, &tile->enrolled->labels[enrolled]))
			continue;
		similarity = face_exact(tile, row, j);
		if (has_mate && stands_before(similarity, tile->enrolled->ids[enrolled], search->mate, search->mate_id))
			search->above++;
		if (search->other == NOBODY || stands_before(similarity, tile->enrolled->ids[enrolled], search->other, search->other_id))
		{
			search->other = similarity;
			search->other_id = tile->enrolled->ids[enrolled];
		}
	}
}

static void
visit(FaceConsumer *self, const FaceTile *tile)
{
	Searches   *s = (Searches *) self;

	for (int row = 0; row < tile->rows; row++)
		visit_row(&s->searches[tile->first_row + row], tile, row);
}

static void
end(FaceConsumer *self, const FaceBlock *probes)
{
	Searches   *s = (Searches *) self;

	for (int i = 0; i < probes->n; i++)
	{
		const Search *search = &s->searches[i];
		bool		no_mate = search->mate == NOBODY;
		bool		no_other = search->other == NOBODY;
		Datum		values[7] = {
			Int64GetDatum(probes->ids[i]), Int64GetDatum(search->compared),
			Int64GetDatum(search->mate_id), Float8GetDatum(search->mate), Int64GetDatum(search->above + 1),
			Int64GetDatum(search->other_id), Float8GetDatum(search->other)
		};
		bool		nulls[7] = {false, false, no_mate, no_mate, no_mate, no_other, no_other};

		tuplestore_putvalues(s->store, s->description, values, nulls);
	}
}

/*
 * search_set(probes text, enrolled text)
 * returns setof (probe_id, compared, mate_id, mate_similarity, mate_rank, other_id, other_similarity)
 */
Datum
facematch_search_set(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Searches	s = {.consumer = {.begin = begin,.preview = preview,.visit = visit,.end = end}};
	char	   *probes = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *enrolled = text_to_cstring(PG_GETARG_TEXT_PP(1));

	InitMaterializedSRF(fcinfo, 0);
	s.store = result->setResult;
	s.description = result->setDesc;
	SPI_connect();
	s.context = CurrentMemoryContext;
	face_compare_sets(probes, enrolled, &s.consumer);
	SPI_finish();
	return (Datum) 0;
}
