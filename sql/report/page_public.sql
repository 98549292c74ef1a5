/*
 * Sections of the HTML report, each a function that returns HTML.
 *
 * The counts of encounters are read once, by report_html(), and handed to the
 * sections that need them.
 */

---------------------------------------------------------------- time

CREATE FUNCTION facematch_internal.report_buckets(first_day date, last_day date)
	RETURNS TABLE (starts date, ends date, label text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.day::date, least((d.day + s.step - interval '1 day')::date, $2), to_char(d.day, s.label)
	FROM (SELECT CASE WHEN $2 - $1 < 31 THEN interval '1 day' WHEN $2 - $1 < 217 THEN interval '7 days' ELSE interval '1 month' END,
				 CASE WHEN $2 - $1 < 217 THEN 'FMDD Mon' ELSE 'Mon YYYY' END) s (step, label),
		 generate_series(CASE WHEN $2 - $1 < 217 THEN $1::timestamp ELSE date_trunc('month', $1::timestamp) END, $2, s.step) d (day)
$$;
COMMENT ON FUNCTION facematch_internal.report_buckets(date, date) IS 'the steps of a time line: days in a month, weeks in half a year, months in more';

CREATE FUNCTION facematch_internal.report_tile(figure text, words text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN '<div class="tile"><p class="big">' || coalesce(figure, '&ndash;') || '</p><p>' || words || E'</p></div>\n';
COMMENT ON FUNCTION facematch_internal.report_tile(text, text) IS 'a number in large, and what it is';

CREATE FUNCTION facematch_internal.report_answer(question text, answer text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN '<dt>' || question || '</dt><dd>' || answer || E'</dd>\n';
COMMENT ON FUNCTION facematch_internal.report_answer(text, text) IS 'a question of the public, and its answer';

CREATE FUNCTION facematch_internal.counted(n bigint, thing text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN facematch_internal.html_number(n) || ' ' || thing || CASE n WHEN 1 THEN '' ELSE 's' END;
COMMENT ON FUNCTION facematch_internal.counted(bigint, text) IS 'a number and its noun: 1 warning, 2 warnings';

---------------------------------------------------------------- for everyone

CREATE FUNCTION facematch_internal.report_summary(counts facematch_internal.encounter_count[], kept facematch.report_retention[], first_day date, last_day date) RETURNS text
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sums record;
	purges record;
	declined record;
	now_kept record;
	told record;
	holds bigint := (SELECT count(*) FROM facematch.held);
BEGIN
	SELECT coalesce(sum(c.encounters), 0) AS encounters, coalesce(sum(c.searches), 0) AS searches, coalesce(sum(c.matches), 0) AS matches,
		   coalesce(sum(c.encounters - c.matches), 0) AS referrals, coalesce(sum(c.overrides), 0) AS overrides,
		   coalesce(sum(c.opted_out), 0) AS opted_out, coalesce(sum(c.without_notice), 0) AS without_notice INTO sums FROM unnest(counts) c;
	SELECT coalesce(sum(p.rows_purged), 0) AS n, max(p.worst_lateness) AS worst, max(p.lateness_p99) AS p99 INTO purges
	FROM facematch.report_purge p WHERE p.day_utc BETWEEN first_day AND last_day AND p.cause = 'retention';
	SELECT count(*) FILTER (WHERE (o.noticed_at AT TIME ZONE 'UTC')::date BETWEEN first_day AND last_day) AS filed,
		   count(*) FILTER (WHERE o.revoked_at IS NULL AND (o.until IS NULL OR o.until > now())) AS standing INTO declined
	FROM facematch.opt_out o;
	SELECT coalesce(sum(k.rows_kept), 0) AS n, coalesce(sum(k.rows_due), 0) AS due, max(k.longest_overdue) AS longest INTO now_kept
	FROM unnest(kept) k WHERE k.table_name <> 'facematch.gallery';
	SELECT coalesce(sum(d.disclosures - d.refusals), 0) AS n INTO told FROM facematch.report_disclosure d WHERE d.day_utc BETWEEN first_day AND last_day;
	RETURN '<section id="brief"><h2>In brief</h2><div class="tiles">'
		|| facematch_internal.report_tile(facematch_internal.html_number(sums.encounters), 'travelers came to a gate; ' || facematch_internal.html_number(sums.searches) || ' of them were compared with photographs on file')
		|| facematch_internal.report_tile(facematch_internal.html_percent(facematch_internal.share(sums.matches::bigint, sums.searches::bigint)), 'of the comparisons recognised the traveler; in the others an officer looked at the document')
		|| facematch_internal.report_tile(facematch_internal.html_number(declined.filed), CASE declined.filed WHEN 1 THEN 'person' ELSE 'people' END || ' declined to be photographed; ' || facematch_internal.html_number(declined.standing) || ' such '
			|| CASE declined.standing WHEN 1 THEN 'wish stands' ELSE 'wishes stand' END || ' now')
		|| facematch_internal.report_tile(facematch_internal.html_number(purges.n), 'records were purged because their time was over; ' || facematch_internal.html_number(now_kept.n) || ' are kept now')
		|| '</div><dl class="answers">'
		|| facematch_internal.report_answer('What happens at a gate?',
			'A camera takes a picture. A program turns it into a list of numbers, a <em>template</em>, and compares it with the templates of the people who are expected there: '
			'the travelers of a flight, for example. If one is similar enough, the traveler is recognised. If none is, an officer looks at the passport, as before there were cameras.')
		|| facematch_internal.report_answer('What is kept, and for how long?',
			'What happened at the gate, with the template of the picture, until its deadline: '
			|| coalesce((SELECT string_agg(facematch_internal.html_text(l.description) || ': ' || facematch_internal.html_duration(l.longest), '; ' ORDER BY l.longest, l.description COLLATE "C") FROM (
				SELECT DISTINCT ON (r.retention_class) c.description, (SELECT max(k) FROM unnest(r.keep || r.fallback_keep) k) AS longest
				FROM facematch.retention_rule r JOIN facematch.retention_class c ON c.name = r.retention_class
				WHERE r.what = 'encounter' AND r.valid_from <= now() AND now() < r.valid_to
				ORDER BY r.retention_class, r.valid_from DESC, r.name COLLATE "C" DESC) l), 'there is no rule yet') || '. The law behind each is <a href="#rules">below</a>.')
		|| facematch_internal.report_answer('How often was somebody not recognised?',
			CASE WHEN sums.searches = 0 THEN 'Nobody was compared in this period.' ELSE
			'In ' || facematch_internal.html_number(sums.searches - sums.matches) || ' of ' || facematch_internal.html_number(sums.searches) || ' comparisons. '
			|| facematch_internal.html_number(sums.overrides) || ' times an officer then decided that the traveler was who the document said; each such decision is on record with the officer&#39;s name and reason.' END)
		|| facematch_internal.report_answer('Could people decline?',
			'Who declines is not compared, and templates that were there are deleted at once. An officer looked at the document instead of a photograph '
			|| facematch_internal.html_number(sums.opted_out) || ' times in this period for this reason.')
		|| facematch_internal.report_answer('Is what should be gone gone?',
			facematch_internal.html_number(purges.n) || ' records reached the end of their time and were deleted'
			|| CASE WHEN purges.worst IS NULL THEN '.' ELSE ', 99&nbsp;% of them at most ' || facematch_internal.html_duration(purges.p99) || ' after their deadline, the latest after '
					|| facematch_internal.html_duration(purges.worst) || '.' END
			|| CASE WHEN now_kept.due = 0 THEN ' None is overdue now.' ELSE ' <strong>' || facematch_internal.html_number(now_kept.due) || ' are overdue now</strong>, the oldest for '
					|| facematch_internal.html_duration(now_kept.longest) || '.' END
			|| ' From its deadline on a record is compared with nobody, even before it is deleted.')
		|| facematch_internal.report_answer('Is anything kept longer?',
			CASE holds WHEN 0 THEN 'No: no hold stands.' ELSE facematch_internal.html_number(holds) || CASE holds WHEN 1 THEN ' hold stands,' ELSE ' holds stand, each' END
				|| ' with a reason and the authority that ordered it. What is held is kept but compared with nobody after its deadline.' END)
		|| facematch_internal.report_answer('Was anything told to others?',
			CASE WHEN told.n = 0 THEN 'Nothing was disclosed to anybody outside in this period.'
				 ELSE facematch_internal.html_number(told.n) || ' times a partner, such as an airline, was told something, in most cases whether a traveler matched; each is on record. No partner gets a template or a picture.' END)
		|| facematch_internal.report_answer('Were people told?',
			CASE WHEN sums.encounters = 0 THEN 'There was nobody to tell.'
				 WHEN sums.without_notice = 0 THEN 'A privacy notice was on record at the place of every encounter.'
				 ELSE 'At the place of ' || facematch_internal.html_number(sums.without_notice) || ' of ' || facematch_internal.html_number(sums.encounters)
					  || ' encounters no posted privacy notice was on record.' END)
		|| E'</dl></section>\n';
END
$$;
COMMENT ON FUNCTION facematch_internal.report_summary(facematch_internal.encounter_count[], facematch.report_retention[], date, date) IS 'section of the HTML report: the summary for the public';

---------------------------------------------------------------- what is kept

CREATE FUNCTION facematch_internal.event_in_words(event text) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE $1 WHEN 'recorded' THEN 'the record was made' WHEN 'verification' THEN 'identity was verified' WHEN 'gallery_anchor' THEN 'the departure or other event'
				   WHEN 'exit' THEN 'the exit' WHEN 'stay_expiry' THEN 'the end of the stay'
				   ELSE facematch_internal.html_text(coalesce((SELECT e.description FROM facematch.event_kind e WHERE e.name = $1), $1)) END
$$;
COMMENT ON FUNCTION facematch_internal.event_in_words(text) IS 'an event that rules count from, as HTML';

-- "12 h after identity was verified; until then, 12 h after the record was made".
CREATE FUNCTION facematch_internal.rule_in_words(rule facematch.retention_rule) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((SELECT string_agg(facematch_internal.html_duration(k.keep) || ' after ' || facematch_internal.event_in_words(k.anchor),
									   CASE $1.take WHEN 'latest' THEN ' and ' ELSE ' or ' END ORDER BY k.n)
							|| CASE WHEN count(*) > 1 THEN ', whichever is ' || CASE $1.take WHEN 'latest' THEN 'later' ELSE 'earlier' END ELSE '' END
					 FROM unnest($1.anchors, $1.keep) WITH ORDINALITY k (anchor, keep, n)), 'no deadline')
		|| CASE WHEN $1.fallback_anchor IS NULL THEN '' ELSE '; until then, ' || facematch_internal.html_duration($1.fallback_keep) || ' after ' || facematch_internal.event_in_words($1.fallback_anchor) END
$$;
COMMENT ON FUNCTION facematch_internal.rule_in_words(facematch.retention_rule) IS 'how long a rule lets rows be kept, as HTML';

CREATE FUNCTION facematch_internal.report_kept(kept facematch.report_retention[]) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH classes AS (
		SELECT k.retention_class, sum(k.rows_kept) AS kept, sum(k.rows_due) AS due, sum(k.rows_held) AS held, min(k.next_due) AS next_due
		FROM unnest($1) k WHERE k.table_name <> 'facematch.gallery' GROUP BY 1 HAVING sum(k.rows_kept) + sum(k.rows_due) > 0),
	rules AS (
		SELECT DISTINCT ON (r.retention_class, r.what) r.retention_class, r.what, r.citation, facematch_internal.rule_in_words(r) AS words
		FROM facematch.retention_rule r WHERE r.valid_from <= now() AND now() < r.valid_to
		ORDER BY r.retention_class, r.what, r.valid_from DESC, r.name COLLATE "C" DESC)
	SELECT '<section id="kept"><h2>What is kept, and for how long</h2>'
		|| facematch_internal.html_figure('kept-now', 'Records that are kept now', 'Templates on file and records of encounters. Each belongs to a class of persons, and the law says for how long a class is kept. '
			'A record that is due but not yet deleted is compared with nobody.',
			(SELECT facematch_internal.svg_columns('kept-now-svg', 'Records kept now, by class', 'Columns, one for each class of persons: records within their time, and records that are due and not yet deleted.',
				array_agg(facematch_internal.svg_label(replace(c.retention_class, '_', ' '), 12) ORDER BY c.retention_class COLLATE "C"), ARRAY['within their time', 'due, not yet deleted'],
				ARRAY[array_agg(c.kept::double precision ORDER BY c.retention_class COLLATE "C"), array_agg(c.due::double precision ORDER BY c.retention_class COLLATE "C")],
				'class of persons') FROM classes c HAVING count(*) > 0),
			facematch_internal.html_table('Records kept now', ARRAY['Class', '#Within their time', '#Due', '#Held', 'Next deadline (UTC)'],
				(SELECT string_agg(facematch_internal.html_row(facematch_internal.html_text(replace(c.retention_class, '_', ' ')), facematch_internal.html_number(c.kept), facematch_internal.html_number(c.due),
					facematch_internal.html_number(c.held), coalesce(to_char(c.next_due AT TIME ZONE 'UTC', 'FMDD Mon YYYY HH24:MI'), '&#8211;')), '' ORDER BY c.retention_class COLLATE "C") FROM classes c)))
		|| '<div id="rules"><h3>The rules in force</h3>'
		|| facematch_internal.html_table('Retention rules in force', ARRAY['Who', 'What', 'Kept until at most', 'The law'],
			(SELECT string_agg(facematch_internal.html_row(facematch_internal.html_text(c.description), CASE r.what WHEN 'encounter' THEN 'what happened at a gate' WHEN 'reference' THEN 'template on file'
				WHEN 'gallery' THEN 'the list of a flight' ELSE facematch_internal.html_text(r.what) END, r.words, '<small>' || facematch_internal.html_text(r.citation) || '</small>'), '' ORDER BY c.name COLLATE "C", r.what COLLATE "C")
			 FROM rules r JOIN facematch.retention_class c ON c.name = r.retention_class))
		|| '</div><h3>By table</h3>'
		|| coalesce((SELECT '<p>Not looked at, because another session has locked it or it runs code that fails, and so in no figure of this page: '
							|| string_agg(facematch_internal.html_text(k.table_name), ', ' ORDER BY k.table_name COLLATE "C") || '.</p>'
					 FROM unnest($1) k WHERE k.rows_kept IS NULL), '')
		|| facematch_internal.html_table('What is kept, due, held and purged, by table and class', ARRAY['Table', 'Class', '#Kept', '#Due', '#Held', '#Longest overdue', '#Purged so far', 'Last purge (UTC)'],
			(SELECT string_agg(facematch_internal.html_row(facematch_internal.html_text(k.table_name), facematch_internal.html_text(k.retention_class), facematch_internal.html_number(k.rows_kept), facematch_internal.html_number(k.rows_due),
				facematch_internal.html_number(k.rows_held), facematch_internal.html_duration(k.longest_overdue), facematch_internal.html_number(coalesce(k.rows_purged, 0)),
				coalesce(to_char(k.last_purge AT TIME ZONE 'UTC', 'FMDD Mon YYYY HH24:MI'), '&#8211;')), '' ORDER BY k.table_name COLLATE "C", k.retention_class COLLATE "C") FROM unnest($1) k WHERE k.rows_kept IS NOT NULL))
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.report_kept(facematch.report_retention[]) IS 'section of the HTML report: what is kept, and the rules';

---------------------------------------------------------------- what was purged

CREATE FUNCTION facematch_internal.count_due() RETURNS TABLE (due_on date, rows_due bigint)
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
	t facematch_internal.retained;
BEGIN
	FOR t IN SELECT r.* FROM facematch_internal.retained r JOIN pg_class c ON c.oid = r.table_name ORDER BY r.table_name::text LOOP
		BEGIN
			RETURN QUERY SELECT a.* FROM facematch_internal.ask_table(t.table_name, format('SELECT (d.purge_after AT TIME ZONE ''UTC'')::date, count(*) FROM %s d'
				' WHERE d.purge_after <= now() AND d.purge_after < ''infinity'' AND d.purge_after > ''-infinity'' GROUP BY 1', t.table_name)) a (due_on date, rows_due bigint);
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'table % cannot be counted: %', t.table_name, CASE SQLSTATE WHEN '55P03' THEN 'another session has locked it' ELSE SQLERRM END;
			PERFORM facematch_internal.wait_less() WHERE SQLSTATE = '55P03';
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch_internal.count_due() IS 'rows that are due and not purged, by the day of their deadline in UTC; the same day may come for each table';

CREATE FUNCTION facematch_internal.report_purged(first_day date, last_day date) RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH due AS MATERIALIZED (
		SELECT d.day, sum(d.n) AS n FROM (
			SELECT facematch_internal.utc_day(p.earliest_due), p.rows_purged FROM facematch.purge_receipt p WHERE p.cause = 'retention' AND p.earliest_due >= $1::timestamp AT TIME ZONE 'UTC'
			UNION ALL SELECT c.due_on, c.rows_due FROM facematch_internal.count_due() c) d (day, n)
		WHERE d.day BETWEEN $1 AND $2 GROUP BY 1),
	purged AS MATERIALIZED (
		SELECT facematch_internal.utc_day(p.purged_at) AS day, sum(p.rows_purged) FILTER (WHERE p.earliest_due >= $1::timestamp AT TIME ZONE 'UTC') AS n
		FROM facematch.purge_receipt p
		WHERE p.cause = 'retention' AND p.purged_at >= $1::timestamp AT TIME ZONE 'UTC' AND p.purged_at < ($2 + 1)::timestamp AT TIME ZONE 'UTC' GROUP BY 1),
	steps AS (
		SELECT row_number() OVER (ORDER BY b.starts) AS i, count(*) OVER () AS all_steps, b.label,
			   coalesce(sum((SELECT sum(d.n) FROM due d WHERE d.day BETWEEN b.starts AND b.ends)) OVER (ORDER BY b.starts), 0) AS due,
			   coalesce(sum((SELECT sum(p.n) FROM purged p WHERE p.day BETWEEN b.starts AND b.ends)) OVER (ORDER BY b.starts), 0) AS purged
		FROM facematch_internal.report_buckets($1, $2) b),
	scale AS (SELECT facematch_internal.svg_ticks(max(greatest(s.due, s.purged))::double precision) AS ticks FROM steps s)
	SELECT '<section id="purged"><h2>What was purged, and when</h2>'
		|| (SELECT facematch_internal.html_figure('due-purged', 'Due and purged',
			'Records of which the deadline passed in this period, added up, and those of them that were deleted. Where the lines part, records were overdue: '
			'they were compared with nobody, but they were still there. A batch counts as due when its first record was.',
			CASE WHEN bool_or(s.due > 0) THEN facematch_internal.svg_lines('due-purged-svg', 'Records due and records purged, added up', 'Two lines over the days of the period: records whose deadline had passed, and records purged.',
				array_agg((s.i - 0.5) / s.all_steps ORDER BY s.i),
				ARRAY[array_agg(s.due / k.ticks[cardinality(k.ticks)] ORDER BY s.i), array_agg(s.purged / k.ticks[cardinality(k.ticks)] ORDER BY s.i)],
				ARRAY['due', 'purged'],
				facematch_internal.svg_axes(array_agg((s.i - 0.5) / s.all_steps ORDER BY s.i), facematch_internal.svg_thin(array_agg(s.label ORDER BY s.i)),
					ARRAY(SELECT t / k.ticks[cardinality(k.ticks)] FROM unnest(k.ticks) t), ARRAY(SELECT facematch_internal.svg_count(t) FROM unnest(k.ticks) t), 'deadline, or time of the purge (UTC)')) END,
			facematch_internal.html_table('Records due and purged, added up', ARRAY['Until', '#Due', '#Purged', '#Overdue then'],
				string_agg(facematch_internal.html_row(s.label, facematch_internal.html_number(s.due), facematch_internal.html_number(s.purged), facematch_internal.html_number(greatest(s.due - s.purged, 0))), '' ORDER BY s.i)))
			FROM steps s, scale k GROUP BY k.ticks)
		|| '<h3>How late</h3>'
		|| coalesce(nullif(facematch_internal.html_table('Purges of the period', ARRAY['Table', 'Class', 'Cause', '#Records', '#Half within', '#90&nbsp;% within', '#99&nbsp;% within', '#Latest'],
			(SELECT string_agg(facematch_internal.html_row(facematch_internal.html_text(p.table_name), facematch_internal.html_text(p.retention_class), CASE p.cause WHEN 'opt_out' THEN 'declined' ELSE 'deadline' END,
				facematch_internal.html_number(p.n), facematch_internal.html_duration(p.p50), facematch_internal.html_duration(p.p90), facematch_internal.html_duration(p.p99), facematch_internal.html_duration(p.worst)), ''
				ORDER BY p.table_name COLLATE "C", p.retention_class COLLATE "C", p.cause)
			 FROM (SELECT s.table_name, s.retention_class, s.cause, sum(s.rows_purged) AS n, min(s.lateness) FILTER (WHERE s.upto >= 0.5 * s.total) AS p50,
						  min(s.lateness) FILTER (WHERE s.upto >= 0.9 * s.total) AS p90, min(s.lateness) FILTER (WHERE s.upto >= 0.99 * s.total) AS p99, max(s.lateness) AS worst
				   FROM (SELECT r.table_name, r.retention_class, r.cause, r.rows_purged, r.lateness, sum(r.rows_purged) OVER (w ORDER BY r.lateness) AS upto, sum(r.rows_purged) OVER w AS total
						 FROM facematch.purge_receipt r
						 WHERE r.purged_at >= $1::timestamp AT TIME ZONE 'UTC' AND r.purged_at < ($2 + 1)::timestamp AT TIME ZONE 'UTC'
						 WINDOW w AS (PARTITION BY r.table_name, r.retention_class, r.cause)) s
				   GROUP BY 1, 2, 3) p)), ''), '<p>Nothing was purged in this period.</p>')
		|| E'</section>\n'
$$;
COMMENT ON FUNCTION facematch_internal.report_purged(date, date) IS 'section of the HTML report: due and purged, and how late';
