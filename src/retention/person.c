/*-------------------------------------------------------------------------
 *
 * person.c
 *	  The subjects that are one person.
 *
 * A merge (facematch.subject_merge) says that two subjects are one person, and
 * rewrites no row. facematch_internal.person has each subject that a merge names,
 * and the person that it belongs to; a trigger maintains it (carry_out.c). Code that
 * asks about a subject asks about all subjects of its person. If nothing was ever
 * merged, the table has no page, and asking costs next to nothing.
 *
 * The table is read with the newest snapshot, as opt-outs are: a transaction that
 * adds a template has locked its subject, and a merge waits for that lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "base/bytes.h"
#include "base/run.h"
#include "retention/person.h"

PG_FUNCTION_INFO_V1(facematch_aliases);

/* Columns of facematch_internal.person, as sql/retention/merges.sql has them. */
enum
{
	PERSON_SUBJECT = 1, PERSON_PERSON
};

static pg_uuid_t *
column_uuid(TupleTableSlot *row, AttrNumber column)
{
	pg_uuid_t  *copy = palloc(sizeof(pg_uuid_t));
	bool		isnull;

	*copy = *DatumGetUUIDP(slot_getattr(row, column, &isnull));
	return copy;
}

/* The first row is enough. */
static bool
take_person(TupleTableSlot *row, void *state)
{
	*(pg_uuid_t **) state = column_uuid(row, PERSON_PERSON);
	return true;
}

static bool
collect_subject(TupleTableSlot *row, void *state)
{
	List	  **subjects = state;

	*subjects = lappend(*subjects, column_uuid(row, PERSON_SUBJECT));
	return false;
}

static void
find(Oid table, const char *column, const pg_uuid_t *value, FaceRowTest test, void *state)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(value));
	(void) face_find_row(table, face_index_on(table, 1, &column), 1, &key, test, state);
}

/* The person of a subject that was merged, or NULL. */
static pg_uuid_t *
merged_person(Oid table, const pg_uuid_t *subject)
{
	Relation	rel = table_open(table, AccessShareLock);
	bool		any = RelationGetNumberOfBlocks(rel) > 0;
	pg_uuid_t  *person = NULL;

	table_close(rel, AccessShareLock);
	if (any)
		find(table, "subject_id", subject, take_person, &person);
	return person;
}

/* All subjects of a subject's person, pg_uuid_t *; itself alone where it was never merged. */
List *
face_aliases(const pg_uuid_t *subject)
{
	Oid			table = face_table("person");
	pg_uuid_t  *person = merged_person(table, subject);
	List	   *subjects = NIL;

	if (person != NULL)
		find(table, "person_id", person, collect_subject, &subjects);
	return subjects != NIL ? subjects : list_make1(unconstify(pg_uuid_t *, subject));
}

/* The same, as uuid[]. */
Datum
face_alias_array(const pg_uuid_t *subject)
{
	return PointerGetDatum(face_uuid_array(face_aliases(subject)));
}

/* What all subjects of a person have in common: one of them. */
pg_uuid_t
face_person(const pg_uuid_t *subject)
{
	pg_uuid_t  *person = merged_person(face_table("person"), subject);

	return person == NULL ? *subject : *person;
}

/* aliases(subject uuid) returns uuid[] */
Datum
facematch_aliases(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(face_alias_array(PG_GETARG_UUID_P(0)));
}
