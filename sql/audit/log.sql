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
	'what was done to rules, deadlines, opt-outs, holds, classes, overrides and rows that went; hash chains, rows'
	' are never changed';
COMMENT ON COLUMN facematch.audit_event.event_id IS
	'number, in about the order of writing; a transaction that failed leaves a gap, which means nothing';
COMMENT ON COLUMN facematch.audit_event.at IS
	'when it happened; never before the event before it in the chain, nor before its witness: where the clock was'
	' set back, detail.clock has what it said, in seconds since 1970';
COMMENT ON COLUMN facematch.audit_event.actor IS 'the session''s user';
COMMENT ON COLUMN facematch.audit_event.action IS 'what happened, such as deadline_lengthened';
COMMENT ON COLUMN facematch.audit_event.detail IS
	'particulars; no free text that was typed in but the reason of decommission(), and what reads as a template or'
	' an image is replaced by how'
	' long it was, as facematch_internal.redacted() has it';
COMMENT ON COLUMN facematch.audit_event.previous IS
	'hash of the event before in the chain; of the first, 32 zero bytes';
COMMENT ON COLUMN facematch.audit_event.hash IS 'SHA-256 of facematch_internal.audit_content() of the row';
COMMENT ON COLUMN facematch.audit_event.chain IS 'the chain, from 1';
COMMENT ON COLUMN facematch.audit_event.seq IS 'place in the chain, from 1 without gaps';
COMMENT ON COLUMN facematch.audit_event.witness IS
	'hash of the newest event of all chains when this one was written; 32 zero bytes: there was none';
-- What the log says of a thing, newest first.
CREATE INDEX audit_event_about_idx ON facematch.audit_event ((detail ->> 'about'), event_id) WHERE detail ? 'about';
CREATE SEQUENCE facematch_internal.audit_event_id_seq;

CREATE FUNCTION facematch_internal.audit_content(event facematch.audit_event) RETURNS bytea
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN event.previous || event.witness
		|| convert_to(jsonb_build_array(event.chain, event.seq, event.event_id, extract(epoch FROM event.at)::text,
			event.actor,
										event.action, event.detail)::text, 'UTF8');
COMMENT ON FUNCTION facematch_internal.audit_content(facematch.audit_event) IS
	'the bytes that an event''s hash is of: the hash before it, the witness, then chain, place, number, seconds'
	' since 1970, actor, action and detail as a JSON array in UTF-8';

CREATE FUNCTION facematch_internal.write_audit(action text, detail jsonb) RETURNS void
	LANGUAGE C VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'facematch_write_audit';
COMMENT ON FUNCTION facematch_internal.write_audit(text, jsonb) IS
	'appends an event to the log; for the extension''s own functions';

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
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = 'a transaction with one snapshot does not see the end of the log',
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
	'writes an event that names the head of every chain, and returns its hash, 64 hexadecimal digits, to publish or'
	' to sign once the transaction has committed: facematch.verify_audit(anchor) finds whatever is changed or'
	' missing of all that came before, and what is put there later. In a transaction with one snapshot: 55000';

---------------------------------------------------------------- verification

CREATE FUNCTION facematch.verify_audit(anchor text DEFAULT NULL)
	RETURNS TABLE (intact boolean, events bigint, since_anchor bigint, chain integer, first_broken bigint, finding text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	SET timezone = 'UTC' SET intervalstyle = 'postgres' SET work_mem = '64MB'
AS $$
#variable_conflict use_column
DECLARE
	-- The witness of the first event, and what comes before the first of a chain.
	nothing CONSTANT bytea := decode(repeat('00', 32), 'hex');
BEGIN
	IF anchor !~* '^[0-9a-f]{64}$' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'an anchor is 64 hexadecimal digits',
			HINT = 'facematch.audit_anchor() returned it.';
	END IF;
	events := (SELECT count(*) FROM facematch.audit_event);
	-- Places have no gaps: the heads' places are how many events an anchor covers, besides its own.
	since_anchor := events - 1 - (SELECT coalesce(sum((h.head ->> 1)::bigint), 0)
								  FROM facematch.audit_event e
								  LEFT JOIN LATERAL jsonb_array_elements(e.detail -> 'heads') h (head) ON true
								  WHERE e.action = 'anchored' AND e.hash = decode(verify_audit.anchor, 'hex')
								  HAVING count(*) > 0);
	intact := false;
	-- One finding for each thing that is wrong with an event; a whole log gives none.
	FOR chain, first_broken, finding IN
		WITH hashed AS MATERIALIZED (
			SELECT e.chain, e.seq, e.event_id, e.at, e.action, e.detail, e.hash, e.previous, e.witness,
				   sha256(facematch_internal.audit_content(e)) AS computed
			FROM facematch.audit_event e
		), event AS MATERIALIZED (
			SELECT h.*, s.event_id AS seen_id, s.at AS seen_at, row_number() OVER w AS expected,
				   lag(h.hash, 1, nothing) OVER w AS before, lag(h.event_id) OVER w AS before_id, lag(h.at) OVER w AS before_at,
				   lag(s.event_id) OVER w AS before_seen
			FROM hashed h
			LEFT JOIN (SELECT d.hash, min(d.event_id) AS event_id, min(d.at) AS at FROM hashed d GROUP BY d.hash) s
				ON s.hash = h.witness
			WINDOW w AS (PARTITION BY h.chain ORDER BY h.seq, h.event_id)
		), anchored AS (
			SELECT e.chain, e.event_id, (h.head ->> 0)::integer AS head_chain, (h.head ->> 1)::bigint AS head_place,
				   h.head ->> 2 AS head_hash
			FROM event e CROSS JOIN LATERAL jsonb_array_elements(
				CASE WHEN jsonb_typeof(e.detail -> 'heads') = 'array' THEN e.detail -> 'heads' ELSE '[]' END) h (head)
			WHERE e.action = 'anchored'
		), marked AS (
			-- Of each chain, the first place that an anchor does not cover.
			SELECT e.event_id, c.chain, (e.detail ->> 'mark')::bigint AS mark, (e.detail ->> 'newest')::bigint AS newest,
				   e.detail -> 'open' AS open, coalesce(a.head_place, 0) + 1 AS next_place
			FROM event e CROSS JOIN (SELECT DISTINCT v.chain FROM event v) c
			LEFT JOIN anchored a ON a.event_id = e.event_id AND a.head_chain = c.chain
			WHERE e.action = 'anchored' AND jsonb_typeof(e.detail -> 'mark') = 'number'
			  AND jsonb_typeof(e.detail -> 'open') = 'array'
		), written AS (
			SELECT e.chain, e.event_id, e.detail ->> 'about' AS about, e.detail -> 'row' AS row FROM event e
			WHERE e.action IN ('receipt_written', 'erasure_written', 'settlement_written')
		), kept AS (
			SELECT 'receipt:' || p.receipt_id AS about, 'facematch.purge_receipt' AS table_name, to_jsonb(p) AS row
			FROM facematch.purge_receipt p
			UNION ALL
			SELECT 'erasure:' || r.erasure_id, 'facematch_internal.erasure', to_jsonb(r) FROM facematch_internal.erasure r
			UNION ALL
			SELECT 'settlement:' || s.receipt_id, 'facematch_internal.erased_receipt', to_jsonb(s)
			FROM facematch_internal.erased_receipt s
		), found (chain, event_id, finding) AS (
			SELECT e.chain, e.event_id, 'the event is not the one that was written: its hash is of another' FROM event e
			WHERE e.computed IS DISTINCT FROM e.hash
			UNION ALL
			SELECT e.chain, e.event_id,
				   format('place %s of the chain, where %s is expected: events are missing, doubled or moved', e.seq, e.expected)
			FROM event e WHERE e.seq <> e.expected
			UNION ALL
			SELECT e.chain, e.event_id, 'it does not follow the event before it in the chain' FROM event e
			WHERE e.previous IS DISTINCT FROM e.before
			UNION ALL
			SELECT e.chain, e.event_id, 'the newest event when it was written is missing or changed' FROM event e
			WHERE e.witness <> nothing AND coalesce(e.seen_id >= e.event_id, true)
			UNION ALL
			SELECT e.chain, e.event_id, 'its number or time is before that of the event before it in the chain, or of the'
				' newest'
				   ' event when it was written'
			FROM event e WHERE e.event_id <= e.before_id OR e.at < e.before_at OR e.at < e.seen_at
			UNION ALL
			SELECT e.chain, e.event_id, 'it saw less of the log than the event before it in the chain' FROM event e
			WHERE e.seen_id < e.before_seen OR e.witness = nothing AND e.seq > 1
			UNION ALL
			SELECT e.chain, e.event_id, format('event %s anchored the log without it, and it does not come after that',
				m.event_id)
			FROM marked m JOIN event e ON e.chain = m.chain AND e.seq = m.next_place
			WHERE CASE WHEN e.event_id > m.mark THEN m.newest IS NOT NULL AND coalesce(e.seen_id < m.newest, true)
					   ELSE NOT m.open @> to_jsonb(e.chain) END
			UNION ALL
			SELECT a.head_chain, a.event_id,
				   format('it anchors an event at place %s of chain %s that is missing or changed', a.head_place, a.head_chain)
			FROM anchored a
			WHERE NOT EXISTS (SELECT FROM event e WHERE e.chain = a.head_chain AND e.seq = a.head_place
							  AND encode(e.hash, 'hex') = a.head_hash)
			UNION ALL
			SELECT w.chain, w.event_id, format('%s is missing or changed', w.about) FROM written w
			-- Each field that was logged is the same, and the log has no text that reads as a template; an array is not while
			-- it has something more.
			WHERE NOT EXISTS (SELECT FROM kept k WHERE k.about = w.about
							  AND (k.row || w.row = k.row
								   OR facematch_internal.redacted(k.row) || w.row = facematch_internal.redacted(k.row)))
			UNION ALL
			SELECT NULL, NULL, format('%s of %s was never written to the log', k.about, k.table_name) FROM kept k
			WHERE NOT EXISTS (SELECT FROM written w WHERE w.about = k.about)
			UNION ALL
			-- What the rules have taken meanwhile, or are about to, is not missed.
			SELECT e.chain, e.event_id, format('the searches of %s are not those that were written: %s rows, and there were %s',
				e.detail ->> 'day', coalesce(d.searches, 0), e.detail ->> 'searches')
			FROM event e LEFT JOIN facematch_internal.search_day d ON d.day_utc = (e.detail ->> 'day')::date
			WHERE e.action = 'searches_digested'
			  AND (coalesce(d.searches, 0), d.digest) IS DISTINCT FROM ((e.detail ->> 'searches')::bigint, e.detail ->> 'digest')
			  AND (facematch_internal.retention_due('search', 'search', (e.detail ->> 'day')::date, NULL, NULL, NULL, NULL)).due
				  > clock_timestamp() + interval '1 day'
			UNION ALL
			SELECT NULL, NULL, 'the anchor is not in the log: what it covers was cut off or rewritten'
			WHERE verify_audit.anchor IS NOT NULL
			  AND NOT EXISTS (SELECT FROM event e
							  WHERE e.action = 'anchored' AND encode(e.hash, 'hex') = lower(verify_audit.anchor))
		)
		SELECT f.chain, f.event_id, f.finding FROM found f ORDER BY f.event_id, f.finding COLLATE "C"
	LOOP
		RETURN NEXT;
	END LOOP;
	IF NOT FOUND THEN
		intact := true;
		RETURN NEXT;
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.verify_audit(text) IS
	'whether the log is whole: one row with intact if it is, else a row for each finding, in order of events: the'
	' chain, the event (first_broken) and what is wrong there. With an anchor that facematch.audit_anchor()'
	' returned, also whether anything it covers was cut off or rewritten; since_anchor counts the events it does'
	' not cover. Events cut off at the end of a chain that no later event has seen show by an anchor only. Not 64'
	' hexadecimal digits: 22023';

SELECT pg_catalog.pg_extension_config_dump('facematch.audit_event', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.audit_event_id_seq', '');
