/*-------------------------------------------------------------------------
 *
 * codec_bench.c
 *	  What the index's codes cost and what they save; bench/codec.sh builds
 *	  and runs it.
 *
 *		codec_bench speed
 *		codec_bench bits
 *		codec_bench faces FILE.f16 DIMS cosine|euclidean CUT
 *
 * "speed": nanoseconds of every operation.  "bits": for uniform templates of
 * several sizes, how many survive a sketch of 1, 2 and 4 bits at the distance
 * that one in 100,000 comparisons reaches.  "faces": the same for rows of half
 * precision in a file, at a given distance and at that of the nearest, and how
 * often the bounds missed where they may.
 *
 *-------------------------------------------------------------------------
 */
#include "index/codec.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "index/tail.h"
#include "simd/half.h"
#include "simd/simd.h"

#define MISS			1e-9	/* the default of facematch.miss_probability */
#define REPEATS			25		/* of each measurement; the least counts */
#define CACHED			1024	/* templates whose sketches stay in the cache */
#define IN_MEMORY		2097152 /* and in no cache */
#define UNIFORM			20000	/* templates of "bits" */
#define PROBES			100
#define BLOCKS_AHEAD	7		/* about a page: what an index scan fetches ahead */
#define ONE_IN			1e-5	/* false match rate of its cut */

/* An index in memory over n templates. */
typedef struct Gallery
{
	FaceCodec  *codec;
	FaceCentre *centre;
	FaceEmbedding **templates;
	int			n;
	int			nblocks;
	uint8	   *blocks;
	uint8	   *plane;
	FaceBlockScalars *plane_scalars;
	uint8	   *refine;
	FaceScalars *refine_scalars;
	float	   *lower;
	FaceSketchSum *kept;
	int32	   *sums;
	float	   *plane_lower;
} Gallery;

static uint64 state = 20240229;

static double
uniform(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (double) ((state * UINT64CONST(0x2545F4914F6CDD1D)) >> 11) * 0x1p-53;
}

static double
normal(void)
{
	return sqrt(-2.0 * log(1.0 - uniform())) * cos(2.0 * M_PI * uniform());
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

/* The least time of an expression, in nanoseconds divided by "per". */
#define LEAST(per, expression) \
	({ \
		double		least = HUGE_VAL; \
		for (int repeat = 0; repeat < REPEATS; repeat++) \
		{ \
			double		start = now(); \
			expression; \
			least = fmin(least, now() - start); \
		} \
		least / (per); \
	})

static void
set_norm(FaceEmbedding *e)
{
	double		squares = 0.0;

	for (int i = 0; i < e->dims; i++)
		squares += (double) half_to_float(e->x[i]) * half_to_float(e->x[i]);
	e->norm = (float4) sqrt(squares);
}

static FaceEmbedding *
uniform_template(int dims)
{
	FaceEmbedding *e = palloc0(FACE_EMBEDDING_SIZE(dims));

	e->dims = dims;
	for (int i = 0; i < dims; i++)
		e->x[i] = half_from_float((float) (normal() / sqrt(dims)));
	set_norm(e);
	return e;
}

static void
use_bits(FaceCodec *codec, int sketch_bits, int refine_bits)
{
	codec->sketch_bits = sketch_bits;
	codec->refine_bits = refine_bits;
	codec->groups = codec->padded * sketch_bits / 4;
	codec->block_bytes = (Size) codec->groups / 2 * FACE_BLOCK_SLOTS;
	codec->plane_bytes = sketch_bits == 1 ? (Size) codec->padded / 8 : 0;
	codec->refine_bits -= sketch_bits == 1 ? 2 : 0;
	codec->refine_bytes = (Size) codec->padded * codec->refine_bits / 8;
}

static FaceCentre *
mean(const FaceCodec *codec, FaceEmbedding **templates, int n)
{
	FaceCentre *centre = palloc0(FACE_CENTRE_SIZE(codec));
	float	   *x = palloc0(sizeof(float) * codec->padded);

	for (int i = 0; i < n; i++)
	{
		face_codec_rotate(codec, templates[i], true, x);
		for (int j = 0; j < codec->padded; j++)
			centre->values[j] += x[j] / (float) n;
	}
	for (int j = 0; j < codec->padded; j++)
		centre->norm_squared += centre->values[j] * centre->values[j];
	pfree(x);
	return centre;
}

static void
put_scalars(FaceBlockScalars *block, int slot, const FaceScalars *s)
{
	block->inverse[slot] = s->inverse;
	block->tangent[slot] = s->tangent;
	block->centre_product[slot] = s->centre_product;
	block->norm[slot] = s->norm;
}

static Gallery
encode(FaceCodec *codec, FaceEmbedding **templates, int n)
{
	Gallery		g = {.codec = codec, .templates = templates, .n = n};
	FaceCodes  *codes = face_codes_create(codec);

	g.nblocks = (n + FACE_BLOCK_SLOTS - 1) / FACE_BLOCK_SLOTS;
	g.centre = mean(codec, templates, n);
	g.blocks = palloc0(g.nblocks * FACE_BLOCK_SIZE(codec));
	g.plane = palloc0(FACE_BITS_STRIDE(codec->padded) * g.nblocks * FACE_BLOCK_SLOTS);
	g.plane_scalars = palloc0(g.nblocks * sizeof(FaceBlockScalars));
	g.refine = palloc0(n * codec->refine_bytes);
	g.refine_scalars = palloc0(n * sizeof(FaceScalars));
	g.lower = palloc0(g.nblocks * FACE_BLOCK_SLOTS * sizeof(float));
	g.kept = palloc0(g.nblocks * FACE_BLOCK_SLOTS * sizeof(FaceSketchSum));
	g.sums = palloc0(g.nblocks * FACE_BLOCK_SLOTS * sizeof(int32));
	g.plane_lower = palloc0(g.nblocks * FACE_BLOCK_SLOTS * sizeof(float));
	for (int i = 0; i < n; i++)
	{
		uint8	   *block = g.blocks + i / FACE_BLOCK_SLOTS * FACE_BLOCK_SIZE(codec);

		face_encode(codec, g.centre, templates[i], codes);
		face_block_put(codec, block, (FaceBlockScalars *) (block + codec->block_bytes), i % FACE_BLOCK_SLOTS, codes);
		memcpy(g.plane + i * FACE_BITS_STRIDE(codec->padded), codes->plane, codec->plane_bytes);
		put_scalars(&g.plane_scalars[i / FACE_BLOCK_SLOTS], i % FACE_BLOCK_SLOTS, &codes->plane_scalars);
		memcpy(g.refine + i * codec->refine_bytes, codes->refine, codec->refine_bytes);
		g.refine_scalars[i] = codes->refine_scalars;
	}
	pfree(codes);
	return g;
}

static void
discard(Gallery *g)
{
	pfree(g->centre);
	pfree(g->blocks);
	pfree(g->plane);
	pfree(g->plane_scalars);
	pfree(g->kept);
	pfree(g->sums);
	pfree(g->plane_lower);
	pfree(g->refine);
	pfree(g->refine_scalars);
	pfree(g->lower);
}

/* Something for the compiler to keep: reads every byte. */
static uint64
read_all(const uint8 *bytes, Size n)
{
	typedef uint64 Words __attribute__((vector_size(64)));
	Words		sum[4] = {{0}};
	Words		word;

	for (Size i = 0; i + sizeof(sum) <= n; i += sizeof(sum))
	{
		for (int j = 0; j < 4; j++)
		{
			memcpy(&word, bytes + i + j * sizeof(word), sizeof(word));
			sum[j] += word;
		}
	}
	sum[0] += sum[1] + sum[2] + sum[3];
	return sum[0][0] + sum[0][1] + sum[0][2] + sum[0][3] + sum[0][4] + sum[0][5] + sum[0][6] + sum[0][7];
}

/* Lower bounds by the first two bits, or by the sketch where that has as many. */
static void
plane_bounds(Gallery *g, FaceQuery *q)
{
	if (g->codec->plane_bytes == 0)
	{
		memcpy(g->plane_lower, g->lower, g->n * sizeof(float));
		return;
	}
	for (int i = 0; i < g->n; i += FACE_BLOCK_SLOTS)
		face_query_plane_sums(q, Min(g->n - i, FACE_BLOCK_SLOTS), g->kept + i, g->plane + i * FACE_BITS_STRIDE(g->codec->padded),
							  g->sums + i);
	face_query_plane_bounds(q, g->nblocks, g->plane_scalars, g->sums, INFINITY, g->plane_lower);
}

static void
refine(const Gallery *g, const FaceQuery *q, int i, FaceBounds *bounds)
{
	int32		sum = face_query_refine_sum(q, g->sums[i], g->refine + i * g->codec->refine_bytes);

	face_query_refine(q, sum, g->refine_scalars + i, INFINITY, bounds);
}

static void
speed(int dims)
{
	static const char *const metrics[] = {"cosine", "Euclidean", "inner product"};
	FaceCodec  *codec = face_codec_create(dims, 1);
	FaceEmbedding **templates = palloc0(sizeof(FaceEmbedding *) * CACHED);
	float	   *rotated = palloc0(sizeof(float) * codec->padded);
	FaceCodes  *codes = face_codes_create(codec);
	int			nblocks = IN_MEMORY / FACE_BLOCK_SLOTS;
	Size		size = FACE_BLOCK_SIZE(codec);
	uint8	   *blocks;
	float	   *lower;
	volatile uint64 sink;
	FaceBounds	bounds;
	Gallery		g;

	for (int i = 0; i < CACHED; i++)
		templates[i] = uniform_template(dims);
	g = encode(codec, templates, CACHED);
	printf("%d dimensions, %s: sketch %d bits, refinement %d\n", dims, face_kernels->name, codec->sketch_bits,
		   codec->refine_bits);
	printf("  rotate %.0f ns", LEAST(CACHED, for (int i = 0; i < CACHED; i++)
									 face_codec_rotate(codec, templates[i], true, rotated)));
	printf(", encode %.0f", LEAST(CACHED, for (int i = 0; i < CACHED; i++)
								  face_encode(codec, g.centre, templates[i], codes)));
	printf(", prepare a probe %.0f\n", LEAST(CACHED, for (int i = 0; i < CACHED; i++)
											 pfree(face_query_create(codec, g.centre, templates[i], FACE_COSINE, MISS))));

	blocks = palloc0((nblocks + BLOCKS_AHEAD) * size);
	lower = palloc0(IN_MEMORY * sizeof(float));
	for (int i = 0; i < nblocks; i++)
		memcpy(blocks + i * size, g.blocks + i % g.nblocks * size, size);
	for (int metric = 0; metric < 3; metric++)
	{
		FaceQuery  *q = face_query_create(codec, g.centre, templates[0], metric, MISS);

		printf("  %s: sketch bound %.2f ns in cache,", metrics[metric],
			   LEAST(CACHED, face_query_sketch_bounds(q, g.nblocks, g.blocks, g.blocks, INFINITY, g.lower, NULL)));
		if (codec->plane_bytes > 0)
			printf(" second bits %.1f,", LEAST(CACHED, plane_bounds(&g, q)));
		printf(" %.2f in memory, refinement %.0f\n",
			   LEAST(IN_MEMORY, face_query_sketch_bounds(q, nblocks, blocks, blocks + BLOCKS_AHEAD * size, INFINITY, lower, NULL)),
			   LEAST(CACHED, for (int i = 0; i < CACHED; i++)
					 refine(&g, q, i, &bounds)));
		pfree(q);
	}
	printf("  plain read of the sketches' %.0f bytes in memory %.2f\n", (double) (nblocks * size) / IN_MEMORY,
		   LEAST(IN_MEMORY, sink = read_all(blocks, nblocks * size)));
	(void) sink;
	pfree(blocks);
	pfree(lower);
	discard(&g);
}

static double
distance(FaceMetric metric, const FaceEmbedding *a, const FaceEmbedding *b)
{
	return metric == FACE_COSINE ? 1.0 - face_kernels->dot(a->dims, a->x, b->x) / ((double) a->norm * b->norm) :
		sqrt(face_kernels->l2_squared(a->dims, a->x, b->x));
}

#define NEAREST 10

/* Put a distance among the smallest, in their order. */
static void
note_distance(double *nearest, double d)
{
	for (int i = 0; i < NEAREST; i++)
	{
		double		larger = fmax(nearest[i], d);

		nearest[i] = fmin(nearest[i], d);
		d = larger;
	}
}

/*
 * Shares of the comparisons that pass the sketch, also the second bits, and
 * also the refinement: at a cut, and at the distance of the nearest and of the
 * tenth nearest.
 */
static void
survivors(Gallery *g, FaceMetric metric, double cut)
{
	static const char *const names[] = {"the cut", "the nearest", "the tenth"};
	double		counts[3][3] = {{0}};
	double		comparisons = (double) PROBES * g->n;

	for (int p = 0; p < PROBES; p++)
	{
		int			own = (int) ((double) p * g->n / PROBES);
		FaceQuery  *q = face_query_create(g->codec, g->centre, g->templates[own], metric, MISS);
		double		nearest[NEAREST];
		double		cuts[3] = {cut};

		for (int i = 0; i < NEAREST; i++)
			nearest[i] = HUGE_VAL;
		for (int i = 0; i < g->n; i++)
			if (i != own)
				note_distance(nearest, distance(metric, g->templates[i], g->templates[own]));
		cuts[1] = nearest[0];
		cuts[2] = nearest[NEAREST - 1];
		face_query_sketch_bounds(q, g->nblocks, g->blocks, g->blocks, INFINITY, g->lower, g->kept);
		plane_bounds(g, q);
		for (int i = 0; i < g->n; i++)
		{
			double		plane = g->plane_lower[i];
			FaceBounds	b;

			refine(g, q, i, &b);
			for (int c = 0; c < 3; c++)
			{
				counts[c][0] += g->lower[i] <= cuts[c];
				counts[c][1] += g->lower[i] <= cuts[c] && plane <= cuts[c];
				counts[c][2] += g->lower[i] <= cuts[c] && plane <= cuts[c] && b.lower <= cuts[c];
			}
		}
		pfree(q);
	}
	printf("%6d bytes:", (int) (g->codec->groups / 2 + sizeof(FaceScalars)));
	for (int c = 0; c < 3; c++)
		printf("%s at %s %.4f, %.4f and %.4f %%", c > 0 ? ";" : "", names[c], 100 * counts[c][0] / comparisons,
			   100 * counts[c][1] / comparisons, 100 * counts[c][2] / comparisons);
	printf("\n");
}

static void
try_bits(FaceEmbedding **templates, int n, FaceMetric metric, double cut)
{
	static const int choices[][2] = {{1, 4}, {2, 4}, {4, 4}, {4, 8}};

	for (int i = 0; i < 4; i++)
	{
		FaceCodec  *codec = face_codec_create(templates[0]->dims, 1);
		Gallery		g;

		use_bits(codec, choices[i][0], choices[i][1]);
		g = encode(codec, templates, n);
		printf("  %4d dimensions, %d and %d bits, ", codec->dims, codec->sketch_bits, codec->refine_bits);
		survivors(&g, metric, cut);
		discard(&g);
	}
}

static void
bits(void)
{
	static const int dims[] = {64, 128, 192, 256, 320, 384, 512, 768, 1024};

	for (size_t i = 0; i < sizeof(dims) / sizeof(*dims); i++)
	{
		FaceEmbedding **templates = palloc0(sizeof(FaceEmbedding *) * UNIFORM);

		for (int j = 0; j < UNIFORM; j++)
			templates[j] = uniform_template(dims[i]);
		try_bits(templates, UNIFORM, FACE_COSINE, 1.0 - face_sphere_quantile(dims[i], ONE_IN));
		for (int j = 0; j < UNIFORM; j++)
			pfree(templates[j]);
		pfree(templates);
	}
}

/* How often each bound is above the distance, over a few rotations. */
static void
misses(FaceEmbedding **templates, int n, FaceMetric metric, double probability)
{
	double		sketch = 0;
	double		plane = 0;
	double		refinement = 0;
	double		any = 0;
	double		comparisons = 0;

	for (uint64 seed = 1; seed <= 8; seed++)
	{
		Gallery		g = encode(face_codec_create(templates[0]->dims, seed), templates, n);

		for (int p = (int) seed; p < n; p += n / PROBES)
		{
			FaceQuery  *q = face_query_create(g.codec, g.centre, templates[p], metric, probability);

			face_query_sketch_bounds(q, g.nblocks, g.blocks, g.blocks, INFINITY, g.lower, g.kept);
			plane_bounds(&g, q);
			for (int i = 0; i < n; i++)
			{
				double		d = distance(metric, templates[i], templates[p]);
				double		two_bits = g.plane_lower[i];
				FaceBounds	b;

				refine(&g, q, i, &b);
				sketch += g.lower[i] > d;
				refinement += b.lower > d;
				plane += g.codec->plane_bytes > 0 && two_bits > d;
				any += g.lower[i] > d || two_bits > d || b.lower > d;
				comparisons++;
			}
			pfree(q);
		}
		discard(&g);
	}
	printf("  miss probability %g: sketch %.3g, second bits %.3g, refinement %.3g, any %.3g of %.0f comparisons\n", probability,
		   sketch / comparisons, plane / comparisons, refinement / comparisons, any / comparisons, comparisons);
}

static int
faces(const char *path, int dims, FaceMetric metric, double cut)
{
	FILE	   *file = fopen(path, "rb");
	FaceEmbedding **templates = NULL;
	int			n = 0;

	if (file == NULL)
	{
		printf("SKIP: no %s\n", path);
		return 0;
	}
	for (;;)
	{
		FaceEmbedding *e = palloc0(FACE_EMBEDDING_SIZE(dims));

		e->dims = dims;
		if (fread(e->x, sizeof(uint16), dims, file) != (size_t) dims)
			break;
		set_norm(e);
		templates = realloc(templates, sizeof(FaceEmbedding *) * (n + 1));
		templates[n++] = e;
	}
	fclose(file);
	printf("%d faces of %d dimensions, cut %g\n", n, dims, cut);
	try_bits(templates, n, metric, cut);
	misses(templates, n, metric, 1e-2);
	misses(templates, n, metric, 1e-3);
	misses(templates, n, metric, 1e-9);
	return 0;
}

int
main(int argc, char **argv)
{
	face_simd_init();
	if (argc == 6 && strcmp(argv[1], "faces") == 0)
		return faces(argv[2], atoi(argv[3]), strcmp(argv[4], "cosine") == 0 ? FACE_COSINE : FACE_EUCLIDEAN,
					 atof(argv[5]));
	if (argc == 2 && strcmp(argv[1], "bits") == 0)
		bits();
	else if (argc == 2 && strcmp(argv[1], "speed") == 0)
	{
		speed(512);
		speed(128);
		speed(64);
	}
	else
	{
		fprintf(stderr, "usage: codec_bench speed | bits | faces FILE.f16 DIMS cosine|euclidean CUT\n");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
