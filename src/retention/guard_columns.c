/*-------------------------------------------------------------------------
 *
 * guard_columns.c
 *	  The columns of a table under retention, from the arguments of its guard.
 *
 * The trigger's arguments are name=column pairs: what, key, class, recorded, purge
 * (purge_after), and if the table has them subject, template, gallery, verified,
 * anchor, rule; source and quality make its rows references. They are read once for
 * each statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/kin.h"
#include "base/refusal.h"
#include "retention/guard.h"

/* A column of a user's table, whose owner may have dropped it or changed its type since: values are read only of the type given. */
AttrNumber
face_guarded_column(Relation rel, const char *name, Oid type)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			attnum = SPI_fnumber(desc, name);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN), face_refusal("retained_column_exists"),
				 errmsg("table \"%s\" has no column \"%s\", which its retention trigger names", RelationGetRelationName(rel), name),
				 errhint("Detach the table with facematch.release() and attach it again with facematch.retain().")));
	if (OidIsValid(type) && SPI_gettypeid(desc, attnum) != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH), face_refusal("retained_column_type"),
				 errmsg("column \"%s\" of table \"%s\" is not of type %s, which retention needs", name,
						RelationGetRelationName(rel), format_type_be(type))));
	return attnum;
}

static void
read_argument(FaceGuard *guard, Relation rel, const char *argument)
{
	struct
	{
		const char *name;
		AttrNumber *column;
		Oid			type;
	}			known[] = {
		{"key", &guard->key, InvalidOid},
		{"class", &guard->class, TEXTOID},
		{"recorded", &guard->recorded, TIMESTAMPTZOID},
		{"purge", &guard->purge_after, TIMESTAMPTZOID},
		{"subject", &guard->subject, UUIDOID},
		{"template", &guard->template, InvalidOid},
		{"gallery", &guard->gallery, INT8OID},
		{"verified", &guard->verified, TIMESTAMPTZOID},
		{"anchor", &guard->anchor, TIMESTAMPTZOID},
		{"rule", &guard->rule, TEXTOID},
		{"source", &guard->source, TEXTOID},
		{"quality", &guard->quality, INT2OID}
	};
	const char *equals = strchr(argument, '=');
	size_t		length = equals == NULL ? 0 : equals - argument;

	if (length == strlen("what") && strncmp(argument, "what", length) == 0)
	{
		guard->what = pstrdup(equals + 1);
		return;
	}
	for (int i = 0; i < lengthof(known); i++)
	{
		if (length == strlen(known[i].name) && strncmp(argument, known[i].name, length) == 0)
		{
			*known[i].column = face_guarded_column(rel, equals + 1, known[i].type);
			return;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("retention_trigger_arguments"),
			 errmsg("\"%s\" is no argument of a retention trigger", argument),
			 errhint("facematch.retain() makes the triggers.")));
}

FaceGuard *
face_guard_of(FunctionCallInfo fcinfo, const TriggerData *trigger)
{
	Relation	rel = trigger->tg_relation;
	MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	FaceGuard  *guard = palloc0(sizeof(FaceGuard));
	Oid			output;
	bool		varlena;

	for (int i = 0; i < trigger->tg_trigger->tgnargs; i++)
		read_argument(guard, rel, trigger->tg_trigger->tgargs[i]);
	if (guard->what == NULL || guard->key == 0 || guard->class == 0 || guard->recorded == 0 || guard->purge_after == 0 ||
		(guard->source != 0 && (guard->gallery == 0 || guard->template == 0)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("retention_trigger_arguments"),
				 errmsg("the retention trigger of \"%s\" lacks an argument", RelationGetRelationName(rel)),
				 errhint("facematch.retain() makes the triggers.")));
	guard->enrols = guard->source != 0;
	guard->enrolment = (FaceEnrolment) {
		guard->gallery, guard->subject, guard->class, guard->template, guard->source, guard->quality, guard->recorded
	};
	face_row_room(&guard->row, rel);
	face_row_room(&guard->was, rel);
	getTypeOutputInfo(SPI_gettypeid(RelationGetDescr(rel), guard->key), &output, &varlena);
	fmgr_info_cxt(output, &guard->key_output, fcinfo->flinfo->fn_mcxt);
	guard->relids = face_line(RelationGetRelid(rel));
	face_find_lookups(&guard->lookups);
	MemoryContextSwitchTo(caller);
	fcinfo->flinfo->fn_extra = guard;
	return guard;
}
