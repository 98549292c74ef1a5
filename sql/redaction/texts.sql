/*
 * Texts that somebody types in and that outlive templates: names, what for, on
 * whose order.  They are kept for years, or in the log for ever: nothing in them
 * may be a template, and a remark is no place to store one.
 */

CREATE FUNCTION facematch_internal.is_name(value text) RETURNS boolean
	LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF length(value) NOT BETWEEN 1 AND 200 OR value ~ '^[[:space:]]|[[:space:]]$|[[:cntrl:]]'
		OR facematch_internal.redacted(value) <> value THEN
		RETURN false;
	END IF;
	-- Normal forms are defined for Unicode only, and the test is an error in another encoding.
	RETURN CASE WHEN getdatabaseencoding() = 'UTF8' THEN value IS NFC NORMALIZED ELSE true END;
END
$$;
COMMENT ON FUNCTION facematch_internal.is_name(text) IS
	'whether a text can be a name: 1 to 200 characters, no white space at the ends, no control characters, nothing'
	' that looks like a template or an image, Unicode normal form C; so that names that look the same are the same';

CREATE FUNCTION facematch_internal.check_remarks() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	remark record;
BEGIN
	FOR remark IN SELECT a.name, to_jsonb(NEW) ->> a.name AS said FROM unnest(TG_ARGV) a (name) LOOP
		IF length(remark.said) > 1000 OR facematch_internal.redacted(remark.said) <> remark.said THEN
			RAISE check_violation USING CONSTRAINT = 'remark_is_short_and_no_template',
				MESSAGE = format('%s of %I is longer than 1000 characters, or looks like a template or an image', remark.name,
					TG_TABLE_NAME),
				HINT = 'It is kept longer than templates may be: write it in words.',
				SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, COLUMN = remark.name;
		END IF;
	END LOOP;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.check_remarks() IS
	'trigger: refuses (23514), without printing it, a text in the columns named that is longer than 1000'
	' characters, or has what the server''s log would not show';
