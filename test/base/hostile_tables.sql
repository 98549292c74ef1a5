-- Tables under retention whose owner is no friend: triggers, types and rules of his run with his rights, whoever purges,
-- reports or attaches, and what goes wrong in one table is told and keeps no other from being purged.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE facematch_test_owner LOGIN;
CREATE ROLE facematch_test_monitor;
SELECT facematch.grant_monitor('facematch_test_monitor');
CREATE SCHEMA app AUTHORIZATION facematch_test_owner;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('sightings', 'us_citizen', 'sighting', '{recorded}', '{10 days}', 'site rule', '-infinity');

SET ROLE facematch_test_owner;
CREATE TABLE app.heard (who name, super boolean, what text);
CREATE FUNCTION app.hear(what text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO app.heard SELECT current_user, r.rolsuper, what FROM pg_roles r WHERE r.rolname = current_user $$;
CREATE FUNCTION app.spy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM app.hear(TG_WHEN || ' ' || TG_OP);
	PERFORM set_config('search_path', 'app', false), set_config('facematch.on_opt_out', 'skip', false);
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TABLE app.face (id bigint PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, embedding face_embedding(2));
INSERT INTO app.face SELECT n, 'us_citizen', now() - n * interval '1 day', subject(n), '[1,0]' FROM generate_series(1, 20) n;
CREATE TABLE app.deferred (LIKE app.face INCLUDING ALL);
CREATE TABLE app.clung_to (LIKE app.face INCLUDING ALL);
CREATE TABLE app.ruled (LIKE app.face INCLUDING ALL);
CREATE TABLE app.returning (LIKE app.face INCLUDING ALL);
CREATE TABLE app.late (LIKE app.face INCLUDING ALL);
INSERT INTO app.deferred TABLE app.face;
INSERT INTO app.clung_to TABLE app.face;
INSERT INTO app.ruled TABLE app.face;
INSERT INTO app.returning TABLE app.face;
INSERT INTO app.late TABLE app.face;
CREATE TRIGGER a_spy BEFORE INSERT OR UPDATE OR DELETE ON app.face FOR EACH ROW EXECUTE FUNCTION app.spy();
CREATE TRIGGER b_spy AFTER INSERT OR UPDATE OR DELETE ON app.face FOR EACH STATEMENT EXECUTE FUNCTION app.spy();
RESET ROLE;

-- Whoever attaches a table, files an opt-out or changes a rule runs nothing of it with rights of his own.
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1));
SELECT facematch.retain('app.face', 'sighting'), facematch.retain('app.deferred', 'sighting'), facematch.retain('app.clung_to', 'sighting'),
	facematch.retain('app.ruled', 'sighting'), facematch.retain('app.returning', 'sighting'), facematch.retain('app.late', 'sighting');
SELECT count(*), min(id) FROM app.face;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(2));
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('app.face', '20', 'inquiry', 'court');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES ('sightings, shorter', 'us_citizen', 'sighting', '{recorded}', '{9 days}', 'site rule');
SELECT DISTINCT who, super, what FROM app.heard ORDER BY what;
SHOW search_path;

-- No table keeps anybody from declining.
SET ROLE facematch_test_owner;
CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not mine'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON app.face FOR EACH ROW EXECUTE FUNCTION app.refuse();
RESET ROLE;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(3));
SELECT facematch.is_opted_out(subject(3)), (SELECT count(*) FROM app.face WHERE subject_id = subject(3)) AS left_in_face, (SELECT count(*) FROM app.late WHERE subject_id = subject(3)) AS left_in_late;
SELECT severity, object, finding FROM facematch.health_check() WHERE finding ~ 'opted out';
SET ROLE facematch_test_owner;
DROP TRIGGER refuse ON app.face;
RESET ROLE;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(3));
SELECT count(*) AS left_in_face FROM app.face WHERE subject_id = subject(3);

-- What is to fire at the commit, with the rights of whoever purges; a row that cannot go; rows that do not go, or come back.
SET ROLE facematch_test_owner;
TRUNCATE app.heard;
CREATE CONSTRAINT TRIGGER c_spy AFTER DELETE ON app.deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.spy();
CREATE TABLE app.clings (id bigint REFERENCES app.clung_to);
INSERT INTO app.clings VALUES (15);
CREATE RULE stay AS ON DELETE TO app.ruled DO INSTEAD NOTHING;
CREATE FUNCTION app.come_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO app.returning VALUES (OLD.id + 100, OLD.retention_class, OLD.recorded_at, OLD.subject_id, OLD.embedding);
	RETURN NULL;
END $$;
CREATE TRIGGER come_back AFTER DELETE ON app.returning FOR EACH ROW EXECUTE FUNCTION app.come_back();
CREATE FUNCTION app.lengthen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.purge_after := 'infinity'; RETURN NEW; END $$;
CREATE TRIGGER g_lengthen BEFORE UPDATE ON app.late FOR EACH ROW EXECUTE FUNCTION app.lengthen();
UPDATE app.late SET recorded_at = recorded_at WHERE id = 19;
RESET ROLE;
CALL facematch.purge(4);
SHOW facematch.on_opt_out;
SELECT DISTINCT who, super, what FROM app.heard ORDER BY what;
SELECT 'face' AS table, count(*) FILTER (WHERE purge_after <= now()) AS due FROM app.face UNION ALL SELECT 'deferred', count(*) FILTER (WHERE purge_after <= now()) FROM app.deferred
UNION ALL SELECT 'clung_to', count(*) FILTER (WHERE purge_after <= now()) FROM app.clung_to UNION ALL SELECT 'ruled', count(*) FILTER (WHERE purge_after <= now()) FROM app.ruled
UNION ALL SELECT 'returning', count(*) FILTER (WHERE purge_after <= now()) FROM app.returning UNION ALL SELECT 'late', count(*) FILTER (WHERE purge_after <= now()) FROM app.late;
SELECT table_name, cause, sum(rows_purged) FROM facematch.purge_receipt GROUP BY 1, 2 ORDER BY 1, 2;
BEGIN;
CALL facematch.purge();
ROLLBACK;

-- Types with casts, and views, of the owner's: reports, checks and metrics run none of it with rights of theirs.
SET ROLE facematch_test_owner;
TRUNCATE app.heard;
CREATE TYPE app.moment AS (at timestamptz);
CREATE FUNCTION app.as_moment(app.moment) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM app.hear('cast'); RETURN $1.at; END $$;
CREATE CAST (app.moment AS timestamptz) WITH FUNCTION app.as_moment AS IMPLICIT;
DROP TRIGGER facematch_20_guard ON app.late;
DROP TRIGGER g_lengthen ON app.late;
DROP POLICY facematch_due ON app.late;
DROP INDEX app.late_purge_after_idx;
ALTER TABLE app.late ALTER purge_after TYPE app.moment USING ROW(purge_after)::app.moment;
DROP POLICY facematch_due ON app.ruled;
ALTER TABLE app.ruled ALTER retention_class TYPE name;
RESET ROLE;
SET ROLE facematch_test_monitor;
SELECT table_name, lag > '0' AS late FROM facematch.purge_lag() ORDER BY 1;
RESET ROLE;
SET client_min_messages = error;
SELECT table_name, retention_class, sum(rows_kept + rows_due) > 0 AS rows FROM facematch.report_retention GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) > 0 AS soon FROM facematch_internal.count_retained() WHERE due_on IS NOT NULL;
SELECT purge_after IS NOT NULL AS explained FROM facematch.explain_retention('app.late', 3);
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('app.late', '5', 'inquiry', 'court');
SET client_min_messages = warning;
SELECT DISTINCT who, super, what FROM app.heard ORDER BY what;
SELECT severity, regexp_replace(object, ', the oldest.*', ')') AS object, finding
FROM (SELECT * FROM facematch_internal.retention_findings() UNION ALL SELECT * FROM facematch_internal.installation_findings()) f WHERE object ~ 'app' AND finding !~ 'sees due rows' ORDER BY 2, 3;

-- Nor by one whose trigger says that the caller has cancelled, that the server stops, or that it must be tried again; or waits.
RESET client_min_messages;
CREATE TABLE app.waits (id bigint PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
CREATE TABLE app.waits_after (LIKE app.waits INCLUDING ALL);
ALTER TABLE app.waits OWNER TO facematch_test_owner;
SELECT facematch.retain('app.waits', 'sighting'), facematch.retain('app.waits_after', 'sighting');
CREATE FUNCTION app.wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_ARGV[0] = 'wait' THEN
		PERFORM pg_sleep(1000000);
	ELSIF TG_ARGV[0] = 'stubborn' THEN
		BEGIN
			PERFORM pg_sleep(1000000);
		EXCEPTION WHEN query_canceled THEN
			PERFORM pg_sleep(1000000);
		END;
	ELSIF TG_ARGV[0] = 'catches' THEN
		FOR n IN 1..60 LOOP
			BEGIN
				PERFORM pg_sleep(1000000);
			EXCEPTION WHEN query_canceled THEN
				PERFORM 1;
			END;
		END LOOP;
	ELSIF TG_ARGV[0] = 'exit' THEN
		PERFORM set_config('exit_on_error', 'on', true);
	END IF;
	RAISE 'no' USING ERRCODE = TG_ARGV[0];
END $$;
ALTER FUNCTION app.wait OWNER TO facematch_test_owner;
CREATE PROCEDURE app.purge_with(how text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE OR REPLACE TRIGGER a_wait BEFORE DELETE ON app.waits FOR EACH ROW EXECUTE FUNCTION app.wait(%L)', how);
	INSERT INTO app.waits SELECT coalesce(max(id), 0) + 1, 'us_citizen', now() - interval '20 days', subject(91), '[1,0,0,0]' FROM app.waits;
	INSERT INTO app.waits_after SELECT 1, 'us_citizen', now() - interval '20 days', NULL, '[1,0,0,0]';
END $$;
CALL app.purge_with('57014'); CALL facematch.purge(); SELECT count(*) FROM app.waits_after;
CALL app.purge_with('57P01'); CALL facematch.purge(); SELECT count(*) FROM app.waits_after;
CALL app.purge_with('40001'); CALL facematch.purge(); SELECT count(*) FROM app.waits_after;
CALL app.purge_with('40P01'); CALL facematch.purge(); SELECT count(*) FROM app.waits_after;
-- Nor does an error of his end the session.
CALL app.purge_with('exit'); CALL facematch.purge(); SELECT count(*) FROM app.waits_after;
SET facematch.purge_table_timeout = '2s';
CALL app.purge_with('wait'); CALL facematch.purge(); SELECT count(*) FROM app.waits_after;
CALL app.purge_with('stubborn'); CALL facematch.purge(); SELECT count(*) FROM app.waits_after;
-- Each table gets its part of what statement_timeout leaves.
SET facematch.purge_table_timeout = 0;
SET statement_timeout = '8s';
CALL app.purge_with('wait'); CALL facematch.purge(); SELECT count(*) FROM app.waits_after;
-- That limit ends the purge, and leaves the session as it was.
SET statement_timeout = '1s';
SET client_min_messages = error;
-- Who cancels it is the limit, or, where the table has caught that, the gate.
\set VERBOSITY sqlstate
CALL app.purge_with('catches'); CALL facematch.purge();
\set VERBOSITY terse
RESET client_min_messages;
SELECT count(*) < 2 AS known FROM app.waits_after;
ROLLBACK;
SET statement_timeout = 0;
CREATE OR REPLACE TRIGGER a_wait BEFORE DELETE ON app.waits FOR EACH ROW EXECUTE FUNCTION app.wait('stubborn');
-- Opt-outs too: each table gets its part of what statement_timeout leaves.
SET facematch.table_timeout = '2s';
BEGIN;
UPDATE app.waits SET recorded_at = clock_timestamp();
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(91)) RETURNING subject_id;
ROLLBACK;
SET facematch.table_timeout = 0;
BEGIN;
SET LOCAL statement_timeout = '6s';
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(91)) RETURNING subject_id;
ROLLBACK;
CREATE OR REPLACE TRIGGER a_wait BEFORE DELETE ON app.waits FOR EACH ROW EXECUTE FUNCTION app.wait('57014');
BEGIN;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(91)) RETURNING subject_id;
ROLLBACK;
DROP TRIGGER a_wait ON app.waits;
RESET facematch.table_timeout;
RESET facematch.purge_table_timeout;
SELECT facematch.release('app.waits'), facematch.release('app.waits_after');
DROP TABLE app.waits, app.waits_after;
SET client_min_messages = warning;

-- What was done to the extension's own, and templates that are elsewhere.
BEGIN;
ALTER POLICY facematch_due ON facematch.reference USING (true);
CREATE FUNCTION app.idle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
DROP TRIGGER encounter_20_guard ON facematch.encounter;
CREATE TRIGGER encounter_20_guard BEFORE INSERT ON facematch.encounter FOR EACH ROW EXECUTE FUNCTION app.idle();
CREATE TRIGGER z_idle BEFORE UPDATE ON facematch.gallery FOR EACH ROW EXECUTE FUNCTION app.idle();
CREATE TABLE app.copy AS SELECT embedding FROM app.face;
CREATE TABLE app.arrays (all_of face_embedding[]);
CREATE MATERIALIZED VIEW app.seen AS SELECT * FROM app.face;
CREATE TEMP TABLE scratch AS SELECT embedding FROM app.face;
SELECT severity, object, finding FROM (SELECT * FROM facematch_internal.retention_findings() UNION ALL SELECT * FROM facematch_internal.installation_findings()) f
WHERE object ~ 'app\.(copy|arrays|seen)|scratch|facematch\.(reference|encounter|gallery)' ORDER BY 2, 3;
ROLLBACK;

-- Whoever owns the schema of the type could put his own functions in the place of the extension's.
SELECT count(*) FROM facematch.health_check() WHERE object ~ '^schema';
BEGIN;
SELECT format('ALTER SCHEMA %I OWNER TO facematch_test_owner', n.nspname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typname = 'face_embedding' \gexec
SELECT severity, finding FROM facematch.health_check() WHERE object ~ '^schema';
ROLLBACK;

-- So nobody's but a superuser's schema takes the extension.
\set home :DBNAME
CREATE DATABASE facematch_test_owned OWNER facematch_test_owner;
\c facematch_test_owned
SET client_min_messages = warning;
CREATE SCHEMA mine AUTHORIZATION facematch_test_owner;
CREATE EXTENSION pgcrypto;
CREATE EXTENSION facematch SCHEMA public;
CREATE EXTENSION facematch SCHEMA mine;
SELECT count(*) FROM pg_namespace WHERE nspname = 'facematch';
CREATE SCHEMA face;
CREATE EXTENSION facematch SCHEMA face;
SELECT count(*) FROM facematch.health_check() WHERE object ~ '^schema';
\c :home
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = warning;
DROP DATABASE facematch_test_owned;

-- Nobody asks a table as its owner who may not act as him.
GRANT USAGE ON SCHEMA facematch, facematch_internal TO facematch_test_monitor;
GRANT EXECUTE ON FUNCTION facematch_internal.ask_table TO facematch_test_monitor;
SET ROLE facematch_test_monitor;
SELECT * FROM facematch_internal.ask_table('facematch.pseudonym_key', 'SELECT key FROM facematch.pseudonym_key') a (key bytea);
RESET ROLE;
SELECT * FROM facematch_internal.ask_table('app.face', 'SELECT id FROM app.face') a (id text);
-- The extension's triggers in C, on a table that they are not made for, with any arguments, at any time: an error, or nothing.
CREATE TABLE app.other (id int PRIMARY KEY, retention_class text, recorded_at timestamptz DEFAULT now(), purge_after timestamptz, kept text, subject_id int, e bytea);
INSERT INTO app.other (id) VALUES (0);
CREATE FUNCTION app.fires(trigger_function regproc, moment text, arguments text, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TRIGGER fires %s EXECUTE FUNCTION %s(%s)', format(moment, 'app.other'), trigger_function, arguments);
	EXECUTE statement;
	RAISE EXCEPTION USING MESSAGE = 'undo', ERRCODE = '00U01';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN '00U01' THEN 'nothing' ELSE SQLSTATE END;
END $$;
SELECT p.oid::regproc AS trigger_function, array_agg(DISTINCT app.fires(p.oid, m, a, s) COLLATE "C") AS answers
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang,
	unnest('{BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW,AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW,
		BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s,AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s}'::text[]) m,
	unnest(ARRAY['', '''gallery''', '''rule''', '''event''', '''merge''', '''opt_out''', '''e''', '''what=reference'',''key=id'',''class=retention_class'','
		'''recorded=recorded_at'',''purge=purge_after''', '''hold'',''id'',''id'',''true'',''kept''']) a,
	unnest('{"INSERT INTO app.other VALUES (1)","UPDATE app.other SET kept = ''x''","DELETE FROM app.other","TRUNCATE app.other"}'::text[]) s
WHERE l.lanname = 'c' AND p.prorettype = 'trigger'::regtype AND p.pronamespace = 'facematch_internal'::regnamespace
GROUP BY p.oid ORDER BY p.proname;
UPDATE facematch.hold SET released_at = clock_timestamp();
SELECT facematch.release('app.face'), facematch.release('app.deferred'), facematch.release('app.clung_to'), facematch.release('app.ruled'), facematch.release('app.returning'), facematch.release('app.late');
SET client_min_messages = error;
DROP SCHEMA app CASCADE;
DROP OWNED BY facematch_test_owner, facematch_test_monitor;
DROP ROLE facematch_test_owner, facematch_test_monitor;
