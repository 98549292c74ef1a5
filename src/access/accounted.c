/*-------------------------------------------------------------------------
 *
 * accounted.c
 *	  Procedures whose use is on disk before its answer is given: a partner's
 *	  question, and the announcement that templates or a photograph will be read.
 *
 * A user who could roll back the accounting would not be accounted, so neither
 * a function nor a procedure with the owner's privileges can commit. So these
 * are procedures with the caller's privileges; each of their steps is an SQL
 * function that runs as the owner of the extension's tables, and is committed.
 * They refuse to start where they could not commit: in a transaction block, a
 * function or an exception block.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "base/refusal.h"
#include "base/run.h"

PG_FUNCTION_INFO_V1(facematch_ask);
PG_FUNCTION_INFO_V1(facematch_announce_reading);

/* What a partner is told. */
typedef struct Answer
{
	bool		match;
	bool		has_token;
	pg_uuid_t	token;
} Answer;

static void
require_own_transactions(FunctionCallInfo fcinfo, const char *name)
{
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) || castNode(CallContext, fcinfo->context)->atomic ||
		IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION), face_refusal("own_transaction"),
				 errmsg("%s cannot run inside a transaction block", name),
				 errdetail("It commits what it accounts for before it answers."),
				 errhint("CALL it by itself, with autocommit on.")));
}

static void
require_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), face_refusal("argument_is_given"),
				 errmsg("%s is NULL", name),
				 errhint("Give it a value.")));
}

/* One step, as the owner of the tables.  Within SPI_connect; its rows stay until the next step. */
static uint64
step(const char *sql, int nargs, Oid *types, Datum *values)
{
	uint64		rows;

	PushActiveSnapshot(GetTransactionSnapshot());
	rows = face_run(sql, nargs, types, values, face_owner(face_table("access_grant")));
	PopActiveSnapshot();
	return rows;
}

/* What a step wrote is on disk when this returns, whatever synchronous_commit says. */
static void
commit(void)
{
	ForceSyncCommit();
	SPI_commit();
}

/* Charges the use to the session's partner, whose name is returned. */
static Datum
charge_use(void)
{
	bool		isnull;
	Datum		partner;
	Interval   *wait;

	if (step("SELECT c.partner, c.wait FROM facematch_internal.charge_partner() c", 0, NULL, NULL) != 1)
		elog(ERROR, "facematch_internal.charge_partner returned no row");
	partner = datumCopy(face_result(1, &isnull), false, -1);
	wait = DatumGetIntervalP(face_result(2, &isnull));
	if (!isnull)
	{
		long		seconds = (long) (wait->time / USECS_PER_SEC) + 1;

		commit();
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), face_refusal("partner_budget_is_left"),
				 errmsg("the partner has asked as often as it may"),
				 errhint_plural("Ask again in %ld second.", "Ask again in %ld seconds.", (unsigned long) seconds, seconds)));
	}
	commit();
	return partner;
}

/* An error that was accounted, as an array of its SQLSTATE, message, hint and constraint name. */
static void
raise_fault(ArrayType *fault)
{
	Datum	   *parts;
	int			count;
	char	   *state;
	char	   *hint;

	deconstruct_array(fault, TEXTOID, -1, false, TYPALIGN_INT, &parts, NULL, &count);
	if (count != 4)
		elog(ERROR, "facematch_internal.answer_partner returned %d parts of an error", count);
	state = TextDatumGetCString(parts[0]);
	hint = TextDatumGetCString(parts[2]);
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])),
			 errmsg_internal("%s", TextDatumGetCString(parts[1])),
			 hint[0] != '\0' ? errhint("%s", hint) : 0,
			 face_refusal(TextDatumGetCString(parts[3]))));
}

static Answer
answer(Datum partner, Datum gallery, Datum probe, Oid probe_type)
{
	Oid			types[] = {TEXTOID, TEXTOID, probe_type};
	Datum		values[] = {partner, gallery, probe};
	Answer		told = {false, false};
	bool		isnull;
	bool		refused;
	bool		faulty;
	Datum		token;
	Datum		fault;

	if (step("SELECT a.refused, a.match, a.token, a.fault FROM facematch_internal.answer_partner($1, $2, $3) a", lengthof(types), types, values) != 1)
		elog(ERROR, "facematch_internal.answer_partner returned no row");
	refused = DatumGetBool(face_result(1, &isnull));
	told.match = DatumGetBool(face_result(2, &isnull)) && !isnull;
	token = face_result(3, &isnull);
	told.has_token = !isnull;
	if (told.has_token)
		told.token = *DatumGetUUIDP(token);
	fault = face_result(4, &isnull);
	faulty = !isnull;
	if (faulty)
		fault = datumCopy(fault, false, -1);
	commit();
	if (faulty)
		raise_fault(DatumGetArrayTypeP(fault));
	/* One message, whether it is another's flight, over, or none at all. */
	if (refused)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), face_refusal("partner_gallery_may_be_asked"),
				 errmsg("the gallery is not one that the partner may ask about now"),
				 errhint("facematch.partner_flights() lists those that it may.")));
	return told;
}

/* facematch.ask(gallery text, probe face_embedding, INOUT match boolean, INOUT token uuid) */
Datum
facematch_ask(PG_FUNCTION_ARGS)
{
	Oid			probe_type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	TupleDesc	desc;
	Datum		gallery;
	Datum		probe;
	Datum		partner;
	Answer		told;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	require_own_transactions(fcinfo, "facematch.ask");
	require_argument(fcinfo, 0, "the gallery");
	require_argument(fcinfo, 1, "the probe");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	/* SPI's own memory outlives the commits; what the arguments point to may not. */
	gallery = PointerGetDatum(PG_GETARG_TEXT_P_COPY(0));
	probe = PointerGetDatum(PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(1)));
	partner = charge_use();
	told = answer(partner, gallery, probe, probe_type);
	SPI_finish();

	values[0] = BoolGetDatum(told.match);
	values[1] = UUIDPGetDatum(&told.token);
	nulls[1] = !told.has_token;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* facematch.announce_reading(gallery text, photograph_id bigint, purpose text, subject_id uuid): of one of the three */
Datum
facematch_announce_reading(PG_FUNCTION_ARGS)
{
	static const struct
	{
		int			argument;
		Oid			type;
		const char *note;
	}			readable[] = {
		{0, TEXTOID, "SELECT facematch_internal.note_reading($2, gallery => $1)"},
		{1, INT8OID, "SELECT facematch_internal.note_reading($2, photograph_id => $1)"},
		{3, UUIDOID, "SELECT facematch_internal.note_reading($2, subject_id => $1)"}
	};
	int			named = -1;
	int			count = 0;
	Oid			types[] = {InvalidOid, TEXTOID};
	Datum		values[2];

	require_own_transactions(fcinfo, "facematch.announce_reading");
	require_argument(fcinfo, 2, "the purpose");
	for (int i = 0; i < lengthof(readable); i++)
	{
		if (PG_ARGISNULL(readable[i].argument))
			continue;
		named = i;
		count++;
	}
	if (count != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), face_refusal("reading_names_what"),
				 errmsg("name a gallery, a photograph or a subject"),
				 errhint("CALL facematch.announce_reading(gallery => '...', purpose => '...'), or with photograph_id or subject_id.")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	types[0] = readable[named].type;
	values[0] = PG_GETARG_DATUM(readable[named].argument);
	values[1] = PG_GETARG_DATUM(2);
	step(readable[named].note, lengthof(types), types, values);
	commit();
	SPI_finish();
	PG_RETURN_VOID();
}
