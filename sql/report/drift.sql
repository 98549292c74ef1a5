/*
 * Drift: whether the gates still perform as measured, by week, compared with the
 * model's calibration, the four weeks before, and the site's goals. There are many
 * weeks and galleries that could give a false alert, so intervals are of 99.9 %.
 */

CREATE FUNCTION facematch_internal.find_drift(counts facematch_internal.encounter_count[],
	histograms facematch_internal.encounter_histogram[])
	RETURNS TABLE (week_utc date, kind text, model text, threshold double precision, searches bigint, matches bigint,
				   match_rate double precision, match_rate_low double precision, match_rate_high double precision,
				   match_rate_before double precision, missed bigint, miss_rate double precision, miss_rate_low double precision,
				   miss_rate_high double precision, calibrated_fnmr double precision, mean_similarity double precision,
				   calibrated_mean double precision, latency_p99_ms double precision, alerts text[])
	LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	WITH week AS (
		SELECT date_trunc('week', c.day_utc::timestamp)::date AS week_utc, c.kind, c.model, c.threshold,
			   sum(c.searches)::bigint AS searches, sum(c.matches)::bigint AS matches, sum(c.missed)::bigint AS missed
		FROM unnest($1) c GROUP BY 1, 2, 3, 4 HAVING sum(c.searches) > 0),
	bin AS (
		SELECT date_trunc('week', h.day_utc::timestamp)::date AS week_utc, h.measure, h.kind, h.model, h.threshold, h.bin,
			h.n
		FROM unnest($2) h),
	score AS (
		SELECT s.week_utc, s.kind, s.model, s.threshold, sum(x.at * s.n) / sum(s.n) AS mean, sum(s.n) AS n,
			   sqrt(greatest(sum(x.at ^ 2 * s.n) / sum(s.n) - (sum(x.at * s.n) / sum(s.n)) ^ 2, 0)) AS spread
		FROM bin s CROSS JOIN LATERAL (SELECT (s.bin + 0.5) / 100 AS at) x
		WHERE s.measure = 'match' GROUP BY 1, 2, 3, 4),
	slow AS (
		SELECT u.week_utc, u.kind, 2 ^ (min(u.bin) FILTER (WHERE u.upto >= 0.99 * u.total) / 4::double precision) AS p99
		FROM (SELECT l.week_utc, l.kind, l.bin, sum(sum(l.n)) OVER (w ORDER BY l.bin) AS upto, sum(sum(l.n)) OVER w AS total
			  FROM bin l WHERE l.measure = 'latency' GROUP BY 1, 2, 3 WINDOW w AS (PARTITION BY l.week_utc, l.kind)) u
		GROUP BY 1, 2),
	-- What the calibration in use says of the threshold.  A point counts the scores below it, down to a thousandth.
	point AS (
		SELECT m.model, u.mated AS all_mated, p.threshold, p.false_non_matches, p.false_non_matches
			- lag(p.false_non_matches, 1, 0::bigint) OVER (PARTITION BY m.model ORDER BY p.threshold) AS mated
		FROM (SELECT DISTINCT w.model FROM week w) m, LATERAL calibration_in_use(m.model) u
		JOIN calibration_point p USING (calibration_id)),
	calibrated AS (
		SELECT t.model, t.threshold, r.rate AS fnmr, r.lower AS fnmr_low, r.upper AS fnmr_high, a.mean AS mean_similarity,
			   a.n AS scored, coalesce(sqrt(greatest(a.mean_square - a.mean ^ 2, 0) * a.n / nullif(a.n - 1, 0)), 1) AS spread
		FROM (SELECT DISTINCT w.model, w.threshold FROM week w) t
		JOIN LATERAL (SELECT max(p.all_mated) AS mated, coalesce(max(p.false_non_matches)
			FILTER (WHERE p.threshold <= t.threshold), 0) AS missed FROM point p WHERE p.model = t.model) n ON n.mated > 0
		CROSS JOIN LATERAL facematch.rate_interval(n.missed, n.mated, 0.999) r
		CROSS JOIN LATERAL (
			SELECT nullif(sum(p.mated), 0)::double precision AS n, sum(x.at * p.mated) / nullif(sum(p.mated), 0) AS mean,
				   sum(x.at ^ 2 * p.mated) / nullif(sum(p.mated), 0) AS mean_square
			FROM point p CROSS JOIN LATERAL (SELECT p.threshold - 0.0005 AS at) x
			WHERE p.model = t.model AND p.threshold > t.threshold) a),
	beside AS (
		SELECT w.*, r.rate AS match_rate, r.lower AS low, r.upper AS high, x.rate AS miss_rate, x.lower AS miss_low,
			   x.upper AS miss_high, s.mean, s.n AS scored, s.spread, l.p99, c.fnmr, c.fnmr_low, c.fnmr_high, c.mean_similarity,
			   c.scored AS scored_then, c.spread AS spread_then,
			   (sum(w.matches) OVER before)::bigint AS matches_before, (sum(w.searches) OVER before)::bigint AS searches_before
		FROM week w
		CROSS JOIN LATERAL facematch.rate_interval(w.matches, w.searches, 0.999) r
		CROSS JOIN LATERAL facematch.rate_interval(w.missed, w.matches + w.missed, 0.999) x
		LEFT JOIN score s ON (s.week_utc, s.model, s.threshold) = (w.week_utc, w.model, w.threshold)
			AND s.kind IS NOT DISTINCT FROM w.kind
		LEFT JOIN slow l ON l.week_utc = w.week_utc AND l.kind IS NOT DISTINCT FROM w.kind
		LEFT JOIN calibrated c ON (c.model, c.threshold) = (w.model, w.threshold)
		WINDOW before AS (PARTITION BY w.kind, w.model, w.threshold ORDER BY w.week_utc
						  RANGE BETWEEN interval '28 days' PRECEDING AND interval '7 days' PRECEDING))
	SELECT b.week_utc, b.kind, b.model, b.threshold, b.searches, b.matches, b.match_rate, b.low, b.high, e.rate,
		   b.missed, b.miss_rate, b.miss_low, b.miss_high, b.fnmr, b.mean, b.mean_similarity, b.p99,
		   array_remove(ARRAY[
			   CASE WHEN b.miss_low > b.fnmr_high THEN 'more misses than calibrated' END,
			   CASE WHEN b.missed > 0 AND b.miss_high < b.fnmr_low THEN 'fewer misses than calibrated' END,
			   CASE WHEN e.lower > b.high THEN 'fewer matches than in the weeks before'
					WHEN e.upper < b.low THEN 'more matches than in the weeks before' END,
			   -- Nearly nobody matches a watchlist.
			   CASE WHEN b.match_rate < p.least_match_rate AND b.kind IS DISTINCT FROM 'watchlist'
					THEN 'match rate below the goal' END,
			   CASE WHEN b.p99 > p.most_latency_ms THEN 'slower than the goal' END,
			   -- Bins are a hundredth wide: a shift of two is one.  A week with few matches shows less of how they scatter
			   -- than the calibration does, one match nothing.
			   CASE WHEN abs(b.mean - b.mean_similarity) > greatest(0.02, 3.29 * greatest(b.spread, b.spread_then)
					* sqrt(1 / b.scored::double precision + 1 / b.scored_then))
					THEN CASE WHEN b.mean < b.mean_similarity THEN 'scores lower than calibrated'
							  ELSE 'scores higher than calibrated' END END], NULL)
	FROM beside b CROSS JOIN LATERAL facematch.rate_interval(b.matches_before, b.searches_before, 0.999) e
	LEFT JOIN facematch.report_setting p ON true
	ORDER BY 1, 2, 3, 4
$$;
COMMENT ON FUNCTION facematch_internal.find_drift(facematch_internal.encounter_count[],
	facematch_internal.encounter_histogram[])
	IS 'the rows of facematch.report_drift, from counts and histograms';

CREATE VIEW facematch.report_drift AS
	SELECT d.* FROM facematch_internal.count_period() p, LATERAL facematch_internal.find_drift(p.counts, p.histograms) d;
COMMENT ON VIEW facematch.report_drift IS
	'whether the gates still do what was measured: by week, kind of gallery, model and threshold, with alerts where '
	'99.9 % intervals do not meet';
COMMENT ON COLUMN facematch.report_drift.week_utc IS 'Monday of the week, in UTC';
COMMENT ON COLUMN facematch.report_drift.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch.report_drift.model IS 'model in use';
COMMENT ON COLUMN facematch.report_drift.threshold IS 'threshold in use, rounded to a hundredth';
COMMENT ON COLUMN facematch.report_drift.searches IS 'encounters where a photograph was compared';
COMMENT ON COLUMN facematch.report_drift.matches IS 'of them, those that matched';
COMMENT ON COLUMN facematch.report_drift.match_rate IS 'matches in searches, 0 to 1';
COMMENT ON COLUMN facematch.report_drift.match_rate_low IS 'lower end of its 99.9 % interval (Wilson)';
COMMENT ON COLUMN facematch.report_drift.match_rate_high IS 'upper end of its interval';
COMMENT ON COLUMN facematch.report_drift.match_rate_before IS
	'match rate of the four weeks before; NULL: there were none';
COMMENT ON COLUMN facematch.report_drift.missed IS
	'searches that did not match, where an officer then found the traveler to be who the document says';
COMMENT ON COLUMN facematch.report_drift.miss_rate IS
	'of the travelers whose identity was shown, by the match or by an officer, those whom the comparison missed, 0 to 1';
COMMENT ON COLUMN facematch.report_drift.miss_rate_low IS 'lower end of its 99.9 % interval';
COMMENT ON COLUMN facematch.report_drift.miss_rate_high IS 'upper end of its interval';
COMMENT ON COLUMN facematch.report_drift.calibrated_fnmr IS
	'FNMR of the model''s calibration at the threshold; NULL: not calibrated';
COMMENT ON COLUMN facematch.report_drift.mean_similarity IS
	'mean cosine similarity of the matches, to half a hundredth';
COMMENT ON COLUMN facematch.report_drift.calibrated_mean IS
	'what it was in the calibration, of mated comparisons that reach the threshold; NULL: not calibrated';
COMMENT ON COLUMN facematch.report_drift.latency_p99_ms IS
	'99 % of the week''s encounters with this kind of gallery were decided within so many milliseconds';
COMMENT ON COLUMN facematch.report_drift.alerts IS 'what is out of its bounds; empty: nothing';
