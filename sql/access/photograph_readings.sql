/*
 * Reading photographs: as with templates, announced in the log first, and that is
 * committed, so that who rolls back has been logged all the same.
 */

CREATE TABLE facematch.photograph_reading (
	reading_id		bigint GENERATED ALWAYS AS IDENTITY,
	role_name		text NOT NULL DEFAULT session_user,
	photograph_id	bigint NOT NULL,
	purpose			text NOT NULL CONSTRAINT photograph_reading_purpose_is_said CHECK (purpose <> ''),
	announced_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	until			timestamptz NOT NULL,
	CONSTRAINT photograph_reading_pkey PRIMARY KEY (reading_id)
);
COMMENT ON TABLE facematch.photograph_reading IS 'announced readings of photographs: who, which one, what for, until when; each is in the log too';
COMMENT ON COLUMN facematch.photograph_reading.reading_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.photograph_reading.role_name IS 'the session''s user who announced it, and who alone may read';
COMMENT ON COLUMN facematch.photograph_reading.photograph_id IS 'the photograph; kept when it is gone';
COMMENT ON COLUMN facematch.photograph_reading.purpose IS 'what for';
COMMENT ON COLUMN facematch.photograph_reading.announced_at IS 'when it was announced';
COMMENT ON COLUMN facematch.photograph_reading.until IS 'until when it may be read';
CREATE INDEX photograph_reading_role_idx ON facematch.photograph_reading (role_name, photograph_id, until);
SELECT pg_catalog.pg_extension_config_dump('facematch.photograph_reading', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.photograph_reading_reading_id_seq', '');
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns, shipped) VALUES
	('auditor', 'table', 'photograph_reading', 'SELECT', NULL, true);

CREATE TRIGGER photograph_reading_05_remarks BEFORE INSERT ON facematch.photograph_reading
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.check_remarks('purpose');
CREATE TRIGGER photograph_reading_10_is_a_record BEFORE UPDATE OR DELETE ON facematch.photograph_reading
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.refuse_change();
CREATE TRIGGER photograph_reading_20_is_a_record BEFORE TRUNCATE ON facematch.photograph_reading
	FOR EACH STATEMENT EXECUTE FUNCTION facematch_internal.refuse_change();
ALTER TABLE facematch.photograph_reading ENABLE ALWAYS TRIGGER photograph_reading_05_remarks,
	ENABLE ALWAYS TRIGGER photograph_reading_10_is_a_record,
	ENABLE ALWAYS TRIGGER photograph_reading_20_is_a_record;

CREATE FUNCTION facematch_internal.note_photograph_reading(photograph_id bigint, purpose text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- As long as an announced reading of templates.
	last_moment timestamptz := clock_timestamp() + interval '10 minutes';
BEGIN
	IF NOT EXISTS (SELECT FROM facematch.photograph p WHERE p.photograph_id = note_photograph_reading.photograph_id AND p.purge_after > clock_timestamp()) THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no photograph %s', photograph_id),
			HINT = 'It may be due, or purged.';
	ELSIF purpose !~ '[[:alnum:]]' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'the purpose is not said',
			HINT = 'It is what an auditor will read in the log.';
	END IF;
	INSERT INTO facematch.photograph_reading (photograph_id, purpose, until) VALUES (note_photograph_reading.photograph_id, note_photograph_reading.purpose, last_moment);
	PERFORM facematch_internal.write_audit('photograph_announced', jsonb_build_object('photograph', photograph_id, 'purpose', purpose, 'until', last_moment));
END
$$;
COMMENT ON FUNCTION facematch_internal.note_photograph_reading(bigint, text) IS 'records and logs that the session''s user is about to read a photograph; for facematch.announce_photograph_reading(), which commits it';

CREATE PROCEDURE facematch.announce_photograph_reading(photograph_id bigint, purpose text)
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_announce_photograph_reading';
COMMENT ON PROCEDURE facematch.announce_photograph_reading(bigint, text) IS
	'logs that the session''s user will read a photograph, and what for, and commits; for ten minutes facematch.read_photograph() then gives it to that user. In a transaction block: 25001; no such photograph, or due: P0002; no purpose: 22023; NULL: 22004';
