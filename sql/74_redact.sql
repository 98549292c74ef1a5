/*
 * Texts that somebody types in and that outlive templates: what for, on whose order.  They are kept for years, or in the log
 * for ever: nothing in them may be a template, and a remark is no place to store one.
 */
CREATE FUNCTION facematch.check_remarks() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	remark record;
BEGIN
	FOR remark IN SELECT a.name, to_jsonb(NEW) ->> a.name AS said FROM unnest(TG_ARGV) a (name) LOOP
		IF length(remark.said) > 1000 OR facematch.redacted(remark.said) <> remark.said THEN
			RAISE check_violation USING
				MESSAGE = format('%s of %I is longer than 1000 characters, or reads as a template or an image', remark.name, TG_TABLE_NAME),
				HINT = 'It is kept longer than templates may be: say it in words.',
				SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, COLUMN = remark.name;
		END IF;
	END LOOP;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch.check_remarks() IS
	'trigger: refuses (23514), without printing it, a text in the columns named that is longer than 1000 characters, or has what the server''s log would not show';

CREATE TRIGGER opt_out_05_remarks BEFORE INSERT ON facematch.opt_out
	FOR EACH ROW EXECUTE FUNCTION facematch.check_remarks('alternative');
CREATE TRIGGER hold_05_remarks BEFORE INSERT ON facematch.hold
	FOR EACH ROW EXECUTE FUNCTION facematch.check_remarks('reason', 'authority', 'row_id');
-- Ports outlive encounters in statistics; keys and reasons outlive the probe, when its subject declines.  Short ones, as all
-- are, hold no template and cost nothing.
CREATE TRIGGER encounter_05_remarks BEFORE INSERT OR UPDATE OF port, lane, idempotency_key, override_reason ON facematch.encounter
	FOR EACH ROW WHEN (length(NEW.port) > 50 OR length(NEW.lane) > 50 OR length(NEW.idempotency_key) > 50 OR length(NEW.override_reason) > 50)
	EXECUTE FUNCTION facematch.check_remarks('port', 'lane', 'idempotency_key', 'override_reason');
-- By its name a gallery is in disclosures and statistics.
CREATE TRIGGER gallery_05_remarks BEFORE INSERT OR UPDATE OF name ON facematch.gallery
	FOR EACH ROW EXECUTE FUNCTION facematch.check_remarks('name');
ALTER TABLE facematch.gallery ENABLE ALWAYS TRIGGER gallery_05_remarks;
ALTER TABLE facematch.encounter ENABLE ALWAYS TRIGGER encounter_05_remarks;
ALTER TABLE facematch.opt_out ENABLE ALWAYS TRIGGER opt_out_05_remarks;
ALTER TABLE facematch.hold ENABLE ALWAYS TRIGGER hold_05_remarks;
