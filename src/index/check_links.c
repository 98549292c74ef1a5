/*-------------------------------------------------------------------------
 *
 * check_links.c
 *	  facematch.index_check(), second pass: the directory, the chains of the
 *	  posting lists, and pages that nothing leads to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"

#include "compat.h"
#include "index/check.h"

/* How often a list may change under the check before it gives up. */
#define MAX_RESTARTS 100

/* -------------------------------------------------------------------------
 * Directory
 * ------------------------------------------------------------------------- */

/* One bucket, as the root's slots show it. */
typedef struct BucketSlots
{
	BlockNumber blkno;			/* hash key */
	uint32		lowest;			/* of its slots: their common low bits */
	uint32		depth;
	uint32		count;			/* of its slots */
} BucketSlots;

/* Remember an entry; its key and its list must be new. */
static void
add_entry(FaceCheck *check, BlockNumber blkno, const FaceListEntry *entry)
{
	const int	nkeys = check->writer->meta.nkeys;
	FaceListEntry *copy = palloc(FACE_LIST_ENTRY_SIZE(nkeys));
	char	   *by_key;
	bool		found;

	memcpy(copy, entry, FACE_LIST_ENTRY_SIZE(nkeys));
	by_key = hash_search(check->keys, &copy->key, HASH_ENTER, &found);
	if (found)
		face_check_report(check, blkno, "has a second entry for the same keys, dimensions and model");
	else
		memcpy(by_key + FACE_LIST_KEY_SIZE(nkeys), &copy->list_id, sizeof(copy->list_id));
	hash_search(check->list_ids, &copy->list_id, HASH_ENTER, &found);
	if (found)
		face_check_report(check, blkno, "has a second entry of the same posting list");
	check->entries = lappend(check->entries, copy);
}

static void
check_entry(FaceCheck *check, const BucketSlots *bucket, BlockNumber blkno, const FaceListEntry *entry)
{
	if (entry->list_id == 0 || entry->head_stamp == 0 || entry->key.unread > 1 || entry->unused != 0 ||
		entry->key.dims > FACE_MAX_DIMS || entry->key.model < FACE_NO_MODEL)
		face_check_report(check, blkno, "has an impossible entry");
	if ((face_directory_slot(&check->writer->meta, entry->key.keys) & ((1 << bucket->depth) - 1)) != bucket->lowest)
		face_check_report(check, blkno, "has an entry that belongs into another bucket");
	add_entry(check, blkno, entry);
}

/* A bucket page that can be read at all. */
static bool
bucket_is_readable(FaceCheck *check, BlockNumber blkno, Page page)
{
	const FaceBucketData *bucket = FacePageGetBucket(page);
	const int	nkeys = check->writer->meta.nkeys;

	if (blkno == check->writer->meta.root || !face_check_copy(check, blkno, page) ||
		!face_page_is(page, FACE_PAGE_BUCKET))
	{
		face_check_report(check, blkno, "is named as a directory page and is none");
		return false;
	}
	if (bucket->count > FACE_BUCKET_CAPACITY(nkeys) || bucket->depth > pg_leftmost_one_pos32(FACE_MAX_BUCKETS) ||
		((PageHeader) page)->pd_lower != (char *) FaceBucketEntry(bucket, nkeys, bucket->count) - (char *) page)
	{
		face_check_report(check, blkno, "has an impossible number of entries or depth");
		return false;
	}
	return true;
}

/* All pages of a bucket, the first of which is given. */
static void
check_bucket(FaceCheck *check, const BucketSlots *slots, Page page)
{
	const int	nkeys = check->writer->meta.nkeys;
	BlockNumber blkno = slots->blkno;
	BlockNumber from = check->writer->meta.root;

	for (BlockNumber steps = 0;; steps++)
	{
		const FaceBucketData *bucket = FacePageGetBucket(page);
		BlockNumber next = FacePageGetOpaque(page)->next;

		face_check_reach(check, blkno, FacePageGetOpaque(page)->stamp, from);
		if (bucket->depth != slots->depth)
			face_check_report(check, blkno, "has another depth than the first page of its bucket");
		for (uint32 i = 0; i < bucket->count; i++)
			check_entry(check, slots, blkno, FaceBucketEntry(bucket, nkeys, i));
		if (!BlockNumberIsValid(next))
			return;
		if (slots->depth != pg_leftmost_one_pos32(FACE_MAX_BUCKETS))
			face_check_report(check, blkno, "has an overflow page although its bucket can be split");

		/* Directory pages are never given back: one that was reached before is in a circle, or in two buckets. */
		if (steps > check->nblocks || (next < check->nblocks && check->blocks[next].reached_stamp != 0))
		{
			face_check_report(check, blkno, "is followed by directory page %u, which has another place", next);
			return;
		}
		from = blkno;
		blkno = next;
		if (!bucket_is_readable(check, blkno, page))
			return;
	}
}

/* The slot's bucket, read when this is the first of its slots. */
static void
check_slot(FaceCheck *check, HTAB *buckets, uint32 slot, BlockNumber blkno)
{
	bool		found;
	BucketSlots *bucket = hash_search(buckets, &blkno, HASH_ENTER, &found);
	PGAlignedBlock block;

	if (!found)
	{
		bucket->lowest = slot;
		bucket->count = 0;
		bucket->depth = pg_leftmost_one_pos32(FACE_MAX_BUCKETS);
		if (bucket_is_readable(check, blkno, (Page) block.data))
		{
			bucket->depth = FacePageGetBucket(block.data)->depth;
			if (slot >= 1 << bucket->depth)
				face_check_report(check, blkno, "is a bucket of depth %u that first stands in slot %u of the root",
								  bucket->depth, slot);
			else
				check_bucket(check, bucket, (Page) block.data);
		}
	}
	bucket->count++;
	if ((slot & ((1 << bucket->depth) - 1)) != bucket->lowest)
		face_check_report(check, check->writer->meta.root, "has block %u in slots %u and %u, which its depth %u tells apart",
						  blkno, bucket->lowest, slot, bucket->depth);
}

/* With the root locked, as no bucket can be split then. */
static void
check_root(FaceCheck *check, const FaceRootData *root)
{
	HASHCTL		control = {.keysize = sizeof(BlockNumber), .entrysize = sizeof(BucketSlots),.hcxt = CurrentMemoryContext};
	HTAB	   *buckets = hash_create("facematch buckets", FACE_MAX_BUCKETS, &control,
									  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	HASH_SEQ_STATUS all;
	BucketSlots *bucket;

	if (root->nbuckets != FACE_MAX_BUCKETS)
		face_check_report(check, check->writer->meta.root, "has %u slots", root->nbuckets);
	for (uint32 slot = 0; slot < FACE_MAX_BUCKETS; slot++)
		check_slot(check, buckets, slot, root->buckets[slot]);
	hash_seq_init(&all, buckets);
	while ((bucket = hash_seq_search(&all)) != NULL)
		if (bucket->count != FACE_MAX_BUCKETS >> bucket->depth)
			face_check_report(check, check->writer->meta.root, "has block %u of depth %u in %u slots",
							  bucket->blkno, bucket->depth, bucket->count);
	hash_destroy(buckets);
}

void
face_check_directory(FaceCheck *check)
{
	const BlockNumber blkno = check->writer->meta.root;
	Buffer		buffer;
	Page		page;

	if (blkno == FACE_META_BLOCK || blkno >= check->nblocks || check->blocks[blkno].kind != FACE_PAGE_ROOT)
	{
		face_check_report(check, FACE_META_BLOCK, "names no directory");
		return;
	}
	buffer = face_read_page(check->index, blkno, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	face_check_page(check->index, buffer, FACE_PAGE_ROOT);
	face_check_reach(check, blkno, FacePageGetOpaque(page)->stamp, FACE_META_BLOCK);
	check_root(check, FacePageGetRoot(page));
	UnlockReleaseBuffer(buffer);
}

/* -------------------------------------------------------------------------
 * Posting lists
 * ------------------------------------------------------------------------- */

/* A walk along a posting list. */
typedef struct ListWalk
{
	const FaceListEntry *entry;
	BlockNumber last;			/* page reached */
	bool		saw_insert_page;
	BlockNumber lost;			/* page that was not the one meant */
	uint64		lost_stamp;
} ListWalk;

/* What a sketch page says of its list, and the pages it names. */
static void
check_list_page(FaceCheck *check, const FaceListEntry *entry, BlockNumber blkno, Page page)
{
	const FacePageOpaque opaque = FacePageGetOpaque(page);
	const FaceEpochState *state = face_check_epoch(check, blkno, FacePageGetSketchHeader(page)->epoch);
	const FaceTemplateKind expected = face_list_kind(&entry->key);
	FaceTemplateKind kind;

	face_check_reach(check, blkno, opaque->stamp, InvalidBlockNumber);
	if (opaque->list_id != entry->list_id)
		face_check_report(check, blkno, "stands in a posting list that is not its own");
	if (state == NULL)
		return;
	kind = face_epoch_kind(&state->epoch);
	if (memcmp(&kind, &expected, sizeof(kind)) != 0)
		face_check_report(check, blkno, "has an epoch of other dimensions or another model than its posting list");
	if (state->layout.sealed &&
		memcmp(FaceSketchSealedBy(page, &state->layout), &entry->key.sealed_by, sizeof(pg_uuid_t)) != 0)
		face_check_report(check, blkno, "has another key than its posting list");
	for (int i = 0; i < face_named_pages(&state->layout); i++)
		if (BlockNumberIsValid(FaceSketchRefineBlocks(page, &state->layout)[i]))
			face_check_reach(check, FaceSketchRefineBlocks(page, &state->layout)[i], opaque->stamp, blkno);
}

/* Walk a list from head to tail; false when a page was not the one meant, or after a report. */
static bool
walk_list(FaceCheck *check, ListWalk *walk)
{
	const FaceListEntry *entry = walk->entry;
	BlockNumber blkno = entry->head;
	uint64		stamp = entry->head_stamp;
	BlockNumber steps = 0;
	PGAlignedBlock block;
	Page		page = (Page) block.data;

	walk->saw_insert_page = false;
	walk->lost = InvalidBlockNumber;
	while (BlockNumberIsValid(blkno))
	{
		if (steps++ > check->nblocks && steps > RelationGetNumberOfBlocks(check->index))
		{
			face_check_report(check, blkno, "is in a posting list that leads in a circle");
			return false;
		}
		if (!face_check_copy(check, blkno, page) || !face_page_is(page, FACE_PAGE_SKETCH) ||
			FacePageGetOpaque(page)->stamp != stamp)
		{
			walk->lost = blkno;
			walk->lost_stamp = stamp;
			return false;
		}
		check_list_page(check, entry, blkno, page);
		walk->last = blkno;
		walk->saw_insert_page = walk->saw_insert_page || blkno == entry->insert_page;
		blkno = FacePageGetSketchHeader(page)->next;
		stamp = FacePageGetSketchHeader(page)->next_stamp;
	}
	return true;
}

/*
 * Walk a list, again when vacuum has taken pages out of it meanwhile.  A page
 * leaves its list and loses its stamp at once: what is lost twice by the same
 * name was never the page meant.
 */
static void
check_list(FaceCheck *check, FaceListEntry *entry)
{
	const Size	size = FACE_LIST_ENTRY_SIZE(check->writer->meta.nkeys);
	const uint64 list_id = entry->list_id;
	FaceListEntry *start = palloc(size);
	BlockNumber lost = InvalidBlockNumber;
	uint64		lost_stamp = 0;

	for (int tries = 0; tries < MAX_RESTARTS; tries++)
	{
		ListWalk	walk = {.entry = entry};
		bool		whole = walk_list(check, &walk);

		if (!whole && !BlockNumberIsValid(walk.lost))
			return;
		if (!whole && (check->quiet || (walk.lost == lost && walk.lost_stamp == lost_stamp)))
		{
			face_check_report(check, walk.lost, "is named by a posting list and is not the page meant");
			return;
		}
		lost = walk.lost;
		lost_stamp = walk.lost_stamp;

		/* The list may be gone, and another be there with its keys. */
		memcpy(start, entry, size);
		if (!check->quiet && (!face_directory_lookup(check->index, &check->writer->meta, &start->key, entry) ||
							  entry->list_id != list_id))
			return;
		if (!whole || memcmp(start, entry, size) != 0)
			continue;
		if (walk.last != entry->tail)
			face_check_report(check, entry->tail, "is the tail of a posting list that ends at block %u", walk.last);
		if (!walk.saw_insert_page)
			face_check_report(check, entry->insert_page, "is where a posting list goes on and is not in it");
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("a posting list of index \"%s\" changed too often to be checked",
					RelationGetRelationName(check->index)),
			 errhint("Retry the check.")));
}

void
face_check_lists(FaceCheck *check)
{
	ListCell   *cell;

	foreach(cell, check->entries)
		check_list(check, lfirst(cell));
}

/* -------------------------------------------------------------------------
 * Pages that nothing leads to
 * ------------------------------------------------------------------------- */

/*
 * Report pages in use that were not reached and still are what they were.  A
 * centre may be left over from a server that stopped between writing it and
 * the meta page: it is no use and no harm.
 */
void
face_check_unreached(FaceCheck *check)
{
	PGAlignedBlock block;
	Page		page = (Page) block.data;

	for (BlockNumber blkno = 0; blkno < check->nblocks; blkno++)
	{
		const FaceCheckBlock *known = &check->blocks[blkno];

		if (known->kind != FACE_PAGE_SKETCH && known->kind != FACE_PAGE_PLANE && known->kind != FACE_PAGE_REFINE &&
			known->kind != FACE_PAGE_BUCKET)
			continue;
		if (known->reached_stamp == known->stamp)
			continue;
		if (face_check_copy(check, blkno, page) && face_page_is(page, known->kind) &&
			FacePageGetOpaque(page)->stamp == known->stamp)
			face_check_report(check, blkno, "is in use, but nothing leads to it");
	}
}
