/*
 * Sections of the HTML report for analysts: how sure the decisions are, what has drifted, differences between groups.
 */

-- A calibration's errors: its DET, what better pictures would do, and the histograms that its counts come from.
CREATE FUNCTION facematch_internal.page_calibration(calibration facematch_internal.calibration,
	threshold double precision) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	-- False match rates of 1, 2 and 5 times powers of ten, as far down as the comparisons carry (rule of 3).
	WITH wanted AS (
		SELECT m * power(10::double precision, e) AS fmr FROM generate_series(-7, -1) e,
			unnest('{1,2,5}'::double precision[]) m
		WHERE m * power(10::double precision, e) * ($1).non_mated >= 3),
	point AS (
		SELECT DISTINCT ON (p.threshold) p.threshold, m.rate AS fmr, m.lower AS fmr_low, m.upper AS fmr_high,
			   n.rate AS fnmr, n.lower AS fnmr_low, n.upper AS fnmr_high
		FROM wanted w
		CROSS JOIN LATERAL (
			SELECT c.* FROM calibration_point c
			WHERE c.calibration_id = ($1).calibration_id AND c.false_matches <= w.fmr * ($1).non_mated
			  AND c.false_matches > 0 AND c.false_non_matches > 0 ORDER BY c.threshold LIMIT 1) p
		CROSS JOIN LATERAL facematch.rate_interval(p.false_matches, ($1).non_mated) m
		CROSS JOIN LATERAL facematch.rate_interval(p.false_non_matches, ($1).mated) n),
	-- Of the calibrated thresholds, the one that is nearest to the one in use.
	used AS (
		SELECT t.* FROM calibrated_threshold t
		WHERE t.calibration_id = ($1).calibration_id AND cardinality(t.discard_quality) > 1
		ORDER BY abs(t.threshold - $2), abs(ln(t.fmr / 0.001)) LIMIT 1),
	kept AS (
		SELECT d.quality, d.mated, d.misses, 1 - d.mated / u.discard_mated[1]::double precision AS discarded
		FROM used u, unnest(u.discard_quality, u.discard_mated, u.discard_misses) d (quality, mated, misses)),
	poorer AS (
		SELECT s, k.quality, k.mated, k.misses, k.discarded, i.rate, i.lower, i.upper
		FROM generate_series(0, 50, 5) s
		CROSS JOIN LATERAL (SELECT k.* FROM kept k WHERE k.discarded <= s / 100.0 ORDER BY k.quality DESC LIMIT 1) k
		CROSS JOIN LATERAL facematch.rate_interval(k.misses, k.mated) i),
	-- Histograms in steps of 0.05.
	step AS (
		SELECT s, (SELECT coalesce(max(c.false_non_matches), 0) FROM calibration_point c
				   WHERE c.calibration_id = ($1).calibration_id AND c.threshold <= s / 20.0) AS mated_below,
			   coalesce((SELECT c.false_matches FROM calibration_point c
						 WHERE c.calibration_id = ($1).calibration_id AND c.threshold <= s / 20.0
						 ORDER BY c.threshold DESC LIMIT 1), ($1).non_mated) AS non_mated_from
		FROM generate_series(-20, 20) s),
	counted AS (
		SELECT t.s, coalesce(lead(t.mated_below) OVER w, ($1).mated) - t.mated_below AS mated,
			   t.non_mated_from - coalesce(lead(t.non_mated_from) OVER w, 0) AS non_mated
		FROM step t WINDOW w AS (ORDER BY t.s)),
	-- Similarities below the first step that has any, and above the last, are not shown.
	shown AS (
		SELECT min(c.s) AS first, max(c.s) AS last FROM counted c WHERE c.mated + c.non_mated > 0),
	bin AS (
		SELECT c.s, to_char(c.s / 20.0, 'FM0.00') AS low, to_char((c.s + 1) / 20.0, 'FM0.00') AS high, c.mated, c.non_mated,
			   c.mated / nullif(($1).mated, 0)::double precision AS mated_share,
			   c.non_mated / nullif(($1).non_mated, 0)::double precision AS non_mated_share
		FROM counted c, shown n WHERE c.s BETWEEN n.first AND least(n.last, 19))
	SELECT (SELECT html_figure('det-' || ($1).calibration_id, 'The trade-off of a threshold: ' || html_text(($1).model),
		'A detection error tradeoff curve, from ' || html_number(($1).mated)
			|| ' comparisons of two pictures of one person and '
		|| html_number(($1).non_mated) || ' of different people, measured on '
		|| to_char(($1).calibrated_at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY')
			|| coalesce(' (' || html_text(($1).note) || ')', '')
		|| '. Further left, fewer strangers pass; further down, fewer travelers are missed. Each step of the axes is '
			'a factor of ten.', CASE WHEN count(*) > 1 THEN svg_chart('det-' || ($1).calibration_id || '-svg', 'DET curve',
			'False non-match rate over false match rate, both on logarithmic axes.', 'curve', NULL, ARRAY['false non-matches'],
			ARRAY[array_agg(log(p.fnmr) ORDER BY p.threshold)], 'false match rate', 'log%',
				array_agg(log(p.fmr) ORDER BY p.threshold)) END, html_table('Errors by threshold',
			'{Threshold,"False match rate, 95&nbsp;% interval|%","False non-match rate, 95&nbsp;% interval|%"}',
			jsonb_agg(jsonb_build_array(to_char(p.threshold, 'FM0.000'), ARRAY[p.fmr, p.fmr_low, p.fmr_high],
				ARRAY[p.fnmr, p.fnmr_low, p.fnmr_high]) ORDER BY p.threshold)))
	FROM point p)
	|| coalesce((SELECT html_figure('discard-' || ($1).calibration_id,
		'What better pictures would do: ' || html_text(($1).model),
		'Error versus discard: how many travelers would still be missed, at a threshold of '
		|| (SELECT html_number(u.threshold, 'score') FROM used u) || ', if the comparisons with the poorest pictures '
		'were left out. Where the line falls, a minimum quality helps; where it does not, the measure of quality'
			' predicts nothing.',
		svg_chart('discard-' || ($1).calibration_id || '-svg', 'Error versus discard curve',
			'False non-match rate over the share of comparisons that is left out, the poorest first.', 'line',
			array_agg(p.s || '%' ORDER BY p.s), ARRAY['false non-matches'], ARRAY[array_agg(100 * p.rate ORDER BY p.s)],
			'left out, at most', '%'),
		html_table('Errors by minimum quality',
			'{At most|html,Left out|%,Minimum quality|#,Comparisons|#,"False non-match rate, 95&nbsp;% interval|%"}',
			jsonb_agg(jsonb_build_array(p.s || '&nbsp;%', p.discarded, p.quality, p.mated, ARRAY[p.rate, p.lower, p.upper])
				ORDER BY p.s)))
	FROM poorer p HAVING count(*) > 0), '')
	|| (SELECT html_figure('mated-' || ($1).calibration_id,
		'Scores of one person and of different people: ' || html_text(($1).model),
		'How similar pictures were in the calibration: two of one person (mated), and two of different people (non-mated). '
		'The threshold separates them; scores on the wrong side are errors.',
		svg_chart('mated-' || ($1).calibration_id || '-svg', 'Histogram of mated and non-mated comparisons',
			'Outlines of two histograms over the similarity, with the threshold as a vertical line.', 'steps',
			array_agg(b.low ORDER BY b.s), ARRAY['different people', 'one person'],
			ARRAY[array_agg(100 * b.non_mated_share ORDER BY b.s), array_agg(100 * b.mated_share ORDER BY b.s)],
			'similarity', '%', mark => $2 * 20 - min(b.s)),
		html_table('Scores in the calibration', '{Similarity,One person|#,Share|%,Different people|#,Share|%}',
			jsonb_agg(jsonb_build_array(b.low || ' to ' || b.high, b.mated, b.mated_share, b.non_mated, b.non_mated_share)
				ORDER BY b.s)))
	FROM bin b)
$$;
COMMENT ON FUNCTION facematch_internal.page_calibration(facematch_internal.calibration, double precision) IS
	'part of the HTML report: the DET curve of a calibration, its error-versus-discard curve near a threshold, where that'
	' was measured, and its score histograms with the threshold';

CREATE FUNCTION facematch_internal.page_accuracy(histograms facematch_internal.encounter_histogram[]) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	-- The models in use come first; of each, the calibration in use, with the threshold that most encounters had.
	WITH used AS (
		SELECT h.model, h.threshold, sum(h.n) AS n FROM unnest($1) h WHERE h.measure IN ('match', 'runner_up')
			GROUP BY 1, 2),
	calibrated AS (
		SELECT m.name, c AS calibration,
			   (SELECT u.threshold FROM used u WHERE u.model = m.name ORDER BY u.n DESC, u.threshold LIMIT 1) AS threshold
		FROM facematch.model m, LATERAL calibration_in_use(m.name) c WHERE c.calibration_id IS NOT NULL),
	often AS (SELECT u.* FROM used u ORDER BY u.n DESC, u.model COLLATE "C", u.threshold LIMIT 4),
	wide AS (
		SELECT h.model, h.threshold, floor(h.bin / 5.0)::integer AS s,
			   coalesce(sum(h.n) FILTER (WHERE h.measure = 'match'), 0) AS matches,
			   coalesce(sum(h.n) FILTER (WHERE h.measure = 'runner_up'), 0) AS runners_up
		FROM unnest($1) h WHERE h.measure IN ('match', 'runner_up') GROUP BY 1, 2, 3),
	-- From a step below the threshold on: below it no score is on record.
	step AS (
		SELECT o.model, o.threshold, o.n, g.s, coalesce(w.matches, 0) AS matches, coalesce(w.runners_up, 0) AS runners_up,
			   to_char(g.s / 20.0, 'FM0.00') AS low, to_char((g.s + 1) / 20.0, 'FM0.00') AS high
		FROM often o CROSS JOIN LATERAL generate_series(least(floor(o.threshold * 20)::integer, (SELECT min(w.s) FROM wide w
			WHERE (w.model, w.threshold) = (o.model, o.threshold))) - 1, 19) g (s)
		LEFT JOIN wide w ON (w.model, w.threshold, w.s) = (o.model, o.threshold, g.s)),
	scores AS (
		SELECT s.model, s.threshold, s.n, html_figure('scores-' || md5(s.model || s.threshold),
			'Comparison scores at the gates: ' || html_text(s.model) || ', threshold ' || html_number(s.threshold, 'score'),
			'Of the references that matched, and of the most similar other person where one was above the threshold too.'
				' The further apart the two, the safer the decision.',
			svg_chart('scores-' || md5(s.model || s.threshold) || '-svg', 'Histogram of comparison scores',
				'Outlines of two histograms over the similarity, with the threshold as a vertical line.', 'steps',
				array_agg(s.low ORDER BY s.s), ARRAY['most similar other person', 'the match'],
				ARRAY[array_agg(s.runners_up ORDER BY s.s), array_agg(s.matches ORDER BY s.s)]::double precision[], 'similarity',
				mark => s.threshold * 20 - min(s.s)),
			html_table('Comparison scores', '{Similarity,Matches|#,Most similar other person|#}',
				jsonb_agg(jsonb_build_array(s.low || ' to ' || s.high, s.matches, s.runners_up) ORDER BY s.s))) AS figure
		FROM step s GROUP BY s.model, s.threshold, s.n)
	SELECT '<section id="accuracy"><h2>How sure the decisions are</h2>'
		|| coalesce((SELECT string_agg(page_calibration(d.calibration, d.threshold), ''
									   ORDER BY d.threshold IS NULL, d.name COLLATE "C") FROM calibrated d),
					'<p>No model is calibrated here: there is no measured error to show. <code>facematch.calibrate()</code> measures '
					'it.</p>')
		|| coalesce((SELECT string_agg(s.figure, '' ORDER BY s.n DESC, s.model COLLATE "C", s.threshold) FROM scores s),
					'<p>No comparison matched in this period.</p>')
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.page_accuracy(facematch_internal.encounter_histogram[]) IS
	'section of the HTML report: scores';

CREATE FUNCTION facematch_internal.page_drift(counts facematch_internal.encounter_count[],
	histograms facematch_internal.encounter_histogram[], first_day date, last_day date) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	SELECT '<section id="drift"><h2>Has the accuracy changed?</h2><p>The matches of each week are compared with the'
		' four weeks before it, and its misses with the model&#39;s calibration. An alert means that the intervals'
		' (99.9&nbsp;% here) do not overlap, or that a goal of the site was not met.</p>'
		|| html_table('Drift by week', '{Week from,"Gallery, model, threshold|html",Alerts|html,Compared|#,Recognised|%,'
			'99.9&nbsp;% interval|%,Before|%,Missed|%,Calibrated|%,Mean score|score,Calibrated|score}',
			(SELECT jsonb_agg(jsonb_build_array(to_char(d.week_utc, 'FMDD Mon YYYY'),
					html_text(coalesce(d.kind, 'not recorded')) || ', ' || html_text(d.model) || ', '
					|| html_number(d.threshold, 'score'),
					CASE WHEN cardinality(d.alerts) = 0 THEN 'none'
						 ELSE '<strong class="alert">&#9650; ' || array_to_string(d.alerts, '; ') || '</strong>' END,
					d.searches, d.match_rate, ARRAY[d.match_rate_low, d.match_rate_high], d.match_rate_before, d.miss_rate,
					d.calibrated_fnmr, d.mean_similarity, d.calibrated_mean)
				ORDER BY d.week_utc DESC, d.kind COLLATE "C", d.model COLLATE "C", d.threshold)
			 FROM find_drift($1, $2) d WHERE d.week_utc BETWEEN date_trunc('week', $3::timestamp)::date AND $4),
			'<p>Nobody was compared in this period.</p>')
		|| E'</section>\n'
		|| '<section id="groups"><h2>Differences between groups</h2><p>Where a site records groups of travelers, this '
		'shows whether the comparison works as well for one as for another: in calendar months that are over and that the '
		'period touches. The difference between two groups is significant where their intervals do not overlap. A dash'
			' hides a number that is too small (below '
		|| (SELECT coalesce(min(s.least_cell), 10) FROM facematch.report_setting s)
		|| '), and as many others as are needed so that nobody can compute it.</p>'
		|| html_table('Rates by group',
			'{Group,Month,Compared|#,Recognised|%,95&nbsp;% interval|%,Missed|#,Miss rate|%,95&nbsp;% interval|%}',
			(SELECT jsonb_agg(jsonb_build_array(d.attribute || ': ' || d.value, to_char(d.month_utc, 'Mon YYYY'), d.searches,
				d.match_rate, ARRAY[d.match_rate_low, d.match_rate_high], d.missed, d.miss_rate,
				ARRAY[d.miss_rate_low, d.miss_rate_high])
				ORDER BY d.attribute COLLATE "C", d.month_utc, d.value COLLATE "C")
			 FROM differentials() d WHERE d.month_utc BETWEEN date_trunc('month', $3::timestamp)::date AND $4),
			'<p>No groups are on record for a month of this period that is over.</p>')
		|| '<p class="note">Missed: the comparison did not recognise the traveler, and an officer then found that the '
			'document was theirs.</p>'
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.page_drift(facematch_internal.encounter_count[],
	facematch_internal.encounter_histogram[], date, date) IS
	'sections of the HTML report: drift by week, and differences between groups';
