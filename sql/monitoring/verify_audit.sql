/*
 * facematch.verify_audit(): whether the audit log is complete, and whether the rows
 * that it describes still agree with it. It reads the tables of other domains, so it
 * comes after them; the log itself is sql/audit/log.sql.
 */

-- What keep_as_record() has put on record, by the triggers that install made.
CREATE VIEW facematch_internal.logged AS
	SELECT e.table_name, a.argument[1] AS word, string_to_array(a.argument[2], ',') AS keys,
		   -- Those that another trigger of the table logs, too.
		   ARRAY(SELECT DISTINCT c.name FROM facematch_internal.expected_part o CROSS JOIN LATERAL string_to_table(
				split_part(split_part(o.definition, 'log_row(', 2), '''', 6), ',') c (name)
				WHERE o.table_name = e.table_name AND o.kind = 'trigger' AND c.name <> '') AS columns,
		   a.argument[1] || '_' || split_part(a.argument[4], ',', 3) AS gone
	FROM facematch_internal.expected_part e
	CROSS JOIN LATERAL regexp_match(e.definition, 'log_row\(''([^'']*)'', ''([^'']*)'', ''([^'']*)'', ''([^'']*)''')
		a (argument)
	WHERE e.kind = 'trigger' AND e.name LIKE '%\_50\_log' AND e.type & 4 <> 0;
COMMENT ON VIEW facematch_internal.logged IS
	'the tables whose every row is in the log, by the triggers that install made';
COMMENT ON COLUMN facematch_internal.logged.table_name IS 'the table';
COMMENT ON COLUMN facematch_internal.logged.word IS 'what detail.about begins with';
COMMENT ON COLUMN facematch_internal.logged.keys IS 'the columns that detail.about goes on with';
COMMENT ON COLUMN facematch_internal.logged.columns IS 'the columns that the log has';
COMMENT ON COLUMN facematch_internal.logged.gone IS 'the action of a row that goes';

CREATE FUNCTION facematch_internal.logged_rows() RETURNS TABLE (about text, table_name regclass, "row" jsonb)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
	SET timezone = 'UTC' SET intervalstyle = 'postgres' SET quote_all_identifiers = off SET extra_float_digits = 1
AS $$
DECLARE
	l facematch_internal.logged;
BEGIN
	FOR l IN SELECT g.* FROM facematch_internal.logged g LOOP
		RETURN QUERY EXECUTE format(
			'SELECT facematch_internal.redacted(concat(%L, '':'', concat_ws('','', %s))), %s::regclass, '
			'jsonb_build_object(%s) FROM %s t',
			l.word, (SELECT string_agg(format('to_jsonb(t.%I) #>> ''{}''', k.name), ', ' ORDER BY k.n)
					 FROM unnest(l.keys) WITH ORDINALITY k (name, n)),
			quote_literal(l.table_name),
			(SELECT string_agg(format('%L, t.%I', c.name, c.name)
					|| CASE a.atttypid WHEN 'regclass'::regtype THEN format(', %L, t.%I::oid::bigint', c.name || '_oid', c.name)
							ELSE '' END, ', ')
			 FROM unnest(l.columns) c (name) LEFT JOIN pg_attribute a ON a.attrelid = l.table_name AND a.attname = c.name),
			l.table_name);
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch_internal.logged_rows() IS
	'the rows of the tables that facematch_internal.logged names, as the log has them: detail.about, and the'
	' logged columns';

CREATE FUNCTION facematch.verify_audit(anchor text DEFAULT NULL)
	RETURNS TABLE (intact boolean, events bigint, since_anchor bigint, chain integer, first_broken bigint, finding text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	SET timezone = 'UTC' SET intervalstyle = 'postgres' SET quote_all_identifiers = off SET work_mem = '64MB'
AS $$
#variable_conflict use_column
DECLARE
	-- The witness of the first event, and what comes before the first of a chain.
	nothing CONSTANT bytea := decode(repeat('00', 32), 'hex');
BEGIN
	IF anchor !~* '^[0-9a-f]{64}$' THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'audit_anchor_is_hexadecimal',
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
				   sha256(facematch.audit_content(e)) AS computed
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
		), stated AS MATERIALIZED (
			-- What the log says of each row since the last one of its key has gone: the whole row first, then what has changed.
			SELECT t.* FROM (
				SELECT e.chain, e.event_id, e.detail ->> 'about' AS about, e.detail, e.action = l.gone AS gone,
					   max(e.event_id) FILTER (WHERE e.action = l.gone) OVER a AS last_gone,
					   max(e.event_id) FILTER (WHERE e.action <> l.gone AND e.detail ? 'row') OVER a AS last_whole,
					   max(e.event_id) OVER a AS newest
				FROM event e JOIN facematch_internal.logged l ON l.word = split_part(e.detail ->> 'about', ':', 1)
				WINDOW a AS (PARTITION BY e.detail ->> 'about')) t
			WHERE t.event_id = t.newest OR t.event_id > t.last_gone IS NOT FALSE
		), changed AS (
			SELECT s.about, jsonb_object_agg(f.key, f.value -> 1 ORDER BY s.event_id) AS row
			FROM stated s CROSS JOIN LATERAL jsonb_each(s.detail -> 'changed') f
			WHERE s.event_id > s.last_whole IS NOT FALSE GROUP BY s.about
		), written AS (
			SELECT s.chain, s.event_id, coalesce(s.about, x.about) AS about, coalesce(s.gone, false) AS gone,
				   coalesce(w.detail -> 'row', CASE WHEN s.last_gone IS NULL THEN x.row END, '{}') || coalesce(c.row, '{}') AS row
			FROM (SELECT n.* FROM stated n WHERE n.event_id = n.newest) s
			FULL JOIN facematch_internal.expected_row x ON x.about = s.about
			LEFT JOIN stated w ON w.about = s.about AND w.event_id = s.last_whole
			LEFT JOIN changed c ON c.about = s.about
		), kept AS MATERIALIZED (
			SELECT k.about, k.table_name, k.row FROM facematch_internal.logged_rows() k
		), found (chain, event_id, finding) AS (
			SELECT e.chain, e.event_id, 'the event was changed: its hash does not match' FROM event e
			WHERE e.computed IS DISTINCT FROM e.hash
			UNION ALL
			SELECT e.chain, e.event_id,
				   format('the event has place %s of the chain, expected %s: events are missing, duplicated or moved',
					e.seq, e.expected)
			FROM event e WHERE e.seq <> e.expected
			UNION ALL
			SELECT e.chain, e.event_id, 'its previous hash is not that of the event before it in the chain' FROM event e
			WHERE e.previous IS DISTINCT FROM e.before
			UNION ALL
			SELECT e.chain, e.event_id, 'its witness, the newest event when it was written, is missing or changed'
			FROM event e
			WHERE e.witness <> nothing AND coalesce(e.seen_id >= e.event_id, true)
			UNION ALL
			SELECT e.chain, e.event_id, 'its number or time is before that of the event before it in the chain, or of its'
				' witness'
			FROM event e WHERE e.event_id <= e.before_id OR e.at < e.before_at OR e.at < e.seen_at
			UNION ALL
			SELECT e.chain, e.event_id, 'its witness is older than that of the event before it in the chain' FROM event e
			WHERE e.seen_id < e.before_seen OR e.witness = nothing AND e.seq > 1
			UNION ALL
			SELECT e.chain, e.event_id, format('event %s anchored the log without it, although it is older',
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
			SELECT w.chain, w.event_id, format('%s is missing or changed', w.about)
			FROM written w LEFT JOIN kept k ON k.about = w.about
			-- Each field that was logged is the same, and the log has no text that looks like a template; an array is not while
			-- it has something more. A table may have another name now: it is the same by its number, or, in a copy of the
			-- database, where it has another number, if no table has the name or the number that was logged.
			CROSS JOIN LATERAL (SELECT w.row - coalesce(array_agg(o.key)
					|| array_agg(n.name) FILTER (WHERE o.value = w.row -> o.key OR to_regclass(w.row ->> n.name) IS NULL
						AND w.row ->> n.name IS NOT NULL
						AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid::text = w.row ->> o.key
							AND c.relkind IN ('r', 'p', 'f', 'v', 'm'))), '{}') AS row
				FROM jsonb_each(k.row) o CROSS JOIN LATERAL (SELECT regexp_replace(o.key, '_oid$', '') AS name) n
				WHERE n.name <> o.key AND k.row ? n.name) r
			WHERE NOT w.gone AND (k.row || r.row = k.row
								  OR facematch_internal.redacted(k.row) || r.row = facematch_internal.redacted(k.row)) IS NOT TRUE
			UNION ALL
			SELECT w.chain, w.event_id, format('%s of %s was never written to the log', k.about, k.table_name)
			FROM kept k LEFT JOIN written w ON w.about = k.about
			WHERE w.gone IS NOT FALSE
			UNION ALL
			-- What the rules have taken meanwhile, or are about to, is not missed.
			SELECT e.chain, e.event_id, format('the searches of %s were changed (rows: %s, expected: %s)',
				to_char(e.day_utc, 'YYYY-MM-DD'), coalesce(d.searches, 0), e.searches)
			FROM facematch_internal.digested_day e LEFT JOIN facematch_internal.search_day d ON d.day_utc = e.day_utc
			WHERE (coalesce(d.searches, 0), d.digest) IS DISTINCT FROM (e.searches, e.digest)
			  AND (facematch_internal.retention_due('search', 'search', e.day_utc, NULL, NULL, NULL, NULL)).due
				  > clock_timestamp() + interval '1 day'
			UNION ALL
			SELECT NULL, NULL, format('events are missing from the stream of rights of site %s: it has %s of %s',
				r.site,
				count(*),
				max(r.number))
			FROM facematch.rights_event r GROUP BY r.site HAVING count(*) <> max(r.number)
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
	'whether the audit log is complete and unchanged: one row with intact if it is, otherwise a row for each '
	'finding, in order of events: the chain, the event (first_broken) and what is wrong there. With an anchor that '
	'facematch.audit_anchor() returned, also whether anything it covers was cut off or rewritten; since_anchor '
	'counts the events it does not cover. A missing event of the stream of rights is a finding too. If the newest '
	'events of a chain were cut off and are the witness of no later event, only an anchor reveals it. Not 64 '
	'hexadecimal digits: 22023';
