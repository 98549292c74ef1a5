/*-------------------------------------------------------------------------
 *
 * test_templates.c
 *	  Synthetic templates for the codec's tests: likely ones and hostile ones.
 *
 *-------------------------------------------------------------------------
 */
#include "test_codec.h"

#include <math.h>

#include "harness.h"
#include "simd/half.h"

#define FAMILIES		4
#define DISTINCT		8		/* of KIND_DUPLICATES */
#define ODD_ONES		8		/* one in so many of KIND_CENTRE is elsewhere */
#define MATE_SIMILARITY 0.65
#define COMMON_MEAN		0.5		/* of KIND_FULL_RANK, in units of the rest */

const char *const kind_names[NUM_KINDS] = {
	"random", "full rank", "clustered", "duplicates", "one-hot", "at the centre", "extreme norms"
};

double
random_normal(uint64 *state)
{
	double		radius = sqrt(-2.0 * log(1.0 - random_uniform(state)));

	return radius * cos(2.0 * M_PI * random_uniform(state));
}

FaceEmbedding *
template_from_doubles(int dims, const double *values)
{
	FaceEmbedding *e = palloc0(FACE_EMBEDDING_SIZE(dims));
	double		squares = 0.0;

	e->dims = dims;
	for (int i = 0; i < dims; i++)
	{
		double		magnitude = Min(fabs(values[i]), HALF_MAX);

		e->x[i] = half_from_float((float) copysign(magnitude, values[i]));
		squares += (double) half_to_float(e->x[i]) * half_to_float(e->x[i]);
	}
	if (squares == 0.0)
	{
		e->x[0] = 1;
		squares = (double) half_to_float(1) * half_to_float(1);
	}
	e->norm = (float4) sqrt(squares);
	return e;
}

static void
random_direction(int dims, double *x, uint64 *state)
{
	double		squares = 0.0;

	for (int i = 0; i < dims; i++)
	{
		x[i] = random_normal(state);
		squares += x[i] * x[i];
	}
	for (int i = 0; i < dims; i++)
		x[i] /= sqrt(squares);
}

/* x + noise of the given length relative to x, both of unit length before */
static void
perturb(int dims, double *x, double noise, uint64 *state)
{
	double	   *direction = palloc(sizeof(double) * dims);

	random_direction(dims, direction, state);
	for (int i = 0; i < dims; i++)
		x[i] += noise * direction[i];
	pfree(direction);
}

/* From 1e-4 to 6e4, and in high dimensions to the highest norm there is. */
static double
random_norm(int dims, uint64 *state)
{
	double		norm = pow(10.0, -4.0 + 8.78 * random_uniform(state));

	return random_uniform(state) < 0.1 ? HALF_MAX * sqrt(dims) : norm;
}

static FaceEmbedding *
make_template(TemplateKind kind, int dims, int place, FaceEmbedding **earlier, uint64 *state)
{
	double	   *x = palloc0(sizeof(double) * dims);
	FaceEmbedding *e;
	double		scale = 1.0;
	int			original = -1;

	random_direction(dims, x, state);
	switch (kind)
	{
		case KIND_FULL_RANK:
			x[0] += COMMON_MEAN;
			break;
		case KIND_CLUSTERED:
			original = place >= FAMILIES ? place % FAMILIES : -1;
			break;
		case KIND_DUPLICATES:
			original = place >= DISTINCT ? place % DISTINCT : -1;
			scale = place >= DISTINCT && place % 2 ? -1.0 : 1.0;
			break;
		case KIND_ONE_HOT:
			memset(x, 0, sizeof(double) * dims);
			x[random_bits(state) % dims] = place % 2 ? -1.0 : 1.0;
			break;
		case KIND_CENTRE:
			original = place > 0 && place % ODD_ONES != 0 ? 0 : -1;
			break;
		case KIND_NORMS:
			scale = random_norm(dims, state);
			break;
		default:
			break;
	}
	if (original >= 0)
		for (int i = 0; i < dims; i++)
			x[i] = half_to_float(earlier[original]->x[i]);
	if (original >= 0 && kind == KIND_CLUSTERED)
		perturb(dims, x, 0.3, state);
	for (int i = 0; i < dims; i++)
		x[i] *= scale;
	e = template_from_doubles(dims, x);
	pfree(x);
	return e;
}

FaceEmbedding **
make_templates(TemplateKind kind, int dims, int n, uint64 *state)
{
	FaceEmbedding **templates = palloc(sizeof(FaceEmbedding *) * n);

	for (int i = 0; i < n; i++)
		templates[i] = make_template(kind, dims, i, templates, state);
	return templates;
}

FaceEmbedding *
make_probe(TemplateKind kind, int dims, FaceEmbedding **templates, int n, uint64 *state)
{
	int			choice = random_bits(state) % 8;
	const FaceEmbedding *like = templates[random_bits(state) % n];
	double	   *x;
	FaceEmbedding *probe;

	if (choice >= 3)
		return make_template(kind, dims, choice, templates, state);
	x = palloc(sizeof(double) * dims);
	for (int i = 0; i < dims; i++)
		x[i] = half_to_float(like->x[i]) / like->norm;
	if (choice == 1)
		perturb(dims, x, sqrt(1.0 / (MATE_SIMILARITY * MATE_SIMILARITY) - 1.0), state);
	for (int i = 0; i < dims; i++)
		x[i] *= (choice == 2 ? -1.0 : 1.0) * (kind == KIND_NORMS ? random_norm(dims, state) : 1.0);
	probe = template_from_doubles(dims, x);
	pfree(x);
	return probe;
}

FaceCentre *
make_centre(TemplateKind kind, const FaceCodec *codec, FaceEmbedding **templates, int n)
{
	FaceCentre *centre = palloc0(FACE_CENTRE_SIZE(codec));
	float	   *rotated = palloc(sizeof(float) * codec->padded);
	double		squares = 0.0;

	if (kind == KIND_RANDOM)
		n = 0;
	if (kind == KIND_CENTRE)
		n = 1;
	for (int i = 0; i < n; i++)
	{
		face_codec_rotate(codec, templates[i], true, rotated);
		for (int j = 0; j < codec->padded; j++)
			centre->values[j] += rotated[j] / n;
	}
	for (int j = 0; j < codec->padded; j++)
		squares += (double) centre->values[j] * centre->values[j];
	centre->norm_squared = (float) squares;
	pfree(rotated);
	return centre;
}
