/*-------------------------------------------------------------------------
 *
 * rotation.c
 *	  A seeded random rotation in n log n additions.
 *
 * Each round flips random signs and applies a Hadamard transform.  Where the
 * size is no power of two, the transform takes the leading and the trailing
 * largest power of two in turn, and every round ends by mixing the two halves
 * of the vector.  Every step is orthogonal, so lengths and angles are kept;
 * the additions have one fixed order, so the result has the same bits on
 * every CPU.  docs/exactness.md tests how near this comes to a rotation drawn
 * uniformly.
 *
 *-------------------------------------------------------------------------
 */
#include "index/rotation.h"

#include <math.h>

#include "index/vec4.h"

/* measured in docs/exactness.md: errors of sparse inputs are as of a uniform rotation */
#define ROUNDS_POWER_OF_TWO 3
#define ROUNDS_OTHER		4

struct FaceRotation
{
	int			padded;
	int			block;			/* largest power of two <= padded */
	int			rounds;
	float		block_scale;	/* makes the transform of one block orthogonal */
	int32		signs[FLEXIBLE_ARRAY_MEMBER];	/* rounds * padded, sign bits */
};

int
face_rotation_padded(int dims)
{
	return (dims + FACE_ROTATION_UNIT - 1) / FACE_ROTATION_UNIT * FACE_ROTATION_UNIT;
}

/* SplitMix64 (Steele, Lea and Flood 2014) */
static uint64
next_random(uint64 *state)
{
	uint64		z = (*state += UINT64CONST(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

FaceRotation *
face_rotation_create(int dims, uint64 seed)
{
	int			padded = face_rotation_padded(dims);
	int			block = FACE_ROTATION_UNIT;
	int			rounds;
	FaceRotation *rotation;
	uint64		state = seed;

	while (block * 2 <= padded)
		block *= 2;
	rounds = (block == padded) ? ROUNDS_POWER_OF_TWO : ROUNDS_OTHER;

	rotation = palloc(offsetof(FaceRotation, signs) + sizeof(int32) * rounds * padded);
	rotation->padded = padded;
	rotation->block = block;
	rotation->rounds = rounds;
	rotation->block_scale = (float) (1.0 / sqrt(block));
	for (int i = 0; i < rounds * padded; i += 64)
	{
		uint64		bits = next_random(&state);

		for (int j = 0; j < 64; j++)
			rotation->signs[i + j] = ((bits >> j) & 1) ? PG_INT32_MIN : 0;
	}
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

/* (a, b) -> (a + b, a - b) * scale over the two halves of x[0 .. n - 1] */
static void
mix_halves(float *x, int n, float scale)
{
	int			h = n / 2;

	for (int i = 0; i < h; i += VEC4_WIDTH)
	{
		Vec4		a = vec4_load(x + i);
		Vec4		b = vec4_load(x + i + h);

		vec4_store(x + i, (a + b) * scale);
		vec4_store(x + i + h, (a - b) * scale);
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
		mix_halves(x, n, 1.0f);
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

void
face_rotation_apply(const FaceRotation *rotation, float *x)
{
	int			n = rotation->padded;
	int			rest = n - rotation->block;

	for (int round = 0; round < rotation->rounds; round++)
	{
		int			offset = (round % 2 == 0) ? 0 : rest;
		const int32 *signs = rotation->signs + (Size) round * n;

		/* the block's scale is applied to it together with the signs */
		flip_signs(x, offset, signs, 1.0f);
		flip_signs(x + offset, rotation->block, signs + offset, rotation->block_scale);
		flip_signs(x + offset + rotation->block, rest - offset, signs + offset + rotation->block, 1.0f);
		hadamard(x + offset, rotation->block);
		if (rest > 0)
			mix_halves(x, n, (float) M_SQRT1_2);
	}
}
