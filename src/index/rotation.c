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

/* measured in docs/exactness.md: errors of sparse inputs are as of a uniform rotation */
#define ROUNDS_POWER_OF_TWO 3
#define ROUNDS_OTHER		4

/* Four float32: SSE2 and NEON both have it in their base architecture. */
typedef float Vec4 __attribute__((vector_size(16)));
typedef uint32 Bits4 __attribute__((vector_size(16)));

#define WIDTH	4

struct FaceRotation
{
	int			padded;
	int			block;			/* largest power of two <= padded */
	int			rounds;
	float		block_scale;	/* makes the transform of one block orthogonal */
	uint32		signs[FLEXIBLE_ARRAY_MEMBER];	/* rounds * padded, sign bits */
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

	rotation = palloc(offsetof(FaceRotation, signs) + sizeof(uint32) * rounds * padded);
	rotation->padded = padded;
	rotation->block = block;
	rotation->rounds = rounds;
	rotation->block_scale = (float) (1.0 / sqrt(block));
	for (int i = 0; i < rounds * padded; i += 64)
	{
		uint64		bits = next_random(&state);

		for (int j = 0; j < 64; j++)
			rotation->signs[i + j] = (uint32) ((bits >> j) & 1) << 31;
	}
	return rotation;
}

static inline Vec4
load(const float *x)
{
	Vec4		v;

	memcpy(&v, x, sizeof(v));
	return v;
}

static inline void
store(float *x, Vec4 v)
{
	memcpy(x, &v, sizeof(v));
}

/* The transform's steps over distances 1 and 2. */
static void
hadamard_within_vectors(float *x, int n)
{
	for (int i = 0; i < n; i += 4)
	{
		float		sum0 = x[i] + x[i + 1];
		float		difference0 = x[i] - x[i + 1];
		float		sum1 = x[i + 2] + x[i + 3];
		float		difference1 = x[i + 2] - x[i + 3];

		x[i] = sum0 + sum1;
		x[i + 1] = difference0 + difference1;
		x[i + 2] = sum0 - sum1;
		x[i + 3] = difference0 - difference1;
	}
}

/* Two steps at once, over distances h and 2 h: half the memory traffic. */
static void
hadamard_two_steps(float *x, int n, int h)
{
	for (int start = 0; start < n; start += 4 * h)
	{
		for (int i = start; i < start + h; i += WIDTH)
		{
			Vec4		a = load(x + i);
			Vec4		b = load(x + i + h);
			Vec4		c = load(x + i + 2 * h);
			Vec4		d = load(x + i + 3 * h);
			Vec4		sum0 = a + b;
			Vec4		difference0 = a - b;
			Vec4		sum1 = c + d;
			Vec4		difference1 = c - d;

			store(x + i, sum0 + sum1);
			store(x + i + h, difference0 + difference1);
			store(x + i + 2 * h, sum0 - sum1);
			store(x + i + 3 * h, difference0 - difference1);
		}
	}
}

/* (a, b) -> (a + b, a - b) * scale over the two halves of x[0 .. n - 1] */
static void
mix_halves(float *x, int n, float scale)
{
	int			h = n / 2;

	for (int i = 0; i < h; i += WIDTH)
	{
		Vec4		a = load(x + i);
		Vec4		b = load(x + i + h);

		store(x + i, (a + b) * scale);
		store(x + i + h, (a - b) * scale);
	}
}

/* Hadamard transform without its scale; n is a power of two, at least 16. */
static void
hadamard(float *x, int n)
{
	int			h = WIDTH;

	hadamard_within_vectors(x, n);
	for (; h * 4 <= n; h *= 4)
		hadamard_two_steps(x, n, h);
	if (h < n)
		mix_halves(x, n, 1.0f);
}

static void
flip_signs(float *x, int n, const uint32 *signs, float scale)
{
	for (int i = 0; i < n; i += WIDTH)
	{
		Vec4		v = load(x + i) * scale;
		Bits4		bits;
		Bits4		flips;

		memcpy(&bits, &v, sizeof(bits));
		memcpy(&flips, signs + i, sizeof(flips));
		bits ^= flips;
		memcpy(x + i, &bits, sizeof(bits));
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
		const uint32 *signs = rotation->signs + (Size) round * n;

		/* the block's scale is applied to it together with the signs */
		flip_signs(x, offset, signs, 1.0f);
		flip_signs(x + offset, rotation->block, signs + offset, rotation->block_scale);
		flip_signs(x + offset + rotation->block, rest - offset, signs + offset + rotation->block, 1.0f);
		hadamard(x + offset, rotation->block);
		if (rest > 0)
			mix_halves(x, n, (float) M_SQRT1_2);
	}
}
