-- What is put under retention or made anew under a name that the log knows is another thing, and logged.
CREATE ROLE facematch_test_owner;
CREATE SCHEMA theirs AUTHORIZATION facematch_test_owner;
GRANT USAGE ON SCHEMA public TO facematch_test_owner;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES ('mine', 'us_citizen', 'mine', '{recorded}', '{1 day}', 'site rule');
CREATE VIEW logged AS SELECT action, detail - 'row' AS detail FROM facematch.audit_event WHERE event_id > (SELECT max(event_id) FROM facematch.audit_event WHERE detail ->> 'about' = 'rule:mine');
SET ROLE facematch_test_owner;
CREATE TABLE theirs.t (id int PRIMARY KEY, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, e public.face_embedding, purge_after timestamptz);
RESET ROLE;
SELECT facematch.retain('theirs.t', 'mine');
-- Its owner renames it, and makes another of that name.
SET ROLE facematch_test_owner;
ALTER TABLE theirs.t RENAME TO old;
CREATE TABLE theirs.t (LIKE theirs.old);
RESET ROLE;
SELECT facematch.retain('theirs.t', 'mine');
SELECT * FROM logged;
-- Or drops it.
SET ROLE facematch_test_owner;
DROP TABLE theirs.t;
CREATE TABLE theirs.t (LIKE theirs.old);
RESET ROLE;
SET quote_all_identifiers = on;
SELECT facematch.retain('theirs.t', 'mine');
RESET quote_all_identifiers;
SELECT facematch.release('theirs.t');
SELECT facematch.retain('theirs.t', 'mine');
SELECT * FROM logged;
-- A row with another key is gone under the old one, and what takes that is new.
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, citation, valid_from) VALUES ('crew', 'noncitizen', false, 'law', 'tomorrow');
UPDATE facematch.decline_rule SET name = 'crews' WHERE name = 'crew';
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, citation, valid_from) VALUES ('crew', 'us_citizen', false, 'law', 'tomorrow');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from) VALUES ('next', 'us_citizen', 'mine', '{recorded}', '{1 hour}', 'site rule', 'tomorrow');
UPDATE facematch.retention_rule SET name = 'ours' WHERE name = 'next';
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from) VALUES ('next', 'us_citizen', 'other', '{recorded}', '{100 years}', 'none', 'tomorrow');
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 7, 3);
UPDATE facematch.model SET name = 'n' WHERE name = 'm';
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 8, 3);
SELECT action, detail - 'row' AS detail FROM facematch.audit_event WHERE detail ->> 'about' ~ '^(decline_rule:crews?|model:[mn]|rule:(next|ours))$' ORDER BY event_id;
SELECT intact FROM facematch.verify_audit();
DROP SCHEMA theirs CASCADE;
CALL facematch.purge();
REVOKE USAGE ON SCHEMA public FROM facematch_test_owner;
DROP ROLE facematch_test_owner;
