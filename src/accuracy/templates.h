/*-------------------------------------------------------------------------
 *
 * templates.h
 *	  Sets of labelled templates, read block by block from a query.
 *
 * A query gives three columns: an identifier, the subject, and the template.
 * It runs with the privileges of the caller and under the caller's snapshot, and
 * can be run again from its start: one that might give other rows then is refused.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_ACCURACY_TEMPLATES_H
#define FACEMATCH_ACCURACY_TEMPLATES_H

#include "postgres.h"

#include "executor/spi.h"

#include "embedding/embedding.h"

/* Who a template is of: a hash of the subject's text, so wide that two subjects never share it. */
typedef struct FaceLabel
{
	uint64		high;
	uint64		low;
} FaceLabel;

static inline bool
face_same_subject(const FaceLabel *a, const FaceLabel *b)
{
	return a->high == b->high && a->low == b->low;
}

/* Templates in memory: as they are stored, and as float32 rows of unit length. */
typedef struct FaceBlock
{
	int			n;
	int			capacity;
	int			dims;
	Size		stride;			/* bytes of a stored template */
	int64	   *ids;
	FaceLabel  *labels;
	uint32	   *tags;			/* a part of each label, to look through quickly */
	FaceEmbedding **templates;
	float	   *unit;
	char	   *arena;
} FaceBlock;

typedef struct FaceSet
{
	const char *name;			/* the argument that the query is, for errors */
	SPIPlanPtr	plan;
	Portal		cursor;
	int			dims;			/* 0 until the first template was read */
	int			model;			/* FACE_NO_MODEL until a tagged one was read */
	int64		read;			/* templates since the start */
	bool		ended;
} FaceSet;

/* Prepare a query, inside SPI.  22023 or a syntax error if it is not what it should be: one that gives the same rows each time. */
extern FaceSet *face_set_open(const char *name, const char *query);

/* Start from the first template again. */
extern void face_set_rewind(FaceSet *set);

extern void face_set_close(FaceSet *set);

/*
 * Fill the block with the next templates; false when there are none left.
 * A block without memory is given it: for `rows` templates, or if that is 0 for
 * as many as maintenance_work_mem holds.  sorted: in the order of identifiers.
 */
extern bool face_set_next(FaceSet *set, FaceBlock *block, int rows, bool sorted);

/*
 * Which of n templates of a block, from the first one on, are of a subject:
 * their places after the first go to `found`, which has room for n, and their
 * number is returned.
 */
extern int	face_find_subject(const FaceBlock *block, int first, int n, const FaceLabel *label, int *found);

#endif							/* FACEMATCH_ACCURACY_TEMPLATES_H */
