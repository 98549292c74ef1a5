-- Comparisons of templates, threshold matching, the order of values, and what the planner knows.
SET extra_float_digits = 0;

SELECT '[3,4]'::face_embedding <=> '[4,3]' AS cosine, '[3,4]'::face_embedding <-> '[0,8]' AS euclidean, '[3,4]'::face_embedding <#> '[4,3]' AS inner_product;
SELECT '[1,0]'::face_embedding <=> '[0,1]', '[1,0]'::face_embedding <=> '[-1,0]', '[1,0]'::face_embedding <#> '[0,1]', '[1,0]'::face_embedding <-> '[1,0]';
SELECT '7:[3,4]'::face_embedding <=> '[4,3]' AS "untagged with any", '[3,4]'::face_embedding <=> '7:[4,3]', NULL <=> '[1]'::face_embedding AS "null";
SELECT '[65504,65504]'::face_embedding <-> '[-65504,-65504]' AS "the largest", '[6e-8]'::face_embedding <=> '[6e-8]' AS "the smallest";

-- Random templates of fixed seed, some of them scaled, equal or opposite.
CREATE TABLE face AS
SELECT i AS id, (SELECT array_agg(sin(i * 12.9898 + k * 78.233 + i * k * 0.37) * CASE WHEN i % 7 = 0 THEN 100 ELSE 0.1 END ORDER BY k) FROM generate_series(1, 37) k)::face_embedding(37,7) AS e
FROM generate_series(1, 60) i;

-- The operators against sums in SQL, over the stored components.
CREATE VIEW pair AS
SELECT a.id AS a_id, b.id AS b_id, a.e AS a, b.e AS b, s.* FROM face a, face b,
LATERAL (SELECT sum(x * y) AS dot, sqrt(sum(x * x)) AS norm_a, sqrt(sum(y * y)) AS norm_b, sqrt(sum((x - y) * (x - y))) AS distance
	FROM unnest(a.e::float8[], b.e::float8[]) u(x, y)) s;
SELECT count(*) AS pairs,
	count(*) FILTER (WHERE abs((a <=> b) - (1 - dot / (norm_a * norm_b))) > 1e-6) AS wrong_cosine,
	count(*) FILTER (WHERE abs((a <-> b) - distance) > 1e-6 * (1 + distance)) AS wrong_euclidean,
	count(*) FILTER (WHERE abs((a <#> b) + dot) > 1e-6 * (1 + norm_a * norm_b)) AS wrong_inner_product,
	count(*) FILTER (WHERE abs(face_norm(a) - norm_a) > 1e-6 * norm_a) AS wrong_norm
FROM pair;
-- Exact relations, not approximate ones.
SELECT count(*) FILTER (WHERE (a <=> b) <> (b <=> a) OR (a <-> b) <> (b <-> a) OR (a <#> b) <> (b <#> a)) AS asymmetric,
	count(*) FILTER (WHERE (a <=> b) <> 1 - face_similarity(a, b)) AS unlike_similarity,
	count(*) FILTER (WHERE (a <=> b) NOT BETWEEN 0 AND 2) AS out_of_range,
	count(*) FILTER (WHERE a_id = b_id AND ((a <=> b) <> 0 OR (a <-> b) <> 0 OR face_similarity(a, b) <> 1)) AS unlike_itself,
	count(*) FILTER (WHERE NOT face_match(a, b, face_similarity(a, b))) AS below_its_own_similarity,
	count(*) FILTER (WHERE face_match(a, b, least(1, face_similarity(a, b) + 1e-15)) <> (face_similarity(a, b) >= least(1, face_similarity(a, b) + 1e-15))) AS not_by_similarity,
	count(*) FILTER (WHERE face_match(a, b, 0.1) <> (a =~ face_probe(b, 0.1))) AS two_answers
FROM pair;

SELECT face_match('[1,0]', '[1,1]', 0.7), face_match('[1,0]', '[1,1]', 0.71), face_match('[1,0]', '[-1,0]', -1), face_match(NULL, '[1]', 0.5), face_match('[1]', '[1]', NULL);
SELECT '[1,0]'::face_embedding =~ '0.7@[1,1]', '[1,0]'::face_embedding =~ '0.71@[1,1]', '7:[1,0]'::face_embedding =~ '0.7@7:[1,1]';

-- Values: by model, then dimensions, then components.
SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, face_embedding_cmp(a, b) AS cmp
FROM (VALUES ('[1,2]'::face_embedding, '[1,2]'::face_embedding), ('[1,2]', '[1,3]'), ('[-1,2]', '[1,2]'), ('[-1,2]', '[-2,2]'), ('[0,1]', '[-0,1]'),
	('[9]', '[1,1]'), ('7:[1]', '8:[0.5]'), ('[1]', '1:[1]'), ('[1e-7,1]', '[0,1]'), ('[-1e-7,1]', '[0,1]')) v(a, b);
SELECT e FROM (VALUES ('8:[1]'::face_embedding), ('[2,1]'), ('[-2,1]'), ('[-3,5]'), ('[7]'), ('[2,1]'), (NULL), ('8:[1]')) v(e) ORDER BY e DESC;
SELECT e, count(*) FROM (VALUES ('8:[1]'::face_embedding), ('[1]'), ('[1.0001]'), ('8:[1]'), (NULL)) v(e) GROUP BY e ORDER BY e;
SELECT count(DISTINCT face_embedding_hash(e)) > 55 AS spread, count(DISTINCT face_embedding_hash_extended(e, 1)) > 55 AS extended,
	bool_and(face_embedding_hash_extended(e, 1) <> face_embedding_hash_extended(e, 2)) AS seeded FROM face;
SELECT face_embedding_hash('7:[1,2]') = face_embedding_hash('[1,2]'::face_embedding(2,7)) AS "equal values, equal hashes",
	face_embedding_hash('7:[1,2]') <> face_embedding_hash('8:[1,2]') AS "other model, other hash";
SELECT amname, opcname, amvalidate(o.oid) FROM pg_opclass o JOIN pg_am a ON a.oid = opcmethod, LATERAL (SELECT amvalidate(o.oid)) v
WHERE opcintype = 'face_embedding'::regtype AND amname IN ('btree', 'hash') ORDER BY 1;

-- btree and hash indexes, hash and merge joins.
INSERT INTO face SELECT id + 1000, e FROM face;
CREATE INDEX face_btree ON face (e);
CREATE INDEX face_hash ON face USING hash (e);
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT id FROM face WHERE e > '7:[5]' ORDER BY e;
SELECT count(*) FROM face WHERE e = (SELECT e FROM face WHERE id = 12);
SET enable_sort = on; SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_nestloop = off;
SET enable_mergejoin = off;
SELECT count(*) FROM face a JOIN face b USING (e);
SET enable_mergejoin = on; SET enable_hashjoin = off;
SELECT count(*) FROM face a JOIN face b USING (e);
RESET ALL;
CREATE TABLE by_template (e face_embedding(37,7)) PARTITION BY HASH (e);
CREATE TABLE by_template_0 PARTITION OF by_template FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_template_1 PARTITION OF by_template FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO by_template SELECT e FROM face;
SELECT count(DISTINCT tableoid) FROM by_template;

-- The mean.
SELECT avg(e), avg(e) FILTER (WHERE false) AS "of none" FROM (VALUES ('7:[1,2]'::face_embedding), ('7:[2,4]'), (NULL), ('[6,0]')) v(e);
SELECT avg(NULL::face_embedding);
SELECT g, avg(e) FROM (VALUES (1, '7:[1,2]'::face_embedding), (1, '7:[2,4]'), (2, '8:[1]')) v(g, e) GROUP BY g ORDER BY g;
SELECT avg(e) OVER (ORDER BY i) FROM (VALUES (1, '[1,2]'::face_embedding), (2, '[2,4]'), (3, '[6,0]')) v(i, e);
SELECT max(abs(m - x)) < 1e-3 * max(abs(x)) AS "like the mean of components"
FROM unnest((SELECT avg(e) FROM face)::float8[], (SELECT array_agg(m ORDER BY k) FROM (SELECT k, avg(x) AS m FROM face, unnest(e::float8[]) WITH ORDINALITY u(x, k) GROUP BY k) c)) u(m, x);
-- with workers and without: the same bits
CREATE TABLE many AS SELECT e FROM face, generate_series(1, 100);
ALTER TABLE many SET (parallel_workers = 2);
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT avg(e) FROM many;
SELECT sum(e), face_mean(e), sum(e) FILTER (WHERE false) AS "of none" FROM (VALUES ('7:[1,2]'::face_embedding), (NULL), ('[6,0]')) v(e);
SELECT sum(e) FROM (VALUES ('[40000]'::face_embedding), ('[30000]')) v(e);
SELECT face_mean(e) = avg(e) AS "the same mean" FROM face;
SELECT (SELECT avg(e) FROM many) = (SELECT avg(e) FROM face) AS same;
RESET ALL;

-- What the planner expects: the higher the threshold, the fewer rows.
CREATE FUNCTION planned_rows(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	RETURN (plan->0->'Plan'->>'Plan Rows')::float8;
END $$;
ANALYZE many;
SELECT t, planned_rows(format('SELECT FROM many WHERE face_match(e, (SELECT e FROM face LIMIT 1), %s)', t)) AS by_function,
	planned_rows(format('SELECT FROM many WHERE e =~ ''%s@[1]''', t)) AS by_operator
FROM (VALUES (-1), (0), (0.1), (0.2), (0.3), (0.5), (1)) v(t);
SELECT planned_rows('SELECT FROM many WHERE face_match(e, e, face_norm(e))') AS unknown_threshold, planned_rows($$SELECT FROM many WHERE e = '7:[1]'$$) AS equal;
-- a comparison costs more than a cheap operator, and more the more dimensions it has
CREATE FUNCTION planned_cost(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	RETURN (plan->0->'Plan'->>'Total Cost')::float8;
END $$;
SELECT planned_cost($$SELECT FROM many WHERE face_match(e, '[1]', 0.5)$$) > planned_cost('SELECT FROM many') AS "costs something",
	planned_cost(format('SELECT FROM many WHERE face_match(e, %L, 0.5)', array_fill(1, ARRAY[3584])::face_embedding))
	> planned_cost($$SELECT FROM many WHERE face_match(e, '[1]', 0.5)$$) AS "more with dimensions";
-- marked as what they are
SELECT oid::regprocedure, proleakproof FROM pg_proc
WHERE proname IN ('face_match', 'face_similarity', 'face_embedding_cosine_distance', 'face_embedding_eq') ORDER BY 1;
-- a template as a vector
SELECT l2_normalize('7:[3,4]'), l2_normalize('[65504]'), l2_normalize('[6e-8]');
SELECT count(*) FILTER (WHERE abs(face_norm(l2_normalize(e)) - 1) > 1e-3) AS "not of length 1", count(*) FILTER (WHERE e <=> l2_normalize(e) > 1e-6) AS turned FROM face;
SELECT '7:[1,2]'::face_embedding || '[4,5]' AS joined, pg_typeof('7:[1,2]'::face_embedding || '[4,5]'), pg_typeof('[1]'::face_embedding::text || '[4,5]');
SELECT array_fill(1, ARRAY[2000])::face_embedding || array_fill(1, ARRAY[2001])::face_embedding;
SELECT ARRAY[1.0::real] || ARRAY[2.0::real] AS "arrays as ever", ARRAY['[1]'::face_embedding] || '[2]'::face_embedding AS "an array of templates";
