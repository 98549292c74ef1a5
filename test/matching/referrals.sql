-- Referrals: the queue, alerts on a channel that nobody guesses, and how long it took to resolve them.
\set SHOW_CONTEXT never
\set VERBOSITY terse
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('flight', 'flight', 'two', 0.99, now() + interval '2 hours'), ('wanted', 'watchlist', 'two', 0.99, NULL);
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
CREATE FUNCTION face(n int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[cosd(n * 10), sind(n * 10)]::face_embedding $$;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(n), CASE kind WHEN 'flight' THEN 'us_citizen' ELSE 'watchlist' END, face(n), 's'
FROM facematch.gallery, generate_series(1, 4) n WHERE kind = 'flight' OR n = 4;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(3));
CREATE ROLE facematch_test_desk LOGIN;
CREATE ROLE facematch_test_stranger LOGIN;
SELECT facematch.grant_operator('facematch_test_desk');
GRANT USAGE ON SCHEMA facematch TO facematch_test_stranger;
CREATE FUNCTION encounters(port text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM (VALUES ('flight', face(1), NULL), ('flight', face(20), NULL), ('flight', NULL, NULL), ('flight', NULL, subject(3)), ('wanted', face(4), NULL),
		('wanted', face(1), NULL)) v (gallery, probe, subject), facematch.record_encounter(v.gallery, v.probe, $1, subject_id => v.subject) $$;

-- Off by default: nobody is told. The queue is there all the same.
SELECT count(*) AS channels FROM facematch.alert_channel;
SELECT encounters('JFK');
SELECT encounter_id, port, gallery, cause, age < interval '1 minute' AS new FROM facematch.open_referral ORDER BY 1;

-- A channel for each desk; only who was granted learns its name, which cannot be chosen.
INSERT INTO facematch.alert_channel (port, causes) VALUES ('JFK', DEFAULT), ('LAX', '{watchlist_match}');
INSERT INTO facematch.alert_channel (channel) VALUES ('alerts');
INSERT INTO facematch.alert_channel (causes) VALUES ('{everything}');
SELECT port, channel ~ '^alert_[0-9a-f]{32}$' AS random, causes FROM facematch.alert_channel ORDER BY alert_id;
SET ROLE facematch_test_stranger;
SELECT channel FROM facematch.alert_channel;
SELECT encounter_id FROM facematch.open_referral;
SET ROLE facematch_test_desk;
SELECT count(*) AS channels FROM facematch.alert_channel;
SELECT count(*) AS open FROM facematch.open_referral;
INSERT INTO facematch.alert_channel (port) VALUES ('JFK');
RESET ROLE;
-- Resolved: gone from the queue, once. An officer who looks at a watchlist match leaves it one.
SELECT outcome, subject_id FROM facematch.resolve_encounter((SELECT min(encounter_id) FROM facematch.open_referral WHERE cause = 'no_match'), subject(9), 'noncitizen', 'passport');
SELECT outcome, subject_id FROM facematch.resolve_encounter((SELECT min(encounter_id) FROM facematch.open_referral WHERE cause = 'watchlist_match'), subject(9), 'noncitizen', 'another person');
SELECT * FROM facematch.resolve_encounter((SELECT encounter_id FROM facematch.encounter WHERE override_reason = 'another person'), subject(9), 'noncitizen', 'again');
SELECT * FROM facematch.resolve_encounter((SELECT min(encounter_id) FROM facematch.encounter WHERE kind = 'flight' AND outcome = 'match'), subject(9), 'noncitizen', 'no referral');
SELECT encounter_id, cause FROM facematch.open_referral WHERE port = 'JFK' ORDER BY 1;
SELECT port, kind, resolved, within_p50 <= within_p90 AND within_p90 <= longest AND longest < interval '1 hour' AS ordered FROM facematch.report_resolution ORDER BY 1, 2;
SELECT port, sum(matches) AS matches, sum(overrides) AS overrides, sum(no_matches) AS no_matches FROM facematch.report_daily GROUP BY 1 ORDER BY 1;
-- A false document hides nobody of a watchlist: the hit counts, whoever the document names, and waits for an officer.
SELECT outcome, subject_id, reference_id = (SELECT reference_id FROM facematch.reference WHERE retention_class = 'watchlist') AS of_the_hit, similarity
FROM facematch.record_encounter('wanted', face(4), 'JFK', subject_id => subject(8));
SELECT e.outcome, e.subject_id, e.retention_class, e.verified_at = e.occurred_at AS verified, c.subject_id AS candidate, r.cause
FROM facematch.encounter e JOIN facematch.candidate c USING (encounter_id) JOIN facematch.open_referral r USING (encounter_id) WHERE e.subject_id = subject(8);
-- It tells nothing of the person whom the document names, so the class of an opt-out is not known; and that removes no probe of a watchlist.
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(8)) RETURNING retention_class, answer;
SELECT probe IS NOT NULL AS probe FROM facematch.encounter WHERE subject_id = subject(8);
SELECT outcome, subject_id FROM facematch.resolve_encounter((SELECT encounter_id FROM facematch.encounter WHERE subject_id = subject(8)), subject(4), 'watchlist', 'false passport');
SELECT port, kind, resolved FROM facematch.report_resolution WHERE kind = 'watchlist';
SELECT sum(matches) AS matches, sum(overrides) AS overrides FROM facematch.report_daily WHERE kind = 'watchlist';
-- Purged encounters count.
UPDATE facematch.encounter SET purge_after = now() - interval '1 second';
SELECT count(*) AS open FROM facematch.open_referral;
CALL facematch.purge();
SELECT count(*) AS encounters FROM facematch.encounter;
SELECT port, kind, resolved FROM facematch.report_resolution ORDER BY 1, 2;
SELECT port, sum(matches) AS matches, sum(overrides) AS overrides, sum(no_matches) AS no_matches FROM facematch.report_daily GROUP BY 1 ORDER BY 1;
SELECT action, detail ->> 'about' AS about FROM facematch.audit_event WHERE action ~ '^alert_channel' ORDER BY event_id;
DROP OWNED BY facematch_test_desk, facematch_test_stranger;
DROP ROLE facematch_test_desk, facematch_test_stranger;
