-- Ordinary DDL takes nothing away that the law keeps (src/retention/keep.c): each statement that would, one by one.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;

-- What comes of a statement, which is undone.
CREATE FUNCTION try(statement text, "while" text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF "while" IS NOT NULL THEN
		EXECUTE "while";
	END IF;
	EXECUTE statement;
	RAISE EXCEPTION USING ERRCODE = 'ZZ999';
EXCEPTION
	WHEN SQLSTATE 'ZZ999' THEN
		RETURN 'passes';
	WHEN OTHERS THEN
		RETURN concat_ws(' ', SQLSTATE, SQLERRM);
END
$$;

-- What stands keeps the extension, each kind of it alone, and what stands no more does not.
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F', 'flight', 'two', 0.9, now() + interval '2 hours');
SELECT s.stands, try('DROP EXTENSION facematch', s.statement) AS drop_extension FROM (VALUES
	('rules, a gallery and the log alone', NULL),
	('a reference', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		VALUES (1, subject(1), 'us_citizen', '[1,0]', 's')$$),
	('an encounter', $$SELECT facematch.record_encounter('F', '[1,0]', port => 'JFK')$$),
	('a photograph', $$ALTER TABLE facematch.photograph DISABLE TRIGGER photograph_10_guard; INSERT INTO facematch.photograph
		(encounter_id, media_type, key_id, sealed, purge_after) SELECT encounter_id, 'image/jpeg', gen_random_uuid(), '\x01', 'infinity'
		FROM facematch.record_encounter('F', '[1,0]', port => 'JFK')$$),
	('an opt-out', 'INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1))'),
	('an opt-out that was revoked', 'INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1));
		UPDATE facematch.opt_out SET revoked_at = clock_timestamp(); SET CONSTRAINTS ALL IMMEDIATE'),
	('a hold', $$INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(1), 'r', 'a')$$),
	('a hold that was released', $$INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(1), 'r', 'a');
		UPDATE facematch.hold SET released_at = clock_timestamp(); SET CONSTRAINTS ALL IMMEDIATE$$),
	('a table of a user', $$CREATE TABLE own (id int, retention_class text, recorded_at timestamptz, subject_id uuid, t face_embedding(2));
		INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation)
			VALUES ('own', 'us_citizen', 'own', '{recorded}', '{1 day}', 'c'); SELECT facematch.retain('own', 'own')$$)) s (stands, statement);

-- It is kept by every way that leads to it, whoever goes it, in a session that never called the library.
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(9));
\c
SET client_min_messages = warning;
DROP EXTENSION facematch;
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
\c
SET client_min_messages = warning;
SELECT w.way, try(w.way) FROM unnest(ARRAY['DROP EXTENSION facematch CASCADE', 'DROP EXTENSION IF EXISTS facematch', 'DROP EXTENSION pgcrypto CASCADE',
	'DROP SCHEMA public CASCADE', 'DROP SCHEMA facematch CASCADE',
	'ALTER EXTENSION facematch DROP TABLE facematch.opt_out; DROP TABLE facematch.opt_out CASCADE',
	'ALTER TABLE facematch.opt_out DROP COLUMN subject_id CASCADE',
	$$DO 'BEGIN EXECUTE ''DROP EXTENSION facematch''; END'$$]) w (way);

-- A column of a site's own, which the health check wants gone, can go; the extension's stay.
ALTER TABLE facematch.opt_out ADD COLUMN note text, ADD COLUMN "subject_id " text;
SELECT finding, object, remedy FROM facematch.health_check() WHERE object ~ '^column';
SELECT w.way, try(w.way) FROM unnest(ARRAY['ALTER TABLE facematch.opt_out DROP COLUMN note',
	'ALTER TABLE facematch.opt_out DROP COLUMN "subject_id "', 'ALTER TABLE facematch.opt_out DROP COLUMN note, DROP COLUMN scope CASCADE',
	'CREATE VIEW mine AS SELECT note FROM facematch.opt_out; ALTER TABLE facematch.opt_out DROP COLUMN note CASCADE']) w (way);
ALTER TABLE facematch.opt_out DROP COLUMN note, DROP COLUMN "subject_id ";
SELECT count(*) AS still_named FROM facematch.health_check() WHERE object ~ '^column';

-- Names that its functions call each other by.
SELECT w.way, try(w.way) FROM unnest(ARRAY['ALTER SCHEMA facematch RENAME TO f', 'ALTER SCHEMA facematch_internal RENAME TO f', 'ALTER SCHEMA public RENAME TO p',
	'ALTER TABLE facematch.reference RENAME TO r', 'ALTER TABLE facematch.reference RENAME COLUMN embedding TO e',
	'ALTER TABLE facematch.reference SET SCHEMA public', 'ALTER FUNCTION facematch.audit_anchor() RENAME TO a',
	'ALTER VIEW facematch.held RENAME TO h', 'ALTER TYPE face_embedding RENAME TO e', 'ALTER TYPE face_embedding SET SCHEMA facematch',
	'ALTER EVENT TRIGGER facematch_keep RENAME TO k',
	-- What changes no name of it.
	'ALTER SCHEMA facematch OWNER TO CURRENT_USER', 'ALTER TABLE facematch.reference ALTER COLUMN embedding SET STATISTICS 1',
	'CREATE SCHEMA s; ALTER SCHEMA s RENAME TO t', 'CREATE TABLE s (a int); ALTER TABLE s RENAME a TO b; ALTER TABLE s RENAME TO t',
	'ALTER EXTENSION facematch UPDATE', 'REINDEX TABLE facematch.opt_out']) w (way);

-- A table under retention goes with what holds keep neither whole nor in parts; without, that is logged.
CREATE TABLE own (id int, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, t face_embedding(2)) PARTITION BY RANGE (id);
CREATE TABLE own_1 PARTITION OF own FOR VALUES FROM (0) TO (10);
CREATE TABLE own_2 PARTITION OF own FOR VALUES FROM (10) TO (100) PARTITION BY RANGE (id);
CREATE TABLE own_21 PARTITION OF own_2 FOR VALUES FROM (10) TO (20);
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
	VALUES ('own', 'us_citizen', 'own', '{recorded}', '{10 days}', 'site rule', '-infinity');
SELECT facematch.retain('own', 'own');
INSERT INTO own (id, retention_class, subject_id, t) SELECT n, 'us_citizen', subject(n), '[1,0]' FROM generate_series(1, 15) n WHERE n <> 9;
CREATE TABLE ways (n int GENERATED ALWAYS AS IDENTITY, way text);
INSERT INTO ways (way) VALUES ('DROP TABLE own'), ('DROP TABLE own_1'), ('DROP TABLE own_2'), ('DROP TABLE own_21'), ('ALTER TABLE own DETACH PARTITION own_1'),
	('ALTER TABLE own DETACH PARTITION own_2'), ('ALTER TABLE own_2 DETACH PARTITION own_21'), ('ALTER TABLE own DROP COLUMN t'),
	('ALTER TABLE own DROP COLUMN subject_id CASCADE'), ('DROP OWNED BY facematch_keep_clerk'), ('TRUNCATE own'), ('TRUNCATE own_1');
CREATE ROLE facematch_keep_clerk;
ALTER TABLE own OWNER TO facematch_keep_clerk;
ALTER TABLE own_1 OWNER TO facematch_keep_clerk;
ALTER TABLE own_2 OWNER TO facematch_keep_clerk;
ALTER TABLE own_21 OWNER TO facematch_keep_clerk;
GRANT CREATE ON SCHEMA public TO facematch_keep_clerk;
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('own', '12', 'inquiry', 'court');
SELECT way, try(way) AS row_12_is_held FROM ways ORDER BY n;
-- A partition that a DETACH CONCURRENTLY has half detached is the table's still.
SELECT w.way, try(w.way, $$UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'own_2'::regclass$$) AS half_detached
FROM unnest(ARRAY['DROP TABLE own_2', 'DROP TABLE own_21', 'TRUNCATE own_21', 'ALTER TABLE own_2 DETACH PARTITION own_21',
	'DELETE FROM own_2', 'DELETE FROM own_21', 'DELETE FROM own_1', 'DROP TABLE own_1']) w (way);
UPDATE facematch.hold SET released_at = clock_timestamp();
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(3), 'inquiry', 'court');
SELECT way, try(way) AS subject_3_is_held FROM ways ORDER BY n;
ALTER TABLE own_2 DETACH PARTITION own_21;
DROP TABLE own_21;
DROP TABLE own_2;
UPDATE facematch.hold SET released_at = clock_timestamp() WHERE released_at IS NULL;
SET ROLE facematch_keep_clerk;
BEGIN;
TRUNCATE own_1;
DROP TABLE own;
RESET ROLE;
SELECT action, detail FROM facematch.audit_event WHERE action IN ('table_dropped', 'partition_detached', 'partition_truncated', 'column_dropped') ORDER BY event_id;
ROLLBACK;
RESET ROLE;
-- A table whose columns have gone can be dropped all the same.
CREATE TABLE broken (id int, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, t face_embedding(2));
SELECT facematch.retain('broken', 'own');
ALTER TABLE broken DROP COLUMN id;
DROP TABLE broken;

-- The health check names the event trigger where it does not fire.
CREATE VIEW health AS SELECT h.severity, h.finding, h.object, h.remedy FROM facematch.health_check() h WHERE h.finding ~ 'DROP EXTENSION';
SELECT * FROM health;
ALTER EVENT TRIGGER facematch_keep DISABLE;
SELECT * FROM health;
ALTER EVENT TRIGGER facematch_keep ENABLE;
SELECT * FROM health;
ALTER EVENT TRIGGER facematch_keep ENABLE ALWAYS;
SELECT * FROM health;

-- Who means it says so: it is logged, the tables of users are as before, and the next DROP EXTENSION passes.
CALL facematch.decommission(' ');
SELECT try('DROP EXTENSION facematch CASCADE');
CALL facematch.decommission('the pilot is over') \gset
SELECT :'receipt'::jsonb - 'at' - 'database' AS receipt, :'anchor' ~ '^[0-9a-f]{64}$' AS anchor, (SELECT bool_and(intact) FROM facematch.verify_audit(:'anchor')) AS intact;
SELECT action, detail ->> 'reason' AS reason FROM facematch.audit_event WHERE action = 'decommissioned';
\d own
-- What is logged later takes that back.
SELECT try('DROP EXTENSION facematch CASCADE', 'INSERT INTO facematch.opt_out (subject_id) VALUES (subject(10))');
BEGIN;
DROP EXTENSION facematch CASCADE;
-- And there it begins anew.
CREATE EXTENSION facematch;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(9));
SELECT try('DROP EXTENSION facematch');
COMMIT;
DROP OWNED BY facematch_keep_clerk;
DROP ROLE facematch_keep_clerk;
