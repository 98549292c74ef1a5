-- Statistics that outlive encounters, the report views, small cells, and the page.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
CREATE FUNCTION face(n int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[cosd(n * 4), sind(n * 4)]::face_embedding $$;
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F', 'flight', 'two', 0.99, now() + interval '2 hours'),
	('C', 'cruise', 'two', 0.999, now() + interval '2 hours');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(n), 'us_citizen', face(n), 's' FROM facematch.gallery, generate_series(1, 40) n;

-- record_encounter() measures: how long it took, who came second, and what kind of gallery it was.
SELECT outcome FROM facematch.record_encounter('F', face(3), 'JFK', mode => 'air', direction => 'exit', idempotency_key => 'a');
SELECT outcome FROM facematch.record_encounter('C', face(3), 'MIA', mode => 'sea', idempotency_key => 'b');
SELECT outcome FROM facematch.record_encounter('F', face(60), 'JFK', mode => 'air', idempotency_key => 'c');
SELECT idempotency_key, kind, round(similarity::numeric, 3) AS similarity, round(runner_up::numeric, 3) AS runner_up,
	   latency_ms > 0 AND latency_ms < 60000 AS measured FROM facematch.encounter ORDER BY 1;
-- What it measured is a record.
UPDATE facematch.encounter SET latency_ms = 1;
UPDATE facematch.encounter SET runner_up = NULL WHERE idempotency_key = 'a';
-- What cannot be, said without the row.
INSERT INTO facematch.encounter (gallery, port, outcome, threshold, model, retention_class, latency_ms, probe) VALUES ('F', 'JFK', 'no_match', 0.5, 'two', 'unmatched', -1, '[0.25,0.125]');
INSERT INTO facematch.encounter (gallery, port, outcome, threshold, model, retention_class, runner_up, probe) VALUES ('F', 'JFK', 'no_match', 0.5, 'two', 'unmatched', 1.5, '[0.25,0.125]');
SELECT facematch.note_groups(1, '["a"]');
SELECT facematch.note_groups(1, '{"age": 7}');
SELECT facematch.note_groups(1, '{"": "x"}');
SELECT facematch.note_groups(1, jsonb_build_object('a', repeat('x', 101)));
SELECT facematch.note_groups(1, (SELECT jsonb_object_agg(n::text, 'x') FROM generate_series(1, 17) n));
SELECT facematch.note_groups(99, '{"age": "60-69"}');
SELECT facematch.note_groups(1, '{"age": "60-69", "sex": "F"}');
SELECT groups FROM facematch.encounter WHERE encounter_id = 1;

-- Many, on three days of a month that is over, and their counts by hand.
DELETE FROM facematch.encounter;
DELETE FROM facematch_internal.encounter_count;
DELETE FROM facematch_internal.encounter_histogram;
DELETE FROM facematch_internal.encounter_group;
CREATE TABLE plan AS
SELECT n, date '2025-03-01' + n % 3 AS day, (ARRAY['JFK', 'LAX'])[1 + n % 2] AS port, CASE WHEN n % 10 = 0 THEN NULL ELSE 'air' END AS mode,
	   CASE WHEN n % 20 = 1 THEN 'manual_inspection' WHEN n % 20 IN (2, 3) THEN 'no_match' ELSE 'match' END AS outcome,
	   CASE WHEN n % 40 = 1 THEN 'opted_out' WHEN n % 40 = 21 THEN 'no_probe' END AS reason, 0.5 + n % 50 / 100.0 AS similarity, 1 + n % 100 AS ms,
	   (ARRAY['north', 'north', 'north', 'south', 'south'])[1 + n / 20 % 5] AS region
FROM generate_series(0, 1999) n;
INSERT INTO facematch.encounter (gallery_id, gallery, occurred_at, port, mode, outcome, reason, subject_id, reference_id, similarity, threshold, model,
								 retention_class, runner_up, latency_ms, groups)
SELECT 1, 'F', day + interval '1 hour', port, mode, outcome, reason, CASE outcome WHEN 'match' THEN subject(1) END, CASE outcome WHEN 'match' THEN 1 END,
	   CASE outcome WHEN 'match' THEN similarity END, 0.5, 'two', 'us_citizen', CASE WHEN n % 100 = 4 THEN 0.5 END,
	   CASE WHEN outcome <> 'manual_inspection' THEN ms END, jsonb_build_object('region', region) FROM plan;
-- An officer lets half of the referred pass.
UPDATE facematch.encounter e SET outcome = 'match', subject_id = subject(2), override_reason = 'document' FROM plan p
WHERE e.outcome = 'no_match' AND p.n = e.encounter_id - (SELECT min(encounter_id) FROM facematch.encounter) AND p.n % 20 = 2;

CREATE VIEW daily AS SELECT day_utc, port, mode, encounters, searches, matches, round(match_rate::numeric, 3) AS rate, round(match_rate_low::numeric, 3) AS low,
	round(match_rate_high::numeric, 3) AS high, no_matches, manual_inspections, overrides, referrals, opted_out, no_probe, ambiguous, without_notice,
	round(latency_p50_ms::numeric) AS p50, round(latency_p99_ms::numeric) AS p99 FROM facematch.report_daily;
SELECT * FROM daily ORDER BY 1, 2, 3;
-- Beside the plan's own counts: none differs.
SELECT p.day, p.port, p.mode, count(*), count(*) FILTER (WHERE p.reason IS NULL) AS searches, count(*) FILTER (WHERE p.outcome = 'match') AS matches
FROM plan p GROUP BY 1, 2, 3
EXCEPT SELECT day_utc, port, mode, encounters, searches, matches FROM facematch.report_daily;
-- Percentiles from histograms are never below the exact ones, and at most a quarter power of two above.
SELECT p.day, p.port, percentile_disc(0.5) WITHIN GROUP (ORDER BY p.ms) AS exact, round(d.latency_p50_ms::numeric, 1) AS reported,
	   d.latency_p50_ms BETWEEN percentile_disc(0.5) WITHIN GROUP (ORDER BY p.ms) AND percentile_disc(0.5) WITHIN GROUP (ORDER BY p.ms) * 1.19 AS bounded
FROM plan p JOIN facematch.report_daily d ON d.day_utc = p.day AND d.port = p.port AND d.mode = p.mode WHERE p.outcome <> 'manual_inspection'
GROUP BY 1, 2, d.latency_p50_ms ORDER BY 1, 2;

-- The histograms beside the encounters' own values, and the gates' beside a plain count: none differs, either way.
SELECT count(*) FROM (
	SELECT date '2025-03-01' + n % 3, 'match', floor(similarity::float8::numeric * 100)::int AS bin, count(*) FROM plan WHERE outcome = 'match' GROUP BY 1, 3
	UNION ALL SELECT date '2025-03-01' + n % 3, 'runner_up', 50, count(*) FROM plan WHERE n % 100 = 4 GROUP BY 1
	EXCEPT SELECT day_utc, score, round(similarity_from::numeric * 100)::int, encounters FROM facematch.report_scores) d;
SELECT (SELECT count(*) FROM plan WHERE outcome = 'match') + (SELECT count(*) FROM plan WHERE n % 100 = 4) - (SELECT sum(encounters) FROM facematch.report_scores) AS scores_not_counted;
SELECT count(*) FROM (
	SELECT p.day, p.port, p.mode, count(*), max(p.ms) FROM plan p WHERE p.outcome <> 'manual_inspection' GROUP BY 1, 2, 3
	EXCEPT SELECT l.day_utc, l.port, l.mode, l.measured, (SELECT max(p.ms) FROM plan p WHERE (p.day, p.port) = (l.day_utc, l.port) AND p.mode IS NOT DISTINCT FROM l.mode
		AND p.outcome <> 'manual_inspection' AND p.ms <= l.latency_longest_ms AND p.ms > l.latency_longest_ms / 1.2) FROM facematch.report_daily l) d;
CREATE VIEW matching AS SELECT (e.occurred_at AT TIME ZONE 'UTC')::date AS day_utc, e.port, e.gallery, e.model, e.threshold, count(*) AS encounters,
	sum((e.outcome = 'match' AND e.override_reason IS NULL)::int) AS matches, sum((e.outcome = 'no_match')::int) AS no_matches,
	sum((e.outcome = 'manual_inspection')::int) AS manual_inspections, count(e.override_reason) AS overrides, count(*) - count(e.posting_id) AS without_notice,
	min(CASE WHEN e.outcome = 'match' AND e.override_reason IS NULL THEN e.similarity END) AS least_similarity FROM facematch.encounter e WHERE e.purge_after > now() GROUP BY 1, 2, 3, 4, 5;
INSERT INTO facematch.encounter (gallery, port, outcome, threshold, model, retention_class, posting_id)
SELECT 'G' || n % 2, 'JFK', 'no_match', 0.5, 'two', 'unmatched', NULL FROM generate_series(1, 5) n;
SELECT (SELECT count(*) FROM matching) AS cells, (SELECT count(*) FROM (TABLE matching EXCEPT TABLE facematch.report_matching) d) AS missing,
	   (SELECT count(*) FROM (TABLE facematch.report_matching EXCEPT TABLE matching) d) AS wrong;
DELETE FROM facematch.encounter WHERE gallery IN ('G0', 'G1');
DELETE FROM facematch_internal.encounter_count WHERE day_utc > '2026-01-01';
-- A tally of some days is of those alone.
SELECT min(c.day_utc), max(c.day_utc), sum(c.encounters) FROM facematch_internal.count_period('2025-03-02', '2025-03-02') p, unnest(p.counts) c;
SELECT count(*) FROM plan WHERE day = '2025-03-02';

-- The aggregate beside GROUP BY, with and without parallel workers; what is not a histogram.
CREATE TABLE bins AS SELECT n % 7 AS g, CASE WHEN n % 11 > 0 THEN ((n * 7919) % 401 - 200)::smallint END AS bin FROM generate_series(1, 20000) n;
CREATE VIEW bins_differ AS SELECT count(*) FROM (
	(SELECT b.g, i, b.h[i] FROM (SELECT g, facematch_internal.bin_counts(bin) AS h FROM bins GROUP BY g) b, generate_subscripts(b.h, 1) i WHERE b.h[i] > 0
	 EXCEPT SELECT g, bin, count(*) FROM bins WHERE bin IS NOT NULL GROUP BY 1, 2)
	UNION ALL (SELECT g, bin, count(*) FROM bins WHERE bin IS NOT NULL GROUP BY 1, 2
	 EXCEPT SELECT b.g, i, b.h[i] FROM (SELECT g, facematch_internal.bin_counts(bin) AS h FROM bins GROUP BY g) b, generate_subscripts(b.h, 1) i)) d;
SELECT * FROM bins_differ;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT facematch_internal.bin_counts(bin) FROM bins;
SELECT * FROM bins_differ;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
SELECT facematch_internal.bin_counts(b::smallint) FROM unnest('{3,-1,3,NULL}'::int[]) b;
SELECT facematch_internal.bin_counts(NULL), array_dims(facematch_internal.bin_counts(b)) AS widest FROM unnest('{-32768,32767}'::smallint[]) b;
-- Outside of an aggregate nothing is changed in its place.
WITH h AS MATERIALIZED (SELECT '[2:3]={1,1}'::bigint[] AS h) SELECT facematch_internal.bin_counts_add(h, 2::smallint), facematch_internal.bin_counts_merge(h, '[5:5]={4}'), h FROM h;
SELECT facematch_internal.bin_counts_add('{}', 1::smallint);
SELECT facematch_internal.bin_counts_add('{{1}}', 1::smallint);
SELECT facematch_internal.bin_counts_add('{NULL}', 1::smallint);
SELECT facematch_internal.bin_counts_add('[100000:100000]={1}', 1::smallint);
SELECT facematch_internal.bin_counts_merge('[32767:32768]={1,1}', '{1}');
-- The days that encounters are counted under, at their edges.
SELECT count(*) AS moments, count(*) FILTER (WHERE (date_bin('1 day', t, '2000-01-01 00:00+00') AT TIME ZONE 'UTC')::date IS DISTINCT FROM (t AT TIME ZONE 'UTC')::date) AS wrong
FROM (SELECT timestamptz '2000-01-01 00:00+00' + d * interval '1 day' + u * interval '1 microsecond' FROM generate_series(-800000, 800000, 4001) d, generate_series(-1, 1) u
	  UNION ALL SELECT unnest('{infinity,-infinity,epoch,NULL,1970-01-01 23:59:59.999999-00:01,294276-12-31 23:59:59.999999+00,4713-01-02 00:00:00+00 BC}'::timestamptz[])) m (t);

-- A purge changes no total, nor does a deletion in pieces.
CREATE TABLE before AS SELECT * FROM facematch.report_daily;
CREATE TABLE scores_before AS SELECT * FROM facematch.report_scores;
CREATE TABLE groups_before AS SELECT * FROM facematch.report_differential;
DELETE FROM facematch.encounter WHERE encounter_id % 7 = 0;
DELETE FROM facematch.encounter WHERE encounter_id % 7 = 1;
CALL facematch.purge(300);
SELECT count(*) AS encounters_left FROM facematch.encounter;
SELECT count(*) FROM ((TABLE before EXCEPT SELECT * FROM facematch.report_daily) UNION ALL (SELECT * FROM facematch.report_daily EXCEPT TABLE before)) d;
SELECT count(*) FROM ((TABLE scores_before EXCEPT SELECT * FROM facematch.report_scores) UNION ALL (SELECT * FROM facematch.report_scores EXCEPT TABLE scores_before)) d;
SELECT count(*) FROM ((TABLE groups_before EXCEPT SELECT * FROM facematch.report_differential) UNION ALL (SELECT * FROM facematch.report_differential EXCEPT TABLE groups_before)) d;
SELECT score, min(similarity_from), max(similarity_to), sum(encounters) FROM facematch.report_scores GROUP BY 1 ORDER BY 1;
SELECT month_utc, value, searches, matches, round(match_rate::numeric, 4) AS rate, missed, round(miss_rate::numeric, 4) AS miss_rate, round(miss_rate_low::numeric, 4) AS low, suppressed
FROM facematch.report_differential ORDER BY 1, 2;

-- Small cells: alone one could be computed from the sum, and two that are small together too.
SELECT counts, facematch_internal.hidden_cells(counts, 10) FROM (VALUES ('{100,200,300}'::bigint[]), ('{3,200,300}'), ('{3,4,300,50}'), ('{9,9,300}'), ('{0,0,50}'), ('{0,3,50}'), ('{4}'), ('{}'), ('{1,1,1,30,40}')) v (counts);
SELECT facematch_internal.hidden_cells('{50,60,70}', 10, '{t,f,f}');
-- Whatever the counts: what is hidden cannot be told from the sum, what is shown is not small.
SELECT count(*) AS tables, count(*) FILTER (WHERE hidden_n = 1 AND shown > 0 OR hidden_sum BETWEEN 1 AND 9 AND shown > 0 OR small_shown > 0) AS telling
FROM (SELECT t, count(*) FILTER (WHERE h.hide) AS hidden_n, sum(h.n) FILTER (WHERE h.hide) AS hidden_sum, count(*) FILTER (WHERE NOT h.hide AND h.n > 0) AS shown,
			 count(*) FILTER (WHERE NOT h.hide AND h.n BETWEEN 1 AND 9) AS small_shown
	  FROM (SELECT t, (SELECT array_agg(CASE WHEN random() < 0.3 THEN (random() * 12)::bigint ELSE (random() * 100)::bigint END) FROM generate_series(1, 1 + t % 6)) AS counts
			FROM generate_series(1, 2000) t) c, LATERAL unnest(c.counts, facematch_internal.hidden_cells(c.counts, 10)) h (n, hide) GROUP BY 1) s;
INSERT INTO facematch_internal.encounter_group VALUES ('2025-02-01', 'region', 'north', 300, 280, 12), ('2025-02-01', 'region', 'south', 200, 185, 2), ('2025-02-01', 'region', 'east', 40, 20, 15),
	('2025-02-01', 'region', 'west', 4, 4, 0), (date_trunc('month', now() AT TIME ZONE 'UTC')::date, 'region', 'north', 500, 400, 50);
SELECT month_utc, value, searches, matches, round(match_rate::numeric, 3) AS rate, missed, round(miss_rate::numeric, 3) AS miss_rate, suppressed FROM facematch.report_differential WHERE month_utc <> '2025-03-01' ORDER BY 1, 2;
INSERT INTO facematch.report_setting (least_cell) VALUES (3);
SELECT value, searches, matches, missed, suppressed FROM facematch.report_differential WHERE month_utc = '2025-02-01' ORDER BY 1;
INSERT INTO facematch.report_setting (least_cell) VALUES (4);
UPDATE facematch.report_setting SET least_cell = 2;

-- Lateness, each batch's rows as late as its first.
INSERT INTO facematch.purge_receipt (purged_at, cause, table_name, retention_class, rows_purged, earliest_due, latest_due)
SELECT timestamptz '2025-03-05 12:00+00' + n * interval '1 second', 'retention', 't', 'c', 10 * n, timestamptz '2025-03-05 12:00+00', timestamptz '2025-03-05 12:00+00' FROM generate_series(1, 10) n;
SELECT day_utc, cause, table_name, batches, rows_purged, lateness_p50, lateness_p90, lateness_p99, worst_lateness FROM facematch.report_purge WHERE table_name = 't';

-- Notices: posted, out of date, taken down, never there.
INSERT INTO facematch.notice (name, texts, valid_from, valid_to) VALUES ('new', '{"en": "x", "es": "y"}', '2020-01-01', 'infinity'), ('old', '{"es": "x"}', '2020-01-01', '2024-01-01');
INSERT INTO facematch.notice_posting (notice, port, posted_at, removed_at) VALUES ('new', 'JFK', '2024-01-01', NULL), ('old', 'JFK', '2023-01-01', NULL), ('old', 'LAX', '2023-01-01', NULL),
	('new', 'SFO', '2023-01-01', '2024-01-01');
SELECT * FROM facematch.report_notice ORDER BY 1;
SELECT * FROM facematch.report_posting ORDER BY port, notice;

-- HTML: what comes from rows is text.
SELECT facematch_internal.html_text('<script>alert("1")</script> & ''x''');
SELECT facematch_internal.html_text(E'a\u202Eb\u0001\u200Fc'), facematch_internal.html_text(E'\u05D0') = E'<bdi>\u05D0</bdi>' AS isolated, facematch_internal.html_text(''), facematch_internal.html_text(NULL);
SELECT facematch_internal.html_number(1234567), facematch_internal.html_number(NULL), facematch_internal.html_number(0.987, 'score');
SELECT facematch_internal.html_number(r, '%') FROM (VALUES (0.98765::float8), (0.00123), (0.0000123), (0), (NULL)) v (r);
SELECT facematch_internal.html_number(extract(epoch FROM i), 's')
FROM (VALUES (interval '0'), ('1 microsecond'), ('250 microseconds'), ('2.83 ms'), ('34.6 ms'), ('12 s'), ('5 min'), ('26 h'), ('14 days'), ('75 years'), (NULL)) v (i);
SELECT facematch_internal.html_table('Five cells', '{Name,Count|#,Mark|html,"A rate, with its interval|%",Interval|%}',
	'[["<b>", 1234, "<b>x</b>", [0.5, 0.25, 0.75], [0.1, 0.2]], [null, null, null, [null, null, null], [null, null]]]');
SELECT facematch_internal.html_table('No cells', '{Name}', NULL, 'none');
SELECT (facematch_internal.svg_axis(0, t, '#')).* FROM (VALUES (0::float8), (1), (3), (7), (99), (100), (101), (1234), (0.02), (NULL), (99999), (250000), (1.5e6), (2.5e9)) v (t);
SELECT (facematch_internal.svg_axis(low, high, unit)).* FROM (VALUES (0::float8, 23::float8, '%'), (-6.3, -1.2, 'log'), (-4.1, -1, 'log%'), (-2, -2, 'log%')) v (low, high, unit);
SELECT min(starts), max(ends), count(*), min(label COLLATE "C") FROM facematch_internal.page_steps('2025-01-15', '2025-02-14');
SELECT min(starts), max(ends), count(*) FROM facematch_internal.page_steps('2025-01-15', '2025-03-31');
SELECT min(starts), max(ends), count(*) FROM facematch_internal.page_steps('2024-01-15', '2025-03-31');

-- The page.
SELECT page LIKE '<!DOCTYPE html>%</html>_' AS whole, page ~* 'https?:|src=|<script|<link|@import|url\(' AS fetches, page ~ '<title>A &lt;b&gt; &amp; c</title>' AS title,
	   (SELECT count(*) FROM regexp_matches(page, '<figure class="chart"', 'g')) AS charts, (SELECT count(*) FROM regexp_matches(page, '<svg viewBox="0 0 560 306"', 'g')) AS drawn
FROM facematch.report_html('2025-03-01', '2025-03-31', 'A <b> & c') page;
SELECT facematch.report_html('2030-01-01', '2030-01-01') LIKE '%Nobody was compared in this period%' AS empty_period;
SELECT facematch.report_html('2025-03-31', '2025-03-01');
SELECT facematch.report_html(NULL, '2025-03-01');
SELECT facematch.report_html('-infinity', 'infinity');

-- An auditor sees the reports, and none of the exact groups.
CREATE ROLE regress_facematch_auditor;
SELECT facematch.grant_auditor('regress_facematch_auditor');
SET ROLE regress_facematch_auditor;
SELECT count(*) > 0 AS daily FROM facematch.report_daily;
SELECT sum(measured) > 0 AS latency FROM facematch.report_daily;
SELECT count(*) > 0 AS scores FROM facematch.report_scores;
SELECT count(*) > 0 AS purge FROM facematch.report_purge;
SELECT count(*) > 0 AS notice FROM facematch.report_notice;
SELECT count(*) > 0 AS differential FROM facematch.report_differential;
SELECT count(*) >= 0 AS drift FROM facematch.report_drift;
SELECT count(*) >= 0 AS disclosure FROM facematch.report_disclosure;
SELECT length(facematch.report_html('2025-03-01', '2025-03-31')) > 10000 AS page;
SELECT * FROM facematch_internal.encounter_group;
SELECT facematch_internal.counting_queries('facematch.encounter');
UPDATE facematch.report_setting SET least_cell = 3;
SELECT probe FROM facematch.encounter;
RESET ROLE;
SELECT facematch.revoke_access('regress_facematch_auditor');
DROP ROLE regress_facematch_auditor;

-- Drift: a model calibrated with an FNMR of 5 % at 0.5, three steady weeks, and one that is not.
DELETE FROM facematch.encounter;
DELETE FROM facematch_internal.encounter_count;
DELETE FROM facematch_internal.encounter_histogram;
INSERT INTO facematch_internal.calibration (model, non_mated, mated, note) VALUES ('two', 100000, 10000, 'a set');
INSERT INTO facematch_internal.calibration_point (calibration_id, threshold, false_matches, false_non_matches)
SELECT max(calibration_id), t, m, n FROM facematch_internal.calibration, (VALUES (-1, 100000, 0), (0.3, 1000, 100), (0.5, 10, 500), (0.75, 0, 5500), (0.85, 0, 10000)) p (t, m, n) GROUP BY t, m, n;
INSERT INTO facematch_internal.encounter_count
SELECT date '2025-03-03' + 7 * w, 'JFK', 'air', 'exit', 'flight', 'two', 0.5, 1000, 1000, 1000 - x, x - x / 2, 0, x / 2, x / 2, 0, 0, 0, 0 FROM (VALUES (0, 100), (1, 104), (2, 98), (3, 300)) v (w, x);
INSERT INTO facematch_internal.encounter_histogram SELECT date '2025-03-03' + 7 * w, 'match', NULL, NULL, 'flight', 'two', 0.5, b, 450 FROM generate_series(0, 3) w, unnest(CASE w WHEN 3 THEN '{55,65}' ELSE '{74,84}' END::int[]) b;
INSERT INTO facematch_internal.encounter_histogram SELECT date '2025-03-03' + 7 * w, 'latency', 'JFK', 'air', 'flight', NULL, NULL, CASE w WHEN 3 THEN 40 ELSE 4 END, 1000 FROM generate_series(0, 3) w;
DELETE FROM facematch.report_setting;
CREATE VIEW drift AS SELECT week_utc, searches, round(match_rate::numeric, 3) AS rate, round(match_rate_before::numeric, 3) AS before, round(miss_rate::numeric, 3) AS missed,
	calibrated_fnmr AS fnmr, round(mean_similarity::numeric, 3) AS mean, round(calibrated_mean::numeric, 3) AS mean_then, latency_p99_ms AS p99, alerts FROM facematch.report_drift;
SELECT * FROM drift ORDER BY 1;
INSERT INTO facematch.report_setting (least_match_rate, most_latency_ms) VALUES (0.85, 500);
SELECT week_utc, alerts FROM drift ORDER BY 1;
-- How far scores scatter counts every score, not every bin: twenty are alike, two are far off.
BEGIN;
DELETE FROM facematch_internal.encounter_histogram WHERE measure = 'match';
INSERT INTO facematch_internal.encounter_histogram
SELECT '2025-03-10', 'match', NULL, NULL, 'flight', 'two', 0.5, b, n FROM (VALUES (50, 1), (71, 20), (95, 1)) v (b, n);
SELECT week_utc, mean, mean_then, alerts FROM drift WHERE mean IS NOT NULL;
-- One match does not say how scores scatter; the calibration does.  Thirty of them are no chance.
DELETE FROM facematch_internal.encounter_histogram WHERE measure = 'match';
INSERT INTO facematch_internal.encounter_histogram SELECT d, 'match', NULL, NULL, 'flight', 'two', 0.5, 70, n FROM (VALUES (date '2025-03-10', 1), ('2025-03-17', 30)) v (d, n);
SELECT week_utc, mean, mean_then, alerts FROM drift WHERE mean IS NOT NULL ORDER BY 1;
ROLLBACK;
SELECT page ~ 'id="det-[0-9]+"' AS det, page ~ 'more misses than calibrated' AS alert, page ~ 'match rate below the goal' AS goal FROM facematch.report_html('2025-03-01', '2025-03-31') page;

-- Disclosures, counted.
INSERT INTO facematch.partner (name, purpose) VALUES ('carrier', 'boarding');
INSERT INTO facematch.disclosure (disclosed_at, partner, nature, purpose, answer, subject_id, token)
SELECT '2025-03-05', 'carrier', 'answer to a probe', 'boarding', a, CASE a WHEN 'match' THEN subject(n::int) END, CASE a WHEN 'match' THEN subject(n::int) END
FROM unnest('{match,match,no_match,refused}'::text[]) WITH ORDINALITY u (a, n);
SELECT * FROM facematch.report_disclosure;

-- A log that was tampered with is in the report, too.
SELECT facematch.report_html() ~ 'The log is intact' AS whole;
ALTER TABLE facematch.audit_event DISABLE TRIGGER ALL;
UPDATE facematch.audit_event SET actor = 'somebody else';
SELECT facematch.report_html() ~ 'The log is not intact: [0-9]+ findings' AS tampering_shows;

-- In a site's language: text for text, the numbers in their places; what has no translation stays, what is no text is not touched.
INSERT INTO facematch.report_text (language, english, translation) VALUES ('es', 'In brief', 'En breve'), ('es', 'Kept # of # rows', 'De #, quedan # <filas>'), ('es', 'p{margin:#}', 'no');
SELECT l, string_agg(t.tag || t.said, '' ORDER BY t.place) AS page FROM unnest('{es,fr}'::text[]) l, facematch_internal.page_texts('<style>p{margin:0}</style><h2>In brief</h2><p class="In brief"> Kept 1,200.5 of 3 rows</p><b>&#39;x&#39; 7</b>', l) t GROUP BY l ORDER BY l;
SELECT place, english, numbers FROM facematch_internal.page_texts('<style>p{margin:0}</style><p>At 12:30 &#39;x&#39; had 1,000 and 2.5&nbsp;%</p>');
SELECT page ~ '<html lang="es">' AS es, page ~ '<h2>En breve</h2>' AS brief, page ~ '<h2>Controls</h2>' AS others FROM facematch.report_html(language => 'es') page;
SELECT facematch.report_html(language => 'es"><script>');
INSERT INTO facematch.report_text (language, english, translation) VALUES ('no tag', 'a', 'b');
SELECT labels FROM facematch_internal.svg_axis(-7, 0, 'log');
