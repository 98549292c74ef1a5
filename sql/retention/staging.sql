/*
 * Restaging a gallery when its manifest changes, and closing it.
 */

CREATE FUNCTION facematch.restage_gallery(gallery text, manifest uuid[])
	RETURNS TABLE (subject_id uuid, state text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	staged facematch.gallery;
	gone uuid[];
	expected uuid[];
BEGIN
	SELECT g.* INTO staged FROM facematch.gallery g WHERE g.name = restage_gallery.gallery FOR UPDATE;
	PERFORM facematch_internal.check_gallery(staged, gallery);
	IF manifest IS NULL OR array_position(manifest, NULL) IS NOT NULL THEN
		RAISE null_value_not_allowed USING CONSTRAINT = 'manifest_is_whole',
			MESSAGE = 'the manifest, or a subject on it, is NULL',
			HINT = 'An empty manifest is ''{}'': it removes everyone.';
	END IF;
	-- A person is on the manifest under whichever pseudonym.
	expected := ARRAY(SELECT unnest(facematch_internal.aliases(m)) FROM unnest(manifest) m);
	WITH removed AS (
		DELETE FROM facematch.reference r WHERE r.gallery_id = staged.gallery_id AND r.subject_id <> ALL (expected)
			AND NOT EXISTS (SELECT FROM facematch.held h WHERE h.subject_id = ANY (facematch_internal.aliases(r.subject_id))
							OR (h.table_name = 'facematch.reference'::regclass AND h.row_id = r.reference_id::text)
							OR (h.table_name = 'facematch.gallery'::regclass AND h.row_id = r.gallery_id::text))
		RETURNING r.subject_id)
	SELECT array_agg(d.subject_id) INTO gone FROM removed d;
	IF gone IS NOT NULL THEN
		PERFORM facematch_internal.write_audit('gallery_restaged', jsonb_build_object('about',
			'gallery:' || staged.gallery_id, 'removed', cardinality(gone)));
	END IF;
	RETURN QUERY
	SELECT DISTINCT d, 'removed' FROM unnest(gone) d
	UNION ALL
	SELECT DISTINCT m.subject_id,
		   CASE WHEN facematch.is_opted_out(m.subject_id, staged.gallery_id) THEN 'opted_out'
				WHEN EXISTS (SELECT FROM facematch.reference r WHERE r.gallery_id = staged.gallery_id
							 AND r.subject_id = ANY (facematch_internal.aliases(m.subject_id))
							 AND r.purge_after > clock_timestamp()) THEN 'staged'
				ELSE 'missing' END
	FROM unnest(manifest) m (subject_id);
END
$$;
COMMENT ON FUNCTION facematch.restage_gallery(text, uuid[]) IS
	'applies a changed manifest: removes the references of people who are no longer on it, except held ones, and '
	'returns for each subject: removed, staged, missing (to be staged) or opted_out (neither). Logged, if anybody '
	'was removed. No such gallery: P0002; a watchlist or a gallery without an anchor, for roles that may only '
	'stage: 42501; NULL: 22004';

-- A transaction that adds a template holds a lock on its subject's part of facematch.opt_out until it ends.
CREATE VIEW facematch_internal.template_writer AS
	SELECT h.pid, p.gid, h.of_gallery, coalesce(p.prepared, a.xact_start) AS since,
		coalesce(a.state, 'prepared') AS state,
		   CASE WHEN p.gid IS NULL THEN format('session %s of %s', h.pid, coalesce(quote_ident(a.usename), a.backend_type))
				ELSE format('prepared transaction %L of %I', p.gid, p.owner) END AS who
	FROM (SELECT l.pid, l.virtualtransaction, bool_or(l.relation IS NOT DISTINCT FROM 'facematch.gallery'::regclass)
		  AS of_gallery
		  FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
		  WHERE l.granted AND (l.locktype = 'object' AND l.classid = 'facematch.opt_out'::regclass
							   OR l.locktype = 'relation' AND l.mode <> 'AccessShareLock'
								  AND l.relation IN ('facematch.reference'::regclass, 'facematch.gallery'::regclass))
		  GROUP BY 1, 2) h
	LEFT JOIN pg_stat_activity a ON a.pid = h.pid
	LEFT JOIN (pg_locks x JOIN pg_prepared_xacts p ON p.transaction = x.transactionid)
		ON h.pid IS NULL AND x.locktype = 'transactionid' AND x.pid IS NULL AND x.virtualtransaction = h.virtualtransaction
	WHERE h.pid IS DISTINCT FROM pg_backend_pid();
COMMENT ON VIEW facematch_internal.template_writer IS
	'the other transactions that add or remove templates and have not ended';
COMMENT ON COLUMN facematch_internal.template_writer.pid IS 'the session; NULL: a prepared transaction';
COMMENT ON COLUMN facematch_internal.template_writer.gid IS 'the name of a prepared transaction; NULL: a session';
COMMENT ON COLUMN facematch_internal.template_writer.of_gallery
	IS 'whether it has locked a gallery, which staging does';
COMMENT ON COLUMN facematch_internal.template_writer.since IS 'when it began, or was prepared';
COMMENT ON COLUMN facematch_internal.template_writer.state IS 'what the session does, or prepared';
COMMENT ON COLUMN facematch_internal.template_writer.who IS 'the session, or the prepared transaction, and whose it '
	'is';

CREATE FUNCTION facematch.close_gallery(gallery text) RETURNS timestamptz
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1min'
AS $$
DECLARE
	closing facematch.gallery;
	deadline timestamptz;
BEGIN
	-- Nothing may have loaded the library yet, whose setting this is; its default is the function's own.
	PERFORM set_config('lock_timeout', coalesce(current_setting('facematch.table_timeout', true), '1min'), true);
	BEGIN
		SELECT g.* INTO closing FROM facematch.gallery g WHERE g.name = close_gallery.gallery FOR UPDATE;
	EXCEPTION WHEN lock_not_available THEN
		-- Who has staged and not ended: closing must not pass by references that it cannot see yet.
		RAISE lock_not_available USING CONSTRAINT = 'gallery_is_not_in_use',
			MESSAGE = format('gallery %L is used by a transaction that does not end', gallery),
			DETAIL = (SELECT 'It may be ' || string_agg(DISTINCT w.who, ', ') || '.'
				FROM facematch_internal.template_writer w WHERE w.of_gallery),
			HINT = 'End it, and close the gallery again.';
	END;
	PERFORM facematch_internal.check_gallery(closing, gallery);
	-- Deadlines of a watchlist count from its references: with an anchor, all of it would be due in days.
	UPDATE facematch.gallery g SET closed_at = coalesce(g.closed_at, clock_timestamp()),
		anchor_at = CASE WHEN g.kind = 'watchlist' THEN g.anchor_at ELSE least(g.anchor_at, clock_timestamp()) END
	WHERE g.gallery_id = closing.gallery_id RETURNING g.purge_after INTO deadline;
	RETURN deadline;
END
$$;
COMMENT ON FUNCTION facematch.close_gallery(text) IS
	'ends staging into a gallery, and sets its anchor to now, unless it is earlier or the gallery is a watchlist. '
	'Returns its deadline. No such gallery: P0002; a watchlist or a gallery without an anchor, for roles that may '
	'only stage: 42501. A transaction that is staging and does not end within facematch.table_timeout: 55P03, which '
	'names the sessions and prepared transactions that it may be';
