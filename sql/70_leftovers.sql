/*
 * What deleted rows have left behind.
 */

CREATE FUNCTION facematch.leftovers(table_name regclass)
	RETURNS TABLE (relation regclass, pages bigint, dead_tuples bigint, fading_tuples bigint, stray_bytes bigint, clean boolean)
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_leftovers';
COMMENT ON FUNCTION facematch.leftovers(regclass) IS
	'looks at every page of a table and of its TOAST table: deleted rows whose bytes are whole (dead_tuples), deleted rows that an old snapshot may see (fading_tuples), and other bytes outside rows that are not zero. Reads only';
REVOKE ALL ON FUNCTION facematch.leftovers(regclass) FROM PUBLIC;

CREATE FUNCTION facematch.verify_erased(table_name regclass)
	RETURNS TABLE (relation regclass, pages bigint, dead_tuples bigint, fading_tuples bigint, stray_bytes bigint, clean boolean)
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.* FROM (SELECT p.relid FROM pg_partition_tree($1) p WHERE p.isleaf
					 UNION SELECT c.oid FROM pg_class c WHERE c.oid = $1 AND c.relkind = 'r') leaf
	CROSS JOIN LATERAL facematch.leftovers(leaf.relid) l
$$;
COMMENT ON FUNCTION facematch.verify_erased(regclass) IS
	'whether deleted rows of a table are gone from its pages: one row for each table and TOAST table, clean when nothing is left. Indexes, WAL, backups and standbys are not looked at';
REVOKE ALL ON FUNCTION facematch.verify_erased(regclass) FROM PUBLIC;
