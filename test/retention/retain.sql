-- The same retention on a user's own table: attached, partitioned, detached.
\set SHOW_CONTEXT never
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
CREATE SCHEMA "odd Schema";
CREATE TABLE "odd Schema"."odd'Table" (id int PRIMARY KEY, "the Class" text, "when" timestamptz DEFAULT now(), who uuid, "tem plate" face_embedding(2));
INSERT INTO "odd Schema"."odd'Table" SELECT n, 'us_citizen', now() - n * interval '1 day', subject(n), '[1,0]' FROM generate_series(0, 20) n;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('sightings', 'us_citizen', 'sighting', '{recorded}', '{10 days}', 'site rule', '-infinity');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(2));
SELECT facematch.retain('"odd Schema"."odd''Table"', 'sighting');
SELECT facematch.retain('"odd Schema"."odd''Table"', 'sighting', class_column => 'the Class', recorded_column => 'id', subject_column => 'who');
SELECT facematch.retain('"odd Schema"."odd''Table"', 'other', class_column => 'the Class', recorded_column => 'when', subject_column => 'who');
SELECT facematch.retain('"odd Schema"."odd''Table"', 'sighting', class_column => 'the Class', recorded_column => 'when', subject_column => 'who');
SELECT facematch.retain('"odd Schema"."odd''Table"', 'sighting', class_column => 'the Class', recorded_column => 'when', subject_column => 'who');
SELECT facematch.retain('facematch.reference', 'reference');
SELECT facematch.retain(NULL, 'sighting');
SELECT facematch.retain('"odd Schema"."odd''Table"', NULL);
SELECT facematch.explain_retention(NULL, 1);
SELECT * FROM facematch.attached;
SELECT count(*), count(*) FILTER (WHERE purge_after <= now()) AS due, bool_and(purge_after = "when" + interval '10 days') AS by_rule FROM "odd Schema"."odd'Table";
-- What holds on references holds here.
INSERT INTO "odd Schema"."odd'Table" VALUES (100, 'us_citizen', now(), subject(2), '[1,0]');
INSERT INTO "odd Schema"."odd'Table" VALUES (100, 'nobody', now(), subject(3), '[1,0]');
UPDATE "odd Schema"."odd'Table" SET purge_after = 'infinity';
TRUNCATE "odd Schema"."odd'Table";
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(3));
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('"odd Schema"."odd''Table"', '15', 'inquiry', 'court');
DELETE FROM "odd Schema"."odd'Table" WHERE id = 15;
CREATE ROLE facematch_test_reader;
GRANT USAGE ON SCHEMA "odd Schema" TO facematch_test_reader;
GRANT SELECT ON "odd Schema"."odd'Table" TO facematch_test_reader;
SET ROLE facematch_test_reader;
SELECT count(*) FROM "odd Schema"."odd'Table";
RESET ROLE;
CALL facematch.purge();
SELECT string_agg(id::text, ' ' ORDER BY id) FROM "odd Schema"."odd'Table";
SELECT cause, table_name, retention_class, rule, rows_purged FROM facematch.purge_receipt ORDER BY receipt_id;
SELECT rule, keep, held FROM facematch.explain_retention('"odd Schema"."odd''Table"', 15);
SELECT table_name, retention_class, rows_kept, rows_due, rows_held, rows_purged FROM facematch.report_retention;
-- A rule reaches it.
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES ('sightings, shorter', 'us_citizen', 'sighting', '{recorded}', '{5 days}', 'site rule');
SELECT string_agg(id::text, ' ' ORDER BY id) FROM "odd Schema"."odd'Table" WHERE purge_after > clock_timestamp();
SELECT facematch.release('"odd Schema"."odd''Table"');
UPDATE facematch.hold SET released_at = clock_timestamp();
SELECT facematch.release('"odd Schema"."odd''Table"');
-- No hold can be placed on its rows any more.
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('"odd Schema"."odd''Table"', '20', 'inquiry', 'court');
SELECT facematch.release('"odd Schema"."odd''Table"');
SELECT facematch.release('facematch.reference');
SELECT count(*) FROM facematch.attached;
SET ROLE facematch_test_reader;
SELECT count(*) FROM "odd Schema"."odd'Table";
RESET ROLE;
TRUNCATE "odd Schema"."odd'Table";
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = '"odd Schema"."odd''Table"'::regclass;

-- Partitioned, with row security of its own, and a trigger that sees whose rights it has.
CREATE TABLE part (id uuid DEFAULT gen_random_uuid(), retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding, departs timestamptz) PARTITION BY RANGE (recorded_at);
CREATE TABLE part_old PARTITION OF part FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE part_new (e face_embedding, dropped int, subject_id uuid, departs timestamptz, recorded_at timestamptz, id uuid DEFAULT gen_random_uuid(), retention_class text);
ALTER TABLE part_new DROP COLUMN dropped;
ALTER TABLE part ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON part USING (subject_id <> '00000000-0000-0000-0000-000000000012');
ALTER TABLE part OWNER TO facematch_test_reader;
ALTER TABLE part_old OWNER TO facematch_test_reader;
CREATE TABLE rights (who text, what text);
GRANT INSERT ON rights TO facematch_test_reader;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO rights VALUES (current_user, TG_OP); RETURN OLD; END $$;
CREATE TRIGGER tell BEFORE DELETE ON part FOR EACH ROW EXECUTE FUNCTION tell();
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, fallback_anchor, fallback_keep, citation, valid_from)
VALUES ('parts', 'noncitizen', 'part', '{gallery_anchor}', '{1 hour}', 'recorded', '10000 days', 'site rule', '-infinity');
SELECT facematch.retain('part', 'part', anchor_column => 'departs');
ALTER TABLE part_new ADD purge_after timestamptz NOT NULL;
ALTER TABLE part ATTACH PARTITION part_new FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
ALTER TABLE part_new OWNER TO facematch_test_reader;
SELECT facematch.retain('part_old', 'part');
INSERT INTO part (retention_class, recorded_at, subject_id, e, departs)
SELECT 'noncitizen', d, subject(n), '[1,0]', CASE WHEN n % 2 = 0 THEN timestamptz '2026-02-01' END FROM generate_series(10, 15) n, unnest('{2025-06-01,2026-06-01}'::timestamptz[]) d;
SELECT tableoid::regclass, count(*), count(*) FILTER (WHERE purge_after = departs + interval '1 hour') AS anchored FROM part GROUP BY 1 ORDER BY 1;
INSERT INTO facematch.hold (table_name, row_id, reason, authority) SELECT 'part_new', id, 'inquiry', 'court' FROM part_new WHERE subject_id = subject(14);
SELECT DISTINCT table_name FROM facematch.held WHERE reason = 'inquiry' ORDER BY 1;
INSERT INTO facematch.opt_out (subject_id, retention_class) VALUES (subject(15), 'us_citizen');
CALL facematch.purge(1);
SELECT tableoid::regclass, subject_id FROM part ORDER BY 1, 2;
SELECT who, what, count(*) FROM rights GROUP BY 1, 2;
SELECT severity, object, finding FROM facematch.health_check() WHERE object !~ '^(purge$|role |database |galleries$)' AND finding !~ 'rows are due';
ALTER TABLE part_new DISABLE TRIGGER facematch_20_guard;
ALTER TABLE facematch.reference ENABLE TRIGGER reference_20_guard;
ALTER TABLE facematch.encounter DISABLE ROW LEVEL SECURITY;
SELECT severity, object, finding FROM facematch.health_check() WHERE object !~ '^(purge$|role |database |galleries$)' AND finding !~ 'rows are due';
DROP TABLE part;
UPDATE facematch.hold SET released_at = clock_timestamp() WHERE released_at IS NULL;
DROP TABLE part;
SELECT * FROM facematch.attached;
CALL facematch.purge();
DROP OWNED BY facematch_test_reader;
DROP ROLE facematch_test_reader;

-- Unlogged, a crash would empty it without a receipt; a partition that comes so later is named.
CREATE UNLOGGED TABLE fleeting (id int, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
CREATE TABLE lasting (LIKE fleeting) PARTITION BY RANGE (id);
SELECT facematch.retain('fleeting', 'sighting');
ALTER TABLE lasting ATTACH PARTITION fleeting FOR VALUES FROM (0) TO (10);
SELECT facematch.retain('lasting', 'sighting');
ALTER TABLE fleeting SET LOGGED;
SELECT facematch.retain('lasting', 'sighting');
CREATE UNLOGGED TABLE fleeting_2 PARTITION OF lasting FOR VALUES FROM (10) TO (20);
SELECT severity, object, finding, remedy FROM facematch.health_check() WHERE finding ~ 'unlogged';
ALTER TABLE public.fleeting_2 SET LOGGED;
SELECT count(*) FROM facematch.health_check() WHERE finding ~ 'unlogged';
DROP TABLE lasting;

-- With a gallery and an anchor of its own: the row's anchor goes before the gallery's, and the gallery's deadline before both.  The
-- guard, the reasons, and the check for rows that are kept too long agree, also after the gallery's departure has moved.
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F1', 'flight', 'two', 0.5, now() + interval '1 hour');
CREATE TABLE boarding (id int, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, gallery_id bigint, departs timestamptz, t face_embedding);
SELECT facematch.retain('boarding', 'boarding', gallery_column => 'gallery_id', anchor_column => 'departs');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, fallback_anchor, fallback_keep, follows_anchor, citation, valid_from)
VALUES ('boarding', 'us_citizen', 'boarding', '{gallery_anchor}', '{1 hour}', 'recorded', '30 minutes', true, 'site rule', '-infinity');
INSERT INTO boarding (id, retention_class, gallery_id, departs)
SELECT v.id, 'us_citizen', g.gallery_id, now() + v.departs
FROM facematch.gallery g, (VALUES (1, interval '3 hours'), (2, NULL), (3, '3000 days')) v (id, departs);
INSERT INTO boarding (id, retention_class, departs) VALUES (4, 'us_citizen', now() + interval '3 hours'), (5, 'us_citizen', NULL);
CREATE VIEW agreed AS
	SELECT b.id, CASE b.purge_after WHEN g.purge_after THEN 'the gallery''s' ELSE round(extract(epoch FROM b.purge_after - b.recorded_at) / 3600, 1) || ' hours' END AS kept,
		e.due = b.purge_after AS explained, EXISTS (SELECT FROM facematch_internal.late_rows('boarding') l WHERE l.row_id = b.id::text) AS late
	FROM boarding b LEFT JOIN facematch.gallery g USING (gallery_id) CROSS JOIN LATERAL facematch.explain_retention('boarding', b.id) e;
SELECT * FROM agreed ORDER BY id;
UPDATE boarding SET purge_after = now() + interval '2 hours 30 minutes' WHERE id = 1;
UPDATE facematch.gallery SET anchor_at = anchor_at + interval '1 hour';
SELECT * FROM agreed ORDER BY id;
DROP VIEW agreed;
DROP TABLE boarding;

-- Classes that no rule names, as the owner of a table can write them past the guard: one receipt for all of them.
CREATE TABLE unruled (id int, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, t face_embedding);
SELECT facematch.retain('unruled', 'sighting');
ALTER TABLE unruled DISABLE TRIGGER USER;
INSERT INTO unruled (id, retention_class, subject_id, purge_after)
SELECT n, 'none ' || n, subject(n), now() - n * interval '1 day' FROM generate_series(31, 34) n;
INSERT INTO unruled (id, retention_class, purge_after) VALUES (35, 'us_citizen', now() - interval '1 day');
ALTER TABLE unruled ENABLE TRIGGER USER;
CALL facematch.purge();
SELECT cause, retention_class, rows_purged, latest_due - earliest_due AS due_within FROM facematch.purge_receipt
WHERE table_name ~ 'unruled' ORDER BY retention_class;
DROP TABLE unruled;

-- DROP COLUMN ... CASCADE takes the deadlines away with the policy: the table can be released, and put under retention again.
CREATE TABLE bare (id int, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, t face_embedding);
SELECT facematch.retain('bare', 'sighting');
ALTER TABLE bare DROP COLUMN purge_after;
ALTER TABLE bare DROP COLUMN purge_after CASCADE;
INSERT INTO bare (id, retention_class) VALUES (1, 'us_citizen');
SELECT facematch.release('bare');
SELECT facematch.retain('bare', 'sighting');
INSERT INTO bare (id, retention_class) VALUES (1, 'us_citizen') RETURNING purge_after > now() AS has_a_deadline;
DROP TABLE bare;
