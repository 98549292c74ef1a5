/*-------------------------------------------------------------------------
 *
 * gate.h
 *	  The one gate through which code of others runs: as whom, with which
 *	  settings, and what of a session it may not touch.
 *
 *	gate.c		identity, settings, session locks
 *	named.c		what a statement names, and what it reaches
 *	attempt.c	clock and errors: work on a user's table that may refuse, or not end
 *	run.c		statements
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_GATE_H
#define FACEMATCH_BASE_GATE_H

#include "postgres.h"

#include "catalog/objectaccess.h"

/* What there was before, to go back to. */
typedef struct FaceGate
{
	Oid			user;
	int			context;
	int			settings;
	bool		restricted;
	Oid			outer_owner;
	Oid			outer_contained;
	Oid			outer_several;
	bool		outer_own;
	const char *outer_statement;
	Oid			outer_named;
} FaceGate;

extern void face_report_missing(Oid relid);
extern Oid	face_owner(Oid relid);
extern Oid	face_acts_as(Oid relid, bool *several);

extern void face_open_for_own(FaceGate *gate, Oid run_as);
extern void face_open_for_table(FaceGate *gate, Oid relid, const char *statement);
extern void face_open_for_ddl(FaceGate *gate, Oid relid);
extern void face_close_gate(const FaceGate *gate);
extern void face_gate_failed(const FaceGate *gate);

extern bool face_is_tables_code(void);
extern _Noreturn void face_refuse_tables_code(const char *function);
extern int	face_locks_held(void);
extern void face_check_locks_held(int before);
extern void face_watch_objects(object_access_hook_type watch);
extern void face_gate_init(void);

#endif							/* FACEMATCH_BASE_GATE_H */
