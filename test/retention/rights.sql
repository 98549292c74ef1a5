-- The stream of rights: last night's copy of a database learns of today's opt-outs, merges, holds, rules, who may decline and
-- notices from what was kept outside; each event once, in order, and it says what it changed.
\set SHOW_CONTEXT never
\set VERBOSITY terse
UPDATE facematch_internal.site SET site = '00000000-0000-8000-8000-00000000000a';
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION face(n int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[cosd(n * 10), sind(n * 10)]::face_embedding $$;
CREATE PROCEDURE stage(gallery text, VARIADIC subjects int[]) LANGUAGE sql AS $$
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT g.gallery_id, subject(n), 'us_citizen', face(n), 'passport' FROM facematch.gallery g, unnest(subjects) n WHERE g.name = stage.gallery $$;
CREATE VIEW staged AS SELECT g.name, array_agg(ltrim(right(r.subject_id::text, 4), '0')::int ORDER BY r.subject_id) AS subjects
	FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id) GROUP BY g.name;
CREATE VIEW stream AS SELECT right(site::text, 1) AS site, number, what, CASE WHEN before IS NULL THEN 'new' WHEN after IS NULL THEN 'gone' ELSE 'other' END AS row,
	coalesce(after ->> 'revoked_at', after ->> 'released_at', after ->> 'undone_at', after ->> 'removed_at') IS NOT NULL AS ended,
	jsonb_strip_nulls(coalesce(after, before)) - '{noticed_at,recorded_at,placed_at,merged_at,valid_from,gallery_until,noted_at,posted_at,revoked_at,released_at,undone_at,removed_at,until,alternative}'::text[] AS says FROM facematch.rights_event;
CREATE TABLE outside (LIKE facematch.rights_event);
CREATE VIEW rights AS
	SELECT 1 AS n, 'opt_out' AS what, to_jsonb(o) - 'gallery_id' AS says FROM facematch.opt_out o
	UNION ALL SELECT 2, 'hold', to_jsonb(h) FROM facematch.hold h
	UNION ALL SELECT 3, 'merge', to_jsonb(m) FROM facematch.subject_merge m
	UNION ALL SELECT 4, 'person', to_jsonb(p) FROM facematch_internal.person p
	UNION ALL SELECT 5, 'rule', to_jsonb(r) FROM facematch.retention_rule r WHERE NOT shipped
	UNION ALL SELECT 6, 'class', to_jsonb(c) FROM facematch.retention_class c WHERE NOT shipped
	UNION ALL SELECT 7, 'kind', to_jsonb(k) FROM facematch.event_kind k WHERE NOT shipped
	UNION ALL SELECT 8, 'decline_rule', to_jsonb(e) FROM facematch.decline_rule e WHERE NOT shipped
	UNION ALL SELECT 10, 'notice', to_jsonb(n) FROM facematch.notice n
	UNION ALL SELECT 11, 'posting', to_jsonb(p) FROM facematch.notice_posting p;

-- Yesterday.
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('UA1', 'flight', 'two', 0.9, now() + interval '1 day'), ('UA2', 'flight', 'two', 0.9, now() + interval '2 days');
CALL stage('UA1', 1, 2, 3, 4, 5, 6);
CALL stage('UA2', 1, 2, 3, 4, 5, 6);
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1));
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(6), 'inquiry 1', 'court');
SELECT facematch.merge_subjects(subject(5), subject(6));
INSERT INTO facematch.notice (name, texts) VALUES ('gate', '{"en": "You may decline."}');
INSERT INTO facematch.notice_posting (notice, port) VALUES ('gate', 'JFK');
SELECT current_database() AS today \gset
\c postgres
CREATE DATABASE rights_restored TEMPLATE :"today";
CREATE DATABASE rights_written TEMPLATE :"today";
CREATE DATABASE rights_elsewhere TEMPLATE :"today";
\c :today
\set SHOW_CONTEXT never
\set VERBOSITY terse

-- Today: every kind of event, in one transaction and in many, some of them rolled back.
BEGIN;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(2));
SAVEPOINT s;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(9));
ROLLBACK TO s;
SELECT facematch.merge_subjects(subject(2), subject(4)) AS merge_id;
COMMIT;
BEGIN;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(9));
ROLLBACK;
UPDATE facematch.opt_out SET revoked_at = clock_timestamp() WHERE subject_id = subject(1);
DELETE FROM facematch.opt_out WHERE subject_id = subject(1);
INSERT INTO facematch.opt_out (subject_id, scope, gallery_id) SELECT subject(3), 'encounter', gallery_id FROM facematch.gallery WHERE name = 'UA2';
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('UA3', 'flight', 'two', 0.9, now() + interval '1 day');
INSERT INTO facematch.opt_out (subject_id, scope, gallery_id) SELECT subject(8), 'encounter', gallery_id FROM facematch.gallery WHERE name = 'UA3';
UPDATE facematch.hold SET released_at = clock_timestamp() WHERE subject_id = subject(6);
SET quote_all_identifiers = on;
INSERT INTO facematch.hold (table_name, row_id, reason, authority, until) SELECT 'facematch.gallery', gallery_id, 'inquiry 2', 'court', now() + interval '1 year' FROM facematch.gallery WHERE name = 'UA1';
RESET quote_all_identifiers;
INSERT INTO facematch.hold (table_name, row_id, reason, authority) SELECT 'facematch.reference', reference_id, 'inquiry 3', 'court' FROM facematch.reference WHERE subject_id = subject(5) ORDER BY 2 LIMIT 1;
UPDATE facematch.subject_merge SET undone_at = clock_timestamp() WHERE kept = subject(5);
INSERT INTO facematch.retention_class (name, description) VALUES ('crew', 'crews');
INSERT INTO facematch.event_kind (name, description) VALUES ('landing', 'the aircraft has landed');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, fallback_anchor, fallback_keep, citation)
VALUES ('site/crew', 'crew', 'encounter', '{landing}', '{1 hour}', 'recorded', '12 hours', 'site rule'),
	   ('site/citizen', 'us_citizen', 'reference', '{recorded}', '{1 hour}', NULL, NULL, 'site rule');
UPDATE facematch.retention_rule SET valid_to = '2100-01-01' WHERE name = 'site/crew';
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, notice_required, alternative, citation, valid_from)
	SELECT n, 'us_citizen', true, false, 'manual document inspection', 'site rule', now() + interval '1 day' FROM unnest('{crew,guest}'::text[]) n;
UPDATE facematch.decline_rule SET citation = 'site rule 2' WHERE name = 'crew';
UPDATE facematch.decline_rule SET citation = citation WHERE name = 'crew';
DELETE FROM facematch.decline_rule WHERE name = 'guest';
INSERT INTO facematch.notice (name, texts) VALUES ('gate', '{"en": "You may decline. Tell the officer.", "es": "Puede negarse."}');
UPDATE facematch.notice_posting SET removed_at = clock_timestamp();
INSERT INTO facematch.notice_posting (notice, port, lane) VALUES ('gate', 'JFK', 'B22');
SELECT * FROM stream ORDER BY number;
SELECT count(*), max(number), bool_and(at <= clock_timestamp()), count(DISTINCT actor) FROM facematch.rights_event;
SELECT * FROM staged ORDER BY name;
-- It is a record.
UPDATE facematch.rights_event SET what = 'hold';
DELETE FROM facematch.rights_event;
TRUNCATE facematch.rights_event;
SELECT intact, finding FROM facematch.verify_audit();

-- What is kept outside: here, in psql.
SELECT jsonb_agg(to_jsonb(e)) AS copy FROM facematch.rights_event e \gset
SELECT jsonb_agg(to_jsonb(r) ORDER BY r.n, r.says) AS rights FROM rights r \gset

-- Last night's database: everything is as it was.
\c rights_restored
\set SHOW_CONTEXT never
\set VERBOSITY terse
SELECT * FROM staged ORDER BY name;
-- A copy with a hole does nothing.
INSERT INTO outside SELECT * FROM jsonb_populate_recordset(NULL::outside, :'copy') WHERE number <> 9;
SELECT * FROM facematch.replay_rights(NULL);
SELECT * FROM facematch.replay_rights('facematch.hold');
SELECT * FROM facematch.replay_rights('outside');
SELECT max(number) FROM facematch.rights_event;
-- The whole one, in whatever order its rows lie.
INSERT INTO outside SELECT * FROM jsonb_populate_recordset(NULL::outside, :'copy') WHERE number = 9;
SELECT right(site::text, 1) AS site, number, what, done FROM facematch.replay_rights('outside');
SELECT * FROM facematch.replay_rights('outside');
SELECT * FROM staged ORDER BY name;
SELECT * FROM (SELECT e.*::text FROM facematch.rights_event e EXCEPT SELECT o.*::text FROM outside o) d;
-- What differs from today's database: numbers that it gave, and the opt-out whose gallery was lost.
SELECT n, what, says - '{recorded_at,noticed_at,until}'::text[] AS says FROM (
	SELECT r.n, r.what, r.says - '{opt_out_id,hold_id,merge_id,posting_id}'::text[] AS says FROM rights r
	EXCEPT SELECT t.n, t.what, t.says - '{opt_out_id,hold_id,merge_id,posting_id}'::text[] FROM jsonb_to_recordset(:'rights') t (n int, what text, says jsonb)) d;
SELECT o.scope, o.until = (SELECT (e.after ->> 'gallery_until')::timestamptz FROM facematch.rights_event e WHERE e.after ->> 'gallery' = 'UA3') AS until_the_flight_is_over
FROM facematch.opt_out o WHERE o.subject_id = subject(8);
SELECT facematch.is_opted_out(subject(4)) AS by_the_merge;
-- It is in the log here, as what was done; and the stream goes on behind it.
SELECT count(*) FROM facematch.audit_event WHERE action IN ('opt_out_recorded', 'hold_placed', 'hold_released', 'subjects_merged', 'subjects_parted', 'rule_added', 'posting_hung');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(30));
SELECT number - (SELECT max(number) FROM outside) AS next FROM facematch.rights_event ORDER BY number DESC LIMIT 1;
-- In one transaction with what is done here: that has a number of its own.
BEGIN;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(31));
SELECT count(*) FROM facematch.replay_rights('outside');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(32));
COMMIT;
SELECT number - (SELECT max(number) FROM outside) AS next, right(after ->> 'subject_id', 2) AS subject FROM facematch.rights_event WHERE number > (SELECT max(number) FROM outside) ORDER BY number;
SELECT intact, finding FROM facematch.verify_audit();
SELECT severity, finding, object FROM facematch.health_check() WHERE severity = 'error';

-- Whoever wrote rights before the replay is told: nothing is overwritten.
\c rights_written
\set SHOW_CONTEXT never
\set VERBOSITY terse
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(7));
INSERT INTO outside SELECT * FROM jsonb_populate_recordset(NULL::outside, :'copy');
SELECT * FROM facematch.replay_rights('outside');
SELECT max(number) FROM facematch.rights_event;
-- A hole is named.
ALTER TABLE facematch.rights_event DISABLE TRIGGER USER;
DELETE FROM facematch.rights_event WHERE number = 2;
ALTER TABLE facematch.rights_event ENABLE ALWAYS TRIGGER rights_event_10_is_a_record, ENABLE ALWAYS TRIGGER rights_event_20_arrived, ENABLE ALWAYS TRIGGER rights_event_40_truncate, ENABLE ALWAYS TRIGGER rights_event_50_arrived;
SELECT intact, finding FROM facematch.verify_audit();
SELECT severity, finding, object FROM facematch.health_check() WHERE severity = 'error';

-- Another site: a gallery is the one of that name; a row's number means nothing; a rule that is another here is refused.
\c rights_elsewhere
\set SHOW_CONTEXT never
\set VERBOSITY terse
UPDATE facematch_internal.site SET site = '00000000-0000-8000-8000-00000000000b';
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) SELECT 'NZ' || n, 'flight', 'two', 0.9, now() + interval '1 day' FROM generate_series(1, 3) n;
INSERT INTO facematch.retention_class (name, description) VALUES ('crew', 'the crew');
INSERT INTO outside SELECT * FROM jsonb_populate_recordset(NULL::outside, :'copy');
SELECT right(site::text, 1) AS site, number, what, done FROM facematch.replay_rights('outside') WHERE what IN ('opt_out', 'hold');
SELECT * FROM facematch.replay_rights('outside');
BEGIN;
DELETE FROM facematch.retention_class WHERE name = 'crew';
SELECT right(site::text, 1) AS site, number, what, done FROM facematch.replay_rights('outside') WHERE what IN ('opt_out', 'hold');
COMMIT;
SELECT facematch.is_opted_out(subject(3), gallery_id) FROM facematch.gallery WHERE name IN ('UA2', 'UA1') ORDER BY name;
SELECT site, number, what, row FROM stream WHERE site = 'b' ORDER BY number;

-- A rule that was changed, or deleted, before it took force, and comes later: only its last form ever is a rule here.
\c rights_elsewhere
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET timezone = 'UTC';
TRUNCATE outside;
INSERT INTO outside SELECT '00000000-0000-8000-8000-00000000000c', n, now() - interval '3 days' + n * interval '1 minute', 'counsel', 'rule',
	CASE WHEN n IN (2, 3, 5) THEN r || jsonb_build_object('citation', 'draft ' || b) END, CASE WHEN n <> 5 THEN r || jsonb_build_object('citation', 'draft ' || n) END
FROM (VALUES (1, NULL), (2, 1), (3, 2), (4, NULL), (5, 4)) v (n, b),
	LATERAL (SELECT to_jsonb(x) || jsonb_build_object('name', CASE WHEN n < 4 THEN 'late' ELSE 'never' END, 'shipped', false, 'keep', '{00:00:01}'::text[], 'anchors', '{recorded}'::text[],
		'fallback_anchor', NULL, 'fallback_keep', NULL, 'valid_from', now() - interval '1 day', 'valid_to', 'infinity') AS r FROM facematch.retention_rule x WHERE x.name = 'cbp/us_citizen/reference') r;
SELECT number, done FROM facematch.replay_rights('outside');
SELECT name, citation FROM facematch.retention_rule WHERE name IN ('late', 'never');
-- Once it is in force, nobody changes it here; what was changed elsewhere before that is changed.
UPDATE facematch.retention_rule SET citation = 'mine' WHERE name = 'late';
INSERT INTO outside SELECT site, 6, at + interval '3 minutes', actor, what, after, after || '{"citation": "final"}' FROM outside WHERE number = 3;
SELECT number, done FROM facematch.replay_rights('outside');
SELECT name, citation FROM facematch.retention_rule WHERE name IN ('late', 'never');

\c postgres
DROP DATABASE rights_restored;
DROP DATABASE rights_written;
DROP DATABASE rights_elsewhere;
