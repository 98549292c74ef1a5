/*
 * Sections of the HTML report: scores at the gates, and what the log says.
 */

CREATE FUNCTION facematch_internal.report_score_chart(model text, threshold double precision, scores facematch_internal.encounter_score[]) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH wide AS (
		SELECT floor(s.bin / 5.0)::integer AS step, coalesce(sum(s.n) FILTER (WHERE s.score = 'match'), 0) AS matches,
			   coalesce(sum(s.n) FILTER (WHERE s.score = 'runner_up'), 0) AS runners_up
		FROM unnest($3) s WHERE s.model = $1 AND s.threshold = $2 GROUP BY 1),
	-- From a step below the threshold on: below it no score is on record.
	steps AS (
		SELECT g.step, coalesce(w.matches, 0) AS matches, coalesce(w.runners_up, 0) AS runners_up, row_number() OVER (ORDER BY g.step) AS i,
			   facematch_internal.html_score(g.step / 20.0) || '&ndash;' || facematch_internal.html_score((g.step + 1) / 20.0) AS label
		FROM (SELECT generate_series(least(floor($2 * 20)::integer, min(w.step)) - 1, 19) FROM wide w) g (step) LEFT JOIN wide w USING (step)),
	scale AS (SELECT facematch_internal.svg_ticks(max(greatest(s.matches, s.runners_up))::double precision) AS ticks, count(*) AS n, min(s.step) AS first FROM steps s),
	-- Each step twice, at its beginning and its end: a histogram's outline.
	outline AS (
		SELECT row_number() OVER (ORDER BY s.step, e.at) AS i, (s.step - k.first + e.at) / k.n::double precision AS x,
			   s.matches / k.ticks[cardinality(k.ticks)] AS matches, s.runners_up / k.ticks[cardinality(k.ticks)] AS runners_up
		FROM steps s, scale k, (VALUES (0), (1)) e (at))
	SELECT facematch_internal.html_figure('scores-' || md5($1 || $2), 'Comparison scores at the gates: ' || facematch_internal.html_text($1) || ', threshold ' || facematch_internal.html_score($2),
		'Of the references that matched, and of the most similar other person where one was above the threshold too. The farther apart the two, the safer the decision.',
		(SELECT facematch_internal.svg_lines('scores-' || md5($1 || $2) || '-svg', 'Histogram of comparison scores', 'Outlines of two histograms over the similarity, with the threshold as a vertical line.',
			array_agg(o.x ORDER BY o.i), ARRAY[array_agg(o.runners_up ORDER BY o.i), array_agg(o.matches ORDER BY o.i)], ARRAY['most similar other person', 'the match'],
			(SELECT facematch_internal.svg_axes(ARRAY(SELECT (s.step - k.first) / k.n::double precision FROM steps s ORDER BY s.i),
				facematch_internal.svg_thin(ARRAY(SELECT facematch_internal.html_score(s.step / 20.0) FROM steps s ORDER BY s.i)), ARRAY(SELECT t / k.ticks[cardinality(k.ticks)] FROM unnest(k.ticks) t),
				ARRAY(SELECT facematch_internal.svg_count(t) FROM unnest(k.ticks) t), 'similarity') FROM scale k),
			(SELECT facematch_internal.svg_mark(($2 * 20 - k.first) / k.n, 'threshold') FROM scale k)) FROM outline o HAVING count(*) > 0),
		facematch_internal.html_table('Comparison scores', ARRAY['Similarity', '#Matches', '#Most similar other person'],
			(SELECT string_agg(facematch_internal.html_row(s.label, facematch_internal.html_number(s.matches), facematch_internal.html_number(s.runners_up)), '' ORDER BY s.i) FROM steps s)))
$$;
COMMENT ON FUNCTION facematch_internal.report_score_chart(text, double precision, facematch_internal.encounter_score[]) IS 'part of the HTML report: the scores of one model and threshold';

CREATE FUNCTION facematch_internal.report_controls() RETURNS text
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<section id="controls"><h2>Controls</h2><h3>Holds</h3>'
		|| coalesce(nullif(facematch_internal.html_table('Holds that stand', ARRAY['Authority', '#Holds', '#Of a person', '#Of a record', 'Oldest since', 'Last one ends'],
			(SELECT string_agg(facematch_internal.html_row(facematch_internal.html_text(h.authority), facematch_internal.html_number(h.n), facematch_internal.html_number(h.subjects), facematch_internal.html_number(h.n - h.subjects),
				facematch_internal.html_day((h.first AT TIME ZONE 'UTC')::date), CASE WHEN h.open THEN 'open' ELSE facematch_internal.html_day((h.last AT TIME ZONE 'UTC')::date) END), '' ORDER BY h.authority COLLATE "C")
			 FROM (SELECT d.authority, count(*) AS n, count(d.subject_id) AS subjects, min(d.placed_at) AS first, max(d.until) AS last, bool_or(d.until IS NULL) AS open
				   FROM facematch.held d GROUP BY 1) h)), ''), '<p>No hold stands.</p>')
		|| '<h3>The log</h3><p>' || (SELECT CASE WHEN bool_and(v.intact) THEN 'The log is whole: ' || facematch_internal.html_number(max(v.events)) || ' events, each sealed with those before it.'
			ELSE '<strong class="alert">&#9650; The log is not whole: ' || count(*) || ' findings, the first at event ' || coalesce(min(v.first_broken)::text, 'unknown') || '.</strong>' END
			FROM facematch.verify_audit() v) || '</p>'
		|| '<h3>What weakens the guarantees here</h3><p>' || (SELECT 'The database examined itself when this was written: '
			|| CASE WHEN count(*) FILTER (WHERE p.severity = 'error') > 0 THEN '<strong class="alert">&#9650; ' || facematch_internal.counted(count(*) FILTER (WHERE p.severity = 'error'), 'error') || '</strong>' ELSE 'no errors' END
			|| ', ' || facematch_internal.counted(count(*) FILTER (WHERE p.severity = 'warning'), 'warning') || ', ' || facematch_internal.counted(count(*) FILTER (WHERE p.severity = 'notice'), 'notice') || '. <code>SELECT * FROM facematch.health_check()</code> lists them.'
			FROM facematch.health_check() p) || '</p>'
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.report_controls() IS 'section of the HTML report: holds, the log, and what weakens the guarantees';

CREATE FUNCTION facematch_internal.report_accuracy(scores facematch_internal.encounter_score[]) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- The models in use come first; of each, the calibration in use, with the threshold that most encounters had.
	WITH used AS (SELECT s.model, s.threshold, sum(s.n) AS n FROM unnest($1) s GROUP BY 1, 2),
	calibrated AS (
		SELECT DISTINCT ON (c.model) c.model, c AS calibration, (SELECT u.threshold FROM used u WHERE u.model = c.model ORDER BY u.n DESC, u.threshold LIMIT 1) AS threshold
		FROM facematch_internal.calibration c ORDER BY c.model, c.calibrated_at DESC, c.calibration_id DESC)
	SELECT '<section id="accuracy"><h2>How sure the decisions are</h2>'
		|| coalesce((SELECT string_agg(facematch_internal.report_det(d.calibration) || facematch_internal.report_calibration_scores(d.calibration, d.threshold), '' ORDER BY d.threshold IS NULL, d.model COLLATE "C")
					 FROM calibrated d), '<p>No model is calibrated here: there is no measured error to show. <code>facematch.calibrate()</code> measures it.</p>')
		|| coalesce((SELECT string_agg(facematch_internal.report_score_chart(u.model, u.threshold, $1), '' ORDER BY u.n DESC, u.model COLLATE "C", u.threshold)
					 FROM (SELECT k.* FROM used k ORDER BY k.n DESC, k.model COLLATE "C", k.threshold LIMIT 4) u),
					'<p>No comparison matched in this period.</p>')
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.report_accuracy(facematch_internal.encounter_score[]) IS 'section of the HTML report: scores';
