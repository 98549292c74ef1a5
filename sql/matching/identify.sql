/*
 * Identification (1:N) and verification (1:1) over galleries and references.
 *
 * Both are exact.  Every operator is named with its schema and the search path
 * is pinned, so nobody's settings change what a search compares.  The time that
 * decides whether a reference is due is the clock's, not the transaction's
 * start: a gate that keeps a transaction open gains nothing by it.
 *
 * Both run with the owner's rights, so that whoever may search needs no right to
 * read a template.  Scores of enough probes would tell one all the same: below
 * the gallery's threshold nothing is said to a session's user who may not.
 */

-- What is wrong with a probe or a threshold is said before anything is compared, so that an empty gallery says it too.
CREATE FUNCTION facematch_internal.check_comparison(probe @extschema@.face_embedding, gallery facematch.gallery,
										   min_similarity double precision) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF probe IS NULL THEN
		RAISE null_value_not_allowed USING
			MESSAGE = 'there is no probe to compare',
			HINT = 'A capture that gave no template is a failure to acquire, not a search without candidates.';
	ELSIF @extschema@.face_model(probe) NOT IN (0, gallery.model_tag) THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('the probe is of model %s, but gallery %L is of model %s', @extschema@.face_model(probe), gallery.name, gallery.model_tag),
			HINT = format('Make the template with model %L.', gallery.model);
	ELSIF @extschema@.face_dims(probe) <> gallery.dims THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('the probe has %s dimensions, but gallery %L has %s', @extschema@.face_dims(probe), gallery.name, gallery.dims),
			HINT = format('Make the template with model %L.', gallery.model);
	ELSIF min_similarity NOT BETWEEN -1 AND 1 THEN
		RAISE numeric_value_out_of_range USING
			MESSAGE = format('min_similarity is %s', min_similarity),
			HINT = 'A threshold is a cosine similarity, -1 to 1.';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch_internal.check_comparison(@extschema@.face_embedding, facematch.gallery, double precision) IS
	'refuses what cannot be compared: no probe (22004), another model or other dimensions than the gallery''s (22023), a threshold outside -1 to 1 (22003)';

-- Of whoever is connected: the functions that ask run with the owner's rights.
CREATE FUNCTION facematch_internal.reads_templates() RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT has_column_privilege(session_user, 'facematch.reference'::regclass, 'embedding', 'SELECT')
$$;
COMMENT ON FUNCTION facematch_internal.reads_templates() IS 'whether the session''s user could read the templates that a search compares with';

CREATE FUNCTION facematch_internal.check_low_threshold(gallery facematch.gallery) RETURNS void
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT facematch_internal.reads_templates() THEN
		RAISE insufficient_privilege USING
			MESSAGE = format('min_similarity is below the threshold of gallery %L, %s', gallery.name, facematch_internal.gallery_threshold(gallery)),
			HINT = 'Scores of enough probes tell a template: only who may read facematch.reference.embedding gets those of everybody.';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch_internal.check_low_threshold(facematch.gallery) IS 'refuses (42501) a session''s user who may not read templates a threshold below the gallery''s';

CREATE FUNCTION facematch.identify(probe @extschema@.face_embedding, gallery text, max_candidates integer DEFAULT 10,
								   min_similarity double precision DEFAULT NULL)
	RETURNS TABLE (rank integer, reference_id bigint, subject_id uuid, similarity double precision)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 10
	SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
	searched facematch.gallery;
	own double precision;
	threshold double precision;
	moment timestamptz := clock_timestamp();
BEGIN
	SELECT g.* INTO searched FROM facematch.gallery g WHERE g.name = identify.gallery;
	IF NOT FOUND THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no gallery %L', gallery),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	ELSIF max_candidates < 1 OR max_candidates IS NULL THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('max_candidates is %s', coalesce(max_candidates::text, 'NULL')),
			HINT = 'Ask for at least one candidate.';
	END IF;
	own := CASE WHEN searched.target_fpir IS NULL THEN searched.min_similarity ELSE facematch_internal.gallery_threshold(searched) END;
	threshold := coalesce(identify.min_similarity, own);
	PERFORM facematch_internal.check_comparison(probe, searched, threshold);
	IF threshold < own THEN
		PERFORM facematch_internal.check_low_threshold(searched);
	END IF;

	-- Planned once a session: planning it for each search would cost more than searching a flight.
	-- The inner query is what an index can answer.  WITH TIES keeps all that are equally far at the end of the list, and the
	-- outer one puts ties in order of reference_id: the same list every time, whatever the plan.
	RETURN QUERY
	SELECT row_number() OVER (ORDER BY c.distance, c.reference_id)::integer, c.reference_id, c.subject_id, c.similarity
	FROM (SELECT r.reference_id, r.subject_id, @extschema@.face_similarity(r.embedding, probe) AS similarity,
				 r.embedding OPERATOR(@extschema@.<=>) probe AS distance
		  FROM facematch.reference r
		  WHERE r.gallery_id = searched.gallery_id
			AND @extschema@.face_match(r.embedding, probe, threshold)
			AND r.purge_after > moment
		  ORDER BY r.embedding OPERATOR(@extschema@.<=>) probe
		  FETCH FIRST max_candidates ROWS WITH TIES) c
	ORDER BY c.distance, c.reference_id
	LIMIT max_candidates;
END
$$;
COMMENT ON FUNCTION facematch.identify(@extschema@.face_embedding, text, integer, double precision) IS
	'identification, 1:N: the candidate list of a gallery by name, most similar first, at most max_candidates, each with a cosine similarity of at least min_similarity (the gallery''s threshold, unless given). Exact; ties in order of reference_id; a due reference is no candidate. No row: no candidate. No such gallery: P0002; another model''s probe or max_candidates below 1: 22023; threshold outside -1 to 1: 22003; below the gallery''s, for who may not read templates: 42501; NULL probe: 22004; a target FPIR without a calibration: 55000';

CREATE FUNCTION facematch.verify(probe @extschema@.face_embedding, reference_id bigint, min_similarity double precision DEFAULT NULL)
	RETURNS TABLE (match boolean, similarity double precision, threshold double precision, subject_id uuid)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	reference facematch.reference;
	compared facematch.gallery;
	own double precision;
BEGIN
	SELECT r.* INTO reference FROM facematch.reference r
	WHERE r.reference_id = verify.reference_id AND r.purge_after > clock_timestamp();
	IF NOT FOUND THEN
		IF probe IS NULL THEN
			PERFORM facematch_internal.check_comparison(probe, NULL, NULL);
		END IF;
		match := false;
		RETURN NEXT;
		RETURN;
	END IF;
	SELECT g.* INTO STRICT compared FROM facematch.gallery g WHERE g.gallery_id = reference.gallery_id;
	own := CASE WHEN compared.target_fpir IS NULL THEN compared.min_similarity ELSE facematch_internal.gallery_threshold(compared) END;
	threshold := coalesce(verify.min_similarity, own);
	PERFORM facematch_internal.check_comparison(probe, compared, threshold);
	IF threshold < own THEN
		PERFORM facematch_internal.check_low_threshold(compared);
	END IF;
	similarity := @extschema@.face_similarity(reference.embedding, probe);
	match := similarity >= threshold;
	subject_id := reference.subject_id;
	IF NOT match AND NOT facematch_internal.reads_templates() THEN
		similarity := NULL;
		IF NOT facematch_internal.may_stage(compared.gallery_id) THEN
			subject_id := NULL;
		END IF;
	END IF;
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION facematch.verify(@extschema@.face_embedding, bigint, double precision) IS
	'verification, 1:1: whether the probe''s cosine similarity to one reference is at least the threshold (the gallery''s, unless given). Always one row; with no such reference, or one that is due, match is false and the rest NULL. Without a match the similarity is NULL for who may not read templates, and of a watchlist or a gallery without an anchor the subject too. Errors as identify()';
