/*-------------------------------------------------------------------------
 *
 * kin.h
 *	  Tables that belong together: partitions, and tables that inherit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_KIN_H
#define FACEMATCH_BASE_KIN_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"
#include "utils/snapshot.h"

extern List *face_catalog_rows(Oid catalog, Oid index, AttrNumber column, Oid key, Snapshot snapshot);
extern List *face_with_heirs(Oid relid, LOCKMODE lockmode);
extern List *face_with_kin(Oid relid);
extern List *face_line(Oid relid);
extern List *face_with_half_detached(Oid relid);
extern List *face_reached(Oid relid, bool deletes, bool updates, LOCKMODE lockmode);

#endif							/* FACEMATCH_BASE_KIN_H */
