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
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

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
} Walk;

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
	walk.end = RelationGetNumberOfBlocksInFork(rel, fork);
	visit_all(&walk, visit, state);
	FreeAccessStrategy(walk.strategy);
}
