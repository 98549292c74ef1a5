/*-------------------------------------------------------------------------
 *
 * walk.c
 *	  Every page of a relation, in the order of the file: the walk of
 *	  facematch.erase() and facematch.verify_erased().
 *
 * From PostgreSQL 17 on, a read stream fetches pages that are in no buffer 128 kB
 * at a time (io_combine_limit) and ahead of their use. Before 17 they are read one
 * by one, and the operating system detects the sequence and reads ahead. Asking it
 * for each of them ahead (PrefetchBuffer) disturbs that: a walk over a cold table
 * then took twice as long (docs/performance.md, "Cold: read streams").
 *
 * The pages ahead are pinned and never locked; after an error they are released
 * like any other pin.
 *
 * A leaf of a B-tree may be split before it is visited, and half of its entries go to
 * a page that is added at the end, or that was recycled and may be one that the walk
 * has passed. So, as VACUUM does, the walk goes on to the new end, and follows the
 * links of each leaf that has changed since it began to pages before it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_am_d.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "compat.h"
#include "erasure/walk.h"

typedef struct Walk
{
	Relation	rel;
	ForkNumber	fork;
	BufferAccessStrategy strategy;
	BlockNumber next;
	BlockNumber end;
	bool		btree;
	XLogRecPtr	since;			/* when it began */
} Walk;

/* The link of a leaf to the right, and whether the leaf may have been split since the walk began; P_NONE: of no leaf. */
static BlockNumber
right_of(const Walk *walk, Buffer buffer, bool *changed)
{
	Page		page = BufferGetPage(buffer);
	BlockNumber right = P_NONE;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	*changed = PageGetLSN(page) > walk->since && RelationNeedsWAL(walk->rel);
	if (BufferGetBlockNumber(buffer) != BTREE_METAPAGE && !PageIsNew(page) &&
		PageGetSpecialSize(page) == MAXALIGN(sizeof(BTPageOpaqueData)) && P_ISLEAF(BTPageGetOpaque(page)))
		right = BTPageGetOpaque(page)->btpo_next;
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return right;
}

/*
 * Visits a page, and says which page before the block has entries that were split off
 * it; P_NONE: there is none. Whether it has changed is asked before the visit, which
 * changes it too; where it links to after it, because a split comes before or is
 * harmless. Of an index that is not logged only a split at this moment is known.
 */
static BlockNumber
visit_page(const Walk *walk, Buffer buffer, BlockNumber block, FaceVisit visit, void *state)
{
	bool		changed;
	bool		ignored;
	BlockNumber before;
	BlockNumber after;

	if (!walk->btree)
	{
		visit(walk->rel, buffer, state);
		return P_NONE;
	}
	before = right_of(walk, buffer, &changed);
	visit(walk->rel, buffer, state);
	after = right_of(walk, buffer, &ignored);
	return (changed || after != before) && after < block ? after : P_NONE;
}

/* A page, and what was split off it to pages that the walk has passed.  No chain is longer than the index. */
static void
visit_with_splits(const Walk *walk, Buffer buffer, FaceVisit visit, void *state)
{
	const BlockNumber block = BufferGetBlockNumber(buffer);
	BlockNumber right = visit_page(walk, buffer, block, visit, state);

	for (BlockNumber steps = 0; right != P_NONE && steps < walk->end; steps++)
	{
		Buffer		split = ReadBufferExtended(walk->rel, walk->fork, right, RBM_NORMAL, NULL);

		right = visit_page(walk, split, block, visit, state);
		ReleaseBuffer(split);
		face_vacuum_delay();
	}
}

#if FACE_HAVE_READ_STREAMS

/* ReadStreamBlockNumberCB */
static BlockNumber
next_block(ReadStream *stream, void *state, void *per_buffer)
{
	Walk	   *walk = state;

	return walk->next < walk->end ? walk->next++ : InvalidBlockNumber;
}

static void
visit_all(Walk *walk, FaceVisit visit, void *state)
{
	ReadStream *stream = read_stream_begin_relation(FACE_WALK_FLAGS, walk->strategy, walk->rel, walk->fork,
													next_block, walk, 0);
	Buffer		buffer;

	while (BufferIsValid(buffer = read_stream_next_buffer(stream, NULL)))
	{
		visit_with_splits(walk, buffer, visit, state);
		ReleaseBuffer(buffer);
		face_vacuum_delay();
	}
	read_stream_end(stream);
}

#else							/* before PostgreSQL 17 */

static void
visit_all(Walk *walk, FaceVisit visit, void *state)
{
	for (; walk->next < walk->end; walk->next++)
	{
		Buffer		buffer = ReadBufferExtended(walk->rel, walk->fork, walk->next, RBM_NORMAL, walk->strategy);

		visit_with_splits(walk, buffer, visit, state);
		ReleaseBuffer(buffer);
		face_vacuum_delay();
	}
}

#endif

void
face_each_page(Relation rel, ForkNumber fork, FaceVisit visit, void *state)
{
	Walk		walk = {.rel = rel, .fork = fork};

	walk.strategy = GetAccessStrategy(BAS_BULKREAD);
	walk.btree = fork == MAIN_FORKNUM && rel->rd_rel->relam == BTREE_AM_OID;
	walk.since = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) : GetXLogInsertRecPtr();
	do
	{
		walk.end = RelationGetNumberOfBlocksInFork(rel, fork);
		visit_all(&walk, visit, state);
	} while (walk.btree && RelationGetNumberOfBlocksInFork(rel, fork) > walk.end);
	FreeAccessStrategy(walk.strategy);
}
