/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  What the guard knows of the table whose rows it sees.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_GUARD_H
#define FACEMATCH_RETENTION_GUARD_H

#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"

#include "base/row.h"
#include "gallery/enrol.h"
#include "retention/opt_outs_and_holds.h"

/* What the guard of one table knows of it.  Column numbers are 0 where it has no such column. */
typedef struct FaceGuard
{
	char	   *what;
	AttrNumber	key;
	AttrNumber	class;
	AttrNumber	recorded;
	AttrNumber	purge_after;
	AttrNumber	subject;
	AttrNumber	template;
	AttrNumber	gallery;
	AttrNumber	verified;
	AttrNumber	anchor;
	AttrNumber	rule;
	AttrNumber	source;
	AttrNumber	quality;
	bool		enrols;			/* rows are references */
	FaceEnrolment enrolment;
	FaceRow		row;			/* the one that comes */
	FaceRow		was;			/* and the one that it replaces */
	FmgrInfo	key_output;
	List	   *relids;			/* the table, then what it is a partition of */
	FaceLookups lookups;
} FaceGuard;

/* By the trigger's arguments, which are read once for each statement. */
extern FaceGuard *face_guard_of(FunctionCallInfo fcinfo, const TriggerData *trigger);

extern AttrNumber face_guarded_column(Relation rel, const char *name, Oid type);

#endif							/* FACEMATCH_RETENTION_GUARD_H */
