/*
 * Calibration: measuring a model on a labelled set, and storing its DET and thresholds.  The tables, and what
 * galleries make of them, are in sql/gallery/calibrated.sql.
 */

CREATE FUNCTION facematch_internal.store_calibration(model text, thresholds double precision[], non_mated bigint[],
	mated bigint[], fmr double precision[], note text)
	RETURNS SETOF facematch_internal.calibrated_threshold
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	least_non_mated CONSTANT bigint := 3000;	-- 30 false matches at FMR 1:100, below which there is nothing to calibrate
	least_mated CONSTANT bigint := 30;
	stored calibration;
BEGIN
	IF NOT EXISTS (SELECT FROM facematch.model m WHERE m.name = store_calibration.model) THEN
		RAISE foreign_key_violation USING CONSTRAINT = 'calibration_model_exists',
			MESSAGE = format('there is no model %L', model),
			HINT = 'Add it to facematch.model, with its tag and dimensions.';
	END IF;
	stored.non_mated := (SELECT sum(n) FROM unnest(store_calibration.non_mated) n);
	stored.mated := (SELECT sum(n) FROM unnest(store_calibration.mated) n);
	IF stored.non_mated < least_non_mated OR stored.mated < least_mated THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'calibration_has_enough',
			MESSAGE = format('%s non-mated and %s mated comparisons are too few to calibrate', stored.non_mated, stored.mated),
			HINT = format('There have to be %s and %s at the least; a false match rate r is measured well with 30 / r '
				'non-mated ones.', least_non_mated, least_mated);
	END IF;
	INSERT INTO calibration (model, non_mated, mated, note)
	VALUES (store_calibration.model, stored.non_mated, stored.mated, store_calibration.note) RETURNING * INTO stored;
	INSERT INTO calibration_point (calibration_id, threshold, false_matches, false_non_matches)
	SELECT stored.calibration_id, p.threshold, p.false_matches, p.false_non_matches
	FROM (SELECT c.threshold, c.false_matches, c.false_non_matches,
				 (c.false_matches, c.false_non_matches) IS DISTINCT FROM
				 (lag(c.false_matches) OVER w, lag(c.false_non_matches) OVER w) AS changes
		  FROM (SELECT h.threshold, sum(h.n) OVER (ORDER BY h.threshold DESC NULLS LAST) AS false_matches,
					   sum(h.m) OVER (ORDER BY h.threshold NULLS FIRST) - h.m AS false_non_matches
				FROM unnest(thresholds, store_calibration.non_mated, store_calibration.mated) h (threshold, n, m)) c
		  WHERE c.threshold IS NOT NULL WINDOW w AS (ORDER BY c.threshold)) p
	WHERE p.changes;
	PERFORM write_audit('model_calibrated', jsonb_build_object('model', model, 'calibration_id', stored.calibration_id,
		'non_mated', stored.non_mated, 'mated', stored.mated));
	RETURN QUERY
	INSERT INTO calibrated_threshold (calibration_id, fmr, threshold, basis, false_matches, fmr_lower, fmr_upper,
									  false_non_matches, fnmr, fnmr_lower, fnmr_upper)
	SELECT stored.calibration_id, f.fmr, t.threshold, t.basis, p.false_matches, m.lower, m.upper,
		   p.false_non_matches, n.rate, n.lower, n.upper
	FROM unnest(store_calibration.fmr) f (fmr), threshold_at_fmr(stored, f.fmr) t,
		 LATERAL (SELECT c.* FROM calibration_point c
				  WHERE c.calibration_id = stored.calibration_id AND c.threshold <= t.threshold
				  ORDER BY c.threshold DESC LIMIT 1) p,
		 facematch.rate_interval(p.false_matches, stored.non_mated) m,
		 facematch.rate_interval(p.false_non_matches, stored.mated) n
	ORDER BY f.fmr DESC
	RETURNING *;
END
$$;
COMMENT ON FUNCTION facematch_internal.store_calibration(text, double precision[], bigint[], bigint[],
	double precision[], text) IS
	'writes a calibration from a histogram of scores (score_histogram() over score_grid(): low, non_mated, mated) and '
	'returns its thresholds; for calibrate(), and for those who measure elsewhere. Too few comparisons: 55000; no such '
	'model: 23503';

CREATE FUNCTION facematch.calibrate(model text, probes text, enrolled text DEFAULT NULL,
									fmr double precision[] DEFAULT '{1e-2,1e-3,1e-4,1e-5,1e-6}', note text DEFAULT NULL,
									quality text DEFAULT NULL)
	RETURNS SETOF facematch_internal.calibrated_threshold
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	-- The cast refuses templates of another model, or of other dimensions.
	WITH query AS (
		SELECT format(q.text, m.dims, m.tag, $2) AS probes, CASE WHEN $3 IS NOT NULL THEN format(q.text, m.dims, m.tag, $3)
			END AS enrolled
		FROM facematch.model m, (VALUES (
			E'SELECT q.id, q.subject, q.template::@extschema@.face_embedding(%s, %s) FROM (\n%s\n) q (id, subject, '
				'template)')) q (text)
		WHERE m.name = $1),
	histogram AS (
		SELECT array_agg(h.low) AS low, array_agg(h.non_mated) AS non_mated, array_agg(h.mated) AS mated
		FROM query q, LATERAL facematch.score_histogram(q.probes, q.enrolled) h)
	SELECT s.* FROM histogram h, facematch_internal.store_calibration($1, h.low, h.non_mated, h.mated, $4, $5) s;
	-- What was stored last is what has just been stored.
	UPDATE facematch_internal.calibrated_threshold t
	SET (discard_quality, discard_mated, discard_misses) = (
		SELECT array_agg(d.quality ORDER BY d.quality), array_agg(d.mated ORDER BY d.quality),
			   array_agg(d.false_non_matches ORDER BY d.quality)
		FROM facematch.error_versus_discard($6, t.threshold) d)
	WHERE $6 IS NOT NULL AND t.calibration_id = (facematch_internal.calibration_in_use($1)).calibration_id;
	SELECT t.* FROM facematch_internal.calibrated_threshold t
	WHERE t.calibration_id = (facematch_internal.calibration_in_use($1)).calibration_id ORDER BY t.fmr DESC;
END;
COMMENT ON FUNCTION facematch.calibrate(text, text, text, double precision[], text, text) IS
	'measures a model on a labelled set, stores the DET and the thresholds for the given false match rates, and returns '
	'these; galleries that state a target FPIR use it from now on. probes and enrolled as for score_histogram(), without '
	'enrolled all pairs within probes; choose templates taken as the site''s are. quality: a query '
	'of identifier, subject, template and quality, whose error versus discard at each threshold is kept for the '
	'report. Logged. Too few comparisons: 55000; '
	'templates of another model: 22023';

CREATE FUNCTION facematch.threshold_for(model text, target_fpir double precision, live_references bigint,
	OUT fmr double precision, OUT threshold double precision, OUT basis text, OUT fnmr double precision)
	LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	used calibration := calibration_in_use(model);
BEGIN
	IF used.calibration_id IS NULL THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'model_is_calibrated',
			MESSAGE = format('model %L is not calibrated', model),
			HINT = 'Measure its errors on a labelled set: SELECT * FROM facematch.calibrate(...).';
	ELSIF NOT (target_fpir > 0 AND target_fpir < 1) OR live_references < 1 THEN
		RAISE numeric_value_out_of_range USING CONSTRAINT = 'target_fpir_range',
			MESSAGE = format('a target FPIR of %s in %s references', target_fpir, live_references),
			HINT = 'The target is between 0 and 1, such as 0.001; there is one reference at least.';
	END IF;
	fmr := 1 - power(1 - target_fpir, 1 / live_references::double precision);
	SELECT t.threshold, t.basis INTO threshold, basis FROM threshold_at_fmr(used, fmr) t;
	SELECT p.false_non_matches / used.mated::double precision INTO fnmr FROM calibration_point p
	WHERE p.calibration_id = used.calibration_id AND p.threshold <= threshold_for.threshold ORDER BY p.threshold DESC
		LIMIT 1;
END
$$;
COMMENT ON FUNCTION facematch.threshold_for(text, double precision, bigint) IS
	'the threshold at which a gallery of so many references would be searched for a target FPIR, before there is one: '
	'the false match rate that this asks for, the threshold of the model''s calibration, its basis as in '
	'calibrated_threshold, and the false non-match rate that it costs. A model without calibration: 55000; a target or a '
	'size that cannot be: 22003';
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns, shipped) VALUES
	('auditor', 'function', 'threshold_for', 'EXECUTE', NULL, true);

CREATE VIEW facematch.report_operating_point AS
	SELECT g.gallery_id, g.name AS gallery, g.kind, g.model, o.live_references, g.target_fpir, o.fmr, o.threshold,
		o.basis, o.calibration_id, o.fnmr
	FROM facematch.gallery g, LATERAL facematch.operating_point(g.gallery_id) o
	WHERE g.purge_after > clock_timestamp();
COMMENT ON VIEW facematch.report_operating_point IS 'at which threshold each gallery is searched now, and what its '
	'model''s calibration says about it';
COMMENT ON COLUMN facematch.report_operating_point.gallery_id IS 'the gallery';
COMMENT ON COLUMN facematch.report_operating_point.gallery IS 'its name';
COMMENT ON COLUMN facematch.report_operating_point.kind IS 'what it is for';
COMMENT ON COLUMN facematch.report_operating_point.model IS 'its model';
COMMENT ON COLUMN facematch.report_operating_point.live_references IS 'how many references are not due';
COMMENT ON COLUMN facematch.report_operating_point.target_fpir IS 'the FPIR it states, if it does';
COMMENT ON COLUMN facematch.report_operating_point.fmr IS 'the false match rate that the target asks for at this '
	'size; NULL without a target';
COMMENT ON COLUMN facematch.report_operating_point.threshold IS
	'the threshold in use; NULL: a target without a calibration, so that searches fail';
COMMENT ON COLUMN facematch.report_operating_point.basis IS 'measured, sparse or extrapolated, as in '
	'calibrated_threshold; NULL without a target';
COMMENT ON COLUMN facematch.report_operating_point.calibration_id IS 'the model''s calibration in use; NULL: none';
COMMENT ON COLUMN facematch.report_operating_point.fnmr IS 'the false non-match rate that the calibration had at the '
	'threshold, to the step of 0.001 below it';

-- Counts and rates: nothing of anybody's template.
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns, shipped) VALUES
	('auditor', 'table', 'calibration', 'SELECT', NULL, true),
	('auditor', 'table', 'calibration_point', 'SELECT', NULL, true),
	('auditor', 'table', 'calibrated_threshold', 'SELECT', NULL, true);
