/*-------------------------------------------------------------------------
 *
 * change.c
 *	  One change of several pages, in one WAL record.
 *
 * An insertion changes a few hundred bytes of three pages.  GenericXLogFinish
 * finds them by comparing the pages byte by byte, which takes a fifth of the
 * time that staging takes, and half of what the index adds to it.  Here words
 * are compared.  Otherwise it is the same: the caller changes copies, what
 * differs goes to the pages and into the record, and PostgreSQL's generic
 * resource manager replays it, without this library.  For a page a generic
 * record has its fragments: offset and length, two bytes each, and the bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/rmgr.h"
#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/bufpage.h"

#include "compat.h"
#include "index/change.h"

/* Before it is raised: is it what PostgreSQL's generic_xlog.c reads there, and does test/index/standby.pl pass? */
StaticAssertDecl(PG_VERSION_NUM < 200000, "does this version replay generic records as 15 to 19 do?");

/* A sketch page, and the two beside it. */
#define MAX_PAGES 3

/* Equal bytes between two fragments cost no more than the header of a second one. */
#define FRAGMENT_HEADER ((int) (2 * sizeof(uint16)))

/* Fragments are that far apart, but for those at the ends of what is compared in one go. */
#define MAX_DELTA (BLCKSZ + 4 * FRAGMENT_HEADER)

/* What is compared at a time to find where pages begin to differ. */
#define STRIDE 32

typedef struct ChangedPage
{
	Buffer		buffer;
	bool		whole;			/* the record has all of it */
	int			length;			/* of the delta */
	char		delta[MAX_DELTA];
	PGAlignedBlock copy;
} ChangedPage;

static Relation changed_index;
static ChangedPage pages[MAX_PAGES];
static int	npages;

/* Between pd_lower and pd_upper a page has nothing, whatever its bytes are. */
static const PGAlignedBlock nothing = {{0}};

void
face_change_start(Relation index)
{
	changed_index = index;
	npages = 0;
}

/* A copy of an exclusively locked page, to be changed. */
Page
face_change_page(Buffer buffer, bool whole)
{
	ChangedPage *page = &pages[npages++];

	Assert(npages <= MAX_PAGES);
	page->buffer = buffer;
	page->whole = whole;
	page->length = 0;
	memcpy(page->copy.data, BufferGetPage(buffer), BLCKSZ);
	return (Page) page->copy.data;
}

static void
add_fragment(ChangedPage *page, int from, int to)
{
	const uint16 header[2] = {from, to - from};

	memcpy(page->delta + page->length, header, FRAGMENT_HEADER);
	memcpy(page->delta + page->length + FRAGMENT_HEADER, page->copy.data + from, to - from);
	page->length += FRAGMENT_HEADER + to - from;
}

/* The first place from `at` on where the bytes differ, or `end`. */
static int
next_difference(const char *old, const char *new, int at, int end)
{
	while (at + STRIDE <= end && memcmp(old + at, new + at, STRIDE) == 0)
		at += STRIDE;
	while (at < end && old[at] == new[at])
		at++;
	return at;
}

/* Write down where the copy differs from what was there. */
static void
compare(ChangedPage *page, const char *old, int start, int end)
{
	const char *new = page->copy.data;
	int			from = next_difference(old, new, start, end);

	while (from < end)
	{
		int			to = from;
		int			next = from;
		int			limit;

		do
		{
			to = next + 1;
			limit = Min(end, to + FRAGMENT_HEADER + 1);
			next = next_difference(old, new, to, limit);
		} while (next < limit);
		add_fragment(page, from, to);
		from = next_difference(old, new, to, end);
	}
}

/* Bring a page's copy into the form that replay gives it, and find what has changed. */
static void
settle(ChangedPage *page)
{
	const PageHeaderData *now = (PageHeader) BufferGetPage(page->buffer);
	const PageHeaderData *then = (PageHeader) page->copy.data;

	memset(page->copy.data + then->pd_lower, 0, then->pd_upper - then->pd_lower);
	if (page->whole)
		return;
	compare(page, (const char *) now, 0, now->pd_lower);
	compare(page, nothing.data, now->pd_lower, now->pd_upper);
	compare(page, (const char *) now, now->pd_upper, BLCKSZ);
}

static void
write_record(void)
{
	XLogRecPtr	lsn;

	XLogBeginInsert();
	for (int i = 0; i < npages; i++)
	{
		XLogRegisterBuffer(i, pages[i].buffer, REGBUF_STANDARD | (pages[i].whole ? REGBUF_FORCE_IMAGE : 0));
		if (!pages[i].whole)
			XLogRegisterBufData(i, pages[i].delta, pages[i].length);
	}
	lsn = XLogInsert(RM_GENERIC_ID, 0);
	for (int i = 0; i < npages; i++)
		PageSetLSN(BufferGetPage(pages[i].buffer), lsn);
}

/* Put the copies in place of the pages, and log what that changes. */
void
face_change_finish(void)
{
	for (int i = 0; i < npages; i++)
		settle(&pages[i]);

	START_CRIT_SECTION();
	for (int i = 0; i < npages; i++)
	{
		memcpy(BufferGetPage(pages[i].buffer), pages[i].copy.data, BLCKSZ);
		MarkBufferDirty(pages[i].buffer);
	}
	if (RelationNeedsWAL(changed_index))
		write_record();
	END_CRIT_SECTION();
}
