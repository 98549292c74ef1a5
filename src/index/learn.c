/*-------------------------------------------------------------------------
 *
 * learn.c
 *	  A centre for templates that came one by one.
 *
 * An index built over rows has the mean of a sample as its centre. An index
 * that was created empty begins with the zero centre; for a model with a large
 * common mean its codes are poor. So VACUUM reads the templates that have
 * arrived and, if a centre would help, adds an epoch that new pages use from
 * then on. Templates already there keep their codes until REINDEX; templates of
 * galleries that come and go get the new ones by themselves.
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
add_slots(CentreSample *sample, const uint8 *key, const FaceSlotPages *pages, int first_slot)
{
	const FaceLayout *layout = &sample->state->layout;
	const int	padded = sample->state->codec->padded;

	for (int i = 0; i < layout->refine_slots && first_slot + i < layout->slots; i++)
	{
		if (!face_slot_used(FaceSketchBitmap(pages->sketch, layout), first_slot + i))
			continue;
		face_slot_read(sample->state, key, pages, first_slot + i, sample->codes);
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

/* A sketch page of the epoch that has any templates. */
static bool
is_of_use(const CentreSample *sample, Page page)
{
	return face_page_is(page, FACE_PAGE_SKETCH) && FacePageGetSketchHeader(page)->epoch == sample->epoch &&
		FacePageGetSketchHeader(page)->used > 0;
}

/* Take in the templates of a locked sketch page. */
static void
sample_page(Relation index, CentreSample *sample, const uint8 *key, Page page)
{
	const FaceLayout *layout = &sample->state->layout;
	const uint64 stamp = FacePageGetOpaque(page)->stamp;
	PGAlignedBlock room;
	FaceSlotPages pages = {.sketch = face_open_sketches(layout, key, page, &room)};
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
		add_slots(sample, key, &pages, i * layout->refine_slots);
		UnlockReleaseBuffer(refine);
	}
	if (BufferIsValid(plane))
		UnlockReleaseBuffer(plane);
}

/* Take in the templates of a block, if it is a sketch page of the epoch whose key is there. */
static void
sample_block(Relation index, CentreSample *sample, BlockNumber blkno)
{
	const FaceLayout *layout = &sample->state->layout;
	Buffer		buffer = face_read_page(index, blkno, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	const uint64 stamp = is_of_use(sample, page) ? FacePageGetOpaque(page)->stamp : 0;
	const uint8 *key = NULL;
	PGAlignedBlock copy;
	bool		there = true;

	if (layout->sealed && stamp != 0)
	{
		/* the key is asked for with no page locked */
		memcpy(copy.data, page, layout->blocks_offset);
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		there = face_page_key(layout, (Page) copy.data, &key);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
	}
	if (there && is_of_use(sample, page) && FacePageGetOpaque(page)->stamp == stamp)
		sample_page(index, sample, key, page);
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
	sample.state = face_epoch_state(index, epoch, true);
	if (sample.state->closed || sample.state->centre->norm_squared > 0)
		return;
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
		face_epoch_add(index, face_epoch_kind(&sample.state->epoch), sample.state->epoch.seed, mean);
}

/* Is there a newer epoch for templates of the same kind? */
static bool
superseded(const FaceMetaData *meta, int epoch)
{
	return face_epoch_find(meta, face_epoch_kind(&meta->epochs[epoch])) != epoch;
}

/*
 * Can the seed of a sealed epoch be had?  VACUUM does what else it has to do
 * where keys are not available, so an error is no more than a warning.
 */
static bool
seed_is_there(Relation index, const FaceEpoch *epoch)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool there = true;

	if (!epoch->sealed)
		return true;
	PG_TRY();
	{
		there = face_centre_opens(index, epoch);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("no centre is learned for sealed templates in index \"%s\": %s", RelationGetRelationName(index),
						error->message)));
		there = false;
	}
	PG_END_TRY();
	return there;
}

void
face_learn_centres(Relation index)
{
	FaceMetaData meta;

	face_meta_read(index, &meta);
	for (int epoch = 0; epoch < meta.nepochs; epoch++)
		if (meta.epochs[epoch].dims != 0 &&
			(meta.epochs[epoch].sealed || !BlockNumberIsValid(meta.epochs[epoch].centre)) &&
			!superseded(&meta, epoch) && seed_is_there(index, &meta.epochs[epoch]))
			learn_centre(index, &meta, epoch);
}
