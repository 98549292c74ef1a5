/*
 * Why a row has the deadline it has: the rule, its citation, and what it waits for.
 */

---------------------------------------------------------------- why

CREATE FUNCTION facematch_internal.retention_due(what text, retention_class text, recorded_at timestamptz,
	verified_at timestamptz,
										anchor_at timestamptz, gallery_id bigint, subject_id uuid,
										OUT rule text, OUT anchor text, OUT anchor_time timestamptz, OUT keep interval,
										OUT due timestamptz, OUT capped boolean, OUT lengthened boolean) RETURNS record
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_retention_due';
COMMENT ON FUNCTION facematch_internal.retention_due(text, text, timestamptz, timestamptz, timestamptz, bigint, uuid)
	IS
	'the deadline that the rules give for these facts, and the rule: what the guard computes. due is infinity when '
	'there is none; capped: the gallery''s own deadline comes first. All NULL: no rule';

CREATE FUNCTION facematch_internal.late_rows(table_name regclass) RETURNS TABLE (row_id text, due timestamptz)
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_late_rows';
COMMENT ON FUNCTION facematch_internal.late_rows(regclass) IS
	'rows of a table under retention that are kept longer than the rules say, and until when they should be: CALL '
	'facematch.recompute() brings them back. due is NULL where no rule says that they may be kept, and infinity where '
	'one keeps them that may never end. Reads the whole table, a user''s within facematch.table_timeout (53400)';

CREATE FUNCTION facematch.explain_retention(table_name regclass, row_id text)
	RETURNS TABLE (retention_class text, rule text, citation text, anchor text, anchor_at timestamptz, keep interval,
				   due timestamptz, purge_after timestamptz, is_due boolean, held boolean, explanation text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch_internal.retained;
	facts record;
	reason record;
	-- Who reads holds, as auditors do, may ask about any row; who does not must not learn here that a person is under
	-- inquiry.
	inspects CONSTANT boolean := has_table_privilege(session_user, 'facematch.hold', 'SELECT');
BEGIN
	SELECT r.* INTO t FROM facematch_internal.retained r JOIN facematch_internal.retained_part p USING (table_name)
	WHERE p.relation = explain_retention.table_name;
	IF NOT FOUND THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'table_is_retained',
			MESSAGE = format('table %s is not under retention', coalesce(table_name::text, 'NULL')),
			HINT = 'facematch.retain() attaches a table.';
	ELSIF NOT inspects AND NOT (has_any_column_privilege(session_user, t.table_name, 'SELECT')
		AND has_schema_privilege(session_user, (SELECT c.relnamespace FROM pg_class c WHERE c.oid = t.table_name),
			'USAGE')) THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'retained_table_is_readable',
			MESSAGE = format('permission denied for table %s', t.table_name),
			HINT = 'To ask why its rows are kept, a role needs SELECT on the table or on facematch.hold.';
	END IF;
	SELECT f.* INTO facts FROM facematch_internal.ask_table(t.table_name, format(
			'SELECT %I, %I, %s, %s, %s, %s, purge_after FROM @table WHERE %I::text = $4', t.class_column, t.recorded_column,
			coalesce(quote_ident(t.verified_column), 'NULL::timestamptz'), coalesce(quote_ident(t.anchor_column),
				'NULL::timestamptz'),
			coalesce(quote_ident(t.gallery_column), 'NULL::bigint'), coalesce(quote_ident(t.subject_column), 'NULL::uuid'),
			t.key_column), explain_retention.row_id)
		f (class text, recorded timestamptz, verified timestamptz, anchor timestamptz, gallery bigint, subject uuid,
			purge_after timestamptz);
	-- A row that a policy hides from the caller is not there: one that is due, or of a gallery that is not shown.
	IF facts.class IS NULL OR NOT inspects AND (facts.purge_after <= clock_timestamp()
		OR t.table_name = 'facematch.reference'::regclass
			AND facts.gallery = ANY (facematch_internal.unseen_galleries())) THEN
		RETURN;
	END IF;
	SELECT d.*, r.citation INTO reason
	FROM facematch_internal.retention_due(t.what, facts.class, facts.recorded, facts.verified, facts.anchor,
		facts.gallery, facts.subject) d
	LEFT JOIN facematch.retention_rule r ON r.name = d.rule;
	retention_class := facts.class;
	rule := reason.rule;
	citation := reason.citation;
	anchor := reason.anchor;
	anchor_at := reason.anchor_time;
	keep := reason.keep;
	due := reason.due;
	purge_after := facts.purge_after;
	is_due := facts.purge_after <= clock_timestamp();
	held := CASE WHEN inspects THEN EXISTS (SELECT FROM facematch.held h
					WHERE h.subject_id = ANY (facematch_internal.aliases(facts.subject))
					   OR (h.table_name = t.table_name AND h.row_id = explain_retention.row_id)
					   OR (h.table_name = 'facematch.gallery'::regclass AND h.row_id = facts.gallery::text)) END;
	explanation := concat_ws('; ',
		CASE WHEN reason.rule IS NULL THEN 'no rule is in force for the class'
			 WHEN reason.anchor IS NULL THEN format('rule %s: no deadline until its anchor event is recorded', reason.rule)
			 ELSE format('rule %s: %s after %s (%s)', reason.rule, reason.keep, reason.anchor, reason.anchor_time) END,
		CASE WHEN reason.capped THEN 'its gallery is due earlier' END,
		CASE WHEN reason.lengthened THEN 'a later rule extended the deadline' END,
		CASE WHEN facts.purge_after < reason.due THEN 'shortened: a deadline that was shortened stays' END,
		CASE WHEN is_due THEN 'due: no longer a candidate' END,
		CASE WHEN held THEN 'held: not purged while the hold is in force' END);
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION facematch.explain_retention(regclass, text) IS
	'why a row is kept and until when: rule, citation, the event it counts from, the deadline the rules give and '
	'the one in force. For a role that may not read facematch.hold: held is NULL, and no row is returned for a due '
	'row. No such row: no row. A table that is not under retention: 22023; one that the caller may not read: 42501';

CREATE FUNCTION facematch.explain_retention(table_name regclass, row_id bigint)
	RETURNS TABLE (retention_class text, rule text, citation text, anchor text, anchor_at timestamptz, keep interval,
				   due timestamptz, purge_after timestamptz, is_due boolean, held boolean, explanation text)
	LANGUAGE sql VOLATILE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT * FROM facematch.explain_retention($1, $2::text)
$$;
COMMENT ON FUNCTION facematch.explain_retention(regclass, bigint) IS 'the same for a row with a number';
