/*
 * Records: rows that are never changed, and rows whose changes are logged. A part that
 * creates a table calls keep_as_record() for it, which says whether rows may change,
 * which columns hold texts that somebody types in, and which columns of a row are
 * logged.
 *
 * No logged column holds such a text, because it could contain a document number. Parts
 * of a name that look like a template are replaced (src/redaction/texts.c).
 *
 * Changes of a row's retention class are logged by the guard (src/retention/guard.c),
 * deadlines that become later by recompute.c, uses and grants by the functions that
 * make them.
 */

CREATE FUNCTION facematch_internal.refuse_change() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE integrity_constraint_violation USING CONSTRAINT = 'record_is_kept',
		MESSAGE = format('%s of %I is refused', lower(TG_OP), TG_TABLE_NAME),
		DETAIL = CASE WHEN TG_OP = 'TRUNCATE' THEN 'It would bypass the checks, receipts and events of a DELETE.'
			WHEN TG_ARGV[0] = 'shipped' THEN 'Rows that are marked as shipped come with the extension, and no dump has them.'
			ELSE 'Its rows are a record.' END,
		HINT = CASE WHEN TG_OP = 'TRUNCATE'
				THEN 'DELETE the rows that may go; CALL facematch.purge() deletes those that are due.'
			WHEN TG_ARGV[0] = 'shipped' THEN 'Insert a row of the site''s own under another name.'
			ELSE 'Nothing but the extension''s own functions writes it.' END;
END
$$;
COMMENT ON FUNCTION facematch_internal.refuse_change() IS 'trigger: refuses what it is put on (23000)';

-- A row that is inserted while the log knows it to be there comes from a dump, and so does the log. What gets
-- another key is gone under the old one: a row that takes that is another, and new.
CREATE FUNCTION facematch_internal.log_row() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
	SET intervalstyle = 'postgres' SET quote_all_identifiers = off SET extra_float_digits = 1
AS $$
DECLARE
	verbs text[] := string_to_array(TG_ARGV[3], ',');
	was jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
	now_is jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
	columns text := TG_ARGV[2];
	name text;
	about text;
	before text;
	particulars jsonb;
BEGIN
	-- A table may be renamed, and another get its name: the log has its number, too.
	FOR name IN SELECT a.attname FROM pg_attribute a WHERE a.attrelid = TG_RELID AND a.atttypid = 'regclass'::regtype
		AND a.attname = ANY (string_to_array(TG_ARGV[2], ',')) ORDER BY a.attnum LOOP
		was := was || jsonb_build_object(name || '_oid', (was ->> name)::regclass::oid::bigint);
		now_is := now_is || jsonb_build_object(name || '_oid', (now_is ->> name)::regclass::oid::bigint);
		columns := concat(columns, ',', name, '_oid');
	END LOOP;
	SELECT string_agg(coalesce(now_is, was) ->> k.name, ',' ORDER BY k.place),
		   string_agg(coalesce(was, now_is) ->> k.name, ',' ORDER BY k.place)
	INTO about, before FROM string_to_table(TG_ARGV[1], ',') WITH ORDINALITY k (name, place);
	about := facematch_internal.redacted(TG_ARGV[0] || ':' || about);
	before := facematch_internal.redacted(TG_ARGV[0] || ':' || before);
	IF about <> before THEN
		PERFORM facematch_internal.write_audit(TG_ARGV[0] || '_' || verbs[3],
			jsonb_build_object('about', before, 'becomes', about));
	END IF;
	SELECT jsonb_object_agg(c.name, CASE WHEN TG_OP = 'UPDATE' THEN jsonb_build_array(was -> c.name, now_is -> c.name)
										 ELSE coalesce(now_is, was) -> c.name END)
	INTO particulars FROM string_to_table(columns, ',') c (name)
	WHERE TG_OP <> 'UPDATE' OR was -> c.name IS DISTINCT FROM now_is -> c.name;
	IF particulars IS NOT NULL OR about <> before THEN
		-- Under its new key the log has the whole row.
		PERFORM facematch_internal.write_audit(
			TG_ARGV[0] || '_' || verbs[CASE TG_OP WHEN 'INSERT' THEN 1 WHEN 'UPDATE' THEN 2 ELSE 3 END],
			jsonb_build_object('about', about, CASE TG_OP WHEN 'UPDATE' THEN 'changed' ELSE 'row' END,
							   coalesce(particulars, '{}'))
			|| CASE WHEN about = before THEN '{}' ELSE jsonb_build_object('row', (
				SELECT jsonb_object_agg(c.name, now_is -> c.name) FROM string_to_table(columns, ',') c (name))) END,
			CASE TG_OP WHEN 'INSERT' THEN ARRAY['', TG_ARGV[0] || '_' || verbs[3]] ELSE '{}' END);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.log_row() IS
	'trigger after a row: writes the change to the audit log. Arguments: what the row is, its key columns, the '
	'columns to log, and the words for insert, update and delete. detail has about (what:key) and row, or changed '
	'with each changed column as [before, after]; a column that names a table has the table''s number beside it, as '
	'..._oid. A row that gets another key is an event of each: the old one''s, as of a row that goes, says what it '
	'becomes, and the new one''s has row and changed';

CREATE FUNCTION facematch_internal.keep_as_record(table_name regclass, changes boolean DEFAULT false,
												  remarks text[] DEFAULT '{}', log text[] DEFAULT '{}') RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text := (SELECT c.relname FROM pg_class c WHERE c.oid = table_name);
	-- A dump leaves out what the extension ships, so a site neither changes such rows nor adds any. Who is trusted with
	-- internal tables may, on record.
	ships boolean := EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.oid = table_name AND c.relnamespace = 'facematch'::regnamespace AND a.attname = 'shipped');
	t record;
BEGIN
	FOR t IN
		SELECT name || v.suffix AS name, v.fires, v.level, v.function, v.arguments FROM (VALUES
			('_05_remarks', 'BEFORE INSERT OR UPDATE', 'ROW', 'check_remarks', remarks, remarks <> '{}'),
			('_10_is_a_record', 'BEFORE UPDATE OR DELETE', 'ROW', 'refuse_change', '{}', NOT changes),
			('_15_shipped', 'BEFORE UPDATE OR DELETE', 'ROW WHEN (OLD.shipped)', 'refuse_change', '{shipped}', ships),
			('_16_shipped', 'BEFORE INSERT OR UPDATE', 'ROW WHEN (NEW.shipped)', 'refuse_change', '{shipped}', ships),
			('_40_truncate', 'BEFORE TRUNCATE', 'STATEMENT', 'refuse_change', '{}', true),
			('_50_log', CASE WHEN changes THEN 'AFTER INSERT OR UPDATE OR DELETE' ELSE 'AFTER INSERT' END, 'ROW', 'log_row',
			 log, log <> '{}')) v (suffix, fires, level, function, arguments, wanted)
		WHERE v.wanted
	LOOP
		EXECUTE format('CREATE TRIGGER %I %s ON %s FOR EACH %s EXECUTE FUNCTION facematch_internal.%I(%s)', t.name, t.fires,
			table_name, t.level, t.function,
			(SELECT string_agg(quote_literal(a), ', ' ORDER BY n) FROM unnest(t.arguments) WITH ORDINALITY u (a, n)));
		-- A replica is sent the log's events along with the rows that they are about.
		IF t.function <> 'log_row' THEN
			EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', table_name, t.name);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_as_record(regclass, boolean, text[], text[]) IS
	'puts triggers on a table: it is never truncated; its rows are never changed or deleted, unless "changes"; those'
	' of a table in facematch whose column "shipped" is true are never added, changed or deleted; the columns of'
	' "remarks" hold no template (check_remarks()); and "log", the arguments of log_row(), says what the log has of a'
	' row. For extension scripts, after the rows that the extension ships';

SELECT facematch_internal.keep_as_record('facematch.audit_event');
