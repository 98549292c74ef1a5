/*-------------------------------------------------------------------------
 *
 * recompute.h
 *	  Deadlines of a subject's rows, computed anew.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_RECOMPUTE_H
#define FACEMATCH_RETENTION_RECOMPUTE_H

#include "postgres.h"

extern void face_recompute_subject(Datum subject, const char *cause);

#endif							/* FACEMATCH_RETENTION_RECOMPUTE_H */
