/*-------------------------------------------------------------------------
 *
 * load.c
 *	  The second half of a build: posting lists written from the sort.
 *
 * Nobody else sees the index yet.  Sketch and refinement pages are written
 * without WAL; the build logs the finished relation at its end.
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

/* The posting list being written. */
typedef struct ListLoader
{
	FaceWriter *writer;
	Size		key_size;
	FaceListEntry *entry;		/* NULL before the first list */
	const FaceEpochState *state;
	Buffer		sketch;			/* last page, exclusively locked */
	Buffer		refine;			/* its refinement page in use, likewise */
	int			slot;			/* next on the sketch page */
} ListLoader;

static void
release_page(Buffer *buffer)
{
	if (!BufferIsValid(*buffer))
		return;
	MarkBufferDirty(*buffer);
	UnlockReleaseBuffer(*buffer);
	*buffer = InvalidBuffer;
}

/* Begin a sketch page behind the current one. */
static void
next_sketch_page(ListLoader *loader, int epoch)
{
	Buffer		buffer = face_take_page(loader->writer->index);
	uint64		stamp = face_random_stamp();
	FaceListEntry *entry = loader->entry;

	release_page(&loader->refine);
	if (BufferIsValid(loader->sketch))
	{
		FaceSketchHeader *header = FacePageGetSketchHeader(BufferGetPage(loader->sketch));

		header->next = BufferGetBlockNumber(buffer);
		header->next_stamp = stamp;
		release_page(&loader->sketch);
	}
	else
	{
		entry->head = BufferGetBlockNumber(buffer);
		entry->head_stamp = stamp;
	}
	entry->tail = entry->insert_page = BufferGetBlockNumber(buffer);
	loader->state = face_writer_epoch(loader->writer, epoch);
	face_sketch_init(BufferGetPage(buffer), &loader->state->layout, epoch, entry->list_id, stamp);
	loader->sketch = buffer;
	loader->slot = 0;
}

static void
next_refine_page(ListLoader *loader)
{
	const FaceLayout *layout = &loader->state->layout;
	Page		sketch = BufferGetPage(loader->sketch);

	release_page(&loader->refine);
	loader->refine = face_take_page(loader->writer->index);
	face_refine_init(BufferGetPage(loader->refine), loader->entry->list_id, FacePageGetOpaque(sketch)->stamp);
	FaceSketchRefineBlocks(sketch, layout)[loader->slot / layout->refine_slots] =
		BufferGetBlockNumber(loader->refine);
}

/* Enter the finished list into the directory. */
static void
finish_list(ListLoader *loader)
{
	FaceWriter *writer = loader->writer;
	FaceEntryLock lock;

	if (loader->entry == NULL)
		return;
	release_page(&loader->refine);
	release_page(&loader->sketch);
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

/* Put one sorted template behind the last one. */
static void
load_template(ListLoader *loader, const char *payload)
{
	FaceSortHeader header;
	const char *key = payload + sizeof(FaceSortHeader);
	FaceCodes	codes;

	memcpy(&header, payload, sizeof(header));
	if (loader->entry == NULL || memcmp(&loader->entry->key, key, loader->key_size) != 0)
	{
		finish_list(loader);
		loader->entry = palloc0(FACE_LIST_ENTRY_SIZE(loader->writer->meta.nkeys));
		loader->entry->list_id = face_random_stamp();
		memcpy(&loader->entry->key, key, loader->key_size);
		next_sketch_page(loader, header.epoch);
	}
	else if (loader->slot == loader->state->layout.slots)
		next_sketch_page(loader, header.epoch);
	if (loader->slot % loader->state->layout.refine_slots == 0)
		next_refine_page(loader);

	codes.sketch_scalars = header.sketch_scalars;
	codes.refine_scalars = header.refine_scalars;
	codes.sketch = (uint8 *) key + loader->key_size;
	codes.refine = codes.sketch + loader->state->codec->groups / 2;
	face_slot_fill(loader->state, BufferGetPage(loader->sketch), BufferGetPage(loader->refine),
				   loader->slot++, &codes, &header.tid);
}

void
face_load(FaceWriter *writer, Tuplesortstate *sort)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(face_sort_descriptor(), &TTSOpsMinimalTuple);
	ListLoader	loader = {0};
	int64		done = 0;

	loader.writer = writer;
	loader.key_size = FACE_LIST_KEY_SIZE(writer->meta.nkeys);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		bool		isnull;
		bytea	   *payload = DatumGetByteaPP(slot_getattr(slot, 3, &isnull));

		CHECK_FOR_INTERRUPTS();
		load_template(&loader, VARDATA_ANY(payload));
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++done);
	}
	finish_list(&loader);
	ExecDropSingleTupleTableSlot(slot);
}
