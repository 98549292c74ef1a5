/*
 * What is kept, due, held and purged, table by table, and who declined, in numbers.
 */

CREATE FUNCTION facematch_internal.count_retained()
	RETURNS TABLE (table_name regclass, retention_class text, rows_kept bigint, rows_due bigint, rows_held bigint,
				   next_due timestamptz, longest_overdue interval, due_on jsonb)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
	SET lock_timeout = '1s'
AS $$
DECLARE
	t retained_now;
BEGIN
	FOR t IN SELECT r.* FROM retained_now r ORDER BY r.table_name::text LOOP
		-- Holds are few: what they hold is looked up by its key, not asked of every row.
		BEGIN
			RETURN QUERY SELECT c.* FROM ask_table(t.table_name, format(
					'SELECT $5, k.class, k.kept, k.due, coalesce(h.held, 0), k.next_due, k.overdue, k.due_on'
					' FROM (SELECT g.class, sum(g.kept)::bigint AS kept, sum(g.due)::bigint AS due, min(g.next_due) AS next_due,'
					' $1 - min(g.oldest) AS overdue, jsonb_object_agg(g.day, g.due) FILTER (WHERE isfinite(g.day)) AS due_on'
					' FROM (SELECT d.%1$I AS class, CASE WHEN d.purge_after <= $1'
					' THEN (d.purge_after AT TIME ZONE ''UTC'')::date END AS day, count(*) FILTER (WHERE d.purge_after > $1) AS kept,'
					' count(*) FILTER (WHERE d.purge_after <= $1) AS due,'
					' min(d.purge_after::timestamptz) FILTER (WHERE d.purge_after > $1) AS next_due,'
					' min(greatest(d.purge_after::timestamptz, ''epoch'')) FILTER (WHERE d.purge_after <= $1) AS oldest'
					' FROM @table d GROUP BY 1, 2) g GROUP BY 1) k'
					' LEFT JOIN (SELECT d.%1$I AS class, count(*) AS held FROM @table d'
					' WHERE d.%2$I = ANY ($2::%3$s[])%4$s GROUP BY 1) h ON h.class = k.class',
					t.class_column, t.key_column, coalesce(t.key_type, 'text'),
					CASE WHEN t.subject_column IS NULL THEN '' ELSE format(' OR d.%I = ANY ($3)', t.subject_column) END))
				c (relation regclass, class text, kept bigint, due bigint, held bigint, next_due timestamptz, overdue interval,
					due_on jsonb)
			ORDER BY c.relation <> t.table_name, c.relation::text, c.class;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'table % cannot be counted: %', t.table_name,
				CASE SQLSTATE WHEN '55P03' THEN 'another session has locked it' ELSE SQLERRM END;
			PERFORM set_config('lock_timeout', '100ms', true) WHERE SQLSTATE = '55P03';
			RETURN QUERY SELECT t.table_name, NULL::text, NULL::bigint, NULL::bigint, NULL::bigint, NULL::timestamptz,
				NULL::interval, NULL::jsonb;
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch_internal.count_retained() IS
	'what is kept in each table under retention, by class, and how much is due and not purged, by the day of its '
	'deadline in UTC (due_on); a table that cannot be read is a row of NULLs';

CREATE VIEW facematch.report_retention AS
	SELECT c.table_name::text, c.retention_class, c.rows_kept, c.rows_due, c.rows_held, c.next_due, c.longest_overdue,
		   p.rows_purged, p.last_purge, p.worst_lateness
	FROM facematch_internal.count_retained() c
	LEFT JOIN (SELECT l.relation AS table_name, r.retention_class, sum(r.rows_purged)::bigint AS rows_purged,
		max(r.purged_at) AS last_purge, max(r.lateness) AS worst_lateness
			   FROM facematch.purge_receipt r
			   JOIN facematch_internal.receipt_relation l ON l.receipt_id = r.receipt_id AND NOT l.is_part
			   WHERE r.cause = 'retention' GROUP BY 1, 2) p USING (table_name, retention_class);
COMMENT ON VIEW facematch.report_retention IS 'what is kept, due, held and purged, by table and retention class';
COMMENT ON COLUMN facematch.report_retention.table_name IS 'the table under retention';
COMMENT ON COLUMN facematch.report_retention.retention_class IS
	'the class; NULL: the table cannot be read, because another session has locked it or its code fails';
COMMENT ON COLUMN facematch.report_retention.rows_kept IS 'rows that are not due; NULL: not known';
COMMENT ON COLUMN facematch.report_retention.rows_due IS
	'rows that are due and not purged yet: no candidates any more';
COMMENT ON COLUMN facematch.report_retention.rows_held IS 'rows that a hold names, or whose subject it names';
COMMENT ON COLUMN facematch.report_retention.next_due IS 'when the next row will be due';
COMMENT ON COLUMN facematch.report_retention.longest_overdue IS 'for how long the oldest due row has been due';
COMMENT ON COLUMN facematch.report_retention.rows_purged IS 'rows purged because they were due, as receipts have it';
COMMENT ON COLUMN facematch.report_retention.last_purge IS 'when the last of them were';
COMMENT ON COLUMN facematch.report_retention.worst_lateness IS 'the longest that one was due before it was purged';

CREATE VIEW facematch.report_opt_out AS
	SELECT o.port, o.scope, o.alternative, count(*) AS opt_outs,
		   count(*) FILTER (WHERE o.answer = 'by_right') AS by_right,
		   count(*) FILTER (WHERE o.answer = 'without_right') AS without_right,
		   count(*) FILTER (WHERE o.answer = 'class_not_known') AS class_not_known,
		   count(*) FILTER (WHERE o.port IS NOT NULL AND r.notice_required) AS not_in_advance,
		   count(*) FILTER (WHERE o.answer <> 'without_right' AND o.revoked_at IS NULL
			   AND (o.until IS NULL OR o.until > clock_timestamp())) AS standing,
		   count(*) FILTER (WHERE o.revoked_at IS NOT NULL) AS revoked,
		   count(*) FILTER (WHERE o.revoked_at IS NULL AND o.until <= clock_timestamp()) AS ended,
		   min(o.noticed_at) AS first_noticed, max(o.noticed_at) AS last_noticed
	FROM facematch.opt_out o LEFT JOIN facematch.decline_rule r ON r.name = o.rule GROUP BY 1, 2, 3;
COMMENT ON VIEW facematch.report_opt_out IS 'who declined, and what the law answered, in numbers';
COMMENT ON COLUMN facematch.report_opt_out.port IS 'where they asked; NULL: in advance';
COMMENT ON COLUMN facematch.report_opt_out.scope IS 'standing, until or encounter';
COMMENT ON COLUMN facematch.report_opt_out.alternative IS 'what is done instead';
COMMENT ON COLUMN facematch.report_opt_out.opt_outs IS 'how many were filed';
COMMENT ON COLUMN facematch.report_opt_out.by_right IS 'how many the law gives: the class may decline';
COMMENT ON COLUMN facematch.report_opt_out.without_right IS 'how many asked without a right: nothing was removed for '
	'these';
COMMENT ON COLUMN facematch.report_opt_out.class_not_known IS 'how many are of persons whose class is not known yet: '
	'they hold until it is';
COMMENT ON COLUMN facematch.report_opt_out.not_in_advance IS 'how many asked at a port although the rule wants notice '
	'in advance';
COMMENT ON COLUMN facematch.report_opt_out.standing IS
	'how many are in force, without those to which the law gives no right';
COMMENT ON COLUMN facematch.report_opt_out.revoked IS 'how many were revoked';
COMMENT ON COLUMN facematch.report_opt_out.ended IS 'how many have ended by their date';
COMMENT ON COLUMN facematch.report_opt_out.first_noticed IS 'the first notice';
COMMENT ON COLUMN facematch.report_opt_out.last_noticed IS 'the last notice';
