/*-------------------------------------------------------------------------
 *
 * erase_page.h
 *	  What lies outside the tuples of a page, and lists of what was found.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_ERASURE_ERASE_PAGE_H
#define FACEMATCH_ERASURE_ERASE_PAGE_H

#include "postgres.h"

#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

/* Rows of which a table keeps only a line pointer, until VACUUM: in order, once sorted. */
typedef struct FaceDeadRows
{
	ItemPointerData *tids;
	int64		count;
	int64		room;
} FaceDeadRows;

/* What the pages of a relation hold beside live rows. */
typedef struct FaceRemains
{
	int64		pages;
	int64		dead;			/* rows or index entries that nobody can see */
	int64		fading;			/* deleted rows that somebody may still see */
	int64		stray;			/* bytes outside tuples that are not zero */
	int64		padding;		/* the same, between a tuple's end and the next alignment boundary */
	int64		keys;			/* inner keys of a B-tree that no entry has */
	int64		unwritten;		/* pages whose file is older than what was looked at */
} FaceRemains;

/* Some of a relation's blocks. */
typedef struct FaceBlockRange
{
	BlockNumber *blocks;
	int64		count;
	int64		room;
} FaceBlockRange;

/* What of a page may be read by its header: nothing, its hole, or its items as well. */
typedef enum FacePageForm
{
	FACE_PAGE_OPAQUE,
	FACE_PAGE_HOLE,
	FACE_PAGE_ITEMS
} FacePageForm;

extern void face_report_damage(Relation rel, Buffer buffer);
extern void face_check_layout(Relation rel, Buffer buffer, FacePageForm form);
extern void face_count_free(Page page, FacePageForm form, FaceRemains *remains);
extern bool face_page_has_strays(Page page, FacePageForm form);
extern void face_clear_free(Relation rel, Buffer buffer, FacePageForm form);
extern int64 face_bytes_on_page(Page page);
extern void face_blank_page(Relation rel, Buffer buffer);
extern void face_dead_row(FaceDeadRows *dead, BlockNumber block, OffsetNumber line);
extern void face_sort_dead_rows(FaceDeadRows *dead);
extern bool face_is_dead_row(const FaceDeadRows *dead, ItemPointer tid);
extern void face_add_block(FaceBlockRange *blocks, BlockNumber block);

#endif							/* FACEMATCH_ERASURE_ERASE_PAGE_H */
