/*-------------------------------------------------------------------------
 *
 * quantizer.c
 *	  Templates to codes and back.
 *
 * A code gives every dimension one of 2^b levels, k - (2^b - 1)/2 times a step.
 * Only the direction of the vector of levels matters: each code is stored with
 * its cosine to the vector it was made from, and the bounds follow from that
 * cosine (docs/exactness.md). So the step is chosen, from a few, to make it
 * large.
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

/*
 * Four bits of which the first two are a code as well: that wants longer
 * levels, the four shorter ones.  At this step both lose little.
 */
static const StepChoice nested_choice = {4, 1, {0.28f}};

FaceCodec *
face_codec_create(int dims, uint64 seed)
{
	FaceCodec  *codec = palloc(sizeof(FaceCodec));

	codec->dims = dims;
	codec->padded = face_rotation_padded(dims);
	codec->sketch_bits = codec->padded >= ONE_BIT_PADDED ? 1 : codec->padded >= TWO_BITS_PADDED ? 2 : 4;
	codec->refine_bits = codec->padded <= EIGHT_BITS_PADDED ? 8 : codec->sketch_bits == 1 ? 4 - PLANE_BITS : 4;
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

static const StepChoice *
steps_for(int bits)
{
	const StepChoice *choice = step_choices;

	while (choice->bits != bits)
		choice++;
	return choice;
}

static void
quantize(int n, const float *r, double length, const StepChoice *choice, uint8 *spare, Quantized *best)
{
	int			max_code = (1 << choice->bits) - 1;
	float		best_score = -1.0f;

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

/*
 * The orders that FaceScanKernels.dot2, dot4 and dot8 define: dimensions that
 * are 16 apart share a byte or, of more than 2 bits, a 16-bit word.
 */
static void
pack_refine(int n, int bits, const uint8 *values, uint8 *refine)
{
	const int	word = bits == 2 ? 1 : 2;	/* bytes */
	const int	places = word * BITS_PER_BYTE / bits;

	memset(refine, 0, (Size) n * bits / BITS_PER_BYTE);
	for (int i = 0; i < n; i += REFINE_WORDS * places)
		for (int j = 0; j < REFINE_WORDS; j++)
			for (int m = 0; m < places; m++)
				refine[(i / places + j) * word + m * bits / BITS_PER_BYTE] |=
					(values[i + m * REFINE_WORDS + j] & ((1 << bits) - 1)) << (m * bits % BITS_PER_BYTE);
}

static void
unpack_refine(int n, int bits, const uint8 *refine, uint8 *values)
{
	const int	word = bits == 2 ? 1 : 2;
	const int	places = word * BITS_PER_BYTE / bits;

	for (int i = 0; i < n; i += REFINE_WORDS * places)
		for (int j = 0; j < REFINE_WORDS; j++)
			for (int m = 0; m < places; m++)
				values[i + m * REFINE_WORDS + j] =
					refine[(i / places + j) * word + m * bits / BITS_PER_BYTE] >> (m * bits % BITS_PER_BYTE) & ((1 << bits) - 1);
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
set_scalars(const FaceCodec *codec, const FaceCentre *centre, int bits, const Quantized *code,
			double centre_product, float norm, FaceScalars *s)
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

/* A template's residual on its way into codes. */
typedef struct Residual
{
	float	   *r;
	double		length;
	double		centre_product;
	float		norm;			/* of the template */
} Residual;

/* The code without its last bits, measured for itself. */
static void
drop_bits(const FaceCodec *codec, const FaceCentre *centre, const Residual *residual, int dropped, int left,
		  Quantized *code, FaceScalars *s)
{
	for (int i = 0; i < codec->padded; i++)
		code->values[i] >>= dropped;
	measure(codec->padded, residual->r, residual->length, (1 << left) - 1, code);
	set_scalars(codec, centre, left, code, residual->centre_product, residual->norm, s);
}

/* One code, of which the sketch is the first bit of each dimension and the plane the second. */
static void
encode_nested(const FaceCodec *codec, const FaceCentre *centre, const Residual *residual, uint8 *values, FaceCodes *out)
{
	int			n = codec->padded;
	Quantized	code = {.values = values};

	quantize(n, residual->r, residual->length, &nested_choice, values + n, &code);
	pack_refine(n, codec->refine_bits, code.values, out->refine);
	set_scalars(codec, centre, face_all_bits(codec), &code, residual->centre_product, residual->norm, &out->refine_scalars);
	drop_bits(codec, centre, residual, codec->refine_bits, PLANE_BITS, &code, &out->plane_scalars);
	pack_bits(n, code.values, out->plane);
	drop_bits(codec, centre, residual, 1, 1, &code, &out->sketch_scalars);
	pack_sketch(codec->groups, 1, code.values, out->sketch);
}

/* Two codes that have nothing to do with each other. */
static void
encode_apart(const FaceCodec *codec, const FaceCentre *centre, const Residual *residual, uint8 *values, FaceCodes *out)
{
	int			n = codec->padded;
	Quantized	code = {.values = values};

	quantize(n, residual->r, residual->length, steps_for(codec->sketch_bits), values + n, &code);
	pack_sketch(codec->groups, codec->sketch_bits, code.values, out->sketch);
	set_scalars(codec, centre, codec->sketch_bits, &code, residual->centre_product, residual->norm, &out->sketch_scalars);
	quantize(n, residual->r, residual->length, steps_for(codec->refine_bits),
			 code.values == values ? values + n : values, &code);
	pack_refine(n, codec->refine_bits, code.values, out->refine);
	set_scalars(codec, centre, codec->refine_bits, &code, residual->centre_product, residual->norm, &out->refine_scalars);
}

void
face_encode(const FaceCodec *codec, const FaceCentre *centre, const FaceEmbedding *e, FaceCodes *out)
{
	int			n = codec->padded;
	Residual	residual = {.r = palloc(sizeof(float) * n), .norm = e->norm};
	uint8	   *values = palloc(2 * n);

	face_codec_rotate(codec, e, true, residual.r);
	residual.length = face_take_residual(codec, centre, residual.r, &residual.centre_product);

	/* a template at the centre has no direction: any will do, its residual counts for nothing */
	if (residual.length < RESIDUAL_NOTHING)
	{
		for (int i = 0; i < n; i++)
			residual.r[i] = 1.0f;
		residual.length = sqrt(n);
	}
	if (codec->plane_bytes > 0)
		encode_nested(codec, centre, &residual, values, out);
	else
		encode_apart(codec, centre, &residual, values, out);
	pfree(residual.r);
	pfree(values);
}

/* The point on the code's line that is nearest to the residual, and the centre. */
void
face_decode(const FaceCodec *codec, const FaceCentre *centre, const FaceCodes *codes, float *out)
{
	const FaceScalars *s = &codes->refine_scalars;
	int			n = codec->padded;
	int			bits = face_all_bits(codec);
	uint8	   *values = palloc(n);
	double		squares = 1.0 - 2.0 * s->centre_product * face_centre_scale(centre) + centre->norm_squared;
	double		tangent = half_to_float(s->tangent);
	double		scale = sqrt(Max(squares, 0.0)) / (1.0 + tangent * tangent) *
		half_to_float(s->inverse) / face_longest_code(codec, bits);

	unpack_refine(n, codec->refine_bits, codes->refine, values);
	for (int i = 0; i < n && codec->plane_bytes > 0; i++)
		values[i] += (codes->sketch[i / BITS_PER_BYTE] >> (i % BITS_PER_BYTE) & 1) << 3 |
			(codes->plane[i / BITS_PER_BYTE] >> (i % BITS_PER_BYTE) & 1) << 2;
	for (int i = 0; i < n; i++)
		out[i] = (float) (centre->values[i] + scale * (values[i] - face_highest_level(bits)));
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

void
face_block_get(const FaceCodec *codec, const uint8 *block, const FaceBlockScalars *scalars, int slot, FaceCodes *codes)
{
	for (int row = 0; row < codec->groups / 2; row++)
		codes->sketch[row] = block[row * FACE_BLOCK_SLOTS + slot];
	codes->sketch_scalars.inverse = scalars->inverse[slot];
	codes->sketch_scalars.tangent = scalars->tangent[slot];
	codes->sketch_scalars.centre_product = scalars->centre_product[slot];
	codes->sketch_scalars.norm = scalars->norm[slot];
}
