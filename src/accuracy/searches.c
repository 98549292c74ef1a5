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
 * A candidate list has one line a person, so the mate's place is one more than
 * the persons, not the templates, that stand before it.  Which these are has to
 * be remembered until all have passed by.  Where the memory for that runs out,
 * the later half of the searches is left to another pass.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "accuracy/compare.h"

PG_FUNCTION_INFO_V1(facematch_search_set);

/* No similarity is as low. */
#define NOBODY	(-2.0)

/* Most mates have nobody above them, or few. */
#define LEAST_ROOM	4

typedef struct Search
{
	double		mate;			/* similarity of the best mate, or NOBODY */
	double		other;			/* of the best other, or NOBODY */
	int64		mate_id;
	int64		other_id;
	int64		compared;
	FaceLabel  *above;			/* others before the mate in the list, some of them repeatedly */
	int			nabove;
	int			room;			/* for so many of them */
} Search;

typedef struct Searches
{
	FaceConsumer consumer;
	MemoryContext context;
	Search	   *searches;		/* of a block of probes */
	int			first;			/* the searches of this pass, and after the last of them */
	int			last;
	Size		used;			/* bytes of who is above */
	Tuplestorestate *store;
	TupleDesc	description;
} Searches;

/* Nothing of a search is known. */
static void
start_search(Searches *s, Search *search)
{
	s->used -= search->room * sizeof(FaceLabel);
	if (search->above != NULL)
		pfree(search->above);
	*search = (Search) {.mate = NOBODY,.other = NOBODY};
}

static void
begin(FaceConsumer *self, const FaceBlock *probes)
{
	Searches   *s = (Searches *) self;

	if (s->searches == NULL)
		s->searches = MemoryContextAllocExtended(s->context, probes->capacity * sizeof(Search), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < probes->n; i++)
		start_search(s, &s->searches[i]);
	s->first = 0;
	s->last = probes->n;
}

static int
by_label(const void *a, const void *b)
{
	const FaceLabel *first = a;
	const FaceLabel *second = b;

	if (first->high != second->high)
		return first->high < second->high ? -1 : 1;
	return first->low < second->low ? -1 : first->low > second->low;
}

/* Each person above once.  Returns how many they are. */
static int
count_above(Search *search)
{
	if (search->nabove > 1)
	{
		qsort(search->above, search->nabove, sizeof(FaceLabel), by_label);
		search->nabove = (int) qunique(search->above, search->nabove, sizeof(FaceLabel), by_label);
	}
	return search->nabove;
}

static void
add_above(Searches *s, Search *search, const FaceLabel *label)
{
	if (search->nabove == search->room && (search->room == 0 || count_above(search) > search->room / 2))
	{
		int			room = Max(search->room * 2, LEAST_ROOM);
		Size		size = room * sizeof(FaceLabel);

		search->above = search->above == NULL ? MemoryContextAlloc(s->context, size) : repalloc_huge(search->above, size);
		s->used += size - search->room * sizeof(FaceLabel);
		search->room = room;
	}
	search->above[search->nabove++] = *label;
}

/* Down to one search, if need be: that one has room. */
static void
leave_some(Searches *s)
{
	while (s->used > (Size) maintenance_work_mem * 1024 && s->last - s->first > 1)
	{
		int			kept = s->first + (s->last - s->first) / 2;

		while (s->last > kept)
			start_search(s, &s->searches[--s->last]);
	}
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

	for (int i = s->first; i < s->last; i++)
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
visit_row(Searches *s, const FaceTile *tile, int row)
{
	Search	   *search = &s->searches[tile->first_row + row];
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
			add_above(s, search, &tile->enrolled->labels[enrolled]);
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

	for (int row = Max(s->first - tile->first_row, 0); row < tile->rows && tile->first_row + row < s->last; row++)
	{
		visit_row(s, tile, row);
		leave_some(s);
	}
}

static void
tell_search(Searches *s, int64 probe_id, Search *search)
{
	bool		no_mate = search->mate == NOBODY;
	bool		no_other = search->other == NOBODY;
	Datum		values[7] = {
		Int64GetDatum(probe_id), Int64GetDatum(search->compared),
		Int64GetDatum(search->mate_id), Float8GetDatum(search->mate), Int64GetDatum(count_above(search) + 1),
		Int64GetDatum(search->other_id), Float8GetDatum(search->other)
	};
	bool		nulls[7] = {false, false, no_mate, no_mate, no_mate, no_other, no_other};

	tuplestore_putvalues(s->store, s->description, values, nulls);
}

static bool
again(FaceConsumer *self, const FaceBlock *probes)
{
	Searches   *s = (Searches *) self;

	for (int i = s->first; i < s->last; i++)
	{
		tell_search(s, probes->ids[i], &s->searches[i]);
		start_search(s, &s->searches[i]);
	}
	s->first = s->last;
	s->last = probes->n;
	return s->first < s->last;
}

/*
 * search_set(probes text, enrolled text)
 * returns setof (probe_id, compared, mate_id, mate_similarity, mate_rank, other_id, other_similarity)
 */
Datum
facematch_search_set(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Searches	s = {.consumer = {.begin = begin,.preview = preview,.visit = visit,.again = again}};
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
