-- Accuracy functions, calibration, targets and duplicates on data small enough to count by hand; and what they refuse.
SET client_min_messages = warning;
CREATE TABLE face (id int, subject text, e face_embedding);
INSERT INTO face VALUES (1, 'a', '[1,0]'), (2, 'a', '[0.8,0.6]'), (3, 'b', '[0,1]'), (4, 'b', '[0.6,0.8]'), (5, 'c', '[-1,0]');

-- Ten pairs: mated 0.8 and 0.8, the others 0, 0.6, 0.6, 0.96, -1, -0.8, 0, -0.6.
SELECT * FROM facematch.score_histogram('SELECT id, subject, e FROM face', edges => '{-0.9,0,0.5,0.7,0.9}');
SELECT threshold, non_mated, false_matches, fmr, mated, false_non_matches, fnmr
FROM facematch.det('SELECT id, subject, e FROM face', thresholds => '{-1,0.5,0.9,1}');
SELECT * FROM facematch.compare_sets('SELECT id, subject, e FROM face', NULL, 0.7) ORDER BY 1, 2;
SELECT * FROM facematch.search_set('SELECT id, subject, e FROM face WHERE id <> 3', 'SELECT id, subject, e FROM face WHERE id = 3') ORDER BY 1;
SELECT threshold, non_mated_searches, false_positives, mated_searches, misses
FROM facematch_internal.identification_rates('TABLE face -- a comment', 'SELECT id, subject, e FROM face WHERE id IN (1, 3)', '{0.5,0.7,0.9}', 1);
SELECT subjects, non_mated, false_matches, mated, false_non_matches FROM facematch.bootstrap_rates('TABLE face', NULL, 0.9);
SELECT a = b AS repeatable FROM facematch.bootstrap_rates('TABLE face', NULL, 0.5, seed => 3) a, facematch.bootstrap_rates('TABLE face', NULL, 0.5, seed => 3) b;
SELECT facematch_internal.score_grid(0.5);
-- A set is a query's text, not a table's name.
\set SHOW_CONTEXT never
SELECT facematch.eer('face');
SELECT facematch.error_versus_discard('face', 0.5);
\set SHOW_CONTEXT errors
DO $$
DECLARE rule text;
BEGIN
	PERFORM facematch.det('TABLE face', ' public."face" ');
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS rule = CONSTRAINT_NAME;
	RAISE WARNING '%: %', rule, SQLERRM;
END $$;
SELECT count(*) FROM facematch.det(E'/* a /* nested */ comment */ -- and another\n((select id, subject, e FROM face))', 'VALUES(1, 1, $$[1,0]$$)', '{0.5}');
SELECT rate, round(lower::numeric, 4) AS lower, round(upper::numeric, 4) AS upper, round(below::numeric, 4) AS below, sure
FROM (VALUES (0, 100), (30, 1000), (29, 1000), (5, 5), (0, 0)) v (events, trials), facematch.rate_interval(events, trials);
SELECT * FROM facematch.verification_accuracy('{1,1,1,2,2,2}', '{t,f,t,t,f,f}', '{0.9,0.3,0.6,0.7,0.5,0.65}');

-- More templates than a tile has columns, more dimensions than are added up at once, edges that are scores: beside plain SQL.
CREATE TABLE wide AS SELECT n AS id, n % 300 AS subject, (SELECT array_agg(sin(n % 300 * 12.9898 + d * 78.233) + 0.8 * sin(n * 39.425 + d * 3.7) + 0.7)
														  FROM generate_series(1, 130) d)::real[]::face_embedding AS e FROM generate_series(1, 600) n;
CREATE TABLE pair AS SELECT a.id AS probe_id, b.id AS enrolled_id, face_similarity(a.e, b.e) AS similarity, a.subject = b.subject AS mated FROM wide a, wide b WHERE a.id < b.id;
CREATE INDEX ON pair (probe_id);
CREATE TABLE edges AS SELECT array_agg(DISTINCT t ORDER BY t) AS e FROM (SELECT s / 200.0 FROM generate_series(-200, 200) s UNION SELECT similarity FROM pair WHERE probe_id % 7 = 0 AND enrolled_id % 11 = 0) s (t);
WITH counted AS (SELECT row_number() OVER () - 1 AS bin, h.non_mated, h.mated FROM edges, facematch.score_histogram('TABLE wide', NULL, edges.e) h),
plain AS (SELECT width_bucket(p.similarity, edges.e) AS bin, count(*) FILTER (WHERE NOT mated) AS non_mated, count(*) FILTER (WHERE mated) AS mated FROM pair p, edges GROUP BY 1)
SELECT (SELECT sum(non_mated) FROM counted) AS non_mated, (SELECT sum(mated) FROM counted) AS mated, count(*) FILTER (WHERE c.non_mated + c.mated > 0) > 100 AS many_bins,
	   count(*) FILTER (WHERE (c.non_mated, c.mated) IS DISTINCT FROM (coalesce(p.non_mated, 0), coalesce(p.mated, 0))) AS wrong FROM counted c FULL JOIN plain p USING (bin);
SELECT count(*) > 1000 AS many, count(*) FILTER (WHERE p.similarity < 0.7) AS wrong, (SELECT count(*) FROM pair WHERE similarity >= 0.7) - count(*) AS missing
FROM facematch.compare_sets('TABLE wide', NULL, 0.7) c JOIN pair p USING (probe_id, enrolled_id, similarity, mated);
SELECT count(*) AS searches, count(*) FILTER (WHERE s.mate_similarity = m.similarity AND s.mate_rank = m.rank) AS right FROM facematch.search_set('SELECT * FROM wide WHERE id <= 300', 'SELECT * FROM wide WHERE id > 300') s,
	LATERAL (SELECT p.similarity, (SELECT count(*) + 1 FROM pair o WHERE o.probe_id = p.probe_id AND o.enrolled_id > 300 AND NOT o.mated AND o.similarity > p.similarity) AS rank
			 FROM pair p WHERE p.probe_id = s.probe_id AND p.enrolled_id > 300 AND p.mated) m;

-- The caller's search_path, rights and snapshot are the query's.
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.face AS SELECT id, subject, e FROM face WHERE id < 3;
SET search_path = elsewhere, public;
SELECT false_matches, mated FROM facematch.det('TABLE face', thresholds => '{0.5}');
RESET search_path;
CREATE ROLE regress_analyst;
GRANT USAGE ON SCHEMA facematch, facematch_internal TO regress_analyst;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA facematch TO regress_analyst;
SET ROLE regress_analyst;
SELECT * FROM facematch.score_histogram('SELECT reference_id, subject_id, embedding FROM facematch.reference', edges => '{0}');
RESET ROLE;

-- Refused, each for its own reason, and no template in any message.
CREATE TABLE hostile (state text, statement text);
INSERT INTO hostile VALUES
	('42601', $$SELECT * FROM facematch.score_histogram('SELECT id, subject, e FROM')$$),
	('22023', $$SELECT facematch.calibrate('two', 'face')$$),
	('22023', $$SELECT facematch.calibrate('two', 'TABLE face', 'face')$$),
	('22023', $$SELECT facematch.cmc('selection', 'TABLE face')$$),
	('22023', $$SELECT facematch.probe_errors('TABLE face', 'face', 0.5)$$),
	('22023', $$SELECT facematch.score_histogram('')$$),
	('22023', $$SELECT facematch.score_histogram('/* a /* nested */ comment */ DELETE FROM face')$$),
	('22023', $$SELECT * FROM facematch.score_histogram('DELETE FROM face RETURNING id, subject, e')$$),
	('0A000', $$SELECT * FROM facematch.score_histogram('WITH d AS (DELETE FROM face RETURNING *) SELECT * FROM d')$$),
	('42P10', $$SELECT * FROM facematch.score_histogram('SELECT id, subject FROM face')$$),
	('42846', $$SELECT * FROM facematch.score_histogram('SELECT e, subject, id FROM face')$$),
	('22004', $$SELECT * FROM facematch.score_histogram('SELECT id, NULL, e FROM face')$$),
	('22004', $$SELECT * FROM facematch.score_histogram('SELECT id, subject, NULL::face_embedding FROM face')$$),
	('22004', $$SELECT * FROM facematch.compare_sets('SELECT NULL::int, subject, e FROM face', NULL, 0.5)$$),
	('22023', $$SELECT * FROM facematch.score_histogram('SELECT 1, subject, e FROM face')$$),
	('22023', $$SELECT * FROM facematch.score_histogram('SELECT id, subject, e FROM face ORDER BY random() LIMIT 3')$$),
	('22023', $$SELECT * FROM facematch.compare_sets('TABLE face', 'WITH s AS (SELECT * FROM face WHERE random() < 2) TABLE s', 0.5)$$),
	('22023', $$SELECT * FROM facematch.search_set('TABLE sample', 'TABLE face')$$),
	('22023', $$SELECT * FROM facematch.det('SELECT id, subject, e FROM face TABLESAMPLE system (100)')$$),
	('22023', $$SELECT facematch.calibrate('two', 'SELECT id, subject, e FROM face LIMIT 3')$$),
	('22000', $$SELECT * FROM facematch.score_histogram('TABLE face UNION ALL SELECT 9, ''d'', ''[1,2,3]''::face_embedding')$$),
	('22023', $$SELECT * FROM facematch.score_histogram('SELECT id, subject, face_with_model(e, id) FROM face')$$),
	('22000', $$SELECT * FROM facematch.compare_sets('TABLE face', 'SELECT 1, 1, ''[1,2,3]''::face_embedding', 0.5)$$),
	('22023', $$SELECT * FROM facematch.compare_sets('SELECT id, subject, face_with_model(e, 1) FROM face', 'SELECT id, subject, face_with_model(e, 2) FROM face', 0.5)$$),
	('22003', $$SELECT * FROM facematch.compare_sets('TABLE face', NULL, 1.5)$$),
	('22003', $$SELECT * FROM facematch.compare_sets('TABLE face', NULL, 'NaN')$$),
	('22023', $$SELECT * FROM facematch.score_histogram('TABLE face', edges => '{0.5,0.5}')$$),
	('22023', $$SELECT * FROM facematch.score_histogram('TABLE face', edges => '{0.5,NaN}')$$),
	('22004', $$SELECT * FROM facematch.score_histogram('TABLE face', edges => '{0.5,NULL}')$$),
	('54000', $$SELECT * FROM facematch.score_histogram('TABLE face', edges => (SELECT array_agg(i::float8) FROM generate_series(1, 40000) i))$$),
	('22004', $$SELECT * FROM facematch.score_histogram(NULL)$$),
	('22004', $$SELECT * FROM facematch.score_histogram('TABLE face', edges => NULL)$$),
	('22004', $$SELECT * FROM facematch.compare_sets(NULL, NULL, 0.5)$$),
	('22004', $$SELECT * FROM facematch.compare_sets('TABLE face', NULL, NULL)$$),
	('22003', $$SELECT facematch_internal.score_grid(0)$$),
	('22003', $$SELECT facematch_internal.score_grid('NaN')$$),
	('22003', $$SELECT facematch.rate_interval(3, 2)$$),
	('22003', $$SELECT facematch.rate_interval(-1, 2)$$),
	('22003', $$SELECT facematch.rate_interval(1, 2, 1)$$),
	('22003', $$SELECT facematch.rate_interval(1, 2, 'NaN')$$),
	('22003', $$SELECT facematch.bootstrap_rates('TABLE face', NULL, 2)$$),
	('22003', $$SELECT facematch.bootstrap_rates('TABLE face', NULL, 0.5, 0)$$),
	('22003', $$SELECT facematch.bootstrap_rates('TABLE face', NULL, 0.5, 10, 1)$$),
	('22004', $$SELECT facematch.bootstrap_rates('TABLE face', NULL, NULL)$$),
	('22023', $$SELECT facematch.verification_accuracy('{1,2}', '{t}', '{0.5,0.6}')$$),
	('23503', $$SELECT facematch.calibrate('nobody''s', 'TABLE face')$$),
	('55000', $$SELECT facematch.calibrate('two', 'TABLE face')$$),
	('22000', $$SELECT facematch.calibrate('three', 'TABLE face')$$),
	('22023', $$SELECT facematch.calibrate('two', 'SELECT id, subject, face_with_model(e, 7) FROM face')$$),
	('P0002', $$SELECT facematch.duplicates('not there')$$),
	('P0002', $$SELECT facematch.duplicates('target', 0.5, 'not there')$$),
	('22023', $$SELECT facematch.duplicates('target', 0.5, 'of three')$$),
	('22003', $$SELECT facematch.duplicates('target', 1.5)$$),
	('55000', $$SELECT facematch.identify('[1,0]', 'target')$$),
	('55000', $$SELECT facematch.record_encounter('target', '[1,0]', port => 'JFK')$$),
	('23514', $$UPDATE facematch.gallery SET target_fpir = NULL WHERE name = 'target'$$),
	('23514', $$UPDATE facematch.gallery SET target_fpir = 1 WHERE name = 'target'$$),
	('23514', $$UPDATE facematch.gallery SET target_fpir = 0 WHERE name = 'target'$$),
	('23514', $$UPDATE facematch.gallery SET target_fpir = 'NaN' WHERE name = 'target'$$);
-- What is no query, in every argument that is a set, is refused by that argument's name and the number of its columns.
INSERT INTO hostile
SELECT '22023 set_is_a_query ' || a.name, format(a.call, s.text)
FROM (VALUES ('face'), ('public."face"'), ('"my face"'), (' public."my face" '), (E'-- mine\nface'), ('/* mine */ "my face"'),
	  ('(face)'), ('DELETE FROM face'), ('INSERT INTO face VALUES (9, ''i'', ''[1,0]'') RETURNING id, subject, e'), ('')) s (text),
	 (VALUES ('probes: 3', 'SELECT facematch.score_histogram(%L)'), ('probes: 3', 'SELECT facematch.eer(%L)'),
	  ('enrolled: 3', 'SELECT facematch.cmc(''TABLE face'', %L)'), ('probes: 3', 'SELECT facematch.calibrate(''two'', %L)'),
	  ('enrolled: 3', 'SELECT facematch.calibrate(''two'', ''TABLE face'', %L)'),
	  ('quality: 4', 'SELECT facematch.calibrate(''two'', ''TABLE circle'', fmr => ''{0.1}'', quality => %L)'),
	  ('probes: 3', 'SELECT facematch.probe_errors(%L, ''TABLE face'', 0.5)'),
	  ('enrolled: 3', 'SELECT facematch.probe_errors(''TABLE face'', %L, 0.5)'),
	  ('probes: 4', 'SELECT facematch.error_versus_discard(%L, 0.5)')) a (name, call);
INSERT INTO hostile VALUES
	('22023 set_is_a_query probes: 3', 'SELECT facematch.calibrate(''two'', NULL)'),
	('22023 set_is_a_query enrolled: 3', 'SELECT facematch.probe_errors(''TABLE face'', NULL, 0.5)');
CREATE VIEW sample AS SELECT * FROM face WHERE id IN (SELECT id FROM face ORDER BY random() LIMIT 3);
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2), ('three', 2, 3);
INSERT INTO facematch.gallery (name, kind, model, target_fpir) VALUES ('target', 'watchlist', 'two', 0.5);
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('of three', 'watchlist', 'three', 0.5);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, gen_random_uuid(), 'watchlist', '[1,0]', 'test' FROM facematch.gallery g WHERE g.name = 'target';
DO $$
DECLARE
	h hostile;
	said text;
	hint text;
	rule text;
BEGIN
	FOR h IN SELECT * FROM hostile LOOP
		BEGIN
			EXECUTE h.statement;
			RAISE WARNING 'went through: %', h.statement;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, rule = CONSTRAINT_NAME;
			IF h.state NOT IN (SQLSTATE, format('%s %s %s: %s', SQLSTATE, rule, substring(SQLERRM, '^argument (.*) is not a query$'),
				substring(hint, 'with (.) columns'))) THEN
				RAISE WARNING '% instead of %: % (%)', SQLSTATE, h.state, h.statement, SQLERRM;
			END IF;
			IF SQLERRM || coalesce(said, '') ~ '\m0\.[68]' THEN
				RAISE WARNING 'a template in %', SQLERRM;
			END IF;
		END;
	END LOOP;
	RAISE NOTICE '% statements', (SELECT count(*) FROM hostile);
END $$;
SELECT count(*) AS faces FROM face;
-- A sample that is the same each time is a set.
SELECT sum(non_mated + mated) AS compared FROM facematch.score_histogram('SELECT * FROM (SELECT id, subject, e FROM face TABLESAMPLE system (100) REPEATABLE (1)
	WHERE clock_timestamp() > ''2000-01-01'' ORDER BY hashint8(id)) s ORDER BY id LIMIT 4');

-- Calibration: 200 subjects on a circle with two pictures each, so that every rate can be told beforehand.
CREATE TABLE circle AS
SELECT s * 2 + k AS id, s AS subject, ARRAY[cos(radians(s * 1.8 + k * 0.3)), sin(radians(s * 1.8 + k * 0.3))]::real[]::face_embedding AS e
FROM generate_series(0, 199) s, generate_series(0, 1) k;
SELECT fmr, threshold, basis, false_matches, false_non_matches FROM facematch.calibrate('two', 'TABLE circle', fmr => '{0.3,0.1,0.01,0.00001}', note => 'a circle');
SELECT model, non_mated, mated, note FROM facematch_internal.calibration;
-- The calibration in use is the last one, whatever the clock was; one picture of two persons, and nearly one of two others; tables with names that calibrate() has too.
BEGIN;
UPDATE facematch_internal.calibration SET calibrated_at = clock_timestamp() + interval '1 year';
CREATE VIEW probe AS SELECT * FROM circle WHERE subject % 2 = 0 UNION ALL SELECT 1000, 1000, e FROM circle WHERE id = 4
	UNION ALL SELECT 1001, 1001, ARRAY[cos(radians(180.5)), sin(radians(180.5))]::real[]::face_embedding;
CREATE VIEW person AS SELECT id + 10000, subject, e FROM circle;
SELECT fmr, threshold, false_matches FROM facematch.calibrate('two', 'TABLE probe', fmr => '{0.1}', note => 'one more');
SELECT note, (SELECT count(DISTINCT p.calibration_id) FROM facematch_internal.calibration_person p) AS sets FROM facematch_internal.calibration_in_use('two');
SELECT pictures, threshold, comparisons, round(matches::numeric, 3) AS matches FROM facematch_internal.calibration_person
WHERE calibration_id = (facematch_internal.calibration_in_use('two')).calibration_id ORDER BY 1, 2;
SELECT threshold, false_matches FROM facematch.calibrate('two', 'TABLE probe -- ours', 'TABLE person -- theirs', '{0.1}');
CREATE VIEW reference AS SELECT id, subject, e FROM face WHERE id IN (1, 3);
SELECT subject, false_positives FROM facematch.probe_errors('TABLE probe -- ours', 'TABLE reference -- theirs', 0.999, 3);
ROLLBACK;
-- Before there is a gallery: what one of that size would be searched at.
SELECT n, round(t.fmr::numeric, 6) AS fmr, t.threshold, t.basis, t.fnmr FROM unnest('{1,10,100000}'::bigint[]) n, facematch.threshold_for('two', 0.3, n) t;
SELECT t.threshold = o.threshold AND t.fmr = o.fmr AND t.basis = o.basis AND t.fnmr = o.fnmr AS as_the_gallery
FROM facematch.report_operating_point o, facematch.threshold_for(o.model, o.target_fpir, o.live_references) t WHERE o.gallery = 'target';
SELECT facematch.threshold_for('two', 1, 10);
SELECT facematch.threshold_for('two', 0.1, 0);
SELECT facematch.threshold_for('three', 0.1, 10);

-- Whose probes err: x is b under a second pseudonym, a's picture is a bad one.
SELECT subject, searches, false_positives, misses, round(share_of_errors::numeric, 3) AS share, other_subject, other_errors, other_similarity
FROM facematch.probe_errors($$SELECT * FROM (VALUES (10, 'x', '[0,1]'::face_embedding), (11, 'x', '[0,2]'), (12, 'y', '[-1,0]'), (13, 'a', '[0.8,0.6]'),
	(14, 'b', '[0,1]'), (15, 'x', '[-1,0]')) v$$, 'SELECT id, subject, e FROM face WHERE id IN (1, 3)', 0.9);
SELECT subject, false_positives FROM facematch.probe_errors('SELECT 10, ''x''::text, ''[0,1]''::face_embedding', 'SELECT id, subject, e FROM face WHERE id IN (1, 3)', 0.9, most => 0);
SELECT action, detail FROM facematch.audit_event WHERE action = 'model_calibrated';
-- What is stored is the DET.
SELECT count(*) AS differ FROM facematch.det('TABLE circle') d
LEFT JOIN LATERAL (SELECT * FROM facematch_internal.calibration_point p WHERE p.threshold <= d.threshold ORDER BY p.threshold DESC LIMIT 1) p ON true
WHERE (d.false_matches, d.false_non_matches) IS DISTINCT FROM (p.false_matches, p.false_non_matches);
SELECT count(*) AS not_the_least FROM facematch_internal.calibrated_threshold t JOIN facematch_internal.calibration c USING (calibration_id)
WHERE basis <> 'extrapolated' AND t.threshold <> (SELECT min(d.threshold) FROM facematch.det('TABLE circle') d WHERE d.false_matches <= floor(t.fmr * c.non_mated));

-- A target follows the gallery's size, in both directions, and what is due does not count.
CREATE FUNCTION pg_temp.target() RETURNS TABLE (live_references bigint, fmr numeric, threshold double precision, basis text, decided double precision)
LANGUAGE sql AS $$
	SELECT o.live_references, o.fmr::numeric(9,7), o.threshold, o.basis, e.threshold
	FROM facematch.report_operating_point o, facematch.record_encounter('target', '[1,0]', port => 'JFK') e WHERE o.gallery = 'target'
$$;
SELECT * FROM pg_temp.target();
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, md5(c.subject::text)::uuid, 'watchlist', c.e, 'test' FROM facematch.gallery g, circle c WHERE g.name = 'target' AND c.subject % 10 = 0;
SELECT * FROM pg_temp.target();
UPDATE facematch.reference SET purge_after = clock_timestamp() WHERE reference_id % 2 = 0;
SELECT * FROM pg_temp.target();
DELETE FROM facematch.reference;
SELECT * FROM pg_temp.target();
-- min_similarity is a floor.
UPDATE facematch.gallery SET min_similarity = 0.9999 WHERE name = 'target';
SELECT threshold FROM pg_temp.target();
UPDATE facematch.gallery SET min_similarity = NULL WHERE name = 'target';
-- The target is the threshold, and a change of it is on record.
UPDATE facematch.gallery SET target_fpir = 0.4 WHERE name = 'target';
SELECT action, detail -> 'changed' AS changed FROM facematch.audit_event WHERE detail -> 'changed' ? 'target_fpir';
SELECT match, threshold FROM facematch.verify('[1,0]', 0);

-- Duplicates: a is enrolled twice, under one name and under another; the other gallery has one of them; a due one never shows.
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('other', 'watchlist', 'two', 0.9);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, quality)
SELECT g.gallery_id, md5(v.subject)::uuid, 'watchlist', v.e, 'test', v.n
FROM facematch.gallery g, (VALUES (1, 'a', '[1,0]'::face_embedding), (2, 'a', '[1,0.1]'), (3, 'alias', '[1,0.2]'), (4, 'b', '[0,1]'), (5, 'due', '[1,0]'),
	(6, 'chain', '[1,0.6]')) v (n, subject, e)
WHERE g.name = 'target';
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, quality)
SELECT g.gallery_id, md5('a')::uuid, 'watchlist', '[1,0.05]', 'test', 7 FROM facematch.gallery g WHERE g.name = 'other';
UPDATE facematch.reference SET purge_after = clock_timestamp() WHERE quality = 5;
CREATE VIEW number AS SELECT reference_id, quality AS n FROM facematch.reference;
SELECT a.n, b.n, d.similarity::numeric(6,4), d.same_subject FROM facematch.duplicates('target', 0.9) d
JOIN number a ON a.reference_id = d.reference_a JOIN number b ON b.reference_id = d.reference_b ORDER BY d.similarity DESC, 1, 2;
SELECT a.n, b.n, d.similarity::numeric(6,4), d.same_subject FROM facematch.duplicates('other', other => 'target') d
JOIN number a ON a.reference_id = d.reference_a JOIN number b ON b.reference_id = d.reference_b ORDER BY d.similarity DESC, 1, 2;
-- Different subjects whose references match each other, and the clusters of references that match, directly or through others.
SELECT least(d.subject_a, d.subject_b) = md5('a')::uuid AS is_a, count(*) AS pairs, max(d.similarity)::numeric(6,4) AS similarity
FROM facematch.duplicates('target', 0.9) d WHERE NOT d.same_subject GROUP BY least(d.subject_a, d.subject_b), greatest(d.subject_a, d.subject_b) ORDER BY 3 DESC;
SELECT c.n AS cluster, array_agg(DISTINCT m.n ORDER BY m.n) AS members, count(DISTINCT v.subject) AS subjects
FROM facematch.duplicates('target', 0.9) d CROSS JOIN LATERAL (VALUES (reference_a, subject_a), (reference_b, subject_b)) v (id, subject)
JOIN number c ON c.reference_id = d.cluster JOIN number m ON m.reference_id = v.id GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM facematch.duplicates('target', 1);
-- The index gives the same.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT a.n, b.n, d.similarity::numeric(6,4) FROM facematch.duplicates('target', 0.9) d
JOIN number a ON a.reference_id = d.reference_a JOIN number b ON b.reference_id = d.reference_b ORDER BY d.similarity DESC, 1, 2;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, md5(c.subject::text)::uuid, 'watchlist', c.e, 'test' FROM facematch.gallery g, circle c WHERE g.name = 'other';
ANALYZE facematch.reference;
SELECT (SELECT count(*) FROM facematch.duplicates('other', 0.999)) = (SELECT count(*) FROM facematch.reference a JOIN facematch.reference b
	ON a.gallery_id = b.gallery_id AND a.reference_id < b.reference_id AND face_similarity(a.embedding, b.embedding) >= 0.999
	JOIN facematch.gallery g ON g.gallery_id = a.gallery_id WHERE g.name = 'other') AS all_found;
SELECT (SELECT count(*) FROM facematch.duplicates('other', 0.999)) = count(*) AS as_in_a_batch FROM facematch.compare_sets('SELECT reference_id, subject_id, embedding FROM facematch.reference JOIN facematch.gallery USING (gallery_id) WHERE name = ''other''', NULL, 0.999);
DROP OWNED BY regress_analyst;
DROP ROLE regress_analyst;
