-- Five weeks at four ports, for the tests of the HTML report: two-dimensional faces, encounters that are gone and some that
-- are there, opt-outs, holds, late purges, and names that would do harm in a page that does not escape them.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
BEGIN;
SELECT setseed(0.5) \g /dev/null
INSERT INTO facematch.model (name, tag, dims) VALUES ('model "one" & <b>two</b>', 1, 2);
INSERT INTO facematch.gallery_kind (name, description) VALUES ('"><img src=x onerror=alert(1)>', 'hostile');
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('XX901', 'flight', 'model "one" & <b>two</b>', 0.42, now() + interval '2 hours'),
	('</table><script>alert("gallery")</script>', '"><img src=x onerror=alert(1)>', 'model "one" & <b>two</b>', 0.42, now() + interval '2 hours');
INSERT INTO facematch.retention_class (name, description) VALUES ('visitor''s <i>class</i>', E'visitors \u202Edesrever\u202C <script>alert("class")</script>');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from) VALUES
	('v/encounter', 'visitor''s <i>class</i>', 'encounter', '{recorded}', '{12 hours}', '</style><script>alert("citation")</script> & "quoted"', '-infinity'),
	('v/reference', 'visitor''s <i>class</i>', 'reference', '{gallery_anchor,recorded}', '{12 hours,14 days}', '{{constructor}} ${x} <!-- --> ]]>', '-infinity');
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, subject(n), CASE n % 4 WHEN 0 THEN 'noncitizen' WHEN 1 THEN 'visitor''s <i>class</i>' ELSE 'us_citizen' END,
	   ARRAY[cosd(n), sind(n)]::face_embedding, 'passport' FROM facematch.gallery g, generate_series(1, 240) n WHERE g.name = 'XX901';

-- What the days of a period look like; rows come from the past and go at once, as purges did it then.
CREATE TABLE port (name text, weight int, mode text);
INSERT INTO port VALUES ('JFK', 60, 'air'), ('Port Angeles', 9, 'sea'), (E'"><script>document.title="broken"</script>', 4, 'land'),
	(E'\u05D0\u05D9\u05DC\u05EA \u202Eevil\u202C \U0001F6C2 O''Hare & co', 3, 'air'), (E'\u0627\u0644\u0645\u064A\u0646\u0627\u0621', 2, NULL);
INSERT INTO facematch.encounter (gallery_id, gallery, occurred_at, port, lane, direction, mode, outcome, reason, subject_id, reference_id,
								 similarity, threshold, model, retention_class, kind, runner_up, latency_ms, groups, purge_after)
SELECT g.gallery_id, g.name, e.at, e.port, 'B22', 'exit', e.mode, e.outcome, e.reason,
	   CASE WHEN e.outcome = 'match' THEN subject(e.n % 240 + 1) END, CASE WHEN e.outcome = 'match' THEN e.n % 240 + 1 END,
	   CASE WHEN e.outcome = 'match' THEN least(1, greatest(0.42, 0.64 + 0.11 * (random() + random() + random() - 1.5) * 2)) END, 0.42, g.model,
	   CASE WHEN e.outcome = 'match' THEN 'us_citizen' ELSE 'unmatched' END, g.kind,
	   CASE WHEN e.outcome = 'match' AND random() < 0.012 THEN 0.42 + random() * 0.05 END,
	   CASE WHEN e.outcome <> 'manual_inspection' THEN exp(0.4 + 1.1 * (random() + random() + random() - 1.5)) END,
	   CASE WHEN e.n % 5 > 0 THEN jsonb_build_object('age', CASE WHEN random() < 0.004 THEN '<script>alert("group")</script>' ELSE (ARRAY['under 30', '30 to 59', '60 and over'])[1 + e.n % 7 % 3] END) END, now()
FROM (SELECT p.name AS port, p.mode, date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - d * interval '1 day' + interval '1 minute' + random() * interval '23 hours' AS at, n,
			 CASE WHEN random() < 0.012 THEN 'manual_inspection' WHEN random() < 0.03 + 0.02 * (n % 3 = 2)::int THEN 'no_match' ELSE 'match' END AS outcome
	  FROM port p, generate_series(1, 45) d, LATERAL generate_series(1, (p.weight * (0.7 + 0.4 * sin(d / 3.5) + 0.2 * random()))::int) n) x (port, mode, at, n, outcome),
	 LATERAL (SELECT x.*, CASE WHEN x.outcome = 'manual_inspection' THEN (ARRAY['opted_out', 'opted_out', 'no_probe', 'no_probe'])[1 + (random() * 3)::int] END) e (port, mode, at, n, outcome, reason),
	 facematch.gallery g
WHERE g.name = CASE WHEN e.n % 23 = 0 THEN '</table><script>alert("gallery")</script>' ELSE 'XX901' END;
UPDATE facematch.encounter SET outcome = 'match', subject_id = subject(1), override_reason = 'document inspected' WHERE outcome = 'no_match' AND encounter_id % 3 < 2;
DELETE FROM facematch.encounter;
COMMIT;

-- Today, by the front door.
SELECT count(*) FROM generate_series(1, 40) n, facematch.record_encounter('XX901', ARRAY[cosd(n * 5 + 0.4), sind(n * 5 + 0.4)]::face_embedding, 'JFK', 'B22', 'exit', 'air') \g /dev/null
INSERT INTO facematch.opt_out (subject_id, alternative, noticed_at) SELECT subject(n), CASE n WHEN 3 THEN 'officer''s desk "A" <script>alert(2)</script>' ELSE 'manual document inspection' END, now() - n * interval '3 days' FROM generate_series(1, 12) n;
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(50), 'inquiry', 'court order <script>alert("hold")</script> 26-114');
INSERT INTO facematch.notice (name, texts, valid_from) VALUES ('Biometrics', '{"en": "You may decline.", "es<script>": "Puede negarse."}', now() - interval '1 year');
INSERT INTO facematch.notice_posting (notice, port, posted_at) VALUES ('Biometrics', 'JFK', now() - interval '1 year');
INSERT INTO facematch.notice_posting (notice, port, posted_at, removed_at) VALUES ('Biometrics', 'Port Angeles', now() - interval '1 year', now() - interval '3 days');
-- Purges of the past as their receipts tell it: every hour, a few minutes late; one night the job stood still.
INSERT INTO facematch.purge_receipt (purged_at, cause, table_name, retention_class, rule, rows_purged, earliest_due, latest_due)
SELECT h + CASE WHEN h BETWEEN date_trunc('day', now()) - interval '9 days 2 hours' AND date_trunc('day', now()) - interval '8 days' THEN interval '26 hours' ELSE (n % 7 + 1) * interval '23 seconds' END,
	   'retention', t.name, t.class, t.class || '/' || t.name, 20 + n % 60, h, h + interval '10 seconds'
FROM generate_series(date_trunc('day', now()) - interval '40 days', now() - interval '1 hour', interval '1 hour') WITH ORDINALITY s (h, n),
	 (VALUES ('facematch.encounter', 'us_citizen'), ('facematch.reference', 'noncitizen')) t (name, class);
-- Something is overdue.
INSERT INTO facematch.encounter (gallery, occurred_at, port, outcome, threshold, model, retention_class, posting_id)
SELECT 'gone', now() - interval '30 hours', 'JFK', 'no_match', 0.42, 'model "one" & <b>two</b>', 'unmatched', 1 FROM generate_series(1, 17);
-- What the model's errors were on a labelled set, and what partners were told.
SELECT count(*) FROM (
	SELECT array_agg(low ORDER BY low) AS low, array_agg(round(4000 * exp(-((low - 0.01) ^ 2) / (2 * 0.097 ^ 2)))::bigint ORDER BY low) AS non_mated,
		   array_agg(round(30 * exp(-((low - 0.62) ^ 2) / (2 * 0.13 ^ 2)))::bigint ORDER BY low) AS mated FROM unnest(facematch_internal.score_grid()) low) h,
	facematch_internal.store_calibration('model "one" & <b>two</b>', h.low, h.non_mated, h.mated, '{1e-2,1e-3,1e-4}', 'pictures of "volunteers" <script>alert("note")</script>') \g /dev/null
INSERT INTO facematch.partner (name, purpose) VALUES ('Air <script>alert("partner")</script> Utopia', 'boarding');
INSERT INTO facematch.disclosure (disclosed_at, partner, nature, purpose, gallery, answer, subject_id, token)
SELECT now() - n * interval '5 hours', 'Air <script>alert("partner")</script> Utopia', 'answer to a probe', 'boarding', 'XX901', a, CASE a WHEN 'match' THEN subject(n) END, CASE a WHEN 'match' THEN subject(n + 1000) END
FROM generate_series(1, 60) n, LATERAL (SELECT CASE WHEN n % 9 = 0 THEN 'no_match' WHEN n % 20 = 0 THEN 'refused' ELSE 'match' END) x (a);
