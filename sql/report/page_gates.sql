/*
 * Sections of the HTML report for analysts: gates, scores, groups, notices.
 */

CREATE FUNCTION facematch_internal.report_gates(counts facematch_internal.encounter_count[], first_day date, last_day date) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH steps AS (
		SELECT row_number() OVER (ORDER BY b.starts) AS i, b.label, coalesce(sum(c.matches), 0) AS matches,
			   coalesce(sum(c.searches - c.matches), 0) AS referred, coalesce(sum(c.encounters - c.searches), 0) AS not_compared
		FROM facematch_internal.report_buckets($2, $3) b LEFT JOIN unnest($1) c ON c.day_utc BETWEEN b.starts AND b.ends GROUP BY b.starts, b.label),
	ports AS (
		SELECT c.port, sum(c.encounters)::bigint AS encounters, sum(c.searches)::bigint AS searches, sum(c.matches)::bigint AS matches,
			   sum(c.searches - c.matches)::bigint AS referred, sum(c.overrides)::bigint AS overrides, sum(c.opted_out)::bigint AS opted_out,
			   sum(c.exempt)::bigint AS exempt, sum(c.no_probe)::bigint AS no_probe
		FROM unnest($1) c GROUP BY 1),
	-- Who declined or is exempt at a small port is no number: it is somebody.
	small AS (
		SELECT array_agg(p.port ORDER BY p.port COLLATE "C") AS ports,
			   facematch_internal.hidden_cells(array_agg(p.opted_out ORDER BY p.port COLLATE "C"), facematch_internal.least_cell()) AS opted_out,
			   facematch_internal.hidden_cells(array_agg(p.exempt ORDER BY p.port COLLATE "C"), facematch_internal.least_cell()) AS exempt,
			   facematch_internal.hidden_cells(array_agg(p.no_probe ORDER BY p.port COLLATE "C"), facematch_internal.least_cell()) AS no_probe
		FROM ports p HAVING count(*) > 0),
	shown AS (
		SELECT p.*, h.hide_opted_out, h.hide_exempt, h.hide_no_probe
		FROM small s, LATERAL unnest(s.ports, s.opted_out, s.exempt, s.no_probe) h (port, hide_opted_out, hide_exempt, hide_no_probe) JOIN ports p USING (port)),
	kinds AS (
		SELECT c.mode, c.kind, c.model, c.threshold, sum(c.encounters)::bigint AS encounters, sum(c.searches)::bigint AS searches,
			   sum(c.matches)::bigint AS matches, sum(c.ambiguous)::bigint AS ambiguous
		FROM unnest($1) c GROUP BY 1, 2, 3, 4)
	SELECT '<section id="gates"><h2>At the gates</h2>'
		|| (SELECT facematch_internal.html_figure('outcomes', 'What happened to travelers', 'Recognised: the comparison found the traveler on the list. Referred: it did not, and an officer looked at the document. '
				'Not compared: the traveler had declined, is exempt, or there was no photograph.',
				CASE WHEN sum(s.matches + s.referred + s.not_compared) > 0 THEN facematch_internal.svg_columns('outcomes-svg', 'Travelers at the gates, by outcome',
					'Stacked columns over the days of the period: travelers recognised, referred to an officer, and not compared.', array_agg(s.label ORDER BY s.i),
					ARRAY['recognised', 'referred to an officer', 'not compared'], ARRAY[array_agg(s.matches::double precision ORDER BY s.i),
					array_agg(s.referred::double precision ORDER BY s.i), array_agg(s.not_compared::double precision ORDER BY s.i)], 'day of the encounter (UTC), or first day of its week or month') END,
				facematch_internal.html_table('Travelers by outcome', ARRAY['From', '#Recognised', '#Referred', '#Not compared'],
					string_agg(facematch_internal.html_row(s.label, facematch_internal.html_number(s.matches), facematch_internal.html_number(s.referred), facematch_internal.html_number(s.not_compared)), '' ORDER BY s.i)))
			FROM steps s)
		|| '<h3>By port</h3>'
		|| facematch_internal.html_table('Outcomes by port', ARRAY['Port', '#Encounters', '#Compared', '#Recognised', '#95&nbsp;% interval', '#Referred', '#Decided by an officer', '#Declined', '#Exempt', '#No photograph'],
			(SELECT string_agg(facematch_internal.html_row(facematch_internal.html_text(p.port), facematch_internal.html_number(p.encounters), facematch_internal.html_number(p.searches), facematch_internal.html_percent(facematch_internal.share(p.matches, p.searches)),
				facematch_internal.html_interval(r.lower, r.upper), facematch_internal.html_number(p.referred), facematch_internal.html_number(p.overrides),
				CASE WHEN p.hide_opted_out THEN '&ndash;' ELSE facematch_internal.html_number(p.opted_out) END, CASE WHEN p.hide_exempt THEN '&ndash;' ELSE facematch_internal.html_number(p.exempt) END,
				CASE WHEN p.hide_no_probe THEN '&ndash;' ELSE facematch_internal.html_number(p.no_probe) END), '' ORDER BY p.port COLLATE "C")
			 FROM shown p, LATERAL facematch.wilson_interval(p.matches, p.searches) r))
		|| '<p class="note">A dash stands for a number that is too small to show without showing a person (below ' || facematch_internal.least_cell() || '), or that would give one away.</p>'
		|| '<h3>By mode, gallery and model</h3>'
		|| facematch_internal.html_table('Outcomes by mode, kind of gallery, model and threshold', ARRAY['Mode', 'Gallery', 'Model', '#Threshold', '#Encounters', '#Compared', '#Recognised', '#95&nbsp;% interval', '#More than one person above the threshold'],
			(SELECT string_agg(facematch_internal.html_row(coalesce(k.mode, 'not recorded'), facematch_internal.html_text(coalesce(k.kind, 'not recorded')), facematch_internal.html_text(k.model), facematch_internal.html_score(k.threshold),
				facematch_internal.html_number(k.encounters), facematch_internal.html_number(k.searches), facematch_internal.html_percent(facematch_internal.share(k.matches, k.searches)),
				facematch_internal.html_interval(r.lower, r.upper), facematch_internal.html_number(k.ambiguous)), ''
				ORDER BY k.mode, k.kind COLLATE "C", k.model COLLATE "C", k.threshold)
			 FROM kinds k, LATERAL facematch.wilson_interval(k.matches, k.searches) r))
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.report_gates(facematch_internal.encounter_count[], date, date) IS 'section of the HTML report: outcomes by day, port and kind';

CREATE FUNCTION facematch_internal.report_speed(latencies facematch_internal.encounter_latency[]) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH bins AS (SELECT l.bin, sum(l.n) AS n FROM unnest($1) l GROUP BY 1),
	-- Two bins in one column: it ends at the next power of the square root of 2.
	wide AS (SELECT ceil(b.bin / 2.0)::integer AS step, sum(b.n) AS n FROM bins b GROUP BY 1),
	steps AS (SELECT g.step, coalesce(w.n, 0) AS n, facematch_internal.latency_of_bin(2 * g.step) AS ms
			  FROM (SELECT generate_series(min(w.step), max(w.step)) FROM wide w) g (step) LEFT JOIN wide w USING (step)),
	labelled AS (SELECT s.step, s.n, sum(s.n) OVER (ORDER BY s.step) / sum(s.n) OVER () AS upto,
						facematch_internal.html_duration(s.ms * interval '1 ms') AS rounded,
						CASE WHEN s.ms < 10 THEN to_char(s.ms, 'FM990.0') || '&nbsp;ms' ELSE facematch_internal.html_duration(s.ms * interval '1 ms') END AS label FROM steps s)
	SELECT '<section id="speed"><h2>How long a decision takes</h2>'
		|| facematch_internal.html_figure('latency', 'Response times', 'From the call of the gate to the decision, in the database server, the search included. The network and the camera come on top.',
			(SELECT facematch_internal.svg_columns('latency-svg', 'Response times', 'Columns: encounters by the time their decision took.', array_agg(l.label ORDER BY l.step), ARRAY['encounters'],
				ARRAY[array_agg(l.n::double precision ORDER BY l.step)], 'up to this time') FROM labelled l HAVING count(*) > 0),
			facematch_internal.html_table('Response times', ARRAY['Up to', '#Encounters', '#Share up to here'],
				(SELECT string_agg(facematch_internal.html_row(l.label, facematch_internal.html_number(l.n), facematch_internal.html_percent(l.upto::double precision)), '' ORDER BY l.step) FROM labelled l)))
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.report_speed(facematch_internal.encounter_latency[]) IS 'section of the HTML report: response times';

CREATE FUNCTION facematch_internal.report_groups(first_day date, last_day date) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<section id="groups"><h2>Differences between groups</h2><p>Where a site records groups of travelers, this shows whether the comparison works as well for one as for another: '
		'in calendar months that are over and that the period touches. Two groups differ for certain where their intervals do not meet. A dash hides what is too small (below ' || facematch_internal.least_cell()
		|| '), and as much beside it as it takes that nobody can compute it.</p>'
		|| coalesce(nullif(facematch_internal.html_table('Rates by group', ARRAY['Group', 'Month', '#Compared', '#Recognised', '#95&nbsp;% interval', '#Missed', '#Miss rate', '#95&nbsp;% interval'],
			(SELECT string_agg(facematch_internal.html_row(facematch_internal.html_text(d.attribute) || ': ' || facematch_internal.html_text(d.value), to_char(d.month_utc, 'Mon YYYY'), facematch_internal.html_number(d.searches), facematch_internal.html_percent(d.match_rate),
				facematch_internal.html_interval(d.match_rate_low, d.match_rate_high), facematch_internal.html_number(d.missed), facematch_internal.html_percent(d.miss_rate),
				facematch_internal.html_interval(d.miss_rate_low, d.miss_rate_high)), '' ORDER BY d.attribute COLLATE "C", d.month_utc, d.value COLLATE "C")
			 FROM facematch_internal.differentials() d WHERE d.month_utc BETWEEN date_trunc('month', $1::timestamp)::date AND $2)), ''),
			'<p>No groups are on record for a month of this period that is over.</p>')
		|| '<p class="note">Missed: the comparison did not recognise the traveler, and an officer then found that the document was theirs.</p>'
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.report_groups(date, date) IS 'section of the HTML report: differences between groups';

CREATE FUNCTION facematch_internal.report_rights(counts facematch_internal.encounter_count[], first_day date, last_day date) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<section id="rights"><h2>Choices, disclosures and notices</h2><h3>Who declined</h3>'
		|| coalesce(nullif(facematch_internal.html_table('Wishes not to be photographed', ARRAY['Scope', 'Instead', '#In this period', '#Since the beginning', '#Standing', '#Revoked', '#Ended'],
			(SELECT string_agg(facematch_internal.html_row(CASE o.scope WHEN 'standing' THEN 'everywhere, until revoked' WHEN 'until' THEN 'everywhere, until a date' ELSE 'one flight or crossing' END,
				facematch_internal.html_text(o.alternative), facematch_internal.html_number(o.filed), facematch_internal.html_number(o.opt_outs), facematch_internal.html_number(o.standing), facematch_internal.html_number(o.revoked), facematch_internal.html_number(o.ended)), ''
				ORDER BY o.scope DESC, o.alternative COLLATE "C")
			 FROM (SELECT d.scope, d.alternative, count(*) AS opt_outs, count(*) FILTER (WHERE d.revoked_at IS NOT NULL) AS revoked,
						  count(*) FILTER (WHERE d.revoked_at IS NULL AND (d.until IS NULL OR d.until > now())) AS standing,
						  count(*) FILTER (WHERE d.revoked_at IS NULL AND d.until <= now()) AS ended,
						  count(*) FILTER (WHERE (d.noticed_at AT TIME ZONE 'UTC')::date BETWEEN $2 AND $3) AS filed
				   FROM facematch.opt_out d GROUP BY 1, 2) o)), ''), '<p>Nobody has declined.</p>')
		|| '<h3>Who else was told</h3>'
		|| coalesce(nullif(facematch_internal.html_table('Disclosures by recipient', ARRAY['Recipient', 'What', 'Why', '#In this period', '#Matches', '#No matches', '#Refused'],
			(SELECT string_agg(facematch_internal.html_row(facematch_internal.html_text(d.partner), facematch_internal.html_text(d.nature), facematch_internal.html_text(d.purpose), facematch_internal.html_number(d.n), facematch_internal.html_number(d.matches),
				facematch_internal.html_number(d.no_matches), facematch_internal.html_number(d.refusals)), '' ORDER BY d.partner COLLATE "C", d.nature COLLATE "C", d.purpose COLLATE "C")
			 FROM (SELECT r.partner, r.nature, r.purpose, sum(r.disclosures) AS n, sum(r.matches) AS matches, sum(r.no_matches) AS no_matches, sum(r.refusals) AS refusals
				   FROM facematch.report_disclosure r WHERE r.day_utc BETWEEN $2 AND $3 GROUP BY 1, 2, 3) d)), ''), '<p>Nothing was disclosed to anybody outside in this period.</p>')
		|| '<h3>Privacy notices</h3>'
		|| coalesce(nullif(facematch_internal.html_table('Privacy notices by port', ARRAY['Port', 'State now', 'Languages', '#Encounters in the period', '#Without a notice on record'],
			(SELECT string_agg(facematch_internal.html_row(facematch_internal.html_text(coalesce(n.port, c.port)),
				CASE coalesce(n.state, 'missing') WHEN 'posted' THEN 'posted' ELSE '<strong class="alert">&#9650; ' || coalesce(n.state, 'missing') || '</strong>' END,
				coalesce((SELECT string_agg(facematch_internal.html_text(l), ', ') FROM unnest(n.languages) l), '&ndash;'), facematch_internal.html_number(coalesce(c.encounters, 0)), facematch_internal.html_number(coalesce(c.without_notice, 0))), ''
				ORDER BY coalesce(n.port, c.port) COLLATE "C")
			 FROM facematch_internal.posted_notices() n
			 FULL JOIN (SELECT e.port, sum(e.encounters) AS encounters, sum(e.without_notice) AS without_notice FROM unnest($1) e GROUP BY 1) c USING (port))), ''), '<p>There are no ports yet.</p>')
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.report_rights(facematch_internal.encounter_count[], date, date) IS 'section of the HTML report: opt-outs, disclosures and privacy notices';
