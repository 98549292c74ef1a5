/*
 * Health check: tables under retention, their rows, and the rules.
 */

CREATE FUNCTION facematch_internal.retention_findings() RETURNS SETOF facematch_internal.finding
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	t facematch_internal.retained_now;
	overdue bigint;
	longest interval;
	declined bigint;
	late bigint;
	endless bigint;
	first_late text;
	s record;
	least_time numeric;
	hinders boolean;
	table_timeout text;
BEGIN
	-- Tables.
	RETURN QUERY
	WITH member AS MATERIALIZED (
		SELECT r.table_name, r.what, h.relation, c.relkind, c.relpersistence, c.relispartition, c.relowner, c.relacl,
			   r.what <> 'gallery' AND NOT (c.relrowsecurity AND EXISTS (
					SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'facematch_due'
						AND NOT p.polpermissive)) AS shows_due
		FROM facematch_internal.retained r CROSS JOIN LATERAL facematch_internal.with_heirs(r.table_name) h
		JOIN pg_class c ON c.oid = h.relation
	), kinds AS MATERIALIZED (
		SELECT y.type FROM facematch_internal.template_types(ARRAY(
			SELECT DISTINCT a.atttypid FROM pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped), false) y
	)
	SELECT 'error', 'row security does not hide due rows', m.relation::text,
		   format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY; the policy is facematch_due', m.relation)
	FROM member m WHERE m.shows_due AND m.relation = m.table_name
	UNION ALL
	-- 1 is a trigger for each row, 2 one before it, 4 for insertions, 16 for updates.
	SELECT 'error', 'a trigger fires after the guard and may undo its changes',
		format('%s on %s', g.tgname, m.relation),
		   format('ALTER TRIGGER %I ON %s RENAME TO a name that sorts before %I', g.tgname, m.relation,
			k.tgname)
	-- A partition has triggers of its own beside those of its table.
	FROM member m JOIN pg_trigger g ON g.tgrelid = m.relation AND g.tgtype & 3 = 3 AND g.tgtype & 20 <> 0
		AND NOT g.tgisinternal AND g.tgparentid = 0
	JOIN pg_proc p ON p.oid = g.tgfoid
	JOIN pg_trigger k ON k.tgrelid = g.tgrelid AND k.tgfoid = 'facematch_internal.guard'::regproc AND k.tgtype & 2 <> 0
		AND k.tgname < g.tgname
	WHERE p.pronamespace NOT IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
	UNION ALL
	SELECT 'error', CASE c.relkind WHEN 'v' THEN 'the table has become a view'
		ELSE 'the table has rewrite rules, which may prevent the purge from deleting its rows' END, m.table_name::text,
		   'DROP RULE, or call facematch.release() and facematch.retain() for the table'
	FROM member m JOIN pg_class c ON c.oid = m.table_name
	WHERE m.relation = m.table_name AND (c.relkind NOT IN ('r', 'p')
		OR EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid))
	UNION ALL
	SELECT 'error', format('a trigger or constraint of %s is initially deferred, and the owner is no superuser: rows'
		' that it fires for can neither be purged nor get another deadline', a.table_name),
		format('%I on %s', d.name, d.relation), d.remedy
	FROM facematch.attached a CROSS JOIN LATERAL facematch_internal.deferred_triggers(a.table_name) d
	UNION ALL
	-- Code of one would run with the privileges of another (src/base/named.c).  2 and 64 are triggers that are not AFTER
	-- ones, 28 those for rows that come, change or go.
	SELECT 'error', format('foreign keys lead to the %s from %s, whose owner''s privileges it would have: no rows are'
		' purged there, nor given another deadline', lower(code.kind), a.table_name),
		format('%I on %s', code.name, h.relation),
		format('DROP %s %I ON %s; BEFORE triggers run as that table''s owner', code.kind, code.name, h.relation)
	FROM facematch_internal.retained_now a CROSS JOIN LATERAL
		facematch_internal.with_heirs(a.table_name, and_referring => true) h
	JOIN pg_class c ON c.oid = h.relation JOIN pg_roles o ON o.oid = c.relowner AND NOT o.rolsuper
	CROSS JOIN LATERAL (
		SELECT 'TRIGGER' AS kind, g.tgname AS name FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
		WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 66 = 0 AND g.tgtype & 28 <> 0
		  AND p.pronamespace NOT IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
		UNION ALL
		SELECT 'RULE', w.rulename FROM pg_rewrite w WHERE w.ev_class = c.oid) code
	WHERE c.relowner NOT IN (SELECT k.relowner FROM facematch_internal.with_heirs(a.table_name, and_parents => true) x
		JOIN pg_class k ON k.oid = x.relation)
	UNION ALL
	SELECT 'error', 'the table, its partitions and parents belong to several roles that are not superusers: opt-outs and'
		' new deadlines may not reach its rows', a.table_name::text,
		format('ALTER TABLE ... OWNER TO one of %s', o.names)
	FROM facematch.attached a CROSS JOIN LATERAL (
		SELECT count(*) AS owners, string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname) AS names FROM pg_roles r
		WHERE NOT r.rolsuper AND r.oid IN (SELECT c.relowner FROM facematch_internal.with_heirs(a.table_name,
			and_parents => true) h JOIN pg_class c ON c.oid = h.relation)) o
	WHERE o.owners > 1
	UNION ALL
	-- Partitions are reached by the guard and by the purge; a table that inherits has neither triggers nor policies of
	-- its parent.
	SELECT 'error', format('the table inherits from %s, whose triggers do not fire for it: deadlines, opt-outs and'
		' holds have no effect there', m.table_name),
		   m.relation::text, format('ALTER TABLE %s NO INHERIT %s, and call facematch.retain() for it',
			m.relation, m.table_name)
	FROM member m
	WHERE NOT m.relispartition AND m.relation <> m.table_name
	  AND NOT EXISTS (SELECT FROM facematch_internal.retained x WHERE x.table_name = m.relation)
	UNION ALL
	SELECT 'error', format('a DETACH CONCURRENTLY from %s did not finish: new deadlines do not reach the rows of the'
		' partition',
						   m.table_name), m.relation::text,
		   format('ALTER TABLE %s DETACH PARTITION %s FINALIZE, and call facematch.retain() for it', i.inhparent::regclass,
			m.relation)
	FROM member m JOIN pg_inherits i ON i.inhrelid = m.relation AND i.inhdetachpending
	UNION ALL
	-- Attached, or made so, since it was put under retention.
	SELECT 'error', 'the table is unlogged: a crash empties it, held rows included, and no receipt says so',
		m.relation::text, format('ALTER TABLE %s SET LOGGED', m.relation)
	FROM member m WHERE m.relpersistence = 'u' AND m.relkind = 'r'
	UNION ALL
	SELECT 'error', format('a role may read the partition directly, without the row security of %s, due rows'
		' included', m.table_name),
		format('%s (%s)', m.relation, g.who),
		   format('REVOKE SELECT on the partition, and GRANT SELECT ON %s', m.table_name)
	FROM member m CROSS JOIN LATERAL (
		SELECT DISTINCT CASE x.grantee WHEN 0 THEN 'everybody' ELSE format('role %I', pg_get_userbyid(x.grantee)) END AS who
		FROM (SELECT m.relacl AS acl
			  UNION ALL
			  SELECT a.attacl FROM pg_attribute a WHERE a.attrelid = m.relation AND NOT a.attisdropped) l
		CROSS JOIN LATERAL aclexplode(l.acl) x
		WHERE x.privilege_type = 'SELECT' AND x.grantee <> m.relowner) g
	WHERE m.relation <> m.table_name AND m.shows_due
	UNION ALL
	SELECT 'warning', 'the table holds templates and is not under retention: it may be a copy or a detached partition',
		   c.oid::regclass::text, format('SELECT facematch.retain(%L, ...), or erase and DROP it', c.oid::regclass)
	FROM pg_class c
	WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
	  AND c.relnamespace NOT IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
	  AND c.oid NOT IN (SELECT m.relation FROM member m)
	  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
				  AND a.atttypid IN (SELECT k.type FROM kinds k))
	UNION ALL
	SELECT 'warning', CASE v.relkind WHEN 'm' THEN 'the materialized view copies rows under retention'
									 ELSE 'the view reads with its owner''s privileges and shows due rows' END, v.oid::regclass::text,
		   CASE v.relkind WHEN 'm' THEN format('DROP MATERIALIZED VIEW %s, or refresh it after each purge', v.oid::regclass)
						  ELSE format('ALTER VIEW %s SET (security_invoker = true)', v.oid::regclass) END
	FROM pg_class v
	WHERE v.relkind IN ('v', 'm') AND v.relnamespace NOT IN ('facematch'::regnamespace,
		'facematch_internal'::regnamespace)
	  AND NOT EXISTS (SELECT FROM pg_options_to_table(v.reloptions) o
					  WHERE o.option_name = 'security_invoker' AND o.option_value::boolean)
	  AND EXISTS (SELECT FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
				  JOIN facematch_internal.retained r ON r.table_name = d.refobjid AND d.refclassid = 'pg_class'::regclass
				  WHERE w.ev_class = v.oid AND r.what <> 'gallery');

	-- The owner of the database may set them for everybody who connects, and for the purge's job. What the server makes
	-- of a time, however it is written, is read from a setting that takes the same.
	table_timeout := current_setting('facematch.table_timeout');
	FOR s IN SELECT d.datname, u AS setting, split_part(u, '=', 1) AS name, substr(u, strpos(u, '=') + 1) AS value
		FROM pg_db_role_setting o JOIN pg_database d ON d.oid = o.setdatabase CROSS JOIN LATERAL unnest(o.setconfig) u
		WHERE d.datname = current_database() AND o.setrole = 0 LOOP
		least_time := CASE WHEN s.name IN ('statement_timeout', 'transaction_timeout')
			THEN extract(epoch FROM current_setting('facematch.purge_table_timeout')::interval) * 1000
			WHEN s.name IN ('lock_timeout', 'idle_in_transaction_session_timeout') THEN 1000 END;
		BEGIN
			IF least_time IS NOT NULL THEN
				PERFORM set_config('facematch.table_timeout', s.value, true);
				SELECT g.setting::bigint BETWEEN 1 AND least_time INTO hinders FROM pg_settings g
				WHERE g.name = 'facematch.table_timeout';
				PERFORM set_config('facematch.table_timeout', table_timeout, true);
			ELSE
				hinders := CASE s.name WHEN 'default_transaction_read_only' THEN s.value::boolean
					WHEN 'default_transaction_isolation' THEN lower(s.value) = 'serializable' END;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			hinders := true;
		END;
		IF hinders THEN
			RETURN NEXT ('warning', 'the setting makes the purge, opt-outs and other writes fail',
				format('%s of database %I', s.setting, s.datname),
				format('ALTER DATABASE %I RESET %s', s.datname, s.name))::facematch_internal.finding;
		END IF;
	END LOOP;

	-- Rules, opt-outs and holds.
	RETURN QUERY
	WITH covered AS (
		SELECT c.name, r.has_references, r.has_encounters FROM facematch.retention_class c CROSS JOIN LATERAL (
			SELECT count(*) FILTER (WHERE r.what = 'reference') > 0 AS has_references,
				count(*) FILTER (WHERE r.what = 'encounter') > 0 AS has_encounters,
				   count(*) AS rules
			FROM facematch.retention_rule r WHERE r.retention_class = c.name AND r.valid_from <= now() AND now() < r.valid_to) r
		WHERE r.rules = 0 OR r.has_references AND NOT r.has_encounters
	)
	SELECT 'error', CASE WHEN c.has_references THEN 'the class has a rule for references and none for encounters: a'
		' match at a gate fails'
						 ELSE 'the class has no rule in force: nothing can be recorded in it' END,
		   format('class %s', c.name), 'INSERT INTO facematch.retention_rule'
	FROM covered c
	UNION ALL
	SELECT 'warning', 'the rule gives no deadline until its anchor event is recorded', format('rule %s', r.name),
		'give the rule a fallback'
	FROM facematch.retention_rule r
	WHERE r.valid_to > now() AND r.what <> 'gallery' AND facematch_internal.may_never_end(r)
	UNION ALL
	SELECT 'warning', format('the rule is about %s, and no table under retention has such rows: a typing error, or the'
		' table was dropped', r.what),
		format('rule %s', r.name), 'end the rule and insert it with the right word, or call facematch.retain() for the table'
	FROM facematch.retention_rule r
	WHERE r.valid_to > now() AND NOT EXISTS (
		SELECT FROM facematch_internal.retained k JOIN pg_class c ON c.oid = k.table_name WHERE k.what = r.what)
	UNION ALL
	-- A site may add kinds of gallery, and tables, after their rules: so no constraint refuses the word.
	SELECT 'warning', format('the rule is about the purpose %s, which no kind of gallery and no table under retention'
		' has: a typing error, or the table was dropped', d.purpose), format('decline rule %s', d.name),
		'end the rule and insert it with the right word, or INSERT INTO facematch.gallery_kind, or call'
			' facematch.retain() for the table'
	FROM facematch.decline_rule d
	WHERE d.valid_to > now() AND d.purpose IS NOT NULL
	  AND NOT EXISTS (SELECT FROM facematch.gallery_kind k WHERE k.name = d.purpose)
	  AND NOT EXISTS (SELECT FROM facematch_internal.retained k JOIN pg_class c ON c.oid = k.table_name
		WHERE k.what = d.purpose AND NOT k.shipped)
	UNION ALL
	SELECT 'error', 'the merge has no effect: opt-outs, holds and events of one subject do not reach the other',
		format('merge %s', m.merge_id),
		'CALL facematch.recompute()'
	FROM facematch.subject_merge m
	WHERE m.undone_at IS NULL AND NOT m.merged = ANY (facematch_internal.aliases(m.kept))
	UNION ALL
	SELECT 'error', 'the hold names a row of a table that is not under retention',
		format('hold %s (%s)', h.hold_id, h.table_name),
		   format('SELECT facematch.retain(%L, ...)', h.table_name)
	FROM facematch.held h
	WHERE h.table_name IS NOT NULL AND NOT EXISTS (SELECT FROM facematch_internal.retained r
		WHERE r.table_name = h.table_name)
	UNION ALL
	SELECT CASE WHEN h.keeps = '{}' THEN 'error' ELSE 'notice' END,
		   CASE WHEN h.keeps = '{}' THEN 'the hold keeps nothing: no row that it names exists'
		       ELSE 'the hold prevents rows from being deleted' END,
		   format('hold %s (%s)', h.hold_id, CASE WHEN h.keeps = '{}' THEN coalesce(h.table_name || ' ' || h.row_id,
		       'a subject')
				ELSE (SELECT string_agg(format('%s of %s', coalesce(k.value #>> '{}', '?'), k.key), ', ' ORDER BY k.key)
					  FROM jsonb_each(h.keeps) k) END),
		   CASE WHEN h.keeps = '{}' THEN 'UPDATE facematch.hold SET released_at, and INSERT a hold on rows that exist'
				ELSE 'UPDATE facematch.hold SET released_at when it is no longer needed' END
	FROM facematch.held h
	WHERE h.table_name IS NULL OR EXISTS (SELECT FROM facematch_internal.retained r WHERE r.table_name = h.table_name)
	UNION ALL
	SELECT 'error', 'events are missing from the stream of rights: its readers do not learn of all opt-outs and holds',
		format('site %s, %s of %s events', r.site, count(*), max(r.number)),
		'INSERT the missing rows into facematch.rights_event, from the copy that is kept outside'
	FROM facematch.rights_event r GROUP BY r.site HAVING count(*) <> max(r.number)
	UNION ALL
	SELECT 'error', 'references have no gallery, or another model than their gallery',
		format('facematch.reference (rows: %s)', count(*)), 'delete them'
	FROM facematch.reference r
	WHERE NOT EXISTS (SELECT FROM facematch.gallery g WHERE (g.gallery_id, g.model_tag, g.dims) = (r.gallery_id,
		r.model_tag, r.dims))
	HAVING count(*) > 0
	UNION ALL
	SELECT 'warning', 'there are references of subjects who opted out', 'facematch.reference',
		'delete them, or revoke the opt-out'
	WHERE EXISTS (SELECT FROM facematch.opt_out o JOIN facematch.reference r
		ON r.subject_id = ANY (facematch_internal.aliases(o.subject_id))
				  WHERE o.revoked_at IS NULL AND (o.until IS NULL OR o.until > clock_timestamp())
					AND (o.gallery_id IS NULL OR o.gallery_id = r.gallery_id) AND r.purge_after > clock_timestamp()
					AND facematch_internal.law_gives(o, r.retention_class, (SELECT g.kind FROM facematch.gallery g
						WHERE g.gallery_id = r.gallery_id),
						r.enrolled_at))
	UNION ALL
	SELECT 'error', 'opt-outs, rules or events have not been applied to rows of the table: these rows match nobody',
		   format('%s (%s, the oldest for %s)', k.table_name, count(*), date_trunc('second',
			clock_timestamp() - min(u.since))),
		   'CALL facematch.purge(): its warnings name the obstacle'
	FROM facematch_internal.unreached u JOIN facematch_internal.retained k ON k.table_name = u.relation
		GROUP BY k.table_name
	UNION ALL
	SELECT 'error', 'code of the table could not be stopped and no longer runs: nothing is purged there',
		q.relation::regclass::text,
		   'correct the code, then call facematch.release() and facematch.retain() for the table'
	FROM facematch_internal.quarantined q JOIN pg_class c ON c.oid = q.relation;

	RETURN QUERY
	SELECT 'warning', 'a transaction has been adding or removing templates for more than a minute: opt-outs, rules and'
		' events wait for it, and reach the rows that it adds only after it ends',
		   format('%s (for %s, %s)', w.who, date_trunc('second', clock_timestamp() - w.since), w.state),
		   CASE WHEN w.gid IS NULL THEN format('SELECT pg_terminate_backend(%s)', w.pid)
				ELSE format('COMMIT PREPARED %1$L, or ROLLBACK PREPARED %1$L', w.gid) END
	FROM facematch_internal.template_writer w WHERE w.since < clock_timestamp() - interval '1 minute';

	-- Rows, table by table: whatever is wrong with one keeps none of the others from being looked at.
	FOR t IN SELECT r.* FROM facematch_internal.retained_now r ORDER BY r.table_name::text LOOP
		BEGIN
			RETURN QUERY
			SELECT 'error', 'the policy facematch_due has been changed', t.table_name::text,
				   format('DROP it and CREATE POLICY facematch_due ON %s AS RESTRICTIVE USING %s WITH CHECK (true)',
					t.table_name,
						  t.due_condition)
			FROM pg_policy p
			WHERE t.what <> 'gallery' AND p.polrelid = t.table_name AND p.polname = 'facematch_due'
			  AND (p.polcmd <> '*' OR p.polroles <> '{0}'
				   OR coalesce(pg_get_expr(p.polqual, p.polrelid), '') <>
					  t.due_condition);
			SELECT sum(a.overdue), max(a.longest) INTO overdue, longest FROM facematch_internal.ask_table(t.table_name,
				format('SELECT count(*), $1 - min(greatest(d.purge_after::timestamptz, ''epoch'')) FROM @table d'
				' WHERE d.purge_after <= $1%s',
				facematch_internal.not_held(t.table_name))) a (overdue bigint, longest interval);
			declined := 0;
			IF t.subject_column IS NOT NULL AND t.template_column IS NOT NULL AND NOT t.shipped THEN
				SELECT sum(a.declined) INTO declined FROM facematch_internal.ask_table(t.table_name, format(
						'SELECT count(*) FROM @table d WHERE concat_ws('' '', d.%I, d.%I) = ANY ($4::text[]) AND d.%I IS '
						'NOT NULL%s',
						t.subject_column, t.class_column, t.template_column, facematch_internal.not_held(t.table_name)),
					ARRAY(SELECT concat_ws(' ', unnest(facematch_internal.aliases(o.subject_id)), c.name)
						  FROM facematch.opt_out o, facematch.retention_class c WHERE o.revoked_at IS NULL AND o.gallery_id IS NULL
						  AND (o.until IS NULL OR o.until > clock_timestamp())
						  AND facematch_internal.law_gives(o, c.name, t.what, clock_timestamp()))::text) a (declined bigint);
			END IF;
		EXCEPTION WHEN OTHERS THEN
			IF SQLSTATE = '55P03' THEN
				PERFORM set_config('lock_timeout', '100ms', true);
			END IF;
			RETURN NEXT ROW('error', CASE SQLSTATE WHEN '55P03'
				THEN 'its rows cannot be read: another session has locked the table'
												ELSE 'its rows cannot be read: ' || SQLERRM END, t.table_name,
						 CASE SQLSTATE WHEN '55P03' THEN 'SELECT * FROM pg_locks shows the session; nothing is purged there'
							' until it releases the lock'
									   ELSE 'the purge cannot read them either: repair the table, or call facematch.release() for it'
										END)::facematch_internal.finding;
			CONTINUE;
		END;
		IF declined > 0 THEN
			RETURN NEXT ROW('error', 'there are templates of subjects who opted out',
				format('%s (%s)', t.table_name, declined),
						 'delete them: a trigger or constraint of the table prevented it')::facematch_internal.finding;
		END IF;
		IF overdue > 0 THEN
			RETURN NEXT ROW(CASE WHEN longest > interval '1 hour' THEN 'error' ELSE 'notice' END, 'rows are due and not purged',
						 format('%s (rows: %s, the oldest for %s)', t.table_name, overdue, date_trunc('second', longest)),
						 'CALL facematch.purge(): its warnings name the obstacle')::facematch_internal.finding;
		END IF;
		-- All rows that are not due are read for it, so a table may be too large for its time.
		BEGIN
			SELECT count(*) FILTER (WHERE l.due < 'infinity' OR l.due IS NULL),
				min(l.row_id) FILTER (WHERE l.due < 'infinity' OR l.due IS NULL),
				count(*) FILTER (WHERE l.due = 'infinity') INTO late, first_late, endless
			FROM facematch_internal.late_rows(t.table_name) l;
		EXCEPTION WHEN OTHERS THEN
			RETURN NEXT ROW('warning', 'its deadlines could not be compared with the rules: ' || SQLERRM,
				t.table_name, 'CALL facematch.recompute(), which sets the deadlines by the rules')::facematch_internal.finding;
			CONTINUE;
		END;
		IF late > 0 THEN
			RETURN NEXT ROW('error', 'rows are kept longer than their rules allow, or have no rule',
				format('%s (rows: %s, the first %s)', t.table_name, late, first_late),
				'CALL facematch.recompute(): its warnings name the obstacle; '
				'facematch_internal.late_rows() lists them')::facematch_internal.finding;
		END IF;
		-- Whatever has become of the rule that keeps them.
		IF endless > 0 THEN
			RETURN NEXT ROW('warning', 'rows have no deadline: the event that their rule counts from is not recorded, and'
				' the rule has no fallback',
				format('%s (rows: %s)', t.table_name, endless),
				'INSERT INTO facematch.retention_rule a rule with a fallback that counts from the time of'
					' recording')::facematch_internal.finding;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch_internal.retention_findings() IS
	'tables under retention that show or keep rows they should not, classes without rules, holds that keep nothing,'
	' opt-outs that were not obeyed, and overdue rows; part of facematch.health_check()';
