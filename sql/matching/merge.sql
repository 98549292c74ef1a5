/*
 * Putting together what belongs to one person.
 */

CREATE FUNCTION facematch.merge_references(gallery text, subject_id uuid) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kept bigint;
	fused @extschema@.face_embedding;
	deadline timestamptz;
	ids bigint[];
BEGIN
	SELECT array_agg(r.reference_id ORDER BY r.quality DESC NULLS LAST, r.reference_id) INTO ids
	FROM (SELECT t.reference_id, t.quality FROM facematch.reference t JOIN facematch.gallery g USING (gallery_id)
		  WHERE g.name = merge_references.gallery AND t.subject_id = merge_references.subject_id AND t.purge_after > clock_timestamp()
		  FOR UPDATE OF t) r;
	IF ids IS NULL THEN
		RAISE no_data_found USING
			MESSAGE = format('the subject has no reference in gallery %L', gallery),
			HINT = 'References that are due are not merged.';
	END IF;
	kept := ids[1];
	SELECT @extschema@.avg(r.embedding), min(r.purge_after) INTO fused, deadline FROM facematch.reference r WHERE r.reference_id = ANY (ids);
	UPDATE facematch.reference r SET embedding = fused, purge_after = deadline WHERE r.reference_id = kept;
	DELETE FROM facematch.reference r WHERE r.reference_id = ANY (ids[2:]);
	RETURN kept;
END
$$;
COMMENT ON FUNCTION facematch.merge_references(text, uuid) IS
	'replaces a person''s references in a gallery by one, their average, with the earliest of their deadlines; returns its reference_id, that of the best quality. None: P0002; a held one: 23000';

CREATE FUNCTION facematch.merge_subjects(kept uuid, merged uuid) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	moved bigint;
BEGIN
	IF kept = merged OR kept IS NULL OR merged IS NULL THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'two different subjects are needed',
			HINT = 'The second one''s rows become the first one''s.';
	END IF;
	-- Who has declined under one document has declined under the other.
	INSERT INTO facematch.opt_out (subject_id, scope, gallery_id, until, alternative, noticed_at)
	SELECT CASE o.subject_id WHEN merge_subjects.kept THEN merge_subjects.merged ELSE merge_subjects.kept END, o.scope, o.gallery_id, o.until,
		   o.alternative, o.noticed_at
	FROM facematch.opt_out o
	WHERE o.subject_id IN (merge_subjects.kept, merge_subjects.merged) AND o.revoked_at IS NULL AND (o.until IS NULL OR o.until > clock_timestamp());
	INSERT INTO facematch.hold (subject_id, reason, authority, until)
	SELECT merge_subjects.kept, h.reason, h.authority, h.until FROM facematch.held h WHERE h.subject_id = merge_subjects.merged;
	INSERT INTO facematch.anchor_event (subject_id, event, occurred_at)
	SELECT merge_subjects.kept, e.event, e.occurred_at FROM facematch.anchor_event e WHERE e.subject_id = merge_subjects.merged;
	UPDATE facematch.reference r SET subject_id = merge_subjects.kept WHERE r.subject_id = merge_subjects.merged;
	GET DIAGNOSTICS moved = ROW_COUNT;
	UPDATE facematch.encounter e SET subject_id = merge_subjects.kept WHERE e.subject_id = merge_subjects.merged;
	UPDATE facematch.candidate c SET subject_id = merge_subjects.kept WHERE c.subject_id = merge_subjects.merged;
	PERFORM facematch_internal.write_audit('subjects_merged', jsonb_build_object('kept', merge_subjects.kept, 'merged', merge_subjects.merged, 'references', moved));
	RETURN moved;
END
$$;
COMMENT ON FUNCTION facematch.merge_subjects(uuid, uuid) IS
	'two pseudonyms are one person''s (two passports): references and encounters of the second become the first''s, opt-outs of either hold for both. Returns how many references moved. Logged. The same subject twice, or NULL: 22023';
