/*-------------------------------------------------------------------------
 *
 * erase_btree.c
 *	  Removed rows in B-tree indexes.
 *
 * If only the line pointer of a row is left in the table, its entry is removed from
 * the leaf page as an entry that an index scan found dead. An exclusive lock is
 * enough, because no new row can get the line pointer before VACUUM has processed
 * the index. The table is asked about each of them once more, which also tells
 * standbys what to wait for.
 *
 * Inner pages and the upper bounds of leaf pages have keys of rows from when pages
 * were split, and keep them when the rows are deleted. Only a new index is without
 * them, so they are counted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/itup.h"
#include "access/nbtree.h"
#include "access/tableam.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "erasure/erase_btree.h"
#include "erasure/walk.h"

/*--------------------------------------------------------- entries */

/* What to ask the table about; both arrays have room for a page full. */
typedef struct LeafDeletion
{
	TM_IndexDeleteOp op;
	TM_IndexDelete tids[MaxTIDsPerBTreePage];
	TM_IndexStatus status[MaxTIDsPerBTreePage];
} LeafDeletion;

static bool
is_leaf(Page page)
{
	BTPageOpaque opaque = BTPageGetOpaque(page);

	return !PageIsNew(page) && P_ISLEAF(opaque) && !P_IGNORE(opaque);
}

static int
rows_of(IndexTuple entry)
{
	return BTreeTupleIsPosting(entry) ? BTreeTupleGetNPosting(entry) : 1;
}

static ItemPointer
row_of(IndexTuple entry, int i)
{
	return BTreeTupleIsPosting(entry) ? BTreeTupleGetPostingN(entry, i) : &entry->t_tid;
}

static void
add_entry(LeafDeletion *deletion, OffsetNumber line, bool known, ItemPointer tid)
{
	int			n = deletion->op.ndeltids++;

	if (n >= MaxTIDsPerBTreePage)
		elog(ERROR, "a B-tree page has more entries than fit it");
	deletion->tids[n].tid = *tid;
	deletion->tids[n].id = n;
	deletion->status[n].idxoffnum = line;
	deletion->status[n].knowndeletable = known;
	deletion->status[n].promising = false;
	deletion->status[n].freespace = 0;
}

/* Dead entries of a locked leaf page: those that a scan has marked, and those of dead rows.  Returns how many. */
static int64
find_dead_entries(Page page, const FaceDeadRows *dead, LeafDeletion *deletion)
{
	int64		found = 0;

	for (OffsetNumber line = P_FIRSTDATAKEY(BTPageGetOpaque(page)); line <= PageGetMaxOffsetNumber(page); line++)
	{
		ItemId		item = PageGetItemId(page, line);
		IndexTuple	entry = (IndexTuple) PageGetItem(page, item);
		bool		marked = ItemIdIsDead(item);

		for (int i = 0; i < rows_of(entry); i++)
		{
			ItemPointer tid = row_of(entry, i);

			if (!marked && !face_is_dead_row(dead, tid))
				continue;
			found++;
			if (deletion != NULL)
				add_entry(deletion, line, marked, tid);
		}
	}
	return found;
}

/* Under any lock: whether the page has something to take out; counted, if the caller wants to know how much. */
bool
face_btree_has_dead_entries(Relation index, Buffer buffer, const FaceDeadRows *dead, FaceRemains *remains)
{
	Page		page = BufferGetPage(buffer);
	int64		found;

	if (PageIsNew(page))
		return false;
	_bt_checkpage(index, buffer);
	if (!is_leaf(page))
		return false;
	found = find_dead_entries(page, dead, NULL);
	if (remains != NULL)
		remains->dead += found;
	return found > 0;
}

/* Takes entries of dead rows out of a page that is locked exclusively. */
void
face_erase_btree_entries(Relation table, Relation index, Buffer buffer, const FaceDeadRows *dead, FaceErased *done)
{
	Page		page = BufferGetPage(buffer);
	LeafDeletion *deletion;

	if (!is_leaf(page))
		return;
	deletion = palloc(sizeof(LeafDeletion));
	memset(&deletion->op, 0, sizeof(deletion->op));
	deletion->op.irel = index;
	deletion->op.iblknum = BufferGetBlockNumber(buffer);
	deletion->op.deltids = deletion->tids;
	deletion->op.status = deletion->status;
	if (find_dead_entries(page, dead, deletion) > 0)
	{
		int64		before = deletion->op.ndeltids;
		int64		left;

		_bt_delitems_delete_check(index, buffer, table, &deletion->op);
		left = find_dead_entries(page, dead, NULL);
		done->removed += before - left;
		done->fading += left;
	}
	pfree(deletion);
}

/*--------------------------------------------------------- keys of inner pages */

/* A key is told by hashes of 128 bits in all: column, length and bytes. */
typedef struct KeyHash
{
	uint64		low;
	uint64		high;
} KeyHash;

typedef struct KeySearch
{
	HTAB	   *keys;			/* of inner pages and bounds, that no entry has had yet */
	const FaceDeadRows *dead;
} KeySearch;

/* Numbers, times and the like are passed by value: they are no content, and are left aside. */
static bool
hash_key(Relation index, IndexTuple entry, int column, KeyHash *hash)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(index), column);
	bool		isnull;
	Datum		value;
	const unsigned char *bytes;
	Size		size;

	if (attribute->attbyval)
		return false;
	value = index_getattr(entry, column + 1, RelationGetDescr(index), &isnull);
	if (isnull)
		return false;
	bytes = (const unsigned char *) DatumGetPointer(value);
	size = datumGetSize(value, false, attribute->attlen);
	hash->low = DatumGetUInt64(hash_any_extended(bytes, (int) size, column + 1));
	hash->high = DatumGetUInt64(hash_any_extended(bytes, (int) size, ~(uint64) column));
	return true;
}

static void
collect_keys(Relation index, IndexTuple pivot, KeySearch *search)
{
	int			columns = BTreeTupleGetNAtts(pivot, index);

	for (int column = 0; column < columns; column++)
	{
		KeyHash		hash;

		if (hash_key(index, pivot, column, &hash))
			hash_search(search->keys, &hash, HASH_ENTER, NULL);
	}
}

/* Keys of an inner page, and the upper bound of any. */
static void
visit_for_keys(Relation index, Buffer buffer, void *state)
{
	KeySearch  *search = state;
	Page		page = BufferGetPage(buffer);

	CHECK_FOR_INTERRUPTS();
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (BufferGetBlockNumber(buffer) != BTREE_METAPAGE && !PageIsNew(page) && !P_IGNORE(BTPageGetOpaque(page)))
	{
		BTPageOpaque opaque = BTPageGetOpaque(page);
		OffsetNumber last = P_ISLEAF(opaque) ? (P_RIGHTMOST(opaque) ? InvalidOffsetNumber : P_HIKEY) : PageGetMaxOffsetNumber(page);

		for (OffsetNumber line = FirstOffsetNumber; line <= last; line++)
			collect_keys(index, (IndexTuple) PageGetItem(page, PageGetItemId(page, line)), search);
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

static bool
has_living_row(const FaceDeadRows *dead, ItemId item, IndexTuple entry)
{
	if (ItemIdIsDead(item))
		return false;
	for (int i = 0; i < rows_of(entry); i++)
		if (!face_is_dead_row(dead, row_of(entry, i)))
			return true;
	return false;
}

/* Entries of living rows explain keys. */
static void
visit_entries(Relation index, Buffer buffer, void *state)
{
	KeySearch  *search = state;
	Page		page = BufferGetPage(buffer);

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (BufferGetBlockNumber(buffer) != BTREE_METAPAGE && is_leaf(page))
	{
		for (OffsetNumber line = P_FIRSTDATAKEY(BTPageGetOpaque(page)); line <= PageGetMaxOffsetNumber(page); line++)
		{
			ItemId		item = PageGetItemId(page, line);
			IndexTuple	entry = (IndexTuple) PageGetItem(page, item);
			KeyHash		hash;

			if (!has_living_row(search->dead, item, entry))
				continue;
			for (int column = 0; column < IndexRelationGetNumberOfKeyAttributes(index); column++)
				if (hash_key(index, entry, column, &hash))
					hash_search(search->keys, &hash, HASH_REMOVE, NULL);
		}
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

/* How many keys that steer searches no living entry has. */
int64
face_btree_lost_keys(Relation index, const FaceDeadRows *dead)
{
	HASHCTL		control = {0};
	KeySearch	search;
	int64		lost;

	control.keysize = control.entrysize = sizeof(KeyHash);
	control.hcxt = CurrentMemoryContext;
	search.keys = hash_create("facematch B-tree keys", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	search.dead = dead;
	face_each_page(index, MAIN_FORKNUM, visit_for_keys, &search);
	if (hash_get_num_entries(search.keys) > 0)
		face_each_page(index, MAIN_FORKNUM, visit_entries, &search);
	lost = hash_get_num_entries(search.keys);
	hash_destroy(search.keys);
	return lost;
}
