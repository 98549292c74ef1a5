/*
 * Replacing the references of one person by their average.
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
		  WHERE g.name = merge_references.gallery
		      AND t.subject_id = ANY (facematch_internal.aliases(merge_references.subject_id))
		      AND t.purge_after > clock_timestamp()
		  FOR UPDATE OF t) r;
	IF ids IS NULL THEN
		RAISE no_data_found USING CONSTRAINT = 'subject_is_enrolled',
			MESSAGE = format('the subject has no reference in gallery %L', gallery),
			HINT = 'References that are due are not merged.';
	END IF;
	kept := ids[1];
	SELECT @extschema@.avg(facematch_internal.opened(r.embedding)), min(r.purge_after) INTO fused, deadline
		FROM facematch.reference r
		WHERE r.reference_id = ANY (ids);
	-- One alone stays as it is, held or not.
	UPDATE facematch.reference r SET purge_after = deadline,
		embedding = CASE WHEN cardinality(ids) > 1 THEN fused ELSE r.embedding END
	WHERE r.reference_id = kept;
	DELETE FROM facematch.reference r WHERE r.reference_id = ANY (ids[2:]);
	RETURN kept;
END
$$;
COMMENT ON FUNCTION facematch.merge_references(text, uuid) IS
	'replaces a person''s references in a gallery by one, their average, with the earliest of their deadlines; returns '
	'its reference_id, that of the best quality. None: P0002; a held one: 23000';
