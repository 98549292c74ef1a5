/*
 * The same retention on a user's own table.
 */

-- What a purge cannot get past.  Its statements, those of opt-outs and of rules run as the owner, and an owner who is
-- no superuser may leave nothing to the commit, where it would run with the privileges of the purging user
-- (src/base/run.c).
CREATE FUNCTION facematch_internal.deferred_triggers(table_name regclass, whoever_owns_it boolean DEFAULT false)
	RETURNS TABLE (relation regclass, name name, remedy text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE change AS (
		SELECT h.relation::oid AS relid, e.event,
			   ARRAY(SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = h.relation AND a.attname = 'purge_after'
			       AND e.event = 'update') AS columns
		FROM facematch_internal.with_heirs($1) h JOIN pg_class c ON c.oid = h.relation JOIN pg_class root ON root.oid = $1,
			 (VALUES ('delete'), ('update')) e (event)
		WHERE whoever_owns_it
			OR EXISTS (SELECT FROM pg_roles o WHERE o.oid IN (c.relowner, root.relowner) AND NOT o.rolsuper)
			-- What foreign keys lead to there may be others', whose code leaves nothing to the commit either.
			OR EXISTS (SELECT FROM facematch_internal.with_heirs(h.relation, and_referring => true) x
				JOIN pg_class k ON k.oid = x.relation JOIN pg_roles o ON o.oid = k.relowner AND NOT o.rolsuper)
		UNION
		-- Foreign keys carry it to tables that refer to this one.
		SELECT k.conrelid, CASE k.action WHEN 'c' THEN k.event WHEN 'n' THEN 'set null' ELSE 'update' END,
			   CASE WHEN k.event = 'delete' AND k.action = 'c' THEN '{}' WHEN k.event = 'delete'
			       THEN coalesce(k.confdelsetcols, k.conkey) ELSE k.conkey END
		FROM (SELECT f.*, ch.event, CASE WHEN ch.event = 'delete' THEN f.confdeltype WHEN f.confkey && ch.columns
			THEN f.confupdtype END AS action
			  FROM change ch JOIN pg_constraint f ON f.contype = 'f' AND f.confrelid = ch.relid
			  -- The key of a partition that refers acts through its table's; one that is not enforced has no trigger.
			  WHERE f.conparentid <> 0 OR EXISTS (SELECT FROM pg_trigger a WHERE a.tgconstraint = f.oid
			      AND a.tgrelid = ch.relid AND a.tgenabled IN ('O', 'A'))) k
		WHERE k.action IN ('c', 'n', 'd')
	), fires AS (
		-- 8 is a trigger for deletions, 16 for updates.
		SELECT DISTINCT g.oid, g.tgparentid, g.tgrelid, g.tgname, g.tgisinternal, c.contype, c.conrelid, c.conname
		FROM change ch JOIN pg_trigger g ON g.tgrelid = ch.relid AND g.tgdeferrable AND g.tginitdeferred
			AND g.tgenabled IN ('O', 'A')
		LEFT JOIN pg_constraint c ON c.oid = g.tgconstraint
		WHERE CASE WHEN ch.event = 'delete' THEN g.tgtype & 8 <> 0
				   WHEN g.tgtype & 16 = 0 THEN false
				   WHEN NOT g.tgisinternal THEN cardinality(g.tgattr) = 0 OR g.tgattr::smallint[] && ch.columns
				   -- PostgreSQL's own ask nothing of a key that is as it was, nor of one that became NULL.
				   WHEN g.tgfoid = '"RI_FKey_noaction_upd"'::regproc THEN c.confkey && ch.columns
				   ELSE ch.event <> 'set null' AND c.conkey && ch.columns END
	)
	SELECT d.relation, d.name,
		   CASE WHEN f.contype = 'f' THEN format('ALTER TABLE %s ALTER CONSTRAINT %I DEFERRABLE INITIALLY IMMEDIATE',
		       d.relation, d.name)
				ELSE format('drop %I on %s and make it again, INITIALLY IMMEDIATE', d.name, d.relation) END
	FROM fires f CROSS JOIN LATERAL (SELECT CASE WHEN f.contype = 'f' THEN f.conrelid
		ELSE f.tgrelid END::regclass AS relation,
											CASE WHEN f.tgisinternal THEN f.conname ELSE f.tgname END AS name) d
	WHERE NOT EXISTS (SELECT FROM fires parent WHERE parent.oid = f.tgparentid)
$$;
COMMENT ON FUNCTION facematch_internal.deferred_triggers(regclass, boolean) IS
	'triggers and constraints that are initially deferred and would fire when rows of a table, which is not only '
	'superusers'', are purged or have their deadline set: of the table, its partitions, and tables that foreign '
	'keys with an action lead to. A purge cannot fire them. With the table that each is declared on, and what to do. '
	'whoever_owns_it: superusers'' tables too, whose a purge fires with the rows';

CREATE FUNCTION facematch_internal.bring_to_rules(table_name regclass, limited boolean, OUT nearer bigint,
	OUT declined bigint)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
DECLARE
	t facematch_internal.retained;
BEGIN
	SELECT r.* INTO t FROM facematch_internal.retained r WHERE r.table_name = bring_to_rules.table_name;
	-- The guard computes the deadlines of existing rows.  Templates of people who have opted out are deleted, except
	-- those that holds keep.
	SELECT sum(a.n) INTO nearer FROM facematch_internal.ask_table(t.table_name,
		'WITH was AS MATERIALIZED (SELECT d.tableoid, d.ctid, d.purge_after FROM @table d WHERE d.purge_after IS NULL OR '
		'd.purge_after > $1), dated AS (UPDATE @table d SET purge_after = d.purge_after FROM was WHERE (d.tableoid, '
		'd.ctid) = (was.tableoid, was.ctid) RETURNING d.purge_after < coalesce(was.purge_after, ''infinity'') AS '
		'nearer) SELECT count(*) FILTER (WHERE nearer) FROM dated', limited => bring_to_rules.limited) a (n bigint);
	IF t.subject_column IS NULL OR t.shipped THEN
		RETURN;
	END IF;
	-- A subject and a class, or a subject, a gallery and a class: what the row's own columns read as.
	SELECT sum(a.n) INTO declined FROM facematch_internal.ask_table(t.table_name, format(
			'WITH gone AS (DELETE FROM @table d WHERE (concat_ws('' '', d.%I, d.%I) = ANY ($4::text[])%s)%s RETURNING 1) '
			'SELECT count(*) FROM gone',
			t.subject_column, t.class_column, CASE WHEN t.gallery_column IS NOT NULL
								   THEN format(' OR concat_ws('' '', d.%I, d.%I, d.%I) = ANY ($4::text[])',
								       t.subject_column, t.gallery_column, t.class_column) END,
			facematch_internal.not_held(t.table_name)),
		ARRAY(SELECT concat_ws(' ', unnest(facematch_internal.aliases(o.subject_id)), o.gallery_id, c.name)
			  FROM facematch.opt_out o, facematch.retention_class c
			  WHERE o.revoked_at IS NULL AND (o.until IS NULL OR o.until > clock_timestamp())
				AND facematch_internal.law_gives(o, c.name, t.what, clock_timestamp()))::text,
		bring_to_rules.limited, of_opt_outs => true) a (n bigint);
END
$$;
COMMENT ON FUNCTION facematch_internal.bring_to_rules(regclass, boolean) IS
	'computes the deadlines of a table''s rows again and keeps the earlier ones, and deletes templates of people '
	'who have opted out from a user''s table; returns how many of each';

CREATE PROCEDURE facematch.recompute()
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch_internal.retained_now;
	done record;
BEGIN
	-- A restore with triggers disabled has brought merges and joined nobody.
	UPDATE facematch.subject_merge m SET kept = m.kept
	WHERE m.undone_at IS NULL AND NOT m.merged = ANY (facematch_internal.aliases(m.kept));
	FOR t IN SELECT r.* FROM facematch_internal.retained_now r ORDER BY r.table_name::oid LOOP
		-- Whatever is wrong with one table keeps none of the others from it.
		BEGIN
			done := facematch_internal.bring_to_rules(t.table_name, limited => true);
			IF done.nearer > 0 OR done.declined > 0 THEN
				PERFORM facematch_internal.write_audit('recomputed', jsonb_build_object('table', t.table_name, 'nearer',
					done.nearer,
					'declined', coalesce(done.declined, 0)));
				RAISE NOTICE '%: rows kept longer than their rule says: %; of subjects who have opted out: %',
					t.table_name, done.nearer, coalesce(done.declined, 0);
			END IF;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING '%: deadlines could not be computed again: %', t.table_name, SQLERRM;
		END;
	END LOOP;
END
$$;
COMMENT ON PROCEDURE facematch.recompute() IS
	'computes all deadlines again and keeps the earlier ones, for rows of an attached partition or rows recorded '
	'while the clock was wrong. Joins the subjects of merges, after a restore with triggers disabled. Deletes '
	'templates in users'' tables whose subjects have opted out. Logged by table, with the number of rows. For '
	'superusers';

CREATE FUNCTION facematch.retain(table_name regclass, what text, key_column name DEFAULT 'id',
	class_column name DEFAULT 'retention_class',
								 recorded_column name DEFAULT 'recorded_at', subject_column name DEFAULT 'subject_id',
								 template_column name DEFAULT NULL, gallery_column name DEFAULT NULL,
								 verified_column name DEFAULT NULL, anchor_column name DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
DECLARE
	relation pg_class;
	named name;
	types regtype[];
	purpose text;
	found_type regtype;
	arguments text;
	deferred text;
	remedies text;
	about text := facematch_internal.redacted('table:' || table_name);
	unlogged regclass := (SELECT min(c.oid) FROM facematch_internal.with_heirs(table_name) h
		JOIN pg_class c ON c.oid = h.relation WHERE c.relpersistence = 'u' AND c.relkind = 'r');
BEGIN
	IF table_name IS NULL OR what IS NULL THEN
		RAISE null_value_not_allowed USING CONSTRAINT = 'retained_table_is_named',
			MESSAGE = 'a table and the word that its rules use are needed',
			HINT = 'Such as SELECT facematch.retain(''a_table'', ''encounter'').';
	END IF;
	SELECT c.* INTO relation FROM pg_class c WHERE c.oid = table_name;
	IF relation.oid IS NULL THEN
		RAISE undefined_table USING CONSTRAINT = 'retained_table_exists',
			MESSAGE = format('relation with OID %s does not exist', table_name::oid),
			HINT = 'It has been dropped, or the number is not the OID of a relation.';
	ELSIF relation.relkind NOT IN ('r', 'p') OR relation.relispartition
		OR relation.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) THEN
		RAISE wrong_object_type USING CONSTRAINT = 'table_can_be_retained',
			MESSAGE = format('%s cannot be put under retention', table_name),
			HINT = 'Attach an ordinary or a partitioned table of your own; of a partition, the table it is part of.';
	ELSIF facematch_internal.is_distributed(table_name) THEN
		RAISE wrong_object_type USING CONSTRAINT = 'retained_table_is_not_distributed',
			MESSAGE = format('%s is distributed by Citus and cannot be put under retention', table_name),
			HINT = 'Its rows are in tables of the nodes, which Citus moves and copies. Keep what has deadlines in'
				' galleries on several facematch servers: facematch.shard.';
	ELSIF unlogged IS NOT NULL THEN
		RAISE wrong_object_type USING CONSTRAINT = 'retained_table_is_logged',
			MESSAGE = format('table %s is unlogged and cannot be put under retention', unlogged),
			HINT = format('A crash empties it, held rows included, and no receipt says so. ALTER TABLE %s SET LOGGED.',
				unlogged);
	ELSIF EXISTS (SELECT FROM facematch_internal.retained r WHERE r.table_name = retain.table_name) THEN
		RAISE duplicate_object USING CONSTRAINT = 'table_is_not_retained_yet',
			MESSAGE = format('table %s is under retention already', table_name),
			HINT = 'facematch.release() detaches it.';
	END IF;
	-- What is found from here on stays until the end: its owner cannot put another column in place of the one that was
	-- looked at.
	PERFORM facematch_internal.change_table(table_name, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', table_name));
	-- The column of that type, if the table has exactly one.
	template_column := coalesce(template_column, (SELECT min(a.attname::text) FROM pg_attribute a
		WHERE a.attrelid = table_name AND a.atttypid = '@extschema@.face_embedding'::regtype AND a.attnum > 0
			AND NOT a.attisdropped
		HAVING count(*) = 1));
	IF template_column IS NULL THEN
		RAISE undefined_column USING CONSTRAINT = 'retained_template_column_is_one',
			MESSAGE = format('table %s does not have exactly one column of type face_embedding', table_name),
			HINT = 'Name it: template_column => ''...''.';
	END IF;
	FOR named, types, purpose IN VALUES
		(key_column, '{int2,int4,int8,text,varchar,uuid}'::regtype[], 'key'), (class_column, '{text}', 'retention class'),
		(recorded_column, '{timestamptz}', 'time of recording'), (subject_column, '{uuid}', 'pseudonym'),
		(gallery_column, '{int8}', 'gallery'), (verified_column, '{timestamptz}', 'time of verification'),
		(anchor_column, '{timestamptz}', 'anchor'),
		(template_column, ARRAY['@extschema@.face_embedding'::regtype], 'template'),
		('purge_after', '{timestamptz}', 'deadline')
	LOOP
		found_type := (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = retain.table_name AND a.attname = named
			AND a.attnum > 0 AND NOT a.attisdropped);
		-- The deadline is added, if it is not there.
		CONTINUE WHEN named IS NULL AND purpose <> ALL ('{key,retention class,time of recording}')
			OR found_type IS NULL AND purpose = 'deadline';
		IF found_type IS NULL THEN
			RAISE undefined_column USING CONSTRAINT = 'retained_column_exists',
				MESSAGE = format('table %s has no column %s for the %s', table_name, coalesce(quote_ident(named), 'NULL'),
					purpose),
				HINT = 'Name the column in the call of facematch.retain().';
		ELSIF found_type <> ALL (types) THEN
			RAISE datatype_mismatch USING CONSTRAINT = 'retained_column_type',
				MESSAGE = format('column %I of table %s is of type %s', named, table_name, found_type),
				HINT = format('The %s needs one of: %s.', purpose, array_to_string(types, ', '));
		END IF;
	END LOOP;

	PERFORM facematch_internal.change_table(table_name,
		format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS purge_after timestamptz', table_name));
	SELECT string_agg(format('%I on %s', d.name, d.relation), ', ' ORDER BY d.relation::text, d.name),
		string_agg(d.remedy, '; ' ORDER BY d.relation::text, d.name)
	INTO deferred, remedies FROM facematch_internal.deferred_triggers(table_name) d;
	IF deferred IS NOT NULL THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'retained_table_defers_nothing',
			MESSAGE = format('table %s cannot be put under retention: a purge could not fire what it has deferred', table_name),
			DETAIL = format('Initially deferred: %s. The purge runs what a table fires with its owner''s rights, and '
				'none of it at the commit.', deferred),
			HINT = format('Declare it immediate: %s.', remedies);
	END IF;
	-- To the log a table is its name.  While it has another that was renamed or dropped since, this one's row would be
	-- taken for a dump's.
	PERFORM facematch_internal.write_audit('table_released', jsonb_build_object('about', about,
		'renamed_or_dropped', true), only_after => '{table_retained,table_changed}');
	INSERT INTO facematch_internal.retained (table_name, what, key_column, class_column, recorded_column,
		subject_column, template_column,
									gallery_column, verified_column, anchor_column, row_security)
	VALUES (table_name, what, key_column, class_column, recorded_column, subject_column, template_column,
			gallery_column, verified_column, anchor_column, NOT relation.relrowsecurity);

	SELECT string_agg(quote_literal(name || '=' || value), ', ') INTO arguments
	FROM (VALUES ('what', what), ('key', key_column::text), ('class', class_column::text), ('recorded',
		recorded_column::text),
				 ('purge', 'purge_after'), ('subject', subject_column::text), ('template', template_column::text),
				     ('gallery', gallery_column::text),
				 ('verified', verified_column::text), ('anchor', anchor_column::text)) a (name, value)
	WHERE value IS NOT NULL;
	PERFORM facematch_internal.change_table(table_name, format(
		'CREATE TRIGGER facematch_20_guard BEFORE INSERT OR UPDATE OR DELETE ON %1$s'
		' FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard(%2$s);'
		'CREATE TRIGGER facematch_30_skipped AFTER INSERT ON %1$s'
		' FOR EACH STATEMENT EXECUTE FUNCTION facematch_internal.guard();'
		'CREATE TRIGGER facematch_40_truncate BEFORE TRUNCATE ON %1$s'
		' FOR EACH STATEMENT EXECUTE FUNCTION facematch_internal.refuse_change();'
		'CREATE TRIGGER facematch_70_deleted AFTER DELETE ON %1$s'
		' FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard();'
		'ALTER TABLE %1$s ENABLE ALWAYS TRIGGER facematch_20_guard, ENABLE ALWAYS TRIGGER facematch_40_truncate,'
		' ENABLE ALWAYS TRIGGER facematch_70_deleted', table_name, arguments));
	PERFORM facematch_internal.bring_to_rules(table_name, limited => false);
	PERFORM facematch_internal.change_table(table_name, format(
		'ALTER TABLE %1$s ALTER COLUMN purge_after SET NOT NULL;'
		'CREATE INDEX ON %1$s (purge_after) WHERE purge_after < ''infinity''', table_name));

	IF NOT relation.relrowsecurity THEN
		PERFORM facematch_internal.change_table(table_name, format('ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY;'
			'CREATE POLICY facematch_open ON %1$s USING (true) WITH CHECK (true)', table_name));
	END IF;
	PERFORM facematch_internal.change_table(r.table_name,
		format('CREATE POLICY facematch_due ON %s AS RESTRICTIVE USING %s WITH CHECK (true)',
																 r.table_name, r.due_condition))
	FROM facematch_internal.retained_now r WHERE r.table_name = retain.table_name;
END
$$;
COMMENT ON FUNCTION facematch.retain(regclass, text, name, name, name, name, name, name, name, name) IS
	'puts a table with templates under retention: deadlines by the rules for "what", opt-outs, holds and the '
	'purge, as on references. Adds a column purge_after, triggers and row security (only the owner sees due rows), '
	'and computes the deadlines of the existing rows. Partitioned tables too. For superusers: the table''s own '
	'code runs as its owner. Missing column: 42703; of another type: 42804; a class without a rule: 23503; '
	'attached already: 42710; unlogged: 42809; triggers that are initially deferred and that a purge would fire, '
	'while the owner is not a superuser: 55000. So are partitions of several owners who are not superusers, and '
	'AFTER triggers or rules of another such owner''s table that foreign keys lead to';

CREATE FUNCTION facematch.release(table_name regclass) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch_internal.retained;
	held bigint;
BEGIN
	SELECT r.* INTO t FROM facematch_internal.retained r WHERE r.table_name = release.table_name AND NOT r.shipped
		FOR UPDATE;
	IF NOT FOUND THEN
		RAISE undefined_object USING CONSTRAINT = 'table_is_attached',
			MESSAGE = format('table %s was not attached', table_name),
			HINT = 'facematch.attached lists the tables that can be released.';
	END IF;
	-- Without a hold nothing of the table runs: what cannot be stopped there is released, too.  Each partition is asked,
	-- as its owner: of a table of several owners only those can be.
	SELECT sum(a.held) INTO held FROM facematch_internal.retained_part p JOIN pg_class c ON c.oid = p.relation
		AND c.relkind <> 'p' CROSS JOIN LATERAL facematch_internal.ask_table(p.relation,
		format('SELECT count(*) FROM @table d WHERE NOT (true%s)', facematch_internal.not_held(release.table_name)),
		limited => false) a (held bigint)
	WHERE p.table_name = release.table_name AND EXISTS (SELECT FROM facematch.held);
	IF held > 0 THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'row_is_not_held',
			MESSAGE = format('%s is under retention and cannot be released: holds keep %s of its rows', table_name, held),
			HINT = 'facematch.held says why and until when.';
	END IF;
	DELETE FROM facematch_internal.retained r WHERE r.table_name = release.table_name;
	PERFORM facematch_internal.change_table(table_name, format('DROP TRIGGER IF EXISTS facematch_20_guard ON %1$s;'
		'DROP TRIGGER IF EXISTS facematch_30_skipped ON %1$s;DROP TRIGGER IF EXISTS facematch_40_truncate ON %1$s;'
		'DROP TRIGGER IF EXISTS facematch_70_deleted ON %1$s;DROP POLICY IF EXISTS facematch_due ON %1$s', table_name));
	DELETE FROM facematch_internal.unreached u WHERE u.relation = release.table_name;
	DELETE FROM facematch_internal.quarantined q WHERE q.relation IN (SELECT h.relation
		FROM facematch_internal.with_heirs(release.table_name) h);
	IF t.row_security THEN
		PERFORM facematch_internal.change_table(table_name, format('DROP POLICY IF EXISTS facematch_open ON %1$s;'
			'ALTER TABLE %1$s DISABLE ROW LEVEL SECURITY', table_name));
	END IF;
	-- DROP COLUMN ... CASCADE may have taken the column with the policy.
	IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = release.table_name AND a.attname = 'purge_after'
			AND NOT a.attisdropped) THEN
		PERFORM facematch_internal.change_table(table_name, format('ALTER TABLE %s ALTER COLUMN purge_after DROP NOT NULL',
			table_name));
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.release(regclass) IS 'takes a table out of retention again: drops the triggers and row '
	'security policies; rows and their purge_after stay. Logged. Not attached: 42704; while holds keep rows of it: '
	'23000';

CREATE VIEW facematch.attached AS
	SELECT r.table_name, r.what, r.key_column, r.class_column, r.recorded_column, r.subject_column, r.template_column,
		r.gallery_column,
		   r.verified_column, r.anchor_column
	FROM facematch_internal.retained r JOIN pg_catalog.pg_class c ON c.oid = r.table_name WHERE NOT r.shipped;
COMMENT ON VIEW facematch.attached IS 'tables of users under retention';
COMMENT ON COLUMN facematch.attached.table_name IS 'the table';
COMMENT ON COLUMN facematch.attached.what IS 'the word that the rules use for its rows';
COMMENT ON COLUMN facematch.attached.key_column IS 'the column that holds name rows by';
COMMENT ON COLUMN facematch.attached.class_column IS 'the retention class';
COMMENT ON COLUMN facematch.attached.recorded_column IS 'when the row was recorded';
COMMENT ON COLUMN facematch.attached.subject_column IS 'the pseudonym; NULL: none';
COMMENT ON COLUMN facematch.attached.template_column IS 'the template';
COMMENT ON COLUMN facematch.attached.gallery_column IS 'the gallery; NULL: none';
COMMENT ON COLUMN facematch.attached.verified_column IS 'when identity was verified; NULL: none';
COMMENT ON COLUMN facematch.attached.anchor_column IS 'what takes the place of a gallery''s anchor where it is not '
	'NULL; NULL: none';
