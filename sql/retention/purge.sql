/*
 * The purge, rows that will be due soon, and users' tables.
 */

CREATE PROCEDURE facematch.purge(batch integer DEFAULT 10000)
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_purge';
COMMENT ON PROCEDURE facematch.purge(integer) IS
	'deletes due rows in every table under retention, those due longest first, and writes receipts. Commits after '
	'every batch of rows (within a transaction block it cannot, and does everything in that transaction, and '
	'tables that could not be purged are a warning); several may run at once. Held rows stay; a due gallery is '
	'deleted after its last reference. Tables that could not be purged: 55000, when all others have been; a batch '
	'below 1: 22023';

---------------------------------------------------------------- advance notice

CREATE FUNCTION facematch.due_soon(within interval DEFAULT NULL)
	RETURNS TABLE (table_name regclass, row_id text, subject_id uuid, retention_class text, rule text,
		purge_after timestamptz)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
	t facematch_internal.retained_now;
BEGIN
	FOR t IN SELECT r.* FROM facematch_internal.retained_now r ORDER BY r.table_name::text LOOP
		BEGIN
			RETURN QUERY SELECT t.table_name, d.* FROM unnest(ARRAY(
					SELECT DISTINCT ON (u.retention_class) u FROM facematch.retention_rule u
					WHERE u.what = t.what AND u.valid_from <= now() AND now() < u.valid_to ORDER BY u.retention_class,
						u.valid_from DESC)) u
				CROSS JOIN LATERAL (SELECT a.row_id, a.subject_id, u.retention_class, u.name, a.purge_after
					FROM facematch_internal.ask_table(t.table_name, format(
						'SELECT d.%I::text, %s, d.purge_after FROM @table d WHERE d.%I = $4 AND d.purge_after > now() AND '
						'd.purge_after <= now() + %L::interval',
						t.key_column, coalesce('d.' || quote_ident(t.subject_column), 'NULL::uuid'), t.class_column,
						coalesce(within, u.notice_before)), u.retention_class)
						a (row_id text, subject_id uuid, purge_after timestamptz)) d
				ORDER BY 6;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'table % cannot be read: %', t.table_name,
				CASE SQLSTATE WHEN '55P03' THEN 'another session has locked it' ELSE SQLERRM END;
			PERFORM set_config('lock_timeout', '100ms', true) WHERE SQLSTATE = '55P03';
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch.due_soon(interval) IS
	'rows that will be due within an interval; without one, within the notice_before of their rule '
	'(retention_rule.notice_before). A table that another session has locked for longer than a second, or that '
	'cannot be read, is left out, with a warning';
