/*-------------------------------------------------------------------------
 *
 * audit.c
 *	  Events of the log, chained without a lock that everybody waits for.
 *
 * An event's hash covers the event before it in its chain, so a session that
 * appends to a chain has to keep others from it until the transaction has
 * ended. There are as many chains as ever were written to at once: a
 * transaction takes the first that is free, beginning with the one this session
 * wrote to last, and waits for nobody. What it holds is a lock on a numbered
 * part of the table, which no advisory lock of an application meets.
 *
 * Each event also covers the newest event of all chains, its witness.  So the
 * chains are woven into each other: to take away the end of one, all events of
 * the others have to go that were written after it.
 *
 * The order of the steps is what facematch.verify_audit() counts on: the
 * chain, its head, the number, the witness, the time.  So the witness is no older
 * than what was committed before the number was given, and neither number nor
 * time is before those of the event's predecessor and of its witness.  Where the
 * clock was set back the time stays, and the detail has what the clock said.
 *
 * No text of an event's detail is a template: what reads as one is replaced, as
 * in the server's log (src/redaction).
 *
 * The heads are read with SnapshotSelf: they have to be the newest that are
 * committed, in a transaction with one snapshot too, and must make no
 * serializable transaction depend on another that merely writes to the log.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "redaction/texts.h"
#include "base/gate.h"
#include "base/run.h"

PG_FUNCTION_INFO_V1(facematch_write_audit);

#define HASH_BYTES	32			/* SHA-256 */

/* The last event of a chain, or of all. */
typedef struct LastEvent
{
	int64		event_id;		/* 0: there is none */
	int64		seq;
	TimestampTz at;
	Datum		hash;
} LastEvent;

static LastEvent
last_event(Relation log, const char *const *columns, int ncolumns, int32 chain)
{
	Relation	index = index_open(face_index_on(RelationGetRelid(log), ncolumns, columns), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(log, NULL);
	LastEvent	last = {.at = DT_NOBEGIN};
	ScanKeyData key;
	IndexScanDesc scan;

	/* The first column is the chain, or there is no key. */
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(chain));
	scan = face_index_beginscan(log, index, SnapshotSelf, chain == 0 ? 0 : 1, 0);
	index_rescan(scan, &key, chain == 0 ? 0 : 1, NULL, 0);
	if (index_getnext_slot(scan, BackwardScanDirection, slot))
	{
		bool		isnull;

		last.event_id = DatumGetInt64(slot_getattr(slot, SPI_fnumber(RelationGetDescr(log), "event_id"), &isnull));
		last.seq = DatumGetInt64(slot_getattr(slot, SPI_fnumber(RelationGetDescr(log), "seq"), &isnull));
		last.at = DatumGetTimestampTz(slot_getattr(slot, SPI_fnumber(RelationGetDescr(log), "at"), &isnull));
		last.hash = PointerGetDatum(DatumGetByteaPCopy(slot_getattr(slot, SPI_fnumber(RelationGetDescr(log), "hash"), &isnull)));
	}
	else
	{
		bytea	   *nothing = palloc0(VARHDRSZ + HASH_BYTES);

		SET_VARSIZE(nothing, VARHDRSZ + HASH_BYTES);
		last.hash = PointerGetDatum(nothing);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	return last;
}

static bool
own_chain(Oid log, int32 chain)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, log, (Oid) chain, 0);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* A chain that is this transaction's until it ends. */
static int32
take_chain(Oid log)
{
	static int32 last_taken = 1;
	int32		chain = last_taken;

	for (int32 next = 1; !own_chain(log, chain); next++)
	{
		CHECK_FOR_INTERRUPTS();
		chain = next;
	}
	last_taken = chain;
	return chain;
}

/* Numbers go up.  A sequence that is behind was not restored with the log: it is brought forward. */
static int64
next_event_id(int64 newest)
{
	Oid			sequence = face_table("audit_event_id_seq");
	int64		id = nextval_internal(sequence, false);

	if (id > newest)
		return id;
	DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence), Int64GetDatum(newest));
	return nextval_internal(sequence, false);
}

static void
insert_event(Datum *values)
{
	static FacePlan plan = {
		"INSERT INTO facematch.audit_event (event_id, at, actor, action, detail, previous, hash, chain, seq, witness)"
		" VALUES ($1, $2, $3, $4, $5, $6, pg_catalog.sha256(facematch.audit_content("
		"ROW($1, $2, $3, $4, $5, $6, NULL, $7, $8, $9)::facematch.audit_event)), $7, $8, $9)",
		9, {INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, JSONBOID, BYTEAOID, INT4OID, INT8OID, BYTEAOID}, NULL
	};

	SPI_connect();
	face_run_plan(&plan, values, face_owner(face_table("audit_event")));
	SPI_finish();
}

/* A detail that says what a clock said that is behind the log. */
static Datum
with_clock(Datum detail, TimestampTz clock)
{
	TimestampTz epoch = (TimestampTz) (UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
	int64		since = clock - epoch;
	char	   *said = psprintf("{\"clock\": " INT64_FORMAT ".%06d}", since / USECS_PER_SEC, (int) (since % USECS_PER_SEC));

	return DirectFunctionCall2(jsonb_concat, detail, DirectFunctionCall1(jsonb_in, CStringGetDatum(said)));
}

/* The session's user is the actor of an event, and may have nothing to do with it: code of a table ran in his session. */
static Datum
with_code(Datum detail)
{
	return DirectFunctionCall2(jsonb_concat, detail, DirectFunctionCall1(jsonb_in, CStringGetDatum("{\"code_of_a_table\": true}")));
}

/*
 * Whether the newest event about the thing that a detail is about has one of these actions.  A transaction with one
 * snapshot sees the newest that is committed, too: else a thing that somebody has deleted since would count as there.
 */
static bool
comes_after(Datum detail, Datum actions)
{
	static FacePlan plan = {
		"SELECT coalesce((SELECT e.action FROM facematch.audit_event e WHERE e.detail ? 'about'"
		" AND e.detail ->> 'about' = $1 ->> 'about' ORDER BY e.event_id DESC LIMIT 1), '') = ANY ($2)",
		2, {JSONBOID, TEXTARRAYOID}, NULL
	};
	bool		comes;

	SPI_connect();
	face_run_plan(&plan, (Datum[]) {detail, actions}, face_owner(face_table("audit_event")));
	comes = DatumGetBool(face_result(1, NULL));
	SPI_finish();
	return comes;
}

static void
append_event(Datum action, Datum detail, ArrayType *only_after)
{
	static const char *const by_chain[] = {"chain", "seq"};
	static const char *const by_number[] = {"event_id"};
	Relation	log;
	LastEvent	head;
	LastEvent	newest;
	TimestampTz at;
	TimestampTz clock;
	int64		event_id;
	int32		chain;

	PreventCommandIfReadOnly("writing to the log");
	detail = JsonbPGetDatum(face_redact_json(DatumGetJsonbP(detail)));
	if (ARR_NDIM(only_after) > 0 && !comes_after(detail, PointerGetDatum(only_after)))
		return;
	if (face_is_tables_code())
		detail = with_code(detail);
	log = table_open(face_table("audit_event"), RowExclusiveLock);
	chain = take_chain(RelationGetRelid(log));
	head = last_event(log, by_chain, lengthof(by_chain), chain);
	newest = last_event(log, by_number, lengthof(by_number), 0);
	do
	{
		CHECK_FOR_INTERRUPTS();
		event_id = next_event_id(newest.event_id);
		newest = last_event(log, by_number, lengthof(by_number), 0);
	} while (newest.event_id > event_id);
	clock = GetCurrentTimestamp();
	at = Max(clock, Max(head.at, newest.at));
	if (at > clock)
		detail = with_clock(detail, clock);
	insert_event((Datum[]) {
		Int64GetDatum(event_id), TimestampTzGetDatum(at),
		CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false)), action, detail, head.hash,
		Int32GetDatum(chain), Int64GetDatum(head.seq + 1), newest.hash
	});
	table_close(log, NoLock);
}

/* facematch_internal.write_audit(action, detail, only_after) */
Datum
facematch_write_audit(PG_FUNCTION_ARGS)
{
	append_event(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_ARRAYTYPE_P(2));
	PG_RETURN_VOID();
}
