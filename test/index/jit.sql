-- Expressions that JIT compiles, with the extension's functions inlined from its bitcode, answer as they do without.
SELECT pg_jit_available() AS jit \gset
CREATE FUNCTION face(seed int, dims int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg(sin(seed * 12.9898 + d * 78.233)::real ORDER BY d)::face_embedding FROM generate_series(1, dims) d $$;
CREATE TABLE t AS SELECT i, face(i, 512) AS a, face(i / 3, 512) AS b, face_with_model(face(i, 3), 7) AS c FROM generate_series(1, 300) i;
CREATE VIEW answers AS
SELECT i, a <=> b AS cosine, a <-> b AS euclidean, a <#> b AS inner_product, face_similarity(a, b) AS similarity,
	face_match(a, b, 0.1) AS matches, face_dims(c) AS dims, face_model(c) AS model, face_norm(a) AS norm,
	a = b AS equal, a < b AS less, face_with_model(a, 3)::text AS stamped, a::real[] AS components, c::text::face_embedding = c AS same,
	b::text AS written
FROM t;
SET jit = off;
CREATE TABLE interpreted AS SELECT * FROM answers;
CREATE TABLE averaged AS SELECT i % 7 AS g, avg(a)::text AS mean FROM t GROUP BY 1;
SET jit = on;
SET jit_above_cost = 0;
SET jit_inline_above_cost = 0;
SET jit_optimize_above_cost = 0;
CREATE TABLE compiled AS SELECT * FROM answers;
SELECT count(*), count(*) FILTER (WHERE matches) BETWEEN 1 AND 299 AS some_match FROM compiled;
SELECT i FROM interpreted FULL JOIN compiled USING (i) WHERE interpreted IS DISTINCT FROM compiled;
SELECT g FROM averaged FULL JOIN (SELECT i % 7 AS g, avg(a)::text AS mean FROM t GROUP BY 1) c USING (g) WHERE averaged.mean IS DISTINCT FROM c.mean;
SELECT count(*) FROM t WHERE a <=> '[1,2]' < 1;
SELECT count(*) FROM t WHERE a <=> c < 1;

-- Where there is JIT, it did inline, and the module brought bitcode to inline from.
CREATE FUNCTION inlined(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
	RETURN (plan -> 0 -> 'JIT' -> 'Options' ->> 'Inlining')::boolean;
END $$;
SELECT NOT :'jit'::boolean OR inlined('SELECT sum(a <=> b) FROM t') AS inlined;
SELECT NOT :'jit'::boolean OR (pg_stat_file(setting || '/bitcode/facematch.index.bc')).size > 1000 AS bitcode FROM pg_config WHERE name = 'PKGLIBDIR';

-- What the extension runs itself is not compiled: the library that compiles does not come into a new session for it.
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 7, 512);
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('G', 'flight', 'm', 0.5);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, facematch.subject_id('UTO', 'P', 'J' || i), 'us_citizen', face_with_model(a, 7), 'passport' FROM facematch.gallery g, t WHERE i <= 3;
SELECT a AS probe FROM t WHERE i = 1 \gset
\c -
CREATE FUNCTION pg_temp.compiler_is_loaded() RETURNS boolean LANGUAGE sql AS $$ SELECT pg_read_file('/proc/self/maps') LIKE '%llvmjit%' $$;
-- Nothing that reads a page is cheap, so only what these statements run would be compiled, and not they themselves.
SET seq_page_cost = 1e6;
SET random_page_cost = 1e6;
SET jit_above_cost = 1e5;
SET jit = on;
SELECT count(*) FROM facematch.identify(face_with_model(:'probe', 7), 'G');
SELECT count(*) FROM facematch.identify_many(ARRAY[face_with_model(:'probe', 7)], 'G');
SHOW jit;
SELECT pg_temp.compiler_is_loaded();
SELECT count(*) FROM facematch.reference;
SELECT NOT :'jit'::boolean OR pg_temp.compiler_is_loaded();
