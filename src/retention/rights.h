/*-------------------------------------------------------------------------
 *
 * rights.h
 *	  Events of the stream of rights, numbered as they are committed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_RIGHTS_H
#define FACEMATCH_RETENTION_RIGHTS_H

#include "postgres.h"

extern void face_rights_init(void);

#endif							/* FACEMATCH_RETENTION_RIGHTS_H */
