-- Whom reports count as what: watchlists, refusals, repeated requests, renamed tables, days, and what a dash must hide.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
CREATE FUNCTION words(page text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT regexp_replace(regexp_replace(page, '<[^>]*>', ' ', 'g'), ' +', ' ', 'g') $$;
INSERT INTO facematch.model (name, tag, dims) VALUES ('toy', 1, 3);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('W', 'watchlist', 'toy', 0.9, NULL), ('F', 'flight', 'toy', 0.9, now() + interval '2 hours');
SELECT count(facematch.enrol(g, subject(n), probe::face_embedding, class, 'file')) FROM (VALUES ('W', 1, '[0,1,0]', 'watchlist'), ('F', 2, '[1,0,0]', 'us_citizen')) v (g, n, probe, class);

-- Of a watchlist a match is a referral, and that nobody matches is no failure.
SELECT r.outcome, count(*) FROM generate_series(1, 20), LATERAL facematch.record_encounter('W', '[1,0,0]', port => 'JFK') r GROUP BY 1;
SELECT outcome FROM facematch.record_encounter('W', '[0,1,0]', port => 'JFK');
SELECT outcome FROM facematch.record_encounter('W', NULL, port => 'JFK');
SELECT (SELECT count(*) FROM facematch.open_referral) AS open, referrals, searches, matches FROM facematch.report_daily;
INSERT INTO facematch.report_setting (least_match_rate) VALUES (0.97);
SELECT kind, searches, matches, alerts FROM facematch.report_drift;
SELECT words(facematch.report_html()) ~ 'Nobody was compared in this period' AS not_among_travelers;

-- A refusal is no failure to take a photograph.
INSERT INTO facematch.encounter (gallery, kind, port, outcome, reason, threshold, model, retention_class)
	SELECT 'F', 'flight', 'ORD', 'manual_inspection', r, 0.9, 'toy', 'unmatched' FROM unnest('{no_probe,low_quality,too_many_attempts}'::text[]) r;
SELECT encounters, manual_inspections, no_probe FROM facematch.report_daily WHERE port = 'ORD';

-- A score in whole hundredths is in the bin that begins with it.
INSERT INTO facematch.encounter (gallery, kind, port, outcome, threshold, model, retention_class, subject_id, reference_id, similarity, runner_up)
	SELECT 'F', 'flight', 'BOS', 'match', 0, 'toy', 'us_citizen', subject(2), 2, s / 100.0::float8, s / 100.0::float8 FROM generate_series(0, 100) s;
SELECT score, count(*) FILTER (WHERE encounters <> CASE similarity_from WHEN 0.99 THEN 2 ELSE 1 END) AS misplaced, count(*) AS bins
FROM facematch.report_scores WHERE threshold = 0 GROUP BY 1 ORDER BY 1;

-- One person who says it three times is one, and whom the law gives no right has nothing in force.
INSERT INTO facematch.opt_out (subject_id, scope, noticed_at, retention_class, alternative)
	SELECT subject(n), 'standing', now(), class, 'manual_inspection'
	FROM (VALUES (11, 'us_citizen'), (11, 'us_citizen'), (12, 'us_citizen'), (13, 'noncitizen'), (14, 'noncitizen')) v (n, class);
INSERT INTO facematch.subject_merge (kept, merged) VALUES (subject(11), subject(12));
SELECT sum(opt_outs) AS requests, sum(without_right) AS without_right, sum(standing) AS standing FROM facematch.report_opt_out;
SELECT substring(words(facematch.report_html()) FROM '[0-9]+ (?:people|person) declined[^;]*; [^;]*? for [0-9]+') AS told;

-- Declined and not photographed: of each small port both are hidden, and their sum where it is small.
DELETE FROM facematch.encounter;
TRUNCATE facematch_internal.encounter_count, facematch_internal.encounter_histogram;
INSERT INTO facematch.encounter (gallery, kind, port, outcome, reason, threshold, model, retention_class)
	SELECT 'F', 'flight', v.port, 'manual_inspection', v.reason, 0.9, 'toy', 'unmatched'
	FROM (VALUES ('JFK', 'opted_out', 3), ('LAX', 'no_probe', 30), ('SFO', 'opted_out', 12), ('SFO', 'no_probe', 4)) v (port, reason, n), generate_series(1, v.n);
INSERT INTO facematch.encounter (gallery, kind, port, outcome, threshold, model, retention_class, subject_id, reference_id, similarity)
	SELECT 'F', 'flight', p, 'match', 0.9, 'toy', 'us_citizen', subject(2), 2, 0.95 FROM unnest('{JFK,LAX,MIA,SFO}'::text[]) p, generate_series(1, 30);
SELECT regexp_replace(words(r[1]), '\s+', ' ', 'g') AS port FROM regexp_matches(substring(facematch.report_html() FROM '<caption>Outcomes by port.*?</table>'), '<tr>(<th scope="row">.*?)</tr>', 'g') r;
SELECT substring(words(facematch.report_html()) FROM 'In (?:fewer than )?[0-9]+ of the encounters of this period an officer') AS declined;
UPDATE facematch.report_setting SET least_cell = 20;
SELECT substring(words(facematch.report_html()) FROM 'In (?:fewer than )?[0-9]+ of the encounters of this period an officer') AS declined;

-- Zeros too, where nothing else can hide who the three are.
SELECT counts, facematch_internal.hidden_cells(counts, 10) FROM (VALUES ('{3,0,0}'::bigint[]), ('{0,3,20}')) v (counts);

-- What was purged from a table is told whatever its name has become, to auditors too.
CREATE ROLE counted_auditor;
SELECT facematch.grant_auditor('counted_auditor');
CREATE SCHEMA hidden_one;
CREATE TABLE hidden_one.visit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, subject_id uuid, retention_class text NOT NULL, recorded_at timestamptz NOT NULL, embedding face_embedding(3));
SELECT facematch.retain('hidden_one.visit', 'encounter');
INSERT INTO hidden_one.visit (subject_id, retention_class, embedding, recorded_at)
	SELECT subject(n), 'us_citizen', '[1,0,0]', now() - CASE WHEN n < 6 THEN interval '2 days' ELSE '0' END FROM generate_series(1, 7) n;
CALL facematch.purge();
ALTER TABLE hidden_one.visit RENAME TO visit_of_old;
SET ROLE counted_auditor;
SELECT table_name, retention_class, rows_kept, rows_purged FROM facematch.report_retention WHERE table_name ~ 'visit';
RESET ROLE;

-- Days are the page's own, wherever the session is.
SET TimeZone = 'Asia/Tokyo';
SELECT words(substring(facematch.report_html('2026-11-01', '2026-11-30') FROM '<p class="period">.*?</p>')) AS period;
-- The page is of the last thirty days, if nobody says otherwise.
SELECT substring(facematch.report_html() FROM '<p class="period">.*?</p>') = substring(facematch.report_html(day - 29, day) FROM '<p class="period">.*?</p>') AS thirty
FROM CAST(now() AT TIME ZONE 'UTC' AS date) day;
DROP OWNED BY counted_auditor;
DROP ROLE counted_auditor;
