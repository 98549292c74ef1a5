/*-------------------------------------------------------------------------
 *
 * unreached.c
 *	  Rows that an opt-out, a rule or an event applies to, and that could not be
 *	  reached.
 *
 * A trigger of a user's table may refuse, or not end; a session may keep the table
 * locked. The opt-out, rule or event takes effect all the same: the rows are
 * recorded, and from then on the table's row security hides them, so they match
 * nobody (facematch_internal.is_reached(), in the row security policy
 * facematch_due). Each purge tries again, and health_check() names the table.
 *
 * In this file a note is "kind:value", where the value is the text of the row's
 * column. A backend caches the notes until another is written, because the row
 * security policy asks for every row. They are read with SnapshotSelf, which sees
 * the newest committed rows, even in a transaction with one snapshot and in a
 * parallel worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "base/run.h"
#include "retention/facts.h"
#include "retention/opt_out.h"
#include "retention/recompute.h"
#include "retention/unreached.h"

PG_FUNCTION_INFO_V1(facematch_is_reached);

/* Two values with one hash: more is hidden than need be, until the purge. */
typedef struct Note
{
	Oid			relation;
	uint32		kind;
	uint64		hash;
} Note;

static HTAB *notes = NULL;		/* NULL: not read */
static Oid	notes_relid = InvalidOid;

static void
forget_notes(Datum arg, Oid relid)
{
	if ((relid == InvalidOid || relid == notes_relid) && notes != NULL)
	{
		hash_destroy(notes);
		notes = NULL;
	}
}

static Note
make_note(Oid relation, FaceUnreachedKind kind, const char *value, int length)
{
	Note		note;

	memset(&note, 0, sizeof(note));
	note.relation = relation;
	note.kind = kind;
	note.hash = hash_bytes_extended((const unsigned char *) value, length, 0);
	return note;
}

/* Columns of facematch_internal.unreached. */
enum
{
	NOTE_RELATION = 1,
	NOTE_ENTRY
};

static void
read_notes(void)
{
	HASHCTL		control = {.keysize = sizeof(Note), .entrysize = sizeof(Note)};
	Relation	rel;
	TableScanDesc scan;
	TupleTableSlot *slot;
	HTAB	   *found;

	if (!OidIsValid(notes_relid))
		CacheRegisterRelcacheCallback(forget_notes, (Datum) 0);
	notes_relid = face_table("unreached");
	found = hash_create("facematch unreached rows", 16, &control, HASH_ELEM | HASH_BLOBS);
	/* A message that arrives from here on makes them stale again. */
	rel = table_open(notes_relid, AccessShareLock);
	notes = found;
	slot = table_slot_create(rel, NULL);
	scan = face_table_beginscan(rel, SnapshotSelf);
	while (notes == found && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Oid			relation = DatumGetObjectId(slot_getattr(slot, NOTE_RELATION, &isnull));
		char	   *entry = TextDatumGetCString(slot_getattr(slot, NOTE_ENTRY, &isnull));
		Note		note = make_note(relation, (FaceUnreachedKind) entry[0], entry + 2, strlen(entry) - 2);

		hash_search(found, &note, HASH_ENTER, NULL);
		pfree(entry);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
}

static bool
is_noted(Oid relation, FaceUnreachedKind kind, const char *value, int length)
{
	Note		note = make_note(relation, kind, value, length);

	return hash_search(notes, &note, HASH_FIND, NULL) != NULL;
}

/* is_reached(table regclass, subject uuid, class text, gallery bigint): whether a row of a table may be seen */
Datum
facematch_is_reached(PG_FUNCTION_ARGS)
{
	Oid			relation = PG_GETARG_OID(0);
	char		value[64];

	while (notes == NULL)
		read_notes();
	if (hash_get_num_entries(notes) == 0)
		PG_RETURN_BOOL(true);
	if (!PG_ARGISNULL(1))
	{
		char	   *subject = DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(1)));

		if (is_noted(relation, FACE_UNREACHED_OPT_OUT, subject, strlen(subject)) ||
			is_noted(relation, FACE_UNREACHED_EVENT, subject, strlen(subject)))
			PG_RETURN_BOOL(false);
	}
	if (!PG_ARGISNULL(2))
	{
		text	   *class = PG_GETARG_TEXT_PP(2);

		if (is_noted(relation, FACE_UNREACHED_CLASS, VARDATA_ANY(class), VARSIZE_ANY_EXHDR(class)))
			PG_RETURN_BOOL(false);
	}
	if (!PG_ARGISNULL(3))
	{
		snprintf(value, sizeof(value), INT64_FORMAT, PG_GETARG_INT64(3));
		if (is_noted(relation, FACE_UNREACHED_GALLERY, value, strlen(value)))
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(true);
}

/*--------------------------------------------------------- notes are written */

static void
change_notes(const char *sql, Oid relid, const char *entry)
{
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(relid), CStringGetTextDatum(entry)};
	Oid			table = face_table("unreached");

	SPI_connect();
	face_run(sql, lengthof(types), types, values, face_owner(table));
	SPI_finish();
	CacheInvalidateRelcacheByRelid(table);
	CommandCounterIncrement();
}

void
face_note_unreached(const FaceRetained *table, FaceUnreachedKind kind, const char *value)
{
	change_notes("INSERT INTO facematch_internal.unreached (relation, entry) VALUES ($1, $2) ON CONFLICT (relation, entry) DO NOTHING",
				 table->relid, psprintf("%c:%s", (char) kind, value));
}

/* A table's notes, char *: the oldest first. */
List *
face_unreached(Oid relid)
{
	Oid			type = OIDOID;
	Datum		value = ObjectIdGetDatum(relid);
	MemoryContext caller = CurrentMemoryContext;
	List	   *entries = NIL;

	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	face_run("SELECT u.entry FROM facematch_internal.unreached u WHERE u.relation OPERATOR(pg_catalog.=) $1 ORDER BY u.since, u.entry",
			 1, &type, &value, face_owner(face_table("unreached")));
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
		entries = lappend(entries, MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1)));
	SPI_finish();
	PopActiveSnapshot();
	return entries;
}

/*--------------------------------------------------------- and taken away */

/* The opt-outs of the subject's person that stand, at once. */
static void
reach_opted_out(const FaceRetained *table, Datum subject)
{
	ListCell   *cell;

	foreach(cell, face_standing_opt_outs(subject))
	{
		FaceOptOut *opt_out = lfirst(cell);

		opt_out->table = table;
		if (face_concerns(table, opt_out->one_gallery))
			face_remove_opted_out(opt_out);
	}
}

/* A rule that has been changed since was written by another command, and lengthens nothing any more. */
static void
reach_longer(const FaceRetained *table, const char *value)
{
	FaceCommand command;
	int			start = 0;

	if (sscanf(value, "%u %u %n", &command.xid, &command.cid, &start) != 2 || start == 0)
		elog(ERROR, "no rule is named by \"%s\"", value);
	face_recompute_class(table, CStringGetTextDatum(value + start), &command);
}

/* Does what a note is of, as an attempt's work.  Deadlines become earlier, and move away by a rule that lengthens. */
void
face_reach(const FaceRetained *table, const char *entry)
{
	FaceRecompute why = {.rules = true};
	const char *value = entry + 2;

	switch ((FaceUnreachedKind) entry[0])
	{
		case FACE_UNREACHED_OPT_OUT:
		case FACE_UNREACHED_EVENT:
			{
				Datum		subject = DirectFunctionCall1(uuid_in, CStringGetDatum(value));

				face_own_subject(DatumGetUUIDP(subject));
				if (entry[0] == FACE_UNREACHED_OPT_OUT)
					reach_opted_out(table, subject);
				else if (table->subject != NULL)
					face_recompute_rows(table, &why, table->subject, UUIDOID, subject);
				break;
			}
		case FACE_UNREACHED_CLASS:
			face_recompute_class(table, CStringGetTextDatum(value), NULL);
			break;
		case FACE_UNREACHED_LONGER:
			reach_longer(table, value);
			break;
		case FACE_UNREACHED_GALLERY:
			if (table->gallery != NULL)
				face_recompute_rows(table, &why, table->gallery, INT8OID, DirectFunctionCall1(int8in, CStringGetDatum(value)));
			break;
	}
	change_notes("DELETE FROM facematch_internal.unreached u WHERE u.relation OPERATOR(pg_catalog.=) $1 AND u.entry OPERATOR(pg_catalog.=) $2",
				 table->relid, entry);
}
