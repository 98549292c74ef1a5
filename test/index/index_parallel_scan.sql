-- One search by several processes: its answers are those of one process, and of a sequential scan.

-- A large list and small ones, a second model, null embeddings, null galleries, and templates that several rows have.
CREATE FUNCTION template(id int, model int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$
SELECT face_with_model((a || a || a || a || a || a || a || a || a || a)::face_embedding, model)
FROM (SELECT array_agg((sin(id * 12.9898 + k * 78.233 + id * k * 0.37) + 0.3)::real ORDER BY k) AS a FROM generate_series(1, 32) k) s $$;
CREATE VIEW source AS
SELECT id, CASE WHEN id % 400 = 0 THEN 9 WHEN id % 11 > 0 THEN greatest(id % 12 - 6, 0) END AS gallery_id,
	CASE WHEN id % 97 > 0 THEN template(CASE WHEN id % 50 < 3 THEN id / 500 ELSE id END, CASE WHEN id % 400 = 0 THEN 2 ELSE 1 END) END AS embedding
FROM generate_series(1, 18000) id;
CREATE TABLE face (id int, gallery_id int, embedding face_embedding) WITH (parallel_workers = 2);
INSERT INTO face SELECT * FROM source;
ANALYZE face;
-- PostgreSQL 18 would take workers for these two also.
CREATE TABLE probe WITH (parallel_workers = 0) AS SELECT id, embedding FROM face WHERE id IN (52, 777);
CREATE TABLE asked WITH (parallel_workers = 0) AS SELECT array_agg(g) || ARRAY[0, 1, 3, 5] AS galleries FROM generate_series(1000, 1500) g;

-- The galleries asked for, at a moment when all processes have started: each asks when its scan begins.
CREATE FUNCTION at_once(galleries int[]) RETURNS int[] LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
	IF clock_timestamp() < current_setting('test.moment')::timestamptz THEN
		PERFORM pg_sleep_until(current_setting('test.moment')::timestamptz);
	END IF;
	RETURN galleries;
END $$;

-- What is asked, of a probe $1 and for a number of rows $2, in (galleries).
CREATE TABLE question (n int, name text, sql text);
INSERT INTO question VALUES
	(1, 'nearest', 'SELECT id, embedding <=> $1 FROM face WHERE gallery_id = ANY (galleries) ORDER BY embedding <=> $1 LIMIT 1'),
	(2, 'some', 'SELECT id, embedding <=> $1 FROM face WHERE gallery_id = ANY (galleries) ORDER BY embedding <=> $1 LIMIT 20'),
	(3, 'Euclidean', 'SELECT id, embedding <-> $1 FROM face WHERE gallery_id = ANY (galleries) ORDER BY embedding <-> $1 LIMIT 7'),
	(4, 'ties', 'SELECT id, embedding <=> $1 FROM face WHERE gallery_id = ANY (galleries) AND face_match(embedding, $1, 0.7)
		ORDER BY embedding <=> $1 FETCH FIRST 2 ROWS WITH TIES'),
	(5, 'threshold', 'SELECT id, embedding <=> $1 FROM face WHERE gallery_id = ANY (galleries) AND face_match(embedding, $1, 0.6)'),
	(6, 'threshold, ordered', 'SELECT id, embedding <=> $1 FROM face WHERE gallery_id = ANY (galleries) AND face_match(embedding, $1, 0.6)
		ORDER BY embedding <=> $1'),
	(7, 'two thresholds', 'SELECT id, embedding <=> $1 FROM face WHERE gallery_id = ANY (galleries) AND face_match(embedding, $1, 0.3)
		AND embedding <-> $1 < 15 ORDER BY embedding <=> $1 LIMIT 30'),
	(8, 'the nearest are filtered out', 'SELECT id, embedding <=> $1 FROM face WHERE gallery_id = ANY (galleries) AND id % 17 = 3
		ORDER BY embedding <=> $1 LIMIT 3'),
	(9, 'more than processes look for', 'SELECT id, embedding <=> $1 FROM face WHERE gallery_id = ANY (galleries)
		ORDER BY embedding <=> $1 LIMIT (SELECT $2 / 10)'),
	(10, 'all, nulls too', 'SELECT id, embedding <=> $1 FROM face WHERE gallery_id = ANY (galleries) ORDER BY embedding <=> $1 LIMIT (SELECT $2)'),
	(11, 'a null probe', 'SELECT id, embedding <=> NULL FROM face WHERE gallery_id = ANY (galleries) AND $1 IS NOT NULL
		ORDER BY embedding <=> NULL LIMIT (SELECT $2)'),
	(12, 'no probe', 'SELECT id, 0 FROM face WHERE gallery_id = ANY (galleries) AND $1 IS NOT NULL');

-- The distances in order, and the rows: but those as far as the last, of which a LIMIT takes any.
CREATE FUNCTION answer(question text, probe face_embedding) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	PERFORM set_config('test.moment', (clock_timestamp() + least(current_setting('max_parallel_workers_per_gather')::int, current_setting('max_parallel_workers')::int, 1) * interval '0.1 s')::text, false);
	EXECUTE format('SELECT concat(count(*), %L, md5(string_agg(coalesce(d::text, %L), %L)), md5(string_agg(CASE WHEN d < most OR %s THEN id::text END, %L ORDER BY d, id)))
		FROM (SELECT *, max(d) OVER () AS most FROM (%s) a(id, d)) b', ' ', 'null', ',', (question !~ 'LIMIT')::text, ',', question)
	INTO found USING probe, 20000;
	RETURN found;
END $$;
CREATE FUNCTION answers(question text) RETURNS text LANGUAGE sql AS $$
SELECT string_agg(answer(CASE WHEN question ~ 'ORDER BY' THEN question ELSE 'SELECT * FROM (' || question || ') q(id, d) ORDER BY 2, 1' END, embedding), ' ' ORDER BY id) FROM probe $$;
CREATE FUNCTION by_scan(question text) RETURNS text LANGUAGE sql AS $$
SELECT replace(replace(question, '(galleries)', '((SELECT galleries FROM asked)::int[])'), 'FROM face', 'FROM (SELECT * FROM face WHERE gallery_id <> 9 OFFSET 0) face') $$;
CREATE FUNCTION by_index(question text) RETURNS text LANGUAGE sql AS $$ SELECT replace(question, '(galleries)', '(at_once((SELECT galleries FROM asked)))') $$;
CREATE TABLE expected AS SELECT n, name, by_index(sql) AS sql, answers(by_scan(sql)) AS found FROM question;

-- What the plan is, and whether each of its processes has read pages of the index.
CREATE FUNCTION nodes(plan jsonb) RETURNS text LANGUAGE sql AS $$
SELECT string_agg(n #>> '{}', ' > ') FROM jsonb_path_query(plan, 'strict $.**."Node Type" ? (@ like_regex "Gather|Index Scan|Sort")') n $$;
CREATE FUNCTION plan_of(question text) RETURNS TABLE (node text, shared boolean) LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	shared := false;
	FOR tries IN 1 .. 50 LOOP
		PERFORM set_config('test.moment', (clock_timestamp() + tries * interval '0.1 s')::text, false);
		EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, BUFFERS, FORMAT json) ' || question INTO plan USING (SELECT embedding FROM probe WHERE id = 777), 20000;
		node := nodes(plan);
		SELECT count(*) = 2 AND min(hits) > 20 INTO shared
		FROM (SELECT max((w ->> 'Shared Hit Blocks')::int) AS hits FROM jsonb_path_query(plan, 'lax $.**.Workers[*]') w GROUP BY w ->> 'Worker Number') h;
		EXIT WHEN shared;
	END LOOP;
	RETURN NEXT;
END $$;

CREATE INDEX face_index ON face USING facematch (gallery_id, embedding);
SET jit = off;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET max_parallel_workers_per_gather = 0;
SELECT n, name, answers(sql) = found AS "one process" FROM expected ORDER BY n;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_index_scan_size = 0;
SET min_parallel_table_scan_size = 0;
SELECT n, name, answers(sql) = found AS "three processes" FROM expected ORDER BY n;
SELECT n, name, p.* FROM expected, plan_of(sql) p ORDER BY n;

-- The leader only gathers; no worker can be had; a cursor is read row by row, which is for one process.
SET parallel_leader_participation = off;
SELECT n, name, answers(sql) = found AS "two workers" FROM expected ORDER BY n;
RESET parallel_leader_participation;
SET max_parallel_workers = 0;
SELECT n, name, answers(sql) = found AS "no worker" FROM expected ORDER BY n;
RESET max_parallel_workers;
SELECT embedding AS probe FROM probe WHERE id = 777 \gset
BEGIN;
DECLARE nearest CURSOR FOR SELECT id FROM face WHERE gallery_id = 0 ORDER BY embedding <=> :'probe' LIMIT 500;
FETCH 2 FROM nearest;
FETCH 3 FROM nearest;
COMMIT;

-- A scan that is begun again and again, each time with workers.
SELECT * FROM plan_of('SELECT n, x.id FROM generate_series(1, 3) n, LATERAL (SELECT id FROM face WHERE gallery_id = ANY (at_once((SELECT galleries FROM asked)))
	ORDER BY embedding <=> (SELECT $1 WHERE $2 > n - n) LIMIT 2) x');
SELECT n, x.id FROM generate_series(1, 3) n, LATERAL (SELECT id FROM face WHERE gallery_id = n - n ORDER BY embedding <=> (SELECT embedding FROM probe WHERE id = 777) LIMIT 2) x ORDER BY 1, 2;
-- Not with a LIMIT that is another one each time: PostgreSQL tells workers the first one only.
CREATE FUNCTION planned(question text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || question INTO plan;
	RETURN nodes(plan);
END $$;
SELECT q, planned('SELECT count(*) FROM generate_series(1, 3) n, LATERAL (SELECT id FROM face WHERE gallery_id = 0 ' || q || ') x')
FROM (VALUES ('ORDER BY embedding <=> (SELECT embedding FROM probe WHERE id = 777) LIMIT 2'),
	('ORDER BY embedding <=> (SELECT embedding FROM probe WHERE id = 777) LIMIT n'),
	('ORDER BY embedding <=> (SELECT embedding FROM probe WHERE id = 777) OFFSET n LIMIT 1'),
	('ORDER BY embedding <=> (SELECT embedding FROM probe WHERE id = 777) LIMIT (SELECT count(*) FROM probe WHERE id > n)'),
	('AND face_match(embedding, (SELECT embedding FROM probe WHERE id = 777), 0.5) LIMIT n')) v (q);
SELECT n, x.id FROM generate_series(1, 3) n, LATERAL (SELECT id FROM face WHERE gallery_id = 0 ORDER BY embedding <=> (SELECT embedding FROM probe WHERE id = 777) LIMIT n) x ORDER BY 1, 2;
SELECT count(*), count(DISTINCT x.id) FROM generate_series(1, 3) n, LATERAL (SELECT id FROM face WHERE gallery_id = 0 AND face_match(embedding, (SELECT embedding FROM probe WHERE id = 777), 0.5) OFFSET n - n) x;

-- What cannot be compared is an error, whichever process meets it.
\set VERBOSITY terse
SELECT id FROM face WHERE gallery_id = ANY (ARRAY[0, 9]) ORDER BY embedding <=> :'probe' LIMIT 3;
SELECT count(*) FROM face WHERE gallery_id = ANY (ARRAY[0, 9]) AND face_match(embedding, :'probe', 0.6);
\set VERBOSITY default

-- What a search did is the sum of what its processes did.
SELECT count(*) FROM face WHERE gallery_id = 0 AND face_match(embedding, :'probe', 0.9);
SELECT lists, sketches FROM facematch.last_scan();
SELECT count(*) AS templates FROM face WHERE gallery_id = 0 AND embedding IS NOT NULL;

-- The same rows, inserted: pages that do not lie one behind the other, codes of two epochs, and room that was used before.
TRUNCATE face;
INSERT INTO face SELECT * FROM source WHERE id <= 6000;
VACUUM ANALYZE face;
INSERT INTO face SELECT id + 20000, gallery_id, embedding FROM source WHERE id BETWEEN 6001 AND 9000;
INSERT INTO face SELECT * FROM source WHERE id > 6000;
DELETE FROM face WHERE id > 20000;
VACUUM ANALYZE face;
SELECT count(*) > 2 AS "several epochs" FROM facematch_internal.index_epochs('face_index');
SELECT n, name, answers(sql) = found AS "three processes" FROM expected ORDER BY n;
SELECT bool_and(p.shared) AS shared FROM expected, plan_of(sql) p;

-- By itself the planner takes workers for large lists only.
ALTER TABLE face RESET (parallel_workers);
SELECT planned('SELECT id FROM face WHERE gallery_id = 0 ORDER BY embedding <=> (SELECT embedding FROM probe WHERE id = 777) LIMIT 1') AS small;
UPDATE pg_class SET reltuples = reltuples * 10000 WHERE oid = 'face'::regclass;
SELECT planned('SELECT id FROM face WHERE gallery_id = 0 ORDER BY embedding <=> (SELECT embedding FROM probe WHERE id = 777) LIMIT 1') AS large,
	planned('SELECT id FROM face WHERE gallery_id = 9 ORDER BY embedding <=> (SELECT embedding FROM probe WHERE id = 777) LIMIT 1') AS "small list",
	planned('SELECT id FROM face WHERE gallery_id = 0 ORDER BY embedding <=> (SELECT embedding FROM probe WHERE id = 777) LIMIT 1001') AS many;
