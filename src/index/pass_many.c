/*-------------------------------------------------------------------------
 *
 * pass_many.c
 *	  One pass over the sketches for several probes.
 *
 * A caller that will search by several probes, one after another and with one
 * snapshot, announces it (face_many_begin). The first of the scans then reads
 * the sketches for all of them: each page is locked once, and compared with one
 * probe after another while its bytes are in the processor's cache. The same
 * holds for the second bits of the templates that pass, on their own page. The
 * other scans find their bounds here. After that every scan runs as usual, so
 * the answers are those of single searches.
 *
 * Kept for a probe are the slots whose bounds pass the threshold, with 12 bytes
 * each; a single scan keeps some for every slot. All together stay within
 * work_mem: if the last probe's slots exceed it, that probe's scan makes
 * another pass.
 *
 * All scans use the snapshot that was taken before the pass and is held until
 * the last scan: a slot that is freed in between held nothing that they see,
 * and what fills it is newer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "index/pass.h"
#include "index/pass_many.h"
#include "index/refine.h"
#include "index/sealed.h"
#include "index/settings.h"

/* A slot that may hold a template of interest. */
typedef struct Found
{
	float		lower;			/* bound on its distance */
	int			page;			/* in FaceMany.pages */
	uint16		slot;
	FaceSketchSum sum;
} Found;

/* What a pass found for one probe. */
typedef struct ProbeFound
{
	Found	   *found;			/* page by page */
	Size		nfound;
	Size		max_found;
	int64		planes;			/* templates whose second bits were compared */
	bool		taken;			/* by the probe's scan */
} ProbeFound;

typedef struct FaceMany
{
	MemoryContext context;		/* of what a pass found */
	const FaceEmbedding *const *probes;
	int			count;
	Snapshot	snapshot;

	/* the last pass, and what its scans asked for beside their probes */
	Oid			index;
	FaceKeyChoice *keys;
	double		max_distance;
	int			first;			/* probes that it was for: from this one */
	int			end;			/* to the one before this one */
	bool		usable;
	FaceScanPage *pages;
	FaceScanCounters counters;	/* for each probe */
	ProbeFound	found[FACE_MOST_TOGETHER];
	FaceQuery **queries[FACE_MAX_EPOCHS];	/* of the probes from "first", while it runs */
	Size		bytes;			/* that `found` and `pages` take */
	Found		left[FACE_MOST_TOGETHER * FACE_MAX_SLOTS];	/* of one page, by all probes */
} FaceMany;

static FaceMany *many = NULL;

void
face_many_begin(const FaceEmbedding *const *probes, int count, Snapshot snapshot)
{
	FaceMany   *begun = palloc0(sizeof(FaceMany));

	begun->context = AllocSetContextCreate(CurrentMemoryContext, "facematch probes", ALLOCSET_DEFAULT_SIZES);
	begun->probes = probes;
	begun->count = count;
	begun->snapshot = snapshot;
	many = begun;
}

void
face_many_end(void)
{
	if (many == NULL)
		return;
	MemoryContextDelete(many->context);
	pfree(many);
	many = NULL;
}

/*--------------------------------------------------------- during the pass */

/* The queries of all probes for an epoch. */
static FaceQuery **
queries_for(const FaceScan *walk, const FaceEpochPlan *plan, int epoch)
{
	const FaceEpochState *state = plan->state;

	face_epoch_require(walk->index, state);
	if (many->queries[epoch] != NULL)
		return many->queries[epoch];
	many->queries[epoch] = MemoryContextAlloc(walk->context, sizeof(FaceQuery *) * FACE_MOST_TOGETHER);
	for (int i = many->first; i < many->end; i++)
		many->queries[epoch][i - many->first] = face_query_create(state->codec, state->centre, many->probes[i],
																  FACE_COSINE, face_miss_probability);
	return many->queries[epoch];
}

/* Room for the slots of one more page. */
static void
make_room(ProbeFound *probe, int slots)
{
	const Size	before = probe->max_found;
	MemoryContext old = MemoryContextSwitchTo(many->context);

	probe->found = face_grow(probe->found, probe->nfound, slots, &probe->max_found, sizeof(Found));
	many->bytes += (probe->max_found - before) * sizeof(Found);
	MemoryContextSwitchTo(old);
}

/* Stay within work_mem: with one probe as much is kept as there is. */
static void
give_up_probes(void)
{
	while (many->bytes > (Size) work_mem * 1024 && many->end - many->first > 1)
	{
		ProbeFound *last = &many->found[--many->end - many->first];

		many->bytes -= last->max_found * sizeof(Found);
		if (last->found != NULL)
			pfree(last->found);
		memset(last, 0, sizeof(ProbeFound));
	}
}

/* A locked sketch page, and what is beside it. */
typedef struct OnePage
{
	const FaceEpochState *state;
	const uint8 *key;			/* NULL unless it is sealed */
	Page		page;			/* open */
	int			number;			/* in FaceMany.pages */
	float		limit;
	Buffer		planes;			/* locked as well, once anything there is of interest */
} OnePage;

/*
 * The slots of a page that one query leaves, and what their look-ups gave;
 * their second bits come from memory while other probes are compared.
 */
static int
take_slots(FaceScan *walk, OnePage *one, const float *lower, const FaceSketchSum *sums, Found *left)
{
	const FaceLayout *layout = &one->state->layout;
	int			n = 0;

	for (int slot = 0; slot < layout->slots; slot++)
	{
		if (isinf(lower[slot]))
			continue;
		left[n++] = (Found) {lower[slot], one->number, slot, sums[slot]};
		if (!layout->has_plane)
			continue;
		if (!BufferIsValid(one->planes))
		{
			one->planes = face_read_page(walk->index, FaceSketchRefineBlocks(one->page, layout)[layout->refine_pages],
										 BUFFER_LOCK_SHARE);
			face_check_side_page(walk->index, one->planes, FACE_PAGE_PLANE, FacePageGetOpaque(one->page)->stamp);
		}
		__builtin_prefetch(FacePlaneOf(BufferGetPage(one->planes), layout, slot));
		__builtin_prefetch(FacePlaneScalarsOf(BufferGetPage(one->planes), layout, slot));
	}
	return n;
}

/* Give up to FACE_BLOCK_SLOTS that a query leaves the bounds of their second bits; those that these rule out get infinity. */
static void
look_at_block(FaceQuery *query, const OnePage *one, Found *left, int n)
{
	const FaceLayout *layout = &one->state->layout;
	FaceBlockScalars scalars = {0};
	FaceSketchSum sketch_sums[FACE_BLOCK_SLOTS];
	int32		sums[FACE_BLOCK_SLOTS] = {0};
	float		lower[FACE_BLOCK_SLOTS];
	FacePlanes	planes;

	planes.n = 0;
	for (int i = 0; i < n; i++)
	{
		face_planes_add(&planes, layout, one->key, BufferGetPage(one->planes), left[i].slot, &scalars);
		sketch_sums[i] = left[i].sum;
	}
	face_planes_open(&planes, layout, &scalars);
	face_query_plane_sums(query, n, sketch_sums, planes.codes, sums);
	face_query_plane_bounds(query, 1, &scalars, sums, one->limit, lower);
	for (int i = 0; i < n; i++)
		left[i].lower = lower[i];
}

/* Keep the slots that have bounds. */
static bool
keep(ProbeFound *probe, const Found *left, int n)
{
	const Size	before = probe->nfound;

	make_room(probe, n);
	for (int i = 0; i < n; i++)
		if (!isinf(left[i].lower))
			probe->found[probe->nfound++] = left[i];
	return probe->nfound > before;
}

/* Compare a page with all probes, while `next` is fetched from memory; is anything of interest? */
static bool
compare_page(FaceScan *walk, OnePage *one, FaceQuery **queries, Page next)
{
	const FaceLayout *layout = &one->state->layout;
	const int	count = many->end - many->first;
	Found	   *left = many->left;
	int			n[FACE_MOST_TOGETHER];
	float		lower[FACE_MAX_SLOTS];
	FaceSketchSum sums[FACE_MAX_SLOTS] = {0};
	bool		any = false;

	for (int i = 0; i < count; i++)
	{
		float		smallest = face_page_bounds(queries[i], one->state, one->page, i == 0 ? next : NULL, one->limit, lower,
												layout->has_plane ? sums : NULL);

		n[i] = isinf(smallest) ? 0 : take_slots(walk, one, lower, sums, left);
		left += n[i];
	}
	left = many->left;
	for (int i = 0; i < count; i++)
	{
		if (n[i] == 0)
			continue;
		if (layout->has_plane)
		{
			for (int first = 0; first < n[i]; first += FACE_BLOCK_SLOTS)
				look_at_block(queries[i], one, left + first, Min(n[i] - first, FACE_BLOCK_SLOTS));
			many->found[i].planes += n[i];
		}
		any |= keep(&many->found[i], left, n[i]);
		left += n[i];
	}
	return any;
}

void
face_many_page(FaceScan *walk, const FaceEpochPlan *plan, Buffer buffer, const uint8 *key, Page open, Page next)
{
	OnePage		one = {
		.state = plan->state,.key = key,.page = open,.number = walk->npages,
		.limit = face_round_up(many->max_distance),.planes = InvalidBuffer
	};
	FaceQuery **queries = queries_for(walk, plan, FacePageGetSketchHeader(one.page)->epoch);

	walk->counters.sketches += FacePageGetSketchHeader(one.page)->used;
	if (compare_page(walk, &one, queries, next))
	{
		face_room_for_page(walk, &one.state->layout);
		face_describe_page(&one.state->layout, buffer, key, &walk->pages[walk->npages++]);
		many->bytes += sizeof(FaceScanPage);
	}
	if (BufferIsValid(one.planes))
		UnlockReleaseBuffer(one.planes);
	give_up_probes();
}

/* A list is read again from its start: forget what was found on its pages, those from npages on. */
void
face_many_forget(FaceScan *walk)
{
	for (int i = 0; i < many->end - many->first; i++)
	{
		ProbeFound *probe = &many->found[i];

		while (probe->nfound > 0 && probe->found[probe->nfound - 1].page >= walk->npages)
			probe->nfound--;
	}
}

/*--------------------------------------------------------- the scans */

static FaceKeyChoice *
copy_keys(const FaceKeyChoice *keys, int count)
{
	FaceKeyChoice *copy = palloc0(sizeof(FaceKeyChoice) * (count + 1));

	for (int i = 0; i < count; i++)
	{
		copy[i] = keys[i];
		copy[i].values = palloc(sizeof(uint64) * Max(keys[i].nvalues, 1));
		if (keys[i].nvalues > 0)
			memcpy(copy[i].values, keys[i].values, sizeof(uint64) * keys[i].nvalues);
	}
	return copy;
}

static bool
same_keys(const FaceKeyChoice *a, const FaceKeyChoice *b, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (a[i].given != b[i].given || a[i].nvalues != b[i].nvalues ||
			(a[i].nvalues > 0 && memcmp(a[i].values, b[i].values, sizeof(uint64) * a[i].nvalues) != 0))
			return false;
	}
	return true;
}

/* Do the scan's conditions ask for what the last pass was for? */
static bool
asks_the_same(const FaceScan *scan, int nkeys)
{
	return many->keys != NULL && many->usable && many->index == RelationGetRelid(scan->index) &&
		many->max_distance == scan->targets[0].max_distance && same_keys(many->keys, scan->keys, nkeys);
}

/* Is this an ordered scan by one probe with a threshold, one of those that were announced? */
static bool
is_of_many(const FaceScan *scan, Snapshot snapshot)
{
	return many != NULL && snapshot == many->snapshot && !scan->impossible && scan->orders && !scan->null_probe &&
		scan->ntargets == 1 && scan->targets[0].metric == FACE_COSINE && !isinf(scan->targets[0].max_distance);
}

/* With the same templates: then the same lists are of interest. */
static bool
compares_alike(const FaceEmbedding *a, const FaceEmbedding *b)
{
	return a->dims == b->dims && a->model == b->model;
}

static bool
is_probe(const FaceScan *scan, int which)
{
	const FaceEmbedding *probe = many->probes[which];
	const FaceEmbedding *own = scan->targets[0].probe;

	return compares_alike(probe, own) && memcmp(probe->x, own->x, sizeof(uint16) * probe->dims) == 0;
}

/* The pass for the probes from the last one's end on, with the scan's conditions. */
static void
pass(FaceScan *scan, int nkeys)
{
	FaceScan   *walk = palloc0(sizeof(FaceScan));
	MemoryContext old;

	MemoryContextReset(many->context);
	memset(many->found, 0, sizeof(many->found));
	memset(many->queries, 0, sizeof(many->queries));
	many->first = many->end;
	while (many->end < Min(many->first + FACE_MOST_TOGETHER, many->count) &&
		   compares_alike(many->probes[many->end], many->probes[many->first]))
		many->end++;
	many->index = RelationGetRelid(scan->index);
	many->max_distance = scan->targets[0].max_distance;
	many->bytes = 0;
	old = MemoryContextSwitchTo(many->context);
	many->keys = copy_keys(scan->keys, nkeys);
	MemoryContextSwitchTo(old);

	walk->index = scan->index;
	walk->context = scan->context;
	walk->orders = true;
	walk->has_conditions = scan->has_conditions;
	walk->targets = scan->targets;
	walk->ntargets = scan->ntargets;
	walk->keys = scan->keys;
	walk->for_many = true;
	face_scan_pass(walk, face_scan_lists(walk));

	/* Rows that no bound decides about are for scans of their own. */
	many->usable = walk->nfirst == 0 && walk->nlast == 0 && walk->nunread == 0;
	many->pages = MemoryContextAllocHuge(many->context, sizeof(FaceScanPage) * (walk->npages + 1));
	memcpy(many->pages, walk->pages, sizeof(FaceScanPage) * walk->npages);
	many->counters = walk->counters;
}

/* Give a scan the bounds of one page; returns how many of those found they were. */
static Size
hand_over_page(FaceScan *scan, const Found *found, Size count)
{
	const FaceScanPage *page = &many->pages[found->page];
	const FaceLayout *layout = &face_scan_plan(scan, page->epoch)->state->layout;
	float		smallest = get_float4_infinity();
	Size		n = 0;

	face_room_for_page(scan, layout);
	scan->pages[scan->npages] = *page;
	for (int slot = 0; slot < layout->slots; slot++)
		scan->lower[scan->nlower + slot] = get_float4_infinity();
	for (; n < count && found[n].page == found->page; n++)
	{
		scan->lower[scan->nlower + found[n].slot] = found[n].lower;
		if (layout->has_plane)
			scan->sums[scan->nsums + found[n].slot] = found[n].sum;
		smallest = Min(smallest, found[n].lower);
	}
	face_append_page(scan, layout, smallest);
	return n;
}

/* Give a scan the bounds that the pass found for its probe, which are not needed again. */
static void
hand_over(FaceScan *scan, ProbeFound *probe)
{
	face_meta_read(scan->index, &scan->meta);
	face_room_take(scan);
	for (Size i = 0; i < probe->nfound; i += hand_over_page(scan, probe->found + i, probe->nfound - i))
		CHECK_FOR_INTERRUPTS();
	scan->counters = many->counters;
	scan->counters.planes = probe->planes;
	probe->taken = true;
	if (probe->found != NULL)
		pfree(probe->found);
	probe->found = NULL;
}

/* In place of a scan's own pass; false: it needs one. */
bool
face_many_pass(FaceScan *scan, Snapshot snapshot)
{
	const int	nkeys = IndexRelationGetNumberOfKeyAttributes(scan->index) - 1;

	if (!is_of_many(scan, snapshot))
		return false;
	if (many->end < many->count && is_probe(scan, many->end))
		pass(scan, nkeys);
	if (!asks_the_same(scan, nkeys))
		return false;
	for (int i = many->first; i < many->end; i++)
	{
		if (!many->found[i - many->first].taken && is_probe(scan, i))
		{
			hand_over(scan, &many->found[i - many->first]);
			return true;
		}
	}
	return false;
}
