/*-------------------------------------------------------------------------
 *
 * test_bounds.c
 *	  The bounds hold: as often as stated where they are a matter of chance,
 *	  always where they are not, against distances computed in double and by
 *	  the operators' own kernels.
 *
 *-------------------------------------------------------------------------
 */
#include "test_codec.h"

#include <math.h>
#include <stdio.h>

#include "harness.h"
#include "simd/half.h"
#include "simd/simd.h"

#define TEMPLATES	256
#define BLOCKS		(TEMPLATES / FACE_BLOCK_SLOTS)
#define PROBES		6

/* Deviations of a binomial count that a correct bound may show: once in 1e9 tests. */
#define DEVIATIONS	6.0

/* Expected misses from which their number says something. */
#define ENOUGH_MISSES	50

/* An index to search: one codec, its codes of a set of templates. */
typedef struct Gallery
{
	FaceCodec  *codec;
	FaceCentre *centre;
	FaceEmbedding **templates;
	uint8	   *blocks;
	uint8	   *plane;
	FaceBlockScalars plane_scalars[BLOCKS];
	uint8	   *refine;
	FaceScalars refine_scalars[TEMPLATES];
} Gallery;

/* What bounds at one miss probability did. */
typedef struct Outcome
{
	double		probability;
	long		comparisons;
	long		sketch_misses;
	long		plane_misses;	/* of comparisons that have second bits */
	long		refine_misses;
	long		misses;			/* of any */
	long		unsafe;
	double		sketch_gap;		/* sums of distance less bound; cosine only */
	double		plane_gap;
	double		refine_gap;
} Outcome;

static void
put_scalars(FaceBlockScalars *block, int slot, const FaceScalars *s)
{
	block->inverse[slot] = s->inverse;
	block->tangent[slot] = s->tangent;
	block->centre_product[slot] = s->centre_product;
	block->norm[slot] = s->norm;
}

static Gallery *
make_gallery(TemplateKind kind, int dims, uint64 *state)
{
	Gallery    *g = palloc0(sizeof(Gallery));
	FaceCodes  *codes;

	g->codec = face_codec_create(dims, random_bits(state));
	g->templates = make_templates(kind, dims, TEMPLATES, state);
	g->centre = make_centre(kind, g->codec, g->templates, TEMPLATES);
	g->blocks = palloc0(FACE_BLOCK_SIZE(g->codec) * BLOCKS);
	g->plane = palloc0(FACE_BITS_STRIDE(g->codec->padded) * TEMPLATES);
	g->refine = palloc(g->codec->refine_bytes * TEMPLATES);
	codes = face_codes_create(g->codec);
	for (int i = 0; i < TEMPLATES; i++)
	{
		uint8	   *block = g->blocks + i / FACE_BLOCK_SLOTS * FACE_BLOCK_SIZE(g->codec);

		face_encode(g->codec, g->centre, g->templates[i], codes);
		face_block_put(g->codec, block, (FaceBlockScalars *) (block + g->codec->block_bytes), i % FACE_BLOCK_SLOTS, codes);
		memcpy(g->plane + i * FACE_BITS_STRIDE(g->codec->padded), codes->plane, g->codec->plane_bytes);
		put_scalars(&g->plane_scalars[i / FACE_BLOCK_SLOTS], i % FACE_BLOCK_SLOTS, &codes->plane_scalars);
		memcpy(g->refine + i * g->codec->refine_bytes, codes->refine, g->codec->refine_bytes);
		g->refine_scalars[i] = codes->refine_scalars;
	}
	pfree(codes);
	return g;
}

static void
free_gallery(Gallery *g)
{
	for (int i = 0; i < TEMPLATES; i++)
		pfree(g->templates[i]);
	pfree(g->templates);
	pfree(g->centre);
	pfree(g->blocks);
	pfree(g->plane);
	pfree(g->refine);
	pfree(g->codec->rotation);
	pfree(g->codec);
	pfree(g);
}

static double
distance_in_double(FaceMetric metric, const FaceEmbedding *a, const FaceEmbedding *b)
{
	double		dot = 0.0;
	double		squares = 0.0;
	double		norms = 0.0;
	double		other_norms = 0.0;

	for (int i = 0; i < a->dims; i++)
	{
		double		x = half_to_float(a->x[i]);
		double		y = half_to_float(b->x[i]);

		dot += x * y;
		squares += (x - y) * (x - y);
		norms += x * x;
		other_norms += y * y;
	}
	return metric == FACE_COSINE ? 1.0 - dot / sqrt(norms * other_norms) :
		metric == FACE_EUCLIDEAN ? sqrt(squares) : -dot;
}

/* As src/embedding/distance.c does. */
static double
distance_by_kernel(FaceMetric metric, const FaceEmbedding *a, const FaceEmbedding *b)
{
	double		dot = face_kernels->dot(a->dims, a->x, b->x);
	double		cosine = Max(Min(dot / ((double) a->norm * b->norm), 1.0), -1.0);

	return metric == FACE_COSINE ? 1.0 - cosine :
		metric == FACE_EUCLIDEAN ? sqrt(face_kernels->l2_squared(a->dims, a->x, b->x)) : -dot;
}

static void
compare(const Gallery *g, const FaceEmbedding *probe, FaceMetric metric, Outcome *o)
{
	FaceQuery  *q = face_query_create(g->codec, g->centre, probe, metric, o->probability);
	float		sketch[TEMPLATES];
	float		plane[TEMPLATES];
	FaceSketchSum kept[TEMPLATES];
	int32		sums[TEMPLATES] = {0};

	face_query_sketch_bounds(q, BLOCKS, g->blocks, g->blocks, INFINITY, sketch, kept);
	for (int i = 0; i < TEMPLATES && g->codec->plane_bytes > 0; i += FACE_BLOCK_SLOTS)
		face_query_plane_sums(q, FACE_BLOCK_SLOTS, kept + i, g->plane + i * FACE_BITS_STRIDE(g->codec->padded), sums + i);
	if (g->codec->plane_bytes > 0)
		face_query_plane_bounds(q, BLOCKS, g->plane_scalars, sums, INFINITY, plane);
	else
		memcpy(plane, sketch, sizeof(plane));
	for (int i = 0; i < TEMPLATES; i++)
	{
		double		exact = distance_in_double(metric, g->templates[i], probe);
		double		computed = distance_by_kernel(metric, g->templates[i], probe);
		double		least = Min(exact, computed);
		int32		sum = face_query_refine_sum(q, sums[i], g->refine + i * g->codec->refine_bytes);
		FaceBounds	b;

		face_query_refine(q, sum, g->refine_scalars + i, INFINITY, &b);
		o->comparisons++;
		o->sketch_misses += !(sketch[i] <= least);
		o->refine_misses += !(b.lower <= least);
		o->plane_misses += g->codec->plane_bytes > 0 && !(plane[i] <= least);
		o->misses += !(sketch[i] <= least && plane[i] <= least && b.lower <= least);
		o->unsafe += !(b.safe_lower <= least);
		if (metric == FACE_COSINE)
		{
			o->sketch_gap += exact - sketch[i];
			o->plane_gap += exact - plane[i];
			o->refine_gap += exact - b.lower;
		}
	}
	pfree(q);
}

/*
 * How many comparisons count as one: those that share the direction of their
 * error.  In few dimensions nearly all do; copies do.
 */
static double
dependence(TemplateKind kind, int dims)
{
	if (dims < 8)
		return TEMPLATES;
	return kind == KIND_RANDOM || kind == KIND_FULL_RANK || kind == KIND_NORMS ? 4 :
		kind == KIND_ONE_HOT ? 16 : TEMPLATES / 8;
}

static void
judge(TemplateKind kind, int dims, const Outcome *o)
{
	double		expected = o->probability * o->comparisons;
	double		margin = DEVIATIONS * sqrt(expected * dependence(kind, dims)) + (o->probability > 1e-6 ? dependence(kind, dims) : 0);

	check(o->unsafe == 0, "%s, %d dimensions, miss %g: %ld of %ld outside the safe bounds", kind_names[kind], dims,
		  o->probability, o->unsafe, o->comparisons);
	check(o->sketch_misses <= expected * (FACE_SKETCH_SHARE + FACE_PLANE_SHARE) + margin, "%s, %d dimensions, miss %g: %ld of %ld missed by the sketch",
		  kind_names[kind], dims, o->probability, o->sketch_misses, o->comparisons);
	check(o->plane_misses <= expected * FACE_PLANE_SHARE + margin, "%s, %d dimensions, miss %g: %ld of %ld missed by the second bits",
		  kind_names[kind], dims, o->probability, o->plane_misses, o->comparisons);
	check(o->refine_misses <= expected * (1 - FACE_SKETCH_SHARE - FACE_PLANE_SHARE) + margin, "%s, %d dimensions, miss %g: %ld of %ld missed by the refinement",
		  kind_names[kind], dims, o->probability, o->refine_misses, o->comparisons);
	check(o->misses <= expected + margin, "%s, %d dimensions, miss %g: %ld of %ld missed",
		  kind_names[kind], dims, o->probability, o->misses, o->comparisons);
}

static void
add(Outcome *total, const Outcome *o)
{
	total->probability = o->probability;
	total->comparisons += o->comparisons;
	total->sketch_misses += o->sketch_misses;
	total->plane_misses += o->plane_misses;
	total->refine_misses += o->refine_misses;
	total->misses += o->misses;
	total->sketch_gap += o->sketch_gap;
	total->plane_gap += o->plane_gap;
	total->refine_gap += o->refine_gap;
}

static void
test_kind(TemplateKind kind, int dims, Outcome *totals, int nprobabilities, int rounds, uint64 *state)
{
	Outcome		outcomes[4] = {{.probability = 0}};

	for (int i = 0; i < nprobabilities; i++)
		outcomes[i].probability = totals[i].probability;
	for (int round = 0; round < rounds; round++)
	{
		Gallery    *g = make_gallery(kind, dims, state);

		for (int p = 0; p < (rounds > 1 ? PROBES : 1); p++)
		{
			FaceEmbedding *probe = make_probe(kind, dims, g->templates, TEMPLATES, state);

			for (int metric = 0; metric < 3; metric++)
				for (int i = 0; i < nprobabilities; i++)
					compare(g, probe, metric, outcomes + i);
			pfree(probe);
		}
		free_gallery(g);
	}
	for (int i = 0; i < nprobabilities; i++)
	{
		judge(kind, dims, outcomes + i);
		if ((kind == KIND_RANDOM || kind == KIND_FULL_RANK) && dims >= 64)
			add(totals + i, outcomes + i);
	}
}

/* A bound that is far below needs as much work as none: not 20 times fewer misses than allowed. */
static void
judge_totals(const Outcome *o)
{
	printf("miss %g: sketch %g, second bits %g, refinement %g, any %g of %ld; mean cosine gap %.4f, %.4f and %.4f\n", o->probability,
		   (double) o->sketch_misses / o->comparisons, (double) o->plane_misses / o->comparisons,
		   (double) o->refine_misses / o->comparisons, (double) o->misses / o->comparisons, o->comparisons,
		   3 * o->sketch_gap / o->comparisons, 3 * o->plane_gap / o->comparisons, 3 * o->refine_gap / o->comparisons);
	if (o->probability * o->comparisons >= ENOUGH_MISSES)
		check(o->misses * 20.0 >= o->probability * o->comparisons, "misses at %g are absurdly few", o->probability);
}

void
test_bounds(int rounds)
{
	static const int dims[] = {1, 2, 3, 31, 64, 128, 129, 512, 1024, 2000};
	Outcome		totals[] = {
		{.probability = 1e-2}, {.probability = 1e-3}, {.probability = 1e-9}, {.probability = 0.0}
	};
	const int	nprobabilities = sizeof(totals) / sizeof(*totals);
	uint64		state = 13;

	for (size_t i = 0; i < sizeof(dims) / sizeof(*dims); i++)
		for (int kind = 0; kind < NUM_KINDS; kind++)
			test_kind(kind, dims[i], totals, nprobabilities, rounds, &state);
	for (int i = 0; i < nprobabilities; i++)
		judge_totals(totals + i);
}
