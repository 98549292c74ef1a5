/*
 * Which galleries a role that may only stage works with: those for an event that
 * passes.
 */

-- A watchlist keeps its templates for decades, an enrolment gallery without an end: a role that may only stage
-- adds nothing there, removes nothing, and gives it no anchor, from which all of it would be due in days.
CREATE FUNCTION facematch_internal.may_stage(gallery_id bigint) RETURNS boolean
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_may_stage';
COMMENT ON FUNCTION facematch_internal.may_stage(bigint) IS
	'whether the session''s user may put references into a gallery, take them out, close it or let a partner ask '
	'about it: of one with an anchor that is not a watchlist, or with INSERT on all of facematch.reference of any. '
	'For roles that have no right to insert references or to assign galleries to partners: false';

CREATE FUNCTION facematch_internal.unseen_galleries() RETURNS bigint[]
	LANGUAGE C STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_unseen_galleries';
COMMENT ON FUNCTION facematch_internal.unseen_galleries() IS
	'the galleries whose members the session''s user does not see: watchlists and those without an anchor, for roles '
	'that may read facematch.reference, but neither read its templates nor insert into all of it; otherwise empty. For '
	'the policy of facematch.reference';

CREATE FUNCTION facematch_internal.check_gallery(gallery facematch.gallery, name text, to_stage boolean DEFAULT true)
	RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF gallery.gallery_id IS NULL THEN
		RAISE no_data_found USING CONSTRAINT = 'gallery_exists',
			MESSAGE = format('there is no gallery %L', name),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	ELSIF to_stage AND NOT facematch_internal.may_stage(gallery.gallery_id) THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'gallery_may_be_staged',
			MESSAGE = format('gallery %L is a watchlist or has no anchor', name),
			HINT = 'Watchlists and galleries without an anchor need INSERT on facematch.reference.';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch_internal.check_gallery(facematch.gallery, text, boolean) IS
	'refuses a gallery that was not found by its name (P0002), and one to stage that facematch_internal.may_stage() '
	'denies the session''s user (42501)';

CREATE POLICY facematch_staging ON facematch.reference AS RESTRICTIVE
	FOR INSERT WITH CHECK (facematch_internal.may_stage(gallery_id));
COMMENT ON POLICY facematch_staging ON facematch.reference IS 'an operator stages only galleries for an event that '
	'passes';

-- Nor sees who is on one.  Asked once a query, and compared with a number: rows are many, and such galleries few.
CREATE POLICY facematch_members ON facematch.reference AS RESTRICTIVE FOR ALL
	USING (gallery_id <> ALL ((SELECT facematch_internal.unseen_galleries())::bigint[])) WITH CHECK (true);
COMMENT ON POLICY facematch_members ON facematch.reference IS 'an operator sees references of galleries for an event '
	'that passes';

---------------------------------------------------------------- enrolment

-- With the caller's privileges: what INSERT refuses, this refuses.
CREATE FUNCTION facematch.enrol(gallery text, subject_id uuid, template @extschema@.face_embedding,
	retention_class text,
								source text, quality integer DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	staged facematch.gallery;
	enrolled bigint;
BEGIN
	SELECT g.* INTO staged FROM facematch.gallery g WHERE g.name = enrol.gallery;
	PERFORM facematch_internal.check_gallery(staged, gallery);
	INSERT INTO facematch.reference (gallery_id, subject_id, embedding, retention_class, source, quality)
	VALUES (staged.gallery_id, enrol.subject_id, template, enrol.retention_class, enrol.source, enrol.quality)
	RETURNING reference_id INTO enrolled;
	RETURN enrolled;
END
$$;
COMMENT ON FUNCTION facematch.enrol(text, uuid, @extschema@.face_embedding, text, text, integer) IS
	'enrols a template in a gallery by name, and returns its reference_id; NULL: left out, because the subject has '
	'opted out and facematch.on_opt_out is skip. Each refusal has its constraint name: gallery_exists, '
	'gallery_may_be_staged, gallery_is_open, gallery_has_not_departed, retention_rule_is_in_force, '
	'subject_has_not_opted_out, reference_is_of_its_gallerys_model, reference_is_of_its_gallerys_quality, '
	'reference_is_whole. INSERT and COPY do the same. Several pictures of a person: one call each, or one with their '
	'avg()';
