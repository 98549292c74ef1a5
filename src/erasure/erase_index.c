/*-------------------------------------------------------------------------
 *
 * erase_index.c
 *	  Removed rows in indexes of any kind.
 *
 * First the access method removes entries of dead rows, if it can do so without
 * waiting. If its only way is a cleanup lock that waits for cursors, this is left
 * to VACUUM. Then each page's free space is set to zero, if the page says correctly
 * where it is. All pages of an index that was never finished are set to zero.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/gist.h"
#include "access/hash.h"
#include "access/nbtree.h"
#include "access/spgist_private.h"
#include "catalog/pg_am_d.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "index/handler.h"
#include "index/page.h"
#include "erasure/erase_btree.h"
#include "erasure/erase_index.h"
#include "erasure/walk.h"

FaceIndexKind
face_index_kind(Relation index)
{
	char	   *name;

	if (index->rd_indam->ambulkdelete == face_bulkdelete)
		return FACE_INDEX_FACEMATCH;
	switch (index->rd_rel->relam)
	{
		case BTREE_AM_OID:
			return FACE_INDEX_BTREE;
		case HASH_AM_OID:
			return FACE_INDEX_HASH;
		case GIST_AM_OID:
			return FACE_INDEX_GIST;
		case SPGIST_AM_OID:
			return FACE_INDEX_SPGIST;
		case GIN_AM_OID:
			return FACE_INDEX_GIN;
		case BRIN_AM_OID:
			return FACE_INDEX_BRIN;
		default:
			break;
	}
	name = get_am_name(index->rd_rel->relam);
	return name != NULL && strcmp(name, "bloom") == 0 ? FACE_INDEX_BLOOM : FACE_INDEX_UNKNOWN;
}

/*
 * How far the header of an index page can be believed.  Of GIN and BRIN nothing: their
 * keys and summaries outlive rows in any case, and only a new index is without them.
 */
static FacePageForm
page_form(FaceIndexKind kind, BlockNumber block, Page page)
{
	switch (kind)
	{
		case FACE_INDEX_BTREE:
			return block == BTREE_METAPAGE || P_ISDELETED(BTPageGetOpaque(page)) ? FACE_PAGE_HOLE : FACE_PAGE_ITEMS;
		case FACE_INDEX_GIST:
			return GistPageIsDeleted(page) ? FACE_PAGE_HOLE : FACE_PAGE_ITEMS;
		case FACE_INDEX_SPGIST:
			return block == SPGIST_METAPAGE_BLKNO ? FACE_PAGE_HOLE : FACE_PAGE_ITEMS;
		case FACE_INDEX_FACEMATCH:
		case FACE_INDEX_HASH:
			return FACE_PAGE_HOLE;
		case FACE_INDEX_BLOOM:
			return block == 0 ? FACE_PAGE_OPAQUE : FACE_PAGE_HOLE;
		default:
			return FACE_PAGE_OPAQUE;
	}
}

/* The bytes at a page's end by which its kind is known. */
static Size
special_size(FaceIndexKind kind)
{
	switch (kind)
	{
		case FACE_INDEX_BTREE:
			return sizeof(BTPageOpaqueData);
		case FACE_INDEX_FACEMATCH:
			return sizeof(FacePageOpaqueData);
		case FACE_INDEX_HASH:
			return sizeof(HashPageOpaqueData);
		case FACE_INDEX_GIST:
			return sizeof(GISTPageOpaqueData);
		case FACE_INDEX_SPGIST:
			return sizeof(SpGistPageOpaqueData);
		default:
			return 0;
	}
}

/* The form of a page whose header and items are sound; an error if they are not.  The caller has a lock. */
FacePageForm
face_checked_index_page(Relation index, FaceIndexKind kind, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	FacePageForm form;

	if (kind == FACE_INDEX_UNKNOWN || PageIsNew(page))
		return FACE_PAGE_OPAQUE;
	face_check_layout(index, buffer, FACE_PAGE_HOLE);
	if (PageGetSpecialSize(page) < MAXALIGN(special_size(kind)))
		face_report_damage(index, buffer);
	form = page_form(kind, BufferGetBlockNumber(buffer), page);
	face_check_layout(index, buffer, form);
	return form;
}

bool
face_index_row_is_dead(ItemPointer tid, void *dead)
{
	return face_is_dead_row(dead, tid);
}

/*
 * Entries of dead rows, where the access method needs no more than exclusive locks for them.  It may count on what VACUUM gives it:
 * an active snapshot among others (SP-GiST asks for the oldest transaction that one is of).
 */
static void
remove_entries(Relation table, Relation index, const FaceDeadRows *dead, FaceErased *done)
{
	IndexVacuumInfo info = {0};
	IndexBulkDeleteResult *result;

	info.index = index;
	face_set_vacuumed_table(&info, table);
	info.message_level = DEBUG2;
	info.num_heap_tuples = table->rd_rel->reltuples;
	info.estimated_count = true;
	info.strategy = GetAccessStrategy(BAS_BULKREAD);
	PushActiveSnapshot(GetTransactionSnapshot());
	result = index_bulk_delete(&info, NULL, face_index_row_is_dead, unconstify(FaceDeadRows *, dead));
	PopActiveSnapshot();
	if (result != NULL)
		done->removed += (int64) result->tuples_removed;
	FreeAccessStrategy(info.strategy);
}

typedef struct IndexErasure
{
	Relation	table;
	FaceIndexKind kind;
	const FaceDeadRows *dead;
	FaceErased *done;
} IndexErasure;

static void
visit_index_page(Relation index, Buffer buffer, void *state)
{
	IndexErasure *erasure = state;
	BlockNumber block = BufferGetBlockNumber(buffer);
	Page		page = BufferGetPage(buffer);
	bool		btree = erasure->kind == FACE_INDEX_BTREE && block != BTREE_METAPAGE;
	bool		work;
	FacePageForm form;

	erasure->done->pages++;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	form = face_checked_index_page(index, erasure->kind, buffer);
	work = (btree && face_btree_has_dead_entries(index, buffer, erasure->dead, NULL)) || face_page_has_strays(page, form);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (!work)
		return;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (btree)
		face_erase_btree_entries(erasure->table, index, buffer, erasure->dead, erasure->done);
	form = face_checked_index_page(index, erasure->kind, buffer);
	if (face_page_has_strays(page, form))
		face_clear_free(index, buffer, form);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	erasure->done->cleared++;
}

/* Whether a key may be content, even a template: such keys in inner pages are worth the walk that finds them. */
static bool
has_wide_key(Relation index)
{
	for (int column = 0; column < IndexRelationGetNumberOfKeyAttributes(index); column++)
		if (TupleDescAttr(RelationGetDescr(index), column)->attlen < 0)
			return true;
	return false;
}

static void
blank_index_page(Relation index, Buffer buffer, void *state)
{
	FaceErased *done = state;

	done->pages++;
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (face_bytes_on_page(BufferGetPage(buffer)) > 0)
	{
		face_blank_page(index, buffer);
		done->cleared++;
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

/*
 * What a CREATE INDEX or REINDEX CONCURRENTLY has left that was ended on the way: nobody reads it, inserts into it or vacuums it.
 * One that is at work has the lock that the caller has, so it is this session's, and has the index open, or there is none.
 */
static void
erase_unfinished_index(Relation index, FaceErased *done)
{
	done->unproven = true;
	if (index->rd_refcnt == 1)
		face_each_page(index, MAIN_FORKNUM, blank_index_page, done);
}

/* One index of a table; dead rows in order. */
void
face_erase_index(Relation table, Relation index, const FaceDeadRows *dead, FaceErased *done)
{
	IndexErasure erasure = {table, face_index_kind(index), dead, done};

	if (!index->rd_index->indisready)
	{
		erase_unfinished_index(index, done);
		return;
	}
	done->unproven = erasure.kind == FACE_INDEX_GIST || erasure.kind == FACE_INDEX_SPGIST || erasure.kind == FACE_INDEX_GIN ||
		erasure.kind == FACE_INDEX_BRIN || erasure.kind == FACE_INDEX_UNKNOWN;
	if (dead->count > 0)
	{
		switch (erasure.kind)
		{
			case FACE_INDEX_FACEMATCH:
			case FACE_INDEX_GIST:
			case FACE_INDEX_SPGIST:
			case FACE_INDEX_BLOOM:
				remove_entries(table, index, dead, done);
				break;
			case FACE_INDEX_HASH:
			case FACE_INDEX_GIN:
			case FACE_INDEX_BRIN:
			case FACE_INDEX_UNKNOWN:
				done->left_to_vacuum = true;
				break;
			default:
				break;
		}
	}
	face_each_page(index, MAIN_FORKNUM, visit_index_page, &erasure);
	if (erasure.kind == FACE_INDEX_BTREE && dead->count > 0 && has_wide_key(index))
		done->unproven |= face_btree_lost_keys(index, dead) > 0;
}
