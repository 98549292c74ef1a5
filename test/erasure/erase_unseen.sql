-- What goes from a table under retention without the purge, with a receipt by hand or without one: the next purge erases it all the same.
CREATE FUNCTION whole() RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(v.dead_tuples + v.stray_bytes)::bigint FROM facematch_internal.verify_pages('facematch.reference') v WHERE v.part IN ('table', 'index') $$;
CREATE FUNCTION erased_since(since bigint) RETURNS TABLE (table_name text, pages_cleared boolean, complete boolean, receipts bigint) LANGUAGE sql AS $$
	SELECT e.table_name, e.pages_cleared > 0, e.complete, count(s) FROM facematch_internal.erasure e LEFT JOIN facematch_internal.erased_receipt s USING (erasure_id)
	WHERE e.erasure_id > since GROUP BY e.erasure_id ORDER BY e.erasure_id $$;
-- VACUUM would count otherwise.
ALTER TABLE facematch.reference SET (autovacuum_enabled = off);
INSERT INTO facematch.model (name, tag, dims) VALUES ('three', 3, 3);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'three', 0.5, now());
CREATE PROCEDURE stage(first int, last int) LANGUAGE sql AS $$
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT gallery_id, md5(n::text)::uuid, 'us_citizen', ARRAY[n, 1, 2]::real[]::face_embedding, 'passport'
	FROM facematch.gallery, generate_series(first, last) n WHERE name = 'G' $$;
CALL stage(1, 60);
-- The first purge looks at everything, finds nothing and writes nothing but its mark.
CALL facematch.purge();
SELECT count(*) FROM facematch_internal.erasure;
SELECT relation, changed, dead FROM facematch_internal.erasure_mark WHERE relation = 'facematch.reference'::regclass;
SELECT max(erased_at) AS first_look FROM facematch_internal.erasure_mark WHERE relation = 'facematch.reference'::regclass \gset
CALL facematch.purge();
SELECT erased_at = :'first_look' AS not_looked_again FROM facematch_internal.erasure_mark WHERE relation = 'facematch.reference'::regclass;

-- Deleted by hand.
DELETE FROM facematch.reference WHERE subject_id < '40000000-0000-0000-0000-000000000000';
SELECT whole() > 0 AS whole;
CALL facematch.purge();
SELECT whole();
SELECT * FROM erased_since(0);
SELECT count(*) FROM facematch.purge_receipt;
-- The manifest has changed.
SELECT max(erasure_id) AS before FROM facematch_internal.erasure \gset
SELECT state, count(*) FROM facematch.restage_gallery('G', ARRAY(SELECT subject_id FROM facematch.reference ORDER BY subject_id LIMIT 10)) GROUP BY 1 ORDER BY 1;
SELECT whole() > 0 AS whole;
CALL facematch.purge();
SELECT whole();
SELECT * FROM erased_since(:before);
-- Two references of one person are made one: their templates are gone.
SELECT max(erasure_id) AS before FROM facematch_internal.erasure \gset
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject_id, retention_class, '[1,0,1]', 'visa' FROM facematch.reference ORDER BY subject_id LIMIT 1;
SELECT facematch.merge_references('G', (SELECT subject_id FROM facematch.reference ORDER BY subject_id LIMIT 1)) IS NOT NULL AS merged;
SELECT whole() > 0 AS whole;
CALL facematch.purge();
SELECT whole();
SELECT * FROM erased_since(:before);
-- A staging that is rolled back leaves its rows in the file.
SELECT max(erasure_id) AS before FROM facematch_internal.erasure \gset
BEGIN;
CALL stage(100, 140);
ROLLBACK;
SELECT pg_stat_force_next_flush();
SELECT whole() > 0 AS whole;
CALL facematch.purge();
SELECT whole();
SELECT * FROM erased_since(:before);

-- What the purge cannot know is done within sweep_interval: here the counts are lost, or switched off.
SELECT max(erasure_id) AS before FROM facematch_internal.erasure \gset
SET track_counts = off;
BEGIN;
CALL stage(150, 160);
ROLLBACK;
RESET track_counts;
CALL facematch.purge();
SELECT whole() > 0 AS whole;
SET facematch.sweep_interval = 0;
CALL facematch.purge();
RESET facematch.sweep_interval;
SELECT whole();
SELECT * FROM erased_since(:before);
SELECT max(erasure_id) AS before FROM facematch_internal.erasure \gset
BEGIN;
CALL stage(160, 170);
ROLLBACK;
SELECT pg_stat_reset() IS NOT NULL AS reset;
CALL facematch.purge();
SELECT whole();
SELECT * FROM erased_since(:before);

-- VACUUM counts anew what it leaves: a rollback does not hide behind what the purge had removed.
SELECT max(erasure_id) AS before FROM facematch_internal.erasure \gset
CALL stage(200, 400);
UPDATE facematch.reference SET purge_after = now() WHERE subject_id::text > '8';
CALL facematch.purge();
SELECT pg_stat_force_next_flush();
VACUUM facematch.reference;
BEGIN;
CALL stage(500, 520);
ROLLBACK;
SELECT pg_stat_force_next_flush();
CALL facematch.purge();
SELECT whole();
SELECT table_name, pages_cleared, complete FROM erased_since(:before);

-- A purge whose session's transactions would see one snapshot each.
SET default_transaction_isolation = 'serializable';
DELETE FROM facematch.reference WHERE ctid IN (SELECT ctid FROM facematch.reference ORDER BY subject_id LIMIT 2);
CALL facematch.purge();
RESET default_transaction_isolation;
SELECT whole();

-- A table of a user's, with partitions: each has its counts, and its sweep.
CREATE TABLE halves (id bigint, k bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding) PARTITION BY LIST (id);
CREATE TABLE halves_1 PARTITION OF halves FOR VALUES IN (1) WITH (autovacuum_enabled = off);
CREATE TABLE halves_2 PARTITION OF halves FOR VALUES IN (2) WITH (autovacuum_enabled = off);
CREATE TABLE halves_3 PARTITION OF halves FOR VALUES IN (3) WITH (autovacuum_enabled = off);
SELECT facematch.retain('halves', 'encounter');
CREATE VIEW dead_of_halves WITH (security_invoker) AS SELECT relation, dead_tuples + fading_tuples AS dead, stray_bytes FROM facematch_internal.verify_pages('halves') WHERE part = 'table' ORDER BY relation::text;
INSERT INTO halves SELECT 1 + i % 3, i, 'us_citizen', now(), NULL, '[1,0,0]' FROM generate_series(1, 75) i;
DELETE FROM halves_3;
CALL facematch.purge();
SELECT max(erasure_id) AS before FROM facematch_internal.erasure \gset
-- One goes, and what was counted of it; another changes as much.
DROP TABLE halves_3;
DELETE FROM halves_2;
CALL facematch.purge();
SELECT * FROM erased_since(:before);
SELECT * FROM dead_of_halves;
-- A row that is moved to another partition, and due there, was in the first one too; a trigger removes rows of a partition that the purge has been to.
INSERT INTO halves SELECT 1 + i % 2, i, 'us_citizen', now(), NULL, '[1,0,0]' FROM generate_series(1, 50) i;
CALL facematch.purge();
CREATE FUNCTION together() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM public.halves_1 WHERE k = old.k + 1; RETURN NULL; END $$;
CREATE TRIGGER together AFTER DELETE ON halves_2 FOR EACH ROW EXECUTE FUNCTION together();
SET track_counts = off;
UPDATE halves SET id = 2 WHERE id = 1 AND k % 10 = 0;
RESET track_counts;
UPDATE halves SET purge_after = now() WHERE id = 2;
CALL facematch.purge();
SELECT * FROM dead_of_halves;
SELECT count(*) FROM halves;
-- What failed after its large values were stored is counted of the TOAST table only.
ALTER TABLE halves ADD COLUMN image bytea, ADD COLUMN remark text;
ALTER TABLE halves_1 ALTER image SET STORAGE EXTERNAL, ALTER remark SET STORAGE PLAIN;
CALL facematch.purge();
INSERT INTO halves_1 VALUES (1, 1, 'us_citizen', now(), NULL, '[1,0,0]', NULL, convert_to(repeat('x', 6000), 'UTF8'), repeat('x', 9000));
SELECT pg_stat_force_next_flush();
SELECT bool_or(dead_tuples > 0) AS dead FROM facematch_internal.verify_pages('halves') WHERE part = 'toast';
CALL facematch.purge();
SELECT bool_or(dead_tuples > 0) AS dead FROM facematch_internal.verify_pages('halves') WHERE part = 'toast';
-- A partition that is half detached is no longer the table's for statements: opt-outs, purges and verify_erased() reach it.
INSERT INTO halves (id, k, retention_class, recorded_at, subject_id, e) SELECT 1 + i % 2, i, 'us_citizen', now() - interval '1 year' * (i / 40), md5((i % 10)::text)::uuid, '[1,0,0]' FROM generate_series(1, 50) i;
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'halves_1'::regclass;
SELECT severity, object, finding, remedy FROM facematch.health_check() WHERE object ~ 'halves' AND finding !~ ' are due';
SELECT count(*) FROM halves_1 WHERE subject_id = md5('2')::uuid AND e IS NOT NULL;
INSERT INTO facematch.opt_out (subject_id) VALUES (md5('2')::uuid);
SELECT count(*) FROM halves_1 WHERE subject_id = md5('2')::uuid AND e IS NOT NULL;
CALL facematch.purge();
SELECT count(*) FROM halves_1 WHERE recorded_at < now() - interval '1 day';
SELECT * FROM dead_of_halves;
UPDATE pg_inherits SET inhdetachpending = false WHERE inhrelid = 'halves_1'::regclass;
SELECT facematch.release('halves');
DROP TABLE halves CASCADE;
-- ANALYZE of a table that others inherit from gathers their values.
CREATE TABLE forms (id bigint, copy real[]);
CREATE TABLE faces (retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding) INHERITS (forms);
SELECT facematch.retain('faces', 'encounter');
INSERT INTO faces SELECT i, '{0.6,0.7,0.1}', 'us_citizen', now() - interval '1 year', NULL, '[0.6,0.7,0.1]' FROM generate_series(1, 100) i;
ANALYZE forms;
SELECT relation, part, clean FROM facematch.verify_erased('faces') WHERE part = 'statistics' AND relation = 'forms'::regclass;
CALL facematch.purge();
SELECT count(*) FROM facematch.verify_erased('faces') WHERE part = 'statistics' AND relation = 'forms'::regclass;
SELECT count(*) FROM pg_statistic WHERE starelid = 'forms'::regclass AND stavalues1 IS NOT NULL AND staattnum = 2;
SELECT facematch.release('faces');
DROP TABLE forms CASCADE;

-- A table that something keeps from being erased for days is named, a partition too.
CREATE TABLE split (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding) PARTITION BY RANGE (id);
CREATE TABLE split_1 PARTITION OF split DEFAULT;
SELECT facematch.retain('split', 'encounter');
CALL facematch.purge();
SELECT count(*) FROM facematch.health_check() WHERE finding ~ 'erased completely';
UPDATE facematch_internal.erasure_mark SET erased_at = erased_at - interval '3 days' WHERE relation IN ('facematch.reference'::regclass, 'split_1'::regclass);
SELECT severity, regexp_replace(object, 'last .* ago', 'last … ago') AS object, finding FROM facematch_internal.erasure_findings() WHERE finding ~ 'erased completely' ORDER BY 2;
CALL facematch.purge();
SELECT count(*) FROM facematch.health_check() WHERE finding ~ 'erased completely';
DROP TABLE split;

-- A receipt that stays open is named: something keeps the purge from erasing.
SET facematch.purge_erases = off;
UPDATE facematch.reference SET purge_after = now();
CALL facematch.purge();
RESET facematch.purge_erases;
SELECT count(*) FROM facematch.health_check() WHERE finding ~ 'not erased';
SET session_replication_role = replica;
ALTER TABLE facematch.purge_receipt DISABLE TRIGGER ALL;
UPDATE facematch.purge_receipt SET purged_at = purged_at - interval '2 hours';
SET session_replication_role = origin;
ALTER TABLE facematch.purge_receipt ENABLE ALWAYS TRIGGER purge_receipt_10_is_a_record, ENABLE ALWAYS TRIGGER purge_receipt_40_truncate, ENABLE TRIGGER purge_receipt_50_log;
SELECT severity, regexp_replace(object, 'for .*', 'for …') AS object, finding FROM facematch.health_check() WHERE finding ~ 'not erased';
CALL facematch.purge();
SELECT count(*) FROM facematch.health_check() WHERE finding ~ 'not erased';
SELECT whole();

-- A user's table whose triggers hang keeps the extension's own from nothing: these have been erased when the purge comes to it.
CALL stage(600, 640);
CREATE TABLE hung (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
SELECT facematch.retain('hung', 'encounter');
INSERT INTO hung VALUES (1, 'us_citizen', now() - interval '1 year', NULL, '[1,0,0]');
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	RAISE NOTICE 'receipts open: %', (SELECT count(*) FROM facematch.report_erasure r WHERE r.table_name = 'facematch.reference' AND r.erased IS NULL);
	PERFORM pg_sleep(10); RETURN OLD; END $$;
CREATE TRIGGER look BEFORE DELETE ON hung FOR EACH ROW EXECUTE FUNCTION look();
UPDATE facematch.reference SET purge_after = now();
SET facematch.purge_table_timeout = '300ms';
\set VERBOSITY terse
CALL facematch.purge();
\set VERBOSITY default
RESET facematch.purge_table_timeout;
SELECT whole();
SELECT count(*) FROM facematch.report_erasure WHERE erased IS NULL;
SELECT facematch.release('hung');
DROP TABLE hung;
