/*
 * Everything that is stored about one person: for an access request (5 U.S.C. 552a(d),
 * article 15 of the GDPR), and for the question whether and when something was deleted.
 * The person is all subjects that are joined by merges in force. No row shows a
 * template, or another person's pseudonym: for an encounter in which the person was a
 * candidate it says when and where, not whose it was.
 */

CREATE FUNCTION facematch.subject_report(subject_id uuid)
	RETURNS TABLE (part text, source text, row_id text, at timestamptz, purge_after timestamptz, detail jsonb)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	names CONSTANT uuid[] := facematch_internal.aliases(subject_report.subject_id);
	moment CONSTANT timestamptz := clock_timestamp();
	t facematch_internal.retained_now;
	s facematch.shard;
	r record;
	told bigint[];
	secret boolean;
	holds bigint[] := '{}';
	photographs bigint[];
BEGIN
	IF NOT EXISTS (SELECT FROM facematch.reading g WHERE g.role_name = session_user AND g.subject_id = ANY (names)
				   AND g.announced_at <= moment AND moment < g.until)
		AND NOT (SELECT pg_has_role(session_user, c.relowner, 'MEMBER') FROM pg_class c
			WHERE c.oid = 'facematch.reading'::regclass) THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'subject_is_announced',
			MESSAGE = 'no report of this subject is announced',
			HINT = 'CALL facematch.announce_reading(subject_id => ..., purpose => ...): it is logged, and holds for '
				'ten minutes.';
	END IF;

	-- The person.
	RETURN QUERY SELECT 'person', 'pseudonym', n::text, NULL::timestamptz, NULL::timestamptz, '{}'::jsonb
		FROM unnest(names) n
	ORDER BY n;
	RETURN QUERY SELECT 'person', 'facematch.subject_merge', m.merge_id::text, m.merged_at, NULL::timestamptz,
		jsonb_build_object('kept', m.kept, 'merged', m.merged)
	FROM facematch.subject_merge m WHERE m.undone_at IS NULL AND m.kept = ANY (names) ORDER BY m.merge_id;

	-- Rows under retention, table by table: whatever is wrong with one keeps none of the others from being looked at.
	FOR t IN SELECT k.* FROM facematch_internal.retained_now k WHERE k.subject_column IS NOT NULL
		ORDER BY k.shipped DESC, k.table_name::text LOOP
		BEGIN
			FOR r IN
				SELECT a.*, x.rule, x.citation FROM facematch_internal.ask_table(t.table_name, format(
						'SELECT d.%I::text, d.%I, d.purge_after, %s, (SELECT to_jsonb(c) FROM (SELECT %s) c) FROM @table d'
						' WHERE d.%I = ANY ($4::uuid[]) ORDER BY d.%I', t.key_column, t.recorded_column,
						coalesce('d.' || quote_ident(t.gallery_column), 'NULL::bigint'),
						(SELECT string_agg(format('d.%I', c.attname), ', ' ORDER BY c.attnum) FROM pg_attribute c
						 WHERE c.attrelid = t.table_name AND c.attnum > 0 AND NOT c.attisdropped
						   AND c.attnum NOT IN (SELECT f.attnum FROM facematch_internal.template_columns(t.table_name) f
												WHERE f.relation = t.table_name)),
						t.subject_column, t.recorded_column), names::text)
					a (row_id text, at timestamptz, purge_after timestamptz, gallery_id bigint, detail jsonb)
				LEFT JOIN LATERAL facematch.explain_retention(t.table_name, a.row_id) x ON true
			LOOP
				SELECT array_agg(h.hold_id) FILTER (WHERE h.may_be_told), bool_or(NOT h.may_be_told) INTO told, secret
				FROM facematch.hold h
				WHERE h.released_at IS NULL AND (h.until IS NULL OR h.until > moment)
				  AND (h.subject_id = ANY (names) OR (h.table_name = t.table_name AND h.row_id = r.row_id)
					   OR (h.table_name = 'facematch.gallery'::regclass AND h.row_id = r.gallery_id::text));
				-- That a row is there beyond its deadline would tell of the hold.
				CONTINUE WHEN secret AND r.purge_after <= moment;
				holds := holds || told;
				RETURN QUERY SELECT 'record', t.table_name::text, r.row_id, r.at, r.purge_after,
					r.detail || jsonb_build_object('rule', r.rule, 'citation', r.citation);
				RETURN QUERY SELECT 'photograph', 'facematch.photograph', p.photograph_id::text, p.stored_at, p.purge_after,
					to_jsonb(p) - '{sealed,key_id}'::text[]
				FROM facematch.photograph p
				WHERE CASE t.table_name WHEN 'facematch.reference'::regclass THEN p.reference_id::text = r.row_id
										WHEN 'facematch.encounter'::regclass THEN p.encounter_id::text = r.row_id END
				ORDER BY p.photograph_id;
			END LOOP;
		EXCEPTION WHEN OTHERS THEN
			RETURN QUERY SELECT 'elsewhere', t.table_name::text, NULL::text, NULL::timestamptz, NULL::timestamptz,
				jsonb_build_object('error', 'its rows cannot be read: ' || SQLERRM);
		END;
	END LOOP;
	RETURN QUERY SELECT 'candidate', 'facematch.candidate', format('%s,%s', c.encounter_id, c.rank), e.occurred_at,
		e.purge_after,
		jsonb_build_object('rank', c.rank, 'similarity', c.similarity, 'gallery', e.gallery, 'port', e.port, 'lane', e.lane)
	FROM facematch.candidate c JOIN facematch.encounter e USING (encounter_id)
	WHERE c.subject_id = ANY (names) AND e.purge_after > moment ORDER BY e.occurred_at, c.rank;

	-- What was said of the person.
	RETURN QUERY SELECT 'event', 'facematch.anchor_event', e.event_id::text, e.occurred_at, NULL::timestamptz, to_jsonb(e)
	FROM facematch.anchor_event e WHERE e.subject_id = ANY (names) ORDER BY e.occurred_at;
	RETURN QUERY SELECT 'opt_out', 'facematch.opt_out', o.opt_out_id::text, o.recorded_at, NULL::timestamptz, to_jsonb(o)
	FROM facematch.opt_out o WHERE o.subject_id = ANY (names) ORDER BY o.opt_out_id;
	RETURN QUERY SELECT 'hold', 'facematch.hold', h.hold_id::text, h.placed_at, NULL::timestamptz,
		jsonb_build_object('reason', h.reason, 'authority', h.authority, 'until', h.until, 'released_at', h.released_at)
	FROM facematch.hold h WHERE h.may_be_told AND (h.hold_id = ANY (holds) OR h.subject_id = ANY (names))
		ORDER BY h.hold_id;

	-- Who was told, who read, who searched.
	RETURN QUERY SELECT 'disclosure', 'facematch.disclosure', d.disclosure_id::text, d.disclosed_at, NULL::timestamptz,
		to_jsonb(d) - '{disclosure_id,disclosed_at,token}'::text[]
	FROM facematch.disclosure d WHERE d.subject_id = ANY (names) ORDER BY d.disclosure_id;
	SELECT array_agg(p.photograph_id) INTO photographs
	FROM facematch.photograph p LEFT JOIN facematch.reference f USING (reference_id)
	LEFT JOIN facematch.encounter e ON e.encounter_id = p.encounter_id
	WHERE coalesce(f.subject_id, e.subject_id) = ANY (names) AND p.purge_after > moment;
	RETURN QUERY SELECT 'reading', 'facematch.reading', g.reading_id::text, g.announced_at, NULL::timestamptz,
		jsonb_strip_nulls(jsonb_build_object('role_name', g.role_name, 'purpose', g.purpose, 'gallery', g.gallery,
			'photograph_id', g.photograph_id, 'report', CASE WHEN g.subject_id IS NOT NULL THEN true END))
	FROM facematch.reading g
	WHERE g.subject_id = ANY (names) OR g.photograph_id = ANY (photographs)
	   OR EXISTS (SELECT FROM facematch.reference f WHERE f.subject_id = ANY (names) AND f.gallery_id = g.gallery_id
				  AND f.purge_after > moment AND f.enrolled_at < g.until)
	ORDER BY g.reading_id;
	RETURN QUERY SELECT 'search', 'facematch.search', y.name, max(q.searched_at), NULL::timestamptz,
		jsonb_build_object('gallery', y.name, 'searches', count(*), 'first', min(q.searched_at))
	FROM (SELECT f.gallery_id, min(f.enrolled_at) AS since FROM facematch.reference f WHERE f.subject_id = ANY (names)
		  AND f.purge_after > moment GROUP BY f.gallery_id) f
	JOIN facematch.gallery y USING (gallery_id) JOIN facematch.search q ON q.gallery_id = f.gallery_id
		AND q.searched_at >= f.since
	GROUP BY y.name ORDER BY y.name;
	RETURN QUERY SELECT 'attempt', 'facematch_internal.attempt', a.attempt_id::text, a.attempted_at, a.purge_after,
		jsonb_build_object('role_name', a.role_name)
	FROM facematch_internal.attempt a WHERE a.subject_id = ANY (names) ORDER BY a.attempted_at;
	-- Of holds the log would tell more than may be told, and of others whom it names beside the person.
	RETURN QUERY SELECT 'log', 'facematch.audit_event', e.event_id::text, e.at, NULL::timestamptz,
		jsonb_strip_nulls(jsonb_build_object('action', e.action, 'about', e.detail -> 'about'))
	FROM facematch.audit_event e
	WHERE e.detail::text LIKE ANY (ARRAY(SELECT '%' || n || '%' FROM unnest(names) n)) AND e.action NOT LIKE 'hold\_%'
	ORDER BY e.event_id;

	-- What is gone.
	RETURN QUERY SELECT 'deleted', v.table_name, v.receipt_id::text, v.purged_at, NULL::timestamptz,
		jsonb_build_object('cause', v.cause, 'retention_class', v.retention_class, 'rule', p.rule,
			'citation', (SELECT u.citation FROM facematch.retention_rule u WHERE u.name = p.rule),
			'erased', v.erased, 'verified', v.verified)
	FROM facematch.report_erasure v JOIN facematch.purge_receipt p USING (receipt_id)
	JOIN facematch_internal.receipt_persons c USING (receipt_id)
	WHERE p.rows_purged > 0 AND facematch_internal.receipt_names(c.salt, c.codes, names) ORDER BY v.receipt_id;

	-- Other servers.
	FOR s IN SELECT d.* FROM facematch.shard d ORDER BY d.name LOOP
		BEGIN
			RETURN QUERY EXECUTE format('SELECT ''record'', %L, f.reference_id::text, NULL::timestamptz, f.purge_after,'
				' jsonb_build_object(''reference_id'', f.reference_id, ''gallery_id'', f.gallery_id, ''subject_id'', f.subject_id)'
				' FROM %s f WHERE f.subject_id = ANY ($1) ORDER BY f.reference_id', 'shard ' || s.name, s.reference_table)
				USING names;
		EXCEPTION WHEN OTHERS THEN
			RETURN QUERY SELECT 'elsewhere', 'shard ' || s.name, NULL::text, NULL::timestamptz, NULL::timestamptz,
				jsonb_build_object('error', 'its rows cannot be read: ' || SQLERRM);
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch.subject_report(uuid) IS
	'everything that is stored about the person of a subject, for a session''s user who has announced it within '
	'ten minutes (facematch.announce_reading(subject_id => ...)), and for the owner of the tables: part is person, '
	'record, photograph, candidate, event, opt_out, hold (that the person may be told of), disclosure, reading, '
	'search, attempt, log, deleted (a receipt of rows of the person''s; detail.erased: when their bytes were), or '
	'elsewhere (what could not be read). No template, and no other person''s pseudonym. One JSON document: SELECT '
	'jsonb_agg(r) FROM facematch.subject_report(...) r. Not announced: 42501';
