/*-------------------------------------------------------------------------
 *
 * directory.c
 *	  From gallery keys to posting lists: an extendible hash table.
 *
 * The root page has FACE_MAX_BUCKETS slots, indexed by the low bits of the
 * keys' hash.  Slots that agree in their low `depth` bits share a bucket; a
 * full bucket is split in two with one WAL record, until its depth is that of
 * the root, from when on it grows by overflow pages, which VACUUM merges again.
 * So galleries come and go without the directory ever being rebuilt.
 *
 * Locks: root, then the bucket's first page, then its overflow pages.  Entries
 * are changed under an exclusive lock on the bucket's first page.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/indexfsm.h"

#include "compat.h"
#include "index/directory.h"

#define ROOT_DEPTH 10
StaticAssertDecl((1 << ROOT_DEPTH) == FACE_MAX_BUCKETS, "the root's slots are indexed by ROOT_DEPTH bits");

/* A merged page is left with one part in so many free, lest the next entry overflow again. */
#define MERGED_BUCKET_FILL 4

void
face_directory_init_root(Page page, BlockNumber bucket)
{
	FaceRootData *root = FacePageGetRoot(page);

	root->nbuckets = FACE_MAX_BUCKETS;
	for (int i = 0; i < FACE_MAX_BUCKETS; i++)
		root->buckets[i] = bucket;
	face_page_set_lower(page, (char *) (root + 1) - (char *) page);
}

void
face_directory_init_bucket(Page page, int depth)
{
	FaceBucketData *bucket = FacePageGetBucket(page);

	bucket->count = 0;
	bucket->depth = depth;
	face_page_set_lower(page, bucket->entries - (char *) page);
}

/* Which slot of the root these keys belong to. */
uint32
face_directory_slot(const FaceMetaData *meta, const uint64 *keys)
{
	return (uint32) hash_bytes_extended((const unsigned char *) keys, (int) (sizeof(uint64) * meta->nkeys), 0) &
		(FACE_MAX_BUCKETS - 1);
}

/* Check what a bucket page says of itself before it is believed. */
static FaceBucketData *
checked_bucket(Relation index, const FaceMetaData *meta, Buffer buffer)
{
	FaceBucketData *bucket;

	face_check_page(index, buffer, FACE_PAGE_BUCKET);
	bucket = FacePageGetBucket(BufferGetPage(buffer));
	if (bucket->count > FACE_BUCKET_CAPACITY(meta->nkeys) || bucket->depth > ROOT_DEPTH)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a damaged directory page at block %u",
						RelationGetRelationName(index), BufferGetBlockNumber(buffer)),
				 errhint("Please REINDEX it.")));
	return bucket;
}

/* Lock the root, then the first page of a slot's bucket, then let go of the root. */
static Buffer
lock_bucket(Relation index, const FaceMetaData *meta, uint32 slot, int lockmode)
{
	Buffer		root = face_read_page(index, meta->root, BUFFER_LOCK_SHARE);
	Buffer		bucket;

	face_check_page(index, root, FACE_PAGE_ROOT);
	bucket = face_read_page(index, FacePageGetRoot(BufferGetPage(root))->buckets[slot], lockmode);
	UnlockReleaseBuffer(root);
	return bucket;
}

/* Position of a list's entry on a bucket page, or -1. */
static int
bucket_search(const FaceMetaData *meta, FaceBucketData *bucket, const FaceListKey *key)
{
	for (uint32 i = 0; i < bucket->count; i++)
		if (memcmp(&FaceBucketEntry(bucket, meta->nkeys, i)->key, key, FACE_LIST_KEY_SIZE(meta->nkeys)) == 0)
			return i;
	return -1;
}

/* Step to the next overflow page; releases the current one unless it is `keep`. */
static Buffer
next_in_bucket(Relation index, Buffer buffer, Buffer keep, int lockmode, FaceChainWalk *walk)
{
	BlockNumber next = FacePageGetOpaque(BufferGetPage(buffer))->next;
	Buffer		result = InvalidBuffer;

	if (BlockNumberIsValid(next))
	{
		face_chain_step(index, walk);
		result = face_read_page(index, next, lockmode);
	}
	if (buffer != keep)
		UnlockReleaseBuffer(buffer);
	return result;
}

bool
face_directory_lookup(Relation index, const FaceMetaData *meta, const FaceListKey *key, FaceListEntry *entry)
{
	Buffer		buffer = lock_bucket(index, meta, face_directory_slot(meta, key->keys), BUFFER_LOCK_SHARE);
	FaceChainWalk walk = {0};

	while (BufferIsValid(buffer))
	{
		FaceBucketData *bucket = checked_bucket(index, meta, buffer);
		int			position = bucket_search(meta, bucket, key);

		if (position >= 0)
		{
			memcpy(entry, FaceBucketEntry(bucket, meta->nkeys, position), FACE_LIST_ENTRY_SIZE(meta->nkeys));
			UnlockReleaseBuffer(buffer);
			return true;
		}
		buffer = next_in_bucket(index, buffer, InvalidBuffer, BUFFER_LOCK_SHARE, &walk);
	}
	return false;
}

static bool
entry_matches(const FaceMetaData *meta, const FaceListEntry *entry, const uint64 *keys, const bool *given)
{
	for (int i = 0; i < meta->nkeys; i++)
		if (given[i] && entry->key.keys[i] != keys[i])
			return false;
	return true;
}

/* Append copies of the matching entries of a bucket to a list. */
static List *
collect_bucket(Relation index, const FaceMetaData *meta, Buffer buffer, const uint64 *keys, const bool *given,
			   List *found)
{
	FaceChainWalk walk = {0};

	while (BufferIsValid(buffer))
	{
		FaceBucketData *bucket = checked_bucket(index, meta, buffer);

		for (uint32 i = 0; i < bucket->count; i++)
		{
			FaceListEntry *entry = FaceBucketEntry(bucket, meta->nkeys, i);

			if (entry_matches(meta, entry, keys, given))
			{
				FaceListEntry *copy = palloc(FACE_LIST_ENTRY_SIZE(meta->nkeys));

				memcpy(copy, entry, FACE_LIST_ENTRY_SIZE(meta->nkeys));
				found = lappend(found, copy);
			}
		}
		buffer = next_in_bucket(index, buffer, InvalidBuffer, BUFFER_LOCK_SHARE, &walk);
	}
	return found;
}

List *
face_directory_find(Relation index, const FaceMetaData *meta, const uint64 *keys, const bool *given)
{
	List	   *found = NIL;
	Buffer		root;
	FaceRootData *slots;
	bool		all_given = true;

	for (int i = 0; i < meta->nkeys; i++)
		all_given = all_given && given[i];
	if (all_given)
		return collect_bucket(index, meta, lock_bucket(index, meta, face_directory_slot(meta, keys), BUFFER_LOCK_SHARE),
							  keys, given, NIL);

	/* Every bucket, with the root locked: a split would show entries twice. */
	root = face_read_page(index, meta->root, BUFFER_LOCK_SHARE);
	face_check_page(index, root, FACE_PAGE_ROOT);
	slots = FacePageGetRoot(BufferGetPage(root));
	for (uint32 slot = 0; slot < FACE_MAX_BUCKETS; slot++)
	{
		Buffer		buffer;
		FaceBucketData *bucket;

		/* Most slots of a small directory share a bucket with one before. */
		if (slot > 0 && slots->buckets[slot] == slots->buckets[slot & ((1 << (pg_leftmost_one_pos32(slot))) - 1)])
			continue;
		buffer = face_read_page(index, slots->buckets[slot], BUFFER_LOCK_SHARE);
		bucket = checked_bucket(index, meta, buffer);
		if ((slot & ((1 << bucket->depth) - 1)) == slot)
			found = collect_bucket(index, meta, buffer, keys, given, found);
		else
			UnlockReleaseBuffer(buffer);
	}
	UnlockReleaseBuffer(root);
	return found;
}

void
face_directory_lock(Relation index, const FaceMetaData *meta, const FaceListKey *key, FaceEntryLock *lock)
{
	FaceChainWalk walk = {0};
	Buffer		buffer;

	lock->primary = lock_bucket(index, meta, face_directory_slot(meta, key->keys), BUFFER_LOCK_EXCLUSIVE);
	lock->position = -1;
	buffer = lock->primary;
	for (;;)
	{
		lock->buffer = buffer;
		lock->position = bucket_search(meta, checked_bucket(index, meta, buffer), key);
		if (lock->position >= 0 ||
			!BlockNumberIsValid(FacePageGetOpaque(BufferGetPage(buffer))->next))
			return;
		buffer = next_in_bucket(index, buffer, lock->primary, BUFFER_LOCK_EXCLUSIVE, &walk);
	}
}

/* The locked entry, on `page`: the buffer's page or its image in a WAL record. */
FaceListEntry *
face_directory_locked_entry(const FaceMetaData *meta, const FaceEntryLock *lock, Page page)
{
	return FaceBucketEntry(FacePageGetBucket(page), meta->nkeys, lock->position);
}

void
face_directory_unlock(FaceEntryLock *lock)
{
	if (lock->buffer != lock->primary)
		UnlockReleaseBuffer(lock->buffer);
	UnlockReleaseBuffer(lock->primary);
}

bool
face_bucket_has_room(const FaceMetaData *meta, Page page)
{
	return FacePageGetBucket(page)->count < FACE_BUCKET_CAPACITY(meta->nkeys);
}

void
face_bucket_append(const FaceMetaData *meta, Page page, const FaceListEntry *entry)
{
	FaceBucketData *bucket = FacePageGetBucket(page);
	FaceListEntry *place = FaceBucketEntry(bucket, meta->nkeys, bucket->count);

	memcpy(place, entry, FACE_LIST_ENTRY_SIZE(meta->nkeys));
	bucket->count++;
	face_page_set_lower(page, (char *) place + FACE_LIST_ENTRY_SIZE(meta->nkeys) - (char *) page);
}

void
face_bucket_remove(const FaceMetaData *meta, Page page, int position)
{
	FaceBucketData *bucket = FacePageGetBucket(page);
	FaceListEntry *last = FaceBucketEntry(bucket, meta->nkeys, bucket->count - 1);

	/* The bytes behind pd_lower are zeroed by the WAL record's page image. */
	memmove(FaceBucketEntry(bucket, meta->nkeys, position), last, FACE_LIST_ENTRY_SIZE(meta->nkeys));
	memset(last, 0, FACE_LIST_ENTRY_SIZE(meta->nkeys));
	bucket->count--;
	face_page_set_lower(page, (char *) last - (char *) page);
}

/* Move the entries of one half of a bucket's slots to a new bucket. */
static void
split_bucket(Relation index, const FaceMetaData *meta, uint32 slot, Buffer root, Buffer buffer)
{
	Buffer		new_buffer = face_take_page(index);
	GenericXLogState *xlog = GenericXLogStart(index);
	Page		root_page = GenericXLogRegisterBuffer(xlog, root, 0);
	Page		old_page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	Page		new_page = GenericXLogRegisterBuffer(xlog, new_buffer, GENERIC_XLOG_FULL_IMAGE);
	FaceBucketData *old = FacePageGetBucket(old_page);
	uint32		bit = 1 << old->depth;

	old->depth++;
	face_page_init(new_page, FACE_PAGE_BUCKET, 0, face_random_stamp());
	face_directory_init_bucket(new_page, old->depth);
	for (int i = (int) old->count - 1; i >= 0; i--)
	{
		FaceListEntry *entry = FaceBucketEntry(old, meta->nkeys, i);

		if (face_directory_slot(meta, entry->key.keys) & bit)
		{
			face_bucket_append(meta, new_page, entry);
			face_bucket_remove(meta, old_page, i);
		}
	}
	for (uint32 i = (slot & (bit - 1)) | bit; i < FACE_MAX_BUCKETS; i += bit << 1)
		FacePageGetRoot(root_page)->buckets[i] = BufferGetBlockNumber(new_buffer);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(new_buffer);
}

/* Append an overflow page to a bucket that can split no more. */
static void
add_overflow(Relation index, const FaceMetaData *meta, Buffer primary)
{
	Buffer		new_buffer = face_take_page(index);
	GenericXLogState *xlog = GenericXLogStart(index);
	Page		page = GenericXLogRegisterBuffer(xlog, primary, 0);
	Page		new_page = GenericXLogRegisterBuffer(xlog, new_buffer, GENERIC_XLOG_FULL_IMAGE);
	FaceBucketData *bucket = FacePageGetBucket(page);

	/*
	 * The full first page moves behind an empty one in its place: an insertion
	 * then finds room on the first page.
	 */
	face_page_init(new_page, FACE_PAGE_BUCKET, 0, face_random_stamp());
	face_directory_init_bucket(new_page, bucket->depth);
	for (uint32 i = 0; i < bucket->count; i++)
		face_bucket_append(meta, new_page, FaceBucketEntry(bucket, meta->nkeys, i));
	FacePageGetOpaque(new_page)->next = FacePageGetOpaque(page)->next;
	FacePageGetOpaque(page)->next = BufferGetBlockNumber(new_buffer);
	memset(bucket->entries, 0, ((PageHeader) page)->pd_lower - (bucket->entries - (char *) page));
	face_directory_init_bucket(page, bucket->depth);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(new_buffer);
}

void
face_directory_make_room(Relation index, const FaceMetaData *meta, const uint64 *keys)
{
	uint32		slot = face_directory_slot(meta, keys);
	Buffer		root = face_read_page(index, meta->root, BUFFER_LOCK_EXCLUSIVE);
	Buffer		buffer;

	face_check_page(index, root, FACE_PAGE_ROOT);
	buffer = face_read_page(index, FacePageGetRoot(BufferGetPage(root))->buckets[slot], BUFFER_LOCK_EXCLUSIVE);
	checked_bucket(index, meta, buffer);

	/* Another process may have made room in between. */
	if (!face_bucket_has_room(meta, BufferGetPage(buffer)))
	{
		if (FacePageGetBucket(BufferGetPage(buffer))->depth < ROOT_DEPTH)
			split_bucket(index, meta, slot, root, buffer);
		else
			add_overflow(index, meta, buffer);
	}
	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(root);
}

/* Move the entries of an overflow page to the page before it, and free it. */
static void
merge_overflow(Relation index, const FaceMetaData *meta, Buffer previous, Buffer buffer)
{
	BlockNumber blkno = BufferGetBlockNumber(buffer);
	GenericXLogState *xlog = GenericXLogStart(index);
	Page		kept = GenericXLogRegisterBuffer(xlog, previous, 0);
	Page		freed = GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE);
	FaceBucketData *bucket = FacePageGetBucket(freed);

	for (uint32 i = 0; i < bucket->count; i++)
		face_bucket_append(meta, kept, FaceBucketEntry(bucket, meta->nkeys, i));
	FacePageGetOpaque(kept)->next = FacePageGetOpaque(freed)->next;
	face_page_init_free(freed);
	GenericXLogFinish(xlog);
	RecordFreeIndexPage(index, blkno);
}

/*
 * Shorten a bucket's chain, under the exclusive lock on its first page, which
 * is let go.  Readers lock the next page before they let go of theirs, so
 * nobody is between two pages that are both locked here.
 */
static BlockNumber
trim_bucket(Relation index, const FaceMetaData *meta, Buffer primary)
{
	uint32		enough = FACE_BUCKET_CAPACITY(meta->nkeys) / MERGED_BUCKET_FILL * (MERGED_BUCKET_FILL - 1);
	BlockNumber freed = 0;
	Buffer		previous = primary;
	FaceChainWalk walk = {0};

	for (;;)
	{
		Buffer		buffer = next_in_bucket(index, previous, previous, BUFFER_LOCK_EXCLUSIVE, &walk);

		if (!BufferIsValid(buffer))
			break;
		if (checked_bucket(index, meta, buffer)->count + checked_bucket(index, meta, previous)->count <= enough)
		{
			merge_overflow(index, meta, previous, buffer);
			UnlockReleaseBuffer(buffer);
			freed++;
			continue;
		}
		if (previous != primary)
			UnlockReleaseBuffer(previous);
		previous = buffer;
	}
	if (previous != primary)
		UnlockReleaseBuffer(previous);
	UnlockReleaseBuffer(primary);
	return freed;
}

BlockNumber
face_directory_trim(Relation index, const FaceMetaData *meta)
{
	BlockNumber freed = 0;

	for (uint32 slot = 0; slot < FACE_MAX_BUCKETS; slot++)
	{
		Buffer		primary;

		face_vacuum_delay();
		primary = lock_bucket(index, meta, slot, BUFFER_LOCK_SHARE);
		if (!BlockNumberIsValid(FacePageGetOpaque(BufferGetPage(primary))->next))
		{
			UnlockReleaseBuffer(primary);
			continue;
		}
		UnlockReleaseBuffer(primary);
		/* Only a bucket that cannot split has overflow pages, and is this slot's alone. */
		freed += trim_bucket(index, meta, lock_bucket(index, meta, slot, BUFFER_LOCK_EXCLUSIVE));
	}
	return freed;
}
