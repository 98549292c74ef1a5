/*
 * Who may do what: kinds of roles, the list of their rights, and the roles that
 * were made one.
 *
 * facematch_internal.access_right is the whole list, one line a right.  A part of the
 * extension that adds something for operators or auditors adds its line there,
 * after this file; a view whose name begins with report_ needs none, auditors see
 * it, and may execute the functions of the extension that it calls.  Rights name
 * objects of schema facematch by name, not by number, so that a function that
 * was replaced by an upgrade is granted again.
 *
 * What was granted is recorded in facematch_internal.access_grant, by the name of the
 * role.  A dump carries the record as well as the grants, and a deferred trigger
 * brings the grants up to the list at the commit of whatever touches the record:
 * of a restore, and of an upgrade that ends with facematch_internal.renew_access().
 */

CREATE TABLE facematch_internal.access_kind (
	name		text NOT NULL CONSTRAINT access_kind_name_is_a_name CHECK (facematch_internal.is_name(name)),
	description	text NOT NULL,
	CONSTRAINT access_kind_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE facematch_internal.access_kind IS 'kinds of roles; everyone: whoever is granted USAGE on the schema';
COMMENT ON COLUMN facematch_internal.access_kind.name IS 'the word that facematch_internal.access_right uses';
COMMENT ON COLUMN facematch_internal.access_kind.description IS 'what such a role is for';

INSERT INTO facematch_internal.access_kind (name, description) VALUES
	('everyone', 'functions that checks on rows need, and that tell nothing of anybody'),
	('operator', 'matches travelers, stages manifests, files opt-outs; chooses no deadline, rule or threshold, and reads no template'),
	('partner', 'a carrier or another outsider: asks whether a probe matches somebody on its own flights'),
	('auditor', 'reads reports, rules, receipts, disclosures and the log; nobody''s template'),
	('template_reader', 'reads the templates of a gallery, each time after announcing it in the log');

CREATE TABLE facematch_internal.access_right (
	kind		text NOT NULL,
	object_kind	text NOT NULL CONSTRAINT access_right_object_kind_is_known CHECK (object_kind IN ('table', 'function')),
	object_name	text NOT NULL,
	privilege	text NOT NULL CONSTRAINT access_right_privilege_is_known CHECK (
		object_kind = 'table' AND privilege IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') OR object_kind = 'function' AND privilege = 'EXECUTE'),
	columns		name[] CONSTRAINT access_right_columns_of_a_table CHECK (columns IS NULL OR object_kind = 'table' AND privilege <> 'DELETE' AND cardinality(columns) > 0),
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT access_right_pkey PRIMARY KEY (kind, object_kind, object_name, privilege),
	CONSTRAINT access_right_kind_exists FOREIGN KEY (kind) REFERENCES facematch_internal.access_kind ON UPDATE RESTRICT
);
COMMENT ON TABLE facematch_internal.access_right IS 'kind of role, object, privilege: all that facematch.grant_operator() and the others grant';
COMMENT ON COLUMN facematch_internal.access_right.kind IS 'the kind of role, a row of facematch_internal.access_kind';
COMMENT ON COLUMN facematch_internal.access_right.object_kind IS 'table (and view), or function (and procedure)';
COMMENT ON COLUMN facematch_internal.access_right.object_name IS 'name of the object in schema facematch; a function''s stands for all of that name, and a * at the end for any rest';
COMMENT ON COLUMN facematch_internal.access_right.privilege IS 'SELECT, INSERT, UPDATE or DELETE on a table, EXECUTE on a function';
COMMENT ON COLUMN facematch_internal.access_right.columns IS 'the columns that it is about; NULL: all';
COMMENT ON COLUMN facematch_internal.access_right.shipped IS 'true for the rows that come with the extension, which a dump leaves to it';
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.access_right', 'WHERE NOT shipped');

INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns, shipped) VALUES
	-- checks, triggers and policies of tables call these, as whoever inserts
	('everyone', 'function', 'is_name', 'EXECUTE', NULL, true),
	('everyone', 'function', 'is_reached', 'EXECUTE', NULL, true),
	('everyone', 'function', 'reference_fault', 'EXECUTE', NULL, true),
	('everyone', 'function', 'encounter_fault', 'EXECUTE', NULL, true),
	('everyone', 'function', 'log_has_begun', 'EXECUTE', NULL, true),
	('everyone', 'function', 'may_stage', 'EXECUTE', NULL, true),
	('everyone', 'function', 'unseen_galleries', 'EXECUTE', NULL, true),
	('everyone', 'function', 'simd_level', 'EXECUTE', NULL, true),
	('everyone', 'function', 'redacted', 'EXECUTE', NULL, true),

	-- the operator: matching
	('operator', 'function', 'identify', 'EXECUTE', NULL, true),
	('operator', 'function', 'verify', 'EXECUTE', NULL, true),
	('operator', 'function', 'record_encounter', 'EXECUTE', NULL, true),
	('operator', 'function', 'resolve_encounter', 'EXECUTE', NULL, true),
	('operator', 'table', 'encounter', 'SELECT', '{encounter_id,idempotency_key,gallery_id,gallery,occurred_at,port,lane,direction,mode,outcome,referred,reason,subject_id,reference_id,similarity,threshold,model,posting_id,retention_class,verified_at,override_reason,overridden_by,overridden_at,recorded_by,purge_after,kind,runner_up,latency_ms,groups}', true),
	('operator', 'table', 'candidate', 'SELECT', NULL, true),
	('operator', 'table', 'notice', 'SELECT', NULL, true),
	('operator', 'table', 'notice_posting', 'SELECT', NULL, true),
	('operator', 'table', 'notice_posting', 'INSERT', '{notice_id,port,lane,posted_at}', true),
	('operator', 'table', 'notice_posting', 'UPDATE', '{removed_at}', true),
	-- manifests
	('operator', 'table', 'model', 'SELECT', NULL, true),
	('operator', 'table', 'gallery_kind', 'SELECT', NULL, true),
	('operator', 'table', 'gallery', 'SELECT', NULL, true),
	('operator', 'table', 'retention_class', 'SELECT', NULL, true),
	('operator', 'table', 'reference', 'SELECT', '{reference_id,gallery_id,subject_id,retention_class,model_tag,dims,source,quality,enrolled_at,purge_after}', true),
	('operator', 'table', 'reference', 'INSERT', '{gallery_id,subject_id,retention_class,embedding,source,quality}', true),
	('operator', 'function', 'subject_id', 'EXECUTE', NULL, true),
	('operator', 'function', 'stage_gallery', 'EXECUTE', NULL, true),
	('operator', 'function', 'restage_gallery', 'EXECUTE', NULL, true),
	('operator', 'function', 'close_gallery', 'EXECUTE', NULL, true),
	('operator', 'function', 'skipped', 'EXECUTE', NULL, true),
	('operator', 'function', 'explain_retention', 'EXECUTE', NULL, true),
	-- opt-outs
	('operator', 'table', 'opt_out', 'SELECT', NULL, true),
	('operator', 'table', 'opt_out', 'INSERT', '{subject_id,scope,gallery_id,until,alternative,noticed_at}', true),
	('operator', 'table', 'opt_out', 'UPDATE', '{revoked_at}', true),
	('operator', 'table', 'exemption', 'SELECT', NULL, true),
	('operator', 'table', 'exempt_subject', 'SELECT', NULL, true),
	('operator', 'table', 'exempt_subject', 'INSERT', '{subject_id,exemption,until}', true),
	('operator', 'function', 'is_opted_out', 'EXECUTE', NULL, true),
	('operator', 'function', 'is_exempt', 'EXECUTE', NULL, true),
	-- partners' flights
	('operator', 'table', 'partner', 'SELECT', NULL, true),
	('operator', 'table', 'partner_gallery', 'SELECT', NULL, true),
	('operator', 'table', 'partner_gallery', 'INSERT', '{partner,gallery_id,valid_from,valid_until}', true),
	('operator', 'table', 'partner_gallery', 'UPDATE', '{valid_until}', true),
	('operator', 'function', 'reference_token', 'EXECUTE', NULL, true),
	('operator', 'function', 'record_disclosure', 'EXECUTE', NULL, true),

	('partner', 'function', 'ask', 'EXECUTE', NULL, true),
	('partner', 'function', 'partner_flights', 'EXECUTE', NULL, true),

	('auditor', 'table', 'report_*', 'SELECT', NULL, true),
	('auditor', 'function', 'report_*', 'EXECUTE', NULL, true),
	('auditor', 'table', 'audit_event', 'SELECT', NULL, true),
	('auditor', 'table', 'purge_receipt', 'SELECT', NULL, true),
	('auditor', 'table', 'disclosure', 'SELECT', NULL, true),
	('auditor', 'table', 'partner', 'SELECT', NULL, true),
	('auditor', 'table', 'partner_gallery', 'SELECT', NULL, true),
	('auditor', 'table', 'partner_budget', 'SELECT', NULL, true),
	('auditor', 'table', 'template_reading', 'SELECT', NULL, true),
	('auditor', 'table', 'access_kind', 'SELECT', NULL, true),
	('auditor', 'table', 'access_right', 'SELECT', NULL, true),
	('auditor', 'table', 'access_grant', 'SELECT', NULL, true),
	('auditor', 'table', 'model', 'SELECT', NULL, true),
	('auditor', 'table', 'gallery_kind', 'SELECT', NULL, true),
	('auditor', 'table', 'gallery', 'SELECT', NULL, true),
	('auditor', 'table', 'retention_class', 'SELECT', NULL, true),
	('auditor', 'table', 'retention_rule', 'SELECT', NULL, true),
	('auditor', 'table', 'event_kind', 'SELECT', NULL, true),
	('auditor', 'table', 'exemption', 'SELECT', NULL, true),
	('auditor', 'table', 'hold', 'SELECT', NULL, true),
	('auditor', 'table', 'held', 'SELECT', NULL, true),
	('auditor', 'table', 'opt_out', 'SELECT', NULL, true),
	('auditor', 'table', 'notice', 'SELECT', NULL, true),
	('auditor', 'table', 'notice_posting', 'SELECT', NULL, true),
	('auditor', 'table', 'retained', 'SELECT', NULL, true),
	('auditor', 'table', 'attached', 'SELECT', NULL, true),
	('auditor', 'function', 'verify_audit', 'EXECUTE', NULL, true),
	('auditor', 'function', 'audit_anchor', 'EXECUTE', NULL, true),
	('auditor', 'function', 'audit_content', 'EXECUTE', NULL, true),
	('auditor', 'function', 'verify_erased', 'EXECUTE', NULL, true),
	('auditor', 'function', 'wal_horizon', 'EXECUTE', NULL, true),
	('auditor', 'table', 'erasure', 'SELECT', NULL, true),
	('auditor', 'table', 'erased_receipt', 'SELECT', NULL, true),
	('auditor', 'table', 'erase_progress', 'SELECT', NULL, true),
	('auditor', 'function', 'health_check', 'EXECUTE', NULL, true),
	('auditor', 'function', 'explain_retention', 'EXECUTE', NULL, true),

	('template_reader', 'table', 'gallery', 'SELECT', NULL, true),
	('template_reader', 'function', 'announce_template_reading', 'EXECUTE', NULL, true),
	('template_reader', 'function', 'read_templates', 'EXECUTE', NULL, true);

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
COMMENT ON TABLE facematch.partner IS 'carriers and others outside who get answers; their roles are in facematch_internal.access_grant, their flights in facematch.partner_gallery';
COMMENT ON COLUMN facematch.partner.name IS 'name of the recipient, as the accounting of disclosures has it';
COMMENT ON COLUMN facematch.partner.partner_id IS 'random: the partner''s reference tokens are made with it, so that two partners'' tokens have nothing in common';
COMMENT ON COLUMN facematch.partner.address IS 'address of the recipient, which 5 U.S.C. 552a(c)(1)(B) asks for';
COMMENT ON COLUMN facematch.partner.purpose IS 'what it asks for, as the accounting of disclosures has it';
COMMENT ON COLUMN facematch.partner.per_minute IS 'uses a minute on average; up to so many at once, so up to twice as many in one minute';
COMMENT ON COLUMN facematch.partner.per_day IS 'uses a day on average; up to so many at once';
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
COMMENT ON TABLE facematch_internal.access_grant IS 'which roles were made operators, partners, auditors, template readers; written by facematch.grant_operator() and the others';
COMMENT ON COLUMN facematch_internal.access_grant.role_name IS 'name of the role; by name, because a dump is restored where roles have other numbers';
COMMENT ON COLUMN facematch_internal.access_grant.kind IS 'what it was made, a row of facematch_internal.access_kind';
COMMENT ON COLUMN facematch_internal.access_grant.partner IS 'for whom a partner''s role asks, a row of facematch.partner; NULL for other kinds';
COMMENT ON COLUMN facematch_internal.access_grant.granted_at IS 'when';
COMMENT ON COLUMN facematch_internal.access_grant.granted_by IS 'by which session''s user';
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.access_grant', '');

---------------------------------------------------------------- the list, applied to the catalogs

CREATE FUNCTION facematch_internal.expected_access() RETURNS TABLE (kind text, object_class regclass, object_id oid, column_name name, privilege text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH named AS (
		SELECT r.kind, 'pg_class'::regclass AS object_class, c.oid AS object_id, c.relname AS name, r.privilege, r.columns
		FROM facematch_internal.access_right r
		JOIN pg_class c ON c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm')
		WHERE r.object_kind = 'table' AND (c.relname = r.object_name OR right(r.object_name, 1) = '*' AND starts_with(c.relname, rtrim(r.object_name, '*')))
		UNION ALL
		SELECT r.kind, 'pg_proc'::regclass, p.oid, p.proname, r.privilege, NULL
		FROM facematch_internal.access_right r
		JOIN pg_proc p ON p.pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
		WHERE r.object_kind = 'function' AND p.prorettype <> 'trigger'::regtype AND (p.proname = r.object_name OR right(r.object_name, 1) = '*' AND starts_with(p.proname, rtrim(r.object_name, '*')))
	)
	SELECT n.kind, n.object_class, n.object_id, c.name, n.privilege
	FROM named n LEFT JOIN LATERAL unnest(n.columns) c (name) ON true
	UNION
	-- Functions in a view are executed with the rights of whoever reads it.
	SELECT n.kind, 'pg_proc'::regclass, d.refobjid, NULL, 'EXECUTE'
	FROM named n JOIN pg_rewrite w ON w.ev_class = n.object_id
	JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_proc'::regclass
	JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
	WHERE n.object_class = 'pg_class'::regclass AND starts_with(n.name, 'report_')
	UNION
	SELECT k.name, 'pg_namespace'::regclass, n.oid, NULL, 'USAGE' FROM facematch_internal.access_kind k, pg_namespace n
	WHERE k.name <> 'everyone' AND n.nspname IN ('facematch', 'facematch_internal')
$$;
COMMENT ON FUNCTION facematch_internal.expected_access() IS
	'the objects and columns that facematch_internal.access_right comes to today: one row for each kind of role and privilege; column_name NULL: the whole object';

CREATE FUNCTION facematch_internal.actual_access() RETURNS TABLE (role_id oid, object_class regclass, object_id oid, column_name name, privilege text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT a.grantee, 'pg_class'::regclass, c.oid, NULL::name, a.privilege_type
	FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND a.grantee <> c.relowner
	UNION ALL
	SELECT a.grantee, 'pg_class'::regclass, c.oid, t.attname, a.privilege_type
	FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid AND NOT t.attisdropped, aclexplode(t.attacl) a
	WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND a.grantee <> c.relowner
	UNION ALL
	SELECT a.grantee, 'pg_proc'::regclass, p.oid, NULL, a.privilege_type
	FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
	WHERE p.pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND a.grantee <> p.proowner
	UNION ALL
	SELECT a.grantee, 'pg_namespace'::regclass, n.oid, NULL, a.privilege_type
	FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname IN ('facematch', 'facematch_internal') AND a.grantee <> n.nspowner
$$;
COMMENT ON FUNCTION facematch_internal.actual_access() IS
	'what is granted on the extension''s schemas and all in them, to others than the owner; role_id 0 is PUBLIC, column_name NULL the whole object';

-- GRANT ... ON TABLE facematch.reference, with the column where there is one.
CREATE FUNCTION facematch_internal.access_clause(object_class regclass, object_id oid, column_name name, privilege text) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE object_class
		WHEN 'pg_class'::regclass THEN format('%s%s ON TABLE %s', privilege, CASE WHEN column_name IS NOT NULL THEN format(' (%I)', column_name) END, object_id::regclass)
		WHEN 'pg_proc'::regclass THEN format('%s ON ROUTINE %s', privilege, object_id::regprocedure)
		ELSE format('%s ON SCHEMA %s', privilege, object_id::regnamespace) END
$$;
COMMENT ON FUNCTION facematch_internal.access_clause(regclass, oid, name, text) IS 'a privilege as GRANT and REVOKE write it, quoted';

CREATE FUNCTION facematch_internal.apply_access(role_name text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	role oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = apply_access.role_name);
	given record;
BEGIN
	IF role IS NULL THEN
		RAISE WARNING 'role % does not exist: it is granted nothing', quote_ident(role_name)
			USING HINT = 'CREATE ROLE and SELECT facematch_internal.renew_access(), or DELETE its row of facematch_internal.access_grant.';
		RETURN;
	END IF;
	FOR given IN
		SELECT DISTINCT facematch_internal.access_clause(e.object_class, e.object_id, e.column_name, e.privilege) AS clause
		FROM facematch_internal.access_grant g JOIN facematch_internal.expected_access() e USING (kind) WHERE g.role_name = apply_access.role_name
		EXCEPT
		SELECT facematch_internal.access_clause(a.object_class, a.object_id, a.column_name, a.privilege) FROM facematch_internal.actual_access() a WHERE a.role_id = role
		ORDER BY 1
	LOOP
		EXECUTE format('GRANT %s TO %I', given.clause, role_name);
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch_internal.apply_access(text) IS 'grants a recorded role what the list gives its kinds and it has not; a role that does not exist is warned of';

CREATE FUNCTION facematch_internal.access_recorded() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM facematch_internal.apply_access(NEW.role_name);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.access_recorded() IS 'trigger: a recorded role has what its kind gives';

-- Deferred: what is granted while an extension script runs would count as the extension's own, and no dump would have it.
CREATE CONSTRAINT TRIGGER access_grant_10_recorded AFTER INSERT OR UPDATE ON facematch_internal.access_grant
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION facematch_internal.access_recorded();
ALTER TABLE facematch_internal.access_grant ENABLE ALWAYS TRIGGER access_grant_10_recorded;

CREATE FUNCTION facematch_internal.renew_access() RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	roles bigint;
BEGIN
	UPDATE facematch_internal.access_grant g SET role_name = g.role_name;
	GET DIAGNOSTICS roles = ROW_COUNT;
	RETURN roles;
END
$$;
COMMENT ON FUNCTION facematch_internal.renew_access() IS
	'brings the grants of all recorded roles up to facematch_internal.access_right when the transaction commits: after an upgrade, or a change of the list. Returns how many records there are';

---------------------------------------------------------------- granting

-- What would make a role's limits worthless.
CREATE FUNCTION facematch_internal.role_powers(role oid) RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT p.power FROM pg_roles r, LATERAL (VALUES
		(r.rolsuper, 'is a superuser'), (r.rolreplication, 'may replicate the whole cluster'),
		(r.rolbypassrls, 'bypasses row security'), (r.rolcreaterole, 'may make itself a member of other roles')) p (has, power)
	WHERE r.oid = $1 AND p.has
	UNION ALL
	SELECT format('is a member of %I', m.rolname) FROM pg_roles r, pg_roles m
	WHERE r.oid = $1 AND NOT r.rolsuper AND m.oid <> r.oid AND pg_has_role(r.oid, m.oid, 'MEMBER')
	  AND (m.rolname IN ('pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program',
						 'pg_read_all_stats', 'pg_monitor', 'pg_maintain', 'pg_create_subscription')
		   OR m.rolsuper OR m.rolreplication OR m.rolbypassrls OR m.rolcreaterole)
	UNION ALL
	SELECT format('may act as %I, which owns the tables', o.rolname) FROM pg_roles r, pg_class c JOIN pg_roles o ON o.oid = c.relowner
	WHERE r.oid = $1 AND NOT r.rolsuper AND NOT o.rolsuper AND c.oid = 'facematch.reference'::regclass AND pg_has_role(r.oid, o.oid, 'MEMBER')
$$;
COMMENT ON FUNCTION facematch_internal.role_powers(oid) IS 'attributes and memberships of a role that go round everything granted here; none: no row';

CREATE FUNCTION facematch_internal.give_access(role regrole, kind text, partner text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wanted text := (SELECT r.rolname FROM pg_roles r WHERE r.oid = give_access.role);
	power text;
	other facematch_internal.access_grant;
BEGIN
	IF wanted IS NULL OR starts_with(wanted, 'pg_') THEN
		RAISE undefined_object USING
			MESSAGE = 'there is no such role to grant to',
			HINT = 'CREATE ROLE it first; PUBLIC and the roles of PostgreSQL are none.';
	END IF;
	SELECT p INTO power FROM facematch_internal.role_powers(role) p LIMIT 1;
	IF power IS NOT NULL THEN
		RAISE invalid_grant_operation USING
			MESSAGE = format('role %I %s', wanted, power),
			DETAIL = format('As %s its limits would mean nothing.', kind),
			HINT = 'Take that away from it, or grant to another role.';
	END IF;
	-- A partner that is something else as well, or whose role a colleague of another kind may take, gets more than answers.
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
		RAISE invalid_grant_operation USING
			MESSAGE = format('role %I would be %s and, as or through role %I, %s', wanted, kind, other.role_name,
							 concat_ws(' of ', other.kind, other.partner)),
			HINT = 'A partner''s role is nothing else, and of one partner only.';
	END IF;
	INSERT INTO facematch_internal.access_grant (role_name, kind, partner) VALUES (wanted, give_access.kind, give_access.partner)
	ON CONFLICT ON CONSTRAINT access_grant_pkey DO UPDATE SET partner = excluded.partner, granted_at = excluded.granted_at, granted_by = excluded.granted_by;
	PERFORM facematch_internal.apply_access(wanted);
	PERFORM facematch_internal.write_audit('access_granted', jsonb_strip_nulls(jsonb_build_object('role', wanted, 'kind', kind, 'partner', partner)));
END
$$;
COMMENT ON FUNCTION facematch_internal.give_access(regrole, text, text) IS 'makes a role one of a kind: refuses (0LP01) what would make limits worthless, records, grants, logs';

CREATE FUNCTION facematch.grant_operator(role regrole) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT facematch_internal.give_access($1, 'operator', NULL)
$$;
COMMENT ON FUNCTION facematch.grant_operator(regrole) IS
	'makes an existing role an operator: matching, manifests, opt-outs; no template, rule, hold or threshold. Recorded and logged. Superusers and other roles that no grant limits, and partners: 0LP01; no such role: 42704';

CREATE FUNCTION facematch.grant_auditor(role regrole) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT facematch_internal.give_access($1, 'auditor', NULL)
$$;
COMMENT ON FUNCTION facematch.grant_auditor(regrole) IS
	'makes an existing role an auditor: reports, rules, receipts, disclosures, the log; reads only. Recorded and logged. Errors as grant_operator()';

CREATE FUNCTION facematch.grant_template_reader(role regrole) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT facematch_internal.give_access($1, 'template_reader', NULL)
$$;
COMMENT ON FUNCTION facematch.grant_template_reader(regrole) IS
	'lets an existing role read the templates of whole galleries, each time after facematch.announce_template_reading(), which is logged. Recorded and logged. Errors as grant_operator()';

CREATE FUNCTION facematch.revoke_access(role regrole) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kinds text[];
	had record;
	found_one boolean := false;
BEGIN
	FOR had IN
		SELECT DISTINCT facematch_internal.access_clause(a.object_class, a.object_id, a.column_name, a.privilege) AS clause
		FROM facematch_internal.actual_access() a WHERE a.role_id = role ORDER BY 1
	LOOP
		EXECUTE format('REVOKE %s FROM %s CASCADE', had.clause, role);
		found_one := true;
	END LOOP;
	WITH gone AS (
		DELETE FROM facematch_internal.access_grant g USING pg_roles r WHERE r.oid = role AND g.role_name = r.rolname RETURNING g.kind)
	SELECT array_agg(gone.kind ORDER BY gone.kind) INTO kinds FROM gone;
	IF kinds IS NULL AND NOT found_one THEN
		RETURN false;
	END IF;
	PERFORM facematch_internal.write_audit('access_revoked', jsonb_build_object('role', (SELECT r.rolname FROM pg_roles r WHERE r.oid = role), 'kinds', coalesce(to_jsonb(kinds), '[]')));
	RETURN true;
END
$$;
COMMENT ON FUNCTION facematch.revoke_access(regrole) IS
	'takes from a role all that it was granted on schema facematch, by these functions or by hand; logged. Whether there was anything. Sessions that are open lose it with their next statement';

---------------------------------------------------------------- what goes beyond the list

CREATE FUNCTION facematch_internal.access_findings() RETURNS TABLE (severity text, object text, finding text, remedy text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH granted AS (
		SELECT r.oid AS role, g.role_name, g.kind, g.partner FROM facematch_internal.access_grant g LEFT JOIN pg_roles r ON r.rolname = g.role_name),
	expected AS (
		SELECT DISTINCT g.role, e.object_class, e.object_id, e.column_name, e.privilege FROM granted g JOIN facematch_internal.expected_access() e USING (kind)
		UNION SELECT 0, e.object_class, e.object_id, e.column_name, e.privilege FROM facematch_internal.expected_access() e WHERE e.kind = 'everyone'),
	actual AS (SELECT a.* FROM facematch_internal.actual_access() a)
	SELECT 'warning', format('role %I', g.role_name), format('is recorded as %s and does not exist', g.kind),
		   'CREATE ROLE and SELECT facematch_internal.renew_access(), or DELETE its row of facematch_internal.access_grant'
	FROM granted g WHERE g.role IS NULL
	UNION ALL
	SELECT 'error', format('role %I', g.role_name), format('is recorded as %s and %s', g.kind, p), 'its limits mean nothing: take that away, or facematch.revoke_access()'
	FROM granted g, facematch_internal.role_powers(g.role) p
	UNION ALL
	SELECT DISTINCT 'error', format('role %I', g.role_name), format('is recorded as %s and may act as role %I, which is %s', g.kind, o.role_name, concat_ws(' of ', o.kind, o.partner)),
		   'REVOKE the membership, or facematch.revoke_access()'
	FROM granted g JOIN granted o ON o.role_name <> g.role_name AND (g.kind = 'partner' OR o.kind = 'partner') AND g.partner IS DISTINCT FROM o.partner
	WHERE pg_has_role(g.role, o.role, 'MEMBER')
	UNION ALL
	SELECT 'warning', format('role %I', r.rolname), 'lacks ' || facematch_internal.access_clause(e.object_class, e.object_id, e.column_name, e.privilege), 'SELECT facematch_internal.renew_access()'
	FROM expected e JOIN pg_roles r ON r.oid = e.role
	WHERE NOT EXISTS (SELECT FROM actual a WHERE a.role_id = e.role AND a.object_id = e.object_id AND a.object_class = e.object_class
					  AND a.privilege = e.privilege AND (a.column_name IS NULL OR a.column_name = e.column_name))
	UNION ALL
	SELECT CASE WHEN a.role_id = 0 THEN 'error' ELSE 'warning' END, CASE WHEN a.role_id = 0 THEN 'PUBLIC' ELSE format('role %I', coalesce(r.rolname, a.role_id::text)) END,
		   'has ' || facematch_internal.access_clause(a.object_class, a.object_id, a.column_name, a.privilege) || ', which no record gives it',
		   format('REVOKE %s FROM %s', facematch_internal.access_clause(a.object_class, a.object_id, a.column_name, a.privilege), coalesce(quote_ident(r.rolname), 'PUBLIC'))
	FROM actual a LEFT JOIN pg_roles r ON r.oid = a.role_id
	WHERE (a.role_id = 0 OR a.role_id IN (SELECT g.role FROM granted g))
	  AND NOT EXISTS (SELECT FROM expected e WHERE e.role = a.role_id AND e.object_id = a.object_id AND e.object_class = a.object_class
					  AND e.privilege = a.privilege AND (e.column_name IS NULL OR e.column_name = a.column_name))
	UNION ALL
	SELECT 'warning', format('role %I', r.rolname), format('reads the templates of %s unlogged', t.table_name),
		   'grant columns other than the template, or facematch.grant_template_reader()'
	FROM facematch_internal.retained t JOIN pg_class c ON c.oid = t.table_name
	JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = t.template_column AND NOT a.attisdropped
	CROSS JOIN pg_roles r
	WHERE NOT r.rolsuper AND NOT starts_with(r.rolname, 'pg_') AND NOT pg_has_role(r.oid, c.relowner, 'MEMBER')
	  AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')
	UNION ALL
	SELECT 'warning', format('gallery %s', g.name), format('its threshold is %s: everybody is a candidate, and scores of enough probes tell a template', g.min_similarity),
		   'choose min_similarity for a false match rate of the model'
	FROM facematch.gallery g WHERE g.min_similarity <= 0
	UNION ALL
	SELECT 'warning', format('shard %s', s.name), format('its threshold is %s: everybody whose gallery has none above it is a candidate, and scores of enough probes tell a template', s.min_similarity),
		   'choose min_similarity for a false match rate of the models, and no lower than its galleries'''
	FROM facematch.shard s WHERE s.min_similarity <= 0
	UNION ALL
	SELECT 'warning', format('shard %s', s.name), 'has no gallery_table: the thresholds of its galleries are not known, and operators cannot search', 'import facematch.shard_gallery of the shard'
	FROM facematch.shard s WHERE s.gallery_table IS NULL
	ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION facematch_internal.access_findings() IS
	'grants that go beyond facematch_internal.access_right, and roles whose attributes or memberships do; part of facematch.health_check()';


/*
 * A change of the list of rights is logged, of the shipped lines as well: they
 * are all there by now.
 */
CREATE TRIGGER access_right_10_log AFTER UPDATE OR DELETE ON facematch_internal.access_right
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.log_row('right', 'kind,object_kind,object_name,privilege', 'kind,object_kind,object_name,privilege,columns,shipped', 'added,changed,deleted');
CREATE TRIGGER access_right_20_added_log AFTER INSERT ON facematch_internal.access_right
	FOR EACH ROW WHEN (facematch_internal.log_has_begun())
	EXECUTE FUNCTION facematch_internal.log_row('right', 'kind,object_kind,object_name,privilege', 'kind,object_kind,object_name,privilege,columns,shipped', 'added,changed,deleted');
