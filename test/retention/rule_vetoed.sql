-- A new rule takes force whatever a user's table does; where its rows keep the old deadline the health check says so, and
-- the purge tries again.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE ROLE facematch_test_vetoing;
CREATE SCHEMA vetoing AUTHORIZATION facematch_test_vetoing;
INSERT INTO facematch.retention_class (name, description) VALUES ('guest', 'a test''s');
SET client_min_messages = error;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from) VALUES
	('guest/sighting', 'guest', 'sighting', '{recorded}', '{10 days}', 'site rule', '-infinity');
RESET client_min_messages;
SET ROLE facematch_test_vetoing;
CREATE TABLE vetoing.sighting (id int PRIMARY KEY, subject_id uuid, retention_class text, recorded_at timestamptz, e face_embedding);
CREATE TABLE vetoing.willing (LIKE vetoing.sighting INCLUDING ALL);
RESET ROLE;
SELECT facematch.retain('vetoing.sighting', 'sighting'), facematch.retain('vetoing.willing', 'sighting');
INSERT INTO vetoing.sighting (id, subject_id, retention_class, recorded_at) SELECT n, gen_random_uuid(), 'guest', now() - n * interval '4 days' FROM generate_series(1, 3) n;
INSERT INTO vetoing.willing (id, subject_id, retention_class, recorded_at) SELECT n, gen_random_uuid(), 'guest', now() - n * interval '4 days' FROM generate_series(1, 3) n;
CREATE VIEW days AS SELECT 'sighting' AS table, id, purge_after - recorded_at AS kept FROM vetoing.sighting
	UNION ALL SELECT 'willing', id, purge_after - recorded_at FROM vetoing.willing ORDER BY 1, 2;
CREATE VIEW told AS SELECT severity, finding, regexp_replace(object, ' for .*', ' for TIME)') AS object, remedy FROM facematch.health_check()
	WHERE finding ~ 'have not been applied';
CREATE VIEW lengthened AS SELECT detail ->> 'table' AS table, sum((detail ->> 'rows')::int) AS rows FROM facematch.audit_event
	WHERE action = 'deadline_lengthened' GROUP BY 1;

SET ROLE facematch_test_vetoing;
CREATE FUNCTION vetoing.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not mine'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON vetoing.sighting FOR EACH ROW EXECUTE FUNCTION vetoing.refuse();
RESET ROLE;
-- One that lengthens: the other table follows at once. What is due stays due.
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, lengthens, citation, valid_from) VALUES
	('guest/sighting/longer', 'guest', 'sighting', '{recorded}', '{20 days}', true, 'site rule', now());
SELECT count(*) FROM facematch.retention_rule WHERE name = 'guest/sighting/longer';
SELECT * FROM days;
SELECT * FROM told;
SELECT * FROM lengthened;
-- While the table still refuses, the purge says what is in the way.
CALL facematch.purge();
SELECT * FROM days;
SELECT * FROM told;
-- It lets go.
DROP TRIGGER refuse ON vetoing.sighting;
CALL facematch.purge();
SELECT * FROM days;
SELECT * FROM told;
SELECT * FROM lengthened;

-- One that shortens is retried the same.
CREATE TRIGGER refuse BEFORE UPDATE ON vetoing.sighting FOR EACH ROW EXECUTE FUNCTION vetoing.refuse();
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from) VALUES
	('guest/sighting/shorter', 'guest', 'sighting', '{recorded}', '{15 days}', 'site rule', now());
SELECT * FROM days;
DROP TRIGGER refuse ON vetoing.sighting;
CALL facematch.purge();
SELECT * FROM days;
SELECT * FROM told;
DROP VIEW days, told, lengthened;
DROP SCHEMA vetoing CASCADE;
DROP ROLE facematch_test_vetoing;
