/*
 * Statistics of encounters: counts of the stored rows, and totals of the deleted ones.
 *
 * An encounter is purged within hours or days. A trigger adds deleted encounters to
 * three tables, by day and place, never by person, gallery or moment. A report is
 * always the sum of these tables and the stored rows, counted by the same query, so a
 * purge does not change it.
 */

-- A user who writes encounters runs their checks; the operator notes groups.
INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, shipped) VALUES
	('everyone', 'function', 'groups_fault', 'EXECUTE', true),
	('operator', 'function', 'note_groups', 'EXECUTE', true);

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
	no_probe			bigint NOT NULL,
	ambiguous			bigint NOT NULL,
	without_notice		bigint NOT NULL,
	CONSTRAINT encounter_count_cell UNIQUE NULLS NOT DISTINCT (day_utc, port, mode, direction, kind, model, threshold)
);
COMMENT ON TABLE facematch_internal.encounter_count IS
	'encounters that were deleted, counted by day and place; written by a trigger, read through facematch.report_daily';
COMMENT ON COLUMN facematch_internal.encounter_count.day_utc IS 'day of the encounter, in UTC';
COMMENT ON COLUMN facematch_internal.encounter_count.port IS 'port';
COMMENT ON COLUMN facematch_internal.encounter_count.mode IS 'air, sea or land; NULL: not recorded';
COMMENT ON COLUMN facematch_internal.encounter_count.direction IS 'entry or exit; NULL: not recorded';
COMMENT ON COLUMN facematch_internal.encounter_count.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch_internal.encounter_count.model IS 'model in use';
COMMENT ON COLUMN facematch_internal.encounter_count.threshold IS
	'threshold in use, a cosine similarity, rounded to a hundredth: a gallery with a target FPIR has its own';
COMMENT ON COLUMN facematch_internal.encounter_count.encounters IS 'how many encounters';
COMMENT ON COLUMN facematch_internal.encounter_count.searches IS 'of them, those where a photograph was compared';
COMMENT ON COLUMN facematch_internal.encounter_count.matches IS 'of them, matches by comparison';
COMMENT ON COLUMN facematch_internal.encounter_count.no_matches IS
	'of them, travelers referred because nothing matched, whom no officer has recognised since';
COMMENT ON COLUMN facematch_internal.encounter_count.manual_inspections IS
	'of them, travelers whose document was looked at instead of a comparison';
COMMENT ON COLUMN facematch_internal.encounter_count.overrides IS 'of them, matches that an officer decided';
COMMENT ON COLUMN facematch_internal.encounter_count.missed IS
	'of the searches, those that did not match and where an officer then found the traveler to be who the document says';
COMMENT ON COLUMN facematch_internal.encounter_count.opted_out IS
	'of the encounters, those without a comparison because the traveler had declined';
COMMENT ON COLUMN facematch_internal.encounter_count.no_probe IS
	'of the encounters, those without a photograph for another reason';
COMMENT ON COLUMN facematch_internal.encounter_count.ambiguous IS
	'of the searches, those where more than one subject was above the threshold';
COMMENT ON COLUMN facematch_internal.encounter_count.without_notice IS
	'of the encounters, those at places where no posted notice was on record';

CREATE TABLE facematch_internal.encounter_histogram (
	day_utc		date NOT NULL,
	measure		text NOT NULL CONSTRAINT encounter_histogram_measure_is_known
				CHECK (measure IN ('match', 'runner_up', 'latency', 'resolution')),
	port		text,
	mode		text,
	kind		text,
	model		text,
	threshold	double precision,
	bin			smallint NOT NULL CONSTRAINT encounter_histogram_bin_range
				CHECK (measure IN ('latency', 'resolution') OR bin BETWEEN -100 AND 99),
	n			bigint NOT NULL,
	CONSTRAINT encounter_histogram_cell UNIQUE NULLS NOT DISTINCT (day_utc, measure, port, mode, kind, model, threshold,
		bin)
);
COMMENT ON TABLE facematch_internal.encounter_histogram IS
	'histograms of scores and times of encounters that were deleted; written by a trigger';
COMMENT ON COLUMN facematch_internal.encounter_histogram.day_utc IS 'day of the encounter, in UTC';
COMMENT ON COLUMN facematch_internal.encounter_histogram.measure IS
	'match: score of the reference that matched; runner_up: of the best candidate of another subject; latency: response '
	'time; resolution: from the encounter until an officer decided';
COMMENT ON COLUMN facematch_internal.encounter_histogram.port IS
	'port; NULL for scores, which are counted for all ports together';
COMMENT ON COLUMN facematch_internal.encounter_histogram.mode IS 'air, sea or land; NULL: not recorded, or a score';
COMMENT ON COLUMN facematch_internal.encounter_histogram.kind IS 'kind of the gallery; NULL: not recorded';
COMMENT ON COLUMN facematch_internal.encounter_histogram.model IS 'model in use; NULL for times';
COMMENT ON COLUMN facematch_internal.encounter_histogram.threshold IS
	'threshold in use, rounded to a hundredth; NULL for times';
COMMENT ON COLUMN facematch_internal.encounter_histogram.bin IS
	'score: from bin / 100 up to (bin + 1) / 100, the last one with 1; times: up to 2 ^ (bin / 4) milliseconds';
COMMENT ON COLUMN facematch_internal.encounter_histogram.n IS 'how many encounters';

CREATE TABLE facematch_internal.encounter_group (
	month_utc	date NOT NULL,
	attribute	text NOT NULL,
	value		text NOT NULL,
	searches	bigint NOT NULL,
	matches		bigint NOT NULL,
	missed		bigint NOT NULL,
	CONSTRAINT encounter_group_cell PRIMARY KEY (month_utc, attribute, value)
);
COMMENT ON TABLE facematch_internal.encounter_group IS
	'searches of encounters that were deleted, by month and group; exact, so nobody reads it but through '
	'facematch.report_differential';
COMMENT ON COLUMN facematch_internal.encounter_group.month_utc IS 'first day of the month, in UTC';
COMMENT ON COLUMN facematch_internal.encounter_group.attribute IS
	'what the groups differ in, a key of encounter.groups';
COMMENT ON COLUMN facematch_internal.encounter_group.value IS 'the group';
COMMENT ON COLUMN facematch_internal.encounter_group.searches IS 'encounters where a photograph was compared';
COMMENT ON COLUMN facematch_internal.encounter_group.matches IS 'of them, matches by comparison';
COMMENT ON COLUMN facematch_internal.encounter_group.missed IS
	'of them, those that did not match and where an officer then found the traveler to be who the document says';

SELECT pg_catalog.pg_extension_config_dump('facematch_internal.encounter_count', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.encounter_histogram', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.encounter_group', '');

---------------------------------------------------------------- counting, in one pass

CREATE FUNCTION facematch_internal.bin_counts_add(counts bigint[], bin smallint) RETURNS bigint[]
	AS 'MODULE_PATHNAME', 'facematch_bin_counts_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION facematch_internal.bin_counts_add(bigint[], smallint) IS
	'a histogram with one more in a bin; NULL counts are none, a NULL bin adds nothing. Not a histogram: 22023';

CREATE FUNCTION facematch_internal.bin_counts_merge(counts bigint[], others bigint[]) RETURNS bigint[]
	AS 'MODULE_PATHNAME', 'facematch_bin_counts_merge' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION facematch_internal.bin_counts_merge(bigint[], bigint[]) IS
	'the sum of two histograms. Not a histogram: 22023';

CREATE AGGREGATE facematch_internal.bin_counts(bin smallint) (
	SFUNC = facematch_internal.bin_counts_add,
	STYPE = bigint[],
	COMBINEFUNC = facematch_internal.bin_counts_merge,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE facematch_internal.bin_counts(smallint) IS
	'a histogram: how often each bin comes, in an array whose subscripts are the bins. NULLs do not count; of nothing: '
	'NULL';

CREATE TYPE facematch_internal.encounter_tally AS (
	cell		facematch_internal.encounter_count,
	matches		bigint[],
	runners_up	bigint[],
	latencies	bigint[],
	resolutions	bigint[]
);
COMMENT ON TYPE facematch_internal.encounter_tally IS
	'encounters of one day, place, model and threshold: their counts, and histograms of scores and times';

/*
 * The day comes from date_bin(), which looks up no time zone: that would cost more than all else that is counted of a
 * row.
 */
CREATE FUNCTION facematch_internal.counting_queries(source text, OUT tallies text, OUT groups text)
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
BEGIN
	tallies := format($query$
		SELECT ROW((e.day AT TIME ZONE 'UTC')::date, e.port, e.mode, e.direction, e.kind, e.model, e.threshold, count(*),
				   count(*) FILTER (WHERE e.reason IS NULL),
				   count(*) FILTER (WHERE e.compared),
				   count(*) FILTER (WHERE e.outcome = 'no_match'),
				   count(*) FILTER (WHERE e.outcome = 'manual_inspection'),
				   count(*) FILTER (WHERE e.override_reason IS NOT NULL AND NOT e.compared),
				   count(*) FILTER (WHERE e.override_reason IS NOT NULL AND e.reason IS NULL AND NOT e.compared),
				   count(*) FILTER (WHERE e.reason = 'opted_out'),
				   count(*) FILTER (WHERE e.reason IN ('no_probe', 'low_quality')),
				   count(e.runner_up),
				   count(*) FILTER (WHERE e.posting_id IS NULL))::encounter_count,
			   -- Of a score in hundredths, a hundred times it may be a little less than a whole number.
			   bin_counts(least(floor(round(e.similarity * 1e6) / 1e4), 99)::smallint)
				   FILTER (WHERE e.compared AND e.similarity IS NOT NULL),
			   bin_counts(least(floor(round(e.runner_up * 1e6) / 1e4), 99)::smallint) FILTER (WHERE e.runner_up IS NOT NULL),
			   -- Four bins for each doubling, from a microsecond on.
			   bin_counts(ceil(4 * ln(greatest(e.latency_ms, 0.001)) / ln(2::double precision))::smallint)
				   FILTER (WHERE e.latency_ms IS NOT NULL),
			   bin_counts(ceil(4 * ln(greatest(extract(epoch FROM e.overridden_at - e.occurred_at)::float8 * 1000,
			       0.001)) / ln(2::float8))::smallint)
				   FILTER (WHERE e.override_reason IS NOT NULL)
		FROM (SELECT date_bin('1 day', s.occurred_at, '2000-01-01 00:00+00') AS day,
			round(s.threshold * 100) / 100 AS threshold, s.port COLLATE "C" AS port, s.mode COLLATE "C" AS mode,
			s.direction COLLATE "C" AS direction, s.kind COLLATE "C" AS kind, s.model COLLATE "C" AS model, s.outcome,
			s.reason, s.override_reason, s.similarity, s.runner_up, s.posting_id, s.latency_ms, s.overridden_at, s.occurred_at,
			-- An officer who looks at a watchlist match does not make it less of one.
			s.outcome = 'match' AND (s.override_reason IS NULL OR s.reference_id IS NOT NULL) AS compared
			  FROM %s s) e
		GROUP BY e.day, e.port, e.mode, e.direction, e.kind, e.model, e.threshold $query$, source);
	groups := format($query$
		SELECT date_trunc('month', e.day AT TIME ZONE 'UTC')::date, g.key, g.value, sum(e.n)::bigint, sum(e.matches)::bigint,
			   sum(e.missed)::bigint
		FROM (SELECT date_bin('1 day', s.occurred_at, '2000-01-01 00:00+00') AS day, s.groups, count(*) AS n,
					 count(*) FILTER (WHERE s.outcome = 'match' AND (s.override_reason IS NULL
					     OR s.reference_id IS NOT NULL)) AS matches,
					 count(*) FILTER (WHERE s.override_reason IS NOT NULL AND s.reference_id IS NULL) AS missed
			  FROM %s s WHERE s.reason IS NULL AND s.groups IS NOT NULL GROUP BY 1, 2) e, LATERAL jsonb_each_text(e.groups) g
		GROUP BY 1, 2, 3 $query$, source);
END
$$;
COMMENT ON FUNCTION facematch_internal.counting_queries(text) IS
	'the queries that count encounters of a source, a table''s name: into encounter_tally, and into encounter_group';

-- Without these the planner takes every moment for a group of its own; with them it counts with parallel workers.
CREATE STATISTICS facematch_internal.encounter_day ON (date_bin('1 day', occurred_at, '2000-01-01 00:00+00'))
	FROM facematch.encounter;
COMMENT ON STATISTICS facematch_internal.encounter_day IS 'how many days there are';
CREATE STATISTICS facematch_internal.encounter_threshold ON (round(threshold * 100) / 100) FROM facematch.encounter;
COMMENT ON STATISTICS facematch_internal.encounter_threshold IS 'how many thresholds there are';
CREATE STATISTICS facematch_internal.encounter_place (ndistinct)
	ON (date_bin('1 day', occurred_at, '2000-01-01 00:00+00')), port, gallery, model, threshold FROM facematch.encounter;
COMMENT ON STATISTICS facematch_internal.encounter_place IS 'how many rows facematch.report_matching has';

CREATE FUNCTION facematch_internal.tally_histograms(tally facematch_internal.encounter_tally)
	RETURNS SETOF facematch_internal.encounter_histogram
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 70
BEGIN ATOMIC
	SELECT c.day_utc, h.measure, CASE WHEN h.timed THEN c.port END,
		CASE WHEN h.timed THEN c.mode END, c.kind, CASE WHEN NOT h.timed THEN c.model END,
		CASE WHEN NOT h.timed THEN c.threshold END, b.bin::smallint, h.counts[b.bin]
	FROM (SELECT ((tally).cell).*) c,
		 (VALUES ('match', false, (tally).matches), ('runner_up', false, (tally).runners_up), ('latency',
		     true, (tally).latencies),
				 ('resolution', true, (tally).resolutions)) h (measure, timed, counts),
				     LATERAL generate_subscripts(h.counts, 1) b (bin)
	WHERE h.counts[b.bin] > 0;
END;
COMMENT ON FUNCTION facematch_internal.tally_histograms(facematch_internal.encounter_tally) IS
	'the histograms of a tally, a row for each bin';

---------------------------------------------------------------- what is deleted is added up

-- Two purges that add to the same cells wait for each other in the same order: table by table, and by the keys within
-- each. Before the first ANALYZE the planner would sort all rows: hash tables, which enable_sort leaves it, are enough
-- for the few cells.  Where it has to sort all the same, it expects so high a cost that it would compile the plan, for
-- a second: no jit.
CREATE FUNCTION facematch_internal.keep_statistics() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
	SET work_mem = '64MB' SET enable_sort = off SET jit = off
AS $$
DECLARE
	queries record := counting_queries('gone');
	tallies encounter_tally[];
BEGIN
	EXECUTE format('SELECT array_agg(t::encounter_tally) FROM (%s) t', queries.tallies) INTO tallies;
	IF tallies IS NULL THEN
		RETURN NULL;
	END IF;
	INSERT INTO encounter_count AS c
	SELECT (t.cell).* FROM unnest(tallies) t ORDER BY t.cell
	ON CONFLICT ON CONSTRAINT encounter_count_cell DO UPDATE SET encounters = c.encounters + EXCLUDED.encounters,
		searches = c.searches + EXCLUDED.searches, matches = c.matches + EXCLUDED.matches,
		no_matches = c.no_matches + EXCLUDED.no_matches,
		manual_inspections = c.manual_inspections + EXCLUDED.manual_inspections,
			overrides = c.overrides + EXCLUDED.overrides, missed = c.missed + EXCLUDED.missed,
			opted_out = c.opted_out + EXCLUDED.opted_out,
			no_probe = c.no_probe + EXCLUDED.no_probe, ambiguous = c.ambiguous + EXCLUDED.ambiguous,
			without_notice = c.without_notice + EXCLUDED.without_notice;
	INSERT INTO encounter_histogram AS c
	SELECT h.day_utc, h.measure, h.port, h.mode, h.kind, h.model, h.threshold, h.bin, sum(h.n)::bigint
	FROM unnest(tallies) t, LATERAL tally_histograms(t) h
	GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
	ON CONFLICT ON CONSTRAINT encounter_histogram_cell DO UPDATE SET n = c.n + EXCLUDED.n;
	EXECUTE format('INSERT INTO encounter_group AS c SELECT g.* FROM (%s OFFSET 0) g ORDER BY g'
				   ' ON CONFLICT ON CONSTRAINT encounter_group_cell DO UPDATE SET searches = c.searches + EXCLUDED.searches,'
				   ' matches = c.matches + EXCLUDED.matches, missed = c.missed + EXCLUDED.missed', queries.groups);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_statistics() IS 'trigger: adds the deleted encounters to the statistics';

CREATE TRIGGER encounter_50_statistics AFTER DELETE ON facematch.encounter
	REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION facematch_internal.keep_statistics();
ALTER TABLE facematch.encounter ENABLE ALWAYS TRIGGER encounter_50_statistics;
COMMENT ON TRIGGER encounter_50_statistics ON facematch.encounter IS 'keeps the statistics of deleted rows';

---------------------------------------------------------------- the rows that are there, and those that were

-- STABLE, so all its statements have one snapshot: a purge that ends meanwhile moves nothing from one sum into the
-- other.
CREATE FUNCTION facematch_internal.count_period(first_day date DEFAULT '-infinity', last_day date DEFAULT 'infinity',
	OUT counts facematch_internal.encounter_count[], OUT histograms facematch_internal.encounter_histogram[])
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
	SET work_mem = '64MB' SET enable_sort = off SET jit = off
AS $$
DECLARE
	tallies encounter_tally[];
BEGIN
	EXECUTE format('SELECT array_agg(t::encounter_tally) FROM (%s) t', (counting_queries(
		'(SELECT o.* FROM facematch.encounter o WHERE o.occurred_at >= $1 AND o.occurred_at < $2)')).tallies)
		INTO tallies USING first_day::timestamp AT TIME ZONE 'UTC', (last_day + 1)::timestamp AT TIME ZONE 'UTC';
	counts := ARRAY(SELECT t.cell FROM unnest(tallies) t
					UNION ALL SELECT c FROM encounter_count c WHERE c.day_utc BETWEEN first_day AND last_day);
	histograms := ARRAY(
		SELECT ROW(u.day_utc, u.measure, u.port, u.mode, u.kind, u.model, u.threshold, u.bin, sum(u.n))
			::encounter_histogram
		FROM (SELECT h.* FROM unnest(tallies) t, LATERAL tally_histograms(t) h
			  UNION ALL SELECT h.* FROM encounter_histogram h WHERE h.day_utc BETWEEN first_day AND last_day) u
		GROUP BY u.day_utc, u.measure, u.port, u.mode, u.kind, u.model, u.threshold, u.bin);
END
$$;
COMMENT ON FUNCTION facematch_internal.count_period(date, date) IS
	'counts and histograms of the days (UTC) from first_day to last_day, of encounters that are there and of deleted '
	'ones; the same cell of counts may come twice';
