/*-------------------------------------------------------------------------
 *
 * posting.h
 *	  Posting lists: putting templates in and taking them out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_POSTING_H
#define FACEMATCH_INDEX_POSTING_H

#include "index/directory.h"
#include "index/meta.h"
#include "index/sealed.h"

/* Room in a writer for states of epochs; the meta page allows no more. */
typedef struct FaceWriter
{
	Relation	index;
	MemoryContext context;		/* of everything below */
	bool		blind;			/* needs no more than the shape of pages */
	FaceMetaData meta;
	const FaceEpochState *states[FACE_MAX_EPOCHS];
	FaceCodes  *codes[FACE_MAX_EPOCHS];
} FaceWriter;

extern FaceWriter *face_writer_create(Relation index);
extern const FaceEpochState *face_writer_epoch(FaceWriter *writer, int epoch);
extern int	face_writer_epoch_for(FaceWriter *writer, FaceTemplateKind kind);

/* Codes of a template (NULL for one without codes) in an epoch; valid until the next call for that epoch. */
extern const FaceCodes *face_writer_encode(FaceWriter *writer, int epoch, const FaceEmbedding *e);

/* Insert one template, open, NULL if there are no codes: the path of aminsert. */
extern void face_posting_insert(FaceWriter *writer, const FaceListKey *key, const FaceEmbedding *e, ItemPointer tid);

/*
 * The pieces of it that a bulk build uses as well; pages are locked, changes
 * logged by the caller.  A slot is filled on open pages; to clear it, pages
 * need not be open.
 */
extern int	face_sketch_free_slot(Page page, const FaceLayout *layout);
extern void face_sketch_init(Page page, const FaceLayout *layout, int epoch, uint64 list_id, uint64 stamp,
							 const FaceListKey *key);
extern void face_side_init(Page page, FacePageKind kind, uint64 list_id, uint64 stamp);
extern void face_slot_fill(const FaceEpochState *state, const FaceSlotPages *pages, int slot,
						   const FaceCodes *codes, ItemPointer tid);
extern void face_slot_clear(const FaceEpochState *state, const FaceSlotPages *pages, int slot);

/* A slot's codes, from an open sketch page and from others that a key opens; as they are on the pages with none. */
extern void face_slot_read(const FaceEpochState *state, const uint8 *key, const FaceSlotPages *pages, int slot,
						   FaceCodes *codes);

#endif							/* FACEMATCH_INDEX_POSTING_H */
