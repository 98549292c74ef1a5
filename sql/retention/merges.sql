/*
 * Merges: two pseudonyms (two passports) of one person. A merge is a row and rewrites
 * no other, so it applies to later rows too and can be undone. Code that asks about a
 * subject asks about all subjects of its person (src/retention/person.c).
 *
 * Two sites may merge the same two before they hear of each other. Then both merges
 * stand everywhere, and the two are one person until both are undone.
 */

CREATE TABLE facematch.subject_merge (
	merge_id	bigint GENERATED ALWAYS AS IDENTITY,
	kept		uuid NOT NULL,
	merged		uuid NOT NULL,
	merged_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	merged_by	text NOT NULL DEFAULT session_user,
	undone_at	timestamptz,
	undone_by	text,
	CONSTRAINT subject_merge_pkey PRIMARY KEY (merge_id),
	CONSTRAINT subject_merge_is_of_two CHECK (kept <> merged),
	CONSTRAINT subject_merge_undoing_is_attributed CHECK ((undone_at IS NULL) = (undone_by IS NULL))
);
COMMENT ON TABLE facematch.subject_merge IS
	'two pseudonyms of one person: opt-outs, holds and events of either apply to both. To undo a merge, UPDATE '
	'undone_at';
COMMENT ON COLUMN facematch.subject_merge.merge_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.subject_merge.kept IS 'one pseudonym of the person';
COMMENT ON COLUMN facematch.subject_merge.merged IS 'another one';
COMMENT ON COLUMN facematch.subject_merge.merged_at IS 'when the row was inserted';
COMMENT ON COLUMN facematch.subject_merge.merged_by IS 'the session''s user who inserted it';
COMMENT ON COLUMN facematch.subject_merge.undone_at IS 'when it was undone; NULL while it stands';
COMMENT ON COLUMN facematch.subject_merge.undone_by IS 'the session''s user who undid it, filled in';
CREATE INDEX subject_merge_kept_idx ON facematch.subject_merge (kept);
CREATE INDEX subject_merge_merged_idx ON facematch.subject_merge (merged);
SELECT pg_catalog.pg_extension_config_dump('facematch.subject_merge', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.subject_merge_merge_id_seq', '');

-- A dump leaves it out: the trigger on merges writes it.
CREATE TABLE facematch_internal.person (
	subject_id	uuid NOT NULL,
	person_id	uuid NOT NULL,
	CONSTRAINT person_pkey PRIMARY KEY (subject_id)
);
COMMENT ON TABLE facematch_internal.person IS 'the subjects that are joined by merges in force; a subject that was '
	'never merged has no row';
COMMENT ON COLUMN facematch_internal.person.subject_id IS 'a pseudonym';
COMMENT ON COLUMN facematch_internal.person.person_id IS 'the first pseudonym of all that are the same person';
CREATE INDEX person_person_id_idx ON facematch_internal.person (person_id);

CREATE FUNCTION facematch_internal.aliases(subject_id uuid) RETURNS uuid[]
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'facematch_aliases';
COMMENT ON FUNCTION facematch_internal.aliases(uuid) IS 'all pseudonyms of a subject''s person, itself among them, as '
	'of now';

CREATE FUNCTION facematch_internal.keep_merge() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		IF OLD.undone_at IS NULL THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'merge_stands',
				MESSAGE = 'a merge that stands cannot be deleted',
				HINT = 'If the two are not one person, UPDATE undone_at.';
		END IF;
		RETURN OLD;
	ELSIF (to_jsonb(NEW) - '{undone_at,undone_by}'::text[]) IS DISTINCT
		FROM (to_jsonb(OLD) - '{undone_at,undone_by}'::text[])
		OR OLD.undone_at IS NOT NULL OR NEW.undone_at > clock_timestamp() THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'merge_is_only_undone',
			MESSAGE = 'of a merge only undone_at can be set, once, and not ahead of time',
			HINT = 'Insert another merge for other subjects.';
	END IF;
	NEW.undone_by := CASE WHEN NEW.undone_at IS NOT NULL THEN session_user END;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_merge() IS 'trigger: a merge can be undone, not rewritten, and deleted '
	'once it is no longer in force (23000)';

CREATE TRIGGER subject_merge_10_keep BEFORE UPDATE OR DELETE ON facematch.subject_merge
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.keep_merge();
CREATE TRIGGER subject_merge_20_merged AFTER INSERT OR UPDATE ON facematch.subject_merge
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.carry_out('merge');
ALTER TABLE facematch.subject_merge ENABLE ALWAYS TRIGGER subject_merge_10_keep,
	ENABLE ALWAYS TRIGGER subject_merge_20_merged;
SELECT facematch_internal.keep_as_record('facematch.subject_merge', changes => true,
	log => '{subjects,merge_id,"kept,merged,undone_at","merged,parted,deleted"}');
CREATE CONSTRAINT TRIGGER subject_merge_60_rights AFTER INSERT OR UPDATE OR DELETE ON facematch.subject_merge
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION facematch_internal.write_right('subjects', 'merge_id', 'merge_id',
		'(d.kept, d.merged, d.merged_at, d.merged_by) = (n.kept, n.merged, n.merged_at, n.merged_by)', 'undone_at');

CREATE FUNCTION facematch.merge_subjects(kept uuid, merged uuid) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	standing bigint;
BEGIN
	IF kept = merged OR kept IS NULL OR merged IS NULL THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'merge_is_of_two',
			MESSAGE = 'two different subjects are needed',
			HINT = 'They are two pseudonyms of one person.';
	END IF;
	-- As the trigger does, one merge at a time: another session's is found here.
	LOCK TABLE facematch_internal.person IN SHARE ROW EXCLUSIVE MODE;
	SELECT m.merge_id INTO standing FROM facematch.subject_merge m
	WHERE m.undone_at IS NULL AND (m.kept, m.merged) IN ((merge_subjects.kept, merge_subjects.merged),
		(merge_subjects.merged, merge_subjects.kept))
	ORDER BY m.merge_id LIMIT 1;
	IF NOT FOUND THEN
		INSERT INTO facematch.subject_merge (kept, merged) VALUES (merge_subjects.kept, merge_subjects.merged)
		RETURNING merge_id INTO standing;
	END IF;
	RETURN standing;
END
$$;
COMMENT ON FUNCTION facematch.merge_subjects(uuid, uuid) IS
	'joins two pseudonyms of one person (two passports): a row of facematch.subject_merge. Returns its merge_id; '
	'if the same merge is in force already, the merge_id of that. No other row is rewritten. Logged. The same '
	'subject twice, or NULL: 22023';
