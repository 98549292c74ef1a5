-- Rows that outlive their rule, and what brings them back to it.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
	VALUES ('visits', 'us_citizen', 'visit', '{recorded}', '{1 day}', 'site rule', '-infinity');
CREATE TABLE visit (id int, retention_class text NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(), subject_id uuid, t face_embedding(2))
	PARTITION BY RANGE (id);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM (0) TO (10);
SELECT facematch.retain('visit', 'visit');
INSERT INTO visit (id, retention_class, subject_id, t) VALUES (1, 'us_citizen', subject(1), '[1,0]');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(12)), (subject(13));
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(13), 'inquiry', 'court');
-- A partition comes with rows: deadlines of its own, later and nearer, due, and of subjects who have opted out, one of them held.
CREATE TABLE visit_2 (LIKE visit INCLUDING DEFAULTS);
INSERT INTO visit_2 VALUES
	(10, 'us_citizen', now(), subject(10), '[1,0]', 'infinity'),
	(11, 'us_citizen', now() - interval '365 days', subject(11), '[1,0]', now() + interval '365 days'),
	(12, 'us_citizen', now(), subject(12), '[1,0]', now() + interval '1 day'),
	(13, 'us_citizen', now(), subject(13), '[1,0]', 'infinity'),
	(14, 'us_citizen', now(), subject(14), '[1,0]', now() + interval '1 hour'),
	-- Recorded while the clock was a year ahead.
	(15, 'us_citizen', now() + interval '365 days', subject(15), '[1,0]', now() + interval '366 days');
ALTER TABLE visit ATTACH PARTITION visit_2 FOR VALUES FROM (10) TO (20);
CREATE VIEW kept AS SELECT id, purge_after <= clock_timestamp() AS due, CASE WHEN isfinite(purge_after) THEN date_trunc('hour', purge_after - now()) END AS "for" FROM visit;
SELECT * FROM kept ORDER BY id;
-- The health check names every row that is later than its rule says, and these alone: until they have been brought back.
CREATE FUNCTION found(pattern text DEFAULT 'longer|no deadline|merge has no effect') RETURNS TABLE (severity text, finding text, object text, remedy text) LANGUAGE sql AS $$
	SELECT c.severity, c.finding, c.object, c.remedy FROM facematch.health_check() c WHERE c.finding ~ pattern $$;
SELECT * FROM found();
SELECT l.row_id, date_trunc('hour', l.due - now()) AS should_be_for FROM facematch_internal.late_rows('visit') l ORDER BY 1;
SET client_min_messages = notice;
CALL facematch.recompute();
SELECT * FROM found();
CALL facematch.recompute();
SELECT * FROM kept ORDER BY id;
SELECT action, detail FROM facematch.audit_event WHERE action = 'recomputed';
CALL facematch.purge();
SELECT id FROM visit ORDER BY id;
SELECT * FROM facematch_internal.late_rows('pg_class');
-- A restore with triggers disabled brings merges, and joins nobody: an opt-out of one does not reach the other.
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(21));
ALTER TABLE facematch.subject_merge DISABLE TRIGGER USER;
INSERT INTO facematch.subject_merge (kept, merged, undone_at, undone_by) VALUES (subject(20), subject(21), NULL, NULL), (subject(21), subject(22), NULL, NULL),
	(subject(30), subject(31), now(), 'x');
SELECT facematch.reinstate() > 0 AS mended;
SELECT facematch.is_opted_out(subject(n)) FROM generate_series(20, 22) n;
INSERT INTO visit (id, retention_class, subject_id, t) VALUES (5, 'us_citizen', subject(22), '[1,0]');
SELECT * FROM found();
CALL facematch.recompute();
SELECT facematch.is_opted_out(subject(n)) FROM generate_series(20, 22) n;
SELECT * FROM found();
SELECT id FROM visit WHERE id = 5;
-- In the extension's own tables too: by gallery, and a gallery itself.
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)
	SELECT 'F' || n, 'flight', 'two', 0.5, now() + n * interval '1 hour' FROM generate_series(1, 3) n;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT 1 + n % 3, subject(100 + n), 'us_citizen', '[1,0]', 's' FROM generate_series(1, 30) n;
ALTER TABLE facematch.reference DISABLE TRIGGER USER;
ALTER TABLE facematch.gallery DISABLE TRIGGER USER;
UPDATE facematch.reference SET purge_after = purge_after + interval '1 minute' WHERE subject_id = subject(107);
UPDATE facematch.reference SET retention_class = 'gallery' WHERE subject_id = subject(108);
UPDATE facematch.gallery SET purge_after = 'infinity' WHERE name = 'F3';
SELECT facematch.reinstate() > 0 AS mended;
SELECT * FROM found();
UPDATE facematch.reference SET retention_class = 'us_citizen' WHERE subject_id = subject(108);
CALL facematch.recompute();
SELECT * FROM found();
-- A table whose code refuses keeps no other from it.
CREATE TABLE odd (id int, retention_class text NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(), subject_id uuid, t face_embedding(2));
SELECT facematch.retain('odd', 'visit');
INSERT INTO odd (id, retention_class, subject_id, t) VALUES (1, 'us_citizen', subject(1), '[1,0]');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER a_refuse BEFORE UPDATE ON odd FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE visit_1 DISABLE TRIGGER facematch_20_guard;
UPDATE visit_1 SET purge_after = 'infinity';
ALTER TABLE visit_1 ENABLE ALWAYS TRIGGER facematch_20_guard;
CALL facematch.recompute();
SELECT * FROM kept ORDER BY id;
-- A rule that may keep rows for ever is warned of, and no other: every shape, against what the rules give a row for which nothing ever happens.
SET client_min_messages = error;
INSERT INTO facematch.event_kind (name, description) VALUES ('x', 'x');
INSERT INTO facematch.retention_class (name, description) SELECT 'c' || n, 'x' FROM generate_series(1, 500) n;
WITH shape AS (
	SELECT row_number() OVER () AS n, a.anchors::text[], t.take, f.fallback
	FROM (SELECT '{}' UNION ALL SELECT format('{%s}', k.name) FROM facematch.event_kind k
		  UNION ALL SELECT format('{%s,%s}', k.name, l.name) FROM facematch.event_kind k, facematch.event_kind l) a (anchors)
	CROSS JOIN (VALUES ('earliest'), ('latest')) t (take) CROSS JOIN (VALUES (NULL), ('recorded'), ('x')) f (fallback))
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, take, fallback_anchor, fallback_keep, citation, valid_from)
SELECT 'c' || n, 'c' || n, 'visit', anchors, array_fill('1 day'::interval, ARRAY[cardinality(anchors)]), take, fallback,
	   CASE WHEN fallback IS NOT NULL THEN interval '1 day' END, 'c', '-infinity' FROM shape;
SELECT count(*) AS shapes, count(*) FILTER (WHERE d.due = 'infinity') AS for_ever,
	   count(*) FILTER (WHERE facematch_internal.may_never_end(r) <> (d.due = 'infinity')) AS mistaken
FROM facematch.retention_rule r
CROSS JOIN LATERAL facematch_internal.retention_due('visit', r.retention_class, now(), NULL, NULL, NULL, subject(1)) d WHERE r.name ~ '^c\d+$';
SET client_min_messages = warning;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation)
	VALUES ('for ever', 'us_citizen', 'visit', '{exit}', '{1 day}', 'site rule');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation)
	VALUES ('a typing error', 'us_citizen', 'vsiit', '{recorded}', '{1 day}', 'site rule');
SELECT severity, object, finding FROM facematch.health_check() WHERE object ~ 'typing|for ever' OR finding ~ 'typing';
-- While its rows are there, the end of the rule hides nothing; a rule with a fallback brings them back.
INSERT INTO visit (id, retention_class, subject_id, t) VALUES (6, 'us_citizen', subject(6), '[1,0]');
SELECT id, purge_after FROM visit WHERE id = 6;
UPDATE facematch.retention_rule SET valid_to = now() WHERE name = 'for ever';
SELECT object, finding FROM facematch.health_check() WHERE object ~ 'for ever';
SELECT * FROM found('no deadline');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, fallback_anchor, fallback_keep, citation)
	VALUES ('not for ever', 'us_citizen', 'visit', '{exit}', '{1 day}', 'recorded', '2 days', 'site rule');
SELECT * FROM found('no deadline');
SELECT id, purge_after - recorded_at AS kept FROM visit WHERE id = 6;
-- A word that no table is known by is told of at once.
SET client_min_messages = notice;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation)
	VALUES ('another typing error', 'us_citizen', 'vsiit', '{recorded}', '{1 day}', 'site rule');
-- What a partner may still ask moves with the clock, forward only.
INSERT INTO facematch.partner (name, purpose, per_minute, per_day) VALUES ('XX', 'boarding', 2, 100);
CREATE ROLE facematch_test_partner LOGIN;
SELECT facematch.grant_partner('facematch_test_partner', 'XX', per_minute => 2, per_day => 100);
INSERT INTO facematch_internal.partner_budget (partner, minute_left, day_left, counted_at) VALUES ('XX', 1, 50, now() + interval '1 year');
SET SESSION AUTHORIZATION facematch_test_partner;
CALL facematch.ask('F1', '[1,0]');
CALL facematch.ask('F1', '[1,0]');
RESET SESSION AUTHORIZATION;
SELECT minute_left, day_left, counted_at > now() + interval '364 days' AS counted_ahead, charged, refused FROM facematch_internal.partner_budget;
DROP OWNED BY facematch_test_partner;
DROP ROLE facematch_test_partner;
-- A time that lies ahead would move with the clock, and the row be late never: the guard lets none in. One that a trigger of a partition's own
-- writes after it is found, and so is the trigger.
INSERT INTO visit (id, retention_class, recorded_at, subject_id, t) VALUES (7, 'us_citizen', 'infinity', subject(7), '[1,0]')
	RETURNING recorded_at <= clock_timestamp() AS recorded_by_now;
CREATE FUNCTION keep_longer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	NEW.recorded_at := 'infinity';
	NEW.purge_after := now() + interval '20 hours';
	RETURN NEW; END $$;
CREATE TRIGGER z_keep_longer BEFORE INSERT OR UPDATE ON visit_1 FOR EACH ROW EXECUTE FUNCTION keep_longer();
UPDATE visit SET subject_id = subject(8) WHERE id = 7;
SELECT * FROM found('longer|fires after the guard');
DROP TRIGGER z_keep_longer ON visit_1;
CALL facematch.recompute();
SELECT * FROM found('longer|fires after the guard');
SELECT recorded_at <= clock_timestamp() AS recorded_by_now FROM visit WHERE id = 7;

-- Where a time decides the partition it stays as it is, and so does that of a row from a dump:
-- the deadline counts from the present, and the row is named.
CREATE TABLE dated (id int, retention_class text, recorded_at timestamptz, subject_id uuid, t face_embedding) PARTITION BY RANGE (recorded_at);
CREATE TABLE dated_now PARTITION OF dated FOR VALUES FROM (MINVALUE) TO ('2900-01-01');
CREATE TABLE dated_ahead PARTITION OF dated FOR VALUES FROM ('2900-01-01') TO (MAXVALUE);
SELECT facematch.retain('dated', 'visit');
INSERT INTO dated (id, retention_class, recorded_at, t) VALUES (1, 'us_citizen', '2999-01-01', '[1,0]'), (2, 'us_citizen', now(), '[1,0]');
INSERT INTO visit (id, retention_class, recorded_at, t, purge_after) VALUES (8, 'us_citizen', '2999-01-01', '[1,0]', now() + interval '1 hour');
SELECT tableoid::regclass, id, recorded_at > now() AS ahead, purge_after < now() + interval '10 years' AS counted FROM dated ORDER BY id;
SELECT recorded_at > now() AS ahead FROM visit WHERE id = 8;
SELECT row_id FROM facematch_internal.late_rows('dated');
CALL facematch.recompute();
SELECT id, recorded_at > now() AS ahead FROM dated UNION ALL SELECT id, recorded_at > now() FROM visit WHERE id = 8 ORDER BY id;
DROP TABLE dated;
