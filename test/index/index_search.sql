-- Searches through the index: plans, keys, nulls, thresholds, orderings, models, rescans.
SET jit = off;
SET plan_cache_mode = force_generic_plan;
CREATE FUNCTION face(seed int, dims int DEFAULT 8) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS
	$$SELECT array_agg(sin(seed * 12.9898 + i * 78.233 + seed * i))::real[]::face_embedding FROM generate_series(1, dims) i$$;
CREATE TABLE t (id int, g int, label text, e face_embedding);
INSERT INTO t SELECT i, CASE WHEN i % 50 > 0 THEN i % 10 END, 'k' || i % 3, CASE WHEN i % 40 > 0 THEN face(i) END FROM generate_series(1, 2000) i;
CREATE INDEX t_g ON t USING facematch (g, e);
CREATE INDEX t_label ON t (label);
ANALYZE t;
CREATE TABLE probe AS SELECT 77 AS n, face(77) AS e;

-- What the index and a sequential scan make of the rest of a query.
CREATE FUNCTION both_ways(rest text, ordered bool DEFAULT true) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	query text := format('SELECT array_agg(s %s) FROM (SELECT id, e <=> face(77) AS d FROM t %s) s', CASE WHEN ordered THEN '' ELSE 'ORDER BY id' END, rest);
	by_index text;
	by_scan text;
	rows bigint;
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true), set_config('enable_indexscan', 'on', true), set_config('enable_bitmapscan', 'on', true);
	EXECUTE query INTO by_index;
	PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true), set_config('enable_indexscan', 'off', true), set_config('enable_bitmapscan', 'off', true);
	EXECUTE query INTO by_scan;
	EXECUTE 'SELECT count(*) FROM (SELECT id FROM t ' || rest || ') s' INTO rows;
	RETURN CASE WHEN by_index IS NOT DISTINCT FROM by_scan THEN 'same' ELSE 'different' END || ', ' || rows || ' rows';
END
$$;

-- plans
SET enable_seqscan = off;
PREPARE q(face_embedding) AS SELECT id FROM t WHERE g = 3 ORDER BY t.e <=> $1 LIMIT 5;
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
PREPARE q(face_embedding) AS SELECT id FROM t WHERE face_match(e, $1, 0.9) AND g = ANY ('{1,2}');
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
PREPARE q(face_embedding) AS SELECT id FROM t WHERE face_match(e, $1, 0.9) AND g = 4 ORDER BY e <-> $1 LIMIT 5;
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
PREPARE q(face_embedding) AS SELECT id FROM t WHERE (face_match(e, $1, 0.99) AND g = 4) OR label = 'none';
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
EXPLAIN (COSTS OFF) SELECT p.n, s.id FROM unnest(ARRAY[face(1), face(2)]) WITH ORDINALITY p (e, n),
	LATERAL (SELECT id FROM t WHERE g = p.n::int % 10 ORDER BY t.e <#> p.e LIMIT 2) s;
RESET enable_seqscan;

-- what cannot be: an order by another function, a descending one
SET enable_seqscan = off;
PREPARE q(face_embedding) AS SELECT id FROM t WHERE g = 3 ORDER BY e <=> $1 DESC LIMIT 5;
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
PREPARE q(face_embedding) AS SELECT id FROM t WHERE g = 3 AND face_match($1, e, 0.9);
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
RESET enable_seqscan;

-- answers
SELECT rest, both_ways(rest) FROM (VALUES
	('ORDER BY e <=> face(77), id'), ('ORDER BY e <=> face(77), id LIMIT 10'), ('ORDER BY e <-> face(77), id LIMIT 10'), ('ORDER BY e <#> face(77), id LIMIT 10'),
	('WHERE g = 3 ORDER BY e <=> face(77), id LIMIT 10'), ('WHERE g = 3 ORDER BY e <=> face(77), id'), ('WHERE g IS NULL ORDER BY e <=> face(77), id'),
	('WHERE g = ANY (''{1,2,2,NULL,77}'') ORDER BY e <=> face(77), id'), ('WHERE g = ANY (''{}'') ORDER BY e <=> face(77), id'),
	('WHERE g = NULL ORDER BY e <=> face(77), id'), ('WHERE g = 3 AND g = 4 ORDER BY e <=> face(77), id'), ('WHERE g = 3 AND g = ANY (''{3,4}'') ORDER BY e <=> face(77), id'),
	('WHERE g = 3::bigint ORDER BY e <=> face(77), id'), ('WHERE g = 3::smallint ORDER BY e <=> face(77), id'), ('WHERE g = 3000000000 ORDER BY e <=> face(77), id'),
	('WHERE g = ANY (''{3,3000000000}''::bigint[]) ORDER BY e <=> face(77), id'), ('WHERE g > 3 ORDER BY e <=> face(77), id LIMIT 10'),
	('WHERE face_match(e, face(77), 0.5) ORDER BY e <=> face(77), id'), ('WHERE face_match(e, face(77), 1) ORDER BY e <=> face(77), id'),
	('WHERE face_match(e, face(77), -1) ORDER BY e <=> face(77), id'), ('WHERE g = 7 AND face_match(e, face(77), 0.5) ORDER BY e <-> face(77), id'),
	('WHERE face_match(e, face(77), 0.3) AND face_match(e, face(5), 0.3) ORDER BY e <#> face(77), id'),
	('WHERE label = ''k1'' AND g = 3 ORDER BY e <=> face(77), id LIMIT 10'),
	('ORDER BY e <=> face(77), e <-> face(5), id LIMIT 10'), ('ORDER BY e <=> face(77), id OFFSET 1990')) v(rest);
SELECT rest, both_ways(rest, false) FROM (VALUES
	('WHERE face_match(e, face(77), 0.5)'), ('WHERE g = 7 AND face_match(e, face(77), 0.2)'), ('WHERE (face_match(e, face(77), 0.8) AND g = 7) OR label = ''k2'''),
	('WHERE face_match(e, face(77), 0.8) OR face_match(e, face(78), 0.8)'), ('WHERE g = 5'), ('WHERE g = 5 AND e =~ face_probe(face(77), 0.1)')) v(rest);

-- a null probe: no order, all rows; with a threshold too
PREPARE nearest(face_embedding, int) AS SELECT count(*), count(id) FILTER (WHERE d IS NULL) AS without_distance
	FROM (SELECT id, e <=> $1 AS d FROM t WHERE g = $2 ORDER BY e <=> $1) s;
PREPARE matching(face_embedding, face_embedding) AS SELECT count(*) FROM (SELECT id FROM t WHERE face_match(e, $2, 0.5) ORDER BY e <=> $1) s;
SET enable_seqscan = off; SET enable_sort = off;
EXPLAIN (COSTS OFF) EXECUTE nearest(NULL, 1);
EXECUTE nearest(NULL, 1); EXECUTE nearest(face(77), 1); EXECUTE nearest(face(77), NULL); EXECUTE nearest(NULL, NULL);
EXECUTE matching(NULL, face(77)); EXECUTE matching(face(77), face(77)); EXECUTE matching(face(77), NULL);

-- null embeddings come last
SELECT array_agg(d IS NULL) FROM (SELECT e <=> face(77) AS d FROM t WHERE g = 0 OR g IS NULL ORDER BY 1 DESC NULLS FIRST LIMIT 3) s;
SELECT count(*), count(d), bool_and((d IS NULL) = (n > 320)) AS nulls_last FROM (SELECT e <=> face(77) AS d, row_number() OVER () AS n FROM (SELECT e FROM t WHERE g = ANY ('{0,1}') ORDER BY e <=> face(77)) s) s;

-- rescans: a lateral join, a nested loop over galleries, a cursor back and forth
SELECT p.i, s.id FROM generate_series(70, 73) p(i), LATERAL (SELECT id FROM t WHERE g = p.i % 10 ORDER BY t.e <=> face(p.i) LIMIT 1) s;
SELECT g.i, (SELECT count(*) FROM t WHERE t.g = g.i AND face_match(t.e, face(77), 0.5)) AS matches,
	(SELECT count(*) FROM t WHERE t.g + 0 = g.i AND face_similarity(t.e, face(77)) + 0.0 * t.g >= 0.5) AS truly FROM generate_series(0, 3) g(i);
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM t WHERE g = 7 ORDER BY e <=> face(77);
FETCH 3 FROM c; FETCH BACKWARD 2 FROM c; FETCH 3 FROM c; MOVE ABSOLUTE 190 IN c; FETCH ALL FROM c; FETCH FIRST FROM c;
DECLARE d NO SCROLL CURSOR FOR SELECT id FROM t WHERE g = 7 ORDER BY e <=> face(77);
FETCH 1 FROM d;
-- a cursor sees what its snapshot sees, whatever comes after
DELETE FROM t WHERE id = 77;
INSERT INTO t VALUES (-1, 7, 'new', face(77));
FETCH 2 FROM d;
FETCH BACKWARD 1 FROM d;
ROLLBACK;
SELECT id FROM t WHERE g = 7 ORDER BY e <=> face(77) LIMIT 1 FOR UPDATE;
RESET enable_sort;

-- templates that cannot be compared: the sequential scan's error, and only for rows that the query keeps
CREATE TABLE mixed (id int, e face_embedding);
INSERT INTO mixed SELECT i, face_with_model(face(i), 7) FROM generate_series(1, 100) i;
INSERT INTO mixed SELECT i, face_with_model(face(i), 8) FROM generate_series(101, 110) i;
INSERT INTO mixed SELECT i, face(i, 9) FROM generate_series(111, 120) i;
CREATE INDEX ON mixed USING facematch (e);
SELECT id FROM mixed ORDER BY e <=> face_with_model(face(3), 7) LIMIT 1;
SELECT id FROM mixed WHERE face_match(e, face_with_model(face(3), 7), 0.9);
SELECT id FROM mixed ORDER BY e <=> face(3, 5) LIMIT 1;
PREPARE q(face_embedding) AS SELECT id FROM mixed WHERE face_model(e) = 7 ORDER BY e <=> $1 LIMIT 1;
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
SELECT id FROM mixed WHERE face_model(e) = 7 ORDER BY e <=> (SELECT face_with_model(face(3), 7)) LIMIT 1;
SELECT id FROM mixed WHERE face_dims(e) = 9 ORDER BY e <-> (SELECT face(115, 9)) LIMIT 1;
DELETE FROM mixed WHERE id > 100;
SELECT id FROM mixed ORDER BY e <=> face_with_model(face(3), 7) LIMIT 1;
SELECT id FROM mixed ORDER BY e <=> face(3) LIMIT 1;
RESET enable_seqscan;

-- the most dimensions that a template can have
CREATE TABLE wide (e face_embedding);
INSERT INTO wide SELECT face(i, 3584) FROM generate_series(1, 40) i;
CREATE INDEX ON wide USING facematch (e);
INSERT INTO wide SELECT face(i, 3584) FROM generate_series(41, 50) i;
SET enable_seqscan = off;
SELECT round((e <=> face(5, 3584))::numeric, 6) AS d FROM wide ORDER BY e <=> face(5, 3584) LIMIT 1;
SELECT count(*) FROM wide WHERE face_match(e, face(45, 3584), 0.99);
SELECT facematch.index_check('wide_e_idx', true);
RESET enable_seqscan;

-- text keys: the collation decides what is equal
CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE named (k text COLLATE blind, c text COLLATE "C", e face_embedding);
CREATE INDEX ON named USING facematch (k, e);
CREATE INDEX ON named USING facematch (c, e);
INSERT INTO named SELECT CASE i % 3 WHEN 0 THEN 'Gate' WHEN 1 THEN 'gATE' ELSE 'other' END, CASE i % 2 WHEN 0 THEN 'Gate' ELSE 'gATE' END, face(i) FROM generate_series(1, 60) i;
SET enable_seqscan = off;
PREPARE q(face_embedding) AS SELECT k FROM named WHERE k = 'GATE' ORDER BY e <=> $1;
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
SELECT count(*) FROM (SELECT FROM named WHERE k = 'GATE' ORDER BY e <=> face(77)) s;
SELECT count(*) FROM (SELECT FROM named WHERE c = 'Gate' ORDER BY e <=> face(77)) s;
RESET enable_seqscan;

-- row security: a policy is applied to what the index finds
CREATE ROLE face_reader;
GRANT SELECT ON t TO face_reader;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY odd ON t TO face_reader USING (id % 2 = 1);
SET ROLE face_reader;
SET enable_seqscan = off;
SELECT bool_and(id % 2 = 1), count(*) FROM (SELECT id FROM t WHERE g = 7 ORDER BY e <=> face(77) LIMIT 20) s;
RESET enable_seqscan;
RESET ROLE;
DROP OWNED BY face_reader;
DROP ROLE face_reader;
ALTER TABLE t DISABLE ROW LEVEL SECURITY;

-- facematch.miss_probability
SHOW facematch.miss_probability;
SET facematch.miss_probability = 0;
SELECT both_ways('ORDER BY e <=> face(77), id');
SET facematch.miss_probability = 2;
SET facematch.miss_probability = -1;
RESET facematch.miss_probability;

-- the planner takes the index where it helps: a few of many, not everything in order
CREATE TABLE many (g int, e face_embedding);
INSERT INTO many SELECT i % 100, face(i, 64) FROM generate_series(1, 20000) i;
CREATE INDEX ON many USING facematch (g, e);
VACUUM ANALYZE many;
PREPARE q(face_embedding) AS SELECT * FROM many ORDER BY e <=> $1 LIMIT 10;
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
PREPARE q(face_embedding) AS SELECT * FROM many WHERE g = 5 ORDER BY e <=> $1 LIMIT 10;
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
PREPARE q(face_embedding) AS SELECT * FROM many WHERE g = 5 AND face_match(e, $1, 0.6);
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
PREPARE q(face_embedding) AS SELECT * FROM many ORDER BY e <=> $1;
EXPLAIN (COSTS OFF) EXECUTE q(NULL);
DEALLOCATE q;
EXPLAIN (COSTS OFF) SELECT count(*) FROM many WHERE g = 5;
EXPLAIN (COSTS OFF) SELECT count(*) FROM many;
