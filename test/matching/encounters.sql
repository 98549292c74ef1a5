-- Encounters: searched, decided, recorded, and on the clock.
\set SHOW_CONTEXT never
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F', 'flight', 'two', 0.99, now() + interval '2 hours'), ('E', 'flight', 'two', 0.99, now());
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
CREATE FUNCTION face(n int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[cosd(n * 10), sind(n * 10)]::face_embedding $$;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(n), CASE n % 3 WHEN 0 THEN 'us_citizen' WHEN 1 THEN 'noncitizen' ELSE 'exempt_alien' END, face(n), 's' FROM facematch.gallery, generate_series(1, 12) n WHERE name = 'F';
INSERT INTO facematch.notice (name, texts, valid_from) VALUES ('Biometrics', '{"en": "You may decline."}', now() - interval '1 year');
INSERT INTO facematch.notice_posting (notice, port, lane, posted_at) VALUES ('Biometrics', 'JFK', NULL, now() - interval '1 year'), ('Biometrics', 'JFK', 'B22', now() - interval '1 day');

-- The outcomes.
SELECT outcome, subject_id, reference_id, round(similarity::numeric, 3) AS similarity, threshold, reason FROM facematch.record_encounter('F', face(3), 'JFK', 'B22', 'exit', 'air');
SELECT outcome, subject_id, reason FROM facematch.record_encounter('F', face(30), port => 'JFK', lane => 'B1');
SELECT outcome, subject_id, reason FROM facematch.record_encounter('F', port => 'JFK', subject_id => subject(4));
SELECT outcome, subject_id, reason FROM facematch.record_encounter('E', face(3), port => 'LAX');
-- The document names another person than the face does.
SELECT outcome, subject_id, reference_id, round(similarity::numeric, 3) AS similarity FROM facematch.record_encounter('F', face(3), port => 'JFK', subject_id => subject(4));
-- Who declined by right is not compared, and the photograph that was taken is not kept; who asked without one is.
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(6));
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(7));
SELECT outcome, reason FROM facematch.record_encounter('F', face(6), port => 'JFK', subject_id => subject(6));
SELECT outcome, reason FROM facematch.record_encounter('F', face(7), port => 'JFK', subject_id => subject(7));
SELECT encounter_id, gallery, port, lane, outcome, referred, reason, retention_class, probe IS NOT NULL AS probe, verified_at IS NOT NULL AS verified, posting_id, model,
	   purge_after - occurred_at AS kept FROM facematch.encounter ORDER BY 1;
SELECT encounter_id, rank, subject_id FROM facematch.candidate ORDER BY 1, 2;
SELECT subject_id, event FROM facematch.anchor_event;

-- A gate that retries.
SELECT encounter_id AS first FROM facematch.record_encounter('F', face(9), port => 'JFK', idempotency_key => 'k1') \gset
SELECT encounter_id = :first AS the_same, outcome, subject_id FROM facematch.record_encounter('F', face(9), port => 'JFK', idempotency_key => 'k1');
SELECT encounter_id = :first AS the_same FROM facematch.record_encounter('E', face(9), port => 'JFK', idempotency_key => 'k1');
SELECT count(*) FROM facematch.encounter WHERE idempotency_key = 'k1';
-- A counter that began again: another face, at another place, with another document, without any; none is told the first one's answer.
SELECT outcome, subject_id FROM facematch.record_encounter('F', face(8), port => 'JFK', idempotency_key => 'k1');
SELECT outcome, subject_id FROM facematch.record_encounter('F', face(9), port => 'LAX', idempotency_key => 'k1');
SELECT outcome, subject_id FROM facematch.record_encounter('F', face(9), port => 'JFK', lane => 'B1', idempotency_key => 'k1');
SELECT outcome, subject_id FROM facematch.record_encounter('F', face(9), port => 'JFK', subject_id => subject(8), idempotency_key => 'k1');
SELECT outcome, subject_id FROM facematch.record_encounter('F', port => 'JFK', idempotency_key => 'k1');
-- A renamed gallery is the same, and so is the call of a person who has declined since: no probe is left to compare.
UPDATE facematch.gallery SET name = 'F2' WHERE name = 'F';
SELECT encounter_id = :first AS the_same FROM facematch.record_encounter('F2', face(9), port => 'JFK', idempotency_key => 'k1');
SELECT encounter_id = :first AS the_same FROM facematch.record_encounter('F', face(9), port => 'JFK', idempotency_key => 'k1');
UPDATE facematch.gallery SET name = 'F' WHERE name = 'F2';
SELECT outcome, subject_id FROM facematch.record_encounter('F', face(12), port => 'JFK', idempotency_key => 'k3');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(12));
SELECT outcome, subject_id FROM facematch.record_encounter('F', face(12), port => 'JFK', idempotency_key => 'k3');
SELECT outcome, subject_id FROM facematch.record_encounter('F', face(12), port => 'LAX', idempotency_key => 'k3');

-- The answer of a record that is due is nobody's.
UPDATE facematch.encounter SET purge_after = now() WHERE idempotency_key = 'k1';
SELECT encounter_id = :first AS the_same FROM facematch.record_encounter('F', face(9), port => 'JFK', idempotency_key => 'k1');

-- Nobody turns a referral into a match unseen.
SELECT encounter_id AS referred FROM facematch.record_encounter('F', face(30), port => 'JFK') \gset
UPDATE facematch.encounter SET outcome = 'match' WHERE encounter_id = :referred;
UPDATE facematch.encounter SET outcome = 'match', subject_id = subject(3) WHERE encounter_id = :referred;
UPDATE facematch.encounter SET outcome = 'match', subject_id = subject(3), override_reason = '' WHERE encounter_id = :referred;
UPDATE facematch.encounter SET outcome = 'match', subject_id = subject(3), similarity = 1, reference_id = 3 WHERE encounter_id = :referred;
UPDATE facematch.encounter SET threshold = -1 WHERE encounter_id = :referred;
INSERT INTO facematch.encounter (gallery, port, outcome, threshold, model, retention_class, subject_id, probe) VALUES ('F', 'JFK', 'match', 0.5, 'two', 'us_citizen', subject(3), '[0.25,0.125]');
SELECT outcome, subject_id FROM facematch.resolve_encounter(:referred, subject(3), 'us_citizen', NULL);
SELECT * FROM facematch.resolve_encounter(NULL, subject(3), 'us_citizen', 'passport inspected');
SELECT * FROM facematch.resolve_encounter(:referred, NULL, 'us_citizen', 'passport inspected');
SELECT * FROM facematch.resolve_encounter(:referred, subject(3), NULL, 'passport inspected');
SELECT outcome, subject_id FROM facematch.resolve_encounter(:referred, subject(3), 'us_citizen', 'passport inspected');
SELECT outcome, referred, override_reason, overridden_by = current_user AS by_me, overridden_at IS NOT NULL AS at, verified_at IS NOT NULL AS verified, retention_class FROM facematch.encounter WHERE encounter_id = :referred;
UPDATE facematch.encounter SET overridden_by = 'somebody else' WHERE encounter_id = :referred;
UPDATE facematch.encounter SET override_reason = 'x' WHERE encounter_id = :referred;
SELECT * FROM facematch.resolve_encounter(:referred, subject(3), 'us_citizen', 'again');

-- A capture of a person who turns out to be a citizen: 12 hours, not 14 days.
SELECT encounter_id AS e FROM facematch.record_encounter('F', face(4), port => 'JFK') \gset
SELECT retention_class, purge_after - occurred_at AS kept FROM facematch.encounter WHERE encounter_id = :e;
UPDATE facematch.encounter SET retention_class = 'us_citizen' WHERE encounter_id = :e;
SELECT retention_class, purge_after - occurred_at AS kept FROM facematch.encounter WHERE encounter_id = :e;
UPDATE facematch.encounter SET retention_class = 'noncitizen' WHERE encounter_id = :e;
SELECT retention_class, purge_after - occurred_at AS kept FROM facematch.encounter WHERE encounter_id = :e;
SELECT rule, anchor, keep, explanation LIKE '%shortened%' AS nearer FROM facematch.explain_retention('facematch.encounter', :e);
-- Opting out takes the probe of the encounter, not the record. The officer has seen a citizen's passport.
INSERT INTO facematch.opt_out (subject_id, retention_class) VALUES (subject(4), 'us_citizen');
SELECT outcome, probe IS NULL AS no_probe FROM facematch.encounter WHERE encounter_id = :e;
UPDATE facematch.encounter SET probe = '[1,0]' WHERE encounter_id = :e;

-- What cannot be, said without the probe.
SELECT * FROM facematch.record_encounter('F', '[0.25,0.125]');
SELECT * FROM facematch.record_encounter('F', '[0.25,0.125]', port => 'JFK', mode => 'rail');
SELECT * FROM facematch.record_encounter('F', '[0.25,0.125]', port => 'JFK', direction => 'in');
SELECT * FROM facematch.record_encounter('nowhere', '[0.25,0.125]', port => 'JFK');
SELECT * FROM facematch.record_encounter('F', '[0.25,0.125,1]', port => 'JFK');
UPDATE facematch.encounter SET retention_class = NULL WHERE encounter_id = :e;

-- An encounter in the past is on an earlier clock; one in the future is one of now. Due, it goes with its candidates.
SELECT encounter_id AS past, purge_after < now() AS due FROM facematch.record_encounter('F', face(3), port => 'JFK', occurred_at => now() - interval '13 hours') \gset
SELECT :'due' AS due;
SELECT purge_after < now() + interval '13 hours' AS of_now FROM facematch.record_encounter('F', face(3), port => 'JFK', occurred_at => now() + interval '10 days');
CALL facematch.purge();
SELECT (SELECT count(*) FROM facematch.encounter WHERE encounter_id = :past), (SELECT count(*) FROM facematch.candidate WHERE encounter_id = :past);
-- An encounter outlives its gallery, within its own deadline.
DELETE FROM facematch.gallery WHERE name = 'F';
SELECT count(*) > 5 AS kept, count(gallery_id) AS with_gallery FROM facematch.encounter WHERE gallery = 'F';
SELECT port, gallery, encounters, matches, no_matches, manual_inspections, overrides, without_notice FROM facematch.report_matching ORDER BY 1, 2;

-- The most dimensions that a model can have: a row holds the probe beside all that may stand there.
INSERT INTO facematch.model (name, tag, dims) VALUES (repeat('m', 30), 2, 3584);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES (repeat('g', 30), 'flight', repeat('m', 30), 0.99, now() + interval '2 hours');
CREATE FUNCTION wide(n int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg(sind(n * 10 + d * 7) ORDER BY d)::face_embedding FROM generate_series(1, 3584) d $$;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(n), 'us_citizen', wide(n), repeat('s', 30) FROM facematch.gallery, generate_series(1, 3) n WHERE name LIKE 'gg%';
SELECT outcome, subject_id, round(similarity::numeric, 3) AS similarity
FROM facematch.record_encounter(repeat('g', 30), wide(2), port => repeat('p', 30), lane => repeat('l', 30), direction => 'exit', mode => 'air', idempotency_key => repeat('k', 300));
SELECT encounter_id AS referred FROM facematch.record_encounter(repeat('g', 30), wide(9), port => repeat('p', 30), lane => repeat('l', 30), direction => 'exit', mode => 'air', idempotency_key => repeat('r', 300)) \gset
SELECT outcome FROM facematch.resolve_encounter(:referred, subject(3), 'us_citizen', repeat('passport inspected ', 30));
SELECT face_dims(probe) AS dims, outcome, referred FROM facematch.encounter WHERE model = repeat('m', 30) ORDER BY encounter_id;
-- A trigger of the site's that leaves the encounter out is no other session's call.
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER site BEFORE INSERT ON facematch.encounter FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT outcome FROM facematch.record_encounter('E', face(3), port => 'JFK');
DROP TRIGGER site ON facematch.encounter;
