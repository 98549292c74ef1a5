-- Persons and not pictures: one line a person, the best other person, verification against all pictures of one.
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 4);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('many', 'flight', 'm', 0.9, now() + interval '1 hour'), ('ties', 'flight', 'm', 0.9, now() + interval '1 hour');
-- Person 1 has ten pictures that are nearer than the one of person 2.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, subject(CASE WHEN i <= 10 THEN 1 ELSE 2 END), 'us_citizen', ARRAY[10, 20, 30, CASE WHEN i <= 10 THEN 40 + i * 0.1 ELSE 30 END]::real[], 'passport'
FROM facematch.gallery g, generate_series(1, 11) i WHERE g.name = 'many';
SELECT rank, subject_id, round(similarity::numeric, 3) AS similarity, matches FROM facematch.identify('[10,20,30,40]', 'many', 1);
SELECT rank, subject_id, round(similarity::numeric, 3) AS similarity, matches FROM facematch.identify('[10,20,30,40]', 'many', 2);
SELECT count(*), count(DISTINCT subject_id) AS persons, max(matches) AS matches FROM facematch.identify('[10,20,30,40]', 'many', 11, by => 'reference');
SELECT count(*), count(DISTINCT subject_id) AS persons FROM facematch.identify('[10,20,30,40]', 'many', 3, by => 'reference');
SELECT facematch.identify('[10,20,30,40]', 'many', by => 'face');
-- By the mean of all of a person's references: nobody's who only has one good one; ten pictures of one person do not fill the list.
SELECT rank, subject_id, round(similarity::numeric, 4) AS similarity, matches FROM facematch.identify('[10,20,30,40]', 'many', 1, by => 'mean');
SELECT rank, subject_id, round(similarity::numeric, 4) AS similarity, matches, reference_id = (SELECT min(r.reference_id) FROM facematch.reference r WHERE r.subject_id = i.subject_id) AS first
FROM facematch.identify('[10,20,30,40]', 'many', 2, by => 'mean') i;
SELECT rank, subject_id, matches FROM facematch.identify('[10,20,30,40]', 'many', 2, min_similarity => 0.9995, by => 'mean');
SELECT probe, rank, subject_id FROM facematch.identify_many(ARRAY['[10,20,30,40]', '[10,20,30,30]']::face_embedding[], 'many', 2, by => 'mean') ORDER BY 1, 2;
-- The best other person, whatever the length of the list.
SELECT outcome, subject_id FROM facematch.record_encounter('many', '[10,20,30,40]', 'JFK', max_candidates => 1);
SELECT outcome, subject_id FROM facematch.record_encounter('many', '[10,20,30,40]', 'JFK', max_candidates => 11);
SELECT e.similarity, e.runner_up, (SELECT count(*) FROM facematch.candidate c WHERE c.encounter_id = e.encounter_id) AS candidates
FROM facematch.encounter e ORDER BY e.encounter_id;
-- More pictures of one person than any list is long: the query asks again.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, subject(3), 'us_citizen', ARRAY[10, 20, 30, 40 + i * 0.001]::real[], 'passport'
FROM facematch.gallery g, generate_series(1, 1000) i WHERE g.name = 'many';
SELECT rank, subject_id, matches FROM facematch.identify('[10,20,30,40]', 'many', 2);
SELECT rank, subject_id, matches FROM facematch.identify('[10,20,30,40]', 'many', 10);
SELECT rank, subject_id, matches FROM facematch.identify('[10,20,30,40]', 'many', 10, by => 'mean');

-- Verification against all pictures of a person: the best decides.
SELECT match, round(similarity::numeric, 3) AS similarity, matched_subject, matched_reference IS NOT NULL AS named
FROM facematch.verify(probe => '[10,20,30,40]', gallery => 'many', subject_id => subject(2));
SELECT match, similarity, matched_subject FROM facematch.verify(probe => '[10,20,30,40]', gallery => 'many', subject_id => subject(4));
SELECT match, round(similarity::numeric, 3) AS similarity FROM facematch.verify(probe => '[1,0,0,0]', gallery => 'many', subject_id => subject(2));
SELECT facematch.verify(probe => '[10,20,30,40]', gallery => 'many', subject_id => NULL);
SELECT facematch.verify(probe => '[10,20,30,40]', gallery => 'none', subject_id => subject(2));

-- Two persons with the same picture: the lower reference_id comes first, and whom the document names is who matches.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, subject(s), 'us_citizen', '[1,2,3,4]', 'passport' FROM facematch.gallery g, (VALUES (12), (11)) v (s) WHERE g.name = 'ties';
SELECT rank, subject_id FROM facematch.identify('[1,2,3,4]', 'ties');
SELECT outcome, subject_id FROM facematch.record_encounter('ties', '[1,2,3,4]', 'JFK', subject_id => subject(11));
SELECT outcome, subject_id FROM facematch.record_encounter('ties', '[1,2,3,4]', 'JFK', subject_id => subject(12));
SELECT outcome, subject_id FROM facematch.record_encounter('ties', '[1,2,3,4]', 'JFK', subject_id => subject(13));
SELECT outcome, subject_id FROM facematch.record_encounter('ties', '[1,2,3,4]', 'JFK');
