-- What the log has of opt-outs, holds, rules, merges, rights and the rest is what the tables have: whoever deletes,
-- changes or adds a row with triggers off, as a superuser may, is named by verify_audit().
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE facematch_test_tampered;
SET timezone = 'UTC';
SELECT facematch.grant_auditor('facematch_test_tampered');
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('g', 'flight', 'm', 0.5, now() + interval '1 hour');
INSERT INTO facematch.retention_class (name, description) VALUES ('crew', 'a site''s own');
INSERT INTO facematch.event_kind (name, description) VALUES ('boarded', 'a site''s own');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('crew/reference', 'crew', 'reference', '{recorded}', '{1 hour}', 'a site''s own', '2026-01-01');
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, alternative, citation, valid_from)
VALUES ('crew/decline', 'crew', true, 'desk', 'a site''s own', '2126-01-01');
INSERT INTO facematch.opt_out (subject_id, scope, until) VALUES ('00000000-0000-4000-8000-000000000001', 'until', '2126-01-01');
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES ('00000000-0000-4000-8000-000000000002', 'inquiry', 'court');
CREATE TABLE visit (id bigint PRIMARY KEY, subject_id uuid, retention_class text, recorded_at timestamptz, e face_embedding);
SELECT facematch.retain('visit', 'encounter');
INSERT INTO visit (id, subject_id, retention_class, recorded_at) VALUES (7, gen_random_uuid(), 'us_citizen', now());
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('visit', '7', 'inquiry', 'court');
SELECT facematch.merge_subjects('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000004');
INSERT INTO facematch.partner (name, address, purpose) VALUES ('carrier', 'one', 'boarding');
INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_until) SELECT 'carrier', gallery_id, now() + interval '1 hour' FROM facematch.gallery;
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege) VALUES ('auditor', 'table', 'reading_of_ours', 'SELECT');
INSERT INTO facematch.purge_receipt (cause, table_name, rows_purged) VALUES ('retention', 't', 4);
-- What a session has set changes nothing of what is logged.
SET extra_float_digits = -5;
SET datestyle = 'German';
SET intervalstyle = 'iso_8601';
SET timezone = 'Asia/Kolkata';
CREATE TABLE of_shard AS SELECT reference_id, gallery_id, subject_id, embedding, purge_after FROM facematch.reference;
INSERT INTO facematch.shard (name, reference_table, min_similarity) VALUES ('near', 'of_shard', 1 / 3.0);
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('crew/encounter', 'crew', 'encounter', '{recorded}', '{1 day 2 hours}', 'a site''s own', '2126-01-01');
RESET extra_float_digits;
RESET datestyle;
RESET intervalstyle;
SET timezone = 'UTC';
-- Each is changed and renamed by ordinary means first: the log goes along.
UPDATE facematch.retention_rule SET valid_to = '2126-01-01' WHERE name = 'crew/reference';
UPDATE facematch.decline_rule SET name = 'crew/may_decline', citation = 'another' WHERE name = 'crew/decline';
UPDATE facematch.decline_rule SET valid_to = '2127-01-01' WHERE name = 'crew/may_decline';
UPDATE facematch.partner SET per_day = 100;
UPDATE facematch.partner SET per_day = 200;
SELECT intact, finding FROM facematch.verify_audit();

-- What somebody does to a row, or several, and how many ways of each kind.
CREATE TABLE tampering (number int GENERATED ALWAYS AS IDENTITY, table_name regclass, change text, copied text);
INSERT INTO tampering (table_name, change, copied) VALUES
	('facematch.opt_out', 'until = ''2099-01-01''', 'opt_out_id'),
	('facematch.opt_out', 'subject_id = gen_random_uuid()', 'opt_out_id'),
	('facematch.opt_out', 'revoked_at = now()', 'opt_out_id'),
	('facematch.hold', 'until = now(), released_at = NULL', 'hold_id'),
	('facematch.hold', 'released_at = now(), released_by = current_user', 'hold_id'),
	('facematch.retention_rule', 'keep = ''{99 years}''', 'name'),
	('facematch.retention_rule', 'valid_to = ''2129-01-01''', 'name'),
	('facematch.decline_rule', 'may_decline = false, alternative = NULL, notice_required = false', 'name'),
	('facematch.decline_rule', 'valid_to = ''2129-01-01''', 'name'),
	('facematch.subject_merge', 'kept = gen_random_uuid()', 'merge_id'),
	('facematch.subject_merge', 'undone_at = now(), undone_by = current_user', 'merge_id'),
	('facematch_internal.access_grant', 'kind = ''operator''', 'role_name'),
	('facematch_internal.access_grant', 'granted_by = ''somebody else''', 'role_name'),
	('facematch_internal.access_right', 'columns = ''{x}''', 'object_name'),
	('facematch.retention_class', 'shipped = NOT shipped', 'name'),
	('facematch.event_kind', 'shipped = NOT shipped', 'name'),
	('facematch.model', 'dims = 3', 'name'),
	('facematch.partner', 'per_day = 300', 'name'),
	('facematch.partner_gallery', 'valid_until = ''2126-01-01''', 'valid_from'),
	('facematch.purge_receipt', 'rows_purged = 0', 'receipt_id');

CREATE FUNCTION tamper(t tampering, how text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	named text;
	before int := (SELECT count(*) FROM facematch.audit_event);
BEGIN
	EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', t.table_name);
	EXECUTE CASE how
		WHEN 'delete' THEN format('DELETE FROM %s d WHERE d.ctid = (SELECT min(m.ctid) FROM %s m)', t.table_name, t.table_name)
		WHEN 'change' THEN format('UPDATE %s d SET %s WHERE d.ctid = (SELECT max(m.ctid) FROM %s m)', t.table_name, t.change, t.table_name)
		ELSE format('INSERT INTO %1$s (%5$s) OVERRIDING SYSTEM VALUE SELECT %5$s FROM (SELECT (jsonb_populate_record(d, jsonb_build_object(%2$L, %3$s) || %4$L)).* FROM %1$s d LIMIT 1) d',
			t.table_name, t.copied, CASE (SELECT a.atttypid::regtype::text FROM pg_attribute a WHERE a.attrelid = t.table_name AND a.attname = t.copied)
				WHEN 'bigint' THEN '77' WHEN 'text' THEN '''another''' ELSE '''2020-01-01''' END,
			CASE t.table_name WHEN 'facematch.model'::regclass THEN '{"tag": 9}' WHEN 'facematch.partner'::regclass THEN '{"partner_id": "00000000-0000-4000-8000-000000000009"}'
				WHEN 'facematch.subject_merge'::regclass THEN '{"merged": "00000000-0000-4000-8000-000000000009"}' ELSE '{}' END,
			(SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_attribute a WHERE a.attrelid = t.table_name AND a.attnum > 0 AND a.attgenerated = '')) END;
	SELECT string_agg(v.finding, '; ' ORDER BY v.finding COLLATE "C") INTO named FROM facematch.verify_audit() v WHERE NOT v.intact;
	ASSERT before = (SELECT count(*) FROM facematch.audit_event), 'it was logged';
	RAISE EXCEPTION 'undone' USING DETAIL = coalesce(named, 'NOTHING');
EXCEPTION WHEN raise_exception THEN
	GET STACKED DIAGNOSTICS named = PG_EXCEPTION_DETAIL;
	RETURN named;
END
$$;
SELECT t.table_name, h.how, regexp_replace(tamper(t, h.how), '20\d\d-\d\d-\d\dT[\d:.+]+', 'TIME', 'g') AS named
FROM tampering t, unnest('{delete,change,insert}'::text[]) WITH ORDINALITY h (how, n)
WHERE h.how = 'change' OR t.number = (SELECT min(o.number) FROM tampering o WHERE o.table_name = t.table_name)
ORDER BY t.number, h.n;
-- The log has these too, in the same way.
SELECT word FROM facematch_internal.logged WHERE table_name NOT IN (SELECT table_name FROM tampering) ORDER BY 1;
-- A hold of another table is changed; one of a table that was renamed is not.
SELECT tamper(ROW(0, 'facematch.hold', 'table_name = ''tampering''', 'hold_id')::tampering, 'change') AS named;
ALTER TABLE visit RENAME TO visited;
SELECT intact, finding FROM facematch.verify_audit();
-- Nor is one whose table's name is another table's now, or a shard whose table was renamed or dropped.
CREATE TABLE visit (LIKE visited);
ALTER TABLE of_shard RENAME TO of_another;
SELECT intact, finding FROM facematch.verify_audit();
SELECT tamper(ROW(0, 'facematch.shard', 'reference_table = ''visit''', 'name')::tampering, 'change') AS shard;
CREATE TABLE of_shard (LIKE of_another);
SELECT tamper(ROW(0, 'facematch.shard', 'reference_table = ''visit''', 'name')::tampering, 'change') AS shard,
	tamper(ROW(0, 'facematch.hold', 'table_name = ''of_another''', 'hold_id')::tampering, 'change') AS hold;
SELECT intact, finding FROM facematch.verify_audit();
DROP TABLE of_another, of_shard;
SELECT intact, finding FROM facematch.verify_audit();
-- A row that is gone by the log comes back, and one that is there is put in anew with triggers on.
DELETE FROM facematch.decline_rule WHERE name = 'crew/may_decline';
BEGIN;
ALTER TABLE facematch.decline_rule DISABLE TRIGGER ALL;
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, alternative, citation, valid_from)
VALUES ('crew/may_decline', 'crew', true, 'desk', 'a site''s own', '2126-01-01');
SELECT finding FROM facematch.verify_audit();
ROLLBACK;
BEGIN;
ALTER TABLE facematch.opt_out DISABLE TRIGGER ALL;
CREATE TEMP TABLE gone AS SELECT * FROM facematch.opt_out;
DELETE FROM facematch.opt_out;
ALTER TABLE facematch.opt_out ENABLE TRIGGER ALL;
INSERT INTO facematch.opt_out (opt_out_id, subject_id, scope, until) OVERRIDING SYSTEM VALUE SELECT opt_out_id, subject_id, scope, '2099-01-01' FROM gone;
SELECT finding FROM facematch.verify_audit();
ROLLBACK;
SELECT intact, finding FROM facematch.verify_audit();

-- The log itself: an auditor sees it, whoever reads every table does not for that alone, nor writes.
CREATE ROLE facematch_test_reader;
GRANT USAGE ON SCHEMA facematch TO facematch_test_reader;
GRANT pg_read_all_data, pg_write_all_data TO facematch_test_reader;
SET ROLE facematch_test_tampered;
SELECT count(*) > 10 AS auditor_sees FROM facematch.audit_event;
SET ROLE facematch_test_reader;
SELECT count(*) AS reader_sees FROM facematch.audit_event;
INSERT INTO facematch.audit_event (event_id, at, actor, action, detail, previous, hash, chain, seq, witness)
VALUES (100000, now(), 'x', 'x', '{}', '', '', 1, 100000, '');
RESET ROLE;
GRANT SELECT ON facematch.audit_event TO facematch_test_reader;
SET ROLE facematch_test_reader;
SELECT count(*) > 10 AS granted_sees FROM facematch.audit_event;
RESET ROLE;
REVOKE pg_read_all_data, pg_write_all_data FROM facematch_test_reader;
DROP OWNED BY facematch_test_reader, facematch_test_tampered;
DROP ROLE facematch_test_reader, facematch_test_tampered;
