/*-------------------------------------------------------------------------
 *
 * erase_page.c
 *	  The bytes outside the tuples of a page.
 *
 * The hole between pd_lower and pd_upper keeps the bytes from before tuples were
 * moved together, and up to seven bytes after a tuple, up to its alignment
 * boundary, keep the bytes from before the tuple. Nothing reads either, so an
 * exclusive lock is enough to set them to zero. GenericXLog sets the hole to zero
 * here and, when the record is replayed, on standbys. Without WAL it does not, so
 * the page that it copies back is zeroed first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "utils/memutils.h"

#include "erasure/erase_page.h"

/* Rows or blocks that a list begins with. */
#define FIRST_ROOM 1024

void
face_report_damage(Relation rel, Buffer buffer)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("block %u of \"%s\" is damaged", BufferGetBlockNumber(buffer), RelationGetRelationName(rel)),
			 errhint("Its bytes cannot be erased or checked. Restore the table, or copy what is readable to a new one.")));
}

/* Refuses a page that lies about what is where.  The caller has a lock. */
void
face_check_layout(Relation rel, Buffer buffer, FacePageForm form)
{
	Page		page = BufferGetPage(buffer);
	PageHeader	header = (PageHeader) page;

	if (PageIsNew(page) || form == FACE_PAGE_OPAQUE)
		return;
	if (header->pd_lower < SizeOfPageHeaderData || header->pd_lower > header->pd_upper ||
		header->pd_upper > header->pd_special || header->pd_special > BLCKSZ ||
		header->pd_special != MAXALIGN(header->pd_special))
		face_report_damage(rel, buffer);
	if (form != FACE_PAGE_ITEMS)
		return;
	for (OffsetNumber line = FirstOffsetNumber; line <= PageGetMaxOffsetNumber(page); line++)
	{
		ItemId		item = PageGetItemId(page, line);

		if (ItemIdHasStorage(item) &&
			(ItemIdGetOffset(item) < header->pd_upper || ItemIdGetOffset(item) != MAXALIGN(ItemIdGetOffset(item)) ||
			 ItemIdGetOffset(item) + ItemIdGetLength(item) > header->pd_special))
			face_report_damage(rel, buffer);
	}
}

static int64
nonzero_bytes(const char *from, const char *to)
{
	int64		count = 0;

	for (; from < to && (uintptr_t) from % sizeof(uint64) != 0; from++)
		count += *from != 0;
	for (; from + sizeof(uint64) <= to; from += sizeof(uint64))
		if (*(const uint64 *) from != 0)
			for (int i = 0; i < sizeof(uint64); i++)
				count += from[i] != 0;
	for (; from < to; from++)
		count += *from != 0;
	return count;
}

/*
 * Where the hole begins that may hold something of a row.  A server that checks
 * assertions fills the line pointers that VACUUM cuts off with 0x7F, and does
 * so after any erasure.
 */
static const char *
after_freed_lines(const char *lower, const char *upper)
{
#ifdef CLOBBER_FREED_MEMORY
	const uint32 freed = 0x7F7F7F7F;

	while (lower + sizeof(ItemIdData) <= upper && memcmp(lower, &freed, sizeof(ItemIdData)) == 0)
		lower += sizeof(ItemIdData);
#endif
	return lower;
}

/* Marks the bytes of the tuple area that belong to tuples, with or without their padding. */
static void
mark_items(Page page, bool with_padding, bool *covered)
{
	memset(covered, false, BLCKSZ);
	for (OffsetNumber line = FirstOffsetNumber; line <= PageGetMaxOffsetNumber(page); line++)
	{
		ItemId		item = PageGetItemId(page, line);
		Size		end;

		if (!ItemIdHasStorage(item))
			continue;
		end = ItemIdGetOffset(item) + ItemIdGetLength(item);
		if (with_padding)
			end = MAXALIGN(end);
		memset(covered + ItemIdGetOffset(item), true, Min(end, BLCKSZ) - ItemIdGetOffset(item));
	}
}

/* Bytes between tuples: there are such only where something moved tuples without moving them together. */
static int64
bytes_between(Page page)
{
	PageHeader	header = (PageHeader) page;
	bool		covered[BLCKSZ];
	int64		count = 0;

	mark_items(page, true, covered);
	for (int i = header->pd_upper; i < header->pd_special; i++)
		count += !covered[i] && page[i] != 0;
	return count;
}

/* Counts what is not zero outside a page's tuples.  The caller has checked the layout. */
void
face_count_free(Page page, FacePageForm form, FaceRemains *remains)
{
	PageHeader	header = (PageHeader) page;
	Size		taken = 0;

	if (PageIsNew(page) || form == FACE_PAGE_OPAQUE)
		return;
	remains->stray += nonzero_bytes(after_freed_lines(page + header->pd_lower, page + header->pd_upper), page + header->pd_upper);
	if (form != FACE_PAGE_ITEMS)
		return;
	for (OffsetNumber line = FirstOffsetNumber; line <= PageGetMaxOffsetNumber(page); line++)
	{
		ItemId		item = PageGetItemId(page, line);
		Size		end;

		if (!ItemIdHasStorage(item))
			continue;
		end = ItemIdGetOffset(item) + ItemIdGetLength(item);
		taken += MAXALIGN(ItemIdGetLength(item));
		if (end != MAXALIGN(end))
			remains->padding += nonzero_bytes(page + end, page + Min(MAXALIGN(end), header->pd_special));
	}
	if (taken != (Size) (header->pd_special - header->pd_upper))
		remains->stray += bytes_between(page);
}

bool
face_page_has_strays(Page page, FacePageForm form)
{
	FaceRemains remains = {0};

	face_count_free(page, form, &remains);
	return remains.stray + remains.padding != 0;
}

/* Makes zero what is outside the tuples of a page that the caller has locked exclusively. */
void
face_clear_free(Relation rel, Buffer buffer, FacePageForm form)
{
	GenericXLogState *xlog = GenericXLogStart(rel);
	Page		page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	PageHeader	header = (PageHeader) page;

	memset(page + header->pd_lower, 0, header->pd_upper - header->pd_lower);
	if (form == FACE_PAGE_ITEMS)
	{
		bool		covered[BLCKSZ];

		mark_items(page, false, covered);
		for (int i = header->pd_upper; i < header->pd_special; i++)
			if (!covered[i])
				page[i] = 0;
	}
	GenericXLogFinish(xlog);
}

/*--------------------------------------------------------- pages of which nothing is to be believed */

/* What is not zero behind a page's header. */
int64
face_bytes_on_page(Page page)
{
	return nonzero_bytes(page + SizeOfPageHeaderData, page + BLCKSZ);
}

/* Makes zero all of a page that the caller has locked exclusively. */
void
face_blank_page(Relation rel, Buffer buffer)
{
	GenericXLogState *xlog = GenericXLogStart(rel);

	PageInit(GenericXLogRegisterBuffer(xlog, buffer, GENERIC_XLOG_FULL_IMAGE), BLCKSZ, 0);
	GenericXLogFinish(xlog);
}

/*--------------------------------------------------------- lists */

static void
make_room(void **list, Size size, int64 count, int64 *room)
{
	if (count < *room)
		return;
	*room = *room == 0 ? FIRST_ROOM : *room * 2;
	*list = *list == NULL ? palloc_extended(*room * size, MCXT_ALLOC_HUGE) : repalloc_huge(*list, *room * size);
}

void
face_dead_row(FaceDeadRows *dead, BlockNumber block, OffsetNumber line)
{
	make_room((void **) &dead->tids, sizeof(ItemPointerData), dead->count, &dead->room);
	ItemPointerSet(&dead->tids[dead->count], block, line);
	dead->count++;
}

static int
compare_tids(const void *a, const void *b)
{
	return ItemPointerCompare(unconstify(void *, a), unconstify(void *, b));
}

void
face_sort_dead_rows(FaceDeadRows *dead)
{
	if (dead->count > 1)
		qsort(dead->tids, dead->count, sizeof(ItemPointerData), compare_tids);
}

/* Block and line as one number, in the order of the list. */
static inline uint64
row_number(const ItemPointerData *tid)
{
	return ((uint64) ItemPointerGetBlockNumberNoCheck(tid) << 16) | ItemPointerGetOffsetNumberNoCheck(tid);
}

/* A binary search of its own: this is asked for every entry of every index. */
bool
face_is_dead_row(const FaceDeadRows *dead, ItemPointer tid)
{
	const uint64 wanted = row_number(tid);
	int64		low = 0;
	int64		high = dead->count;

	while (low < high)
	{
		int64		middle = (low + high) / 2;

		if (row_number(&dead->tids[middle]) < wanted)
			low = middle + 1;
		else
			high = middle;
	}
	return low < dead->count && row_number(&dead->tids[low]) == wanted;
}

void
face_add_block(FaceBlockRange *blocks, BlockNumber block)
{
	make_room((void **) &blocks->blocks, sizeof(BlockNumber), blocks->count, &blocks->room);
	blocks->blocks[blocks->count++] = block;
}
