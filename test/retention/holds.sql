-- Holds of every kind against every statement that takes rows away: each keeps what its order means, as long as it stands.
\set SHOW_CONTEXT never
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('F1', 'flight', 'two', 0.9, now() - interval '1 day'), ('F2', 'flight', 'two', 0.9, now() - interval '1 day');
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE TABLE mine (id int PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, gallery_id bigint, e face_embedding);
SELECT facematch.retain('mine', 'reference', template_column => 'e', gallery_column => 'gallery_id');
-- In F1 and in F2 a reference, an encounter with its photograph and a row of a user's, all due, each of a person of its own.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT gallery_id, subject(gallery_id::int * 10 + 1), 'us_citizen', '[1,0]', 's', now() - interval '2 days' FROM facematch.gallery;
INSERT INTO facematch.encounter (gallery_id, gallery, port, outcome, threshold, model, retention_class, subject_id, probe, occurred_at)
SELECT gallery_id, name, 'JFK', 'no_match', 0.9, 'two', 'unmatched', subject(gallery_id::int * 10 + 2), '[1,0]', now() - interval '13 hours'
FROM facematch.gallery;
INSERT INTO mine SELECT gallery_id, 'us_citizen', now() - interval '2 days', subject(gallery_id::int * 10 + 3), gallery_id, '[1,0]' FROM facematch.gallery;
INSERT INTO facematch.photograph (reference_id, encounter_id, media_type, key_id, sealed, purge_after)
SELECT reference_id, encounter_id, 'image/jpeg', gen_random_uuid(), '\x01', 'infinity'
FROM (SELECT reference_id, NULL::bigint AS encounter_id FROM facematch.reference UNION ALL SELECT NULL, encounter_id FROM facematch.encounter) t;

CREATE FUNCTION there() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', (SELECT 'galleries=' || count(*) FROM facematch.gallery), (SELECT 'references=' || count(*) FROM facematch.reference),
		(SELECT 'encounters=' || count(probe) FROM facematch.encounter), (SELECT 'photographs=' || count(*) FROM facematch.photograph),
		(SELECT 'mine=' || count(*) FROM mine)) $$;
-- What a statement leaves while a hold stands; all is undone.
CREATE FUNCTION tried(hold text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	left_over text;
	refused boolean := false;
BEGIN
	BEGIN
		EXECUTE 'INSERT INTO facematch.hold (reason, authority, ' || hold;
		BEGIN
			EXECUTE statement;
		EXCEPTION WHEN integrity_constraint_violation THEN
			refused := true;
		END;
		left_over := there() || CASE WHEN refused THEN ' (refused)' ELSE '' END;
		RAISE EXCEPTION USING ERRCODE = 'U0001';
	EXCEPTION WHEN SQLSTATE 'U0001' THEN
		RETURN left_over;
	END;
END $$;
CREATE TABLE kind (number int, hold text);
INSERT INTO kind VALUES
	(1, 'table_name, row_id) SELECT ''r'', ''c'', ''facematch.gallery'', gallery_id FROM facematch.gallery WHERE name = ''F1'''),
	(2, 'table_name, row_id) SELECT ''r'', ''c'', ''facematch.reference'', min(reference_id) FROM facematch.reference'),
	(3, 'table_name, row_id) SELECT ''r'', ''c'', ''facematch.encounter'', min(encounter_id) FROM facematch.encounter'),
	(4, 'table_name, row_id) VALUES (''r'', ''c'', ''mine'', 1)'),
	(5, 'subject_id) VALUES (''r'', ''c'', subject(11))');
CREATE TABLE attempt (number int, statement text);
INSERT INTO attempt VALUES
	(1, 'DELETE FROM facematch.reference'),
	(2, 'DELETE FROM facematch.encounter'),
	(3, 'UPDATE facematch.encounter SET probe = NULL'),
	(4, 'DELETE FROM facematch.photograph'),
	(5, 'DELETE FROM mine'),
	(6, 'DELETE FROM facematch.gallery'),
	(7, 'UPDATE mine SET gallery_id = 2'),
	(8, 'SELECT facematch.restage_gallery(''F1'', ''{}'')'),
	(9, 'INSERT INTO facematch.opt_out (subject_id) SELECT subject(g * 10 + n) FROM generate_series(1, 2) g, generate_series(1, 3) n');
SELECT there();
SELECT k.number AS hold, a.number AS attempt, tried(k.hold, a.statement) FROM kind k, attempt a ORDER BY 1, 2;

-- The purge commits as it goes: of what is due, all of F1 stays while its hold stands.
INSERT INTO facematch.hold (table_name, row_id, reason, authority)
SELECT 'facematch.gallery', gallery_id, 'litigation over a flight', 'court' FROM facematch.gallery WHERE name = 'F1';
SET client_min_messages = error;
CALL facematch.purge();
RESET client_min_messages;
SELECT there();
SELECT hold_id, table_name, row_id, keeps FROM facematch.held;
SELECT held FROM facematch.explain_retention('facematch.reference', (SELECT reference_id FROM facematch.reference));
SELECT severity, object, finding FROM facematch.health_check() WHERE object ~ '^hold|reference' ORDER BY 1, 2;
-- Who declines matches nobody, and what the court wants is there.
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(11));
SELECT there(), (SELECT count(*) FROM facematch.identify('[1,0]', 'F1')) AS candidates;
UPDATE facematch.hold SET released_at = clock_timestamp();
SET client_min_messages = error;
CALL facematch.purge();
RESET client_min_messages;
SELECT there();

-- A hold on what is not there is refused, with the statement that would do; one from a dump comes before its rows.
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('facematch.gallery', '999', 'r', 'c');
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('facematch.encounter', '999', 'r', 'c');
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('mine', '999', 'r', 'c');
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('kind', '1', 'r', 'c');
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('facematch.opt_out', '1', 'r', 'c');
INSERT INTO facematch.hold (table_name, row_id, reason, authority, placed_at) VALUES ('mine', '999', 'r', 'c', '2026-01-01 00:00+00');
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(99), 'r', 'c');
SELECT table_name, row_id, keeps FROM facematch.held ORDER BY hold_id;
SELECT severity, object, finding FROM facematch.health_check() WHERE object ~ '^hold';

-- Who may not read holds learns of none by asking why a row is kept, nor of rows that are due, nor of other people's tables.
CREATE ROLE facematch_test_asks LOGIN;
CREATE ROLE facematch_test_oig LOGIN;
SELECT facematch.grant_operator('facematch_test_asks'), facematch.grant_auditor('facematch_test_oig');
UPDATE facematch.hold SET released_at = clock_timestamp() WHERE released_at IS NULL;
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F3', 'flight', 'two', 0.9, now() + interval '1 hour');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(n), 'us_citizen', '[1,0]', 's' FROM facematch.gallery, generate_series(301, 302) n WHERE name = 'F3';
INSERT INTO mine VALUES (31, 'us_citizen', now(), subject(301), (SELECT gallery_id FROM facematch.gallery WHERE name = 'F3'), '[1,0]');
SELECT min(reference_id) AS inquired, max(reference_id) AS due FROM facematch.reference WHERE subject_id IN (subject(301), subject(302)) \gset
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(301), 'inquiry', 'court');
UPDATE facematch.reference SET purge_after = now() - interval '1 hour' WHERE reference_id = :due;
SET SESSION AUTHORIZATION facematch_test_asks;
SELECT retention_class, is_due, held, explanation ~ 'held' AS says FROM facematch.explain_retention('facematch.reference', :inquired);
SELECT count(*) FROM facematch.explain_retention('facematch.reference', :due);
SELECT count(*) FROM facematch.explain_retention('mine', 31);
SELECT count(*) FROM facematch.explain_retention('mine', 32);
SET SESSION AUTHORIZATION facematch_test_oig;
SELECT retention_class, is_due, held, explanation ~ 'held' AS says FROM facematch.explain_retention('facematch.reference', :inquired);
SELECT is_due FROM facematch.explain_retention('facematch.reference', :due);
SELECT held FROM facematch.explain_retention('mine', 31);
RESET SESSION AUTHORIZATION;
DROP OWNED BY facematch_test_asks, facematch_test_oig;
DROP ROLE facematch_test_asks, facematch_test_oig;

-- A partition that a DETACH CONCURRENTLY has half detached: a hold on its row is one on the table's, whatever it names.
CREATE TABLE own (id int, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, e face_embedding) PARTITION BY RANGE (id);
CREATE TABLE own_1 PARTITION OF own FOR VALUES FROM (0) TO (10);
CREATE TABLE own_2 PARTITION OF own FOR VALUES FROM (10) TO (100) PARTITION BY RANGE (id);
CREATE TABLE own_21 PARTITION OF own_2 FOR VALUES FROM (10) TO (20);
INSERT INTO facematch.retention_class (name, description) VALUES ('own', 'own rows');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
	VALUES ('own', 'own', 'reference', '{recorded}', '{10 days}', 'site rule', '-infinity');
SELECT facematch.retain('own', 'reference');
INSERT INTO own (id, retention_class, subject_id) SELECT n, 'us_citizen', subject(n) FROM generate_series(1, 19) n;
-- The partition is another owner's, which the table's may not read.
CREATE ROLE facematch_test_first; CREATE ROLE facematch_test_second;
ALTER TABLE own OWNER TO facematch_test_first; ALTER TABLE own_1 OWNER TO facematch_test_first;
ALTER TABLE own_2 OWNER TO facematch_test_second; ALTER TABLE own_21 OWNER TO facematch_test_second;
-- Instead of a DETACH CONCURRENTLY that is cancelled; a new session knows of it.
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'own_2'::regclass;
\c
\set SHOW_CONTEXT never
SELECT count(*) AS passed_over FROM own;
INSERT INTO facematch.hold (table_name, row_id, reason, authority)
SELECT o, id, 'r', 'c' FROM (VALUES ('own'::regclass, 11), ('own_2', 12), ('own_21', 13), ('own_1', 1)) v (o, id);
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(14), 'r', 'c');
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('own_2', '999', 'r', 'c');
SELECT table_name, row_id, subject_id, keeps FROM facematch.held WHERE table_name = 'own'::regclass OR subject_id = subject(14) ORDER BY hold_id;
DELETE FROM own_2 WHERE id = 11;
DELETE FROM own_21 WHERE id = 12;
DELETE FROM own_21 WHERE id = 13;
DELETE FROM own_21 WHERE id = 14;
DELETE FROM own_21 WHERE id = 15;
SELECT o, id, e.rule, e.held FROM (VALUES ('own'::regclass, 11), ('own_21', 12), ('own_2', 16), ('own_1', 1)) v (o, id),
	facematch.explain_retention(o, id) e;
SELECT part, source, row_id FROM facematch.subject_report(subject(16)) WHERE part = 'record';
-- They are due, overdue, late and counted as the table's are.
SELECT count(*) AS due_soon FROM facematch.due_soon('1 year') WHERE table_name = 'own'::regclass;
ALTER TABLE own_21 DISABLE TRIGGER facematch_20_guard;
UPDATE own_21 SET purge_after = CASE id WHEN 16 THEN now() + interval '10 years' ELSE now() - interval '3 days' END WHERE id IN (16, 17);
ALTER TABLE own_21 ENABLE ALWAYS TRIGGER facematch_20_guard;
SELECT row_id AS late FROM facematch_internal.late_rows('own');
SELECT lag > '2 days' AS lags FROM facematch.purge_lag() WHERE table_name ~ 'own';
SELECT table_name, sum(rows_kept) AS kept, sum(rows_due) AS due FROM facematch.report_retention WHERE table_name ~ '^own' GROUP BY 1 ORDER BY 1;
SELECT finding FROM facematch.health_check() WHERE finding ~ 'due|longer' AND object ~ 'public.own \(rows: 1' ORDER BY 1;
CALL facematch.recompute();
SELECT row_id AS late FROM facematch_internal.late_rows('own');
UPDATE facematch.hold SET released_at = clock_timestamp() WHERE row_id = '1' AND released_at IS NULL;
SELECT facematch.release('own');
UPDATE own_21 SET retention_class = 'own' WHERE id = 17;
DELETE FROM facematch.retention_class WHERE name = 'own';
REASSIGN OWNED BY facematch_test_first, facematch_test_second TO CURRENT_USER;
DROP ROLE facematch_test_first, facematch_test_second;
