-- What was granted by hand, to roles that facematch never recorded.  health_check() begins with what PostgreSQL grants.
SET client_min_messages = warning;
CREATE ROLE facematch_test_byhand LOGIN;
CREATE ROLE facematch_test_lane7 LOGIN;
CREATE ROLE facematch_test_group;
CREATE FUNCTION found(whose text) RETURNS TABLE (severity text, finding text, object text, remedy text) LANGUAGE sql AS $$
	SELECT f.severity, f.finding, f.object, f.remedy FROM facematch_internal.access_findings f WHERE concat_ws(' ', f.finding, f.object) ~ $1
	ORDER BY 1, 2, 3 $$;
SELECT * FROM found('test_');
-- The schema alone is what tables need whose checks call the extension's functions.
GRANT USAGE ON SCHEMA facematch TO facematch_test_byhand;
SELECT * FROM found('byhand');
GRANT INSERT, UPDATE, DELETE, SELECT ON facematch.retention_rule, facematch.hold, facematch.opt_out, facematch.gallery TO facematch_test_byhand;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA facematch TO facematch_test_byhand;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA facematch TO facematch_test_byhand;
SELECT severity, finding, regexp_replace(object, '\d+', 'N') AS object, remedy FROM found('byhand');
SELECT count(*) AS lines, max(found) AS roles FROM facematch.health_check() WHERE finding ~ 'no record grants';
SELECT facematch.revoke_access('facematch_test_byhand');
SELECT * FROM found('byhand');
-- Functions alone, one column, the right to create, and by a group.
GRANT SELECT (embedding) ON facematch.reference TO facematch_test_byhand;
GRANT CREATE ON SCHEMA facematch TO facematch_test_byhand;
GRANT EXECUTE ON FUNCTION facematch_internal.keyed_hash TO facematch_test_group;
GRANT facematch_test_group TO facematch_test_byhand;
SELECT * FROM found('test_');
SELECT facematch.revoke_access('facematch_test_byhand'), facematch.revoke_access('facematch_test_group');
SELECT * FROM found('test_');
-- By a role that was allowed to grant: that role keeps its own, and what it granted to others.
GRANT USAGE ON SCHEMA facematch TO facematch_test_byhand, facematch_test_lane7, facematch_test_group;
GRANT SELECT ON facematch.encounter TO facematch_test_byhand WITH GRANT OPTION;
SET ROLE facematch_test_byhand;
GRANT SELECT ON facematch.encounter TO facematch_test_lane7, facematch_test_group;
RESET ROLE;
SELECT facematch.revoke_access('facematch_test_lane7'), current_user;
SELECT role_id::regrole, clause FROM facematch_internal.actual_access WHERE role_id::regrole::text ~ 'facematch_test' ORDER BY clause, role_id::regrole::text;
-- What a superuser revokes is the owner's to revoke, also where he granted it before he was one: then nothing is revoked.
ALTER ROLE facematch_test_byhand SUPERUSER;
SELECT facematch.revoke_access('facematch_test_group'), current_user;
ALTER ROLE facematch_test_byhand NOSUPERUSER;
SELECT facematch.revoke_access('facematch_test_group'), facematch.revoke_access('facematch_test_byhand');
SELECT * FROM found('test_');
-- An operator that is renamed keeps its rights, off the books.
SELECT facematch.grant_operator('facematch_test_lane7');
SELECT * FROM found('test_');
ALTER ROLE facematch_test_lane7 RENAME TO facematch_test_lane8;
SELECT severity, finding, regexp_replace(object, '\d+ more', 'N more') AS object, remedy FROM found('lane');
DELETE FROM facematch_internal.access_grant WHERE role_name = 'facematch_test_lane7';
SELECT severity, finding, regexp_replace(object, '\d+ more', 'N more') AS object, remedy FROM found('lane');
SELECT facematch.revoke_access('facematch_test_lane8'), facematch.grant_operator('facematch_test_lane8');
SELECT * FROM found('lane');
-- More than its kind, and less.
GRANT SELECT, UPDATE ON facematch.retention_rule TO facematch_test_lane8;
REVOKE SELECT ON facematch.notice FROM facematch_test_lane8;
SELECT * FROM found('lane');
SELECT facematch.reinstate() IS NOT NULL AS renewed;
SELECT * FROM found('lane');
SELECT facematch.revoke_access('facematch_test_lane8'), facematch.grant_operator('facematch_test_lane8');
SELECT * FROM found('lane');
-- A kind of the site's own, as src/access/README.md makes one; a line that names nothing is found.
INSERT INTO facematch_internal.access_kind (name, description) VALUES ('counsel', 'places and releases holds');
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns) VALUES
	('counsel', 'table', 'hold', 'INSERT', '{table_name,row_id,subject_id,reason,authority,until,may_be_told}'),
	('counsel', 'table', 'facematch.hold', 'UPDATE', '{released_at}'), ('counsel', 'table', 'hold', 'SELECT', NULL),
	('counsel', 'table', 'held', 'SELECT', NULL), ('counsel', 'function', 'kept_by', 'EXECUTE', NULL);
SELECT facematch_internal.give_access('facematch_test_group', 'counsel', NULL);
SELECT * FROM found('list of privileges|test_group');
-- A site gives nothing to everyone.
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege) VALUES ('everyone', 'table', 'reference', 'SELECT');
UPDATE facematch_internal.access_right SET object_name = 'hold' WHERE object_name = 'facematch.hold';
SELECT * FROM found('list of privileges|test_group');
SELECT facematch.reinstate() AS granted_again;
SET SESSION AUTHORIZATION facematch_test_group;
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (gen_random_uuid(), 'inquiry', 'court');
UPDATE facematch.hold SET released_at = clock_timestamp();
SELECT count(*) AS held FROM facematch.held;
RESET SESSION AUTHORIZATION;
GRANT DELETE ON facematch.hold TO facematch_test_group;
SELECT * FROM found('list of privileges|test_group');
SELECT facematch.revoke_access('facematch_test_group');
SELECT * FROM found('test_');
-- A coordinator reads templates, as its kind says; the kind has no function of its own.
SELECT facematch.grant_template_reader('facematch_test_group', for_shards => true);
SELECT * FROM found('test_group');
GRANT SELECT ON facematch.hold TO facematch_test_group;
SELECT * FROM found('test_group');
SELECT facematch.revoke_access('facematch_test_group');
-- Another kind reads them by a line of the site's own, of the column or of all: that is found.
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns)
VALUES ('counsel', 'table', 'reference', 'SELECT', '{reference_id,embedding}');
SELECT facematch_internal.give_access('facematch_test_group', 'counsel', NULL);
SELECT * FROM found('test_group');
UPDATE facematch_internal.access_right SET columns = NULL WHERE (kind, object_name) = ('counsel', 'reference');
SELECT facematch.reinstate();
SELECT * FROM found('test_group');
DELETE FROM facematch_internal.access_right WHERE (kind, object_name) = ('counsel', 'reference');
-- So is a line of the site's own of a coordinator, for the probes.
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns)
VALUES ('coordinator', 'table', 'encounter', 'SELECT', '{probe}');
SELECT facematch.revoke_access('facematch_test_group'), facematch.grant_template_reader('facematch_test_group', true);
SELECT * FROM found('test_group');
DELETE FROM facematch_internal.access_right WHERE (kind, object_name) = ('coordinator', 'encounter');
SELECT facematch.revoke_access('facematch_test_group');
-- Memberships that go round every grant, of roles that are nobody's.
GRANT pg_read_all_data, pg_write_all_data TO facematch_test_group;
SELECT * FROM found('test_');
REVOKE pg_read_all_data, pg_write_all_data FROM facematch_test_group;
-- Settings that only superusers have.
GRANT SET ON PARAMETER facematch.account_searches, session_replication_role, dynamic_library_path
	TO facematch_test_group;
GRANT SET ON PARAMETER log_duration TO facematch_test_group;
SELECT * FROM found('test_');
REVOKE ALL ON PARAMETER facematch.account_searches, session_replication_role, dynamic_library_path, log_duration
	FROM facematch_test_group;
-- PUBLIC.
GRANT SELECT ON facematch.gallery TO PUBLIC;
GRANT EXECUTE ON FUNCTION facematch.partner_flights TO PUBLIC;
SELECT * FROM found('PUBLIC');
SELECT facematch.reinstate();
SELECT * FROM found('PUBLIC');
-- A line that says it came with the extension gives PUBLIC nothing unnoticed.
INSERT INTO facematch_internal.access_right VALUES ('everyone', 'table', 'reference', 'SELECT', NULL, true),
	('everyone', 'function', 'read_templates', 'EXECUTE', NULL, true);
SELECT facematch.reinstate();
SELECT * FROM found('PUBLIC');
DELETE FROM facematch_internal.access_right WHERE kind = 'everyone' AND object_name IN ('reference', 'read_templates');
SELECT facematch.reinstate();
SELECT * FROM found('PUBLIC');
-- What the script left to PUBLIC is PUBLIC's, also when it was revoked and granted again.
REVOKE EXECUTE ON FUNCTION facematch.simd_level FROM PUBLIC;
SELECT facematch.reinstate();
SELECT * FROM found('PUBLIC');
DROP OWNED BY facematch_test_byhand, facematch_test_lane8, facematch_test_group;
DROP ROLE facematch_test_byhand, facematch_test_lane8, facematch_test_group;
-- The accounting of a disclosure lives as long as its record, in whatever table under retention, under any pseudonym.
CREATE TABLE visit (id bigint PRIMARY KEY, subject_id uuid, retention_class text, recorded_at timestamptz, e face_embedding);
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation)
VALUES ('visit', 'us_citizen', 'visit', '{recorded}', '{10 years}', 'site rule');
SELECT facematch.retain('visit', 'visit');
INSERT INTO visit VALUES (1, '00000000-0000-8000-8000-000000000001', 'us_citizen', now(), '[1,0]');
SELECT facematch.merge_subjects('00000000-0000-8000-8000-000000000001', '00000000-0000-8000-8000-000000000002') IS NOT NULL AS merged;
INSERT INTO facematch.disclosure (disclosed_at, partner, nature, purpose, subject_id)
SELECT now() - interval '6 years', 'XX', 'passenger list', 'boarding', s
FROM unnest('{00000000-0000-8000-8000-000000000002,00000000-0000-8000-8000-000000000003,NULL}'::uuid[]) s;
DELETE FROM facematch.disclosure WHERE subject_id = '00000000-0000-8000-8000-000000000002';
-- A table that cannot be read may have it.
ALTER TABLE visit RENAME subject_id TO person;
DELETE FROM facematch.disclosure WHERE subject_id = '00000000-0000-8000-8000-000000000003';
ALTER TABLE visit RENAME person TO subject_id;
DELETE FROM visit;
DELETE FROM facematch.disclosure;
SELECT count(*) FROM facematch.disclosure;
