/*-------------------------------------------------------------------------
 *
 * pass.c
 *	  The pass over the sketches: a lower bound on the distance for every
 *	  template of the wanted posting lists.
 *
 * Runs once a scan, before the first row is returned, and keeps a float and a
 * sum for every slot of the pages that have anything of interest.  The pages it
 * read may be changed or recycled before they are looked at again; their stamps
 * tell.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "embedding/sealed.h"
#include "index/directory.h"
#include "index/pass.h"
#include "index/pass_many.h"
#include "index/sealed.h"
#include "index/settings.h"
#include "index/share.h"

/*
 * How often a list may be recycled under a scan before it gives up; each time
 * the pass over that list begins again.
 */
#define MAX_RESTARTS 100

/* Can every probe of the scan be compared with the templates of this list? */
static bool
list_is_comparable(const FaceScan *scan, const FaceListEntry *entry)
{
	for (int i = 0; i < scan->ntargets; i++)
	{
		const FaceEmbedding *probe = scan->targets[i].probe;

		if (probe->dims != entry->key.dims ||
			(probe->model != entry->key.model &&
			 probe->model != FACE_NO_MODEL && entry->key.model != FACE_NO_MODEL))
			return false;
	}
	return true;
}

static FaceEpochPlan *
plan_for(FaceScan *scan, int epoch)
{
	FaceEpochPlan *plan;

	if (epoch < 0 || epoch >= FACE_MAX_EPOCHS)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" refers to an unknown epoch %d", RelationGetRelationName(scan->index), epoch),
				 errhint("Please REINDEX it.")));
	if (scan->plans[epoch] == NULL)
	{
		plan = palloc0(sizeof(FaceEpochPlan));
		plan->state = face_epoch_state(scan->index, epoch, true);
		scan->plans[epoch] = plan;
	}
	return scan->plans[epoch];
}

const FaceEpochPlan *
face_scan_plan(FaceScan *scan, int epoch)
{
	FaceEpochPlan *plan = plan_for(scan, epoch);
	const FaceEpochState *state = plan->state;

	if (plan->queries != NULL)
		return plan;
	face_epoch_require(scan->index, state);
	plan->queries = palloc0(sizeof(FaceQuery *) * scan->ntargets);
	for (int i = 0; i < scan->ntargets; i++)
		plan->queries[i] = face_query_create(state->codec, state->centre, scan->targets[i].probe,
											 scan->targets[i].metric, face_miss_probability);
	return plan;
}

/*
 * Bounds of all slots of a locked sketch page by one query, infinity beyond
 * the limit, while the page `next` (NULL for none) is fetched from memory.
 * Returns the smallest.
 */
static float
blocks_bounds(const FaceQuery *query, const FaceEpochState *state, Page page, Page next, float limit, float *lower,
			  FaceSketchSum *sums)
{
	const FaceLayout *layout = &state->layout;
	const int	nblocks = face_blocks_begun(page, layout);
	Page		ahead = next != NULL ? next : page;

	if (next != NULL)
	{
		for (Size offset = 0; offset < layout->blocks_offset; offset += CPU_CACHE_LINE)
			__builtin_prefetch((char *) next + offset);
		__builtin_prefetch((char *) next + BLCKSZ - sizeof(FacePageOpaqueData));
	}
	for (int slot = nblocks * FACE_BLOCK_SLOTS; slot < layout->slots; slot++)
		lower[slot] = get_float4_infinity();
	return face_query_sketch_bounds(query, nblocks, FaceSketchBlock(page, layout, 0), FaceSketchBlock(ahead, layout, 0),
									limit, lower, sums);
}

/* Put infinity into free slots; returns the smallest bound of the others. */
static float
mask_free_slots(float *lower, const uint8 *bitmap, int slots)
{
	float		smallest = get_float4_infinity();

	for (int slot = 0; slot < slots; slot++)
	{
		if (!face_slot_used(bitmap, slot))
			lower[slot] = get_float4_infinity();
		smallest = Min(lower[slot], smallest);
	}
	return smallest;
}

/* Rule out what another target's query rules out; returns the smallest bound left. */
static float
apply_condition(const FaceQuery *query, const FaceEpochState *state, Page page, float limit, float *lower,
				FaceSketchSum *sums)
{
	float		bounds[FACE_MAX_SLOTS];
	float		smallest = get_float4_infinity();

	blocks_bounds(query, state, page, NULL, limit, bounds, sums);
	for (int slot = 0; slot < state->layout.slots; slot++)
	{
		if (isinf(bounds[slot]))
			lower[slot] = get_float4_infinity();
		smallest = Min(lower[slot], smallest);
	}
	return smallest;
}

float
face_page_bounds(const FaceQuery *query, const FaceEpochState *state, Page page, Page next, float limit, float *lower,
				 FaceSketchSum *sums)
{
	const FaceLayout *layout = &state->layout;
	float		smallest = blocks_bounds(query, state, page, next, limit, lower, sums);

	if (FacePageGetSketchHeader(page)->used != layout->slots)
		smallest = mask_free_slots(lower, FaceSketchBitmap(page, layout), layout->slots);
	return smallest;
}

/*
 * Bounds of all slots of a locked sketch page; infinity for free slots and for
 * those that cannot satisfy a condition.  Returns the smallest.
 */
static float
page_bounds(FaceScan *scan, const FaceEpochPlan *plan, Page page, Page next, float *lower, FaceSketchSum *sums)
{
	float		smallest = face_page_bounds(plan->queries[0], plan->state, page, next,
											face_round_up(scan->targets[0].max_distance), lower, sums);

	for (int i = 1; i < scan->ntargets; i++)
		smallest = apply_condition(plan->queries[i], plan->state, page, face_round_up(scan->targets[i].max_distance),
								   lower, sums == NULL ? NULL : sums + i * plan->state->layout.slots);
	return smallest;
}

void
face_describe_page(const FaceLayout *layout, Buffer buffer, const uint8 *key, FaceScanPage *described)
{
	Page		page = BufferGetPage(buffer);

	described->key = key;
	described->stamp = FacePageGetOpaque(page)->stamp;
	described->blkno = BufferGetBlockNumber(buffer);
	described->epoch = FacePageGetSketchHeader(page)->epoch;
	described->slots = layout->slots;
	memcpy(described->named, FaceSketchRefineBlocks(page, layout), sizeof(BlockNumber) * face_named_pages(layout));
}

void
face_append_page(FaceScan *scan, const FaceLayout *layout, float smallest)
{
	scan->pages[scan->npages].base = scan->nlower;
	scan->pages[scan->npages].sums = scan->nsums;
	scan->page_lower[scan->npages++] = smallest;
	scan->nlower += layout->slots;
	if (layout->has_plane)
		scan->nsums += (Size) layout->slots * scan->ntargets;
}

/* Remember a locked sketch page and the bounds of its slots, unless nothing there is of interest. */
static void
scan_sketch_page(FaceScan *scan, const FaceEpochPlan *plan, Buffer buffer, const uint8 *key, Page page, Page next)
{
	const FaceLayout *layout = &plan->state->layout;
	float		smallest;

	face_room_for_page(scan, layout);
	scan->counters.sketches += FacePageGetSketchHeader(page)->used;
	smallest = page_bounds(scan, plan, page, next, scan->lower + scan->nlower,
						   layout->has_plane ? scan->sums + scan->nsums : NULL);
	if (isinf(smallest))
		return;
	face_describe_page(layout, buffer, key, &scan->pages[scan->npages]);
	face_append_page(scan, layout, smallest);
}

void
face_scan_add_first(FaceScan *scan, const ItemPointerData *tid)
{
	scan->first = face_grow(scan->first, scan->nfirst, 1, &scan->max_first, sizeof(ItemPointerData));
	scan->first[scan->nfirst++] = *tid;
}

static int
compare_tids(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) &((const FaceNearRow *) a)->tid, (ItemPointer) &((const FaceNearRow *) b)->tid);
}

void
face_scan_note_returned(FaceScan *scan, FaceNearRow *rows, int n)
{
	qsort(rows, n, sizeof(FaceNearRow), compare_tids);
	scan->returned_rows = rows;
	scan->nreturned_rows = n;
}

/* Not if it was returned with a distance, while its key was there. */
static void
add_last(FaceScan *scan, const ItemPointerData *tid)
{
	const FaceNearRow row = {.tid = *tid};

	if (scan->nreturned_rows > 0 &&
		bsearch(&row, scan->returned_rows, scan->nreturned_rows, sizeof(FaceNearRow), compare_tids) != NULL)
		return;
	scan->last = face_grow(scan->last, scan->nlast, 1, &scan->max_last, sizeof(ItemPointerData));
	scan->last[scan->nlast++] = *tid;
}

/*
 * A row whose key was destroyed since the pass: it has no distance, and no
 * condition is true of it.  What several processes have found is not all then.
 */
void
face_scan_add_lost(FaceScan *scan, const ItemPointerData *tid)
{
	if (scan->has_conditions)
		return;
	if (scan->share != NULL)
		face_share_lose(scan->share);
	else
		add_last(scan, tid);
}

static void
add_unread(FaceScan *scan, const ItemPointerData *tid)
{
	scan->unread = face_grow(scan->unread, scan->nunread, 1, &scan->max_unread, sizeof(ItemPointerData));
	scan->unread[scan->nunread++] = *tid;
}

/* What is done with the rows of a list. */
typedef enum ListUse
{
	SCORE,						/* their codes are compared */
	MEASURE,					/* the templates are, for there are no codes */
	RETURN_FIRST,				/* the executor says what is wrong with them, or decides */
	RETURN_LAST,				/* they have no distance */
	SKIP						/* no condition is true of them */
} ListUse;

/* Remember all TIDs of a refinement page as rows that no bound decides about. */
static void
collect_tids(FaceScan *scan, const FaceLayout *layout, Buffer refine, ListUse use)
{
	for (int i = 0; i < layout->refine_slots; i++)
	{
		FaceRefineEntry *entry = FaceRefineEntryOf(BufferGetPage(refine), layout, i);

		if (!face_entry_names_row(scan->index, refine, entry))
			continue;
		if (use == RETURN_LAST)
			add_last(scan, &entry->tid);
		else if (use == MEASURE)
			add_unread(scan, &entry->tid);
		else
			face_scan_add_first(scan, &entry->tid);
	}
}

/* Is a slot of this refinement page taken? */
static bool
has_rows(Page sketch, const FaceLayout *layout, int which)
{
	const int	first = which * layout->refine_slots;

	for (int slot = first; slot < Min(first + layout->refine_slots, layout->slots); slot++)
		if (face_slot_used(FaceSketchBitmap(sketch, layout), slot))
			return true;
	return false;
}

/* All rows of a sketch page whose templates are not to be, or cannot be, compared. */
static void
scan_page_unscored(FaceScan *scan, const FaceLayout *layout, Buffer buffer, ListUse use)
{
	BlockNumber refine_blocks[FACE_MAX_REFINE_PAGES];
	uint64		stamp = FacePageGetOpaque(BufferGetPage(buffer))->stamp;

	memcpy(refine_blocks, FaceSketchRefineBlocks(BufferGetPage(buffer), layout),
		   sizeof(BlockNumber) * layout->refine_pages);
	for (int i = 0; i < layout->refine_pages; i++)
	{
		Buffer		refine;

		if (!BlockNumberIsValid(refine_blocks[i]) && !has_rows(BufferGetPage(buffer), layout, i))
			continue;
		refine = face_read_page(scan->index, refine_blocks[i], BUFFER_LOCK_SHARE);
		face_check_side_page(scan->index, refine, FACE_PAGE_REFINE, stamp);
		collect_tids(scan, layout, refine, use);
		UnlockReleaseBuffer(refine);
	}
}

/* A list that a scan reads. */
typedef struct ListScan
{
	const FaceListEntry *entry;
	ListUse		use;
	const uint8 *key;			/* of its codes; NULL unless they are sealed, and there to be read */
} ListScan;

static void
check_epoch(const FaceScan *scan, const ListScan *list, const FaceEpochState *state, Buffer buffer)
{
	if (state->epoch.dims != list->entry->key.dims || state->layout.sealed != (list->key != NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has templates of %d dimensions among those of %d at block %u, or sealed among others",
						RelationGetRelationName(scan->index), state->epoch.dims, list->entry->key.dims,
						BufferGetBlockNumber(buffer)),
				 errhint("Please REINDEX it.")));
}

/* Look at one locked page of a list, while `next` is fetched from memory. */
static void
scan_page(FaceScan *scan, const ListScan *list, Buffer buffer, Buffer next)
{
	const int	epoch = FacePageGetSketchHeader(BufferGetPage(buffer))->epoch;
	const FaceEpochPlan *plan = plan_for(scan, epoch);
	Page		ahead = BufferIsValid(next) ? BufferGetPage(next) : NULL;
	Page		open;

	scan->counters.pages++;
	if (list->use != SCORE)
	{
		scan_page_unscored(scan, &plan->state->layout, buffer, list->use);
		return;
	}
	check_epoch(scan, list, plan->state, buffer);
	open = face_open_sketches(&plan->state->layout, list->key, BufferGetPage(buffer), scan->opened);
	if (scan->for_many)
		face_many_page(scan, plan, buffer, list->key, open, ahead);
	else
		scan_sketch_page(scan, face_scan_plan(scan, epoch), buffer, list->key, open, ahead);
}

/*
 * One pass over a run of the chain of a list.  False when the chain was changed
 * under us: a page is not the one that its predecessor named, with the stamp
 * *missing, or the run's end is not there.
 */
static bool
scan_chain(FaceScan *scan, const FaceRun *run, const ListScan *list, uint64 *missing)
{
	uint64		stamp = run->stamp;
	FaceChainWalk walk = {0};
	Buffer		buffer = face_read_page(scan->index, run->start, BUFFER_LOCK_SHARE);

	for (;;)
	{
		Page		page = BufferGetPage(buffer);
		bool		last = BufferGetBlockNumber(buffer) == run->end && stamp == run->end_stamp;
		BlockNumber next_block;
		Buffer		next = InvalidBuffer;

		if (!face_page_is(page, FACE_PAGE_SKETCH) || FacePageGetOpaque(page)->stamp != stamp)
		{
			UnlockReleaseBuffer(buffer);
			*missing = stamp;
			return false;
		}
		face_chain_step(scan->index, &walk);

		/* Pin the next page first, so that its bytes can be on their way. */
		next_block = FacePageGetSketchHeader(page)->next;
		stamp = FacePageGetSketchHeader(page)->next_stamp;
		if (BlockNumberIsValid(next_block) && !last)
			next = face_read_page(scan->index, next_block, BUFFER_LOCK_UNLOCK);
		scan_page(scan, list, buffer, next);
		UnlockReleaseBuffer(buffer);
		if (!BufferIsValid(next))
			return last || !BlockNumberIsValid(run->end);
		CHECK_FOR_INTERRUPTS();
		LockBuffer(next, BUFFER_LOCK_SHARE);
		buffer = next;
	}
}

/*
 * What to do with a list.  A template whose key is gone has no distance to
 * anybody, as a null embedding has none: no condition is true of either.
 */
static ListUse
decide_use(const FaceScan *scan, const FaceListEntry *entry, const uint8 **key)
{
	bool		has_distance;

	/* Which rows an index finds tells their templates, as distances do. */
	if (scan->ntargets > 0 && face_list_is_sealed(&entry->key))
		face_check_may_open();
	has_distance = entry->key.dims != 0 && face_chain_key(&entry->key, key);

	if (!has_distance && scan->has_conditions)
		return SKIP;
	if (scan->ntargets == 0 || !has_distance || !list_is_comparable(scan, entry))
		return scan->orders && (!has_distance || scan->null_probe) ? RETURN_LAST : RETURN_FIRST;
	if (entry->key.unread)
		return scan->orders && !scan->null_probe ? MEASURE : RETURN_FIRST;
	return SCORE;
}

/* Its rows have a place in the scan's order, now at least: no key of theirs is gone. */
static bool
has_place(ListUse use)
{
	return use == SCORE || use == MEASURE || use == SKIP;
}

bool
face_scan_can_share(const FaceScan *scan, const FaceListEntry *entry)
{
	const uint8 *key;

	return !scan->orders || scan->null_probe || has_place(decide_use(scan, entry, &key));
}

/* Ready to read a list, or a run of it: what is sealed needs is had with no page locked. */
static ListScan
begin_list(FaceScan *scan, const FaceListEntry *entry)
{
	ListScan	list = {.entry = entry};

	list.use = decide_use(scan, entry, &list.key);
	if (list.key != NULL && list.use == SCORE)
	{
		int			epoch = face_epoch_find(&scan->meta, face_list_kind(&entry->key));

		if (scan->opened == NULL)
			scan->opened = MemoryContextAlloc(scan->context, sizeof(PGAlignedBlock));
		if (epoch >= 0)
			(void) plan_for(scan, epoch);
	}
	return list;
}

bool
face_scan_run(FaceScan *scan, const FaceRun *run)
{
	const ListScan list = begin_list(scan, run->entry);
	uint64		missing;

	if (scan->orders && !scan->null_probe && !has_place(list.use))
		return false;
	return list.use == SKIP || scan_chain(scan, run, &list, &missing);
}

/* Read a list, again from the start when its pages were recycled in between. */
static void
scan_list(FaceScan *scan, FaceListEntry *entry)
{
	const ListScan list = begin_list(scan, entry);
	const int	npages = scan->npages;
	const Size	nlower = scan->nlower;
	const Size	nsums = scan->nsums;
	const Size	nfirst = scan->nfirst;
	const Size	nlast = scan->nlast;
	const Size	nunread = scan->nunread;
	const FaceScanCounters counters = scan->counters;
	uint64		missing = 0;

	if (list.use == SKIP)
		return;
	for (int tries = 0; tries < MAX_RESTARTS; tries++)
	{
		const uint64 missed_before = missing;
		const FaceRun all = {entry, entry->head, entry->head_stamp, InvalidBlockNumber};

		if (scan_chain(scan, &all, &list, &missing))
		{
			scan->counters.lists++;
			return;
		}

		/* A page leaves its chain at the same instant as the link to it: who still finds the link finds damage. */
		if (missing == missed_before)
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("index \"%s\" has lost a page of a posting list", RelationGetRelationName(scan->index)),
					 errhint("Please REINDEX it.")));
		scan->npages = npages;
		scan->nlower = nlower;
		scan->nsums = nsums;
		scan->nfirst = nfirst;
		scan->nlast = nlast;
		scan->nunread = nunread;
		scan->counters = counters;
		if (scan->for_many)
			face_many_forget(scan);
		if (!face_directory_lookup(scan->index, &scan->meta, &entry->key, entry))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("pages of index \"%s\" were recycled during the scan too often", RelationGetRelationName(scan->index)),
			 errhint("Retry the query.")));
}

/* Add the lists of every combination of the hashes that the key columns may have, each list once. */
static List *
add_lists(FaceScan *scan, int column, uint64 *keys, bool *given, List *lists)
{
	const FaceKeyChoice *choice;

	if (column == scan->meta.nkeys)
	{
		CHECK_FOR_INTERRUPTS();
		return list_concat(lists, face_directory_find(scan->index, &scan->meta, keys, given));
	}
	choice = &scan->keys[column];
	given[column] = choice->given;
	if (!choice->given)
		return add_lists(scan, column + 1, keys, given, lists);
	for (int i = 0; i < choice->nvalues; i++)
	{
		keys[column] = choice->values[i];
		lists = add_lists(scan, column + 1, keys, given, lists);
	}
	return lists;
}

void
face_scan_prepare(FaceScan *scan)
{
	face_meta_read(scan->index, &scan->meta);
	face_room_take(scan);
}

List *
face_scan_lists(FaceScan *scan)
{
	uint64		keys[INDEX_MAX_KEYS];
	bool		given[INDEX_MAX_KEYS];

	face_scan_prepare(scan);
	return scan->impossible ? NIL : add_lists(scan, 0, keys, given, NIL);
}

void
face_scan_pass(FaceScan *scan, List *lists)
{
	ListCell   *cell;

	foreach(cell, lists)
		scan_list(scan, lfirst(cell));
}
