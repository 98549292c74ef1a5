/*
 * The accounting of disclosures: 5 U.S.C. 552a(c) wants the date, nature and
 * purpose of each, and the recipient, for five years or the life of the record,
 * whichever is longer.
 *
 * It outlives the templates and holds none: a subject is named by pseudonym.
 */

CREATE TABLE facematch.disclosure (
	disclosure_id	bigint GENERATED ALWAYS AS IDENTITY,
	disclosed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	partner			text NOT NULL,
	address			text NOT NULL DEFAULT '',
	recipient		text NOT NULL DEFAULT session_user,
	nature			text NOT NULL CONSTRAINT disclosure_nature_is_said CHECK (nature <> ''),
	purpose			text NOT NULL CONSTRAINT disclosure_purpose_is_said CHECK (purpose <> ''),
	gallery			text,
	answer			text CONSTRAINT disclosure_answer_is_known CHECK (answer IN ('match', 'no_match', 'refused')),
	subject_id		uuid,
	token			uuid,
	CONSTRAINT disclosure_pkey PRIMARY KEY (disclosure_id),
	CONSTRAINT disclosure_names_whom_it_tells_of CHECK (answer IS DISTINCT FROM 'match' OR subject_id IS NOT NULL
		AND token IS NOT NULL),
	CONSTRAINT disclosure_tells_nothing_else CHECK (answer IS NULL OR answer = 'match' OR subject_id IS NULL
		AND token IS NULL)
);
COMMENT ON TABLE facematch.disclosure IS
	'what was told to whom outside, and when: each use by a partner, and what facematch.record_disclosure() was'
	' told of. Kept for five years at least; rows are never changed';
COMMENT ON COLUMN facematch.disclosure.disclosure_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.disclosure.disclosed_at IS 'when';
COMMENT ON COLUMN facematch.disclosure.partner IS 'to whom: the partner, by name';
COMMENT ON COLUMN facematch.disclosure.address IS 'its address at the time';
COMMENT ON COLUMN facematch.disclosure.recipient IS 'the session''s user who asked, or recorded it';
COMMENT ON COLUMN facematch.disclosure.nature IS 'what was told';
COMMENT ON COLUMN facematch.disclosure.purpose IS 'what for';
COMMENT ON COLUMN facematch.disclosure.gallery IS 'the gallery that was asked about, by name; NULL: none';
COMMENT ON COLUMN facematch.disclosure.answer IS
	'match, no_match, or refused (not a flight of the partner''s, or a probe that could not be compared; nothing'
	' was told); NULL: no answer to a probe';
COMMENT ON COLUMN facematch.disclosure.subject_id IS 'pseudonym of the person it tells of; NULL: nobody';
COMMENT ON COLUMN facematch.disclosure.token IS 'the reference token that was given; NULL: none';
CREATE INDEX disclosure_partner_idx ON facematch.disclosure (partner, disclosed_at);
CREATE INDEX disclosure_subject_idx ON facematch.disclosure (subject_id) WHERE subject_id IS NOT NULL;
SELECT pg_catalog.pg_extension_config_dump('facematch.disclosure', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.disclosure_disclosure_id_seq', '');

CREATE FUNCTION facematch_internal.keep_disclosure() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	t facematch_internal.retained_now;
	there boolean;
BEGIN
	IF TG_OP = 'UPDATE' THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'disclosure_is_never_changed',
			MESSAGE = 'an accounted disclosure cannot be changed',
			HINT = 'Record another one that corrects it.';
	ELSIF OLD.disclosed_at > clock_timestamp() - interval '5 years' THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'disclosure_is_kept',
			MESSAGE = 'a disclosure is accounted for five years at least',
			HINT = '5 U.S.C. 552a(c)(2).';
	END IF;
	FOR t IN SELECT r.* FROM facematch_internal.retained_now r WHERE r.subject_column IS NOT NULL
		AND OLD.subject_id IS NOT NULL ORDER BY r.shipped DESC LOOP
		-- What its owner's table answers nothing about may be there.
		BEGIN
			SELECT bool_or(a.there) INTO there FROM facematch_internal.ask_table(t.table_name,
				format('SELECT EXISTS (SELECT FROM @table WHERE %I = ANY ($4::uuid[]))', t.subject_column),
				facematch_internal.aliases(OLD.subject_id)::text) a (there boolean);
		EXCEPTION WHEN serialization_failure OR deadlock_detected THEN
			RAISE;
		WHEN OTHERS THEN
			RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'disclosure_record_is_known',
				MESSAGE = format('the disclosure cannot be deleted: %s cannot be read: %s', t.table_name,
					CASE SQLSTATE WHEN '55P03' THEN 'another session has locked it' ELSE SQLERRM END),
				HINT = CASE WHEN t.shipped THEN 'Try again when the other session has ended.'
					ELSE 'Correct the table, or take it out of retention with facematch.release().' END;
		END;
		IF there THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'disclosure_outlives_its_record',
				MESSAGE = format('the record that was disclosed is still in %s', t.table_name),
				HINT = '5 U.S.C. 552a(c)(2): its accounting lives as long.';
		END IF;
	END LOOP;
	RETURN OLD;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_disclosure() IS
	'trigger: a disclosure is not changed, and not deleted within five years or while the subject has rows in a table'
	' under retention (23000), or while such a table cannot be read (55000)';

CREATE TRIGGER disclosure_10_keep BEFORE UPDATE OR DELETE ON facematch.disclosure
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.keep_disclosure();
ALTER TABLE facematch.disclosure ENABLE ALWAYS TRIGGER disclosure_10_keep;
SELECT facematch_internal.keep_as_record('facematch.disclosure', changes => true,
	remarks => '{nature,purpose,gallery}');

CREATE FUNCTION facematch.record_disclosure(partner text, subject_id uuid, nature text, purpose text,
	gallery text DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	told_to facematch.partner;
	id bigint;
BEGIN
	SELECT p.* INTO told_to FROM facematch.partner p WHERE p.name = record_disclosure.partner;
	IF NOT FOUND THEN
		RAISE no_data_found USING CONSTRAINT = 'partner_exists',
			MESSAGE = format('there is no partner %L', partner),
			HINT = 'facematch.partner has the recipients; insert it there.';
	END IF;
	INSERT INTO facematch.disclosure (partner, address, nature, purpose, gallery, subject_id)
	VALUES (told_to.name, told_to.address, record_disclosure.nature, record_disclosure.purpose,
		record_disclosure.gallery, record_disclosure.subject_id)
	RETURNING disclosure_id INTO id;
	RETURN id;
END
$$;
COMMENT ON FUNCTION facematch.record_disclosure(text, uuid, text, text, text) IS
	'accounts something that was told to a partner by another way than facematch.ask(); returns the row''s'
	' disclosure_id. No such partner: P0002; no nature or purpose: 23502, 23514';
