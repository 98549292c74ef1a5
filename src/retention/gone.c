/*-------------------------------------------------------------------------
 *
 * gone.c
 *	  Receipts of rows that were deleted by statements that write no receipt
 *	  themselves.
 *
 * Users with the privilege delete rows, and foreign keys do. Inspectors ask for
 * these rows as well. A trigger after each row counts them, by table and class, and
 * records whose they were. The receipts are written when the transaction commits,
 * so there is one for each table and class however many statements it took. What goes
 * while a user's table is worked on gets its receipts at the end of that work, within
 * its time. Rows of a savepoint that is rolled back are not counted.
 *
 * A class is named only if the law knows it: a table's owner who keeps the guard from
 * running can write any text into the column, of any length, and a receipt for each.
 *
 * The purge and opt-outs write the receipts of what their statement deletes. While it
 * runs, more rows of the same table may go: by a foreign key of the table to itself, or
 * by one of its triggers. The trigger here sees all of them, the statement gives its own,
 * and the difference gets receipts as any other rows.
 *
 * A transition table would put templates into a temporary file, so this is a row
 * trigger.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
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
#include "retention/guard.h"
#include "retention/retained.h"
#include "retention/rules.h"

/* A receipt is of no more persons: more would not go into an array. */
#define MOST_SUBJECTS	1000000
#define FIRST_SUBJECTS	64

/* Rows of one table and class that one subtransaction has deleted. */
typedef struct Gone
{
	SubTransactionId by;
	Oid			relid;			/* the table under retention */
	uint64		deletion;		/* the statement that deletes them, while it is not known of which its caller writes the receipt; 0: nobody does */
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

/* The table of a statement whose deletions are not by hand, while it runs; the number is 0 unless its caller writes the receipt. */
typedef struct Deletion
{
	Oid			relid;
	const char *cause;
	uint64		number;
} Deletion;

static Deletion running = {InvalidOid, NULL, 0};
static uint64 deletions = 0;

/* What the trigger knows of its table, once a statement. */
typedef struct Table
{
	const FaceRetained *table;
	AttrNumber	class;
	AttrNumber	subject;
	FaceRow		row;
} Table;

/*--------------------------------------------------------- what has gone */

static Gone *
entry(SubTransactionId by, Oid relid, uint64 deletion, const char *cause, const char *class)
{
	MemoryContext caller;
	ListCell   *cell;
	Gone	   *new;

	foreach(cell, gone)
	{
		Gone	   *of = lfirst(cell);

		if (of->by == by && of->relid == relid && of->deletion == deletion && strcmp(of->cause, cause) == 0 &&
			strcmp(of->class, class) == 0)
			return of;
	}
	caller = MemoryContextSwitchTo(TopTransactionContext);
	new = palloc0(sizeof(Gone));
	new->by = by;
	new->relid = relid;
	new->deletion = deletion;
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

static void
add_to(Gone *to, const Gone *of)
{
	to->rows += of->rows;
	add_subjects(to, of->subjects, of->count);
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

/* facematch_internal.is_name(): 200 characters. */
#define LONGEST_CLASS	800

/* A class as a receipt names it; the value may be too long to be looked at whole. */
const char *
face_class_told(const char *what, Datum class)
{
	if (toast_raw_datum_size(class) - VARHDRSZ > LONGEST_CLASS || face_rule_set(what, DatumGetTextPP(class)) == NULL)
		return "";
	return TextDatumGetCString(class);
}

static void
write_full(Gone *of)
{
	if (of->count < MOST_SUBJECTS)
		return;
	write_receipt(of);
	of->rows = 0;
	of->count = 0;
}

/* Of what a subtransaction has deleted.  A table that this transaction has dropped is told of by its own event. */
static void
write_receipts(SubTransactionId by)
{
	ListCell   *cell;

	if (gone == NIL || !OidIsValid(get_extension_oid("facematch", true)))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, gone)
	{
		Gone	   *of = lfirst(cell);

		if (of->by != by || of->deletion != 0 || of->rows == 0 || !face_exists(of->relid))
			continue;
		write_receipt(of);
		of->rows = 0;
		of->count = 0;
	}
	PopActiveSnapshot();
}

/* At the end of work on a user's table, in the attempt's subtransaction, while its clock runs. */
void
face_write_gone(Oid table)
{
	if (!face_is_own(table))
		write_receipts(GetCurrentSubTransactionId());
}

static void
note_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		write_receipts(TopSubTransactionId);
	else
	{
		gone = NIL;
		running = (Deletion) {InvalidOid, NULL, 0};
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
			add_to(entry(parent, of->relid, of->deletion, of->cause, of->class), of);
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

/*--------------------------------------------------------- statements whose caller writes the receipt */

static int
by_subject(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(pg_uuid_t));
}

/* Takes subjects from those of an entry, each as often as it is among them; NULL: none. */
static void
take_subjects(Gone *from, ArrayType *subjects)
{
	pg_uuid_t  *taken;
	Datum	   *values;
	int			count;
	int			at = 0;
	int			kept = 0;

	if (subjects == NULL)
		return;
	deconstruct_array(subjects, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &values, NULL, &count);
	taken = palloc(sizeof(pg_uuid_t) * Max(count, 1));
	for (int i = 0; i < count; i++)
		taken[i] = *DatumGetUUIDP(values[i]);
	qsort(taken, count, sizeof(pg_uuid_t), by_subject);
	qsort(from->subjects, from->count, sizeof(pg_uuid_t), by_subject);
	for (int i = 0; i < from->count; i++)
	{
		while (at < count && by_subject(&taken[at], &from->subjects[i]) < 0)
			at++;
		if (at < count && by_subject(&taken[at], &from->subjects[i]) == 0)
			at++;
		else
			from->subjects[kept++] = from->subjects[i];
	}
	from->count = kept;
	pfree(values);
	pfree(taken);
}

/* Of the rows of a class that the trigger saw, those that the statement says it has deleted itself. */
static void
take_own(Gone *from, const char *what)
{
	for (uint64 i = 0; i < SPI_tuptable->numvals; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		bool		isnull;
		Datum		class = SPI_getbinval(row, SPI_tuptable->tupdesc, FACE_DELETED_CLASS, &isnull);
		const char *told = isnull ? "" : face_class_told(what, class);
		uint64		rows = (uint64) DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, FACE_DELETED_ROWS, &isnull));
		Datum		subjects = SPI_getbinval(row, SPI_tuptable->tupdesc, FACE_DELETED_SUBJECTS, &isnull);

		if (strcmp(told, from->class) != 0)
			continue;
		from->rows -= Min(rows, from->rows);
		take_subjects(from, isnull ? NULL : DatumGetArrayTypeP(subjects));
	}
}

static uint64
rows_of_statement(uint64 processed)
{
	uint64		rows = 0;
	bool		isnull;

	if (SPI_tuptable == NULL)
		return processed;
	for (uint64 i = 0; i < SPI_tuptable->numvals; i++)
		rows += (uint64) DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, FACE_DELETED_ROWS, &isnull));
	return rows;
}

/* The rest of what the trigger saw while a statement ran: a foreign key of the table to itself deleted it, or a trigger. */
static void
keep_rest(uint64 deletion)
{
	ListCell   *cell;
	List	   *rest = NIL;
	const FaceRetained *table;

	foreach(cell, gone)
	{
		Gone	   *of = lfirst(cell);

		if (of->deletion != deletion)
			continue;
		gone = foreach_delete_current(gone, cell);
		rest = lappend(rest, of);
	}
	table = rest == NIL ? NULL : face_retained_among(list_make1_oid(((Gone *) linitial(rest))->relid));
	foreach(cell, rest)
	{
		Gone	   *of = lfirst(cell);

		if (SPI_tuptable != NULL && table != NULL)
			take_own(of, table->what);
		if (of->rows > 0)
			add_to(entry(of->by, of->relid, 0, by_hand, of->class), of);
		if (of->subjects != NULL)
			pfree(of->subjects);
	}
}

uint64
face_run_deletion(const char *cause, Oid table, Oid relid, const char *sql, int nargs, Oid *types, Datum *values)
{
	Deletion	outer = running;
	uint64		number;
	uint64		rows;

	running = (Deletion) {table, cause == NULL ? by_hand : cause, cause == NULL ? ++deletions : 0};
	number = running.number;
	PG_TRY();
	{
		rows = face_run_on(relid, sql, nargs, types, values);
	}
	PG_FINALLY();
	{
		running = outer;
	}
	PG_END_TRY();
	if (number != 0)
	{
		keep_rest(number);
		rows = rows_of_statement(rows);
	}
	return rows;
}

/*--------------------------------------------------------- the trigger */

/* The table under retention that this one is, or is a partition of; NULL: it was released, and the trigger stayed. */
static Table *
make_table(FunctionCallInfo fcinfo, Relation rel)
{
	MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	Table	   *table = palloc0(sizeof(Table));

	table->table = face_retained_among(face_line(RelationGetRelid(rel)));
	if (table->table != NULL)
	{
		table->class = face_guarded_column(rel, table->table->class, TEXTOID);
		table->subject = table->table->subject == NULL ? 0 : face_guarded_column(rel, table->table->subject, UUIDOID);
		face_row_room(&table->row, rel);
	}
	fcinfo->flinfo->fn_extra = table;
	MemoryContextSwitchTo(caller);
	return table;
}

/* A receipt of an opt-out names no class. */
static void
note(Table *table, const char *cause, uint64 deletion)
{
	const FaceRow *row = &table->row;
	bool		of_class = cause == by_hand && !face_row_null(row, table->class);
	const char *class = of_class ? face_class_told(table->table->what, row->values[table->class - 1]) : "";
	const pg_uuid_t *subject = face_row_uuid(row, table->subject);
	Gone	   *of = entry(GetCurrentSubTransactionId(), table->table->relid, deletion, cause, class);

	of->rows++;
	if (subject != NULL)
		add_subjects(of, subject, 1);
	/* Which of them the statement's own receipt is of is known when it has ended. */
	if (deletion == 0)
		write_full(of);
}

/* guard() after each row that is deleted from a table under retention */
void
face_note_deleted(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Table	   *table = fcinfo->flinfo->fn_extra;
	bool		is_running;

	if (table == NULL)
		table = make_table(fcinfo, trigger->tg_relation);
	/* Released; or it went into another partition. */
	if (table->table == NULL || HeapTupleHeaderIndicatesMovedPartitions(trigger->tg_trigtuple->t_data))
		return;
	is_running = table->table->relid == running.relid;
	face_row_read(&table->row, trigger->tg_relation, trigger->tg_trigtuple);
	note(table, is_running ? running.cause : by_hand, is_running ? running.number : 0);
}
