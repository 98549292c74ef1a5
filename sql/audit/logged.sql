/*
 * What goes to the log: changes of what decides who is kept, matched or hidden.
 *
 * A trigger names the columns that are logged; no other is.  None of them holds
 * text that somebody types in, in which a document number could stand; what in a
 * name reads as a template is replaced (src/redaction/texts.c).  Changes of a row's retention class are logged by the guard
 * (src/retention/guard.c), deadlines that move away by recompute.c, uses and
 * grants by the functions that make them.
 */

-- What the log said last of a thing: how it was called there, what was done to it.
CREATE FUNCTION facematch_internal.last_logged(about text) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT e.action FROM facematch.audit_event e WHERE e.detail ? 'about' AND e.detail ->> 'about' = $1 ORDER BY e.event_id DESC LIMIT 1
$$;
COMMENT ON FUNCTION facematch_internal.last_logged(text) IS 'the action of the newest event about a thing (what:key); NULL: the log has none';

CREATE FUNCTION facematch_internal.log_subject(what text, key_columns text, row_is jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN facematch_internal.redacted(what || ':' || (SELECT string_agg(row_is ->> k.name, ',' ORDER BY k.place) FROM string_to_table(key_columns, ',') WITH ORDINALITY k (name, place)));
COMMENT ON FUNCTION facematch_internal.log_subject(text, text, jsonb) IS 'what the log calls a row: what:key';

-- A row that is inserted while the log knows it to be there comes from a dump, and so does the log.  What gets another key is gone
-- under the old one: a row that takes that is another, and new.
CREATE FUNCTION facematch_internal.log_row() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'postgres'
	SET quote_all_identifiers = off
AS $$
DECLARE
	verbs text[] := string_to_array(TG_ARGV[3], ',');
	was jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
	now_is jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
	about text := facematch_internal.log_subject(TG_ARGV[0], TG_ARGV[1], coalesce(now_is, was));
	before text := CASE WHEN TG_OP = 'UPDATE' THEN facematch_internal.log_subject(TG_ARGV[0], TG_ARGV[1], was) ELSE about END;
	particulars jsonb;
BEGIN
	IF TG_OP = 'INSERT' AND facematch_internal.last_logged(about) <> TG_ARGV[0] || '_' || verbs[3] THEN
		RETURN NULL;
	END IF;
	IF about <> before THEN
		PERFORM facematch_internal.write_audit(TG_ARGV[0] || '_' || verbs[3], jsonb_build_object('about', before, 'becomes', about));
	END IF;
	SELECT jsonb_object_agg(c.name, CASE WHEN TG_OP = 'UPDATE' THEN jsonb_build_array(was -> c.name, now_is -> c.name)
										 ELSE coalesce(now_is, was) -> c.name END)
	INTO particulars FROM string_to_table(TG_ARGV[2], ',') c (name)
	WHERE TG_OP <> 'UPDATE' OR was -> c.name IS DISTINCT FROM now_is -> c.name;
	IF particulars IS NOT NULL OR about <> before THEN
		PERFORM facematch_internal.write_audit(TG_ARGV[0] || '_' || verbs[CASE TG_OP WHEN 'INSERT' THEN 1 WHEN 'UPDATE' THEN 2 ELSE 3 END],
			jsonb_build_object('about', about, CASE TG_OP WHEN 'UPDATE' THEN 'changed' ELSE 'row' END, coalesce(particulars, '{}')));
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.log_row() IS
	'trigger after a row: writes what became of it to the log. Arguments: what the row is, its key columns, the columns to log, and the words for insert, update and delete. detail has about (what:key) and row, or changed with each changed column as [before, after]. A row that gets another key is an event of each: the old one''s, as of a row that goes, says what it becomes';

-- A dump has some tables before it has the log: their rows that come while nothing is logged are from one, or were there before
-- anybody was granted anything.
CREATE FUNCTION facematch_internal.log_has_begun() RETURNS boolean
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM facematch.audit_event)
$$;
COMMENT ON FUNCTION facematch_internal.log_has_begun() IS 'whether anything is in the log';
