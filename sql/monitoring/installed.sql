/*
 * The last part: settings that apply to every object of the extension, whichever part
 * made it. A function that an upgrade replaced has lost its settings, and PUBLIC may
 * execute a new one: so upgrade scripts also end with the statements of this part.
 */

-- A change of the list of rights is logged; what the extension ships is all there by now.
SELECT facematch_internal.keep_as_record('facematch_internal.access_right', changes => true, log => ARRAY['right',
	'kind,object_kind,object_name,privilege', 'kind,object_kind,object_name,privilege,columns,shipped',
		'added,changed,deleted']);

INSERT INTO facematch_internal.expected_part (table_name, kind, name, definition, function, type, always)
SELECT p.table_name, p.kind, p.name, p.definition, g.tgfoid::pg_catalog.regproc, g.tgtype, g.tgenabled = 'A'
FROM facematch_internal.table_part p
LEFT JOIN pg_catalog.pg_trigger g ON p.kind = 'trigger' AND g.tgrelid = p.table_name AND g.tgname = p.name;

INSERT INTO facematch_internal.expected_row (about, row)
SELECT l.about, l.row FROM facematch_internal.logged_rows() l;

CREATE FUNCTION facematch.reinstate() RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	statements text[];
	statement text;
BEGIN
	-- All of them first: a table that is being read is not altered.
	statements := ARRAY(
		-- PUBLIC has what the list gives everyone.
		(SELECT format('REVOKE %s FROM PUBLIC', a.clause) FROM facematch_internal.actual_access a WHERE a.role_id = 0
		 EXCEPT SELECT format('REVOKE %s FROM PUBLIC', e.clause) FROM facematch_internal.expected_access e
			WHERE e.kind = 'everyone')
		UNION ALL
		(SELECT format('GRANT %s TO PUBLIC', e.clause) FROM facematch_internal.expected_access e WHERE e.kind = 'everyone'
		 EXCEPT SELECT format('GRANT %s TO PUBLIC', a.clause) FROM facematch_internal.actual_access a WHERE a.role_id = 0)
		UNION ALL
		-- Plans of its statements, with templates and pseudonyms as constants, would otherwise go to the client that
		-- asked for them.
		SELECT format('ALTER ROUTINE %s SET debug_print_plan = off', p.oid::regprocedure) FROM pg_proc p
		WHERE p.pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND p.prosecdef
			AND p.prokind = 'f'
		  AND NOT coalesce('debug_print_plan=off' = ANY (p.proconfig), false)
		UNION ALL
		-- A condition of the reader's must not see rows that the view leaves out.
		SELECT format('ALTER VIEW %s SET (security_barrier = true)', c.oid::regclass) FROM pg_class c
		WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND c.relkind = 'v'
		  AND NOT coalesce('security_barrier=true' = ANY (c.reloptions), false)
		UNION ALL
		SELECT concat_ws('; ',
				CASE WHEN g.oid IS NOT NULL AND f.changed THEN format('DROP TRIGGER %I ON %s', e.name, e.table_name) END,
				CASE WHEN f.changed THEN e.definition END,
				format('ALTER TABLE %s ENABLE%s TRIGGER %I', e.table_name, CASE WHEN e.always THEN ' ALWAYS' END, e.name))
		FROM facematch_internal.expected_part e LEFT JOIN pg_trigger g ON g.tgrelid = e.table_name AND g.tgname = e.name
		CROSS JOIN LATERAL (SELECT g.oid IS NULL OR g.tgfoid::regproc::text <> e.function OR g.tgtype <> e.type AS changed) f
		WHERE e.kind = 'trigger' AND (f.changed OR g.tgenabled <> CASE WHEN e.always THEN 'A' ELSE 'O' END)
		UNION ALL
		SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', g.tgrelid::regclass, g.tgname)
		FROM facematch.attached a CROSS JOIN LATERAL facematch_internal.with_heirs(a.table_name) h
		JOIN pg_trigger g ON g.tgrelid = h.relation AND g.tgname IN ('facematch_20_guard', 'facematch_40_truncate',
			'facematch_70_deleted') AND g.tgenabled <> 'A'
		UNION ALL
		SELECT format('ALTER TABLE %s %s TRIGGER %I', k.table_name, CASE WHEN k.guarded THEN 'DISABLE' ELSE 'ENABLE' END,
			k.trigger_name)
		FROM facematch_internal.foreign_key_trigger k WHERE k.disabled <> k.guarded);
	FOREACH statement IN ARRAY statements LOOP
		EXECUTE statement;
	END LOOP;
	-- The grants of recorded roles follow at the commit (apply_access()).
	UPDATE facematch_internal.access_grant g SET role_name = g.role_name;
	RETURN cardinality(statements);
END
$$;
COMMENT ON FUNCTION facematch.reinstate() IS
	'restores what the installation made and somebody has changed: the privileges of PUBLIC, plans that are not '
	'printed, security_barrier of views, triggers; and, at the commit, the grants of all recorded roles. Returns '
	'how many objects it repaired, not counting grants. For extension scripts, and when facematch.health_check() '
	'says so';

SELECT facematch.reinstate();
