/*-------------------------------------------------------------------------
 *
 * page.h
 *	  Pages of a facematch index: what is where, and how a page is taken,
 *	  checked and given back.  README tells how they work together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_PAGE_H
#define FACEMATCH_INDEX_PAGE_H

#include "postgres.h"

#include "access/generic_xlog.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "index/codec.h"
#include "keys/cipher.h"

#define FACE_META_BLOCK			0
#define FACE_MAGIC				0xFACE1D05
#define FACE_VERSION			3
#define FACE_PAGE_ID			0xFACE	/* last two bytes of every page */

typedef enum FacePageKind
{
	FACE_PAGE_FREE = 1,			/* in the free space map, or about to be */
	FACE_PAGE_META,
	FACE_PAGE_ROOT,				/* directory: block numbers of its buckets */
	FACE_PAGE_BUCKET,			/* directory: entries of one bucket */
	FACE_PAGE_CENTRE,			/* rotated centre of an epoch, and the seed of a sealed one */
	FACE_PAGE_SKETCH,			/* sketches of a posting list */
	FACE_PAGE_REFINE,			/* refinement codes and TIDs of a sketch page */
	FACE_PAGE_PLANE				/* second bits of a sketch page's templates */
} FacePageKind;

#define FACE_LAST_PAGE_KIND FACE_PAGE_PLANE

/*
 * At the end of every page.  A stamp is a random number drawn when the page is
 * taken; a pointer to a page that may be recycled carries the stamp it
 * expects, so that a reader knows when the page is no longer the one meant.
 * Plane and refinement pages bear the stamp of their sketch page.
 */
typedef struct FacePageOpaqueData
{
	uint64		list_id;		/* posting list, 0 for none */
	uint64		stamp;
	BlockNumber next;			/* overflow of buckets and centres */
	uint16		kind;			/* FacePageKind */
	uint16		page_id;		/* FACE_PAGE_ID */
} FacePageOpaqueData;

typedef FacePageOpaqueData *FacePageOpaque;

/* Bytes that one prefetch brings; PG_CACHE_LINE_SIZE is twice that, for alignment. */
#define CPU_CACHE_LINE 64

#define FacePageGetOpaque(page) ((FacePageOpaque) PageGetSpecialPointer(page))

/* Bytes between page header and special space. */
#define FACE_PAGE_DATA_SIZE \
	(BLCKSZ - MAXALIGN(SizeOfPageHeaderData) - MAXALIGN(sizeof(FacePageOpaqueData)))

/* ---- meta page ---- */

/*
 * What is encoded alike: templates of one model that are all sealed, or all not.
 */
typedef struct FaceTemplateKind
{
	uint16		dims;			/* 0: rows without codes */
	int16		model;
	uint16		sealed;			/* 0 or 1: a kind has no bytes between its members, for it is authenticated as such */
} FaceTemplateKind;

/*
 * An epoch is a way to encode: dimensions, bits, rotation and centre.  A
 * sketch page says which epoch its codes are of.  A new kind of templates
 * gets an epoch; a better centre, learned by VACUUM, is another.  Of a sealed
 * epoch seed and centre are ciphertext on the centre pages.
 */
typedef struct FaceEpoch
{
	uint64		seed;			/* of the rotation; 0 here if sealed */
	BlockNumber centre;			/* first centre page, invalid for the zero centre of an unsealed one */
	uint16		dims;			/* 0: the epoch of rows without codes */
	int16		model;
	uint8		sketch_bits;
	uint8		refine_bits;
	uint8		sealed;			/* 0 or 1 */
	uint8		unused;
} FaceEpoch;

#define FACE_MAX_EPOCHS 128

static inline FaceTemplateKind
face_epoch_kind(const FaceEpoch *epoch)
{
	return (FaceTemplateKind) {epoch->dims, epoch->model, epoch->sealed};
}

/*
 * Below this |mean|^2 a centre is not worth its arithmetic: it narrows bounds
 * by the factor sqrt(1 - |mean|^2).
 */
#define FACE_MIN_CENTRE_NORM_SQUARED 0.02

/* A directory page of block numbers bounds the buckets; a power of two. */
#define FACE_MAX_BUCKETS 1024

typedef struct FaceMetaData
{
	uint32		magic;
	uint32		version;
	uint16		nkeys;			/* key columns before the embedding */
	uint16		nepochs;
	BlockNumber root;
	FaceEpoch	epochs[FACE_MAX_EPOCHS];
} FaceMetaData;

#define FacePageGetMeta(page) ((FaceMetaData *) PageGetContents(page))

/* ---- directory ---- */

typedef struct FaceRootData
{
	uint32		nbuckets;		/* power of two */
	BlockNumber buckets[FACE_MAX_BUCKETS];
} FaceRootData;

#define FacePageGetRoot(page) ((FaceRootData *) PageGetContents(page))

/*
 * What identifies a posting list: hashes of the keys, what can be compared, and
 * the key of sealed templates.
 */
typedef struct FaceListKey
{
	uint16		dims;			/* 0: null embeddings */
	int16		model;
	uint32		unread;			/* 1: sealed by a key that was not there when they came, so without codes */
	pg_uuid_t	sealed_by;		/* zero: not sealed */
	uint64		keys[FLEXIBLE_ARRAY_MEMBER];	/* nkeys */
} FaceListKey;

typedef struct FaceListEntry
{
	uint64		list_id;
	uint64		head_stamp;
	BlockNumber head;			/* first sketch page */
	BlockNumber tail;			/* last sketch page */
	BlockNumber insert_page;	/* no page before this one has room */
	uint32		unused;
	FaceListKey key;
} FaceListEntry;

#define FACE_LIST_KEY_SIZE(nkeys) (offsetof(FaceListKey, keys) + sizeof(uint64) * (nkeys))
#define FACE_LIST_ENTRY_SIZE(nkeys) (offsetof(FaceListEntry, key) + FACE_LIST_KEY_SIZE(nkeys))

typedef struct FaceBucketData
{
	uint32		count;
	uint32		depth;			/* low bits of the hash that its slots share */
	char		entries[FLEXIBLE_ARRAY_MEMBER];
} FaceBucketData;

#define FacePageGetBucket(page) ((FaceBucketData *) PageGetContents(page))
#define FACE_BUCKET_CAPACITY(nkeys) \
	((FACE_PAGE_DATA_SIZE - offsetof(FaceBucketData, entries)) / FACE_LIST_ENTRY_SIZE(nkeys))
#define FaceBucketEntry(bucket, nkeys, i) \
	((FaceListEntry *) ((bucket)->entries + (Size) (i) * FACE_LIST_ENTRY_SIZE(nkeys)))

/* ---- posting lists ---- */

/*
 * A sketch page: this header, the name of the key if it is sealed, a bitmap of
 * slots in use, the block numbers of its refinement pages and of its plane
 * page, the nonces of its blocks if it is sealed, then block by block the
 * interleaved sketches and their scalars.
 */
typedef struct FaceSketchHeader
{
	uint64		next_stamp;
	BlockNumber next;			/* next sketch page of the list */
	uint16		epoch;
	uint16		used;			/* slots in use */
} FaceSketchHeader;

typedef struct FaceRefineEntry
{
	ItemPointerData tid;		/* zero, so invalid, in a free slot */
	FaceScalars scalars;
	uint8		code[FLEXIBLE_ARRAY_MEMBER];	/* a nonce behind it, if it is sealed */
} FaceRefineEntry;

/* Where things are on the pages of one epoch. */
typedef struct FaceLayout
{
	int			slots;			/* per sketch page, multiple of FACE_BLOCK_SLOTS */
	int			refine_slots;	/* per refinement page */
	int			refine_pages;	/* per sketch page */
	bool		has_plane;		/* each sketch page has one plane page as well */
	bool		sealed;
	Size		refine_entry_size;
	Size		sealed_by_offset;	/* from the page's start, as all of these */
	Size		bitmap_offset;
	Size		refine_blocks_offset;
	Size		nonces_offset;
	Size		blocks_offset;
	Size		block_stride;	/* a block's sketches, then its scalars */
	Size		scalars_offset;	/* from the block's start */
	Size		plane_scalars_offset;
	Size		plane_scalars_stride;
	Size		planes_offset;
	Size		plane_stride;
	Size		plane_bytes;
} FaceLayout;

/* No layout needs more refinement pages for a sketch page (see face_layout_compute). */
#define FACE_MAX_REFINE_PAGES 8

/* With the plane page. */
#define FACE_MAX_NAMED_PAGES (FACE_MAX_REFINE_PAGES + 1)

/* Nor has it more slots on a sketch page: a block is 640 bytes at least. */
#define FACE_MAX_SLOTS 192

#define FacePageGetSketchHeader(page) ((FaceSketchHeader *) PageGetContents(page))
#define FaceSketchBitmap(page, layout) ((uint8 *) (page) + (layout)->bitmap_offset)
#define FaceSketchRefineBlocks(page, layout) ((BlockNumber *) ((char *) (page) + (layout)->refine_blocks_offset))
#define FaceSketchPlaneBlock(page, layout) (FaceSketchRefineBlocks(page, layout) + (layout)->refine_pages)
#define FaceSketchSealedBy(page, layout) ((pg_uuid_t *) ((char *) (page) + (layout)->sealed_by_offset))
#define FaceSketchNonce(page, layout, i) \
	((uint8 *) (page) + (layout)->nonces_offset + (Size) (i) * FACE_NONCE_BYTES)
#define FaceSketchBlock(page, layout, i) \
	((uint8 *) (page) + (layout)->blocks_offset + (Size) (i) * (layout)->block_stride)
#define FaceScalarsOf(page, layout, i) \
	((FaceBlockScalars *) (FaceSketchBlock(page, layout, i) + (layout)->scalars_offset))
#define FaceRefineEntryOf(page, layout, i) \
	((FaceRefineEntry *) (PageGetContents(page) + (Size) (i) * (layout)->refine_entry_size))
#define FacePlaneScalarsOf(page, layout, i) \
	((FaceScalars *) ((char *) (page) + (layout)->plane_scalars_offset + (Size) (i) * (layout)->plane_scalars_stride))
#define FacePlaneOf(page, layout, i) \
	((uint8 *) (page) + (layout)->planes_offset + (Size) (i) * (layout)->plane_stride)

/* The pages that have to do with one slot. */
typedef struct FaceSlotPages
{
	Page		sketch;
	Page		plane;			/* NULL where there are no second bits */
	Page		refine;
} FaceSlotPages;

/* Blocks that a sketch page names. */
static inline int
face_named_pages(const FaceLayout *layout)
{
	return layout->refine_pages + layout->has_plane;
}

static inline bool
face_list_is_sealed(const FaceListKey *key)
{
	static const pg_uuid_t none = {0};

	return memcmp(&key->sealed_by, &none, sizeof(pg_uuid_t)) != 0;
}

/* How the templates of a list are encoded. */
static inline FaceTemplateKind
face_list_kind(const FaceListKey *key)
{
	if (key->unread)
		return (FaceTemplateKind) {0, FACE_NO_MODEL, 0};
	return (FaceTemplateKind) {key->dims, key->model, face_list_is_sealed(key)};
}

static inline bool
face_slot_used(const uint8 *bitmap, int slot)
{
	return (bitmap[slot >> 3] >> (slot & 7)) & 1;
}

/*
 * Blocks of a sketch page up to its pd_lower: the rest has never been used.
 * Pages fill from the front, so that WAL records, whose making costs time for
 * every byte below pd_lower, stay cheap on pages that are not full.
 */
static inline int
face_blocks_begun(Page page, const FaceLayout *layout)
{
	Size		lower = ((PageHeader) page)->pd_lower;

	if (lower <= layout->blocks_offset)
		return 0;
	return Min((int) ((lower - layout->blocks_offset + layout->block_stride - 1) / layout->block_stride),
			   layout->slots / FACE_BLOCK_SLOTS);
}

/* A walk along a chain of pages, zero at its start: a damaged chain may lead in a circle. */
typedef struct FaceChainWalk
{
	BlockNumber steps;
	BlockNumber limit;
} FaceChainWalk;

extern void face_page_init(Page page, FacePageKind kind, uint64 list_id, uint64 stamp);
extern void face_page_init_free(Page page);
extern void face_page_set_lower(Page page, Size end_offset);
extern void face_page_raise_lower(Page page, Size end_offset);
extern Buffer face_read_page(Relation index, BlockNumber blkno, int lockmode);
extern Buffer face_read_page_extended(Relation index, BlockNumber blkno, int lockmode, BufferAccessStrategy strategy);
extern Size face_hints_size(Relation index);
extern void face_hints_share(Relation index, void *shared);
extern void face_hints_take(Relation index, const void *shared);
extern Page face_expect_page(Relation index, BlockNumber blkno, bool prefetch);
extern bool face_entry_names_row(Relation index, Buffer buffer, const FaceRefineEntry *entry);
extern void face_check_page(Relation index, Buffer buffer, FacePageKind kind);
extern void face_check_side_page(Relation index, Buffer buffer, FacePageKind kind, uint64 stamp);
extern void face_chain_step(Relation index, FaceChainWalk *walk);
extern bool face_page_is(Page page, FacePageKind kind);
extern Buffer face_take_page(Relation index);
extern void face_layout_compute(const FaceCodec *codec, bool sealed, FaceLayout *layout);
extern uint64 face_random_stamp(void);

#endif							/* FACEMATCH_INDEX_PAGE_H */
