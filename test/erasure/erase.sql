-- facematch.erase() and verify_erased(): what they take and refuse, every kind of table, and the receipts of purges.
CREATE FUNCTION remains(t regclass) RETURNS TABLE (relation text, part text, clean boolean) LANGUAGE sql AS
	$$ SELECT regexp_replace(v.relation::text, '\d+', 'N'), v.part, v.clean FROM facematch_internal.verify_pages(t) v WHERE v.clean IS NOT TRUE AND v.part NOT LIKE '%map' $$;

-- What has no pages.
CREATE VIEW a_view AS SELECT 1 AS one;
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE far_away (id int) SERVER elsewhere;
SELECT facematch.erase('a_view');
SELECT DISTINCT relation::text ~ 'pg_' AS statistics_only FROM facematch.erase('far_away');
SELECT relation, part, clean, note FROM facematch.verify_erased('far_away') WHERE part = 'foreign table';
SELECT facematch.erase('no_table');
SELECT facematch.verify_erased();
SELECT facematch.verify_erased('a_view', 1);
SELECT facematch.verify_erased(receipt => 4711);
BEGIN READ ONLY;
SELECT facematch.erase('facematch.reference');
ROLLBACK;
CREATE ROLE erase_nobody;
SET ROLE erase_nobody;
SELECT facematch.erase('facematch.reference');
SELECT facematch.verify_erased('facematch.reference');
RESET ROLE;
DROP ROLE erase_nobody;

-- Partitions, with their TOAST tables and indexes; HOT updates, updates that are not, aborted work, locks.
CREATE TABLE parted (id int, g int, e face_embedding, photo text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100) WITH (autovacuum_enabled = off, fillfactor = 60);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200) WITH (autovacuum_enabled = off);
ALTER TABLE parted ALTER photo SET STORAGE EXTERNAL;
CREATE INDEX parted_id ON parted (id);
CREATE INDEX parted_face ON parted USING facematch (g, e);
INSERT INTO parted SELECT n, n % 2, ARRAY[n, 1, 2]::real[]::face_embedding, repeat('p', 3000) FROM generate_series(0, 199) n;
UPDATE parted SET photo = repeat('q', 2500) WHERE id % 10 = 1;
UPDATE parted SET e = '[1,2,3]' WHERE id % 10 = 2;
DELETE FROM parted WHERE id % 10 = 3;
BEGIN;
INSERT INTO parted SELECT n, 9, '[3,2,1]', repeat('r', 3000) FROM generate_series(0, 199) n;
SAVEPOINT s;
DELETE FROM parted WHERE id % 10 = 4;
ROLLBACK TO s;
UPDATE parted SET g = 5 WHERE id % 10 = 5;
ROLLBACK;
SELECT count(*) FROM (SELECT FROM parted WHERE id % 10 = 6 FOR SHARE) locked;
SELECT * FROM remains('parted') ORDER BY 1;
SELECT sum(removed) > 0 AS removed, sum(fading_tuples) AS fading, sum(busy_pages) AS busy FROM facematch.erase('parted');
SELECT * FROM remains('parted') ORDER BY 1;
SELECT sum(removed) AS removed, sum(pages_cleared) AS cleared FROM facematch_internal.erase_pages('parted');
SELECT count(*), count(DISTINCT e), sum(length(photo)) FROM parted;
SELECT facematch.index_check('parted_1_g_e_idx', true), facematch.index_check('parted_2_g_e_idx', true);
VACUUM parted;
SELECT count(*) FROM facematch.erase('parted');
SELECT * FROM remains('parted') ORDER BY 1;

-- Other kinds of tables.
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY, filler text);
CREATE TEMP TABLE temporary (id int PRIMARY KEY, filler text);
INSERT INTO unlogged SELECT n, repeat('u', 300) FROM generate_series(1, 100) n;
INSERT INTO temporary SELECT n, repeat('t', 300) FROM generate_series(1, 100) n;
DELETE FROM unlogged WHERE id % 2 = 0;
DELETE FROM temporary WHERE id % 2 = 0;
CREATE MATERIALIZED VIEW materialized AS SELECT * FROM unlogged;
SELECT count(*) FROM facematch.erase('unlogged') UNION ALL SELECT count(*) FROM facematch.erase('temporary') UNION ALL SELECT count(*) FROM facematch.erase('materialized');
SELECT * FROM remains('unlogged') UNION ALL SELECT * FROM remains('temporary') UNION ALL SELECT * FROM remains('materialized');

-- A transaction's own deletions may be rolled back: they are not erased, but counted.
BEGIN;
DELETE FROM unlogged WHERE id < 10;
SELECT fading_tuples FROM facematch_internal.erase_pages('unlogged') WHERE relation = 'unlogged'::regclass;
ROLLBACK;
SELECT count(*) FROM unlogged;

-- Receipts: a purge erases what it removed; one in a transaction block, and an opt-out, leave it to the next.
INSERT INTO facematch.model (name, tag, dims) VALUES ('three', 3, 3);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'three', 0.5, now());
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after)
	SELECT gallery_id, md5(n::text)::uuid, 'us_citizen', ARRAY[n, 1, 2]::real[]::face_embedding, 'passport', CASE WHEN n % 2 = 0 THEN now() END
	FROM facematch.gallery, generate_series(1, 40) n WHERE name = 'G';
SET facematch.purge_erases = off;
CALL facematch.purge();
SELECT receipt_id, rows_purged, erased IS NULL AS open, verified FROM facematch.report_erasure;
RESET facematch.purge_erases;
BEGIN;
UPDATE facematch.reference SET purge_after = now() WHERE subject_id::text < '8';
CALL facematch.purge();
COMMIT;
INSERT INTO facematch.opt_out (subject_id) SELECT max(subject_id::text)::uuid FROM facematch.reference;
SELECT cause, count(*), count(erased) AS erased FROM facematch.report_erasure GROUP BY 1 ORDER BY 1;
SELECT part, clean, note FROM facematch.verify_erased(receipt => (SELECT min(receipt_id) FROM facematch.purge_receipt)) WHERE part = 'receipt';
CALL facematch.purge();
SELECT cause, count(*), count(erased) AS erased, bool_and(verified) AS verified FROM facematch.report_erasure GROUP BY 1 ORDER BY 1;
SELECT table_name, fading_tuples, busy_pages, complete, verified, wal_lsn <= pg_current_wal_insert_lsn() AS wal, cardinality(unreachable) > 2 AS unreachable FROM facematch_internal.erasure;
SELECT part, clean, note FROM facematch.verify_erased(receipt => (SELECT min(receipt_id) FROM facematch.purge_receipt)) WHERE part = 'receipt';
SELECT * FROM remains('facematch.reference');
CALL facematch.purge();
SELECT count(*) FROM facematch_internal.erasure;
UPDATE facematch_internal.erasure SET verified = false;
DELETE FROM facematch_internal.erased_receipt;
TRUNCATE facematch_internal.erased_receipt;

-- A purge takes values that may be templates out of the planner's statistics, and erases them there, in one call.
CREATE TABLE visit (id int, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding, copy real[]) PARTITION BY RANGE (id);
CREATE TABLE visit_1 PARTITION OF visit DEFAULT;
SELECT facematch.retain('visit', 'encounter');
INSERT INTO visit SELECT n, 'unmatched', now() - interval '20 hours' * (n % 2), md5('visit ' || n)::uuid, '[1,2,3]', ARRAY[0.71828, n % 3] FROM generate_series(1, 60) n;
ANALYZE visit;
CREATE FUNCTION kept_values() RETURNS TABLE (relation regclass, columns bigint) LANGUAGE sql AS $$
	SELECT starelid::regclass, count(*) FROM pg_statistic JOIN pg_attribute ON attrelid = starelid AND attnum = staattnum
	WHERE attname = 'copy' AND num_nonnulls(stavalues1, stavalues2, stavalues3) > 0 GROUP BY 1 ORDER BY 1 $$;
-- The value as this machine stores it, in the file.
CREATE FUNCTION in_file() RETURNS boolean LANGUAGE sql AS $$
	SELECT position((SELECT string_agg(substr(float4send(0.71828), i, 1), '' ORDER BY i DESC) FROM generate_series(1, 4) i)
					IN pg_read_binary_file(pg_relation_filepath('pg_statistic'))) > 0 $$;
CHECKPOINT;
SELECT *, in_file() FROM kept_values();
CALL facematch.purge();
CHECKPOINT;
SELECT count(*), in_file() FROM kept_values();
SELECT count(*) FROM visit;
SELECT complete, verified FROM facematch_internal.erasure WHERE table_name = 'public.visit';
SELECT part, clean FROM facematch.verify_erased('visit') WHERE part = 'statistics';

-- By hand: what erase() takes out of the statistics is its own transaction's deletion, which it says; erase_table() commits in between.
CREATE TABLE copies (id int, e face_embedding, copy real[], photo text) WITH (autovacuum_enabled = off);
INSERT INTO copies SELECT n, '[1,2,3]', ARRAY[0.71828, n % 3], repeat('p', 100) FROM generate_series(1, 60) n;
ANALYZE copies;
CREATE VIEW to_do AS SELECT regexp_replace(e.relation::text, '\d+', 'N') AS relation, e.fading_tuples > 0 AS fading, e.note FROM facematch.erase('copies') e WHERE e.note IS NOT NULL;
SELECT * FROM to_do WHERE relation !~ 'toast';
CHECKPOINT;
SELECT in_file();
SELECT * FROM to_do;
CHECKPOINT;
SELECT in_file();
ANALYZE copies;
DELETE FROM copies WHERE id > 30;
CHECKPOINT;
SELECT in_file();
CALL facematch.erase_table('copies');
CHECKPOINT;
SELECT count(*), in_file() FROM kept_values();
SELECT * FROM remains('copies');
SELECT part, clean FROM facematch.verify_erased('copies') WHERE part = 'statistics';
-- What has to wait is said.
CREATE INDEX copies_hash ON copies USING hash (photo);
DELETE FROM copies WHERE id > 20;
SELECT * FROM to_do;
CALL facematch.erase_table('copies');
BEGIN;
DELETE FROM copies WHERE id > 10;
SELECT * FROM to_do;
CALL facematch.erase_table('copies');
ROLLBACK;
CREATE FUNCTION within() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL facematch.erase_table('copies'); END $$;
SELECT within();
CALL facematch.erase_table('a_view');
CALL facematch.erase_table(NULL);

-- How far back WAL reaches.
SELECT oldest_lsn <= redo_lsn AS reaches_back, redo_lsn <= current_lsn AS in_order, files > 0 AS files, unknown_files FROM facematch.wal_horizon();

-- Where else a template could be: statistics of what is computed from it, an index that nothing keeps, dropped columns of tables
-- that inherit, the value that came with a column.
CREATE TABLE computed (id int, e face_embedding, as_text text GENERATED ALWAYS AS (e::text) STORED, n real GENERATED ALWAYS AS (face_norm(e)) STORED);
CREATE INDEX computed_text_idx ON computed ((e::text));
CREATE INDEX computed_norm_idx ON computed (face_norm(e));
CREATE TABLE heir (x face_embedding) INHERITS (computed);
ALTER TABLE heir DROP COLUMN x;
INSERT INTO computed SELECT i, format('[0.%s,0.25,1]', i)::face_embedding FROM generate_series(1, 50) i;
ANALYZE computed;
CREATE VIEW statistics_of AS SELECT starelid::regclass, array_agg(DISTINCT staattnum ORDER BY staattnum) FILTER (WHERE stavalues1 IS NOT NULL) AS with_values
FROM pg_statistic WHERE starelid IN ('computed'::regclass, 'computed_text_idx'::regclass, 'computed_norm_idx'::regclass) GROUP BY 1 ORDER BY starelid::regclass::text;
SELECT * FROM statistics_of;
SELECT relation, dead_tuples AS of_statistics FROM facematch.verify_erased('computed') WHERE part = 'statistics' ORDER BY relation::text;
SELECT count(*) > 0 AS erased FROM facematch.erase('computed');
SELECT * FROM statistics_of;
ALTER TABLE computed ADD COLUMN second face_embedding DEFAULT '[1,2]';
UPDATE pg_index SET indislive = false, indisvalid = false, indisready = false WHERE indexrelid = 'computed_norm_idx'::regclass;
SELECT relation, part, clean, note FROM facematch.verify_erased('computed') WHERE part IN ('dropped columns', 'default', 'statistics') OR relation = 'computed_norm_idx'::regclass ORDER BY 1, 2;
DROP VIEW statistics_of;
DROP TABLE computed CASCADE;

-- Templates within composites, domains of domains, arrays of domains, ranges and multiranges, and what they are made into, in any order.
CREATE TYPE person AS (name text, template face_embedding);
CREATE TYPE pair AS (a int, b person[]);
CREATE DOMAIN raw AS real[];
CREATE DOMAIN raw_again AS raw;
CREATE DOMAIN component AS real;
CREATE DOMAIN image AS bytea;
CREATE DOMAIN of_person AS person;
CREATE TYPE span AS RANGE (subtype = face_embedding, multirange_type_name = spans);
CREATE DOMAIN some_span AS span;
CREATE TABLE composed (id int, note text, at point, plain person, nested pair, twice raw_again, parts component[], images image[], person of_person, of_numbers numeric[], r some_span, rs spans, n real, one component);
SELECT string_agg(a.attname, ' ' ORDER BY a.attnum) AS may_hold_templates FROM facematch_internal.template_columns('composed') c JOIN pg_attribute a ON a.attrelid = c.relation AND a.attnum = c.attnum;
INSERT INTO composed (id, plain, twice, r) SELECT i, ROW('x', format('[0.%s,0.25,1]', i % 5)::face_embedding)::person, ARRAY[i % 5, 0.25], span(format('[0.%s,0.25,1]', i % 5)::face_embedding, NULL) FROM generate_series(1, 100) i;
ANALYZE composed;
SELECT attname FROM pg_stats WHERE tablename = 'composed' AND (most_common_vals IS NOT NULL OR histogram_bounds IS NOT NULL) ORDER BY 1;
SELECT relation, dead_tuples AS of_statistics, clean FROM facematch.verify_erased('composed') WHERE part = 'statistics';
SELECT count(*) > 0 AS erased FROM facematch.erase('composed');
SELECT attname FROM pg_stats WHERE tablename = 'composed' AND (most_common_vals IS NOT NULL OR histogram_bounds IS NOT NULL) ORDER BY 1;
SELECT count(*) FROM facematch.verify_erased('composed') WHERE part = 'statistics';
CREATE TABLE copy_in_domain (p raw_again, q of_person);
CREATE MATERIALIZED VIEW copy_in_row AS SELECT ROW('x', '[1,2]'::face_embedding)::person AS p;
CREATE TABLE copy_typed OF person;
CREATE TABLE copy_in_range (r spans);
SELECT object FROM facematch_internal.retention_findings() WHERE object ~ '^public.(copy|composed)' ORDER BY 1;
DROP TABLE composed, copy_in_domain, copy_typed, copy_in_range;
DROP MATERIALIZED VIEW copy_in_row;

-- A default that was dropped, and whose value in the catalog VACUUM FULL has replaced, is among the catalog's removed rows.
CREATE TABLE defaulted (id int);
INSERT INTO defaulted VALUES (1);
ALTER TABLE defaulted ADD COLUMN e face_embedding DEFAULT '[0.123,0.456]';
ALTER TABLE defaulted ALTER COLUMN e DROP DEFAULT;
DELETE FROM defaulted;
VACUUM FULL defaulted;
SELECT relation, dead_tuples + fading_tuples > 0 AS removed, clean FROM facematch.verify_erased('defaulted') WHERE part = 'catalog' AND relation IN ('pg_attribute'::regclass, 'pg_attrdef'::regclass) ORDER BY 1;
SELECT count(*) > 0 AS erased FROM unnest('{pg_attribute,pg_attrdef}'::regclass[]) c, facematch_internal.erase_pages(c);
SELECT count(*) FROM facematch.verify_erased('defaulted') WHERE part = 'catalog';
DROP TABLE defaulted;

-- What inherits from a table under retention has no guard, and a partition that somebody may read no policy: both are named.
CREATE ROLE facematch_test_reader;
CREATE TABLE parent (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
CREATE TABLE divided (LIKE parent) PARTITION BY LIST (id);
CREATE TABLE divided_1 PARTITION OF divided FOR VALUES IN (1);
CREATE TABLE divided_2 PARTITION OF divided FOR VALUES IN (2);
SELECT facematch.retain('parent', 'reference'), facematch.retain('divided', 'reference');
CREATE TABLE child () INHERITS (parent);
CREATE TABLE grandchild () INHERITS (child);
GRANT SELECT ON divided, divided_1 TO facematch_test_reader;
GRANT SELECT (e) ON divided_2 TO PUBLIC;
SELECT severity, object, finding, remedy FROM facematch.health_check() WHERE object ~ 'child|divided' ORDER BY 2;
SELECT facematch.release('parent'), facematch.release('divided');
DROP TABLE parent, divided CASCADE;
DROP ROLE facematch_test_reader;

-- A receipt is of a relation, not of a name: who renames the table does not have another vouch for it, and settings that quote do not keep it open.
CREATE TABLE named (id bigint PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
SELECT facematch.retain('named', 'encounter');
INSERT INTO named SELECT i, 'us_citizen', now() - interval '20 days', NULL, '[1,0,0]' FROM generate_series(1, 50) i;
SET facematch.purge_erases = off;
SET quote_all_identifiers = on;
CALL facematch.purge();
RESET quote_all_identifiers;
RESET facematch.purge_erases;
SELECT table_name, rows_purged, erased IS NOT NULL AS erased FROM facematch.report_erasure ORDER BY receipt_id DESC LIMIT 1;
ALTER TABLE named RENAME TO named_before;
CREATE TABLE named (LIKE named_before INCLUDING ALL);
SELECT facematch.retain('named', 'encounter');
SELECT max(receipt_id) AS receipt FROM facematch.purge_receipt \gset
SELECT relation, part, dead_tuples, clean, note FROM facematch.verify_erased(receipt => :receipt) WHERE part = 'receipt' OR relation = 'named_before'::regclass AND part = 'table';
CALL facematch.purge();
SELECT relation, part, dead_tuples, clean, note FROM facematch.verify_erased(receipt => :receipt) WHERE part = 'receipt' OR relation = 'named_before'::regclass AND part = 'table';
SELECT relation, dead_tuples, clean FROM facematch_internal.verify_pages('named_before') WHERE relation = 'named_before'::regclass AND part = 'table';
SELECT facematch.release('named'), facematch.release('named_before');
DROP TABLE named, named_before;
SELECT part, clean, note FROM facematch.verify_erased(receipt => :receipt) WHERE part = 'receipt';
-- Who detaches a partition does not take its removed rows along: they are erased with the table's, and verified with its receipts.
CREATE TABLE halves (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding) PARTITION BY LIST (id);
CREATE TABLE halves_1 PARTITION OF halves FOR VALUES IN (1);
CREATE TABLE halves_2 PARTITION OF halves FOR VALUES IN (2);
SELECT facematch.retain('halves', 'encounter');
INSERT INTO halves SELECT 1 + i % 2, 'us_citizen', now() - interval '20 days', NULL, '[1,0,0]' FROM generate_series(1, 50) i;
SET facematch.purge_erases = off;
CALL facematch.purge();
RESET facematch.purge_erases;
SELECT max(receipt_id) AS parted_receipt FROM facematch.purge_receipt \gset
ALTER TABLE halves DETACH PARTITION halves_1;
SELECT relation, part, dead_tuples, clean, note FROM facematch.verify_erased(receipt => :parted_receipt)
WHERE part = 'receipt' OR relation::text ~ '^halves' AND part = 'table';
CALL facematch.purge();
SELECT relation, part, dead_tuples, clean, note FROM facematch.verify_erased(receipt => :parted_receipt)
WHERE part = 'receipt' OR relation::text ~ '^halves' AND part = 'table';
-- One that is dropped with them was given back to the file system as it was: the receipt says so, and is not called verified.
INSERT INTO halves SELECT 2, 'us_citizen', now() - interval '20 days', NULL, '[1,0,0]' FROM generate_series(1, 50) i;
SET facematch.purge_erases = off;
CALL facematch.purge();
RESET facematch.purge_erases;
SELECT max(receipt_id) AS parted_receipt FROM facematch.purge_receipt \gset
ALTER TABLE halves DETACH PARTITION halves_2;
DROP TABLE halves_2;
CALL facematch.purge();
SELECT e.verified, (SELECT regexp_replace(u, '\d+', 'N') FROM unnest(e.unreachable) u WHERE u ~ 'dropped') AS note FROM facematch_internal.erasure e JOIN facematch_internal.erased_receipt r USING (erasure_id) WHERE r.receipt_id = :parted_receipt;
DROP TABLE halves_1;
SELECT facematch.release('halves');
DROP TABLE halves;

UPDATE facematch_internal.receipt_relation SET relation = 'pg_class' WHERE receipt_id = :receipt;
