-- Wrong rows are impossible: models, galleries, references.
\set SHOW_CONTEXT never
INSERT INTO facematch.model (name, tag, dims) VALUES ('three', 7, 3), ('four', 8, 4);
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('XX1', 'flight', 'three', 0.5), ('XX2', 'flight', 'four', 0.5);
SELECT gallery_id, name, kind, model, model_tag, dims, min_similarity FROM facematch.gallery ORDER BY 1;

-- A table of hostile statements: each must fail, with the SQLSTATE named.
CREATE TEMP TABLE hostile (n int GENERATED ALWAYS AS IDENTITY, expected text, statement text);
INSERT INTO hostile (expected, statement) VALUES
-- models
('23514', $$INSERT INTO facematch.model (name, tag, dims) VALUES ('', 1, 3)$$),
('23514', $$INSERT INTO facematch.model (name, tag, dims) VALUES (' padded', 1, 3)$$),
('23514', $$INSERT INTO facematch.model (name, tag, dims) VALUES ('padded ', 1, 3)$$),
('23514', $$INSERT INTO facematch.model (name, tag, dims) VALUES (E'line\nfeed', 1, 3)$$),
('23514', $$INSERT INTO facematch.model (name, tag, dims) VALUES (repeat('x', 201), 1, 3)$$),
('23514', $$INSERT INTO facematch.model (name, tag, dims) VALUES (U&'e\0301', 1, 3)$$),
('23502', $$INSERT INTO facematch.model (name, tag, dims) VALUES (NULL, 1, 3)$$),
('23505', $$INSERT INTO facematch.model (name, tag, dims) VALUES ('three', 1, 3)$$),
('23505', $$INSERT INTO facematch.model (name, tag, dims) VALUES ('other', 7, 3)$$),
('23514', $$INSERT INTO facematch.model (name, tag, dims) VALUES ('other', 0, 3)$$),
('23514', $$INSERT INTO facematch.model (name, tag, dims) VALUES ('other', -1, 3)$$),
('22003', $$INSERT INTO facematch.model (name, tag, dims) VALUES ('other', 32768, 3)$$),
('23514', $$INSERT INTO facematch.model (name, tag, dims) VALUES ('other', 1, 0)$$),
('23514', $$INSERT INTO facematch.model (name, tag, dims) VALUES ('other', 1, 3585)$$),
('23502', $$INSERT INTO facematch.model (name, tag) VALUES ('other', 1)$$),
-- galleries
('23514', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('', 'flight', 'three', 0.5)$$),
('23514', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('  ', 'flight', 'three', 0.5)$$),
('23502', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES (NULL, 'flight', 'three', 0.5)$$),
('23505', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('XX1', 'flight', 'three', 0.5)$$),
('23503', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('XX3', 'boat', 'three', 0.5)$$),
('23503', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('XX3', 'flight', 'five', 0.5)$$),
('23503', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('XX3', 'flight', NULL, 0.5)$$),
('23514', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('XX3', 'flight', 'three', 1.001)$$),
('23514', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('XX3', 'flight', 'three', -1.001)$$),
('23514', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('XX3', 'flight', 'three', 'NaN')$$),
('23514', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('XX3', 'flight', 'three', 'infinity')$$),
('23514', $$INSERT INTO facematch.gallery (name, kind, model) VALUES ('XX3', 'flight', 'three')$$),
('23514', $$INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('XX3', 'flight', 'three', 0.5, 'infinity')$$),
('428C9', $$INSERT INTO facematch.gallery (gallery_id, name, kind, model, min_similarity) VALUES (99, 'XX3', 'flight', 'three', 0.5)$$),
('23503', $$UPDATE facematch.gallery SET model_tag = 8 WHERE name = 'XX1'$$),
('23503', $$UPDATE facematch.gallery SET dims = 4 WHERE name = 'XX1'$$),
-- references
('23503', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (1, gen_random_uuid(), 'watchlist', '8:[1,2,3]', 's')$$),
('23503', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (1, gen_random_uuid(), 'watchlist', '8:[1,2,3,4]', 's')$$),
('23503', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (1, gen_random_uuid(), 'watchlist', '7:[1,2]', 's')$$),
('23503', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (1, gen_random_uuid(), 'watchlist', '[1,2,3,4]', 's')$$),
('23503', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (99, gen_random_uuid(), 'watchlist', '7:[1,2,3]', 's')$$),
('23503', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (99, gen_random_uuid(), 'watchlist', '[1,2,3]', 's')$$),
('23514', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (NULL, gen_random_uuid(), 'watchlist', '7:[1,2,3]', 's')$$),
('23514', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (1, gen_random_uuid(), 'watchlist', NULL, 's')$$),
('23514', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (1, NULL, 'watchlist', '7:[1,2,3]', 's')$$),
('23514', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (1, gen_random_uuid(), NULL, '7:[1,2,3]', 's')$$),
('23514', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (1, gen_random_uuid(), '', '7:[1,2,3]', 's')$$),
('23514', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (1, gen_random_uuid(), 'watchlist', '7:[1,2,3]', '')$$),
('23514', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, quality) VALUES (1, gen_random_uuid(), 'watchlist', '7:[1,2,3]', 's', 101)$$),
('23514', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, quality) VALUES (1, gen_random_uuid(), 'watchlist', '7:[1,2,3]', 's', -1)$$),
('23514', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at) VALUES (1, gen_random_uuid(), 'watchlist', '7:[1,2,3]', 's', 'infinity')$$),
('428C9', $$INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, model_tag) VALUES (1, gen_random_uuid(), 'watchlist', '7:[1,2,3]', 's', 7)$$),
-- what exists and is used cannot become something else
('23503', $$UPDATE facematch.gallery SET model = 'four' WHERE name = 'held'$$),
('23503', $$UPDATE facematch.model SET tag = 9 WHERE name = 'three'$$),
('23503', $$UPDATE facematch.model SET dims = 9 WHERE name = 'three'$$),
('23503', $$DELETE FROM facematch.model WHERE name = 'three'$$),
-- what comes with the extension is in no dump: it stays as it is, and nothing joins it
('23000', $$DELETE FROM facematch.gallery_kind WHERE name = 'cruise'$$),
('23000', $$UPDATE facematch.gallery_kind SET name = 'lookout' WHERE name = 'watchlist'$$),
('23000', $$UPDATE facematch.gallery_kind SET shipped = false WHERE name = 'watchlist'$$),
('23000', $$INSERT INTO facematch.gallery_kind VALUES ('stadium', 'season ticket holders', true)$$),
('23000', $$UPDATE facematch.event_kind SET name = 'gone' WHERE name = 'exit'$$),
('23000', $$DELETE FROM facematch.event_kind WHERE name = 'exit'$$),
('23000', $$INSERT INTO facematch.event_kind VALUES ('landing', 'landed', true)$$),
('23000', $$UPDATE facematch.retention_class SET description = 'x' WHERE name = 'watchlist'$$),
('23000', $$INSERT INTO facematch.retention_class VALUES ('crew', 'crew', true)$$),
('23000', $$INSERT INTO facematch.decline_rule SELECT 'site', retention_class, purpose, may_decline, notice_required, alternative, citation, valid_from, valid_to, true FROM facematch.decline_rule LIMIT 1$$),
('23503', $$UPDATE facematch.reference SET gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'XX2')$$),
('23503', $$UPDATE facematch.reference SET embedding = '8:[1,2,3]'$$),
('23503', $$UPDATE facematch.reference SET embedding = '[1,2,3,4]'$$);

INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('held', 'watchlist', 'three', 0.5);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, gen_random_uuid(), 'watchlist', e::face_embedding, 's' FROM facematch.gallery, unnest(ARRAY['[1,2,3]', '7:[3,2,1]']) e WHERE name = 'held';
SELECT facematch_internal.opened(embedding) AS embedding, model_tag, dims FROM facematch.reference ORDER BY reference_id;

DO $$
DECLARE h record; got text; said text; detail text; hint text;
BEGIN
  FOR h IN SELECT * FROM hostile ORDER BY n LOOP
    BEGIN
      EXECUTE h.statement;
      got := 'no error'; said := ''; detail := ''; hint := '';
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS got = RETURNED_SQLSTATE, said = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    END;
    IF got <> h.expected THEN
      RAISE WARNING '% instead of %: %', got, h.expected, h.statement;
    END IF;
    IF said || detail || hint ~ '1, *2' THEN
      RAISE WARNING 'a template is shown by %', h.statement;
    END IF;
  END LOOP;
  RAISE NOTICE '% hostile statements', (SELECT count(*) FROM hostile);
END $$;

-- The words.
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('XX3', 'flight', 'five', 0.5);
UPDATE facematch.model SET tag = 9 WHERE name = 'three';
UPDATE facematch.reference SET source = '' WHERE gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'held');
UPDATE facematch.reference SET embedding = '8:[1,2,3]' WHERE reference_id = (SELECT min(reference_id) FROM facematch.reference);

-- What is allowed: renaming a model, changing one that no reference uses, another threshold, a new kind.
UPDATE facematch.model SET name = 'drei' WHERE name = 'three';
UPDATE facematch.model SET tag = 9, dims = 5 WHERE name = 'four';
UPDATE facematch.gallery SET min_similarity = -1 WHERE name = 'held';
UPDATE facematch.gallery SET model = 'drei' WHERE name = 'XX2';
INSERT INTO facematch.gallery_kind (name, description) VALUES ('stadium', 'season ticket holders');
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('north stand', 'stadium', 'four', 1);
SELECT name, kind, model, model_tag, dims, min_similarity FROM facematch.gallery ORDER BY gallery_id;
-- Another kind is other law, and on record; a site renames its own kinds.
UPDATE facematch.gallery SET kind = 'flight', purpose_required = true, target_fpir = 0.01 WHERE name = 'held';
UPDATE facematch.gallery SET kind = 'watchlist', purpose_required = false, target_fpir = NULL WHERE name = 'held';
UPDATE facematch.gallery_kind SET name = 'arena' WHERE name = 'stadium';
SELECT action, detail -> 'changed' AS changed FROM facematch.audit_event WHERE action = 'gallery_changed' ORDER BY event_id;

-- COPY goes the same way.
COPY facematch.reference (gallery_id, subject_id, retention_class, embedding, source) FROM STDIN;
1	00000000-0000-8000-8000-000000000001	watchlist	[0,0,1]	s
\.
COPY facematch.reference (gallery_id, subject_id, retention_class, embedding, source) FROM STDIN;
1	00000000-0000-8000-8000-000000000001	watchlist	9:[0,0,1]	s
\.
SELECT facematch_internal.opened(embedding) AS embedding FROM facematch.reference WHERE gallery_id = 1;

-- References go with their gallery.
DELETE FROM facematch.gallery WHERE name = 'held';
SELECT count(*) FROM facematch.reference;
