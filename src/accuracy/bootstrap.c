/*-------------------------------------------------------------------------
 *
 * bootstrap.c
 *	  Error rates at a threshold, with intervals from resampled subjects.
 *
 * Comparisons that share a person are not independent; people are, more
 * nearly.  So each replicate draws as many subjects as there are, with
 * replacement; a subject drawn w times counts w times, a comparison of two
 * subjects as often as the product says (Bickel's two-sample statistic;
 * Poh and Bengio, and ISO/IEC 19795-1 annex B, have it for biometrics).  What
 * a replicate needs are only the totals by subject and the false matches by
 * pair of subjects, so the templates are compared once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "accuracy/compare.h"
#include "base/random.h"

PG_FUNCTION_INFO_V1(facematch_bootstrap_rates);

#define MOST_REPLICATES	100000

typedef struct Subject
{
	int64		probes;			/* templates among the probes */
	int64		enrolled;		/* and among the enrolled */
	int64		mated;			/* comparisons of the subject with itself */
	int64		misses;			/* of these, below the threshold */
} Subject;

typedef struct SubjectEntry
{
	FaceLabel	label;
	int			place;
} SubjectEntry;

/* A false match: the subjects' places. */
typedef struct FalseMatch
{
	int			probe;
	int			enrolled;
} FalseMatch;

typedef struct Bootstrap
{
	FaceConsumer consumer;
	double		threshold;
	bool		within;
	bool		first_block;
	HTAB	   *places;
	Subject    *subjects;
	int			nsubjects;
	int			subjects_room;
	FalseMatch *matches;
	int64		nmatches;
	int64		matches_room;
} Bootstrap;

typedef struct Rates
{
	double		fmr;
	double		fnmr;
} Rates;

static int
place_of(Bootstrap *b, const FaceLabel *label)
{
	bool		found;
	SubjectEntry *entry = hash_search(b->places, label, HASH_ENTER, &found);

	if (found)
		return entry->place;
	if (b->nsubjects == b->subjects_room)
	{
		b->subjects_room *= 2;
		b->subjects = repalloc_huge(b->subjects, b->subjects_room * sizeof(Subject));
	}
	entry->place = b->nsubjects;
	b->subjects[b->nsubjects] = (Subject) {0};
	return b->nsubjects++;
}

/* Valid until the next subject is met. */
static Subject *
subject_of(Bootstrap *b, const FaceLabel *label)
{
	int			place = place_of(b, label);

	return &b->subjects[place];
}

static void
begin(FaceConsumer *self, const FaceBlock *probes)
{
	Bootstrap  *b = (Bootstrap *) self;

	for (int i = 0; i < probes->n; i++)
		subject_of(b, &probes->labels[i])->probes++;
}

static void
end(FaceConsumer *self, const FaceBlock *probes)
{
	((Bootstrap *) self)->first_block = false;
}

static void
add_match(Bootstrap *b, const FaceLabel *probe, const FaceLabel *enrolled)
{
	if (b->nmatches == b->matches_room)
	{
		if (b->matches_room * sizeof(FalseMatch) >= (Size) maintenance_work_mem * 1024)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("more than %lld false matches at threshold %g", (long long) b->nmatches, b->threshold),
					 errhint("Raise the threshold, or maintenance_work_mem.")));
		b->matches_room *= 2;
		b->matches = repalloc_huge(b->matches, b->matches_room * sizeof(FalseMatch));
	}
	b->matches[b->nmatches++] = (FalseMatch) {place_of(b, probe), place_of(b, enrolled)};
}

static void
visit_row(Bootstrap *b, const FaceTile *tile, int row)
{
	const float *scores = tile->scores + (Size) row * tile->columns;
	const FaceLabel *label = &tile->probes->labels[tile->first_row + row];
	double		surely_below = b->threshold - 2 * tile->margin;

	for (int j = face_tile_start(tile, row); j < tile->columns; j++)
	{
		const FaceLabel *other = &tile->enrolled->labels[tile->first_column + j];
		bool		mated = face_same_subject(label, other);
		bool		match;

		if (likely(!mated && scores[j] < surely_below))
			continue;
		match = face_exact(tile, row, j) >= b->threshold;
		if (mated)
		{
			Subject    *subject = subject_of(b, label);

			subject->mated++;
			subject->misses += !match;
		}
		else if (match)
			add_match(b, label, other);
	}
}

static void
visit(FaceConsumer *self, const FaceTile *tile)
{
	Bootstrap  *b = (Bootstrap *) self;

	if (!b->within && b->first_block && tile->first_row == 0)
		for (int j = 0; j < tile->columns; j++)
			subject_of(b, &tile->enrolled->labels[tile->first_column + j])->enrolled++;
	for (int row = 0; row < tile->rows; row++)
		visit_row(b, tile, row);
}

/* Non-mated comparisons, each subject counting as often as its weight says. */
static double
weighted_comparisons(const Bootstrap *b, const int *weights)
{
	double		probes = 0;
	double		enrolled = 0;
	double		same = 0;

	for (int i = 0; i < b->nsubjects; i++)
	{
		const Subject *s = &b->subjects[i];
		double		other = b->within ? s->probes : s->enrolled;

		probes += (double) weights[i] * s->probes;
		enrolled += weights[i] * other;
		same += (double) weights[i] * weights[i] * s->probes * other;
	}
	return (probes * enrolled - same) / (b->within ? 2 : 1);
}

static Rates
weighted_rates(const Bootstrap *b, const int *weights)
{
	double		matches = 0;
	double		mated = 0;
	double		misses = 0;

	for (int64 i = 0; i < b->nmatches; i++)
		matches += (double) weights[b->matches[i].probe] * weights[b->matches[i].enrolled];
	for (int i = 0; i < b->nsubjects; i++)
	{
		mated += (double) weights[i] * b->subjects[i].mated;
		misses += (double) weights[i] * b->subjects[i].misses;
	}
	/* without comparisons 0/0, which sorts last as NaN and is left out */
	return (Rates) {matches / weighted_comparisons(b, weights), misses / mated};
}

static void
draw_weights(const Bootstrap *b, uint64 *state, int *weights)
{
	memset(weights, 0, b->nsubjects * sizeof(int));
	for (int i = 0; i < b->nsubjects; i++)
		weights[((face_random(state) >> 32) * b->nsubjects) >> 32]++;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	if (isnan(x) || isnan(y))
		return (int) isnan(x) - (int) isnan(y);
	return (x > y) - (x < y);
}

/* Percentiles of the replicates that have a rate; false if none has. */
static bool
interval(double *rates, int n, double confidence, Datum *lower, Datum *upper)
{
	double		tail = (1 - confidence) / 2;

	qsort(rates, n, sizeof(double), compare_doubles);
	while (n > 0 && isnan(rates[n - 1]))
		n--;
	if (n == 0)
		return false;
	*lower = Float8GetDatum(rates[(int) floor(tail * (n - 1))]);
	*upper = Float8GetDatum(rates[(int) ceil((1 - tail) * (n - 1))]);
	return true;
}

static void
check_arguments(double threshold, int replicates, double confidence)
{
	if (!(threshold >= -1 && threshold <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("threshold must be between -1 and 1"),
				 errhint("It is a cosine similarity.")));
	if (replicates < 1 || replicates > MOST_REPLICATES)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("replicates must be between 1 and %d", MOST_REPLICATES)));
	if (!(confidence > 0 && confidence < 1))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("confidence must be between 0 and 1"),
				 errhint("95 %% is 0.95.")));
}

static void
start(Bootstrap *b, double threshold, bool within)
{
	HASHCTL		control = {.keysize = sizeof(FaceLabel),.entrysize = sizeof(SubjectEntry)};

	memset(b, 0, sizeof(*b));
	b->consumer = (FaceConsumer) {.begin = begin,.visit = visit,.end = end};
	b->threshold = threshold;
	b->within = within;
	b->first_block = true;
	control.hcxt = CurrentMemoryContext;
	b->places = hash_create("facematch subjects", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	b->subjects_room = b->matches_room = 1024;
	b->subjects = palloc(b->subjects_room * sizeof(Subject));
	b->matches = palloc(b->matches_room * sizeof(FalseMatch));
}

/* The counts themselves: every subject once.  values and nulls as the function's columns. */
static void
report_counts(const Bootstrap *b, const int *weights, Datum *values, bool *nulls)
{
	Rates		rates = weighted_rates(b, weights);
	int64		mated = 0;
	int64		misses = 0;

	for (int i = 0; i < b->nsubjects; i++)
	{
		mated += b->subjects[i].mated;
		misses += b->subjects[i].misses;
	}
	values[0] = Int64GetDatum(b->nsubjects);
	values[1] = Int64GetDatum((int64) weighted_comparisons(b, weights));
	values[2] = Int64GetDatum(b->nmatches);
	values[3] = Float8GetDatum(rates.fmr);
	nulls[3] = isnan(rates.fmr);
	values[6] = Int64GetDatum(mated);
	values[7] = Int64GetDatum(misses);
	values[8] = Float8GetDatum(rates.fnmr);
	nulls[8] = isnan(rates.fnmr);
}

static void
resample(const Bootstrap *b, int replicates, double confidence, uint64 seed, int *weights, Datum *values, bool *nulls)
{
	double	   *fmr = palloc(replicates * sizeof(double));
	double	   *fnmr = palloc(replicates * sizeof(double));

	for (int i = 0; i < replicates; i++)
	{
		Rates		rates;

		CHECK_FOR_INTERRUPTS();
		draw_weights(b, &seed, weights);
		rates = weighted_rates(b, weights);
		fmr[i] = rates.fmr;
		fnmr[i] = rates.fnmr;
	}
	nulls[4] = nulls[5] = !interval(fmr, replicates, confidence, &values[4], &values[5]);
	nulls[9] = nulls[10] = !interval(fnmr, replicates, confidence, &values[9], &values[10]);
}

/* bootstrap_rates(probes text, enrolled text, threshold float8, replicates int, confidence float8, seed int8) returns record */
Datum
facematch_bootstrap_rates(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"probes", NULL, "threshold", "replicates", "confidence", "seed"};
	Bootstrap	b;
	Datum		values[11] = {0};
	bool		nulls[11] = {false};
	TupleDesc	description;
	int		   *weights;

	for (int i = 0; i < lengthof(names); i++)
		if (names[i] != NULL)
			face_require_argument(fcinfo, i, names[i]);
	check_arguments(PG_GETARG_FLOAT8(2), PG_GETARG_INT32(3), PG_GETARG_FLOAT8(4));
	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "bootstrap_rates does not return a row");
	start(&b, PG_GETARG_FLOAT8(2), PG_ARGISNULL(1));
	SPI_connect();
	face_compare_sets(text_to_cstring(PG_GETARG_TEXT_PP(0)), b.within ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)), &b.consumer);
	SPI_finish();

	weights = MemoryContextAllocHuge(CurrentMemoryContext, Max(b.nsubjects, 1) * sizeof(int));
	for (int i = 0; i < b.nsubjects; i++)
		weights[i] = 1;
	report_counts(&b, weights, values, nulls);
	resample(&b, PG_GETARG_INT32(3), PG_GETARG_FLOAT8(4), (uint64) PG_GETARG_INT64(5), weights, values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls)));
}
