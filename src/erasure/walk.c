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
 * A relation may grow under the walk: what was added is visited at the end. A leaf
 * of a B-tree may be split before it is visited, and half of its entries go to a
 * page that was recycled, which may be one that the walk has passed. So, as VACUUM
 * does, the walk follows the links of each leaf to pages before it, if the leaf has
 * changed since the walk began.
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

/* The page that has entries of this leaf, if it was split, and lies before the block; P_NONE: there is none. */
static BlockNumber
split_before(const Walk *walk, Buffer buffer, BlockNumber block)
{
	Page		page = BufferGetPage(buffer);
	BlockNumber right = P_NONE;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (BufferGetBlockNumber(buffer) != BTREE_METAPAGE && !PageIsNew(page) &&
		PageGetSpecialSize(page) == MAXALIGN(sizeof(BTPageOpaqueData)) && P_ISLEAF(BTPageGetOpaque(page)) &&
		(PageGetLSN(page) > walk->since || !RelationNeedsWAL(walk->rel)))
		right = BTPageGetOpaque(page)->btpo_next;
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return right < block ? right : P_NONE;
}

/* After the visit: what was split off before it, is linked by then.  No chain is longer than the index. */
static void
visit_splits(const Walk *walk, Buffer buffer, FaceVisit visit, void *state)
{
	const BlockNumber block = BufferGetBlockNumber(buffer);
	BlockNumber right = walk->btree ? split_before(walk, buffer, block) : P_NONE;

	for (BlockNumber steps = 0; right != P_NONE && steps < walk->end; steps++)
	{
		Buffer		split = ReadBufferExtended(walk->rel, walk->fork, right, RBM_NORMAL, NULL);

		CHECK_FOR_INTERRUPTS();
		visit(walk->rel, split, state);
		right = split_before(walk, split, block);
		ReleaseBuffer(split);
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
		visit(walk->rel, buffer, state);
		visit_splits(walk, buffer, visit, state);
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

		visit(walk->rel, buffer, state);
		visit_splits(walk, buffer, visit, state);
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
	while ((walk.end = RelationGetNumberOfBlocksInFork(rel, fork)) > walk.next)
		visit_all(&walk, visit, state);
	FreeAccessStrategy(walk.strategy);
}
