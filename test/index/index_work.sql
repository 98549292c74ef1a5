-- What an ordered search looks at: of lists of any size it refines few templates for a mated probe, and what it skips changes no answer.
SELECT setseed(0.5);
CREATE TABLE t (id int, g int, e face_embedding(256));
INSERT INTO t SELECT i, CASE WHEN i <= 40 THEN 40 WHEN i <= 440 THEN 400 ELSE 6000 END,
	(SELECT array_agg(random()::real - 0.5) FROM generate_series(1, 256) d WHERE i > 0)::face_embedding FROM generate_series(1, 6440) i;
CREATE INDEX t_g_e ON t USING facematch (g, e);
VACUUM ANALYZE t;
CREATE TABLE s AS SELECT i AS probe, t.g, t.e FROM generate_series(1, 6440, 39) i JOIN t ON id = i;

-- work(list size, limit): searches with the probe's own template, the share of their list that they refined, and answers that a sort does not give.
CREATE FUNCTION work(list int, wanted int) RETURNS TABLE (searches int, most_refined numeric, wrong int) LANGUAGE plpgsql AS $$
DECLARE
	p record;
	by_index int[];
	by_sort int[];
	share numeric;
BEGIN
	searches := 0; most_refined := 0; wrong := 0;
	FOR p IN SELECT * FROM s WHERE g = list LOOP
		SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_indexscan = on;
		by_index := ARRAY(SELECT id FROM t WHERE g = list ORDER BY e <=> p.e LIMIT wanted);
		SELECT l.refined::numeric / l.sketches INTO share FROM facematch.last_scan() l;
		SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on; SET LOCAL enable_indexscan = off;
		by_sort := ARRAY(SELECT id FROM t WHERE g = list ORDER BY e <=> p.e LIMIT wanted);
		searches := searches + 1; most_refined := greatest(most_refined, share); wrong := wrong + (by_index <> by_sort)::int;
	END LOOP;
	RETURN NEXT;
END $$;
SELECT list, searches, most_refined < 0.25 AS few_refined, wrong FROM unnest(ARRAY[40, 400, 6000]) list, work(list, 1);
-- The second nearest of random templates is as far as any: nearly all have to be looked at, and are.
SELECT list, searches, most_refined <= 1 AS none_twice, wrong FROM unnest(ARRAY[40, 400, 6000]) list, work(list, 3);
