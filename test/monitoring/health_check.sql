-- health_check(): a letter.  No trigger is missed, whatever became of it, and one command puts all of them back.
CREATE TEMP TABLE known AS
SELECT g.tgrelid::regclass AS table_name, g.tgname, format('%s on %s', g.tgname, g.tgrelid::regclass) AS object
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND NOT g.tgisinternal;
CREATE FUNCTION all_triggers(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	k known;
BEGIN
	FOR k IN TABLE known LOOP
		EXECUTE format(statement, k.table_name, k.tgname);
	END LOOP;
END
$$;
-- What the letter says of triggers: how many have it, whether that is all of them, and of which it says nothing.
CREATE FUNCTION said() RETURNS TABLE (severity text, finding text, of_all boolean, of_none_of text, remedy text) LANGUAGE sql AS $$
	SELECT c.severity, c.finding, c.found = (SELECT count(*) FROM known),
		   (SELECT string_agg(k.object, E'\n' ORDER BY k.object) FROM known k
			WHERE NOT EXISTS (SELECT FROM facematch_internal.installation_findings() f WHERE f.finding = c.finding AND f.object = k.object)),
		   c.remedy
	FROM facematch.health_check() c WHERE c.finding ~ 'the trigger' $$;
SELECT * FROM said();
BEGIN;
SELECT all_triggers('ALTER TABLE %s DISABLE TRIGGER %I');
SELECT * FROM said();
SELECT facematch.reinstate() = (SELECT count(*) FROM known) AS mended_all;
SELECT * FROM said();
ROLLBACK;
BEGIN;
SELECT all_triggers('ALTER TABLE %s ENABLE REPLICA TRIGGER %I');
SELECT * FROM said();
ROLLBACK;
-- Those that fire for what is written here and not for what a publisher sends: as shipped, the ones that write the log.
BEGIN;
SELECT all_triggers('ALTER TABLE %s ENABLE TRIGGER %I');
SELECT * FROM said();
ROLLBACK;
BEGIN;
SELECT all_triggers('DROP TRIGGER %2$I ON %1$s');
SELECT * FROM said();
SELECT facematch.reinstate() = (SELECT count(*) FROM known) AS mended_all;
SELECT * FROM said();
SELECT count(*) AS other_than_installed FROM facematch_internal.expected_part e
WHERE e.kind = 'trigger' AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = e.table_name AND g.tgname = e.name
				  AND pg_get_triggerdef(g.oid) = e.definition AND g.tgenabled = CASE WHEN e.always THEN 'A' ELSE 'O' END::"char");
ROLLBACK;
-- One that has the name, and calls something else.
BEGIN;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
DROP TRIGGER hold_10_keep ON facematch.hold;
CREATE TRIGGER hold_10_keep BEFORE INSERT OR UPDATE OR DELETE ON facematch.hold FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT severity, finding, found, object, remedy FROM facematch.health_check() WHERE finding ~ 'the trigger';
SELECT facematch.reinstate();
SELECT * FROM said();
ROLLBACK;

-- The letter begins with the verdict; causes come worst first, each once.
SELECT severity, regexp_replace(finding, '\d+ notices?', 'N notices') AS finding FROM facematch.health_check() WHERE severity = 'verdict';
SELECT count(*) > 1 AS letter, count(DISTINCT finding) = count(*) AS each_once, min(n) FILTER (WHERE severity = 'verdict') AS verdict_at,
	   max(n) FILTER (WHERE severity = 'error') < min(n) FILTER (WHERE severity = 'warning') AS worst_first
FROM (SELECT c.*, row_number() OVER () AS n FROM facematch.health_check() c) c;
BEGIN;
ALTER TABLE facematch.hold DISABLE TRIGGER USER;
ALTER TABLE facematch.encounter DISABLE ROW LEVEL SECURITY;
SELECT count(*) > 1 AS letter, count(DISTINCT finding) = count(*) AS each_once, min(n) FILTER (WHERE severity = 'verdict') AS verdict_at,
	   max(n) FILTER (WHERE severity = 'error') < min(n) FILTER (WHERE severity = 'warning') AS worst_first
FROM (SELECT c.*, row_number() OVER () AS n FROM facematch.health_check() c) c;
SELECT severity, regexp_replace(finding, '\d+ notices?', 'N notices') AS finding, CASE severity WHEN 'error' THEN found END AS found,
	replace(object, current_database(), '...') AS object, remedy FROM facematch.health_check()
WHERE severity IN ('verdict', 'error');
ROLLBACK;
-- If one part fails, the others still report.
BEGIN;
ALTER EXTENSION facematch DROP TABLE facematch_internal.doomed_key;
ALTER TABLE facematch_internal.doomed_key RENAME TO lost;
SELECT severity, finding, object FROM facematch.health_check() WHERE finding ~ 'check failed';
SELECT count(*) > 2 AS others FROM facematch.health_check();
ROLLBACK;

-- What pg_cron keeps of its runs.
CREATE SCHEMA cron;
CREATE TABLE cron.job (jobid bigint, active boolean, database text, command text);
CREATE TABLE cron.job_run_details (jobid bigint, runid bigint, status text, return_message text, start_time timestamptz, end_time timestamptz);
CREATE FUNCTION jobs() RETURNS TABLE (severity text, finding text, object text, remedy text) LANGUAGE sql AS $$
	SELECT c.severity, c.finding, c.object, replace(c.remedy, current_database(), '...') FROM facematch.health_check() c
	WHERE c.finding ~ 'job|pg_cron' $$;
SELECT * FROM jobs();
-- As its own database of jobs is known by: the extension is there.
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) VALUES (4711, 'pg_cron', 10, 'cron'::regnamespace, false, '1');
SELECT * FROM jobs();
INSERT INTO cron.job VALUES (1, true, current_database(), 'CALL facematch.purge()');
SELECT * FROM jobs();
INSERT INTO cron.job_run_details VALUES (1, 1, 'succeeded', '1 row', '2026-11-23 10:00+00'), (1, 2, 'failed', 'connection failed', '2026-11-23 10:01+00');
SET timezone = 'UTC';
SELECT * FROM jobs();
INSERT INTO cron.job_run_details VALUES (1, 3, 'failed', 'tables could not be purged: public.visit', '2026-11-23 10:02+00');
SELECT * FROM jobs();
INSERT INTO cron.job_run_details VALUES (1, 4, 'succeeded', '1 row', '2026-11-23 10:03+00'), (1, 5, 'running', NULL, '2026-11-23 10:04+00');
SELECT * FROM jobs();
DELETE FROM pg_extension WHERE oid = 4711;
DROP SCHEMA cron CASCADE;
SET cron.database_name = 'another';
SELECT * FROM jobs();
RESET cron.database_name;

-- Whoever owns the database sets what the purge's job runs with.
DO $$ BEGIN
	EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
	EXECUTE format('ALTER DATABASE %I SET statement_timeout = 20', current_database());
	EXECUTE format('ALTER DATABASE %I SET work_mem = 100', current_database());
	-- However the server lets it be written.
	EXECUTE format('ALTER DATABASE %I SET lock_timeout = ''0x1''', current_database());
	EXECUTE format('ALTER DATABASE %I SET idle_in_transaction_session_timeout = ''1e1''', current_database());
	EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database());
END $$;
SELECT severity, finding, replace(object, quote_ident(current_database()), '...') AS object, replace(remedy, quote_ident(current_database()), '...') AS remedy
FROM facematch.health_check() WHERE finding ~ 'the setting makes';
DO $$ BEGIN
	EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database());
	EXECUTE format('ALTER DATABASE %I RESET statement_timeout', current_database());
	EXECUTE format('ALTER DATABASE %I RESET work_mem', current_database());
	EXECUTE format('ALTER DATABASE %I RESET lock_timeout', current_database());
	EXECUTE format('ALTER DATABASE %I RESET idle_in_transaction_session_timeout', current_database());
	EXECUTE format('ALTER DATABASE %I RESET default_transaction_isolation', current_database());
END $$;

-- Names are compared as they are, whatever the caller has PostgreSQL quote.
SET quote_all_identifiers = on;
SELECT finding, object FROM facematch.health_check() WHERE finding ~ 'policy|trigger';
RESET quote_all_identifiers;

-- An index that learned the centre of a model's templates after many had come: REINDEX gives them better codes.
CREATE TABLE grown (id int, e face_embedding);
CREATE INDEX grown_face ON grown USING facematch (e);
INSERT INTO grown SELECT i, (SELECT array_agg(1 + 0.3 * sin(i * 12.9898 + d * 78.233 + i * d * 0.37) ORDER BY d)::real[]::face_embedding
							 FROM generate_series(1, 32) d) FROM generate_series(1, 3000) i;
VACUUM grown;
-- As if they were many.
UPDATE pg_class SET reltuples = 200000 WHERE relname = 'grown_face';
SELECT severity, finding, object, remedy FROM facematch.health_check() WHERE finding ~ 'learned';
-- With as many that came later, and with few of them left.
INSERT INTO grown SELECT i, (SELECT array_agg(1 + 0.3 * sin(i * 12.9898 + d * 78.233 + i * d * 0.37) ORDER BY d)::real[]::face_embedding
							 FROM generate_series(1, 32) d) FROM generate_series(3001, 6000) i;
SELECT object FROM facematch.health_check() WHERE finding ~ 'learned';
BEGIN;
REINDEX INDEX grown_face;
UPDATE pg_class SET reltuples = 200000 WHERE relname = 'grown_face';
SELECT object AS after_the_remedy FROM facematch.health_check() WHERE finding ~ 'learned';
ROLLBACK;
DELETE FROM grown WHERE id < 2950;
VACUUM grown;
UPDATE pg_class SET reltuples = 200000 WHERE relname = 'grown_face';
SELECT object FROM facematch.health_check() WHERE finding ~ 'learned';
-- Where templates have no common centre there is nothing to learn.
TRUNCATE grown;
INSERT INTO grown SELECT i, (SELECT array_agg(sin(i * 12.9898 + d * 78.233 + i * d * 0.37) ORDER BY d)::real[]::face_embedding
							 FROM generate_series(1, 32) d) FROM generate_series(1, 3000) i;
VACUUM grown;
UPDATE pg_class SET reltuples = 200000 WHERE relname = 'grown_face';
SELECT object FROM facematch.health_check() WHERE finding ~ 'learned';
SELECT count(*) AS epochs FROM facematch_internal.index_epochs('grown_face');
DROP TABLE grown;
