/*-------------------------------------------------------------------------
 *
 * carry_out.c
 *	  What follows from a row: the trigger on galleries, rules, events, opt-outs
 *	  and merges.
 *
 * After a merge or its end, the trigger writes the person again: all subjects that
 * are joined by merges in force.  Then opt-outs of any of them remove the templates
 * of all, and events of any of them count for the deadlines of all.  This makes
 * deadlines earlier, never later, so undoing a wrong merge brings nothing back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "base/row.h"
#include "base/run.h"
#include "retention/declined.h"
#include "retention/opt_out.h"
#include "retention/person.h"
#include "retention/recompute.h"

PG_FUNCTION_INFO_V1(facematch_carry_out);

/* Both subjects of a merge belonged to the persons that go here; each of those has one of the two after it, too. */
static const char forget_persons[] =
"DELETE FROM facematch_internal.person p USING facematch_internal.person q"
" WHERE p.person_id OPERATOR(pg_catalog.=) q.person_id AND q.subject_id OPERATOR(pg_catalog.=) ANY (ARRAY[$1, $2])";

/* All whom merges that stand join to one of the two; a subject alone has no row. */
static const char write_persons[] =
"WITH RECURSIVE member (start, subject) AS ("
"SELECT s, s FROM pg_catalog.unnest(ARRAY[$1, $2]) s"
" UNION"
" SELECT c.start, CASE WHEN m.kept OPERATOR(pg_catalog.=) c.subject THEN m.merged ELSE m.kept END"
" FROM member c JOIN facematch.subject_merge m ON m.undone_at IS NULL"
" AND (m.kept OPERATOR(pg_catalog.=) c.subject OR m.merged OPERATOR(pg_catalog.=) c.subject))"
" INSERT INTO facematch_internal.person (subject_id, person_id)"
" SELECT DISTINCT j.subject, j.person FROM ("
"SELECT c.subject, pg_catalog.first_value(c.subject) OVER (PARTITION BY c.start ORDER BY c.subject) AS person,"
" pg_catalog.count(*) OVER (PARTITION BY c.start) AS subjects FROM member c) j"
" WHERE j.subjects OPERATOR(pg_catalog.>) 1";

static void
write_person(Datum *both)
{
	Oid			types[2] = {UUIDOID, UUIDOID};
	Oid			person = face_table("person");

	/* One merge at a time; readers of the table do not wait. */
	LockRelationOid(person, ShareRowExclusiveLock);
	SPI_connect();
	face_run(forget_persons, 2, types, both, face_owner(person));
	face_run(write_persons, 2, types, both, face_owner(person));
	SPI_finish();
}

static bool
has_events(Datum subjects)
{
	Oid			type = UUIDARRAYOID;
	bool		any;

	SPI_connect();
	any = face_run("SELECT FROM facematch.anchor_event e WHERE e.subject_id OPERATOR(pg_catalog.=) ANY ($1) LIMIT 1",
				   1, &type, &subjects, face_owner(face_table("anchor_event"))) > 0;
	SPI_finish();
	return any;
}

/* After each row of facematch.subject_merge. */
static void
subjects_merged(const TriggerData *trigger)
{
	Relation	rel = trigger->tg_relation;
	HeapTuple	row;
	Datum		both[2];
	bool		undone;
	bool		isnull;

	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	both[0] = face_named_value(rel, row, "kept", &isnull);
	both[1] = face_named_value(rel, row, "merged", &isnull);
	(void) face_named_value(rel, row, "undone_at", &isnull);
	undone = !isnull;

	write_person(both);
	face_forget_declined();
	if (undone)
		return;
	face_carry_out_opt_outs(both[0]);
	if (has_events(face_alias_array(DatumGetUUIDP(both[0]))))
	{
		ListCell   *cell;

		foreach(cell, face_aliases(DatumGetUUIDP(both[0])))
			face_recompute_subject(UUIDPGetDatum(lfirst(cell)), "merge of subjects");
	}
}

/* facematch_internal.carry_out(of): a trigger after each row of what deadlines and templates depend on */
Datum
facematch_carry_out(PG_FUNCTION_ARGS)
{
	static const struct
	{
		const char *of;
		bool		deleted;	/* whether that is carried out, too */
		void		(*carry_out) (const TriggerData *trigger);
	}			kinds[] = {
		{"gallery", true, face_gallery_moved}, {"rule", true, face_rule_changed}, {"event", false, face_event_happened},
		{"merge", false, subjects_merged}, {"opt_out", false, face_opt_out_recorded}
	};
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	/* Of another table the columns are not known. */
	if (CALLED_AS_TRIGGER(fcinfo) && TRIGGER_FIRED_AFTER(trigger->tg_event) && TRIGGER_FIRED_FOR_ROW(trigger->tg_event) &&
		trigger->tg_trigger->tgnargs == 1 && face_is_own(RelationGetRelid(trigger->tg_relation)))
	{
		for (int i = 0; i < lengthof(kinds); i++)
		{
			if (strcmp(kinds[i].of, trigger->tg_trigger->tgargs[0]) != 0 ||
				(TRIGGER_FIRED_BY_DELETE(trigger->tg_event) && !kinds[i].deleted))
				continue;
			kinds[i].carry_out(trigger);
			return PointerGetDatum(NULL);
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("facematch_internal.carry_out is fired after each row of a table of the extension, and is told of what")));
}
