-- What a superuser purges while session_replication_role is replica is done here, and sent by nobody: it is in the log, and what hangs on a row goes with it.
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'two', 0.5, now());
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, md5(n::text)::uuid, 'us_citizen', ARRAY[n, 1]::real[]::face_embedding, 'passport' FROM facematch.gallery, generate_series(1, 6) n;
INSERT INTO facematch.photograph (reference_id, media_type, key_id, sealed, purge_after) SELECT reference_id, 'image/jpeg', gen_random_uuid(), '\x01', 'infinity' FROM facematch.reference;
CREATE TABLE parent (id bigint PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
CREATE TABLE child (parent bigint REFERENCES parent ON DELETE CASCADE, e face_embedding);
SELECT facematch.retain('parent', 'encounter', template_column => 'e');
INSERT INTO parent SELECT n, 'us_citizen', now(), md5(n::text)::uuid, '[1,2]' FROM generate_series(1, 6) n;
INSERT INTO child SELECT id, e FROM parent;
CREATE VIEW left_over AS SELECT (SELECT count(*) FROM facematch.reference) AS refs, (SELECT count(*) FROM facematch.photograph) AS photographs, (SELECT count(*) FROM parent) AS parents, (SELECT count(*) FROM child) AS children;
UPDATE facematch.reference SET purge_after = now() WHERE reference_id <= 2;
UPDATE parent SET purge_after = now() WHERE id <= 2;
SET session_replication_role = replica;
SET client_min_messages = error;
CALL facematch.purge();
RESET client_min_messages;
SELECT * FROM left_over;
SELECT table_name, rows_purged, erased IS NOT NULL AS erased, verified FROM facematch.report_erasure ORDER BY 1;
SELECT intact, finding FROM facematch.verify_audit();
-- In a block, too.
RESET session_replication_role;
UPDATE parent SET purge_after = now() WHERE id = 3;
SET session_replication_role = replica;
BEGIN;
CALL facematch.purge();
COMMIT;
SELECT * FROM left_over;
SELECT intact, finding FROM facematch.verify_audit();
-- And an opt-out that is filed there.
INSERT INTO facematch.opt_out (subject_id) VALUES (md5('4')::uuid);
SELECT * FROM left_over;
SELECT cause, table_name, rows_purged FROM facematch.purge_receipt WHERE cause = 'opt_out' ORDER BY 2;
SELECT intact, finding FROM facematch.verify_audit();
SHOW session_replication_role;
RESET session_replication_role;
SET client_min_messages = error;
CALL facematch.purge();
RESET client_min_messages;
SELECT intact, finding FROM facematch.verify_audit();
SELECT severity, object, finding FROM facematch.health_check() WHERE severity = 'error';
DROP VIEW left_over;
DROP TABLE child, parent;
