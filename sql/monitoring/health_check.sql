/*
 * What weakens the guarantees in this database.
 */

-- Triggers that must be there and fire in every session, replicas included.
CREATE FUNCTION facematch_internal.expected_triggers() RETURNS TABLE (table_name regclass, trigger_name name)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT e.table_name, unnest(e.trigger_names) FROM (VALUES
		('facematch.gallery'::regclass, '{gallery_05_remarks,gallery_20_guard,gallery_30_moved,gallery_40_truncate,gallery_50_log,gallery_60_target_logged}'::name[]),
		('facematch.reference', '{reference_20_guard,reference_40_truncate,reference_70_photographs}'),
		('facematch.encounter', '{encounter_05_remarks,encounter_10_override,encounter_20_guard,encounter_40_truncate,encounter_50_log_override,encounter_50_statistics,encounter_60_log_override,encounter_70_photographs}'),
		('facematch.photograph', '{photograph_10_guard,photograph_20_doom,photograph_30_truncate}'),
		('facematch.opt_out', '{opt_out_05_remarks,opt_out_10_keep,opt_out_20_remove,opt_out_30_truncate,opt_out_40_log}'),
		('facematch.hold', '{hold_05_remarks,hold_10_keep,hold_20_place,hold_30_truncate,hold_40_log}'),
		('facematch.exemption', '{exemption_10_log}'),
		('facematch.exempt_subject', '{exempt_subject_10_log}'),
		('facematch.retention_class', '{retention_class_10_in_use,retention_class_20_log}'),
		('facematch.retention_rule', '{retention_rule_10_check,retention_rule_20_changed,retention_rule_30_truncate,retention_rule_40_log}'),
		('facematch.anchor_event', '{anchor_event_10_is_a_record,anchor_event_20_happened}'),
		('facematch_internal.retained', '{retained_10_log,retained_20_added_log}'),
		('facematch.model', '{model_10_log}'),
		('facematch.audit_event', '{audit_event_10_is_a_record,audit_event_20_is_a_record}'),
		('facematch.purge_receipt', '{purge_receipt_10_is_a_record,purge_receipt_20_is_a_record,purge_receipt_30_log}'),
		('facematch_internal.receipt_relation', '{receipt_relation_10_is_a_record,receipt_relation_20_is_a_record}'),
		('facematch_internal.erasure', '{erasure_10_is_a_record,erasure_20_is_a_record,erasure_30_log}'),
		('facematch_internal.erased_receipt', '{erased_receipt_10_is_a_record,erased_receipt_20_is_a_record,erased_receipt_30_log}'),
		('facematch.disclosure', '{disclosure_05_remarks,disclosure_10_keep,disclosure_20_truncate}'),
		('facematch.photograph_reading', '{photograph_reading_05_remarks,photograph_reading_10_is_a_record,photograph_reading_20_is_a_record}'),
		('facematch.template_reading', '{template_reading_05_remarks,template_reading_10_is_a_record,template_reading_20_is_a_record}'),
		('facematch.partner', '{partner_10_remarks,partner_20_log,partner_30_added_log}'),
		('facematch_internal.access_grant', '{access_grant_10_recorded}'),
		('facematch.partner_gallery', '{partner_gallery_10_log}'),
		('facematch_internal.access_right', '{access_right_10_log,access_right_20_added_log}'),
		('facematch.shard', '{shard_10_check,shard_20_log}')) e (table_name, trigger_names)
	UNION
	-- Not by pg_partition_tree(), which waits for whoever has locked a partition.
	SELECT h.relation, e.trigger_name FROM facematch.attached a CROSS JOIN LATERAL facematch_internal.with_heirs(a.table_name) h JOIN pg_class c ON c.oid = h.relation,
		   (VALUES ('facematch_20_guard'::name)) e (trigger_name)
	WHERE c.oid = a.table_name OR c.relispartition
	UNION
	SELECT a.table_name, e.trigger_name FROM facematch.attached a, (VALUES ('facematch_20_guard'::name), ('facematch_40_truncate')) e (trigger_name)
$$;
COMMENT ON FUNCTION facematch_internal.expected_triggers() IS 'the triggers that the guarantees rest on';

-- pg_get_expr() locks the table.  Of one that is locked, its rows' finding tells.
CREATE FUNCTION facematch_internal.policy_condition(policy pg_catalog.pg_policy) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN coalesce(pg_get_expr(policy.polqual, policy.polrelid), '');
EXCEPTION WHEN lock_not_available THEN
	PERFORM facematch_internal.wait_less();
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.policy_condition(pg_catalog.pg_policy) IS 'which rows a policy shows, as SQL; empty: it does not say; NULL: the table is locked for longer than lock_timeout';

CREATE FUNCTION facematch.health_check() RETURNS TABLE (severity text, object text, finding text, remedy text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
	t facematch_internal.retained;
	overdue bigint;
	longest interval;
	templates bigint;
BEGIN
	RETURN QUERY
	SELECT 'error', format('%s on %s', e.trigger_name, e.table_name),
		   CASE WHEN g.oid IS NULL THEN 'the trigger is missing' ELSE 'the trigger is disabled' END,
		   CASE WHEN g.oid IS NULL THEN 'detach and attach the table, or restore the trigger from the extension''s script'
				ELSE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', e.table_name, e.trigger_name) END
	FROM facematch_internal.expected_triggers() e LEFT JOIN pg_trigger g ON g.tgrelid = e.table_name AND g.tgname = e.trigger_name
	WHERE g.oid IS NULL OR g.tgenabled = 'D' ORDER BY 2;

	RETURN QUERY
	SELECT CASE g.tgenabled WHEN 'R' THEN 'error' ELSE 'warning' END, format('%s on %s', e.trigger_name, e.table_name),
		   CASE g.tgenabled WHEN 'R' THEN 'the trigger fires in replica sessions only' ELSE 'the trigger does not fire where session_replication_role is replica' END,
		   format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', e.table_name, e.trigger_name)
	FROM facematch_internal.expected_triggers() e JOIN pg_trigger g ON g.tgrelid = e.table_name AND g.tgname = e.trigger_name
	-- A replica is sent the rows that these write, or was asked before.
	WHERE g.tgenabled = 'R' OR g.tgenabled = 'O' AND g.tgname NOT LIKE '%\_20\_place' AND g.tgname !~ '_log(_override)?$' ORDER BY 2;

	-- The key of references is the guard's to check on their side, and PostgreSQL's on the galleries'.
	RETURN QUERY
	SELECT 'error', format('%s on %s', c.conname, g.tgrelid::regclass), 'the foreign key''s trigger is disabled',
		   format('ALTER TABLE %s ENABLE TRIGGER %I', g.tgrelid::regclass, g.tgname)
	FROM pg_trigger g JOIN pg_constraint c ON c.oid = g.tgconstraint JOIN pg_class r ON r.oid = g.tgrelid
	WHERE r.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND g.tgisinternal AND g.tgenabled = 'D'
	  AND NOT (c.conname = 'reference_is_of_its_gallerys_model' AND g.tgrelid = c.conrelid) ORDER BY g.tgrelid::regclass::text, g.tgname;

	RETURN QUERY
	SELECT 'notice', format('%s on %s', c.conname, g.tgrelid::regclass), 'the foreign key is checked a second time for each row, which costs as much as storing it',
		   format('as superuser: ALTER TABLE %s DISABLE TRIGGER %I', g.tgrelid::regclass, g.tgname)
	FROM pg_trigger g JOIN pg_constraint c ON c.oid = g.tgconstraint
	WHERE c.conrelid = 'facematch.reference'::regclass AND c.conname = 'reference_is_of_its_gallerys_model'
	  AND g.tgrelid = c.conrelid AND g.tgenabled <> 'D' ORDER BY g.tgname;

	RETURN QUERY
	SELECT 'error', 'facematch.reference', format('%s references are not of a gallery, or not of its model', count(*)),
		   'delete them'
	FROM facematch.reference r
	WHERE NOT EXISTS (SELECT FROM facematch.gallery g WHERE (g.gallery_id, g.model_tag, g.dims) = (r.gallery_id, r.model_tag, r.dims))
	HAVING count(*) > 0;

	RETURN QUERY
	SELECT 'error', r.table_name::text, 'row security does not hide due rows',
		   format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY; the policy is facematch_due', r.table_name)
	FROM facematch_internal.retained r JOIN pg_class c ON c.oid = r.table_name
	WHERE r.what <> 'gallery'
	  AND (NOT c.relrowsecurity OR NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'facematch_due' AND NOT p.polpermissive))
	ORDER BY 2;

	RETURN QUERY
	SELECT 'error', r.table_name::text, 'the policy facematch_due has been changed',
		   format('DROP it and CREATE POLICY facematch_due ON %s AS RESTRICTIVE USING (%s) WITH CHECK (true)', r.table_name,
				  CASE WHEN r.shipped THEN 'purge_after > clock_timestamp()' ELSE facematch_internal.due_condition(r) END)
	FROM facematch_internal.retained r JOIN pg_policy p ON p.polrelid = r.table_name AND p.polname = 'facematch_due'
	WHERE r.what <> 'gallery' AND (p.polcmd <> '*' OR p.polroles <> '{0}' OR facematch_internal.policy_condition(p) <>
		 CASE WHEN r.shipped THEN '(purge_after > clock_timestamp())' ELSE facematch_internal.due_condition(r) END)
	ORDER BY 2;

	RETURN QUERY
	SELECT 'error', format('%s on %s', g.tgname, g.tgrelid::regclass), 'calls another function than the extension''s', 'restore the trigger from the extension''s script, or detach and attach the table'
	FROM facematch_internal.expected_triggers() e JOIN pg_trigger g ON g.tgrelid = e.table_name AND g.tgname = e.trigger_name
	JOIN pg_proc p ON p.oid = g.tgfoid
	WHERE p.pronamespace NOT IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) ORDER BY 2;

	-- 1 is a trigger for each row, 2 one before it, 4 for insertions, 16 for updates.
	RETURN QUERY
	SELECT 'error', format('%s on %s', g.tgname, g.tgrelid::regclass), 'the trigger fires after the guard, and may put back what the guard has changed',
		   'give it a name that comes before the guard''s'
	FROM facematch_internal.retained r JOIN pg_trigger g ON g.tgrelid = r.table_name AND g.tgtype & 3 = 3 AND g.tgtype & 20 <> 0 AND NOT g.tgisinternal
	JOIN pg_proc p ON p.oid = g.tgfoid
	JOIN pg_trigger k ON k.tgrelid = g.tgrelid AND k.tgfoid = 'facematch_internal.guard'::regproc AND k.tgname < g.tgname
	WHERE p.pronamespace NOT IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) ORDER BY 2;

	RETURN QUERY
	SELECT 'error', r.table_name::text, CASE c.relkind WHEN 'v' THEN 'has become a view' ELSE 'has rules, which the purge does not get past' END,
		   'DROP RULE, or facematch.release() and facematch.retain() the table'
	FROM facematch_internal.retained r JOIN pg_class c ON c.oid = r.table_name
	WHERE c.relkind NOT IN ('r', 'p') OR EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid) ORDER BY 2;

	RETURN QUERY
	SELECT 'error', format('%I on %s', d.name, d.relation), format('is initially deferred: rows of %s that it fires for can neither be purged nor get another deadline, while the owner is no superuser', r.table_name),
		   d.remedy
	FROM facematch.attached r CROSS JOIN LATERAL facematch_internal.deferred_triggers(r.table_name) d ORDER BY 2, 3;

	-- Partitions are reached by the guard and by the purge; a table that inherits has neither triggers nor policies of its parent.
	RETURN QUERY
	SELECT 'error', h.relation::text, format('inherits from %s, whose triggers do not fire for it: no deadline, opt-out or hold is kept there', r.table_name),
		   'ALTER TABLE ... NO INHERIT, and facematch.retain() it'
	FROM facematch_internal.retained r CROSS JOIN LATERAL facematch_internal.with_heirs(r.table_name) h JOIN pg_class c ON c.oid = h.relation
	WHERE NOT c.relispartition AND c.oid <> r.table_name AND NOT EXISTS (SELECT FROM facematch_internal.retained x WHERE x.table_name = c.oid) ORDER BY 2;

	RETURN QUERY
	SELECT 'error', h.relation::text, format('is half detached from %s, by a DETACH CONCURRENTLY that did not end: no new deadline reaches its rows', r.table_name),
		   format('ALTER TABLE %s DETACH PARTITION %s FINALIZE, and facematch.retain() it', i.inhparent::regclass, h.relation)
	FROM facematch_internal.retained r CROSS JOIN LATERAL facematch_internal.with_heirs(r.table_name) h JOIN pg_inherits i ON i.inhrelid = h.relation AND i.inhdetachpending ORDER BY 2;

	RETURN QUERY
	SELECT 'error', format('%s on %s', g.who, h.relation), format('reads it directly, past the row security of %s: due rows too', r.table_name),
		   format('REVOKE it, and GRANT on %s', r.table_name)
	FROM facematch_internal.retained r CROSS JOIN LATERAL facematch_internal.with_heirs(r.table_name) h JOIN pg_class c ON c.oid = h.relation
	CROSS JOIN LATERAL (
		SELECT DISTINCT CASE x.grantee WHEN 0 THEN 'everybody' ELSE format('role %I', pg_get_userbyid(x.grantee)) END AS who
		FROM (SELECT c.relacl AS acl UNION ALL SELECT a.attacl FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped) l CROSS JOIN LATERAL aclexplode(l.acl) x
		WHERE x.privilege_type = 'SELECT' AND x.grantee <> c.relowner) g
	WHERE c.oid <> r.table_name AND r.what <> 'gallery'
	  AND NOT (c.relrowsecurity AND EXISTS (SELECT FROM pg_policy o WHERE o.polrelid = c.oid AND o.polname = 'facematch_due' AND NOT o.polpermissive)) ORDER BY 2;

	RETURN QUERY
	WITH kinds AS MATERIALIZED (
		SELECT y.type FROM facematch_internal.template_types(ARRAY(SELECT DISTINCT a.atttypid FROM pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped), false) y
	)
	SELECT 'warning', c.oid::regclass::text, 'holds templates that no retention rule purges: a copy, a partition that was detached, or a table of its own',
		   'facematch.retain() it, or erase and DROP it'
	FROM pg_class c
	WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND c.relnamespace NOT IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
	  AND c.oid NOT IN (SELECT h.relation FROM facematch_internal.retained r CROSS JOIN LATERAL facematch_internal.with_heirs(r.table_name) h)
	  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN (SELECT k.type FROM kinds k)) ORDER BY 2;

	-- Whoever owns the schema of the type can rename it and put another in its place, whose functions the extension's would call.
	RETURN QUERY
	SELECT 'error', format('schema %I', n.nspname), format('role %I, which is no superuser, owns the schema of type face_embedding, and so all that is here', o.rolname),
		   CASE WHEN n.nspowner = 'pg_database_owner'::regrole THEN format('ALTER DATABASE %I, or the schema, OWNER TO a superuser', current_database())
				ELSE format('ALTER SCHEMA %I OWNER TO a superuser', n.nspname) END
	FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace
	JOIN pg_database d ON d.datname = current_database()
	JOIN pg_roles o ON o.oid = CASE WHEN n.nspowner = 'pg_database_owner'::regrole THEN d.datdba ELSE n.nspowner END
	WHERE y.oid = '@extschema@.face_embedding'::regtype AND NOT o.rolsuper;

	RETURN QUERY
	SELECT 'warning', format('role %I', o.rolname), 'sees due rows: it ' || CASE WHEN o.rolbypassrls THEN 'bypasses row security' ELSE 'owns tables under retention' END,
		   'let applications connect as another role'
	FROM pg_roles o
	WHERE o.rolcanlogin AND NOT o.rolsuper
	  AND (o.rolbypassrls OR EXISTS (SELECT FROM facematch_internal.retained r JOIN pg_class c ON c.oid = r.table_name WHERE pg_has_role(o.oid, c.relowner, 'MEMBER')))
	ORDER BY 2;

	RETURN QUERY
	SELECT 'error', CASE WHEN s.setrole = 0 THEN 'all roles' ELSE format('role %I', s.setrole::regrole) END,
		   'session_replication_role is set to replica', 'ALTER ROLE or ALTER DATABASE ... RESET session_replication_role'
	FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE c LIKE 'session\_replication\_role=replica' ORDER BY 2;

	RETURN QUERY
	SELECT 'error', format('class %s', c.name), 'has no rule in force for references and encounters: nothing can be recorded in it',
		   'INSERT INTO facematch.retention_rule'
	FROM facematch.retention_class c
	WHERE NOT EXISTS (SELECT FROM facematch.retention_rule r WHERE r.retention_class = c.name AND r.valid_from <= now() AND now() < r.valid_to) ORDER BY 2;

	RETURN QUERY
	SELECT 'error', format('class %s', c.name), 'has a rule for references and none for encounters: a match at a gate would be an error',
		   'INSERT INTO facematch.retention_rule'
	FROM facematch.retention_class c
	WHERE EXISTS (SELECT FROM facematch.retention_rule r WHERE r.retention_class = c.name AND r.what = 'reference'
				  AND r.valid_from <= now() AND now() < r.valid_to)
	  AND NOT EXISTS (SELECT FROM facematch.retention_rule r WHERE r.retention_class = c.name AND r.what = 'encounter'
					  AND r.valid_from <= now() AND now() < r.valid_to) ORDER BY 2;

	RETURN QUERY
	SELECT 'warning', v.oid::regclass::text,
		   CASE v.relkind WHEN 'm' THEN 'the materialized view copies rows under retention' ELSE 'the view shows its readers due rows, with its owner''s rights' END,
		   CASE v.relkind WHEN 'm' THEN 'DROP it, or refresh it after each purge' ELSE format('ALTER VIEW %s SET (security_invoker = true)', v.oid::regclass) END
	FROM pg_class v
	WHERE v.relkind IN ('v', 'm') AND v.relnamespace NOT IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
	  AND NOT EXISTS (SELECT FROM pg_options_to_table(v.reloptions) o WHERE o.option_name = 'security_invoker' AND o.option_value::boolean)
	  AND EXISTS (SELECT FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
				  JOIN facematch_internal.retained r ON r.table_name = d.refobjid AND d.refclassid = 'pg_class'::regclass
				  WHERE w.ev_class = v.oid AND r.what <> 'gallery') ORDER BY 2;

	RETURN QUERY
	SELECT 'error', format('hold %s', h.hold_id), format('names a row of %s, which is not under retention', h.table_name), 'facematch.retain() attaches the table'
	FROM facematch.held h
	WHERE h.table_name IS NOT NULL AND NOT EXISTS (SELECT FROM facematch_internal.retained r WHERE r.table_name = h.table_name) ORDER BY h.hold_id;

	RETURN QUERY
	SELECT 'warning', format('rule %s', r.name), 'gives no deadline while its anchor has not come', 'give the rule a fallback'
	FROM facematch.retention_rule r
	WHERE r.valid_to > now() AND r.fallback_anchor IS NULL AND r.what <> 'gallery' AND NOT 'recorded' = ANY (r.anchors) ORDER BY 2;

	RETURN QUERY
	SELECT 'warning', 'opt-outs', 'references of subjects who have opted out are there', 'delete them, or revoke the opt-out'
	WHERE EXISTS (SELECT FROM facematch.opt_out o JOIN facematch.reference r USING (subject_id)
				  WHERE o.revoked_at IS NULL AND (o.until IS NULL OR o.until > clock_timestamp())
					AND (o.gallery_id IS NULL OR o.gallery_id = r.gallery_id) AND r.purge_after > clock_timestamp());

	FOR t IN SELECT r.* FROM facematch_internal.retained r JOIN pg_class c ON c.oid = r.table_name ORDER BY r.table_name::text LOOP
		BEGIN
			SELECT a.* INTO overdue, longest FROM facematch_internal.ask_table(t.table_name, format(
				'SELECT count(*), $1 - min(d.purge_after::timestamptz) FROM %s d WHERE d.purge_after <= $1%s', t.table_name, facematch_internal.not_held(t.table_name))) a (overdue bigint, longest interval);
			templates := 0;
			IF t.subject_column IS NOT NULL AND t.template_column IS NOT NULL AND NOT t.shipped THEN
				SELECT a.declined INTO templates FROM facematch_internal.ask_table(t.table_name,
					format('SELECT count(*) FROM %s d WHERE d.%I = ANY ($4::uuid[]) AND d.%I IS NOT NULL%s', t.table_name, t.subject_column, t.template_column, facematch_internal.not_held(t.table_name)),
					ARRAY(SELECT o.subject_id FROM facematch.opt_out o WHERE o.revoked_at IS NULL AND o.gallery_id IS NULL AND (o.until IS NULL OR o.until > clock_timestamp()))::text) a (declined bigint);
			END IF;
		EXCEPTION WHEN lock_not_available THEN
			PERFORM facematch_internal.wait_less();
			severity := 'error';
			object := t.table_name;
			finding := 'its rows cannot be looked at: another session has locked the table';
			remedy := 'pg_locks says who; while the lock is held nothing is purged there';
			RETURN NEXT;
			CONTINUE;
		WHEN OTHERS THEN
			severity := 'error';
			object := t.table_name;
			finding := format('its rows cannot be looked at: %s', SQLERRM);
			remedy := 'the purge cannot either: put the table right, or facematch.release() it';
			RETURN NEXT;
			CONTINUE;
		END;
		IF templates > 0 THEN
			severity := 'error';
			object := t.table_name;
			finding := format('%s templates of subjects who have opted out are there', templates);
			remedy := 'delete them: something in the table has refused to let them go';
			RETURN NEXT;
		END IF;
		IF overdue > 0 THEN
			severity := CASE WHEN longest > interval '1 hour' THEN 'error' ELSE 'notice' END;
			object := t.table_name;
			finding := format('%s rows are due and not purged, the oldest for %s', overdue, date_trunc('second', longest));
			remedy := 'CALL facematch.purge()';
			RETURN NEXT;
		END IF;
		IF t.template_column IS NOT NULL THEN
			SELECT count(*) INTO templates FROM pg_statistic s
			WHERE s.starelid = t.table_name AND s.staattnum = (SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = t.table_name AND a.attname = t.template_column)
			  AND (s.stavalues1 IS NOT NULL OR s.stavalues2 IS NOT NULL OR s.stavalues3 IS NOT NULL OR s.stavalues4 IS NOT NULL OR s.stavalues5 IS NOT NULL);
			IF templates > 0 THEN
				severity := 'error';
				object := t.table_name;
				finding := 'ANALYZE has left templates in pg_statistic';
				remedy := 'DELETE FROM pg_statistic for the column, as superuser, and ANALYZE';
				RETURN NEXT;
			END IF;
		END IF;
	END LOOP;

	RETURN QUERY
	SELECT 'error', k.table_name::text,
		   format('%s opt-outs, rules or events have not reached its rows, the oldest for %s: these rows match nobody', count(*), date_trunc('second', clock_timestamp() - min(u.since))),
		   'CALL facematch.purge(): its warnings say what is in the way'
	FROM facematch_internal.unreached u JOIN facematch_internal.retained k ON k.table_name = u.relation GROUP BY k.table_name ORDER BY 2;

	-- Whoever adds a template holds a lock on its subject's part of facematch.opt_out until his transaction ends.
	RETURN QUERY
	SELECT 'warning', CASE WHEN p.gid IS NULL THEN format('session %s of %I', a.pid, a.usename) ELSE format('prepared transaction %L of %I', p.gid, p.owner) END,
		   format('has been adding or removing templates for %s, and is %s: opt-outs wait for it for facematch.table_timeout, and what it adds is removed only once it has ended',
				  date_trunc('second', clock_timestamp() - coalesce(p.prepared, a.xact_start)), coalesce(a.state, 'prepared')),
		   CASE WHEN p.gid IS NULL THEN format('SELECT pg_terminate_backend(%s)', a.pid) ELSE format('COMMIT PREPARED %1$L, or ROLLBACK PREPARED %1$L', p.gid) END
	FROM (SELECT DISTINCT l.pid, l.virtualtransaction FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
		  WHERE l.granted AND (l.locktype = 'object' AND l.classid = 'facematch.opt_out'::regclass
							   OR l.locktype = 'relation' AND l.relation IN ('facematch.reference'::regclass, 'facematch.gallery'::regclass) AND l.mode <> 'AccessShareLock')) h
	LEFT JOIN pg_stat_activity a ON a.pid = h.pid
	LEFT JOIN (pg_locks x JOIN pg_prepared_xacts p ON p.transaction = x.transactionid)
		ON h.pid IS NULL AND x.locktype = 'transactionid' AND x.pid IS NULL AND x.virtualtransaction = h.virtualtransaction
	WHERE coalesce(p.prepared, a.xact_start) < clock_timestamp() - interval '1 minute' AND a.pid IS DISTINCT FROM pg_backend_pid() ORDER BY 2;

	RETURN QUERY
	SELECT 'error', 'facematch.purge_erases', 'is off: CALL facematch.purge() leaves the bytes of removed rows', 'set it on' WHERE current_setting('facematch.purge_erases', true) = 'off';

	RETURN QUERY
	SELECT 'error', q.relation::regclass::text, 'its code could not be stopped and is not run any more: nothing is purged there', 'put it right, facematch.release() it and facematch.retain() it again'
	FROM facematch_internal.quarantined q JOIN pg_class c ON c.oid = q.relation ORDER BY 2;

	-- Of a table that is there and whose rows the purge looks after: of others no purge settles a receipt.
	RETURN QUERY
	SELECT 'error', k.table_name::text,
		   format('the bytes of removed rows are not erased, the oldest for %s', date_trunc('second', clock_timestamp() - min(p.purged_at))),
		   'CALL facematch.purge(); facematch_internal.erasure says what was in the way: a transaction, cursor or lock that somebody keeps open'
	FROM facematch.purge_receipt p JOIN facematch_internal.receipt_relation l ON l.receipt_id = p.receipt_id AND NOT l.is_part
	JOIN facematch_internal.retained k ON k.table_name = l.relation JOIN pg_class c ON c.oid = l.relation
	WHERE NOT EXISTS (SELECT FROM facematch_internal.erased_receipt e WHERE e.receipt_id = p.receipt_id)
	GROUP BY k.table_name HAVING min(p.purged_at) < clock_timestamp() - interval '1 hour' ORDER BY 2;

	RETURN QUERY
	SELECT 'warning', m.relation::text, format('was last erased whole %s ago: what went without a receipt may still be there', date_trunc('second', clock_timestamp() - m.erased_at)),
		   'CALL facematch.purge(), or facematch.erase_table(): its warnings say what is in the way'
	FROM facematch_internal.erasure_mark m JOIN facematch_internal.retained k ON k.table_name = m.relation JOIN pg_class c ON c.oid = m.relation
	WHERE m.erased_at < clock_timestamp() - 2 * greatest(current_setting('facematch.sweep_interval', true)::interval, interval '1 day') ORDER BY 2;

	-- What is at work is seen by its progress, or holds VACUUM's lock on the index.
	BEGIN
		RETURN QUERY
		SELECT 'error', x.relation::text, format('a CREATE INDEX, REINDEX or DROP INDEX CONCURRENTLY of %s did not end: nothing takes removed rows out of what it left', k.table_name),
			   format('DROP INDEX %s', x.relation)
		FROM facematch_internal.retained k CROSS JOIN LATERAL facematch_internal.abandoned_indexes(k.table_name) x
		WHERE pg_relation_size(x.relation) > 0
		  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.relation)
		  AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.relation = x.relation AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
						  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) ORDER BY 2;
	EXCEPTION WHEN lock_not_available THEN
		RETURN QUERY SELECT 'error', 'indexes', 'one that a CREATE INDEX, REINDEX or DROP INDEX CONCURRENTLY left cannot be looked at: another session has locked it',
			'pg_locks says who';
	END;

	RETURN QUERY
	SELECT 'error', 'data directory', f.note, 'a crash has left them: remove them while the server is stopped, or dump and restore the database'
	FROM facematch_internal.orphaned_files_note() f WHERE f.orphaned;

	RETURN QUERY SELECT * FROM facematch_internal.access_findings();

	RETURN QUERY
	SELECT 'warning', 'server log', CASE WHEN current_setting('facematch.redact_log', true) = 'off' THEN 'facematch.redact_log is off: templates in statements reach the log'
										 ELSE 'the library is loaded by the first statement that needs it: templates in what comes before reach the log' END,
		   CASE WHEN current_setting('facematch.redact_log', true) = 'off' THEN 'set it on'
				ELSE 'put facematch last in shared_preload_libraries, or in session_preload_libraries' END
	WHERE current_setting('facematch.redact_log', true) = 'off'
	   OR NOT 'facematch' = ANY (string_to_array(translate(current_setting('shared_preload_libraries') || ',' || current_setting('session_preload_libraries'), ' "', ''), ','));

	RETURN QUERY
	SELECT 'warning', 'shared_preload_libraries', 'pg_stat_statements comes after facematch: it stores utility statements with the templates in them', 'put facematch last'
	WHERE translate(current_setting('shared_preload_libraries'), ' "', '') ~ '(^|,)facematch,(.*,)?pg_stat_statements(,|$)';

	RETURN QUERY SELECT * FROM facematch_internal.key_findings();

	IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		RETURN QUERY SELECT 'notice', 'purge', 'pg_cron is not installed in this database: nothing here calls the purge',
			'let another scheduler CALL facematch.purge(); due rows match nobody either way';
	ELSE
		RETURN QUERY EXECUTE 'SELECT ''warning'', ''purge'', ''no active job calls facematch.purge()'', ''SELECT facematch.schedule()'''
			' WHERE NOT EXISTS (SELECT FROM cron.job j WHERE j.active AND j.database = current_database() AND j.command ILIKE ''%facematch.purge%'')';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.health_check() IS
	'what weakens the guarantees in this database: triggers missing or disabled, references without their gallery, row security off, roles and views that pass it by, deferred triggers that no purge can fire, grants beyond what facematch_internal.access_right gives, replica sessions, classes without a rule, holds that keep nothing, overdue rows, removed rows that are not erased, missing jobs, templates in statistics. severity: error, warning, notice. No row: nothing found';
