-- facematch.index_stats, index_epochs, index_check and index_problems on sound indexes, after everything that changes
-- one; t/020_index_damage.pl shows that they find damage.
SET client_min_messages = warning;
\pset null -

CREATE FUNCTION template(seed int, dims int, shift real DEFAULT 0) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg((sin(seed * 12.9898 + d * 78.233) + shift)::real ORDER BY d)::face_embedding FROM generate_series(1, dims) d $$;

CREATE TABLE faces (id int PRIMARY KEY, gallery int, embedding face_embedding) WITH (autovacuum_enabled = off);
INSERT INTO faces SELECT i, i % 20, template(i, 512) FROM generate_series(1, 800) i;
INSERT INTO faces SELECT 1000 + i, i % 3, face_with_model(template(i, 100, 0.7), 7) FROM generate_series(1, 300) i;
INSERT INTO faces SELECT 2000 + i, i % 5, NULL FROM generate_series(1, 50) i;
CREATE INDEX by_gallery ON faces USING facematch (gallery, embedding);
CREATE INDEX all_together ON faces USING facematch (embedding);
CREATE INDEX of_some ON faces USING facematch ((gallery::text || 'x'), embedding) WHERE id % 3 = 0;

-- What is counted, against the table.
CREATE VIEW counted AS
SELECT name, lists, templates, null_embeddings, dead, slots = free_slots + templates + null_embeddings AS slots_add_up,
	round(fill_percent::numeric, 6) = round(100.0 * (templates + null_embeddings) / nullif(slots, 0), 6) AS fill,
	index_size = pg_relation_size(name::regclass) AS size,
	index_size / 8192 = 1 + directory_pages + centre_pages + sketch_pages + plane_pages + refine_pages + free_pages AS pages_add_up,
	damaged_pages, round((bytes_per_template * templates)::numeric) = index_size AS bytes
FROM (VALUES ('by_gallery'), ('all_together'), ('of_some')) v (name), facematch.index_stats(name::regclass, true);
SELECT * FROM counted;
SELECT count(DISTINCT (gallery, face_dims(embedding))) AS lists, count(embedding) AS templates,
	count(*) - count(embedding) AS null_embeddings FROM faces;
SELECT dead FROM facematch.index_stats('by_gallery');
SELECT version, sketch_bytes = 800 * 512 / 8 + 300 * 128 * 2 / 8 AS sketches FROM facematch.index_stats('by_gallery');

-- The model's templates have a common mean; the others have none.
SELECT dims, model, sketch_bits, plane_bits, refine_bits, rotation_seed ~ '^[0-9a-f]{16}$' AS seed, round(centre_length::numeric, 1) AS centre,
	templates, sketch_bytes, plane_bytes, refine_bytes, plane_pages = sketch_pages * plane_bits AS plane_pages
FROM facematch_internal.index_epochs('by_gallery') ORDER BY dims DESC;
SELECT count(DISTINCT rotation_seed) > 1 AS own_seed FROM facematch_internal.index_epochs('by_gallery') WHERE dims > 0;
SELECT sum(e.slots) = s.slots AND sum(e.sketch_pages) = s.sketch_pages AND sum(e.refine_pages) = s.refine_pages
	AND sum(e.plane_pages) = s.plane_pages AS add_up
FROM facematch_internal.index_epochs('by_gallery') e, facematch.index_stats('by_gallery') s GROUP BY s.slots, s.sketch_pages, s.plane_pages, s.refine_pages;

-- Sound after every kind of change.
CREATE VIEW problems AS
SELECT name, p.* FROM (VALUES ('by_gallery'), ('all_together'), ('of_some')) v (name), facematch.index_problems(name::regclass, true) p
UNION ALL SELECT name, p.* FROM (VALUES ('by_gallery'), ('all_together'), ('of_some')) v (name), facematch.index_problems(name::regclass) p;
SELECT * FROM problems;
INSERT INTO faces SELECT 3000 + i, i % 300, template(i, 512) FROM generate_series(1, 900) i;
UPDATE faces SET gallery = gallery + 1 WHERE id % 7 = 0;
BEGIN;
INSERT INTO faces SELECT 9000 + i, i % 3, template(i, 64) FROM generate_series(1, 70) i;
SELECT * FROM problems;
ROLLBACK;
SELECT * FROM problems;
SELECT name, dead FROM counted;
DELETE FROM faces WHERE id % 2 = 0 OR gallery > 100;
SELECT * FROM problems;
VACUUM faces;
SELECT name, dead, templates FROM counted;
SELECT count(embedding) AS templates FROM faces;
SELECT * FROM problems;
SELECT free_pages > 0 AS given_back FROM facematch.index_stats('by_gallery');
INSERT INTO faces SELECT 5000 + i, i % 30, template(i, 512) FROM generate_series(1, 600) i;
SELECT * FROM problems;
DELETE FROM faces;
VACUUM faces;
SELECT * FROM counted;
SELECT * FROM problems;
INSERT INTO faces SELECT i, i % 3, template(i, 512) FROM generate_series(1, 100) i;
SELECT * FROM problems;
REINDEX INDEX CONCURRENTLY by_gallery;
SELECT * FROM problems;
SELECT facematch.index_check('by_gallery'), facematch.index_check('by_gallery', true);

-- Galleries enough to split buckets.
CREATE TABLE small (gallery bigint, embedding face_embedding);
CREATE INDEX many_galleries ON small USING facematch (gallery, embedding);
INSERT INTO small SELECT i, '[1,2]' FROM generate_series(1, 3000) i;
SELECT lists FROM facematch.index_stats('many_galleries');
SELECT * FROM facematch.index_problems('many_galleries', true);

-- A bucket that can be split no more goes on in overflow pages: galleries chosen by what the directory hashes, the hash of
-- the key column in the server's byte order.
CREATE FUNCTION reversed(b bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT substr(b, 8, 1) || substr(b, 7, 1)
	|| substr(b, 6, 1) || substr(b, 5, 1) || substr(b, 4, 1) || substr(b, 3, 1) || substr(b, 2, 1) || substr(b, 1, 1) $$;
CREATE FUNCTION directory_slot(gallery bigint, part bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
	SELECT uuid_hash_extended(encode(reversed(int8send(hashint8extended(gallery, 0))) || reversed(int8send(hashint8extended(part, 0))),
		'hex')::uuid, 0) & 1023 $$;
CREATE TABLE crowded (gallery bigint, part bigint, embedding face_embedding);
CREATE INDEX one_bucket ON crowded USING facematch (gallery, part, embedding);
INSERT INTO crowded SELECT i, 0, '[1,2]' FROM generate_series(1, 180000) i WHERE directory_slot(i, 0) = 5;
SELECT count(*) > 146 AS more_than_a_page FROM crowded;
SELECT lists = (SELECT count(*) FROM crowded) AS lists, directory_pages FROM facematch.index_stats('one_bucket');
SELECT * FROM facematch.index_problems('one_bucket', true);
SELECT * FROM facematch.index_problems('one_bucket');
-- VACUUM merges overflow pages, and what is left is found.
DELETE FROM crowded WHERE gallery % 7 <> 0;
VACUUM crowded;
SELECT lists = (SELECT count(*) FROM crowded) AS lists, directory_pages FROM facematch.index_stats('one_bucket');
SELECT * FROM facematch.index_problems('one_bucket', true);
SET enable_seqscan = off;
SELECT count(*) AS galleries, count(found.gallery) AS found FROM (SELECT * FROM crowded WHERE gallery % 7 = 0) c
LEFT JOIN LATERAL (SELECT gallery FROM crowded r WHERE r.gallery = c.gallery AND r.part = 0 ORDER BY r.embedding <=> '[1,2]' LIMIT 1) found ON true;
RESET enable_seqscan;
INSERT INTO crowded SELECT i, 0, '[1,2]' FROM generate_series(1, 180000) i WHERE directory_slot(i, 0) = 5 AND i % 7 <> 0;
SELECT lists = (SELECT count(*) FROM crowded) AS lists, directory_pages FROM facematch.index_stats('one_bucket');
SELECT * FROM facematch.index_problems('one_bucket', true);

-- Unlogged and temporary indexes, snapshots older than the index's rows.
CREATE UNLOGGED TABLE fleeting AS SELECT * FROM faces;
CREATE INDEX fleeting_index ON fleeting USING facematch (gallery, embedding);
CREATE TEMP TABLE passing AS SELECT * FROM faces;
CREATE INDEX passing_index ON passing USING facematch (gallery, embedding);
SELECT facematch.index_check('fleeting_index', true), facematch.index_check('passing_index', true);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM faces;
CREATE INDEX later ON faces USING facematch (embedding);
SELECT facematch.index_check('later', true);
ROLLBACK;

-- What they are not for.
\set VERBOSITY sqlstate
SELECT facematch.index_stats('faces');
SELECT facematch.index_stats('faces_pkey');
SELECT facematch_internal.index_epochs('faces_pkey');
SELECT facematch.index_check('faces_pkey');
CREATE TABLE parted (gallery int, embedding face_embedding) PARTITION BY LIST (gallery);
CREATE INDEX parted_index ON parted USING facematch (gallery, embedding);
SELECT facematch.index_check('parted_index');
SELECT facematch.index_check(NULL);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'all_together'::regclass;
SELECT facematch.index_check('all_together');
SELECT facematch.index_check('all_together', true);

-- Nothing of it is for everybody.
SELECT p.oid::regprocedure, has_function_privilege('pg_monitor', p.oid, 'EXECUTE') AS monitor, has_function_privilege('pg_read_all_data', p.oid, 'EXECUTE') AS anybody
FROM pg_proc p WHERE pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND proname LIKE 'index\_%' ORDER BY 1;

-- Expressions of an index run with its owner's rights, not the caller's.
CREATE ROLE regress_inspected;
CREATE SCHEMA inspected AUTHORIZATION regress_inspected;
SET ROLE regress_inspected;
CREATE FUNCTION inspected.who(gallery int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RAISE WARNING 'by %', current_user; RETURN gallery::text; END $$;
CREATE TABLE inspected.own (gallery int, embedding public.face_embedding);
INSERT INTO inspected.own VALUES (1, '[1]');
CREATE INDEX own_index ON inspected.own USING facematch (inspected.who(gallery), embedding);
RESET ROLE;
\set VERBOSITY terse
SELECT facematch.index_check('inspected.own_index', true);
DROP SCHEMA inspected CASCADE;
DROP ROLE regress_inspected;
