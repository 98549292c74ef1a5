-- Opt-outs and holds; what is due and held; the purge.
\set SHOW_CONTEXT never
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('one', 'flight', 'two', 0.99, now() + interval '2 hours'), ('other', 'flight', 'two', 0.99, now() + interval '2 hours'),
	('gone', 'flight', 'two', 0.99, now() - interval '30 hours');
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
CREATE FUNCTION face(n int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[cosd(n * 10), sind(n * 10)]::face_embedding $$;
CREATE FUNCTION stage(gallery text, ns int[]) RETURNS void LANGUAGE sql AS $$
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
	SELECT gallery_id, subject(n), 'us_citizen', face(n), 's', least(now(), anchor_at - interval '1 hour') FROM facematch.gallery, unnest($2) n WHERE name = $1 $$;
CREATE FUNCTION staged() RETURNS TABLE (gallery text, subjects text) LANGUAGE sql AS $$
	SELECT g.name, string_agg(ltrim(right(r.subject_id::text, 4), '0'), ' ' ORDER BY r.subject_id) FROM facematch.gallery g
	LEFT JOIN facematch.reference r USING (gallery_id) GROUP BY 1 ORDER BY 1 $$;
SELECT stage('one', '{1,2,3,4,5,6}'), stage('other', '{1,2,3,7}');
SELECT gallery_id AS one FROM facematch.gallery WHERE name = 'one' \gset

-- Templates go from every gallery in the same transaction; and come back with a rollback.
BEGIN;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1));
SELECT * FROM staged();
ROLLBACK;
SELECT * FROM staged();
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1));
INSERT INTO facematch.opt_out (subject_id, scope, gallery_id) VALUES (subject(2), 'encounter', :one);
INSERT INTO facematch.opt_out (subject_id, scope, until) VALUES (subject(3), 'until', now() + interval '1 day'), (subject(7), 'until', now() - interval '1 day');
INSERT INTO facematch.opt_out (subject_id, revoked_at) VALUES (subject(4), now());
SELECT * FROM staged();
SELECT cause, table_name, retention_class, rows_purged, rows_held FROM facematch.purge_receipt ORDER BY receipt_id;
-- Nor are others' indexes looked at: of another method, of some rows, in another order.
CREATE INDEX ON facematch.opt_out USING brin (subject_id);
CREATE INDEX ON facematch.opt_out USING hash (subject_id);
CREATE INDEX ON facematch.opt_out (subject_id) WHERE revoked_at IS NOT NULL;
CREATE INDEX ON facematch.hold (table_name, row_id text_pattern_ops);
CREATE INDEX ON facematch.audit_event (event_id DESC);
-- None comes back, by any way in.
SELECT stage('other', '{1}');
SELECT stage('one', '{2}');
SELECT stage('other', '{2}');
SELECT stage('one', '{3}');
UPDATE facematch.reference SET subject_id = subject(1) WHERE subject_id = subject(5);
\copy facematch.reference (gallery_id, subject_id, retention_class, embedding, source) FROM stdin
1	00000000-0000-0000-0000-000000000001	us_citizen	[1,0]	s
\.
SET session_replication_role = replica;
SELECT stage('one', '{1}');
RESET session_replication_role;
SELECT * FROM staged();
-- A manifest with a traveler who has declined: the others, and a report.
SET facematch.on_opt_out = skip;
BEGIN;
SELECT stage('one', '{1,2,3,8}');
SELECT table_name, subject_id, gallery_id FROM facematch.skipped() ORDER BY 2;
COMMIT;
SELECT count(*) FROM facematch.skipped();
SELECT stage('one', '{3,9}');
SELECT subject_id FROM facematch.skipped();
RESET facematch.on_opt_out;
SELECT * FROM staged();
-- Revoked, once; nothing else can be changed; what stands cannot be deleted.
UPDATE facematch.opt_out SET subject_id = subject(9) WHERE subject_id = subject(1);
UPDATE facematch.opt_out SET revoked_at = now() + interval '1 day' WHERE subject_id = subject(1);
DELETE FROM facematch.opt_out WHERE subject_id = subject(1);
TRUNCATE facematch.opt_out;
UPDATE facematch.opt_out SET revoked_at = now() WHERE subject_id = subject(1);
UPDATE facematch.opt_out SET revoked_at = NULL WHERE subject_id = subject(1);
SELECT stage('one', '{1}');
DELETE FROM facematch.opt_out WHERE subject_id = subject(1);
\set VERBOSITY terse
INSERT INTO facematch.opt_out (subject_id, scope) VALUES (subject(1), 'encounter');
INSERT INTO facematch.opt_out (subject_id, scope) VALUES (subject(1), 'until');
\set VERBOSITY default
SELECT scope, opt_outs, standing, revoked, ended FROM facematch.report_opt_out ORDER BY 1;

-- Holds: what is held is not deleted, and still no candidate when it is due.
SELECT stage('gone', '{10,11,12,13,14}');
INSERT INTO facematch.hold (table_name, row_id, reason, authority)
SELECT 'facematch.reference', reference_id, 'inquiry', 'court' FROM facematch.reference WHERE subject_id = subject(10);
INSERT INTO facematch.hold (subject_id, reason, authority, until, placed_at) VALUES
	(subject(11), 'inquiry', 'court', now() + interval '1 day', clock_timestamp()),
	(subject(12), 'inquiry', 'court', now() - interval '1 day', now() - interval '2 days');
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(5), 'inquiry', 'court');
\set VERBOSITY terse
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(5), '', 'court');
INSERT INTO facematch.hold (reason, authority) VALUES ('x', 'court');
-- A hold that would be over already keeps nothing: a mistake in its end.
INSERT INTO facematch.hold (subject_id, reason, authority, until) VALUES (subject(5), 'x', 'court', now() - interval '1 second');
\set VERBOSITY default
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('facematch.reference', '999999', 'x', 'court');
DELETE FROM facematch.reference WHERE subject_id = subject(10);
DELETE FROM facematch.reference WHERE subject_id = subject(11);
DELETE FROM facematch.gallery WHERE name = 'gone';
SELECT count(*) FROM facematch.identify(face(10), 'gone');
SELECT match, similarity FROM facematch.verify(face(10), (SELECT reference_id FROM facematch.reference WHERE subject_id = subject(10)));
-- An opt-out of one whose template is held: it is due at once, and stays.
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(5));
SELECT count(*), bool_and(purge_after <= clock_timestamp()) AS due FROM facematch.reference WHERE subject_id = subject(5);
SELECT count(*) FROM facematch.identify(face(5), 'one');
SELECT cause, rows_purged, rows_held FROM facematch.purge_receipt ORDER BY receipt_id DESC LIMIT 1;
CALL facematch.purge();
SELECT * FROM staged();
SELECT cause, table_name, retention_class, rule, rows_purged, earliest_due = latest_due AS same, lateness > interval '17 hours' AS late
FROM facematch.purge_receipt WHERE cause = 'retention' ORDER BY receipt_id;
SELECT table_name, subject_id, row_id IS NOT NULL AS row, reason, authority FROM facematch.held ORDER BY hold_id;
-- Released, the rows go.
UPDATE facematch.hold SET authority = 'me';
DELETE FROM facematch.hold WHERE subject_id = subject(5);
UPDATE facematch.hold SET released_at = now() WHERE released_at IS NULL;
UPDATE facematch.hold SET released_at = NULL;
SELECT bool_and(released_by = current_user) FROM facematch.hold;
BEGIN;
CALL facematch.purge(1);
COMMIT;
DO $$ BEGIN CALL facematch.purge(2); END $$;
CALL facematch.purge(0);
SELECT * FROM staged();
UPDATE facematch.purge_receipt SET rows_purged = 0;
DELETE FROM facematch.purge_receipt;
TRUNCATE facematch.audit_event;

-- Galleries go with their last reference, with commits between batches.
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) SELECT 'old ' || n, 'flight', 'two', 0.5, now() - interval '15 days' FROM generate_series(1, 3) n;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT gallery_id, subject(n), CASE n % 2 WHEN 0 THEN 'us_citizen' ELSE 'noncitizen' END, face(n), 's', anchor_at - interval '1 hour' FROM facematch.gallery, generate_series(100, 149) n WHERE name LIKE 'old%';
INSERT INTO facematch.hold (subject_id, reason, authority) SELECT subject_id, 'x', 'y' FROM facematch.reference JOIN facematch.gallery g USING (gallery_id) WHERE g.name = 'old 2' LIMIT 1;
SELECT txid_current() AS before \gset
CALL facematch.purge(40);
SELECT txid_current() - :before > 4 AS commits_between;
SELECT name, count(reference_id) FROM facematch.gallery LEFT JOIN facematch.reference USING (gallery_id) GROUP BY 1 ORDER BY 1;
SELECT table_name, retention_class, sum(rows_purged) FROM facematch.purge_receipt WHERE cause = 'retention' GROUP BY 1, 2 ORDER BY 1, 2;
UPDATE facematch.hold SET released_at = now() WHERE released_at IS NULL;
CALL facematch.purge(1);
SELECT string_agg(name, ' ' ORDER BY name) FROM facematch.gallery;
SELECT table_name, retention_class, sum(rows_purged) FROM facematch.purge_receipt WHERE cause = 'retention' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT intact FROM facematch.verify_audit();

-- Who is not the owner does not see what is due.
SELECT stage('gone', '{60,61,62}');
CREATE ROLE facematch_test_gate;
GRANT USAGE ON SCHEMA facematch, facematch_internal TO facematch_test_gate;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA facematch TO facematch_test_gate;
SELECT count(*) FROM facematch.reference WHERE purge_after <= clock_timestamp();
SELECT count(*) FROM facematch.reference WHERE purge_after > clock_timestamp();
SET ROLE facematch_test_gate;
SELECT count(*) FROM facematch.reference;
SELECT count(*) FROM facematch.reference WHERE purge_after <= clock_timestamp();
WITH d AS (DELETE FROM facematch.reference WHERE purge_after <= clock_timestamp() RETURNING 1) SELECT count(*) FROM d;
COPY facematch.reference (reference_id) TO STDOUT;
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT FROM facematch.reference ORDER BY embedding <=> '[1,0]') s;
RESET enable_seqscan;
RESET ROLE;
DROP OWNED BY facematch_test_gate;
DROP ROLE facematch_test_gate;

-- Who has declined comes under no other document.
SELECT stage('one', '{70,71}'), stage('other', '{71}');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(72));
SELECT facematch.merge_subjects(subject(70), subject(71));
SELECT * FROM staged();
SELECT facematch.merge_subjects(subject(70), subject(72));
SELECT * FROM staged();
SELECT facematch.is_opted_out(subject(70)) AS kept, facematch.is_opted_out(subject(72)) AS merged;
SELECT facematch.merge_subjects(subject(70), subject(70));
-- The manifest changes; the doors close; two photographs become one reference.
SELECT right(subject_id::text, 4) AS subject, state FROM facematch.restage_gallery('one', ARRAY[subject(1), subject(8), subject(51), subject(72), subject(99)]) ORDER BY 2, 1;
SELECT * FROM staged();
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, quality)
SELECT gallery_id, subject(8), 'us_citizen', face(10), 's', 90 FROM facematch.gallery WHERE name = 'one';
SELECT facematch.merge_references('one', subject(8)) AS merged \gset
SELECT facematch_internal.opened(r.embedding) = face_with_model((SELECT avg(e) FROM unnest(ARRAY[face(8), face(10)]) e), 1) AS fused, quality FROM facematch.reference r WHERE reference_id = :merged;
SELECT count(*) FROM facematch.reference WHERE subject_id = subject(8);
SELECT facematch.close_gallery('one') < now() + interval '14 days 1 minute' AS deadline;
SELECT bool_and(purge_after < now() + interval '12 hours 1 minute') FROM facematch.reference WHERE gallery_id = :one;
SELECT stage('one', '{80}');
SELECT facematch.close_gallery('no such'), facematch.merge_references('one', subject(98));
SELECT * FROM facematch.restage_gallery('one', NULL);
SELECT facematch.schedule();
SELECT facematch.schedule(NULL);
-- Hundreds of rows at once, when opt-outs are read once and not looked up one by one; one's own opt-out is seen too.
INSERT INTO facematch.opt_out (subject_id) SELECT subject(n) FROM generate_series(1000, 1099) n;
INSERT INTO facematch.opt_out (subject_id, scope, gallery_id) SELECT subject(1100), 'encounter', gallery_id FROM facematch.gallery WHERE name = 'gone';
INSERT INTO facematch.opt_out (subject_id, scope, until) VALUES (subject(1101), 'until', now() - interval '1 day');
SELECT stage('other', ARRAY(SELECT generate_series(200, 1050)));
SET facematch.on_opt_out = skip;
SELECT stage('other', ARRAY(SELECT generate_series(200, 1200)));
SELECT count(*), min(subject_id::text), max(subject_id::text) FROM facematch.skipped();
SELECT stage('gone', ARRAY(SELECT generate_series(200, 1200)));
SELECT count(*), min(subject_id::text), max(subject_id::text) FROM facematch.skipped();
BEGIN;
SELECT stage('other', ARRAY(SELECT generate_series(1200, 1400)));
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1500));
SAVEPOINT a;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1501));
SELECT stage('other', ARRAY(SELECT generate_series(1401, 1600)));
ROLLBACK TO a;
SELECT stage('other', ARRAY(SELECT generate_series(1401, 1600)));
COMMIT;
SELECT count(*) FROM facematch.reference JOIN facematch.opt_out USING (subject_id) WHERE opt_out.scope = 'standing' AND revoked_at IS NULL AND purge_after > now();
RESET facematch.on_opt_out;
-- Neither a hold nor a deadline that has passed lets in a template of who has opted out.
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(1000), 'inquiry', 'court');
SELECT stage('gone', ARRAY[1000]);
