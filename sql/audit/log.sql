/*
 * The log: events in hash chains, their anchors, and the proof that the log is
 * whole.
 *
 * An event's hash covers the event, the hash of the event before it in its
 * chain, and that of the newest event of all chains when it was written (its
 * witness).  A transaction writes to a chain that no other transaction is
 * writing to, so nobody waits for another's commit (src/audit/README.md).
 * docs/audit.md says what follows from that, and what does not.
 * No event holds a template, a photograph or a document number.
 */

CREATE TABLE facematch.audit_event (
	event_id	bigint NOT NULL,
	at			timestamptz NOT NULL,
	actor		text NOT NULL,
	action		text NOT NULL,
	detail		jsonb NOT NULL,
	previous	bytea NOT NULL,
	hash		bytea NOT NULL,
	chain		integer NOT NULL,
	seq			bigint NOT NULL,
	witness		bytea NOT NULL,
	CONSTRAINT audit_event_pkey PRIMARY KEY (event_id),
	CONSTRAINT audit_event_follows_one UNIQUE (chain, seq)
);
COMMENT ON TABLE facematch.audit_event IS
	'what was done to rules, deadlines, opt-outs, holds, classes, overrides and deleted rows; hash chains, rows '
	'are never changed';
COMMENT ON COLUMN facematch.audit_event.event_id IS
	'number, in about the order of writing; a transaction that failed leaves a gap, which means nothing';
COMMENT ON COLUMN facematch.audit_event.at IS
	'when it happened; never before the event before it in the chain, nor before its witness: where the clock was'
	' set back, detail.clock has what it said, in seconds since 1970';
COMMENT ON COLUMN facematch.audit_event.actor IS 'the session''s user';
COMMENT ON COLUMN facematch.audit_event.action IS 'what happened, such as deadline_lengthened';
COMMENT ON COLUMN facematch.audit_event.detail IS
	'particulars; no free text that was typed in but the reason of decommission() and what notices say, and what '
	'looks like a template or an image is replaced by its length, as facematch_internal.redacted() does';
COMMENT ON COLUMN facematch.audit_event.previous IS
	'hash of the event before in the chain; of the first, 32 zero bytes';
COMMENT ON COLUMN facematch.audit_event.hash IS 'SHA-256 of facematch.audit_content() of the row';
COMMENT ON COLUMN facematch.audit_event.chain IS 'the chain, from 1';
COMMENT ON COLUMN facematch.audit_event.seq IS 'place in the chain, from 1 without gaps';
COMMENT ON COLUMN facematch.audit_event.witness IS
	'hash of the newest event of all chains when this one was written; 32 zero bytes: there was none';
-- What the log says of a thing, newest first.
CREATE INDEX audit_event_about_idx ON facematch.audit_event ((detail ->> 'about'), event_id) WHERE detail ? 'about';
-- What a clock said that had been set back.
CREATE INDEX audit_event_set_back_idx ON facematch.audit_event (event_id) WHERE detail ? 'clock';
CREATE SEQUENCE facematch_internal.audit_event_id_seq;

CREATE FUNCTION facematch.audit_content(event facematch.audit_event) RETURNS bytea
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN event.previous || event.witness
		|| convert_to(jsonb_build_array(event.chain, event.seq, event.event_id, extract(epoch FROM event.at)::text,
			event.actor,
										event.action, event.detail)::text, 'UTF8');
COMMENT ON FUNCTION facematch.audit_content(facematch.audit_event) IS
	'the bytes that an event''s hash covers: the hash before it, the witness, then chain, place, number, seconds '
	'since 1970, actor, action and detail as a JSON array in UTF-8';

CREATE FUNCTION facematch_internal.write_audit(action text, detail jsonb, only_after text[] DEFAULT '{}') RETURNS void
	LANGUAGE C VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'facematch_write_audit';
COMMENT ON FUNCTION facematch_internal.write_audit(text, jsonb, text[]) IS
	'appends an event to the log. With only_after, only if the newest committed event about the same thing has one of'
	' these actions; an empty one stands for no event. For the extension''s own functions';

---------------------------------------------------------------- anchors

-- In this order, each step with a snapshot of its own: what is committed; a number; the chains that somebody is
-- writing to; the heads. An event with a lower number than that is then in the heads, or in such a chain; one with
-- a higher number has a witness no older than what was committed.
CREATE FUNCTION facematch.audit_anchor() RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	newest bigint;
	mark bigint;
	open jsonb;
	heads jsonb;
BEGIN
	IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'log_end_is_seen',
			MESSAGE = 'a transaction with one snapshot does not see the end of the audit log',
			HINT = 'Call facematch.audit_anchor() at isolation level READ COMMITTED.';
	END IF;
	-- Others do not see yet what this transaction has written.
	IF pg_current_xact_id_if_assigned() IS NULL THEN
		newest := (SELECT max(e.event_id) FROM facematch.audit_event e);
	END IF;
	mark := nextval('facematch_internal.audit_event_id_seq');
	SELECT coalesce(jsonb_agg(DISTINCT l.objid::bigint), '[]') INTO open FROM pg_locks l
	WHERE l.locktype = 'object' AND l.classid = 'facematch.audit_event'::regclass
		AND l.pid IS DISTINCT FROM pg_backend_pid()
	  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
	-- From chain to chain by the index: a log is long, its chains are few.
	WITH RECURSIVE chains AS (
		SELECT min(e.chain) AS chain FROM facematch.audit_event e
		UNION ALL
		SELECT (SELECT min(e.chain) FROM facematch.audit_event e WHERE e.chain > c.chain) FROM chains c
		WHERE c.chain IS NOT NULL)
	SELECT coalesce(jsonb_agg(jsonb_build_array(h.chain, h.seq, encode(h.hash, 'hex')) ORDER BY h.chain), '[]') INTO heads
	FROM chains c
	JOIN facematch.audit_event h ON h.chain = c.chain
		AND h.seq = (SELECT max(e.seq) FROM facematch.audit_event e WHERE e.chain = c.chain);
	PERFORM facematch_internal.write_audit('anchored',
		jsonb_build_object('heads', heads, 'mark', mark, 'open', open, 'newest', newest));
	RETURN (SELECT encode(e.hash, 'hex') FROM facematch.audit_event e
			WHERE e.event_id > mark AND e.action = 'anchored' AND e.detail -> 'mark' = to_jsonb(mark));
END
$$;
COMMENT ON FUNCTION facematch.audit_anchor() IS
	'writes an event that names the head of every chain, and returns its hash, 64 hexadecimal digits. Publish or '
	'sign it after the commit: facematch.verify_audit(anchor) then finds any earlier event that is changed or '
	'missing, and any that is added among them later. In a transaction with one snapshot: 55000';

---------------------------------------------------------------- verification

-- Who was granted the log reads it; who reads every table (pg_read_all_data) does not for that alone.
ALTER TABLE facematch.audit_event ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_granted ON facematch.audit_event FOR SELECT USING (EXISTS (
	SELECT FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
	WHERE c.oid = 'facematch.audit_event'::regclass AND a.privilege_type = 'SELECT'
	  AND CASE WHEN a.grantee = 0 THEN true ELSE pg_catalog.pg_has_role(a.grantee, 'USAGE') END));
COMMENT ON POLICY facematch_granted ON facematch.audit_event IS
	'roles with a grant, such as auditors, see the audit log; membership in pg_read_all_data is not enough';
SELECT pg_catalog.pg_extension_config_dump('facematch.audit_event', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.audit_event_id_seq', '');
