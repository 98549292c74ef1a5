/*
 * What an operator does through functions and not on the tables, because the
 * tables would let one choose a threshold or a deadline.
 */

CREATE FUNCTION facematch.stage_gallery(name text, like_gallery text, anchor_at timestamptz) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pattern facematch.gallery;
	id bigint;
BEGIN
	SELECT g.* INTO pattern FROM facematch.gallery g WHERE g.name = stage_gallery.like_gallery;
	IF NOT FOUND THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no gallery %L', like_gallery),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	ELSIF pattern.anchor_at IS NULL THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('gallery %L is for no event that passes', like_gallery),
			HINT = 'Galleries are staged like one of a flight or a ship; whoever may insert into facematch.gallery makes the others.';
	-- A cruise is the longest time between a manifest and what it is for.
	ELSIF anchor_at IS NULL OR anchor_at NOT BETWEEN clock_timestamp() - interval '14 days' AND clock_timestamp() + interval '60 days' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'the anchor of a gallery is at most 60 days ahead, and 14 days ago',
			HINT = 'Give the time of the departure.';
	END IF;
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, target_fpir, anchor_at, retention_class)
	VALUES (stage_gallery.name, pattern.kind, pattern.model, pattern.min_similarity, pattern.target_fpir, stage_gallery.anchor_at, pattern.retention_class)
	RETURNING gallery_id INTO id;
	RETURN id;
END
$$;
COMMENT ON FUNCTION facematch.stage_gallery(text, text, timestamptz) IS
	'makes a gallery for a departure with the kind, model, threshold and retention class of another one; returns its gallery_id. No such gallery: P0002; one without an anchor, or an anchor more than 60 days ahead or 14 days ago: 22023; a name that is taken: 23505';

-- A watchlist keeps its templates for decades, an enrolment gallery without an end: who may only stage puts nothing there.
CREATE FUNCTION facematch.may_stage(gallery_id bigint) RETURNS boolean
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT has_table_privilege(session_user, 'facematch.reference'::regclass, 'INSERT')
		OR EXISTS (SELECT FROM facematch.gallery g WHERE g.gallery_id = $1 AND g.anchor_at IS NOT NULL)
$$;
COMMENT ON FUNCTION facematch.may_stage(bigint) IS
	'whether the session''s user may put references into a gallery: into one with an anchor, or with INSERT on all of facematch.reference into any';

-- Nor does who may only stage let a partner ask who is on a watchlist.
ALTER TABLE facematch.partner_gallery ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_open ON facematch.partner_gallery USING (true) WITH CHECK (true);
CREATE POLICY facematch_flights ON facematch.partner_gallery AS RESTRICTIVE FOR INSERT WITH CHECK (facematch.may_stage(gallery_id));
COMMENT ON POLICY facematch_open ON facematch.partner_gallery IS 'what is granted may be used';
COMMENT ON POLICY facematch_flights ON facematch.partner_gallery IS 'an operator assigns a partner only galleries for an event that passes';

CREATE POLICY facematch_staging ON facematch.reference AS RESTRICTIVE FOR INSERT WITH CHECK (facematch.may_stage(gallery_id));
COMMENT ON POLICY facematch_staging ON facematch.reference IS 'an operator stages only galleries for an event that passes';
