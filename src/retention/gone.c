/*-------------------------------------------------------------------------
 *
 * gone.c
 *	  Receipts of rows that were deleted by statements that write no receipt
 *	  themselves.
 *
 * Users with the privilege delete rows, and foreign keys do. Inspectors ask for
 * these rows as well. A trigger after each row counts them, by table and class, and
 * records whose they were. The receipts are written when the transaction commits,
 * so there is one for each table and class however many statements it took. Rows of
 * a savepoint that is rolled back are not counted.
 *
 * A transition table would put templates into a temporary file, so this is a row
 * trigger.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "base/kin.h"
#include "base/row.h"
#include "base/run.h"
#include "retention/gone.h"
#include "retention/retained.h"

/* A receipt is of no more persons: more would not go into an array. */
#define MOST_SUBJECTS	1000000
#define FIRST_SUBJECTS	64

/* Rows of one table and class that one subtransaction has deleted. */
typedef struct Gone
{
	SubTransactionId by;
	Oid			relid;			/* the table under retention */
	const char *cause;
	char	   *class;			/* empty: of an opt-out, or none */
	uint64		rows;
	pg_uuid_t  *subjects;
	int			count;
	int			room;
} Gone;

/* A statement deleted them, or a foreign key or a trigger that it set off. */
static const char by_hand[] = "by_hand";

/* In the transaction's memory. */
static List *gone = NIL;

/* The table of a statement whose deletions are not by hand, while it runs; the cause is NULL if its caller writes the receipt. */
typedef struct Deletion
{
	Oid			relid;
	const char *cause;
} Deletion;

static Deletion running = {InvalidOid, NULL};

/* What the trigger knows of its table, once a statement. */
typedef struct Table
{
	const FaceRetained *table;
	AttrNumber	class;
	AttrNumber	subject;
	FaceRow		row;
} Table;

uint64
face_run_deletion(const char *cause, Oid table, Oid relid, const char *sql, int nargs, Oid *types, Datum *values)
{
	Deletion	outer = running;
	uint64		rows;

	running = (Deletion) {table, cause};
	PG_TRY();
	{
		rows = face_run_on(relid, sql, nargs, types, values);
	}
	PG_FINALLY();
	{
		running = outer;
	}
	PG_END_TRY();
	return rows;
}

/*--------------------------------------------------------- what has gone */

static Gone *
entry(SubTransactionId by, Oid relid, const char *cause, const char *class)
{
	MemoryContext caller;
	ListCell   *cell;
	Gone	   *new;

	foreach(cell, gone)
	{
		Gone	   *of = lfirst(cell);

		if (of->by == by && of->relid == relid && strcmp(of->cause, cause) == 0 && strcmp(of->class, class) == 0)
			return of;
	}
	caller = MemoryContextSwitchTo(TopTransactionContext);
	new = palloc0(sizeof(Gone));
	new->by = by;
	new->relid = relid;
	new->cause = cause;
	new->class = pstrdup(class);
	gone = lappend(gone, new);
	MemoryContextSwitchTo(caller);
	return new;
}

static void
add_subjects(Gone *to, const pg_uuid_t *subjects, int count)
{
	if (count == 0)
		return;
	if (to->count + count > to->room)
	{
		int			room = Max(Max(FIRST_SUBJECTS, to->room * 2), to->count + count);

		to->subjects = to->subjects == NULL ? MemoryContextAllocHuge(TopTransactionContext, sizeof(pg_uuid_t) * room) :
			repalloc_huge(to->subjects, sizeof(pg_uuid_t) * room);
		to->room = room;
	}
	memcpy(to->subjects + to->count, subjects, sizeof(pg_uuid_t) * count);
	to->count += count;
}

static ArrayType *
subjects_of(const Gone *of)
{
	Datum	   *values = palloc(sizeof(Datum) * of->count);

	for (int i = 0; i < of->count; i++)
		values[i] = UUIDPGetDatum(&of->subjects[i]);
	return construct_array(values, of->count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
}

static void
write_receipt(const Gone *of)
{
	face_write_receipt(of->cause, of->relid, of->class, of->rows, 0, DT_NOBEGIN, DT_NOBEGIN,
					   of->count == 0 ? NULL : subjects_of(of));
}

/* Before the commit.  A table that this transaction has dropped is told of by its own event. */
static void
write_receipts(void)
{
	ListCell   *cell;

	if (gone == NIL || !OidIsValid(get_extension_oid("facematch", true)))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, gone)
	{
		const Gone *of = lfirst(cell);

		if (of->rows > 0 && face_exists(of->relid))
			write_receipt(of);
	}
	PopActiveSnapshot();
}

static void
note_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		write_receipts();
	else
	{
		gone = NIL;
		running = (Deletion) {InvalidOid, NULL};
	}
}

static void
note_subtransaction(SubXactEvent event, SubTransactionId by, SubTransactionId parent, void *arg)
{
	ListCell   *cell;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(cell, gone)
	{
		Gone	   *of = lfirst(cell);

		if (of->by != by)
			continue;
		/* Before a longer list may take the place of this one. */
		gone = foreach_delete_current(gone, cell);
		if (event == SUBXACT_EVENT_COMMIT_SUB)
		{
			Gone	   *to = entry(parent, of->relid, of->cause, of->class);

			to->rows += of->rows;
			add_subjects(to, of->subjects, of->count);
		}
		if (of->subjects != NULL)
			pfree(of->subjects);
	}
}

void
face_gone_init(void)
{
	RegisterXactCallback(note_transaction, NULL);
	RegisterSubXactCallback(note_subtransaction, NULL);
}

/*--------------------------------------------------------- the trigger */

/* The table under retention that this one is, or is a partition of; NULL: it was released, and the trigger stayed. */
static Table *
make_table(FunctionCallInfo fcinfo, Relation rel)
{
	MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	Table	   *table = palloc0(sizeof(Table));
	List	   *line = face_line(RelationGetRelid(rel));
	ListCell   *cell;

	foreach(cell, face_retained_tables())
	{
		FaceRetained *retained = lfirst(cell);

		if (list_member_oid(line, retained->relid))
			table->table = retained;
	}
	if (table->table != NULL)
	{
		table->class = SPI_fnumber(RelationGetDescr(rel), table->table->class);
		table->subject = table->table->subject == NULL ? 0 : SPI_fnumber(RelationGetDescr(rel), table->table->subject);
		face_row_room(&table->row, rel);
	}
	fcinfo->flinfo->fn_extra = table;
	MemoryContextSwitchTo(caller);
	return table;
}

/* A receipt of an opt-out names no class. */
static void
note(Table *table, const char *cause)
{
	const FaceRow *row = &table->row;
	bool		of_class = cause == by_hand && !face_row_null(row, Max(table->class, 0));
	const char *class = of_class ? TextDatumGetCString(row->values[table->class - 1]) : "";
	const pg_uuid_t *subject = face_row_uuid(row, Max(table->subject, 0));
	Gone	   *of = entry(GetCurrentSubTransactionId(), table->table->relid, cause, class);

	of->rows++;
	if (subject != NULL)
		add_subjects(of, subject, 1);
	if (of->count < MOST_SUBJECTS)
		return;
	write_receipt(of);
	of->rows = 0;
	of->count = 0;
}

/* guard() after each row that is deleted from a table under retention */
void
face_note_deleted(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Table	   *table = fcinfo->flinfo->fn_extra;
	const char *cause;

	if (table == NULL)
		table = make_table(fcinfo, trigger->tg_relation);
	if (table->table == NULL)
		return;
	cause = table->table->relid == running.relid ? running.cause : by_hand;
	/* Who deletes it writes the receipt; or it went into another partition. */
	if (cause == NULL || HeapTupleHeaderIndicatesMovedPartitions(trigger->tg_trigtuple->t_data))
		return;
	face_row_read(&table->row, trigger->tg_relation, trigger->tg_trigtuple);
	note(table, cause);
}
