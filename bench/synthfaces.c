/*-------------------------------------------------------------------------
 *
 * synthfaces.c
 *	  Writes deterministic synthetic templates (face_sets.c).
 *
 * Feeds the demo, the tests and the benchmarks where no real faces are at
 * hand.  `--stats` prints the mated and non-mated scores and fails when they are
 * not what the set promises.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "face_sets.h"

#define STATS_SUBJECTS	2000

/* How far --stats lets a mean or standard deviation be from its promise. */
#define STATS_TOLERANCE	0.012

enum OutputFormat
{
	FORMAT_F32, FORMAT_COPY, FORMAT_BINARY
};

typedef struct Options
{
	FaceRows	rows;
	uint64_t	subjects;
	enum OutputFormat format;
	int			tag;
	uint64_t	galleries;
	bool		stats;
} Options;

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
	for (int k = 0; k < o->rows.set->dims; k++)
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
	to = put_be(to, 4 + 4 * (uint64_t) o->rows.set->dims, 4);
	to = put_be(to, (uint64_t) o->rows.set->dims, 2);
	to = put_be(to, (uint64_t) o->tag, 2);
	for (int k = 0; k < o->rows.set->dims; k++)
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
	uint64_t	captures = (uint64_t) o->rows.captures;
	uint64_t	rows = o->subjects * captures;

	if (o->format == FORMAT_BINARY)
		write_out(header, sizeof(header));
	for (uint64_t start = 0; start < rows; start += BLOCK_ROWS)
	{
		int			n = rows - start < BLOCK_ROWS ? (int) (rows - start) : BLOCK_ROWS;

		make_rows(&o->rows, start, n, block);
		for (int r = 0; r < n; r++)
		{
			uint64_t	row = start + (uint64_t) r;
			uint64_t	subject = subject_of_row(&o->rows, row);
			int			ordinal = capture_of_row(&o->rows, row);
			uint64_t	row_id = subject * captures + row % captures;

			if (o->format == FORMAT_COPY)
				write_copy_row(o, row_id, subject, ordinal, block[r]);
			else if (o->format == FORMAT_BINARY)
				write_binary_row(o, row_id, subject, block[r]);
			else
				write_out(block[r], sizeof(float) * (size_t) o->rows.set->dims);
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
	float		(*x)[MAX_DIMS] = aligned_alloc(64, sizeof(*x) * (2 * STATS_SUBJECTS + TILE_ROWS));
	bool		ok;

	if (x == NULL)
	{
		fprintf(stderr, "synthfaces: out of memory\n");
		exit(1);
	}
	o->rows.captures = 2;
	for (int start = 0; start < 2 * STATS_SUBJECTS; start += BLOCK_ROWS)
	{
		int			left = 2 * STATS_SUBJECTS - start;

		make_rows(&o->rows, (uint64_t) start, left < BLOCK_ROWS ? left : BLOCK_ROWS, x + start);
	}
	for (int i = 0; i < STATS_SUBJECTS; i++)
	{
		add_score(&mated, score(o->rows.set, x[2 * i], x[2 * i + 1]));
		for (int j = 0; j < i; j++)
			add_score(&non_mated, score(o->rows.set, x[2 * i], x[2 * j + 1]));
	}
	free(x);
	printf("%s: %s\n", o->rows.set->name, o->rows.set->radius > 0 ? "Euclidean distance" : "cosine similarity");
	ok = report_scores("mated", &mated, o->rows.set->mated);
	return report_scores("non-mated", &non_mated, o->rows.set->non_mated) && ok;
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
	for (size_t i = 0; i < (size_t) face_set_count; i++)
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
	Options		o = {.rows = {.set = &face_sets[0],.step = 1,.captures = 1,.seed = 1},.subjects = 1000,.format = FORMAT_COPY,.galleries = 1};
	int			which = 0;
	int			c;

	while ((c = getopt_long(argc, argv, "", long_options, &which)) != -1)
	{
		const char *name = c == '?' ? "" : long_options[which].name;

		switch (c)
		{
			case 'm': o.rows.set = set_argument(optarg); break;
			case 'n': o.subjects = number_argument(name, optarg, 0, MAX_SUBJECTS); break;
			case 'f': o.rows.first = number_argument(name, optarg, 0, MAX_SUBJECTS); break;
			case 'k': o.rows.step = number_argument(name, optarg, 1, MAX_SUBJECTS); break;
			case 'c': o.rows.captures = (int) number_argument(name, optarg, 1, MAX_CAPTURES); break;
			case 'C': o.rows.capture_first = (int) number_argument(name, optarg, 0, MAX_CAPTURES); break;
			case 's': o.rows.seed = number_argument(name, optarg, 0, UINT64_MAX); break;
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
	prepare_set(o.rows.set);
	if (o.stats)
		return print_stats(&o) ? 0 : 1;
	write_rows(&o);
	return 0;
}
