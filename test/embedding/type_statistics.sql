-- ANALYZE leaves no template in pg_statistic: not of a column, an array, a domain, an expression or a probe.
CREATE DOMAIN watched AS face_embedding(8);
CREATE TABLE enrolled (id int, label text, e face_embedding(8), several face_embedding[], d watched, probe face_probe, plain real[]);
INSERT INTO enrolled
SELECT i, 'marked-label', CASE WHEN i % 4 > 0 THEN t END, ARRAY[t, t], t, face_probe(t, 0.5), t::real[]
FROM generate_series(1, 1000) i, LATERAL (SELECT ARRAY[0.7310586, 1, 2, 3, 4, 5, 6, i % 10]::face_embedding AS t) x;
CREATE INDEX ON enrolled ((face_with_model(e, 7)));
ALTER TABLE enrolled ALTER e SET STATISTICS 10000;
ANALYZE enrolled;

-- Every value in pg_statistic, as text and as bytes on the wire.
CREATE VIEW kept AS
SELECT attrelid::regclass AS relation, attname, s::text AS as_text,
	coalesce(array_send(s.stavalues1)::text, '') || coalesce(array_send(s.stavalues2)::text, '') || coalesce(array_send(s.stavalues3)::text, '')
	|| coalesce(array_send(s.stavalues4)::text, '') || coalesce(array_send(s.stavalues5)::text, '') AS as_bytes
FROM pg_statistic s JOIN pg_attribute a ON a.attrelid = starelid AND a.attnum = staattnum
WHERE starelid = 'enrolled'::regclass OR starelid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'enrolled'::regclass);
-- The search finds the label, and the component where it is not in a template but in a plain array: there only.
SELECT attname, as_text LIKE '%marked-label%' AS by_text, as_bytes LIKE '%' || encode('marked-label', 'hex') || '%' AS by_bytes FROM kept WHERE attname = 'label';
SELECT relation, attname FROM kept WHERE as_text LIKE '%0.73%' OR as_bytes LIKE '%' || substr(encode(face_embedding_send('[0.7310586]'), 'hex'), 9) || '%';
SELECT relation, attname FROM kept WHERE attname NOT IN ('id', 'label', 'plain') AND as_bytes <> '';

-- What is kept: nulls, width, and that no two are alike.
SELECT attname, null_frac, avg_width, n_distinct, most_common_vals, histogram_bounds, most_common_elems FROM pg_stats
WHERE tablename = 'enrolled' AND attname NOT IN ('id', 'label', 'plain') ORDER BY attname;

CREATE TABLE nobody (e face_embedding);
ANALYZE nobody;
INSERT INTO nobody SELECT NULL FROM generate_series(1, 10);
ANALYZE nobody;
SELECT null_frac, avg_width, n_distinct FROM pg_stats WHERE tablename = 'nobody';
