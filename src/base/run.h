/*-------------------------------------------------------------------------
 *
 * run.h
 *	  Statements, look-ups by name, and look-ups through an index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_RUN_H
#define FACEMATCH_BASE_RUN_H

#include "postgres.h"

#include "access/skey.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "utils/snapshot.h"

#include "base/gate.h"

/* Where the extension's tables are, whatever schema its type is in: those for users, and the others. */
#define FACE_SCHEMA "facematch"
#define FACE_INTERNAL_SCHEMA "facematch_internal"

/* A plan made once in a backend's life. */
typedef struct FacePlan
{
	const char *sql;
	int			nargs;
	Oid			types[9];
	SPIPlanPtr	plan;
	int			options;		/* CURSOR_OPT_...; 0: one plan for all values, of one process */
} FacePlan;

/* What is done with each row of a query. */
typedef void (*FaceRowSeen) (HeapTuple row, TupleDesc desc, void *state);

/* Whether a row that an index look-up found answers the question. */
typedef bool (*FaceRowTest) (TupleTableSlot *row, void *state);

extern Oid	face_table(const char *name);
extern bool face_is_own_schema(Oid namespace);
extern bool face_is_own(Oid relid);
extern bool face_exists(Oid relid);
extern char *face_qualified_name(Oid relid);
extern const char *face_column(Oid relid, const char *column);
extern void face_next_transaction(void);
extern void face_forget_at_end(void (*forget) (void));

extern void face_run_plan_at(FacePlan *plan, Datum *values, Oid run_as, Snapshot snapshot);
extern uint64 face_run(const char *sql, int nargs, Oid *types, Datum *values, Oid run_as);
extern void face_read_plan(FacePlan *plan, Datum *values, Oid run_as);
extern uint64 face_run_on(Oid relid, const char *sql, int nargs, Oid *types, Datum *values);
extern void face_scan_on(Oid relid, const char *sql, int nargs, Oid *types, Datum *values, FaceRowSeen seen, void *state);
extern void face_run_ddl(Oid relid, const char *sql);
extern bool face_find_row(Oid table, Oid index, int nkeys, ScanKey keys, FaceRowTest test, void *state);
extern Oid	face_index_on(Oid table, int nkeys, const char *const *columns);

/* With the newest snapshot. */
static inline void
face_run_plan(FacePlan *plan, Datum *values, Oid run_as)
{
	face_run_plan_at(plan, values, run_as, NULL);
}

/* A column of the first row that the last statement gave; isnull may be NULL. */
static inline Datum
face_result(int column, bool *isnull)
{
	bool		unasked;

	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull != NULL ? isnull : &unasked);
}

#endif							/* FACEMATCH_BASE_RUN_H */
