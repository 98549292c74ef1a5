/*
 * Health check: changes to what the installation made, settings of the server, jobs;
 * and facematch.health_check(), which combines all findings.
 */

-- pg_dump leaves the extension's tables to CREATE EXTENSION: what a site adds to them is in no dump.
CREATE VIEW facematch_internal.table_part AS
	WITH member AS (
		SELECT c.oid, c.oid::regclass AS table_name FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
		WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND c.relkind IN ('r', 'p'))
	SELECT m.table_name, 'column' AS kind, a.attname AS name, NULL AS definition
	FROM member m JOIN pg_catalog.pg_attribute a ON a.attrelid = m.oid AND a.attnum > 0 AND NOT a.attisdropped
	UNION ALL
	SELECT m.table_name, 'index', i.relname, pg_catalog.pg_get_indexdef(i.oid)
	FROM member m JOIN pg_catalog.pg_index x ON x.indrelid = m.oid AND x.indisvalid JOIN pg_catalog.pg_class i
		ON i.oid = x.indexrelid
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.oid AND k.conrelid = m.oid)
	UNION ALL
	SELECT m.table_name, 'constraint', k.conname,
		   format('ALTER TABLE %s ADD CONSTRAINT %I %s', m.table_name, k.conname, pg_catalog.pg_get_constraintdef(k.oid))
	FROM member m JOIN pg_catalog.pg_constraint k ON k.conrelid = m.oid AND k.contype IN ('c', 'f', 'p', 'u', 'x')
	UNION ALL
	SELECT m.table_name, 'trigger', g.tgname, pg_catalog.pg_get_triggerdef(g.oid)
	FROM member m JOIN pg_catalog.pg_trigger g ON g.tgrelid = m.oid AND NOT g.tgisinternal
	UNION ALL
	SELECT m.table_name, 'policy', p.polname, format('CREATE POLICY %I ON %s ...', p.polname, m.table_name)
	FROM member m JOIN pg_catalog.pg_policy p ON p.polrelid = m.oid
	UNION ALL
	SELECT m.table_name, 'statistics', s.stxname, pg_catalog.pg_get_statisticsobjdef(s.oid)
	FROM member m JOIN pg_catalog.pg_statistic_ext s ON s.stxrelid = m.oid;
COMMENT ON VIEW facematch_internal.table_part IS
	'columns, indexes, constraints, triggers, row security policies and extended statistics of the extension''s '
	'tables, including those that a user added';
COMMENT ON COLUMN facematch_internal.table_part.table_name IS 'the table';
COMMENT ON COLUMN facematch_internal.table_part.kind IS 'what it is';
COMMENT ON COLUMN facematch_internal.table_part.name IS 'its name';
COMMENT ON COLUMN facematch_internal.table_part.definition IS 'the statement that makes it; NULL of a column';

CREATE TABLE facematch_internal.expected_part (
	table_name	regclass NOT NULL,
	kind		text NOT NULL,
	name		name NOT NULL,
	definition	text,
	function	text,
	type		smallint,
	always		boolean,
	CONSTRAINT expected_part_pkey PRIMARY KEY (table_name, kind, name)
);
COMMENT ON TABLE facematch_internal.expected_part IS
	'facematch_internal.table_part as the installation made it (sql/monitoring/installed.sql): anything else is in '
	'no dump, and the guarantees rest on the triggers';
COMMENT ON COLUMN facematch_internal.expected_part.table_name IS 'the table';
COMMENT ON COLUMN facematch_internal.expected_part.kind IS 'what it is';
COMMENT ON COLUMN facematch_internal.expected_part.name IS 'its name';
COMMENT ON COLUMN facematch_internal.expected_part.definition IS 'the statement that makes it; NULL of a column';
COMMENT ON COLUMN facematch_internal.expected_part.function IS
	'what a trigger calls, by its name: pg_upgrade takes no table that has functions by number';
COMMENT ON COLUMN facematch_internal.expected_part.type IS 'when a trigger fires, as pg_trigger.tgtype';
COMMENT ON COLUMN facematch_internal.expected_part.always IS 'whether a trigger fires in replica sessions too';

CREATE TABLE facematch_internal.expected_row (
	about	text NOT NULL,
	row		jsonb NOT NULL,
	CONSTRAINT expected_row_pkey PRIMARY KEY (about)
);
COMMENT ON TABLE facematch_internal.expected_row IS
	'the rows that the installation inserted into logged tables, before the audit log had events of them '
	'(sql/monitoring/installed.sql): facematch.verify_audit() starts from them';
COMMENT ON COLUMN facematch_internal.expected_row.about IS 'the row, as in detail.about of an event';
COMMENT ON COLUMN facematch_internal.expected_row.row IS 'the columns that the log has of such rows';

CREATE FUNCTION facematch_internal.installation_findings() RETURNS SETOF facematch_internal.finding
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	face_index regclass;
	shard facematch.shard;
	its_key text;
	elsewhere text := current_setting('cron.database_name', true);
	libraries text := translate(current_setting('shared_preload_libraries'), ' "', '');
BEGIN
	RETURN QUERY
	WITH expected AS (
		SELECT e.table_name, e.name AS trigger_name, e.function, e.type, e.always, true AS own
			FROM facematch_internal.expected_part e WHERE e.kind = 'trigger'
		UNION ALL
		-- Not by pg_partition_tree(), which waits for sessions that have locked a partition.
		SELECT h.relation, f.name, 'facematch_internal.guard', f.type, true, false
		FROM facematch.attached a CROSS JOIN LATERAL facematch_internal.with_heirs(a.table_name) h JOIN pg_class c
			ON c.oid = h.relation CROSS JOIN (VALUES
				('facematch_20_guard', 31),			-- pg_trigger.tgtype: before each row, INSERT, UPDATE or DELETE
				('facematch_70_deleted', 9)) f (name, type)	-- after each row, DELETE
		WHERE c.oid = a.table_name OR c.relispartition
		UNION ALL
		SELECT a.table_name, 'facematch_40_truncate', 'facematch_internal.refuse_change', NULL, true, false
		FROM facematch.attached a
	), found AS (
		SELECT e.*, CASE WHEN g.oid IS NULL THEN 'missing' WHEN g.tgfoid::regproc::text <> e.function
			OR g.tgtype <> e.type THEN 'another'
						 WHEN g.tgenabled = 'D' THEN 'disabled' WHEN g.tgenabled = 'R' THEN 'replica'
						 WHEN g.tgenabled = 'O' AND e.always THEN 'origin' END AS state
		FROM expected e LEFT JOIN pg_trigger g ON g.tgrelid = e.table_name AND g.tgname = e.trigger_name
	)
	SELECT CASE f.state WHEN 'origin' THEN 'warning' ELSE 'error' END,
		   CASE f.state WHEN 'missing' THEN 'the trigger is missing' WHEN 'another'
			THEN 'the trigger was changed'
						WHEN 'disabled' THEN 'the trigger is disabled' WHEN 'replica' THEN 'the trigger fires in replica sessions only'
						ELSE 'the trigger does not fire in sessions with session_replication_role = replica' END,
		   format('%s on %s', f.trigger_name, f.table_name),
		   CASE WHEN f.own OR f.state NOT IN ('missing', 'another') THEN 'SELECT facematch.reinstate()'
				ELSE format('SELECT facematch.release(%L), then call facematch.retain() for it again', f.table_name) END
	FROM found f WHERE f.state IS NOT NULL
	UNION ALL
	SELECT 'error', 'nothing prevents DROP EXTENSION, DROP TABLE and ALTER SCHEMA on what is under retention: '
		   || CASE WHEN e.oid IS NULL THEN 'the event trigger is missing'
				   WHEN e.evtenabled = 'D' THEN 'the event trigger is disabled'
				   WHEN e.evtenabled <> 'A' THEN 'the event trigger does not fire in every session'
				   ELSE 'event_triggers is off' END,
		   'event trigger facematch_keep',
		   CASE WHEN e.oid IS NULL THEN 'ALTER EXTENSION facematch UPDATE'
				WHEN e.evtenabled <> 'A' THEN 'ALTER EVENT TRIGGER facematch_keep ENABLE ALWAYS'
				ELSE 'ALTER SYSTEM, ALTER DATABASE or ALTER ROLE ... RESET event_triggers' END
	FROM (VALUES ('facematch_keep')) k (name) LEFT JOIN pg_event_trigger e ON e.evtname = k.name
	WHERE e.oid IS NULL OR e.evtenabled <> 'A' OR current_setting('event_triggers', true) = 'off'
	   OR EXISTS (SELECT FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE c = 'event_triggers=off')
	UNION ALL
	SELECT CASE p.kind WHEN 'column' THEN 'error' ELSE 'notice' END,
		   CASE p.kind WHEN 'column' THEN 'a user added the column: a restored dump leaves the table empty'
				ELSE 'a user added this to a table of the extension: dumps do not contain it' END,
		   format('%s %I on %s', p.kind, p.name, p.table_name),
		   CASE p.kind WHEN 'column' THEN format('ALTER TABLE %s DROP COLUMN %I, and use a table of your own',
		       p.table_name, p.name)
				ELSE 'run this after each restore: ' || p.definition END
	FROM facematch_internal.table_part p
	WHERE NOT EXISTS (SELECT FROM facematch_internal.expected_part e
					  WHERE e.table_name = p.table_name AND e.kind = p.kind AND e.name = p.name)
	UNION ALL
	-- What REINDEX or CREATE INDEX CONCURRENTLY leaves, also of TOAST tables; and what searches do not fill
	-- (src/base/surviving.c).
	SELECT CASE WHEN x.indisvalid THEN 'error' ELSE 'warning' END,
		   CASE WHEN x.indisvalid THEN 'searches are not in the index, and queries that use it miss them'
				ELSE 'the index is not finished: its build was interrupted' END,
		   format('index %s on %s', x.indexrelid::regclass, c.oid::regclass),
		   format(CASE WHEN e.name IS NULL THEN 'DROP INDEX CONCURRENTLY %s' ELSE 'REINDEX INDEX CONCURRENTLY %s' END,
			x.indexrelid::regclass)
	FROM pg_class c JOIN pg_index x ON x.indrelid IN (c.oid, c.reltoastrelid) JOIN pg_class i ON i.oid = x.indexrelid
	LEFT JOIN facematch_internal.expected_part e ON e.table_name = c.oid AND e.kind IN ('index', 'constraint')
		AND e.name = i.relname
	WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
	  AND CASE WHEN x.indisvalid THEN (x.indexprs IS NOT NULL OR x.indpred IS NOT NULL)
				AND c.oid IN ('facematch.search'::regclass, 'facematch_internal.attempt'::regclass,
				'facematch_internal.quarantined'::regclass)
			ELSE NOT EXISTS (SELECT FROM pg_stat_progress_create_index p
				WHERE p.datname = current_database() AND p.relid = x.indrelid) END
	UNION ALL
	SELECT 'notice', 'the table has no face index: each search compares every reference of its gallery',
		format('facematch.reference (about %s rows)',
		   c.reltuples::bigint), 'CREATE INDEX facematch_reference_face_idx ON facematch.reference USING facematch '
		       '(gallery_id, embedding)'
	FROM pg_class c
	WHERE c.oid = 'facematch.reference'::regclass AND c.reltuples > 100000 AND NOT EXISTS (
		SELECT FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid AND x.indisvalid JOIN pg_am a ON a.oid = i.relam
		WHERE x.indrelid = c.oid AND a.amname = 'facematch')
	UNION ALL
	-- The key of references is the guard's to check on their side, and PostgreSQL's on the galleries'.
	SELECT CASE WHEN k.guarded THEN 'notice' ELSE 'error' END,
		   CASE WHEN k.guarded THEN 'the foreign key is checked twice for each row, which doubles the time to store it'
				ELSE 'the foreign key''s trigger is disabled' END,
		   format('%s on %s', k.name, k.table_name), 'SELECT facematch.reinstate()'
	FROM facematch_internal.foreign_key_trigger k WHERE k.disabled <> k.guarded
	UNION ALL
	-- The owner of the schema of the type can rename it and put another in its place, and the extension's functions
	-- would call that one's.
	SELECT 'error', format('role %I is not a superuser and owns the schema of type face_embedding: it can replace the'
		' extension''s functions', o.rolname),
		   format('schema %I', n.nspname),
		   CASE WHEN n.nspowner = 'pg_database_owner'::regrole
				THEN format('ALTER DATABASE %I OWNER TO a superuser', current_database())
				ELSE format('ALTER SCHEMA %I OWNER TO a superuser', n.nspname) END
	FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace
	JOIN pg_database d ON d.datname = current_database()
	JOIN pg_roles o ON o.oid = CASE WHEN n.nspowner = 'pg_database_owner'::regrole THEN d.datdba ELSE n.nspowner END
	WHERE y.oid = '@extschema@.face_embedding'::regtype AND NOT o.rolsuper
	UNION ALL
	SELECT 'error', 'session_replication_role is set to replica',
		   CASE WHEN s.setrole = 0 THEN 'all roles' ELSE format('role %I', s.setrole::regrole) END,
		   'ALTER ROLE or ALTER DATABASE ... RESET session_replication_role'
	FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE c LIKE 'session\_replication\_role=replica'
	UNION ALL
	SELECT 'warning', 'facematch.redact_log is off: templates in statements reach the log', 'server log',
		   'ALTER SYSTEM SET facematch.redact_log = on'
	WHERE current_setting('facematch.redact_log', true) = 'off'
	UNION ALL
	SELECT 'warning', 'the library is loaded only when a session first needs it: templates in earlier statements reach'
		' the log',
		   'server log', 'put facematch last in shared_preload_libraries, or in session_preload_libraries'
	WHERE current_setting('facematch.redact_log', true) IS DISTINCT FROM 'off' AND NOT 'facematch' = ANY (string_to_array(
		libraries || ',' || translate(current_setting('session_preload_libraries'), ' "', ''), ','))
	UNION ALL
	SELECT 'warning', 'pg_stat_statements is loaded after facematch: it stores utility statements with the templates'
		' in them',
		   'shared_preload_libraries', 'put facematch last in shared_preload_libraries'
	WHERE libraries ~ '(^|,)facematch,(.*,)?pg_stat_statements(,|$)';

	-- VACUUM teaches an index that began empty where the templates of a model lie; codes that are there stay as they
	-- are (src/index/learn.c). With a centre of length c their searches take (1 - c^2)^-2 times as long, 4 times at most:
	-- docs/performance.md. Small lists are searched in no time either way.
	FOR face_index IN SELECT i.oid FROM pg_class i JOIN pg_am a ON a.oid = i.relam AND a.amname = 'facematch'
		JOIN pg_index x ON x.indexrelid = i.oid AND x.indisvalid
		WHERE i.relkind = 'i' AND i.reltuples > 100000
			AND (i.relpersistence = 'p' OR i.relpersistence = 'u' AND NOT pg_is_in_recovery()) LOOP
		BEGIN
			-- Only an index that has learned is read as a whole.
			CONTINUE WHEN NOT EXISTS (SELECT FROM facematch_internal.index_epochs(face_index, counted => false) e
				GROUP BY e.dims, e.model, e.centre_length IS NULL HAVING count(*) > 1);
			RETURN QUERY
			SELECT 'notice', 'the index has codes from before it learned where the templates of a model lie: searches are'
				' slower than necessary', format('%s (%s of %s templates)', face_index, sum(k.old), sum(k.templates)),
				format('REINDEX INDEX CONCURRENTLY %s', face_index)
			FROM (
				SELECT sum(e.templates) AS templates, coalesce(sum(e.templates) FILTER (WHERE e.epoch < e.newest), 0) AS old,
					max(e.centre_length) FILTER (WHERE e.epoch = e.newest) AS centre
				FROM (SELECT o.*, max(o.epoch) OVER (PARTITION BY o.dims, o.model, o.centre_length IS NULL) AS newest
					  FROM facematch_internal.index_epochs(face_index) o) e
				GROUP BY e.dims, e.model, e.centre_length IS NULL) k
			HAVING sum(k.old * (least((1 - least(coalesce(k.centre, 0.9), 0.9) ^ 2) ^ -2, 4) - 1)) > 0.3 * sum(k.templates);
		EXCEPTION WHEN undefined_table OR lock_not_available THEN
			-- It has been dropped, or somebody is changing its table: another check will tell.
			CONTINUE;
		WHEN OTHERS THEN
			RETURN QUERY SELECT 'error', format('the index cannot be read: %s', SQLERRM), face_index::text,
				format('REINDEX INDEX CONCURRENTLY %s', face_index);
		END;
	END LOOP;

	-- A shard that did not answer when it was added is asked again.
	FOR shard IN SELECT s.* FROM facematch.shard s JOIN pg_attribute a ON a.attrelid = s.gallery_table
		AND a.attname = 'pseudonym_key' AND a.atttypid = 'text'::regtype LOOP
		-- One whose machine is gone would be waited for without end.
		RETURN QUERY
		SELECT 'warning', 'the key of the shard''s pseudonyms was not compared: its server has no connect_timeout',
			format('shard %s', shard.name), format('ALTER SERVER %I OPTIONS (ADD connect_timeout ''2'')', v.srvname)
		FROM pg_foreign_table t JOIN pg_foreign_server v ON v.oid = t.ftserver
		WHERE t.ftrelid = shard.gallery_table
			AND NOT EXISTS (SELECT FROM unnest(v.srvoptions) o WHERE o ~ '^connect_timeout=\s*[1-9]');
		CONTINUE WHEN FOUND;
		BEGIN
			EXECUTE format('SELECT g.pseudonym_key FROM %s g LIMIT 1', shard.gallery_table) INTO its_key;
			IF its_key <> facematch_internal.pseudonym_fingerprint() THEN
				RETURN QUERY SELECT 'error', 'the shard makes its pseudonyms with another key: an opt-out of here means nobody'
					' there', format('shard %s', shard.name),
					'DELETE the shard from facematch.shard, or restore it with the key of facematch.pseudonym_key';
			END IF;
		EXCEPTION WHEN OTHERS THEN
			RETURN QUERY SELECT 'warning', 'the key of the shard''s pseudonyms could not be compared',
				format('shard %s (%s)', shard.name, SQLERRM), 'see why the shard does not answer, and run the check again';
		END;
	END LOOP;

	-- What calls the purge.
	IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		RETURN QUERY EXECUTE $sql$
			WITH job AS (
				SELECT j.jobid FROM cron.job j
				WHERE j.active AND j.database = current_database() AND j.command ILIKE '%facematch.purge%')
			SELECT 'warning', 'no active job calls facematch.purge()', 'purge', 'SELECT facematch.schedule()'
			WHERE NOT EXISTS (SELECT FROM job)
			UNION ALL
			SELECT 'error', format('the last run of the purge''s job failed: %s', d.return_message),
				format('job %s (at %s)', j.jobid, d.start_time),
				   CASE WHEN d.return_message ~ 'connection failed'
						THEN 'ALTER SYSTEM SET cron.use_background_workers = on, and restart: pg_cron then needs no connection'
						ELSE 'SELECT * FROM cron.job_run_details ORDER BY runid DESC, and correct the error' END
			FROM job j CROSS JOIN LATERAL (
				SELECT r.status, r.return_message, coalesce(r.start_time, r.end_time) AS start_time FROM cron.job_run_details r
				WHERE r.jobid = j.jobid AND r.status IN ('succeeded', 'failed') ORDER BY r.runid DESC LIMIT 1) d
			WHERE d.status = 'failed'
			UNION ALL
			SELECT 'notice', 'pg_cron does not record its runs: this check cannot see whether a job fails', 'cron.log_run',
				   'ALTER SYSTEM SET cron.log_run = on, and restart'
			WHERE current_setting('cron.log_run', true) = 'off' AND EXISTS (SELECT FROM job)$sql$;
	ELSIF elsewhere <> current_database() THEN
		RETURN QUERY SELECT 'notice', format('pg_cron keeps its jobs in database %I: this check cannot see whether one'
			' calls the purge here', elsewhere),
			'purge', format('SELECT * FROM cron.job_run_details WHERE database = %L ORDER BY runid DESC, in database %I',
				current_database(), elsewhere);
	ELSE
		RETURN QUERY SELECT 'notice', 'pg_cron is not installed in this database: nothing here calls the purge', 'purge',
			'let another scheduler CALL facematch.purge()';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch_internal.installation_findings() IS
	'triggers and foreign keys that do not do what install made them for, indexes that lack rows, settings that open'
	' the server''s log, who owns the schema of the type, keys of shards, and jobs that are missing or fail; part of'
	' facematch.health_check()';

CREATE VIEW facematch_internal.foreign_key_trigger AS
	SELECT g.tgrelid::regclass AS table_name, g.tgname AS trigger_name, c.conname AS name, g.tgenabled = 'D' AS disabled,
		   c.conname = 'reference_is_of_its_gallerys_model' AND g.tgrelid = c.conrelid AS guarded
	FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint c ON c.oid = g.tgconstraint
	JOIN pg_catalog.pg_class r ON r.oid = g.tgrelid
	WHERE g.tgisinternal AND r.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace);
COMMENT ON VIEW facematch_internal.foreign_key_trigger IS
	'PostgreSQL''s own triggers that check foreign keys of the extension''s tables';
COMMENT ON COLUMN facematch_internal.foreign_key_trigger.table_name IS 'the table';
COMMENT ON COLUMN facematch_internal.foreign_key_trigger.trigger_name IS 'the trigger';
COMMENT ON COLUMN facematch_internal.foreign_key_trigger.name IS 'the foreign key';
COMMENT ON COLUMN facematch_internal.foreign_key_trigger.disabled IS 'whether it is disabled';
COMMENT ON COLUMN facematch_internal.foreign_key_trigger.guarded IS
	'whether it is disabled as installed: the guard has looked already where it would look again, at the price of'
	' storing another row for each (src/gallery/enrol.c)';

CREATE FUNCTION facematch.health_check() RETURNS TABLE (severity text, finding text, found bigint, object text,
	remedy text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
	SET jit = off SET quote_all_identifiers = off
AS $$
DECLARE
	part text;
	these facematch_internal.finding[];
	findings facematch_internal.finding[] := '{}';
BEGIN
	-- If one part fails, the others still report.
	FOREACH part IN ARRAY
		'{installation_findings(),access_findings,retention_findings(),erasure_findings(),sites_findings()}'::text[] LOOP
		BEGIN
			EXECUTE format('SELECT array_agg(ROW(f.severity, f.finding, f.object, f.remedy)::facematch_internal.finding)'
				' FROM facematch_internal.%s f', part) INTO these;
			findings := findings || these;
		EXCEPTION WHEN OTHERS THEN
			findings := findings || ROW('error', format('this part of the check failed: %s', SQLERRM),
				split_part(part, '_', 1),
				'correct the error, and run the check again')::facematch_internal.finding;
		END;
	END LOOP;
	RETURN QUERY
	WITH cause AS (
		-- As severe as the worst of it.
		SELECT f.finding, count(*) AS found, array_agg(f.object ORDER BY f.object) AS objects,
			array_agg(DISTINCT f.remedy) AS remedies,
			   min(array_position('{error,warning,notice}', f.severity)) AS rank
		FROM unnest(findings) f GROUP BY f.finding
	), told AS (
		SELECT count(*) FILTER (WHERE c.rank = 1) AS errors, count(*) FILTER (WHERE c.rank = 2) AS warnings,
			count(*) AS all_of_them
		FROM cause c
	)
	SELECT l.severity, l.finding, l.found, l.object, l.remedy FROM (
		SELECT 0 AS rank, 'verdict' AS severity,
			   CASE WHEN t.errors > 0 THEN 'the guarantees do not hold'
					WHEN t.warnings > 0 THEN 'the guarantees hold, but something weakens them'
					WHEN t.all_of_them > 0 THEN 'the guarantees hold; see the notices' ELSE 'the guarantees hold: nothing was'
						' found' END
			   || CASE WHEN t.all_of_them > 0 THEN (
						SELECT format(' (causes: %s)', string_agg(n.number || ' ' || n.severity
							|| CASE WHEN n.number = 1 THEN '' ELSE 's' END, ', ' ORDER BY n.place))
						FROM unnest(ARRAY[t.errors, t.warnings, t.all_of_them - t.errors - t.warnings],
							'{error,warning,notice}'::text[]) WITH ORDINALITY n (number, severity, place)) ELSE '' END AS finding,
			   t.all_of_them AS found, format('database %I', current_database()) AS object,
			   CASE WHEN t.errors + t.warnings > 0 THEN 'repair the causes in the order of these rows, and run the check'
				' again' END AS remedy
		FROM told t
		UNION ALL
		SELECT c.rank, ('{error,warning,notice}'::text[])[c.rank], c.finding, c.found,
			   array_to_string(c.objects[1:5], ', ') || CASE WHEN c.found > 5 THEN format(', and %s more', c.found - 5)
				ELSE '' END,
			   array_to_string(c.remedies[1:3], '; ') || CASE WHEN cardinality(c.remedies) > 3 THEN '; the same for the'
				' others'
				ELSE '' END
		FROM cause c) l
	ORDER BY l.rank, l.found DESC, l.finding;
END
$$;
COMMENT ON FUNCTION facematch.health_check() IS
	'what weakens the guarantees in this database: first a row with the overall result, then a row for each cause, '
	'worst first, with how many objects have it (found), which, and the command that repairs it. Causes are, among '
	'others, triggers that are missing, disabled or changed, privileges beyond the list, roles that bypass row '
	'security, tables that show due rows, rules that apply to nothing and holds that keep nothing, overdue rows, '
	'removed rows that are not erased, keys, settings, failing jobs. severity: verdict, error, warning, notice';

CREATE FUNCTION facematch.health_metrics() RETURNS TABLE (severity text, finding text, found bigint)
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.severity, CASE WHEN c.severity = 'verdict' THEN 'causes' ELSE c.finding END, c.found
	FROM facematch.health_check() c
$$;
COMMENT ON FUNCTION facematch.health_metrics() IS
	'facematch.health_check() in numbers, for a metrics exporter: how many objects have each cause, and, with '
	'severity verdict, how many causes there are; no object is named';
