/*-------------------------------------------------------------------------
 *
 * load.c
 *	  The second half of a build: posting lists written from the sort.
 *
 * No other session sees the index yet. Pages are filled in private memory, so
 * that no lock keeps the build from being cancelled, and written without WAL;
 * the build logs the finished relation at its end.
 *
 * The sketch pages of a list are collected and written one after the other,
 * after the refinement pages and the plane pages that belong to them: a scan
 * that finds them on disk reads long runs instead of every fourth page. Pages
 * of sealed templates are filled open, and sealed when they are full.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_progress.h"

#include "compat.h"
#include "index/build.h"

/* Half a megabyte: reading that much takes longer than finding its place. */
#define RUN_PAGES 64

/* The posting list being written. */
typedef struct ListLoader
{
	FaceWriter *writer;
	Size		key_size;
	FaceListEntry *entry;		/* NULL before the first list */
	const FaceEpochState *state;
	const uint8 *block_key;		/* NULL unless the list is sealed */
	int			epoch;
	int			npages;			/* in the run, of which the last is being filled */
	int			slot;			/* next on that page */
	PGAlignedBlock refine;		/* refinement page of that slot */
	PGAlignedBlock run[RUN_PAGES];
	PGAlignedBlock planes[RUN_PAGES];
	PGAlignedBlock codes;		/* opened, of the last template */
} ListLoader;

/* The sketch page being filled. */
static Page
current_sketch(ListLoader *loader)
{
	return loader->run[loader->npages - 1].data;
}

static BlockNumber
write_page(Relation index, const PGAlignedBlock *page)
{
	Buffer		buffer = face_take_page(index);
	BlockNumber blkno = BufferGetBlockNumber(buffer);

	memcpy(BufferGetPage(buffer), page->data, BLCKSZ);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
	return blkno;
}

/* Append a written sketch page to the list. */
static void
link_sketch_page(ListLoader *loader, BlockNumber blkno, uint64 stamp)
{
	FaceListEntry *entry = loader->entry;

	if (BlockNumberIsValid(entry->tail))
	{
		Buffer		buffer = face_read_page(loader->writer->index, entry->tail, BUFFER_LOCK_EXCLUSIVE);
		FaceSketchHeader *header = FacePageGetSketchHeader(BufferGetPage(buffer));

		header->next = blkno;
		header->next_stamp = stamp;
		MarkBufferDirty(buffer);
		UnlockReleaseBuffer(buffer);
	}
	else
	{
		entry->head = blkno;
		entry->head_stamp = stamp;
	}
	entry->tail = entry->insert_page = blkno;
}

/* The pages of the slot being filled. */
static FaceSlotPages
current_pages(ListLoader *loader)
{
	return (FaceSlotPages) {
		.sketch = current_sketch(loader),
		.plane = loader->state->layout.has_plane ? loader->planes[loader->npages - 1].data : NULL,
		.refine = loader->refine.data,
	};
}

/* Write the refinement page in use, if any; with it the slots that it has are sealed. */
static void
finish_refine_page(ListLoader *loader)
{
	const FaceLayout *layout = &loader->state->layout;
	const FaceSlotPages pages = current_pages(loader);

	if (loader->slot == 0)
		return;
	for (int slot = (loader->slot - 1) / layout->refine_slots * layout->refine_slots; slot < loader->slot; slot++)
		face_seal_slot(loader->writer->index, layout, loader->block_key, &pages, slot);
	FaceSketchRefineBlocks(current_sketch(loader), layout)[(loader->slot - 1) / layout->refine_slots] =
		write_page(loader->writer->index, &loader->refine);
}

static void
finish_run(ListLoader *loader)
{
	const FaceLayout *layout = &loader->state->layout;

	for (int i = 0; i < loader->npages; i++)
		for (int block = 0; block < face_blocks_begun(loader->run[i].data, layout); block++)
			face_seal_block(loader->writer->index, loader->state, loader->block_key, loader->run[i].data, block);
	for (int i = 0; i < loader->npages && layout->has_plane; i++)
		*FaceSketchPlaneBlock(loader->run[i].data, layout) = write_page(loader->writer->index, &loader->planes[i]);
	for (int i = 0; i < loader->npages; i++)
		link_sketch_page(loader, write_page(loader->writer->index, &loader->run[i]),
						 FacePageGetOpaque(loader->run[i].data)->stamp);
	loader->npages = 0;
}

static void
next_sketch_page(ListLoader *loader)
{
	if (loader->npages == RUN_PAGES)
		finish_run(loader);
	loader->npages++;
	loader->slot = 0;
	face_sketch_init(current_sketch(loader), &loader->state->layout, loader->epoch,
					 loader->entry->list_id, face_random_stamp(), &loader->entry->key);
	if (loader->state->layout.has_plane)
		face_side_init(loader->planes[loader->npages - 1].data, FACE_PAGE_PLANE, loader->entry->list_id,
					   FacePageGetOpaque(current_sketch(loader))->stamp);
}

/* Enter the finished list into the directory. */
static void
finish_list(ListLoader *loader)
{
	FaceWriter *writer = loader->writer;
	FaceEntryLock lock;

	if (loader->entry == NULL)
		return;
	finish_refine_page(loader);
	finish_run(loader);
	for (;;)
	{
		GenericXLogState *xlog;

		face_directory_lock(writer->index, &writer->meta, &loader->entry->key, &lock);
		if (lock.position >= 0)
			elog(ERROR, "posting list was sorted into two places");
		if (face_bucket_has_room(&writer->meta, BufferGetPage(lock.primary)))
		{
			xlog = GenericXLogStart(writer->index);
			face_bucket_append(&writer->meta, GenericXLogRegisterBuffer(xlog, lock.primary, 0), loader->entry);
			GenericXLogFinish(xlog);
			face_directory_unlock(&lock);
			break;
		}
		face_directory_unlock(&lock);
		face_directory_make_room(writer->index, &writer->meta, loader->entry->key.keys);
	}
	pfree(loader->entry);
	loader->entry = NULL;
}

static void
begin_list(ListLoader *loader, const char *key, int epoch)
{
	const int	nkeys = loader->writer->meta.nkeys;

	loader->entry = palloc0(FACE_LIST_ENTRY_SIZE(nkeys));
	loader->entry->list_id = face_random_stamp();
	loader->entry->tail = InvalidBlockNumber;
	memcpy(&loader->entry->key, key, FACE_LIST_KEY_SIZE(nkeys));
	if (!face_chain_key(&loader->entry->key, &loader->block_key) && !loader->entry->key.unread)
		face_report_lost_key(loader->writer->index);
	loader->epoch = epoch;
	loader->state = face_writer_epoch(loader->writer, epoch);
	next_sketch_page(loader);
}

/* A template's codes in the payload, opened; only pointers go into *codes where bytes can stay. */
static void
open_codes(ListLoader *loader, const uint8 *p, FaceCodes *codes)
{
	const FaceCodec *codec = loader->state->codec;

	if (loader->block_key != NULL)
	{
		face_open_bytes(loader->block_key, p, 0, face_sort_codes_size(codec), loader->codes.data);
		p = (const uint8 *) loader->codes.data;
	}
	memcpy(&codes->sketch_scalars, p, sizeof(FaceScalars));
	memcpy(&codes->plane_scalars, p + sizeof(FaceScalars), sizeof(FaceScalars));
	memcpy(&codes->refine_scalars, p + 2 * sizeof(FaceScalars), sizeof(FaceScalars));
	codes->sketch = unconstify(uint8 *, p) + FACE_SORT_SCALARS * sizeof(FaceScalars);
	codes->plane = codes->sketch + codec->groups / 2;
	codes->refine = codes->plane + codec->plane_bytes;
}

/* Put one sorted template behind the last one. */
static void
load_template(ListLoader *loader, const char *payload)
{
	FaceSortHeader header;
	const char *key = payload + sizeof(FaceSortHeader);
	const FaceLayout *layout;
	FaceSlotPages pages;
	FaceCodes	codes;

	memcpy(&header, payload, sizeof(header));
	if (loader->entry == NULL || memcmp(&loader->entry->key, key, loader->key_size) != 0)
	{
		finish_list(loader);
		begin_list(loader, key, header.epoch);
	}
	if (header.epoch != loader->epoch)
		elog(ERROR, "templates of one kind were encoded in two epochs");
	layout = &loader->state->layout;
	if (loader->slot % layout->refine_slots == 0 || loader->slot == layout->slots)
	{
		finish_refine_page(loader);
		if (loader->slot == layout->slots)
			next_sketch_page(loader);
		face_side_init(loader->refine.data, FACE_PAGE_REFINE, loader->entry->list_id,
					   FacePageGetOpaque(current_sketch(loader))->stamp);
	}

	open_codes(loader, (const uint8 *) key + loader->key_size, &codes);
	pages = current_pages(loader);
	face_slot_fill(loader->state, &pages, loader->slot++, &codes, &header.tid);
}

void
face_load(Relation index, Tuplesortstate *sort)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(face_sort_descriptor(), &TTSOpsMinimalTuple);
	ListLoader *loader = palloc0(sizeof(ListLoader));
	int64		done = 0;

	loader->writer = face_writer_create(index);
	loader->key_size = FACE_LIST_KEY_SIZE(loader->writer->meta.nkeys);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		bool		isnull;
		bytea	   *payload = DatumGetByteaPP(slot_getattr(slot, FACE_SORT_PAYLOAD, &isnull));

		CHECK_FOR_INTERRUPTS();
		load_template(loader, VARDATA_ANY(payload));
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++done);
	}
	finish_list(loader);
	explicit_bzero(loader, sizeof(ListLoader));
	pfree(loader);
	ExecDropSingleTupleTableSlot(slot);
}
