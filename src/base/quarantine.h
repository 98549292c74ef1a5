/*-------------------------------------------------------------------------
 *
 * quarantine.h
 *	  Tables whose code cannot be stopped: none of it runs any more.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_QUARANTINE_H
#define FACEMATCH_BASE_QUARANTINE_H

#include "postgres.h"

extern bool face_is_quarantined(Oid relid);
extern void face_quarantine(Oid relid);

#endif							/* FACEMATCH_BASE_QUARANTINE_H */
