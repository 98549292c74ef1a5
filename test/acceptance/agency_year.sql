-- An agency's year, in one session of psql, on a database that has the extension: what goes wrong, what the law asks,
-- and what facematch answers.  Every answer is checked by answer(), and a wrong one ends the story.  Templates are made
-- here; nothing else is needed but pg_dump and psql on the path.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = error;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE SCHEMA story;
CREATE FUNCTION story.answer(question text, answered text, expected text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF answered IS DISTINCT FROM expected THEN
		RAISE EXCEPTION '%: answered %, expected %', question, coalesce(answered, 'nothing'), coalesce(expected, 'nothing');
	END IF;
	RETURN format('%s: %s', question, coalesce(answered, 'nothing'));
END $$;
-- What becomes of a statement: the name of what refuses it, or its SQLSTATE; NULL if it passes.
CREATE FUNCTION story.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	name text;
BEGIN
	EXECUTE statement;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS name = CONSTRAINT_NAME;
	RETURN coalesce(nullif(name, ''), SQLSTATE);
END $$;
CREATE FUNCTION story.passport(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT facematch.subject_id('USA', 'passport', 'P' || n) $$;
-- Person n's face on the photograph of that number: 64 numbers, of which a photograph changes each a little.
CREATE FUNCTION story.face(n int, photograph int DEFAULT 0) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg(hashint8extended(i, n) / 9.3e18 + hashint8extended(i, n * 1000 + photograph) / 9.3e19 ORDER BY i)::real[]::face_embedding
	FROM generate_series(1, 64) i $$;
CREATE FUNCTION story.stage(flight text, persons int[], class text DEFAULT 'us_citizen', at timestamptz DEFAULT now()) RETURNS void LANGUAGE sql AS $$
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
	SELECT g.gallery_id, story.passport(n), class, story.face(n % 1000), 'passport', at
	FROM facematch.gallery g, unnest(persons) n WHERE g.name = flight $$;
CREATE FUNCTION story.staged(flight text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(n::text, ' ' ORDER BY n) FROM generate_series(1, 1300) n
	JOIN facematch.reference r ON r.subject_id = story.passport(n) JOIN facematch.gallery g USING (gallery_id) WHERE g.name = flight $$;
CREATE FUNCTION story.at_gate(flight text, n int, port text DEFAULT 'JFK') RETURNS text LANGUAGE sql AS $$
	SELECT outcome FROM facematch.record_encounter(flight, story.face(n % 1000, 1), port, 'B22') $$;
-- What the health check has an error or a warning of, by the words of the finding.
CREATE FUNCTION story.findings(pattern text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(h.object, '; ' ORDER BY h.object) FROM facematch.health_check() h WHERE h.finding ~ pattern AND h.severity IN ('error', 'warning') $$;

\echo '--- January: a flight'
INSERT INTO facematch.model (name, tag, dims) VALUES ('agency', 1, 64);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('AA1', 'flight', 'agency', 0.8, now() + interval '2 hours'), ('AA2', 'flight', 'agency', 0.8, now() + interval '3 hours');
SELECT story.stage('AA1', ARRAY(SELECT generate_series(1, 200)));
SELECT story.answer('a passenger of the flight', story.at_gate('AA1', 7), 'match');
SELECT story.answer('nobody of the flight', story.at_gate('AA1', 700), 'no_match');
SELECT story.answer('who the passenger is', (SELECT string_agg((subject_id = story.passport(7))::text, ' ') FROM facematch.identify(story.face(7, 2), 'AA1')), 'true');

\echo '--- February: two documents are one person'
-- Passport 1001 is another passport of person 1, found out at the desk.
SELECT story.stage('AA2', '{1001,2,3}');
SELECT facematch.merge_subjects(story.passport(1), story.passport(1001)) AS merge \gset
SELECT story.answer('no row is rewritten', story.staged('AA2'), '2 3 1001');
INSERT INTO facematch.opt_out (subject_id, retention_class) VALUES (story.passport(1), 'us_citizen');
SELECT story.answer('an opt-out with one passport removes what came with the other', story.staged('AA2'), '2 3');
SELECT story.answer('and lets nothing in again', story.refusal($$SELECT story.stage('AA2', '{1001}')$$), 'subject_has_not_opted_out');
SELECT story.answer('at the gate with the other passport', (SELECT outcome || ', ' || reason FROM facematch.record_encounter('AA2', NULL, 'JFK', 'B22',
	subject_id => story.passport(1001))), 'manual_inspection, opted_out');
-- It was a clerk's mistake: they are two persons.
UPDATE facematch.subject_merge SET undone_at = clock_timestamp() WHERE merge_id = :merge;
SELECT story.stage('AA2', '{1001}');
SELECT story.answer('undone: the other person is herself again', story.at_gate('AA2', 1), 'match');
SELECT story.answer('and who opted out still is', facematch.is_opted_out(story.passport(1))::text, 'true');
SELECT story.answer('both are in the log', (SELECT string_agg(action, ' ' ORDER BY event_id) FROM facematch.audit_event WHERE action LIKE 'subjects%'),
	'subjects_merged subjects_parted');

\echo '--- March: a court wants a flight kept'
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('BB1', 'flight', 'agency', 0.8, now() - interval '15 days'), ('BB2', 'flight', 'agency', 0.8, now() - interval '15 days');
SELECT story.stage(flight, ARRAY(SELECT generate_series(11, 40)), at => now() - interval '16 days') FROM unnest('{BB1,BB2}'::text[]) flight;
INSERT INTO facematch.photograph (reference_id, media_type, key_id, sealed, purge_after)
SELECT r.reference_id, 'image/jpeg', gen_random_uuid(), '\x01', 'infinity' FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id)
WHERE g.name LIKE 'BB_';
INSERT INTO facematch.encounter (gallery_id, gallery, port, outcome, threshold, model, retention_class, subject_id, probe, occurred_at)
SELECT gallery_id, name, 'JFK', 'no_match', 0.8, 'agency', 'unmatched', NULL, story.face(900 + n), now() - interval '15 days'
FROM facematch.gallery, generate_series(1, 5) n WHERE name LIKE 'BB_';
INSERT INTO facematch.hold (table_name, row_id, reason, authority)
SELECT 'facematch.gallery', gallery_id, 'Doe v. Agency', 'district court' FROM facematch.gallery WHERE name = 'BB1' RETURNING hold_id AS hold \gset
CALL facematch.purge();
SELECT story.answer('what the hold keeps', (SELECT keeps::text FROM facematch.held WHERE hold_id = :hold),
	'{"facematch.gallery": 1, "facematch.encounter": 5, "facematch.reference": 30, "facematch.photograph": 30}');
SELECT story.answer('the flight beside it is gone', (SELECT count(*)::text FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id) WHERE g.name = 'BB2'), '0');
SELECT story.answer('its photographs too', (SELECT count(*)::text FROM facematch.photograph), '30');
SELECT story.answer('what is held matches nobody', (SELECT count(*)::text FROM facematch.identify(story.face(11, 1), 'BB1')), '0');
SELECT story.answer('nobody deletes it', story.refusal($$DELETE FROM facematch.gallery WHERE name = 'BB1'$$), 'row_is_not_held');
SELECT story.answer('nor the extension', story.refusal('DROP EXTENSION facematch CASCADE'), 'extension_has_no_rows');
SELECT story.answer('nor a hold of what is not there', story.refusal($$INSERT INTO facematch.hold (table_name, row_id, reason, authority)
	VALUES ('facematch.gallery', '999', 'r', 'a')$$), 'hold_row_exists');

\echo '--- April: a clock that was a year ahead'
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('pool', 'enrolment', 'agency', 0.8);
SELECT story.stage('pool', '{51,52,53,54}', 'noncitizen');
-- As rows are that were recorded then: the clock is right again, and they say next year.
ALTER TABLE facematch.reference DISABLE TRIGGER USER;
UPDATE facematch.reference SET enrolled_at = enrolled_at + interval '365 days', purge_after = purge_after + interval '365 days'
WHERE gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'pool');
SELECT story.answer('triggers are put back', (facematch.reinstate() > 0)::text, 'true');
SELECT story.answer('the health check names the table of rows that outlive their rule', story.findings('longer than'), 'facematch.reference (rows: 4, the first 266)');
CALL facematch.recompute();
SELECT story.answer('and no more once they are dated anew', story.findings('longer than'), NULL);
SELECT story.answer('days that they are kept from now', (SELECT string_agg(round(extract(epoch FROM r.purge_after - now()) / 86400)::text, ' ')
	FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id) WHERE g.name = 'pool'), '14 14 14 14');

\echo '--- May: a partition is attached'
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('agency/sighting', 'us_citizen', 'sighting', '{recorded}', '{10 days}', 'agency order 5', '-infinity');
CREATE TABLE sighting (id int, retention_class text NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(), subject_id uuid, face face_embedding(64))
	PARTITION BY RANGE (id);
CREATE TABLE sighting_1 PARTITION OF sighting FOR VALUES FROM (1) TO (100);
SELECT facematch.retain('sighting', 'sighting');
INSERT INTO sighting (id, retention_class, subject_id, face) VALUES (1, 'us_citizen', story.passport(61), story.face(61, 1));
CREATE TABLE sighting_2 (LIKE sighting INCLUDING DEFAULTS);
INSERT INTO sighting_2 SELECT 100 + n, 'us_citizen', now() - n * interval '4 days', story.passport(61 + n), story.face(61 + n, 1), now() + interval '3 years'
FROM generate_series(1, 4) n;
ALTER TABLE sighting ATTACH PARTITION sighting_2 FOR VALUES FROM (100) TO (200);
SELECT story.answer('the health check names the table of its late rows', story.findings('longer than'), 'public.sighting (rows: 4, the first 101)');
SELECT story.answer('and names them', (SELECT string_agg(row_id, ' ' ORDER BY row_id) FROM facematch_internal.late_rows('sighting')), '101 102 103 104');
CALL facematch.recompute();
SELECT story.answer('healed', story.findings('longer than'), NULL);
CALL facematch.purge();
SELECT story.answer('what was due by the rule is purged', (SELECT string_agg(id::text, ' ' ORDER BY id) FROM sighting), '1 101 102');
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('sighting', '101', 'inquiry 5', 'inspector general');
SELECT story.answer('who detaches it leaves the held row there', story.refusal('ALTER TABLE sighting DETACH PARTITION sighting_2'), 'row_is_not_held');
UPDATE facematch.hold SET released_at = clock_timestamp() WHERE reason = 'inquiry 5';

\echo '--- June: the law changes'
-- From the day after tomorrow sightings are kept for a day.
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('agency/sighting/2', 'us_citizen', 'sighting', '{recorded}', '{1 day}', 'agency order 6', now() + interval '2 days');
INSERT INTO sighting (id, retention_class, subject_id, face) VALUES (2, 'us_citizen', story.passport(62), story.face(62, 2));
SELECT story.answer('what was and is recorded before is kept until that day', (SELECT string_agg(DISTINCT round(extract(epoch FROM purge_after - now()) / 86400)::text, ' ') FROM sighting), '2');
SELECT story.answer('by the new rule', (SELECT concat_ws(', ', rule, citation) FROM facematch.explain_retention('sighting', 2)), 'agency/sighting/2, agency order 6');
-- Nobody pushes it away: a longer rule reaches only what comes after it.
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES ('agency/sighting/3', 'us_citizen', 'sighting', '{recorded}', '{90 days}', 'a clerk');
SELECT story.answer('a longer rule keeps nothing of that longer', (SELECT count(*)::text FROM sighting WHERE purge_after > now() + interval '2 days'), '0');
SELECT story.answer('and is ended, not changed', story.refusal($$UPDATE facematch.retention_rule SET keep = '{1 year}' WHERE name = 'agency/sighting/3'$$), 'rule_in_force_is_kept');
UPDATE facematch.retention_rule SET valid_to = now() WHERE name = 'agency/sighting/3';
-- Crews could decline until 1 June, and cannot from then on.
INSERT INTO facematch.retention_class (name, description) VALUES ('crew', 'crew of the airline');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('agency/crew', 'crew', 'reference', '{recorded}', '{30 days}', 'agency order 7', '-infinity'),
	('agency/crew/encounter', 'crew', 'encounter', '{recorded}', '{30 days}', 'agency order 7', '-infinity');
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, alternative, citation, valid_from, valid_to) VALUES
	('agency/crew', 'crew', true, 'crew desk', 'agency order 7', '-infinity', '2026-06-01 00:00+00'),
	('agency/crew/2', 'crew', false, NULL, 'agency order 8', '2026-06-01 00:00+00', 'infinity');
SELECT story.answer('before its date', (facematch.may_decline('crew', 'flight', '2026-05-31 23:59:59+00')).name, 'agency/crew');
SELECT story.answer('and from that day', (facematch.may_decline('crew', 'flight', '2026-06-01 00:00+00')).name, 'agency/crew/2');
SELECT story.stage('pool', '{71,72}', 'crew', now() - interval '1 day');
INSERT INTO facematch.opt_out (subject_id, retention_class, noticed_at) VALUES (story.passport(71), 'crew', '2026-05-31 12:00+00'), (story.passport(72), 'crew', '2026-06-01 12:00+00');
SELECT story.answer('who declined before', (SELECT answer FROM facematch.opt_out WHERE subject_id = story.passport(71)), 'by_right');
SELECT story.answer('and after', (SELECT answer FROM facematch.opt_out WHERE subject_id = story.passport(72)), 'without_right');
SELECT story.answer('records of after its date stay for both', story.staged('pool'), '51 52 53 54 71 72');

\echo '--- July: the notice is issued again, in two languages'
INSERT INTO facematch.notice (name, texts) VALUES ('gate', '{"en": "Pictures are kept.", "es": "Se guardan las fotos."}');
INSERT INTO facematch.notice_posting (notice, port) VALUES ('gate', 'JFK');
SELECT encounter_id AS read_old FROM facematch.record_encounter('AA1', story.face(20, 1), 'JFK', 'B22') \gset
SELECT story.answer('what was shown is not changed', story.refusal($$UPDATE facematch.notice SET texts = texts || '{"en": "Nothing is kept."}'$$), 'notice_posted_is_kept');
INSERT INTO facematch.notice (name, texts) VALUES ('gate', '{"en": "Pictures are kept for 12 hours.", "es": "Las fotos se guardan 12 horas."}');
SELECT story.answer('the old one hangs, and is out of date', (SELECT state FROM facematch.report_notice WHERE port = 'JFK'), 'outdated');
UPDATE facematch.notice_posting SET removed_at = clock_timestamp() WHERE removed_at IS NULL;
INSERT INTO facematch.notice_posting (notice, port) VALUES ('gate', 'JFK');
SELECT encounter_id AS read_new FROM facematch.record_encounter('AA1', story.face(21, 1), 'JFK', 'B22') \gset
SELECT story.answer('what each traveler could read', (SELECT string_agg(format('%s %s: %s', n.name, n.version, n.texts ->> 'es'), ', ' ORDER BY e.encounter_id)
	FROM facematch.encounter e JOIN facematch.notice_posting p USING (posting_id) JOIN facematch.notice n ON (n.name, n.version) = (p.notice, p.version)
	WHERE e.encounter_id IN (:read_old, :read_new)), 'gate 1: Se guardan las fotos., gate 2: Las fotos se guardan 12 horas.');
SELECT story.answer('what hangs now, and its languages', (SELECT state || ' ' || languages::text FROM facematch.report_notice WHERE port = 'JFK'), 'posted {en,es}');

\echo '--- August: the court is done'
UPDATE facematch.hold SET released_at = clock_timestamp() WHERE hold_id = :hold;
CALL facematch.purge();
SELECT story.answer('nothing is left of the flight', concat_ws(' ', (SELECT count(*) FROM facematch.gallery WHERE name = 'BB1'),
	(SELECT count(*) FROM facematch.photograph), (SELECT count(*) FROM facematch.held)), '0 0 0');

\echo '--- September: a restore from last night, and the opt-outs of today'
\set main :DBNAME
\set restored :DBNAME _restored
\setenv FROM_DATABASE :main
\setenv TO_DATABASE :restored
\set dump `mktemp`
\set events `mktemp`
\setenv DUMP :dump
\setenv EVENTS :events
\! pg_dump -d "$FROM_DATABASE" -f "$DUMP"
-- Today.
INSERT INTO facematch.opt_out (subject_id, retention_class) VALUES (story.passport(7), 'us_citizen'), (story.passport(8), 'us_citizen');
SELECT facematch.merge_subjects(story.passport(9), story.passport(10)) IS NOT NULL AS merged \gset
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (story.passport(30), 'inquiry 9', 'inspector general');
UPDATE facematch.opt_out SET revoked_at = clock_timestamp() WHERE subject_id = story.passport(8);
\copy (SELECT * FROM facematch.rights_event ORDER BY site, number) TO PROGRAM 'cat > "$EVENTS"'
SELECT count(*) AS known, max(number) AS newest FROM facematch.rights_event \gset
SELECT facematch.audit_anchor() AS anchor \gset
DROP DATABASE IF EXISTS :"restored";
CREATE DATABASE :"restored";
\! psql -Xq -v ON_ERROR_STOP=1 -d "$TO_DATABASE" -f "$DUMP" >/dev/null 2>&1 || echo "the dump does not restore"
\c :restored
SET client_min_messages = error;
SELECT story.answer('last night person 7 was in the gallery', (SELECT count(*)::text FROM facematch.identify(story.face(7, 2), 'AA1')), '1');
CREATE TABLE later_event (LIKE facematch.rights_event);
\copy later_event FROM PROGRAM 'cat "$EVENTS"'
SELECT story.answer('the replay', (SELECT string_agg(what || ' ' || done, ', ' ORDER BY site, number) FROM facematch.replay_rights('later_event')),
	'opt_out inserted, opt_out inserted, subjects inserted, hold inserted, opt_out ended');
SELECT story.answer('and again', (SELECT count(*)::text FROM facematch.replay_rights('later_event')), '0');
SELECT story.answer('the same stream', (SELECT count(*) || ' ' || max(number) FROM facematch.rights_event), :'known' || ' ' || :'newest');
SELECT story.answer('person 7 matches nobody', (SELECT count(*)::text FROM facematch.identify(story.face(7, 2), 'AA1')), '0');
SELECT story.answer('two are one person', (SELECT count(*)::text FROM unnest(facematch_internal.aliases(story.passport(9)))), '2');
SELECT story.answer('what today''s hold keeps', (SELECT keeps::text FROM facematch.held WHERE reason = 'inquiry 9'), '{"facematch.reference": 1}');
SELECT story.answer('the health check names no error', (SELECT string_agg(finding, '; ') FROM facematch.health_check() WHERE severity = 'error'), NULL);
SELECT story.answer('the log is whole', (SELECT bool_and(intact)::text FROM facematch.verify_audit()), 'true');
SELECT story.answer('and tells by the anchor of today that it was restored', (SELECT bool_and(intact)::text FROM facematch.verify_audit(:'anchor')), 'false');
\c :main
SET client_min_messages = error;
DROP DATABASE :"restored";
\! rm -f "$DUMP" "$EVENTS"

\echo '--- October: a person asks what is held'
-- Person 20 flew with BB1 and BB2, and is on AA1 today.
CREATE ROLE facematch_story_auditor LOGIN;
SELECT facematch.grant_auditor('facematch_story_auditor') AS granted \gset
GRANT USAGE ON SCHEMA story TO facematch_story_auditor;
SET SESSION AUTHORIZATION facematch_story_auditor;
SELECT facematch.subject_id('USA', 'passport', 'P20') AS person \gset
SELECT story.answer('without an announcement', story.refusal(format('SELECT facematch.subject_report(%L)', :'person')), 'subject_is_announced');
CALL facematch.announce_reading(subject_id => :'person', purpose => 'request 26-7');
SELECT story.answer('what is held and was', (SELECT string_agg(DISTINCT concat_ws(' ', part, source), ', ' ORDER BY concat_ws(' ', part, source))
	FROM facematch.subject_report(:'person') WHERE part IN ('record', 'photograph', 'deleted', 'reading')),
	'deleted facematch.reference, reading facematch.reading, record facematch.encounter, record facematch.reference');
SELECT jsonb_agg(r) AS document FROM facematch.subject_report(:'person') r \gset
RESET SESSION AUTHORIZATION;
SELECT story.answer('a template in the document', (SELECT string_agg(k, ' ') FROM (SELECT DISTINCT jsonb_path_query(:'document'::jsonb, '$.** ? (@.type() == "object").keyvalue().key') #>> '{}' AS k) k
	WHERE k IN ('embedding', 'probe', 'face', 'sealed', 'key_id')), NULL);
SELECT story.answer('or a number of it', (SELECT count(*)::text FROM jsonb_path_query(:'document'::jsonb, '$.**') v
	WHERE jsonb_typeof(v) IN ('string', 'array') AND v #>> '{}' ~ '\d\.\d+\D+\d\.\d+\D+\d\.\d'), '0');
SELECT story.answer('another person in it', (SELECT count(*)::text FROM generate_series(1, 200) n WHERE n <> 20 AND position(story.passport(n)::text IN :'document') > 0), '0');
SELECT story.answer('the reading is in the log', (SELECT count(*)::text FROM facematch.audit_event WHERE action = 'subject_announced' AND actor = 'facematch_story_auditor'), '1');

\echo '--- November: an inspector'
SET SESSION AUTHORIZATION facematch_story_auditor;
SELECT story.answer('was the photograph of this traveler deleted, why, and are its bytes zero',
	(SELECT string_agg(format('%s: %s, %s', source, detail ->> 'cause', detail ->> 'erased' IS NOT NULL), '; ' ORDER BY row_id::bigint)
	 FROM facematch.subject_report(:'person') WHERE part = 'deleted'),
	'facematch.reference: retention, t; facematch.reference: retention, t');
SELECT story.answer('when', (SELECT bool_and(at BETWEEN now() - interval '1 hour' AND now())::text FROM facematch.subject_report(:'person') WHERE part = 'deleted'), 'true');
CALL facematch.announce_reading(subject_id => '00000000-0000-4000-8000-000000000000', purpose => 'request 26-8');
SELECT story.answer('of somebody else', (SELECT count(*)::text FROM facematch.subject_report('00000000-0000-4000-8000-000000000000') WHERE part = 'deleted'), '0');
RESET SESSION AUTHORIZATION;
CALL facematch.purge();
SELECT receipt_id AS receipt FROM facematch.purge_receipt WHERE table_name = 'facematch.reference' AND cause = 'retention' ORDER BY receipt_id LIMIT 1 \gset
-- Pseudonyms are random, so a B-tree may have been split at that of a row that went.  Then verify_erased() says REINDEX.
REINDEX TABLE CONCURRENTLY facematch.reference;
CALL facematch.erase_table('facematch.reference');
CHECKPOINT;
CREATE TEMP TABLE verdict AS SELECT v.part, v.clean, v.note, n FROM facematch.verify_erased(receipt => :receipt) WITH ORDINALITY
	v (relation, part, pages, dead_tuples, fading_tuples, stray_bytes, padding_bytes, kept_keys, unwritten_pages, clean, note, n);
SELECT story.answer('the first line is the verdict', (SELECT concat_ws(' ', part, substring(note FROM '^receipt \d+: 30 rows of facematch.reference, purged')) FROM verdict WHERE n = 1),
	format('verdict receipt %s: 30 rows of facematch.reference, purged', :'receipt'));
SELECT story.answer('what is left of the rows, but in WAL of which it says how far back it goes', (SELECT string_agg(part || ': ' || note, '; ') FROM verdict
	WHERE n > 1 AND NOT clean AND part <> 'wal'), NULL);
SELECT story.answer('the verdict is clean where nothing is left, and says what is', (SELECT (v.clean = NOT EXISTS (SELECT FROM verdict w WHERE w.n > 1 AND NOT w.clean)
	AND v.note ~ CASE WHEN v.clean THEN '; clean' ELSE '; not clean: wal: ' END)::text FROM verdict v WHERE n = 1), 'true');
SELECT story.answer('errors of the health check', (SELECT string_agg(finding, '; ') FROM facematch.health_check() WHERE severity = 'error'), NULL);
SELECT story.answer('its verdict', (SELECT substring(finding FROM '^[^(]*') FROM facematch.health_check() LIMIT 1), 'the guarantees hold, but something weakens them ');
SELECT story.answer('the log since September', (SELECT bool_and(intact)::text FROM facematch.verify_audit(:'anchor')), 'true');

DROP OWNED BY facematch_story_auditor;
DROP ROLE facematch_story_auditor;
\echo 'every answer is right'
