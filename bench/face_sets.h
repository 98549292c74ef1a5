/*-------------------------------------------------------------------------
 *
 * face_sets.h
 *	  Sets of synthetic templates, and how their rows are made.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BENCH_FACE_SETS_H
#define FACEMATCH_BENCH_FACE_SETS_H

#include <stdint.h>

#define MAX_DIMS		512
#define MAX_FAMILIES	4
#define BLOCK_ROWS		384		/* rows made at once: a multiple of TILE_ROWS */
#define TILE_ROWS		6		/* rows are made in tiles of so many: there is room for a whole number of them */

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

	/* what synthfaces --stats expects: mean and standard deviation of scores */
	double		mated[2];
	double		non_mated[2];
} FaceSet;

extern const FaceSet face_sets[];
extern const int face_set_count;

/* Which rows are made: `captures` of each subject, of every step-th subject from the first on. */
typedef struct FaceRows
{
	const FaceSet *set;
	uint64_t	first;
	uint64_t	step;
	int			captures;
	int			capture_first;
	uint64_t	seed;
} FaceRows;

/* Once, before rows of a set are made. */
extern void prepare_set(const FaceSet *set);

extern uint64_t subject_of_row(const FaceRows *rows, uint64_t row);
extern int	capture_of_row(const FaceRows *rows, uint64_t row);

/* Rows first_row .. first_row + n - 1, subject-major; n <= BLOCK_ROWS. */
extern void make_rows(const FaceRows *rows, uint64_t first_row, int n, float (*out)[MAX_DIMS]);

#endif							/* FACEMATCH_BENCH_FACE_SETS_H */
