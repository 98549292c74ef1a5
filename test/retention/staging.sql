-- Galleries' life, and what an officer resolves, where holds, opt-outs and deadlines are about the same rows.
\set VERBOSITY terse
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('one', 'flight', 'two', 0.99, now() + interval '2 hours'), ('gone', 'flight', 'two', 0.99, now() - interval '13 hours');
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
CREATE FUNCTION face(n int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[cosd(n * 10), sind(n * 10)]::face_embedding $$;
CREATE FUNCTION hours_left(at timestamptz) RETURNS numeric LANGUAGE sql AS $$ SELECT round(extract(epoch FROM at - now()) / 3600) $$;
CREATE FUNCTION staged() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(ltrim(right(r.subject_id::text, 4), '0'), ' ' ORDER BY r.subject_id, r.reference_id) FROM facematch.reference r $$;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(n), 'us_citizen', face(n), 's' FROM facematch.gallery, generate_series(1, 6) n WHERE name = 'one';

-- Another manifest: who is no longer on it goes, but for who is held, by subject or by row.
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(2), 'inquiry', 'court');
INSERT INTO facematch.hold (table_name, row_id, reason, authority)
SELECT 'facematch.reference', reference_id, 'inquiry', 'court' FROM facematch.reference WHERE subject_id = subject(3);
SELECT ltrim(right(subject_id::text, 4), '0') AS subject, state FROM facematch.restage_gallery('one', ARRAY[subject(1), subject(4), subject(5), subject(9)]) ORDER BY 1;
SELECT staged();

-- Merged references keep the nearest of their deadlines, whichever of them stays.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, quality, purge_after)
SELECT gallery_id, subject(7), 'us_citizen', face(n), 's', n, CASE n WHEN 8 THEN now() + interval '5 hours' END FROM facematch.gallery, generate_series(7, 9) n WHERE name = 'one';
SELECT facematch.merge_references('one', subject(7)) AS merged \gset
SELECT quality, hours_left(purge_after) FROM facematch.reference WHERE subject_id = subject(7);
SELECT hours_left(purge_after) = 14 AS others_stay FROM facematch.reference WHERE subject_id = subject(1);
-- held ones are not merged, nor what is due
SELECT facematch.merge_references('one', subject(2)) IS NOT NULL AS one_alone;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT gallery_id, subject(2), 'us_citizen', face(3), 's' FROM facematch.gallery WHERE name = 'one';
SELECT facematch.merge_references('one', subject(2));
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT gallery_id, subject(10), 'us_citizen', face(3), 's', anchor_at - interval '1 hour' FROM facematch.gallery WHERE name = 'gone';
SELECT facematch.merge_references('gone', subject(10));

-- Two pseudonyms of one person: a hold on either keeps the rows of both.
INSERT INTO facematch.hold (subject_id, reason, authority, until) VALUES (subject(4), 'inquiry', 'court', now() + interval '1 year');
SELECT facematch.merge_subjects(subject(5), subject(4));
SELECT staged();
DELETE FROM facematch.reference WHERE subject_id = subject(5);

-- An officer resolves a referral while it is not due, and only then; the photograph of who has declined goes with it.
SELECT encounter_id AS past FROM facematch.record_encounter('one', face(30), port => 'JFK', occurred_at => now() - interval '13 hours') \gset
SELECT facematch.resolve_encounter(:past, subject(1), 'us_citizen', 'passport seen');
SELECT encounter_id AS referred FROM facematch.record_encounter('one', face(30), port => 'JFK') \gset
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1));
SELECT (facematch.resolve_encounter(:referred, subject(1), 'us_citizen', 'passport seen')).outcome;
SELECT outcome, subject_id = subject(1) AS resolved, probe IS NULL AS no_probe, override_reason FROM facematch.encounter WHERE encounter_id = :referred;
SELECT facematch.resolve_encounter(:referred, subject(1), 'us_citizen', 'passport seen again');

INSERT INTO facematch.hold (table_name, row_id, reason, authority)
SELECT 'facematch.reference', reference_id, 'inquiry', 'court' FROM facematch.reference WHERE subject_id = subject(10);
-- A departure that is put off revives nothing that its first time made due, and takes along what was not.
SELECT hours_left(purge_after) FROM facematch.reference WHERE subject_id = subject(10);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT gallery_id, subject(12), 'noncitizen', face(3), 's' FROM facematch.gallery WHERE name = 'gone';
UPDATE facematch.gallery SET anchor_at = now() + interval '5 hours' WHERE name = 'gone';
SELECT hours_left(purge_after) FROM facematch.reference WHERE subject_id IN (subject(10), subject(12)) ORDER BY 1;
UPDATE facematch.gallery SET anchor_at = now() - interval '13 hours' WHERE name = 'gone';

-- What a hold had kept of who has declined comes back from a dump after the hold has ended: due, and gone with the next purge.
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(13));
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after) SELECT gallery_id, subject(13), 'us_citizen', face(13), 'dump', now() - interval '2 hours' FROM facematch.gallery WHERE name = 'one'
RETURNING hours_left(purge_after);
SELECT count(*) FROM facematch.identify(face(13), 'one', 10, -1) WHERE subject_id = subject(13);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after) SELECT gallery_id, subject(13), 'us_citizen', face(13), 'dump', now() + interval '2 hours' FROM facematch.gallery WHERE name = 'one';
CALL facematch.purge();
SELECT count(*) FROM facematch.reference WHERE subject_id = subject(13);

-- What is due is no news of what will be due.
SELECT count(*) AS due FROM facematch.reference WHERE purge_after <= now();
SELECT count(*) AS due_soon, bool_and(purge_after > now()) AS not_yet FROM facematch.due_soon('5 years');
-- What is due and held is not overdue, by row or by subject.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT gallery_id, subject(11), 'us_citizen', face(3), 's', anchor_at - interval '1 hour' FROM facematch.gallery WHERE name = 'gone';
SELECT regexp_replace(object, 'for .*', 'for …') AS object, finding FROM facematch.health_check() WHERE finding ~ 'not purged' AND object ~ 'reference';
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(11), 'inquiry', 'court');
SELECT regexp_replace(object, 'for .*', 'for …') AS object, finding FROM facematch.health_check() WHERE finding ~ 'not purged' AND object ~ 'reference';
CALL facematch.purge();
SELECT count(*) FROM facematch.reference WHERE subject_id IN (subject(10), subject(11));

-- A gallery's name outlives it, in disclosures and statistics: it is no place for a template.
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) SELECT face(1)::text, kind, model, min_similarity, now() FROM facematch.gallery WHERE name = 'one';
UPDATE facematch.gallery SET name = face(1)::text WHERE name = 'one';
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) SELECT 'XX901/2026-11-23 17:45+01', kind, model, min_similarity, now() FROM facematch.gallery WHERE name = 'one' RETURNING name;

-- A watchlist is only closed: with an anchor, all of it would be due in days.
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('looked for', 'watchlist', 'two', 0.99);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(99), 'watchlist', face(12), 's' FROM facematch.gallery WHERE name = 'looked for';
CREATE TEMP TABLE before AS SELECT reference_id, purge_after FROM facematch.reference WHERE subject_id = subject(99);
SELECT facematch.close_gallery('looked for') AS deadline;
SELECT g.closed_at IS NOT NULL AS closed, g.anchor_at, r.purge_after = b.purge_after AS kept_as_long,
	r.purge_after > now() + interval '70 years' AS years
FROM before b JOIN facematch.reference r USING (reference_id) JOIN facematch.gallery g USING (gallery_id);
-- How far ahead a departure may be does not depend on how long a day is where the session says that it is.
SET timezone = 'A167B-167,J200/0,J360/0';
SELECT facematch.stage_gallery('far', (SELECT name FROM facematch.gallery WHERE anchor_at IS NOT NULL AND kind <> 'watchlist' ORDER BY gallery_id LIMIT 1),
	now() + interval '1750 hours');
RESET timezone;
