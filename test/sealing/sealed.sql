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
