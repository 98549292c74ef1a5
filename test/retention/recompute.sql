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
SET client_min_messages = notice;
CALL facematch.recompute();
CALL facematch.recompute();
SELECT * FROM kept ORDER BY id;
SELECT action, detail FROM facematch.audit_event WHERE action = 'recomputed';
CALL facematch.purge();
SELECT id FROM visit ORDER BY id;
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
