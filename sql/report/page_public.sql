/*
 * Sections of the HTML report for everyone: the summary, what is kept, what was purged.
 *
 * A section is a function that returns HTML.  The counts of encounters are read once, by report_html(), and handed to
 * the sections that need them.
 */

CREATE FUNCTION facematch_internal.page_steps(first_day date, last_day date)
	RETURNS TABLE (starts date, ends date, label text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.day::date, least((d.day + s.step - interval '1 day')::date, $2), to_char(d.day, s.label)
	FROM (SELECT CASE WHEN $2 - $1 < 31 THEN interval '1 day' WHEN $2 - $1 < 217 THEN interval '7 days'
		ELSE interval '1 month' END, CASE WHEN $2 - $1 < 217 THEN 'FMDD Mon' ELSE 'Mon YYYY' END) s (step, label),
		 generate_series(CASE WHEN $2 - $1 < 217 THEN $1::timestamp ELSE date_trunc('month', $1::timestamp) END, $2,
		     s.step) d (day)
$$;
COMMENT ON FUNCTION facematch_internal.page_steps(date, date) IS
	'the steps of a time line: days in a month, weeks in half a year, months in more';

---------------------------------------------------------------- in brief

CREATE FUNCTION facematch_internal.page_summary(counts facematch_internal.encounter_count[],
	kept facematch.report_retention[], first_day date, last_day date) RETURNS text
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	sums record;
	purges record;
	declined record;
	stored record;
	told bigint;
	limits text;
	holds bigint := (SELECT count(*) FROM facematch.held);
	least_cell CONSTANT integer := coalesce((SELECT s.least_cell FROM facematch.report_setting s), 10);
BEGIN
	SELECT coalesce(sum(c.encounters), 0) AS encounters, coalesce(sum(c.searches), 0) AS searches,
		   coalesce(sum(c.matches), 0) AS matches, coalesce(sum(c.overrides), 0) AS overrides,
		   coalesce(sum(c.opted_out), 0) AS opted_out, coalesce(sum(c.without_notice), 0) AS without_notice
	INTO sums FROM unnest(counts) c WHERE c.kind IS DISTINCT FROM 'watchlist';
	SELECT coalesce(sum(p.rows_purged), 0) AS n, max(p.worst_lateness) AS worst, max(p.lateness_p99) AS p99 INTO purges
	FROM facematch.report_purge p WHERE p.day_utc BETWEEN first_day AND last_day AND p.cause = 'retention';
	-- One person may have said it several times, under several pseudonyms.
	SELECT count(DISTINCT a.person) FILTER (WHERE (o.noticed_at AT TIME ZONE 'UTC')::date BETWEEN first_day AND last_day)
			   AS filed,
		   count(DISTINCT a.person) FILTER (WHERE o.answer <> 'without_right' AND o.revoked_at IS NULL
			   AND (o.until IS NULL OR o.until > now())) AS standing INTO declined
	FROM facematch.opt_out o, LATERAL (SELECT min(s.alias::text) FROM unnest(aliases(o.subject_id)) s (alias)) a (person);
	SELECT coalesce(sum(k.rows_kept), 0) AS n, coalesce(sum(k.rows_due), 0) AS due,
		max(k.longest_overdue) AS longest INTO stored
	FROM unnest(kept) k WHERE k.table_name <> 'facematch.gallery';
	SELECT coalesce(sum(d.disclosures - d.refusals), 0) INTO told
	FROM facematch.report_disclosure d WHERE d.day_utc BETWEEN first_day AND last_day;
	SELECT string_agg(html_text(l.description) || ': '
					  || html_number(extract(epoch FROM l.longest), 's'), '; ' ORDER BY l.longest, l.description COLLATE "C")
	INTO limits
	FROM (SELECT DISTINCT ON (r.retention_class) c.description,
				 (SELECT max(k) FROM unnest(r.keep || r.fallback_keep) k) AS longest
		  FROM facematch.retention_rule r JOIN facematch.retention_class c ON c.name = r.retention_class
		  WHERE r.what = 'encounter' AND r.valid_from <= now() AND now() < r.valid_to
		  ORDER BY r.retention_class, r.valid_from DESC, r.name COLLATE "C" DESC) l;

	RETURN '<section id="brief"><h2>In brief</h2><div class="tiles">'
		|| (SELECT string_agg('<div class="tile"><p class="big">' || t.figure || '</p><p>' || t.words || E'</p></div>\n',
			'' ORDER BY t.n)
			FROM (VALUES
				(1, html_number(sums.encounters), CASE sums.encounters WHEN 1 THEN 'traveler' ELSE 'travelers' END
					|| ' came to a gate; compared with photographs on file: ' || html_number(sums.searches)),
				(2, html_number(sums.matches / nullif(sums.searches, 0), '%'),
					'of the comparisons recognised the traveler; in the others an officer looked at the document'),
				(3, html_number(declined.filed), CASE declined.filed WHEN 1 THEN 'person' ELSE 'people' END
					|| ' declined to be photographed; what they asked for is in force now for '
					|| html_number(declined.standing)),
				(4, html_number(purges.n), CASE purges.n WHEN 1 THEN 'record was purged at the end of its'
					ELSE 'records were purged at the end of their' END || ' retention period; kept now: '
					|| html_number(stored.n))) t (n, figure, words))
		|| '</div><dl class="answers"><dt>What happens at a gate?</dt><dd>A camera takes a picture. A program turns it into '
			'a list of numbers, a <em>template</em>, and compares it with the templates of the people who are expected there: '
			'the travelers of a flight, for example. If one is similar enough, the traveler is recognised. If none is, an '
			'officer looks at the passport, as before there were cameras.</dd>'
		|| E'\n<dt>What is kept, and for how long?</dt><dd>What happened at the gate, with the template of the picture, '
			'until its deadline: '
		|| coalesce(limits, 'there is no rule yet') || '. The law behind each is <a href="#rules">below</a>.</dd>'
		|| E'\n<dt>How often was somebody not recognised?</dt><dd>'
		|| CASE WHEN sums.searches = 0 THEN 'Nobody was compared in this period.'
				ELSE 'In ' || html_number(sums.searches - sums.matches) || ' of '
					 || html_number(sums.searches) || ' comparisons. In ' || html_number(sums.overrides)
					 || ' of the encounters an officer then decided that the traveler was who the document said; each such '
					     'decision is on record with the officer&#39;s name and reason.' END
		|| E'</dd>\n<dt>Could people decline?</dt><dd>People who decline are not compared, and their templates on file'
			' are deleted at once. In '
		|| CASE WHEN sums.opted_out BETWEEN 1 AND least_cell - 1 THEN 'fewer than ' || html_number(least_cell)
				ELSE html_number(sums.opted_out) END
		|| ' of the encounters of this period an officer looked at the document instead of a photograph for this'
			' reason.</dd>'
		|| E'\n<dt>Was everything deleted that should be?</dt><dd>Records that reached the end of their retention period'
			' and were deleted: ' || html_number(purges.n)
		|| CASE WHEN purges.worst IS NULL THEN '.'
				ELSE ', 99&nbsp;% of them at most ' || html_number(extract(epoch FROM purges.p99), 's')
					 || ' after their deadline, the latest after ' || html_number(extract(epoch FROM purges.worst), 's')
					 || '.' END
		|| CASE WHEN stored.due = 0 THEN ' None is overdue now.'
				ELSE ' <strong>Overdue now: ' || html_number(stored.due) || '</strong>, the oldest for '
					 || html_number(extract(epoch FROM stored.longest), 's') || '.' END
		|| ' After its deadline a record is compared with nobody, even before it is deleted.</dd>'
		|| E'\n<dt>Is anything kept longer?</dt><dd>'
		|| CASE holds WHEN 0 THEN 'No: no hold is in force.'
					  ELSE html_number(holds) || CASE holds WHEN 1 THEN ' hold is in force,' ELSE ' holds are in force, each' END
						   || ' with a reason and the authority that ordered it. What is held is kept but compared with nobody after '
						       'its deadline.' END
		|| E'</dd>\n<dt>Was anything disclosed to others?</dt><dd>'
		|| CASE told WHEN 0 THEN 'Nothing was disclosed to anybody outside in this period.'
					 ELSE 'Answers to partners, such as airlines: ' || html_number(told) || ', in most cases whether a '
						  'traveler matched; each is on record. No partner gets a template or a picture.' END
		|| E'</dd>\n<dt>Were people informed?</dt><dd>'
		|| CASE WHEN sums.encounters = 0 THEN 'There was nobody to inform.'
				WHEN sums.without_notice = 0 THEN 'A privacy notice was on record at the place of every encounter.'
				ELSE 'At the place of ' || html_number(sums.without_notice) || ' of '
					 || html_number(sums.encounters) || ' encounters no posted privacy notice was on record.' END
		|| E'</dd></dl></section>\n';
END
$$;
COMMENT ON FUNCTION facematch_internal.page_summary(facematch_internal.encounter_count[],
	facematch.report_retention[], date, date) IS
	'section of the HTML report: the summary for the public';

---------------------------------------------------------------- what is kept

CREATE FUNCTION facematch_internal.page_kept(kept facematch.report_retention[]) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	WITH class AS (
		SELECT k.retention_class AS name, sum(k.rows_kept) AS kept, sum(k.rows_due) AS due, sum(k.rows_held) AS held,
			   min(k.next_due) AS next_due
		FROM unnest($1) k WHERE k.table_name <> 'facematch.gallery' GROUP BY 1
			HAVING sum(k.rows_kept) + sum(k.rows_due) > 0),
	-- "12 h after identity was verified; until then, 12 h after the record was made"
	event AS (
		SELECT e.name, CASE e.name WHEN 'recorded' THEN 'the record was made'
								   WHEN 'verification' THEN 'identity was verified'
								   WHEN 'gallery_anchor' THEN 'the departure or other event' WHEN 'exit' THEN 'the exit'
								   WHEN 'stay_expiry' THEN 'the end of the stay' ELSE e.description END AS words
		FROM facematch.event_kind e),
	rule AS (
		SELECT DISTINCT ON (r.retention_class, r.what) r.retention_class, r.what, r.citation,
			   coalesce((SELECT string_agg(html_number(extract(epoch FROM k.keep), 's') || ' after '
										   || html_text(coalesce(e.words, k.anchor)),
										   CASE r.take WHEN 'latest' THEN ' and ' ELSE ' or ' END ORDER BY k.n)
								|| CASE WHEN count(*) = 1 THEN '' WHEN r.take = 'latest' THEN ', whichever is later'
										ELSE ', whichever is earlier' END
						 FROM unnest(r.anchors, r.keep) WITH ORDINALITY k (anchor, keep, n) LEFT JOIN event e ON e.name = k.anchor),
						'no deadline')
			   || coalesce('; until then, ' || html_number(extract(epoch FROM r.fallback_keep), 's') || ' after '
						   || (SELECT html_text(e.words) FROM event e WHERE e.name = r.fallback_anchor), '') AS words
		FROM facematch.retention_rule r WHERE r.valid_from <= now() AND now() < r.valid_to
		ORDER BY r.retention_class, r.what, r.valid_from DESC, r.name COLLATE "C" DESC)
	SELECT '<section id="kept"><h2>What is kept, and for how long</h2>'
		|| html_figure('kept-now', 'Records that are kept now',
			'Templates on file and records of encounters. Each belongs to a class of persons, and the law says for how long a '
			'class is kept. A record that is due but not yet deleted is compared with nobody.',
			(SELECT svg_chart('kept-now-svg', 'Records kept now, by class',
				'Columns, one for each class of persons: records within their time, and records that are due and not yet '
				'deleted.', 'columns', array_agg(CASE WHEN length(c.name) <= 12 THEN html_text(replace(c.name, '_', ' '))
							   ELSE html_text(left(replace(c.name, '_', ' '), 11)) || '&hellip;' END ORDER BY c.name COLLATE "C"),
				ARRAY['within their time', 'due, not yet deleted'],
				ARRAY[array_agg(c.kept ORDER BY c.name COLLATE "C"),
					array_agg(c.due ORDER BY c.name COLLATE "C")]::double precision[],
				'class of persons') FROM class c),
			html_table('Records kept now',
				'{Class,Within their time|#,Due|#,Held|#,Next deadline (UTC)}',
				(SELECT jsonb_agg(jsonb_build_array(replace(c.name, '_', ' '), c.kept, c.due, c.held,
					to_char(c.next_due AT TIME ZONE 'UTC', 'FMDD Mon YYYY HH24:MI')) ORDER BY c.name COLLATE "C") FROM class c)))
		|| '<div id="rules"><h3>The rules in force</h3>'
		|| html_table('Retention rules in force', '{Who,What,Kept until at most|html,The law|html}',
			(SELECT jsonb_agg(jsonb_build_array(c.description, CASE r.what WHEN 'encounter' THEN 'what happened at a gate'
					WHEN 'reference' THEN 'template on file' WHEN 'gallery' THEN 'the list of a flight' ELSE r.what END, r.words,
				'<small>' || html_text(r.citation) || '</small>') ORDER BY c.name COLLATE "C", r.what COLLATE "C")
			 FROM rule r JOIN facematch.retention_class c ON c.name = r.retention_class))
		|| '</div><h3>By table</h3>'
		|| coalesce((SELECT '<p>Not counted on this page, because another session has locked the table or its code'
			' fails: ' || string_agg(html_text(k.table_name), ', ' ORDER BY k.table_name COLLATE "C")
							|| '.</p>'
					 FROM unnest($1) k WHERE k.rows_kept IS NULL), '')
		|| html_table('What is kept, due, held and purged, by table and class',
			'{Table,Class,Kept|#,Due|#,Held|#,Longest overdue|s,Purged so far|#,Last purge (UTC)}',
			(SELECT jsonb_agg(jsonb_build_array(k.table_name, k.retention_class, k.rows_kept, k.rows_due, k.rows_held,
					extract(epoch FROM k.longest_overdue), coalesce(k.rows_purged, 0),
					to_char(k.last_purge AT TIME ZONE 'UTC', 'FMDD Mon YYYY HH24:MI'))
				ORDER BY k.table_name COLLATE "C", k.retention_class COLLATE "C") FROM unnest($1) k WHERE k.rows_kept IS NOT NULL))
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.page_kept(facematch.report_retention[]) IS
	'section of the HTML report: what is kept, and the rules';

---------------------------------------------------------------- what was purged

CREATE FUNCTION facematch_internal.page_purged(first_day date, last_day date) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	WITH due AS MATERIALIZED (
		SELECT d.day, sum(d.n) AS n
		FROM (SELECT (p.earliest_due AT TIME ZONE 'UTC')::date, p.rows_purged FROM facematch.purge_receipt p
			  WHERE p.cause = 'retention' AND p.earliest_due >= $1::timestamp AT TIME ZONE 'UTC'
			  UNION ALL SELECT e.day::date, e.n::bigint FROM count_retained() c, jsonb_each_text(c.due_on) e (day, n))
			  d (day, n)
		WHERE d.day BETWEEN $1 AND $2 GROUP BY 1),
	receipt AS MATERIALIZED (
		SELECT r.*, (r.purged_at AT TIME ZONE 'UTC')::date AS day FROM facematch.purge_receipt r
		WHERE r.purged_at >= $1::timestamp AT TIME ZONE 'UTC' AND r.purged_at < ($2 + 1)::timestamp AT TIME ZONE 'UTC'),
	step AS (
		SELECT b.starts, b.label,
			   coalesce(sum((SELECT sum(d.n) FROM due d WHERE d.day BETWEEN b.starts AND b.ends)) OVER w, 0) AS due,
			   coalesce(sum((SELECT sum(r.rows_purged) FROM receipt r
							 WHERE r.cause = 'retention' AND r.day BETWEEN b.starts AND b.ends
							   AND r.earliest_due >= $1::timestamp AT TIME ZONE 'UTC')) OVER w, 0) AS purged
		FROM page_steps($1, $2) b WINDOW w AS (ORDER BY b.starts)),
	late AS (
		SELECT s.table_name, s.retention_class, s.cause, sum(s.rows_purged) AS n,
			   min(s.lateness) FILTER (WHERE s.upto >= 0.5 * s.total) AS p50,
			   min(s.lateness) FILTER (WHERE s.upto >= 0.9 * s.total) AS p90,
			   min(s.lateness) FILTER (WHERE s.upto >= 0.99 * s.total) AS p99, max(s.lateness) AS worst
		FROM (SELECT r.*, sum(r.rows_purged) OVER (w ORDER BY r.lateness) AS upto, sum(r.rows_purged) OVER w AS total
			  FROM receipt r WINDOW w AS (PARTITION BY r.table_name, r.retention_class, r.cause)) s
		GROUP BY 1, 2, 3)
	SELECT '<section id="purged"><h2>What was purged, and when</h2>'
		|| (SELECT html_figure('due-purged', 'Due and purged',
				'Records whose deadline passed in this period, added up, and those of them that were deleted. Where the'
					' lines differ, records were overdue: they were compared with nobody, but they still existed. A batch'
					' counts as '
				'due when its first record was.',
				CASE WHEN bool_or(s.due > 0) THEN svg_chart('due-purged-svg', 'Records due and records purged, added up',
					'Two lines over the days of the period: records whose deadline had passed, and records purged.', 'line',
					array_agg(s.label ORDER BY s.starts), ARRAY['due', 'purged'],
					ARRAY[array_agg(s.due ORDER BY s.starts), array_agg(s.purged ORDER BY s.starts)]::double precision[],
					'deadline, or time of the purge (UTC)') END,
				html_table('Records due and purged, added up', '{Until,Due|#,Purged|#,Overdue then|#}',
					jsonb_agg(jsonb_build_array(s.label, s.due, s.purged, greatest(s.due - s.purged, 0)) ORDER BY s.starts)))
			FROM step s)
		|| '<h3>How late</h3>'
		|| html_table('Purges of the period',
			'{Table,Class,Cause,Records|#,Half within|s,90&nbsp;% within|s,99&nbsp;% within|s,Latest|s}',
			(SELECT jsonb_agg(jsonb_build_array(l.table_name, l.retention_class,
				CASE l.cause WHEN 'opt_out' THEN 'declined' WHEN 'by_hand' THEN 'by hand'
					ELSE 'deadline' END,
					l.n, extract(epoch FROM l.p50), extract(epoch FROM l.p90), extract(epoch FROM l.p99), extract(epoch FROM l.worst))
				ORDER BY l.table_name COLLATE "C", l.retention_class COLLATE "C", l.cause) FROM late l),
			'<p>Nothing was purged in this period.</p>')
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.page_purged(date, date) IS
	'section of the HTML report: due and purged, and how late';
