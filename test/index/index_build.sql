-- Building the index by each of its ways: alone, with workers, in little memory, concurrently.  All must answer as a sequential scan does.
SELECT n, pg_indexam_progress_phasename((SELECT oid FROM pg_am WHERE amname = 'facematch'), n) FROM generate_series(0, 6) n;

-- Galleries of 600 and a few small ones, null embeddings and null galleries.  The table has more blocks than the sample of
-- the build; 20 rows are each the only one of their model, so that some kinds are met first by who encodes them.
CREATE TABLE face AS
SELECT id, CASE WHEN id % 400 = 0 THEN 1000 + model WHEN id % 11 > 0 THEN id % 12 END AS gallery_id, repeat('x', 600) AS filler,
	CASE WHEN id % 97 > 0 THEN face_with_model((SELECT array_agg(sin(id * 12.9898 + k * 78.233 + id * k * 0.37) + 0.3 ORDER BY k) FROM generate_series(1, 96) k)::face_embedding, model) END AS embedding
FROM (SELECT id, CASE WHEN id % 400 = 0 THEN 2 + id / 400 ELSE 1 END AS model FROM generate_series(1, 8000) id) s;
ALTER TABLE face ALTER filler SET STORAGE PLAIN;
VACUUM ANALYZE face;
SELECT relpages > 600 AS "more than the sample" FROM pg_class WHERE oid = 'face'::regclass;
CREATE VIEW probe AS SELECT id, gallery_id, embedding FROM face WHERE (id % 133 = 1 OR id % 400 = 0) AND embedding IS NOT NULL;

-- The five nearest of the probe's gallery and all of that gallery above a threshold, for every probe: by index or not.
CREATE FUNCTION answers(use_index boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	used int := 0;
	query text := $q$SELECT md5(string_agg(p.id || ':' || n.found || ':' || m.found, ',' ORDER BY p.id)) || ' of ' || count(*) FROM probe p,
		LATERAL (SELECT string_agg(id::text, ' ' ORDER BY d, id) AS found FROM (SELECT f.id, f.embedding <=> p.embedding AS d FROM face f
			WHERE f.gallery_id = p.gallery_id ORDER BY f.embedding <=> p.embedding LIMIT 5) x) n,
		LATERAL (SELECT string_agg(f.id::text, ' ' ORDER BY f.id) AS found FROM face f
			WHERE f.gallery_id = p.gallery_id AND face_match(f.embedding, p.embedding, 0.6)) m$q$;
BEGIN
	PERFORM set_config('enable_seqscan', (NOT use_index)::text, true), set_config('enable_indexscan', use_index::text, true), set_config('enable_bitmapscan', 'off', true);
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
		used := used + (line LIKE '%Index Scan using %')::int;
	END LOOP;
	IF used <> 2 * use_index::int THEN
		RAISE EXCEPTION 'not the plan to test: % index scans', used;
	END IF;
	EXECUTE query INTO line;
	RETURN line;
END $$;
CREATE TABLE expected AS SELECT answers(false) AS a;

SET max_parallel_maintenance_workers = 0;
CREATE INDEX face_index ON face USING facematch (gallery_id, embedding);
SELECT answers(true) = a AS "one process" FROM expected;
SELECT reltuples FROM pg_class WHERE oid = 'face_index'::regclass;
SELECT pg_relation_size('face_index') AS size \gset

-- Too little memory for the codes: the sort goes to disk.
SET maintenance_work_mem = '1MB';
REINDEX INDEX face_index;
SELECT answers(true) = a AS "in 1 MB" FROM expected;

-- Workers are asked for whatever the size of the table.
ALTER TABLE face SET (parallel_workers = 2);
SET max_parallel_maintenance_workers = 2;
REINDEX INDEX face_index;
SELECT answers(true) = a AS "three processes in 1 MB" FROM expected;
SELECT reltuples FROM pg_class WHERE oid = 'face_index'::regclass;
SELECT pg_relation_size('face_index') = :size AS "the same size";
RESET maintenance_work_mem;
DROP INDEX face_index;
CREATE INDEX CONCURRENTLY face_index ON face USING facematch (gallery_id, embedding);
SELECT answers(true) = a AS "concurrently" FROM expected;
REINDEX INDEX CONCURRENTLY face_index;
SELECT answers(true) = a AS "again" FROM expected;

-- Rows changed in the same transaction.
BEGIN;
UPDATE face SET embedding = (SELECT embedding FROM face WHERE id = 134) WHERE id IN (146, 158);
DELETE FROM face WHERE id = 267;
DROP INDEX face_index;
CREATE INDEX face_index ON face USING facematch (gallery_id, embedding);
SELECT answers(true) <> a AS "as changed", answers(true) = answers(false) AS "and right" FROM expected;
ROLLBACK;
SELECT answers(true) = a AS "as it was" FROM expected;

-- An update of a row within its page, which older snapshots must not follow through the new index.
BEGIN;
CREATE TABLE chain WITH (parallel_workers = 2) AS SELECT 1 AS gallery_id, '[1,2]'::face_embedding AS embedding;
UPDATE chain SET embedding = '[2,1]';
CREATE INDEX chain_index ON chain USING facematch (gallery_id, embedding);
SELECT indcheckxmin FROM pg_index WHERE indexrelid = 'chain_index'::regclass;
COMMIT;

-- Partial, over an expression, unlogged and temporary.
CREATE INDEX face_partial ON face USING facematch ((gallery_id + 0), embedding) WHERE id % 2 = 0;
SELECT reltuples FROM pg_class WHERE oid = 'face_partial'::regclass;
DROP INDEX face_partial, face_index;
ALTER TABLE face SET UNLOGGED;
CREATE INDEX face_index ON face USING facematch (gallery_id, embedding);
SELECT answers(true) = a AS "unlogged" FROM expected;
CREATE TEMPORARY TABLE passing AS SELECT * FROM face;
ALTER TABLE passing SET (parallel_workers = 2);
CREATE INDEX ON passing USING facematch (gallery_id, embedding);
CREATE TABLE nobody (embedding face_embedding);
ALTER TABLE nobody SET (parallel_workers = 2);
CREATE INDEX ON nobody USING facematch (embedding);
SET enable_seqscan = off;
SELECT * FROM nobody ORDER BY embedding <=> '[1,2]';
