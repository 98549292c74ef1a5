-- CREATE INDEX ... USING facematch: what it takes, what it refuses, and where it can be.
CREATE FUNCTION face(seed int, dims int DEFAULT 8) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS
	$$SELECT array_agg(sin(seed * 12.9898 + i * 78.233 + seed * i))::real[]::face_embedding FROM generate_series(1, dims) i$$;
-- Whether the k nearest by the index are those of a sequential scan.
CREATE FUNCTION same_answer(relation regclass, condition text DEFAULT 'true', k int DEFAULT 10) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	query text := format('SELECT array_agg(d) FROM (SELECT e <=> face(77) AS d FROM %s WHERE %s ORDER BY e <=> face(77) LIMIT %s) s', relation, condition, k);
	by_index float8[];
	by_scan float8[];
	plan text := '';
	line text;
BEGIN
	SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off;
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line;
	END LOOP;
	EXECUTE query INTO by_index;
	SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on; SET LOCAL enable_indexscan = off;
	EXECUTE query INTO by_scan;
	SET LOCAL enable_indexscan = on;
	RETURN CASE WHEN plan !~ 'Order By: \(e <=>' THEN 'the index is not used' WHEN by_index IS NOT DISTINCT FROM by_scan THEN 'same' ELSE 'different' END ||
		', ' || coalesce(cardinality(by_scan), 0) || ' rows';
END
$$;

SELECT amname, amtype FROM pg_am WHERE amname = 'facematch';
SELECT opcname, format_type(opcintype, NULL) AS type FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
WHERE amname = 'facematch' AND NOT amvalidate(c.oid);
SELECT count(*) > 20 AS classes FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'facematch' AND opcdefault;
SELECT p.prop, pg_indexam_has_property(a.oid, p.prop) FROM pg_am a,
	unnest(ARRAY['can_order', 'can_unique', 'can_multi_col', 'can_exclude', 'can_include']) p(prop) WHERE amname = 'facematch';

CREATE TABLE t (id int, g int, h text, e face_embedding, f face_embedding);
INSERT INTO t SELECT i, i % 4, 'k' || i % 3, face(i), face(-i) FROM generate_series(1, 500) i;

-- refused
CREATE INDEX ON t USING facematch (e, g);
CREATE INDEX ON t USING facematch (g);
CREATE INDEX ON t USING facematch (e, f);
CREATE INDEX ON t USING facematch (g, e, f);
CREATE UNIQUE INDEX ON t USING facematch (g, e);
CREATE INDEX ON t USING facematch (g) INCLUDE (e);
CREATE INDEX ON t USING facematch (g, e) WITH (lists = 100);
\set VERBOSITY sqlstate
CREATE INDEX ON t USING facematch (g, e DESC);
CREATE INDEX ON t USING facematch (g, e NULLS FIRST);
CREATE TABLE excluding (g int, e face_embedding, EXCLUDE USING facematch (g WITH =, e WITH <=>));
\set VERBOSITY default
CREATE TABLE points (p point, e face_embedding);
CREATE INDEX ON points USING facematch (p, e);
ALTER TABLE t CLUSTER ON t_none;

-- taken: no key, one, two, the same twice, an expression, a part of the table
CREATE INDEX t_e ON t USING facematch (e);
SELECT same_answer('t');
CLUSTER t USING t_e;
DROP INDEX t_e;
CREATE INDEX t_g ON t USING facematch (g, e);
SELECT same_answer('t'), same_answer('t', 'g = 1'), same_answer('t', 'g = ANY (''{1,3,3,9}'')'), same_answer('t', 'g = 9');
DROP INDEX t_g;
CREATE INDEX t_gh ON t USING facematch (g, h, e);
SELECT same_answer('t'), same_answer('t', 'g = 1 AND h = ''k1'''), same_answer('t', 'h = ''k2''', 1000), same_answer('t', 'g IN (1, 2) AND h IN (''k1'', ''k0'')', 1000);
DROP INDEX t_gh;
CREATE INDEX t_gg ON t USING facematch (g, g, e);
SELECT same_answer('t', 'g = 2', 1000);
DROP INDEX t_gg;
CREATE INDEX t_x ON t USING facematch ((g * 10), lower(h), e);
SELECT same_answer('t', 'g * 10 = 20 AND lower(h) = ''k1''', 1000);
DROP INDEX t_x;
CREATE INDEX t_p ON t USING facematch (e) WHERE g = 3;
SELECT same_answer('t', 'g = 3', 1000);
UPDATE t SET g = 3 WHERE id % 7 = 0;
UPDATE t SET g = 2 WHERE id % 9 = 0;
SELECT same_answer('t', 'g = 3', 1000);
DROP INDEX t_p;

-- rebuilt
CREATE INDEX t_g ON t USING facematch (g, e);
REINDEX INDEX t_g;
SELECT same_answer('t', 'g = 1', 1000);
DELETE FROM t WHERE id % 3 = 0;
REINDEX INDEX CONCURRENTLY t_g;
SELECT same_answer('t', 'g = 1', 1000);
CREATE INDEX CONCURRENTLY t_g2 ON t USING facematch (g, e);
DROP INDEX t_g;
SELECT same_answer('t', 'g = 1', 1000);
ALTER INDEX t_g2 RENAME TO t_g;
VACUUM FULL t;
SELECT same_answer('t', 'g = 1', 1000);
ALTER TABLE t ALTER COLUMN g TYPE bigint;
SELECT same_answer('t', 'g = 1', 1000);
TRUNCATE t;
SELECT same_answer('t', 'g = 1');
INSERT INTO t SELECT i, i % 4, 'k' || i % 3, face(i), NULL FROM generate_series(1, 100) i;
SELECT same_answer('t', 'g = 1', 1000);
BEGIN;
TRUNCATE t;
INSERT INTO t VALUES (1, 1, 'x', face(1), NULL);
SELECT same_answer('t', 'g = 1', 1000);
ROLLBACK;
SELECT same_answer('t', 'g = 1', 1000);
DROP TABLE t;

-- empty at first, emptied, filled again
CREATE TABLE t (id int, g int, e face_embedding);
CREATE INDEX t_g ON t USING facematch (g, e);
SELECT same_answer('t'), same_answer('t', 'g = 1');
VACUUM t;
INSERT INTO t SELECT i, i % 300, face(i) FROM generate_series(1, 3000) i;
SELECT same_answer('t', 'true', 5000), same_answer('t', 'g = 299');
DELETE FROM t WHERE g < 200;
VACUUM t;
SELECT same_answer('t', 'true', 5000), same_answer('t', 'g = 299'), same_answer('t', 'g = 3');
INSERT INTO t SELECT i, i % 300, face(i) FROM generate_series(1, 3000) i WHERE i % 300 < 200;
SELECT same_answer('t', 'true', 5000), same_answer('t', 'g = 299'), same_answer('t', 'g = 3');
DELETE FROM t;
VACUUM t;
SELECT same_answer('t', 'true', 5000);
DROP TABLE t;

-- temporary, unlogged, partitioned, in a tablespace
CREATE TEMP TABLE temporary (g int, e face_embedding) ON COMMIT DELETE ROWS;
CREATE INDEX ON temporary USING facematch (g, e);
BEGIN;
INSERT INTO temporary SELECT i % 4, face(i) FROM generate_series(1, 500) i;
SELECT same_answer('temporary', 'g = 1', 1000);
COMMIT;
SELECT same_answer('temporary', 'g = 1', 1000);
CREATE UNLOGGED TABLE unlogged (g int, e face_embedding);
CREATE INDEX ON unlogged USING facematch (g, e);
INSERT INTO unlogged SELECT i % 4, face(i) FROM generate_series(1, 500) i;
SELECT same_answer('unlogged', 'g = 1', 1000);
ALTER TABLE unlogged SET LOGGED;
SELECT same_answer('unlogged', 'g = 1', 1000);
CREATE TABLE parts (g int, e face_embedding) PARTITION BY LIST (g);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1, 2);
CREATE TABLE parts_3 PARTITION OF parts FOR VALUES IN (3, 4);
CREATE INDEX ON parts USING facematch (g, e);
CREATE TABLE parts_5 PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT i % 6, face(i) FROM generate_series(1, 500) i;
SELECT same_answer('parts'), same_answer('parts', 'g = 4', 1000), same_answer('parts', 'g IN (1, 3)', 1000), same_answer('parts', 'true', 1000);
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE elsewhere LOCATION '';
CREATE INDEX there ON unlogged USING facematch (e) TABLESPACE elsewhere;
SELECT same_answer('unlogged');
ALTER INDEX there SET TABLESPACE pg_default;
SELECT same_answer('unlogged');
DROP TABLESPACE elsewhere;

-- keys of every type that has a class
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN gate AS int CHECK (VALUE >= 0);
CREATE FUNCTION try_key(type text, one text, other text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE TEMP TABLE keyed (k %s, e face_embedding)', type);
	EXECUTE format('INSERT INTO keyed SELECT CASE i %% 3 WHEN 0 THEN %L::%s WHEN 1 THEN %L::%2$s END, face(i) FROM generate_series(1, 90) i', one, type, other);
	CREATE INDEX ON keyed USING facematch (k, e);
	EXECUTE format('INSERT INTO keyed SELECT %L::%s, face(i) FROM generate_series(91, 100) i', other, type);
	result := same_answer('keyed', format('k = %L::%s', other, type), 1000);
	IF type !~ ']' THEN
		result := result || '; ' || same_answer('keyed', format('k = ANY (ARRAY[%L, %L]::%s[])', one, other, type), 1000);
	END IF;
	DROP TABLE keyed;
	RETURN result;
END
$$;
SELECT type, try_key(type, one, other) FROM (VALUES
	('smallint', '1', '-2'), ('int', '1', '-2'), ('bigint', '1', '99999999999'), ('text', 'a', 'b'), ('varchar(9)', 'a', 'b'),
	('char(5)', 'a', 'b'), ('name', 'a', 'b'), ('"char"', 'a', 'b'), ('uuid', '00000000-0000-0000-0000-000000000000', 'ffffffff-0000-0000-0000-000000000000'),
	('bool', 't', 'f'), ('oid', '1', '4000000000'), ('bytea', '\x00', '\x0001'), ('real', '0', '1e30'), ('double precision', 'NaN', '0'),
	('numeric', '1.50', '-7'), ('date', 'today', 'infinity'), ('time', '12:00', '13:00'), ('timetz', '12:00+00', '13:00+01'),
	('timestamp', '2026-01-01', '2026-01-02'), ('timestamptz', '2026-01-01', '2026-01-02'), ('interval', '1 day', '1 hour'),
	('inet', '10.0.0.1', '::1'), ('cidr', '10.0.0.0/8', '::/0'), ('macaddr', '00:00:00:00:00:01', '00:00:00:00:00:02'),
	('macaddr8', '00:00:00:00:00:00:00:01', '00:00:00:00:00:00:00:02'), ('pg_lsn', '0/1', '0/2'), ('jsonb', '{"a": 1}', '[]'),
	('colour', 'red', 'blue'), ('int[]', '{1}', '{1,2}'), ('pair', '(1,x)', '(2,)'), ('int4range', '[1,3)', 'empty'), ('gate', '1', '2'),
	('int4multirange', '{[1,3),[5,7)}', '{}'), ('xid8', '7', '8'), ('xid', '7', '8'), ('cid', '7', '8'), ('tid', '(1,2)', '(1,3)'),
	('oidvector', '1 2', '2 1')) v(type, one, other);
-- a type without a hash function has no class
CREATE TEMP TABLE keyed (k box, e face_embedding);
CREATE INDEX ON keyed USING facematch (k, e);
