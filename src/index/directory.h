/*-------------------------------------------------------------------------
 *
 * directory.h
 *	  From gallery keys to posting lists: an extendible hash table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_DIRECTORY_H
#define FACEMATCH_INDEX_DIRECTORY_H

#include "nodes/pg_list.h"

#include "index/page.h"

/* A posting list's entry, with the pages that hold it exclusively locked. */
typedef struct FaceEntryLock
{
	Buffer		primary;		/* first page of the bucket: serialises changes */
	Buffer		buffer;			/* page with the entry, may be primary */
	int			position;		/* of the entry on it; -1: there is none */
} FaceEntryLock;

extern void face_directory_init_root(Page page, BlockNumber bucket);
extern void face_directory_init_bucket(Page page, int depth);

/* Which slot of the root these keys belong to. */
extern uint32 face_directory_slot(const FaceMetaData *meta, const uint64 *keys);

/* Copy the entry of one list; false if there is none. */
extern bool face_directory_lookup(Relation index, const FaceMetaData *meta, const FaceListKey *key,
								  FaceListEntry *entry);

/*
 * Copies of all entries whose keys are these, whatever their model; keys whose
 * `given` is false match any.  A List of FaceListEntry pointers.
 */
extern List *face_directory_find(Relation index, const FaceMetaData *meta, const uint64 *keys, const bool *given);

/* Lock a list's entry for change; position is -1 when it does not exist. */
extern void face_directory_lock(Relation index, const FaceMetaData *meta, const FaceListKey *key, FaceEntryLock *lock);
extern FaceListEntry *face_directory_locked_entry(const FaceMetaData *meta, const FaceEntryLock *lock, Page page);
extern void face_directory_unlock(FaceEntryLock *lock);

/* Make room for one more entry in the bucket of `keys`. */
extern void face_directory_make_room(Relation index, const FaceMetaData *meta, const uint64 *keys);

/* Give back overflow pages whose entries fit on the page before; returns how many.  For VACUUM. */
extern BlockNumber face_directory_trim(Relation index, const FaceMetaData *meta);

/* On a page registered for change: append and remove entries. */
extern bool face_bucket_has_room(const FaceMetaData *meta, Page page);
extern void face_bucket_append(const FaceMetaData *meta, Page page, const FaceListEntry *entry);
extern void face_bucket_remove(const FaceMetaData *meta, Page page, int position);

#endif							/* FACEMATCH_INDEX_DIRECTORY_H */
