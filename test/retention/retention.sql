-- Deadlines: computed from the rules, nearer but never farther, and why.
\set SHOW_CONTEXT never
SET timezone = 'America/New_York';
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('today', 'flight', 'two', 0.5, now() + interval '2 hours'), ('gone', 'flight', 'two', 0.5, now() - interval '30 hours'),
	('list', 'watchlist', 'two', 0.5, NULL);
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
CREATE FUNCTION stage(gallery text, n int, class text, enrolled interval DEFAULT '0', deadline timestamptz DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at, purge_after)
	SELECT gallery_id, subject($2), $3, ARRAY[cosd($2), sind($2)]::face_embedding, 's', now() + $4, $5 FROM facematch.gallery WHERE name = $1
	RETURNING reference_id $$;
-- How far the deadline is from now, to the hour and day, in UTC.
CREATE FUNCTION left_of(id bigint) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN purge_after = 'infinity' THEN 'never' ELSE round(extract(epoch FROM purge_after - now()) / 3600, 1) || ' h' END
	FROM facematch.reference WHERE reference_id = $1 $$;

-- The shipped rules, through DST changes as in UTC.
SELECT name, left_of(stage('today', 1, name)) AS today, left_of(stage('gone', 1, name, '-31 hours')) AS gone, left_of(stage('today', 1, name, '-15 days')) AS staged_early
FROM facematch.retention_class WHERE name IN ('us_citizen', 'exempt_alien', 'noncitizen') ORDER BY 1;
SELECT left_of(stage('list', 1, 'watchlist')) = round(extract(epoch FROM (now() AT TIME ZONE 'UTC' + interval '75 years') AT TIME ZONE 'UTC' - now()) / 3600, 1) || ' h' AS watchlist;
SELECT name, purge_after - anchor_at AS kept, retention_rule FROM facematch.gallery ORDER BY 1;
-- Without a rule nothing is kept.
SELECT stage('today', 1, 'nobody');
SELECT stage('today', 1, 'unmatched');
-- A deadline that is given counts when it is nearer; a photograph from the future is one of now.
SELECT left_of(stage('today', 2, 'us_citizen', deadline => now() + interval '1 hour')) AS nearer, left_of(stage('today', 2, 'us_citizen', deadline => 'infinity')) AS farther,
       left_of(stage('list', 2, 'noncitizen', '100 days')) AS future;

-- By hand: nearer, not farther; not by the back door either.
UPDATE facematch.reference SET purge_after = purge_after + interval '1 microsecond';
UPDATE facematch.reference SET purge_after = 'infinity';
UPDATE facematch.reference SET purge_after = NULL;
SELECT stage('today', 3, 'us_citizen') AS id \gset
UPDATE facematch.reference SET retention_class = 'noncitizen' WHERE reference_id = :id;
SELECT left_of(:id);
UPDATE facematch.reference SET enrolled_at = now() + interval '10 days', gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'list') WHERE reference_id = :id;
SELECT left_of(:id);
UPDATE facematch.reference SET purge_after = now() + interval '3 hours' WHERE reference_id = :id;
SELECT left_of(:id);
MERGE INTO facematch.reference r USING (VALUES (:id)) v (id) ON r.reference_id = v.id WHEN MATCHED THEN UPDATE SET purge_after = now() + interval '4 hours';
INSERT INTO facematch.reference (reference_id, gallery_id, subject_id, retention_class, embedding, source) OVERRIDING SYSTEM VALUE
SELECT :id, gallery_id, subject(3), 'us_citizen', '[1,0]', 's' FROM facematch.gallery WHERE name = 'today'
ON CONFLICT (reference_id) DO UPDATE SET purge_after = 'infinity';
TRUNCATE facematch.reference;
TRUNCATE facematch.gallery CASCADE;
-- Without the trigger it is PostgreSQL's to refuse, and who may not is told so.
BEGIN;
ALTER TABLE facematch.reference DISABLE TRIGGER reference_40_truncate;
TRUNCATE facematch.reference;
ROLLBACK;
BEGIN;
GRANT USAGE ON SCHEMA facematch, facematch_internal TO pg_monitor;
SET LOCAL ROLE pg_monitor;
TRUNCATE facematch.reference;
ROLLBACK;

-- A delayed departure takes its templates along, but no row that was brought nearer, and none that is due.
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('late', 'flight', 'two', 0.5, now() + interval '1 hour');
SELECT stage('late', 10, 'us_citizen') AS plain, stage('late', 11, 'us_citizen', deadline => now() + interval '2 hours') AS near,
       stage('late', 12, 'us_citizen', deadline => now()) AS due, stage('late', 13, 'noncitizen') AS noncitizen \gset
UPDATE facematch.gallery SET anchor_at = anchor_at + interval '5 hours' WHERE name = 'late';
SELECT left_of(:plain) AS plain, left_of(:near) AS near, left_of(:due) AS due, left_of(:noncitizen) AS noncitizen;
UPDATE facematch.gallery SET anchor_at = anchor_at - interval '10 hours' WHERE name = 'late';
SELECT left_of(:plain) AS plain, left_of(:near) AS near, left_of(:due) AS due, left_of(:noncitizen) AS noncitizen;
SELECT action, detail FROM facematch.audit_event WHERE action = 'deadline_lengthened' ORDER BY event_id;
SELECT intact, events > 0 AS events, first_broken FROM facematch.verify_audit();
UPDATE facematch.gallery SET purge_after = now() WHERE name = 'late';
SELECT count(*) FROM facematch.reference JOIN facematch.gallery g USING (gallery_id) WHERE g.name = 'late' AND reference.purge_after > now();
UPDATE facematch.gallery SET anchor_at = now() + interval '1 day' WHERE name = 'late';
SELECT count(*) FROM facematch.reference JOIN facematch.gallery g USING (gallery_id) WHERE g.name = 'late' AND reference.purge_after > now();

-- A new rule: shorter reaches what exists; longer does not, unless it says so; later counts from its date.
INSERT INTO facematch.retention_class (name, description) VALUES ('guest', 'guests');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('first', 'guest', 'reference', '{recorded}', '{10 days}', 'c', now() - interval '1 year');
SELECT stage('list', 20, 'guest', '-1 day') AS a \gset
SELECT left_of(:a);
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('shorter', 'guest', 'reference', '{recorded}', '{5 days}', 'c', now());
SELECT left_of(:a), left_of(stage('list', 20, 'guest'));
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('longer', 'guest', 'reference', '{recorded}', '{20 days}', 'c', now());
SELECT left_of(:a), left_of(stage('list', 20, 'guest')), left_of(stage('list', 20, 'guest', '-1 hour'));
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('ahead', 'guest', 'reference', '{recorded}', '{1 day}', 'c', now() + interval '2 days');
SELECT left_of(:a), left_of(stage('list', 20, 'guest')), left_of(stage('list', 20, 'guest', '-3 days'));
DELETE FROM facematch.retention_rule WHERE name = 'ahead';
SELECT left_of(:a);
INSERT INTO facematch.retention_class (name, description) VALUES ('lodger', 'lodgers');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('lodgers', 'lodger', 'reference', '{recorded}', '{10 days}', 'c', '-infinity');
SELECT stage('list', 21, 'lodger', '-1 day') AS plain, stage('list', 22, 'lodger', '-1 day', now() + interval '1 hour') AS near, stage('list', 23, 'lodger', '-11 days') AS due \gset
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, lengthens, citation, valid_from)
VALUES ('longer for all', 'lodger', 'reference', '{recorded}', '{30 days}', true, 'c', now());
SELECT left_of(:plain) AS plain, left_of(:near) AS near, left_of(:due) AS due, left_of(stage('list', 24, 'lodger', '-1 day')) AS late_comer;
SELECT action, detail FROM facematch.audit_event WHERE action = 'deadline_lengthened' ORDER BY event_id DESC LIMIT 1;
-- In force, a rule can only be ended.
UPDATE facematch.retention_rule SET keep = '{1 day}' WHERE name = 'first';
DELETE FROM facematch.retention_rule WHERE name = 'first';
UPDATE facematch.retention_rule SET valid_to = now() - interval '1 day' WHERE name = 'first';
UPDATE facematch.retention_rule SET valid_to = 'infinity' WHERE name = 'cbp/us_citizen/reference';
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES ('x', 'guest', 'reference', '{verifed}', '{1 day}', 'c');
\set VERBOSITY terse
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES ('x', 'guest', 'reference', '{recorded}', '{1 day,2 days}', 'c');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES ('x', 'guest', 'reference', '{recorded}', '{-1 day}', 'c');
\set VERBOSITY default
DELETE FROM facematch.retention_class WHERE name = 'guest';
DELETE FROM facematch.retention_class WHERE name = 'us_citizen';
UPDATE facematch.retention_class SET name = 'visitor' WHERE name = 'guest';

-- The European rules: three years after the exit, five after the end of the stay if there is none, notice in advance.
INSERT INTO facematch.retention_class (name, description) VALUES ('ees', 'third-country nationals in the Entry/Exit System');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, fallback_anchor, fallback_keep, notice_before, follows_anchor, citation, valid_from)
VALUES ('ees/art34', 'ees', 'reference', '{exit}', '{3 years}', 'stay_expiry', '5 years', '3 months', true, 'Regulation (EU) 2017/2226, Article 34', '-infinity');
SELECT stage('list', 30, 'ees') AS e \gset
SELECT left_of(:e);
SELECT rule, anchor, anchor_at, due, explanation FROM facematch.explain_retention('facematch.reference', :e);
INSERT INTO facematch.anchor_event (subject_id, event, occurred_at) VALUES (subject(30), 'stay_expiry', '2027-01-01 00:00+00');
SELECT purge_after AT TIME ZONE 'UTC' FROM facematch.reference WHERE reference_id = :e;
INSERT INTO facematch.anchor_event (subject_id, event, occurred_at) VALUES (subject(30), 'exit', '2026-11-01 00:00+00'), (subject(31), 'exit', '2026-11-01 00:00+00');
SELECT purge_after AT TIME ZONE 'UTC' FROM facematch.reference WHERE reference_id = :e;
-- Another visit: the last exit counts.
INSERT INTO facematch.anchor_event (subject_id, event, occurred_at) VALUES (subject(30), 'exit', '2026-11-10 00:00+00');
SELECT purge_after AT TIME ZONE 'UTC' FROM facematch.reference WHERE reference_id = :e;
SELECT stage('list', 31, 'ees') AS other \gset
SELECT purge_after AT TIME ZONE 'UTC' FROM facematch.reference WHERE reference_id = :other;
SELECT count(*) FROM facematch.due_soon();
SELECT row_id = :'e' AS it, subject_id, rule FROM facematch.due_soon('4 years') WHERE retention_class = 'ees' AND row_id = :'e';
SELECT retention_class, rule, citation, anchor, keep, is_due, held FROM facematch.explain_retention('facematch.reference', :e);
SELECT * FROM facematch.explain_retention('facematch.reference', 0);
SELECT * FROM facematch.explain_retention('pg_class', 1);

-- Earliest and latest of several.
INSERT INTO facematch.retention_class (name, description) VALUES ('several', 'x');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, take, fallback_anchor, fallback_keep, citation, valid_from)
VALUES ('several', 'several', 'reference', '{gallery_anchor,recorded}', '{1 hour,2 hours}', 'latest', 'recorded', '30 minutes', 'c', '-infinity');
SELECT left_of(stage('today', 40, 'several')) AS both, left_of(stage('list', 40, 'several')) AS one_missing;

-- In bulk.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, gen_random_uuid(), 'us_citizen', '1:[1,1]', 'bulk' FROM facematch.gallery, generate_series(1, 20000) WHERE name = 'today';
SELECT count(*), count(DISTINCT r.purge_after) AS deadlines, bool_and(r.purge_after = g.anchor_at + interval '12 hours') AS right FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id) WHERE source = 'bulk';
UPDATE facematch.gallery SET anchor_at = anchor_at - interval '1 hour' WHERE name = 'today';
SELECT bool_and(r.purge_after = anchor_at + interval '12 hours') FROM facematch.reference r JOIN facematch.gallery USING (gallery_id) WHERE source = 'bulk';
DELETE FROM facematch.gallery WHERE name = 'today';
SELECT count(*) FROM facematch.reference WHERE source = 'bulk';
