/*
 * Sections of the HTML report for analysts: the gates, the time that decisions took, choices, disclosures, notices and
 * controls.
 */

CREATE FUNCTION facematch_internal.page_gates(counts facematch_internal.encounter_count[],
	histograms facematch_internal.encounter_histogram[], first_day date, last_day date) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	-- A search of a watchlist is one more of the same traveler, and for most it finds nobody.
	WITH gate AS (SELECT c.* FROM unnest($1) c WHERE c.kind IS DISTINCT FROM 'watchlist'),
	step AS (
		SELECT b.starts, b.label, coalesce(sum(c.matches), 0) AS matches,
			coalesce(sum(c.searches - c.matches), 0) AS referred, coalesce(sum(c.encounters - c.searches), 0) AS not_compared
		FROM page_steps($3, $4) b LEFT JOIN gate c ON c.day_utc BETWEEN b.starts AND b.ends
		GROUP BY b.starts, b.label),
	port AS (
		SELECT c.port, sum(c.encounters) AS encounters, sum(c.searches)::bigint AS searches,
			sum(c.matches)::bigint AS matches, sum(c.searches - c.matches) AS referred, sum(c.overrides) AS overrides,
			sum(c.opted_out)::bigint AS opted_out, sum(c.no_probe)::bigint AS no_probe
		FROM gate c GROUP BY 1),
	setting AS (SELECT coalesce(min(s.least_cell), 10) AS least_cell FROM facematch.report_setting s),
	-- A small count at a small port may identify a person.  Who knows one of the two and their sum knows the other.
	small AS (
		SELECT p.ports, hidden_cells(p.opted_out, s.least_cell, hidden_cells(p.no_probe, s.least_cell,
				   hidden_cells(p.opted_out, s.least_cell))) AS reasons,
			   hidden_cells(p.not_compared, s.least_cell) AS sums
		FROM (SELECT array_agg(o.port ORDER BY o.port COLLATE "C") AS ports,
				  array_agg(o.opted_out ORDER BY o.port COLLATE "C") AS opted_out,
				  array_agg(o.no_probe ORDER BY o.port COLLATE "C") AS no_probe,
				  array_agg((o.encounters - o.searches)::bigint ORDER BY o.port COLLATE "C") AS not_compared
			  FROM port o HAVING count(*) > 0) p, setting s),
	shown AS (
		SELECT p.port, CASE WHEN NOT h.sum THEN p.encounters END AS encounters, p.searches, p.matches, p.referred,
			p.overrides, CASE WHEN NOT h.reason THEN p.opted_out END AS opted_out,
			CASE WHEN NOT h.reason THEN p.no_probe END AS no_probe
		FROM small s, LATERAL unnest(s.ports, s.reasons, s.sums) h (port, reason, sum)
		JOIN port p ON p.port = h.port),
	kind AS (
		SELECT c.mode, c.kind, c.model, c.threshold, sum(c.encounters) AS encounters, sum(c.searches)::bigint AS searches,
			   sum(c.matches)::bigint AS matches, sum(c.ambiguous) AS ambiguous
		FROM unnest($1) c GROUP BY 1, 2, 3, 4),
	-- Of response times, two bins in one column: it ends at the next power of the square root of 2.
	wide AS (
		SELECT ceil(h.bin / 2.0)::integer AS step, sum(h.n) AS n FROM unnest($2) h WHERE h.measure = 'latency' GROUP BY 1),
	pace AS (
		SELECT g.step, coalesce(w.n, 0) AS n, sum(w.n) OVER (ORDER BY g.step) / sum(w.n) OVER () AS upto,
			   html_number(2 ^ (g.step / 2::double precision) / 1000, 's') AS label
		FROM (SELECT generate_series(min(w.step), max(w.step)) FROM wide w) g (step) LEFT JOIN wide w ON w.step = g.step)
	SELECT '<section id="gates"><h2>At the gates</h2>'
		|| (SELECT html_figure('outcomes', 'What happened to travelers',
				'Recognised: the comparison found the traveler on the list. Referred: it did not, and an officer looked at the '
				'document. Not compared: the traveler had declined, or there was no photograph.',
				CASE WHEN sum(s.matches + s.referred + s.not_compared) > 0 THEN svg_chart('outcomes-svg',
					'Travelers at the gates, by outcome',
					'Stacked columns over the days of the period: travelers recognised, referred to an officer, and not compared.',
						'columns', array_agg(s.label ORDER BY s.starts), ARRAY['recognised', 'referred to an officer', 'not compared'],
					ARRAY[array_agg(s.matches ORDER BY s.starts), array_agg(s.referred ORDER BY s.starts),
						  array_agg(s.not_compared ORDER BY s.starts)]::double precision[],
					'day of the encounter (UTC), or first day of its week or month') END,
				html_table('Travelers by outcome', '{From,Recognised|#,Referred|#,Not compared|#}',
					jsonb_agg(jsonb_build_array(s.label, s.matches, s.referred, s.not_compared) ORDER BY s.starts)))
			FROM step s)
		|| '<h3>By port</h3>'
		|| html_table('Outcomes by port', '{Port,Encounters|#,Compared|#,Recognised|%,95&nbsp;% interval|%,Referred|#,'
			'Decided by an officer|#,Declined|#,No photograph|#}',
			(SELECT jsonb_agg(jsonb_build_array(p.port, p.encounters, p.searches, r.rate, ARRAY[r.lower, r.upper], p.referred,
				p.overrides, p.opted_out, p.no_probe) ORDER BY p.port COLLATE "C")
			 FROM shown p, LATERAL facematch.rate_interval(p.matches, p.searches) r))
		|| (SELECT '<p class="note">A dash hides a number that is so small that it could identify a person (below '
			|| s.least_cell
				   || '), or from which such a number could be computed.</p>' FROM setting s)
		|| '<h3>By mode, gallery and model</h3><p class="note">Searches of watchlists are in this table only.</p>'
		|| html_table('Outcomes by mode, kind of gallery, model and threshold', '{Mode,Gallery,Model,Threshold|score,'
			'Encounters|#,Compared|#,Recognised|%,95&nbsp;% interval|%,More than one person above the threshold|#}',
			(SELECT jsonb_agg(jsonb_build_array(coalesce(k.mode, 'not recorded'), coalesce(k.kind, 'not recorded'), k.model,
				k.threshold, k.encounters, k.searches, r.rate, ARRAY[r.lower, r.upper], k.ambiguous)
				ORDER BY k.mode, k.kind COLLATE "C", k.model COLLATE "C", k.threshold)
			 FROM kind k, LATERAL facematch.rate_interval(k.matches, k.searches) r))
		|| E'</section>\n'
		|| '<section id="speed"><h2>How long a decision takes</h2>'
		|| html_figure('latency', 'Response times', 'From the call of the gate to the decision, in the database server, '
			'the search included. The network and the camera are not included.',
			(SELECT svg_chart('latency-svg', 'Response times', 'Columns: encounters by the time their decision took.',
				'columns', array_agg(s.label ORDER BY s.step), ARRAY['encounters'],
				ARRAY[array_agg(s.n ORDER BY s.step)]::double precision[], 'up to this time') FROM pace s),
			html_table('Response times', '{Up to|html,Encounters|#,Share up to here|%}',
				(SELECT jsonb_agg(jsonb_build_array(s.label, s.n, s.upto) ORDER BY s.step) FROM pace s)))
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.page_gates(facematch_internal.encounter_count[],
	facematch_internal.encounter_histogram[], date, date) IS
	'sections of the HTML report: outcomes by day, port and kind, and response times';

CREATE FUNCTION facematch_internal.page_choices(counts facematch_internal.encounter_count[], first_day date,
	last_day date) RETURNS text
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	WITH found AS MATERIALIZED (SELECT c.severity, c.object, c.finding FROM facematch.health_check() c)
	SELECT '<section id="choices"><h2>Choices, disclosures and notices</h2><h3>People who declined</h3>'
		|| html_table('Requests not to be photographed',
			'{Scope,Instead,In this period|#,Since the beginning|#,By right|#,Without a right|#,In force|#,Revoked|#,Ended|#}',
			(SELECT jsonb_agg(jsonb_build_array(CASE o.scope WHEN 'standing' THEN 'everywhere, until revoked'
					WHEN 'until' THEN 'everywhere, until a date' ELSE 'one flight or crossing' END,
					o.alternative, d.filed, o.opt_outs, o.by_right, o.without_right, o.standing, o.revoked, o.ended)
						ORDER BY o.scope DESC,
						o.alternative COLLATE "C")
			 FROM (SELECT r.scope, r.alternative, sum(r.opt_outs) AS opt_outs, sum(r.by_right + r.class_not_known) AS by_right,
						  sum(r.without_right) AS without_right, sum(r.standing) AS standing,
						      sum(r.revoked) AS revoked, sum(r.ended) AS ended
				   FROM facematch.report_opt_out r GROUP BY 1, 2) o,
				  LATERAL (SELECT count(*) AS filed FROM facematch.opt_out f
				      WHERE (f.scope, f.alternative) = (o.scope, o.alternative)
						   AND (f.noticed_at AT TIME ZONE 'UTC')::date BETWEEN $2 AND $3) d),
			'<p>Nobody has declined.</p>')
		|| '<h3>Disclosures to others</h3>'
		|| html_table('Disclosures by recipient',
			'{Recipient,What,Why,In this period|#,Matches|#,No matches|#,Refused|#}',
			(SELECT jsonb_agg(jsonb_build_array(d.partner, d.nature, d.purpose, d.n, d.matches, d.no_matches, d.refusals)
				ORDER BY d.partner COLLATE "C", d.nature COLLATE "C", d.purpose COLLATE "C")
			 FROM (SELECT r.partner, r.nature, r.purpose, sum(r.disclosures) AS n, sum(r.matches) AS matches,
						  sum(r.no_matches) AS no_matches, sum(r.refusals) AS refusals
				   FROM facematch.report_disclosure r WHERE r.day_utc BETWEEN $2 AND $3 GROUP BY 1, 2, 3) d),
			'<p>Nothing was disclosed to anybody outside in this period.</p>')
		|| '<h3>Privacy notices</h3>'
		|| html_table('Privacy notices by port',
			'{Port,State now|html,Languages,Encounters in the period|#,Without a notice on record|#}',
			(SELECT jsonb_agg(jsonb_build_array(coalesce(n.port, c.port), CASE WHEN n.state = 'posted' THEN 'posted'
					ELSE '<strong class="alert">&#9650; ' || coalesce(n.state, 'missing') || '</strong>' END,
					array_to_string(n.languages, ', '), coalesce(c.encounters, 0), coalesce(c.without_notice, 0))
				ORDER BY coalesce(n.port, c.port) COLLATE "C")
			 FROM posted_notice n
			 FULL JOIN (SELECT e.port, sum(e.encounters) AS encounters, sum(e.without_notice) AS without_notice
						FROM unnest($1) e GROUP BY 1) c ON c.port = n.port),
			'<p>There are no ports yet.</p>')
		|| html_table('Where and when notices were posted',
			'{Port,Lane,Notice,Languages,From,Until,Outdated from}',
			(SELECT jsonb_agg(jsonb_build_array(p.port, coalesce(p.lane, 'all'), p.notice || ', version ' || p.version,
					array_to_string(p.languages, ', '), to_char(p.posted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
					coalesce(to_char(p.removed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), 'still posted'),
					coalesce(to_char(p.outdated_from AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), ''))
				ORDER BY p.port COLLATE "C", p.lane COLLATE "C" NULLS FIRST, p.posted_at, p.notice COLLATE "C", p.version)
			 FROM facematch.report_posting p
			 WHERE (p.posted_at AT TIME ZONE 'UTC')::date <= $3
			   AND coalesce((p.removed_at AT TIME ZONE 'UTC')::date >= $2, true)),
			'<p>No notice was posted in this period.</p>')
		|| E'</section>\n'
		|| '<section id="controls"><h2>Controls</h2><h3>Holds</h3>'
		|| html_table('Holds in force', '{Authority,Holds|#,Of a person|#,Of a record|#,Oldest since,Last one ends}',
			(SELECT jsonb_agg(jsonb_build_array(h.authority, h.n, h.subjects, h.n - h.subjects,
					to_char(h.first AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY'),
					CASE WHEN h.open THEN 'open' ELSE to_char(h.last AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY') END)
				ORDER BY h.authority COLLATE "C")
			 FROM (SELECT d.authority, count(*) AS n, count(d.subject_id) AS subjects, min(d.placed_at) AS first,
			     max(d.until) AS last, bool_or(d.until IS NULL) AS open
				   FROM facematch.held d GROUP BY 1) h),
			'<p>No hold is in force.</p>')
		|| '<h3>The log</h3><p>'
		|| (SELECT CASE WHEN bool_and(v.intact)
						THEN 'The log is intact: ' || html_number(max(v.events)) || ' events, each hashed with the events before'
							' it.'
						ELSE '<strong class="alert">&#9650; The log is not intact: ' || count(*) || ' findings, the first at'
							' event '
							 || coalesce(min(v.first_broken)::text, 'unknown') || '.</strong>' END
			FROM facematch.verify_audit() v)
		|| '</p><h3>What weakens the guarantees here</h3><p>'
		|| (SELECT 'The health check of this database found '
				   || string_agg(coalesce(html_number(k.n), 'no') || ' ' || s.name || CASE k.n WHEN 1 THEN '' ELSE 's' END, ', '
								 ORDER BY s.place) || '. <code>SELECT * FROM facematch.health_check()</code> lists them with their'
								' remedies.'
			FROM (VALUES (1, 'error'), (2, 'warning'), (3, 'notice')) s (place, name)
			LEFT JOIN (SELECT f.severity, nullif(count(*), 0) AS n FROM found f GROUP BY 1) k ON k.severity = s.name)
		|| '</p>'
		|| html_table('Errors that the health check found', '{Where,What is wrong|html}',
			(SELECT jsonb_agg(jsonb_build_array(f.object, '<strong class="alert">&#9650; ' || html_text(f.finding)
				|| '</strong>')
							  ORDER BY f.object COLLATE "C", f.finding COLLATE "C")
			 FROM found f WHERE f.severity = 'error'))
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.page_choices(facematch_internal.encounter_count[], date, date) IS
	'sections of the HTML report: opt-outs, disclosures and privacy notices; holds, the log, and what weakens the'
	' guarantees';
