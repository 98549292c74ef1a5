-- Texts that users choose are no place for templates: not beside references, in statistics, the log or what is counted for years.
\set VERBOSITY terse
CREATE FUNCTION template(n int) RETURNS text LANGUAGE sql AS $$
	SELECT '[' || string_agg(round((sin(i * n * 7.3) / 3)::numeric, 6)::text, ',' ORDER BY i) || ']' FROM generate_series(1, 16) i $$;
INSERT INTO facematch.model (name, tag, dims) VALUES ('sixteen', 7, 16);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F1', 'flight', 'sixteen', 0.5, now() + interval '2 hours');

-- A reference's source: refused however it comes, without being printed.
CREATE VIEW staging AS SELECT 1::bigint AS gallery_id, gen_random_uuid() AS subject_id, 'us_citizen'::text AS retention_class, template(1)::face_embedding AS embedding;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT s.*, template(1) FROM staging s;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT s.*, 'x ' || encode(face_embedding_send(template(1)::face_embedding), 'hex') FROM staging s;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT s.*, '\x' || repeat('3c00', 16) FROM staging s;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT s.*, repeat('a word ', 143) || '.' FROM staging s;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT s.*, repeat('a word ', 142) || 'or two' FROM staging s RETURNING length(source);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT s.*, 'passport, chip, read at SFO T1 on 2026-11-23 08:51:08.618314+00' FROM staging s;
UPDATE facematch.reference SET source = template(1);
ALTER TABLE facematch.reference DISABLE TRIGGER reference_20_guard;
DO $$
BEGIN
	UPDATE facematch.reference SET source = template(1);
EXCEPTION WHEN check_violation THEN
	RAISE NOTICE 'the constraint refuses it too: %', SQLERRM;
END
$$;
ALTER TABLE facematch.reference ENABLE ALWAYS TRIGGER reference_20_guard;

-- Names: of ports where notices hang, of media types, of classes and models.
SELECT facematch_internal.is_name(template(1)), facematch_internal.is_name('SFO, international terminal, gate A12');
INSERT INTO facematch.notice (name, texts) VALUES ('notice', '{"en": "photographs are taken here"}');
DO $$
BEGIN
	INSERT INTO facematch.notice_posting (notice, port) VALUES ('notice', template(1));
EXCEPTION WHEN check_violation THEN
	RAISE NOTICE '%', SQLERRM;
END
$$;

-- Groups that statistics count.
SELECT facematch_internal.groups_fault('{"age": "60-69", "sex": "F"}'), facematch_internal.groups_fault(jsonb_build_object('age', left(template(1), 100)));
SELECT facematch_internal.groups_fault(jsonb_object_agg('d' || i, round((sin(i * 7.3) / 3)::numeric, 6)::text)) FROM generate_series(1, 16) i;

-- What somebody types in beside a row leaves nothing in the server's statistics.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT 1, gen_random_uuid(), 'us_citizen', template(n)::face_embedding, 'source ' || n FROM generate_series(1, 50) n;
INSERT INTO facematch.encounter (gallery_id, gallery, port, outcome, threshold, model, retention_class, idempotency_key, groups)
SELECT 1, 'F1', 'SFO', 'no_match', 0.5, 'sixteen', 'unmatched', 'key ' || n, jsonb_build_object('age', n::text) FROM generate_series(1, 50) n;
ANALYZE facematch.reference, facematch.encounter;
SELECT tablename, attname FROM pg_stats WHERE schemaname = 'facematch' AND attname IN ('source', 'idempotency_key', 'override_reason', 'groups', 'port') ORDER BY 1, 2;

-- The log: a key of a user's table is a text, and so is the table's name.
CREATE TABLE "[0.125,0.25,0.375]" (id text PRIMARY KEY, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, e face_embedding);
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation)
VALUES ('short', 'us_citizen', 'mine', '{recorded}', '{1 hour}', 'site rule'), ('long', 'noncitizen', 'mine', '{recorded}', '{2 hours}', 'site rule');
SELECT facematch.retain('"[0.125,0.25,0.375]"', 'mine');
INSERT INTO "[0.125,0.25,0.375]" (id, retention_class, e) VALUES (template(1), 'noncitizen', template(1)::face_embedding), ('K1', 'noncitizen', template(2)::face_embedding);
UPDATE "[0.125,0.25,0.375]" SET retention_class = 'us_citizen';
SELECT detail FROM facematch.audit_event WHERE action = 'class_changed' ORDER BY event_id;
SELECT detail ->> 'about' FROM facematch.audit_event WHERE action ~ '^table_' ORDER BY event_id;
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('"[0.125,0.25,0.375]"', 'K1', 'inquiry', 'court');
SELECT detail ->> 'about', detail -> 'row' ->> 'table_name' FROM facematch.audit_event WHERE action = 'hold_placed';
-- Receipts name the table as it is called, and still agree with the log.
UPDATE "[0.125,0.25,0.375]" SET purge_after = now() - interval '1 hour';
CALL facematch.purge();
SELECT count(*) FROM "[0.125,0.25,0.375]";
SELECT p.table_name, e.detail -> 'row' ->> 'table_name' AS logged FROM facematch.purge_receipt p JOIN facematch.audit_event e ON e.detail ->> 'about' = 'receipt:' || p.receipt_id;
SELECT intact, finding FROM facematch.verify_audit();
-- Any other change of the receipt still shows.
ALTER TABLE facematch.purge_receipt DISABLE TRIGGER USER;
UPDATE facematch.purge_receipt SET rows_purged = 2;
SELECT intact, finding FROM facematch.verify_audit();
UPDATE facematch.purge_receipt SET rows_purged = 1;
ALTER TABLE facematch.purge_receipt ENABLE ALWAYS TRIGGER purge_receipt_10_is_a_record;
SELECT bool_and(detail = facematch_internal.redacted(detail)) FROM facematch.audit_event;

-- Each text by itself, at any depth; numbers, names of fields and short lists of words stay.
SELECT facematch_internal.redacted(v) FROM (VALUES (jsonb_build_object('a', jsonb_build_array(jsonb_build_object('b', template(1)), 'word', 1.5, true, NULL))),
	('["[1.5,2.5]", "1.5", "2.5"]'::jsonb), (jsonb_build_object('[1.5,2.5]', 'x')), ('{}'), ('[]'), ('"[1.5,2.5]"'), ('1.5'), ('null')) t (v);
