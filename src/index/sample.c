/*-------------------------------------------------------------------------
 *
 * sample.c
 *	  Centres for a new index: the mean of a sample of its templates.
 *
 * Some models give templates with a huge common mean. Codes of directions
 * around that mean carry little information; codes after subtracting it carry
 * as much as for any other model.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "common/pg_prng.h"
#include "miscadmin.h"

#include "compat.h"
#include "index/build.h"
#include "simd/simd.h"

/* Runs of heap blocks sampled; a few thousand templates fix a mean to 2 %. */
#define SAMPLE_RUNS 256
#define SAMPLE_RUN_BLOCKS 2
#define SAMPLE_WHOLE_BLOCKS (SAMPLE_RUNS * SAMPLE_RUN_BLOCKS)

/* Fewer than this say nothing of a mean. */
#define MIN_SAMPLE 32

/* The sum of unit-length templates of one kind. */
typedef struct KindSample
{
	FaceTemplateKind kind;
	int64		count;
	double	   *sum;
} KindSample;

typedef struct Sample
{
	Relation	index;
	int			nkinds;
	KindSample	kinds[FACE_MAX_EPOCHS];
	FaceRoom	room;			/* for an opened template */
} Sample;

static KindSample *
kind_of(Sample *sample, const FaceEmbedding *e, bool sealed)
{
	KindSample *kind;

	for (int i = 0; i < sample->nkinds; i++)
	{
		const FaceTemplateKind *known = &sample->kinds[i].kind;

		if (known->dims == e->dims && known->model == e->model && known->sealed == sealed)
			return &sample->kinds[i];
	}
	if (sample->nkinds == FACE_MAX_EPOCHS)
		return NULL;
	kind = &sample->kinds[sample->nkinds++];
	kind->kind = (FaceTemplateKind) {e->dims, e->model, sealed};
	kind->sum = palloc0(sizeof(double) * e->dims);
	return kind;
}

static void
sample_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	const int	column = IndexRelationGetNumberOfKeyAttributes(index) - 1;
	Sample	   *sample = state;
	const FaceEmbedding *stored;
	const FaceEmbedding *e;
	KindSample *kind;
	float	   *x;

	if (isnull[column])
		return;
	stored = DatumGetFaceEmbedding(values[column]);
	e = face_opened(stored, &sample->room.value);
	kind = e != NULL ? kind_of(sample, e, e != stored) : NULL;
	if (kind == NULL)
		return;
	x = palloc(sizeof(float) * e->dims);
	face_kernels->half_to_float(e->dims, e->x, x);
	for (int i = 0; i < e->dims; i++)
		kind->sum[i] += x[i] / e->norm;
	kind->count++;
	pfree(x);
}

/* Make an epoch around the mean of a kind, or around zero. */
static void
add_epoch(Relation index, const KindSample *kind)
{
	const double scale = kind->count > 0 ? 1.0 / kind->count : 0;
	const int	dims = kind->kind.dims;
	float	   *mean = palloc(sizeof(float) * dims);
	double		norm_squared = 0;

	for (int i = 0; i < dims; i++)
	{
		mean[i] = (float) (kind->sum[i] * scale);
		norm_squared += (double) mean[i] * mean[i];
	}
	face_epoch_add_mean(index, kind->kind,
						kind->count >= MIN_SAMPLE && norm_squared >= FACE_MIN_CENTRE_NORM_SQUARED ? mean : NULL);
	pfree(mean);
}

void
face_sample_epochs(Relation heap, Relation index, IndexInfo *info)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);
	/* A row counts whoever sees it, but beside writers only a snapshot's rows are available. */
	const bool	anyvisible = !info->ii_Concurrent;
	Sample	   *sample = palloc0(sizeof(Sample));

	sample->index = index;
	if (heap->rd_rel->relam != HEAP_TABLE_AM_OID || nblocks <= SAMPLE_WHOLE_BLOCKS)
		table_index_build_range_scan(heap, index, info, false, anyvisible, false, 0, InvalidBlockNumber,
									 sample_row, sample, NULL);
	else
	{
		for (int run = 0; run < SAMPLE_RUNS; run++)
		{
			/* one run at a random place in each of SAMPLE_RUNS equal parts */
			uint64		low = (uint64) nblocks * run / SAMPLE_RUNS;
			uint64		high = (uint64) nblocks * (run + 1) / SAMPLE_RUNS - SAMPLE_RUN_BLOCKS;

			CHECK_FOR_INTERRUPTS();
			table_index_build_range_scan(heap, index, info, false, anyvisible, false,
										 (BlockNumber) pg_prng_uint64_range(&pg_global_prng_state, low, Max(low, high)),
										 SAMPLE_RUN_BLOCKS, sample_row, sample, NULL);
		}
	}
	face_wipe(&sample->room.value);
	for (int i = 0; i < sample->nkinds; i++)
		add_epoch(index, &sample->kinds[i]);
}
