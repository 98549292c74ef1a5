/*-------------------------------------------------------------------------
 *
 * sealed.c
 *	  Codes of sealed templates, as ciphertext on pages.
 *
 * A chain of sealed templates has one key. Sketches are sealed by block,
 * because a pass reads them so; second bits and refinement codes by slot,
 * because they are read one by one, and a block of them would be 3 kB of WAL an
 * insertion. Each of these has a nonce of its own, drawn again at every write:
 * counters would repeat after a recovery to a point in time. The nonces of a
 * sketch page's blocks are stored before the blocks, the others after what they
 * seal.
 *
 * A free slot is zero on the page, sealed or not: freeing a slot needs no key,
 * and leaves nothing of the template. There is no room for tags: checksums and
 * index_check() detect damage.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "index/sealed.h"
#include "keys/template_key.h"

static bool
has_key(const pg_uuid_t *sealed_by, const uint8 **key)
{
	const uint8 *value_key;

	return face_template_key(sealed_by, &value_key, key);
}

bool
face_chain_key(const FaceListKey *list, const uint8 **key)
{
	const bool	there = !face_list_is_sealed(list) || has_key(&list->sealed_by, key);

	/* what was not read when it came has no codes to open */
	if (!face_list_is_sealed(list) || list->unread)
		*key = NULL;
	return there;
}

bool
face_page_key(const FaceLayout *layout, Page sketch, const uint8 **key)
{
	*key = NULL;
	return !layout->sealed || has_key(FaceSketchSealedBy(sketch, layout), key);
}

void
face_report_lost_key(Relation index)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("a key of templates in index \"%s\" has been destroyed meanwhile", RelationGetRelationName(index)),
			 errhint("Repeat the command.")));
}

bool
face_key_is_destroyed(const uint8 *key)
{
	static const uint8 zeros[FACE_KEY_BYTES] = {0};

	return memcmp(key, zeros, FACE_KEY_BYTES) == 0;
}

static void
seal(Relation index, const uint8 *key, uint8 *bytes, Size size, uint8 *nonce)
{
	if (face_key_is_destroyed(key))
		face_report_lost_key(index);
	face_draw_bytes(nonce, FACE_NONCE_BYTES);
	face_block_cipher(key, nonce, bytes, bytes, size);
}

void
face_seal_bytes(Relation index, const uint8 *key, uint8 *bytes, Size size)
{
	seal(index, key, bytes, size, bytes + size);
}

static void
open_block(const FaceLayout *layout, const uint8 *key, Page from, Page to, int block)
{
	face_block_cipher(key, FaceSketchNonce(from, layout, block), FaceSketchBlock(from, layout, block),
					  FaceSketchBlock(to, layout, block), layout->block_stride);
}

/* A block that was never written has no nonce, and nothing to open. */
void
face_open_block(const FaceLayout *layout, const uint8 *key, Page sketch, int block)
{
	if (key != NULL && block < face_blocks_begun(sketch, layout))
		open_block(layout, key, sketch, sketch, block);
}

void
face_seal_block(Relation index, const FaceEpochState *state, const uint8 *key, Page sketch, int block)
{
	const FaceLayout *layout = &state->layout;
	const uint8 *bitmap = FaceSketchBitmap(sketch, layout);

	if (key == NULL)
		return;
	seal(index, key, FaceSketchBlock(sketch, layout, block), layout->block_stride, FaceSketchNonce(sketch, layout, block));
	for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot++)
		if (!face_slot_used(bitmap, block * FACE_BLOCK_SLOTS + slot))
			face_block_clear(state->codec, FaceSketchBlock(sketch, layout, block), FaceScalarsOf(sketch, layout, block), slot);
}

void
face_seal_slot(Relation index, const FaceLayout *layout, const uint8 *key, const FaceSlotPages *pages, int slot)
{
	FaceRefineEntry *entry = FaceRefineEntryOf(pages->refine, layout, slot % layout->refine_slots);

	if (key == NULL)
		return;
	face_seal_bytes(index, key, (uint8 *) &entry->scalars,
					layout->refine_entry_size - FACE_NONCE_BYTES - offsetof(FaceRefineEntry, scalars));
	if (pages->plane != NULL)
		face_seal_bytes(index, key, (uint8 *) FacePlaneScalarsOf(pages->plane, layout, slot),
						sizeof(FaceScalars) + layout->plane_bytes);
}

Page
face_open_sketches(const FaceLayout *layout, const uint8 *key, Page page, PGAlignedBlock *room)
{
	const Size	special = BLCKSZ - MAXALIGN(sizeof(FacePageOpaqueData));
	int			nblocks;

	if (key == NULL)
		return page;
	nblocks = face_blocks_begun(page, layout);
	memcpy(room->data, page, layout->blocks_offset);
	memcpy(room->data + special, page + special, BLCKSZ - special);
	for (int block = 0; block < nblocks; block++)
		open_block(layout, key, page, (Page) room->data, block);
	return (Page) room->data;
}

/* The numbers beside second bits, where face_query_plane_bounds() finds them. */
static void
put_scalars(FaceBlockScalars *block, int place, const void *numbers)
{
	FaceScalars s;

	memcpy(&s, numbers, sizeof(s));
	block->inverse[place] = s.inverse;
	block->tangent[place] = s.tangent;
	block->centre_product[place] = s.centre_product;
	block->norm[place] = s.norm;
}

void
face_planes_add(FacePlanes *planes, const FaceLayout *layout, const uint8 *key, Page page, int slot, FaceBlockScalars *block)
{
	const Size	step = FACE_BITS_STRIDE(layout->plane_bytes * BITS_PER_BYTE);

	Assert(planes->n < FACE_BLOCK_SLOTS);
	planes->keys[planes->n] = key;
	if (key != NULL)
		memcpy(planes->sealed + planes->n * layout->plane_stride, FacePlaneScalarsOf(page, layout, slot), layout->plane_stride);
	else
	{
		/* of words, which is faster than one call for all */
		for (Size at = 0; at < layout->plane_bytes; at += sizeof(uint64))
			memcpy(planes->codes + planes->n * step + at, FacePlaneOf(page, layout, slot) + at, sizeof(uint64));
		put_scalars(block, planes->n, FacePlaneScalarsOf(page, layout, slot));
	}
	planes->n++;
}

void
face_planes_open(FacePlanes *planes, const FaceLayout *layout, FaceBlockScalars *block)
{
	const Size	step = FACE_BITS_STRIDE(layout->plane_bytes * BITS_PER_BYTE);

	if (!layout->sealed)
		return;
	for (int i = 0; i < planes->n;)
	{
		const int	first = i;

		while (i < planes->n && planes->keys[i] == planes->keys[first])
			i++;
		face_blocks_cipher(planes->keys[first], i - first, planes->sealed + first * layout->plane_stride, layout->plane_stride);
	}
	for (int i = 0; i < planes->n; i++)
	{
		const uint8 *opened = planes->sealed + i * layout->plane_stride;

		put_scalars(block, i, opened);
		memcpy(planes->codes + i * step, opened + sizeof(FaceScalars), layout->plane_bytes);
	}
}
