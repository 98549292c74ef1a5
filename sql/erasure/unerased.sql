/*
 * Rows that went other than by the purge: replaced, or of a transaction that was
 * rolled back.  They leave no receipt.  The server counts them, and the purge
 * erases a table or partition whose counts are not those of its last erasure.
 * Counts are hints: sessions tell them late, crashes lose them.  So whatever they
 * say, it is erased again after a while; and where the purge itself removed rows
 * of a table, it goes through all partitions.
 */

-- A note for the next purge, not a record: it is not in a dump, and rewritten files have nothing to erase.
CREATE TABLE facematch_internal.erasure_mark (
	relation		regclass NOT NULL,
	erased_at		timestamptz NOT NULL,
	changed			bigint NOT NULL,
	dead			bigint NOT NULL,
	counted_in		oid NOT NULL,
	counted_since	timestamptz NOT NULL,
	CONSTRAINT erasure_mark_pkey PRIMARY KEY (relation)
);
COMMENT ON TABLE facematch_internal.erasure_mark IS
	'what the server had counted when a table under retention, or a partition of one, was last erased whole: as'
	' long as the counts stay there is nothing to erase';
COMMENT ON COLUMN facematch_internal.erasure_mark.relation IS
	'the table or partition; one that leads to partitions has no rows of its own';
COMMENT ON COLUMN facematch_internal.erasure_mark.erased_at IS
	'when that erasure began; facematch.sweep_interval later it is due again, whatever the counts';
COMMENT ON COLUMN facematch_internal.erasure_mark.changed IS
	'rows deleted or updated, there and in its TOAST table, since counted_since; of transactions that were rolled'
	' back as well';
COMMENT ON COLUMN facematch_internal.erasure_mark.dead IS
	'about how many rows VACUUM has to remove there, those of inserts that were rolled back among them';
COMMENT ON COLUMN facematch_internal.erasure_mark.counted_in IS 'the database: a copy of it starts to count again';
COMMENT ON COLUMN facematch_internal.erasure_mark.counted_since IS
	'when the server was started, had crashed, or its statistics were reset';

CREATE FUNCTION facematch_internal.begin_erasing(part regclass, sweep interval,
	OUT seen facematch_internal.erasure_mark, OUT due boolean)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	counted_before timestamptz;
BEGIN
	-- What this session has changed itself it has not told the server yet.
	SELECT part, clock_timestamp(),
		   sum(pg_stat_get_tuples_updated(s.oid) + pg_stat_get_tuples_deleted(s.oid) + o.own),
			sum(pg_stat_get_dead_tuples(s.oid) + o.own), d.oid,
		   greatest(pg_postmaster_start_time(), pg_stat_get_bgwriter_stat_reset_time(),
			pg_stat_get_db_stat_reset_time(d.oid))
	INTO seen
	FROM pg_class c JOIN pg_database d ON d.datname = current_database()
	CROSS JOIN LATERAL (VALUES (c.oid), (nullif(c.reltoastrelid, 0))) s (oid)
	CROSS JOIN LATERAL (SELECT pg_stat_get_xact_tuples_updated(s.oid) + pg_stat_get_xact_tuples_deleted(s.oid)) o (own)
	WHERE c.oid = part AND s.oid IS NOT NULL GROUP BY d.oid;
	-- VACUUM and ANALYZE count dead rows again.
	counted_before := greatest(pg_stat_get_last_vacuum_time(part), pg_stat_get_last_autovacuum_time(part),
							   pg_stat_get_last_analyze_time(part), pg_stat_get_last_autoanalyze_time(part));
	due := NOT current_setting('track_counts')::boolean
		OR NOT EXISTS (SELECT FROM facematch_internal.erasure_mark m
					   WHERE m.relation = seen.relation AND m.counted_in = seen.counted_in AND m.counted_since = seen.counted_since
						 AND m.erased_at > seen.erased_at - sweep AND m.changed = seen.changed
						 AND seen.dead <= CASE WHEN counted_before > m.erased_at THEN 0 ELSE m.dead END);
END
$$;
COMMENT ON FUNCTION facematch_internal.begin_erasing(regclass, interval) IS
	'what the server counts of a table or partition now, and whether that, or the time since, is reason to erase'
	' it; for the purge';
