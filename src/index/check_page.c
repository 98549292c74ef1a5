/*-------------------------------------------------------------------------
 *
 * check_page.c
 *	  facematch.index_check(), first pass: what every page says of itself, and
 *	  sketch pages together with their plane and refinement pages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "port/pg_bitutils.h"

#include "compat.h"
#include "index/check.h"
#include "simd/half.h"

/*
 * How often a sketch page may change between two looks at it before the check
 * gives up; a look takes microseconds.
 */
#define MAX_LOOKS 1000

/* Lengths and products of unit templates and centres, with room for rounding. */
#define UNIT_LIMIT 1.001

/* Copies of a sketch page and of the pages it names, in its order; zeros where there is none. */
typedef struct PostingPage
{
	BlockNumber blkno;
	const FaceEpochState *state;
	const uint8 *key;			/* that opens codes; NULL if they are not sealed, or it is gone */
	bool		closed;			/* they are sealed and it is gone */
	PGAlignedBlock sketch;
	PGAlignedBlock open;		/* the same, opened, if it is sealed */
	PGAlignedBlock named[FACE_MAX_NAMED_PAGES];
	bool		given[FACE_MAX_NAMED_PAGES]; /* named and in the index */
	bool		sound[FACE_MAX_NAMED_PAGES]; /* and what it should be */
} PostingPage;

static bool
all_zero(const void *data, Size size)
{
	const char *p = data;

	for (Size i = 0; i < size; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* -------------------------------------------------------------------------
 * Epochs
 * ------------------------------------------------------------------------- */

/* The pages of a centre hold as many finite numbers as it has, and no more; sealed, what was sealed. */
static bool
centre_is_sound(FaceCheck *check, const FaceEpoch *epoch)
{
	const Size	size = face_centre_size(epoch);
	BlockNumber blkno = epoch->centre;
	double		norm_squared = 0;
	Size		found = 0;
	PGAlignedBlock block;
	Page		page = (Page) block.data;

	while (BlockNumberIsValid(blkno) && found <= size)
	{
		const float *values = (const float *) PageGetContents(page);
		Size		here;

		if (!face_check_copy(check, blkno, page) || !face_page_is(page, FACE_PAGE_CENTRE))
			return false;
		face_check_reach(check, blkno, FacePageGetOpaque(page)->stamp, InvalidBlockNumber);
		here = ((PageHeader) page)->pd_lower - (PageGetContents(page) - (char *) page);
		if (here == 0 || here > FACE_PAGE_DATA_SIZE)
			return false;
		for (int i = 0; i < here / sizeof(float) && !epoch->sealed; i++)
			norm_squared += (double) values[i] * values[i];
		found += here;
		blkno = FacePageGetOpaque(page)->next;
	}
	if (found != size)
		return false;
	return epoch->sealed ? face_centre_opens(check->index, epoch) : norm_squared <= UNIT_LIMIT;	/* false for NaN */
}

static bool
epoch_is_sound(FaceCheck *check, int number)
{
	const FaceEpoch *epoch = &check->writer->meta.epochs[number];
	FaceCodec  *codec;

	if (epoch->unused != 0 || epoch->sealed > 1)
		return false;
	if (epoch->dims == 0)
		return !BlockNumberIsValid(epoch->centre) && !epoch->sealed;
	if (epoch->dims > FACE_MAX_DIMS || epoch->model < FACE_NO_MODEL)
		return false;
	codec = face_codec_create(epoch->dims, epoch->seed);
	return codec->sketch_bits == epoch->sketch_bits && codec->refine_bits == epoch->refine_bits &&
		(!BlockNumberIsValid(epoch->centre) ? !epoch->sealed : centre_is_sound(check, epoch));
}

/* The epoch that page blkno names, ready for work; NULL when it is not fit for that. */
const FaceEpochState *
face_check_epoch(FaceCheck *check, BlockNumber blkno, int number)
{
	if (number >= check->writer->meta.nepochs)
		face_meta_read(check->index, &check->writer->meta);
	if (number < 0 || number >= check->writer->meta.nepochs)
	{
		face_check_report(check, blkno, "refers to unknown epoch %d", number);
		return NULL;
	}
	if (check->verdicts[number] == FACE_EPOCH_UNKNOWN)
	{
		check->verdicts[number] = epoch_is_sound(check, number) ? FACE_EPOCH_SOUND : FACE_EPOCH_DAMAGED;
		if (check->verdicts[number] == FACE_EPOCH_DAMAGED)
			face_check_report(check, FACE_META_BLOCK, "epoch %d or its centre is damaged", number);
	}
	return check->verdicts[number] == FACE_EPOCH_SOUND ? face_writer_epoch(check->writer, number) : NULL;
}

/* -------------------------------------------------------------------------
 * Sketch pages and the pages they name
 * ------------------------------------------------------------------------- */

/* Copy what a sketch page and the pages it names are at one moment; false if it is a sketch page no more. */
static bool
copy_posting_page(FaceCheck *check, PostingPage *copy)
{
	Page		sketch = (Page) copy->sketch.data;
	PGAlignedBlock again;

	for (int looks = 0; looks < MAX_LOOKS; looks++)
	{
		const FaceLayout *layout;

		if (!face_check_copy(check, copy->blkno, sketch) || !face_page_is(sketch, FACE_PAGE_SKETCH))
			return false;
		copy->state = face_check_epoch(check, copy->blkno, FacePageGetSketchHeader(sketch)->epoch);
		if (copy->state == NULL)
			return false;
		layout = &copy->state->layout;
		for (int i = 0; i < face_named_pages(layout); i++)
		{
			copy->given[i] = face_check_copy(check, FaceSketchRefineBlocks(sketch, layout)[i],
											 (Page) copy->named[i].data);
			if (!copy->given[i])
				memset(copy->named[i].data, 0, BLCKSZ);
		}

		/* A change of such a page changes its sketch page in the same record. */
		if (check->quiet || (face_check_copy(check, copy->blkno, (Page) again.data) &&
							 memcmp(sketch, again.data, BLCKSZ) == 0))
			return true;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("block %u of index \"%s\" changed too often to be checked", copy->blkno,
					RelationGetRelationName(check->index)),
			 errhint("Retry the check.")));
	return false;				/* keep compiler quiet */
}

static void
check_sketch_header(FaceCheck *check, const PostingPage *copy)
{
	Page		page = (Page) copy->sketch.data;
	const FaceLayout *layout = &copy->state->layout;
	const FaceSketchHeader *header = FacePageGetSketchHeader(page);
	const uint8 *bitmap = FaceSketchBitmap(page, layout);
	const Size	lower = ((PageHeader) page)->pd_lower;
	const int	marked = (int) pg_popcount((const char *) bitmap, (layout->slots + 7) / 8);

	if (header->used != marked)
		face_check_report(check, copy->blkno, "counts %d templates, its bitmap %d", header->used, marked);
	if (BlockNumberIsValid(header->next) != (header->next_stamp != 0))
		face_check_report(check, copy->blkno, "names a next page without a stamp, or a stamp without a page");
	if (lower < layout->blocks_offset || (lower - layout->blocks_offset) % layout->block_stride != 0 ||
		(lower - layout->blocks_offset) / layout->block_stride > layout->slots / FACE_BLOCK_SLOTS)
		face_check_report(check, copy->blkno, "ends in the middle of a block of sketches");
}

/* Which of the pages it names are its own. */
static void
check_named_pages(FaceCheck *check, PostingPage *copy)
{
	const FaceLayout *layout = &copy->state->layout;
	const FacePageOpaque opaque = FacePageGetOpaque(copy->sketch.data);
	const BlockNumber *blocks = FaceSketchRefineBlocks(copy->sketch.data, layout);

	for (int i = 0; i < face_named_pages(layout); i++)
	{
		const bool	plane = i == layout->refine_pages;
		Page		page = (Page) copy->named[i].data;

		copy->sound[i] = copy->given[i] && face_page_is(page, plane ? FACE_PAGE_PLANE : FACE_PAGE_REFINE) &&
			FacePageGetOpaque(page)->stamp == opaque->stamp &&
			FacePageGetOpaque(page)->list_id == opaque->list_id;
		for (int j = 0; j < i; j++)
			if (copy->given[i] && blocks[i] == blocks[j])
				copy->sound[i] = false;
		if (copy->sound[i] && plane && !all_zero(PageGetContents(page), layout->plane_scalars_offset - (PageGetContents(page) - page)))
			face_check_report(check, blocks[i], "has something before its data");
		if (BlockNumberIsValid(blocks[i]) && !copy->sound[i])
			face_check_report(check, copy->blkno, "names block %u, which is no %s page of its own", blocks[i],
							  plane ? "plane" : "refinement");
	}
}

/* Numbers beside a code. */
static bool
scalars_are_sound(const FaceScalars *s)
{
	const float inverse = half_to_float(s->inverse);
	const float tangent = half_to_float(s->tangent);

	return isfinite(inverse) && inverse > 0 && isfinite(tangent) && tangent >= 0;
}

/* Numbers beside all codes of a template; those of a null embedding are all zero. */
static bool
all_scalars_are_sound(const FaceEpochState *state, const FaceCodes *codes)
{
	const FaceScalars *sketch = &codes->sketch_scalars;
	const FaceScalars *refine = &codes->refine_scalars;

	if (state->epoch.dims == 0)
		return all_zero(sketch, sizeof(*sketch)) && all_zero(refine, sizeof(*refine));
	if (state->layout.has_plane &&
		(!scalars_are_sound(&codes->plane_scalars) ||
		 codes->plane_scalars.centre_product != sketch->centre_product || codes->plane_scalars.norm != sketch->norm))
		return false;
	return scalars_are_sound(sketch) && scalars_are_sound(refine) &&
		refine->centre_product == sketch->centre_product && refine->norm == sketch->norm;
}

/* Copies of the pages of a slot, with open sketches if it is in use. */
static FaceSlotPages
pages_of_slot(PostingPage *copy, int slot)
{
	const FaceLayout *layout = &copy->state->layout;
	const bool	open = copy->key != NULL && face_slot_used(FaceSketchBitmap(copy->sketch.data, layout), slot);
	FaceSlotPages pages = {.sketch = (Page) (open ? copy->open.data : copy->sketch.data)};

	pages.refine = (Page) copy->named[slot / layout->refine_slots].data;
	pages.plane = layout->has_plane ? (Page) copy->named[layout->refine_pages].data : NULL;
	return pages;
}

static void
check_used_slot(FaceCheck *check, PostingPage *copy, int slot, const FaceSlotPages *pages, FaceCodes *codes)
{
	const FaceEpochState *state = copy->state;
	const FaceLayout *layout = &state->layout;
	FaceRefineEntry *entry = FaceRefineEntryOf(pages->refine, layout, slot % layout->refine_slots);
	const char *sketch_end = (char *) FaceSketchBlock(pages->sketch, layout, slot / FACE_BLOCK_SLOTS + 1);

	if (sketch_end - pages->sketch > ((PageHeader) pages->sketch)->pd_lower ||
		(char *) entry + layout->refine_entry_size - pages->refine > ((PageHeader) pages->refine)->pd_lower ||
		(layout->has_plane &&
		 (char *) FacePlaneOf(pages->plane, layout, slot + 1) - pages->plane > ((PageHeader) pages->plane)->pd_lower))
		face_check_report(check, copy->blkno, "slot %d lies behind the end of its page's data", slot);
	if (!ItemPointerIsValid(&entry->tid) || !BlockNumberIsValid(ItemPointerGetBlockNumberNoCheck(&entry->tid)))
	{
		face_check_report(check, copy->blkno, "slot %d is in use but names no row", slot);
		return;
	}
	if (!copy->closed)
	{
		face_slot_read(state, copy->key, pages, slot, codes);
		if (!all_scalars_are_sound(state, codes))
			face_check_report(check, copy->blkno, "slot %d has numbers beside its codes that no template has", slot);
	}
	if (check->heap_check != NULL)
		face_heap_check_add(check->heap_check, &entry->tid, copy->blkno, slot,
							FacePageGetSketchHeader(pages->sketch)->epoch,
							FacePageGetOpaque(pages->sketch)->list_id, state->codec, copy->closed ? NULL : codes);
}

/* Nothing of a template that was there may be left, sealed or not; all is zero where there is no page. */
static void
check_free_slot(FaceCheck *check, PostingPage *copy, int slot, const FaceSlotPages *pages, FaceCodes *codes)
{
	const FaceLayout *layout = &copy->state->layout;

	face_slot_read(copy->state, NULL, pages, slot, codes);
	if (!all_zero(codes->sketch, copy->state->codec->groups / 2) ||
		!all_zero(&codes->sketch_scalars, sizeof(codes->sketch_scalars)) ||
		!all_zero(codes->plane, layout->plane_bytes) ||
		(pages->plane != NULL &&
		 !all_zero(FacePlaneScalarsOf(pages->plane, layout, slot), layout->plane_scalars_stride)) ||
		!all_zero(FaceRefineEntryOf(pages->refine, layout, slot % layout->refine_slots), layout->refine_entry_size))
		face_check_report(check, copy->blkno, "slot %d is free but not empty", slot);
}

/* Is a page that slots need not named at all, or is it what it should be?  Anything else was reported. */
static bool
named_page_is_known(const PostingPage *copy, int which, bool *missing)
{
	const BlockNumber block = FaceSketchRefineBlocks(copy->sketch.data, &copy->state->layout)[which];

	*missing = *missing || !BlockNumberIsValid(block);
	return copy->sound[which] || !BlockNumberIsValid(block);
}

static void
check_slots(FaceCheck *check, PostingPage *copy, FaceCodes *codes)
{
	const FaceLayout *layout = &copy->state->layout;
	const uint8 *bitmap = FaceSketchBitmap(copy->sketch.data, layout);

	for (int slot = 0; slot < layout->slots; slot++)
	{
		const FaceSlotPages pages = pages_of_slot(copy, slot);
		bool		missing = false;

		if (!named_page_is_known(copy, slot / layout->refine_slots, &missing) ||
			(layout->has_plane && !named_page_is_known(copy, layout->refine_pages, &missing)))
			continue;
		if (!face_slot_used(bitmap, slot))
			check_free_slot(check, copy, slot, &pages, codes);
		else if (missing)
			face_check_report(check, copy->blkno, "slot %d is in use but lacks one of its pages", slot);
		else
			check_used_slot(check, copy, slot, &pages, codes);
	}
}

static void
check_posting_page(FaceCheck *check, PostingPage *copy)
{
	FaceCodes  *codes;

	if (!copy_posting_page(check, copy))
		return;
	check_sketch_header(check, copy);
	check_named_pages(check, copy);
	copy->closed = !face_page_key(&copy->state->layout, (Page) copy->sketch.data, &copy->key);
	(void) face_open_sketches(&copy->state->layout, copy->key, (Page) copy->sketch.data, &copy->open);
	codes = face_codes_create(copy->state->codec);
	check_slots(check, copy, codes);
	pfree(codes);
}

/* -------------------------------------------------------------------------
 * Every page
 * ------------------------------------------------------------------------- */

/* What must hold for every kind of page; false when the page is not ours. */
static bool
check_any_page(FaceCheck *check, BlockNumber blkno, Page page)
{
	const FacePageOpaque opaque = FacePageGetOpaque(page);
	const PageHeader header = (PageHeader) page;
	const bool	posting = opaque->kind == FACE_PAGE_SKETCH || opaque->kind == FACE_PAGE_REFINE ||
		opaque->kind == FACE_PAGE_PLANE;
	const bool	chained = opaque->kind == FACE_PAGE_BUCKET || opaque->kind == FACE_PAGE_CENTRE;

	if (opaque->kind < FACE_PAGE_FREE || opaque->kind > FACE_LAST_PAGE_KIND || !face_page_is(page, opaque->kind))
	{
		face_check_report(check, blkno, "is no page of a facematch index");
		return false;
	}
	if ((opaque->kind == FACE_PAGE_META) != (blkno == FACE_META_BLOCK) ||
		(opaque->kind == FACE_PAGE_ROOT) != (blkno == check->writer->meta.root))
		face_check_report(check, blkno, "is a meta or root page in the wrong place, or none in the right one");
	if (opaque->stamp == 0 || posting != (opaque->list_id != 0) || (!chained && BlockNumberIsValid(opaque->next)))
		face_check_report(check, blkno, "has a stamp, list or successor that does not suit its kind");
	if (header->pd_lower < PageGetContents(page) - (char *) page || header->pd_lower > header->pd_upper ||
		header->pd_upper != header->pd_special ||
		(opaque->kind == FACE_PAGE_FREE && header->pd_lower != PageGetContents(page) - (char *) page))
		face_check_report(check, blkno, "has data that ends in an impossible place");
	else if (!all_zero(page + header->pd_lower, header->pd_upper - header->pd_lower))
		face_check_report(check, blkno, "has something behind its data");
	return true;
}

/* The meta page was read before anything else; what is left to check are the epochs it does not have yet. */
static void
check_meta_page(FaceCheck *check, Page page)
{
	const FaceMetaData *meta = FacePageGetMeta(page);

	if (meta->nepochs > FACE_MAX_EPOCHS ||
		!all_zero(&meta->epochs[meta->nepochs], sizeof(FaceEpoch) * (FACE_MAX_EPOCHS - meta->nepochs)))
		face_check_report(check, FACE_META_BLOCK, "has something behind its last epoch");
}

void
face_check_pages(FaceCheck *check)
{
	PostingPage *copy = palloc(sizeof(PostingPage));
	PGAlignedBlock block;
	Page		page = (Page) block.data;

	for (int epoch = 0; epoch < check->writer->meta.nepochs; epoch++)
		(void) face_check_epoch(check, FACE_META_BLOCK, epoch);

	for (BlockNumber blkno = 0; blkno < check->nblocks; blkno++)
	{
		if (!face_check_copy(check, blkno, page) || PageIsNew(page))
			continue;			/* taken by someone who then failed: as good as free */
		if (PageGetSpecialSize(page) != MAXALIGN(sizeof(FacePageOpaqueData)))
		{
			face_check_report(check, blkno, "is no page of a facematch index");
			continue;
		}
		if (!check_any_page(check, blkno, page))
			continue;
		check->blocks[blkno].kind = FacePageGetOpaque(page)->kind;
		check->blocks[blkno].stamp = FacePageGetOpaque(page)->stamp;
		if (blkno == FACE_META_BLOCK)
			check_meta_page(check, page);
		else if (face_page_is(page, FACE_PAGE_SKETCH))
		{
			copy->blkno = blkno;
			check_posting_page(check, copy);
		}
	}
	explicit_bzero(copy, sizeof(PostingPage));
	pfree(copy);
}
