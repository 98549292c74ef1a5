-- Everything that is held about one person, and what was deleted; of nobody else, and no template.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('F1', 'flight', 'two', 0.9, now() + interval '2 hours'), ('gone', 'flight', 'two', 0.9, now() - interval '13 hours');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT g, subject(n), 'us_citizen', e::face_embedding, 'passport', now() - interval '1 day' FROM (VALUES
	(1, 1, '[0.6,0.8]'), (1, 2, '[0.59,0.81]'), (1, 9, '[0.8,0.6]'), (2, 1, '[0.6,0.8]'), (2, 2, '[0.6,0.8]'), (2, 3, '[0.6,0.8]'),
	(2, 4, '[0.6,0.8]'), (2, 5, '[0.6,0.8]')) v (g, n, e);
-- A table of a user's, with a template in other forms beside it.
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation)
	VALUES ('visits', 'us_citizen', 'visit', '{recorded}', '{1 day}', 'site rule');
CREATE TABLE visit (id int, retention_class text NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(), subject_id uuid,
	t face_embedding(2), raw real[], room text);
SELECT facematch.retain('visit', 'visit');
INSERT INTO visit (id, retention_class, subject_id, t, raw, room) VALUES (1, 'us_citizen', subject(2), '[0.6,0.8]', '{0.6,0.8}', 'A'),
	(2, 'us_citizen', subject(9), '[0.8,0.6]', '{0.8,0.6}', 'B');
-- 1 and 2 are one person; 4 is held and may be told of it, 5 is held and may not.
SELECT facematch.merge_subjects(subject(1), subject(2));
INSERT INTO facematch.hold (subject_id, reason, authority, may_be_told) VALUES (subject(4), 'claim', 'court', true), (subject(5), 'inquiry', 'court', false);
SELECT outcome FROM facematch.record_encounter('F1', '[0.6,0.8]', port => 'JFK');
-- One that comes near two persons is the other's; both are candidates in it.
SELECT outcome, subject_id = subject(9) AS of_the_other FROM facematch.record_encounter('F1', '[0.74,0.67]', port => 'BOS');
CALL facematch.purge();
INSERT INTO facematch.partner (name, purpose) VALUES ('XX', 'boarding');
SELECT facematch.record_disclosure('XX', subject(2), 'passenger list', 'boarding'), facematch.record_disclosure('XX', subject(9), 'passenger list', 'boarding');

-- For who has announced it, and may.
CREATE ROLE facematch_test_auditor LOGIN;
CREATE ROLE facematch_test_reader LOGIN;
SELECT facematch.grant_auditor('facematch_test_auditor'), facematch.grant_template_reader('facematch_test_reader');
SET SESSION AUTHORIZATION facematch_test_auditor;
\set VERBOSITY default
SELECT * FROM facematch.subject_report(subject(1));
\set VERBOSITY terse
CALL facematch.announce_reading(gallery => 'F1', purpose => 'x');
CALL facematch.announce_reading(gallery => 'F1', subject_id => subject(1), purpose => 'x');
CALL facematch.announce_reading(subject_id => subject(1));
CALL facematch.announce_reading(subject_id => subject(1), purpose => ' ');
SET SESSION AUTHORIZATION facematch_test_reader;
SELECT facematch.subject_report(subject(1));
SET SESSION AUTHORIZATION facematch_test_auditor;
-- The pseudonym to begin with.
SELECT facematch.subject_id('UTO', 'passport', 'P1') = facematch.subject_id('uto', 'Passport', 'p-1') AS same;
CALL facematch.announce_reading(subject_id => subject(2), purpose => 'request 26-7');
-- By one document or the other it is the same person.
SELECT r.part, r.source, r.row_id, (SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(r.detail) k) AS detail
FROM facematch.subject_report(subject(1)) r WHERE part <> 'attempt';
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM (SELECT r FROM facematch.subject_report(subject(1)) r EXCEPT SELECT r FROM facematch.subject_report(subject(2)) r) d;
-- As one document, in which neither a template nor another person is.
CREATE FUNCTION document(n int) RETURNS text LANGUAGE sql AS $$ SELECT jsonb_agg(to_jsonb(r) #- '{detail,latency_ms}')::text FROM facematch.subject_report(subject(n)) r $$;
SELECT n, d ~ '0\.(6|8|59|81|74|67)\M' AS template, (SELECT array_agg(o) FROM generate_series(1, 9) o WHERE d ~ subject(o)::text) AS persons
FROM (SELECT n, document(n) AS d FROM generate_series(1, 9) n) d;
SELECT n, jsonb_object_agg(part, count ORDER BY part) FROM (SELECT n, r.part, count(*) FROM generate_series(1, 9) n, facematch.subject_report(subject(n)) r
	GROUP BY 1, 2) c GROUP BY n ORDER BY n;
-- What was deleted, and when, and under which rule: of who had rows in it, of nobody else, held ones neither.
SELECT n, r.source, r.at BETWEEN now() - interval '1 hour' AND clock_timestamp() AS lately, r.detail - '{erased,verified,citation}'::text[] AS detail, r.detail ->> 'erased' IS NOT NULL AS erased
FROM generate_series(1, 9) n, facematch.subject_report(subject(n)) r WHERE r.part = 'deleted' ORDER BY n;
-- A hold that may be told of, and one of which nothing tells, not even the row that only it keeps.
SELECT n, r.part, r.source, r.detail ->> 'reason' AS reason FROM generate_series(4, 5) n, facematch.subject_report(subject(n)) r
	WHERE part IN ('record', 'hold', 'log') ORDER BY n, 2, 3;
SELECT count(*) AS rows FROM facematch.reference WHERE subject_id = subject(5);
-- Who declines: templates are gone, by a receipt that names the person to who can.
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(9));
SELECT r.part, r.source, r.detail ->> 'cause' AS cause FROM facematch.subject_report(subject(9)) r WHERE part IN ('opt_out', 'deleted', 'record') ORDER BY 1, 2;
-- The receipt keeps codes, and salts of its own: nobody's subject is in it, and equal persons cannot be told by equal codes.
SELECT count(*) AS receipts, count(DISTINCT salt) AS salts, sum(octet_length(codes)) / 8 AS persons,
	   (SELECT count(DISTINCT substring(p.codes FROM 8 * i + 1 FOR 8)) FROM facematch_internal.receipt_persons p, generate_series(0, octet_length(p.codes) / 8 - 1) i) AS codes
FROM facematch_internal.receipt_persons;
SELECT bool_or(position(uuid_send(subject(n)) IN p.codes) > 0 OR encode(p.codes, 'hex') ~ replace(subject(n)::text, '-', '')) AS listed
FROM facematch_internal.receipt_persons p, generate_series(1, 9) n;
-- As anybody can compute it who has the salt.
SELECT count(*) > 0 AS computed FROM facematch_internal.receipt_persons p
	WHERE position(substring(hmac(uuid_send(subject(3)), p.salt, 'sha256') FROM 1 FOR 8) IN p.codes) > 0;
-- Many persons, some of them more than once, and none.
CREATE TABLE s AS SELECT array_agg(subject(n % 5000)) AS subjects FROM generate_series(1, 10000) n;
SELECT facematch_internal.receipt_names('\x01', '', subjects), facematch_internal.receipt_names('\x01', '\x0102030405060708', '{}') FROM s;
-- A table that cannot be looked at keeps no other from the report.
ALTER TABLE visit RENAME COLUMN subject_id TO person;
SELECT part, source, detail FROM facematch.subject_report(subject(1)) WHERE part = 'elsewhere';
SELECT count(*) FROM facematch.subject_report(subject(1)) WHERE part = 'record';
-- It is in the log, with what for.
SELECT actor, action, detail - '{until}'::text[] FROM facematch.audit_event WHERE action = 'subject_announced';
DROP OWNED BY facematch_test_auditor;
DROP ROLE facematch_test_auditor;
DROP OWNED BY facematch_test_reader;
DROP ROLE facematch_test_reader;
