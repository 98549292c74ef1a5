/*
 * The log: events in a hash chain, and receipts for rows that went.
 *
 * Each event's hash covers the event and the hash before it, so that a change
 * in the middle shows, and a second row after the same predecessor is refused.
 * Numbers have no gaps.  Neither table holds a template or a document number.
 */

CREATE TABLE facematch.audit_event (
	event_id	bigint NOT NULL,
	at			timestamptz NOT NULL,
	actor		text NOT NULL,
	action		text NOT NULL,
	detail		jsonb NOT NULL,
	previous	bytea NOT NULL,
	hash		bytea NOT NULL,
	CONSTRAINT audit_event_pkey PRIMARY KEY (event_id),
	CONSTRAINT audit_event_follows_one UNIQUE (previous)
);
COMMENT ON TABLE facematch.audit_event IS 'what was done to deadlines, opt-outs and holds beyond what their own rows say; a hash chain, rows are never changed';
COMMENT ON COLUMN facematch.audit_event.event_id IS 'number, from 1, without gaps';
COMMENT ON COLUMN facematch.audit_event.at IS 'when it happened';
COMMENT ON COLUMN facematch.audit_event.actor IS 'the session''s user';
COMMENT ON COLUMN facematch.audit_event.action IS 'what happened, such as deadline_lengthened';
COMMENT ON COLUMN facematch.audit_event.detail IS 'particulars; never a template';
COMMENT ON COLUMN facematch.audit_event.previous IS 'hash of the event before; of the first, 32 zero bytes';
COMMENT ON COLUMN facematch.audit_event.hash IS 'SHA-256 of facematch.audit_content() of the row';

CREATE FUNCTION facematch.audit_content(event facematch.audit_event) RETURNS bytea
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT event.previous || convert_to(jsonb_build_array(event.event_id, extract(epoch FROM event.at)::text, event.actor, event.action,
														  event.detail)::text, 'UTF8')
$$;
COMMENT ON FUNCTION facematch.audit_content(facematch.audit_event) IS 'the bytes that an event''s hash is of: the hash before it, then number, seconds since 1970, actor, action and detail as JSON in UTF-8';

CREATE FUNCTION facematch.write_audit(action text, detail jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	event facematch.audit_event;
BEGIN
	-- One writer at a time, until it commits: the next event needs this one's hash.
	LOCK TABLE facematch.audit_event IN SHARE ROW EXCLUSIVE MODE;
	SELECT * INTO event FROM facematch.audit_event e ORDER BY e.event_id DESC LIMIT 1;
	event := ROW(coalesce(event.event_id, 0) + 1, clock_timestamp(), session_user, write_audit.action, write_audit.detail,
				 coalesce(event.hash, decode(repeat('00', 32), 'hex')), NULL);
	event.hash := sha256(facematch.audit_content(event));
	INSERT INTO facematch.audit_event SELECT event.*;
END
$$;
COMMENT ON FUNCTION facematch.write_audit(text, jsonb) IS 'appends an event to the log; for the extension''s own functions';
REVOKE ALL ON FUNCTION facematch.write_audit(text, jsonb) FROM PUBLIC;

CREATE FUNCTION facematch.verify_audit() RETURNS TABLE (intact boolean, events bigint, first_broken bigint)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT count(broken) = 0, count(*), min(broken)
	FROM (SELECT CASE WHEN e.event_id = row_number() OVER w
						   AND e.previous = lag(e.hash, 1, decode(repeat('00', 32), 'hex')) OVER w
						   AND e.hash = sha256(facematch.audit_content(e))
					  THEN NULL ELSE e.event_id END AS broken
		  FROM facematch.audit_event e WINDOW w AS (ORDER BY e.event_id)) checked
$$;
COMMENT ON FUNCTION facematch.verify_audit() IS
	'whether the log is whole: every event hashes to what it says and follows the one before. Always one row; first_broken is the number of the first event that does not. Events cut off at the end do not show: keep the last hash elsewhere';
REVOKE ALL ON FUNCTION facematch.verify_audit() FROM PUBLIC;

CREATE TABLE facematch.purge_receipt (
	receipt_id		bigint GENERATED ALWAYS AS IDENTITY,
	purged_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	cause			text NOT NULL CONSTRAINT purge_receipt_cause_is_known CHECK (cause IN ('retention', 'opt_out')),
	table_name		text NOT NULL,
	retention_class	text,
	rule			text,
	rows_purged		bigint NOT NULL,
	rows_held		bigint NOT NULL DEFAULT 0,
	earliest_due	timestamptz,
	latest_due		timestamptz,
	lateness		interval GENERATED ALWAYS AS (purged_at - earliest_due) STORED,
	actor			text NOT NULL DEFAULT session_user,
	CONSTRAINT purge_receipt_pkey PRIMARY KEY (receipt_id)
);
COMMENT ON TABLE facematch.purge_receipt IS 'one row for each batch and class of rows that went; rows are never changed';
COMMENT ON COLUMN facematch.purge_receipt.receipt_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.purge_receipt.purged_at IS 'when the rows were deleted';
COMMENT ON COLUMN facematch.purge_receipt.cause IS 'retention (the rows were due) or opt_out';
COMMENT ON COLUMN facematch.purge_receipt.table_name IS 'the table they were in';
COMMENT ON COLUMN facematch.purge_receipt.retention_class IS 'their retention class; NULL for an opt-out';
COMMENT ON COLUMN facematch.purge_receipt.rule IS 'the retention rule of that class at the time of the purge; NULL for an opt-out';
COMMENT ON COLUMN facematch.purge_receipt.rows_purged IS 'how many rows were deleted, or had their template cleared';
COMMENT ON COLUMN facematch.purge_receipt.rows_held IS 'how many rows of an opt-out a hold kept: they are due, and purged when the hold ends';
COMMENT ON COLUMN facematch.purge_receipt.earliest_due IS 'deadline of the row that was due longest; NULL for an opt-out';
COMMENT ON COLUMN facematch.purge_receipt.latest_due IS 'deadline of the row that was due last; NULL for an opt-out';
COMMENT ON COLUMN facematch.purge_receipt.lateness IS 'how long after earliest_due the rows were deleted; they were no candidates meanwhile';
COMMENT ON COLUMN facematch.purge_receipt.actor IS 'the session''s user';

CREATE FUNCTION facematch.refuse_change() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE integrity_constraint_violation USING
		MESSAGE = format('%s of %I is refused', lower(TG_OP), TG_TABLE_NAME),
		DETAIL = CASE TG_OP WHEN 'TRUNCATE' THEN 'It would pass by holds and receipts.' ELSE 'Its rows are a record.' END,
		HINT = CASE TG_OP WHEN 'TRUNCATE' THEN 'DELETE rows, or CALL facematch.purge() for what is due.' ELSE 'Nothing but the extension''s own functions writes it.' END;
END
$$;
COMMENT ON FUNCTION facematch.refuse_change() IS 'trigger: refuses what it is put on (23000)';

CREATE TRIGGER audit_event_10_is_a_record BEFORE UPDATE OR DELETE ON facematch.audit_event
	FOR EACH ROW EXECUTE FUNCTION facematch.refuse_change();
CREATE TRIGGER audit_event_20_is_a_record BEFORE TRUNCATE ON facematch.audit_event
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
CREATE TRIGGER purge_receipt_10_is_a_record BEFORE UPDATE OR DELETE ON facematch.purge_receipt
	FOR EACH ROW EXECUTE FUNCTION facematch.refuse_change();
CREATE TRIGGER purge_receipt_20_is_a_record BEFORE TRUNCATE ON facematch.purge_receipt
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.audit_event ENABLE ALWAYS TRIGGER audit_event_10_is_a_record, ENABLE ALWAYS TRIGGER audit_event_20_is_a_record;
ALTER TABLE facematch.purge_receipt ENABLE ALWAYS TRIGGER purge_receipt_10_is_a_record, ENABLE ALWAYS TRIGGER purge_receipt_20_is_a_record;

SELECT pg_catalog.pg_extension_config_dump('facematch.audit_event', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.purge_receipt', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.purge_receipt_receipt_id_seq', '');
