-- 100,000 rows by every way in, thousands by every way to change them, and what each left, computed anew in plain SQL.
\set VERBOSITY terse
SET timezone = 'UTC';
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)
SELECT 'flight ' || n, 'flight', 'two', 0.5, now() + n * interval '1 hour' FROM generate_series(1, 250) n;
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('list', 'watchlist', 'two', 0.5);
SELECT gallery_id AS list FROM facematch.gallery WHERE name = 'list' \gset
-- 400 passengers on each flight, every third a citizen; 100 of the 100,000 have declined, half of these for one flight only.
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
-- The site lets everybody decline.
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, notice_required, alternative, citation)
SELECT 'site/' || c, c, true, false, 'manual document inspection', 'site rule' FROM unnest('{noncitizen,unmatched}'::text[]) c;
CREATE TABLE manifest AS
SELECT n, g.gallery_id, subject(n) AS subject_id, CASE n % 3 WHEN 0 THEN 'us_citizen' ELSE 'noncitizen' END AS retention_class
FROM generate_series(1, 100000) n JOIN facematch.gallery g ON g.name = 'flight ' || 1 + n / 401;
INSERT INTO facematch.opt_out (subject_id) SELECT subject(n * 1000) FROM generate_series(1, 50) n;
INSERT INTO facematch.opt_out (subject_id, scope, gallery_id) SELECT subject_id, 'encounter', gallery_id + n / 2000 % 2 FROM manifest WHERE n > 50000 AND n % 1000 = 0;
-- What must be there: the rows of a manifest without who has declined, each with the nearer of what its class allows.
CREATE VIEW wanted AS
SELECT m.subject_id, m.gallery_id, CASE m.retention_class WHEN 'us_citizen' THEN g.anchor_at + interval '12 hours' ELSE g.anchor_at + interval '14 days' END AS purge_after
FROM manifest m JOIN facematch.gallery g USING (gallery_id)
WHERE NOT EXISTS (SELECT FROM facematch.opt_out o WHERE o.subject_id = m.subject_id AND (o.gallery_id IS NULL OR o.gallery_id = m.gallery_id));
CREATE FUNCTION compared(OUT wanted bigint, OUT there bigint, OUT right_ones bigint) LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM wanted), (SELECT count(*) FROM facematch.reference),
		   (SELECT count(*) FROM wanted w JOIN facematch.reference r USING (subject_id, gallery_id) WHERE r.purge_after = w.purge_after) $$;

-- INSERT … SELECT: refused as a whole, or without them
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after)
SELECT gallery_id, subject_id, retention_class, '[1,0]', 'insert', 'infinity' FROM manifest ORDER BY n;
SELECT count(*) FROM facematch.reference;
SET facematch.on_opt_out = skip;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after)
SELECT gallery_id, subject_id, retention_class, '[1,0]', 'insert', 'infinity' FROM manifest ORDER BY n;
SELECT * FROM compared();
SELECT count(*) FROM facematch.skipped();

-- UPDATE: away is refused; a departure that moves takes its own along, there and back
UPDATE facematch.reference SET purge_after = purge_after + interval '1 second';
UPDATE facematch.reference SET quality = 50 WHERE gallery_id <= 60;
SELECT * FROM compared();
UPDATE facematch.gallery SET anchor_at = anchor_at - interval '30 minutes' WHERE gallery_id BETWEEN 40 AND 80;
SELECT * FROM compared();
UPDATE facematch.gallery SET anchor_at = anchor_at + interval '90 minutes' WHERE gallery_id BETWEEN 40 AND 80;
SELECT * FROM compared();

-- MERGE: half come nearer, half of the rest go, what is not there is staged
MERGE INTO facematch.reference r USING (SELECT *, now() + interval '30 minutes' AS nearer FROM manifest WHERE n <= 20000) m ON r.subject_id = m.subject_id
WHEN MATCHED AND m.n % 2 = 0 THEN UPDATE SET purge_after = m.nearer
WHEN MATCHED AND m.n % 4 = 1 THEN DELETE
WHEN NOT MATCHED THEN INSERT (gallery_id, subject_id, retention_class, embedding, source, purge_after) VALUES (m.gallery_id, m.subject_id, m.retention_class, '[1,0]', 'merge', 'infinity');
SELECT n % 4 AS quarter, count(*), count(*) FILTER (WHERE r.purge_after = now() + interval '30 minutes' OR r.purge_after < now() + interval '30 minutes') AS nearer
FROM facematch.reference r JOIN manifest m USING (subject_id) WHERE n <= 20000 GROUP BY 1 ORDER BY 1;
-- ON CONFLICT: what was nearer stays, what had gone is staged again
CREATE UNIQUE INDEX reference_subject_gallery ON facematch.reference (subject_id, gallery_id);
INSERT INTO facematch.reference AS r (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject_id, retention_class, '[1,0]', 'conflict' FROM manifest WHERE n <= 20000
ON CONFLICT (subject_id, gallery_id) DO UPDATE SET source = r.source || ' again', enrolled_at = now();
SELECT source, count(*), bool_and(w.purge_after >= r.purge_after) AS none_away, count(*) FILTER (WHERE w.purge_after = r.purge_after) > 0 AS some_at_their_own
FROM facematch.reference r JOIN wanted w USING (subject_id, gallery_id) GROUP BY 1 ORDER BY 1;
DROP INDEX facematch.reference_subject_gallery;

-- A gallery's end takes its references along, unless one is held; TRUNCATE is refused.
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(7), 'inquiry', 'court');
DELETE FROM facematch.gallery WHERE name LIKE 'flight %';
SELECT count(*) FROM facematch.gallery;
TRUNCATE facematch.reference CASCADE;
UPDATE facematch.hold SET released_at = clock_timestamp();
DELETE FROM facematch.gallery WHERE name LIKE 'flight %';
SELECT count(*) FROM facematch.reference;

-- COPY, from a program that writes what a dump would: with deadlines of its own choice
SELECT format($$COPY facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after) FROM PROGRAM 'seq 1 100000 | awk ''{printf "%s\t00000000-0000-8000-8000-%%012d\tnoncitizen\t[1,0]\tcopy\t%%s\n", $1, $1 %% 4 < 2 ? "infinity" : "2000-01-01"}'''$$, :list) AS copy \gset
:copy;
SELECT count(*), count(*) FILTER (WHERE purge_after = '2000-01-01') AS as_given, count(*) FILTER (WHERE purge_after = enrolled_at + interval '14 days') AS by_rule FROM facematch.reference;
SELECT count(*) FROM facematch.skipped();

-- The purge: the longest due first, in batches, all of them.
-- The last ones in the table are the longest due.
UPDATE facematch.reference SET purge_after = '1999-01-01'::timestamptz - reference_id * interval '1 second' WHERE reference_id % 3 > 0;
SELECT count(*) AS due FROM facematch.reference WHERE purge_after <= now() \gset
SELECT coalesce(max(receipt_id), 0) AS before FROM facematch.purge_receipt \gset
CALL facematch.purge(20000);
SELECT count(*), bool_and(earliest_due >= coalesce(earlier, '-infinity')) AS in_order, sum(rows_purged) = :due AS all_due
FROM (SELECT *, lag(latest_due) OVER (ORDER BY receipt_id) AS earlier FROM facematch.purge_receipt WHERE receipt_id > :before AND cause = 'retention') r;
SELECT count(*) FROM facematch.reference WHERE purge_after <= now();

-- Encounters, and a partitioned table of one's own: the same.
INSERT INTO facematch.encounter (gallery_id, gallery, port, occurred_at, outcome, subject_id, threshold, model, retention_class, probe, purge_after)
SELECT :list, 'list', 'JFK', now() - n % 24 * interval '1 minute', 'no_match', subject(n), 0.5, 'two', CASE n % 2 WHEN 0 THEN 'unmatched' ELSE 'noncitizen' END, '[1,0]', 'infinity'
FROM generate_series(1, 100000) n;
SELECT retention_class, count(*), count(*) FILTER (WHERE purge_after = occurred_at + CASE retention_class WHEN 'unmatched' THEN interval '12 hours' ELSE '14 days' END) AS by_rule
FROM facematch.encounter GROUP BY 1 ORDER BY 1;
CREATE TABLE visit (id int PRIMARY KEY, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, e face_embedding) PARTITION BY RANGE (id);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM (0) TO (50000);
CREATE TABLE visit_2 PARTITION OF visit DEFAULT;
SELECT facematch.retain('visit', 'encounter');
INSERT INTO visit (id, retention_class, subject_id, e) SELECT n, 'noncitizen', subject(n), '[1,0]' FROM generate_series(1, 100000) n;
COPY visit (id, retention_class, subject_id, e, purge_after) FROM PROGRAM 'seq 100001 200000 | awk ''{printf "%d\tnoncitizen\t00000000-0000-8000-8000-%012d\t[1,0]\tinfinity\n", $1, $1}''';
SELECT tableoid::regclass, count(*), bool_and(purge_after = recorded_at + interval '14 days') AS by_rule FROM visit GROUP BY 1 ORDER BY 1;
-- from one partition to the other, with the deadline and past the hold
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(9), 'inquiry', 'court');
UPDATE visit SET id = id + 1000000 WHERE id < 50000 AND subject_id <> subject(9);
UPDATE visit SET id = id + 1000000 WHERE subject_id = subject(9);
SELECT tableoid::regclass, count(*), bool_and(purge_after = recorded_at + interval '14 days') AS by_rule FROM visit GROUP BY 1 ORDER BY 1;
