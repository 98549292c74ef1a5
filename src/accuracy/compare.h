/*-------------------------------------------------------------------------
 *
 * compare.h
 *	  All comparisons between two sets of templates, tile by tile.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_ACCURACY_COMPARE_H
#define FACEMATCH_ACCURACY_COMPARE_H

#include "accuracy/templates.h"

/*
 * Rows and columns of a tile.  Its scores fit a second-level cache beside the
 * strips, and one takes a few milliseconds, after which a cancel is noticed.
 */
#define FACE_TILE_ROWS		256
#define FACE_TILE_COLUMNS	512

/*
 * Scores of neighbouring probes (rows) with neighbouring enrolled templates
 * (columns).  They are approximate: the type's own similarity lies within
 * `margin` of each, and face_exact() gives it.
 */
typedef struct FaceTile
{
	const FaceBlock *probes;
	const FaceBlock *enrolled;
	int			first_row;
	int			rows;
	int			first_column;
	int			columns;
	bool		within;			/* one set with itself: only pairs probe id < enrolled id count */
	double		margin;
	const float *scores;
} FaceTile;

/*
 * What is done with the comparisons.  For every block of probes: begin, visit
 * each tile, end.  begin and end may be NULL.
 */
typedef struct FaceConsumer
{
	void		(*begin) (struct FaceConsumer *self, const FaceBlock *probes);
	/* every pair of the block, before any of its tiles; no scores are computed for it */
	void		(*preview) (struct FaceConsumer *self, const FaceBlock *probes, const FaceBlock *enrolled);
	void		(*visit) (struct FaceConsumer *self, const FaceTile *tile);
	/* after all tiles of two sets: whether the enrolled have to pass by once more; NULL: no */
	bool		(*again) (struct FaceConsumer *self, const FaceBlock *probes);
	void		(*end) (struct FaceConsumer *self, const FaceBlock *probes);
} FaceConsumer;

/*
 * Compare two sets, or with enrolled = NULL the pairs within one.  Inside SPI.
 * Bounded by maintenance_work_mem, cancellable.  22000 and 22023 for templates
 * that cannot be compared, or identifiers that are not unique within one set.
 */
extern void face_compare_sets(const char *probes, const char *enrolled, FaceConsumer *consumer);

/* An argument of an SQL function that has to be there: 22004 if it is NULL. */
extern void face_require_argument(FunctionCallInfo fcinfo, int number, const char *name);

/* The first column of a tile that counts for a row. */
extern int	face_tile_start(const FaceTile *tile, int row);

/* The type's own similarity of a row and a column of a tile. */
extern double face_exact(const FaceTile *tile, int row, int column);

/* The type's own similarity of two templates: what face_similarity() answers. */
extern double face_exact_similarity(const FaceEmbedding *enrolled, const FaceEmbedding *probe);

#endif							/* FACEMATCH_ACCURACY_COMPARE_H */
