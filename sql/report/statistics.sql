-- Who writes encounters runs their checks; the operator notes groups.
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, shipped) VALUES
	('everyone', 'function', 'statistics_fault', 'EXECUTE', true),
	('everyone', 'function', 'groups_fault', 'EXECUTE', true),
	('operator', 'function', 'note_groups', 'EXECUTE', true);

---------------------------------------------------------------- what is kept of encounters that are gone

CREATE TABLE facematch_internal.encounter_count (
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
COMMENT ON TABLE facematch_internal.encounter_count IS 'encounters that were deleted, counted by day and place; written by a trigger, read through facematch.report_daily';
COMMENT ON COLUMN facematch_internal.encounter_count.day_utc IS 'day of the encounter, in UTC';
COMMENT ON COLUMN facematch_internal.encounter_count.port IS 'port';
COMMENT ON COLUMN facematch_internal.encounter_count.mode IS 'air, sea or land; NULL: not recorded';
COMMENT ON COLUMN facematch_internal.encounter_count.direction IS 'entry or exit; NULL: not recorded';
COMMENT ON COLUMN facematch_internal.encounter_count.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch_internal.encounter_count.model IS 'model in use';
COMMENT ON COLUMN facematch_internal.encounter_count.threshold IS 'threshold in use, a cosine similarity, rounded to a hundredth: a gallery with a target FPIR has its own';
COMMENT ON COLUMN facematch_internal.encounter_count.encounters IS 'how many encounters';
COMMENT ON COLUMN facematch_internal.encounter_count.searches IS 'of them, those where a photograph was compared';
COMMENT ON COLUMN facematch_internal.encounter_count.matches IS 'of them, matches by comparison';
COMMENT ON COLUMN facematch_internal.encounter_count.no_matches IS 'of them, travelers referred because nothing matched, and not recognised by an officer since';
COMMENT ON COLUMN facematch_internal.encounter_count.manual_inspections IS 'of them, travelers whose document was looked at instead of a comparison';
COMMENT ON COLUMN facematch_internal.encounter_count.overrides IS 'of them, matches that an officer decided';
COMMENT ON COLUMN facematch_internal.encounter_count.missed IS 'of the searches, those that did not match and where an officer then found the traveler to be who the document says';
COMMENT ON COLUMN facematch_internal.encounter_count.opted_out IS 'of the encounters, those without a comparison because the traveler had declined';
COMMENT ON COLUMN facematch_internal.encounter_count.exempt IS 'of the encounters, those without a comparison because the law exempts the traveler';
COMMENT ON COLUMN facematch_internal.encounter_count.no_probe IS 'of the encounters, those without a photograph for another reason';
COMMENT ON COLUMN facematch_internal.encounter_count.ambiguous IS 'of the searches, those where more than one subject was above the threshold';
COMMENT ON COLUMN facematch_internal.encounter_count.without_notice IS 'of the encounters, those at places where no posted notice was on record';

CREATE TABLE facematch_internal.encounter_score (
	day_utc		date NOT NULL,
	kind		text,
	model		text NOT NULL,
	threshold	double precision NOT NULL,
	score		text NOT NULL CONSTRAINT encounter_score_is_known CHECK (score IN ('match', 'runner_up')),
	bin			smallint NOT NULL CONSTRAINT encounter_score_bin_range CHECK (bin BETWEEN -100 AND 99),
	n			bigint NOT NULL,
	CONSTRAINT encounter_score_cell UNIQUE NULLS NOT DISTINCT (day_utc, kind, model, threshold, score, bin)
);
COMMENT ON TABLE facematch_internal.encounter_score IS 'histograms of comparison scores of encounters that were deleted; written by a trigger, read through facematch.report_scores';
COMMENT ON COLUMN facematch_internal.encounter_score.day_utc IS 'day of the encounter, in UTC';
COMMENT ON COLUMN facematch_internal.encounter_score.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch_internal.encounter_score.model IS 'model in use';
COMMENT ON COLUMN facematch_internal.encounter_score.threshold IS 'threshold in use, a cosine similarity, rounded to a hundredth';
COMMENT ON COLUMN facematch_internal.encounter_score.score IS 'match: of the reference that matched; runner_up: of the best candidate of another subject';
COMMENT ON COLUMN facematch_internal.encounter_score.bin IS 'similarity from bin / 100 up to, not including, (bin + 1) / 100; the last one includes 1';
COMMENT ON COLUMN facematch_internal.encounter_score.n IS 'how many encounters';

CREATE TABLE facematch_internal.encounter_latency (
	day_utc	date NOT NULL,
	port	text NOT NULL,
	mode	text,
	kind	text,
	bin		smallint NOT NULL,
	n		bigint NOT NULL,
	CONSTRAINT encounter_latency_cell UNIQUE NULLS NOT DISTINCT (day_utc, port, mode, kind, bin)
);
COMMENT ON TABLE facematch_internal.encounter_latency IS 'histograms of response times of encounters that were deleted; written by a trigger, read through facematch.report_latency';
COMMENT ON COLUMN facematch_internal.encounter_latency.day_utc IS 'day of the encounter, in UTC';
COMMENT ON COLUMN facematch_internal.encounter_latency.port IS 'port';
COMMENT ON COLUMN facematch_internal.encounter_latency.mode IS 'air, sea or land; NULL: not recorded';
COMMENT ON COLUMN facematch_internal.encounter_latency.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch_internal.encounter_latency.bin IS 'up to 2 ^ (bin / 4) milliseconds, and more than a quarter power less';
COMMENT ON COLUMN facematch_internal.encounter_latency.n IS 'how many encounters';

CREATE TABLE facematch_internal.encounter_group (
	month_utc	date NOT NULL,
	attribute	text NOT NULL,
	value		text NOT NULL,
	searches	bigint NOT NULL,
	matches		bigint NOT NULL,
	missed		bigint NOT NULL,
	CONSTRAINT encounter_group_cell PRIMARY KEY (month_utc, attribute, value)
);
COMMENT ON TABLE facematch_internal.encounter_group IS 'searches of encounters that were deleted, by month and group; exact, so nobody reads it but through facematch.report_differential';
COMMENT ON COLUMN facematch_internal.encounter_group.month_utc IS 'first day of the month, in UTC';
COMMENT ON COLUMN facematch_internal.encounter_group.attribute IS 'what the groups differ in, a key of encounter.groups';
COMMENT ON COLUMN facematch_internal.encounter_group.value IS 'the group';
COMMENT ON COLUMN facematch_internal.encounter_group.searches IS 'encounters where a photograph was compared';
COMMENT ON COLUMN facematch_internal.encounter_group.matches IS 'of them, matches by comparison';
COMMENT ON COLUMN facematch_internal.encounter_group.missed IS 'of them, those that did not match and where an officer then found the traveler to be who the document says';

---------------------------------------------------------------- in one pass

CREATE FUNCTION facematch_internal.utc_day(moment timestamptz) RETURNS date
	AS 'MODULE_PATHNAME', 'facematch_utc_day' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION facematch_internal.utc_day(timestamptz) IS 'the day of a moment in UTC';

CREATE FUNCTION facematch_internal.bin_counts_add(counts bigint[], bin smallint) RETURNS bigint[]
	AS 'MODULE_PATHNAME', 'facematch_bin_counts_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION facematch_internal.bin_counts_add(bigint[], smallint) IS 'a histogram with one more in a bin; NULL counts are none, a NULL bin adds nothing. What is no histogram: 22023';

CREATE FUNCTION facematch_internal.bin_counts_merge(counts bigint[], others bigint[]) RETURNS bigint[]
	AS 'MODULE_PATHNAME', 'facematch_bin_counts_merge' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION facematch_internal.bin_counts_merge(bigint[], bigint[]) IS 'the sum of two histograms. What is no histogram: 22023';

CREATE AGGREGATE facematch_internal.bin_counts(bin smallint) (
	SFUNC = facematch_internal.bin_counts_add,
	STYPE = bigint[],
	COMBINEFUNC = facematch_internal.bin_counts_merge,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE facematch_internal.bin_counts(smallint) IS 'a histogram: how often each bin comes, in an array whose subscripts are the bins, from the least to the greatest. NULLs do not count; of nothing: NULL';

CREATE FUNCTION facematch_internal.score_bin(similarity double precision) RETURNS smallint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN similarity IS NOT NULL THEN least(floor(similarity * 100), 99)::smallint END;
COMMENT ON FUNCTION facematch_internal.score_bin(double precision) IS 'the histogram bin of a similarity, one for each hundredth; NULL for NULL';

CREATE FUNCTION facematch_internal.whole_hundredth(value double precision) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN round(value * 100) / 100;
COMMENT ON FUNCTION facematch_internal.whole_hundredth(double precision) IS 'a threshold as statistics have it: rounded to a hundredth';

CREATE FUNCTION facematch_internal.latency_bin(latency_ms double precision) RETURNS smallint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN latency_ms IS NOT NULL THEN ceil(4 * ln(greatest(latency_ms, 0.001)) / ln(2::double precision))::smallint END;
COMMENT ON FUNCTION facematch_internal.latency_bin(double precision) IS 'the histogram bin of a time in milliseconds, four for each doubling, from a microsecond on; NULL for NULL';

CREATE FUNCTION facematch_internal.latency_of_bin(bin double precision) RETURNS double precision
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN 2 ^ (bin / 4);
COMMENT ON FUNCTION facematch_internal.latency_of_bin(double precision) IS 'the longest time of a histogram bin, in milliseconds';

CREATE TYPE facematch_internal.encounter_tally AS (
	cell		facematch_internal.encounter_count,
	matches		bigint[],
	runners_up	bigint[],
	latencies	bigint[]
);
COMMENT ON TYPE facematch_internal.encounter_tally IS 'encounters of one day, place, model and threshold, counted';
COMMENT ON COLUMN facematch_internal.encounter_tally.cell IS 'the counts';
COMMENT ON COLUMN facematch_internal.encounter_tally.matches IS 'histogram of the matches'' similarities, by facematch_internal.score_bin(); NULL: no match had one';
COMMENT ON COLUMN facematch_internal.encounter_tally.runners_up IS 'histogram of the best other persons'' similarities, likewise';
COMMENT ON COLUMN facematch_internal.encounter_tally.latencies IS 'histogram of response times, by facematch_internal.latency_bin(); NULL: none was measured';

CREATE FUNCTION facematch_internal.tally_query(source text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN format($query$
		SELECT ROW(e.day_utc, e.port, e.mode, e.direction, e.kind, e.model, e.threshold, count(*),
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
				   count(*) FILTER (WHERE e.posting_id IS NULL))::facematch_internal.encounter_count,
			   facematch_internal.bin_counts(facematch_internal.score_bin(e.similarity)) FILTER (WHERE e.outcome = 'match' AND e.override_reason IS NULL),
			   facematch_internal.bin_counts(facematch_internal.score_bin(e.runner_up)),
			   facematch_internal.bin_counts(facematch_internal.latency_bin(e.latency_ms))
		FROM (SELECT facematch_internal.utc_day(s.occurred_at) AS day_utc, facematch_internal.whole_hundredth(s.threshold) AS threshold, s.port COLLATE "C" AS port,
					 s.mode COLLATE "C" AS mode, s.direction COLLATE "C" AS direction, s.kind COLLATE "C" AS kind, s.model COLLATE "C" AS model,
					 s.outcome, s.reason, s.override_reason, s.similarity, s.runner_up, s.posting_id, s.latency_ms FROM %s s) e
		GROUP BY e.day_utc, e.port, e.mode, e.direction, e.kind, e.model, e.threshold $query$, source);
COMMENT ON FUNCTION facematch_internal.tally_query(text) IS 'the query that counts encounters of a source, a table''s name, into rows of facematch_internal.encounter_tally';

CREATE FUNCTION facematch_internal.group_query(source text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN format($query$
		SELECT date_trunc('month', e.day_utc::timestamp)::date, g.key, g.value, sum(e.n)::bigint, sum(e.matches)::bigint, sum(e.missed)::bigint
		FROM (SELECT facematch_internal.utc_day(s.occurred_at) AS day_utc, s.groups, count(*) AS n,
					 count(*) FILTER (WHERE s.outcome = 'match' AND s.override_reason IS NULL) AS matches,
					 count(*) FILTER (WHERE s.override_reason IS NOT NULL) AS missed
			  FROM %s s WHERE s.reason IS NULL AND s.groups IS NOT NULL GROUP BY 1, 2) e, LATERAL jsonb_each_text(e.groups) g
		GROUP BY 1, 2, 3 $query$, source);
COMMENT ON FUNCTION facematch_internal.group_query(text) IS 'the query that counts searches of a source, a table''s name, by month and group, into rows of facematch_internal.encounter_group';

-- The planner takes every moment for a group of its own unless it is told how few days there are; with these it counts with parallel workers.
CREATE STATISTICS facematch_internal.encounter_day ON (facematch_internal.utc_day(occurred_at)) FROM facematch.encounter;
COMMENT ON STATISTICS facematch_internal.encounter_day IS 'how many days there are';
CREATE STATISTICS facematch_internal.encounter_threshold ON (facematch_internal.whole_hundredth(threshold)) FROM facematch.encounter;
COMMENT ON STATISTICS facematch_internal.encounter_threshold IS 'how many thresholds there are';

-- A tally as rows of the tables of what is kept.
CREATE FUNCTION facematch_internal.tally_scores(tally facematch_internal.encounter_tally) RETURNS SETOF facematch_internal.encounter_score
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 50
BEGIN ATOMIC
	SELECT ((tally).cell).day_utc, ((tally).cell).kind, ((tally).cell).model, ((tally).cell).threshold, h.score, b.bin::smallint, h.counts[b.bin]
	FROM (VALUES ('match', (tally).matches), ('runner_up', (tally).runners_up)) h (score, counts), LATERAL generate_subscripts(h.counts, 1) b (bin)
	WHERE h.counts[b.bin] > 0;
END;
COMMENT ON FUNCTION facematch_internal.tally_scores(facematch_internal.encounter_tally) IS 'the histograms of scores of a tally, a row for each bin';

CREATE FUNCTION facematch_internal.tally_latencies(tally facematch_internal.encounter_tally) RETURNS SETOF facematch_internal.encounter_latency
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20
BEGIN ATOMIC
	SELECT ((tally).cell).day_utc, ((tally).cell).port, ((tally).cell).mode, ((tally).cell).kind, b.bin::smallint, ((tally).latencies)[b.bin]
	FROM generate_subscripts((tally).latencies, 1) b (bin) WHERE ((tally).latencies)[b.bin] > 0;
END;
COMMENT ON FUNCTION facematch_internal.tally_latencies(facematch_internal.encounter_tally) IS 'the histogram of response times of a tally, a row for each bin';

---------------------------------------------------------------- what is deleted is added up

-- Two purges that add to the same cells wait for each other in the same order: table by table, and by the keys within each.
-- Before the first ANALYZE the planner would sort all rows: hash tables, which enable_sort leaves it, are enough for the few cells.
-- Where it has to sort all the same, it takes the plan for dear enough to compile, which costs a second: so jit is off too.
CREATE FUNCTION facematch_internal.keep_statistics() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_sort = off SET jit = off
AS $$
DECLARE
	tallies facematch_internal.encounter_tally[];
BEGIN
	EXECUTE format('SELECT array_agg(t::facematch_internal.encounter_tally) FROM (%s) t', facematch_internal.tally_query('gone')) INTO tallies;
	IF tallies IS NULL THEN
		RETURN NULL;
	END IF;
	INSERT INTO facematch_internal.encounter_count AS c
	SELECT (t.cell).* FROM unnest(tallies) t ORDER BY t.cell
	ON CONFLICT ON CONSTRAINT encounter_count_cell DO UPDATE SET encounters = c.encounters + EXCLUDED.encounters,
		searches = c.searches + EXCLUDED.searches, matches = c.matches + EXCLUDED.matches, no_matches = c.no_matches + EXCLUDED.no_matches,
		manual_inspections = c.manual_inspections + EXCLUDED.manual_inspections, overrides = c.overrides + EXCLUDED.overrides,
		missed = c.missed + EXCLUDED.missed, opted_out = c.opted_out + EXCLUDED.opted_out, exempt = c.exempt + EXCLUDED.exempt,
		no_probe = c.no_probe + EXCLUDED.no_probe, ambiguous = c.ambiguous + EXCLUDED.ambiguous,
		without_notice = c.without_notice + EXCLUDED.without_notice;
	INSERT INTO facematch_internal.encounter_score AS c
	SELECT s.day_utc, s.kind, s.model, s.threshold, s.score, s.bin, sum(s.n)::bigint FROM unnest(tallies) t, LATERAL facematch_internal.tally_scores(t) s
	GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
	ON CONFLICT ON CONSTRAINT encounter_score_cell DO UPDATE SET n = c.n + EXCLUDED.n;
	INSERT INTO facematch_internal.encounter_latency AS c
	SELECT l.day_utc, l.port, l.mode, l.kind, l.bin, sum(l.n)::bigint FROM unnest(tallies) t, LATERAL facematch_internal.tally_latencies(t) l
	GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
	ON CONFLICT ON CONSTRAINT encounter_latency_cell DO UPDATE SET n = c.n + EXCLUDED.n;
	EXECUTE format('INSERT INTO facematch_internal.encounter_group AS c SELECT g.* FROM (%s OFFSET 0) g ORDER BY g'
				   ' ON CONFLICT ON CONSTRAINT encounter_group_cell DO UPDATE SET searches = c.searches + EXCLUDED.searches,'
				   ' matches = c.matches + EXCLUDED.matches, missed = c.missed + EXCLUDED.missed', facematch_internal.group_query('gone'));
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_statistics() IS 'trigger: adds the deleted encounters to the statistics';

CREATE TRIGGER encounter_50_statistics AFTER DELETE ON facematch.encounter
	REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION facematch_internal.keep_statistics();
ALTER TABLE facematch.encounter ENABLE ALWAYS TRIGGER encounter_50_statistics;
COMMENT ON TRIGGER encounter_50_statistics ON facematch.encounter IS 'keeps the statistics of deleted rows';

---------------------------------------------------------------- the rows that are there, and those that were

CREATE FUNCTION facematch_internal.tally_encounters(first_day date DEFAULT '-infinity', last_day date DEFAULT 'infinity') RETURNS SETOF facematch_internal.encounter_tally
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_sort = off SET jit = off
AS $$
BEGIN
	RETURN QUERY EXECUTE facematch_internal.tally_query('(SELECT o.* FROM facematch.encounter o WHERE o.occurred_at >= $1 AND o.occurred_at < $2)')
		USING first_day::timestamp AT TIME ZONE 'UTC', (last_day + 1)::timestamp AT TIME ZONE 'UTC';
END
$$;
COMMENT ON FUNCTION facematch_internal.tally_encounters(date, date) IS 'the encounters that are there, counted in one pass, of the days (UTC) from first_day to last_day';

CREATE FUNCTION facematch_internal.count_encounters() RETURNS SETOF facematch_internal.encounter_count
	LANGUAGE sql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT (t.cell).* FROM facematch_internal.tally_encounters() t UNION ALL TABLE facematch_internal.encounter_count
$$;
COMMENT ON FUNCTION facematch_internal.count_encounters() IS 'counts of the encounters that are there, and of those that were deleted; the same cell may come twice';

CREATE FUNCTION facematch_internal.count_scores() RETURNS SETOF facematch_internal.encounter_score
	LANGUAGE sql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.* FROM facematch_internal.tally_encounters() t, LATERAL facematch_internal.tally_scores(t) s UNION ALL TABLE facematch_internal.encounter_score
$$;
COMMENT ON FUNCTION facematch_internal.count_scores() IS 'histograms of scores, likewise';

CREATE FUNCTION facematch_internal.count_groups() RETURNS SETOF facematch_internal.encounter_group
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_sort = off SET jit = off
AS $$
BEGIN
	-- Of the month that runs nothing is shown, and few encounters are older.
	RETURN QUERY EXECUTE facematch_internal.group_query('(SELECT o.* FROM facematch.encounter o WHERE o.occurred_at < $1)')
		USING date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
	RETURN QUERY SELECT g.* FROM facematch_internal.encounter_group g;
END
$$;
COMMENT ON FUNCTION facematch_internal.count_groups() IS 'searches by month and group, likewise, of encounters before this month and of deleted ones; exact, so not for an auditor';

-- One statement, and so one snapshot: a purge that ends meanwhile moves nothing from one sum into the other, or into both.
-- Of scores and response times nobody asks by port.
CREATE FUNCTION facematch_internal.count_period(first_day date, last_day date, OUT counts facematch_internal.encounter_count[], OUT scores facematch_internal.encounter_score[],
									   OUT latencies facematch_internal.encounter_latency[])
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB'
AS $$
	WITH tally AS MATERIALIZED (SELECT t FROM facematch_internal.tally_encounters($1, $2) t)
	SELECT ARRAY(SELECT (y.t).cell FROM tally y UNION ALL SELECT c FROM facematch_internal.encounter_count c WHERE c.day_utc BETWEEN $1 AND $2),
		   ARRAY(SELECT ROW(u.day_utc, u.kind, u.model, u.threshold, u.score, u.bin, sum(u.n))::facematch_internal.encounter_score
				 FROM (SELECT s.* FROM tally y, LATERAL facematch_internal.tally_scores(y.t) s
					   UNION ALL SELECT s.* FROM facematch_internal.encounter_score s WHERE s.day_utc BETWEEN $1 AND $2) u
				 GROUP BY u.day_utc, u.kind, u.model, u.threshold, u.score, u.bin),
		   ARRAY(SELECT ROW(u.day_utc, '', NULL, u.kind, u.bin, sum(u.n))::facematch_internal.encounter_latency
				 FROM (SELECT l.* FROM tally y, LATERAL facematch_internal.tally_latencies(y.t) l
					   UNION ALL SELECT l.* FROM facematch_internal.encounter_latency l WHERE l.day_utc BETWEEN $1 AND $2) u
				 GROUP BY u.day_utc, u.kind, u.bin)
$$;
COMMENT ON FUNCTION facematch_internal.count_period(date, date) IS
	'counts, histograms of scores and of response times of the days (UTC) from first_day to last_day, of encounters that are there and of deleted ones; the same cell of counts may come twice, response times are of all ports together';

-- By day, port, mode and kind of gallery; the views report_daily and report_latency are its columns.
CREATE FUNCTION facematch_internal.count_days()
	RETURNS TABLE (day_utc date, port text, mode text, kind text, encounters bigint, searches bigint, matches bigint, no_matches bigint,
				   manual_inspections bigint, overrides bigint, opted_out bigint, exempt bigint, no_probe bigint, ambiguous bigint, without_notice bigint,
				   measured bigint, p50_ms double precision, p90_ms double precision, p99_ms double precision, longest_ms double precision)
	LANGUAGE sql STABLE SECURITY DEFINER ROWS 1000 SET search_path = pg_catalog, pg_temp SET work_mem = '64MB'
AS $$
	WITH tally AS MATERIALIZED (SELECT t FROM facematch_internal.tally_encounters() t),
	counted AS (
		SELECT c.day_utc, c.port, c.mode, c.kind, sum(c.encounters)::bigint AS encounters, sum(c.searches)::bigint AS searches, sum(c.matches)::bigint AS matches,
			   sum(c.no_matches)::bigint AS no_matches, sum(c.manual_inspections)::bigint AS manual_inspections, sum(c.overrides)::bigint AS overrides,
			   sum(c.opted_out)::bigint AS opted_out, sum(c.exempt)::bigint AS exempt, sum(c.no_probe)::bigint AS no_probe,
			   sum(c.ambiguous)::bigint AS ambiguous, sum(c.without_notice)::bigint AS without_notice
		FROM (SELECT ((y.t).cell).* FROM tally y UNION ALL TABLE facematch_internal.encounter_count) c GROUP BY 1, 2, 3, 4),
	upto AS (
		SELECT l.day_utc, l.port, l.mode, l.kind, l.bin, sum(sum(l.n)) OVER (w ORDER BY l.bin) AS upto, sum(sum(l.n)) OVER w AS total
		FROM (SELECT s.* FROM tally y, LATERAL facematch_internal.tally_latencies(y.t) s UNION ALL TABLE facematch_internal.encounter_latency) l
		GROUP BY 1, 2, 3, 4, 5 WINDOW w AS (PARTITION BY l.day_utc, l.port, l.mode, l.kind)),
	slow AS (
		SELECT u.day_utc, u.port, u.mode, u.kind, max(u.total)::bigint AS measured,
			   facematch_internal.latency_of_bin(min(u.bin) FILTER (WHERE u.upto >= 0.5 * u.total)) AS p50_ms,
			   facematch_internal.latency_of_bin(min(u.bin) FILTER (WHERE u.upto >= 0.9 * u.total)) AS p90_ms,
			   facematch_internal.latency_of_bin(min(u.bin) FILTER (WHERE u.upto >= 0.99 * u.total)) AS p99_ms,
			   facematch_internal.latency_of_bin(max(u.bin)) AS longest_ms
		FROM upto u GROUP BY 1, 2, 3, 4)
	SELECT c.*, s.measured, s.p50_ms, s.p90_ms, s.p99_ms, s.longest_ms
	FROM counted c LEFT JOIN slow s ON s.day_utc = c.day_utc AND s.port = c.port AND coalesce(s.mode, '') = coalesce(c.mode, '')
		AND coalesce(s.kind, '') = coalesce(c.kind, '')
$$;
COMMENT ON FUNCTION facematch_internal.count_days() IS 'the columns of facematch.report_daily and report_latency, by day, port, mode and kind of gallery';

SELECT pg_catalog.pg_extension_config_dump('facematch_internal.encounter_count', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.encounter_score', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.encounter_latency', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.encounter_group', '');
