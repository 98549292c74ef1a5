/*-------------------------------------------------------------------------
 *
 * inspect.h
 *	  Opening an index to look inside it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_INSPECT_H
#define FACEMATCH_INDEX_INSPECT_H

#include "storage/lockdefs.h"
#include "utils/relcache.h"

/*
 * Lock and open a facematch index and its table, the table first as everybody
 * does; the locks last until the end of the transaction.
 */
extern void face_inspect_open(Oid index_oid, LOCKMODE lockmode, Relation *heap, Relation *index);
extern void face_inspect_close(Relation heap, Relation index);

#endif							/* FACEMATCH_INDEX_INSPECT_H */
