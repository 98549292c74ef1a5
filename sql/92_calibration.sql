/*
 * Calibration: the thresholds of a model by false match rate, measured on a
 * labelled set, and the thresholds of galleries that state a target FPIR.
 *
 * A search of N references by somebody who is not among them errs with a
 * probability of at most N times the FMR, of 1 - (1 - FMR)^N when comparisons
 * are independent.  So a target FPIR asks for FMR = 1 - (1 - FPIR)^(1/N), and
 * the calibration says at which threshold the model has it.
 */

CREATE TABLE facematch.calibration (
	calibration_id	bigint GENERATED ALWAYS AS IDENTITY,
	model			text NOT NULL,
	calibrated_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	calibrated_by	text NOT NULL DEFAULT session_user,
	non_mated		bigint NOT NULL CONSTRAINT calibration_non_mated_range CHECK (non_mated >= 1),
	mated			bigint NOT NULL CONSTRAINT calibration_mated_range CHECK (mated >= 1),
	note			text,
	CONSTRAINT calibration_pkey PRIMARY KEY (calibration_id),
	CONSTRAINT calibration_model_exists FOREIGN KEY (model) REFERENCES facematch.model ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE facematch.calibration IS 'measurements of a model''s errors on a labelled set; the latest of a model is in use. No template is kept';
COMMENT ON COLUMN facematch.calibration.calibration_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.calibration.model IS 'the model';
COMMENT ON COLUMN facematch.calibration.calibrated_at IS 'when it was measured';
COMMENT ON COLUMN facematch.calibration.calibrated_by IS 'the session''s user who did';
COMMENT ON COLUMN facematch.calibration.non_mated IS 'how many comparisons of different people it rests on';
COMMENT ON COLUMN facematch.calibration.mated IS 'how many comparisons of the same person it rests on';
COMMENT ON COLUMN facematch.calibration.note IS 'what set it was, in the words of who measured';
CREATE INDEX calibration_model_idx ON facematch.calibration (model, calibrated_at, calibration_id);

CREATE TABLE facematch.calibration_point (
	calibration_id		bigint NOT NULL,
	threshold			double precision NOT NULL CONSTRAINT calibration_point_threshold_range CHECK (threshold BETWEEN -1 AND 1),
	false_matches		bigint NOT NULL CONSTRAINT calibration_point_false_matches_range CHECK (false_matches >= 0),
	false_non_matches	bigint NOT NULL CONSTRAINT calibration_point_false_non_matches_range CHECK (false_non_matches >= 0),
	CONSTRAINT calibration_point_pkey PRIMARY KEY (calibration_id, threshold),
	CONSTRAINT calibration_point_calibration_exists FOREIGN KEY (calibration_id) REFERENCES facematch.calibration ON DELETE CASCADE
);
COMMENT ON TABLE facematch.calibration_point IS 'the DET of a calibration: counts at thresholds, in steps of 0.001 wherever a count changes';
COMMENT ON COLUMN facematch.calibration_point.calibration_id IS 'the calibration';
COMMENT ON COLUMN facematch.calibration_point.threshold IS 'the threshold, a cosine similarity; up to the next row''s the counts are the same on the grid';
COMMENT ON COLUMN facematch.calibration_point.false_matches IS 'non-mated comparisons that reach it, of calibration.non_mated';
COMMENT ON COLUMN facematch.calibration_point.false_non_matches IS 'mated comparisons that do not reach it, of calibration.mated';
CREATE INDEX calibration_point_false_matches_idx ON facematch.calibration_point (calibration_id, false_matches, threshold);

CREATE TABLE facematch.calibrated_threshold (
	calibration_id		bigint NOT NULL,
	fmr					double precision NOT NULL CONSTRAINT calibrated_threshold_fmr_range CHECK (fmr > 0 AND fmr < 1),
	threshold			double precision NOT NULL,
	basis				text NOT NULL CONSTRAINT calibrated_threshold_basis_is_known CHECK (basis IN ('measured', 'sparse', 'extrapolated')),
	false_matches		bigint NOT NULL,
	fmr_lower			double precision NOT NULL,
	fmr_upper			double precision NOT NULL,
	false_non_matches	bigint NOT NULL,
	fnmr				double precision NOT NULL,
	fnmr_lower			double precision NOT NULL,
	fnmr_upper			double precision NOT NULL,
	CONSTRAINT calibrated_threshold_pkey PRIMARY KEY (calibration_id, fmr),
	CONSTRAINT calibrated_threshold_calibration_exists FOREIGN KEY (calibration_id) REFERENCES facematch.calibration ON DELETE CASCADE
);
COMMENT ON TABLE facematch.calibrated_threshold IS 'a model''s thresholds by false match rate, written by calibrate()';
COMMENT ON COLUMN facematch.calibrated_threshold.calibration_id IS 'the calibration';
COMMENT ON COLUMN facematch.calibrated_threshold.fmr IS 'the false match rate that was asked for';
COMMENT ON COLUMN facematch.calibrated_threshold.threshold IS 'the least threshold, in steps of 0.001, with that rate or a lower one: a cosine similarity';
COMMENT ON COLUMN facematch.calibrated_threshold.basis IS 'measured: 30 false matches or more may happen at that rate (rule of 30); sparse: fewer may, so the threshold rests on a few pairs; extrapolated: none may, so it rests on the slope of the tail';
COMMENT ON COLUMN facematch.calibrated_threshold.false_matches IS 'false matches at the threshold';
COMMENT ON COLUMN facematch.calibrated_threshold.fmr_lower IS 'lower end of the 95 % Wilson interval of the rate there';
COMMENT ON COLUMN facematch.calibrated_threshold.fmr_upper IS 'upper end';
COMMENT ON COLUMN facematch.calibrated_threshold.false_non_matches IS 'false non-matches at the threshold';
COMMENT ON COLUMN facematch.calibrated_threshold.fnmr IS 'their share: the price of the threshold';
COMMENT ON COLUMN facematch.calibrated_threshold.fnmr_lower IS 'lower end of its 95 % Wilson interval';
COMMENT ON COLUMN facematch.calibrated_threshold.fnmr_upper IS 'upper end';

SELECT pg_catalog.pg_extension_config_dump('facematch.calibration', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.calibration_calibration_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.calibration_point', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.calibrated_threshold', '');

---------------------------------------------------------------- the threshold for a rate

CREATE FUNCTION facematch.calibration_in_use(model text) RETURNS facematch.calibration
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	latest facematch.calibration;
BEGIN
	SELECT c.* INTO latest FROM facematch.calibration c WHERE c.model = calibration_in_use.model
	ORDER BY c.calibrated_at DESC, c.calibration_id DESC LIMIT 1;
	IF NOT FOUND THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = format('model %L is not calibrated', model),
			HINT = 'Measure its errors on a labelled set: SELECT * FROM facematch.calibrate(...).';
	END IF;
	RETURN latest;
END
$$;
COMMENT ON FUNCTION facematch.calibration_in_use(text) IS 'the latest calibration of a model; none: 55000';

CREATE FUNCTION facematch.threshold_at_fmr(calibration facematch.calibration, fmr double precision,
										   OUT threshold double precision, OUT basis text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	grid CONSTANT double precision := 1000;		-- steps to 1 of the calibration's thresholds
	-- Between these counts the tail is measured well enough to go on from: 30 by the rule of 30, and a decade above.
	few CONSTANT bigint := 30;
	many CONSTANT bigint := 300;
	allowed double precision := fmr * calibration.non_mated;
	a facematch.calibration_point;
	b facematch.calibration_point;
BEGIN
	IF fmr IS NULL THEN
		RETURN;
	ELSIF NOT (fmr > 0 AND fmr < 1) THEN
		RAISE numeric_value_out_of_range USING
			MESSAGE = format('a false match rate of %s', fmr),
			HINT = 'It is between 0 and 1, such as 0.0001.';
	END IF;
	-- Above 1 is nothing: when templates of different people are equal, no threshold tells them apart.
	threshold := coalesce((SELECT min(p.threshold) FROM facematch.calibration_point p
						   WHERE p.calibration_id = calibration.calibration_id AND p.false_matches <= floor(allowed)), 1);
	basis := CASE WHEN allowed >= few THEN 'measured' WHEN allowed >= 1 THEN 'sparse' ELSE 'extrapolated' END;
	IF allowed < 1 THEN
		-- Fewer than one false match may happen: go on from the measured tail in a straight line of the rate's logarithm.
		-- Tails of similarity fall faster than that, so the line errs on the side of a higher threshold.
		SELECT p.* INTO a FROM facematch.calibration_point p
		WHERE p.calibration_id = calibration.calibration_id AND p.false_matches >= many ORDER BY p.threshold DESC LIMIT 1;
		SELECT p.* INTO b FROM facematch.calibration_point p
		WHERE p.calibration_id = calibration.calibration_id AND p.false_matches >= few ORDER BY p.threshold DESC LIMIT 1;
		IF a.threshold < b.threshold AND a.false_matches > b.false_matches THEN
			threshold := greatest(threshold, least(1, ceil(grid * (b.threshold + (b.threshold - a.threshold)
				* ln(b.false_matches / allowed) / ln(a.false_matches / b.false_matches::double precision))) / grid));
		END IF;
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.threshold_at_fmr(facematch.calibration, double precision) IS
	'the least threshold, in steps of 0.001, at which a calibration had that false match rate or a lower one; basis as in calibrated_threshold. NULL for NULL; fmr between 0 and 1 (22003)';

---------------------------------------------------------------- calibrate()

CREATE FUNCTION facematch.query_of_model(query text, model text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	of facematch.model;
BEGIN
	SELECT m.* INTO of FROM facematch.model m WHERE m.name = query_of_model.model;
	IF NOT FOUND THEN
		RAISE foreign_key_violation USING
			MESSAGE = format('there is no model %L', model),
			HINT = 'Add it to facematch.model, with its tag and dimensions.';
	END IF;
	RETURN CASE WHEN query IS NOT NULL THEN format(E'SELECT q.id, q.subject, q.template::@extschema@.face_embedding(%s, %s) FROM (\n%s\n) q (id, subject, template)', of.dims, of.tag, query) END;
END
$$;
COMMENT ON FUNCTION facematch.query_of_model(text, text) IS
	'a query of identifier, subject, template that refuses templates of another model than the named one, or of other dimensions. NULL for NULL; no such model: 23503';

CREATE FUNCTION facematch.store_calibration(model text, thresholds double precision[], non_mated bigint[], mated bigint[],
											fmr double precision[], note text)
	RETURNS SETOF facematch.calibrated_threshold
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	least_non_mated CONSTANT bigint := 3000;	-- 30 false matches at FMR 1:100, below which there is nothing to calibrate
	least_mated CONSTANT bigint := 30;
	stored facematch.calibration;
BEGIN
	stored.non_mated := (SELECT sum(n) FROM unnest(store_calibration.non_mated) n);
	stored.mated := (SELECT sum(n) FROM unnest(store_calibration.mated) n);
	IF stored.non_mated < least_non_mated OR stored.mated < least_mated THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = format('%s non-mated and %s mated comparisons are too few to calibrate', stored.non_mated, stored.mated),
			HINT = format('There have to be %s and %s at the least; a false match rate r is measured well with 30 / r non-mated ones.', least_non_mated, least_mated);
	END IF;
	INSERT INTO facematch.calibration (model, non_mated, mated, note)
	VALUES (store_calibration.model, stored.non_mated, stored.mated, store_calibration.note) RETURNING * INTO stored;
	INSERT INTO facematch.calibration_point (calibration_id, threshold, false_matches, false_non_matches)
	SELECT stored.calibration_id, p.threshold, p.false_matches, p.false_non_matches
	FROM (SELECT c.threshold, c.false_matches, c.false_non_matches,
				 (c.false_matches, c.false_non_matches) IS DISTINCT FROM
				 (lag(c.false_matches) OVER (ORDER BY c.threshold), lag(c.false_non_matches) OVER (ORDER BY c.threshold)) AS changes
		  FROM (SELECT h.threshold, sum(h.n) OVER (ORDER BY h.threshold DESC NULLS LAST) AS false_matches,
					   sum(h.m) OVER (ORDER BY h.threshold NULLS FIRST) - h.m AS false_non_matches
				FROM unnest(thresholds, store_calibration.non_mated, store_calibration.mated) h (threshold, n, m)) c
		  WHERE c.threshold IS NOT NULL) p
	WHERE p.changes;
	PERFORM facematch.write_audit('model_calibrated', jsonb_build_object('model', model, 'calibration_id', stored.calibration_id,
		'non_mated', stored.non_mated, 'mated', stored.mated));
	RETURN QUERY
	INSERT INTO facematch.calibrated_threshold (calibration_id, fmr, threshold, basis, false_matches, fmr_lower, fmr_upper,
												false_non_matches, fnmr, fnmr_lower, fnmr_upper)
	SELECT stored.calibration_id, f.fmr, t.threshold, t.basis, p.false_matches, m.lower, m.upper,
		   p.false_non_matches, p.false_non_matches / stored.mated::double precision, n.lower, n.upper
	FROM unnest(store_calibration.fmr) f (fmr), facematch.threshold_at_fmr(stored, f.fmr) t,
		 LATERAL (SELECT c.* FROM facematch.calibration_point c WHERE c.calibration_id = stored.calibration_id AND c.threshold <= t.threshold
				  ORDER BY c.threshold DESC LIMIT 1) p,
		 facematch.wilson_interval(p.false_matches, stored.non_mated) m, facematch.wilson_interval(p.false_non_matches, stored.mated) n
	ORDER BY f.fmr DESC
	RETURNING *;
END
$$;
COMMENT ON FUNCTION facematch.store_calibration(text, double precision[], bigint[], bigint[], double precision[], text) IS
	'writes a calibration from a histogram of scores (score_histogram() over score_grid(): low, non_mated, mated) and returns its thresholds; for calibrate(), and for who measures elsewhere. Too few comparisons: 55000';
REVOKE ALL ON FUNCTION facematch.store_calibration(text, double precision[], bigint[], bigint[], double precision[], text) FROM PUBLIC;

CREATE FUNCTION facematch.calibrate(model text, probes text, enrolled text DEFAULT NULL,
									fmr double precision[] DEFAULT '{1e-2,1e-3,1e-4,1e-5,1e-6}', note text DEFAULT NULL)
	RETURNS SETOF facematch.calibrated_threshold
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH histogram AS (
		SELECT array_agg(h.low) AS low, array_agg(h.non_mated) AS non_mated, array_agg(h.mated) AS mated
		FROM facematch.score_histogram(facematch.query_of_model($2, $1), facematch.query_of_model($3, $1)) h)
	SELECT s.* FROM histogram h, facematch.store_calibration($1, h.low, h.non_mated, h.mated, $4, $5) s;
END;
COMMENT ON FUNCTION facematch.calibrate(text, text, text, double precision[], text) IS
	'measures a model on a labelled set, stores the DET and the thresholds for the given false match rates, and returns these; galleries that state a target FPIR use it from now on. probes and enrolled as for score_histogram(), without enrolled all pairs within probes; choose templates taken as the site''s are. Logged. Too few comparisons: 55000; templates of another model: 22023';
REVOKE ALL ON FUNCTION facematch.calibrate(text, text, text, double precision[], text) FROM PUBLIC;

---------------------------------------------------------------- galleries with a target FPIR

ALTER TABLE facematch.gallery
	ADD COLUMN target_fpir double precision CONSTRAINT gallery_target_fpir_range CHECK (target_fpir > 0 AND target_fpir < 1),
	ALTER COLUMN min_similarity DROP NOT NULL,
	ADD CONSTRAINT gallery_has_a_threshold CHECK (num_nonnulls(min_similarity, target_fpir) >= 1);
COMMENT ON COLUMN facematch.gallery.target_fpir IS
	'the false positive identification rate that a search shall have, such as 0.001: the threshold follows from it, the model''s calibration and the number of references, as they are when a client''s statement searches; NULL: min_similarity is the threshold';
COMMENT ON COLUMN facematch.gallery.min_similarity IS
	'threshold: the least cosine similarity of a candidate, -1 to 1; choose it for a false match rate of the model in use. With target_fpir: the threshold is never below it; NULL: no such floor';

CREATE TRIGGER gallery_60_target_logged AFTER UPDATE ON facematch.gallery
	FOR EACH ROW WHEN (OLD.target_fpir IS DISTINCT FROM NEW.target_fpir)
	EXECUTE FUNCTION facematch.log_row('gallery', 'gallery_id', 'target_fpir', 'added,changed,deleted');
ALTER TABLE facematch.gallery ENABLE ALWAYS TRIGGER gallery_60_target_logged;

CREATE FUNCTION facematch.gallery_size(gallery_id bigint) RETURNS bigint
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_gallery_size';
COMMENT ON FUNCTION facematch.gallery_size(bigint) IS
	'how many references of a gallery are not due, counted with the caller''s rights; what this transaction has removed counts until it commits. Once for each snapshot, and over 5,000 again only after a hundred times as long as counting took, a minute at most';

CREATE FUNCTION facematch.fmr_for_fpir(fpir double precision, size bigint) RETURNS double precision
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN 1 - power(1 - fpir, 1 / greatest(size, 1)::double precision);
COMMENT ON FUNCTION facematch.fmr_for_fpir(double precision, bigint) IS
	'the false match rate at which a search of so many references has a false positive identification rate, comparisons being independent: 1 - (1 - fpir)^(1/size)';

CREATE FUNCTION facematch.gallery_threshold(gallery facematch.gallery) RETURNS double precision
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF gallery.target_fpir IS NULL THEN
		RETURN gallery.min_similarity;
	END IF;
	RETURN greatest(gallery.min_similarity,
		(facematch.threshold_at_fmr(facematch.calibration_in_use(gallery.model),
									facematch.fmr_for_fpir(gallery.target_fpir, facematch.gallery_size(gallery.gallery_id)))).threshold);
END
$$;
COMMENT ON FUNCTION facematch.gallery_threshold(facematch.gallery) IS
	'the threshold of a gallery now: min_similarity, or what its target FPIR asks for at its present size. A model without calibration: 55000';

CREATE FUNCTION facematch.report_operating_points()
	RETURNS TABLE (gallery_id bigint, gallery text, kind text, model text, live_references bigint, target_fpir double precision,
				   fmr double precision, threshold double precision, basis text, calibration_id bigint, fnmr double precision)
	LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT g.gallery_id, g.name, g.kind, g.model, s.size, g.target_fpir, f.fmr, u.threshold, t.basis, c.calibration_id,
		   p.false_non_matches / c.mated::double precision
	FROM facematch.gallery g
	CROSS JOIN LATERAL (SELECT facematch.gallery_size(g.gallery_id) AS size) s
	CROSS JOIN LATERAL (SELECT facematch.fmr_for_fpir(g.target_fpir, s.size) AS fmr) f
	LEFT JOIN LATERAL (SELECT k.* FROM facematch.calibration k WHERE k.model = g.model
					   ORDER BY k.calibrated_at DESC, k.calibration_id DESC LIMIT 1) c ON true
	LEFT JOIN LATERAL facematch.threshold_at_fmr(c, f.fmr) t ON c.calibration_id IS NOT NULL AND f.fmr IS NOT NULL
	CROSS JOIN LATERAL (SELECT CASE WHEN g.target_fpir IS NULL THEN g.min_similarity
									WHEN t.threshold IS NOT NULL THEN greatest(g.min_similarity, t.threshold) END AS threshold) u
	LEFT JOIN LATERAL (SELECT q.* FROM facematch.calibration_point q
					   WHERE q.calibration_id = c.calibration_id AND q.threshold <= u.threshold
					   ORDER BY q.threshold DESC LIMIT 1) p ON true
	WHERE g.purge_after > clock_timestamp()
$$;
COMMENT ON FUNCTION facematch.report_operating_points() IS 'at which threshold each gallery that is not due is searched now; for the view of that name';
REVOKE ALL ON FUNCTION facematch.report_operating_points() FROM PUBLIC;

CREATE VIEW facematch.report_operating_point AS
	SELECT o.gallery_id, o.gallery, o.kind, o.model, o.live_references, o.target_fpir, o.fmr, o.threshold, o.basis, o.calibration_id, o.fnmr
	FROM facematch.report_operating_points() o;
COMMENT ON VIEW facematch.report_operating_point IS 'at which threshold each gallery is searched now, and what its model''s calibration says about it';
COMMENT ON COLUMN facematch.report_operating_point.gallery_id IS 'the gallery';
COMMENT ON COLUMN facematch.report_operating_point.gallery IS 'its name';
COMMENT ON COLUMN facematch.report_operating_point.kind IS 'what it is for';
COMMENT ON COLUMN facematch.report_operating_point.model IS 'its model';
COMMENT ON COLUMN facematch.report_operating_point.live_references IS 'how many references are not due';
COMMENT ON COLUMN facematch.report_operating_point.target_fpir IS 'the FPIR it states, if it does';
COMMENT ON COLUMN facematch.report_operating_point.fmr IS 'the false match rate that the target asks for at this size; NULL without a target';
COMMENT ON COLUMN facematch.report_operating_point.threshold IS 'the threshold in use; NULL: a target without a calibration, so that searches fail';
COMMENT ON COLUMN facematch.report_operating_point.basis IS 'measured, sparse or extrapolated, as in calibrated_threshold; NULL without a target';
COMMENT ON COLUMN facematch.report_operating_point.calibration_id IS 'the model''s calibration in use; NULL: none';
COMMENT ON COLUMN facematch.report_operating_point.fnmr IS 'the false non-match rate that the calibration had at the threshold, to the step of 0.001 below it';

-- Counts and rates: nothing of anybody's template.
INSERT INTO facematch.access_right (kind, object_kind, object_name, privilege, columns, shipped) VALUES
	('auditor', 'table', 'calibration', 'SELECT', NULL, true),
	('auditor', 'table', 'calibration_point', 'SELECT', NULL, true),
	('auditor', 'table', 'calibrated_threshold', 'SELECT', NULL, true);
