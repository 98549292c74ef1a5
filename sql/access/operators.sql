/*
 * What an operator does through functions and not on the tables, because with the
 * tables an operator could choose a threshold or a deadline.
 */

CREATE FUNCTION facematch.stage_gallery(name text, like_gallery text, anchor_at timestamptz) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pattern facematch.gallery;
	id bigint;
BEGIN
	SELECT g.* INTO pattern FROM facematch.gallery g WHERE g.name = stage_gallery.like_gallery;
	PERFORM facematch_internal.check_gallery(pattern, like_gallery, to_stage => false);
	IF pattern.anchor_at IS NULL OR pattern.kind = 'watchlist' THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'gallery_is_for_an_event',
			MESSAGE = format('gallery %L is a watchlist or has no anchor', like_gallery),
			HINT = 'Galleries are staged like one of a flight or a ship; whoever may insert into facematch.gallery makes the'
				' others.';
	-- A cruise is the longest time between a manifest and what it is for. In hours: a day is as long as the session's
	-- timezone says.
	ELSIF anchor_at IS NULL OR anchor_at NOT BETWEEN clock_timestamp() - interval '336 hours'
		AND clock_timestamp() + interval '1440 hours' THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'gallery_anchor_is_near',
			MESSAGE = 'the anchor of a gallery is at most 60 days ahead, and 14 days ago',
			HINT = 'Give the time of the departure.';
	END IF;
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, target_fpir, min_quality, purpose_required,
		anchor_at, retention_class)
	VALUES (stage_gallery.name, pattern.kind, pattern.model, pattern.min_similarity, pattern.target_fpir,
		pattern.min_quality,
		pattern.purpose_required, stage_gallery.anchor_at, pattern.retention_class)
	RETURNING gallery_id INTO id;
	RETURN id;
END
$$;
COMMENT ON FUNCTION facematch.stage_gallery(text, text, timestamptz) IS
	'makes a gallery for a departure with the kind, model, threshold, least quality and retention class of another one;'
	' returns its gallery_id. No such gallery: P0002; a watchlist or one without an anchor, or an anchor more than 60 '
	'days ahead or 14 days ago: 22023; a name that is taken: 23505';
