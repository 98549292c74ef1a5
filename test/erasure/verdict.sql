-- verify_erased(receipt) begins with one line that an inspector can sign: clean, or what is left and where.
SET client_min_messages = warning;
SET timezone = 'UTC';
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F', 'flight', 'two', 0.9, now() - interval '13 hours');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
	SELECT 1, gen_random_uuid(), 'us_citizen', '[1,0]', 's', now() - interval '1 day' FROM generate_series(1, 3);
SET facematch.purge_erases = off;
CALL facematch.purge();
CREATE FUNCTION letter(receipt bigint) RETURNS TABLE (n bigint, part text, clean boolean, note text, relation regclass) LANGUAGE sql AS $$
	SELECT v.n, v.part, v.clean, v.note, v.relation
	FROM facematch.verify_erased(receipt => letter.receipt) WITH ORDINALITY v (relation, part, pages, dead_tuples, fading_tuples, stray_bytes,
		padding_bytes, kept_keys, unwritten_pages, clean, note, n) $$;
-- The first line says it all: each line that is not clean is in it, and what the server cannot tell of.
CREATE FUNCTION first_line(receipt bigint) RETURNS TABLE (n bigint, part text, clean boolean, begins text, all_that_is_left boolean, as_the_others boolean, receipt text)
	LANGUAGE sql AS $$
	WITH l AS MATERIALIZED (SELECT * FROM letter(first_line.receipt))
	SELECT l.n, l.part, l.clean, substring(regexp_replace(l.note, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC(; unreadable since [^;]*)?', 'DATE UTC') FROM '^(receipt .*?; (not )?clean)'),
		   (SELECT bool_and(position(coalesce(o.part, '') IN l.note) > 0 AND position(coalesce(o.note, '') IN l.note) > 0) FROM l o WHERE o.n > 1 AND NOT o.clean),
		   l.clean = (SELECT bool_and(o.clean IS NOT FALSE) FROM l o WHERE o.n > 1),
		   (SELECT concat_ws(': ', o.clean, o.note) FROM l o WHERE o.part = 'receipt')
	FROM l WHERE l.part = 'verdict' $$;
SELECT * FROM first_line(1);
SELECT note ~ 'receipt: its rows are not erased yet: CALL facematch.purge\(\)' AS what, note ~ 'facematch.reference, table' AS "where" FROM letter(1) WHERE n = 1;
RESET facematch.purge_erases;
CALL facematch.purge();
SELECT * FROM first_line(1);
SELECT note ~ 'not erased yet' AS what, note ~ 'this server cannot check: .*backups' AS beyond FROM letter(1) WHERE n = 1;
\set SHOW_CONTEXT never
SELECT facematch.verify_erased(receipt => 99);
