-- Every search leaves a row, whatever becomes of its transaction; and nobody comes near a person as often as he likes.
CREATE ROLE facematch_test_gate LOGIN;
CREATE ROLE facematch_test_desk LOGIN;
SELECT facematch.grant_operator('facematch_test_gate'), facematch.grant_operator('facematch_test_desk');
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 3);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, purpose_required) VALUES
	('flight', 'flight', 'm', 0.9, now() + interval '1 hour', false), ('asks', 'flight', 'm', 0.9, now() + interval '1 hour', true);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, subject(s), 'us_citizen', f::face_embedding, 'passport'
FROM facematch.gallery g, (VALUES (1, '[1,0,0]'), (2, '[0,1,0]')) v (s, f);
CREATE VIEW said AS SELECT role_name, kind, (SELECT g.name FROM facematch.gallery g WHERE g.gallery_id = s.gallery_id) AS gallery, purpose, candidates
FROM facematch.search s ORDER BY searched_at;

---------------------------------------------------------------- rows that stay

SET SESSION AUTHORIZATION facematch_test_gate;
BEGIN;
SELECT count(*) FROM facematch.identify('[1,0.1,0]', 'flight');
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) FROM facematch.identify('[0,0,1]', 'flight', purpose => 'boarding');
COMMIT;
SET facematch.purpose = 'inquiry';
DO $$ BEGIN PERFORM facematch.identify('[0,1,0.1]', 'flight'); PERFORM 1 / 0; END $$;
RESET facematch.purpose;
BEGIN;
SAVEPOINT a;
SELECT match FROM facematch.verify('[1,0,0]', 1);
ROLLBACK TO a;
COMMIT;
SELECT match FROM facematch.verify('[1,0,0]', 999);
SELECT outcome FROM facematch.record_encounter('flight', '[1,0,0]', 'JFK');
-- Refused before anything is compared: no search.
SELECT count(*) FROM facematch.identify('[1,0]', 'flight');
SELECT count(*) FROM facematch.identify('[1,0,0]', 'asks');
SELECT count(*) FROM facematch.identify('[1,0,0]', 'asks', purpose => repeat('long ', 30));
SELECT count(*) FROM facematch.identify('[1,0,0]', 'asks', purpose => '');
SELECT count(*) FROM facematch.identify('[1,0,0]', 'asks', purpose => E' \t\n');
SET facematch.purpose = '  ';
SELECT count(*) FROM facematch.identify('[1,0,0]', 'asks', purpose => NULL);
SELECT set_config('facematch.purpose', repeat('long ', 30), false);
SHOW facematch.purpose;
RESET facematch.purpose;
SELECT count(*) FROM facematch.identify('[1,0,0]', 'asks', purpose => 'boarding');
-- Nobody who searches sees the rows, and nobody changes them.
SELECT count(*) FROM facematch.search;
SET facematch.account_searches = off;
RESET SESSION AUTHORIZATION;
SELECT * FROM said;
UPDATE facematch.search SET purge_after = 'infinity';
UPDATE facematch.search SET purpose = 'none of your business';
DELETE FROM facematch.search;
TRUNCATE facematch.search;
-- They go by a rule, a day's worth at a time.
SELECT DISTINCT s.purge_after = date_trunc('day', s.searched_at AT TIME ZONE 'UTC' + interval '1 year') AT TIME ZONE 'UTC' AS by_rule FROM facematch.search s;
SELECT rule, keep FROM facematch.search s, facematch.explain_retention('facematch.search', s.search_id::text) LIMIT 1;
-- They are rows like others: an index, a sequential scan, VACUUM, and all of them frozen.
SET enable_seqscan = off;
SELECT count(*) FROM facematch.search WHERE purge_after > now();
RESET enable_seqscan;
VACUUM facematch.search;
SELECT count(*) FROM facematch.search;

-- What their rows would be written past is not added to their tables.
CREATE FUNCTION try(way text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE way;
	RAISE EXCEPTION 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END
$$;
SELECT w.way, try(w.way) FROM (VALUES ('CREATE INDEX ON facematch.search (lower(purpose))'),
	('CREATE INDEX ON facematch.search (purpose) WHERE refused'), ('CREATE UNIQUE INDEX ON facematch.search (purpose)'),
	('ALTER TABLE facematch.search ADD COLUMN site text'), ('ALTER TABLE facematch.search ALTER purpose SET NOT NULL'),
	('ALTER TABLE facematch.search ALTER gallery_id TYPE text'), ('ALTER TABLE facematch_internal.attempt ADD CHECK (missed)'),
	('ALTER TABLE facematch_internal.quarantined ADD PRIMARY KEY (relation)'),
	-- What can be.
	('CREATE INDEX ON facematch.search (searched_at)'), ('ALTER TABLE facematch.search SET (fillfactor = 90)'),
	('CREATE INDEX ON facematch.gallery (lower(name))'), ('CREATE UNIQUE INDEX ON public.nothing (a)')) w (way);
-- If it is there all the same, searches go on, and the health check names it.
BEGIN;
ALTER EVENT TRIGGER facematch_keep DISABLE;
CREATE FUNCTION tells(word text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'others'' code runs'; RETURN word; END $$;
SET LOCAL client_min_messages = warning;
CREATE INDEX search_tells ON facematch.search ((purpose || tells('-')));
CREATE INDEX search_tells_which ON facematch.search (purpose) WHERE purpose > tells('-');
RESET client_min_messages;
CREATE INDEX search_brin ON facematch.search USING brin (searched_at);
CREATE INDEX search_lower ON facematch.search (lower(purpose));
CREATE INDEX search_refused ON facematch.search (searched_at) WHERE purpose IS NOT NULL;
CREATE INDEX search_hash ON facematch.search USING hash (purpose);
ALTER TABLE facematch.search ADD COLUMN site text DEFAULT 'JFK', ADD COLUMN more text, ADD COLUMN gone text;
ALTER TABLE facematch.search DROP COLUMN gone;
ALTER TABLE facematch_internal.attempt ADD COLUMN more text;
SET SESSION AUTHORIZATION facematch_test_gate;
SELECT count(*) FROM facematch.identify('[1,0,0]', 'flight', purpose => 'Added');
RESET SESSION AUTHORIZATION;
DROP INDEX facematch.search_tells, facematch.search_tells_which;
SELECT purpose, candidates, site, more FROM facematch.search WHERE purpose = 'Added';
SELECT DISTINCT more FROM facematch_internal.attempt;
CREATE EXTENSION amcheck;
SELECT v.msg FROM unnest('{facematch.search,facematch_internal.attempt}'::regclass[]) r, verify_heapam(r) v;
SET LOCAL enable_seqscan = off;
SELECT candidates FROM facematch.search WHERE purpose = 'Added';
SELECT severity, finding, object, remedy FROM facematch.health_check() WHERE finding ~ 'searches are not in the index' OR object ~ '^column';
-- A column that may not be NULL is told of, as an INSERT would.
ALTER TABLE facematch.search ADD COLUMN site_id int NOT NULL DEFAULT 7;
SELECT count(*) FROM facematch.identify('[1,0,0]', 'flight', purpose => 'Again');
SELECT site_id FROM facematch.search WHERE purpose = 'Again';
UPDATE facematch.search SET more = 'x';
ALTER TABLE facematch.search ALTER more SET NOT NULL;
SELECT count(*) FROM facematch.identify('[1,0,0]', 'flight');
ROLLBACK;

---------------------------------------------------------------- scores

SET facematch.attempts_per_day = 1000;
SET facematch.attempts_per_week = 1000;
SET SESSION AUTHORIZATION facematch_test_gate;
SELECT similarity FROM facematch.identify('[1,0.123,0]', 'flight');
SELECT match, similarity FROM facematch.verify('[1,0.123,0]', 1);
-- The threshold, halfway from there to 1, and so on: whoever may not read templates learns no more of a score.
SELECT similarity FROM facematch.identify('[1,0.4,0]', 'flight');
-- Nor by asking with other thresholds, nor of encounters and their candidates.
SELECT similarity FROM facematch.identify('[1,0.4,0]', 'flight', min_similarity => 0.901);
SELECT similarity FROM facematch.identify('[1,0.2,0]', 'flight', min_similarity => 0.901);
SELECT similarity FROM facematch.identify('[1,0.2,0]', 'flight', min_similarity => 0.951);
SELECT similarity FROM facematch.identify('[1,0.2,0]', 'flight', min_similarity => 1);
SELECT similarity FROM facematch.record_encounter('flight', '[1,0.4,0]', 'JFK', idempotency_key => 'once');
SELECT similarity FROM facematch.record_encounter('flight', '[1,0.4,0]', 'JFK', idempotency_key => 'once');
SELECT similarity FROM facematch.encounter;
SELECT runner_up FROM facematch.encounter;
SELECT similarity FROM facematch.candidate;
SELECT rank, count(*) FROM facematch.candidate GROUP BY rank;
SELECT facematch.identify('[1,0,0]', 'flight', min_similarity => 0.89);
SELECT facematch.verify('[1,0,0]', 1, min_similarity => 0.89);
RESET SESSION AUTHORIZATION;
SELECT similarity FROM facematch.identify('[1,0.123,0]', 'flight');
SELECT DISTINCT similarity, runner_up FROM facematch.encounter WHERE idempotency_key = 'once';
SELECT DISTINCT c.similarity FROM facematch.candidate c JOIN facematch.encounter e USING (encounter_id) WHERE e.idempotency_key = 'once';

---------------------------------------------------------------- order

-- Whoever stages templates of known scores beside a person's learns by their order: such searches are worth more.
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('decoys', 'flight', 'm', 0.9, now() + interval '1 hour');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, subject(10 + s % 7), 'us_citizen', ARRAY[1, 0.25 + s * 0.003, 0]::real[]::face_embedding, 'passport'
FROM facematch.gallery g, generate_series(0, 13) s WHERE g.name = 'decoys' ORDER BY s DESC;
CREATE FUNCTION attempts() RETURNS TABLE (subject_id uuid, attempts bigint, missed bigint) LANGUAGE sql SECURITY DEFINER AS $$
	SELECT subject_id, count(*), count(*) FILTER (WHERE missed) FROM facematch_internal.attempt
	WHERE subject_id IN (SELECT subject(n) FROM generate_series(10, 16) n) GROUP BY 1 ORDER BY 1 $$;
SET SESSION AUTHORIZATION facematch_test_gate;
-- Of the references of one person it is not told which is the better one.
SELECT i.rank, i.subject_id, i.similarity, i.matches, i.reference_id = (SELECT min(r.reference_id) FROM facematch.reference r
	WHERE r.gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'decoys') AND r.subject_id = i.subject_id) AS lowest
FROM facematch.identify('[1,0,0]', 'decoys', 2) i;
SELECT v.match, v.matched_reference = (SELECT min(r.reference_id) FROM facematch.reference r
	WHERE r.gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'decoys') AND r.subject_id = subject(10)) AS lowest
FROM facematch.verify('[1,0,0]', 'decoys', subject(10)) v;
SELECT * FROM attempts();
SELECT count(*) FROM facematch.identify('[1,-0.25,0]', 'decoys');
SELECT * FROM attempts();
RESET SESSION AUTHORIZATION;
SELECT i.rank, i.subject_id, round(i.similarity::numeric, 3) AS similarity FROM facematch.identify('[1,0,0]', 'decoys', 2) i;

-- Nor does a staged template keep a miss from being counted: under the person's own pseudonym, as one of a mean of known
-- others, or hundreds of others just below the threshold.  The person's own scores 0.85, and is missed by 0.05 each time.
CREATE FUNCTION scoring(s double precision) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS
	$$ SELECT ARRAY[s, sqrt(1 - s * s), 0]::real[]::face_embedding $$;
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)
SELECT n, 'flight', 'm', 0.9, now() + interval '1 hour' FROM unnest('{own,mean,flood}'::text[]) n;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, subject(s), 'us_citizen', scoring(f), 'passport'
FROM facematch.gallery g JOIN (VALUES ('own', 40, 0.85), ('own', 40, 1), ('mean', 41, 0.6), ('mean', 41, 0.99), ('mean', 41, 0.995), ('flood', 42, 0.85))
	v (name, s, f) USING (name)
UNION ALL SELECT g.gallery_id, subject(1000 + i), 'us_citizen', scoring(0.899), 'passport'
FROM facematch.gallery g, generate_series(1, 300) i WHERE g.name = 'flood';
INSERT INTO facematch.shard (name, reference_table, gallery_table, min_similarity)
VALUES ('here', 'facematch.reference', 'facematch.shard_gallery', 0.9);
SET SESSION AUTHORIZATION facematch_test_gate;
SELECT count(*) FROM facematch.identify('[1,0,0]', 'own');
SELECT match FROM facematch.verify('[1,0,0]', 'own', subject(40));
SELECT count(*) FROM facematch.identify('[1,0,0]', 'own', by => 'reference');
SELECT probe, count(*) FROM facematch.identify_many('{"[1,0,0]"}', 'own') GROUP BY 1;
SELECT count(*) FROM facematch.identify('[1,0,0]', 'mean', by => 'mean');
SELECT count(*) FROM facematch.identify('[1,0,0]', 'flood', 1);
SELECT count(*) FROM facematch.identify('[1,0,0]', 'flood', 1, by => 'reference');
SELECT count(*) FROM facematch.search_shards('[1,0,0]', gallery => 'own');
SELECT count(*) FROM facematch.search_shards('[1,0,0]', 1, gallery => 'flood');
-- own: five searches; mean: one, of three references; flood: three
RESET SESSION AUTHORIZATION;
SELECT subject_id, count(*) AS attempts, count(*) FILTER (WHERE missed) AS missed FROM facematch_internal.attempt
WHERE subject_id IN (subject(40), subject(41), subject(42)) GROUP BY 1 ORDER BY 1;
DELETE FROM facematch.shard;
DELETE FROM facematch.gallery WHERE name IN ('own', 'mean', 'flood');

---------------------------------------------------------------- attempts

CREATE FUNCTION answers(probe face_embedding, gallery text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	told bigint;
BEGIN
	told := (SELECT count(*) FROM facematch.identify(probe, gallery));
	RETURN told;
EXCEPTION WHEN configuration_limit_exceeded THEN
	RETURN 'refused';
END
$$;
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('next', 'flight', 'm', 0.9, now() + interval '1 hour');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, subject(s), 'us_citizen', f::face_embedding, 'passport'
FROM facematch.gallery g, (VALUES (3, '[1,0,0]'), (4, '[0,1,0]')) v (s, f) WHERE g.name = 'next';
SELECT reference_id AS third FROM facematch.reference WHERE subject_id = subject(3) \gset
SET facematch.attempts_per_day = 3;
SET facematch.attempts_per_week = 5;
-- One of these may be a miss.
SET SESSION AUTHORIZATION facematch_test_gate;
-- Far from everybody: as often as one likes.
SELECT count(*) FROM generate_series(1, 20) i, LATERAL facematch.identify(ARRAY[0, 0, i]::real[]::face_embedding, 'next');
-- A miss farther below the threshold than 0.06 is none either. A hit is an attempt, and verification is; a savepoint takes none back.
SELECT count(*) FROM facematch.identify('[1,0.71,0]', 'next');
SELECT count(*) FROM facematch.identify('[1,0.3,0]', 'next');
SELECT match FROM facematch.verify('[1,0.1,0]', :third);
BEGIN; SAVEPOINT a; SELECT count(*) FROM facematch.identify('[1,0,0]', 'next'); ROLLBACK TO a; COMMIT;
\set VERBOSITY terse
SELECT count(*) FROM facematch.identify('[1,0,0]', 'next');
-- Whoever verifies names the person: refused before a comparison, whatever the score.
SELECT match FROM facematch.verify('[1,0,0]', :third);
SELECT match FROM facematch.verify('[0,0,1]', 'next', subject(3));
\set VERBOSITY default
-- At a gate the traveler is for an officer to look at, and the encounter is recorded.
SELECT outcome, reason, similarity FROM facematch.record_encounter('next', '[1,0,0]', 'JFK');
-- Others are not concerned.
SELECT count(*) FROM facematch.identify('[0,1,0]', 'next');
SET SESSION AUTHORIZATION facematch_test_desk;
SELECT count(*) FROM facematch.identify('[1,0,0]', 'next');
SELECT count(*) FROM facematch.identify('[1,0,0]', 'next');
-- All roles together, in a week.
DO $$
BEGIN
	PERFORM facematch.identify('[1,0,0]', 'next');
EXCEPTION WHEN configuration_limit_exceeded THEN
	RAISE NOTICE 'refused';
END
$$;
SET SESSION AUTHORIZATION facematch_test_gate;
-- Whether a search is refused tells nothing of the person, however often one asks: without an attempt nothing is compared with
-- that template. What finds nobody in the gallery is refused, near or far, and all else is answered.
SELECT answers(p::face_embedding, 'next'), count(*) FROM unnest('{"[1,0,0]","[1,0.6,0]","[0,0,1]","[-1,0,0]"}'::text[]) p, generate_series(1, 5)
GROUP BY 1;
SELECT count(*) FROM facematch.identify('[0,1,0]', 'next');
SELECT probe, count(*) FROM facematch.identify_many('{"[0,1,0]"}', 'next') GROUP BY 1;
SELECT outcome, reason FROM facematch.record_encounter('next', '[0,0,1]', 'JFK');
-- Other galleries are not concerned.
SELECT answers('[0,0,1]', 'flight');
RESET SESSION AUTHORIZATION;
SELECT subject_id, count(*) FILTER (WHERE missed) AS missed FROM facematch_internal.attempt WHERE subject_id = subject(3) GROUP BY 1;
SELECT count(*) AS persons, bool_and(withheld_until > now()) AS withheld FROM facematch_internal.attempt WHERE withheld_until IS NOT NULL AND subject_id = subject(3);
SET facematch.attempts_per_week = 12;
SET SESSION AUTHORIZATION facematch_test_desk;
-- Whoever raises the limits lets the person be compared again.
SELECT answers('[0,0,1]', 'next');
-- Of twelve attempts a week two may be misses, whatever the third would be.
SELECT count(*) FROM facematch.identify('[0,1,0.55]', 'next') UNION ALL SELECT count(*) FROM facematch.identify('[0,1,0.55]', 'next');
\set VERBOSITY terse
SELECT count(*) FROM facematch.identify('[0,1,0.55]', 'next');
SELECT count(*) FROM facematch.identify('[0,1,0]', 'next');
\set VERBOSITY default
RESET SESSION AUTHORIZATION;
-- Whoever may read templates needs no scores.
SELECT count(*) FROM facematch.identify('[1,0,0]', 'next');
SELECT role_name, subject_id, count(*) FROM facematch_internal.attempt WHERE subject_id IN (subject(3), subject(4)) GROUP BY 1, 2 ORDER BY 1, 2;
RESET facematch.attempts_per_day;
RESET facematch.attempts_per_week;

---------------------------------------------------------------- what an inspector sees

SET facematch.attempts_per_day = 3;
SET facematch.attempts_per_week = 5;
-- An hour may end meanwhile.
SELECT role_name, purpose, gallery, sum(searches) AS searches, sum(hits) AS hits, sum(refused) AS refused, sum(persons_near) AS near
FROM facematch.report_search WHERE gallery = 'next' GROUP BY 1, 2, 3 ORDER BY 1, 2;
SELECT severity, finding, object FROM facematch.health_check() WHERE finding ~ 'or nearly reached|are not recorded';
-- A person who was missed as often as a week allows is named, though few attempts were made.
SET facematch.attempts_per_week = 40;
SELECT severity, finding, object FROM facematch.health_check() WHERE finding ~ 'all roles';
SET facematch.account_searches = off;
SELECT severity, finding, object FROM facematch.health_check() WHERE finding ~ 'are not recorded';
RESET facematch.account_searches;
RESET facematch.attempts_per_day;
RESET facematch.attempts_per_week;
-- A day that is over is in the log, and stays what it was.
INSERT INTO facematch.search (search_id, searched_at, role_name, kind, candidates, persons_near, refused, retention_class)
SELECT gen_random_uuid(), now() - interval '2 days', 'gate', 'identify', 0, 0, false, 'search' FROM generate_series(1, 5);
-- Also a day that was digested while the clock was ahead, as if it had been over.
SELECT facematch_internal.write_audit('searches_digested', jsonb_build_object('about', 'searches:' || day, 'day', day, 'searches', 0, 'digest', NULL))
FROM to_char(now() AT TIME ZONE 'UTC' - interval '2 days', 'YYYY-MM-DD') day;
ALTER TABLE facematch.audit_event DISABLE TRIGGER audit_event_10_is_a_record;
UPDATE facematch.audit_event SET at = at + interval '10 days' WHERE action = 'searches_digested';
UPDATE facematch.audit_event e SET hash = sha256(facematch.audit_content(e)) WHERE action = 'searches_digested';
ALTER TABLE facematch.audit_event ENABLE ALWAYS TRIGGER audit_event_10_is_a_record;
SELECT intact, finding FROM facematch.verify_audit();
SET datestyle = 'German';
CALL facematch.purge();
CALL facematch.purge();
RESET datestyle;
SELECT count(*), bool_and(detail ->> 'about' = 'searches:' || (detail ->> 'day')) AS iso FROM facematch.audit_event
WHERE action = 'searches_digested' AND detail ->> 'day' = to_char(now() AT TIME ZONE 'UTC' - interval '2 days', 'YYYY-MM-DD');
SELECT count(*), min((detail ->> 'searches')::int) AS searches FROM facematch.audit_event WHERE action = 'searches_digested' AND detail ->> 'searches' <> '0';
SELECT finding FROM facematch.verify_audit() WHERE finding ~ 'searches';
ALTER TABLE facematch.search DISABLE TRIGGER search_15_is_a_record;
UPDATE facematch.search SET candidates = 1 WHERE role_name = 'gate';
SELECT regexp_replace(finding, '\d{4}-\d\d-\d\d', 'DAY') AS finding FROM facematch.verify_audit() WHERE finding ~ 'searches';
UPDATE facematch.search SET candidates = 0 WHERE role_name = 'gate';
SELECT finding FROM facematch.verify_audit() WHERE finding ~ 'searches';
ALTER TABLE facematch.search ENABLE ALWAYS TRIGGER search_15_is_a_record;

---------------------------------------------------------------- code of tables

-- Scores and limits go by the session's user. Code of a role's table runs in sessions of others, with that role's rights: of whoever
-- analyzes the table, makes an index, purges, or of an autovacuum worker. It gets no answers there.
CREATE TABLE loot (told text);
GRANT INSERT, SELECT ON loot TO facematch_test_gate;
GRANT USAGE, CREATE ON SCHEMA public TO facematch_test_gate;
SET SESSION AUTHORIZATION facematch_test_gate;
CREATE FUNCTION told(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE query INTO answer;
	RETURN answer;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END
$$;
CREATE FUNCTION look() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.loot SELECT public.told(q) FROM unnest(ARRAY[
		$q$SELECT similarity::text FROM facematch.identify('[1,0.123,0]', 'flight', min_similarity => -1)$q$,
		$q$SELECT count(*)::text FROM facematch.identify_many('{"[1,0.123,0]"}', 'flight')$q$,
		$q$SELECT similarity::text FROM facematch.verify('[1,0.123,0]', 1)$q$,
		$q$SELECT similarity::text FROM facematch.record_encounter('flight', '[1,0.123,0]', 'JFK')$q$,
		$q$SELECT similarity::text FROM facematch.search_shards('[1,0.123,0]')$q$,
		$q$SELECT facematch.explain_retention('facematch.reference', '1')::text$q$,
		$q$SELECT facematch.close_gallery('flight')::text$q$,
		$q$SELECT subject_id::text FROM facematch.reference WHERE source = 'wanted'$q$,
		$q$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT gallery_id,
		   '00000000-0000-8000-8000-000000000099', 'watchlist', '[1,0,0]', 'framed' FROM facematch.gallery WHERE name = 'watch'$q$]) q;
END
$$;
CREATE FUNCTION spy(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF session_user <> 'facematch_test_gate' THEN
		PERFORM public.look();
	END IF;
	RETURN id;
END
$$;
CREATE TABLE bait (id int, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, e face_embedding);
INSERT INTO bait (id) VALUES (1);
CREATE INDEX bait_idx ON bait (spy(id));
RESET SESSION AUTHORIZATION;
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('watch', 'watchlist', 'm', 0.9);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(20), 'watchlist', '[1,0,0]', 'wanted' FROM facematch.gallery WHERE name = 'watch';
SELECT count(*) AS searches FROM facematch.search \gset
ANALYZE bait;
SELECT told FROM loot;
REINDEX INDEX bait_idx;
SELECT told, count(*) FROM loot GROUP BY 1 ORDER BY 1;
SELECT count(*) - :searches AS in_the_name_of_others FROM facematch.search;
SET client_min_messages = warning;
-- Nor while a row that another server has sent takes templates out of it.
TRUNCATE loot;
DROP INDEX bait_idx;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('sightings', 'us_citizen', 'sighting', '{recorded}', '{10 days}', 'site rule', '-infinity');
UPDATE bait SET retention_class = 'us_citizen', subject_id = subject(30), e = '[1,0,0]';
SELECT facematch.retain('bait', 'sighting');
SET SESSION AUTHORIZATION facematch_test_gate;
CREATE FUNCTION looks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.look(); RETURN OLD; END $$;
CREATE TRIGGER look BEFORE DELETE ON bait FOR EACH ROW EXECUTE FUNCTION looks();
ALTER TABLE bait ENABLE ALWAYS TRIGGER look;
RESET SESSION AUTHORIZATION;
SELECT pg_replication_origin_create('facematch_test_searches') IS NOT NULL AS created;
SELECT pg_replication_origin_session_setup('facematch_test_searches');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(30));
SELECT pg_replication_origin_session_reset();
SELECT pg_replication_origin_drop('facematch_test_searches');
SELECT told FROM loot;
SELECT facematch.release('bait');
DROP TABLE loot;

DROP OWNED BY facematch_test_gate, facematch_test_desk;
DROP ROLE facematch_test_gate, facematch_test_desk;
