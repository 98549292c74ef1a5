/*
 * The purge, what will be due, and the tables of users.
 */

CREATE PROCEDURE facematch.purge(batch integer DEFAULT 10000)
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_purge';
COMMENT ON PROCEDURE facematch.purge(integer) IS
	'deletes what is due in every table under retention, the longest due first, and writes receipts. Commits after every batch of rows (within a transaction block it cannot, and does all in one); several may run at once. Held rows stay; a gallery goes with its last reference. A batch below 1: 22023';
REVOKE ALL ON PROCEDURE facematch.purge(integer) FROM PUBLIC;

---------------------------------------------------------------- advance notice

CREATE FUNCTION facematch.due_soon(within interval DEFAULT NULL)
	RETURNS TABLE (table_name regclass, row_id text, subject_id uuid, retention_class text, rule text, purge_after timestamptz)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch.retained;
BEGIN
	FOR t IN SELECT r.* FROM facematch.retained r JOIN pg_class c ON c.oid = r.table_name ORDER BY r.table_name::text LOOP
		RETURN QUERY EXECUTE format(
			'SELECT $2, d.%I::text, %s, d.%I, u.name, d.purge_after'
			' FROM (SELECT DISTINCT ON (u.retention_class) u.* FROM facematch.retention_rule u'
			'       WHERE u.what = $3 AND u.valid_from <= now() AND now() < u.valid_to ORDER BY u.retention_class, u.valid_from DESC) u'
			' JOIN %s d ON d.%I = u.retention_class'
			' WHERE d.purge_after > now() AND d.purge_after <= now() + coalesce($1, u.notice_before) ORDER BY d.purge_after',
			t.key_column, CASE WHEN t.subject_column IS NULL THEN 'NULL::uuid' ELSE format('d.%I', t.subject_column) END,
			t.class_column, t.table_name, t.class_column)
			USING within, t.table_name, t.what;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch.due_soon(interval) IS
	'rows that will be due within an interval; without one, within the advance notice that their rule demands (retention_rule.notice_before)';
REVOKE ALL ON FUNCTION facematch.due_soon(interval) FROM PUBLIC;
