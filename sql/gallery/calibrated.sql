/*
 * Calibrations of models, as stored, and the thresholds of galleries that state a target FPIR.
 * sql/accuracy/calibration.sql measures and stores them.
 *
 * A search of N references by somebody who is not among them errs with a probability of at most N times the FMR, of
 * 1 - (1 - FMR)^N when comparisons are independent.  So a target FPIR asks for FMR = 1 - (1 - FPIR)^(1/N), and the
 * calibration says at which threshold the model has it.
 *
 * Where persons have several references each, N is still how many there are, and the threshold errs on the high side:
 * those of one person resemble each other.  So the calibration has measured too how often the best of 2, 4 or 8
 * references of another person reaches a threshold, and with P persons the target asks for 1 - (1 - FPIR)^(1/P) of
 * that.
 */

CREATE TABLE facematch_internal.calibration (
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
COMMENT ON TABLE facematch_internal.calibration IS 'measurements of a model''s errors on a labelled set; the latest '
	'of a model is in use. No template is kept';
COMMENT ON COLUMN facematch_internal.calibration.calibration_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch_internal.calibration.model IS 'the model';
COMMENT ON COLUMN facematch_internal.calibration.calibrated_at IS 'when it was measured';
COMMENT ON COLUMN facematch_internal.calibration.calibrated_by IS 'the session''s user who did';
COMMENT ON COLUMN facematch_internal.calibration.non_mated IS 'how many comparisons of different people it rests on';
COMMENT ON COLUMN facematch_internal.calibration.mated IS 'how many comparisons of the same person it rests on';
COMMENT ON COLUMN facematch_internal.calibration.note IS 'what set it was, in the words of who measured';
CREATE INDEX calibration_model_idx ON facematch_internal.calibration (model, calibration_id);

CREATE TABLE facematch_internal.calibration_point (
	calibration_id		bigint NOT NULL,
	threshold			double precision NOT NULL CONSTRAINT calibration_point_threshold_range CHECK (threshold BETWEEN -1 AND 1),
	false_matches		bigint NOT NULL CONSTRAINT calibration_point_false_matches_range CHECK (false_matches >= 0),
	false_non_matches	bigint NOT NULL CONSTRAINT calibration_point_false_non_matches_range CHECK (false_non_matches >= 0),
	CONSTRAINT calibration_point_pkey PRIMARY KEY (calibration_id, threshold),
	CONSTRAINT calibration_point_calibration_exists FOREIGN KEY (calibration_id)
		REFERENCES facematch_internal.calibration ON DELETE CASCADE
);
COMMENT ON TABLE facematch_internal.calibration_point IS 'the DET of a calibration: counts at thresholds, in steps of '
	'0.001 wherever a count changes';
COMMENT ON COLUMN facematch_internal.calibration_point.calibration_id IS 'the calibration';
COMMENT ON COLUMN facematch_internal.calibration_point.threshold IS
	'the threshold, a cosine similarity; up to the next row''s the counts are the same on the grid';
COMMENT ON COLUMN facematch_internal.calibration_point.false_matches IS
	'non-mated comparisons that reach it, of calibration.non_mated';
COMMENT ON COLUMN facematch_internal.calibration_point.false_non_matches IS
	'mated comparisons that do not reach it, of calibration.mated';
CREATE INDEX calibration_point_false_matches_idx
	ON facematch_internal.calibration_point (calibration_id, false_matches, threshold);

CREATE TABLE facematch_internal.calibration_person (
	calibration_id	bigint NOT NULL,
	pictures		smallint NOT NULL CONSTRAINT calibration_person_pictures_range CHECK (pictures >= 2),
	threshold		double precision NOT NULL CONSTRAINT calibration_person_threshold_range CHECK (threshold BETWEEN -1 AND 1),
	comparisons		bigint NOT NULL CONSTRAINT calibration_person_comparisons_range CHECK (comparisons > 0),
	matches			double precision NOT NULL,
	CONSTRAINT calibration_person_pkey PRIMARY KEY (calibration_id, pictures, threshold),
	CONSTRAINT calibration_person_calibration_exists FOREIGN KEY (calibration_id)
		REFERENCES facematch_internal.calibration ON DELETE CASCADE
);
COMMENT ON TABLE facematch_internal.calibration_person IS 'how often the best of several pictures of another person '
	'reaches a threshold, in the tail; where 30 persons of the set or more have so many';
COMMENT ON COLUMN facematch_internal.calibration_person.calibration_id IS 'the calibration';
COMMENT ON COLUMN facematch_internal.calibration_person.pictures IS 'how many pictures a person has';
COMMENT ON COLUMN facematch_internal.calibration_person.threshold IS 'the threshold, a step of 0.001';
COMMENT ON COLUMN facematch_internal.calibration_person.comparisons IS 'pairs of a probe and another person';
COMMENT ON COLUMN facematch_internal.calibration_person.matches IS
	'how many of them reach it, expected where persons have more pictures than these';

CREATE TABLE facematch_internal.calibrated_threshold (
	calibration_id		bigint NOT NULL,
	fmr					double precision NOT NULL CONSTRAINT calibrated_threshold_fmr_range CHECK (fmr > 0 AND fmr < 1),
	threshold			double precision NOT NULL,
	basis				text NOT NULL
						CONSTRAINT calibrated_threshold_basis_is_known CHECK (basis IN ('measured', 'sparse', 'extrapolated')),
	false_matches		bigint NOT NULL,
	fmr_lower			double precision NOT NULL,
	fmr_upper			double precision NOT NULL,
	false_non_matches	bigint NOT NULL,
	fnmr				double precision NOT NULL,
	fnmr_lower			double precision NOT NULL,
	fnmr_upper			double precision NOT NULL,
	discard_quality		integer[],
	discard_mated		bigint[],
	discard_misses		bigint[],
	CONSTRAINT calibrated_threshold_pkey PRIMARY KEY (calibration_id, fmr),
	CONSTRAINT calibrated_threshold_calibration_exists FOREIGN KEY (calibration_id)
		REFERENCES facematch_internal.calibration ON DELETE CASCADE
);
COMMENT ON TABLE facematch_internal.calibrated_threshold IS 'a model''s thresholds by false match rate, written by '
	'calibrate()';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.calibration_id IS 'the calibration';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.fmr IS 'the false match rate that was asked for';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.threshold IS
	'the least threshold, in steps of 0.001, with that rate or a lower one: a cosine similarity';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.basis IS
	'measured: 30 false matches or more may happen at that rate (rule of 30); sparse: fewer may, so the threshold '
	'rests on a few pairs; extrapolated: none may, so it rests on the slope of the tail';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.false_matches IS 'false matches at the threshold';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.fmr_lower IS
	'lower end of the 95 % Wilson interval of the rate there';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.fmr_upper IS 'upper end';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.false_non_matches IS 'false non-matches at the threshold';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.fnmr IS 'their share: the price of the threshold';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.fnmr_lower IS 'lower end of its 95 % Wilson interval';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.fnmr_upper IS 'upper end';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.discard_quality IS
	'error versus discard at the threshold, as error_versus_discard() has it: the least qualities, ascending; NULL: '
	'not measured';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.discard_mated
	IS 'mated comparisons of at least that quality';
COMMENT ON COLUMN facematch_internal.calibrated_threshold.discard_misses IS 'false non-matches among them';

SELECT pg_catalog.pg_extension_config_dump('facematch_internal.calibration', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.calibration_calibration_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.calibration_point', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.calibration_person', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.calibrated_threshold', '');

---------------------------------------------------------------- the threshold for a rate

CREATE FUNCTION facematch_internal.calibration_in_use(model text) RETURNS facematch_internal.calibration
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	-- By number, not by time: clocks are set back.
	SELECT c.* FROM calibration c WHERE c.model = $1 ORDER BY c.calibration_id DESC LIMIT 1
$$;
COMMENT ON FUNCTION facematch_internal.calibration_in_use(text) IS 'the latest calibration of a model; none: NULL';

CREATE FUNCTION facematch_internal.threshold_at_fmr(calibration facematch_internal.calibration, fmr double precision,
										   OUT threshold double precision, OUT basis text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	grid CONSTANT double precision := 1000;		-- steps to 1 of the calibration's thresholds
	-- Between these counts the tail is measured well enough to go on from: 30 by the rule of 30, and a decade above.
	few CONSTANT bigint := 30;
	many CONSTANT bigint := 300;
	allowed double precision := fmr * calibration.non_mated;
	a calibration_point;
	b calibration_point;
BEGIN
	IF fmr IS NULL THEN
		RETURN;
	ELSIF NOT (fmr > 0 AND fmr < 1) THEN
		RAISE numeric_value_out_of_range USING CONSTRAINT = 'fmr_range',
			MESSAGE = format('a false match rate of %s', fmr),
			HINT = 'It is between 0 and 1, such as 0.0001.';
	END IF;
	-- Above 1 is nothing: when templates of different people are equal, no threshold tells them apart.
	threshold := coalesce((SELECT min(p.threshold) FROM calibration_point p
						   WHERE p.calibration_id = calibration.calibration_id AND p.false_matches <= floor(allowed)), 1);
	basis := CASE WHEN allowed >= few THEN 'measured' WHEN allowed >= 1 THEN 'sparse' ELSE 'extrapolated' END;
	IF allowed < 1 THEN
		-- Fewer than one false match may happen: go on from the measured tail in a straight line of the rate's logarithm.
		-- Tails of similarity fall faster than that, so the line errs on the side of a higher threshold.
		SELECT p.* INTO a FROM calibration_point p
		WHERE p.calibration_id = calibration.calibration_id AND p.false_matches >= many ORDER BY p.threshold DESC LIMIT 1;
		SELECT p.* INTO b FROM calibration_point p
		WHERE p.calibration_id = calibration.calibration_id AND p.false_matches >= few ORDER BY p.threshold DESC LIMIT 1;
		IF a.threshold < b.threshold AND a.false_matches > b.false_matches THEN
			threshold := greatest(threshold, least(1, ceil(grid * (b.threshold + (b.threshold - a.threshold)
				* ln(b.false_matches / allowed) / ln(a.false_matches / b.false_matches::double precision))) / grid));
		END IF;
	END IF;
END
$$;
COMMENT ON FUNCTION facematch_internal.threshold_at_fmr(facematch_internal.calibration, double precision) IS
	'the least threshold, in steps of 0.001, at which a calibration had that false match rate or a lower one; basis as '
	'in calibrated_threshold. NULL for NULL; fmr between 0 and 1 (22003)';

CREATE FUNCTION facematch.threshold_for(model text, target_fpir double precision, live_references bigint,
	live_persons bigint DEFAULT NULL,
	OUT fmr double precision, OUT threshold double precision, OUT basis text, OUT fnmr double precision)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	few CONSTANT bigint := 30;		-- the rule of 30, as in threshold_at_fmr()
	used calibration := calibration_in_use(model);
	persons bigint := coalesce(live_persons, live_references);
	rate double precision;
	by_person double precision;
BEGIN
	IF model IS NULL OR target_fpir IS NULL OR live_references IS NULL THEN
		RETURN;
	ELSIF used.calibration_id IS NULL THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'model_is_calibrated',
			MESSAGE = format('model %L is not calibrated', model),
			HINT = 'Measure its errors on a labelled set: SELECT * FROM facematch.calibrate(...).';
	ELSIF NOT (target_fpir > 0 AND target_fpir < 1) OR live_references < 1
		OR persons NOT BETWEEN 1 AND live_references THEN
		RAISE numeric_value_out_of_range USING CONSTRAINT = 'target_fpir_range',
			MESSAGE = format('the target FPIR is %s, the number of references %s, of persons %s', target_fpir,
				live_references, persons),
			HINT = 'The target is between 0 and 1, such as 0.001; there is at least one reference, and at least one for '
				'each person.';
	END IF;
	fmr := 1 - power(1 - target_fpir, 1 / live_references::double precision);
	SELECT t.threshold, t.basis INTO threshold, basis FROM threshold_at_fmr(used, fmr) t;
	IF persons < live_references THEN
		rate := 1 - power(1 - target_fpir, 1 / persons::double precision);
		-- Who has more pictures than the mean counts for less than they would by themselves: the mean errs on the high side.
		SELECT min(p.threshold) INTO by_person FROM calibration_person p
		WHERE p.calibration_id = used.calibration_id AND p.pictures = (SELECT min(m.pictures) FROM calibration_person m
				WHERE m.calibration_id = used.calibration_id AND m.pictures * persons >= live_references)
			AND rate * p.comparisons >= greatest(few, p.matches);
		IF by_person < threshold THEN
			threshold := by_person;
			basis := 'measured';
		END IF;
	END IF;
	fnmr := (SELECT p.false_non_matches FROM calibration_point p
			 WHERE p.calibration_id = used.calibration_id AND p.threshold <= threshold_for.threshold
			 ORDER BY p.threshold DESC LIMIT 1) / used.mated::double precision;
END
$$;
COMMENT ON FUNCTION facematch.threshold_for(text, double precision, bigint, bigint) IS
	'the threshold for a target FPIR of a gallery with this number of references and of persons (unless given, the '
	'same number), before the gallery exists: the false match rate that this asks for reference by reference, the '
	'threshold of the model''s calibration, its basis as in calibrated_threshold, and the false non-match rate '
	'that it costs. Where persons have several references, the threshold is lower if the calibration has measured '
	'such persons. A model without calibration: 55000; an invalid target or size: 22003';

CREATE FUNCTION facematch_internal.gallery_size(gallery_id bigint, OUT live_references bigint, OUT live_persons bigint)
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_gallery_size';
COMMENT ON FUNCTION facematch_internal.gallery_size(bigint) IS
	'how many references of a gallery are not due, and of how many subjects, counted with the caller''s '
	'privileges; what this transaction has removed counts until it commits. Once for each snapshot, and over 5,000 '
	'again only after a hundred times as long as counting took, a minute at most';

CREATE FUNCTION facematch_internal.gallery_threshold(gallery facematch.gallery) RETURNS double precision
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	SELECT CASE WHEN $1.target_fpir IS NULL THEN $1.min_similarity ELSE (
		SELECT greatest($1.min_similarity, t.threshold) FROM gallery_size($1.gallery_id) s
		CROSS JOIN LATERAL facematch.threshold_for($1.model, $1.target_fpir, greatest(s.live_references, 1),
			greatest(s.live_persons, 1)) t) END
$$;
COMMENT ON FUNCTION facematch_internal.gallery_threshold(facematch.gallery) IS
	'the threshold of a gallery now: min_similarity, or what its target FPIR asks for at its present size. A model '
	'without calibration: 55000';

CREATE FUNCTION facematch.operating_point(gallery_id bigint, OUT live_references bigint, OUT live_persons bigint,
	OUT fmr double precision,
	OUT threshold double precision, OUT basis text, OUT calibration_id bigint, OUT fnmr double precision)
	LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	SELECT s.live_references, s.live_persons, f.fmr, u.threshold, t.basis, c.calibration_id,
		p.false_non_matches / c.mated::double precision
	FROM facematch.gallery g
	CROSS JOIN LATERAL gallery_size(g.gallery_id) s
	CROSS JOIN LATERAL (SELECT 1 - power(1 - g.target_fpir,
		1 / greatest(s.live_references, 1)::double precision) AS fmr) f
	CROSS JOIN LATERAL calibration_in_use(g.model) c
	CROSS JOIN LATERAL facematch.threshold_for(CASE WHEN c.calibration_id IS NOT NULL THEN g.model END, g.target_fpir,
		greatest(s.live_references, 1), greatest(s.live_persons, 1)) t
	CROSS JOIN LATERAL (SELECT CASE WHEN g.target_fpir IS NULL THEN g.min_similarity
									WHEN t.threshold IS NOT NULL THEN greatest(g.min_similarity, t.threshold) END AS threshold) u
	LEFT JOIN LATERAL (SELECT q.* FROM calibration_point q
					   WHERE q.calibration_id = c.calibration_id AND q.threshold <= u.threshold
					   ORDER BY q.threshold DESC LIMIT 1) p ON true
	WHERE g.gallery_id = $1
$$;
COMMENT ON FUNCTION facematch.operating_point(bigint) IS
	'the threshold at which facematch.identify() searches a gallery now, counted and calibrated with the owner''s '
	'privileges as it does; the columns of facematch.report_operating_point. threshold is NULL for a target FPIR '
	'without a calibration';
