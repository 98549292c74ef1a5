-- Photographs, where no key directory is set.  With one, and what is left of them in copies: test/sealing/photograph_files.pl.
\set SHOW_CONTEXT never
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F', 'flight', 'two', 0.99, now() + interval '2 hours');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT 1, lpad(n::text, 32, '0')::uuid, 'us_citizen', ARRAY[cosd(n * 10), sind(n * 10)]::face_embedding, 's' FROM generate_series(1, 3) n;
SELECT outcome FROM facematch.record_encounter('F', port => 'JFK', subject_id => lpad('1', 32, '0')::uuid);
SELECT facematch.store_photograph('\xffd8ffe0', reference_id => 1);
SELECT facematch.store_photograph('', reference_id => 1);
SELECT facematch.store_photograph(NULL, reference_id => 1);
SELECT facematch.read_photograph(1);
CALL facematch.purge();
-- A photograph needs a row with a template, has its deadline, is never changed, and dooms its key.
CREATE FUNCTION put(encounter_id bigint, reference_id bigint) RETURNS boolean LANGUAGE sql AS $$
	INSERT INTO facematch.photograph (encounter_id, reference_id, media_type, key_id, sealed, purge_after) VALUES ($1, $2, 'image/jpeg', gen_random_uuid(), '\x01', 'infinity')
	RETURNING purge_after = (SELECT r.purge_after FROM facematch.reference r WHERE r.reference_id = $2) $$;
SELECT put(1, NULL);
SELECT put(NULL, 99);
SELECT put(1, 1);
SELECT put(NULL, 1), put(NULL, 2), put(NULL, 3);
UPDATE facematch.photograph SET sealed = '\x02';
UPDATE facematch.photograph SET purge_after = 'infinity' WHERE reference_id = 3;
UPDATE facematch.reference SET purge_after = purge_after - interval '1 hour' WHERE reference_id = 3;
SELECT count(*) AS as_their_references FROM facematch.photograph p JOIN facematch.reference r USING (reference_id, purge_after);
-- Where no trigger reached them, the health check names them, and docs/photographs.md has what mends it: a deadline is
-- given to those that have one, whatever others there are.
ALTER TABLE facematch.photograph DISABLE TRIGGER photograph_10_guard;
UPDATE facematch.photograph SET purge_after = 'infinity' WHERE reference_id = 3;
INSERT INTO facematch.photograph (encounter_id, media_type, key_id, sealed, purge_after) VALUES (1, 'image/jpeg', gen_random_uuid(), '\x01', now() + interval '1 day');
ALTER TABLE facematch.photograph ENABLE ALWAYS TRIGGER photograph_10_guard;
SELECT severity, finding, object FROM facematch.health_check() WHERE object ~ '^photographs';
UPDATE facematch.photograph SET purge_after = 'infinity';
DELETE FROM facematch.photograph p USING facematch.encounter e WHERE e.encounter_id = p.encounter_id AND e.probe IS NULL;
SELECT severity, finding, object FROM facematch.health_check() WHERE object ~ '^photographs';
SELECT count(*) AS photographs, count(r) AS as_their_references FROM facematch.photograph p LEFT JOIN facematch.reference r USING (reference_id, purge_after);
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (lpad('2', 32, '0')::uuid, 'r', 'a');
DELETE FROM facematch.photograph WHERE reference_id = 2;
TRUNCATE facematch.photograph;
INSERT INTO facematch.opt_out (subject_id) VALUES (lpad('1', 32, '0')::uuid), (lpad('2', 32, '0')::uuid);
SELECT reference_id, purge_after <= clock_timestamp() AS due FROM facematch.photograph ORDER BY 1;
SELECT count(*) AS doomed FROM facematch_internal.doomed_key;
SELECT facematch_internal.destroy_keys();
-- Due is gone for everyone but the owner; nobody is granted anything.
CREATE ROLE regress_clerk;
GRANT USAGE ON SCHEMA facematch, facematch_internal TO regress_clerk;
GRANT SELECT ON facematch.photograph TO regress_clerk;
SET ROLE regress_clerk;
SELECT reference_id FROM facematch.photograph;
SELECT facematch.read_photograph(3);
SELECT facematch.store_photograph('\x00', reference_id => 3);
SELECT facematch_internal.unseal_photograph('\x00', gen_random_uuid(), 'x');
RESET ROLE;
DROP OWNED BY regress_clerk;
DROP ROLE regress_clerk;
