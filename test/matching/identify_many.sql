-- identify_many(): for each probe what identify() tells, and the rows that it leaves.
\set SHOW_CONTEXT never
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 7, 64), ('other', 8, 64);
INSERT INTO facematch.gallery (name, kind, model, min_similarity)
VALUES ('G', 'flight', 'm', 0.4), ('H', 'flight', 'm', 0.4), ('empty', 'flight', 'm', 0.4);
-- Person p's reference r: mostly the person, some of it chance; four in five are in G.
CREATE FUNCTION template(p int, r int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$
  SELECT array_agg((hashint8extended(i, p) % 1000 + 0.6 * (hashint8extended(i, 1000000 + p * 10 + r) % 1000))::float8
                   ORDER BY i)::face_embedding FROM generate_series(1, 64) i
$$;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT 1 + (p % 5 = 4)::int, lpad(p::text, 32, '0')::uuid, 'watchlist', template(p, r), 's'
FROM generate_series(1, 1500) p, generate_series(1, 1 + p % 3) r;
SELECT array_agg(template(p, 9) ORDER BY p) AS probes FROM generate_series(1450, 1550) p \gset

SELECT probe, rank, right(subject_id::text, 4) AS subject, round(similarity::numeric, 2) AS similarity, matches
FROM facematch.identify_many((:'probes'::face_embedding[])[48:54], 'G');
SELECT probe, rank, right(subject_id::text, 4) AS subject, matches
FROM facematch.identify_many((:'probes'::face_embedding[])[48:54], 'G', 2, by => 'reference');

-- Refused before anything is compared or written down, whichever probe it is that is wrong.
SELECT count(*) AS searches FROM facematch.search \gset
SELECT * FROM facematch.identify_many(NULL, 'G');
SELECT * FROM facematch.identify_many(ARRAY[template(1, 9), NULL], 'G');
SELECT * FROM facematch.identify_many(ARRAY[template(1, 9), '[1,2]'], 'G');
SELECT * FROM facematch.identify_many(ARRAY[template(1, 9), face_with_model(template(1, 9), 8)], 'G');
SELECT * FROM facematch.identify_many(ARRAY[template(1, 9)], 'nowhere');
SELECT * FROM facematch.identify_many(ARRAY[template(1, 9)], 'G', 0);
SELECT * FROM facematch.identify_many(ARRAY[template(1, 9)], 'G', 1, 1.5);
SELECT * FROM facematch.identify_many(ARRAY[template(1, 9)], 'G', by => 'face');
SELECT * FROM facematch.identify_many('{}', 'nowhere');
SELECT count(*) FROM facematch.identify_many('{}', 'G');
SELECT count(*) - :searches AS searches FROM facematch.search;
SELECT count(*) FROM facematch.identify_many(:'probes', 'empty', purpose => 'boarding');
SELECT kind, purpose, candidates, count(*) FROM facematch.search WHERE purpose IS NOT NULL GROUP BY 1, 2, 3;
-- Rows and columns of an array are counted as unnest() does; the same probe twice is two searches.
SELECT probe, right(subject_id::text, 4) AS subject
FROM facematch.identify_many(ARRAY[[template(1, 9), template(2, 9)], [template(3, 9), template(1, 9)]], 'G', 1);

-- Equal to identify(), by the index, by a B-tree, by a sequential scan; with room for all probes' pass, and for few.
CREATE FUNCTION compare(probes face_embedding[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  g text; k int; t float8; b text; one text; many text; singly int; together int; found int := 0; n int := 0; before int;
BEGIN
  FOR g, k, t, b IN
    SELECT * FROM unnest(ARRAY['G', 'H']) g, unnest(ARRAY[1, 3]) k, unnest(ARRAY[NULL, -0.2, 0.3, 0.7]) t,
      unnest(ARRAY['subject', 'reference']) b
  LOOP
    before := (SELECT count(*) FROM facematch.search);
    SELECT string_agg((o, i.*)::text, ' ' ORDER BY o, i.rank) INTO one
    FROM unnest(probes) WITH ORDINALITY p (probe, o), facematch.identify(p.probe, g, k, t, b) i;
    singly := (SELECT count(*) FROM facematch.search) - before;
    SELECT string_agg(i::text, ' ' ORDER BY i.probe, i.rank), count(*) INTO many, n
    FROM facematch.identify_many(probes, g, k, t, b) i;
    together := (SELECT count(*) FROM facematch.search) - before - singly;
    ASSERT one IS NOT DISTINCT FROM many, format('%s %s %s %s: %s instead of %s', g, k, t, b, many, one);
    ASSERT singly = together AND singly = cardinality(probes), format('%s rows and %s', singly, together);
    found := found + n;
  END LOOP;
  RETURN format('%s candidates', found);
END $$;
ANALYZE facematch.reference;
-- Buffers read for each probe, singly and together, where there are no candidates: sketch pages are most of them.
CREATE FUNCTION reads(query text, probes face_embedding[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO plan USING probes;
  RETURN (plan->0->'Plan'->>'Shared Hit Blocks')::int / cardinality(probes);
END $$;
CREATE FUNCTION spared(probes face_embedding[]) RETURNS integer LANGUAGE sql AS $$
  SELECT reads($q$SELECT facematch.identify(p, 'G', 1, 0.95) FROM unnest($1) p$q$, probes) -
    reads($q$SELECT facematch.identify_many($1, 'G', 1, 0.95)$q$, probes)
$$;
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
SELECT compare(:'probes');
SELECT compare(ARRAY[template(1, 9), template(1, 9), template(2, 1), template(1, 9)]);
SELECT compare(ARRAY[face_with_model(template(1, 9), 7), template(1, 9), face_with_model(template(4, 9), 7)]);
BEGIN;
-- 13 sketch pages and the way to them are read once for a batch.
SELECT spared(:'probes') > 12 AS spared;
SET LOCAL work_mem = 64;
SELECT compare(:'probes');
SELECT spared(:'probes') > 12 AS spared;
-- What the transaction itself has done is seen.
DELETE FROM facematch.reference WHERE subject_id = lpad('1498', 32, '0')::uuid;
SELECT count(*) FROM facematch.identify_many((:'probes'::face_embedding[])[49:49], 'G');
UPDATE facematch.reference SET purge_after = clock_timestamp() WHERE subject_id = lpad('1497', 32, '0')::uuid;
SELECT count(*) FROM facematch.identify_many((:'probes'::face_embedding[])[48:48], 'G');
ROLLBACK;
RESET enable_sort;
SET enable_indexscan = off;
SELECT compare(:'probes');
RESET ALL;
SET enable_indexscan = off; SET enable_bitmapscan = off;
SELECT compare(:'probes');
RESET ALL;

-- A role that may not read templates: strengths instead of scores, its thresholds, its attempts.
CREATE ROLE facematch_test_many;
SELECT facematch.grant_operator('facematch_test_many');
SET facematch.attempts_per_day = 3;
SET SESSION AUTHORIZATION facematch_test_many;
SELECT probe, rank, similarity
FROM facematch.identify_many(ARRAY[template(10, 9), template(1549, 9), template(11, 9)], 'G', 1);
SELECT * FROM facematch.identify_many(ARRAY[template(10, 9)], 'G', min_similarity => 0.39);
\set VERBOSITY terse
SELECT count(*) FROM facematch.identify_many(ARRAY[template(10, 9), template(10, 9), template(10, 9)], 'G', 1);
\set VERBOSITY default
RESET SESSION AUTHORIZATION;
SELECT candidates, refused, count(*) FROM facematch.search WHERE role_name = 'facematch_test_many' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT facematch.revoke_access('facematch_test_many');
DROP ROLE facematch_test_many;
