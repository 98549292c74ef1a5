-- Sealed templates as values, and where there is no place for keys.  With keys: test/sealing/sealed.pl.
\set SHOW_CONTEXT never
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F', 'flight', 'two', 0.99, now() + interval '2 hours');
SELECT sealed FROM facematch.gallery;

-- Text and binary forms come back as they were, without any key.
CREATE TABLE value (v face_embedding);
INSERT INTO value VALUES ('sealed:1:2:11111111-2222-4333-8444-555555555555:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIj'),
	('sealed:1:2:11111111-2222-4333-8444-555555555555:/wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIj'), ('1:[3,4]');
TABLE value;
SELECT face_dims(v), face_model(v), facematch_internal.sealed_by(v) FROM value;
SELECT v::text::face_embedding = v AS same FROM value;
COPY (SELECT v FROM value) TO '/tmp/facematch_sealed_values' (FORMAT binary);
CREATE TABLE back (v face_embedding(2, 1));
COPY back FROM '/tmp/facematch_sealed_values' (FORMAT binary);
SELECT count(*) FROM back JOIN value USING (v);
\! rm -f /tmp/facematch_sealed_values

-- As values they are compared by their bytes.
SELECT count(DISTINCT v) FROM (TABLE value UNION ALL TABLE value) t;
SELECT a.v < b.v OR a.v > b.v AS ordered, a.v = b.v AS equal FROM value a, value b WHERE a.ctid < b.ctid;
SELECT count(*) FROM value a JOIN value b ON a.v = b.v;
SELECT 'sealed:1:2:11111111-2222-4333-8444-555555555555:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIj'::face_embedding(3);
SELECT 'sealed:1:2:11111111-2222-4333-8444-555555555555:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIj'::face_embedding(2, 7);

-- What is not of the form is refused, and not repeated.
SELECT 'sealed:'::face_embedding;
SELECT 'sealed:1:2:3'::face_embedding;
SELECT 'sealed:0x1:2:11111111-2222-4333-8444-555555555555:AAEC'::face_embedding;
SELECT 'sealed:32768:2:11111111-2222-4333-8444-555555555555:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIj'::face_embedding;
SELECT 'sealed:1:3585:11111111-2222-4333-8444-555555555555:AAEC'::face_embedding;
SELECT 'sealed:1:2:11111111-2222-4333-8444-55555555555:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIj'::face_embedding;
SELECT 'sealed:1:2:11111111-2222-4333-8444-555555555555:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJA=='::face_embedding;
SELECT 'sealed:1:2:11111111-2222-4333-8444-555555555555:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISI*'::face_embedding;

-- Components are given out by nothing that is not logged.
SELECT face_norm(v) FROM value LIMIT 1;
SELECT v::real[] FROM value LIMIT 1;
SELECT v::double precision[] FROM value LIMIT 1;
SELECT l2_normalize(v) FROM value LIMIT 1;
SELECT v || v FROM value LIMIT 1;
SELECT avg(v) FROM value;
SELECT sum(v) FROM value;
SELECT face_with_model(v, 2) FROM value LIMIT 1;

-- Without a place for keys a comparison is an error, and so is a sealed gallery's first template.
SELECT v <=> '1:[3,4]' FROM value;
SELECT face_match(v, '1:[3,4]', 0.5) FROM value;
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed) VALUES ('S', 'flight', 'two', 0.99, now() + interval '2 hours', true);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (2, gen_random_uuid(), 'us_citizen', '[3,4]', 's');
SELECT severity, finding, object FROM facematch.health_check() WHERE finding ~ 'sealed';
CALL facematch.rotate_keys('none');
CALL facematch.rotate_keys('S', 0);
CALL facematch.rotate_keys('S');
BEGIN;
CALL facematch.rotate_keys('S');
ROLLBACK;

-- Distances to a few vectors are the template: who has stolen a sealed one, and may not read templates, has it opened by
-- nothing.  The right is asked for before the key.
\set VERBOSITY default
CREATE ROLE facematch_test_thief;
GRANT SELECT ON value TO facematch_test_thief;
CREATE TABLE plain (v face_embedding(2, 1));
INSERT INTO plain VALUES ('[3,4]');
CREATE INDEX ON plain USING facematch (v);
GRANT SELECT ON plain TO facematch_test_thief;
SELECT v AS stolen FROM value LIMIT 1 \gset
SET SESSION AUTHORIZATION facematch_test_thief;
SELECT v <=> '1:[3,4]' FROM value;
SELECT '1:[3,4]' <-> v FROM value;
SELECT v <#> '1:[3,4]' FROM value;
\set VERBOSITY terse
SELECT face_similarity(v, '1:[3,4]') FROM value;
SELECT face_match(v, '1:[3,4]', 0.5) FROM value;
SELECT v =~ face_probe('1:[3,4]', 0.5) FROM value;
SELECT '1:[3,4]'::face_embedding =~ face_probe(v, 0.5) FROM value;
-- This one raises no error, and says nothing.
SELECT bool_and(v =~? face_probe('1:[3,4]', 1)), bool_and('1:[3,4]'::face_embedding =~? face_probe(v, 1)) FROM value
WHERE v::text LIKE 'sealed:%';
SET enable_seqscan = off;
SELECT FROM plain ORDER BY v <=> :'stolen';
SELECT FROM plain WHERE v =~? face_probe(:'stolen', 0.5);
RESET enable_seqscan;
RESET SESSION AUTHORIZATION;
-- Nor is it told by searches among templates of one's own: neither as a probe nor as a reference.
SELECT facematch.grant_operator('facematch_test_thief');
SET SESSION AUTHORIZATION facematch_test_thief;
SELECT * FROM facematch.identify(:'stolen', 'F');
SELECT * FROM facematch.identify_many(ARRAY['1:[3,4]', :'stolen']::face_embedding[], 'F');
SELECT * FROM facematch.verify(:'stolen', 1);
SELECT * FROM facematch.verify(:'stolen', 'F', gen_random_uuid());
SELECT * FROM facematch.record_encounter('F', :'stolen', port => 'P');
SELECT * FROM facematch.search_shards(:'stolen');
SELECT facematch.enrol('F', gen_random_uuid(), :'stolen', 'us_citizen', 'passport');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (1, gen_random_uuid(), 'us_citizen', :'stolen', 'passport');
RESET SESSION AUTHORIZATION;
-- Nor is anything that fails for a sealed one asked before a policy: a key may be missing.
\set VERBOSITY default
CREATE FUNCTION fails(f regprocedure) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	arguments text := (SELECT string_agg(CASE format_type(t, NULL) WHEN 'face_embedding' THEN quote_literal(v) || '::face_embedding'
		WHEN 'face_probe' THEN format('face_probe(%L, 0.5)', v) ELSE '1' END, ', ')
		FROM unnest((SELECT proargtypes::oid[] FROM pg_proc WHERE oid = f)) t, (SELECT v FROM value LIMIT 1) s);
BEGIN
	EXECUTE format('SELECT %s(%s)', f::regproc, arguments);
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END
$$;
SELECT count(*) AS leakproof, count(fails(p.oid)) AS fail FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE p.proleakproof AND d.deptype = 'e' AND p.proargtypes::oid[] && ARRAY['face_embedding', 'face_probe']::regtype[]::oid[];
SELECT fails('face_norm(face_embedding)');
SELECT facematch.revoke_access('facematch_test_thief');
REVOKE SELECT ON value, plain FROM facematch_test_thief;
DROP ROLE facematch_test_thief;
