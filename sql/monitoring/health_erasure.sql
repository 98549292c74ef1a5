/*
 * Health check: bytes of removed rows, and keys of deleted photographs.
 */

CREATE FUNCTION facematch_internal.erasure_findings() RETURNS SETOF facematch_internal.finding
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	keys uuid[];
	databases oid[];
	ours boolean[];
	present uuid[];
	here oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
BEGIN
	-- Of a table that is there and whose rows the purge looks after: of others no purge settles a receipt.
	RETURN QUERY
	SELECT 'error', 'the bytes of removed rows are not erased',
		   format('%s (the oldest for %s)', k.table_name, date_trunc('second', clock_timestamp() - min(p.purged_at))),
		   'CALL facematch.purge(); facematch_internal.erasure names the obstacle: an open transaction, cursor or lock'
	FROM facematch.purge_receipt p JOIN facematch_internal.receipt_relation l ON l.receipt_id = p.receipt_id
		AND NOT l.is_part
	JOIN facematch_internal.retained k ON k.table_name = l.relation JOIN pg_class c ON c.oid = l.relation
	WHERE NOT EXISTS (SELECT FROM facematch_internal.erased_receipt e WHERE e.receipt_id = p.receipt_id)
	GROUP BY k.table_name HAVING min(p.purged_at) < clock_timestamp() - interval '1 hour'
	UNION ALL
	SELECT 'warning', 'the table was not erased completely for a long time: rows removed without a receipt may still'
		' be there',
		   format('%s (last %s ago)', m.relation, date_trunc('second', clock_timestamp() - m.erased_at)),
		   'CALL facematch.purge(), or facematch.erase_table(): its warnings name the obstacle'
	FROM facematch_internal.retained k JOIN pg_class t ON t.oid = k.table_name
	CROSS JOIN LATERAL facematch_internal.with_heirs(k.table_name) h
	JOIN facematch_internal.erasure_mark m ON m.relation = h.relation
	WHERE m.erased_at < clock_timestamp() - 2 * greatest(current_setting('facematch.sweep_interval', true)::interval,
		interval '1 day')
	UNION ALL
	SELECT 'error', 'the setting is off: CALL facematch.purge() leaves the bytes of removed rows',
		'facematch.purge_erases',
		   'ALTER SYSTEM RESET facematch.purge_erases, and reset it wherever else it is set'
	WHERE current_setting('facematch.purge_erases', true) = 'off'
	UNION ALL
	SELECT 'error', 'ANALYZE has left templates in pg_statistic', format('%s.%I', a.attrelid::regclass, a.attname),
		   format('CALL facematch.erase_table(%L)', t.table_name)
	FROM facematch_internal.retained t JOIN pg_attribute a ON a.attrelid = t.table_name AND a.attname = t.template_column
	JOIN pg_statistic s ON s.starelid = a.attrelid AND s.staattnum = a.attnum
	WHERE num_nonnulls(s.stavalues1, s.stavalues2, s.stavalues3, s.stavalues4, s.stavalues5) > 0
	UNION ALL
	SELECT 'warning', 'the planner''s statistics hold templates of a foreign table: an ANALYZE has fetched or imported '
		'them',
		   c.relation::text, format('CALL facematch.erase_table(%L); before the next ANALYZE: %s', c.relation,
			string_agg(format('ALTER FOREIGN TABLE %s ALTER %I SET STATISTICS 0', c.relation, a.attname), ', '
				ORDER BY a.attnum))
	FROM pg_foreign_table f CROSS JOIN LATERAL facematch_internal.template_columns(f.ftrelid) c
	JOIN pg_statistic s ON s.starelid = c.relation AND s.staattnum = c.attnum
	JOIN pg_attribute a ON a.attrelid = c.relation AND a.attnum = c.attnum
	WHERE c.relation = f.ftrelid AND num_nonnulls(s.stavalues1, s.stavalues2, s.stavalues3, s.stavalues4,
		s.stavalues5) > 0
	  AND EXISTS (SELECT FROM pg_attribute e WHERE e.attrelid = f.ftrelid AND NOT e.attisdropped AND e.atttypid IN
				  (SELECT k.type FROM facematch_internal.template_types(ARRAY[e.atttypid], false) k))
	GROUP BY c.relation
	UNION ALL
	SELECT 'error', 'a crash left files that belong to no relation', o.note,
		'remove them while the server is stopped, or dump and restore'
		   ' the database'
	FROM facematch_internal.out_of_reach() o WHERE o.part = 'orphaned files' AND NOT o.clean;

	-- What is at work is seen by its progress, or holds VACUUM's lock on the index.
	BEGIN
		RETURN QUERY
		SELECT 'error', format('a CREATE INDEX, REINDEX or DROP INDEX CONCURRENTLY of %s did not finish: removed rows'
			' stay in the index that it left', k.table_name), x.relation::text, format('DROP INDEX %s', x.relation)
		FROM facematch_internal.retained k CROSS JOIN LATERAL facematch_internal.with_heirs(k.table_name) h
		JOIN facematch_internal.abandoned_index x ON x.table_name = h.relation
		WHERE pg_relation_size(x.relation) > 0
		  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.relation)
		  AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.relation = x.relation AND l.mode = 'ShareUpdateExclusiveLock'
			AND l.granted
						  AND l.database = here);
	EXCEPTION WHEN lock_not_available THEN
		RETURN NEXT ROW('error', 'an index that a CREATE INDEX, REINDEX or DROP INDEX CONCURRENTLY left cannot be'
			' checked: another session has locked it', 'indexes', 'SELECT * FROM pg_locks shows the'
			' session')::facematch_internal.finding;
	END;

	-- Keys.
	IF coalesce(current_setting('facematch.key_directory', true), '') <> '' THEN
		BEGIN
			SELECT array_agg(f.key_id), array_agg(f.database), array_agg(f.of_this_cluster) INTO keys, databases, ours
			FROM facematch_internal.key_files() f WHERE f.what = 'photograph';
			present := ARRAY(SELECT f.key_id FROM facematch_internal.key_files() f WHERE f.what = 'template'
				AND NOT f.is_empty);
		EXCEPTION WHEN object_not_in_prerequisite_state THEN
			RETURN NEXT ROW('error', SQLERRM, 'photographs', 'use a directory of the server''s user, with mode 0700, that'
				' no backup copies')::facematch_internal.finding;
		END;
	END IF;
	RETURN QUERY
	WITH key AS (
		SELECT k.id, k.database, k.ours, b.datname, EXISTS (SELECT FROM facematch.photograph p
			WHERE p.key_id = k.id) AS used,
			   EXISTS (SELECT FROM facematch_internal.doomed_key d WHERE d.key_id = k.id) AS doomed
		FROM unnest(keys, databases, ours) k (id, database, ours) LEFT JOIN pg_database b ON b.oid = k.database
	)
	SELECT 'error', 'keys of deleted photographs are not destroyed yet',
		   format('photographs (%s, the oldest for %s)', count(*), date_trunc('second',
			clock_timestamp() - min(d.doomed_at))),
		   'CALL facematch.purge(), with facematch.key_directory set'
	FROM facematch_internal.doomed_key d
	WHERE NOT EXISTS (SELECT FROM key k WHERE k.id = d.key_id AND k.ours AND k.database <> here AND k.datname IS NOT NULL)
	HAVING min(d.doomed_at) < clock_timestamp() - interval '1 hour'
	UNION ALL
	SELECT 'warning', format('this database is a copy of %I, which still needs keys of photographs that were deleted'
		' here: they are destroyed when it deletes its own', k.datname), format('photographs (%s)', count(*)),
		   format('CALL facematch.purge() in %I, or drop the database that is not needed', k.datname)
	FROM key k WHERE k.doomed AND k.ours AND k.database <> here AND k.datname IS NOT NULL GROUP BY k.datname
	UNION ALL
	SELECT 'warning', 'there are keys of dropped databases: with them, dumps and backups of those databases can be read',
		   format('photographs (%s)', count(*)), 'facematch_internal.key_files() names them: overwrite and remove (shred'
			' -u) those that no'
		   ' restored database needs'
	FROM key k WHERE k.datname IS NULL AND NOT k.used AND NOT k.doomed HAVING count(*) > 0
	UNION ALL
	-- A session that stores a photograph has the lock, and writes the key before the row.
	SELECT 'warning', 'keys of this database have no photograph', format('photographs (%s)', count(*)),
		   CASE WHEN bool_and(k.ours) THEN 'CALL facematch.purge(): a crash has left them'
				ELSE 'facematch_internal.key_files() names them: overwrite and remove (shred -u) those made before'
					' pg_upgrade, but not those of another cluster' END
	FROM key k
	WHERE k.database = here AND NOT k.used AND NOT k.doomed
	  AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.database = here AND l.relation = 'facematch.photograph'::regclass
					  AND l.mode = 'RowExclusiveLock') HAVING count(*) > 0;

	-- Photographs that did not follow their rows.
	RETURN QUERY
	SELECT 'error', 'photographs are kept longer than the deadlines or the templates of their rows',
		format('photographs (%s)', count(*)),
		'run the two statements of docs/photographs.md; facematch.held has what prevents it'
	FROM facematch.photograph p LEFT JOIN facematch.encounter e ON e.encounter_id = p.encounter_id
	LEFT JOIN facematch.reference r ON r.reference_id = p.reference_id
	WHERE p.purge_after > coalesce(e.purge_after, r.purge_after) OR (p.encounter_id IS NOT NULL AND e.probe IS NULL)
	HAVING count(*) > 0;

	-- Of sealed templates.
	RETURN QUERY
	SELECT 'notice', 'templates are not sealed: anyone with a copy of the database can read them', 'galleries',
		   'set facematch.key_directory or facematch.key_command: new galleries are sealed then'
	WHERE NOT facematch_internal.keys_are_possible() AND NOT EXISTS (SELECT FROM facematch.gallery WHERE sealed)
	UNION ALL
	SELECT 'error', 'templates are sealed, and no place for keys is set: searches of them fail',
		   format('galleries (%s)', count(*)),
		   'set facematch.key_directory or facematch.key_command to what it was'
	FROM facematch.gallery g
	WHERE g.sealed AND NOT facematch_internal.keys_are_possible() HAVING count(*) > 0
	UNION ALL
	SELECT 'error', 'keys of sealed templates are lost: searches of their rows fail', format('gallery %s', k.gallery_id),
		   'restore this site''s files of facematch.key_directory'
	FROM facematch_internal.template_key k
	WHERE k.destroyed_at IS NULL AND coalesce(current_setting('facematch.key_command', true), '') = ''
	  AND k.key_id <> ALL (present) AND facematch_internal.template_key_is_used(k.key_id) GROUP BY k.gallery_id
	UNION ALL
	SELECT 'error', 'keys of sealed templates are not destroyed although no row uses them: older copies of the'
		' database can be read',
		   format('templates (%s)', count(*)), 'CALL facematch.purge(): its warnings name the obstacle'
	FROM facematch_internal.template_key k
	WHERE k.destroyed_at IS NULL AND k.made_at < clock_timestamp() - interval '1 hour'
	  AND NOT facematch_internal.template_key_is_used(k.key_id) HAVING count(*) > 0
	UNION ALL
	SELECT 'warning', 'keys without a deadline are not rotated: templates removed since can be read in older copies of'
		' the database',
		   format('templates (%s)', count(*)),
		   'CALL facematch.purge(): it rotates them, and its warnings name the obstacle'
	FROM facematch_internal.template_key k
	WHERE k.destroyed_at IS NULL AND k.due = 'infinity' AND k.made_at < clock_timestamp() - interval '8 days'
	HAVING count(*) > 0
	UNION ALL
	SELECT 'warning', 'the gallery is sealed, but older templates in it are not', format('gallery %s', g.gallery_id),
		   format('CALL facematch.rotate_keys(%L)', g.name)
	FROM facematch.gallery g
	WHERE g.sealed AND (EXISTS (SELECT FROM facematch.reference r WHERE r.gallery_id = g.gallery_id
								AND facematch_internal.sealed_by(r.embedding) IS NULL)
						OR EXISTS (SELECT FROM facematch.encounter e WHERE e.gallery_id = g.gallery_id
								   AND e.probe IS NOT NULL AND facematch_internal.sealed_by(e.probe) IS NULL));
END
$$;
COMMENT ON FUNCTION facematch_internal.erasure_findings() IS
	'removed rows whose bytes are not erased, templates in statistics, files and indexes that a crash has left,'
	' photographs that outlast their rows'' templates, and'
	' keys of photographs and of sealed templates that wait, are lost, are another database''s, or nobody''s; part'
	' of facematch.health_check()';
