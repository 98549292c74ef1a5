/*-------------------------------------------------------------------------
 *
 * quantizer.c
 *	  Templates to codes and back.
 *
 * A code gives every dimension one of 2^b levels, k - (2^b - 1)/2 times a
 * step.  Only the direction of the vector of levels matters: beside each code
 * stands its cosine to the vector it was made from, and the bounds follow from
 * that cosine (docs/exactness.md).  So the step is chosen, from a few, to
 * make it large.
 *
 *-------------------------------------------------------------------------
 */
#include "index/codec.h"

#include <math.h>

#include "index/codec_private.h"
#include "index/rotation.h"
#include "index/vec4.h"
#include "simd/half.h"
#include "simd/simd.h"

/*
 * Bits a dimension by padded size; docs/exactness.md has the figures.  The
 * width of the bound grows with tan(angle(code, template)) / sqrt(padded).
 */
#define ONE_BIT_PADDED		320 /* from here one bit is enough */
#define TWO_BITS_PADDED		128 /* from here two bits are */
#define EIGHT_BITS_PADDED	64	/* up to here the refinement has eight */

/* Independent sums, so that one addition need not wait for the last. */
#define MEASURE_LANES		4

/*
 * Steps to try, in standard deviations.  A rotated template is near to normal,
 * so they lie around the best step for a normal distribution (Max 1960).
 */
typedef struct StepChoice
{
	int			bits;
	int			nsteps;
	float		steps[3];
} StepChoice;

static const StepChoice step_choices[] = {
	{1, 1, {1.0f}},				/* any: there are only signs */
	{2, 3, {0.9957f, 0.87f, 1.13f}},
	{4, 3, {0.3352f, 0.30f, 0.37f}},
	{8, 3, {0.0308f, 0.022f, 0.026f}},
};

FaceCodec *
face_codec_create(int dims, uint64 seed)
{
	FaceCodec  *codec = palloc(sizeof(FaceCodec));

	codec->dims = dims;
	codec->padded = face_rotation_padded(dims);
	codec->sketch_bits = codec->padded >= ONE_BIT_PADDED ? 1 : codec->padded >= TWO_BITS_PADDED ? 2 : 4;
	codec->refine_bits = codec->padded <= EIGHT_BITS_PADDED ? 8 : 4;
	codec->groups = codec->padded * codec->sketch_bits / SKETCH_GROUP_BITS;
	codec->block_bytes = (Size) codec->groups / 2 * FACE_BLOCK_SLOTS;
	codec->plane_bytes = codec->sketch_bits == 1 ? (Size) codec->padded / BITS_PER_BYTE : 0;
	codec->refine_bytes = (Size) codec->padded * codec->refine_bits / BITS_PER_BYTE;
	codec->rotation = face_rotation_create(dims, seed);
	return codec;
}

void
face_codec_rotate(const FaceCodec *codec, const FaceEmbedding *e, bool unit, float *out)
{
	face_kernels->half_to_float(codec->dims, e->x, out);
	memset(out + codec->dims, 0, sizeof(float) * (codec->padded - codec->dims));
	if (unit)
	{
		float		scale = 1.0f / e->norm;

		for (int i = 0; i < codec->padded; i += VEC4_WIDTH)
			vec4_store(out + i, vec4_load(out + i) * scale);
	}
	face_rotation_apply(codec->rotation, out);
}

/* x - centre in place of x; returns its length, and x . centre. */
double
face_take_residual(const FaceCodec *codec, const FaceCentre *centre, float *x, double *centre_product)
{
	double		products[MEASURE_LANES] = {0};
	double		squares[MEASURE_LANES] = {0};

	for (int i = 0; i < codec->padded; i += MEASURE_LANES)
	{
		for (int lane = 0; lane < MEASURE_LANES; lane++)
		{
			double		c = centre->values[i + lane];
			float		r = x[i + lane] - centre->values[i + lane];

			products[lane] += x[i + lane] * c;
			squares[lane] += (double) r * r;
			x[i + lane] = r;
		}
	}
	*centre_product = products[0] + products[1] + products[2] + products[3];
	return sqrt(squares[0] + squares[1] + squares[2] + squares[3]);
}

FaceCodes *
face_codes_create(const FaceCodec *codec)
{
	Size		sketch_bytes = (Size) codec->groups / 2;
	FaceCodes  *codes = palloc0(sizeof(FaceCodes) + sketch_bytes + codec->plane_bytes + codec->refine_bytes);

	codes->sketch = (uint8 *) (codes + 1);
	codes->plane = codes->sketch + sketch_bytes;
	codes->refine = codes->plane + codec->plane_bytes;
	return codes;
}

/* The best code of r among the steps for so many bits: one byte a dimension. */
typedef struct Quantized
{
	double		cosine;			/* to r */
	double		sine;
	double		length;			/* of the vector of levels */
	uint8	   *values;
} Quantized;

/*
 * The kernel's sums, in float32, only choose the step; the angle that the
 * bounds rest on is computed again in double.
 */
static void
measure(int n, const float *r, double length, int max_code, Quantized *code)
{
	double		dots[MEASURE_LANES] = {0};
	int64		squares = 0;

	for (int i = 0; i < n; i += MEASURE_LANES)
	{
		for (int lane = 0; lane < MEASURE_LANES; lane++)
		{
			int			twice_level = 2 * code->values[i + lane] - max_code;

			dots[lane] += (double) r[i + lane] * twice_level;
			squares += twice_level * twice_level;
		}
	}
	code->length = sqrt(squares) / 2;
	code->cosine = (dots[0] + dots[1] + dots[2] + dots[3]) / 2 / (code->length * length);
	code->sine = sqrt(Max(1.0 - code->cosine * code->cosine, 0.0));
}

static void
quantize(int n, const float *r, double length, int bits, uint8 *spare, Quantized *best)
{
	const StepChoice *choice = step_choices;
	int			max_code = (1 << bits) - 1;
	float		best_score = -1.0f;

	while (choice->bits != bits)
		choice++;
	for (int i = 0; i < choice->nsteps; i++)
	{
		float		scale = (float) (sqrt(n) / (length * choice->steps[i]));
		float		dot;
		float		squares;

		face_kernels->scan->quantize(n, r, scale, max_code, spare, &dot, &squares);
		if (dot > 0 && dot / squares * dot > best_score)
		{
			uint8	   *swap = best->values;

			best_score = dot / squares * dot;
			best->values = spare;
			spare = swap;
		}
	}
	measure(n, r, length, max_code, best);
}

static void
pack_sketch(int groups, int bits, const uint8 *values, uint8 *sketch)
{
	int			dims = SKETCH_GROUP_BITS / bits;

	for (int row = 0; row < groups / 2; row++)
	{
		int			byte = 0;

		for (int i = 0; i < 2 * dims; i++)
			byte |= values[i] << (i * bits);
		sketch[row] = byte;
		values += 2 * dims;
	}
}

/* The orders that FaceScanKernels.dot4 and dot8 define. */
static void
pack_refine(int n, int bits, const uint8 *values, uint8 *refine)
{
	for (int i = 0; i < n; i += REFINE_WORDS * 16 / bits)
	{
		for (int j = 0; j < REFINE_WORDS; j++)
		{
			const uint8 *v = values + i + j;

			if (bits == 8)
			{
				*refine++ = v[0];
				*refine++ = v[REFINE_WORDS];
			}
			else
			{
				*refine++ = v[0] | v[REFINE_WORDS] << 4;
				*refine++ = v[2 * REFINE_WORDS] | v[3 * REFINE_WORDS] << 4;
			}
		}
	}
}

static void
unpack_refine(int n, int bits, const uint8 *refine, uint8 *values)
{
	for (int i = 0; i < n; i += REFINE_WORDS * 16 / bits)
	{
		for (int j = 0; j < REFINE_WORDS; j++, refine += 2)
		{
			uint8	   *v = values + i + j;

			if (bits == 8)
			{
				v[0] = refine[0];
				v[REFINE_WORDS] = refine[1];
			}
			else
			{
				v[0] = refine[0] & 0x0F;
				v[REFINE_WORDS] = refine[0] >> 4;
				v[2 * REFINE_WORDS] = refine[1] & 0x0F;
				v[3 * REFINE_WORDS] = refine[1] >> 4;
			}
		}
	}
}

static uint16
half_rounded_up(float x)
{
	uint16		half = half_from_float(x);

	return half_to_float(half) < x ? half + 1 : half;
}

static uint16
norm_code(float norm)
{
	FloatBits	bits;

	bits.f = norm;
	if (bits.u < FACE_NORM_BASE)
		return 0;
	return Min((bits.u - FACE_NORM_BASE) >> FACE_NORM_SHIFT, PG_UINT16_MAX);
}

static void
set_sketch_scalars(const FaceCodec *codec, const FaceCentre *centre, int bits, const Quantized *code,
				   double centre_product, float norm, FaceSketchScalars *s)
{
	double		scale = face_centre_scale(centre);

	s->inverse = half_from_float((float) (face_longest_code(codec, bits) / (code->length * code->cosine)));
	s->tangent = half_rounded_up((float) (code->sine / code->cosine));
	s->centre_product = scale > 0 ?
		(int16) Max(Min(rint(centre_product / scale), PG_INT16_MAX), -PG_INT16_MAX) : 0;
	s->norm = norm_code(norm);
}

static void
pack_bits(int n, const uint8 *values, uint8 *out)
{
	memset(out, 0, n / BITS_PER_BYTE);
	for (int i = 0; i < n; i++)
		out[i / BITS_PER_BYTE] |= (values[i] & 1) << (i % BITS_PER_BYTE);
}

/*
 * Two bits a dimension, of which the sketch is the first: what its levels are
 * is measured for itself.  values: room for two codes of the template.
 */
static void
encode_two_bits(const FaceCodec *codec, const FaceCentre *centre, const float *r, double length,
				double centre_product, float norm, uint8 *values, FaceCodes *out)
{
	int			n = codec->padded;
	Quantized	both = {.values = values};
	Quantized	first = {.values = values};

	quantize(n, r, length, PLANE_BITS, values + n, &both);
	pack_bits(n, both.values, out->plane);
	set_sketch_scalars(codec, centre, PLANE_BITS, &both, centre_product, norm, &out->plane_scalars);
	for (int i = 0; i < n; i++)
		first.values[i] = both.values[i] >> 1;
	measure(n, r, length, 1, &first);
	pack_sketch(codec->groups, 1, first.values, out->sketch);
	set_sketch_scalars(codec, centre, 1, &first, centre_product, norm, &out->sketch_scalars);
}

void
face_encode(const FaceCodec *codec, const FaceCentre *centre, const FaceEmbedding *e, FaceCodes *out)
{
	int			n = codec->padded;
	float	   *r = palloc(sizeof(float) * n);
	uint8	   *values = palloc(2 * n);
	Quantized	code = {.values = values};
	double		centre_product;
	double		length;

	face_codec_rotate(codec, e, true, r);
	length = face_take_residual(codec, centre, r, &centre_product);

	/* a template at the centre has no direction: any will do, its residual counts for nothing */
	if (length < RESIDUAL_NOTHING)
	{
		for (int i = 0; i < n; i++)
			r[i] = 1.0f;
		length = sqrt(n);
	}

	if (codec->plane_bytes > 0)
		encode_two_bits(codec, centre, r, length, centre_product, e->norm, values, out);
	else
	{
		quantize(n, r, length, codec->sketch_bits, values + n, &code);
		pack_sketch(codec->groups, codec->sketch_bits, code.values, out->sketch);
		set_sketch_scalars(codec, centre, codec->sketch_bits, &code, centre_product, e->norm, &out->sketch_scalars);
	}

	quantize(n, r, length, codec->refine_bits, code.values == values ? values + n : values, &code);
	pack_refine(n, codec->refine_bits, code.values, out->refine);
	out->refine_scalars.tangent = (float) (code.sine / code.cosine);
	out->refine_scalars.inverse = (float) (1.0 / (code.length * code.cosine));
	out->refine_scalars.centre_product = (float) centre_product;
	out->refine_scalars.norm = e->norm;
	pfree(r);
	pfree(values);
}

/* The point on the code's line that is nearest to the residual, and the centre. */
void
face_decode(const FaceCodec *codec, const FaceCentre *centre, const uint8 *refine,
			const FaceRefineScalars *s, float *out)
{
	int			n = codec->padded;
	uint8	   *values = palloc(n);
	double		squares = 1.0 - 2.0 * s->centre_product + centre->norm_squared;
	double		half_range = face_highest_level(codec->refine_bits);
	double		cosine_squared = 1.0 / (1.0 + (double) s->tangent * s->tangent);
	double		scale = sqrt(Max(squares, 0.0)) * cosine_squared * s->inverse;

	unpack_refine(n, codec->refine_bits, refine, values);
	for (int i = 0; i < n; i++)
		out[i] = (float) (centre->values[i] + scale * (values[i] - half_range));
	pfree(values);
}

void
face_block_put(const FaceCodec *codec, uint8 *block, FaceBlockScalars *scalars, int slot, const FaceCodes *codes)
{
	for (int row = 0; row < codec->groups / 2; row++)
		block[row * FACE_BLOCK_SLOTS + slot] = codes->sketch[row];
	scalars->inverse[slot] = codes->sketch_scalars.inverse;
	scalars->tangent[slot] = codes->sketch_scalars.tangent;
	scalars->centre_product[slot] = codes->sketch_scalars.centre_product;
	scalars->norm[slot] = codes->sketch_scalars.norm;
}

void
face_block_clear(const FaceCodec *codec, uint8 *block, FaceBlockScalars *scalars, int slot)
{
	for (int row = 0; row < codec->groups / 2; row++)
		block[row * FACE_BLOCK_SLOTS + slot] = 0;
	scalars->inverse[slot] = 0;
	scalars->tangent[slot] = 0;
	scalars->centre_product[slot] = 0;
	scalars->norm[slot] = 0;
}
