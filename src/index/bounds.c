/*-------------------------------------------------------------------------
 *
 * bounds.c
 *	  Probes against codes: proven bounds on the distance.
 *
 * With unit template u, unit probe q, centre c and residuals r = u - c and
 * s = q - c (all rotated), cos(u, q) = u.c + c.s + |r| |s| t, and t, the cosine
 * of the residuals, is all that is not known exactly.  The cosine y of code
 * and s is known; its difference from t is the projection of s on a direction
 * that the rotation made uniformly random, so its tail is too (tail.c).
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
 * additions a lane, 7.5e-6 relative at most).
 */
#define COSINE_SLACK		2e-5

/* The same for the squared length of a template's residual. */
#define RESIDUAL_SLACK		2e-6

/*
 * Added to the sketch's bound of t: twice the relative error of "inverse" in
 * half precision, 2^-11, and float32 rounding in the kernels.
 */
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
	double		refine_scale;	/* one unit of refine_query */
	double		refine_error;	/* length of its rounding error */
	double		refine_offset;	/* sum of refine_query * highest level */
	double		plane_width;	/* z of the second bits' share */
	double		plane_sum;		/* what one unit of a sketch sum adds to the product of both bits' levels */
	double		plane_offset;	/* what it is without any bit set, and at most lost by rounding */
	FaceBoundTerms terms;
	uint8	   *tables;			/* groups * TABLE_ENTRIES */
	int16	   *refine_query;	/* padded */
};

/* A refinement code's cosine to the probe over its cosine to the template, and the angle's tangent. */
typedef struct Estimate
{
	double		low;
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
prepare_sketch(FaceQuery *q, const float *direction)
{
	const FaceCodec *codec = q->codec;
	double		longest = face_longest_code(codec, codec->sketch_bits);
	double		offset = 0.0;
	double		total = 0.0;
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
		offset += lowest;
		offset += fill_table(w, lowest, step, per_step, q->tables + place * TABLE_ENTRIES);
	}
	for (int i = 0; i < codec->padded; i++)
		total += direction[i];
	pfree(weights);

	/* the second bits: twice the first, and themselves, which prepare_refine()'s integers give */
	q->plane_sum = 2.0 * step;
	q->plane_offset = 2.0 * offset - face_highest_level(PLANE_BITS) * total;
	offset -= face_highest_level(codec->sketch_bits) * total;

	q->terms.sum_scale = (float) (step / longest);
	q->terms.sum_offset = (float) (offset / longest);
}

/* The probe's direction in 16-bit integers, and how much that lost. */
static void
prepare_refine(FaceQuery *q, const float *direction)
{
	int			n = q->codec->padded;
	float		largest = 0.0f;
	float		per_unit;
	double		lost = 0.0;
	int64		sum = 0;

	for (int i = 0; i < n; i++)
		largest = Max(largest, fabsf(direction[i]));
	q->refine_scale = largest / PG_INT16_MAX;
	per_unit = largest > 0 ? PG_INT16_MAX / largest : 0.0f;
	for (int i = 0; i < n; i++)
	{
		int			units = (int) (direction[i] * per_unit + ROUND_INT16) - (int) ROUND_INT16;
		double		loss = direction[i] - units * q->refine_scale;

		q->refine_query[i] = units;
		sum += units;
		lost += loss * loss;
	}
	q->refine_error = sqrt(lost);
	q->refine_offset = sum * face_highest_level(q->codec->refine_bits);
}

/* width: z of the sketch's share of the miss probability */
static void
prepare_terms(FaceQuery *q, double width)
{
	FaceBoundTerms *terms = &q->terms;
	double		unit = face_centre_scale(q->centre);

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
	FaceQuery  *q = palloc(sizeof(FaceQuery) + sizeof(int16) * codec->padded + tables);
	float	   *direction = palloc(sizeof(float) * codec->padded);
	double		plane_share = miss_probability * FACE_PLANE_SHARE;
	double		sketch_share = miss_probability * FACE_SKETCH_SHARE + (codec->plane_bytes > 0 ? 0.0 : plane_share);
	double		share = miss_probability * (1.0 - FACE_SKETCH_SHARE - FACE_PLANE_SHARE);

	q->codec = codec;
	q->centre = centre;
	q->metric = metric;
	q->probe_norm = probe->norm;
	q->refine_query = (int16 *) (q + 1);
	q->tables = (uint8 *) (q->refine_query + codec->padded);

	/* the complement of the template's residual has one dimension less */
	q->refine_width = face_sphere_quantile(codec->padded - 1, share);
	q->plane_width = face_sphere_quantile(codec->padded - 1, plane_share);
	q->safe_width = face_sphere_quantile(codec->padded - 1, Min(share, FACE_SAFE_PROBABILITY));

	/* around the mean c of unit vectors the mean square of their distances is 1 - |c|^2 */
	q->usual_half = 0.5 * sqrt(Max(1.0 - centre->norm_squared, SHORTEST_USUAL));
	q->usual_inverse = 0.25 / q->usual_half;

	prepare_direction(q, probe, direction);
	prepare_sketch(q, direction);
	prepare_refine(q, direction);
	prepare_terms(q, face_sphere_quantile(codec->padded - 1, sketch_share));
	pfree(direction);
	return q;
}

float
face_query_sketch_bounds(const FaceQuery *q, int nblocks, const uint8 *blocks, const uint8 *ahead,
						 float limit, float *lower, uint32 *kept_sums)
{
	const FaceScanKernels *kernels = face_kernels->scan;
	FaceBoundKernel bound =
		q->metric == FACE_COSINE ? kernels->cosine_bounds :
		q->metric == FACE_EUCLIDEAN ? kernels->euclidean_bounds : kernels->inner_product_bounds;
	FaceBlocks	part = {
		.groups = q->codec->groups,
		.stride = FACE_BLOCK_SIZE(q->codec),
		.first = blocks,
		.ahead = ahead,
	};
	uint32		own_sums[BLOCKS_A_PASS * FACE_BLOCK_SLOTS];
	float		smallest = INFINITY;

	for (; nblocks > 0; nblocks -= part.nblocks)
	{
		float		smallest_part;

		uint32	   *sums = kept_sums != NULL ? kept_sums : own_sums;

		part.nblocks = Min(nblocks, BLOCKS_A_PASS);
		kernels->sketch_sums(&part, q->tables, sums);
		smallest_part = bound(&q->terms, &part, sums, limit, lower);
		smallest = Min(smallest_part, smallest);
		part.first += part.nblocks * part.stride;
		part.ahead += part.nblocks * part.stride;
		lower += part.nblocks * FACE_BLOCK_SLOTS;
		if (kept_sums != NULL)
			kept_sums += part.nblocks * FACE_BLOCK_SLOTS;
	}
	return smallest;
}

/* Upper bound of t: the larger root of (A - t)^2 = B^2 (1 - t^2); the kernels do the same. */
static double
residual_upper(double a, double b)
{
	double		d = 1.0 + b * b;

	a = Max(Min(a, 1.0), -1.0);
	return (a + b * sqrt(d - a * a)) / d;
}

/* By how much a cosine of residuals, given as a bound or an estimate, moves the templates' cosine. */
static double
residual_scale(const FaceQuery *q, const FaceRefineScalars *s, double residual)
{
	double		squares = 1.0 + q->centre->norm_squared - 2.0 * s->centre_product;

	squares += residual > 0 ? RESIDUAL_SLACK : -RESIDUAL_SLACK;
	return sqrt(Max(squares, 0.0)) * q->probe_residual;
}

/* Lower bound of the templates' cosine, from one of their residuals' with its sign changed. */
static double
cosine_lower(const FaceQuery *q, const FaceRefineScalars *s, double negative)
{
	return s->centre_product + q->centre_product - residual_scale(q, s, negative) * negative;
}

static double
euclidean(double a, double b, double cosine)
{
	double		difference = a - b;

	return sqrt(Max(difference * difference + 2.0 * a * b * (1.0 - cosine), 0.0));
}

static double
distance_lower(const FaceQuery *q, double norm, double cosine)
{
	double		most = Min(cosine, 1.0) + COSINE_SLACK;

	switch (q->metric)
	{
		case FACE_COSINE:
			return 1.0 - most;
		case FACE_EUCLIDEAN:
			return euclidean(norm, q->probe_norm, most) * (1.0 - DISTANCE_SLACK);
		case FACE_NEGATIVE_INNER_PRODUCT:
			break;
	}
	return -norm * q->probe_norm * most;
}

static double
distance_upper(const FaceQuery *q, double norm, double cosine)
{
	double		least = Max(cosine, -1.0) - COSINE_SLACK;

	switch (q->metric)
	{
		case FACE_COSINE:
			return 1.0 - least;
		case FACE_EUCLIDEAN:
			return euclidean(norm, q->probe_norm, least) * (1.0 + DISTANCE_SLACK);
		case FACE_NEGATIVE_INNER_PRODUCT:
			break;
	}
	return -norm * q->probe_norm * least;
}

/* The longest that the template of a rounded norm may be, or the shortest. */
static double
norm_of_code(uint32 code)
{
	FloatBits	bits;

	bits.u = (code << FACE_NORM_SHIFT) + FACE_NORM_BASE;
	return bits.f;
}

/* Of all lengths between two, the distance of the one that comes nearest to the probe. */
static double
distance_lower_between(const FaceQuery *q, double shortest, double longest, double cosine)
{
	double		most = Min(cosine, 1.0) + COSINE_SLACK;

	switch (q->metric)
	{
		case FACE_COSINE:
			return 1.0 - most;
		case FACE_EUCLIDEAN:
			return distance_lower(q, Max(Min(q->probe_norm * most, longest), shortest), cosine);
		case FACE_NEGATIVE_INNER_PRODUCT:
			break;
	}
	return distance_lower(q, most >= 0 ? longest : shortest, cosine);
}

double
face_query_plane_bound(const FaceQuery *q, uint32 sketch_sum, const uint8 *plane, const FaceSketchScalars *s)
{
	const FaceCodec *codec = q->codec;
	const double unit = face_centre_scale(q->centre);
	const double second = face_kernels->scan->dot1(codec->padded, plane, q->refine_query) * q->refine_scale;
	double		product = sketch_sum * q->plane_sum + q->plane_offset + second;
	double		centre_product = s->centre_product * unit;
	double		squares = 1.0 + q->centre->norm_squared - 2.0 * centre_product;
	double		a;
	double		most;
	double		cosine;

	/* the second bits' rounding by Cauchy-Schwarz: their vector is no longer than the root of their number */
	product += q->refine_error * sqrt(codec->padded);
	a = product / face_longest_code(codec, PLANE_BITS) * half_to_float(s->inverse);
	most = residual_upper(a, half_to_float(s->tangent) * q->plane_width) + SKETCH_SLACK;
	squares += most > 0 ? unit + RESIDUAL_SLACK : -(unit + RESIDUAL_SLACK);
	cosine = centre_product + unit / 2 + q->centre_product + sqrt(Max(squares, 0.0)) * q->probe_residual * most;
	return distance_lower_between(q, norm_of_code(s->norm), norm_of_code(s->norm + 1), cosine);
}

int32
face_query_refine_dot(const FaceQuery *q, const uint8 *refine)
{
	const FaceScanKernels *kernels = face_kernels->scan;

	return q->codec->refine_bits == 8 ? kernels->dot8(q->codec->padded, refine, q->refine_query) :
		kernels->dot4(q->codec->padded, refine, q->refine_query);
}

static Estimate
estimate(const FaceQuery *q, int32 dot, const FaceRefineScalars *s)
{
	double		middle = (dot - q->refine_offset) * q->refine_scale * s->inverse;
	double		error;
	Estimate	result;

	/* rounding of the probe times 1 / cos, by Cauchy-Schwarz; sqrt(1 + t^2) <= 1 + t^2 / 2 */
	error = q->refine_error * (1.0 + 0.5 * (double) s->tangent * s->tangent);
	result.middle = middle;
	result.low = middle - error;
	result.high = middle + error;
	result.tangent = s->tangent;
	return result;
}

/*
 * A bound and an estimate that are nearly as good, without roots and divisions:
 * most of what is refined turns out to be beyond the limit.  Of any x,
 * sqrt(1 + x) <= 1 + x / 2 and, for l > 0, sqrt(x) <= (x / l + l) / 2.
 */
static void
quick_bounds(const FaceQuery *q, const Estimate *e, const FaceRefineScalars *s, FaceBounds *out)
{
	double		a = Max(Min(e->high, 1.0), -1.0);
	double		b = e->tangent * q->safe_width;
	double		most = Max(a + b * (1.0 + 0.5 * (b * b - a * a)), 0.0);
	double		centres = s->centre_product + q->centre_product;
	double		squares = 1.0 + q->centre->norm_squared - 2.0 * s->centre_product + RESIDUAL_SLACK;
	double		scale = (squares * q->usual_inverse + q->usual_half) * q->probe_residual;

	out->safe_lower = distance_lower(q, s->norm, centres + scale * most);
	out->estimate = distance_lower(q, s->norm, centres + scale * e->middle);
}

bool
face_query_refine_within(const FaceQuery *q, int32 dot, const FaceRefineScalars *s, double limit, FaceBounds *out)
{
	Estimate	e = estimate(q, dot, s);
	double		most;
	double		centres;
	double		scale;

	quick_bounds(q, &e, s, out);
	if (out->safe_lower > limit)
		return false;

	most = residual_upper(e.high, e.tangent * q->safe_width);
	centres = s->centre_product + q->centre_product;
	scale = residual_scale(q, s, most);
	out->safe_lower = distance_lower(q, s->norm, centres + scale * most);
	out->estimate = distance_lower(q, s->norm, centres + scale * e.middle);
	if (out->safe_lower > limit)
		return false;
	most = residual_upper(e.high, e.tangent * q->refine_width);
	out->lower = distance_lower(q, s->norm, centres + residual_scale(q, s, most) * most);
	out->safe_upper = distance_upper(q, s->norm, cosine_lower(q, s, residual_upper(-e.low, e.tangent * q->safe_width)));
	return true;
}

void
face_query_refine(const FaceQuery *q, const uint8 *refine, const FaceRefineScalars *s, FaceBounds *out)
{
	face_query_refine_within(q, face_query_refine_dot(q, refine), s, INFINITY, out);
}
