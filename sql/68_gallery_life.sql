/*
 * Galleries' life: staging again when the manifest changes, closing, and putting
 * together what belongs to one person.
 */

-- A watchlist keeps its templates for decades, an enrolment gallery without an end: who may only stage puts nothing there,
-- takes nothing away, and gives it no anchor, from which all of it would be due in days.
CREATE FUNCTION facematch.may_stage(gallery_id bigint) RETURNS boolean
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_may_stage';
COMMENT ON FUNCTION facematch.may_stage(bigint) IS
	'whether the session''s user may put references into a gallery, take them out, close it or let a partner ask about it: of one with an anchor that is no watchlist, or with INSERT on all of facematch.reference of any. Who has no right to insert references or to assign galleries to partners: false';

CREATE FUNCTION facematch.unseen_galleries() RETURNS bigint[]
	LANGUAGE C STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_unseen_galleries';
COMMENT ON FUNCTION facematch.unseen_galleries() IS
	'the galleries whose members the session''s user does not see: watchlists and those without an anchor, for who may read facematch.reference, but neither its templates nor insert into all of it; otherwise empty. For the policy of facematch.reference';

CREATE FUNCTION facematch.check_may_stage(gallery facematch.gallery) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT facematch.may_stage(gallery.gallery_id) THEN
		RAISE insufficient_privilege USING
			MESSAGE = format('gallery %L is for no event that passes', gallery.name),
			HINT = 'Watchlists and galleries without an anchor need INSERT on facematch.reference.';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.check_may_stage(facematch.gallery) IS 'refuses (42501) a gallery that facematch.may_stage() denies the session''s user';
REVOKE ALL ON FUNCTION facematch.check_may_stage(facematch.gallery) FROM PUBLIC;

CREATE FUNCTION facematch.restage_gallery(gallery text, manifest uuid[])
	RETURNS TABLE (subject_id uuid, state text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	staged facematch.gallery;
	gone uuid[];
BEGIN
	SELECT g.* INTO staged FROM facematch.gallery g WHERE g.name = restage_gallery.gallery FOR UPDATE;
	IF NOT FOUND THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no gallery %L', gallery),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	END IF;
	PERFORM facematch.check_may_stage(staged);
	IF manifest IS NULL OR array_position(manifest, NULL) IS NOT NULL THEN
		RAISE null_value_not_allowed USING
			MESSAGE = 'the manifest, or a subject on it, is NULL',
			HINT = 'An empty manifest is ''{}'': it removes everyone.';
	END IF;
	WITH removed AS (
		DELETE FROM facematch.reference r WHERE r.gallery_id = staged.gallery_id AND r.subject_id <> ALL (manifest)
			AND NOT EXISTS (SELECT FROM facematch.held h WHERE h.subject_id = r.subject_id
							OR (h.table_name = 'facematch.reference'::regclass AND h.row_id = r.reference_id::text))
		RETURNING r.subject_id)
	SELECT array_agg(d.subject_id) INTO gone FROM removed d;
	IF gone IS NOT NULL THEN
		PERFORM facematch.write_audit('gallery_restaged', jsonb_build_object('about', 'gallery:' || staged.gallery_id, 'removed', cardinality(gone)));
	END IF;
	RETURN QUERY
	SELECT DISTINCT d, 'removed' FROM unnest(gone) d
	UNION ALL
	SELECT DISTINCT m.subject_id,
		   CASE WHEN facematch.is_opted_out(m.subject_id, staged.gallery_id) THEN 'opted_out'
				WHEN facematch.is_exempt(m.subject_id) THEN 'exempt'
				WHEN EXISTS (SELECT FROM facematch.reference r WHERE r.gallery_id = staged.gallery_id AND r.subject_id = m.subject_id
							 AND r.purge_after > clock_timestamp()) THEN 'staged'
				ELSE 'missing' END
	FROM unnest(manifest) m (subject_id);
END
$$;
COMMENT ON FUNCTION facematch.restage_gallery(text, uuid[]) IS
	'the manifest has changed: removes the references of who is no longer on it, except held ones, and tells of each subject: removed, staged, missing (to be staged), opted_out or exempt (neither). Logged, if anybody was removed. No such gallery: P0002; a watchlist or a gallery without an anchor, for who may only stage: 42501; NULL: 22004';
REVOKE ALL ON FUNCTION facematch.restage_gallery(text, uuid[]) FROM PUBLIC;

CREATE FUNCTION facematch.close_gallery(gallery text) RETURNS timestamptz
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	closing facematch.gallery;
	deadline timestamptz;
BEGIN
	SELECT g.* INTO closing FROM facematch.gallery g WHERE g.name = close_gallery.gallery FOR UPDATE;
	IF NOT FOUND THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no gallery %L', gallery),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	END IF;
	PERFORM facematch.check_may_stage(closing);
	UPDATE facematch.gallery g SET closed_at = coalesce(g.closed_at, clock_timestamp()), anchor_at = least(g.anchor_at, clock_timestamp())
	WHERE g.gallery_id = closing.gallery_id RETURNING g.purge_after INTO deadline;
	RETURN deadline;
END
$$;
COMMENT ON FUNCTION facematch.close_gallery(text) IS
	'the doors are closed: nothing more is staged into the gallery, and its anchor is now, or earlier if it was. Returns its deadline. No such gallery: P0002; a watchlist or a gallery without an anchor, for who may only stage: 42501';
REVOKE ALL ON FUNCTION facematch.close_gallery(text) FROM PUBLIC;

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
REVOKE ALL ON FUNCTION facematch.merge_references(text, uuid) FROM PUBLIC;

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
	PERFORM facematch.write_audit('subjects_merged', jsonb_build_object('kept', merge_subjects.kept, 'merged', merge_subjects.merged, 'references', moved));
	RETURN moved;
END
$$;
COMMENT ON FUNCTION facematch.merge_subjects(uuid, uuid) IS
	'two pseudonyms are one person''s (two passports): references and encounters of the second become the first''s, opt-outs of either hold for both. Returns how many references moved. Logged. The same subject twice, or NULL: 22023';
REVOKE ALL ON FUNCTION facematch.merge_subjects(uuid, uuid) FROM PUBLIC;
