/*-------------------------------------------------------------------------
 *
 * refusal.h
 *	  The name of what an error refuses.
 *
 * Several refusals share an SQLSTATE, and messages are for people.  So each
 * error by which the extension refuses names the rule that was broken, where
 * PostgreSQL has the name of a constraint: drivers show it beside the SQLSTATE.
 * In PL/pgSQL it is RAISE ... USING CONSTRAINT.  test/base/test_refusals.py
 * finds errors without a name, and docs/reference.md lists the names.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_REFUSAL_H
#define FACEMATCH_BASE_REFUSAL_H

#include "postgres_ext.h"

#define face_refusal(name) err_generic_string(PG_DIAG_CONSTRAINT_NAME, (name))

#endif							/* FACEMATCH_BASE_REFUSAL_H */
