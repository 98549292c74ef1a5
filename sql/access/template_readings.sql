/*
 * Reading templates in bulk: announced in the log first, and that is committed,
 * so that who rolls back has been logged all the same.
 */

CREATE TABLE facematch.template_reading (
	reading_id		bigint GENERATED ALWAYS AS IDENTITY,
	role_name		text NOT NULL DEFAULT session_user,
	gallery_id		bigint NOT NULL,
	gallery			text NOT NULL,
	purpose			text NOT NULL CONSTRAINT template_reading_purpose_is_said CHECK (purpose <> ''),
	announced_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	until			timestamptz NOT NULL,
	CONSTRAINT template_reading_pkey PRIMARY KEY (reading_id)
);
COMMENT ON TABLE facematch.template_reading IS 'announced readings of templates: who, which gallery, what for, until when; each is in the log too';
COMMENT ON COLUMN facematch.template_reading.reading_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.template_reading.role_name IS 'the session''s user who announced it, and who alone may read';
COMMENT ON COLUMN facematch.template_reading.gallery_id IS 'the gallery; kept when the gallery is gone';
COMMENT ON COLUMN facematch.template_reading.gallery IS 'its name';
COMMENT ON COLUMN facematch.template_reading.purpose IS 'what for';
COMMENT ON COLUMN facematch.template_reading.announced_at IS 'when it was announced';
COMMENT ON COLUMN facematch.template_reading.until IS 'until when it may be read';
CREATE INDEX template_reading_role_idx ON facematch.template_reading (role_name, gallery_id, until);
SELECT pg_catalog.pg_extension_config_dump('facematch.template_reading', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.template_reading_reading_id_seq', '');

CREATE TRIGGER template_reading_05_remarks BEFORE INSERT ON facematch.template_reading
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.check_remarks('purpose');
CREATE TRIGGER template_reading_10_is_a_record BEFORE UPDATE OR DELETE ON facematch.template_reading
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.refuse_change();
CREATE TRIGGER template_reading_20_is_a_record BEFORE TRUNCATE ON facematch.template_reading
	FOR EACH STATEMENT EXECUTE FUNCTION facematch_internal.refuse_change();
ALTER TABLE facematch.template_reading ENABLE ALWAYS TRIGGER template_reading_05_remarks,
	ENABLE ALWAYS TRIGGER template_reading_10_is_a_record,
	ENABLE ALWAYS TRIGGER template_reading_20_is_a_record;

CREATE FUNCTION facematch_internal.note_template_reading(gallery text, purpose text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	read_one facematch.gallery;
	templates bigint;
	-- Long enough to fetch a gallery, too short to be forgotten.
	last_moment timestamptz := clock_timestamp() + interval '10 minutes';
BEGIN
	SELECT g.* INTO read_one FROM facematch.gallery g WHERE g.name = note_template_reading.gallery;
	IF NOT FOUND THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no gallery %L', gallery),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	ELSIF purpose !~ '[[:alnum:]]' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'the purpose is not said',
			HINT = 'It is what an auditor will read in the log.';
	END IF;
	SELECT count(*) INTO templates FROM facematch.reference r WHERE r.gallery_id = read_one.gallery_id AND r.purge_after > clock_timestamp();
	INSERT INTO facematch.template_reading (gallery_id, gallery, purpose, until) VALUES (read_one.gallery_id, read_one.name, note_template_reading.purpose, last_moment);
	PERFORM facematch_internal.write_audit('templates_read', jsonb_build_object('gallery', read_one.name, 'templates', templates, 'purpose', note_template_reading.purpose, 'until', last_moment));
END
$$;
COMMENT ON FUNCTION facematch_internal.note_template_reading(text, text) IS 'records and logs that the session''s user is about to read; for facematch.announce_template_reading(), which commits it';

CREATE PROCEDURE facematch.announce_template_reading(gallery text, purpose text)
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_announce_template_reading';
COMMENT ON PROCEDURE facematch.announce_template_reading(text, text) IS
	'logs that the session''s user will read the templates of a gallery, and what for, and commits; for ten minutes facematch.read_templates() then gives them to that user. In a transaction block: 25001; no such gallery: P0002; no purpose: 22023; NULL: 22004';

CREATE FUNCTION facematch.read_templates(gallery text)
	RETURNS TABLE (reference_id bigint, subject_id uuid, retention_class text, embedding @extschema@.face_embedding, purge_after timestamptz)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	moment timestamptz := clock_timestamp();
	id bigint := (SELECT g.gallery_id FROM facematch.gallery g WHERE g.name = read_templates.gallery);
BEGIN
	IF NOT EXISTS (SELECT FROM facematch.template_reading t
				   WHERE t.role_name = session_user AND t.gallery_id = id AND t.announced_at <= moment AND moment < t.until) THEN
		RAISE insufficient_privilege USING
			MESSAGE = format('no reading of the templates of gallery %L is announced', gallery),
			HINT = 'CALL facematch.announce_template_reading(gallery, purpose): it is logged, and holds for ten minutes.';
	END IF;
	RETURN QUERY
	SELECT r.reference_id, r.subject_id, r.retention_class, r.embedding, r.purge_after
	FROM facematch.reference r WHERE r.gallery_id = id AND r.purge_after > moment;
END
$$;
COMMENT ON FUNCTION facematch.read_templates(text) IS
	'the templates of a gallery that are not due, for a session''s user who has announced it within ten minutes; on standbys too. Not announced: 42501';
