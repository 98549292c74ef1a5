/*-------------------------------------------------------------------------
 *
 * face_sets.c
 *	  Deterministic synthetic templates: subjects x captures.
 *
 * A template is
 *
 *		x = mean + (between(subject) + tau * within(subject, capture)) * basis
 *
 * with a random orthonormal basis, components whose variance falls along a
 * given spectrum, and tau the log-normal loss of quality of the capture.  In
 * the clustered sets a part of between() is shared by the subjects of one
 * population cluster and of nested families of look-alikes, which is what
 * makes the upper tail of non-mated scores of real models.
 *
 * Three sets of few constants each: "full-rank" uses all its 512 dimensions as
 * a strong model does; "low-rank" is like a small mobile network (512
 * dimensions, rank 160, clustered); "dlib" has 128 dimensions, is not
 * normalised and has a large common mean, compared by Euclidean distance.
 *
 * Every random number is a hash of (seed, what, subject, capture): a template
 * does not depend on how many others are made with it, so probes are further
 * captures of the same subjects, and strangers are subjects beyond the last.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "face_sets.h"

const FaceSet face_sets[] = {
	{
		.name = "full-rank", .dims = 512, .rank = 512,
		.knee = 20, .taper = 0,
		.between = 1, .noise = 0.70, .noise_capture = 0.30,
		.mated = {0.65, 0.10}, .non_mated = {0.00, 0.067},
	},
	{
		.name = "low-rank", .dims = 512, .rank = 160,
		.knee = 1000, .taper = 1.3,
		.between = 1, .noise = 0.735, .noise_subject = 0.15, .noise_capture = 0.34,
		.mean_norm = 0.12,
		.families = {32, 512, 4096, 32768}, .share = {0.08, 0.26, 0.11, 0.02},
		.mated = {0.627, 0.133}, .non_mated = {0.010, 0.097},
	},
	{
		.name = "dlib", .dims = 128, .rank = 77,
		.knee = 5, .taper = 0.5,
		.between = 0.24, .noise = 0.62, .noise_subject = 0.08, .noise_capture = 0.16,
		.mean_norm = 1.31, .radius = 0.584, .pull = 0.33,
		.families = {24, 512, 4096, 32768}, .share = {0.10, 0.10, 0.30, 0.30},
		.mated = {0.44, 0.08}, .non_mated = {0.82, 0.09},
	},
};

const int	face_set_count = sizeof(face_sets) / sizeof(face_sets[0]);

/* ---------- random numbers: hashes, no state ---------- */

/* What a random stream is for. */
enum Stream
{
	STREAM_BASIS = 1, STREAM_MEAN, STREAM_FAMILY, STREAM_SUBJECT, STREAM_PLACE,
	STREAM_SUBJECT_QUALITY, STREAM_CAPTURE, STREAM_CAPTURE_QUALITY
};

/* The sets' basis, mean and families are the same whatever the seed. */
#define FIXED_SEED		UINT64_C(20260101)
#define GOLDEN_GAMMA	UINT64_C(0x9E3779B97F4A7C15)

/* The finaliser of splitmix64. */
static inline uint64_t
mix64(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static uint64_t
stream_key(uint64_t seed, enum Stream what, uint64_t a, uint64_t b)
{
	uint64_t	key = mix64(seed + GOLDEN_GAMMA * (uint64_t) what);

	key = mix64(key + GOLDEN_GAMMA * (a + 1));
	return mix64(key + GOLDEN_GAMMA * (b + 1));
}

/* In (0, 1). */
static double
uniform(uint64_t key)
{
	return ((double) (mix64(key) >> 11) + 0.5) * 0x1p-53;
}

/* One normal deviate (Box-Muller): for the few that shape a whole template. */
static double
normal(uint64_t key)
{
	return sqrt(-2 * log(uniform(key))) * cos(2 * M_PI * uniform(key + GOLDEN_GAMMA));
}

/*
 * The many normal deviates of the components come from a table of quantiles,
 * twelve bits each, five to a hash.  Sums over the basis smooth out the steps.
 */
#define QUANTILE_BITS	12
#define QUANTILES		(1 << QUANTILE_BITS)
#define QUANTILES_PER_HASH	5

static float quantile[QUANTILES];

static void
make_quantiles(void)
{
	double		sum = 0;

	for (int i = 0; i < QUANTILES; i++)
	{
		double		p = (i + 0.5) / QUANTILES;
		double		low = -8,
					high = 8;

		for (int step = 0; step < 50; step++)
		{
			double		middle = (low + high) / 2;

			if (0.5 * erfc(-middle / M_SQRT2) < p)
				low = middle;
			else
				high = middle;
		}
		quantile[i] = (float) low;
		sum += low * low;
	}
	/* unit variance, in spite of the cut tails */
	for (int i = 0; i < QUANTILES; i++)
		quantile[i] *= (float) sqrt(QUANTILES / sum);
}

/* row[0..n) += scale * normal deviates of the stream */
static void
add_normals(float *row, int n, uint64_t key, float scale)
{
	int			i = 0;

	while (i < n)
	{
		uint64_t	bits = mix64(key);

		key += GOLDEN_GAMMA;
		for (int j = 0; j < QUANTILES_PER_HASH && i < n; j++, i++)
		{
			row[i] += scale * quantile[bits & (QUANTILES - 1)];
			bits >>= QUANTILE_BITS;
		}
	}
}

/* ---------- the fixed part of a set ---------- */

/*
 * The product of the latent rows with the basis is done in tiles of TILE_ROWS rows by
 * NR columns; the basis is stored as panels of NR columns for that.
 */
#define NR		16
#define PANELS(dims)	(((dims) + NR - 1) / NR)

static float weight[MAX_DIMS];	/* square root of the spectrum */
static float mean[MAX_DIMS];
static float panel[PANELS(MAX_DIMS)][MAX_DIMS][NR] __attribute__((aligned(64)));

/* Rows of b made orthonormal, in double precision, twice for accuracy. */
static void
orthonormalise(double (*b)[MAX_DIMS], int rows, int dims)
{
	for (int i = 0; i < rows; i++)
	{
		double		norm = 0;

		for (int pass = 0; pass < 2; pass++)
		{
			for (int j = 0; j < i; j++)
			{
				double		dot = 0;

				for (int k = 0; k < dims; k++)
					dot += b[i][k] * b[j][k];
				for (int k = 0; k < dims; k++)
					b[i][k] -= dot * b[j][k];
			}
		}
		for (int k = 0; k < dims; k++)
			norm += b[i][k] * b[i][k];
		norm = sqrt(norm);
		for (int k = 0; k < dims; k++)
			b[i][k] /= norm;
	}
}

void
prepare_set(const FaceSet *set)
{
	static double basis[MAX_DIMS][MAX_DIMS];
	double		total = 0;
	double		norm = 0;

	make_quantiles();
	for (int i = 0; i < set->rank; i++)
	{
		float		row[MAX_DIMS] = {0};

		weight[i] = (float) (pow(1 - (double) i / set->rank, set->taper) / (1 + i / set->knee));
		total += weight[i];
		add_normals(row, set->dims, stream_key(FIXED_SEED, STREAM_BASIS, (uint64_t) set->dims, (uint64_t) i), 1);
		for (int k = 0; k < set->dims; k++)
			basis[i][k] = row[k];
	}
	orthonormalise(basis, set->rank, set->dims);
	for (int i = 0; i < set->rank; i++)
	{
		weight[i] = (float) sqrt(set->between * weight[i] / total);
		for (int k = 0; k < set->dims; k++)
			panel[k / NR][i][k % NR] = (float) basis[i][k];
	}

	if (set->mean_norm > 0)
	{
		add_normals(mean, set->dims, stream_key(FIXED_SEED, STREAM_MEAN, (uint64_t) set->dims, 0), 1);
		for (int k = 0; k < set->dims; k++)
			norm += mean[k] * mean[k];
		for (int k = 0; k < set->dims; k++)
			mean[k] *= (float) (set->mean_norm / sqrt(norm));
	}
}

/* ---------- templates ---------- */

/* The subject's own part and what it shares with its families of look-alikes. */
static void
make_subject(const FaceRows *rows, uint64_t subject, float *row)
{
	const FaceSet *set = rows->set;
	double		own = 1;
	double		place = uniform(stream_key(rows->seed, STREAM_PLACE, subject, 0));

	memset(row, 0, sizeof(float) * MAX_DIMS);
	for (int l = 0; l < MAX_FAMILIES && set->families[l] > 0; l++)
	{
		uint64_t	family = (uint64_t) (place * set->families[l]);

		add_normals(row, set->rank, stream_key(FIXED_SEED, STREAM_FAMILY, (uint64_t) l, family),
					(float) sqrt(set->share[l]));
		own -= set->share[l];
	}
	add_normals(row, set->rank, stream_key(rows->seed, STREAM_SUBJECT, subject, 0), (float) sqrt(own));
}

static void
add_capture(const FaceRows *rows, uint64_t subject, int capture, float *row)
{
	const FaceSet *set = rows->set;
	double		spread = set->noise_subject * normal(stream_key(rows->seed, STREAM_SUBJECT_QUALITY, subject, 0))
		+ set->noise_capture * normal(stream_key(rows->seed, STREAM_CAPTURE_QUALITY, subject, (uint64_t) capture));

	add_normals(row, set->rank, stream_key(rows->seed, STREAM_CAPTURE, subject, (uint64_t) capture),
				(float) (set->noise * exp(spread)));
	for (int i = 0; i < set->rank; i++)
		row[i] *= weight[i];
}

typedef float Columns __attribute__((vector_size(sizeof(float) * 8)));

/*
 * One tile of the product: TILE_ROWS rows of latent times one panel.  Each result is
 * summed over the rank in order, whatever the width of the machine's vectors.
 */
#if defined(__x86_64__) && !defined(__clang__)
__attribute__((target_clones("avx2", "default")))
#endif
static void
multiply_tile(int rank, const float *latent, const float (*columns)[NR], float *out, int first_column)
{
	Columns		sum[TILE_ROWS][2] = {0};

	for (int k = 0; k < rank; k++)
	{
		const Columns *b = (const Columns *) columns[k];

		for (int r = 0; r < TILE_ROWS; r++)
		{
			float		a = latent[r * MAX_DIMS + k];

			sum[r][0] += a * b[0];
			sum[r][1] += a * b[1];
		}
	}
	for (int r = 0; r < TILE_ROWS; r++)
		memcpy(out + r * MAX_DIMS + first_column, sum[r], sizeof(sum[r]));
}

/* Adds the mean and gives the template its length. */
static void
finish_template(const FaceSet *set, float *x)
{
	double		squares = 0;
	float		scale;

	if (set->radius > 0)
	{
		for (int k = 0; k < set->dims; k++)
			squares += x[k] * x[k];
		scale = (float) pow(set->radius * set->radius / squares, set->pull / 2);
		for (int k = 0; k < set->dims; k++)
			x[k] = x[k] * scale + mean[k];
		return;
	}
	for (int k = 0; k < set->dims; k++)
	{
		x[k] += mean[k];
		squares += x[k] * x[k];
	}
	scale = (float) (1 / sqrt(squares));
	for (int k = 0; k < set->dims; k++)
		x[k] *= scale;
}

uint64_t
subject_of_row(const FaceRows *rows, uint64_t row)
{
	return rows->first + rows->step * (row / (uint64_t) rows->captures);
}

int
capture_of_row(const FaceRows *rows, uint64_t row)
{
	return rows->capture_first + (int) (row % (uint64_t) rows->captures);
}

void
make_rows(const FaceRows *rows, uint64_t first_row, int n, float (*out)[MAX_DIMS])
{
	static float latent[BLOCK_ROWS][MAX_DIMS] __attribute__((aligned(64)));
	static float of_subject[MAX_DIMS];
	uint64_t	have = UINT64_MAX;

	for (int r = 0; r < n; r++)
	{
		uint64_t	subject = subject_of_row(rows, first_row + (uint64_t) r);
		int			capture = capture_of_row(rows, first_row + (uint64_t) r);

		if (subject != have)
			make_subject(rows, subject, of_subject);
		have = subject;
		memcpy(latent[r], of_subject, sizeof(of_subject));
		add_capture(rows, subject, capture, latent[r]);
	}
	for (int p = 0; p < PANELS(rows->set->dims); p++)
	{
		for (int r = 0; r < n; r += TILE_ROWS)
			multiply_tile(rows->set->rank, latent[r], panel[p], out[r], p * NR);
	}
	for (int r = 0; r < n; r++)
		finish_template(rows->set, out[r]);
}
