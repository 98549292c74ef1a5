-- What a monitoring system reads: counts of searches, and how late the purge is.
CREATE TABLE face (gallery int, embedding face_embedding);
INSERT INTO face SELECT i % 3, ARRAY[cos(i), sin(i), cos(i * i)]::real[] FROM generate_series(1, 900) i;
CREATE INDEX face_index ON face USING facematch (gallery, embedding);
SET enable_seqscan = off;
SELECT facematch_internal.reset_stats();
SELECT searches, templates_compared, templates_refined, heap_fetches, rows_returned, search_seconds = 0 AS no_time, since <= now() AS began
FROM facematch.stats;

-- One ordered search, one by threshold as a bitmap, one that is rescanned three times.
SELECT count(*) FROM (SELECT FROM face WHERE gallery = 1 ORDER BY embedding <=> '[1,0,0]' LIMIT 5) f;
SELECT searches, templates_compared, heap_fetches >= 5 AS measured, rows_returned FROM facematch.stats;
SET enable_indexscan = off;
SELECT count(*) > 0 FROM face WHERE gallery = 2 AND face_match(embedding, '[1,0,0]', 0.9);
RESET enable_indexscan;
SELECT searches, templates_compared FROM facematch.stats;
SELECT count(*) FROM generate_series(0, 2) g, LATERAL (SELECT FROM face WHERE gallery = g ORDER BY embedding <=> '[1,0,0]' LIMIT 1) f;
SELECT searches, templates_compared, templates_pruned + templates_refined = templates_compared AS adds_up, search_seconds > 0 AS took_time
FROM facematch.stats;

-- The histogram has every search, in buckets that grow.
SELECT max(searches) FROM facematch.search_latency;
SELECT count(*) AS buckets, min(below_seconds), max(below_seconds) FILTER (WHERE below_seconds < 'infinity'),
	   bool_and(grows) FROM (SELECT *, searches >= lag(searches, 1, 0::bigint) OVER (ORDER BY below_seconds) AS grows FROM facematch.search_latency) h;

-- A search that fails is not counted.
SELECT FROM face WHERE gallery = 1 ORDER BY embedding <=> '[1,0]' LIMIT 1;
SELECT searches FROM facematch.stats;

-- The purge is as late as the oldest row that is due and not held.
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 3);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('old', 'flight', 'm', 0.5, now() - interval '30 hours');
SELECT table_name, lag FROM facematch.purge_lag();
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT gallery_id, s::uuid, 'us_citizen', '[1,2,3]', 'passport', now() - interval '40 hours'
FROM facematch.gallery, unnest('{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002}'::text[]) s;
SELECT l.lag > '0' AS late, s.purge_lag BETWEEN l.lag - interval '1 minute' AND l.lag + interval '1 minute' AS is_the_worst FROM facematch.purge_lag() l, facematch.stats s WHERE l.table_name = 'facematch.reference';
SELECT now() - min(purge_after) <= (SELECT lag FROM facematch.purge_lag() WHERE table_name = 'facematch.reference') AS of_the_oldest FROM facematch.reference;
-- One that is due since ever hides no others.
BEGIN;
UPDATE facematch.reference SET purge_after = '-infinity' WHERE subject_id = '00000000-0000-0000-0000-000000000001';
SELECT lag > '50 years' AS since_ever FROM facematch.purge_lag() WHERE table_name = 'facematch.reference';
SELECT severity, finding FROM facematch.health_check() WHERE object ~ '^facematch.reference ';
SELECT rows_due, longest_overdue > '50 years' AS since_ever FROM facematch.report_retention WHERE table_name = 'facematch.reference';
ROLLBACK;
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES ('00000000-0000-0000-0000-000000000001', 'inquiry', 'court');
INSERT INTO facematch.hold (table_name, row_id, reason, authority)
SELECT 'facematch.reference', reference_id, 'inquiry', 'court' FROM facematch.reference WHERE subject_id = '00000000-0000-0000-0000-000000000002';
SELECT table_name, lag FROM facematch.purge_lag();

-- For monitors and auditors, who read nothing else here.
CREATE ROLE regress_monitor;
SET ROLE regress_monitor;
SELECT FROM facematch.stats;
RESET ROLE;
SELECT facematch.grant_monitor('regress_monitor');
SET ROLE regress_monitor;
SELECT searches > 0 FROM facematch.stats;
SELECT count(*) FROM facematch.search_latency;
SELECT count(*) > 0 FROM facematch.purge_lag();
SELECT facematch_internal.reset_stats();
SELECT count(*) FROM facematch.reference;
RESET ROLE;
SELECT facematch.revoke_access('regress_monitor');
DROP ROLE regress_monitor;
