-- What fails for one table, one subject or one step is that table's, subject's or step's failure, and keeps no other from being purged.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
	VALUES ('visits', 'us_citizen', 'visit', '{recorded}', '{10 days}', 'site rule', '-infinity');
CREATE TABLE a (id int PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
CREATE TABLE b (LIKE a INCLUDING ALL);
INSERT INTO a SELECT n, 'us_citizen', now() - n * interval '1 day', subject(n), '[1,0]' FROM generate_series(1, 14) n;
INSERT INTO b TABLE a;
SELECT facematch.retain('a', 'visit'), facematch.retain('b', 'visit');
CREATE VIEW rows AS SELECT (SELECT string_agg(id::text, ' ' ORDER BY id) FROM a) AS a, (SELECT string_agg(id::text, ' ' ORDER BY id) FROM b) AS b;

-- The opt-out that was refused first is refused again: those after it are carried out.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF TG_ARGV[0] IN ('all', OLD.id::text) THEN RAISE 'not %', OLD.id; END IF;
	RETURN OLD; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON a FOR EACH ROW EXECUTE FUNCTION refuse('all');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1));
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(2));
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(3));
SELECT * FROM rows;
CREATE OR REPLACE TRIGGER refuse BEFORE DELETE ON a FOR EACH ROW EXECUTE FUNCTION refuse('1');
\set VERBOSITY default
CALL facematch.purge();
\set VERBOSITY terse
SELECT * FROM rows;
SELECT count(*) AS unreached FROM facematch_internal.unreached;
-- In a transaction block too, in which an error would undo what has been purged.
UPDATE b SET purge_after = now() WHERE id = 9;
BEGIN;
CALL facematch.purge();
COMMIT;
SELECT * FROM rows;
DROP TRIGGER refuse ON a;
CALL facematch.purge();
SELECT count(*) AS unreached FROM facematch_internal.unreached;

-- A superuser's table to which another one's keys refer, until the commit.
CREATE TABLE clings (id int REFERENCES a DEFERRABLE INITIALLY DEFERRED);
INSERT INTO clings VALUES (4), (5);
UPDATE a SET purge_after = now() WHERE id IN (4, 6);
UPDATE b SET purge_after = now() WHERE id IN (4, 6);
CALL facematch.purge(1);
SELECT * FROM rows;
-- An opt-out leaves it to the commit: what the caller has left to that is not run before.
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(5));
SELECT facematch.is_opted_out(subject(5));
SELECT * FROM rows;
-- Nor does a purge fire what has the name of something that is not deferrable.
ALTER TABLE b ADD CONSTRAINT clings_id_fkey CHECK (id > 0);
\set VERBOSITY sqlstate
CALL facematch.purge(1);
\set VERBOSITY terse
ALTER TABLE b DROP CONSTRAINT clings_id_fkey;
CALL facematch.purge(1);
-- Later statements of the same transaction may still leave it to the commit.
BEGIN;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(7));
DELETE FROM a WHERE id IN (4, 5);
DELETE FROM clings;
COMMIT;
CALL facematch.purge();
SELECT * FROM rows;
SELECT count(*) AS unreached FROM facematch_internal.unreached;
-- Where what it fires mends it, the row goes.
CREATE FUNCTION let_go() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM clings WHERE id = OLD.id; RETURN NULL; END $$;
CREATE TRIGGER let_go AFTER DELETE ON a FOR EACH ROW EXECUTE FUNCTION let_go();
INSERT INTO clings VALUES (8);
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(8));
SELECT * FROM rows;
DROP TABLE clings CASCADE;
DROP TRIGGER let_go ON a;

-- The planner's statistics are everybody's: what fails there leaves the receipt open, and the other tables are purged and erased.
INSERT INTO b SELECT 10, 'us_citizen', now(), subject(10), '[1,0]';
UPDATE a SET purge_after = now() WHERE id = 9;
UPDATE b SET purge_after = now() WHERE id = 10;
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('g', 'watchlist', 'two', 0.5);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after)
	SELECT gallery_id, subject(50), 'watchlist', '[1,0]', 's', now() FROM facematch.gallery;
SELECT max(receipt_id) AS seen FROM facematch.purge_receipt \gset
SELECT pg_get_functiondef('facematch_internal.forget_statistics'::regproc) AS forget \gset
CREATE OR REPLACE FUNCTION facematch_internal.forget_statistics(table_name regclass) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN RAISE data_corrupted USING MESSAGE = 'invalid page in block 7'; END $$;
CALL facematch.purge();
SELECT * FROM rows;
SELECT table_name, rows_purged, erased IS NOT NULL AS erased FROM facematch.report_erasure WHERE receipt_id > :seen ORDER BY 1;
SELECT DISTINCT table_name FROM facematch_internal.erasure WHERE NOT complete ORDER BY 1;
:forget;
CALL facematch.purge();
SELECT table_name, rows_purged, erased IS NOT NULL AS erased FROM facematch.report_erasure WHERE receipt_id > :seen ORDER BY 1;

-- Classes that no law knows, by the owner who keeps the guard from running: too long for the log, or one for each row. Nobody's opt-out or purge
-- is any the worse, and receipts name none of them.
CREATE ROLE facematch_test_owner LOGIN;
GRANT CREATE ON SCHEMA public TO facematch_test_owner;
SET ROLE facematch_test_owner;
CREATE TABLE first (id int PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
CREATE TABLE second (LIKE first INCLUDING ALL);
CREATE FUNCTION along() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM second; RETURN OLD; END $$;
CREATE TRIGGER along BEFORE DELETE ON first FOR EACH ROW EXECUTE FUNCTION along();
RESET ROLE;
SELECT facematch.retain('first', 'visit'), facematch.retain('second', 'visit');
SET ROLE facematch_test_owner;
ALTER TABLE second DISABLE TRIGGER facematch_20_guard;
INSERT INTO first SELECT 1, 'us_citizen', now(), subject(61), '[1,0]';
INSERT INTO second SELECT n, CASE n WHEN 1 THEN repeat('x', 270000000) WHEN 2 THEN 'us_citizen' ELSE 'class ' || n END, now(), subject(n), '[1,0]', now()
FROM generate_series(1, 50) n;
RESET ROLE;
SELECT coalesce(max(receipt_id), 0) AS seen FROM facematch.purge_receipt \gset
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(61));
SELECT (SELECT count(*) FROM first) AS first, (SELECT count(*) FROM second) AS second;
SELECT cause, table_name, retention_class, rows_purged FROM facematch.purge_receipt WHERE receipt_id > :seen ORDER BY receipt_id;
SET ROLE facematch_test_owner;
INSERT INTO second SELECT n, CASE n WHEN 1 THEN repeat('x', 3000) WHEN 2 THEN 'us_citizen' ELSE 'class ' || n END, now(), subject(n), '[1,0]', now()
FROM generate_series(1, 50) n;
RESET ROLE;
SELECT max(receipt_id) AS seen FROM facematch.purge_receipt \gset
CALL facematch.purge();
SELECT cause, table_name, retention_class, sum(rows_purged) FROM facematch.purge_receipt WHERE receipt_id > :seen GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT facematch.release('first'), facematch.release('second');
DROP TABLE first, second;
DROP FUNCTION along();
REVOKE CREATE ON SCHEMA public FROM facematch_test_owner;
DROP ROLE facematch_test_owner;

-- A table that cannot be read is left out of what is told, and named where it might matter.
SELECT facematch.release('b');
ALTER TABLE a RENAME id TO id2;
SELECT facematch.retain('b', 'visit');
UPDATE b SET purge_after = now() + interval '1 day' WHERE id IN (SELECT min(id) FROM b);
SELECT count(*) > 0 AS told FROM facematch.due_soon('30 days') WHERE table_name = 'b'::regclass;
ALTER TABLE a RENAME retention_class TO rc;
INSERT INTO facematch.retention_class (name, description) VALUES ('unused', 'nobody');
DELETE FROM facematch.retention_class WHERE name = 'unused';
ALTER TABLE a RENAME rc TO retention_class;
ALTER TABLE a RENAME id2 TO id;
DELETE FROM facematch.retention_class WHERE name = 'unused';
