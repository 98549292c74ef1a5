/*
 * What a monitoring system queries every few seconds: totals, never rows
 * (src/index/activity.c).
 */

CREATE FUNCTION facematch_internal.search_activity(
	OUT server_wide boolean, OUT since timestamptz, OUT searches bigint, OUT lists bigint, OUT pages bigint,
		OUT sketches bigint,
	OUT refined bigint, OUT measured bigint, OUT returned bigint, OUT microseconds bigint, OUT latency bigint[])
	RETURNS record LANGUAGE C VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'facematch_search_activity';
COMMENT ON FUNCTION facematch_internal.search_activity() IS
	'what searches of facematch indexes did since the server started or facematch_internal.reset_stats(): of all '
	'sessions (server_wide) when the library is in shared_preload_libraries, else of this session; the columns of '
	'facematch.last_scan() summed, time inside the access method in microseconds, and searches by time: below 64 '
	'microseconds, below 128, ... below 2.1 s, longer. Searches that ended in an error are not counted';

CREATE FUNCTION facematch_internal.reset_stats() RETURNS void
	LANGUAGE C VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'facematch_reset_stats';
COMMENT ON FUNCTION facematch_internal.reset_stats() IS 'sets facematch.stats to zero, for all sessions when they are '
	'counted together';

CREATE FUNCTION facematch.purge_lag()
	RETURNS TABLE (table_name text, lag interval)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '1s'
AS $$
DECLARE
	t facematch_internal.retained_now;
BEGIN
	FOR t IN SELECT r.* FROM facematch_internal.retained_now r ORDER BY r.table_name::text LOOP
		table_name := t.table_name;
		-- The oldest row that is due and not held, by the index on the deadline. What was recorded at -infinity is due since
		-- ever, and no interval says how long that is: it counts from 1970.
		BEGIN
			SELECT max(a.lag) INTO lag FROM facematch_internal.ask_table(t.table_name, format(
				'SELECT $1 - greatest(d.purge_after::timestamptz, ''epoch'') FROM @table d WHERE d.purge_after <= $1%s'
				' ORDER BY d.purge_after LIMIT 1',
				facematch_internal.not_held(t.table_name))) a (lag interval);
			lag := coalesce(lag, '0');
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'table % cannot be read: %', table_name,
				CASE SQLSTATE WHEN '55P03' THEN 'another session has locked it' ELSE SQLERRM END;
			PERFORM set_config('lock_timeout', '100ms', true) WHERE SQLSTATE = '55P03';
			lag := NULL;
		END;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch.purge_lag() IS
	'for each table under retention, how long its oldest due row that is not held has been due; zero if there is '
	'none, NULL if the table cannot be read: another session has locked it for longer than a second, or its '
	'triggers or constraints fail. Reads the index on the deadline, so that it can be asked often';

CREATE VIEW facematch.stats AS
	SELECT a.searches, a.sketches AS templates_compared, greatest(a.sketches - a.refined, 0) AS templates_pruned,
		   a.refined AS templates_refined, a.measured AS heap_fetches, a.returned AS rows_returned, a.pages AS sketch_pages,
		   a.microseconds / 1e6::double precision AS search_seconds, a.server_wide, a.since,
		   p.purge_lag, p.tables_unseen
	FROM facematch_internal.search_activity() a,
		 (SELECT max(l.lag) AS purge_lag, count(*) FILTER (WHERE l.lag IS NULL) AS tables_unseen
		     FROM facematch.purge_lag() l) p;
COMMENT ON VIEW facematch.stats IS 'one row for a monitoring system: what searches of facematch indexes did, and how '
	'late the purge is';
COMMENT ON COLUMN facematch.stats.searches IS 'index searches that ended without an error';
COMMENT ON COLUMN facematch.stats.templates_compared IS 'templates whose sketch was compared with the probe';
COMMENT ON COLUMN facematch.stats.templates_pruned IS 'of those, ruled out by the sketch alone';
COMMENT ON COLUMN facematch.stats.templates_refined IS 'templates whose refinement code was compared';
COMMENT ON COLUMN facematch.stats.heap_fetches IS 'templates that the index read from the table to measure their '
	'distance';
COMMENT ON COLUMN facematch.stats.rows_returned IS 'rows handed to the executor';
COMMENT ON COLUMN facematch.stats.sketch_pages IS 'sketch pages read';
COMMENT ON COLUMN facematch.stats.search_seconds IS 'time spent inside the access method';
COMMENT ON COLUMN facematch.stats.server_wide IS 'true: of all sessions; false: of this one, as the library is not in '
	'shared_preload_libraries';
COMMENT ON COLUMN facematch.stats.since IS 'when counting began: start of the server (of the session''s first '
	'search), or facematch_internal.reset_stats()';
COMMENT ON COLUMN facematch.stats.purge_lag IS 'the longest that a row of any table under retention has been due, '
	'neither purged nor held; of the tables that can be read';
COMMENT ON COLUMN facematch.stats.tables_unseen IS 'tables under retention that cannot be read: another session has '
	'locked them, or their code fails';

CREATE VIEW facematch.search_latency AS
	SELECT CASE WHEN b.bucket < cardinality(a.latency) THEN (64 << (b.bucket - 1)::integer) / 1e6::double precision
				ELSE 'infinity' END AS below_seconds,
		   sum(b.searches) OVER (ORDER BY b.bucket)::bigint AS searches
	FROM facematch_internal.search_activity() a, unnest(a.latency) WITH ORDINALITY AS b(searches, bucket);
COMMENT ON VIEW facematch.search_latency IS 'cumulative histogram of the time that searches took inside the access '
	'method';
COMMENT ON COLUMN facematch.search_latency.below_seconds IS 'upper bound of the bucket, seconds';
COMMENT ON COLUMN facematch.search_latency.searches IS 'searches that took less';

INSERT INTO facematch_internal.access_kind (name, description, shipped) VALUES
	('monitor', 'a monitoring system: sums of searches, and how late the purge is; nobody''s rows', true);
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns, shipped)
	SELECT kind, object_kind, object_name, privilege, NULL, true
	FROM (VALUES ('monitor'), ('auditor')) k (kind),
		 (VALUES ('table', 'stats', 'SELECT'), ('table', 'search_latency', 'SELECT'),
				 ('function', 'search_activity', 'EXECUTE'), ('function', 'purge_lag', 'EXECUTE'),
				 ('function', 'health_metrics', 'EXECUTE')) o (object_kind, object_name,
				     privilege);

CREATE FUNCTION facematch.grant_monitor(role regrole) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	SELECT give_access($1, 'monitor', NULL)
$$;
COMMENT ON FUNCTION facematch.grant_monitor(regrole) IS
	'lets an existing role, such as a metrics exporter''s, read facematch.stats, facematch.search_latency, '
	'facematch.purge_lag() and facematch.health_metrics(), and nothing else. Recorded and logged. Errors as '
	'grant_operator()';
