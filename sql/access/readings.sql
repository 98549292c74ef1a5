/*
 * Reading templates and photographs. A reading is announced first, and the announcement
 * is logged and committed, so that it is in the audit log even if the reading is rolled
 * back.
 */

CREATE TABLE facematch.reading (
	reading_id		bigint GENERATED ALWAYS AS IDENTITY,
	role_name		text NOT NULL DEFAULT session_user,
	gallery_id		bigint,
	gallery			text,
	photograph_id	bigint,
	subject_id		uuid,
	purpose			text NOT NULL CONSTRAINT reading_purpose_is_said CHECK (purpose <> ''),
	announced_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	until			timestamptz NOT NULL,
	CONSTRAINT reading_pkey PRIMARY KEY (reading_id),
	CONSTRAINT reading_is_of_one CHECK (num_nonnulls(gallery_id, photograph_id, subject_id) = 1
		AND num_nulls(gallery_id, gallery) <> 1)
);
COMMENT ON TABLE facematch.reading IS
	'announced readings of the templates of a gallery, of a photograph, or of all that is stored about a person: '
	'who, for what purpose, until when; each is in the audit log too';
COMMENT ON COLUMN facematch.reading.reading_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.reading.role_name IS 'the session''s user who announced it, and who alone may read';
COMMENT ON COLUMN facematch.reading.gallery_id IS
	'the gallery; kept when it is deleted; NULL: something else is read';
COMMENT ON COLUMN facematch.reading.gallery IS 'the gallery''s name';
COMMENT ON COLUMN facematch.reading.photograph_id IS 'the photograph; kept when it is deleted; NULL: something else '
	'is read';
COMMENT ON COLUMN facematch.reading.subject_id IS
	'the person whom a report is about; NULL: something else is read';
COMMENT ON COLUMN facematch.reading.purpose IS 'what for';
COMMENT ON COLUMN facematch.reading.announced_at IS 'when it was announced';
COMMENT ON COLUMN facematch.reading.until IS 'until when it may be read';
CREATE INDEX reading_role_idx ON facematch.reading (role_name, until);
SELECT pg_catalog.pg_extension_config_dump('facematch.reading', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.reading_reading_id_seq', '');
SELECT facematch_internal.keep_as_record('facematch.reading', remarks => '{purpose}');

CREATE FUNCTION facematch_internal.note_reading(purpose text, gallery text DEFAULT NULL,
	photograph_id bigint DEFAULT NULL,
	subject_id uuid DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id bigint := (SELECT g.gallery_id FROM facematch.gallery g WHERE g.name = note_reading.gallery);
	templates bigint;
	-- Long enough to fetch a gallery, too short to be forgotten.
	last_moment timestamptz := clock_timestamp() + interval '10 minutes';
BEGIN
	IF gallery IS NOT NULL AND NOT has_function_privilege(session_user, 'facematch.read_templates(text)', 'EXECUTE') THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'reading_is_allowed',
			MESSAGE = format('role %I may not read the templates of galleries', session_user),
			HINT = 'SELECT facematch.grant_template_reader() gives a role this privilege.';
	ELSIF gallery IS NOT NULL AND id IS NULL THEN
		RAISE no_data_found USING CONSTRAINT = 'gallery_exists',
			MESSAGE = format('there is no gallery %L', gallery),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	ELSIF photograph_id IS NOT NULL AND NOT EXISTS (
		SELECT FROM facematch.photograph p WHERE p.photograph_id = note_reading.photograph_id
			AND p.purge_after > clock_timestamp()) THEN
		RAISE no_data_found USING CONSTRAINT = 'photograph_exists',
			MESSAGE = format('there is no photograph %s', photograph_id),
			HINT = 'It may be due, or purged.';
	ELSIF purpose !~ '[[:alnum:]]' THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'reading_has_a_purpose',
			MESSAGE = 'the purpose is not said',
			HINT = 'It is what an auditor will read in the log.';
	END IF;
	INSERT INTO facematch.reading (gallery_id, gallery, photograph_id, subject_id, purpose, until)
	VALUES (id, note_reading.gallery, note_reading.photograph_id, note_reading.subject_id, note_reading.purpose,
		last_moment);
	IF gallery IS NOT NULL THEN
		SELECT count(*) INTO templates FROM facematch.reference r WHERE r.gallery_id = id
			AND r.purge_after > clock_timestamp();
	END IF;
	PERFORM facematch_internal.write_audit(CASE WHEN gallery IS NOT NULL THEN 'templates_read'
		WHEN photograph_id IS NOT NULL THEN 'photograph_announced' ELSE 'subject_announced' END,
		jsonb_strip_nulls(jsonb_build_object('gallery', gallery, 'templates', templates, 'photograph', photograph_id,
											 'subject', subject_id, 'purpose', purpose, 'until', last_moment)));
END
$$;
COMMENT ON FUNCTION facematch_internal.note_reading(text, text, bigint, uuid) IS
	'records and logs that the session''s user is about to read; for facematch.announce_reading(), which commits it';

CREATE PROCEDURE facematch.announce_reading(gallery text DEFAULT NULL, photograph_id bigint DEFAULT NULL,
	purpose text DEFAULT NULL, subject_id uuid DEFAULT NULL)
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_announce_reading';
COMMENT ON PROCEDURE facematch.announce_reading(text, bigint, text, uuid) IS
	'logs that the session''s user will read the templates of a gallery, a photograph, or all that is stored about '
	'a person, with the purpose, and commits; for ten minutes facematch.read_templates(), '
	'facematch.read_photograph() or the report of a subject then gives them to that user. In a transaction block: '
	'25001; templates of a gallery, which the user may not read: 42501; no such gallery, or no such photograph, or '
	'due: P0002; none or several of them, or no purpose: 22023; purpose NULL: 22004';

CREATE FUNCTION facematch.read_templates(gallery text)
	RETURNS TABLE (reference_id bigint, subject_id uuid, retention_class text, embedding @extschema@.face_embedding,
				   purge_after timestamptz)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	moment timestamptz := clock_timestamp();
	id bigint := (SELECT g.gallery_id FROM facematch.gallery g WHERE g.name = read_templates.gallery);
BEGIN
	IF NOT EXISTS (SELECT FROM facematch.reading t
				   WHERE t.role_name = session_user AND t.gallery_id = id AND t.announced_at <= moment AND moment < t.until) THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'reading_is_announced',
			MESSAGE = format('no reading of the templates of gallery %L is announced', gallery),
			HINT = 'CALL facematch.announce_reading(gallery => ..., purpose => ...): it is logged, and holds for ten minutes.';
	END IF;
	RETURN QUERY
	SELECT r.reference_id, r.subject_id, r.retention_class, facematch_internal.opened(r.embedding), r.purge_after
	FROM facematch.reference r WHERE r.gallery_id = id AND r.purge_after > moment;
END
$$;
COMMENT ON FUNCTION facematch.read_templates(text) IS
	'the templates of a gallery that are not due, for a session''s user who has announced it within ten minutes; on'
	' standbys too. Not announced: 42501';

CREATE FUNCTION facematch.unseal(template @extschema@.face_embedding) RETURNS @extschema@.face_embedding
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key uuid := facematch_internal.sealed_by(template);
	id bigint := (SELECT k.gallery_id FROM facematch_internal.template_key k WHERE k.key_id = key);
BEGIN
	-- Who rolls back has been logged all the same.  The owner of the table needs no leave, and each call is logged.
	IF key IS NULL OR EXISTS (SELECT FROM facematch.reading r WHERE r.role_name = session_user AND r.gallery_id = id
							  AND r.announced_at <= clock_timestamp() AND clock_timestamp() < r.until) THEN
		RETURN facematch_internal.opened(template);
	ELSIF NOT (SELECT pg_has_role(session_user, c.relowner, 'MEMBER') FROM pg_class c
			   WHERE c.oid = 'facematch.reference'::regclass) THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'reading_is_announced',
			MESSAGE = 'no reading of the templates of the gallery that the template was sealed for is announced',
			HINT = 'CALL facematch.announce_reading(gallery => ..., purpose => ...): it is logged, and holds for ten minutes.';
	END IF;
	PERFORM facematch_internal.write_audit('template_unsealed',
		jsonb_strip_nulls(jsonb_build_object('key', key, 'gallery', id)));
	RETURN facematch_internal.opened(template);
END
$$;
COMMENT ON FUNCTION facematch.unseal(@extschema@.face_embedding) IS
	'a sealed template as it was before, for a session''s user who has announced a reading of its gallery within '
	'ten minutes, and for the owner of the table, whose calls are each logged; one that is not sealed is returned '
	'unchanged; NULL: its key has been destroyed. Not announced: 42501; changed since: XX001; its key is missing: '
	'55000';

CREATE FUNCTION facematch.read_photograph(photograph_id bigint) RETURNS bytea
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p facematch.photograph;
	image bytea;
BEGIN
	SELECT t.* INTO p FROM facematch.photograph t
	WHERE t.photograph_id = read_photograph.photograph_id AND t.purge_after > clock_timestamp();
	IF NOT FOUND THEN
		RAISE no_data_found USING CONSTRAINT = 'photograph_exists',
			MESSAGE = format('there is no photograph %s', photograph_id),
			HINT = 'It may be due, or purged.';
	END IF;
	-- Who rolls back has been logged all the same.  The owner of the table needs no leave.
	IF NOT EXISTS (SELECT FROM facematch.reading r WHERE r.role_name = session_user AND r.photograph_id = p.photograph_id
				   AND r.announced_at <= clock_timestamp() AND clock_timestamp() < r.until)
		AND NOT (SELECT pg_has_role(session_user, c.relowner, 'MEMBER') FROM pg_class c
			WHERE c.oid = 'facematch.photograph'::regclass) THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'reading_is_announced',
			MESSAGE = format('no reading of photograph %s is announced', photograph_id),
			HINT = 'CALL facematch.announce_reading(photograph_id => ..., purpose => ...): it is logged, and holds for ten'
				' minutes.';
	END IF;
	PERFORM facematch_internal.write_audit('photograph_read',
		jsonb_build_object('photograph', p.photograph_id, 'encounter', p.encounter_id, 'reference', p.reference_id));
	image := facematch_internal.unseal_photograph(p.sealed, p.key_id, p.media_type);
	IF image IS NULL THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'photograph_key_exists',
			MESSAGE = format('photograph %s cannot be read: its key has been destroyed, or was never here', photograph_id),
			HINT = 'If the photograph has been purged since, this copy of it is unreadable on purpose.';
	END IF;
	RETURN image;
END
$$;
COMMENT ON FUNCTION facematch.read_photograph(bigint) IS
	'a photograph, as it was stored, for a session''s user who has announced it within ten minutes, and for the '
	'owner of the table. Each reading is logged. Not announced: 42501; none, or due: P0002; its key is missing, or '
	'of another database that exists: 55000; changed since: XX001';
