/*-------------------------------------------------------------------------
 *
 * erase.h
 *	  Making the bytes of removed rows zero, and proving that none is left.
 *
 *	erase.c			one table with its TOAST table and indexes: order, throttle, progress
 *	erase_page.c	any page: what lies outside its tuples
 *	erase_heap.c	pages of a table
 *	erase_index.c	pages of indexes, by access method
 *	erase_btree.c	B-tree leaf pages: entries of dead rows; keys that outlive rows
 *	erase_purge.c	the purge erases what it removed, and writes that down
 *	verify.c		facematch.verify_erased()
 *	wal_horizon.c	what the files in pg_wal still hold
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_ERASURE_ERASE_H
#define FACEMATCH_ERASURE_ERASE_H

#include "postgres.h"

#include "nodes/pg_list.h"
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

/* What was done to one relation. */
typedef struct FaceErased
{
	Oid			relid;
	int64		pages;			/* looked at */
	int64		cleared;		/* changed */
	int64		removed;		/* rows or entries */
	int64		fading;			/* rows that must wait for a snapshot */
	int64		busy;			/* pages with dead rows that somebody looks at */
	bool		left_to_vacuum; /* entries of dead rows that only VACUUM takes out of this kind of index */
	bool		unproven;		/* an index whose pages do not tell what outlives rows there */
} FaceErased;

/* Some of a relation's blocks. */
typedef struct FaceBlockRange
{
	BlockNumber *blocks;
	int64		count;
	int64		room;
} FaceBlockRange;

/* Access methods, by what can be said of their pages. */
typedef enum FaceIndexKind
{
	FACE_INDEX_BTREE,
	FACE_INDEX_FACEMATCH,
	FACE_INDEX_HASH,
	FACE_INDEX_GIST,
	FACE_INDEX_SPGIST,
	FACE_INDEX_GIN,
	FACE_INDEX_BRIN,
	FACE_INDEX_BLOOM,
	FACE_INDEX_UNKNOWN
} FaceIndexKind;

/* What of a page may be read by its header: nothing, its hole, or its items as well. */
typedef enum FacePageForm
{
	FACE_PAGE_OPAQUE,
	FACE_PAGE_HOLE,
	FACE_PAGE_ITEMS
} FacePageForm;

/* A walk over a relation's pages: each is pinned, not locked. */
typedef void (*FaceVisit) (Relation rel, Buffer buffer, void *state);

/* erase.c */
extern void face_check_erasable(Relation rel);
extern List *face_erase_table(Oid relid);
extern List *face_erasable_tables(Oid relid);

/* walk.c */
extern void face_each_page(Relation rel, ForkNumber fork, FaceVisit visit, void *state);

/* erase_page.c */
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

/* erase_heap.c */
typedef struct FaceHeapErasure FaceHeapErasure;

extern void face_look_at_heap_page(Relation rel, Buffer buffer, TransactionId oldest, FaceRemains *remains, FaceDeadRows *dead);
extern FaceHeapErasure *face_heap_erasure(Relation rel, FaceDeadRows *dead, FaceErased *done);
extern void face_erase_heap_page(Relation rel, Buffer buffer, void *erasure);
extern void face_retry_heap_pages(Relation rel, FaceHeapErasure *erasure);

/* erase_index.c */
extern FaceIndexKind face_index_kind(Relation index);
extern FacePageForm face_checked_index_page(Relation index, FaceIndexKind kind, Buffer buffer);
extern void face_erase_index(Relation table, Relation index, const FaceDeadRows *dead, FaceErased *done);
extern bool face_index_row_is_dead(ItemPointer tid, void *dead);

/* erase_btree.c */
extern void face_erase_btree_entries(Relation table, Relation index, Buffer buffer, const FaceDeadRows *dead, FaceErased *done);
extern bool face_btree_has_dead_entries(Relation index, Buffer buffer, const FaceDeadRows *dead, FaceRemains *remains);
extern int64 face_btree_lost_keys(Relation index, const FaceDeadRows *dead);

/* erase_purge.c */
typedef struct FacePurgeErasure FacePurgeErasure;

extern FacePurgeErasure *face_purge_erasure(Oid table);
extern void face_note_receipt(FacePurgeErasure *erasure);
extern List *face_parts_left(const FacePurgeErasure *erasure);
extern bool face_has_to_erase(FacePurgeErasure *erasure, Oid part, Datum *seen);
extern void face_erase_removed(FacePurgeErasure *erasure, Oid part, Datum seen);
extern void face_note_failure(FacePurgeErasure *erasure, Oid part);
extern void face_forget_statistics(FacePurgeErasure *erasure);
extern void face_erase_statistics(FacePurgeErasure *erasure);
extern void face_record_erasure(FacePurgeErasure *erasure);
extern void face_erase_init(void);

#endif							/* FACEMATCH_ERASURE_ERASE_H */
