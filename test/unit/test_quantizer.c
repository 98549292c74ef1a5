/*-------------------------------------------------------------------------
 *
 * test_quantizer.c
 *	  Codes say of themselves what is true of them, and blocks keep them apart.
 *
 *-------------------------------------------------------------------------
 */
#include "test_codec.h"

#include <math.h>

#include "harness.h"
#include "index/codec_private.h"
#include "simd/half.h"

static double
distance(int n, const float *a, const float *b)
{
	double		squares = 0.0;

	for (int i = 0; i < n; i++)
		squares += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
	return sqrt(squares);
}

/* The decoded point is the foot of the perpendicular from the residual: its distance is |r| sin. */
static void
test_refinement(const FaceCodec *codec, const FaceCentre *centre, const FaceEmbedding *e, const FaceCodes *codes)
{
	float	   *rotated = palloc(sizeof(float) * codec->padded);
	float	   *decoded = palloc(sizeof(float) * codec->padded);
	double		tangent = half_to_float(codes->refine_scalars.tangent);
	double		residual;

	face_codec_rotate(codec, e, true, rotated);
	face_decode(codec, centre, codes, decoded);
	residual = distance(codec->padded, rotated, centre->values);
	check(fabs(distance(codec->padded, rotated, decoded) - residual * tangent / sqrt(1 + tangent * tangent)) <
		  1e-3,
		  "%d dimensions: decoded template is as far as its code says", codec->dims);
	check(tangent < 0.5, "%d dimensions: refinement at tangent %g", codec->dims, tangent);
	pfree(rotated);
	pfree(decoded);
}

static double
norm_of_code(uint32 code)
{
	FloatBits	bits;

	bits.u = (code << FACE_NORM_SHIFT) + FACE_NORM_BASE;
	return bits.f;
}

static void
test_scalars(const FaceEmbedding *e, const FaceScalars *s)
{
	check(norm_of_code(s->norm) <= e->norm && e->norm < norm_of_code(s->norm + 1) &&
		  norm_of_code(s->norm + 1) < norm_of_code(s->norm) * 1.001, "norm %g lies within its code", e->norm);
	check(half_is_finite(s->inverse) && half_to_float(s->inverse) >= 1.0f, "inverse is at least one");
	check(half_is_finite(s->tangent), "tangent is finite");
}

static void
test_kind(TemplateKind kind, int dims, uint64 *state)
{
	FaceCodec  *codec = face_codec_create(dims, random_bits(state));
	FaceEmbedding **templates = make_templates(kind, dims, FACE_BLOCK_SLOTS, state);
	FaceCentre *centre = make_centre(kind, codec, templates, FACE_BLOCK_SLOTS);
	FaceCodes  *codes[FACE_BLOCK_SLOTS];
	FaceCodes  *taken = face_codes_create(codec);
	uint8	   *block = palloc0(codec->block_bytes);
	FaceBlockScalars *scalars = palloc0(sizeof(FaceBlockScalars));
	int			wrong = 0;

	for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot++)
	{
		codes[slot] = face_codes_create(codec);
		face_encode(codec, centre, templates[slot], codes[slot]);
		test_refinement(codec, centre, templates[slot], codes[slot]);
		test_scalars(templates[slot], &codes[slot]->sketch_scalars);
		test_scalars(templates[slot], &codes[slot]->refine_scalars);
		if (codec->plane_bytes > 0)
			test_scalars(templates[slot], &codes[slot]->plane_scalars);
		face_block_put(codec, block, scalars, slot, codes[slot]);
	}
	face_block_clear(codec, block, scalars, 5);
	memset(codes[5]->sketch, 0, codec->groups / 2);
	memset(&codes[5]->sketch_scalars, 0, sizeof(FaceScalars));
	for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot++)
	{
		for (int row = 0; row < codec->groups / 2; row++)
			wrong += block[row * FACE_BLOCK_SLOTS + slot] != codes[slot]->sketch[row];
		wrong += scalars->inverse[slot] != codes[slot]->sketch_scalars.inverse;
		wrong += scalars->tangent[slot] != codes[slot]->sketch_scalars.tangent;
		wrong += scalars->centre_product[slot] != codes[slot]->sketch_scalars.centre_product;
		wrong += scalars->norm[slot] != codes[slot]->sketch_scalars.norm;
		face_block_get(codec, block, scalars, slot, taken);
		wrong += memcmp(taken->sketch, codes[slot]->sketch, codec->groups / 2) != 0;
		wrong += memcmp(&taken->sketch_scalars, &codes[slot]->sketch_scalars, sizeof(FaceScalars)) != 0;
		pfree(codes[slot]);
		pfree(templates[slot]);
	}
	check(wrong == 0, "%s, %d dimensions: %d bytes of a block are wrong", kind_names[kind], dims, wrong);
	pfree(taken);
	pfree(block);
	pfree(scalars);
	pfree(codec->rotation);
	pfree(codec);
	pfree(centre);
	pfree(templates);
}

void
test_quantizer(void)
{
	static const int dims[] = {1, 2, 3, 31, 64, 128, 129, 512, 1024, 2000, 3584};
	uint64		state = 11;

	for (size_t i = 0; i < sizeof(dims) / sizeof(*dims); i++)
		for (int kind = 0; kind < NUM_KINDS; kind++)
			test_kind(kind, dims[i], &state);
}
