-- What goes to the log, and how it is verified.  Tamperings by the thousand are in test/audit/test_audit.py.
\set SHOW_CONTEXT never
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
CREATE VIEW log AS SELECT action, detail FROM facematch.audit_event WHERE action <> 'template_keys_destroyed' ORDER BY event_id;
SELECT intact, events, since_anchor, chain, first_broken, finding FROM facematch.verify_audit();

-- Models, thresholds, galleries.
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2), ('wide', 2, 3);
DELETE FROM facematch.model WHERE name = 'wide';
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('one', 'flight', 'two', 0.99, now() + interval '2 hours'), ('gone', 'flight', 'two', 0.99, now() - interval '30 hours');
UPDATE facematch.gallery SET min_similarity = 0.5 WHERE name = 'one';
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT g.gallery_id, subject(n), 'us_citizen', ARRAY[cosd(n * 10), sind(n * 10)]::face_embedding, 's', least(now(), g.anchor_at - interval '1 hour')
FROM facematch.gallery g, generate_series(1, 5) n;
-- Opt-outs, holds, who may decline; free text stays out.
INSERT INTO facematch.opt_out (subject_id, alternative) VALUES (subject(1), 'asked for L898902C3');
UPDATE facematch.opt_out SET revoked_at = '2026-11-23 00:00+00';
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('facematch.reference', '9', 'passport L898902C3', 'court');
UPDATE facematch.hold SET released_at = '2026-11-23 00:00+00';
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, alternative, citation, valid_from)
VALUES ('crew', 'noncitizen', true, 'desk L898902C3', 'site rule L898902C3', '2126-01-01 00:00+00');
DELETE FROM facematch.decline_rule WHERE name = 'crew';
-- Rules and classes; a row of another class.
INSERT INTO facematch.retention_class (name, description) VALUES ('member', 'L898902C3');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('club', 'member', 'reference', '{recorded}', '{1 hour}', 'statutes L898902C3', '2026-01-01');
UPDATE facematch.retention_rule SET valid_to = '2126-01-01 00:00+00' WHERE name = 'club';
UPDATE facematch.reference SET retention_class = 'noncitizen' WHERE reference_id = 3;
-- A table of one's own.
CREATE TABLE visit (id bigint PRIMARY KEY, subject_id uuid, retention_class text, recorded_at timestamptz, e face_embedding);
SELECT facematch.retain('visit', 'encounter');
SELECT facematch.release('visit');
SELECT facematch.retain('visit', 'encounter');
-- An officer's decision, and the doors.
SELECT outcome FROM facematch.record_encounter('one', '[-1,0]', port => 'JFK');
SELECT outcome FROM facematch.resolve_encounter(1, subject(4), 'us_citizen', 'saw passport L898902C3');
SELECT facematch.close_gallery('one') IS NOT NULL AS closed;
CALL facematch.purge();
SELECT action, detail -> 'about' AS about, detail - 'about' - 'changed' - 'row' AS other FROM log;
SELECT action, (SELECT string_agg(k, ' ' ORDER BY k COLLATE "C") FROM jsonb_object_keys(coalesce(detail -> 'changed', detail -> 'row')) k) AS said
FROM facematch.audit_event WHERE detail ? 'about' ORDER BY event_id;
SELECT action, detail -> 'changed' AS changed FROM log WHERE action IN ('gallery_changed', 'rule_changed', 'hold_released') AND NOT detail -> 'changed' ? 'closed_at';

-- No template, and nothing that somebody typed.
SELECT count(*) AS leaks FROM facematch.audit_event e
WHERE e::text LIKE '%L898902C3%'
   OR EXISTS (SELECT FROM facematch.reference r WHERE position(trim('[]' FROM split_part(facematch_internal.opened(r.embedding)::text, ':', 2)) IN replace(e::text, ', ', ',')) > 0);

-- A row that the log knows comes from a dump; one it does not know is news.
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
CREATE TEMP TABLE dumped AS SELECT * FROM facematch.hold;
ALTER TABLE facematch.hold DISABLE TRIGGER hold_50_log;
DELETE FROM facematch.hold;
ALTER TABLE facematch.hold ENABLE TRIGGER hold_50_log;
INSERT INTO facematch.hold OVERRIDING SYSTEM VALUE SELECT * FROM dumped;
SELECT action FROM log WHERE detail ->> 'about' = 'hold:1';
DELETE FROM facematch.hold;
INSERT INTO facematch.hold OVERRIDING SYSTEM VALUE SELECT * FROM dumped;
SELECT action FROM log WHERE detail ->> 'about' = 'hold:1';
ROLLBACK;

-- Anchors.
SELECT facematch.audit_anchor() AS anchor \gset
SELECT length(:'anchor'), intact, since_anchor FROM facematch.verify_audit(:'anchor');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(5));
SELECT intact, since_anchor, events = (SELECT count(*) FROM facematch.audit_event) AS all_events FROM facematch.verify_audit(upper(:'anchor'));
SELECT * FROM facematch.verify_audit('x');
SELECT intact, first_broken, finding FROM facematch.verify_audit(repeat('00', 32));
-- The end of the log, cut off with nobody having seen it.
BEGIN;
SELECT facematch_internal.write_audit('tried', '{}');
ALTER TABLE facematch.audit_event DISABLE TRIGGER audit_event_10_is_a_record;
DELETE FROM facematch.audit_event WHERE event_id = (SELECT max(event_id) FROM facematch.audit_event);
SELECT intact FROM facematch.verify_audit();
DELETE FROM facematch.audit_event WHERE action = 'anchored';
SELECT DISTINCT intact, regexp_replace(finding, '\d+', 'N', 'g') AS finding FROM facematch.verify_audit(:'anchor') ORDER BY 2;
ROLLBACK;
-- Receipts are part of it.
BEGIN;
ALTER TABLE facematch.purge_receipt DISABLE TRIGGER purge_receipt_10_is_a_record;
UPDATE facematch.purge_receipt SET rows_purged = 0 WHERE receipt_id = 1;
SELECT intact, finding FROM facematch.verify_audit();
ROLLBACK;
-- So is what erasures could not reach: a place less, one more, another order.
BEGIN;
SELECT facematch_internal.write_erasure('public.visit', 1, 1, 1, 1, 0, 0, true, true, '{}', '{"public.i: 0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.11,0.12,0.13,0.14,0.15,0.16,0.17,0.18"}');
SELECT unreachable[1] AS shown, detail -> 'row' -> 'unreachable' = to_jsonb(unreachable) AS logged
FROM facematch_internal.erasure JOIN facematch.audit_event ON action = 'erasure_written' AND (detail -> 'row' ->> 'erasure_id')::bigint = erasure_id ORDER BY erasure_id DESC LIMIT 1;
ALTER TABLE facematch_internal.erasure DISABLE TRIGGER erasure_10_is_a_record;
SELECT max(erasure_id) AS erasure FROM facematch_internal.erasure \gset
SELECT intact FROM facematch.verify_audit();
SAVEPOINT s;
UPDATE facematch_internal.erasure SET unreachable = unreachable[2:] WHERE erasure_id = :erasure;
SELECT intact, regexp_replace(finding, '\d+', 'N') AS finding FROM facematch.verify_audit();
ROLLBACK TO s;
UPDATE facematch_internal.erasure SET unreachable = unreachable || '{nowhere}' WHERE erasure_id = :erasure;
SELECT intact, regexp_replace(finding, '\d+', 'N') AS finding FROM facematch.verify_audit();
ROLLBACK TO s;
UPDATE facematch_internal.erasure SET unreachable = unreachable[2:] || unreachable[1] WHERE erasure_id = :erasure;
SELECT intact, regexp_replace(finding, '\d+', 'N') AS finding FROM facematch.verify_audit();
ROLLBACK;

-- Nobody else writes it, and nobody changes it.
SELECT has_function_privilege('pg_monitor', p.oid, 'EXECUTE') AS granted, p.proname FROM pg_proc p
WHERE p.pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND p.proname ~ '^(verify_audit|write_audit|audit_.*|log_row)$' ORDER BY 2;
UPDATE facematch.audit_event SET actor = 'nobody';
BEGIN READ ONLY;
SELECT facematch.audit_anchor();
ROLLBACK;
-- A sequence that is behind, as after a dump of version 0.1.0: numbers go on all the same.
SELECT setval('facematch_internal.audit_event_id_seq', 1) AS behind;
SELECT facematch_internal.write_audit('tried', '{}'), facematch_internal.write_audit('tried', '{}');
SELECT intact FROM facematch.verify_audit(:'anchor');
