-- What comes late: a gate's records after the doors were closed, staging after the departure; and one exit for each exit.
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 3);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('late', 'flight', 'm', 0.9, now() + interval '1 hour'), ('gone', 'flight', 'm', 0.9, now() - interval '1 day');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(1), 'us_citizen', '[1,0,0]', 'passport' FROM facematch.gallery WHERE name = 'late';
SELECT facematch.close_gallery('late') IS NOT NULL AS closed;
-- Only staging is closed.
SELECT outcome FROM facematch.record_encounter('late', '[1,0,0]', 'JFK', idempotency_key => 'b', occurred_at => now() - interval '2 minutes');
SELECT outcome, reason FROM facematch.record_encounter('late', NULL, 'JFK', idempotency_key => 'c');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(2), 'us_citizen', '[0,1,0]', 'passport' FROM facematch.gallery WHERE name = 'late';
-- Staging after the departure is refused, with and without RETURNING; what was enrolled before it comes in due.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(2), 'us_citizen', '[0,1,0]', 'passport' FROM facematch.gallery WHERE name = 'gone';
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(2), 'us_citizen', '[0,1,0]', 'passport' FROM facematch.gallery WHERE name = 'gone' RETURNING reference_id;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT gallery_id, subject(2), 'us_citizen', '[0,1,0]', 'passport', now() - interval '2 days' FROM facematch.gallery WHERE name = 'gone'
RETURNING purge_after <= now() AS due;
-- Of a longer clock, a departed flight can be staged: it is not due.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(3), 'noncitizen', '[0,0,1]', 'passport' FROM facematch.gallery WHERE name = 'gone' RETURNING purge_after > now() AS kept;

-- Exits: an automatic match, an officer's decision, a call that comes twice, an encounter that is no exit.
SELECT outcome FROM facematch.record_encounter('late', '[1,0,0]', 'JFK', direction => 'exit', idempotency_key => 'd');
SELECT outcome FROM facematch.record_encounter('late', '[1,0,0]', 'JFK', direction => 'exit', idempotency_key => 'd');
SELECT outcome FROM facematch.record_encounter('late', NULL, 'JFK', direction => 'exit', idempotency_key => 'e');
SELECT outcome FROM facematch.resolve_encounter((SELECT encounter_id FROM facematch.encounter WHERE idempotency_key = 'e'), subject(4), 'us_citizen', 'document');
UPDATE facematch.encounter SET retention_class = 'noncitizen' WHERE idempotency_key = 'e';
SELECT outcome FROM facematch.record_encounter('late', '[1,0,0]', 'JFK', direction => 'entry', idempotency_key => 'f');
SELECT subject_id, event, occurred_at = (SELECT occurred_at FROM facematch.encounter WHERE subject_id = a.subject_id AND direction = 'exit') AS at_the_encounter
FROM facematch.anchor_event a ORDER BY 1;
-- A hit on a watchlist is no exit before an officer has seen who it is, and then it is that person's.
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('wanted', 'watchlist', 'm', 0.9);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(n), 'watchlist', ARRAY[sind(n * 30), cosd(n * 30), 0]::face_embedding, 'file' FROM facematch.gallery, generate_series(5, 7) n WHERE name = 'wanted';
SELECT outcome, subject_id FROM generate_series(5, 7) n, facematch.record_encounter('wanted', ARRAY[sind(n * 30), cosd(n * 30), 0]::face_embedding, 'JFK', direction => 'exit', idempotency_key => 'w' || n);
SELECT subject_id, event FROM facematch.anchor_event WHERE subject_id >= subject(5) ORDER BY 1;
SELECT outcome FROM facematch.resolve_encounter((SELECT encounter_id FROM facematch.encounter WHERE idempotency_key = 'w5'), subject(5), 'watchlist', 'it is');
SELECT outcome FROM facematch.resolve_encounter((SELECT encounter_id FROM facematch.encounter WHERE idempotency_key = 'w6'), subject(8), 'us_citizen', 'it is not');
SELECT subject_id, event FROM facematch.anchor_event WHERE subject_id >= subject(5) ORDER BY 1;
