-- Indexes that CREATE INDEX or REINDEX CONCURRENTLY has not finished: nothing takes the entries of removed rows out of them.
CREATE TABLE unfinished (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding) PARTITION BY RANGE (id);
CREATE TABLE unfinished_1 PARTITION OF unfinished FOR VALUES FROM (0) TO (1000);
SELECT facematch.retain('unfinished', 'encounter');
INSERT INTO unfinished SELECT i, 'us_citizen', now(), NULL, ARRAY[i, sqrt(2), 1]::real[]::face_embedding FROM generate_series(1, 900) i;
-- A hash index gets its rows one by one; the build fails at the last.
CREATE FUNCTION until_the_last(id bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 1 / (900 - id) + id $$;
CREATE INDEX CONCURRENTLY unfinished_hash ON unfinished_1 USING hash (until_the_last(id));
CREATE INDEX unfinished_face ON unfinished_1 USING facematch (e);
CREATE INDEX unfinished_btree ON unfinished_1 (e);
UPDATE pg_index SET indisready = false, indisvalid = false WHERE indexrelid IN ('unfinished_face'::regclass, 'unfinished_btree'::regclass);
SELECT c.relname, x.indisready, x.indislive, pg_relation_size(c.oid) > 0 AS has_pages FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
WHERE c.relname IN ('unfinished_hash', 'unfinished_face', 'unfinished_btree') ORDER BY 1;
CREATE VIEW seen AS
SELECT v.relation, v.stray_bytes > 0 AS strays, v.clean, v.note FROM facematch.verify_erased('unfinished') v
WHERE v.part = 'index' AND v.relation::text LIKE 'unfinished\_%' AND v.relation::text NOT LIKE '%\_idx' ORDER BY v.relation::text;
SELECT * FROM seen;
UPDATE unfinished SET purge_after = now();
CALL facematch.purge();
SELECT * FROM seen;
SELECT rows_purged, erased IS NOT NULL AS erased, verified FROM facematch.report_erasure WHERE table_name = 'public.unfinished';
SELECT part, clean, note FROM facematch.verify_erased(receipt => (SELECT max(receipt_id) FROM facematch.purge_receipt)) WHERE part = 'receipt';
SELECT severity, object, finding, remedy FROM facematch.health_check() WHERE object LIKE 'public.unfinished%' ORDER BY 2;
-- Nothing is left to be done again.
SELECT relation, pages_cleared FROM facematch.erase('unfinished') WHERE relation::text LIKE 'unfinished\_%' AND relation::text NOT LIKE '%\_idx' ORDER BY relation::text;

-- Either way out of it.
INSERT INTO unfinished SELECT i, 'us_citizen', now(), NULL, ARRAY[i, sqrt(2), 1]::real[]::face_embedding FROM generate_series(1, 800) i;
DROP INDEX unfinished_hash, unfinished_btree;
REINDEX INDEX unfinished_face;
UPDATE unfinished SET purge_after = now() WHERE id % 2 = 0;
CALL facematch.purge();
SELECT count(*) AS problems FROM facematch_internal.index_problems('unfinished_face', true);
SELECT * FROM seen;
SELECT rows_purged, verified FROM facematch.report_erasure ORDER BY receipt_id DESC LIMIT 1;
SELECT severity, object, finding, remedy FROM facematch.health_check() WHERE object LIKE 'public.unfinished%' ORDER BY 2;

-- Of a TOAST table, as REINDEX TABLE CONCURRENTLY leaves it, and unlogged.
CREATE TABLE wide (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
ALTER TABLE wide ADD COLUMN note text;
SELECT facematch.retain('wide', 'encounter');
ALTER TABLE wide SET UNLOGGED;
INSERT INTO wide SELECT i, 'us_citizen', now(), NULL, array_fill(sqrt(i), '{1024}')::real[]::face_embedding FROM generate_series(1, 20) i;
UPDATE pg_index SET indisready = false, indisvalid = false WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'wide'::regclass);
SELECT count(*) FROM facematch_internal.abandoned_index WHERE table_name = 'wide'::regclass;
SELECT count(*), bool_and(severity = 'error') FROM facematch.health_check() WHERE finding ~ 'of public.wide did not finish';
SELECT v.clean, v.stray_bytes > 0 AS strays FROM facematch.verify_erased('wide') v WHERE v.part = 'index' AND v.relation::text ~ 'pg_toast_[0-9]+_index' AND v.relation IN (SELECT relation FROM facematch_internal.abandoned_index WHERE table_name = 'wide'::regclass);
UPDATE pg_index SET indisready = true, indisvalid = true WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'wide'::regclass);
DROP TABLE wide;
DROP VIEW seen;
DROP TABLE unfinished;
