-- identify() and verify(): exact, in order, ties the same way, errors before comparisons.
\set SHOW_CONTEXT never
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 7, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('G', 'flight', 'two', 0.5), ('H', 'flight', 'two', 0.5), ('empty', 'flight', 'two', 0.5);
-- On a circle: reference n of G stands at 10n degrees; H has ten at the same place, in two magnitudes, and two more.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT 1, lpad(n::text, 32, '0')::uuid, 'watchlist', ARRAY[cosd(10 * n), sind(10 * n)]::face_embedding, 's' FROM generate_series(0, 17) n;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT 2, gen_random_uuid(), 'watchlist', e::face_embedding, 's'
FROM (VALUES (1, '[0,4]'), (2, '[1,1]')) v(o, e), generate_series(1, 5) n ORDER BY n, o;

SELECT rank, reference_id, right(subject_id::text, 2) AS subject, round(similarity::numeric, 3) AS similarity
FROM facematch.identify(probe => '7:[1,0]', gallery => 'G');
SELECT rank, reference_id FROM facematch.identify('[1,0]', 'G', max_candidates => 2);
SELECT rank, reference_id, round(similarity::numeric, 3) AS similarity FROM facematch.identify('[1,0]', 'G', 100, -1) WHERE rank > 16;
SELECT count(*) FROM facematch.identify('[1,0]', 'G', min_similarity => 1);
SELECT count(*) FROM facematch.identify('[-1,0]', 'G', min_similarity => 0.99);
SELECT count(*) FROM facematch.identify('[1,0]', 'empty');

-- Ties at the end of the list are cut in order of reference_id, whatever the plan and the order of rows.
SELECT k, array_agg(reference_id ORDER BY rank) FROM generate_series(1, 7) k, facematch.identify('[0,2]', 'H', k) GROUP BY k ORDER BY k;
UPDATE facematch.reference SET source = 'again' WHERE reference_id IN (19, 21);
SET enable_indexscan = off; SET enable_bitmapscan = off;
SELECT k, array_agg(reference_id ORDER BY rank) FROM generate_series(1, 7) k, facematch.identify('[0,2]', 'H', k) GROUP BY k ORDER BY k;
RESET enable_indexscan; RESET enable_bitmapscan;

-- Equal to a look at every row, for every probe, number and threshold.
DO $$
DECLARE fast bigint[]; slow bigint[]; searches int := 0; candidates int := 0; g record; p int; k int; t float8;
BEGIN
  FOR g IN SELECT * FROM facematch.gallery LOOP
    FOR p IN 0..35 LOOP
      FOREACH k IN ARRAY ARRAY[1, 2, 5, 100] LOOP
        FOREACH t IN ARRAY ARRAY[-1, -0.2, 0, 0.5, 0.9, 1] LOOP
          SELECT array_agg(i.reference_id ORDER BY i.rank) INTO fast
          FROM facematch.identify(ARRAY[cosd(10 * p), sind(10 * p)]::face_embedding, g.name, k, t) i;
          SELECT array_agg(s.reference_id ORDER BY s.n) INTO slow FROM (
            SELECT r.reference_id, row_number() OVER (ORDER BY r.embedding <=> ARRAY[cosd(10 * p), sind(10 * p)]::face_embedding, r.reference_id) AS n
            FROM facematch.reference r
            WHERE r.gallery_id = g.gallery_id AND face_similarity(r.embedding, ARRAY[cosd(10 * p), sind(10 * p)]::face_embedding) >= t) s
          WHERE s.n <= k;
          ASSERT fast IS NOT DISTINCT FROM slow, format('%s, probe %s, %s candidates, threshold %s: %s instead of %s', g.name, p, k, t, fast, slow);
          searches := searches + 1;
          candidates := candidates + coalesce(cardinality(fast), 0);
        END LOOP;
      END LOOP;
    END LOOP;
  END LOOP;
  RAISE NOTICE '% searches, % candidates', searches, candidates;
END $$;

-- A due reference is no candidate, by the clock and not by the transaction's start.
BEGIN;
SELECT reference_id FROM facematch.identify('[1,0]', 'G', 1);
UPDATE facematch.reference SET purge_after = clock_timestamp() WHERE reference_id = 1;
SELECT reference_id FROM facematch.identify('[1,0]', 'G', 1);
UPDATE facematch.reference SET purge_after = clock_timestamp() + interval '1 hour' WHERE reference_id = 2;
SELECT reference_id FROM facematch.identify('[1,0]', 'G', 1);
SELECT * FROM facematch.verify('[1,0]', 1);
COMMIT;

-- 1:1
SELECT match, round(similarity::numeric, 3) AS similarity, threshold, matched_subject IS NOT NULL AS subject FROM facematch.verify(probe => '[1,0]', reference_id => 3);
SELECT match, round(similarity::numeric, 3) AS similarity, threshold, matched_subject IS NOT NULL AS subject FROM facematch.verify('[-1,0]', 3);
SELECT match, threshold FROM facematch.verify('[1,0]', 3, min_similarity => 0.99);
SELECT match, similarity FROM facematch.verify('[1,1]', 3, min_similarity => (SELECT similarity FROM facematch.verify('[1,1]', 3)));
SELECT * FROM facematch.verify('[1,0]', 999);
SELECT * FROM facematch.verify('[1,0]', NULL);
-- Of the person that the caller names, or a miss.
SELECT match, matched_reference FROM facematch.reference r, facematch.verify('[1,0]', 3, r.subject_id) WHERE r.reference_id = 3;
SELECT * FROM facematch.verify('[1,0]', 3, gen_random_uuid());
-- Literals without a type: the first form has a number only if nothing else follows it.
SELECT match, threshold FROM facematch.verify('[1,0]', '3');
SELECT * FROM facematch.verify('[1,0]', 'G', '00000000-0000-0000-0000-000000000001');
SELECT * FROM facematch.verify('[1,0]', 'G', '00000000-0000-0000-0000-000000000001', '0.5', 'a test');
SELECT * FROM facematch.verify('[1,0]', '3', 'a purpose');
SELECT match, threshold FROM facematch.verify('[1,0]', '3', purpose => 'a test');
SELECT match, threshold FROM facematch.verify('[1,0]', '3', min_similarity => '0.5', purpose => 'a test');

-- Errors, said even where there is nothing to compare.
SELECT * FROM facematch.identify('[1,0]', 'no such flight');
SELECT * FROM facematch.identify('[1,0]', NULL);
SELECT * FROM facematch.identify(NULL, 'empty');
SELECT * FROM facematch.identify('8:[1,0]', 'empty');
SELECT * FROM facematch.identify('[1,0,0]', 'empty');
SELECT * FROM facematch.identify('[1,0]', 'empty', 0);
SELECT * FROM facematch.identify('[1,0]', 'empty', NULL);
SELECT * FROM facematch.identify('[1,0]', 'empty', 1, 1.5);
SELECT * FROM facematch.identify('[1,0]', 'empty', 1, 'NaN');
SELECT * FROM facematch.verify(NULL, 3);
SELECT * FROM facematch.verify(NULL, 999);
SELECT * FROM facematch.verify('8:[1,0]', 3);
SELECT * FROM facematch.verify('[1,0]', 3, min_similarity => -2);

-- No search path of the caller's changes what is compared.
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.nothing(face_embedding, face_embedding) RETURNS float8 LANGUAGE sql AS 'SELECT 0.0::float8';
CREATE OPERATOR hostile.<=> (FUNCTION = hostile.nothing, LEFTARG = face_embedding, RIGHTARG = face_embedding);
CREATE FUNCTION hostile.face_similarity(face_embedding, face_embedding) RETURNS float8 LANGUAGE sql AS 'SELECT 1.0::float8';
SET search_path = hostile, pg_catalog, public;
SELECT reference_id, round(similarity::numeric, 3) AS similarity FROM facematch.identify('[0,1]', 'G', 1);
SELECT match FROM facematch.verify('[-1,0]', 3);
RESET search_path;

-- Without a grant on the tables it finds nothing out.
CREATE ROLE facematch_test_stranger;
SET ROLE facematch_test_stranger;
SELECT * FROM facematch.identify('[1,0]', 'G');
RESET ROLE;
GRANT USAGE ON SCHEMA facematch, facematch_internal TO facematch_test_stranger;
SET ROLE facematch_test_stranger;
SELECT * FROM facematch.identify('[1,0]', 'G');
RESET ROLE;
-- A site's policy whose function catches errors is asked while references are counted.
CREATE FUNCTION caught(bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN BEGIN RAISE EXCEPTION 'x'; EXCEPTION WHEN OTHERS THEN NULL; END; RETURN true; END $$;
CREATE POLICY site ON facematch.reference TO facematch_test_stranger USING (caught(gallery_id));
GRANT SELECT ON facematch.reference TO facematch_test_stranger;
GRANT EXECUTE ON FUNCTION facematch_internal.gallery_size(bigint) TO facematch_test_stranger;
SET ROLE facematch_test_stranger;
SELECT (facematch_internal.gallery_size(r.gallery_id)).live_references = count(*) AS counted FROM facematch.reference r GROUP BY r.gallery_id ORDER BY r.gallery_id LIMIT 1;
RESET ROLE;
DROP POLICY site ON facematch.reference;
DROP OWNED BY facematch_test_stranger;
DROP ROLE facematch_test_stranger;
