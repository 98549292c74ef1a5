-- Notices are evidence: what was posted never changes, a new version follows it; one row has all languages; what is not
-- right any more is not posted; each change is in the log.
\set SHOW_CONTEXT never
\set VERBOSITY terse
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F', 'flight', 'two', 0.9, now() + interval '1 hour');
CREATE FUNCTION at_gate(port text, lane text DEFAULT NULL, minutes int DEFAULT 0) RETURNS TABLE (notice text, version int, languages text[]) LANGUAGE plpgsql AS $$
DECLARE
	recorded bigint := (SELECT e.encounter_id FROM facematch.record_encounter('F', NULL, port, lane, occurred_at => clock_timestamp() - make_interval(mins => minutes)) e);
BEGIN
	RETURN QUERY SELECT n.name, n.version, ARRAY(SELECT jsonb_object_keys(n.texts) ORDER BY 1)
	FROM facematch.encounter c LEFT JOIN facematch.notice_posting p USING (posting_id)
	LEFT JOIN facematch.notice n ON (n.name, n.version) = (p.notice, p.version) WHERE c.encounter_id = recorded;
END $$;

-- Texts by language, or it is no notice; what is refused is not printed.
INSERT INTO facematch.notice (name, texts) VALUES ('gate', '"You may decline."');
INSERT INTO facematch.notice (name, texts) VALUES ('gate', '{}');
INSERT INTO facematch.notice (name, texts) VALUES ('gate', '{"en": ""}');
INSERT INTO facematch.notice (name, texts) VALUES ('gate', '{"en": ["You may decline."]}');
INSERT INTO facematch.notice (name, texts) SELECT 'gate', jsonb_build_object('en', string_agg((i / 7.0)::real::text, ',')) FROM generate_series(1, 64) i;
INSERT INTO facematch.notice (name, texts) VALUES ('gate', NULL);

-- Until it is posted it can be put right, and thrown away.
INSERT INTO facematch.notice (name, texts, valid_from) VALUES ('gate', '{"en": "You may decilne."}', now() - interval '1 year');
UPDATE facematch.notice SET texts = '{"en": "You may decline.", "es": "Puede negarse."}';
INSERT INTO facematch.notice (name, texts) VALUES ('draft', '{"en": "x"}');
DELETE FROM facematch.notice WHERE name = 'draft';
SELECT * FROM at_gate('JFK');
INSERT INTO facematch.notice_posting (notice, port, posted_at) VALUES ('gate', 'JFK', now() - interval '1 hour') RETURNING posting_id, version;
SELECT * FROM at_gate('JFK', 'B22');
SELECT * FROM at_gate('JFK', NULL, 90);
SELECT * FROM at_gate('LAX');

-- From then on nothing of it changes, by any column.
UPDATE facematch.notice SET texts = texts || '{"fr": "Vous pouvez refuser."}';
UPDATE facematch.notice SET texts = '{"en": "You may not decline."}';
UPDATE facematch.notice SET valid_from = '-infinity';
UPDATE facematch.notice SET valid_to = now() + interval '1 day';
UPDATE facematch.notice SET name = 'another';
UPDATE facematch.notice SET version = 2;
DELETE FROM facematch.notice;
TRUNCATE facematch.notice CASCADE;
SET session_replication_role = replica;
UPDATE facematch.notice SET texts = '{"en": "You may not decline."}';
DELETE FROM facematch.notice_posting;
RESET session_replication_role;

-- Of a posting only its end is set, once.
UPDATE facematch.notice_posting SET port = 'LAX';
UPDATE facematch.notice_posting SET posted_at = now() - interval '2 hours';
UPDATE facematch.notice_posting SET removed_at = now() + interval '1 day';
DELETE FROM facematch.notice_posting;

-- A new version takes its place on its day: the old one hangs, and is not posted any more.
INSERT INTO facematch.notice (name, texts, valid_from) VALUES ('gate', '{"en": "Pictures are deleted within 12 hours.", "es": "..."}', now() + interval '1 day') RETURNING version;
SELECT port, state, hanging, outdated, languages FROM facematch.report_notice ORDER BY 1;
INSERT INTO facematch.notice (name, texts, valid_from) VALUES ('gate', '{"en": "You may decline. Tell the officer."}', now() - interval '10 minutes');
INSERT INTO facematch.notice (name, texts) VALUES ('gate', '{"en": "You may decline. Tell the officer."}') RETURNING version;
SELECT * FROM at_gate('JFK');
SELECT * FROM at_gate('JFK', NULL, 30);
SELECT port, state, hanging, outdated, languages FROM facematch.report_notice ORDER BY 1;
INSERT INTO facematch.notice_posting (notice, port) VALUES ('gate', 'JFK') RETURNING version;
SELECT * FROM at_gate('JFK');
UPDATE facematch.notice_posting SET removed_at = clock_timestamp() WHERE version = 1;
UPDATE facematch.notice_posting SET removed_at = clock_timestamp() WHERE version = 1;
SELECT port, state, hanging, outdated, languages FROM facematch.report_notice ORDER BY 1;

-- What has ended is not posted.
INSERT INTO facematch.notice (name, texts, valid_from, valid_to) VALUES ('old', '{"en": "x"}', '2020-01-01', '2021-01-01');
INSERT INTO facematch.notice_posting (notice, port) VALUES ('old', 'LAX');
INSERT INTO facematch.notice_posting (notice, port, posted_at) VALUES ('old', 'LAX', '2020-06-01') RETURNING version;
SELECT * FROM at_gate('LAX');
INSERT INTO facematch.notice_posting (notice, port) VALUES ('none', 'LAX');

-- A posting is noted when it hangs: in the time of its version, not ahead, and long afterwards only by who may write notices.
INSERT INTO facematch.notice_posting (notice, version, port, posted_at) VALUES ('gate', 1, 'LAX', now() - interval '2 years');
INSERT INTO facematch.notice_posting (notice, version, port, posted_at) VALUES ('gate', 2, 'LAX', now());
INSERT INTO facematch.notice (name, texts, valid_from) VALUES ('gate', '{"en": "z"}', now() + interval '1 day') RETURNING version;
UPDATE facematch.notice SET valid_from = now() - interval '1 day' WHERE version = 4;
DELETE FROM facematch.notice WHERE version = 4;
-- What was posted while the clock was wrong comes back from a dump, and is taken down.
BEGIN;
INSERT INTO facematch.notice_posting (notice, port, posted_at) VALUES ('gate', 'LAX', '2062-01-01');
SAVEPOINT ahead;
UPDATE facematch.notice_posting SET removed_at = '2062-01-02' WHERE port = 'LAX' AND posted_at > now();
ROLLBACK TO ahead;
UPDATE facematch.notice_posting SET removed_at = posted_at WHERE port = 'LAX' AND posted_at > now() RETURNING version;
ROLLBACK;
CREATE ROLE regress_poster LOGIN;
SELECT facematch.grant_operator('regress_poster');
SET SESSION AUTHORIZATION regress_poster;
INSERT INTO facematch.notice_posting (notice, port, posted_at) VALUES ('gate', 'LAX', '2062-01-01');
INSERT INTO facematch.notice_posting (notice, version, port, posted_at) VALUES ('gate', 1, 'BOS', clock_timestamp() - interval '7 hours');
INSERT INTO facematch.notice_posting (notice, version, port, posted_at) VALUES ('gate', 1, 'BOS', clock_timestamp() - interval '5 hours');
UPDATE facematch.notice_posting SET removed_at = clock_timestamp() - interval '4 hours' WHERE port = 'BOS';
UPDATE facematch.notice_posting SET removed_at = '2020-06-02' WHERE notice = 'old';
RESET SESSION AUTHORIZATION;
UPDATE facematch.notice_posting SET removed_at = '2020-06-02' WHERE notice = 'old';
SELECT facematch.revoke_access('regress_poster');
DROP ROLE regress_poster;

-- Where and when notices were posted, and what the log has of it.
SELECT port, lane, notice, version, languages, posted_at < now() AS posted, removed_at IS NOT NULL AS removed,
	   outdated_from = (SELECT n.valid_from FROM facematch.notice n WHERE (n.name, n.version) = ('gate', 3)) AS outdated_by_the_next, texts ->> 'en' AS english
FROM facematch.report_posting ORDER BY port, version;
SELECT action, detail ->> 'about' AS about, detail -> 'changed' -> 'texts' AS texts, array(SELECT jsonb_object_keys(coalesce(detail -> 'row', detail -> 'changed'))) AS columns
FROM facematch.audit_event WHERE action ~ '^(notice|posting)_' ORDER BY event_id;
SELECT intact, finding FROM facematch.verify_audit();
-- Its days are UTC's.
SELECT facematch.report_html(day - 1, day) ~ '<caption>Where and when notices were posted.*<td>gate, version 1</td><td>en, es</td>' AS on_the_page
FROM CAST(now() AT TIME ZONE 'UTC' AS date) day;
-- A name that reads like what a query puts the table's name for.
INSERT INTO facematch.notice (name, texts) VALUES ('@table', '{"en": "x"}');
INSERT INTO facematch.notice_posting (notice, port) VALUES ('@table', 'JFK');
DELETE FROM facematch.notice WHERE name = '@table';
