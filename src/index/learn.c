/*-------------------------------------------------------------------------
 *
 * learn.c
 *	  A centre for templates that came one by one.
 *
 * An index built over rows has the mean of a sample as its centre.  One that
 * was created empty began with the zero centre; for a model with a large
 * common mean its codes are poor.  VACUUM therefore looks at what has gathered
 * and, where a centre would help, adds an epoch that new pages use from then
 * on.  Templates already there keep their codes until REINDEX; galleries turn
 * over by themselves.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "common/pg_prng.h"
#include "miscadmin.h"

#include "compat.h"
#include "index/handler.h"
#include "index/posting.h"

/* Random pages looked at, and templates that give a mean to a few per cent. */
#define LEARN_PROBES 1024
#define LEARN_TEMPLATES 1000

/* The sum of the templates seen of one epoch, as their codes tell them. */
typedef struct CentreSample
{
	int			epoch;
	const FaceEpochState *state;
	int			count;
	double	   *sum;
	FaceCodes  *codes;
	float	   *decoded;
} CentreSample;

static void
add_slots(CentreSample *sample, const FaceSlotPages *pages, int first_slot)
{
	const FaceLayout *layout = &sample->state->layout;
	const int	padded = sample->state->codec->padded;

	for (int i = 0; i < layout->refine_slots && first_slot + i < layout->slots; i++)
	{
		if (!face_slot_used(FaceSketchBitmap(pages->sketch, layout), first_slot + i))
			continue;
		face_slot_read(sample->state, pages, first_slot + i, sample->codes);
		face_decode(sample->state->codec, sample->state->centre, sample->codes, sample->decoded);
		for (int j = 0; j < padded; j++)
			sample->sum[j] += sample->decoded[j];
		sample->count++;
	}
}

static Buffer
read_side_page(Relation index, BlockNumber blkno, FacePageKind kind, uint64 stamp)
{
	Buffer		buffer = face_read_page(index, blkno, BUFFER_LOCK_SHARE);

	face_check_side_page(index, buffer, kind, stamp);
	return buffer;
}

/* Take in the templates of a block, if it is a sketch page of the epoch. */
static void
sample_block(Relation index, CentreSample *sample, BlockNumber blkno)
{
	const FaceLayout *layout = &sample->state->layout;
	Buffer		buffer = face_read_page(index, blkno, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);

	if (face_page_is(page, FACE_PAGE_SKETCH) && FacePageGetSketchHeader(page)->epoch == sample->epoch &&
		FacePageGetSketchHeader(page)->used > 0)
	{
		const uint64 stamp = FacePageGetOpaque(page)->stamp;
		FaceSlotPages pages = {.sketch = page};
		Buffer		plane = InvalidBuffer;

		if (layout->has_plane)
		{
			plane = read_side_page(index, *FaceSketchPlaneBlock(page, layout), FACE_PAGE_PLANE, stamp);
			pages.plane = BufferGetPage(plane);
		}
		for (int i = 0; i < layout->refine_pages; i++)
		{
			BlockNumber refine_block = FaceSketchRefineBlocks(page, layout)[i];
			Buffer		refine;

			if (!BlockNumberIsValid(refine_block))
				continue;
			refine = read_side_page(index, refine_block, FACE_PAGE_REFINE, stamp);
			pages.refine = BufferGetPage(refine);
			add_slots(sample, &pages, i * layout->refine_slots);
			UnlockReleaseBuffer(refine);
		}
		if (BufferIsValid(plane))
			UnlockReleaseBuffer(plane);
	}
	UnlockReleaseBuffer(buffer);
}

/* Sample an epoch that has the zero centre; add a better one if there is. */
static void
learn_centre(Relation index, const FaceMetaData *meta, int epoch)
{
	const BlockNumber nblocks = RelationGetNumberOfBlocks(index);
	CentreSample sample = {0};
	float	   *mean;
	double		norm_squared = 0;
	int			padded;

	sample.epoch = epoch;
	sample.state = face_epoch_state(index, epoch);
	padded = sample.state->codec->padded;
	sample.sum = palloc0(sizeof(double) * padded);
	sample.codes = face_codes_create(sample.state->codec);
	sample.decoded = palloc(sizeof(float) * padded);
	for (int i = 0; i < LEARN_PROBES && sample.count < LEARN_TEMPLATES; i++)
	{
		face_vacuum_delay();
		sample_block(index, &sample, (BlockNumber) pg_prng_uint64_range(&pg_global_prng_state, 0, nblocks - 1));
	}
	if (sample.count < LEARN_TEMPLATES)
		return;

	mean = palloc(sizeof(float) * padded);
	for (int j = 0; j < padded; j++)
	{
		mean[j] = (float) (sample.sum[j] / sample.count);
		norm_squared += (double) mean[j] * mean[j];
	}
	if (norm_squared >= FACE_MIN_CENTRE_NORM_SQUARED)
		face_epoch_add(index, meta->epochs[epoch].dims, meta->epochs[epoch].model, meta->epochs[epoch].seed, mean);
}

/* Is there a newer epoch for templates of the same kind? */
static bool
superseded(const FaceMetaData *meta, int epoch)
{
	for (int i = epoch + 1; i < meta->nepochs; i++)
		if (meta->epochs[i].dims == meta->epochs[epoch].dims && meta->epochs[i].model == meta->epochs[epoch].model)
			return true;
	return false;
}

void
face_learn_centres(Relation index)
{
	FaceMetaData meta;

	face_meta_read(index, &meta);
	for (int epoch = 0; epoch < meta.nepochs; epoch++)
		if (meta.epochs[epoch].dims != 0 && !BlockNumberIsValid(meta.epochs[epoch].centre) &&
			!superseded(&meta, epoch))
			learn_centre(index, &meta, epoch);
}
