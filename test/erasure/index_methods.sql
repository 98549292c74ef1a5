-- Every index method, under each way to erase: what PostgreSQL's own methods do in VACUUM they do here in the state that VACUUM gives them.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = error;
CREATE EXTENSION bloom;
CREATE EXTENSION btree_gist;
CREATE EXTENSION pg_trgm;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('sightings', 'us_citizen', 'sighting', '{recorded}', '{10 days}', 'site rule', '-infinity');
CREATE TABLE sighting (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding(2), gate inet, place point, name text);
SELECT facematch.retain('sighting', 'sighting');


-- The same table with one index of a kind at a time: half of its rows are due.
CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
	INSERT INTO sighting SELECT n, 'us_citizen', now() - CASE WHEN n % 2 = 0 THEN interval '1 year' ELSE interval '1 day' END, NULL, '[1,0]',
								'10.0.0.0'::inet + n, point(n, n % 7), 'gate ' || n FROM generate_series(1, 1000) n $$;
CREATE FUNCTION clean() RETURNS boolean LANGUAGE sql AS $$ SELECT bool_and(v.clean) FROM facematch_internal.verify_pages('sighting') v WHERE v.part = 'table' $$;
CREATE TABLE method (n int, name text, definition text);
INSERT INTO method VALUES (2, 'btree', 'btree (gate)'), (3, 'hash', 'hash (gate)'), (4, 'gist', 'gist (place)'), (5, 'gist of an extension', 'gist (id)'),
	(6, 'spgist of inet', 'spgist (gate)'), (7, 'spgist quadtree', 'spgist (place)'), (8, 'spgist k-d tree', 'spgist (place kd_point_ops)'), (9, 'spgist radix tree', 'spgist (name)'),
	(10, 'gin', 'gin (name gin_trgm_ops)'), (11, 'brin', 'brin (recorded_at)'), (12, 'bloom', 'bloom (name)'), (13, 'facematch', 'facematch (id, e)'), (14, 'btree of an expression', 'btree (lower(name))');

-- CALL purge(), SELECT erase() and CALL erase_table(): the rows that stay, and whether the table's pages are clean.
\pset tuples_only on
SELECT format('SELECT %L', name), 'DROP INDEX IF EXISTS of_kind', format('CREATE INDEX of_kind ON sighting USING %s', definition), 'SELECT fill()',
	'CALL facematch.purge()', 'SELECT ''purge'', count(*), clean() FROM sighting',
	'DELETE FROM sighting WHERE id % 4 = 1', 'SELECT ''erase'', count(*) FROM facematch.erase(''sighting'') e WHERE e.relation::text !~ ''^pg_'' AND e.fading_tuples + e.busy_pages > 0',
	'SELECT clean()',
	'DELETE FROM sighting', 'CALL facematch.erase_table(''sighting'')', 'SELECT ''erase_table'', count(*), clean() FROM sighting'
FROM method ORDER BY n \gexec
\pset tuples_only off
