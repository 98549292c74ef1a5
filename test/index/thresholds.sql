-- Every way to write a threshold uses the index, and answers as a sequential scan does.
CREATE TABLE face (id integer PRIMARY KEY, seen boolean NOT NULL, e face_embedding);
INSERT INTO face SELECT i, i % 3 > 0, 
	(SELECT array_agg((cos(i / 7 * 12.9898 + j * 78.233) * 1.3 + sin(i * 0.7 + j * 4.1) * 0.6)::real)::face_embedding
	FROM generate_series(1, 64) j) FROM generate_series(1, 12000) i;
CREATE INDEX face_index ON face USING facematch (e);
ANALYZE face;
CREATE TABLE parted (LIKE face) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (6000);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (6000) TO (20000);
CREATE INDEX ON parted USING facematch (e);
INSERT INTO parted SELECT * FROM face;
ANALYZE parted;
-- retain() and its like: only some rows are anybody's but the owner's
CREATE TABLE guarded (LIKE face);
INSERT INTO guarded SELECT * FROM face;
CREATE INDEX ON guarded USING facematch (e);
ANALYZE guarded;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON guarded USING (seen);
CREATE ROLE thresholds_reader;
GRANT SELECT ON guarded TO thresholds_reader;
CREATE VIEW scored AS SELECT *, 1 - (e <=> (SELECT e FROM face WHERE id = 70)) AS score FROM face;

-- p stands for the probe, T for the table's name
-- served: by index; NULL where nearly all rows pass, which a sequential scan may find as well
CREATE TEMP TABLE spelling (name text, condition text, served boolean DEFAULT true);
INSERT INTO spelling VALUES
	('cosine', 'e <=> p < 0.3'), ('cosine, equal', 'e <=> p <= 0.3'),
	('swapped', '0.3 > e <=> p'), ('swapped arguments', 'p <=> e < 0.3'), ('both swapped', '0.3 >= p <=> e'),
	('similarity by hand', '1 - (e <=> p) > 0.7'), ('swapped', '0.7 <= 1 - (p <=> e)'),
	('similarity', 'face_similarity(e, p) >= 0.7'), ('similarity, swapped', '0.7 < face_similarity(p, e)'),
	('percent', '100 * face_similarity(e, p) > 70'), ('percent of distance', '(e <=> p) / 2 < 0.15'),
	('negative', '-(e <=> p) > -0.3'), ('sum', '(e <=> p) + 1 <= 1.3'), ('less one', '(e <=> p) - 1 < -0.7'),
	('Euclidean', 'e <-> p < 6'), ('Euclidean, swapped', '6 >= p <-> e'),
	('inner product', 'e <#> p < -40'), ('inner product as pgvector shows it', '(e <#> p) * -1 > 40'),
	('inner product, negated', '-(p <#> e) >= 40'),
	('float4', 'e <=> p < 0.3::real'), ('float4, swapped', '0.3::real >= e <=> p'), ('integer', 'e <-> p < 6::integer'),
	('numeric', 'e <=> p < 0.3::numeric'), ('between', 'e <=> p BETWEEN 0.01 AND 0.3'), ('not', 'NOT e <=> p > 0.3'),
	('two probes', 'e <=> p < 0.6 AND e <=> (SELECT e FROM face WHERE id = 71) < 0.6'),
	('two distances', 'e <=> p < 0.3 AND e <-> p < 6'), ('computed', 'e <=> p < 3 * 0.1'),
	('sub-select', 'e <=> p < (SELECT 0.3)'),
	('match', 'face_match(e, p, 0.7)'), ('match, swapped', 'face_match(p, e, 0.7)'),
	('operator', 'e =~ face_probe(p, 0.7)'),
	('nothing', 'e <=> p < -3'), ('NULL', 'e <=> p < (SELECT NULL::float8)'), ('tiny', 'e <=> p <= 1e-320');
INSERT INTO spelling VALUES
	('everything', 'e <=> p < 3', NULL), ('infinity', 'e <=> p < ''infinity''', NULL), ('NaN', 'e <=> p < ''NaN''', NULL),
	('similarity above NaN', '1 - (e <=> p) > ''NaN''', NULL), ('huge', 'e <=> p < 1e308', NULL);
-- what is no threshold
INSERT INTO spelling VALUES
	('from below', 'e <=> p > 0.3', false), ('similarity from above', '1 - (e <=> p) < 0.7', false),
	('with itself', 'e <=> e < 0.3', false), ('by the row', 'e <=> p < id', false),
	('either', 'e <=> p < 0.3 OR id = 5', false),
	('huge constant', '(e <=> p) + 1e15 < 1e15 + 1', false), ('by zero', '(e <=> p) * 0 < 0.3', false),
	('random', 'e <=> p < 0.3 + random() * 0', false), ('equal', 'e <=> p = 0', false);

-- ids and whether a derived condition, or face_match's own, was an index condition
CREATE FUNCTION answer(query text, OUT ids integer[], OUT served boolean) LANGUAGE plpgsql AS $$
DECLARE
	plan text;
	line text;
BEGIN
	served := false;
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		served := served OR line ~ 'Index Cond: .*(=~|=~\?) ';
	END LOOP;
	EXECUTE format('SELECT array_agg(id ORDER BY id) FROM (%s) AS t', query) INTO ids;
END $$;
CREATE FUNCTION sequential(query text) RETURNS integer[] LANGUAGE plpgsql SET enable_indexscan = off
	SET enable_bitmapscan = off AS $$ BEGIN RETURN (answer(query)).ids; END $$;
CREATE FUNCTION differing(source text, probe text, suffix text DEFAULT '') RETURNS TABLE (name text, trouble text)
	LANGUAGE plpgsql AS $$
DECLARE
	s record;
	query text;
	found record;
BEGIN
	FOR s IN SELECT * FROM spelling LOOP
		query := format('SELECT id FROM %s WHERE %s', source, regexp_replace(s.condition || suffix, '\mp\M', probe, 'g'));
		found := answer(query);
		name := s.name;
		IF found.ids IS DISTINCT FROM sequential(query) THEN
			trouble := format('%s rows by index, %s without', cardinality(found.ids), cardinality(sequential(query)));
			RETURN NEXT;
		END IF;
		IF found.served <> s.served THEN
			trouble := CASE WHEN found.served THEN 'index used' ELSE 'index not used' END;
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;
GRANT SELECT ON spelling, face TO thresholds_reader;

SELECT count(*) FILTER (WHERE served) AS thresholds, count(*) FILTER (WHERE NOT served) AS others, count(*)
FROM spelling;
SELECT quote_literal(e::text) || '::face_embedding' AS literal FROM face WHERE id = 70 \gset
\set initplan '(SELECT q.e FROM face q WHERE q.id = 70)'
-- a literal, a value known at run time only, with an order and a limit
SELECT * FROM differing('face', :'literal');
SELECT * FROM differing('face', :'initplan');
SELECT * FROM differing('face', :'literal', ' ORDER BY e <=> p LIMIT 50');
SELECT * FROM differing('face', :'initplan', ' ORDER BY e <-> p LIMIT 50');
-- partitions
SELECT * FROM differing('parted', :'literal', ' ORDER BY e <=> p LIMIT 50');
SELECT * FROM differing('parted', :'initplan');
-- behind row security, as the owner and as another
SELECT * FROM differing('guarded', :'literal');
SET ROLE thresholds_reader;
SELECT * FROM differing('guarded', :'literal', ' ORDER BY e <=> p LIMIT 50');
SELECT * FROM differing('guarded', :'initplan');
RESET ROLE;

-- a score that a view computes, probes of another table
CREATE TEMP TABLE place (name text, query text);
INSERT INTO place VALUES
	('view', 'SELECT id FROM scored WHERE score > 0.9 ORDER BY score DESC LIMIT 5'),
	('sub-select', 'SELECT id FROM (SELECT id, e <=> (SELECT e FROM face WHERE id = 70) AS d FROM face) f WHERE d < 0.3'),
	('join', 'SELECT a.id FROM face a JOIN face b ON a.e <=> b.e < 0.1 WHERE b.id < 5'),
	('join, swapped', 'SELECT a.id FROM face b JOIN face a ON 0.9 < face_similarity(b.e, a.e) WHERE b.id < 5'),
	('outer join', 'SELECT a.id FROM face b LEFT JOIN face a ON a.e <=> b.e < 0.1 WHERE b.id < 5'),
	('semi-join', 'SELECT a.id FROM face a
		WHERE EXISTS (SELECT FROM face b WHERE b.e <=> a.e < 0.1 AND b.id <> a.id) AND a.id < 5'),
	('lateral', 'SELECT near.id FROM face b CROSS JOIN LATERAL
		(SELECT a.id FROM face a WHERE a.e <=> b.e < 0.1 ORDER BY a.e <=> b.e LIMIT 3) near WHERE b.id < 5'),
	('partitions', 'SELECT a.id FROM parted a JOIN face b ON a.e <=> b.e < 0.1 WHERE b.id < 5');
SELECT name, (answer(query)).served,
	(answer(query)).ids IS NOT DISTINCT FROM sequential(query) AS same, cardinality(sequential(query)) > 0 AS found
FROM place;
-- a threshold known when planning is estimated as face_match's is
CREATE FUNCTION estimated(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan' ->> 'Plan Rows';
END $$;
SELECT estimated(format('SELECT FROM face WHERE e <=> %s < 0.8', :'literal')) AS by_distance,
	estimated(format('SELECT FROM face WHERE face_match(e, %s, 0.2)', :'literal')) AS by_match,
	estimated(format('SELECT FROM face WHERE e <=> %s < 0.8 AND e <=> e < 1', :'literal')) AS with_another;

-- rows that cannot be compared: the error of a sequential scan, unless another condition rules them out
INSERT INTO face VALUES (99998, true, '[1,2,3]'), (99999, true, NULL);
SELECT count(*) FROM face WHERE e <=> (SELECT e FROM face WHERE id = 70) < 0.3;
SELECT count(*) > 0 AS found FROM face WHERE face_dims(e) = 64 AND e <=> (SELECT e FROM face WHERE id = 70) < 0.3;
-- what the planner derives raises no error
SELECT '[1,2,3]'::face_embedding =~? face_probe('[1,2]', 0.5) AS other_dimensions,
	'5:[1,2]'::face_embedding =~? face_probe('6:[2,-1]', 0.5) AS other_model,
	'[1,2]'::face_embedding =~? face_probe('[2,1]', 0.8) AS matches,
	'[1,2]'::face_embedding =~? face_probe('[2,1]', 0.800002) AS nearly,
	'[1,2]'::face_embedding =~? face_probe('[2,1]', 0.81) AS not_at_all;
SELECT proname, proleakproof FROM pg_proc
WHERE proname ~ '^face_(match|embedding_(may_match|matches)_probe)$' ORDER BY 1;
SELECT face_probe_within('[1,2]', kind::smallint, 3, -1, 1) FROM generate_series(1, 3) kind;
SELECT face_probe_within('[1,2]', 4::smallint, 3, -1, 1);
SELECT face_probe_within('[1,2]', 0::smallint, 3, -1, 1);
SELECT text::face_probe, text::face_probe::text = text AS same
FROM unnest(ARRAY['0.5@[1,2]', '<=>0.5@[1,2]', '<->7@[1,2]', '<#>-3@[1,2]', '<#>Infinity@[1,2]']) text;
SELECT '[1,2]'::face_embedding =~ '<->1.5@[2,1]'::face_probe AS euclidean,
	'[1,2]'::face_embedding =~ '<#>-4@[2,1]'::face_probe AS inner_product,
	'[1,2]'::face_embedding =~ '<=>0.1@[2,1]'::face_probe AS cosine;
SELECT '<->0.5@[1,2]'::face_probe = '0.5@[1,2]' AS of_kinds, '<->0.5@[1,2]'::face_probe = '<->0.5@[1,2]' AS of_one,
	count(DISTINCT p) AS kinds FROM unnest(ARRAY['0.5@[1,2]', '<=>0.5@[1,2]', '<->0.5@[1,2]', '<#>0.5@[1,2]']::face_probe[]) p;
DROP VIEW scored;
DROP TABLE face, parted, guarded, spelling, place;
DROP ROLE thresholds_reader;
