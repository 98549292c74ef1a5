/*
 * Files that no relation has: a crash in a rewrite, CREATE INDEX, SET TABLESPACE
 * or CREATE DATABASE leaves what was written so far, and the server never looks
 * at it again.
 */

CREATE FUNCTION facematch_internal.orphaned_files() RETURNS TABLE (path text, bytes bigint, modified_at timestamptz,
	orphaned boolean)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- What is written in a minute may have its time from another clock, or from the second before.
	margin CONSTANT interval := '1 minute';
	database pg_database := (SELECT d FROM pg_database d WHERE d.datname = current_database());
	-- Where each tablespace has the directories of databases; 1663 is pg_default, 1664 pg_global: shared catalogs.
	roots CONSTANT jsonb := (
		SELECT jsonb_object_agg(s.oid, CASE s.oid WHEN 1663 THEN 'base' ELSE format('pg_tblspc/%s/PG_%s_%s', s.oid,
			current_setting('server_version_num')::integer / 10000, c.catalog_version_no) END)
		FROM pg_tablespace s CROSS JOIN pg_control_system() c WHERE s.oid <> 1664);
	spaces oid[];
	paths text[];
	nodes bigint[];
	suspects text[];
	temporary text[];
	directories text[];
	since timestamptz;
BEGIN
	-- The listing comes before the catalog: what is made meanwhile is not in it, and what goes meanwhile is not there in
	-- the end.
	SELECT array_agg(d.space::oid), array_agg(format('%s/%s/%s', d.path, database.oid, f.name)),
		   array_agg((regexp_match(f.name, '^(?:t\d+_)?(\d+)'))[1]::bigint)
	INTO spaces, paths, nodes
	FROM jsonb_each_text(roots) d (space, path)
	CROSS JOIN LATERAL pg_ls_dir(format('%s/%s', d.path, database.oid), true, false) f (name)
	WHERE f.name ~ '^(t\d{1,9}_)?\d{1,10}(_(fsm|vm|init))?(\.\d+)?$';
	temporary := ARRAY(SELECT format('%s/pgsql_tmp/%s', d.path, f.name)
					   FROM jsonb_each_text(roots) d (space, path)
					   CROSS JOIN LATERAL pg_ls_dir(d.path || '/pgsql_tmp', true, false) f (name)
					   WHERE f.name ~ '^pgsql_tmp\d{1,9}\.');
	directories := ARRAY(SELECT format('%s/%s', d.path, f.name)
						 FROM jsonb_each_text(roots) d (space, path)
						 CROSS JOIN LATERAL pg_ls_dir(d.path, true, false) f (name)
						 WHERE f.name ~ '^\d{1,10}$' AND NOT EXISTS (SELECT FROM pg_database b WHERE b.oid::text = f.name));

	-- The first look is quick and may be old; pg_filenode_relation() looks at what is committed now, and knows mapped
	-- catalogs.
	WITH unknown AS MATERIALIZED (
		SELECT f.space, f.path, f.node FROM unnest(spaces, paths, nodes) f (space, path, node)
		LEFT JOIN pg_class c ON c.relfilenode <> 0 AND c.relfilenode::bigint = f.node
			AND coalesce(nullif(c.reltablespace, 0), database.dattablespace) = f.space
		WHERE c.oid IS NULL)
	SELECT array_agg(u.path) INTO suspects FROM unknown u
	WHERE CASE WHEN u.node BETWEEN 1 AND 4294967295 THEN pg_filenode_relation(u.space, u.node::oid) IS NULL ELSE true END;

	IF suspects IS NOT NULL THEN
		-- Since when a transaction of this database may have made a file that nobody else knows of yet; -infinity where
		-- one may know that is not seen here, or may be about to remove a file that it has replaced: it holds no lock any
		-- more, not even on its own number. Who has just committed removes its files within moments, and is seen at work
		-- until it has.
		FOR attempt IN 1 .. 5 LOOP
			PERFORM pg_sleep(0.05), pg_stat_clear_snapshot();
			SELECT CASE WHEN pg_is_in_recovery() OR EXISTS (SELECT FROM pg_prepared_xacts p
				WHERE p.database = current_database())
						  OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
									 AND l.mode = 'AccessExclusiveLock')
						THEN '-infinity' ELSE coalesce(min(t.since), now()) END
			INTO since
			FROM (SELECT CASE WHEN a.state = 'disabled' OR v.pid IS NULL OR a.query ~* 'prepared' THEN '-infinity'
							  WHEN a.backend_xid IS NOT NULL
								OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'relation'
										   AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))
							  THEN a.xact_start END
				  FROM pg_stat_activity a
				  LEFT JOIN pg_locks v ON v.pid = a.pid AND v.locktype = 'virtualxid' AND v.mode = 'ExclusiveLock'
				  WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
					AND (a.xact_start IS NOT NULL OR a.state = 'disabled')) t (since);
			EXIT WHEN since > '-infinity' OR pg_is_in_recovery();
		END LOOP;
		RETURN QUERY
		SELECT s.path, f.size, f.modification, CASE WHEN f.modification < since - margin THEN true END
		FROM unnest(suspects) s (path) CROSS JOIN LATERAL pg_stat_file(s.path, true) f WHERE f.size > 0;
	END IF;

	IF temporary <> '{}' THEN
		PERFORM pg_stat_clear_snapshot();
		suspects := ARRAY(SELECT t.path FROM unnest(temporary) t (path)
						  WHERE NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = (regexp_match(t.path,
							'/pgsql_tmp(\d+)\.[^/]*$'))[1]::integer));
		RETURN QUERY SELECT t.path, f.size, f.modification, true FROM unnest(suspects) t (path)
			CROSS JOIN LATERAL pg_stat_file(t.path, true) f WHERE f.size > 0;
	END IF;

	-- A whole database; one that is being made has a transaction at work, in whichever database.
	IF directories <> '{}' AND NOT pg_is_in_recovery() THEN
		since := (SELECT coalesce(min(a.xact_start), now()) FROM pg_stat_activity a WHERE a.backend_xid IS NOT NULL);
		RETURN QUERY
		SELECT d.path, (SELECT sum(g.size)::bigint FROM pg_ls_dir(d.path, true, false) n (name)
			CROSS JOIN LATERAL pg_stat_file(d.path || '/' || n.name, true) g), f.modification, true
		FROM unnest(directories) d (path) CROSS JOIN LATERAL pg_stat_file(d.path, true) f
		WHERE f.modification < since - margin AND NOT EXISTS (SELECT FROM pg_database b WHERE d.path LIKE '%/'
			|| b.oid::text);
	END IF;
END
$$;
COMMENT ON FUNCTION facematch_internal.orphaned_files() IS
	'files of this database that no relation has, temporary files of sessions that have ended, and directories of '
	'no database, as a crash leaves them, relative to the data directory, with size and last change. orphaned: '
	'true, nobody''s; NULL, it may be of a transaction at work, or of a primary''s on a standby. Empty ones are '
	'not listed';

