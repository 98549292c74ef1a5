/*
 * Erasing what removed rows have left behind, and proving it: in pages, in the
 * planner's statistics, and elsewhere.
 */

---------------------------------------------------------------- pages

CREATE FUNCTION facematch_internal.erase_pages(table_name regclass)
	RETURNS TABLE (relation regclass, pages bigint, pages_cleared bigint, removed bigint, fading_tuples bigint,
		busy_pages bigint, left_to_vacuum boolean)
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_erase';
COMMENT ON FUNCTION facematch_internal.erase_pages(regclass) IS
	'what facematch.erase() does to a table''s own pages, and nothing to its statistics';

CREATE TYPE facematch_internal.erased_part AS (
	relation regclass, part text, pages bigint, dead_tuples bigint, fading_tuples bigint, stray_bytes bigint,
		padding_bytes bigint,
	kept_keys bigint, unwritten_pages bigint, clean boolean, note text
);
COMMENT ON TYPE facematch_internal.erased_part IS 'a line of facematch.verify_erased()';

CREATE FUNCTION facematch_internal.verify_pages(table_name regclass) RETURNS SETOF facematch_internal.erased_part
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_verify_pages';
COMMENT ON FUNCTION facematch_internal.verify_pages(regclass) IS
	'what facematch.verify_erased() says of a table''s own pages, and nothing beyond them';

---------------------------------------------------------------- statistics

CREATE FUNCTION facematch_internal.with_heirs(table_name regclass, and_parents boolean DEFAULT false,
	and_referring boolean DEFAULT false) RETURNS TABLE (relation regclass)
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'facematch_with_heirs';
COMMENT ON FUNCTION facematch_internal.with_heirs(regclass, boolean, boolean) IS
	'a table, its partitions and the tables that inherit from it; and_parents: and those that it is a partition of or'
	' inherits from, because ANALYZE gathers its values for these too; or and_referring: and those whose rows foreign'
	' keys change or delete with theirs, and so on';

-- A template may also be in an array of numbers, in bytes, or in a vector of another extension.
-- Down through domains, arrays, composites, ranges and multiranges. What is an array's element is that through
-- domains, too.
CREATE FUNCTION facematch_internal.template_types(column_types oid[], in_other_forms boolean) RETURNS TABLE (type oid)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE part AS (
		SELECT c.oid AS type, c.oid, false AS is_element FROM unnest($1) c (oid)
		UNION
		SELECT p.type, u.oid, u.is_element FROM part p JOIN pg_type t ON t.oid = p.oid CROSS JOIN LATERAL (
			SELECT t.typbasetype AS oid, p.is_element WHERE t.typtype = 'd'
			UNION ALL SELECT t.typelem, t.typlen = -1 WHERE t.typelem <> 0
			UNION ALL SELECT a.atttypid, false FROM pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid
				AND a.attnum > 0 AND NOT a.attisdropped
			UNION ALL SELECT r.rngsubtype, false FROM pg_range r WHERE r.rngtypid = t.oid
			UNION ALL SELECT r.rngtypid, false FROM pg_range r WHERE r.rngmultitypid = t.oid) u
	)
	SELECT DISTINCT p.type FROM part p JOIN pg_type t ON t.oid = p.oid
	WHERE p.oid = '@extschema@.face_embedding'::regtype
	   OR ($2 AND (p.oid = 'bytea'::regtype OR t.typname IN ('vector', 'halfvec', 'sparsevec')
				   OR (p.is_element AND p.oid IN ('real'::regtype, 'double precision'::regtype, 'numeric'::regtype))))
$$;
COMMENT ON FUNCTION facematch_internal.template_types(oid[], boolean) IS
	'those of the types whose values may hold face_embedding, whatever they are made of: domains, arrays,'
	' composites, ranges, multiranges, and these of one another; in other forms: or bytea, arrays of real, double'
	' precision or numeric, or vectors of pgvector';

CREATE FUNCTION facematch_internal.template_columns(table_name regclass)
	RETURNS TABLE (relation regclass, attnum smallint)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH holder AS (
		SELECT h.relation AS oid, h.relation AS of_table FROM facematch_internal.with_heirs($1, true) h
		UNION ALL
		SELECT x.indexrelid, h.relation FROM pg_index x JOIN facematch_internal.with_heirs($1, true) h
			ON h.relation = x.indrelid
	), typed AS (
		SELECT h.of_table, a.attrelid, a.attnum
		FROM holder h JOIN pg_attribute a ON a.attrelid = h.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE a.atttypid IN (SELECT k.type FROM facematch_internal.template_types(ARRAY(
			SELECT b.atttypid FROM holder o JOIN pg_attribute b ON b.attrelid = o.oid AND b.attnum > 0 AND NOT b.attisdropped),
				true) k)
	)
	SELECT t.attrelid::regclass, t.attnum FROM typed t
	UNION
	-- Whatever is computed from a template may be the template: as text, for instance.
	SELECT a.attrelid::regclass, a.attnum
	FROM holder h JOIN pg_attribute a ON a.attrelid = h.oid AND a.attnum > 0 AND NOT a.attisdropped AND NOT a.attbyval
	LEFT JOIN pg_index x ON x.indexrelid = h.oid
	WHERE (a.attgenerated <> '' OR x.indkey[a.attnum - 1] = 0) AND h.of_table IN (SELECT t.of_table FROM typed t)
$$;
COMMENT ON FUNCTION facematch_internal.template_columns(regclass) IS
	'columns of a table, its partitions, what it is a partition of, and their indexes, that may hold templates:'
	' face_embedding, bytea, arrays of real, double precision or numeric, vectors of pgvector, domains, arrays,'
	' composites, ranges and multiranges of these, and what is computed from columns of such a table (generated'
	' columns, expressions of indexes) and not passed by value';

CREATE FUNCTION facematch_internal.forget_statistics(table_name regclass) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	forgotten bigint;
	more bigint;
BEGIN
	DELETE FROM pg_statistic s USING facematch_internal.template_columns(table_name) c
	WHERE s.starelid = c.relation AND s.staattnum = c.attnum
	  AND num_nonnulls(s.stavalues1, s.stavalues2, s.stavalues3, s.stavalues4, s.stavalues5) > 0;
	GET DIAGNOSTICS forgotten = ROW_COUNT;
	DELETE FROM pg_statistic_ext_data d USING pg_statistic_ext e, facematch_internal.template_columns(table_name) c
	WHERE d.stxoid = e.oid AND e.stxrelid = c.relation AND num_nonnulls(d.stxdmcv, d.stxdexpr) > 0
	  AND (c.attnum = ANY (e.stxkeys) OR d.stxdexpr IS NOT NULL);
	GET DIAGNOSTICS more = ROW_COUNT;
	RETURN forgotten + more;
END
$$;
COMMENT ON FUNCTION facematch_internal.forget_statistics(regclass) IS
	'deletes the planner''s statistics of columns that may hold templates, where they hold values; returns how '
	'many rows. ANALYZE collects them again: SET STATISTICS 0 on such a column prevents that (face_embedding keeps '
	'no values by itself)';

---------------------------------------------------------------- erase

-- What this transaction deletes it cannot erase: it may yet be rolled back, and others still see it.
CREATE FUNCTION facematch.erase(table_name regclass)
	RETURNS TABLE (relation regclass, pages bigint, pages_cleared bigint, removed bigint, fading_tuples bigint,
		busy_pages bigint, left_to_vacuum boolean,
				   note text)
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	forgotten bigint := 0;
	part regclass;
BEGIN
	FOREACH part IN ARRAY ARRAY[table_name, 'pg_statistic'::regclass, 'pg_statistic_ext_data'::regclass] LOOP
		FOR relation, pages, pages_cleared, removed, fading_tuples, busy_pages, left_to_vacuum IN
			SELECT e.* FROM facematch_internal.erase_pages(part) e
		LOOP
			note := CASE WHEN forgotten > 0 AND fading_tuples > 0
						 THEN 'statistics that may hold templates were deleted in this transaction: call again after it commits,'
							' or CALL facematch.erase_table(), which does both'
						 WHEN fading_tuples > 0 THEN 'a transaction may still see deleted rows: call again after it ends'
						 WHEN busy_pages > 0 THEN 'another session uses pages with deleted rows: call again'
						 WHEN left_to_vacuum THEN 'an index still has entries of removed rows: VACUUM the table, then call'
							' again' END;
			RETURN NEXT;
		END LOOP;
		IF part = table_name THEN
			forgotten := facematch_internal.forget_statistics(table_name);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch.erase(regclass) IS
	'sets the bytes of removed rows to zero in a table, its partitions, their TOAST tables and indexes, on '
	'standbys through WAL, and deletes values that may be templates from the planner''s statistics. One row for '
	'each relation: pages examined and changed, rows or index entries removed, deleted rows that a transaction may '
	'still see (fading_tuples; call again once it has ended), pages that another session is using (busy_pages; '
	'call again), whether VACUUM must remove entries of removed rows from an index (left_to_vacuum), and in note '
	'what is left to do (NULL: nothing). The values that it deleted from the statistics are this transaction''s '
	'own deletions, which the next call erases: CALL facematch.erase_table() commits in between. Does not block '
	'readers and writers; throttled by vacuum_cost_delay, shown in facematch.erase_progress; may be cancelled and '
	'called again. Of a foreign table, its statistics only. A view, or a table with a foreign partition: 42809; a '
	'damaged page: XX001, with its block';

CREATE PROCEDURE facematch.erase_table(table_name regclass)
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_erase_table';
COMMENT ON PROCEDURE facematch.erase_table(regclass) IS
	'does what facematch.erase() does in transactions of its own, with no snapshot of its own while it erases: one '
	'call is enough, statistics included. A WARNING says what another call has to do, and why. Settles no '
	'receipts: CALL facematch.purge() does. Within a transaction block or a function: 25001; a view or foreign '
	'table: 42809; a damaged page: XX001, with its block';

-- 64206 is how facematch.erase() marks its lines among those of VACUUM.
CREATE VIEW facematch.erase_progress AS
	SELECT p.pid, d.datname, p.relid::regclass AS relation, CASE p.param1 WHEN 2 THEN 'indexes' ELSE 'table' END AS phase,
		   p.param2 AS pages_total, p.param3 AS pages_done
	FROM pg_catalog.pg_stat_get_progress_info('VACUUM') p JOIN pg_catalog.pg_database d ON d.oid = p.datid
	WHERE p.param20 = 64206;
COMMENT ON VIEW facematch.erase_progress IS
	'running calls of facematch.erase() and of purges that erase, as pg_stat_progress_vacuum shows them among '
	'VACUUMs';
COMMENT ON COLUMN facematch.erase_progress.pid IS 'process id of the backend';
COMMENT ON COLUMN facematch.erase_progress.datname IS 'its database';
COMMENT ON COLUMN facematch.erase_progress.relation IS
	'the table or TOAST table it is at; a number if it is in another database';
COMMENT ON COLUMN facematch.erase_progress.phase IS 'table, or indexes (of that table)';
COMMENT ON COLUMN facematch.erase_progress.pages_total IS 'pages of the table';
COMMENT ON COLUMN facematch.erase_progress.pages_done IS 'pages of the table behind it';

---------------------------------------------------------------- beyond the tables

CREATE FUNCTION facematch_internal.wal_files() RETURNS TABLE (oldest_lsn pg_lsn, current_lsn pg_lsn, files bigint,
	recycled_files bigint, unknown_files bigint)
	LANGUAGE C VOLATILE ROWS 1 AS 'MODULE_PATHNAME', 'facematch_wal_files';
COMMENT ON FUNCTION facematch_internal.wal_files() IS
	'what the files in pg_wal hold, page by page; for facematch.wal_horizon()';

CREATE FUNCTION facematch.wal_horizon()
	RETURNS TABLE (oldest_lsn pg_lsn, current_lsn pg_lsn, redo_lsn pg_lsn, files bigint, recycled_files bigint,
		unknown_files bigint,
				   oldest_slot name, slot_lsn pg_lsn, wal_recycle boolean, wal_keep_size text, archiving boolean,
					unarchived_files bigint)
	LANGUAGE sql VOLATILE ROWS 1 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.oldest_lsn, f.current_lsn, c.redo_lsn, f.files, f.recycled_files, f.unknown_files, s.slot_name,
		s.restart_lsn,
		   current_setting('wal_recycle')::boolean, current_setting('wal_keep_size'),
			current_setting('archive_mode') <> 'off',
		   (SELECT count(*) FROM pg_ls_archive_statusdir() a WHERE a.name LIKE '%.ready')
	FROM facematch_internal.wal_files() f CROSS JOIN pg_control_checkpoint() c
	LEFT JOIN (SELECT r.slot_name, r.restart_lsn FROM pg_replication_slots r WHERE r.restart_lsn IS NOT NULL
		ORDER BY r.restart_lsn LIMIT 1) s ON true
$$;
COMMENT ON FUNCTION facematch.wal_horizon() IS
	'one row: the oldest WAL that any page of any file in pg_wal holds (oldest_lsn; recycled files hold old pages'
	' under new names, recycled_files counts them), where WAL is now, where a recovery would begin (redo_lsn:'
	' changes before it are in the data files), and what keeps files: the slot that is farthest behind,'
	' wal_keep_size, files not archived yet. What was erased at erasure.wal_lsn is gone from this server''s WAL'
	' once oldest_lsn is not below it and unknown_files is 0';

CREATE FUNCTION facematch_internal.out_of_reach(erased_lsn pg_lsn DEFAULT NULL)
	RETURNS TABLE (part text, clean boolean, note text)
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'replication slot', false, format('%s keeps WAL from %s on', s.slot_name, s.restart_lsn)
	FROM pg_replication_slots s WHERE s.restart_lsn IS NOT NULL AND ($1 IS NULL OR s.restart_lsn < $1)
	UNION ALL
	SELECT 'standby', CASE WHEN r.replay_lsn < $1 THEN false END,
		   format('%s has replayed to %s; its pages are erased up to there; its own WAL files are not checked',
			coalesce(nullif(r.application_name, ''), host(r.client_addr), 'unnamed'), r.replay_lsn)
	FROM pg_stat_replication r
	UNION ALL
	SELECT 'archive', NULL, 'archived WAL holds every row until the archive deletes it'
	WHERE current_setting('archive_mode') <> 'off'
	UNION ALL
	SELECT 'backups', NULL, 'the server does not know base backups, dumps and copies that were made earlier'
	UNION ALL
	SELECT 'orphaned files', NOT g.orphaned,
		   format('files that belong to no relation: %s, of %s: %s%s; %s', g.n, pg_size_pretty(g.bytes),
			array_to_string(g.paths[1:10], ', '),
				  CASE WHEN g.n > 10 THEN '; facematch_internal.orphaned_files() lists all' END,
				  CASE WHEN g.orphaned
					   THEN 'left by a crash: remove them while the server is stopped, or dump and restore the database'
					   ELSE 'used by a running transaction, or left by a crash' END)
	FROM (SELECT f.orphaned, count(*) AS n, sum(f.bytes) AS bytes, array_agg(f.path ORDER BY f.path) AS paths
		  FROM facematch_internal.orphaned_files() f GROUP BY 1) g
	UNION ALL
	SELECT 'replaced files', NULL, 'files that a rewrite (VACUUM FULL, CLUSTER, REPACK), REINDEX, TRUNCATE or a'
		' truncation by VACUUM returned to the file system, and temporary files, keep their bytes until the file system'
		' reuses the space'
	UNION ALL
	SELECT 'server log', NULL, 'it may contain statements with literals'
	UNION ALL
	SELECT 'prepared transaction', false, format('transaction %s of %I (pg_prepared_xacts) keeps deleted rows from being'
		' removed', p.transaction, p.owner)
	FROM pg_prepared_xacts p WHERE p.database = current_database()
$$;
COMMENT ON FUNCTION facematch_internal.out_of_reach(pg_lsn) IS
	'copies of removed rows that erasing cannot reach: clean is false where one is known to be, NULL where nobody'
	' here can tell. With the WAL position of an erasure, what is past it is left out';

CREATE VIEW facematch_internal.abandoned_index AS
	SELECT c.oid::regclass AS table_name, x.indexrelid::regclass AS relation, x.indislive
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index x ON x.indrelid IN (c.oid, c.reltoastrelid)
	WHERE c.relkind IN ('r', 'm', 'p') AND NOT (x.indislive AND x.indisready);
COMMENT ON VIEW facematch_internal.abandoned_index IS
	'indexes of tables and their TOAST tables that a DROP INDEX CONCURRENTLY has begun to drop, or a CREATE INDEX or'
	' REINDEX CONCURRENTLY has not finished: their files are there, and no statement keeps or reads them';
COMMENT ON COLUMN facematch_internal.abandoned_index.table_name IS 'the table, also of an index of its TOAST table';
COMMENT ON COLUMN facematch_internal.abandoned_index.relation IS 'the index';
COMMENT ON COLUMN facematch_internal.abandoned_index.indislive IS 'false: it is being dropped; true: it '
	'is not finished';

CREATE FUNCTION facematch_internal.write_erasure(table_name text, pages bigint, pages_cleared bigint,
	rows_erased bigint, entries_erased bigint,
										fading_tuples bigint, busy_pages bigint, complete boolean, verified boolean, receipts bigint[],
											notes text[]) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET session_replication_role = origin
AS $$
	WITH written AS (
		INSERT INTO facematch_internal.erasure (table_name, pages, pages_cleared, rows_erased, entries_erased,
			fading_tuples, busy_pages,
									   complete, verified, wal_lsn, unreachable)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 AND NOT EXISTS (SELECT FROM
			facematch_internal.with_heirs(to_regclass($1)) h JOIN facematch_internal.abandoned_index x
			ON x.table_name = h.relation), here.lsn,
			   -- Names of indexes, slots and standbys are others' to choose, and the log has them.
			   ARRAY(SELECT facematch_internal.redacted(u.place)
					 FROM unnest($11 || format('WAL before %s, until facematch.wal_horizon() is past it', here.lsn)
						|| 'data files, until the next checkpoint'::text
								 || ARRAY(SELECT o.part || ': ' || o.note FROM facematch_internal.out_of_reach(here.lsn) o)) WITH
									ORDINALITY u (place, n) ORDER BY u.n)
		FROM pg_current_wal_insert_lsn() here (lsn)
		RETURNING erasure_id)
	INSERT INTO facematch_internal.erased_receipt (receipt_id, erasure_id)
	-- Of a batch that was rolled back there is no receipt.
	SELECT receipt_id, w.erasure_id FROM written w CROSS JOIN unnest($10) n (receipt_id)
		JOIN facematch.purge_receipt r USING (receipt_id) WHERE $8
	ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION facematch_internal.write_erasure(text, bigint, bigint, bigint, bigint, bigint, bigint, boolean,
	boolean, bigint[], text[]) IS
	'writes an erasure down; for the extension''s own functions';

CREATE VIEW facematch.report_erasure AS
	SELECT r.receipt_id, r.purged_at, r.cause, r.table_name, r.retention_class, r.rows_purged, e.erased_at AS erased,
		   coalesce(e.verified, false) AS verified, e.wal_lsn, e.unreachable
	FROM facematch.purge_receipt r
	LEFT JOIN facematch_internal.erased_receipt s USING (receipt_id)
		LEFT JOIN facematch_internal.erasure e USING (erasure_id);
COMMENT ON VIEW facematch.report_erasure IS 'each receipt with what became of the bytes';
COMMENT ON COLUMN facematch.report_erasure.receipt_id IS 'the receipt';
COMMENT ON COLUMN facematch.report_erasure.purged_at IS 'when the rows were deleted';
COMMENT ON COLUMN facematch.report_erasure.cause IS 'why: as in facematch.purge_receipt';
COMMENT ON COLUMN facematch.report_erasure.table_name IS 'the table they were in';
COMMENT ON COLUMN facematch.report_erasure.retention_class IS 'their retention class';
COMMENT ON COLUMN facematch.report_erasure.rows_purged IS 'how many rows were deleted, or had their template cleared';
COMMENT ON COLUMN facematch.report_erasure.erased IS
	'when the last of their bytes was zero in table, TOAST table and indexes; NULL: something is left to the next'
	' purge';
COMMENT ON COLUMN facematch.report_erasure.verified IS
	'whether the pages were read again, and every index is of a kind that can be checked';
COMMENT ON COLUMN facematch.report_erasure.wal_lsn IS 'WAL before this position holds the rows';
COMMENT ON COLUMN facematch.report_erasure.unreachable IS
	'where copies of the rows may be that the purge could not reach';

---------------------------------------------------------------- verify

CREATE FUNCTION facematch_internal.is_distributed(table_name regclass) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found boolean := false;
BEGIN
	IF to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL THEN
		EXECUTE 'SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_partition WHERE logicalrelid = $1)' INTO found
			USING table_name;
	END IF;
	RETURN found;
END
$$;
COMMENT ON FUNCTION facematch_internal.is_distributed(regclass) IS
	'whether Citus keeps the rows of this table in other tables, here or on other nodes';

CREATE FUNCTION facematch.verify_erased(table_name regclass DEFAULT NULL, receipt bigint DEFAULT NULL)
	RETURNS SETOF facematch_internal.erased_part
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	the_receipt record;
	horizon record;
	parts facematch_internal.erased_part[] := '{}';
	line facematch_internal.erased_part;
	verdict facematch_internal.erased_part;
	sealed record;
	utc CONSTANT text := 'YYYY-MM-DD HH24:MI:SS "UTC"';
BEGIN
	IF num_nonnulls(verify_erased.table_name, receipt) <> 1 THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'verify_erased_names_what', MESSAGE = 'name a table or a receipt',
			HINT = 'facematch.verify_erased(''facematch.reference''), or facematch.verify_erased(receipt => 17).';
	END IF;
	SELECT e.*, c.oid AS table_now INTO the_receipt FROM facematch.report_erasure e
	LEFT JOIN facematch_internal.receipt_relation l ON l.receipt_id = e.receipt_id AND NOT l.is_part
	LEFT JOIN pg_class c ON c.oid = l.relation
	WHERE e.receipt_id = receipt;
	IF receipt IS NOT NULL AND NOT FOUND THEN
		RAISE no_data_found USING CONSTRAINT = 'receipt_exists', MESSAGE = format('there is no receipt %s', receipt),
			HINT = 'facematch.purge_receipt lists them.';
	END IF;
	table_name := coalesce(table_name, the_receipt.table_now);
	SELECT * INTO horizon FROM facematch.wal_horizon();
	-- The keys that its templates were ever under: copies can be read as long as one of them is there.
	WITH RECURSIVE under (key_id) AS (
		SELECT r.key_id FROM facematch_internal.receipt_key r WHERE r.receipt_id = receipt
		UNION
		SELECT unnest(k.earlier) FROM under u JOIN facematch_internal.template_key k ON k.key_id = u.key_id
	)
	SELECT count(*) AS keys, count(*) = count(k.destroyed_at) AS destroyed, max(k.destroyed_at) AS destroyed_at,
		   max(k.due) FILTER (WHERE k.destroyed_at IS NULL) AS due,
		   bool_or(u.key_id = '00000000-0000-0000-0000-000000000000') AS mixed
	INTO sealed FROM under u LEFT JOIN facematch_internal.template_key k ON k.key_id = u.key_id;

	-- Pages: of the table, of the planner's statistics, and of partitions that were the table's when the receipt was
	-- written.
	FOR line IN
		SELECT v.* FROM unnest(ARRAY[table_name, 'pg_statistic', 'pg_statistic_ext_data']::regclass[]) c (relation)
		CROSS JOIN LATERAL facematch_internal.verify_pages(c.relation) v
		UNION ALL
		SELECT v.* FROM facematch_internal.receipt_relation l JOIN pg_class c ON c.oid = l.relation AND c.relkind = 'r'
		CROSS JOIN LATERAL facematch.verify_erased(l.relation) v
		WHERE l.receipt_id = receipt AND l.is_part AND (v.relation IS NOT NULL OR v.part = 'data files')
		  AND NOT EXISTS (SELECT FROM facematch_internal.with_heirs(table_name) h WHERE h.relation = l.relation)
	LOOP
		parts := parts || line;
	END LOOP;

	parts := ARRAY(
		SELECT ROW(NULL, 'receipt', NULL, NULL, NULL, NULL, NULL, NULL, NULL, the_receipt.erased IS NOT NULL
			AND the_receipt.verified,
			nullif(concat_ws('; ',
				CASE WHEN the_receipt.erased IS NULL THEN 'its rows are not erased yet: CALL facematch.purge()'
					 WHEN NOT the_receipt.verified THEN 'an index of the table cannot be checked' END,
				CASE WHEN table_name IS NULL
					 THEN 'the table was dropped: its file was returned to the file system without erasure'
					 WHEN table_name IS DISTINCT FROM to_regclass(the_receipt.table_name)
					 THEN format('the table is now called %s', table_name) END), ''))::facematch_internal.erased_part
		WHERE receipt IS NOT NULL
		UNION ALL
		SELECT ROW(NULL, 'keys', NULL, NULL, NULL, NULL, NULL, NULL, NULL, nullif(sealed.destroyed, false),
			CASE WHEN sealed.destroyed THEN format('unreadable since %s: the keys of its templates are destroyed',
					to_char(sealed.destroyed_at AT TIME ZONE 'UTC', utc))
				 WHEN sealed.mixed THEN 'some of its templates were not sealed: copies of these can be read'
				 WHEN sealed.due < 'infinity' THEN format('older copies can be read until the first purge after %s destroys'
					' their keys', to_char(sealed.due AT TIME ZONE 'UTC', utc))
				 ELSE 'older copies can be read until CALL facematch.rotate_keys() destroys their keys' END
			)::facematch_internal.erased_part
		WHERE sealed.keys > 0)
	|| parts || ARRAY(
		SELECT ROW(b.relation, b.part, NULL, b.dead, b.fading, b.stray, NULL, NULL, NULL, b.clean,
			b.note)::facematch_internal.erased_part
		FROM (
			SELECT 1 AS place, c.relation, 'statistics' AS part, count(*) AS dead, NULL::bigint AS fading,
				NULL::bigint AS stray,
				   false AS clean, 'the planner''s statistics have values of columns that may hold templates; CALL'
					' facematch.erase_table() deletes and erases them' AS note
			FROM facematch_internal.template_columns(table_name) c
			JOIN pg_statistic s ON s.starelid = c.relation AND s.staattnum = c.attnum
			WHERE num_nonnulls(s.stavalues1, s.stavalues2, s.stavalues3, s.stavalues4, s.stavalues5) > 0 GROUP BY c.relation
			UNION ALL
			SELECT 0, f.ftrelid::regclass, 'foreign table', NULL, NULL, NULL, NULL,
				'its rows are on another server: call facematch.verify_erased() there; only values in the planner''s'
					' statistics are here'
			FROM pg_foreign_table f WHERE f.ftrelid = table_name
			UNION ALL
			SELECT 0, table_name, 'shards', NULL, NULL, NULL, NULL,
				format('Citus keeps its rows in tables on the nodes; check each: SELECT * FROM run_command_on_shards(%L,'
					' %L)', table_name,
					   'SELECT note FROM facematch.verify_erased(''%s'') WHERE part = ''verdict''')
			WHERE facematch_internal.is_distributed(table_name)
			UNION ALL
			SELECT 1, e.stxrelid::regclass, 'statistics', count(*), NULL, NULL, false,
				'extended statistics have values of columns that'
				   ' may hold templates; CALL facematch.erase_table() deletes and erases them'
			FROM pg_statistic_ext e JOIN pg_statistic_ext_data d ON d.stxoid = e.oid
			WHERE num_nonnulls(d.stxdmcv, d.stxdexpr) > 0
			  AND EXISTS (SELECT FROM facematch_internal.template_columns(table_name) c
						  WHERE c.relation = e.stxrelid AND (c.attnum = ANY (e.stxkeys) OR d.stxdexpr IS NOT NULL)) GROUP BY e.stxrelid
			UNION ALL
			SELECT 2, a.attrelid::regclass, 'dropped columns', NULL, NULL, NULL, NULL,
				format('older rows still hold values of %s dropped columns; VACUUM FULL removes them', count(*))
			FROM facematch_internal.with_heirs(table_name) h JOIN pg_attribute a ON a.attrelid = h.relation
			WHERE a.attnum > 0 AND a.attisdropped AND a.attlen NOT BETWEEN 0 AND 8 GROUP BY a.attrelid
			UNION ALL
			-- verify_pages() has those that are live.
			SELECT 3, x.relation, 'index', NULL, NULL, NULL, false, 'a DROP INDEX CONCURRENTLY did not finish, and nothing'
				' maintains the index; DROP INDEX removes it'
			FROM facematch_internal.with_heirs(table_name) h JOIN facematch_internal.abandoned_index x
				ON x.table_name = h.relation AND NOT x.indislive
			UNION ALL
			SELECT 4, a.attrelid::regclass, 'default', NULL, NULL, NULL, false,
				   'pg_attribute and pg_attrdef hold the default value that the column was added with'
			FROM facematch_internal.template_columns(table_name) c
			JOIN pg_attribute a ON a.attrelid = c.relation AND a.attnum = c.attnum AND a.atthasmissing
			UNION ALL
			SELECT 5, v.relation, 'catalog', v.dead_tuples, v.fading_tuples, v.stray_bytes, NULL,
				'removed rows of the catalog may have held a column''s default with a template; SELECT facematch.erase() of'
					' the catalog'
			FROM unnest('{pg_attribute,pg_attrdef}'::regclass[]) c CROSS JOIN LATERAL facematch_internal.verify_pages(c) v
			WHERE v.clean IS NOT TRUE AND v.part IN ('table', 'toast')
			UNION ALL
			SELECT 6, NULL, 'data files', NULL, NULL, NULL, w.pages = 0,
				   CASE WHEN w.pages > 0 THEN format('pages that are newer in memory than on disk: %s; CHECKPOINT', w.pages) END
			FROM (SELECT coalesce(sum(p.unwritten_pages), 0) AS pages FROM unnest(parts) p) w
			UNION ALL
			SELECT 7, NULL, 'wal', NULL, NULL, NULL,
				   horizon.oldest_lsn >= the_receipt.wal_lsn AND horizon.unknown_files = 0,
				   format('WAL from %s to %s is there, files: %s%s%s', horizon.oldest_lsn, horizon.current_lsn, horizon.files,
						  CASE WHEN horizon.recycled_files > 0 THEN format(', %s of them under a later name',
							horizon.recycled_files) END,
						  CASE WHEN horizon.unknown_files > 0 THEN format('; files that cannot be read: %s',
							horizon.unknown_files) END)
			UNION ALL
			SELECT 8, NULL, o.part, NULL, NULL, NULL, o.clean, o.note
				FROM facematch_internal.out_of_reach(the_receipt.wal_lsn) o) b
		ORDER BY b.place, b.relation::text);

	-- One line that an inspector can sign.
	verdict.part := 'verdict';
	SELECT bool_and(p.clean IS NOT FALSE), concat_ws('; ',
			CASE WHEN receipt IS NOT NULL THEN format('receipt %s: %s of %s, purged %s', receipt,
				the_receipt.rows_purged || CASE the_receipt.rows_purged WHEN 1 THEN ' row' ELSE ' rows' END,
				the_receipt.table_name, to_char(the_receipt.purged_at AT TIME ZONE 'UTC', utc)) END,
			CASE WHEN sealed.destroyed AND sealed.keys > 0 THEN 'unreadable since '
				|| to_char(sealed.destroyed_at AT TIME ZONE 'UTC', utc) END,
			coalesce('not clean: ' || string_agg(concat_ws(': ', nullif(concat_ws(', ', p.relation, p.part), ''), p.note), '; '
				ORDER BY p.n)
						 FILTER (WHERE NOT p.clean),
					 'clean: nothing of removed rows is left in the table, its indexes, statistics, data files or WAL of this'
						' server'),
			'this server cannot check: ' || string_agg(DISTINCT p.part, ', ') FILTER (WHERE p.clean IS NULL))
	INTO verdict.clean, verdict.note
	FROM unnest(parts) WITH ORDINALITY p (relation, part, pages, dead_tuples, fading_tuples, stray_bytes, padding_bytes,
		kept_keys,
										  unwritten_pages, clean, note, n);
	RETURN NEXT verdict;
	RETURN QUERY SELECT p.* FROM unnest(parts) p;
END
$$;
COMMENT ON FUNCTION facematch.verify_erased(regclass, bigint) IS
	'whether removed rows of a table, or of a purge by its receipt, are gone. The first row is the overall result: '
	'clean, or what is left and where. Then one row for each relation and fork: pages read, deleted rows or index '
	'entries that are complete, rows that a transaction may still see, other bytes outside rows that are not zero, '
	'of these the bytes of alignment after rows, keys of removed rows in inner pages of a B-tree, and pages that '
	'are newer in memory than on disk; then rows for other places: statistics, data files, WAL, slots, standbys, '
	'archive, backups; and, of a receipt of sealed templates, since when no copy can be read. clean: true, proven; '
	'false, something is left, and note says what removes it; NULL, the server cannot tell. Reads only; works on a '
	'standby. Neither or both arguments: 22023; no such receipt: P0002';
