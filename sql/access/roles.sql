/*
 * Kinds of roles, the list of their privileges, and the roles of each kind.
 *
 * facematch_internal.access_right is the whole list, one row for each privilege. A part
 * of the extension that adds something for operators or auditors adds its row there,
 * after this file. A view whose name begins with report_ needs no row: auditors see it,
 * and may execute the functions of the extension that it calls. The list names objects
 * of the two schemas by name, not by OID, so that a function that was replaced by an
 * upgrade is granted again.
 *
 * facematch_internal.access_grant records which roles are of which kind, by name. A
 * dump has the record as well as the grants. A deferred trigger makes the grants match
 * the list at the commit of a transaction that changes the record, such as a restore,
 * or an upgrade that ends with facematch.reinstate(). src/access/README.md follows a
 * privilege from the list to a role.
 */

CREATE TABLE facematch_internal.access_kind (
	name		text NOT NULL CONSTRAINT access_kind_name_is_a_name CHECK (facematch_internal.is_name(name)),
	description	text NOT NULL,
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT access_kind_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE facematch_internal.access_kind IS 'kinds of roles; everyone: all roles with USAGE on the schema';
COMMENT ON COLUMN facematch_internal.access_kind.name IS 'the word that facematch_internal.access_right uses';
COMMENT ON COLUMN facematch_internal.access_kind.description IS 'what such a role is for';
COMMENT ON COLUMN facematch_internal.access_kind.shipped IS
	'true for the kinds that come with the extension, which a dump leaves to it; false for those of the site';
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.access_kind', 'WHERE NOT shipped');

INSERT INTO facematch_internal.access_kind (name, description, shipped) VALUES
	('everyone', 'functions that checks on rows need, and that tell nothing of anybody', true),
	('operator', 'matches travelers, stages manifests, files opt-outs; chooses no deadline, rule or threshold, and reads'
		' no template', true),
	('partner', 'a carrier or another outsider: asks whether a probe matches somebody on its own flights', true),
	('auditor', 'reads reports, rules, receipts, disclosures and the log; nobody''s template', true),
	('template_reader', 'reads the templates of a gallery, each time after announcing it in the log', true),
	('coordinator', 'another server, which searches galleries here and elsewhere and sorts by their templates', true);

CREATE TABLE facematch_internal.access_right (
	kind		text NOT NULL,
	object_kind	text NOT NULL CONSTRAINT access_right_object_kind_is_known CHECK (object_kind IN ('table', 'function')),
	object_name	text NOT NULL,
	privilege	text NOT NULL CONSTRAINT access_right_privilege_is_known CHECK (
		object_kind = 'table' AND privilege IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') OR object_kind = 'function'
			AND privilege = 'EXECUTE'),
	columns		name[] CONSTRAINT access_right_columns_of_a_table CHECK (columns IS NULL OR object_kind = 'table'
		AND privilege <> 'DELETE' AND cardinality(columns) > 0),
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT access_right_pkey PRIMARY KEY (kind, object_kind, object_name, privilege),
	-- What a site gives to all roles, it would give to those of partners too; a line of its own gives to a kind.
	CONSTRAINT access_right_of_everyone_is_shipped CHECK (kind <> 'everyone' OR shipped),
	CONSTRAINT access_right_kind_exists FOREIGN KEY (kind) REFERENCES facematch_internal.access_kind ON UPDATE RESTRICT
);
COMMENT ON TABLE facematch_internal.access_right IS
	'kind of role x object x privilege: all that facematch.grant_operator() and the others grant';
COMMENT ON COLUMN facematch_internal.access_right.kind IS 'the kind of role, a row of facematch_internal.access_kind';
COMMENT ON COLUMN facematch_internal.access_right.object_kind IS 'table (and view), or function (and procedure)';
COMMENT ON COLUMN facematch_internal.access_right.object_name IS
	'name of the object in schema facematch; the name of a function means all functions of that name, and a * at '
	'the end any ending';
COMMENT ON COLUMN facematch_internal.access_right.privilege IS
	'SELECT, INSERT, UPDATE or DELETE on a table, EXECUTE on a function';
COMMENT ON COLUMN facematch_internal.access_right.columns IS 'the columns that it is about; NULL: all';
COMMENT ON COLUMN facematch_internal.access_right.shipped IS
	'true for the rows that come with the extension, which a dump leaves to it';
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.access_right', 'WHERE NOT shipped');

INSERT INTO facematch_internal.access_right (kind, object_kind, privilege, object_name, shipped)
SELECT l.kind, l.object_kind, l.privilege, n.name, true FROM (VALUES
	-- Checks, triggers, policies and views call these, as the user who inserts or reads.
	('everyone', 'function', 'EXECUTE',
	 'is_name is_reached reference_fault encounter_fault may_stage check_gallery unseen_galleries simd_level redacted
	  sealed_by keys_are_possible pseudonym_fingerprint'),
	('operator', 'function', 'EXECUTE',
	 'identify identify_many verify record_encounter resolve_encounter subject_id stage_gallery restage_gallery
	  close_gallery enrol skipped explain_retention is_opted_out may_decline reference_token record_disclosure'),
	('operator', 'table', 'SELECT',
	 'notice notice_posting model gallery_kind gallery retention_class opt_out decline_rule
	  open_referral alert_channel partner partner_gallery'),
	('partner', 'function', 'EXECUTE',
	 'ask partner_flights'),
	('auditor', 'table', 'SELECT',
	 'report_* audit_event rights_event purge_receipt search disclosure partner partner_gallery partner_budget reading
	  access_kind access_right access_grant model gallery_kind gallery retention_class retention_rule
	  event_kind decline_rule hold held opt_out subject_merge notice notice_posting retained attached erasure
	  erased_receipt erase_progress'),
	('auditor', 'function', 'EXECUTE',
	 'report_* verify_audit audit_anchor audit_content verify_erased wal_horizon health_check
	  explain_retention kept_by subject_id announce_reading subject_report may_decline'),
	('template_reader', 'table', 'SELECT',
	 'gallery'),
	('template_reader', 'function', 'EXECUTE',
	 'announce_reading read_templates unseal')) l (kind, object_kind, privilege, names)
CROSS JOIN LATERAL regexp_split_to_table(l.names, '\s+') n (name);

-- Of these tables some columns only.
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns, shipped) VALUES
	('operator', 'table', 'encounter', 'SELECT',
	 '{encounter_id, idempotency_key, gallery_id, gallery, occurred_at, port, lane, direction, mode,
	  outcome, referred, reason, subject_id, reference_id, threshold, model, posting_id,
	  retention_class, verified_at, override_reason, overridden_by, overridden_at, recorded_by,
	  purge_after, kind, latency_ms, groups, quality}', true),
	('operator', 'table', 'candidate', 'SELECT', '{encounter_id,rank,reference_id,subject_id}', true),
	('operator', 'table', 'notice_posting', 'INSERT', '{notice,version,port,lane,posted_at}', true),
	('operator', 'table', 'notice_posting', 'UPDATE', '{removed_at}', true),
	('operator', 'table', 'reference', 'SELECT',
	 '{reference_id, gallery_id, subject_id, retention_class, model_tag, dims, source, quality,
	  enrolled_at, purge_after}', true),
	('operator', 'table', 'reference', 'INSERT', '{gallery_id,subject_id,retention_class,embedding,source,quality}',
		true),
	('operator', 'table', 'opt_out', 'INSERT',
	 '{subject_id,scope,gallery_id,until,alternative,noticed_at,port,retention_class}', true),
	('operator', 'table', 'opt_out', 'UPDATE', '{revoked_at}', true),
	('operator', 'table', 'partner_gallery', 'INSERT', '{partner,gallery_id,valid_from,valid_until}', true),
	('operator', 'table', 'partner_gallery', 'UPDATE', '{valid_until}', true);

CREATE TABLE facematch.partner (
	name		text NOT NULL CONSTRAINT partner_name_is_a_name CHECK (facematch_internal.is_name(name)),
	partner_id	uuid NOT NULL DEFAULT gen_random_uuid(),
	address		text NOT NULL DEFAULT '',
	purpose		text NOT NULL CONSTRAINT partner_purpose_is_said CHECK (purpose <> ''),
	per_minute	integer NOT NULL DEFAULT 120 CONSTRAINT partner_per_minute_range CHECK (per_minute BETWEEN 1 AND 1000000),
	per_day		integer NOT NULL DEFAULT 10000 CONSTRAINT partner_per_day_range CHECK (per_day BETWEEN 1 AND 1000000000),
	created_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT partner_pkey PRIMARY KEY (name),
	CONSTRAINT partner_partner_id_key UNIQUE (partner_id)
);
COMMENT ON TABLE facematch.partner IS
	'carriers and others outside who get answers; their roles are in facematch_internal.access_grant, their flights'
	' in facematch.partner_gallery';
COMMENT ON COLUMN facematch.partner.name IS 'name of the recipient, as in the accounting of disclosures';
COMMENT ON COLUMN facematch.partner.partner_id IS
	'random: the partner''s reference tokens are made with it, so that two partners'' tokens have nothing in common';
COMMENT ON COLUMN facematch.partner.address IS 'address of the recipient, which 5 U.S.C. 552a(c)(1)(B) asks for';
COMMENT ON COLUMN facematch.partner.purpose IS 'the purpose of its use, as in the accounting of disclosures';
COMMENT ON COLUMN facematch.partner.per_minute IS
	'uses a minute on average; this many may come at once, so there may be twice as many in one minute';
COMMENT ON COLUMN facematch.partner.per_day IS 'uses a day on average; this many may come at once';
COMMENT ON COLUMN facematch.partner.created_at IS 'when the row was made';

CREATE TABLE facematch_internal.access_grant (
	role_name	text NOT NULL,
	kind		text NOT NULL CONSTRAINT access_grant_kind_is_a_roles CHECK (kind <> 'everyone'),
	partner		text,
	granted_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	granted_by	text NOT NULL DEFAULT session_user,
	CONSTRAINT access_grant_pkey PRIMARY KEY (role_name, kind),
	CONSTRAINT access_grant_kind_exists FOREIGN KEY (kind) REFERENCES facematch_internal.access_kind ON UPDATE RESTRICT,
	CONSTRAINT access_grant_partner_exists FOREIGN KEY (partner) REFERENCES facematch.partner ON UPDATE RESTRICT,
	CONSTRAINT access_grant_partner_is_named CHECK ((kind = 'partner') = (partner IS NOT NULL))
);
COMMENT ON TABLE facematch_internal.access_grant IS
	'which roles were made operators, partners, auditors, template readers; written by facematch.grant_operator()'
	' and the others';
COMMENT ON COLUMN facematch_internal.access_grant.role_name IS
	'name of the role; by name, because a dump is restored where roles have other numbers';
COMMENT ON COLUMN facematch_internal.access_grant.kind IS 'what it was made, a row of facematch_internal.access_kind';
COMMENT ON COLUMN facematch_internal.access_grant.partner IS
	'for whom a partner''s role asks, a row of facematch.partner; NULL for other kinds';
COMMENT ON COLUMN facematch_internal.access_grant.granted_at IS 'when';
COMMENT ON COLUMN facematch_internal.access_grant.granted_by IS 'by which session''s user';
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.access_grant', '');
SELECT facematch_internal.keep_as_record('facematch_internal.access_grant', changes => true,
	log => '{access,"role_name,kind","role_name,kind,partner,granted_at,granted_by","granted,changed,revoked"}');

---------------------------------------------------------------- the list, applied to the catalogs

CREATE VIEW facematch_internal.expected_access AS
	WITH object AS (
		SELECT 'table' AS kind, c.relname AS name, c.oid, format('TABLE %s', c.oid::regclass) AS called
			FROM pg_catalog.pg_class c
		WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND c.relkind
			IN ('r', 'p', 'v', 'm')
		UNION ALL
		SELECT 'function', p.proname, p.oid, format('ROUTINE %s', p.oid::regprocedure) FROM pg_catalog.pg_proc p
		WHERE p.pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
		  AND p.prorettype <> 'trigger'::regtype
	), named AS (
		SELECT r.kind, r.privilege, r.columns, o.oid, o.called FROM facematch_internal.access_right r
		JOIN object o ON o.kind = r.object_kind
			AND (o.name = r.object_name OR right(r.object_name, 1) = '*' AND starts_with(o.name, rtrim(r.object_name, '*')))
	)
	SELECT n.kind, format('%s%s ON %s', n.privilege, format(' (%I)', c.name), n.called) AS clause,
		   format('%s ON %s', n.privilege, n.called) AS whole
	FROM named n CROSS JOIN LATERAL unnest(n.columns) c (name)
	UNION
	SELECT n.kind, w.whole, w.whole FROM named n CROSS JOIN LATERAL format('%s ON %s', n.privilege, n.called) w (whole)
	WHERE n.columns IS NULL
	UNION
	-- Functions in a view are executed with the privileges of the user who reads it.
	SELECT n.kind, w.whole, w.whole FROM named n JOIN pg_catalog.pg_class v ON v.oid = n.oid
		AND starts_with(v.relname, 'report_')
	JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid
	JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
		AND d.refclassid = 'pg_proc'::regclass
	JOIN object f ON f.kind = 'function' AND f.oid = d.refobjid
	CROSS JOIN LATERAL format('EXECUTE ON %s', f.called) w (whole)
	UNION
	SELECT k.name, w.whole, w.whole FROM facematch_internal.access_kind k
	CROSS JOIN (VALUES ('USAGE ON SCHEMA facematch'), ('USAGE ON SCHEMA facematch_internal')) w (whole)
	WHERE k.name <> 'everyone';
COMMENT ON VIEW facematch_internal.expected_access IS
	'what facematch_internal.access_right comes to today, one row for each kind of role and privilege, as GRANT'
	' writes it';
COMMENT ON COLUMN facematch_internal.expected_access.kind IS 'the kind of role';
COMMENT ON COLUMN facematch_internal.expected_access.clause IS
	'the privilege, such as SELECT (name) ON TABLE facematch.gallery';
COMMENT ON COLUMN facematch_internal.expected_access.whole IS 'the same on the whole object';

CREATE VIEW facematch_internal.actual_access AS
	SELECT a.grantee AS role_id, a.grantor, format('%s%s ON TABLE %s', a.privilege_type,
		' (' || quote_ident(l.attname) || ')', c.oid::regclass) AS clause,
		   format('%s ON TABLE %s', a.privilege_type, c.oid::regclass) AS whole
	FROM pg_catalog.pg_class c CROSS JOIN LATERAL (
		SELECT NULL::name AS attname, c.relacl AS acl
		UNION ALL
		SELECT t.attname, t.attacl FROM pg_catalog.pg_attribute t WHERE t.attrelid = c.oid AND NOT t.attisdropped) l
	CROSS JOIN LATERAL aclexplode(l.acl) a
	WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND a.grantee <> c.relowner
	UNION ALL
	SELECT a.grantee, a.grantor, w.whole, w.whole
	FROM pg_catalog.pg_proc p CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
	CROSS JOIN LATERAL format('%s ON ROUTINE %s', a.privilege_type, p.oid::regprocedure) w (whole)
	WHERE p.pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND a.grantee <> p.proowner
	UNION ALL
	SELECT a.grantee, a.grantor, w.whole, w.whole
	FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
	CROSS JOIN LATERAL format('%s ON SCHEMA %I', a.privilege_type, n.nspname) w (whole)
	WHERE n.nspname IN ('facematch', 'facematch_internal') AND a.grantee <> n.nspowner;
COMMENT ON VIEW facematch_internal.actual_access IS
	'what PostgreSQL has granted on the two schemas and all in them, to others than the owner';
COMMENT ON COLUMN facematch_internal.actual_access.role_id IS 'the role; 0 is PUBLIC';
COMMENT ON COLUMN facematch_internal.actual_access.grantor IS 'the role that granted it';
COMMENT ON COLUMN facematch_internal.actual_access.clause IS
	'the privilege, such as SELECT (name) ON TABLE facematch.gallery';
COMMENT ON COLUMN facematch_internal.actual_access.whole IS 'the same on the whole object';

CREATE FUNCTION facematch_internal.apply_access() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	role oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = NEW.role_name);
	missing text;
BEGIN
	IF role IS NULL THEN
		RAISE WARNING 'role % does not exist: it is granted nothing', quote_ident(NEW.role_name)
			USING HINT = 'CREATE ROLE and SELECT facematch.reinstate(), or DELETE its row of'
				' facematch_internal.access_grant.';
		RETURN NULL;
	END IF;
	-- Two sessions cannot change the privileges of one object at a time: PostgreSQL fails in one of them. So all that
	-- grants or revokes changes this row first: it waits for others, and has no older snapshot than they left (40001).
	UPDATE facematch_internal.access_kind k SET name = k.name WHERE k.name = 'everyone';
	FOR missing IN
		SELECT e.clause FROM facematch_internal.access_grant g JOIN facematch_internal.expected_access e USING (kind)
		WHERE g.role_name = NEW.role_name
		EXCEPT
		SELECT a.clause FROM facematch_internal.actual_access a WHERE a.role_id = role
		ORDER BY 1
	LOOP
		EXECUTE format('GRANT %s TO %I', missing, NEW.role_name);
	END LOOP;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.apply_access() IS
	'trigger: grants a recorded role what the list gives its kinds and it has not; a role that does not exist is'
	' warned of';

-- Deferred: what is granted while an extension script runs would count as the extension's own, and no dump would have
-- it.
CREATE CONSTRAINT TRIGGER access_grant_10_recorded AFTER INSERT OR UPDATE ON facematch_internal.access_grant
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION facematch_internal.apply_access();
ALTER TABLE facematch_internal.access_grant ENABLE ALWAYS TRIGGER access_grant_10_recorded;

---------------------------------------------------------------- granting

-- What would make a role's limits worthless.
CREATE VIEW facematch_internal.role_power AS
	SELECT r.oid AS role_id, p.power
	FROM pg_catalog.pg_roles r CROSS JOIN LATERAL (VALUES
		(r.rolsuper, 'is a superuser'), (r.rolreplication, 'may replicate the whole cluster'),
		(r.rolbypassrls, 'bypasses row security'), (r.rolcreaterole, 'may make itself a member of other roles')) p (has,
			power)
	WHERE p.has
	UNION ALL
	SELECT r.oid, format('is a member of %I', m.rolname) FROM pg_catalog.pg_roles r, pg_catalog.pg_roles m
	WHERE NOT r.rolsuper AND m.oid <> r.oid AND pg_has_role(r.oid, m.oid, 'MEMBER')
	  AND (m.rolname IN ('pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
						 'pg_execute_server_program', 'pg_read_all_stats', 'pg_monitor', 'pg_maintain', 'pg_create_subscription')
		   OR m.rolsuper OR m.rolreplication OR m.rolbypassrls OR m.rolcreaterole)
	UNION ALL
	SELECT r.oid, format('may act as %I, which owns the tables', o.rolname)
	FROM pg_catalog.pg_roles r, pg_catalog.pg_class c JOIN pg_catalog.pg_roles o ON o.oid = c.relowner
	WHERE NOT r.rolsuper AND NOT o.rolsuper AND c.oid = 'facematch.partner'::regclass
		AND pg_has_role(r.oid, o.oid, 'MEMBER');
COMMENT ON VIEW facematch_internal.role_power IS
	'attributes and memberships of roles that go round everything granted here';
COMMENT ON COLUMN facematch_internal.role_power.role_id IS 'the role';
COMMENT ON COLUMN facematch_internal.role_power.power IS 'what it is or may do, after "the role"';

CREATE FUNCTION facematch_internal.give_access(role regrole, kind text, partner text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wanted text := (SELECT r.rolname FROM pg_roles r WHERE r.oid = give_access.role);
	power text;
	other facematch_internal.access_grant;
BEGIN
	IF wanted IS NULL OR starts_with(wanted, 'pg_') THEN
		RAISE undefined_object USING CONSTRAINT = 'role_exists',
			MESSAGE = 'there is no such role to grant to',
			HINT = 'CREATE ROLE it first; PUBLIC and the roles of PostgreSQL are none.';
	END IF;
	-- One after the other, as apply_access() says.
	UPDATE facematch_internal.access_kind k SET name = k.name WHERE k.name = 'everyone';
	SELECT p.power INTO power FROM facematch_internal.role_power p WHERE p.role_id = role LIMIT 1;
	IF power IS NOT NULL THEN
		RAISE invalid_grant_operation USING CONSTRAINT = 'role_has_no_other_power',
			MESSAGE = format('role %I %s', wanted, power),
			DETAIL = format('As %s it could bypass its limits.', kind),
			HINT = 'Take that away from it, or use another role.';
	END IF;
	-- A partner that is something else as well, or whose role a colleague of another kind may take, gets more than
	-- answers.
	SELECT g.* INTO other FROM facematch_internal.access_grant g JOIN pg_roles r ON r.rolname = g.role_name
	WHERE (g.kind = 'partner') <> (give_access.kind = 'partner')
	  AND (pg_has_role(role, r.oid, 'MEMBER') OR give_access.kind <> 'partner' AND pg_has_role(r.oid, role, 'MEMBER'))
	LIMIT 1;
	IF NOT FOUND AND kind = 'partner' THEN
		SELECT g.* INTO other FROM facematch_internal.access_grant g JOIN pg_roles r ON r.rolname = g.role_name
		WHERE g.kind = 'partner' AND g.partner <> give_access.partner
		  AND (pg_has_role(role, r.oid, 'MEMBER') OR pg_has_role(r.oid, role, 'MEMBER')) LIMIT 1;
	END IF;
	IF FOUND THEN
		RAISE invalid_grant_operation USING CONSTRAINT = 'role_is_of_one_kind',
			MESSAGE = format('role %I would be %s and, as or through role %I, %s', wanted, kind, other.role_name,
							 concat_ws(' of ', other.kind, other.partner)),
			HINT = 'A partner''s role is nothing else, and of one partner only.';
	END IF;
	INSERT INTO facematch_internal.access_grant (role_name, kind, partner)
		VALUES (wanted, give_access.kind, give_access.partner)
	ON CONFLICT ON CONSTRAINT access_grant_pkey
	DO UPDATE SET partner = excluded.partner, granted_at = excluded.granted_at, granted_by = excluded.granted_by;
	-- At once, not at the commit.
	SET CONSTRAINTS facematch_internal.access_grant_10_recorded IMMEDIATE;
	SET CONSTRAINTS facematch_internal.access_grant_10_recorded DEFERRED;
END
$$;
COMMENT ON FUNCTION facematch_internal.give_access(regrole, text, text) IS
	'makes a role one of a kind: refuses (0LP01) what would make limits worthless, records, grants, logs';

CREATE FUNCTION facematch.grant_operator(role regrole) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT facematch_internal.give_access($1, 'operator', NULL)
$$;
COMMENT ON FUNCTION facematch.grant_operator(regrole) IS
	'makes an existing role an operator: matching, manifests, opt-outs; no template, rule, hold or threshold.'
	' Recorded and logged. Superusers and other roles that no grant limits, and partners: 0LP01; no such role:'
	' 42704';

CREATE FUNCTION facematch.grant_auditor(role regrole) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT facematch_internal.give_access($1, 'auditor', NULL)
$$;
COMMENT ON FUNCTION facematch.grant_auditor(regrole) IS
	'makes an existing role an auditor: reports, rules, receipts, disclosures, the log; reads only. Recorded and'
	' logged. Errors as grant_operator()';

CREATE FUNCTION facematch.grant_template_reader(role regrole, for_shards boolean DEFAULT false) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT facematch_internal.give_access($1, CASE WHEN $2 THEN 'coordinator' ELSE 'template_reader' END, NULL)
$$;
COMMENT ON FUNCTION facematch.grant_template_reader(regrole, boolean) IS
	'lets an existing role read the templates of whole galleries, each time after facematch.announce_reading(),'
	' which is logged. for_shards: makes it a coordinator instead, the role by which another server''s search_shards()'
	' searches here, and which announces nothing. Recorded and logged. Errors as grant_operator()';

CREATE FUNCTION facematch.revoke_access(role regrole) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	acts_as text := current_setting('role');
	had facematch_internal.actual_access;
	remains text;
	by_hand boolean := false;
BEGIN
	-- One after the other, as apply_access() says.
	UPDATE facematch_internal.access_kind k SET name = k.name WHERE k.name = 'everyone';
	FOR had IN SELECT a.* FROM facematch_internal.actual_access a WHERE a.role_id = role ORDER BY a.clause LOOP
		EXECUTE format('REVOKE %s FROM %s CASCADE', had.clause, role);
		by_hand := true;
	END LOOP;
	-- PostgreSQL lets nobody but the grantor revoke what another role granted that has it WITH GRANT OPTION.
	FOR had IN SELECT a.* FROM facematch_internal.actual_access a WHERE a.role_id = role ORDER BY a.clause, a.grantor LOOP
		CONTINUE WHEN NOT EXISTS (SELECT FROM facematch_internal.actual_access a
			WHERE (a.role_id, a.grantor, a.clause) = (role, had.grantor, had.clause));
		BEGIN
			PERFORM set_config('role', pg_get_userbyid(had.grantor), true);
			EXECUTE format('REVOKE %s FROM %s CASCADE', had.clause, role);
			PERFORM set_config('role', acts_as, true);
		EXCEPTION WHEN insufficient_privilege THEN
			NULL;	-- Found below.
		END;
	END LOOP;
	SELECT string_agg(format('%s by %s', a.clause, a.grantor::regrole), ', ' ORDER BY a.clause, a.grantor) INTO remains
	FROM facematch_internal.actual_access a WHERE a.role_id = role;
	IF remains IS NOT NULL THEN
		RAISE invalid_grant_operation USING CONSTRAINT = 'role_has_nothing_left',
			MESSAGE = format('not all can be revoked from role %s', role),
			DETAIL = format('Granted by others: %s.', remains),
			HINT = 'Call it as a superuser, or REVOKE GRANT OPTION FOR it FROM the grantor CASCADE.';
	END IF;
	DELETE FROM facematch_internal.access_grant g USING pg_roles r WHERE r.oid = role AND g.role_name = r.rolname;
	IF NOT FOUND AND NOT by_hand THEN
		RETURN false;
	ELSIF NOT FOUND THEN
		PERFORM facematch_internal.write_audit('access_revoked', jsonb_build_object(
			'role', (SELECT r.rolname FROM pg_roles r WHERE r.oid = role)));
	END IF;
	RETURN true;
END
$$;
COMMENT ON FUNCTION facematch.revoke_access(regrole) IS
	'takes from a role all privileges on the two schemas, granted by these functions, by hand or by other roles; logged.'
	' Returns whether there were any. Open sessions lose them with their next statement. Something remains, which only'
	' its grantor may revoke: 0LP01, and nothing is revoked';
