/*-------------------------------------------------------------------------
 *
 * sealed.h
 *	  Codes of sealed templates, as ciphertext on pages.
 *
 * If a layout is not sealed, all of these return what is on the page.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_SEALED_H
#define FACEMATCH_INDEX_SEALED_H

#include "index/meta.h"
#include "keys/cipher.h"

/*
 * The key of a list's codes, or of a sketch page's, NULL where they are not
 * sealed; false if it is gone.  May read a file: not to be called with a page
 * locked.  Good until the transaction ends; zero once it is destroyed.
 */
extern bool face_chain_key(const FaceListKey *list, const uint8 **key);
extern bool face_page_key(const FaceLayout *layout, Page sketch, const uint8 **key);

/* Was it there when it was asked for, and no longer is? */
extern bool face_key_is_destroyed(const uint8 *key);

/* Raise the error of somebody who cannot do without a key. */
extern _Noreturn void face_report_lost_key(Relation index);

/* Seal bytes in place, with a new nonce stored after them; an error if the key was destroyed in between. */
extern void face_seal_bytes(Relation index, const uint8 *key, uint8 *bytes, Size size);

/* For writers, on their own copies of pages: a block of sketches, and what else is of a slot. */
extern void face_open_block(const FaceLayout *layout, const uint8 *key, Page sketch, int block);
extern void face_seal_block(Relation index, const FaceEpochState *state, const uint8 *key, Page sketch, int block);
extern void face_seal_slot(Relation index, const FaceLayout *layout, const uint8 *key, const FaceSlotPages *pages, int slot);

/* A sketch page with its sketches open: itself, or in the room. */
extern Page face_open_sketches(const FaceLayout *layout, const uint8 *key, Page page, PGAlignedBlock *room);

/* The second bits of a slot and the numbers beside them. */
typedef struct FacePlane
{
	const FaceScalars *scalars;
	const uint8 *code;
} FacePlane;

/* What one slot of a plane or refinement page can be: more than the most dimensions have. */
typedef union FaceSlotRoom
{
	uint8		bytes[FACE_MAX_DIMS];
	FaceRefineEntry entry;
	FaceScalars scalars;
} FaceSlotRoom;

/* The same of several slots. */
typedef struct FacePlanes
{
	int			n;
	const uint8 *keys[FACE_BLOCK_SLOTS];	/* NULL if they are not sealed */
	uint8		codes[FACE_BLOCK_SLOTS * FACE_BITS_MOST];	/* FACE_BITS_STRIDE apart */
	uint8		sealed[FACE_BLOCK_SLOTS * (sizeof(FaceScalars) + FACE_BITS_MOST + FACE_NONCE_BYTES)];	/* as they lie on their pages */
} FacePlanes;

/*
 * Collect those of slots of locked plane pages, of one layout, no more than
 * FACE_BLOCK_SLOTS; then open all, which gives the codes, and the numbers in
 * the block.
 */
extern void face_planes_add(FacePlanes *planes, const FaceLayout *layout, const uint8 *key, Page page, int slot,
							FaceBlockScalars *block);
extern void face_planes_open(FacePlanes *planes, const FaceLayout *layout, FaceBlockScalars *block);

/* Bytes of which only the first few are clear, with the rest opened. */
static inline void
face_open_bytes(const uint8 *key, const void *sealed, Size clear, Size size, void *opened)
{
	const uint8 *from = sealed;

	memcpy(opened, from, clear);
	face_block_cipher(key, from + clear + size, from + clear, (uint8 *) opened + clear, size);
}

static inline FacePlane
face_open_plane(const FaceLayout *layout, const uint8 *key, Page page, int slot, FaceSlotRoom *room)
{
	FacePlane	plane = {FacePlaneScalarsOf(page, layout, slot), FacePlaneOf(page, layout, slot)};

	if (key != NULL)
	{
		face_open_bytes(key, plane.scalars, 0, sizeof(FaceScalars) + layout->plane_bytes, room);
		plane.scalars = &room->scalars;
		plane.code = room->bytes + sizeof(FaceScalars);
	}
	return plane;
}

/* An entry with its numbers and code; its row is never sealed. */
static inline const FaceRefineEntry *
face_open_entry(const FaceLayout *layout, const uint8 *key, const FaceRefineEntry *entry, FaceSlotRoom *room)
{
	const Size	clear = offsetof(FaceRefineEntry, scalars);

	if (key == NULL)
		return entry;
	face_open_bytes(key, entry, clear, layout->refine_entry_size - FACE_NONCE_BYTES - clear, room);
	return &room->entry;
}

#endif							/* FACEMATCH_INDEX_SEALED_H */
