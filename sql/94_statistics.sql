/*
 * Statistics of encounters, which outlive the encounters.
 *
 * An encounter is purged within hours or days, and a report is asked for months
 * later.  So what is counted of rows is added up when they are deleted, by
 * whatever statement: totals of a day and a place, histograms of scores and of
 * response times, and groups by month.  No cell names a person, a gallery or a
 * moment, and gates never wait for a counter: only deletions write here.
 *
 * A statistic is always the rows that are there plus these tables.  Both come
 * from one query (statistics_query), over the table in one case and over the
 * deleted rows in the other, so a total does not change when a purge runs.
 */

---------------------------------------------------------------- what an encounter is counted by

CREATE FUNCTION facematch.groups_fault(groups jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE
		WHEN jsonb_typeof(groups) <> 'object' THEN 'groups is no object'
		WHEN (SELECT count(*) > 16 OR bool_or(length(g.key) NOT BETWEEN 1 AND 100 OR jsonb_typeof(g.value) <> 'string'
											  OR length(g.value #>> '{}') NOT BETWEEN 1 AND 100)
			  FROM jsonb_each(CASE jsonb_typeof(groups) WHEN 'object' THEN groups END) g)
			THEN 'groups is not up to 16 attributes, each with a text of 1 to 100 characters'
	END;
COMMENT ON FUNCTION facematch.groups_fault(jsonb) IS 'what makes an object of groups impossible; NULL if nothing does';

-- The planner inlines it: a row without groups costs two comparisons.
CREATE FUNCTION facematch.statistics_fault(runner_up double precision, latency_ms double precision, groups jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE
		WHEN runner_up NOT BETWEEN -1 AND 1 THEN 'runner_up is outside -1 to 1'
		WHEN latency_ms NOT BETWEEN 0 AND 86400000 THEN 'latency_ms is outside 0 to a day'
		WHEN groups IS NOT NULL THEN facematch.groups_fault(groups)
	END;
COMMENT ON FUNCTION facematch.statistics_fault(double precision, double precision, jsonb) IS
	'what is impossible in the columns of facematch.encounter that only statistics use; NULL if nothing is';

ALTER TABLE facematch.encounter
	ADD COLUMN kind text,
	ADD COLUMN runner_up double precision,
	ADD COLUMN latency_ms double precision,
	ADD COLUMN groups jsonb,
	ADD CONSTRAINT encounter_statistics_are_whole CHECK (facematch.statistics_fault(runner_up, latency_ms, groups) IS NULL);
COMMENT ON COLUMN facematch.encounter.kind IS 'the gallery''s kind, filled in: the gallery may be gone before the encounter';
COMMENT ON COLUMN facematch.encounter.runner_up IS 'cosine similarity of the best candidate of another subject, -1 to 1; NULL: none was above the threshold';
COMMENT ON COLUMN facematch.encounter.latency_ms IS 'milliseconds from the call of record_encounter() to the decision, in the server, the search included, up to a day; NULL: not measured';
COMMENT ON COLUMN facematch.encounter.groups IS 'groups that a site records the traveler in, to look for differences between them: an object of attribute and value, such as {"age": "60-69"}; it goes with the row, and statistics count its values';

-- Who writes encounters runs their checks; the operator notes groups.
INSERT INTO facematch.access_right (kind, object_kind, object_name, privilege, shipped) VALUES
	('everyone', 'function', 'statistics_fault', 'EXECUTE', true),
	('everyone', 'function', 'groups_fault', 'EXECUTE', true),
	('operator', 'function', 'note_groups', 'EXECUTE', true);

---------------------------------------------------------------- what is kept of encounters that are gone

CREATE TABLE facematch.encounter_count (
	day_utc				date NOT NULL,
	port				text NOT NULL,
	mode				text,
	direction			text,
	kind				text,
	model				text NOT NULL,
	threshold			double precision NOT NULL,
	encounters			bigint NOT NULL,
	searches			bigint NOT NULL,
	matches				bigint NOT NULL,
	no_matches			bigint NOT NULL,
	manual_inspections	bigint NOT NULL,
	overrides			bigint NOT NULL,
	missed				bigint NOT NULL,
	opted_out			bigint NOT NULL,
	exempt				bigint NOT NULL,
	no_probe			bigint NOT NULL,
	ambiguous			bigint NOT NULL,
	without_notice		bigint NOT NULL,
	CONSTRAINT encounter_count_cell UNIQUE NULLS NOT DISTINCT (day_utc, port, mode, direction, kind, model, threshold)
);
COMMENT ON TABLE facematch.encounter_count IS 'encounters that were deleted, counted by day and place; written by a trigger, read through facematch.report_daily';
COMMENT ON COLUMN facematch.encounter_count.day_utc IS 'day of the encounter, in UTC';
COMMENT ON COLUMN facematch.encounter_count.port IS 'port';
COMMENT ON COLUMN facematch.encounter_count.mode IS 'air, sea or land; NULL: not recorded';
COMMENT ON COLUMN facematch.encounter_count.direction IS 'entry or exit; NULL: not recorded';
COMMENT ON COLUMN facematch.encounter_count.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch.encounter_count.model IS 'model in use';
COMMENT ON COLUMN facematch.encounter_count.threshold IS 'threshold in use, a cosine similarity, rounded to a hundredth: a gallery with a target FPIR has its own';
COMMENT ON COLUMN facematch.encounter_count.encounters IS 'how many encounters';
COMMENT ON COLUMN facematch.encounter_count.searches IS 'of them, those where a photograph was compared';
COMMENT ON COLUMN facematch.encounter_count.matches IS 'of them, matches by comparison';
COMMENT ON COLUMN facematch.encounter_count.no_matches IS 'of them, travelers referred because nothing matched, and not recognised by an officer since';
COMMENT ON COLUMN facematch.encounter_count.manual_inspections IS 'of them, travelers whose document was looked at instead of a comparison';
COMMENT ON COLUMN facematch.encounter_count.overrides IS 'of them, matches that an officer decided';
COMMENT ON COLUMN facematch.encounter_count.missed IS 'of the searches, those that did not match and where an officer then found the traveler to be who the document says';
COMMENT ON COLUMN facematch.encounter_count.opted_out IS 'of the encounters, those without a comparison because the traveler had declined';
COMMENT ON COLUMN facematch.encounter_count.exempt IS 'of the encounters, those without a comparison because the law exempts the traveler';
COMMENT ON COLUMN facematch.encounter_count.no_probe IS 'of the encounters, those without a photograph for another reason';
COMMENT ON COLUMN facematch.encounter_count.ambiguous IS 'of the searches, those where more than one subject was above the threshold';
COMMENT ON COLUMN facematch.encounter_count.without_notice IS 'of the encounters, those at places where no posted notice was on record';

CREATE TABLE facematch.encounter_score (
	day_utc		date NOT NULL,
	kind		text,
	model		text NOT NULL,
	threshold	double precision NOT NULL,
	score		text NOT NULL CONSTRAINT encounter_score_is_known CHECK (score IN ('match', 'runner_up')),
	bin			smallint NOT NULL CONSTRAINT encounter_score_bin_range CHECK (bin BETWEEN -100 AND 99),
	n			bigint NOT NULL,
	CONSTRAINT encounter_score_cell UNIQUE NULLS NOT DISTINCT (day_utc, kind, model, threshold, score, bin)
);
COMMENT ON TABLE facematch.encounter_score IS 'histograms of comparison scores of encounters that were deleted; written by a trigger, read through facematch.report_scores';
COMMENT ON COLUMN facematch.encounter_score.day_utc IS 'day of the encounter, in UTC';
COMMENT ON COLUMN facematch.encounter_score.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch.encounter_score.model IS 'model in use';
COMMENT ON COLUMN facematch.encounter_score.threshold IS 'threshold in use, a cosine similarity, rounded to a hundredth';
COMMENT ON COLUMN facematch.encounter_score.score IS 'match: of the reference that matched; runner_up: of the best candidate of another subject';
COMMENT ON COLUMN facematch.encounter_score.bin IS 'similarity from bin / 100 up to, not including, (bin + 1) / 100; the last one includes 1';
COMMENT ON COLUMN facematch.encounter_score.n IS 'how many encounters';

CREATE TABLE facematch.encounter_latency (
	day_utc	date NOT NULL,
	port	text NOT NULL,
	mode	text,
	kind	text,
	bin		smallint NOT NULL,
	n		bigint NOT NULL,
	CONSTRAINT encounter_latency_cell UNIQUE NULLS NOT DISTINCT (day_utc, port, mode, kind, bin)
);
COMMENT ON TABLE facematch.encounter_latency IS 'histograms of response times of encounters that were deleted; written by a trigger, read through facematch.report_latency';
COMMENT ON COLUMN facematch.encounter_latency.day_utc IS 'day of the encounter, in UTC';
COMMENT ON COLUMN facematch.encounter_latency.port IS 'port';
COMMENT ON COLUMN facematch.encounter_latency.mode IS 'air, sea or land; NULL: not recorded';
COMMENT ON COLUMN facematch.encounter_latency.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch.encounter_latency.bin IS 'up to 2 ^ (bin / 4) milliseconds, and more than a quarter power less';
COMMENT ON COLUMN facematch.encounter_latency.n IS 'how many encounters';

CREATE TABLE facematch.encounter_group (
	month_utc	date NOT NULL,
	attribute	text NOT NULL,
	value		text NOT NULL,
	searches	bigint NOT NULL,
	matches		bigint NOT NULL,
	missed		bigint NOT NULL,
	CONSTRAINT encounter_group_cell PRIMARY KEY (month_utc, attribute, value)
);
COMMENT ON TABLE facematch.encounter_group IS 'searches of encounters that were deleted, by month and group; exact, so nobody reads it but through facematch.report_differential';
COMMENT ON COLUMN facematch.encounter_group.month_utc IS 'first day of the month, in UTC';
COMMENT ON COLUMN facematch.encounter_group.attribute IS 'what the groups differ in, a key of encounter.groups';
COMMENT ON COLUMN facematch.encounter_group.value IS 'the group';
COMMENT ON COLUMN facematch.encounter_group.searches IS 'encounters where a photograph was compared';
COMMENT ON COLUMN facematch.encounter_group.matches IS 'of them, matches by comparison';
COMMENT ON COLUMN facematch.encounter_group.missed IS 'of them, those that did not match and where an officer then found the traveler to be who the document says';

---------------------------------------------------------------- the queries

CREATE FUNCTION facematch.score_bin(similarity double precision) RETURNS smallint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN similarity IS NOT NULL THEN least(floor(similarity * 100), 99)::smallint END;
COMMENT ON FUNCTION facematch.score_bin(double precision) IS 'the histogram bin of a similarity, one for each hundredth; NULL for NULL';

CREATE FUNCTION facematch.whole_hundredth(value double precision) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN round(value * 100) / 100;
COMMENT ON FUNCTION facematch.whole_hundredth(double precision) IS 'a threshold as statistics have it: rounded to a hundredth';

CREATE FUNCTION facematch.latency_bin(latency_ms double precision) RETURNS smallint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN ceil(4 * ln(greatest(latency_ms, 0.001)) / ln(2::double precision))::smallint;
COMMENT ON FUNCTION facematch.latency_bin(double precision) IS 'the histogram bin of a time in milliseconds, four for each doubling, from a microsecond on';

CREATE FUNCTION facematch.latency_of_bin(bin double precision) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN 2 ^ (bin / 4);
COMMENT ON FUNCTION facematch.latency_of_bin(double precision) IS 'the longest time of a histogram bin, in milliseconds';

-- Before the first ANALYZE the planner would sort all rows.  So whoever runs these queries turns sorting off, which leaves
-- hash tables, and allows 64 MB for those that the planner imagines.
CREATE FUNCTION facematch.statistics_query(statistic text, source text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN format(CASE statistic
		WHEN 'count' THEN $query$
			SELECT (e.occurred_at AT TIME ZONE 'UTC')::date, e.port, e.mode, e.direction, e.kind, e.model, facematch.whole_hundredth(e.threshold), count(*),
				   count(*) FILTER (WHERE e.reason IS NULL),
				   count(*) FILTER (WHERE e.outcome = 'match' AND e.override_reason IS NULL),
				   count(*) FILTER (WHERE e.outcome = 'no_match'),
				   count(*) FILTER (WHERE e.outcome = 'manual_inspection'),
				   count(*) FILTER (WHERE e.override_reason IS NOT NULL),
				   count(*) FILTER (WHERE e.override_reason IS NOT NULL AND e.reason IS NULL),
				   count(*) FILTER (WHERE e.reason = 'opted_out'),
				   count(*) FILTER (WHERE e.reason = 'exempt'),
				   count(*) FILTER (WHERE e.reason NOT IN ('opted_out', 'exempt')),
				   count(e.runner_up),
				   count(*) FILTER (WHERE e.posting_id IS NULL)
			FROM %s e GROUP BY 1, 2, 3, 4, 5, 6, 7 $query$
		WHEN 'score' THEN $query$
			SELECT e.day_utc, e.kind, e.model, e.threshold, s.score, s.bin, sum(s.n)::bigint
			FROM (SELECT (e.occurred_at AT TIME ZONE 'UTC')::date AS day_utc, e.kind, e.model, facematch.whole_hundredth(e.threshold) AS threshold,
						 facematch.score_bin(e.similarity) AS match_bin, facematch.score_bin(e.runner_up) AS runner_up_bin, count(*) AS n,
						 count(*) FILTER (WHERE e.outcome = 'match' AND e.override_reason IS NULL) AS matches
				  FROM %s e WHERE e.similarity IS NOT NULL OR e.runner_up IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6) e,
				 LATERAL (VALUES ('match', e.match_bin, e.matches), ('runner_up', e.runner_up_bin, e.n)) s (score, bin, n)
			WHERE s.bin IS NOT NULL AND s.n > 0 GROUP BY 1, 2, 3, 4, 5, 6 $query$
		WHEN 'latency' THEN $query$
			SELECT (e.occurred_at AT TIME ZONE 'UTC')::date, e.port, e.mode, e.kind, facematch.latency_bin(e.latency_ms), count(*)
			FROM %s e WHERE e.latency_ms IS NOT NULL GROUP BY 1, 2, 3, 4, 5 $query$
		WHEN 'group' THEN $query$
			SELECT e.month_utc, g.key, g.value, sum(e.n)::bigint, sum(e.matches)::bigint, sum(e.missed)::bigint
			FROM (SELECT date_trunc('month', e.occurred_at AT TIME ZONE 'UTC')::date AS month_utc, e.groups, count(*) AS n,
						 count(*) FILTER (WHERE e.outcome = 'match' AND e.override_reason IS NULL) AS matches,
						 count(*) FILTER (WHERE e.override_reason IS NOT NULL) AS missed
				  FROM %s e WHERE e.reason IS NULL AND e.groups IS NOT NULL GROUP BY 1, 2) e, LATERAL jsonb_each_text(e.groups) g
			GROUP BY 1, 2, 3 $query$
	END, source);
COMMENT ON FUNCTION facematch.statistics_query(text, text) IS
	'the query that counts encounters of a source, a table''s name: count, score, latency or group, with the columns of facematch.encounter_count, encounter_score, encounter_latency or encounter_group';

-- The planner takes every moment for a group of its own unless it is told how few days, scores and times there are; with
-- these it counts in hash tables and with parallel workers.
CREATE STATISTICS facematch.encounter_day ON ((occurred_at AT TIME ZONE 'UTC')::date) FROM facematch.encounter;
COMMENT ON STATISTICS facematch.encounter_day IS 'how many days there are';
CREATE STATISTICS facematch.encounter_month ON (date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date) FROM facematch.encounter;
COMMENT ON STATISTICS facematch.encounter_month IS 'how many months there are';
CREATE STATISTICS facematch.encounter_latency_bin ON (facematch.latency_bin(latency_ms)) FROM facematch.encounter;
COMMENT ON STATISTICS facematch.encounter_latency_bin IS 'how many bins of response times there are';
CREATE STATISTICS facematch.encounter_match_bin ON (facematch.score_bin(similarity)) FROM facematch.encounter;
COMMENT ON STATISTICS facematch.encounter_match_bin IS 'how many bins of scores there are';
CREATE STATISTICS facematch.encounter_runner_up_bin ON (facematch.score_bin(runner_up)) FROM facematch.encounter;
COMMENT ON STATISTICS facematch.encounter_runner_up_bin IS 'how many bins of the best other persons'' scores there are';

---------------------------------------------------------------- what is deleted is added up

-- Two purges that add to the same cells wait for each other in the same order.
CREATE FUNCTION facematch.statistics_in_order(statistic text, source text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN format('SELECT q.* FROM (%s OFFSET 0) q ORDER BY q', facematch.statistics_query(statistic, source));
COMMENT ON FUNCTION facematch.statistics_in_order(text, text) IS 'the query of statistics_query() with its rows in the order of their keys';

CREATE FUNCTION facematch.keep_statistics() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_sort = off
AS $$
BEGIN
	EXECUTE 'INSERT INTO facematch.encounter_count AS c ' || facematch.statistics_in_order('count', 'gone') ||
		' ON CONFLICT ON CONSTRAINT encounter_count_cell DO UPDATE SET encounters = c.encounters + EXCLUDED.encounters,'
		' searches = c.searches + EXCLUDED.searches, matches = c.matches + EXCLUDED.matches, no_matches = c.no_matches + EXCLUDED.no_matches,'
		' manual_inspections = c.manual_inspections + EXCLUDED.manual_inspections, overrides = c.overrides + EXCLUDED.overrides,'
		' missed = c.missed + EXCLUDED.missed, opted_out = c.opted_out + EXCLUDED.opted_out, exempt = c.exempt + EXCLUDED.exempt,'
		' no_probe = c.no_probe + EXCLUDED.no_probe, ambiguous = c.ambiguous + EXCLUDED.ambiguous,'
		' without_notice = c.without_notice + EXCLUDED.without_notice';
	EXECUTE 'INSERT INTO facematch.encounter_score AS c ' || facematch.statistics_in_order('score', 'gone') ||
		' ON CONFLICT ON CONSTRAINT encounter_score_cell DO UPDATE SET n = c.n + EXCLUDED.n';
	EXECUTE 'INSERT INTO facematch.encounter_latency AS c ' || facematch.statistics_in_order('latency', 'gone') ||
		' ON CONFLICT ON CONSTRAINT encounter_latency_cell DO UPDATE SET n = c.n + EXCLUDED.n';
	EXECUTE 'INSERT INTO facematch.encounter_group AS c ' || facematch.statistics_in_order('group', 'gone') ||
		' ON CONFLICT ON CONSTRAINT encounter_group_cell DO UPDATE SET searches = c.searches + EXCLUDED.searches,'
		' matches = c.matches + EXCLUDED.matches, missed = c.missed + EXCLUDED.missed';
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch.keep_statistics() IS 'trigger: adds the deleted encounters to the statistics';
REVOKE ALL ON FUNCTION facematch.keep_statistics() FROM PUBLIC;

CREATE TRIGGER encounter_50_statistics AFTER DELETE ON facematch.encounter
	REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION facematch.keep_statistics();
ALTER TABLE facematch.encounter ENABLE ALWAYS TRIGGER encounter_50_statistics;
COMMENT ON TRIGGER encounter_50_statistics ON facematch.encounter IS 'keeps the statistics of deleted rows';

---------------------------------------------------------------- the rows that are there, and those that were

CREATE FUNCTION facematch.count_encounters() RETURNS SETOF facematch.encounter_count
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_sort = off
AS $$
BEGIN
	RETURN QUERY EXECUTE facematch.statistics_query('count', 'facematch.encounter');
	RETURN QUERY SELECT c.* FROM facematch.encounter_count c;
END
$$;
COMMENT ON FUNCTION facematch.count_encounters() IS 'counts of the encounters that are there, and of those that were deleted; the same cell may come twice';
REVOKE ALL ON FUNCTION facematch.count_encounters() FROM PUBLIC;

CREATE FUNCTION facematch.count_scores() RETURNS SETOF facematch.encounter_score
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_sort = off
AS $$
BEGIN
	RETURN QUERY EXECUTE facematch.statistics_query('score', 'facematch.encounter');
	RETURN QUERY SELECT s.* FROM facematch.encounter_score s;
END
$$;
COMMENT ON FUNCTION facematch.count_scores() IS 'histograms of scores, likewise';
REVOKE ALL ON FUNCTION facematch.count_scores() FROM PUBLIC;

CREATE FUNCTION facematch.count_latencies() RETURNS SETOF facematch.encounter_latency
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_sort = off
AS $$
BEGIN
	RETURN QUERY EXECUTE facematch.statistics_query('latency', 'facematch.encounter');
	RETURN QUERY SELECT l.* FROM facematch.encounter_latency l;
END
$$;
COMMENT ON FUNCTION facematch.count_latencies() IS 'histograms of response times, likewise';
REVOKE ALL ON FUNCTION facematch.count_latencies() FROM PUBLIC;

CREATE FUNCTION facematch.count_groups() RETURNS SETOF facematch.encounter_group
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_sort = off
AS $$
BEGIN
	-- Of the month that runs nothing is shown, and few encounters are older.
	RETURN QUERY EXECUTE facematch.statistics_query('group',
		'(SELECT o.* FROM facematch.encounter o WHERE o.occurred_at < date_trunc(''month'', now() AT TIME ZONE ''UTC'') AT TIME ZONE ''UTC'')');
	RETURN QUERY SELECT g.* FROM facematch.encounter_group g;
END
$$;
COMMENT ON FUNCTION facematch.count_groups() IS 'searches by month and group, likewise, of encounters before this month and of deleted ones; exact, so not for an auditor';
REVOKE ALL ON FUNCTION facematch.count_groups() FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('facematch.encounter_count', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.encounter_score', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.encounter_latency', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.encounter_group', '');
