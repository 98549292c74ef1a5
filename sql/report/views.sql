/*
 * Report views for analysts and auditors: counts and rates, never a row of a
 * person, never a template.  Days, weeks and months are UTC's.
 */

---------------------------------------------------------------- matching

CREATE VIEW facematch.report_daily AS
	WITH period AS MATERIALIZED (SELECT p.counts, p.histograms FROM facematch_internal.count_period() p),
	counted AS (
		SELECT c.day_utc, c.port, c.mode, c.kind, sum(c.encounters)::bigint AS encounters,
			sum(c.searches)::bigint AS searches, sum(c.matches)::bigint AS matches, sum(c.no_matches)::bigint AS no_matches,
			   sum(c.manual_inspections)::bigint AS manual_inspections, sum(c.overrides)::bigint AS overrides,
			   sum(c.opted_out)::bigint AS opted_out, sum(c.no_probe)::bigint AS no_probe,
			   sum(c.ambiguous)::bigint AS ambiguous, sum(c.without_notice)::bigint AS without_notice
		FROM period p, unnest(p.counts) c GROUP BY 1, 2, 3, 4),
	upto AS (
		SELECT h.day_utc, h.port, h.mode, h.kind, h.bin, sum(h.n) OVER (w ORDER BY h.bin) AS upto, sum(h.n) OVER w AS total
		FROM period p, unnest(p.histograms) h WHERE h.measure = 'latency'
		WINDOW w AS (PARTITION BY h.day_utc, h.port, h.mode, h.kind)),
	slow AS (
		SELECT u.day_utc, u.port, u.mode, u.kind, max(u.total)::bigint AS measured,
			   min(u.bin) FILTER (WHERE u.upto >= 0.5 * u.total) / 4::double precision AS p50,
			   min(u.bin) FILTER (WHERE u.upto >= 0.9 * u.total) / 4::double precision AS p90,
			   min(u.bin) FILTER (WHERE u.upto >= 0.99 * u.total) / 4::double precision AS p99,
			   max(u.bin) / 4::double precision AS longest
		FROM upto u GROUP BY 1, 2, 3, 4)
	SELECT c.day_utc, c.port, c.mode, c.kind, c.encounters, c.searches, c.matches, r.rate AS match_rate,
		   r.lower AS match_rate_low, r.upper AS match_rate_high, c.no_matches, c.manual_inspections, c.overrides,
		   CASE c.kind WHEN 'watchlist' THEN c.matches + c.manual_inspections
			ELSE c.encounters - c.matches END AS referrals, c.opted_out, c.no_probe, c.ambiguous, c.without_notice,
		   coalesce(s.measured, 0) AS measured, 2 ^ s.p50 AS latency_p50_ms, 2 ^ s.p90 AS latency_p90_ms,
		   2 ^ s.p99 AS latency_p99_ms, 2 ^ s.longest AS latency_longest_ms
	FROM counted c
	LEFT JOIN slow s ON s.day_utc = c.day_utc AND s.port = c.port AND coalesce(s.mode, '') = coalesce(c.mode, '')
		AND coalesce(s.kind, '') = coalesce(c.kind, '')
	CROSS JOIN LATERAL facematch.rate_interval(c.matches, c.searches) r;
COMMENT ON VIEW facematch.report_daily IS
	'what happened at the gates, by day, port, mode and kind of gallery; encounters that have been purged count too';
COMMENT ON COLUMN facematch.report_daily.day_utc IS 'day, in UTC';
COMMENT ON COLUMN facematch.report_daily.port IS 'port';
COMMENT ON COLUMN facematch.report_daily.mode IS 'air, sea or land; NULL: not recorded';
COMMENT ON COLUMN facematch.report_daily.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch.report_daily.encounters IS 'how many encounters';
COMMENT ON COLUMN facematch.report_daily.searches IS 'of them, those where a photograph was compared';
COMMENT ON COLUMN facematch.report_daily.matches IS 'of the searches, those that matched';
COMMENT ON COLUMN facematch.report_daily.match_rate IS 'matches in searches, 0 to 1';
COMMENT ON COLUMN facematch.report_daily.match_rate_low IS 'lower end of its 95 % interval (Wilson)';
COMMENT ON COLUMN facematch.report_daily.match_rate_high IS 'upper end of its 95 % interval (Wilson)';
COMMENT ON COLUMN facematch.report_daily.no_matches IS
	'searches without a match, where no officer has decided otherwise since';
COMMENT ON COLUMN facematch.report_daily.manual_inspections IS
	'encounters without a comparison, where the document was looked at';
COMMENT ON COLUMN facematch.report_daily.overrides IS 'matches that an officer decided, with a reason on record';
COMMENT ON COLUMN facematch.report_daily.referrals IS 'travelers whom an officer had to look at: all but the '
	'matches, and at a watchlist the matches, and those who were not compared';
COMMENT ON COLUMN facematch.report_daily.opted_out IS
	'encounters without a comparison because the traveler had declined';
COMMENT ON COLUMN facematch.report_daily.no_probe IS
	'encounters without a photograph for another reason: failures to acquire';
COMMENT ON COLUMN facematch.report_daily.ambiguous IS 'searches where more than one subject was above the threshold';
COMMENT ON COLUMN facematch.report_daily.without_notice IS 'encounters at places where no posted notice was on record';
COMMENT ON COLUMN facematch.report_daily.measured IS 'encounters with a measured response time';
COMMENT ON COLUMN facematch.report_daily.latency_p50_ms IS
	'half of them were decided within so many milliseconds; from histograms, at most 19 % too long';
COMMENT ON COLUMN facematch.report_daily.latency_p90_ms IS '90 % of them were decided within so many milliseconds';
COMMENT ON COLUMN facematch.report_daily.latency_p99_ms IS '99 % of them were decided within so many milliseconds';
COMMENT ON COLUMN facematch.report_daily.latency_longest_ms IS 'all of them were decided within so many milliseconds';

CREATE VIEW facematch.report_scores AS
	SELECT h.day_utc, h.kind, h.model, h.threshold, h.measure AS score,
		h.bin / 100.0::double precision AS similarity_from, (h.bin + 1) / 100.0::double precision AS similarity_to,
		h.n AS encounters
	FROM facematch_internal.count_period() p, unnest(p.histograms) h WHERE h.measure IN ('match', 'runner_up');
COMMENT ON VIEW facematch.report_scores IS
	'histograms of comparison scores at the gates; encounters that have been purged count too';
COMMENT ON COLUMN facematch.report_scores.day_utc IS 'day, in UTC';
COMMENT ON COLUMN facematch.report_scores.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch.report_scores.model IS 'model in use';
COMMENT ON COLUMN facematch.report_scores.threshold IS 'threshold in use, a cosine similarity';
COMMENT ON COLUMN facematch.report_scores.score IS
	'match: of the reference that matched; runner_up: of the best candidate of another subject';
COMMENT ON COLUMN facematch.report_scores.similarity_from IS 'similarity from here on';
COMMENT ON COLUMN facematch.report_scores.similarity_to IS 'up to, not including, here';
COMMENT ON COLUMN facematch.report_scores.encounters IS 'how many encounters';

CREATE VIEW facematch.report_matching AS
	SELECT (e.day AT TIME ZONE 'UTC')::date AS day_utc, e.port, e.gallery, e.model, e.threshold, count(*) AS encounters,
		   count(*) FILTER (WHERE e.outcome = 'match' AND e.override_reason IS NULL) AS matches,
		   count(*) FILTER (WHERE e.outcome = 'no_match') AS no_matches,
		   count(*) FILTER (WHERE e.outcome = 'manual_inspection') AS manual_inspections,
		   count(*) FILTER (WHERE e.override_reason IS NOT NULL) AS overrides,
		   count(*) FILTER (WHERE e.posting_id IS NULL) AS without_notice,
		   min(e.similarity) FILTER (WHERE e.outcome = 'match' AND e.override_reason IS NULL) AS least_similarity
	FROM (SELECT date_bin('1 day', o.occurred_at, '2000-01-01 00:00+00') AS day, o.* FROM facematch.encounter o
		  WHERE o.purge_after > clock_timestamp()) e
	GROUP BY e.day, e.port, e.gallery, e.model, e.threshold;
COMMENT ON VIEW facematch.report_matching IS 'outcomes at the gates, over the encounters that are not due';
COMMENT ON COLUMN facematch.report_matching.day_utc IS 'day, in UTC';
COMMENT ON COLUMN facematch.report_matching.port IS 'port';
COMMENT ON COLUMN facematch.report_matching.gallery IS 'name of the gallery';
COMMENT ON COLUMN facematch.report_matching.model IS 'model in use';
COMMENT ON COLUMN facematch.report_matching.threshold IS 'threshold in use';
COMMENT ON COLUMN facematch.report_matching.encounters IS 'how many encounters';
COMMENT ON COLUMN facematch.report_matching.matches IS 'of them, matches by comparison';
COMMENT ON COLUMN facematch.report_matching.no_matches IS 'of them, travelers referred because nothing matched';
COMMENT ON COLUMN facematch.report_matching.manual_inspections IS
	'of them, travelers whose document was looked at instead';
COMMENT ON COLUMN facematch.report_matching.overrides IS 'of them, matches that an officer decided';
COMMENT ON COLUMN facematch.report_matching.without_notice IS
	'of them, at places where no posted notice was on record';
COMMENT ON COLUMN facematch.report_matching.least_similarity IS 'the lowest similarity of a match';

---------------------------------------------------------------- purges

CREATE VIEW facematch.report_purge AS
	SELECT s.day_utc, s.cause, s.table_name, s.retention_class, s.rule, count(*) AS batches,
		sum(s.rows_purged)::bigint AS rows_purged, sum(s.rows_held)::bigint AS rows_held,
		   min(s.lateness) FILTER (WHERE s.upto >= 0.5 * s.total) AS lateness_p50,
		   min(s.lateness) FILTER (WHERE s.upto >= 0.9 * s.total) AS lateness_p90,
		   min(s.lateness) FILTER (WHERE s.upto >= 0.99 * s.total) AS lateness_p99, max(s.lateness) AS worst_lateness
	FROM (SELECT (p.purged_at AT TIME ZONE 'UTC')::date AS day_utc, p.cause, p.table_name, p.retention_class, p.rule,
		p.rows_purged, p.rows_held, p.lateness, sum(p.rows_purged) OVER (w ORDER BY p.lateness) AS upto,
		sum(p.rows_purged) OVER w AS total
		  FROM facematch.purge_receipt p
		  WINDOW w AS (PARTITION BY (p.purged_at AT TIME ZONE 'UTC')::date, p.cause, p.table_name, p.retention_class,
		      p.rule)) s
	GROUP BY s.day_utc, s.cause, s.table_name, s.retention_class, s.rule;
COMMENT ON VIEW facematch.report_purge IS
	'what was purged, by day, cause, table, class and rule, and how late. A receipt has the lateness of the first '
	'row of a batch; the percentiles use it for each row of the batch, so they are upper bounds';
COMMENT ON COLUMN facematch.report_purge.day_utc IS 'day of the purge, in UTC';
COMMENT ON COLUMN facematch.report_purge.cause IS 'why: as in facematch.purge_receipt';
COMMENT ON COLUMN facematch.report_purge.table_name IS 'the table they were in';
COMMENT ON COLUMN facematch.report_purge.retention_class IS 'their retention class; NULL for an opt-out';
COMMENT ON COLUMN facematch.report_purge.rule IS 'the rule at the time; NULL for an opt-out';
COMMENT ON COLUMN facematch.report_purge.batches IS 'receipts';
COMMENT ON COLUMN facematch.report_purge.rows_purged IS 'rows deleted, or whose template was cleared';
COMMENT ON COLUMN facematch.report_purge.rows_held IS 'rows of an opt-out that a hold kept';
COMMENT ON COLUMN facematch.report_purge.lateness_p50 IS 'how late half of the rows were at most; NULL for an opt-out';
COMMENT ON COLUMN facematch.report_purge.lateness_p90 IS 'how late 90 % were at most';
COMMENT ON COLUMN facematch.report_purge.lateness_p99 IS 'how late 99 % were at most';
COMMENT ON COLUMN facematch.report_purge.worst_lateness IS 'how late the latest was';

---------------------------------------------------------------- referrals

CREATE VIEW facematch.report_resolution AS
	WITH upto AS MATERIALIZED (
		SELECT h.day_utc, h.port, h.kind, h.bin, sum(h.n) OVER (w ORDER BY h.bin) AS upto, sum(h.n) OVER w AS total
		FROM facematch_internal.count_period() p, unnest(p.histograms) h WHERE h.measure = 'resolution'
		WINDOW w AS (PARTITION BY h.day_utc, h.port, h.kind))
	SELECT r.day_utc, r.port, r.kind, r.resolved,
		2 ^ (r.p50 / 4.0::double precision) * interval '1 millisecond' AS within_p50,
		   2 ^ (r.p90 / 4.0::double precision) * interval '1 millisecond' AS within_p90,
		   2 ^ (r.longest / 4.0::double precision) * interval '1 millisecond' AS longest
	FROM (SELECT u.day_utc, u.port, u.kind, max(u.total)::bigint AS resolved,
		min(u.bin) FILTER (WHERE u.upto >= 0.5 * u.total) AS p50,
				 min(u.bin) FILTER (WHERE u.upto >= 0.9 * u.total) AS p90, max(u.bin) AS longest
		  FROM upto u GROUP BY 1, 2, 3) r;
COMMENT ON VIEW facematch.report_resolution IS
	'how long travelers who were referred waited for an officer''s decision, by the day of the encounter, port and '
	'kind of gallery; encounters that have been purged count too. Times are rounded up by at most 19 %';
COMMENT ON COLUMN facematch.report_resolution.day_utc IS 'day of the encounter, in UTC';
COMMENT ON COLUMN facematch.report_resolution.port IS 'port';
COMMENT ON COLUMN facematch.report_resolution.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch.report_resolution.resolved IS 'how many were resolved; facematch.open_referral has the '
	'others while they are not due';
COMMENT ON COLUMN facematch.report_resolution.within_p50 IS 'half of them within this time';
COMMENT ON COLUMN facematch.report_resolution.within_p90 IS '90 % of them within this time';
COMMENT ON COLUMN facematch.report_resolution.longest IS 'all of them within this time';

---------------------------------------------------------------- notices

CREATE VIEW facematch_internal.posted_notice AS
	SELECT n.port, count(*) FILTER (WHERE n.hangs) AS hanging, count(*) FILTER (WHERE n.hangs
		AND NOT n.is_valid) AS outdated,
		   (SELECT array_agg(DISTINCT l.language ORDER BY l.language)
			FROM jsonb_array_elements(jsonb_agg(n.texts) FILTER (WHERE n.hangs AND n.is_valid)) t (texts),
				 jsonb_object_keys(t.texts) l (language)) AS languages,
		   CASE WHEN NOT bool_or(n.hangs) THEN 'missing' WHEN NOT bool_or(n.hangs AND n.is_valid) THEN 'outdated'
				ELSE 'posted' END AS state
	FROM (SELECT p.port, t.texts, p.posted_at <= now() AND (p.removed_at IS NULL OR p.removed_at > now()) AS hangs,
				 t.valid_from <= now() AND now() < t.valid_to AS is_valid
		  FROM facematch.notice_posting p
		  JOIN facematch_internal.notice_in_force t ON (t.name, t.version) = (p.notice, p.version)) n
	GROUP BY n.port;
COMMENT ON VIEW facematch_internal.posted_notice IS 'the privacy notices that hang now, by port where one ever hung';
COMMENT ON COLUMN facematch_internal.posted_notice.port IS 'port';
COMMENT ON COLUMN facematch_internal.posted_notice.hanging IS 'notices that hang there now';
COMMENT ON COLUMN facematch_internal.posted_notice.outdated IS 'of them, those whose text is not valid now';
COMMENT ON COLUMN facematch_internal.posted_notice.languages IS 'languages of the valid ones; NULL: none';
COMMENT ON COLUMN facematch_internal.posted_notice.state IS
	'posted; outdated: no text that hangs is valid; missing: nothing hangs';

CREATE VIEW facematch.report_notice AS
	SELECT port, coalesce(e.encounters, 0) AS encounters, coalesce(e.without_notice, 0) AS without_notice,
		e.last_without_notice, coalesce(n.hanging, 0) AS hanging, coalesce(n.outdated, 0) AS outdated, n.languages,
		coalesce(n.state, 'missing') AS state
	FROM (SELECT c.port, sum(c.encounters)::bigint AS encounters, sum(c.without_notice)::bigint AS without_notice,
				 max(c.day_utc) FILTER (WHERE c.without_notice > 0) AS last_without_notice
		  FROM facematch_internal.count_period() p, unnest(p.counts) c GROUP BY c.port) e
	FULL JOIN facematch_internal.posted_notice n USING (port);
COMMENT ON VIEW facematch.report_notice IS
	'privacy notices by port: posted, outdated or missing, and the encounters that happened without one';
COMMENT ON COLUMN facematch.report_notice.port IS 'port';
COMMENT ON COLUMN facematch.report_notice.encounters IS 'encounters there, those that were purged since included';
COMMENT ON COLUMN facematch.report_notice.without_notice IS 'of them, those where no posted notice was on record';
COMMENT ON COLUMN facematch.report_notice.last_without_notice IS 'day of the last of those, in UTC; NULL: none';
COMMENT ON COLUMN facematch.report_notice.hanging IS 'notices that hang there now';
COMMENT ON COLUMN facematch.report_notice.outdated IS 'of them, those whose text is not valid now';
COMMENT ON COLUMN facematch.report_notice.languages IS 'languages of the valid ones; NULL: none';
COMMENT ON COLUMN facematch.report_notice.state IS
	'posted; outdated: a version hangs that is no longer in force; missing: nothing hangs';

CREATE VIEW facematch.report_posting AS
	SELECT p.port, p.lane, p.notice, p.version, ARRAY(SELECT l.language FROM jsonb_object_keys(n.texts) l (language)
		ORDER BY l.language) AS languages, p.posted_at, p.removed_at,
		   CASE WHEN n.valid_to < coalesce(p.removed_at, now()) THEN greatest(n.valid_to, p.posted_at) END AS outdated_from,
		   n.texts
	FROM facematch.notice_posting p
	JOIN facematch_internal.notice_in_force n ON (n.name, n.version) = (p.notice, p.version);
COMMENT ON VIEW facematch.report_posting IS 'what hung where and when: each posting of a privacy notice, with its '
	'texts';
COMMENT ON COLUMN facematch.report_posting.port IS 'port';
COMMENT ON COLUMN facematch.report_posting.lane IS 'lane; NULL: all lanes of the port';
COMMENT ON COLUMN facematch.report_posting.notice IS 'the notice';
COMMENT ON COLUMN facematch.report_posting.version IS 'its version';
COMMENT ON COLUMN facematch.report_posting.languages IS 'the languages it hung in';
COMMENT ON COLUMN facematch.report_posting.posted_at IS 'when it was put up';
COMMENT ON COLUMN facematch.report_posting.removed_at IS 'when it was taken down; NULL: it hangs';
COMMENT ON COLUMN facematch.report_posting.outdated_from IS 'from when it hung though it was not right any more; '
	'NULL: never';
COMMENT ON COLUMN facematch.report_posting.texts IS 'what travelers could read, by language';

---------------------------------------------------------------- differences between groups

-- The month that runs is left out: who looked twice could subtract.  Few encounters that are there are of earlier
-- ones.
CREATE FUNCTION facematch_internal.differentials()
	RETURNS TABLE (month_utc date, attribute text, value text, searches bigint, matches bigint,
		match_rate double precision, match_rate_low double precision, match_rate_high double precision, missed bigint,
		miss_rate double precision, miss_rate_low double precision, miss_rate_high double precision, suppressed boolean)
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, facematch_internal, pg_temp
	SET work_mem = '64MB' SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	this_month CONSTANT date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
	least_cell CONSTANT integer := coalesce((SELECT s.least_cell FROM facematch.report_setting s), 10);
	there encounter_group[];
BEGIN
	EXECUTE format('SELECT array_agg(g::encounter_group) FROM (%s) g', (counting_queries(
		'(SELECT o.* FROM facematch.encounter o WHERE o.occurred_at < $1)')).groups)
		INTO there USING this_month::timestamp AT TIME ZONE 'UTC';
	RETURN QUERY
	WITH exact AS (
		SELECT g.month_utc, g.attribute, array_agg(g.value ORDER BY g.value COLLATE "C") AS names,
			   array_agg(g.searches ORDER BY g.value COLLATE "C") AS searches,
			   array_agg(g.matches ORDER BY g.value COLLATE "C") AS matches,
			   array_agg(g.searches - g.matches ORDER BY g.value COLLATE "C") AS others,
			   array_agg(g.missed ORDER BY g.value COLLATE "C") AS missed
		FROM (SELECT c.month_utc, c.attribute, c.value, sum(c.searches)::bigint AS searches,
			sum(c.matches)::bigint AS matches, sum(c.missed)::bigint AS missed
			  FROM (SELECT t.* FROM unnest(there) t UNION ALL TABLE encounter_group) c
			  WHERE c.month_utc < this_month GROUP BY 1, 2, 3) g
		GROUP BY 1, 2),
	small AS (
		SELECT e.*, n.hidden AS hide_searches,
			   hidden_cells(e.matches, least_cell, n.hidden) AS hide_matches,
			   hidden_cells(e.others, least_cell, n.hidden) AS hide_others,
			   hidden_cells(e.missed, least_cell, n.hidden) AS hide_missed
		FROM exact e, LATERAL (SELECT hidden_cells(e.searches, least_cell) AS hidden) n),
	cells AS (
		-- Who knows two of searches, matches and the others knows the third.
		SELECT s.month_utc, s.attribute, u.value, CASE WHEN NOT u.hide_searches THEN u.searches END AS searches,
			   CASE WHEN NOT u.hide_matches AND NOT u.hide_others THEN u.matches END AS matches,
			   CASE WHEN NOT u.hide_missed THEN u.missed END AS missed
		FROM small s, LATERAL unnest(s.names, s.searches, s.matches, s.missed, s.hide_searches, s.hide_matches,
			s.hide_others, s.hide_missed)
			 u (value, searches, matches, missed, hide_searches, hide_matches, hide_others, hide_missed))
	SELECT c.month_utc, c.attribute, c.value, c.searches, c.matches, m.rate, m.lower, m.upper, c.missed, x.rate, x.lower,
		x.upper, c.searches IS NULL OR c.matches IS NULL OR c.missed IS NULL
	FROM cells c, LATERAL facematch.rate_interval(c.matches, c.searches) m,
		 LATERAL facematch.rate_interval(c.missed, c.matches + c.missed) x
	ORDER BY 1, 2, 3;
END
$$;
COMMENT ON FUNCTION facematch_internal.differentials() IS
	'the rows of facematch.report_differential: rates by group and month, without cells that are too small';

CREATE VIEW facematch.report_differential AS SELECT d.* FROM facematch_internal.differentials() d;
COMMENT ON VIEW facematch.report_differential IS
	'rates by month and group, where a site records groups (facematch.note_groups), with 95 % intervals (Wilson). '
	'Two groups differ significantly if their intervals do not overlap';
COMMENT ON COLUMN facematch.report_differential.month_utc IS 'first day of a month that is over, in UTC';
COMMENT ON COLUMN facematch.report_differential.attribute IS 'what the groups differ in';
COMMENT ON COLUMN facematch.report_differential.value IS 'the group';
COMMENT ON COLUMN facematch.report_differential.searches IS
	'encounters where a photograph was compared; NULL here and below: hidden, being small or telling what is';
COMMENT ON COLUMN facematch.report_differential.matches IS 'of them, those that matched';
COMMENT ON COLUMN facematch.report_differential.match_rate IS 'matches in searches, 0 to 1';
COMMENT ON COLUMN facematch.report_differential.match_rate_low IS 'lower end of its interval';
COMMENT ON COLUMN facematch.report_differential.match_rate_high IS 'upper end of its interval';
COMMENT ON COLUMN facematch.report_differential.missed IS
	'searches that did not match, where an officer then found the traveler to be who the document says';
COMMENT ON COLUMN facematch.report_differential.miss_rate IS
	'of the travelers whose identity was shown, by the match or by an officer, those whom the comparison missed, 0 to 1';
COMMENT ON COLUMN facematch.report_differential.miss_rate_low IS 'lower end of its interval';
COMMENT ON COLUMN facematch.report_differential.miss_rate_high IS 'upper end of its interval';
COMMENT ON COLUMN facematch.report_differential.suppressed IS 'whether something of the row is hidden';

---------------------------------------------------------------- searches

CREATE VIEW facematch.report_search AS
	WITH hour AS (
		SELECT s.role_name, s.purpose, s.gallery_id, date_trunc('hour', s.searched_at AT TIME ZONE 'UTC') AS hour_utc,
			   count(*) AS searches, count(*) FILTER (WHERE s.candidates > 0 AND NOT s.refused) AS hits,
			   count(*) FILTER (WHERE s.refused) AS refused, sum(s.persons_near) AS persons_near
		FROM facematch.search s WHERE s.purge_after > clock_timestamp() GROUP BY 1, 2, 3, 4
	), near AS (
		SELECT p.role_name, p.hour_utc, max(p.attempts) AS most_near_one
		FROM (SELECT a.role_name, date_trunc('hour', a.attempted_at AT TIME ZONE 'UTC') AS hour_utc, count(*) AS attempts
			  FROM facematch_internal.attempt a WHERE a.purge_after > clock_timestamp() GROUP BY 1, 2, a.subject_id) p
		GROUP BY 1, 2
	)
	SELECT h.role_name, h.purpose, h.gallery_id, g.name AS gallery, h.hour_utc, h.searches, h.hits, h.refused,
		h.persons_near,
		   n.most_near_one
	FROM hour h LEFT JOIN near n USING (role_name, hour_utc) LEFT JOIN facematch.gallery g USING (gallery_id)
	ORDER BY h.refused DESC, n.most_near_one DESC NULLS LAST, h.hour_utc DESC, h.searches DESC, h.role_name,
		h.gallery_id, h.purpose;
COMMENT ON VIEW facematch.report_search IS
	'searches by role, purpose, gallery and hour; unusual ones first: most refused, then most searches near one '
	'person';
COMMENT ON COLUMN facematch.report_search.role_name IS 'the session''s user, or a partner as partner:name';
COMMENT ON COLUMN facematch.report_search.purpose IS 'what for, as the caller said; NULL: not said';
COMMENT ON COLUMN facematch.report_search.gallery_id IS 'the gallery; NULL: shards, or a reference that was not there';
COMMENT ON COLUMN facematch.report_search.gallery IS 'its name, while it is there';
COMMENT ON COLUMN facematch.report_search.hour_utc IS 'hour, in UTC';
COMMENT ON COLUMN facematch.report_search.searches IS 'how many searches';
COMMENT ON COLUMN facematch.report_search.hits IS 'of them, those with a candidate';
COMMENT ON COLUMN facematch.report_search.refused IS
	'of them, those that told nothing, since too many had come near one person';
COMMENT ON COLUMN facematch.report_search.persons_near IS
	'how many persons they came near, each counted once a search';
COMMENT ON COLUMN facematch.report_search.most_near_one IS
	'how many searches of the role came near the same person in the hour, in all galleries; NULL: none, it may read'
	' templates, or it is more than eight days ago';

---------------------------------------------------------------- disclosures

CREATE VIEW facematch.report_disclosure AS
	SELECT (d.disclosed_at AT TIME ZONE 'UTC')::date AS day_utc, d.partner, d.nature, d.purpose, count(*) AS disclosures,
		   count(*) FILTER (WHERE d.answer = 'match') AS matches,
		       count(*) FILTER (WHERE d.answer = 'no_match') AS no_matches,
		       count(*) FILTER (WHERE d.answer = 'refused') AS refusals, count(DISTINCT d.subject_id) AS subjects
	FROM facematch.disclosure d GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW facematch.report_disclosure IS
	'disclosures to recipients outside, counted by day, partner, nature and purpose, from the accounting of '
	'disclosures';
COMMENT ON COLUMN facematch.report_disclosure.day_utc IS 'day, in UTC';
COMMENT ON COLUMN facematch.report_disclosure.partner IS 'the recipient';
COMMENT ON COLUMN facematch.report_disclosure.nature IS 'what was told';
COMMENT ON COLUMN facematch.report_disclosure.purpose IS 'what for';
COMMENT ON COLUMN facematch.report_disclosure.disclosures IS 'how many';
COMMENT ON COLUMN facematch.report_disclosure.matches IS 'of them, answers that said a probe matched';
COMMENT ON COLUMN facematch.report_disclosure.no_matches IS 'of them, answers that said it did not';
COMMENT ON COLUMN facematch.report_disclosure.refusals IS
	'of them, questions about a flight that was not the partner''s: nothing was told';
COMMENT ON COLUMN facematch.report_disclosure.subjects IS 'how many different persons they told of';
