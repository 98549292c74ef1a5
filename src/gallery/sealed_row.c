/*-------------------------------------------------------------------------
 *
 * sealed_row.c
 *	  The trigger that seals the template of a row as it is stored, under the
 *	  key that row_key.c chooses.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "base/refusal.h"
#include "base/row.h"
#include "embedding/sealed.h"
#include "gallery/gallery.h"
#include "gallery/row_key.h"

PG_FUNCTION_INFO_V1(facematch_seal_template);

/* Columns of the table. */
typedef struct Sealer
{
	AttrNumber	template;
	AttrNumber	gallery;
	AttrNumber	class;
	AttrNumber	purge_after;
	FaceRow		row;
	FaceRow		was;
} Sealer;

static _Noreturn void
refuse_trigger(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("facematch_internal.seal_template is fired before each row of a table like facematch.reference, and is told the"
					" column of its template")));
}

/* Whether a table has the column, of one of PostgreSQL's types, or, if none is given, of templates. */
static bool
has_column(TupleDesc desc, AttrNumber column, Oid type)
{
	if (column <= 0 || OidIsValid(type))
		return column > 0 && SPI_gettypeid(desc, column) == type;
	return strcmp(SPI_gettype(desc, column), "face_embedding") == 0 &&
		getExtensionOfObject(TypeRelationId, SPI_gettypeid(desc, column)) == get_extension_oid("facematch", true);
}

static Sealer *
make_sealer(FunctionCallInfo fcinfo, TriggerData *trigger)
{
	MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	Sealer	   *sealer = palloc0(sizeof(Sealer));
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	sealer->template = SPI_fnumber(desc, trigger->tg_trigger->tgargs[0]);
	sealer->gallery = SPI_fnumber(desc, "gallery_id");
	sealer->class = SPI_fnumber(desc, "retention_class");
	sealer->purge_after = SPI_fnumber(desc, "purge_after");
	if (!has_column(desc, sealer->template, InvalidOid) || !has_column(desc, sealer->gallery, INT8OID) ||
		!has_column(desc, sealer->class, TEXTOID) || !has_column(desc, sealer->purge_after, TIMESTAMPTZOID))
		refuse_trigger();
	face_row_room(&sealer->row, trigger->tg_relation);
	face_row_room(&sealer->was, trigger->tg_relation);
	MemoryContextSwitchTo(caller);
	fcinfo->flinfo->fn_extra = sealer;
	return sealer;
}

static FaceEmbedding *
template_of(const Sealer *sealer, const FaceRow *row)
{
	return face_row_null(row, sealer->template) ? NULL : DatumGetFaceEmbedding(row->values[sealer->template - 1]);
}

/* A template that comes sealed is stored only by roles that may have it opened: searches would tell what a stolen one is. */
static void
check_may_store(Sealer *sealer, const FaceEmbedding *was)
{
	const FaceEmbedding *template = template_of(sealer, &sealer->row);

	if (template == NULL || !face_is_sealed(template))
		return;
	if (was == NULL || VARSIZE(was) != VARSIZE(template) || memcmp(was, template, VARSIZE(was)) != 0)
		face_check_may_open();
}

/*
 * The row with its template sealed as its gallery and its deadline ask for.  What
 * came sealed under a key that is not known here, from a dump or a publisher, or
 * whose key is gone, stays as it is.
 */
static HeapTuple
seal(Sealer *sealer)
{
	FaceRow    *row = &sealer->row;
	FaceEmbedding *template = template_of(sealer, row);
	FaceEmbedding *plain = template;
	FaceEmbedding *sealed;
	TimestampTz purge_after;
	Datum		class;
	FaceKeyPurpose purpose;
	pg_uuid_t	id;

	if (template == NULL || face_row_null(row, sealer->gallery) || !face_gallery(face_row_number(row, sealer->gallery), true)->sealed)
		return row->tuple;
	purge_after = face_row_time(row, sealer->purge_after);
	class = row->values[sealer->class - 1];
	purpose = face_key_purpose(face_row_number(row, sealer->gallery), DatumGetTextPP(class), purge_after);
	if (face_is_sealed(template))
	{
		if (face_key_stays(face_sealed_by(template), &purpose, purge_after))
			return row->tuple;
		plain = face_opened_copy(template);
		if (plain == NULL)
			return row->tuple;
	}
	id = face_current_key(&purpose, class);
	sealed = face_sealed(plain, &id);
	if (plain != template)
	{
		face_wipe(plain);
		face_note_earlier_key(face_sealed_by(template), &id);
	}
	if (sealed == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), face_refusal("template_key_is_there"),
				 errmsg("the key that the template was to be sealed with has just been destroyed"),
				 errhint("Run the transaction again.")));
	face_row_set(row, sealer->template, PointerGetDatum(sealed));
	return face_row_tuple(row);
}

/* facematch_internal.seal_template(): before each row, behind the guard */
Datum
facematch_seal_template(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Sealer	   *sealer = fcinfo->flinfo->fn_extra;
	FaceEmbedding *was;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		trigger->tg_trigger->tgnargs != 1)
		refuse_trigger();
	if (sealer == NULL)
		sealer = make_sealer(fcinfo, trigger);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		face_row_read(&sealer->row, trigger->tg_relation, trigger->tg_trigtuple);
		check_may_store(sealer, NULL);
		return PointerGetDatum(seal(sealer));
	}
	face_row_read(&sealer->was, trigger->tg_relation, trigger->tg_trigtuple);
	was = template_of(sealer, &sealer->was);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		face_row_read(&sealer->row, trigger->tg_relation, trigger->tg_newtuple);
	if (was != NULL && (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) || face_row_null(&sealer->row, sealer->template)))
		face_note_row_gone(RelationGetRelid(trigger->tg_relation), was);
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		return PointerGetDatum(trigger->tg_trigtuple);
	check_may_store(sealer, was);
	return PointerGetDatum(seal(sealer));
}
