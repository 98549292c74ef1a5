-- The foreign key of references to their gallery's model, of which the guard does one side: every way in, the way a gallery
-- goes, and what one transaction does to both.
\set VERBOSITY terse
SET timezone = 'UTC';
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2), ('other', 2, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('a', 'watchlist', 'two', 0.5), ('b', 'watchlist', 'other', 0.5), ('c', 'watchlist', 'two', 0.5);
CREATE FUNCTION id(gallery text) RETURNS bigint LANGUAGE sql AS $$ SELECT gallery_id FROM facematch.gallery WHERE name = $1 $$;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE VIEW dangling AS SELECT count(*) FROM facematch.reference r
	WHERE NOT EXISTS (SELECT FROM facematch.gallery g WHERE (g.gallery_id, g.model_tag, g.dims) = (r.gallery_id, r.model_tag, r.dims));
PREPARE stage (bigint, int, face_embedding) AS
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES ($1, subject($2), 'watchlist', $3, 's') RETURNING facematch_internal.opened(embedding) AS embedding;

-- The key is declared, for the planner, for tools and for the order of a dump; its triggers on the references' side rest.
SELECT conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'facematch.reference'::regclass AND contype = 'f';
SELECT t.tgrelid::regclass, p.proname, t.tgenabled FROM pg_trigger t JOIN pg_constraint c ON c.oid = t.tgconstraint JOIN pg_proc p ON p.oid = t.tgfoid
WHERE c.conrelid = 'facematch.reference'::regclass ORDER BY 1, 2;

-- ways in
EXECUTE stage (id('a'), 1, '[1,0]');
EXECUTE stage (id('b'), 2, '[1,0]');
EXECUTE stage (id('a'), 3, '2:[1,0]');
EXECUTE stage (id('a'), 3, '[1,0,0]');
EXECUTE stage (0, 3, '[1,0]');
EXECUTE stage (0, 3, '1:[1,0]');
\set VERBOSITY default
\set SHOW_CONTEXT never
EXECUTE stage (-7, 3, '1:[1,0]');
\set VERBOSITY terse
COPY facematch.reference (gallery_id, subject_id, retention_class, embedding, source) FROM stdin;
0	00000000-0000-8000-8000-000000000003	watchlist	[1,0]	copy
\.
UPDATE facematch.reference SET gallery_id = id('b') WHERE subject_id = subject(1);
UPDATE facematch.reference SET gallery_id = 0 WHERE subject_id = subject(1);
UPDATE facematch.reference SET embedding = '2:[0,1]' WHERE subject_id = subject(1);
UPDATE facematch.reference SET embedding = '[0,1]' WHERE subject_id = subject(1) RETURNING facematch_internal.opened(embedding) AS embedding;
UPDATE facematch.reference SET gallery_id = id('c') WHERE subject_id = subject(1) RETURNING gallery_id = id('c') AS moved;
UPDATE facematch.reference SET gallery_id = id('b'), embedding = '[1,0]' WHERE subject_id = subject(1) RETURNING facematch_internal.opened(embedding) AS embedding;
MERGE INTO facematch.reference r USING (VALUES (subject(1))) v (s) ON r.subject_id = v.s WHEN MATCHED THEN UPDATE SET gallery_id = 0;
INSERT INTO facematch.reference (reference_id, gallery_id, subject_id, retention_class, embedding, source) OVERRIDING SYSTEM VALUE
SELECT reference_id, gallery_id, subject_id, retention_class, embedding, source FROM facematch.reference WHERE subject_id = subject(1)
ON CONFLICT (reference_id) DO UPDATE SET gallery_id = 0;
SELECT n, x.severity FROM dangling d (n) LEFT JOIN facematch.health_check() x ON x.object = 'facematch.reference';

-- a gallery comes, changes and goes, and references with it, in one transaction
BEGIN;
SAVEPOINT s;
EXECUTE stage (1000, 4, '[1,0]');
ROLLBACK TO s;
INSERT INTO facematch.gallery (gallery_id, name, kind, model, min_similarity) OVERRIDING SYSTEM VALUE VALUES (1000, 'new', 'watchlist', 'two', 0.5);
EXECUTE stage (1000, 4, '[1,0]');
ROLLBACK TO s;
EXECUTE stage (1000, 4, '[1,0]');
ROLLBACK;
-- a table of one's own may name a gallery that comes later in the transaction
CREATE TABLE visit (id int, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, gallery_id bigint, e face_embedding);
SELECT facematch.retain('visit', 'reference', gallery_column => 'gallery_id');
BEGIN;
INSERT INTO visit (id, retention_class, subject_id, gallery_id, e) VALUES (1, 'watchlist', subject(5), 1001, '[1,0]');
INSERT INTO facematch.gallery (gallery_id, name, kind, model, min_similarity) OVERRIDING SYSTEM VALUE VALUES (1001, 'later', 'watchlist', 'two', 0.5);
EXECUTE stage (1001, 5, '[1,0]');
COMMIT;
DROP TABLE visit;
BEGIN;
EXECUTE stage (1001, 6, '[1,0]');
DELETE FROM facematch.gallery WHERE gallery_id = 1001;
SELECT count(*) FROM facematch.reference WHERE gallery_id = 1001;
SAVEPOINT s;
EXECUTE stage (1001, 7, '[1,0]');
ROLLBACK TO s;
EXECUTE stage (id('a'), 7, '[1,0]');
COMMIT;
BEGIN;
SAVEPOINT s;
DELETE FROM facematch.gallery WHERE name = 'a';
ROLLBACK TO s;
EXECUTE stage (id('a'), 8, '[1,0]');
COMMIT;
BEGIN;
SELECT id('c') AS c \gset
EXECUTE stage (:c, 9, '[1,0]');
DELETE FROM facematch.reference WHERE gallery_id = :c;
UPDATE facematch.gallery SET model = 'other' WHERE gallery_id = :c;
EXECUTE stage (:c, 9, '[1,0]');
COMMIT;
-- in one statement: the references go with the gallery, or are refused
WITH gone AS (DELETE FROM facematch.gallery WHERE gallery_id = :c RETURNING gallery_id)
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT gallery_id, subject(10), 'watchlist', '[1,0]', 's' FROM gone;
BEGIN;
EXECUTE stage (:c, 10, '[1,0]');
WITH gone AS (DELETE FROM facematch.gallery WHERE gallery_id = :c RETURNING gallery_id)
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT gallery_id, subject(10), 'watchlist', '[1,0]', 's' FROM gone;
SELECT count(*) FROM facematch.reference WHERE gallery_id = :c;
COMMIT;
WITH other AS (UPDATE facematch.gallery SET model = 'other' WHERE name = 'a' RETURNING gallery_id)
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT gallery_id, subject(10), 'watchlist', '1:[1,0]', 's' FROM other;
SELECT * FROM dangling;

-- what one transaction knew is nothing to the next one of the session
SELECT id('a') AS a \gset
EXECUTE stage (:a, 11, '[1,0]');
DELETE FROM facematch.gallery WHERE gallery_id = :a;
EXECUTE stage (:a, 12, '[1,0]');

-- a replica takes what it is sent, stamped where it can be, and health_check() says what is wrong with it
SET session_replication_role = replica;
EXECUTE stage (0, 13, '1:[1,0]');
EXECUTE stage (id('b'), 14, '[1,0]');
EXECUTE stage (id('b'), 15, '1:[1,0]');
EXECUTE stage (id('b'), NULL, '1:[1,0]');
RESET session_replication_role;
SELECT severity, object, finding FROM facematch.health_check() WHERE object ~ 'reference' AND finding !~ 'due';
DELETE FROM facematch.reference WHERE subject_id IN (subject(13), subject(15));

-- without the guard the key is not checked on the way in, and that is an error too; the constraint still is
ALTER TABLE facematch.reference DISABLE TRIGGER reference_20_guard;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after) VALUES (0, subject(16), 'watchlist', '1:[1,0]', 's', now() + interval '1 day');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after, quality) VALUES (id('b'), subject(16), 'watchlist', '2:[1,0]', 's', now() + interval '1 day', 101);
SELECT severity, object, finding FROM facematch.health_check() WHERE object ~ 'reference' AND finding !~ 'due' ORDER BY 2;
DELETE FROM facematch.reference WHERE subject_id = subject(16);
ALTER TABLE facematch.reference ENABLE ALWAYS TRIGGER reference_20_guard;
-- the gallery's side disabled: an error; the references' side enabled: dearer
ALTER TABLE facematch.gallery DISABLE TRIGGER ALL;
ALTER TABLE facematch.reference ENABLE TRIGGER ALL;
ALTER TABLE facematch.reference ENABLE ALWAYS TRIGGER reference_20_guard, ENABLE ALWAYS TRIGGER reference_40_truncate;
SELECT severity, count(*), object, finding FROM facematch_internal.installation_findings() WHERE finding ~ 'foreign key' AND object ~ '^reference_' GROUP BY 1, 3, 4 ORDER BY 1, 3;
EXECUTE stage (0, 17, '1:[1,0]');
EXECUTE stage (id('b'), 17, '[1,0]');
SELECT * FROM dangling;
