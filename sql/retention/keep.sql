/*
 * Refuses ordinary DDL that would remove what the law keeps (src/retention/keep.c), and
 * the one procedure that allows to drop the extension.
 */

CREATE FUNCTION facematch_internal.keep() RETURNS event_trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_keep';
COMMENT ON FUNCTION facematch_internal.keep() IS
	'event trigger before each DDL statement: loads the library, which refuses to drop the extension while rows stand'
	' in it (2BP01), to rename what belongs to it (0A000), to add columns, constraints, and unique, partial or expression'
	' indexes to the tables of searches (0A000), and to drop or detach what holds keep (23000)';

CREATE VIEW facematch_internal.standing AS
	SELECT s.what FROM (VALUES
		('holds that stand', EXISTS (SELECT FROM facematch.held)),
		('opt-outs that stand', EXISTS (SELECT FROM facematch.opt_out o WHERE o.revoked_at IS NULL
			AND (o.until IS NULL OR o.until > clock_timestamp()))),
		('references', EXISTS (SELECT FROM facematch.reference)),
		('encounters', EXISTS (SELECT FROM facematch.encounter)),
		('photographs', EXISTS (SELECT FROM facematch.photograph)),
		('tables of users under retention', EXISTS (SELECT FROM facematch.attached))) s (what, there)
	WHERE s.there AND (SELECT e.action FROM facematch.audit_event e WHERE e.action <> 'anchored'
					   ORDER BY e.event_id DESC LIMIT 1) IS DISTINCT FROM 'decommissioned';
COMMENT ON VIEW facematch_internal.standing IS
	'what DROP EXTENSION would take away without a word; no row: nothing, or facematch.decommission() is the newest event'
	' of the log';
COMMENT ON COLUMN facematch_internal.standing.what IS 'in words';

CREATE PROCEDURE facematch.decommission(reason text, INOUT receipt jsonb DEFAULT NULL, INOUT anchor text DEFAULT NULL)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch_internal.retained_now;
	n bigint;
BEGIN
	IF reason IS NULL OR btrim(reason) = '' THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'decommission_has_a_reason',
			MESSAGE = 'a reason is needed',
			HINT = 'CALL facematch.decommission(''reason''): the reason is kept in the audit log and in the receipt.';
	END IF;
	receipt := jsonb_build_object('database', current_database(), 'at', clock_timestamp(), 'by', session_user,
		'reason', facematch_internal.redacted(reason), 'rows', jsonb_build_object(
			'facematch.opt_out', (SELECT count(*) FROM facematch.opt_out),
			'facematch.hold', (SELECT count(*) FROM facematch.hold),
			'facematch.photograph', (SELECT count(*) FROM facematch.photograph),
			'facematch.audit_event', (SELECT count(*) FROM facematch.audit_event)));
	FOR t IN SELECT r.* FROM facematch_internal.retained_now r
			 ORDER BY r.shipped DESC, r.table_name::text LOOP
		BEGIN
			SELECT sum(a.n) INTO n FROM facematch_internal.ask_table(t.table_name, 'SELECT count(*) FROM @table',
				limited => false) a (n bigint);
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'table % cannot be counted: %', t.table_name, SQLERRM;
			n := NULL;
		END;
		receipt := jsonb_set(receipt, ARRAY['rows', t.table_name::text], coalesce(to_jsonb(n), 'null'));
		-- Their rows stay, and have no deadline any more.
		IF NOT t.shipped THEN
			PERFORM facematch.release(t.table_name);
		END IF;
	END LOOP;
	PERFORM facematch_internal.write_audit('decommissioned', receipt);
	anchor := facematch.audit_anchor();
END
$$;
COMMENT ON PROCEDURE facematch.decommission(text, jsonb, text) IS
	'prepares DROP EXTENSION: takes users'' tables out of retention, logs it, and returns the number of rows of '
	'each table (null: it cannot be counted) and an anchor of the audit log, to keep elsewhere. From then on DROP '
	'EXTENSION is allowed, until something else is logged. Deletes nothing itself. No reason: 22023. For superusers';

CREATE EVENT TRIGGER facematch_keep ON ddl_command_start EXECUTE FUNCTION facematch_internal.keep();
ALTER EVENT TRIGGER facematch_keep ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER facematch_keep IS
	'refuses to drop, detach or rename what facematch keeps; facematch.decommission() allows it';
