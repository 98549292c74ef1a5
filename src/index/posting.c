/*-------------------------------------------------------------------------
 *
 * posting.c
 *	  Posting lists: finding room for a template and putting it there.
 *
 * A list is a chain of sketch pages, each with its plane and refinement pages.  New
 * templates go into the first free slot at or after the entry's insert_page;
 * when the chain has none left, a page is appended.  See README for the locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/indexfsm.h"

#include "compat.h"
#include "index/posting.h"

/*
 * An insertion begins again when others have filled or recycled the page it
 * found; only on a damaged index does it do so as often as this.
 */
#define MAX_TRIES 10000

/* -------------------------------------------------------------------------
 * What a writer keeps between rows
 * ------------------------------------------------------------------------- */

FaceWriter *
face_writer_create(Relation index)
{
	FaceWriter *writer = palloc0(sizeof(FaceWriter));

	writer->index = index;
	writer->context = CurrentMemoryContext;
	face_meta_read(index, &writer->meta);
	return writer;
}

const FaceEpochState *
face_writer_epoch(FaceWriter *writer, int epoch)
{
	if (epoch < 0 || epoch >= FACE_MAX_EPOCHS)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a page with an invalid epoch: %d",
						RelationGetRelationName(writer->index), epoch),
				 errhint("Please REINDEX it.")));
	if (writer->states[epoch] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(writer->context);
		const FaceEpochState *state = face_epoch_state(writer->index, epoch, !writer->blind);

		writer->codes[epoch] = face_codes_create(state->codec);
		writer->states[epoch] = state;
		MemoryContextSwitchTo(old);
	}
	return writer->states[epoch];
}

/* The newest epoch the writer knows for templates of this kind. */
int
face_writer_epoch_for(FaceWriter *writer, FaceTemplateKind kind)
{
	int			epoch = face_epoch_find(&writer->meta, kind);

	if (epoch >= 0)
		return epoch;
	face_epoch_for(writer->index, kind);
	face_meta_read(writer->index, &writer->meta);
	return face_epoch_for(writer->index, kind);
}

const FaceCodes *
face_writer_encode(FaceWriter *writer, int epoch, const FaceEmbedding *e)
{
	const FaceEpochState *state = face_writer_epoch(writer, epoch);

	/* without a template, codes stay zero */
	if (e != NULL)
	{
		face_epoch_require(writer->index, state);
		face_encode(state->codec, state->centre, e, writer->codes[epoch]);
	}
	return writer->codes[epoch];
}

/* -------------------------------------------------------------------------
 * Slots
 * ------------------------------------------------------------------------- */

void
face_sketch_init(Page page, const FaceLayout *layout, int epoch, uint64 list_id, uint64 stamp, const FaceListKey *key)
{
	FaceSketchHeader *header;
	BlockNumber *named;

	face_page_init(page, FACE_PAGE_SKETCH, list_id, stamp);
	header = FacePageGetSketchHeader(page);
	header->next = InvalidBlockNumber;
	header->next_stamp = 0;
	header->epoch = epoch;
	header->used = 0;
	if (layout->sealed)
		*FaceSketchSealedBy(page, layout) = key->sealed_by;
	named = FaceSketchRefineBlocks(page, layout);
	for (int i = 0; i < face_named_pages(layout); i++)
		named[i] = InvalidBlockNumber;
	face_page_set_lower(page, layout->blocks_offset);
}

/* A plane or refinement page, of the sketch page with this stamp. */
void
face_side_init(Page page, FacePageKind kind, uint64 list_id, uint64 stamp)
{
	face_page_init(page, kind, list_id, stamp);
	face_page_set_lower(page, PageGetContents(page) - (char *) page);
}

/* First free slot of a sketch page, or -1. */
int
face_sketch_free_slot(Page page, const FaceLayout *layout)
{
	const uint8 *bitmap = FaceSketchBitmap(page, layout);

	if (FacePageGetSketchHeader(page)->used >= layout->slots)
		return -1;
	for (int slot = 0; slot < layout->slots; slot++)
		if (!face_slot_used(bitmap, slot))
			return slot;
	return -1;
}

void
face_slot_fill(const FaceEpochState *state, const FaceSlotPages *pages, int slot,
			   const FaceCodes *codes, ItemPointer tid)
{
	const FaceLayout *layout = &state->layout;
	FaceRefineEntry *entry = FaceRefineEntryOf(pages->refine, layout, slot % layout->refine_slots);
	const int	block = slot / FACE_BLOCK_SLOTS;

	face_page_raise_lower(pages->sketch, (char *) FaceSketchBlock(pages->sketch, layout, block + 1) - (char *) pages->sketch);
	face_page_raise_lower(pages->refine, (char *) entry + layout->refine_entry_size - (char *) pages->refine);
	FaceSketchBitmap(pages->sketch, layout)[slot >> 3] |= 1 << (slot & 7);
	FacePageGetSketchHeader(pages->sketch)->used++;
	face_block_put(state->codec, FaceSketchBlock(pages->sketch, layout, block),
				   FaceScalarsOf(pages->sketch, layout, block), slot % FACE_BLOCK_SLOTS, codes);
	if (pages->plane != NULL)
	{
		face_page_raise_lower(pages->plane, (char *) FacePlaneOf(pages->plane, layout, slot + 1) - (char *) pages->plane);
		*FacePlaneScalarsOf(pages->plane, layout, slot) = codes->plane_scalars;
		memcpy(FacePlaneOf(pages->plane, layout, slot), codes->plane, layout->plane_bytes);
	}
	entry->tid = *tid;
	entry->scalars = codes->refine_scalars;
	memcpy(entry->code, codes->refine, state->codec->refine_bytes);
}

/* Is no slot of a block in use? */
static bool
block_is_empty(const uint8 *bitmap, int block)
{
	return bitmap[block * FACE_BLOCK_SLOTS / 8] == 0 && bitmap[block * FACE_BLOCK_SLOTS / 8 + 1] == 0;
}

/* Free a slot, leaving no bit of the template; what is zero in a sealed block is open to all, and nothing. */
void
face_slot_clear(const FaceEpochState *state, const FaceSlotPages *pages, int slot)
{
	const FaceLayout *layout = &state->layout;
	uint8	   *bitmap = FaceSketchBitmap(pages->sketch, layout);
	const int	block = slot / FACE_BLOCK_SLOTS;

	bitmap[slot >> 3] &= ~(1 << (slot & 7));
	FacePageGetSketchHeader(pages->sketch)->used--;
	face_block_clear(state->codec, FaceSketchBlock(pages->sketch, layout, block),
					 FaceScalarsOf(pages->sketch, layout, block), slot % FACE_BLOCK_SLOTS);
	if (layout->sealed && block_is_empty(bitmap, block))
		memset(FaceSketchNonce(pages->sketch, layout, block), 0, FACE_NONCE_BYTES);
	if (pages->plane != NULL)
	{
		memset(FacePlaneScalarsOf(pages->plane, layout, slot), 0, layout->plane_scalars_stride);
		memset(FacePlaneOf(pages->plane, layout, slot), 0, layout->plane_bytes);
	}
	memset(FaceRefineEntryOf(pages->refine, layout, slot % layout->refine_slots), 0, layout->refine_entry_size);
}

void
face_slot_read(const FaceEpochState *state, const uint8 *key, const FaceSlotPages *pages, int slot, FaceCodes *codes)
{
	const FaceLayout *layout = &state->layout;
	const FaceRefineEntry *entry = FaceRefineEntryOf(pages->refine, layout, slot % layout->refine_slots);
	const int	block = slot / FACE_BLOCK_SLOTS;
	FaceSlotRoom room;

	face_block_get(state->codec, FaceSketchBlock(pages->sketch, layout, block),
				   FaceScalarsOf(pages->sketch, layout, block), slot % FACE_BLOCK_SLOTS, codes);
	if (pages->plane != NULL)
	{
		const FacePlane plane = face_open_plane(layout, key, pages->plane, slot, &room);

		codes->plane_scalars = *plane.scalars;
		memcpy(codes->plane, plane.code, layout->plane_bytes);
	}
	entry = face_open_entry(layout, key, entry, &room);
	codes->refine_scalars = entry->scalars;
	memcpy(codes->refine, entry->code, state->codec->refine_bytes);
}

/* -------------------------------------------------------------------------
 * Insertion
 * ------------------------------------------------------------------------- */

/* A page that a locked sketch page names, or is to name. */
typedef struct SidePage
{
	FacePageKind kind;
	BlockNumber *named;			/* on the sketch page */
	Buffer		buffer;			/* exclusively locked */
	bool		fresh;			/* the sketch page does not name it yet */
} SidePage;

static void
lock_side_page(FaceWriter *writer, Page sketch, SidePage *side)
{
	side->fresh = !BlockNumberIsValid(*side->named);
	if (side->fresh)
	{
		side->buffer = face_take_page(writer->index);
		return;
	}
	side->buffer = face_read_page(writer->index, *side->named, BUFFER_LOCK_EXCLUSIVE);
	face_check_side_page(writer->index, side->buffer, side->kind, FacePageGetOpaque(sketch)->stamp);
}

/* A copy of the page to change; *named is on the sketch page's copy. */
static Page
register_side_page(GenericXLogState *xlog, Page sketch, SidePage *side, BlockNumber *named)
{
	Page		page = GenericXLogRegisterBuffer(xlog, side->buffer, side->fresh ? GENERIC_XLOG_FULL_IMAGE : 0);

	if (side->fresh)
	{
		face_side_init(page, side->kind, FacePageGetOpaque(sketch)->list_id, FacePageGetOpaque(sketch)->stamp);
		*named = BufferGetBlockNumber(side->buffer);
	}
	return page;
}

/* Put a template on copies of its pages, which are sealed again if they were. */
static void
put_in_slot(FaceWriter *writer, const FaceEpochState *state, const uint8 *key, const FaceSlotPages *pages, int slot,
			const FaceCodes *codes, ItemPointer tid)
{
	face_open_block(&state->layout, key, pages->sketch, slot / FACE_BLOCK_SLOTS);
	face_slot_fill(state, pages, slot, codes, tid);
	face_seal_block(writer->index, state, key, pages->sketch, slot / FACE_BLOCK_SLOTS);
	face_seal_slot(writer->index, &state->layout, key, pages, slot);
}

/* Put a template on a locked sketch page that has a free slot. */
static void
put_on_page(FaceWriter *writer, Buffer buffer, const uint8 *key, const FaceEmbedding *e, ItemPointer tid)
{
	Page		page = BufferGetPage(buffer);
	const FaceEpochState *state = face_writer_epoch(writer, FacePageGetSketchHeader(page)->epoch);
	const FaceLayout *layout = &state->layout;
	const FaceCodes *codes = face_writer_encode(writer, FacePageGetSketchHeader(page)->epoch, e);
	int			slot = face_sketch_free_slot(page, layout);
	SidePage	plane = {.kind = FACE_PAGE_PLANE, .named = FaceSketchPlaneBlock(page, layout)};
	SidePage	refine = {.kind = FACE_PAGE_REFINE};
	GenericXLogState *xlog;
	FaceSlotPages pages = {0};

	if (slot < 0 || layout->sealed != (key != NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a damaged page at block %u",
						RelationGetRelationName(writer->index), BufferGetBlockNumber(buffer)),
				 errhint("Please REINDEX it.")));
	refine.named = FaceSketchRefineBlocks(page, layout) + slot / layout->refine_slots;
	if (layout->has_plane)
		lock_side_page(writer, page, &plane);
	lock_side_page(writer, page, &refine);

	xlog = GenericXLogStart(writer->index);
	pages.sketch = GenericXLogRegisterBuffer(xlog, buffer, 0);
	if (layout->has_plane)
		pages.plane = register_side_page(xlog, pages.sketch, &plane, FaceSketchPlaneBlock(pages.sketch, layout));
	pages.refine = register_side_page(xlog, pages.sketch, &refine,
									  FaceSketchRefineBlocks(pages.sketch, layout) + slot / layout->refine_slots);
	put_in_slot(writer, state, key, &pages, slot, codes, tid);
	GenericXLogFinish(xlog);
	if (layout->has_plane)
		UnlockReleaseBuffer(plane.buffer);
	UnlockReleaseBuffer(refine.buffer);
}

/* Is the locked page a sketch page of this list? */
static bool
page_of_list(Buffer buffer, uint64 list_id)
{
	Page		page = BufferGetPage(buffer);

	return face_page_is(page, FACE_PAGE_SKETCH) && FacePageGetOpaque(page)->list_id == list_id;
}

/*
 * Walk from block `start` to a page of the list with a free slot and return it
 * locked; InvalidBuffer when there is none, then *last is the tail.  *lost
 * tells that a page was no longer the list's: the caller begins again.
 */
static Buffer
find_room(FaceWriter *writer, uint64 list_id, BlockNumber start, BlockNumber *last, bool *lost)
{
	BlockNumber blkno = start;
	FaceChainWalk walk = {0};

	*lost = false;
	for (;;)
	{
		Buffer		buffer;
		FaceSketchHeader *header;

		CHECK_FOR_INTERRUPTS();
		face_chain_step(writer->index, &walk);
		buffer = face_read_page(writer->index, blkno, BUFFER_LOCK_EXCLUSIVE);
		if (!page_of_list(buffer, list_id))
		{
			UnlockReleaseBuffer(buffer);
			*lost = true;
			return InvalidBuffer;
		}
		header = FacePageGetSketchHeader(BufferGetPage(buffer));
		if (header->used < face_writer_epoch(writer, header->epoch)->layout.slots)
			return buffer;
		*last = blkno;
		blkno = header->next;
		UnlockReleaseBuffer(buffer);
		if (!BlockNumberIsValid(blkno))
			return InvalidBuffer;
	}
}

/* Remember where insertion found room, unless the list has changed since. */
static void
note_insert_page(FaceWriter *writer, const FaceListKey *key, uint64 list_id, BlockNumber blkno)
{
	FaceEntryLock lock;

	face_directory_lock(writer->index, &writer->meta, key, &lock);
	if (lock.position >= 0 &&
		face_directory_locked_entry(&writer->meta, &lock, BufferGetPage(lock.buffer))->list_id == list_id)
	{
		GenericXLogState *xlog = GenericXLogStart(writer->index);
		Page		page = GenericXLogRegisterBuffer(xlog, lock.buffer, 0);

		face_directory_locked_entry(&writer->meta, &lock, page)->insert_page = blkno;
		GenericXLogFinish(xlog);
	}
	face_directory_unlock(&lock);
}

/* Make an empty posting list; another process may have made it in between. */
static void
create_list(FaceWriter *writer, const FaceListKey *key)
{
	Relation	index = writer->index;
	int			epoch = face_writer_epoch_for(writer, face_list_kind(key));
	const FaceEpochState *state = face_writer_epoch(writer, epoch);
	FaceEntryLock lock;

	face_directory_lock(index, &writer->meta, key, &lock);
	if (lock.position < 0 && face_bucket_has_room(&writer->meta, BufferGetPage(lock.primary)))
	{
		Buffer		buffer = face_take_page(index);
		FaceListEntry *entry = palloc0(FACE_LIST_ENTRY_SIZE(writer->meta.nkeys));
		GenericXLogState *xlog;

		entry->list_id = face_random_stamp();
		entry->head_stamp = face_random_stamp();
		entry->head = entry->tail = entry->insert_page = BufferGetBlockNumber(buffer);
		memcpy(&entry->key, key, FACE_LIST_KEY_SIZE(writer->meta.nkeys));

		xlog = GenericXLogStart(index);
		face_bucket_append(&writer->meta, GenericXLogRegisterBuffer(xlog, lock.primary, 0), entry);
		face_sketch_init(GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE),
						 &state->layout, epoch, entry->list_id, entry->head_stamp, key);
		GenericXLogFinish(xlog);
		UnlockReleaseBuffer(buffer);
		pfree(entry);
		face_directory_unlock(&lock);
		return;
	}
	face_directory_unlock(&lock);
	if (lock.position < 0)
		face_directory_make_room(index, &writer->meta, key->keys);
}

/* Append an empty page behind `last`, unless another process did it in between. */
static void
extend_list(FaceWriter *writer, const FaceListKey *key, uint64 list_id, BlockNumber last)
{
	Relation	index = writer->index;
	int			epoch = face_writer_epoch_for(writer, face_list_kind(key));
	const FaceEpochState *state = face_writer_epoch(writer, epoch);
	FaceEntryLock lock;
	FaceListEntry *entry;
	Buffer		tail;

	face_directory_lock(index, &writer->meta, key, &lock);
	entry = lock.position < 0 ? NULL :
		face_directory_locked_entry(&writer->meta, &lock, BufferGetPage(lock.buffer));
	if (entry == NULL || entry->list_id != list_id || entry->tail != last)
	{
		face_directory_unlock(&lock);
		return;
	}

	tail = face_read_page(index, last, BUFFER_LOCK_EXCLUSIVE);
	if (page_of_list(tail, list_id))
	{
		Buffer		buffer = face_take_page(index);
		GenericXLogState *xlog = GenericXLogStart(index);
		FaceSketchHeader *header;
		uint64		stamp = face_random_stamp();

		entry = face_directory_locked_entry(&writer->meta, &lock,
											GenericXLogRegisterBuffer(xlog, lock.buffer, 0));
		header = FacePageGetSketchHeader(GenericXLogRegisterBuffer(xlog, tail, 0));
		face_sketch_init(GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE),
						 &state->layout, epoch, list_id, stamp, key);
		header->next = entry->tail = entry->insert_page = BufferGetBlockNumber(buffer);
		header->next_stamp = stamp;
		GenericXLogFinish(xlog);
		UnlockReleaseBuffer(buffer);
	}
	UnlockReleaseBuffer(tail);
	face_directory_unlock(&lock);
}

void
face_posting_insert(FaceWriter *writer, const FaceListKey *key, const FaceEmbedding *e, ItemPointer tid)
{
	FaceListEntry *entry = palloc(FACE_LIST_ENTRY_SIZE(writer->meta.nkeys));
	bool		from_head = false;
	const uint8 *block_key;

	/* what was opened a moment ago is sealed again by the same key */
	if (!face_chain_key(key, &block_key) && !key->unread)
		face_report_lost_key(writer->index);
	/* with no page locked, for the site's key may have to be read */
	(void) face_writer_epoch(writer, face_writer_epoch_for(writer, face_list_kind(key)));
	for (int tries = 0;; tries++)
	{
		Buffer		buffer;
		BlockNumber start;
		BlockNumber last = InvalidBlockNumber;
		bool		lost;

		CHECK_FOR_INTERRUPTS();
		if (tries > MAX_TRIES)
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("index \"%s\" has a posting list without a place for a new template",
							RelationGetRelationName(writer->index)),
					 errhint("Please REINDEX it.")));
		if (!face_directory_lookup(writer->index, &writer->meta, key, entry))
		{
			create_list(writer, key);
			continue;
		}
		start = from_head ? entry->head : entry->insert_page;
		buffer = find_room(writer, entry->list_id, start, &last, &lost);
		if (BufferIsValid(buffer))
		{
			BlockNumber found = BufferGetBlockNumber(buffer);

			put_on_page(writer, buffer, block_key, e, tid);
			UnlockReleaseBuffer(buffer);
			if (found != entry->insert_page)
				note_insert_page(writer, key, entry->list_id, found);
			break;
		}
		/* A hint that names a page no longer ours must not lead us there again. */
		from_head = lost;
		if (!lost)
			extend_list(writer, key, entry->list_id, last);
	}
	pfree(entry);
}
