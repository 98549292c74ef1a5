/*-------------------------------------------------------------------------
 *
 * share.c
 *	  One scan by several processes: who reads which pages, the cut that all
 *	  know, and the rows that one of them returns.  See README, "Several
 *	  processes".
 *
 * The first process to arrive opens the scan: it puts the wanted lists where
 * all see them. Each process then takes runs of pages until none are left, and
 * waits for the others. Only then is it known that no run changed. From then on
 * each process has a part: the pages that it has read.
 *
 * Without an ordering each returns the rows of its part. With an ordering, all
 * report their nearest rows to the opener, which returns them; the others
 * return nothing. Gather Merge waits for the first row of every process, so
 * otherwise each would have to find a row of its own, which is as much work as
 * a search by a non-mated probe.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/relscan.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/lwlock.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "index/directory.h"
#include "index/pass.h"
#include "index/scan.h"
#include "index/share.h"

/* Pages of a list that lie one behind the other are taken so many at a time, as a build writes them: 50 us of work. */
#define RUN_PAGES 64

/* Other pages in groups of so many: the process that takes a group first reads the links between its pages. */
#define LINKED_PAGES 16

/* Rows kept beyond the goal: as far as the last one that is wanted. */
#define SPARE_ROWS 64

/* A list that is emptied and filled again and again under the scan is left to one process. */
#define MAX_LOOKUPS 100

typedef enum SharePhase
{
	PHASE_NEW,
	PHASE_OPENING,				/* the opener looks for the lists */
	PHASE_PASS,
	PHASE_PARTS,				/* each process is busy with its part */
	PHASE_DONE,					/* all have done theirs */
	PHASE_ALONE					/* a run was not what it seemed: the opener begins again, by itself */
} SharePhase;

/* What processes share, in the memory of their query. */
struct FaceShare
{
	LWLock		lock;			/* of everything but the cut */
	ConditionVariable changed;	/* the phase has */
	SharePhase	phase;
	int			busy;			/* processes that the end of the phase waits for */
	int			parts;			/* processes that have one */
	FaceScanCounters counters;	/* of all that have done their part */

	/* the lists, and where the next run begins */
	dsm_handle	lists;
	int			nlists;
	int			list;
	int			lookups;
	BlockNumber nblocks;		/* of the index when it was opened */
	BlockNumber runs;			/* that were taken */
	BlockNumber next;			/* invalid: the list's head */
	uint64		next_stamp;
	bool		broken;
	bool		null_probe;		/* as the opener found it */

	/* ordered scans: the nearest rows that were measured, in order */
	uint64		wanted;			/* by the query; 0: not known */
	uint64		goal;
	bool		lost;			/* the key of a row was destroyed */
	pg_atomic_uint64 cut;		/* bits of a double */
	double		dropped;		/* smallest distance of a row that found no room */
	int			nrows;
	FaceNearRow rows[FACE_MOST_SHARED_ROWS + SPARE_ROWS];
};

static ExecutorRun_hook_type previous_run_hook;

/* Rows that this worker's query wants of it; 0: not known. */
static uint64 rows_wanted = 0;

/* -------------------------------------------------------------------------
 * What the executor calls
 * ------------------------------------------------------------------------- */

Size
face_estimateparallelscan(FACE_ESTIMATE_PARAMETERS)
{
	return sizeof(FaceShare);
}

static void
set_cut(FaceShare *share, double cut)
{
	uint64		bits;

	memcpy(&bits, &cut, sizeof(bits));
	pg_atomic_write_u64(&share->cut, bits);
}

double
face_share_cut(FaceShare *share)
{
	uint64		bits = pg_atomic_read_u64(&share->cut);
	double		cut;

	memcpy(&cut, &bits, sizeof(cut));
	return cut;
}

void
face_initparallelscan(void *target)
{
	FaceShare  *share = target;

	memset(share, 0, sizeof(FaceShare));
	LWLockInitialize(&share->lock, LWTRANCHE_PARALLEL_QUERY_DSA);
	ConditionVariableInit(&share->changed);
	pg_atomic_init_u64(&share->cut, 0);
	set_cut(share, get_float8_infinity());
	share->dropped = get_float8_infinity();
}

/* No worker runs. */
void
face_parallelrescan(IndexScanDesc desc)
{
	face_initparallelscan(face_parallel_area(desc->parallel_scan));
}

/* A worker's query is told how many rows are wanted of it: by a LIMIT above the Gather Merge. */
static void
note_rows_wanted(FACE_RUN_PARAMETERS)
{
	const uint64 outer = rows_wanted;

	/* what fails in a worker ends it */
	rows_wanted = IsParallelWorker() ? count : 0;
	if (previous_run_hook != NULL)
		previous_run_hook(FACE_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(FACE_RUN_ARGUMENTS);
	rows_wanted = outer;
}

void
face_share_init(void)
{
	previous_run_hook = ExecutorRun_hook;
	ExecutorRun_hook = note_rows_wanted;
}

/* -------------------------------------------------------------------------
 * The phases
 * ------------------------------------------------------------------------- */

/* With the lock. */
static void
set_phase(FaceShare *share, SharePhase phase)
{
	share->phase = phase;
	ConditionVariableBroadcast(&share->changed);
}

/* Wait for the end of a phase; returns the next one. */
static SharePhase
wait_for_end(FaceShare *share, SharePhase phase)
{
	SharePhase	now;

	for (;;)
	{
		LWLockAcquire(&share->lock, LW_SHARED);
		now = share->phase;
		LWLockRelease(&share->lock);
		if (now > phase)
			break;
		ConditionVariableSleep(&share->changed, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return now;
}

/*
 * The wanted lists, those that all read and those that the opener does.  Which
 * rows have no place in the order is decided once: the key of a list may be
 * destroyed between one process and the next.
 */
static List *
find_lists(FaceScan *scan)
{
	List	   *lists = face_scan_lists(scan);
	List	   *others = NIL;
	ListCell   *cell;

	foreach(cell, lists)
	{
		if (face_scan_can_share(scan, lfirst(cell)))
			scan->shared = lappend(scan->shared, lfirst(cell));
		else
			others = lappend(others, lfirst(cell));
	}
	list_free(lists);
	return others;
}

/* Put lists, and where pages were last seen, where all see them; NULL: there is no memory for that. */
static dsm_segment *
open_lists(FaceScan *scan, FaceShare *share)
{
	List	   *others = find_lists(scan);
	List	   *lists = scan->shared;
	const Size	size = FACE_LIST_ENTRY_SIZE(scan->meta.nkeys);
	const Size	lists_size = mul_size(list_length(lists), size);
	dsm_segment *segment = dsm_create(add_size(lists_size, face_hints_size(scan->index)), DSM_CREATE_NULL_IF_MAXSEGMENTS);

	LWLockAcquire(&share->lock, LW_EXCLUSIVE);
	if (segment != NULL)
	{
		for (int i = 0; i < list_length(lists); i++)
			memcpy((char *) dsm_segment_address(segment) + i * size, list_nth(lists, i), size);
		face_hints_share(scan->index, (char *) dsm_segment_address(segment) + lists_size);
		share->lists = dsm_segment_handle(segment);
		share->nlists = list_length(lists);
		share->nblocks = RelationGetNumberOfBlocks(scan->index);
		share->next = InvalidBlockNumber;
		share->busy = 1;
		share->null_probe = scan->null_probe;
		scan->counters.lists = list_length(lists);
	}
	set_phase(share, segment != NULL ? PHASE_PASS : PHASE_ALONE);
	LWLockRelease(&share->lock);
	if (segment != NULL)
		face_scan_pass(scan, others);
	return segment;
}

/* Is the probe what it is to the opener?  Its key may have been destroyed in between: then one of the two has no distances. */
static bool
agree_on_probe(const FaceScan *scan, const FaceShare *share)
{
	return !scan->impossible && scan->null_probe == share->null_probe;
}

/* Take part in the pass, or open it.  Returns the lists; NULL: this process is too late. */
static dsm_segment *
join(FaceScan *scan, FaceShare *share)
{
	dsm_segment *lists;
	bool		late;

	LWLockAcquire(&share->lock, LW_EXCLUSIVE);
	if (rows_wanted > 0)
		share->wanted = rows_wanted;
	scan->returns = share->phase == PHASE_NEW;
	if (scan->returns)
		set_phase(share, PHASE_OPENING);
	LWLockRelease(&share->lock);
	if (scan->returns)
		return open_lists(scan, share);

	wait_for_end(share, PHASE_OPENING);
	LWLockAcquire(&share->lock, LW_EXCLUSIVE);
	late = share->phase != PHASE_PASS || share->list >= share->nlists || !agree_on_probe(scan, share);
	share->busy += !late;
	LWLockRelease(&share->lock);
	if (late)
		return NULL;
	face_scan_prepare(scan);
	lists = dsm_attach(share->lists);
	if (lists == NULL)
	{
		/* its end, if that has been heard of, is the better message */
		CHECK_FOR_INTERRUPTS();
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the process that opened a parallel scan of index \"%s\" has ended", RelationGetRelationName(scan->index)),
				 errhint("Retry the query.")));
	}
	face_hints_take(scan->index, (char *) dsm_segment_address(lists) + share->nlists * FACE_LIST_ENTRY_SIZE(scan->meta.nkeys));
	return lists;
}

/* -------------------------------------------------------------------------
 * Runs of pages
 * ------------------------------------------------------------------------- */

/* What the link to a page, and its own, tell. */
typedef struct Link
{
	BlockNumber blkno;
	uint64		stamp;
	BlockNumber next;
	uint64		next_stamp;
} Link;

/* False: the block is no sketch page of this list. */
static bool
read_link(FaceScan *scan, const FaceListEntry *entry, BlockNumber blkno, Link *link)
{
	Buffer		buffer = face_read_page(scan->index, blkno, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	bool		valid = face_page_is(page, FACE_PAGE_SKETCH) && FacePageGetOpaque(page)->list_id == entry->list_id;

	if (valid)
	{
		link->blkno = blkno;
		link->stamp = FacePageGetOpaque(page)->stamp;
		link->next = FacePageGetSketchHeader(page)->next;
		link->next_stamp = FacePageGetSketchHeader(page)->next_stamp;
	}
	UnlockReleaseBuffer(buffer);
	return valid;
}

/* Follow a link; false: the page it leads to is no longer the one meant. */
static bool
follow(FaceScan *scan, const FaceListEntry *entry, const Link *from, Link *to)
{
	return read_link(scan, entry, from->next, to) && to->stamp == from->next_stamp;
}

/*
 * The last page of the run that begins with `first`.  Where pages lie one
 * behind the other, only the ends are looked at: the process that reads the
 * run follows its links, and says so if they do not lead there.
 */
static Link
end_of_run(FaceScan *scan, const FaceShare *share, const FaceListEntry *entry, const Link *first)
{
	Link		last = *first;
	Link		page;

	for (int ahead = RUN_PAGES - 1; ahead > 1 && first->next == first->blkno + 1; ahead /= 2)
	{
		if (first->blkno + ahead < share->nblocks &&
			read_link(scan, entry, first->blkno + ahead - 1, &page) && page.next == page.blkno + 1 &&
			follow(scan, entry, &page, &last))
			return last;
	}
	last = *first;
	for (int i = 1; i < LINKED_PAGES && BlockNumberIsValid(last.next) && follow(scan, entry, &last, &page); i++)
		last = page;
	return last;
}

/* The first page of the next run; false: it has gone.  Then the list may begin elsewhere, if nothing of it has been read. */
static bool
begin_run(FaceScan *scan, FaceShare *share, FaceListEntry *entry, Link *first)
{
	for (;;)
	{
		Link		to = {
			.next = BlockNumberIsValid(share->next) ? share->next : entry->head,
			.next_stamp = BlockNumberIsValid(share->next) ? share->next_stamp : entry->head_stamp
		};

		if (follow(scan, entry, &to, first))
			return true;
		share->broken = BlockNumberIsValid(share->next) || share->lookups++ > MAX_LOOKUPS;
		if (share->broken || !face_directory_lookup(scan->index, &scan->meta, &entry->key, entry))
			return false;
	}
}

/* Take the next run of pages; false: there is none. */
static bool
take_run(FaceScan *scan, FaceShare *share, dsm_segment *lists, FaceRun *run)
{
	bool		found = false;

	LWLockAcquire(&share->lock, LW_EXCLUSIVE);
	while (!found && !share->broken && share->list < share->nlists)
	{
		FaceListEntry *entry = (FaceListEntry *)
			((char *) dsm_segment_address(lists) + share->list * FACE_LIST_ENTRY_SIZE(scan->meta.nkeys));
		Link		first;
		Link		last = {.next = InvalidBlockNumber};

		found = begin_run(scan, share, entry, &first);
		if (found)
		{
			last = end_of_run(scan, share, entry, &first);
			*run = (FaceRun) {entry, first.blkno, first.stamp, last.blkno, last.stamp};
			/* a damaged chain may lead in a circle */
			share->broken = share->runs++ > share->nblocks;
		}
		share->next = last.next;
		share->next_stamp = last.next_stamp;
		if (!BlockNumberIsValid(share->next))
		{
			share->list++;
			share->lookups = 0;
		}
	}
	LWLockRelease(&share->lock);
	return found;
}

/* With the lock, when the last process has read its last run. */
static void
begin_parts(FaceShare *share)
{
	share->busy = share->parts;
	share->goal = share->wanted > 0 ? Min(share->wanted, FACE_MOST_SHARED_ROWS) : FACE_MOST_SHARED_ROWS;
	set_phase(share, share->broken ? PHASE_ALONE : PHASE_PARTS);
}

FaceShareRole
face_share_pass(FaceScan *scan, FaceShare *share)
{
	dsm_segment *lists = join(scan, share);
	bool		has_part = scan->returns;
	bool		intact = true;
	FaceRun		run;
	SharePhase	phase;

	if (lists == NULL)
		return scan->returns ? FACE_SHARE_ALONE : FACE_SHARE_NOTHING;
	while (intact && take_run(scan, share, lists, &run))
	{
		has_part = true;
		intact = face_scan_run(scan, &run);
		CHECK_FOR_INTERRUPTS();
	}
	LWLockAcquire(&share->lock, LW_EXCLUSIVE);
	share->broken |= !intact;
	share->parts += has_part;
	if (--share->busy == 0)
		begin_parts(share);
	LWLockRelease(&share->lock);
	phase = wait_for_end(share, PHASE_PASS);
	dsm_detach(lists);
	if (phase == PHASE_ALONE)
	{
		if (scan->returns)
			ereport(DEBUG1,
					(errmsg_internal("a scan of index \"%s\" by several processes starts again with one", RelationGetRelationName(scan->index))));
		return scan->returns ? FACE_SHARE_ALONE : FACE_SHARE_NOTHING;
	}
	if (!has_part)
		return FACE_SHARE_NOTHING;
	if (share->parts == 1)
		return FACE_SHARE_ALL;
	scan->share = share;
	return FACE_SHARE_PART;
}

/* -------------------------------------------------------------------------
 * Parts
 * ------------------------------------------------------------------------- */

uint64
face_share_goal(const FaceShare *share)
{
	return share->goal;
}

int
face_share_parts(const FaceShare *share)
{
	return share->parts;
}

/* Where a row of this distance belongs: behind those as near. */
static int
place_of(const FaceShare *share, double distance)
{
	int			low = 0;
	int			high = share->nrows;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (share->rows[middle].distance <= distance)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
face_share_offer(FaceShare *share, double distance, const ItemPointerData *tid)
{
	const int	room = share->goal + SPARE_ROWS;
	int			place;

	if (distance > face_share_cut(share))
		return;
	LWLockAcquire(&share->lock, LW_EXCLUSIVE);
	place = place_of(share, distance);
	if (share->nrows == room)
		share->dropped = Min(share->dropped, place == room ? distance : share->rows[--share->nrows].distance);
	if (place < room)
	{
		memmove(&share->rows[place + 1], &share->rows[place], sizeof(FaceNearRow) * (share->nrows - place));
		share->rows[place] = (FaceNearRow) {distance, *tid};
		share->nrows++;
	}
	if (share->nrows >= share->goal)
		set_cut(share, share->rows[share->goal - 1].distance);
	LWLockRelease(&share->lock);
}

void
face_share_lose(FaceShare *share)
{
	LWLockAcquire(&share->lock, LW_EXCLUSIVE);
	share->lost = true;
	LWLockRelease(&share->lock);
}

/*
 * The rows that all have found, for the scan that returns them, and how far
 * they are all that there are.
 */
static void
collect_rows(FaceScan *scan, const FaceShare *share)
{
	double		up_to = get_float8_infinity();
	int			n = share->nrows;

	if (share->nrows >= share->goal)
	{
		up_to = share->rows[share->goal - 1].distance;
		/* Of equally near ones some found no room: then none of those is here. */
		if (share->dropped <= up_to)
			for (up_to = -get_float8_infinity(), n = 0; share->rows[n].distance < share->dropped; n++)
				up_to = share->rows[n].distance;
		n = place_of(share, up_to);
	}
	scan->together = palloc(sizeof(FaceNearRow) * (n + 1));
	memcpy(scan->together, share->rows, sizeof(FaceNearRow) * n);
	scan->ntogether = n;
	scan->returned_up_to = up_to;
}

bool
face_share_finish(FaceScan *scan)
{
	FaceShare  *share = scan->share;

	LWLockAcquire(&share->lock, LW_EXCLUSIVE);
	face_add_counters(&share->counters, &scan->counters);
	if (--share->busy == 0)
		set_phase(share, PHASE_DONE);
	LWLockRelease(&share->lock);
	scan->share = NULL;
	if (!scan->returns && IsParallelWorker())
		return true;
	wait_for_end(share, PHASE_PARTS);
	scan->counters = share->counters;
	if (scan->returns && share->lost)
		return false;
	if (scan->returns)
		collect_rows(scan, share);
	return true;
}
