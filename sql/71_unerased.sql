/*
 * Rows that went other than by the purge: deleted by hand, replaced, or of a
 * transaction that was rolled back.  They leave no receipt.  The server counts
 * them, and the purge erases a table whose counts are not those of its last
 * erasure.
 */

-- No record but a note for the next purge: it is not in a dump, and files that are written anew have nothing to erase.
CREATE TABLE facematch.erasure_mark (
	relation		regclass NOT NULL,
	erased_at		timestamptz NOT NULL,
	removed			bigint NOT NULL,
	dead			bigint NOT NULL,
	counted_since	timestamptz NOT NULL,
	CONSTRAINT erasure_mark_pkey PRIMARY KEY (relation)
);
COMMENT ON TABLE facematch.erasure_mark IS 'what the server had counted when a table under retention was last erased whole: as long as the counts stay there is nothing to erase';
COMMENT ON COLUMN facematch.erasure_mark.relation IS 'the table, with its partitions';
COMMENT ON COLUMN facematch.erasure_mark.erased_at IS 'when that erasure began; facematch.sweep_interval later it is due again, whatever the counts';
COMMENT ON COLUMN facematch.erasure_mark.removed IS 'rows deleted or updated since counted_since, of transactions that were rolled back as well';
COMMENT ON COLUMN facematch.erasure_mark.dead IS 'about how many rows VACUUM has to remove, those of inserts that were rolled back among them';
COMMENT ON COLUMN facematch.erasure_mark.counted_since IS 'when the server was started or its statistics were reset: a crash loses counts';

CREATE FUNCTION facematch.own_changes(table_name regclass) RETURNS bigint
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT sum(pg_stat_get_xact_tuples_updated(h.relation) + pg_stat_get_xact_tuples_deleted(h.relation))::bigint
	FROM facematch.with_heirs($1) h
$$;
COMMENT ON FUNCTION facematch.own_changes(regclass) IS
	'rows of a table and its partitions that this session has deleted or updated and not told the server of, which it does between a client''s statements';
REVOKE ALL ON FUNCTION facematch.own_changes(regclass) FROM PUBLIC;

CREATE FUNCTION facematch.begin_erasing(table_name regclass, sweep interval, OUT seen facematch.erasure_mark, OUT due boolean)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own bigint := facematch.own_changes(table_name);
BEGIN
	SELECT table_name, clock_timestamp(), sum(pg_stat_get_tuples_updated(h.relation) + pg_stat_get_tuples_deleted(h.relation)),
		   sum(pg_stat_get_dead_tuples(h.relation)),
		   greatest(pg_postmaster_start_time(), pg_stat_get_db_stat_reset_time((SELECT d.oid FROM pg_database d WHERE d.datname = current_database())))
	INTO seen FROM facematch.with_heirs(table_name) h;
	due := NOT current_setting('track_counts')::boolean
		OR NOT EXISTS (SELECT FROM facematch.erasure_mark m
					   WHERE m.relation = seen.relation AND m.counted_since = seen.counted_since AND m.erased_at > seen.erased_at - sweep
						 AND m.removed = seen.removed + own AND m.dead >= seen.dead);
	-- VACUUM has been there: what is rolled back from here on shall not hide behind what it removed.
	IF NOT due THEN
		UPDATE facematch.erasure_mark m SET dead = seen.dead + own WHERE m.relation = seen.relation AND m.dead > seen.dead + own;
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.begin_erasing(regclass, interval) IS
	'what the server counts of a table and its partitions now, and whether that, or the time since, is reason to erase it; for the purge';
REVOKE ALL ON FUNCTION facematch.begin_erasing(regclass, interval) FROM PUBLIC;

CREATE FUNCTION facematch.end_erasing(seen facematch.erasure_mark) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	-- What the purge itself removed has been erased, and is not in what was seen before.
	INSERT INTO facematch.erasure_mark (relation, erased_at, removed, dead, counted_since)
	SELECT ($1).relation, ($1).erased_at, ($1).removed + o.own, ($1).dead + o.own, ($1).counted_since FROM facematch.own_changes(($1).relation) o (own)
	ON CONFLICT (relation) DO UPDATE
	SET erased_at = excluded.erased_at, removed = excluded.removed, dead = excluded.dead, counted_since = excluded.counted_since
$$;
COMMENT ON FUNCTION facematch.end_erasing(facematch.erasure_mark) IS
	'the table has been erased whole since begin_erasing() told this; for the purge';
REVOKE ALL ON FUNCTION facematch.end_erasing(facematch.erasure_mark) FROM PUBLIC;
