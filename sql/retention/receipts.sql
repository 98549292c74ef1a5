---------------------------------------------------------------- receipts name the rule

CREATE FUNCTION facematch_internal.write_receipt(cause text, table_name text, retention_class text, rows_purged bigint,
	rows_held bigint,
										earliest_due timestamptz, latest_due timestamptz) RETURNS void
	-- what is done here is in the log here
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET session_replication_role = origin
AS $$
	INSERT INTO facematch.purge_receipt (cause, table_name, retention_class, rule, rows_purged, rows_held, earliest_due,
		latest_due)
	SELECT $1, $2, nullif($3, ''),
		   (SELECT r.name FROM facematch.retention_rule r JOIN facematch_internal.retained t USING (what)
			WHERE t.table_name = to_regclass($2) AND r.retention_class = $3
			  AND r.valid_from <= clock_timestamp() AND clock_timestamp() < r.valid_to
			ORDER BY r.valid_from DESC, r.name COLLATE "C" DESC LIMIT 1),
		   $4, $5, nullif($6, '-infinity'), nullif($7, '-infinity')
$$;
COMMENT ON FUNCTION facematch_internal.write_receipt(text, text, text, bigint, bigint, timestamptz, timestamptz) IS
	'writes a receipt; for the extension''s own functions';
