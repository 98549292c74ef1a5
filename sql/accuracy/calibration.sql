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

-- How often the best of several references of another person reaches a threshold.  Pictures of one person resemble
-- each other, so that is less often than their number times a single one's; by how much less depends on the model and
-- on the threshold.  Of a person with n pictures, any 2, 4 or 8 may be the enrolled ones: the one that is k-th nearest
-- to a probe is the best of m with probability C(n - k, m - 1) / C(n, m).
CREATE FUNCTION facematch_internal.person_matches(probes text, enrolled text, lowest double precision)
	RETURNS TABLE (pictures integer, threshold double precision, comparisons bigint, matches double precision)
	-- How many comparisons there are the planner cannot know, and takes few.
	LANGUAGE plpgsql VOLATILE ROWS 1000 SET enable_nestloop = off
AS $$
BEGIN
	-- The queries are the caller's, with the caller's privileges and search_path.  They may read tables of these names,
	-- so they come before them, and the first name is one that no table has.
	RETURN QUERY EXECUTE pg_catalog.format(E'
	WITH facematch_probe AS MATERIALIZED (SELECT q.id::bigint AS id, q.subject::text AS subject
		FROM (\n%1$s\n) q (id, subject, template)),
	picture AS MATERIALIZED (SELECT q.id::bigint AS id, q.subject::text AS subject
		FROM (\n%2$s\n) q (id, subject, template)),
	person AS MATERIALIZED (SELECT t.subject, count(*)::integer AS n FROM picture t GROUP BY 1),
	size AS MATERIALIZED (
		SELECT m.pictures, sum((SELECT count(*) FROM facematch_probe) - coalesce(o.n, 0))::bigint AS comparisons
		FROM (VALUES (2), (4), (8)) m (pictures) JOIN person s ON s.n >= m.pictures
		LEFT JOIN (SELECT p.subject, count(*) AS n FROM facematch_probe p GROUP BY 1) o USING (subject)
		GROUP BY 1 HAVING count(*) >= 30),
	weight AS (WITH RECURSIVE weight AS (
		SELECT m.pictures, d.n, 1 AS k, m.pictures / d.n::double precision AS w
		FROM size m JOIN (SELECT DISTINCT s.n FROM person s) d ON d.n >= m.pictures
		UNION ALL
		SELECT w.pictures, w.n, w.k + 1, w.w * (w.n - w.k - w.pictures + 1) / (w.n - w.k)
		FROM weight w WHERE w.k <= w.n - w.pictures) TABLE weight),
	compared AS MATERIALIZED (SELECT c.* FROM facematch.compare_sets($1, $2, $3) c WHERE NOT c.mated),
	pair AS (
		SELECT c.probe_id, c.enrolled_id, c.similarity FROM compared c
		UNION ALL SELECT c.enrolled_id, c.probe_id, c.similarity FROM compared c WHERE $2 IS NULL),
	ranked AS (
		SELECT p.similarity, s.n,
			   row_number() OVER (PARTITION BY p.probe_id, t.subject ORDER BY p.similarity DESC)::integer AS k
		FROM pair p JOIN picture t ON t.id = p.enrolled_id JOIN person s USING (subject)),
	counted AS (
		SELECT w.pictures, width_bucket(r.similarity, $4) AS bin, sum(w.w) AS matches
		FROM ranked r JOIN weight w USING (n, k) GROUP BY 1, 2)
	-- From the step above each score on, it does not count any more; above 1 there is none.
	SELECT c.pictures, ($4)[c.bin + 1], s.comparisons, c.above
	FROM (SELECT c.*, sum(c.matches) OVER (PARTITION BY c.pictures ORDER BY c.bin DESC) - c.matches AS above
		  FROM counted c) c JOIN size s USING (pictures) WHERE c.bin < cardinality($4)', probes, coalesce(enrolled, probes))
	USING probes, enrolled, lowest, facematch_internal.score_grid();
END
$$;
COMMENT ON FUNCTION facematch_internal.person_matches(text, text, double precision) IS
	'how many comparisons of a probe with another person, of 2, 4 and 8 pictures each, reach a threshold with the best '
	'of them, from the lowest on: the expected number for pictures chosen at random. Of 30 persons or more who have so '
	'many. The sets as for score_histogram(); for calibrate()';

CREATE FUNCTION facematch.calibrate(model text, probes text, enrolled text DEFAULT NULL,
									fmr double precision[] DEFAULT '{1e-2,1e-3,1e-4,1e-5,1e-6}', note text DEFAULT NULL,
									quality text DEFAULT NULL)
	RETURNS SETOF facematch_internal.calibrated_threshold
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	-- The cast refuses templates of another model, or of other dimensions.
	-- What is no query is refused as it is, the query of the quality too before anything is compared.
	WITH query AS (
		SELECT format(q.text, m.dims, m.tag, facematch_internal.checked_set('probes', coalesce($2, ''), 3)) AS probes,
			CASE WHEN $3 IS NOT NULL
				THEN format(q.text, m.dims, m.tag, facematch_internal.checked_set('enrolled', $3, 3)) END AS enrolled
		FROM facematch.model m, (VALUES (
			E'SELECT q.id, q.subject, q.template::@extschema@.face_embedding(%s, %s) FROM (\n%s\n) q (id, subject, '
				'template)')) q (text)
		WHERE m.name = $1 AND ($6 IS NULL OR facematch_internal.checked_set('quality', $6, 4) IS NOT NULL)),
	histogram AS (
		SELECT array_agg(h.low) AS low, array_agg(h.non_mated) AS non_mated, array_agg(h.mated) AS mated
		FROM query q, LATERAL facematch.score_histogram(q.probes, q.enrolled) h)
	SELECT s.* FROM histogram h, facematch_internal.store_calibration($1, h.low, h.non_mated, h.mated, $4, $5) s;
	-- The number that this session was given last is that of what it has just stored, whatever others store meanwhile.
	-- A million comparisons tell the tail of persons.
	INSERT INTO facematch_internal.calibration_person (calibration_id, pictures, threshold, comparisons, matches)
	SELECT c.calibration_id, p.pictures, p.threshold, p.comparisons, p.matches
	FROM facematch_internal.calibration c
	CROSS JOIN LATERAL facematch_internal.threshold_at_fmr(c, least(0.01, 1e6 / c.non_mated)) t
	CROSS JOIN LATERAL facematch_internal.person_matches($2, $3, t.threshold) p
	WHERE c.calibration_id = currval('facematch_internal.calibration_calibration_id_seq');
	UPDATE facematch_internal.calibrated_threshold t
	SET (discard_quality, discard_mated, discard_misses) = (
		SELECT array_agg(d.quality ORDER BY d.quality), array_agg(d.mated ORDER BY d.quality),
			   array_agg(d.false_non_matches ORDER BY d.quality)
		FROM facematch.error_versus_discard($6, t.threshold) d)
	WHERE $6 IS NOT NULL AND t.calibration_id = currval('facematch_internal.calibration_calibration_id_seq');
	SELECT t.* FROM facematch_internal.calibrated_threshold t
	WHERE t.calibration_id = currval('facematch_internal.calibration_calibration_id_seq') ORDER BY t.fmr DESC;
END;
COMMENT ON FUNCTION facematch.calibrate(text, text, text, double precision[], text, text) IS
	'measures a model on a labelled set, stores the DET and the thresholds for the given false match rates, and '
	'returns these; galleries that state a target FPIR use it from now on. probes and enrolled as for '
	'score_histogram(), without enrolled all pairs within probes; choose templates taken as the site''s are. '
	'quality: a query of identifier, subject, template and quality, whose error versus discard at each threshold '
	'is stored for the report. Logged. Too few comparisons: 55000; templates of another model: 22023';

CREATE VIEW facematch.report_operating_point AS
	SELECT g.gallery_id, g.name AS gallery, g.kind, g.model, o.live_references, o.live_persons, g.target_fpir, o.fmr,
		o.threshold, o.basis, o.calibration_id, o.fnmr
	FROM facematch.gallery g, LATERAL facematch.operating_point(g.gallery_id) o
	WHERE g.purge_after > clock_timestamp();
COMMENT ON VIEW facematch.report_operating_point IS 'the threshold at which each gallery is searched now, and its '
	'error rates by the model''s calibration';
COMMENT ON COLUMN facematch.report_operating_point.gallery_id IS 'the gallery';
COMMENT ON COLUMN facematch.report_operating_point.gallery IS 'its name';
COMMENT ON COLUMN facematch.report_operating_point.kind IS 'what it is for';
COMMENT ON COLUMN facematch.report_operating_point.model IS 'its model';
COMMENT ON COLUMN facematch.report_operating_point.live_references IS 'how many references are not due';
COMMENT ON COLUMN facematch.report_operating_point.live_persons IS 'of how many persons';
COMMENT ON COLUMN facematch.report_operating_point.target_fpir IS 'the FPIR it states, if it does';
COMMENT ON COLUMN facematch.report_operating_point.fmr IS 'the false match rate that the target asks for, '
	'reference by reference; NULL without a target';
COMMENT ON COLUMN facematch.report_operating_point.threshold IS
	'the threshold in use; NULL: a target without a calibration, so that searches fail';
COMMENT ON COLUMN facematch.report_operating_point.basis IS 'measured, sparse or extrapolated, as in '
	'calibrated_threshold; NULL without a target';
COMMENT ON COLUMN facematch.report_operating_point.calibration_id IS 'the model''s calibration in use; NULL: none';
COMMENT ON COLUMN facematch.report_operating_point.fnmr IS 'the false non-match rate that the calibration had at the '
	'threshold, to the step of 0.001 below it';

-- Counts and rates: nothing of anybody's template.
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns, shipped) VALUES
	('auditor', 'function', 'threshold_for', 'EXECUTE', NULL, true),
	('auditor', 'table', 'calibration', 'SELECT', NULL, true),
	('auditor', 'table', 'calibration_point', 'SELECT', NULL, true),
	('auditor', 'table', 'calibration_person', 'SELECT', NULL, true),
	('auditor', 'table', 'calibrated_threshold', 'SELECT', NULL, true);
