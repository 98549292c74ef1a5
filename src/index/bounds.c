/*-------------------------------------------------------------------------
 *
 * bounds.c
 *	  Probes against codes: proven bounds on the distance.
 *
 * With unit template u, unit probe q, centre c and residuals r = u - c and
 * s = q - c (all rotated), cos(u, q) = u.c + c.s + |r| |s| t, and only t, the
 * cosine of the residuals, is not known exactly. The cosine y of code and s is
 * known; its difference from t is the projection of s on a direction that the
 * rotation made uniformly random, so its tail is too (tail.c).
 * docs/exactness.md derives every line here, the slacks included.
 *
 *-------------------------------------------------------------------------
 */
#include "index/codec.h"

#include <math.h>

#include "index/codec_private.h"
#include "index/tail.h"
#include "index/vec4.h"
#include "simd/half.h"
#include "simd/simd.h"

/*
 * Added to cosines: what float32 arithmetic can be off by, in the rotation, in
 * the stored numbers and in the operators' own kernels (FACE_MAX_DIMS / 32
 * additions a lane, 6.7e-6 relative at most).
 */
#define COSINE_SLACK		2e-5

/* The same for the squared length of a template's residual. */
#define RESIDUAL_SLACK		2e-6

/* Relative error of "inverse" in half precision, 2^-11, and of the product with it. */
#define INVERSE_ERROR		4.9e-4

/* Added to the bounds of t that kernels give: twice that error, and float32 rounding. */
#define SKETCH_SLACK		1.1e-3

/* Euclidean distances: relative error of the operator's own float32 sums. */
#define DISTANCE_SLACK		1e-5

/* Squared, the shortest length that residuals are assumed to have mostly; any positive number is safe. */
#define SHORTEST_USUAL		1e-3

/* Blocks whose sums are kept on the stack at a time. */
#define BLOCKS_A_PASS		16

/* Added before truncation to an integer, it rounds any int16 to the nearest. */
#define ROUND_INT16			32768.5f

#define TABLE_ENTRIES		(1 << SKETCH_GROUP_BITS)

/* The largest integer of a query whose sums of four are entries of 16-bit tables. */
#define MOST_UNITS			(PG_UINT16_MAX / SKETCH_GROUP_BITS)

/* With so many templates looked at, tables for their second bits pay: they take 2 us to fill. */
#define FEW_LOOKS			128

struct FaceQuery
{
	const FaceCodec *codec;
	const FaceCentre *centre;
	FaceMetric	metric;
	double		probe_norm;
	double		probe_residual; /* |s| */
	double		centre_product; /* c.s */
	double		refine_width;	/* z of the refinement's share of the miss probability */
	double		safe_width;		/* z of FACE_SAFE_PROBABILITY */
	double		usual_half;		/* half the length that most templates' residuals are near to */
	double		usual_inverse;	/* half of one over that length */
	double		unit;			/* of the products with the centre */
	int			sum_shift;		/* bits that a kept sketch sum lacks */
	double		sum_ratio;		/* one unit of a kept sketch sum, twice, in those of refine_query */
	double		refine_scale;	/* one of refine_query, over the longest code */
	double		refine_offset;	/* what the product of all levels is without any bit set, over the longest code */
	double		refine_lost;	/* the most that rounding takes from it, over the longest code */
	FaceBoundTerms terms;		/* of the sketch */
	FaceBoundTerms plane_terms; /* of the first two bits */
	uint8	   *tables;			/* groups * TABLE_ENTRIES */
	int16	   *refine_query;	/* padded */
	FaceBitQuery bits;			/* the same, for second bits */
	uint8	   *bit_tables;
	int			looked_at;		/* templates whose second bits were, up to FEW_LOOKS */
};

/* What tables and rounding of the probe's direction make of the product with its levels. */
typedef struct Rounding
{
	double		total;			/* of the direction */
	double		step;			/* of the tables */
	double		lowest;			/* of all tables' lowest entries */
	double		lost;			/* the most that the tables' rounding takes */
	double		unit;			/* of the direction in 16-bit integers */
	double		units;			/* their sum */
	double		error;			/* length of their rounding error */
} Rounding;

/* A refinement code's cosine to the probe over its cosine to the template, and the angle's tangent. */
typedef struct Estimate
{
	double		high;
	double		tangent;
	double		middle;
} Estimate;

/* What each bit of each nibble adds to the look-up: SKETCH_GROUP_BITS a group. */
static float *
bit_weights(const FaceCodec *codec, const float *direction)
{
	int			bits = codec->sketch_bits;
	float	   *weights = palloc(sizeof(float) * codec->groups * SKETCH_GROUP_BITS);

	for (int i = 0; i < codec->padded; i++)
		for (int bit = 0; bit < bits; bit++)
			weights[i * bits + bit] = direction[i] * (float) (1 << bit);
	return weights;
}

/* How far apart the entries of a group are, and the lowest of them. */
static float
weight_range(const float *weights, float *lowest)
{
	float		range = 0.0f;

	*lowest = 0.0f;
	for (int bit = 0; bit < SKETCH_GROUP_BITS; bit++)
	{
		range += fabsf(weights[bit]);
		*lowest += Min(weights[bit], 0.0f);
	}
	return range;
}

/*
 * Round the entries of one group to multiples of step above its lowest.
 * Returns the most that an entry lost.
 */
static float
fill_table(const float *weights, float lowest, float step, float per_step, uint8 *table)
{
	Vec4		high = {0.0f, weights[2], weights[3], weights[2] + weights[3]};
	float		low[] = {-lowest, weights[0] - lowest, weights[1] - lowest, weights[0] + weights[1] - lowest};
	Vec4		lost = {0.0f, 0.0f, 0.0f, 0.0f};

	for (int i = 0; i < VEC4_WIDTH; i++)
	{
		Vec4		entries = high + low[i];
		Int4		steps = __builtin_convertvector(entries * per_step + 0.5f, Int4);

		lost = vec4_max(lost, entries - __builtin_convertvector(steps, Vec4) * step);
		for (int j = 0; j < VEC4_WIDTH; j++)
			table[j * VEC4_WIDTH + i] = steps[j];
	}
	return vec4_highest(lost);
}

/* Look-up tables for the sketches; one step for all groups, so that sums can be of bytes. */
static void
prepare_sketch(FaceQuery *q, const float *direction, Rounding *rounding)
{
	const FaceCodec *codec = q->codec;
	double		longest = face_longest_code(codec, codec->sketch_bits);
	double		offset;
	float		widest = 0.0f;
	float		step;
	float		per_step;
	float		lowest;
	float	   *weights = bit_weights(codec, direction);

	for (int group = 0; group < codec->groups; group++)
	{
		float		range = weight_range(weights + group * SKETCH_GROUP_BITS, &lowest);

		widest = Max(widest, range);
	}
	step = widest / UINT8_MAX;
	per_step = widest > 0 ? UINT8_MAX / widest : 0.0f;

	for (int group = 0; group < codec->groups; group++)
	{
		int			place = group / 2 + (group % 2) * (codec->groups / 2);
		const float *w = weights + group * SKETCH_GROUP_BITS;

		weight_range(w, &lowest);
		rounding->lowest += lowest;
		rounding->lost += fill_table(w, lowest, step, per_step, q->tables + place * TABLE_ENTRIES);
	}
	for (int i = 0; i < codec->padded; i++)
		rounding->total += direction[i];
	rounding->step = step;
	pfree(weights);

	offset = rounding->lowest + rounding->lost - face_highest_level(codec->sketch_bits) * rounding->total;
	q->terms.sum_scale = (float) (step / longest);
	q->terms.sum_offset = (float) (offset / longest);
	q->sum_shift = 0;
	while (codec->groups * UINT8_MAX >> q->sum_shift > PG_UINT16_MAX)
		q->sum_shift++;
}

/* The probe's direction in 16-bit integers, and how much that lost. */
static void
prepare_integers(FaceQuery *q, const float *direction, Rounding *rounding)
{
	int			n = q->codec->padded;
	const int	most = q->codec->plane_bytes > 0 ? MOST_UNITS : PG_INT16_MAX;
	float		largest = 0.0f;
	float		per_unit;
	double		lost = 0.0;
	int64		sum = 0;

	for (int i = 0; i < n; i++)
		largest = Max(largest, fabsf(direction[i]));
	rounding->unit = largest / most;
	per_unit = largest > 0 ? most / largest : 0.0f;
	for (int i = 0; i < n; i++)
	{
		int			units = (int) (direction[i] * per_unit + ROUND_INT16) - (int) ROUND_INT16;
		double		loss = direction[i] - units * rounding->unit;

		q->refine_query[i] = units;
		sum += units;
		lost += loss * loss;
	}
	rounding->error = sqrt(lost);
	rounding->units = sum;
}

/*
 * Without second bits the refinement is a code by itself.  Behind them the
 * bits of a dimension are b1 of the sketch, b2 of the plane and the rest r: the
 * levels by two bits are 2 b1 + (b2 - 1/2) - 1, by all 8 b1 + (4 b2 + r - 7/2) - 4.
 * What is multiplied with integers loses by Cauchy-Schwarz.
 */
static void
prepare_sums(FaceQuery *q, const Rounding *rounding)
{
	const FaceCodec *codec = q->codec;
	const double longest = face_longest_code(codec, face_all_bits(codec));
	const double two_bits = face_longest_code(codec, PLANE_BITS);
	const double units = rounding->units * rounding->unit;
	const double error = rounding->error * sqrt(codec->padded);
	double		first;			/* what a kept sketch sum lacks */

	q->refine_scale = rounding->unit / longest;
	if (codec->plane_bytes == 0)
	{
		q->refine_offset = -face_highest_level(codec->refine_bits) * units / longest;
		q->refine_lost = rounding->error;
		return;
	}
	q->sum_ratio = rounding->unit > 0 ? 2.0 * rounding->step * (1 << q->sum_shift) / rounding->unit : 0.0;
	first = rounding->lost + rounding->step * ((1 << q->sum_shift) - 1);
	q->plane_terms.sum_scale = (float) (rounding->unit / two_bits);
	q->plane_terms.sum_offset = (float) ((2.0 * (rounding->lowest + first) - rounding->total - 0.5 * units + 0.5 * error) / two_bits);
	q->refine_offset = (8.0 * rounding->lowest - 4.0 * rounding->total - 3.5 * units) / longest;
	q->refine_lost = (8.0 * first + 3.5 * error) / longest;
}

/* width: z of the stage's share of the miss probability */
static void
prepare_terms(const FaceQuery *q, double width, FaceBoundTerms *terms)
{
	double		unit = q->unit;

	terms->width = (float) width;
	terms->residual_slack = (float) SKETCH_SLACK;
	terms->centre_scale = (float) unit;
	terms->residual_base = (float) (1.0 + q->centre->norm_squared);
	terms->residual_error = (float) (unit + RESIDUAL_SLACK);	/* twice half a unit */
	terms->probe_residual = (float) q->probe_residual;
	terms->cosine_offset = (float) (q->centre_product + unit / 2 + COSINE_SLACK);
	terms->cosine_limit = (float) (1.0 + COSINE_SLACK);
	terms->probe_norm = (float) q->probe_norm;
	terms->distance_shrink = (float) (1.0 - DISTANCE_SLACK);
}

/* The probe's residual, made a unit vector unless there is none. */
static void
prepare_direction(FaceQuery *q, const FaceEmbedding *probe, float *direction)
{
	int			n = q->codec->padded;
	double		probe_product;
	float		scale;

	face_codec_rotate(q->codec, probe, true, direction);
	q->probe_residual = face_take_residual(q->codec, q->centre, direction, &probe_product);

	/* c.s = c.q - c.c */
	q->centre_product = probe_product - q->centre->norm_squared;
	scale = q->probe_residual < RESIDUAL_NOTHING ? 0.0f : (float) (1.0 / q->probe_residual);
	for (int i = 0; i < n; i += VEC4_WIDTH)
		vec4_store(direction + i, vec4_load(direction + i) * scale);
}

FaceQuery *
face_query_create(const FaceCodec *codec, const FaceCentre *centre, const FaceEmbedding *probe,
				  FaceMetric metric, double miss_probability)
{
	Size		tables = (Size) codec->groups * TABLE_ENTRIES;
	Size		bit_tables = codec->plane_bytes > 0 ? FACE_BITS_TABLES(codec->padded) : 0;
	FaceQuery  *q = palloc(sizeof(FaceQuery) + sizeof(int16) * codec->padded + tables + bit_tables);
	float	   *direction = palloc(sizeof(float) * codec->padded);
	Rounding	rounding = {0};
	double		plane_share = miss_probability * FACE_PLANE_SHARE;
	double		sketch_share = miss_probability * FACE_SKETCH_SHARE + (codec->plane_bytes > 0 ? 0.0 : plane_share);
	double		share = miss_probability * (1.0 - FACE_SKETCH_SHARE - FACE_PLANE_SHARE);

	q->codec = codec;
	q->centre = centre;
	q->metric = metric;
	q->probe_norm = probe->norm;
	q->unit = face_centre_scale(centre);
	q->refine_query = (int16 *) (q + 1);
	q->tables = (uint8 *) (q->refine_query + codec->padded);
	q->bit_tables = q->tables + tables;
	q->bits = (FaceBitQuery) {.values = q->refine_query};
	q->looked_at = 0;

	/* the complement of the template's residual has one dimension less */
	q->refine_width = face_sphere_quantile(codec->padded - 1, share);
	q->safe_width = face_sphere_quantile(codec->padded - 1, Min(share, FACE_SAFE_PROBABILITY));

	/* around the mean c of unit vectors the mean square of their distances is 1 - |c|^2 */
	q->usual_half = 0.5 * sqrt(Max(1.0 - centre->norm_squared, SHORTEST_USUAL));
	q->usual_inverse = 0.25 / q->usual_half;

	prepare_direction(q, probe, direction);
	prepare_sketch(q, direction, &rounding);
	prepare_integers(q, direction, &rounding);
	prepare_terms(q, face_sphere_quantile(codec->padded - 1, sketch_share), &q->terms);
	prepare_terms(q, face_sphere_quantile(codec->padded - 1, plane_share), &q->plane_terms);
	prepare_sums(q, &rounding);
	pfree(direction);
	return q;
}

static FaceBoundKernel
bound_kernel(const FaceQuery *q)
{
	const FaceScanKernels *kernels = face_kernels->scan;

	return q->metric == FACE_COSINE ? kernels->cosine_bounds :
		q->metric == FACE_EUCLIDEAN ? kernels->euclidean_bounds : kernels->inner_product_bounds;
}

float
face_query_sketch_bounds(const FaceQuery *q, int nblocks, const uint8 *blocks, const uint8 *ahead,
						 float limit, float *lower, FaceSketchSum *kept_sums)
{
	FaceBoundKernel bound = bound_kernel(q);
	FaceBlocks	part = {
		.groups = q->codec->groups,
		.stride = FACE_BLOCK_SIZE(q->codec),
		.first = blocks,
		.ahead = ahead,
	};
	uint32		sums[BLOCKS_A_PASS * FACE_BLOCK_SLOTS];
	const int	shift = q->sum_shift;
	float		smallest = INFINITY;

	for (; nblocks > 0; nblocks -= part.nblocks)
	{
		float		smallest_part;

		part.nblocks = Min(nblocks, BLOCKS_A_PASS);
		face_kernels->scan->sketch_sums(&part, q->tables, sums);
		smallest_part = bound(&q->terms, &part, sums, limit, lower);
		smallest = Min(smallest_part, smallest);
		part.first += part.nblocks * part.stride;
		part.ahead += part.nblocks * part.stride;
		lower += part.nblocks * FACE_BLOCK_SLOTS;
		for (int block = 0; block < part.nblocks && kept_sums != NULL; block++)
		{
			const uint32 *block_sums = sums + block * FACE_BLOCK_SLOTS;

			for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot++)
				kept_sums[slot] = block_sums[slot] >> shift;
			kept_sums += FACE_BLOCK_SLOTS;
		}
	}
	return smallest;
}

/* The tables of one nibble of the second bits; returns the lowest sum of its values. */
static int32
fill_bit_tables(const int16 *values, uint8 *lower, uint8 *upper)
{
	uint32		entries[TABLE_ENTRIES] = {0};
	int32		lowest = 0;

	for (int bit = 0; bit < SKETCH_GROUP_BITS; bit++)
		lowest += Min(values[bit], 0);
	entries[0] = -lowest;
	for (int bit = 0; bit < SKETCH_GROUP_BITS; bit++)
		for (int i = 0; i < 1 << bit; i++)
			entries[(1 << bit) + i] = entries[i] + values[bit];
	for (int i = 0; i < TABLE_ENTRIES; i++)
	{
		lower[i] = (uint8) entries[i];
		upper[i] = (uint8) (entries[i] >> BITS_PER_BYTE);
	}
	return lowest;
}

/* Look-up tables for the second bits. */
static void
prepare_bits(FaceQuery *q)
{
	memset(q->bit_tables, 0, FACE_BITS_TABLES(q->codec->padded));
	for (int nibble = 0; nibble < q->codec->padded / SKETCH_GROUP_BITS; nibble++)
		q->bits.lowest += fill_bit_tables(q->refine_query + nibble * SKETCH_GROUP_BITS,
										  q->bit_tables + face_bits_table(nibble / 2, nibble % 2, 0),
										  q->bit_tables + face_bits_table(nibble / 2, nibble % 2, 1));
	q->bits.tables = q->bit_tables;
}

/* The sketches' share is rounded up. */
void
face_query_plane_sums(FaceQuery *q, int count, const FaceSketchSum *sketch_sums, const uint8 *planes, int32 *sums)
{
	if (q->bits.tables == NULL && (q->looked_at += count) > FEW_LOOKS)
		prepare_bits(q);
	face_kernels->scan->bit_sums(q->codec->padded, &q->bits, count, planes, sums);
	for (int i = 0; i < count; i++)
		sums[i] += (int32) (sketch_sums[i] * q->sum_ratio) + 1;
}

float
face_query_plane_bounds(const FaceQuery *q, int nblocks, const FaceBlockScalars *scalars, const int32 *sums,
						float limit, float *lower)
{
	const FaceBlocks blocks = {
		.nblocks = nblocks,
		.stride = sizeof(FaceBlockScalars),
		.first = (const uint8 *) scalars,
	};

	return bound_kernel(q) (&q->plane_terms, &blocks, (const uint32 *) sums, limit, lower);
}

/* Upper bound of t: the larger root of (A - t)^2 = B^2 (1 - t^2); the kernels do the same. */
static double
residual_upper(double a, double b)
{
	double		d = 1.0 + b * b;

	a = Max(Min(a, 1.0), -1.0);
	return (a + b * sqrt(d - a * a)) / d;
}

/* Unit template . centre, and the template's length: the least it may be, with step 1 the most. */
static double
product_with_centre(const FaceQuery *q, const FaceScalars *s)
{
	return s->centre_product * q->unit;
}

static double
template_norm(const FaceScalars *s, int step)
{
	FloatBits	bits;

	bits.u = ((uint32) (s->norm + step) << FACE_NORM_SHIFT) + FACE_NORM_BASE;
	return bits.f;
}

static double
euclidean(double a, double b, double cosine)
{
	double		difference = a - b;

	return sqrt(Max(difference * difference + 2.0 * a * b * (1.0 - cosine), 0.0));
}

/* Of all lengths that the template may have, the distance of the one that comes nearest to the probe. */
static double
distance_lower(const FaceQuery *q, const FaceScalars *s, double cosine)
{
	double		most = Min(cosine, 1.0) + COSINE_SLACK;
	double		norm;

	switch (q->metric)
	{
		case FACE_COSINE:
			return 1.0 - most;
		case FACE_EUCLIDEAN:
			norm = Max(Min(q->probe_norm * most, template_norm(s, 1)), template_norm(s, 0));
			return euclidean(norm, q->probe_norm, most) * (1.0 - DISTANCE_SLACK);
		case FACE_NEGATIVE_INNER_PRODUCT:
			break;
	}
	return -template_norm(s, most >= 0) * q->probe_norm * most;
}

int32
face_query_refine_sum(const FaceQuery *q, int32 plane_sum, const uint8 *refine)
{
	const FaceScanKernels *kernels = face_kernels->scan;
	const int	n = q->codec->padded;

	switch (q->codec->refine_bits)
	{
		case 8:
			return kernels->dot8(n, refine, q->refine_query);
		case 4:
			return kernels->dot4(n, refine, q->refine_query);
	}
	return 4 * plane_sum + kernels->dot2(n, refine, q->refine_query);
}

static Estimate
estimate(const FaceQuery *q, int32 sum, const FaceScalars *s)
{
	double		inverse = half_to_float(s->inverse);
	double		middle = (sum * q->refine_scale + q->refine_offset) * inverse;
	double		high = middle + q->refine_lost * inverse;
	Estimate	result;

	result.middle = middle;
	result.high = high + fabs(high) * INVERSE_ERROR;
	result.tangent = half_to_float(s->tangent);
	return result;
}

/* The square of a template's residual, at most. */
static double
residual_squares(const FaceQuery *q, const FaceScalars *s)
{
	return 1.0 + q->centre->norm_squared - 2.0 * product_with_centre(q, s) + q->unit + RESIDUAL_SLACK;
}

/*
 * A bound and an estimate that are nearly as good, without roots and divisions:
 * most of what is refined turns out to be beyond the limit.  Of any x,
 * sqrt(1 + x) <= 1 + x / 2 and, for l > 0, sqrt(x) <= (x / l + l) / 2.
 */
static void
quick_bounds(const FaceQuery *q, const Estimate *e, const FaceScalars *s, FaceBounds *out)
{
	double		a = Max(Min(e->high, 1.0), -1.0);
	double		b = e->tangent * q->safe_width;
	double		most = Max(a + b * (1.0 + 0.5 * (b * b - a * a)), 0.0);
	double		centres = product_with_centre(q, s) + q->centre_product;
	double		scale = (residual_squares(q, s) * q->usual_inverse + q->usual_half) * q->probe_residual;

	out->safe_lower = distance_lower(q, s, centres + q->unit / 2 + scale * most);
	out->estimate = distance_lower(q, s, centres + scale * e->middle);
}

/* By a bound on the cosine of the residuals. */
static double
residual_distance(const FaceQuery *q, const FaceScalars *s, double most)
{
	double		squares = residual_squares(q, s);

	if (most < 0)
		squares -= 2.0 * (q->unit + RESIDUAL_SLACK);
	return distance_lower(q, s, product_with_centre(q, s) + q->unit / 2 + q->centre_product +
						  sqrt(Max(squares, 0.0)) * q->probe_residual * most);
}

bool
face_query_refine(const FaceQuery *q, int32 sum, const FaceScalars *s, double limit, FaceBounds *out)
{
	Estimate	e = estimate(q, sum, s);

	quick_bounds(q, &e, s, out);
	if (out->safe_lower > limit)
		return false;
	out->safe_lower = residual_distance(q, s, residual_upper(e.high, e.tangent * q->safe_width));
	if (out->safe_lower > limit)
		return false;
	out->estimate = residual_distance(q, s, e.middle);
	out->lower = residual_distance(q, s, residual_upper(e.high, e.tangent * q->refine_width));
	return true;
}
