/*-------------------------------------------------------------------------
 *
 * room.c
 *	  Memory of the pass over the sketches, kept from scan to scan.
 *
 * A search of a million templates fills 7 MB. To get that from the operating
 * system and return it takes as long as a third of the pass, because the kernel
 * zeroes each page. So the next scan reuses the memory, unless an array is
 * larger than work_mem.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "index/scan_state.h"

/* An array of a scan, in the terms of face_grow(). */
typedef struct Array
{
	void	   *items;
	Size		max;
} Array;

/* Pages, their bounds, the bounds of slots, sums. */
#define ARRAYS 4

static const Size element_sizes[ARRAYS] = {sizeof(FaceScanPage), sizeof(float), sizeof(float), sizeof(FaceSketchSum)};
static Array spare[ARRAYS];
static MemoryContext room_context = NULL;

void *
face_grow(void *array, Size used, Size more, Size *max, Size element)
{
	if (used + more <= *max)
		return array;
	*max = Max(*max * 2, used + more + 64);
	return array == NULL ?
		MemoryContextAllocHuge(CurrentMemoryContext, *max * element) :
		repalloc_huge(array, *max * element);
}

/* When the scan's context is reset, at the scan's end or by an error. */
static void
give_back(void *arg)
{
	FaceScan   *scan = arg;
	const Array arrays[ARRAYS] = {
		{scan->pages, scan->max_pages},
		{scan->page_lower, scan->max_page_lower},
		{scan->lower, scan->max_lower},
		{scan->sums, scan->max_sums},
	};

	if (scan->opened != NULL)
		explicit_bzero(scan->opened, sizeof(PGAlignedBlock));
	for (int i = 0; i < ARRAYS; i++)
	{
		if (arrays[i].items == NULL)
			continue;
		if (spare[i].items == NULL && arrays[i].max * element_sizes[i] <= (Size) work_mem * 1024)
			spare[i] = arrays[i];
		else
			pfree(arrays[i].items);
	}
}

void
face_room_take(FaceScan *scan)
{
	MemoryContextCallback *callback;

	/* a scan that begins again has it */
	if (scan->has_room)
		return;
	scan->has_room = true;
	callback = MemoryContextAllocZero(scan->context, sizeof(MemoryContextCallback));
	if (room_context == NULL)
		room_context = AllocSetContextCreate(TopMemoryContext, "facematch bounds", ALLOCSET_DEFAULT_SIZES);
	callback->func = give_back;
	callback->arg = scan;
	MemoryContextRegisterResetCallback(scan->context, callback);
	scan->pages = spare[0].items;
	scan->max_pages = spare[0].max;
	scan->page_lower = spare[1].items;
	scan->max_page_lower = spare[1].max;
	scan->lower = spare[2].items;
	scan->max_lower = spare[2].max;
	scan->sums = spare[3].items;
	scan->max_sums = spare[3].max;
	memset(spare, 0, sizeof(spare));
}

void
face_room_for_page(FaceScan *scan, const FaceLayout *layout)
{
	MemoryContext old = MemoryContextSwitchTo(room_context);

	scan->pages = face_grow(scan->pages, scan->npages, 1, &scan->max_pages, sizeof(FaceScanPage));
	scan->page_lower = face_grow(scan->page_lower, scan->npages, 1, &scan->max_page_lower, sizeof(float));
	scan->lower = face_grow(scan->lower, scan->nlower, layout->slots, &scan->max_lower, sizeof(float));
	if (layout->has_plane)
		scan->sums = face_grow(scan->sums, scan->nsums, (Size) layout->slots * scan->ntargets, &scan->max_sums,
							   sizeof(FaceSketchSum));
	MemoryContextSwitchTo(old);
}
