/*
 * Sections of the HTML report: what the calibration of a model measured, and
 * what has drifted from it.
 */

-- DET points at false match rates of 1, 2 and 5 times powers of ten, as far down as the comparisons carry (rule of 3).
CREATE FUNCTION facematch_internal.report_det(calibration facematch_internal.calibration) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH wanted AS (
		SELECT m * power(10::double precision, e) AS fmr FROM generate_series(-7, -1) e, unnest('{1,2,5}'::double precision[]) m
		WHERE m * power(10::double precision, e) * ($1).non_mated >= 3),
	points AS (
		SELECT DISTINCT ON (p.threshold) row_number() OVER (ORDER BY w.fmr DESC) AS i, p.threshold, facematch_internal.share(p.false_matches, ($1).non_mated) AS fmr,
			   facematch_internal.share(p.false_non_matches, ($1).mated) AS fnmr, f.lower AS fmr_low, f.upper AS fmr_high, n.lower AS fnmr_low, n.upper AS fnmr_high
		FROM wanted w
		CROSS JOIN LATERAL (SELECT c.* FROM facematch_internal.calibration_point c WHERE c.calibration_id = ($1).calibration_id
							AND c.false_matches <= w.fmr * ($1).non_mated AND c.false_matches > 0 AND c.false_non_matches > 0 ORDER BY c.threshold LIMIT 1) p
		CROSS JOIN LATERAL facematch.wilson_interval(p.false_matches, ($1).non_mated) f
		CROSS JOIN LATERAL facematch.wilson_interval(p.false_non_matches, ($1).mated) n ORDER BY p.threshold, w.fmr),
	-- Whole decades around the points.
	frame AS (SELECT floor(log(min(p.fmr)))::integer AS x0, ceil(log(max(p.fmr)))::integer AS x1, floor(log(min(p.fnmr)))::integer AS y0,
					 greatest(ceil(log(max(p.fnmr))), floor(log(min(p.fnmr))) + 1)::integer AS y1 FROM points p HAVING count(*) > 1),
	decades AS (
		SELECT (SELECT array_agg((d - f.x0)::double precision / (f.x1 - f.x0) ORDER BY d) FROM generate_series(f.x0, f.x1) d) AS x,
			   (SELECT array_agg(CASE d WHEN 0 THEN '1' ELSE '1:' || facematch_internal.svg_count(power(10::double precision, -d)) END ORDER BY d) FROM generate_series(f.x0, f.x1) d) AS x_labels,
			   (SELECT array_agg((d - f.y0)::double precision / (f.y1 - f.y0) ORDER BY d) FROM generate_series(f.y0, f.y1) d) AS y,
			   (SELECT array_agg(trim_scale(100 * power(10::numeric, d))::text || '%' ORDER BY d) FROM generate_series(f.y0, f.y1) d) AS y_labels, f.*
		FROM frame f)
	SELECT facematch_internal.html_figure('det-' || ($1).calibration_id, 'The price of a threshold: ' || facematch_internal.html_text(($1).model),
		'A detection error tradeoff curve, from ' || facematch_internal.html_number(($1).mated) || ' comparisons of two pictures of one person and ' || facematch_internal.html_number(($1).non_mated)
		|| ' of different people, measured on ' || facematch_internal.html_day((($1).calibrated_at AT TIME ZONE 'UTC')::date) || coalesce(' (' || facematch_internal.html_text(($1).note) || ')', '')
		|| '. Farther to the left, fewer strangers pass; farther down, fewer travelers are missed. Each step of the axes is a factor of ten.',
		(SELECT facematch_internal.svg_lines('det-' || ($1).calibration_id || '-svg', 'DET curve', 'False non-match rate over false match rate, both on logarithmic axes.',
			array_agg((log(p.fmr) - d.x0) / (d.x1 - d.x0) ORDER BY p.i), ARRAY[array_agg(NULL::double precision), array_agg((log(p.fnmr) - d.y0) / (d.y1 - d.y0) ORDER BY p.i)],
			ARRAY['', 'false non-matches'], facematch_internal.svg_axes(d.x, d.x_labels, d.y, d.y_labels, 'false match rate'))
		 FROM points p, decades d GROUP BY d.x, d.x_labels, d.y, d.y_labels, d.x0, d.x1, d.y0, d.y1),
		facematch_internal.html_table('Errors by threshold', ARRAY['Threshold', 'False match rate, 95&nbsp;% interval', 'False non-match rate, 95&nbsp;% interval'],
			(SELECT string_agg(facematch_internal.html_row(to_char(p.threshold, 'FM0.000'), facematch_internal.html_percent(p.fmr) || ' <small>' || facematch_internal.html_interval(p.fmr_low, p.fmr_high) || '</small>',
				facematch_internal.html_percent(p.fnmr) || ' <small>' || facematch_internal.html_interval(p.fnmr_low, p.fnmr_high) || '</small>'), '' ORDER BY p.i) FROM points p, frame)))
$$;
COMMENT ON FUNCTION facematch_internal.report_det(facematch_internal.calibration) IS 'part of the HTML report: the DET curve of a calibration';

-- The histograms that a calibration's cumulative counts come from, in steps of 0.05.
CREATE FUNCTION facematch_internal.report_calibration_scores(calibration facematch_internal.calibration, threshold double precision) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH step AS (
		SELECT s, s / 20.0::double precision AS low,
			   (SELECT coalesce(max(c.false_non_matches), 0) FROM facematch_internal.calibration_point c WHERE c.calibration_id = ($1).calibration_id AND c.threshold <= s / 20.0) AS mated_below,
			   coalesce((SELECT c.false_matches FROM facematch_internal.calibration_point c WHERE c.calibration_id = ($1).calibration_id AND c.threshold <= s / 20.0
						 ORDER BY c.threshold DESC LIMIT 1), ($1).non_mated) AS non_mated_from
		FROM generate_series(-20, 20) s),
	counted AS (
		SELECT t.s, t.low, coalesce(lead(t.mated_below) OVER w, ($1).mated) - t.mated_below AS mated, t.non_mated_from - coalesce(lead(t.non_mated_from) OVER w, 0) AS non_mated
		FROM step t WINDOW w AS (ORDER BY t.s)),
	-- Similarities below the first step that has any, and above the last, are no news.
	bin AS (
		SELECT row_number() OVER (ORDER BY c.s) AS i, count(*) OVER () AS n, min(c.s) OVER () AS first, c.low, c.mated, c.non_mated, facematch_internal.share(c.mated, ($1).mated) AS mated_share,
			   facematch_internal.share(c.non_mated, ($1).non_mated) AS non_mated_share
		FROM counted c WHERE c.s < 20 AND c.s BETWEEN (SELECT min(k.s) FROM counted k WHERE k.mated + k.non_mated > 0) AND (SELECT max(k.s) FROM counted k WHERE k.mated + k.non_mated > 0)),
	scale AS (SELECT t.ticks, t.ticks[cardinality(t.ticks)] / 100 AS top, m.first, m.n
			  FROM (SELECT max(greatest(b.mated_share, b.non_mated_share)) AS share, min(b.first) AS first, count(*) AS n FROM bin b) m, LATERAL facematch_internal.svg_ticks(100 * m.share) t (ticks)),
	outline AS (SELECT row_number() OVER (ORDER BY b.i, e.at) AS i, (b.i - 1 + e.at) / b.n::double precision AS x, b.mated_share / k.top AS mated, b.non_mated_share / k.top AS non_mated
				FROM bin b, scale k, (VALUES (0), (1)) e (at))
	SELECT facematch_internal.html_figure('mated-' || ($1).calibration_id, 'Scores of one person and of two: ' || facematch_internal.html_text(($1).model),
		'How similar pictures were in the calibration: two of one person (mated), and two of different people (non-mated). The threshold parts them; what lies on its wrong side are the errors.',
		(SELECT facematch_internal.svg_lines('mated-' || ($1).calibration_id || '-svg', 'Histogram of mated and non-mated comparisons', 'Outlines of two histograms over the similarity, with the threshold as a vertical line.',
			array_agg(o.x ORDER BY o.i), ARRAY[array_agg(o.non_mated ORDER BY o.i), array_agg(o.mated ORDER BY o.i)], ARRAY['different people', 'one person'],
			(SELECT facematch_internal.svg_axes(ARRAY(SELECT (b.i - 1) / b.n::double precision FROM bin b ORDER BY b.i),
				facematch_internal.svg_thin(ARRAY(SELECT facematch_internal.html_score(b.low) FROM bin b ORDER BY b.i)), ARRAY(SELECT t / 100 / k.top FROM unnest(k.ticks) t),
				ARRAY(SELECT t || '%' FROM unnest(k.ticks) t), 'similarity') FROM scale k),
			CASE WHEN $2 IS NULL THEN '' ELSE (SELECT facematch_internal.svg_mark(($2 * 20 - k.first) / k.n, 'threshold') FROM scale k) END) FROM outline o HAVING count(*) > 0),
		facematch_internal.html_table('Scores in the calibration', ARRAY['Similarity', '#One person', '#Share', '#Different people', '#Share'],
			(SELECT string_agg(facematch_internal.html_row(facematch_internal.html_score(b.low) || '&nbsp;to&nbsp;' || facematch_internal.html_score(b.low + 0.05), facematch_internal.html_number(b.mated), facematch_internal.html_percent(b.mated_share),
				facematch_internal.html_number(b.non_mated), facematch_internal.html_percent(b.non_mated_share)), '' ORDER BY b.i) FROM bin b)))
$$;
COMMENT ON FUNCTION facematch_internal.report_calibration_scores(facematch_internal.calibration, double precision) IS 'part of the HTML report: the score histograms of a calibration, with a threshold';

CREATE FUNCTION facematch_internal.report_drifting(counts facematch_internal.encounter_count[], scores facematch_internal.encounter_score[], latencies facematch_internal.encounter_latency[],
										  first_day date, last_day date) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<section id="drift"><h2>Is it still as it was measured?</h2><p>By week: the matches beside those of the four weeks before, and the misses beside what the model&#39;s calibration promised. '
		'An alert stands where intervals, of 99.9&nbsp;% here, do not meet, or a goal of the site was not met.</p>'
		|| coalesce(nullif(facematch_internal.html_table('Drift by week', ARRAY['Week from', 'Gallery, model, threshold', 'Alerts', '#Compared', '#Recognised', '#99.9&nbsp;% interval', '#Before', '#Missed', '#Calibrated', '#Mean score', '#Calibrated'],
			(SELECT string_agg(facematch_internal.html_row(to_char(d.week_utc, 'FMDD Mon YYYY'), facematch_internal.html_text(coalesce(d.kind, 'not recorded')) || ', ' || facematch_internal.html_text(d.model) || ', ' || facematch_internal.html_score(d.threshold),
				CASE WHEN cardinality(d.alerts) = 0 THEN 'none' ELSE '<strong class="alert">&#9650; ' || array_to_string(d.alerts, '; ') || '</strong>' END,
				facematch_internal.html_number(d.searches), facematch_internal.html_percent(d.match_rate), facematch_internal.html_interval(d.match_rate_low, d.match_rate_high), facematch_internal.html_percent(d.match_rate_before),
				facematch_internal.html_percent(d.miss_rate), facematch_internal.html_percent(d.calibrated_fnmr), facematch_internal.html_score(d.mean_similarity), facematch_internal.html_score(d.calibrated_mean)), ''
				ORDER BY d.week_utc DESC, d.kind COLLATE "C", d.model COLLATE "C", d.threshold)
			 FROM facematch_internal.find_drift($1, $2, $3) d WHERE d.week_utc BETWEEN date_trunc('week', $4::timestamp)::date AND $5)), ''), '<p>Nobody was compared in this period.</p>')
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.report_drifting(facematch_internal.encounter_count[], facematch_internal.encounter_score[], facematch_internal.encounter_latency[], date, date) IS 'section of the HTML report: drift by week';
