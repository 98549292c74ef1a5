/*-------------------------------------------------------------------------
 *
 * synthfaces.c
 *	  Deterministic synthetic templates: subjects x captures.
 *
 * Feeds the demo, the tests and the benchmarks where no real faces are at
 * hand.  A template is
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
 * `--stats` prints the mated and non-mated scores and fails when they are not
 * what the set promises.
 *
 * Every random number is a hash of (seed, what, subject, capture): a template
 * does not depend on how many others are made with it, so probes are further
 * captures of the same subjects, and strangers are subjects beyond the last.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DIMS		512
#define MAX_FAMILIES	4
#define BLOCK_ROWS		384		/* rows made at once: a multiple of MR */
#define STATS_SUBJECTS	2000

/* The model of one set. */
typedef struct FaceSet
{
	const char *name;
	int			dims;
	int			rank;			/* dimensions that carry anything */
	double		knee;			/* variance of component i falls as */
	double		taper;			/* (1 - i/rank)^taper / (1 + i/knee) */
	double		between;		/* total variance between subjects */
	double		noise;			/* median amplitude of a capture's noise */
	double		noise_subject;	/* its log-normal spread by subject */
	double		noise_capture;	/* ... and by capture */
	double		mean_norm;		/* norm of the mean common to all */
	double		radius;			/* 0: unit length; else |x - mean| is drawn */
	double		pull;			/* towards this radius, by this share */
	int			families[MAX_FAMILIES]; /* how many clusters at each level */
	double		share[MAX_FAMILIES];	/* of the variance between subjects */

	/* what --stats expects: mean and standard deviation of scores */
	double		mated[2];
	double		non_mated[2];
} FaceSet;

static const FaceSet face_sets[] = {
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

/* How far --stats lets a mean or standard deviation be from its promise. */
#define STATS_TOLERANCE	0.012

enum OutputFormat
{
	FORMAT_F32, FORMAT_COPY, FORMAT_BINARY
};

typedef struct Options
{
	const FaceSet *set;
	uint64_t	subjects;
	uint64_t	first;
	uint64_t	step;
	int			captures;
	int			capture_first;
	uint64_t	seed;
	enum OutputFormat format;
	int			tag;
	uint64_t	galleries;
	bool		stats;
} Options;

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
 * The product of the latent rows with the basis is done in tiles of MR rows by
 * NR columns; the basis is stored as panels of NR columns for that.
 */
#define MR		6
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

static void
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
make_subject(const Options *o, uint64_t subject, float *row)
{
	const FaceSet *set = o->set;
	double		own = 1;
	double		place = uniform(stream_key(o->seed, STREAM_PLACE, subject, 0));

	memset(row, 0, sizeof(float) * MAX_DIMS);
	for (int l = 0; l < MAX_FAMILIES && set->families[l] > 0; l++)
	{
		uint64_t	family = (uint64_t) (place * set->families[l]);

		add_normals(row, set->rank, stream_key(FIXED_SEED, STREAM_FAMILY, (uint64_t) l, family),
					(float) sqrt(set->share[l]));
		own -= set->share[l];
	}
	add_normals(row, set->rank, stream_key(o->seed, STREAM_SUBJECT, subject, 0), (float) sqrt(own));
}

static void
add_capture(const Options *o, uint64_t subject, int capture, float *row)
{
	const FaceSet *set = o->set;
	double		spread = set->noise_subject * normal(stream_key(o->seed, STREAM_SUBJECT_QUALITY, subject, 0))
		+ set->noise_capture * normal(stream_key(o->seed, STREAM_CAPTURE_QUALITY, subject, (uint64_t) capture));

	add_normals(row, set->rank, stream_key(o->seed, STREAM_CAPTURE, subject, (uint64_t) capture),
				(float) (set->noise * exp(spread)));
	for (int i = 0; i < set->rank; i++)
		row[i] *= weight[i];
}

typedef float Columns __attribute__((vector_size(sizeof(float) * 8)));

/*
 * One tile of the product: MR rows of latent times one panel.  Each result is
 * summed over the rank in order, whatever the width of the machine's vectors.
 */
#if defined(__x86_64__) && !defined(__clang__)
__attribute__((target_clones("avx2", "default")))
#endif
static void
multiply_tile(int rank, const float *latent, const float (*columns)[NR], float *out, int first_column)
{
	Columns		sum[MR][2] = {0};

	for (int k = 0; k < rank; k++)
	{
		const Columns *b = (const Columns *) columns[k];

		for (int r = 0; r < MR; r++)
		{
			float		a = latent[r * MAX_DIMS + k];

			sum[r][0] += a * b[0];
			sum[r][1] += a * b[1];
		}
	}
	for (int r = 0; r < MR; r++)
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

static uint64_t
subject_of_row(const Options *o, uint64_t row)
{
	return o->first + o->step * (row / (uint64_t) o->captures);
}

static int
capture_of_row(const Options *o, uint64_t row)
{
	return o->capture_first + (int) (row % (uint64_t) o->captures);
}

/* Rows first_row .. first_row + n - 1, subject-major; n <= BLOCK_ROWS. */
static void
make_rows(const Options *o, uint64_t first_row, int n, float (*out)[MAX_DIMS])
{
	static float latent[BLOCK_ROWS][MAX_DIMS] __attribute__((aligned(64)));
	static float of_subject[MAX_DIMS];
	uint64_t	have = UINT64_MAX;

	for (int r = 0; r < n; r++)
	{
		uint64_t	subject = subject_of_row(o, first_row + (uint64_t) r);
		int			capture = capture_of_row(o, first_row + (uint64_t) r);

		if (subject != have)
			make_subject(o, subject, of_subject);
		have = subject;
		memcpy(latent[r], of_subject, sizeof(of_subject));
		add_capture(o, subject, capture, latent[r]);
	}
	for (int p = 0; p < PANELS(o->set->dims); p++)
	{
		for (int r = 0; r < n; r += MR)
			multiply_tile(o->set->rank, latent[r], panel[p], out[r], p * NR);
	}
	for (int r = 0; r < n; r++)
		finish_template(o->set, out[r]);
}

/* ---------- output ---------- */

static void
write_out(const void *data, size_t size)
{
	if (size > 0 && fwrite(data, size, 1, stdout) != 1)
	{
		if (errno == EPIPE)
			exit(0);
		fprintf(stderr, "synthfaces: could not write: %s\n", strerror(errno));
		exit(1);
	}
}

/* Seven decimals: three digits more than half precision keeps. */
static char *
put_decimal(char *to, float value)
{
	long		scaled = lrint((double) value * 1e7);
	char		digits[24];
	int			n = 0;

	if (scaled < 0)
	{
		*to++ = '-';
		scaled = -scaled;
	}
	for (; n < 8 || scaled > 0; scaled /= 10)
		digits[n++] = (char) ('0' + scaled % 10);
	while (n > 0)
	{
		if (n == 7)
			*to++ = '.';
		*to++ = digits[--n];
	}
	return to;
}

/* COPY text: row_id, subject, ordinal, embedding. */
static void
write_copy_row(const Options *o, uint64_t row_id, uint64_t subject, int ordinal, const float *x)
{
	static char line[MAX_DIMS * 16 + 128];
	char	   *to = line;

	to += sprintf(to, "%llu\t%llu\t%d\t", (unsigned long long) row_id, (unsigned long long) subject, ordinal);
	if (o->tag != 0)
		to += sprintf(to, "%d:", o->tag);
	*to++ = '[';
	for (int k = 0; k < o->set->dims; k++)
	{
		if (k > 0)
			*to++ = ',';
		to = put_decimal(to, x[k]);
	}
	*to++ = ']';
	*to++ = '\n';
	write_out(line, (size_t) (to - line));
}

static char *
put_be(char *to, uint64_t value, int bytes)
{
	for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
		*to++ = (char) (value >> shift);
	return to;
}

/* COPY BINARY: id bigint, gallery_id integer, embedding. */
static void
write_binary_row(const Options *o, uint64_t row_id, uint64_t subject, const float *x)
{
	static char tuple[MAX_DIMS * 4 + 64];
	char	   *to = tuple;

	to = put_be(to, 3, 2);
	to = put_be(to, 8, 4);
	to = put_be(to, row_id, 8);
	to = put_be(to, 4, 4);
	to = put_be(to, 1 + subject % o->galleries, 4);
	to = put_be(to, 4 + 4 * (uint64_t) o->set->dims, 4);
	to = put_be(to, (uint64_t) o->set->dims, 2);
	to = put_be(to, (uint64_t) o->tag, 2);
	for (int k = 0; k < o->set->dims; k++)
	{
		uint32_t	bits;

		memcpy(&bits, &x[k], sizeof(bits));
		to = put_be(to, bits, 4);
	}
	write_out(tuple, (size_t) (to - tuple));
}

static void
write_rows(const Options *o)
{
	static const char header[19] = "PGCOPY\n\377\r\n";
	static float block[BLOCK_ROWS][MAX_DIMS] __attribute__((aligned(64)));
	uint64_t	captures = (uint64_t) o->captures;
	uint64_t	rows = o->subjects * captures;

	if (o->format == FORMAT_BINARY)
		write_out(header, sizeof(header));
	for (uint64_t start = 0; start < rows; start += BLOCK_ROWS)
	{
		int			n = rows - start < BLOCK_ROWS ? (int) (rows - start) : BLOCK_ROWS;

		make_rows(o, start, n, block);
		for (int r = 0; r < n; r++)
		{
			uint64_t	row = start + (uint64_t) r;
			uint64_t	subject = subject_of_row(o, row);
			int			ordinal = capture_of_row(o, row);
			uint64_t	row_id = subject * captures + row % captures;

			if (o->format == FORMAT_COPY)
				write_copy_row(o, row_id, subject, ordinal, block[r]);
			else if (o->format == FORMAT_BINARY)
				write_binary_row(o, row_id, subject, block[r]);
			else
				write_out(block[r], sizeof(float) * (size_t) o->set->dims);
		}
	}
	if (o->format == FORMAT_BINARY)
		write_out("\377\377", 2);
	if (fflush(stdout) != 0)
	{
		fprintf(stderr, "synthfaces: could not write: %s\n", strerror(errno));
		exit(1);
	}
}

/* ---------- statistics ---------- */

/* Cosine similarity, or Euclidean distance of a set that is not normalised. */
static double
score(const FaceSet *set, const float *a, const float *b)
{
	double		sum[4] = {0};

	for (int k = 0; k < set->dims; k += 4)
	{
		for (int j = 0; j < 4; j++)
		{
			double		d = set->radius > 0 ? (a[k + j] - b[k + j]) * (a[k + j] - b[k + j]) : a[k + j] * b[k + j];

			sum[j] += d;
		}
	}
	sum[0] += sum[1] + sum[2] + sum[3];
	return set->radius > 0 ? sqrt(sum[0]) : sum[0];
}

typedef struct Moments
{
	double		n,
				sum,
				squares;
} Moments;

static void
add_score(Moments *m, double value)
{
	m->n++;
	m->sum += value;
	m->squares += value * value;
}

static bool
report_scores(const char *what, const Moments *m, const double expected[2])
{
	double		average = m->sum / m->n;
	double		deviation = sqrt(m->squares / m->n - average * average);
	bool		ok = fabs(average - expected[0]) <= STATS_TOLERANCE && fabs(deviation - expected[1]) <= STATS_TOLERANCE;

	printf("%-9s mean %6.3f sd %5.3f  (expected %6.3f, %5.3f)%s\n",
		   what, average, deviation, expected[0], expected[1], ok ? "" : "  NOT AS EXPECTED");
	return ok;
}

/* Scores of all pairs of two captures of STATS_SUBJECTS subjects. */
static bool
print_stats(Options *o)
{
	Moments		mated = {0},
				non_mated = {0};
	float		(*x)[MAX_DIMS] = aligned_alloc(64, sizeof(*x) * (2 * STATS_SUBJECTS + MR));
	bool		ok;

	if (x == NULL)
	{
		fprintf(stderr, "synthfaces: out of memory\n");
		exit(1);
	}
	o->captures = 2;
	for (int start = 0; start < 2 * STATS_SUBJECTS; start += BLOCK_ROWS)
	{
		int			left = 2 * STATS_SUBJECTS - start;

		make_rows(o, (uint64_t) start, left < BLOCK_ROWS ? left : BLOCK_ROWS, x + start);
	}
	for (int i = 0; i < STATS_SUBJECTS; i++)
	{
		add_score(&mated, score(o->set, x[2 * i], x[2 * i + 1]));
		for (int j = 0; j < i; j++)
			add_score(&non_mated, score(o->set, x[2 * i], x[2 * j + 1]));
	}
	free(x);
	printf("%s: %s\n", o->set->name, o->set->radius > 0 ? "Euclidean distance" : "cosine similarity");
	ok = report_scores("mated", &mated, o->set->mated);
	return report_scores("non-mated", &non_mated, o->set->non_mated) && ok;
}

/* ---------- command line ---------- */

static void
usage(FILE *to)
{
	fprintf(to,
			"Usage: synthfaces [OPTION]...\n"
			"Write deterministic synthetic face templates to standard output.\n\n"
			"  --set NAME          full-rank (512 dimensions; default), low-rank (512) or dlib (128)\n"
			"  --subjects N        how many subjects (default 1000)\n"
			"  --first F           the first subject's number (default 0)\n"
			"  --step K            take every K-th subject only (default 1)\n"
			"  --captures C        captures of each subject (default 1)\n"
			"  --capture-first C   number of the first capture (default 0)\n"
			"  --seed S            another seed is other subjects (default 1)\n"
			"  --format FORMAT     copy    row_id, subject, ordinal, embedding as COPY text (default)\n"
			"                      binary  id bigint, gallery_id integer, embedding as COPY BINARY\n"
			"                      f32     raw float32 rows\n"
			"  --tag T             model tag of every template (default 0: untagged)\n"
			"  --galleries G       gallery_id of a row is 1 + subject mod G (default 1)\n"
			"  --stats             print mated and non-mated scores; exit 1 if not as promised\n"
			"Row numbers: subject * captures + capture, of the captures asked for.\n");
}

static uint64_t
number_argument(const char *option, const char *text, uint64_t low, uint64_t high)
{
	char	   *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value < low || value > high)
	{
		fprintf(stderr, "synthfaces: --%s takes a number from %llu to %llu, not \"%s\"\n", option,
				(unsigned long long) low, (unsigned long long) high, text);
		exit(2);
	}
	return value;
}

static const FaceSet *
set_argument(const char *text)
{
	for (size_t i = 0; i < sizeof(face_sets) / sizeof(face_sets[0]); i++)
	{
		if (strcmp(text, face_sets[i].name) == 0)
			return &face_sets[i];
	}
	fprintf(stderr, "synthfaces: no set \"%s\": full-rank, low-rank or dlib\n", text);
	exit(2);
}

static enum OutputFormat
format_argument(const char *text)
{
	if (strcmp(text, "copy") == 0)
		return FORMAT_COPY;
	if (strcmp(text, "binary") == 0)
		return FORMAT_BINARY;
	if (strcmp(text, "f32") == 0)
		return FORMAT_F32;
	fprintf(stderr, "synthfaces: no format \"%s\": copy, binary or f32\n", text);
	exit(2);
}

#define MAX_SUBJECTS	UINT64_C(10000000000)	/* all people, and some */
#define MAX_CAPTURES	1000000

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"set", required_argument, NULL, 'm'},
		{"subjects", required_argument, NULL, 'n'},
		{"first", required_argument, NULL, 'f'},
		{"step", required_argument, NULL, 'k'},
		{"captures", required_argument, NULL, 'c'},
		{"capture-first", required_argument, NULL, 'C'},
		{"seed", required_argument, NULL, 's'},
		{"format", required_argument, NULL, 'o'},
		{"tag", required_argument, NULL, 't'},
		{"galleries", required_argument, NULL, 'g'},
		{"stats", no_argument, NULL, 'S'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	Options		o = {.set = &face_sets[0],.subjects = 1000,.step = 1,.captures = 1,.seed = 1,.format = FORMAT_COPY,.galleries = 1};
	int			which = 0;
	int			c;

	while ((c = getopt_long(argc, argv, "", long_options, &which)) != -1)
	{
		const char *name = c == '?' ? "" : long_options[which].name;

		switch (c)
		{
			case 'm': o.set = set_argument(optarg); break;
			case 'n': o.subjects = number_argument(name, optarg, 0, MAX_SUBJECTS); break;
			case 'f': o.first = number_argument(name, optarg, 0, MAX_SUBJECTS); break;
			case 'k': o.step = number_argument(name, optarg, 1, MAX_SUBJECTS); break;
			case 'c': o.captures = (int) number_argument(name, optarg, 1, MAX_CAPTURES); break;
			case 'C': o.capture_first = (int) number_argument(name, optarg, 0, MAX_CAPTURES); break;
			case 's': o.seed = number_argument(name, optarg, 0, UINT64_MAX); break;
			case 'o': o.format = format_argument(optarg); break;
			case 't': o.tag = (int) number_argument(name, optarg, 0, INT16_MAX); break;
			case 'g': o.galleries = number_argument(name, optarg, 1, INT32_MAX); break;
			case 'S': o.stats = true; break;
			case 'h': usage(stdout); return 0;
			default: usage(stderr); return 2;
		}
	}
	if (optind < argc)
	{
		usage(stderr);
		return 2;
	}
	prepare_set(o.set);
	if (o.stats)
		return print_stats(&o) ? 0 : 1;
	write_rows(&o);
	return 0;
}
