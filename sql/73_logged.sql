/*
 * What goes to the log: changes of what decides who is kept, matched or hidden.
 *
 * A trigger names the columns that are logged; no other is.  None of them holds
 * text that somebody types in, in which a document number could stand; what in a
 * name reads as a template is replaced (src/redaction/redact_json.c).  Changes of a row's retention class are logged by the guard
 * (src/retention/guard.c), deadlines that move away by recompute.c, uses and
 * grants by the functions that make them.
 */

-- What the log said last of a thing: how it was called there, what was done to it.
CREATE FUNCTION facematch.last_logged(about text) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT e.action FROM facematch.audit_event e WHERE e.detail ? 'about' AND e.detail ->> 'about' = $1 ORDER BY e.event_id DESC LIMIT 1
$$;
COMMENT ON FUNCTION facematch.last_logged(text) IS 'the action of the newest event about a thing (what:key); NULL: the log has none';
REVOKE ALL ON FUNCTION facematch.last_logged(text) FROM PUBLIC;

CREATE FUNCTION facematch.log_subject(what text, key_columns text, row_is jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN facematch.redacted(what || ':' || (SELECT string_agg(row_is ->> k.name, ',' ORDER BY k.place) FROM string_to_table(key_columns, ',') WITH ORDINALITY k (name, place)));
COMMENT ON FUNCTION facematch.log_subject(text, text, jsonb) IS 'what the log calls a row: what:key';
REVOKE ALL ON FUNCTION facematch.log_subject(text, text, jsonb) FROM PUBLIC;

-- A row that is inserted while the log knows it to be there comes from a dump, and so does the log.  What gets another key is gone
-- under the old one: a row that takes that is another, and new.
CREATE FUNCTION facematch.log_row() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'postgres'
	SET quote_all_identifiers = off
AS $$
DECLARE
	verbs text[] := string_to_array(TG_ARGV[3], ',');
	was jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
	now_is jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
	about text := facematch.log_subject(TG_ARGV[0], TG_ARGV[1], coalesce(now_is, was));
	before text := CASE WHEN TG_OP = 'UPDATE' THEN facematch.log_subject(TG_ARGV[0], TG_ARGV[1], was) ELSE about END;
	particulars jsonb;
BEGIN
	IF TG_OP = 'INSERT' AND facematch.last_logged(about) <> TG_ARGV[0] || '_' || verbs[3] THEN
		RETURN NULL;
	END IF;
	IF about <> before THEN
		PERFORM facematch.write_audit(TG_ARGV[0] || '_' || verbs[3], jsonb_build_object('about', before, 'becomes', about));
	END IF;
	SELECT jsonb_object_agg(c.name, CASE WHEN TG_OP = 'UPDATE' THEN jsonb_build_array(was -> c.name, now_is -> c.name)
										 ELSE coalesce(now_is, was) -> c.name END)
	INTO particulars FROM string_to_table(TG_ARGV[2], ',') c (name)
	WHERE TG_OP <> 'UPDATE' OR was -> c.name IS DISTINCT FROM now_is -> c.name;
	IF particulars IS NOT NULL OR about <> before THEN
		PERFORM facematch.write_audit(TG_ARGV[0] || '_' || verbs[CASE TG_OP WHEN 'INSERT' THEN 1 WHEN 'UPDATE' THEN 2 ELSE 3 END],
			jsonb_build_object('about', about, CASE TG_OP WHEN 'UPDATE' THEN 'changed' ELSE 'row' END, coalesce(particulars, '{}')));
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch.log_row() IS
	'trigger after a row: writes what became of it to the log. Arguments: what the row is, its key columns, the columns to log, and the words for insert, update and delete. detail has about (what:key) and row, or changed with each changed column as [before, after]. A row that gets another key is an event of each: the old one''s, as of a row that goes, says what it becomes';
REVOKE ALL ON FUNCTION facematch.log_row() FROM PUBLIC;

-- A dump has some tables before it has the log: their rows that come while nothing is logged are from one, or were there before
-- anybody was granted anything.
CREATE FUNCTION facematch.log_has_begun() RETURNS boolean
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM facematch.audit_event)
$$;
COMMENT ON FUNCTION facematch.log_has_begun() IS 'whether anything is in the log';

CREATE TRIGGER purge_receipt_30_log AFTER INSERT ON facematch.purge_receipt
	FOR EACH ROW EXECUTE FUNCTION facematch.log_row('receipt', 'receipt_id',
		'receipt_id,purged_at,cause,table_name,retention_class,rule,rows_purged,rows_held,earliest_due,latest_due,actor', 'written,changed,deleted');
CREATE TRIGGER erasure_30_log AFTER INSERT ON facematch.erasure
	FOR EACH ROW EXECUTE FUNCTION facematch.log_row('erasure', 'erasure_id',
		'erasure_id,erased_at,table_name,pages,pages_cleared,rows_erased,entries_erased,fading_tuples,busy_pages,complete,verified,wal_lsn,unreachable,actor',
		'written,changed,deleted');
CREATE TRIGGER erased_receipt_30_log AFTER INSERT ON facematch.erased_receipt
	FOR EACH ROW EXECUTE FUNCTION facematch.log_row('settlement', 'receipt_id', 'receipt_id,erasure_id', 'written,changed,deleted');
CREATE TRIGGER opt_out_40_log AFTER INSERT OR UPDATE OR DELETE ON facematch.opt_out
	FOR EACH ROW EXECUTE FUNCTION facematch.log_row('opt_out', 'opt_out_id',
		'subject_id,scope,gallery_id,until,noticed_at,revoked_at', 'recorded,revoked,deleted');
CREATE TRIGGER hold_40_log AFTER INSERT OR UPDATE OR DELETE ON facematch.hold
	FOR EACH ROW EXECUTE FUNCTION facematch.log_row('hold', 'hold_id', 'table_name,row_id,subject_id,until,released_at', 'placed,released,deleted');
CREATE TRIGGER retention_rule_40_log AFTER INSERT OR UPDATE OR DELETE ON facematch.retention_rule
	FOR EACH ROW EXECUTE FUNCTION facematch.log_row('rule', 'name',
		'retention_class,what,anchors,keep,take,fallback_anchor,fallback_keep,notice_before,follows_anchor,lengthens,valid_from,valid_to',
		'added,changed,deleted');
CREATE TRIGGER retention_class_20_log AFTER INSERT OR UPDATE OR DELETE ON facematch.retention_class
	FOR EACH ROW EXECUTE FUNCTION facematch.log_row('class', 'name', 'name,shipped', 'added,changed,deleted');
CREATE TRIGGER exemption_10_log AFTER INSERT OR UPDATE OR DELETE ON facematch.exemption
	FOR EACH ROW EXECUTE FUNCTION facematch.log_row('exemption', 'name', 'name,valid_from,valid_to,shipped', 'added,changed,deleted');
CREATE TRIGGER exempt_subject_10_log AFTER INSERT OR UPDATE OR DELETE ON facematch.exempt_subject
	FOR EACH ROW EXECUTE FUNCTION facematch.log_row('exempt_subject', 'subject_id,exemption', 'subject_id,exemption,noted_at,until',
		'noted,changed,deleted');
CREATE TRIGGER model_10_log AFTER INSERT OR UPDATE OR DELETE ON facematch.model
	FOR EACH ROW EXECUTE FUNCTION facematch.log_row('model', 'name', 'name,tag,dims', 'added,changed,deleted');
CREATE TRIGGER retained_10_log AFTER INSERT OR UPDATE OR DELETE ON facematch.retained
	FOR EACH ROW EXECUTE FUNCTION facematch.log_row('table', 'table_name',
		'what,key_column,class_column,recorded_column,subject_column,template_column,gallery_column,verified_column,anchor_column',
		'retained,changed,released');
-- Galleries come and go by the thousand, and their receipts say so: the log has what changes who matches in one.
CREATE TRIGGER gallery_50_log AFTER UPDATE ON facematch.gallery
	FOR EACH ROW WHEN (OLD.closed_at IS DISTINCT FROM NEW.closed_at OR OLD.model IS DISTINCT FROM NEW.model
		OR OLD.min_similarity IS DISTINCT FROM NEW.min_similarity)
	EXECUTE FUNCTION facematch.log_row('gallery', 'gallery_id', 'closed_at,model,min_similarity', 'added,changed,deleted');
CREATE TRIGGER encounter_50_log_override AFTER UPDATE ON facematch.encounter
	FOR EACH ROW WHEN (OLD.override_reason IS NULL AND NEW.override_reason IS NOT NULL)
	EXECUTE FUNCTION facematch.log_row('override', 'encounter_id', 'outcome,subject_id,overridden_by,overridden_at', 'added,recorded,deleted');
CREATE TRIGGER encounter_60_log_override AFTER INSERT ON facematch.encounter
	FOR EACH ROW WHEN (NEW.override_reason IS NOT NULL)
	EXECUTE FUNCTION facematch.log_row('override', 'encounter_id', 'outcome,subject_id,overridden_by,overridden_at', 'recorded,changed,deleted');
