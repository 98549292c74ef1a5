/*-------------------------------------------------------------------------
 *
 * rotation.c
 *	  A seeded random rotation in n log n additions.
 *
 * Each round flips random signs, applies a Hadamard transform, and turns every
 * pair of elements half a vector apart through a random angle.  Where the size
 * is no power of two, signs and transform are applied twice, to the leading and
 * then to the trailing largest power of two, so that every round spreads every
 * element.  Every step is orthogonal, so lengths and angles are
 * kept; all arithmetic is correctly rounded and in one order, so the result
 * has the same bits on every CPU.
 *
 * Without the angles, a template of few components would land on a lattice, as
 * everything would be a sum of +1 and -1: its code could be exact, and the
 * error of the templates beside it no longer random (docs/exactness.md).
 *
 *-------------------------------------------------------------------------
 */
#include "index/rotation.h"

#include <math.h>

#include "base/random.h"
#include "index/vec4.h"

/* One fails the tests of test/unit, two pass them; the third, 0.5 us at 512 dimensions, is margin. */
#define ROUNDS				3

#define TWO_TO_63			9223372036854775808.0

struct FaceRotation
{
	int			padded;
	int			block;			/* largest power of two <= padded */
	int			transforms;		/* in a round: one, or leading and trailing block */
	float		block_scale;	/* makes the transform of one block orthogonal */
	int32	   *signs;			/* ROUNDS * transforms * padded, sign bits */
	float	   *cosines;		/* ROUNDS * padded / 2 */
	float	   *sines;
};

int
face_rotation_padded(int dims)
{
	return (dims + FACE_ROTATION_UNIT - 1) / FACE_ROTATION_UNIT * FACE_ROTATION_UNIT;
}

static void
draw_signs(int n, int32 *signs, uint64 *state)
{
	for (int i = 0; i < n; i += 64)
	{
		uint64		bits = face_random(state);

		for (int j = 0; j < 64; j++)
			signs[i + j] = ((bits >> j) & 1) ? PG_INT32_MIN : 0;
	}
}

/*
 * Angles up to 90 degrees either way, through the tangent of their half: the
 * C library's sine may differ in its last bit between machines.
 */
static void
draw_angles(int n, float *cosines, float *sines, uint64 *state)
{
	for (int i = 0; i < n; i++)
	{
		double		tangent = (double) (int64) face_random(state) / TWO_TO_63;
		double		scale = 1.0 / (1.0 + tangent * tangent);

		cosines[i] = (float) ((1.0 - tangent * tangent) * scale);
		sines[i] = (float) (2.0 * tangent * scale);
	}
}

FaceRotation *
face_rotation_create(int dims, uint64 seed)
{
	int			padded = face_rotation_padded(dims);
	int			block = FACE_ROTATION_UNIT;
	int			nsigns;
	int			nangles;
	FaceRotation *rotation;
	uint64		state = seed;

	while (block * 2 <= padded)
		block *= 2;
	nsigns = ROUNDS * (block == padded ? 1 : 2) * padded;
	nangles = ROUNDS * padded / 2;

	rotation = palloc(sizeof(FaceRotation) + sizeof(int32) * nsigns + 2 * sizeof(float) * nangles);
	rotation->padded = padded;
	rotation->block = block;
	rotation->transforms = block == padded ? 1 : 2;
	rotation->block_scale = (float) (1.0 / sqrt(block));
	rotation->signs = (int32 *) (rotation + 1);
	rotation->cosines = (float *) (rotation->signs + nsigns);
	rotation->sines = rotation->cosines + nangles;
	draw_signs(nsigns, rotation->signs, &state);
	draw_angles(nangles, rotation->cosines, rotation->sines, &state);
	return rotation;
}

/* The transform's steps over distances 1 and 2. */
static void
hadamard_within_vectors(float *x, int n)
{
	const Int4	odd = {0, PG_INT32_MIN, 0, PG_INT32_MIN};
	const Int4	upper = {0, 0, PG_INT32_MIN, PG_INT32_MIN};

	for (int i = 0; i < n; i += VEC4_WIDTH)
	{
		Vec4		v = vec4_load(x + i);

		v = vec4_shuffle(v, 0, 0, 2, 2) + vec4_flip_signs(vec4_shuffle(v, 1, 1, 3, 3), odd);
		v = vec4_shuffle(v, 0, 1, 0, 1) + vec4_flip_signs(vec4_shuffle(v, 2, 3, 2, 3), upper);
		vec4_store(x + i, v);
	}
}

/* Two steps at once, over distances h and 2 h: half the memory traffic. */
static void
hadamard_two_steps(float *x, int n, int h)
{
	for (int start = 0; start < n; start += 4 * h)
	{
		for (int i = start; i < start + h; i += VEC4_WIDTH)
		{
			Vec4		a = vec4_load(x + i);
			Vec4		b = vec4_load(x + i + h);
			Vec4		c = vec4_load(x + i + 2 * h);
			Vec4		d = vec4_load(x + i + 3 * h);
			Vec4		sum0 = a + b;
			Vec4		difference0 = a - b;
			Vec4		sum1 = c + d;
			Vec4		difference1 = c - d;

			vec4_store(x + i, sum0 + sum1);
			vec4_store(x + i + h, difference0 + difference1);
			vec4_store(x + i + 2 * h, sum0 - sum1);
			vec4_store(x + i + 3 * h, difference0 - difference1);
		}
	}
}

/* The transform's last step alone, where their number is odd. */
static void
hadamard_last_step(float *x, int n)
{
	int			h = n / 2;

	for (int i = 0; i < h; i += VEC4_WIDTH)
	{
		Vec4		a = vec4_load(x + i);
		Vec4		b = vec4_load(x + i + h);

		vec4_store(x + i, a + b);
		vec4_store(x + i + h, a - b);
	}
}

/* Turn each pair (x[i], x[i + n / 2]) through its angle. */
static void
turn_pairs(float *x, int n, const float *cosines, const float *sines)
{
	int			h = n / 2;

	for (int i = 0; i < h; i += VEC4_WIDTH)
	{
		Vec4		a = vec4_load(x + i);
		Vec4		b = vec4_load(x + i + h);
		Vec4		c = vec4_load(cosines + i);
		Vec4		s = vec4_load(sines + i);

		vec4_store(x + i, a * c - b * s);
		vec4_store(x + i + h, a * s + b * c);
	}
}

/* Hadamard transform without its scale; n is a power of two, at least 16. */
static void
hadamard(float *x, int n)
{
	int			h = VEC4_WIDTH;

	hadamard_within_vectors(x, n);
	for (; h * 4 <= n; h *= 4)
		hadamard_two_steps(x, n, h);
	if (h < n)
		hadamard_last_step(x, n);
}

static void
flip_signs(float *x, int n, const int32 *signs, float scale)
{
	for (int i = 0; i < n; i += VEC4_WIDTH)
	{
		Int4		flips;

		memcpy(&flips, signs + i, sizeof(flips));
		vec4_store(x + i, vec4_flip_signs(vec4_load(x + i) * scale, flips));
	}
}

/* The transform of the block at offset, all signs before it. */
static void
transform(const FaceRotation *rotation, float *x, int offset, const int32 *signs)
{
	int			end = offset + rotation->block;

	/* the block's scale is applied to it together with the signs */
	flip_signs(x, offset, signs, 1.0f);
	flip_signs(x + offset, rotation->block, signs + offset, rotation->block_scale);
	flip_signs(x + end, rotation->padded - end, signs + end, 1.0f);
	hadamard(x + offset, rotation->block);
}

void
face_rotation_apply(const FaceRotation *rotation, float *x)
{
	int			n = rotation->padded;
	const int32 *signs = rotation->signs;

	for (int round = 0; round < ROUNDS; round++)
	{
		Size		first_pair = (Size) round * n / 2;

		for (int i = 0; i < rotation->transforms; i++)
		{
			transform(rotation, x, i == 0 ? 0 : n - rotation->block, signs);
			signs += n;
		}
		turn_pairs(x, n, rotation->cosines + first_pair, rotation->sines + first_pair);
	}
}
