/*
 * Health check: privileges, compared with the list. It reads PostgreSQL's own grants,
 * so it also names privileges that were granted by hand to roles that facematch never
 * recorded.
 */

CREATE TYPE facematch_internal.finding AS (severity text, finding text, object text, remedy text);
COMMENT ON TYPE facematch_internal.finding IS
	'something that weakens the guarantees: severity is error, warning or notice, finding the cause, object what '
	'it is about, remedy the command that repairs it; facematch.health_check() makes one row of all with the same '
	'cause';

CREATE VIEW facematch_internal.access_findings (severity, finding, object, remedy) AS
	WITH granted AS (
		SELECT r.oid AS role, g.role_name, g.kind, g.partner
		FROM facematch_internal.access_grant g LEFT JOIN pg_roles r ON r.rolname = g.role_name
	), again AS (
		-- Not every kind has a function, and none of the site's own.
		SELECT g.role, string_agg(CASE WHEN to_regproc('facematch.grant_' || k.name) IS NOT NULL
			THEN format(', facematch.grant_%s(%L%s)', g.kind, quote_ident(g.role_name), ', ' || quote_literal(g.partner))
			ELSE format(', facematch_internal.give_access(%L, %L, NULL)', quote_ident(g.role_name), g.kind) END, '') AS calls
		FROM granted g JOIN facematch_internal.access_kind k ON k.name = g.kind GROUP BY g.role
	), shipped AS MATERIALIZED (
		-- What the extension's script granted to roles of PostgreSQL, and to PUBLIC; PostgreSQL notes what differs from the
		-- default.
		SELECT a.grantee AS role, format('%s ON ROUTINE %s', a.privilege_type, p.oid::regprocedure) AS clause
		FROM pg_extension x JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid
			AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
		JOIN pg_proc p ON p.oid = d.objid
		LEFT JOIN pg_init_privs i ON (i.classoid, i.objoid, i.privtype) = (d.classid, d.objid, 'e')
		CROSS JOIN LATERAL aclexplode(coalesce(i.initprivs, acldefault('f', p.proowner))) a
		WHERE x.extname = 'facematch'
	), expected AS MATERIALIZED (
		SELECT DISTINCT g.role, e.clause, e.whole FROM granted g JOIN facematch_internal.expected_access e USING (kind)
		UNION
		-- The list alone is not believed: whoever may write it can call a line of his own shipped.
		SELECT 0, e.clause, e.whole FROM facematch_internal.expected_access e JOIN shipped s ON s.role = 0
			AND s.clause = e.clause
		WHERE e.kind = 'everyone'
	), actual AS MATERIALIZED (
		SELECT a.role_id AS role, a.clause, a.whole FROM facematch_internal.actual_access a
	), published AS (
		-- A role that may replicate is sent by a subscription all that is published; SELECT is for the first copy of it.
		SELECT format('SELECT ON TABLE %I.%I', t.schemaname, t.tablename) AS clause
		FROM pg_publication_tables t WHERE t.pubname ~ '^facematch_[0-9a-f]{16}_[0-9a-f]{32}$'
	), beyond AS (
		SELECT a.role, coalesce(r.rolname, 'PUBLIC') AS name, count(*) AS n,
			   bool_or(a.role = 0 OR a.clause !~ '^(SELECT|EXECUTE|USAGE|REFERENCES)') AS writes,
			   array_agg(a.clause ORDER BY a.clause ~ '^(SELECT|EXECUTE)', a.clause) AS clauses
		FROM actual a LEFT JOIN pg_roles r ON r.oid = a.role
		WHERE r.rolsuper IS NOT TRUE
		  -- A user whose table has checks that call the extension's functions needs the schema; it reveals nothing.
		  AND (a.role = 0 OR a.clause !~ '^USAGE ON SCHEMA ')
		  AND NOT EXISTS (SELECT FROM expected e WHERE e.role = a.role AND e.clause IN (a.clause, a.whole))
		  AND NOT EXISTS (SELECT FROM shipped s WHERE s.role = a.role AND s.role <> 0 AND s.clause = a.clause)
		  AND NOT (r.rolreplication IS TRUE AND EXISTS (SELECT FROM published p WHERE p.clause = a.clause))
		GROUP BY a.role, r.rolname
	), lacking AS (
		SELECT r.rolname AS name, count(*) AS n, array_agg(e.clause ORDER BY e.clause) AS clauses
		FROM expected e JOIN pg_roles r ON r.oid = e.role
		WHERE NOT EXISTS (SELECT FROM actual a WHERE a.role = e.role AND a.clause IN (e.clause, e.whole))
		GROUP BY r.rolname
	)
	SELECT CASE WHEN b.writes THEN 'error' ELSE 'warning' END, 'the role has privileges that no record grants',
		   format('%s (%s%s)', CASE WHEN b.role = 0 THEN 'PUBLIC' ELSE format('role %I', b.name) END,
			array_to_string(b.clauses[1:3], ', '),
				  CASE WHEN b.n > 3 THEN format(', and %s more', b.n - 3) END),
		   CASE WHEN b.role = 0 THEN concat(CASE WHEN EXISTS (SELECT FROM facematch_internal.expected_access e
					WHERE e.kind = 'everyone' AND e.clause = ANY (b.clauses))
				THEN 'DELETE these lines of kind everyone from facematch_internal.access_right, and ' END,
				'SELECT facematch.reinstate()')
				ELSE format('SELECT facematch.revoke_access(%L)%s', quote_ident(b.name), g.calls) END
	FROM beyond b LEFT JOIN again g ON g.role = b.role
	UNION ALL
	SELECT 'warning', 'the role lacks privileges that its record grants',
		   format('role %I (%s%s)', l.name, array_to_string(l.clauses[1:3], ', '), CASE WHEN l.n > 3
			THEN format(', and %s more', l.n - 3) END),
		   'SELECT facematch.reinstate()'
	FROM lacking l
	UNION ALL
	SELECT 'warning', 'a line of the list of privileges gives nothing: there is no such object',
		format('%s ON %s %s (%s)', a.privilege, a.object_kind, a.object_name, a.kind),
		'UPDATE facematch_internal.access_right SET object_name, to the name without its schema'
	FROM facematch_internal.access_right a
	WHERE NOT EXISTS (
		SELECT FROM pg_class c WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
			AND a.object_kind = 'table'
			AND (c.relname = a.object_name OR a.object_name LIKE '%*' AND starts_with(c.relname, rtrim(a.object_name, '*')))
		UNION ALL
		SELECT FROM pg_proc p WHERE p.pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
			AND a.object_kind = 'function'
			AND (p.proname = a.object_name OR a.object_name LIKE '%*' AND starts_with(p.proname, rtrim(a.object_name, '*'))))
	UNION ALL
	SELECT 'warning', format('the role is recorded as %s and does not exist: it was dropped or renamed', g.kind),
		format('role %I', g.role_name),
		   format('DELETE FROM facematch_internal.access_grant WHERE role_name = %L; or create the role and SELECT'
			' facematch.reinstate()', g.role_name)
	FROM granted g WHERE g.role IS NULL
	UNION ALL
	SELECT 'error', format('the role is recorded as %s and %s: its limits have no effect', g.kind, p.power),
		format('role %I', g.role_name),
		   format('revoke that, or SELECT facematch.revoke_access(%L)', quote_ident(g.role_name))
	FROM granted g JOIN facematch_internal.role_power p ON p.role_id = g.role
	UNION ALL
	SELECT DISTINCT 'error', format('the role is recorded as %s and may act as role %I, which is %s',
		g.kind, o.role_name,
		concat_ws(' of ', o.kind, o.partner)),
		   format('role %I', g.role_name), format('REVOKE %I FROM %I', o.role_name, g.role_name)
	FROM granted g JOIN granted o ON o.role_name <> g.role_name AND (g.kind = 'partner' OR o.kind = 'partner')
		AND g.partner IS DISTINCT FROM o.partner
	WHERE pg_has_role(g.role, o.role, 'MEMBER')
	UNION ALL
	SELECT 'warning', w.does, format('role %I', r.rolname), format('REVOKE %s FROM %I, or from the role through which it'
		' is a member', w.power, r.rolname)
	FROM pg_roles r JOIN facematch_internal.role_power p ON p.role_id = r.oid
	JOIN (VALUES ('pg_read_all_data', 'the role reads every table, templates included, and no log records it: it is a'
		' member of pg_read_all_data'),
				 ('pg_write_all_data', 'the role writes every table, rules and the log included: it is a member of'
					' pg_write_all_data'),
				 ('pg_read_server_files', 'the role reads the server''s files, templates included: it is a member of'
					' pg_read_server_files'),
				 ('pg_write_server_files', 'the role writes the server''s files: it is a member of pg_write_server_files'),
				 ('pg_execute_server_program', 'the role runs programs as the server''s user: it is a member of'
					' pg_execute_server_program')) w
					(power, does)
		ON p.power = format('is a member of %I', w.power)
	WHERE NOT starts_with(r.rolname, 'pg_') AND NOT EXISTS (SELECT FROM granted g WHERE g.role = r.oid)
	UNION ALL
	SELECT 'error', 'the role may set a parameter for superusers: it can avoid triggers, the record of searches,'
		' limits of attempts or the purge',
		   format('%s (%s)', CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE format('role %I', r.rolname) END, p.parname),
		   format('REVOKE ALL ON PARAMETER %s FROM %s', p.parname, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE
			   quote_ident(r.rolname) END)
	FROM pg_parameter_acl p CROSS JOIN LATERAL (SELECT DISTINCT x.grantee FROM aclexplode(p.paracl) x) a
	LEFT JOIN pg_roles r ON r.oid = a.grantee
	WHERE r.rolsuper IS NOT TRUE AND (starts_with(p.parname, 'facematch.') OR p.parname IN ('session_replication_role',
		'event_triggers', 'allow_system_table_mods', 'session_preload_libraries', 'shared_preload_libraries',
		'dynamic_library_path', 'jit_provider', 'archive_command', 'archive_library', 'archive_cleanup_command',
		'restore_command', 'recovery_end_command', 'ssl_passphrase_command'))
	UNION ALL
	SELECT 'warning', 'the role reads templates, and no log records it', format('role %I (%s)', r.rolname, t.table_name),
		   'GRANT SELECT on the other columns only, or SELECT facematch.grant_template_reader()'
	FROM facematch_internal.retained t JOIN pg_class c ON c.oid = t.table_name
	JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = t.template_column AND NOT a.attisdropped
	CROSS JOIN pg_roles r
	WHERE NOT r.rolsuper AND NOT starts_with(r.rolname, 'pg_') AND NOT pg_has_role(r.oid, c.relowner, 'MEMBER')
	  AND NOT pg_has_role(r.oid, 'pg_read_all_data', 'USAGE') AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')
	  -- A coordinator is for that. What a line of the site's own gives, to it or to another kind, is found.
	  AND NOT (t.table_name = 'facematch.reference'::regclass
		AND EXISTS (SELECT FROM granted g WHERE g.role = r.oid AND g.kind = 'coordinator'))
	UNION ALL
	SELECT 'warning', 'the role sees due rows: it ' || CASE WHEN r.rolbypassrls THEN 'bypasses row security'
		ELSE 'owns tables under retention' END,
		   format('role %I', r.rolname), 'let applications connect as another role'
	FROM pg_roles r
	WHERE r.rolcanlogin AND NOT r.rolsuper
	  AND (r.rolbypassrls OR EXISTS (SELECT FROM facematch_internal.retained t JOIN pg_class c ON c.oid = t.table_name
									 WHERE pg_has_role(r.oid, c.relowner, 'MEMBER')))
	UNION ALL
	SELECT 'warning', 'the threshold is 0 or less: every reference is a candidate, and the scores of enough probes'
		' reveal a template',
		   format('gallery %s (%s)', g.name, g.min_similarity), 'set min_similarity to the threshold of a false match'
			' rate of the model'
	FROM facematch.gallery g WHERE g.min_similarity <= 0
	UNION ALL
	SELECT 'warning', 'the threshold is 0 or less: every reference of a gallery without a higher threshold is a'
		' candidate, and the scores of enough probes reveal a template',
		   format('shard %s (%s)', s.name, s.min_similarity), 'set min_similarity to the threshold of a false match'
			' rate, and not below those of its galleries'
	FROM facematch.shard s WHERE s.min_similarity <= 0
	UNION ALL
	SELECT 'warning', 'the shard has no gallery_table: the thresholds of its galleries are unknown, and operators'
		' cannot search',
		   format('shard %s', s.name), 'import facematch.shard_gallery of the shard'
	FROM facematch.shard s WHERE s.gallery_table IS NULL
	UNION ALL
	SELECT 'error', 'the setting is off: searches are not recorded, and searches near one person are not limited',
		s.object,
		   s.remedy
	FROM (SELECT 'facematch.account_searches' AS object, 'ALTER SYSTEM RESET facematch.account_searches, and reset it'
		' wherever else it is set' AS remedy
		  WHERE current_setting('facematch.account_searches', true) = 'off'
		  UNION ALL
		  SELECT concat_ws(' of ', 'facematch.account_searches', 'role ' || quote_ident(r.rolname),
				'database ' || quote_ident(d.datname)), 'ALTER ROLE or ALTER DATABASE ... RESET facematch.account_searches'
		  FROM pg_db_role_setting t LEFT JOIN pg_roles r ON r.oid = t.setrole LEFT JOIN pg_database d
		      ON d.oid = t.setdatabase
		  CROSS JOIN LATERAL unnest(t.setconfig) c
		  WHERE c ~ '^facematch\.account_searches=' AND NOT split_part(c, '=', 2)::boolean
			AND (d.datname IS NULL OR d.datname = current_database())) s
	UNION ALL
	-- An attempt to reconstruct a template needs many similar probes.
	SELECT 'warning', format('the role reached, or nearly reached, the limit of searches near one person (%s a day):'
		' it sends many similar probes',
			current_setting('facematch.attempts_per_day', true)),
		   format('%s (persons: %s, searches near one: at most %s)', n.role_name, count(*), max(n.attempts)),
		   'SELECT * FROM facematch.report_search, and ask for the purpose'
	FROM (SELECT a.role_name, count(*) AS attempts FROM facematch_internal.attempt a
		  WHERE a.attempted_at > clock_timestamp() - interval '1 day' GROUP BY a.role_name, a.subject_id) n
	WHERE n.attempts >= 0.8 * current_setting('facematch.attempts_per_day', true)::integer
	GROUP BY n.role_name
	UNION ALL
	SELECT 'warning', format('all roles together reached, or nearly reached, a limit of searches near one person (%s a'
		' week): many similar probes were sent', current_setting('facematch.attempts_per_week', true)),
		   format('persons: %s, searches near one: at most %s', count(*), max(n.attempts)),
		       'SELECT * FROM facematch.report_search, and ask for the purpose'
	-- Misses have a limit of their own, which comes sooner. Only limits of a week withhold a person for more than a day.
	FROM (SELECT count(*) AS attempts, bool_or(a.withheld_until > clock_timestamp() + interval '1 day') AS withheld
		  FROM facematch_internal.attempt a
		  WHERE a.attempted_at > clock_timestamp() - interval '7 days' GROUP BY a.subject_id) n
	WHERE n.attempts >= 0.8 * current_setting('facematch.attempts_per_week', true)::integer OR n.withheld
	HAVING count(*) > 0;
COMMENT ON VIEW facematch_internal.access_findings IS
	'privileges of any role beyond facematch_internal.access_right, roles whose attributes or memberships go '
	'beyond it, and thresholds that reveal everything; part of facematch.health_check()';
COMMENT ON COLUMN facematch_internal.access_findings.severity IS 'error, warning or notice';
COMMENT ON COLUMN facematch_internal.access_findings.finding IS 'the cause';
COMMENT ON COLUMN facematch_internal.access_findings.object IS 'what it is about';
COMMENT ON COLUMN facematch_internal.access_findings.remedy IS 'the command that repairs it';
