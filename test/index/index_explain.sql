-- EXPLAIN (ANALYZE) shows what a scan of the index did, from PostgreSQL 18 on; before that facematch.last_scan() does.
SELECT current_setting('server_version_num')::int >= 180000 AS shows \gset
\if :shows
CREATE FUNCTION face(seed int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg(sin(seed * 12.9898 + d * 78.233)::real ORDER BY d)::face_embedding FROM generate_series(1, 64) d $$;
CREATE TABLE t (id int, g int, e face_embedding(64));
INSERT INTO t SELECT i, i % 5, face(i) FROM generate_series(1, 1000) i;
CREATE INDEX ON t USING facematch (g, e);
ANALYZE t;
SET enable_seqscan = off;

-- The statistics of the first node that has some, and the name of that node.
CREATE FUNCTION shown(query text) RETURNS TABLE (node text, lists int, sketches int, refined_some boolean, measured int, as_last_scan boolean)
	LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
	f jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
	SELECT n, n -> 'Facematch' INTO plan, f FROM jsonb_path_query(plan, 'strict $.** ? (exists (@.Facematch))') n;
	RETURN QUERY SELECT plan ->> 'Node Type', (f ->> 'Lists')::int, (f ->> 'Sketches')::int, (f ->> 'Refined')::int > 0, (f ->> 'Measured')::int,
		(SELECT row(s.lists, s.pages, s.sketches, s.refined, s.measured)::text = row((f ->> 'Lists')::bigint, (f ->> 'Pages')::bigint, (f ->> 'Sketches')::bigint,
																			  (f ->> 'Refined')::bigint, (f ->> 'Measured')::bigint)::text FROM facematch.last_scan() s);
END $$;

-- One gallery of five, two of five, all; a threshold that nothing passes; a bitmap scan; every rescan of a nested loop.
SELECT node, lists, sketches, refined_some, measured > 0 AS measured, as_last_scan FROM shown('SELECT id FROM t WHERE g = 1 ORDER BY e <=> face(1) LIMIT 1');
SELECT node, lists, sketches, refined_some, measured > 0 AS measured FROM shown('SELECT id FROM t WHERE g IN (1, 2) ORDER BY e <=> face(1) LIMIT 1');
SELECT node, lists, sketches, refined_some, measured > 0 AS measured FROM shown('SELECT id FROM t ORDER BY e <=> face(1) LIMIT 1');
SELECT node, lists, sketches FROM shown('SELECT id FROM t WHERE g = 1 AND face_match(e, face(3000), 0.9999) ORDER BY e <=> face(3000)');
SELECT node, lists, sketches FROM shown('SELECT id FROM t WHERE g = 9 ORDER BY e <=> face(1) LIMIT 1');
SET enable_indexscan = off;
SELECT node, lists, sketches FROM shown('SELECT id FROM t WHERE g = 3 AND face_match(e, face(3), 0.9999)');
RESET enable_indexscan;
SELECT node, lists, sketches FROM shown('SELECT s.id FROM generate_series(0, 4) n, LATERAL (SELECT id FROM t WHERE g = n ORDER BY e <=> face(1) LIMIT 1) s');
-- A scan that has not run has nothing to show, nor has another index.
SELECT count(*) AS without_analyze FROM (SELECT 1) one, LATERAL (SELECT shown('SELECT id FROM t WHERE false ORDER BY e <=> face(1) LIMIT 1')) s WHERE (s.shown).node IS NOT NULL;
CREATE INDEX ON t (id);
SELECT count(node) AS of_a_btree FROM shown('SELECT id FROM t WHERE id = 1');

-- The text form, without what depends on the machine.
CREATE FUNCTION text_form(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
		RETURN NEXT regexp_replace(line, '(pages|planes|refined|measured)=\d+', '\1=N', 'g');
	END LOOP;
END $$;
SELECT line ~ '^ +Facematch: lists=1 pages=N sketches=200 planes=N refined=N measured=N$' AS as_written
FROM text_form($$SELECT id FROM t WHERE g = 1 ORDER BY e <=> face(1) LIMIT 1$$) line WHERE line ~ 'Facematch';
\else
SELECT 'not before 18' AS explain;
\endif
