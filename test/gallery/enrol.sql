-- One call to enrol, and what it refuses: each refusal by SQLSTATE and constraint name.  INSERT says the same.
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION refusal(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	rule text;
	answer text;
BEGIN
	EXECUTE query INTO answer;
	RETURN 'accepted' || CASE WHEN answer IS NULL THEN ', nothing stored' ELSE '' END;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS rule = CONSTRAINT_NAME;
	RETURN SQLSTATE || ' ' || rule || ': ' || SQLERRM;
END
$$;
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 2), ('n', 2, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, min_quality) VALUES
	('open', 'flight', 'm', 0.5, now() + interval '1 hour', NULL), ('good', 'flight', 'm', 0.5, now() + interval '1 hour', 50),
	('shut', 'flight', 'm', 0.5, now() + interval '1 hour', NULL), ('gone', 'flight', 'm', 0.5, now() - interval '20 days', NULL);
SELECT facematch.close_gallery('shut') IS NOT NULL AS closed;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(2));

SELECT reference_id = facematch.enrol('open', subject(1), '[1,0]', 'us_citizen', 'passport', 80) - 1 AS not_yet FROM
	(SELECT coalesce(max(reference_id), 0) AS reference_id FROM facematch.reference) r;
SELECT g.name, r.subject_id, facematch_internal.opened(r.embedding) AS embedding, r.retention_class, r.source, r.quality
FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id);
SELECT c AS call, refusal(format('SELECT facematch.enrol(%s)', c)) FROM unnest(ARRAY[
	$$'opne', subject(1), '[1,0]', 'us_citizen', 'passport'$$,
	$$NULL, subject(1), '[1,0]', 'us_citizen', 'passport'$$,
	$$'shut', subject(1), '[1,0]', 'us_citizen', 'passport'$$,
	$$'gone', subject(1), '[1,0]', 'us_citizen', 'passport'$$,
	$$'open', subject(2), '[1,0]', 'us_citizen', 'passport'$$,
	$$'open', subject(1), '[1,0]', 'martian', 'passport'$$,
	$$'open', subject(1), '2:[1,0]', 'us_citizen', 'passport'$$,
	$$'open', subject(1), '[1,0,0]', 'us_citizen', 'passport'$$,
	$$'open', subject(1), NULL, 'us_citizen', 'passport'$$,
	$$'open', NULL, '[1,0]', 'us_citizen', 'passport'$$,
	$$'open', subject(1), '[1,0]', NULL, 'passport'$$,
	$$'open', subject(1), '[1,0]', 'us_citizen', ''$$,
	$$'open', subject(1), '[1,0]', 'us_citizen', 'passport', 101$$,
	$$'good', subject(1), '[1,0]', 'us_citizen', 'passport', 49$$,
	$$'good', subject(1), '[1,0]', 'us_citizen', 'passport'$$,
	$$'good', subject(1), '[1,0]', 'us_citizen', 'passport', 50$$]) c;
-- Who declined can be left out of a manifest.
SET facematch.on_opt_out = skip;
SELECT refusal($$SELECT facematch.enrol('open', subject(2), '[1,0]', 'us_citizen', 'passport')$$);
RESET facematch.on_opt_out;

-- INSERT and COPY meet the same rules, and a better picture cannot be made a worse one.
SELECT refusal(format($$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, quality)
	SELECT gallery_id, subject(1), 'us_citizen', '[1,0]', 'passport', %s FROM facematch.gallery WHERE name = 'good' RETURNING 1$$, q))
FROM unnest(ARRAY['49', '50', 'NULL']) q;
SELECT refusal($$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	VALUES (-7, subject(1), 'us_citizen', '[1,0]', 'passport')$$);
SELECT refusal($$UPDATE facematch.reference SET quality = 49 WHERE quality = 50 RETURNING 1$$);
SELECT refusal($$UPDATE facematch.reference SET gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'good'), quality = NULL
	WHERE quality = 80$$);
-- A gallery that asks for more later keeps what it has, and says so in the log.
UPDATE facematch.gallery SET min_quality = 60 WHERE name = 'good';
SELECT count(*) FROM facematch.reference WHERE quality = 50;
SELECT action, detail FROM facematch.audit_event WHERE detail::text LIKE '%min_quality%';
SELECT refusal($$UPDATE facematch.gallery SET min_quality = 101 WHERE name = 'good'$$);

-- Probes: below the least quality they are not compared, but referred; a probe that was not assessed is compared.
SELECT q AS quality, d.outcome, d.reason
FROM unnest('{59,60,NULL}'::int[]) q, facematch.record_encounter('good', '[1,0]', 'JFK', quality => q) d;
SELECT outcome, reason, quality, probe IS NOT NULL AS kept FROM facematch.encounter ORDER BY encounter_id;
SELECT refusal($$SELECT facematch.record_encounter('good', '[1,0]', 'JFK', quality => 101)$$);
SELECT refusal($$SELECT facematch.record_encounter('good', '[1,0]')$$);
SELECT refusal($$UPDATE facematch.encounter SET quality = 90 WHERE quality = 60 RETURNING 1$$);

-- Why verification had nothing to compare with: for who may know.
UPDATE facematch.reference SET purge_after = now() - interval '1 second' WHERE quality = 80;
CREATE ROLE enrol_gate;
CREATE ROLE enrol_stranger;
GRANT USAGE ON SCHEMA facematch TO enrol_stranger;
GRANT EXECUTE ON FUNCTION facematch.verify(face_embedding, bigint, uuid, double precision, text),
	facematch.verify(face_embedding, text, uuid, double precision, text) TO enrol_stranger;
SELECT facematch.grant_operator('enrol_gate');
SELECT reference_id AS due FROM facematch.reference WHERE quality = 80 \gset
SET SESSION AUTHORIZATION enrol_gate;
SELECT n, match, reason FROM generate_series(1, 3) n, facematch.verify('[1,0]', 'open', subject(n)) v;
SELECT match, reason FROM facematch.verify('[1,0]', :due);
SELECT match, reason FROM facematch.verify('[1,0]', -1);
SET SESSION AUTHORIZATION enrol_stranger;
SELECT n, match, reason FROM generate_series(1, 3) n, facematch.verify('[1,0]', 'open', subject(n)) v;
SELECT match, reason FROM facematch.verify('[1,0]', :due);
RESET SESSION AUTHORIZATION;
SELECT match, reason FROM facematch.verify('[1,0]', -1);
DROP OWNED BY enrol_gate, enrol_stranger;
DROP ROLE enrol_gate, enrol_stranger;
