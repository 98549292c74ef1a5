-- Two pseudonyms of one person: what holds for one holds for the other, for rows that come later too, until the merge
-- is undone.  No row is rewritten.
\set SHOW_CONTEXT never
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION face(n int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[cosd(n * 10), sind(n * 10)]::face_embedding $$;
CREATE FUNCTION subjects_of(t regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
	EXECUTE format('SELECT string_agg(ltrim(right(subject_id::text, 4), ''0''), '' '' ORDER BY subject_id) FROM %s', t) INTO found;
	RETURN found;
END $$;
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('first', 'flight', 'two', 0.9, now() + interval '1 hour'), ('next', 'flight', 'two', 0.9, now() + interval '2 hours');
CREATE TABLE mine (id int PRIMARY KEY, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, e face_embedding);
SELECT facematch.retain('mine', 'reference', template_column => 'e');
CREATE PROCEDURE stage(gallery text, n int) LANGUAGE sql AS $$
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT g.gallery_id, subject(stage.n), 'us_citizen', face(stage.n), 'passport' FROM facematch.gallery g WHERE g.name = stage.gallery $$;

-- An opt-out of one document reaches the other: templates that are there, and those of the next manifest.
CALL stage('first', 1);
CALL stage('first', 2);
INSERT INTO mine (id, retention_class, subject_id, e) VALUES (1, 'us_citizen', subject(2), face(2));
SELECT facematch.merge_subjects(subject(1), subject(2));
SELECT facematch.merge_subjects(subject(2), subject(1)) AS the_same;
SELECT subjects_of('facematch.reference') AS not_rewritten;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1));
SELECT subjects_of('facematch.reference') AS "references", subjects_of('mine') AS mine;
CALL stage('next', 2);
INSERT INTO mine (id, retention_class, subject_id, e) VALUES (1, 'us_citizen', subject(2), face(2));
SELECT facematch.is_opted_out(subject(2));
SELECT state FROM facematch.restage_gallery('next', ARRAY[subject(2)]);
SELECT outcome, reason FROM facematch.record_encounter('next', face(2), 'JFK', subject_id => subject(2));
-- In bulk, when opt-outs are read once: of hundreds, who has declined under another document is left out.
BEGIN;
SET LOCAL facematch.on_opt_out = skip;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, subject(CASE i WHEN 400 THEN 2 ELSE 1000 + i END), 'us_citizen', face(i), 's'
FROM facematch.gallery g, generate_series(1, 400) i WHERE g.name = 'next';
SELECT subject_id FROM facematch.skipped();
ROLLBACK;

-- A merge while an opt-out of either stands removes the other's templates at once, of all who are joined by others.
CALL stage('first', 3);
CALL stage('first', 4);
CALL stage('first', 5);
INSERT INTO facematch.opt_out (subject_id, scope, gallery_id) SELECT subject(5), 'encounter', gallery_id FROM facematch.gallery WHERE name = 'first';
SELECT facematch.merge_subjects(subject(3), subject(4)) IS NOT NULL AS merged;
SELECT subjects_of('facematch.reference') AS before;
SELECT facematch.merge_subjects(subject(5), subject(4)) IS NOT NULL AS merged;
SELECT subjects_of('facematch.reference') AS after, facematch.is_opted_out(subject(3)) AS everywhere,
	   facematch.is_opted_out(subject(3), gallery_id) AS at_the_first FROM facematch.gallery WHERE name = 'first';
SELECT cardinality(facematch_internal.aliases(subject(3))) AS subjects FROM (SELECT) s;
CALL stage('next', 3);
SELECT subjects_of('facematch.reference') AS next_flight;
DELETE FROM facematch.reference;

-- Undone, each is itself again; what was removed does not come back.
UPDATE facematch.subject_merge SET undone_at = clock_timestamp() + interval '1 day' WHERE kept = subject(5);
UPDATE facematch.subject_merge SET kept = subject(6) WHERE kept = subject(5);
DELETE FROM facematch.subject_merge WHERE kept = subject(5);
UPDATE facematch.subject_merge SET undone_at = clock_timestamp() WHERE kept = subject(5);
SELECT undone_by = session_user AS attributed FROM facematch.subject_merge WHERE kept = subject(5);
SELECT n, cardinality(facematch_internal.aliases(subject(n))) AS subjects FROM generate_series(3, 5) n;
CALL stage('first', 3);
CALL stage('first', 5);
SELECT subjects_of('facematch.reference') AS "references";
UPDATE facematch.subject_merge SET undone_at = clock_timestamp() WHERE kept = subject(5);
SELECT facematch.merge_subjects(subject(5), subject(4)) > 3 AS merged_again, cardinality(facematch_internal.aliases(subject(5))) AS subjects;
TRUNCATE facematch.subject_merge;
SELECT facematch.merge_subjects(subject(1), subject(1));
SELECT action, detail -> 'row' ->> 'merged' AS merged, detail -> 'changed' ? 'undone_at' AS undone FROM facematch.audit_event
WHERE action LIKE 'subjects%' ORDER BY event_id;

-- A hold on one keeps the rows of the other: from deletion, from the purge, from a changed manifest, at an opt-out.
CALL stage('next', 11);
SELECT facematch.merge_subjects(subject(10), subject(11)) IS NOT NULL AS merged;
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(10), 'inquiry', 'court');
DELETE FROM facematch.reference WHERE subject_id = subject(11);
SELECT state FROM facematch.restage_gallery('next', '{}') WHERE subject_id = subject(11);
SELECT held FROM facematch.explain_retention('facematch.reference', (SELECT reference_id FROM facematch.reference WHERE subject_id = subject(11)));
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(10));
SELECT purge_after <= clock_timestamp() AS due FROM facematch.reference WHERE subject_id = subject(11);
CALL facematch.purge();
SELECT count(*) FROM facematch.reference WHERE subject_id = subject(11);
UPDATE facematch.hold SET released_at = clock_timestamp();
CALL facematch.purge();
SELECT count(*) FROM facematch.reference WHERE subject_id = subject(11);

-- The manifest under whichever document.
CALL stage('next', 14);
SELECT facematch.merge_subjects(subject(15), subject(14)) IS NOT NULL AS merged;
SELECT state FROM facematch.restage_gallery('next', ARRAY[subject(15)]);

-- The gate: the document of the second pseudonym names the person of the first.
SELECT outcome, subject_id = subject(15) AS as_the_document FROM facematch.record_encounter('next', face(14), 'JFK', subject_id => subject(15));
SELECT outcome FROM facematch.record_encounter('next', face(14), 'JFK', subject_id => subject(16));
SELECT match, matched_subject = subject(14) AS under_the_other FROM facematch.verify(face(14), 'next', subject(15));
SELECT n, match FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id), unnest('{14,15,16}'::int[]) n, facematch.verify(face(14), r.reference_id, subject(n))
WHERE g.name = 'next' AND r.subject_id = subject(14) ORDER BY n;
-- Two references of one person under two pseudonyms are one candidate, and no runner-up of each other.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(15), 'us_citizen', face(14), 'visa' FROM facematch.gallery WHERE name = 'next';
SELECT rank, subject_id, matches FROM facematch.identify(face(14), 'next');
SELECT count(*) FROM facematch.identify(face(14), 'next', by => 'reference');
SELECT encounter_id AS one FROM facematch.record_encounter('next', face(14), 'JFK') \gset
SELECT runner_up FROM facematch.encounter WHERE encounter_id = :one;
SELECT same_subject FROM facematch.duplicates('next');
SELECT facematch.merge_references('next', subject(15)) IS NOT NULL AS merged;
SELECT count(*) FROM facematch.reference;

-- Attempts are counted by person.
CREATE ROLE facematch_test_merges;
SELECT facematch.grant_operator('facematch_test_merges');
SET SESSION AUTHORIZATION facematch_test_merges;
DO $$ BEGIN FOR i IN 1 .. 10 LOOP PERFORM facematch.identify(face(14), 'next'); END LOOP; END $$;
RESET SESSION AUTHORIZATION;
DELETE FROM facematch.reference;
CALL stage('next', 15);
CALL stage('next', 14);
DELETE FROM facematch.reference WHERE subject_id = subject(14);
SET SESSION AUTHORIZATION facematch_test_merges;
\set VERBOSITY terse
SELECT facematch.identify(face(15), 'next');
\set VERBOSITY default
RESET SESSION AUTHORIZATION;
SELECT facematch.revoke_access('facematch_test_merges');
DROP ROLE facematch_test_merges;

-- An exit of either counts for the deadlines of both, before the merge and after it; a merge lengthens nothing.
INSERT INTO facematch.retention_class (name, description) VALUES ('visitor', 'visitors');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, fallback_anchor, fallback_keep, citation)
VALUES ('site/visitor', 'visitor', 'reference', '{exit}', '{1 hour}', 'recorded', '9 days', 'site rule');
INSERT INTO mine (id, retention_class, subject_id, e) VALUES (20, 'visitor', subject(20), face(20)), (21, 'visitor', subject(21), face(21)),
	(22, 'visitor', subject(22), face(22));
INSERT INTO facematch.anchor_event (subject_id, event) VALUES (subject(20), 'exit');
SELECT id, round(extract(epoch FROM purge_after - now()) / 3600) AS hours FROM mine ORDER BY id;
SELECT facematch.merge_subjects(subject(20), subject(21)) IS NOT NULL AS merged;
SELECT facematch.merge_subjects(subject(22), subject(23)) IS NOT NULL AS merged;
INSERT INTO facematch.anchor_event (subject_id, event) VALUES (subject(23), 'exit');
INSERT INTO mine (id, retention_class, subject_id, e) VALUES (24, 'visitor', subject(22), face(24));
SELECT id, round(extract(epoch FROM purge_after - now()) / 3600) AS hours FROM mine ORDER BY id;
UPDATE facematch.subject_merge SET undone_at = clock_timestamp() WHERE kept = subject(20);
SELECT round(extract(epoch FROM purge_after - now()) / 3600) AS hours FROM mine WHERE id = 21;
SELECT count(*) FROM facematch.verify_audit() WHERE NOT intact;
