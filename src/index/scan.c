/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  Index scans: what the executor asks for, and handing rows to it.
 *
 * Every row is rechecked (xs_recheck): keys are only hashes here, thresholds
 * only bounds.  Ordered rows come with their distance (see order.c); only rows
 * that cannot be compared with the probe leave it to the executor, which then
 * says what is wrong with them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "catalog/pg_type.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "embedding/threshold.h"
#include "embedding/sealed.h"
#include "index/activity.h"
#include "index/heap.h"
#include "index/keys.h"
#include "index/order.h"
#include "index/pass.h"
#include "index/pass_many.h"
#include "index/refine.h"
#include "index/scan.h"
#include "index/settings.h"
#include "index/share.h"
#include "keys/template_key.h"

double		face_miss_probability = FACE_DEFAULT_MISS_PROBABILITY;

/* State that lives as long as the scan descriptor. */
typedef struct FaceScanOpaque
{
	MemoryContext context;		/* reset by every rescan */
	FaceScan   *scan;
	FaceScanCounters before;	/* of the scans before the last rescan */
	instr_time	spent;			/* in the access method, on the present scan */
	Oid			orderby_types[INDEX_MAX_KEYS];
} FaceScanOpaque;

IndexScanDesc
face_beginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc desc = RelationGetIndexScan(index, nkeys, norderbys);
	FaceScanOpaque *opaque = palloc0(sizeof(FaceScanOpaque));

	opaque->context = AllocSetContextCreate(CurrentMemoryContext, "facematch scan", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < norderbys; i++)
		opaque->orderby_types[i] = FLOAT8OID;
	if (norderbys > 0)
	{
		desc->xs_orderbyvals = palloc0(sizeof(Datum) * norderbys);
		desc->xs_orderbynulls = palloc(sizeof(bool) * norderbys);
		memset(desc->xs_orderbynulls, true, sizeof(bool) * norderbys);
	}
	desc->opaque = opaque;
	return desc;
}

/* What a scan and all its rescans did, for EXPLAIN. */
FaceScanCounters
face_scan_counters(IndexScanDesc desc)
{
	const FaceScanOpaque *opaque = desc->opaque;
	FaceScanCounters sum = opaque->before;

	if (opaque->scan != NULL)
		face_add_counters(&sum, &opaque->scan->counters);
	return sum;
}

/* Add the time since `start` to what the present scan took. */
static void
count_time(FaceScanOpaque *opaque, instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_ACCUM_DIFF(opaque->spent, now, start);
}

/* Let go of a scan's pins and memory. */
static void
end_scan(FaceScanOpaque *opaque)
{
	if (opaque->scan != NULL && opaque->scan->reader != NULL)
		face_heap_reader_free(opaque->scan->reader);
	if (opaque->scan != NULL)
		face_add_counters(&opaque->before, &opaque->scan->counters);
	if (opaque->scan != NULL && opaque->scan->started && opaque->scan->returns)
		face_activity_add(&opaque->scan->counters, opaque->spent);
	INSTR_TIME_SET_ZERO(opaque->spent);
	opaque->scan = NULL;
	MemoryContextReset(opaque->context);
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* The hashes of a key condition: one value, or those of an array. */
static void
read_key_condition(FaceScan *scan, const ScanKey key, FaceKeyChoice *choice)
{
	ArrayType  *array;
	Oid			element_type;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Datum	   *values;
	bool	   *nulls;
	int			nvalues;

	/* A second condition on the column is left to the executor. */
	if (choice->given)
		return;
	choice->given = true;
	if (!(key->sk_flags & SK_SEARCHARRAY))
	{
		choice->values = palloc(sizeof(uint64));
		choice->values[0] = face_hash_key(scan->index, key->sk_attno, key->sk_subtype, key->sk_argument, false);
		choice->nvalues = 1;
		return;
	}

	array = DatumGetArrayTypeP(key->sk_argument);
	element_type = ARR_ELEMTYPE(array);
	get_typlenbyvalalign(element_type, &typlen, &typbyval, &typalign);
	deconstruct_array(array, element_type, typlen, typbyval, typalign, &values, &nulls, &nvalues);
	choice->values = palloc(sizeof(uint64) * Max(nvalues, 1));
	for (int i = 0; i < nvalues; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!nulls[i])
			choice->values[choice->nvalues++] =
				face_hash_key(scan->index, key->sk_attno, key->sk_subtype, values[i], false);
	}

	/* each list once */
	qsort(choice->values, choice->nvalues, sizeof(uint64), compare_hashes);
	choice->nvalues = (int) qunique(choice->values, choice->nvalues, sizeof(uint64), compare_hashes);
}

/* Ask for a distance, or bound one that is asked for already: usually a threshold is on the distance that orders. */
static void
add_target(FaceScan *scan, const FaceEmbedding *probe, FaceMetric metric, double max_distance)
{
	FaceTarget *target = scan->targets;

	while (target < scan->targets + scan->ntargets &&
		   (target->metric != metric || target->probe->dims != probe->dims || target->probe->model != probe->model ||
			memcmp(target->probe->x, probe->x, sizeof(uint16) * probe->dims) != 0))
		target++;
	if (target == scan->targets + scan->ntargets)
	{
		target->probe = probe;
		target->metric = metric;
		target->max_distance = get_float8_infinity();
		scan->ntargets++;
	}
	target->max_distance = Min(target->max_distance, max_distance);
}

static void
read_conditions(FaceScan *scan, ScanKey keys, int nkeys)
{
	const int	nkeycolumns = IndexRelationGetNumberOfKeyAttributes(scan->index) - 1;

	scan->keys = palloc0(sizeof(FaceKeyChoice) * (nkeycolumns + 1));
	for (int i = 0; i < nkeys; i++)
	{
		if (keys[i].sk_flags & SK_ISNULL)
			scan->impossible = true;	/* all our operators are strict */
		else if (keys[i].sk_attno <= nkeycolumns)
			read_key_condition(scan, &keys[i], &scan->keys[keys[i].sk_attno - 1]);
		else
		{
			FaceProbe  *probe = DatumGetFaceProbe(keys[i].sk_argument);
			FaceEmbedding *opened = face_opened_copy_if_allowed(&probe->embedding);

			Assert(keys[i].sk_strategy == FACE_THRESHOLD_STRATEGY || keys[i].sk_strategy == FACE_MAY_MATCH_STRATEGY);
			scan->has_conditions = true;
			if (opened == NULL)
				scan->impossible = true;	/* its key is gone: it compares with nobody */
			else
				add_target(scan, opened, face_probe_metric(probe), face_probe_max_distance(probe));
		}
	}
}

static FaceMetric
ordering_metric(StrategyNumber strategy)
{
	switch (strategy)
	{
		case FACE_COSINE_STRATEGY:
			return FACE_COSINE;
		case FACE_EUCLIDEAN_STRATEGY:
			return FACE_EUCLIDEAN;
		case FACE_INNER_PRODUCT_STRATEGY:
			return FACE_NEGATIVE_INNER_PRODUCT;
	}
	elog(ERROR, "unexpected ordering strategy %d", strategy);
}

static void
read_ordering(FaceScan *scan, ScanKey orderby)
{
	const FaceMetric metric = ordering_metric(orderby->sk_strategy);
	FaceEmbedding *probe = NULL;

	/* One whose key is gone is as far from all as an unknown one. */
	if ((orderby->sk_flags & SK_ISNULL) == 0)
		probe = face_opened_copy_if_allowed(DatumGetFaceEmbedding(orderby->sk_argument));
	scan->orders = true;
	scan->doubts = face_template_key_doubts();
	scan->null_probe = probe == NULL;
	if (probe != NULL)
		add_target(scan, probe, metric, get_float8_infinity());
}

void
face_rescan(IndexScanDesc desc, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	FaceScanOpaque *opaque = desc->opaque;
	MemoryContext old;
	FaceScan   *scan;

	if (keys != NULL && desc->numberOfKeys > 0)
		memmove(desc->keyData, keys, desc->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys != NULL && desc->numberOfOrderBys > 0)
		memmove(desc->orderByData, orderbys, desc->numberOfOrderBys * sizeof(ScanKeyData));

	end_scan(opaque);
	old = MemoryContextSwitchTo(opaque->context);
	scan = palloc0(sizeof(FaceScan));
	scan->index = desc->indexRelation;
	scan->context = opaque->context;
	scan->limit = get_float8_infinity();
	scan->returns = true;
	scan->returned_up_to = -get_float8_infinity();
	scan->targets = palloc(sizeof(FaceTarget) * (desc->numberOfKeys + 1));

	/* Further orderings break ties, which is the executor's work here. */
	if (desc->numberOfOrderBys > 0)
		read_ordering(scan, &desc->orderByData[0]);
	read_conditions(scan, desc->keyData, desc->numberOfKeys);
	opaque->scan = scan;
	MemoryContextSwitchTo(old);
}

/* FaceRefineCallback for scans that do not order: a row, unless a condition rules it out. */
static void
add_match(FaceScan *scan, const FaceScanPage *page, const FaceRefined *refined)
{
	const double max_distance = scan->targets[0].max_distance;
	FaceBounds	bounds;

	if (face_query_refine(scan->plans[page->epoch]->queries[0], refined->sum, &refined->scalars, max_distance, &bounds) &&
		!(bounds.lower > max_distance))
		face_scan_add_first(scan, &refined->tid);
}

/* The pass by this process alone, even if it has read pages before. */
static void
pass_anew(FaceScan *scan, List *lists)
{
	scan->npages = 0;
	scan->nlower = 0;
	scan->nsums = 0;
	scan->nunread = 0;
	face_scan_pass(scan, lists);
}

/* Forget all that was found. */
static void
forget(FaceScan *scan)
{
	memset(&scan->counters, 0, sizeof(scan->counters));
	scan->nfirst = 0;
	scan->nlast = 0;
}

/* The pass, alone or of a part. */
static FaceShareRole
pass(IndexScanDesc desc, FaceScan *scan)
{
	FaceShareRole role = FACE_SHARE_ALL;

	if (desc->parallel_scan != NULL)
		role = face_share_pass(scan, face_parallel_area(desc->parallel_scan));
	else if (!face_many_pass(scan, desc->xs_snapshot))
		role = FACE_SHARE_ALONE;
	if (role == FACE_SHARE_ALONE || role == FACE_SHARE_NOTHING)
		forget(scan);
	if (role == FACE_SHARE_ALONE)
		pass_anew(scan, face_scan_lists(scan));
	if (scan->returns)
	{
		pgstat_count_index_scan(scan->index);
		face_count_search(desc);
	}
	return role;
}

static void
start_scan(IndexScanDesc desc, FaceScan *scan)
{
	const FaceShareRole role = pass(desc, scan);

	scan->started = true;
	scan->at_end = role == FACE_SHARE_NOTHING;
	if (scan->at_end)
		return;
	if (scan->orders && !scan->null_probe)
	{
		face_order_begin(scan);
		scan->reader = face_heap_reader_create(desc->heapRelation, scan->index, desc->xs_snapshot);
		if (role == FACE_SHARE_PART)
			face_order_together(scan);
	}
	else
	{
		/* Without an ordering, everything that passed the sketches is refined at once. */
		const double everything = get_float8_infinity();

		face_refine_up_to(scan, &everything, add_match, NULL);
	}
	if (role != FACE_SHARE_PART)
		return;
	if (face_share_finish(scan))
		scan->at_end = !scan->returns || scan->returned_up_to == get_float8_infinity();
	else
	{
		forget(scan);
		pass_anew(scan, face_scan_lists(scan));
		face_order_begin(scan);
	}
}

/* More is wanted than several processes have looked for.  Of the lists that they did not share all rows are known. */
static void
go_on_alone(FaceScan *scan)
{
	face_scan_note_returned(scan, scan->together, scan->ntogether);
	pass_anew(scan, scan->shared);
	face_order_begin(scan);
	scan->emitted = scan->ntogether;
	scan->together = NULL;
	scan->ntogether = scan->next_together = 0;
}

/* The next row in order, of those that several processes have found, or of a scan by one. */
static bool
next_ordered(FaceScan *scan, ItemPointer tid, double *distance)
{
	if (scan->next_together < scan->ntogether)
	{
		const FaceNearRow *row = &scan->together[scan->next_together++];

		*tid = row->tid;
		*distance = row->distance;
		return true;
	}
	if (scan->at_end)
		return false;
	if (scan->together != NULL)
		go_on_alone(scan);
	return face_order_next(scan, tid, distance);
}

/* The next row; false at the end.  *isnull: it has no distance. */
static bool
next_row(FaceScan *scan, ItemPointer tid, double *distance, bool *isnull)
{
	*isnull = false;
	*distance = 0;
	if (scan->next_first < scan->nfirst)
	{
		/* Rows that cannot be compared come first: the operator will say so. */
		*tid = scan->first[scan->next_first++];
		*distance = -get_float8_infinity();
		return true;
	}
	if (scan->orders && !scan->null_probe && next_ordered(scan, tid, distance))
		return true;
	if (scan->next_last < scan->nlast)
	{
		*tid = scan->last[scan->next_last++];
		*isnull = true;
		return true;
	}
	return false;
}

bool
face_gettuple(IndexScanDesc desc, ScanDirection dir)
{
	FaceScanOpaque *opaque = desc->opaque;
	FaceScan   *scan = opaque->scan;
	MemoryContext old = MemoryContextSwitchTo(opaque->context);
	IndexOrderByDistance distances[INDEX_MAX_KEYS];
	instr_time	start;
	bool		found;

	Assert(ScanDirectionIsForward(dir));
	INSTR_TIME_SET_CURRENT(start);

	/*
	 * The rows a scan finds are its snapshot's because slots are reused only
	 * for newer rows; under any other snapshot that would not hold.
	 */
	if (!IsMVCCSnapshot(desc->xs_snapshot))
		elog(ERROR, "non-MVCC snapshots are not supported with facematch indexes");

	if (!scan->started)
		start_scan(desc, scan);
	found = next_row(scan, &desc->xs_heaptid, &distances[0].value, &distances[0].isnull);
	if (found)
	{
		scan->counters.returned++;
		desc->xs_recheck = true;
		for (int i = 1; i < desc->numberOfOrderBys; i++)
		{
			distances[i].value = -get_float8_infinity();
			distances[i].isnull = false;
		}

		/*
		 * A row that cannot be compared is not to raise the operator's error
		 * here: the query's other conditions may rule it out, as in a
		 * sequential scan.  If they do not, it comes first, and the operator
		 * is called for the row's output.  If a key was destroyed since the
		 * row was measured, the executor finds that it has no distance any
		 * more, and puts it behind the others.
		 */
		if (desc->numberOfOrderBys > 0)
			index_store_float8_orderby_distances(desc, opaque->orderby_types, distances, !isinf(distances[0].value) &&
												 (desc->numberOfOrderBys > 1 || (!distances[0].isnull && scan->doubts != face_template_key_doubts())));
	}
	face_last_scan = scan->counters;
	count_time(opaque, start);
	MemoryContextSwitchTo(old);
	return found;
}

int64
face_getbitmap(IndexScanDesc desc, TIDBitmap *tbm)
{
	FaceScanOpaque *opaque = desc->opaque;
	FaceScan   *scan = opaque->scan;
	MemoryContext old = MemoryContextSwitchTo(opaque->context);
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	if (!scan->started)
		start_scan(desc, scan);
	for (Size i = 0; i < scan->nfirst; i++)
		tbm_add_tuples(tbm, &scan->first[i], 1, true);
	scan->counters.returned = scan->nfirst;
	face_last_scan = scan->counters;
	count_time(opaque, start);
	MemoryContextSwitchTo(old);
	return (int64) scan->nfirst;
}

void
face_endscan(IndexScanDesc desc)
{
	FaceScanOpaque *opaque = desc->opaque;

	end_scan(opaque);
	MemoryContextDelete(opaque->context);
	pfree(opaque);
}
