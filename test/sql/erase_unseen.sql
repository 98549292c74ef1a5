-- What goes from a table under retention without the purge leaves no receipt, and the next purge erases it all the same.
CREATE FUNCTION whole() RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(v.dead_tuples + v.stray_bytes)::bigint FROM facematch.verify_pages('facematch.reference') v WHERE v.part IN ('table', 'index') $$;
CREATE FUNCTION erased_since(since bigint) RETURNS TABLE (table_name text, pages_cleared boolean, complete boolean, receipts bigint) LANGUAGE sql AS $$
	SELECT e.table_name, e.pages_cleared > 0, e.complete, count(s) FROM facematch.erasure e LEFT JOIN facematch.erased_receipt s USING (erasure_id)
	WHERE e.erasure_id > since GROUP BY e.erasure_id ORDER BY e.erasure_id $$;
-- VACUUM would count otherwise.
ALTER TABLE facematch.reference SET (autovacuum_enabled = off);
INSERT INTO facematch.model (name, tag, dims) VALUES ('three', 3, 3);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'three', 0.5, now());
CREATE INDEX ON facematch.reference USING facematch (gallery_id, embedding);
CREATE PROCEDURE stage(first int, last int) LANGUAGE sql AS $$
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT gallery_id, md5(n::text)::uuid, 'us_citizen', ARRAY[n, 1, 2]::real[]::face_embedding, 'passport'
	FROM facematch.gallery, generate_series(first, last) n WHERE name = 'G' $$;
CALL stage(1, 60);
-- The first purge looks at everything, finds nothing and writes nothing but its mark.
CALL facematch.purge();
SELECT count(*) FROM facematch.erasure;
SELECT relation, removed, dead FROM facematch.erasure_mark WHERE relation = 'facematch.reference'::regclass;
SELECT max(erased_at) AS first_look FROM facematch.erasure_mark WHERE relation = 'facematch.reference'::regclass \gset
CALL facematch.purge();
SELECT erased_at = :'first_look' AS not_looked_again FROM facematch.erasure_mark WHERE relation = 'facematch.reference'::regclass;

-- Deleted by hand.
DELETE FROM facematch.reference WHERE subject_id < '40000000-0000-0000-0000-000000000000';
SELECT whole() > 0 AS whole;
CALL facematch.purge();
SELECT whole();
SELECT * FROM erased_since(0);
SELECT count(*) FROM facematch.purge_receipt;
-- The manifest has changed.
SELECT max(erasure_id) AS before FROM facematch.erasure \gset
SELECT state, count(*) FROM facematch.restage_gallery('G', ARRAY(SELECT subject_id FROM facematch.reference ORDER BY subject_id LIMIT 10)) GROUP BY 1 ORDER BY 1;
SELECT whole() > 0 AS whole;
CALL facematch.purge();
SELECT whole();
SELECT * FROM erased_since(:before);
-- Two references of one person are made one: their templates are gone.
SELECT max(erasure_id) AS before FROM facematch.erasure \gset
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject_id, retention_class, '[1,0,1]', 'visa' FROM facematch.reference ORDER BY subject_id LIMIT 1;
SELECT facematch.merge_references('G', (SELECT subject_id FROM facematch.reference ORDER BY subject_id LIMIT 1)) IS NOT NULL AS merged;
SELECT whole() > 0 AS whole;
CALL facematch.purge();
SELECT whole();
SELECT * FROM erased_since(:before);
-- A staging that is rolled back leaves its rows in the file.
SELECT max(erasure_id) AS before FROM facematch.erasure \gset
BEGIN;
CALL stage(100, 140);
ROLLBACK;
SELECT pg_stat_force_next_flush();
SELECT whole() > 0 AS whole;
CALL facematch.purge();
SELECT whole();
SELECT * FROM erased_since(:before);

-- What the purge cannot know is done within sweep_interval: here the counts are lost, or switched off.
SELECT max(erasure_id) AS before FROM facematch.erasure \gset
SET track_counts = off;
DELETE FROM facematch.reference WHERE ctid IN (SELECT ctid FROM facematch.reference ORDER BY subject_id LIMIT 2);
RESET track_counts;
CALL facematch.purge();
SELECT whole() > 0 AS whole;
SET facematch.sweep_interval = 0;
CALL facematch.purge();
RESET facematch.sweep_interval;
SELECT whole();
SELECT * FROM erased_since(:before);
SELECT max(erasure_id) AS before FROM facematch.erasure \gset
DELETE FROM facematch.reference WHERE ctid IN (SELECT ctid FROM facematch.reference ORDER BY subject_id LIMIT 2);
SELECT pg_stat_reset() IS NOT NULL AS reset;
CALL facematch.purge();
SELECT whole();
SELECT * FROM erased_since(:before);

-- A table of a user's, with partitions.
CREATE TABLE halves (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding) PARTITION BY LIST (id);
CREATE TABLE halves_1 PARTITION OF halves FOR VALUES IN (1);
CREATE TABLE halves_2 PARTITION OF halves FOR VALUES IN (2);
SELECT facematch.retain('halves', 'encounter');
INSERT INTO halves SELECT 1 + i % 2, 'us_citizen', now(), NULL, '[1,0,0]' FROM generate_series(1, 50) i;
CALL facematch.purge();
SELECT max(erasure_id) AS before FROM facematch.erasure \gset
DELETE FROM halves_2;
CALL facematch.purge();
SELECT * FROM erased_since(:before);
SELECT relation, dead_tuples, stray_bytes FROM facematch.verify_pages('halves') WHERE part = 'table';
SELECT facematch.release('halves');
DROP TABLE halves;

-- A table that something keeps from being erased for days is named.
SELECT count(*) FROM facematch.check_policies() WHERE finding ~ 'erased whole';
UPDATE facematch.erasure_mark SET erased_at = erased_at - interval '3 days' WHERE relation = 'facematch.reference'::regclass;
SELECT severity, object, regexp_replace(finding, 'whole .* ago', 'whole … ago') AS finding FROM facematch.check_policies() WHERE finding ~ 'erased whole';
CALL facematch.purge();
SELECT count(*) FROM facematch.check_policies() WHERE finding ~ 'erased whole';

-- A receipt that stays open is named: something keeps the purge from erasing.
SET facematch.purge_erases = off;
UPDATE facematch.reference SET purge_after = now();
CALL facematch.purge();
RESET facematch.purge_erases;
SELECT count(*) FROM facematch.check_policies() WHERE finding ~ 'not erased';
SET session_replication_role = replica;
ALTER TABLE facematch.purge_receipt DISABLE TRIGGER ALL;
UPDATE facematch.purge_receipt SET purged_at = purged_at - interval '2 hours';
SET session_replication_role = origin;
ALTER TABLE facematch.purge_receipt ENABLE ALWAYS TRIGGER purge_receipt_10_is_a_record, ENABLE ALWAYS TRIGGER purge_receipt_20_is_a_record, ENABLE TRIGGER purge_receipt_30_log;
SELECT severity, object, regexp_replace(finding, 'for .*', 'for …') AS finding FROM facematch.check_policies() WHERE finding ~ 'not erased';
CALL facematch.purge();
SELECT count(*) FROM facematch.check_policies() WHERE finding ~ 'not erased';
SELECT whole();
