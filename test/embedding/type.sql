-- face_embedding: text, binary, modifiers and casts.

-- Text.
SELECT '[0.1,-0.2]'::face_embedding, '7:[0.1,-0.2]'::face_embedding, '32767:[1]'::face_embedding;
SELECT E' \t\n\r\x0b\f7:[ 0.1 , -0.2\n,\t3 ] '::face_embedding AS "white space";
SELECT '[1,+1,1.,.5,1e0,1E+1,1e-1,00001,-1]'::face_embedding AS notations;
SELECT '[65519.99,-65519.99,65504,65488,2048.5,2049]'::face_embedding AS "the largest";
SELECT '[5.9604645e-8,-3e-8,2.98e-8,-2.98e-8,6.1e-5,0.0001,0.00009]'::face_embedding AS "the smallest";
SELECT '[-0,0,-0.0,-1e-30,1]'::face_embedding AS "one zero";
SELECT '[0.33333333333333333333333333333333333333333333,1e-400,1]'::face_embedding AS "many digits";
SELECT face_dims(('[' || repeat('1,', 3583) || '1]')::face_embedding) AS "most dimensions";
SELECT '7:[1]'::face_embedding::text, '7:[1]'::text::face_embedding;

-- Halfway between two halves the even one wins; a hair above, the upper one.
SELECT '[1.00048828125,1.00146484375,1.000488281250001,1.0004883,1.0014647,0.9997558]'::face_embedding AS rounding;

-- Size: 12 bytes and 2 a dimension.
SELECT pg_column_size(array_fill(0.5::real, ARRAY[512])::face_embedding) AS "bytes of 512 dimensions";

-- Every finite half, as text and back, and as real and back.
CREATE TABLE every_half AS
SELECT sign * CASE WHEN e = 0 THEN m * 2.0::float8 ^ -24 ELSE (1024 + m) * 2.0::float8 ^ (e - 25) END AS value
FROM (VALUES (1), (-1)) s(sign), generate_series(0, 30) e, generate_series(0, 1023) m;
SELECT count(*), count(*) FILTER (WHERE made::real[] = ARRAY[value::real, 1] AND made::text::face_embedding = made
	AND made::double precision[] = ARRAY[value, 1]) AS kept
FROM (SELECT value, ARRAY[value, 1]::face_embedding AS made FROM every_half WHERE value <> 0) h;

-- Modifiers.
CREATE TABLE enrolled (id int, anything face_embedding, two face_embedding(2), tagged face_embedding(2,7));
SELECT attname, format_type(atttypid, atttypmod), attstorage FROM pg_attribute
WHERE attrelid = 'enrolled'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO enrolled VALUES (1, '[1,2,3]', '9:[1,2]', '[1,2]');
INSERT INTO enrolled VALUES (2, '3:[1]', '[1,2]', '7:[3,4]');
INSERT INTO enrolled VALUES (3, NULL, NULL, NULL);
INSERT INTO enrolled (id, tagged) SELECT 4, '[5,6]'::face_embedding;
INSERT INTO enrolled (id, tagged) VALUES (5, ARRAY[7,8]), (6, ARRAY[0.5,0.25]::real[]), (7, '{9,10}'::double precision[]);
COPY enrolled FROM stdin;
8	[1]	[2,3]	[4,5]
\.
SELECT * FROM enrolled ORDER BY id;
UPDATE enrolled SET tagged = two WHERE id = 1;
UPDATE enrolled SET tagged = anything WHERE id = 1;
INSERT INTO enrolled (id, tagged) VALUES (9, '8:[1,2]');
INSERT INTO enrolled (id, tagged) VALUES (9, '[1,2,3]');
INSERT INTO enrolled (id, two) VALUES (9, ARRAY[1,2,3]);
-- the modifier of a rewritten column stamps what is there
ALTER TABLE enrolled ALTER two TYPE face_embedding(2,9) USING CASE WHEN id > 1 THEN two END;
SELECT id, two FROM enrolled WHERE two IS NOT NULL ORDER BY id;
ALTER TABLE enrolled ALTER two TYPE face_embedding(3);

-- Casts.
SELECT ARRAY[1,2]::face_embedding, ARRAY[0.5,0.25]::face_embedding, '{0.5,0.25}'::real[]::face_embedding(2,7), '{1,2}'::float8[]::face_embedding(2);
SELECT '7:[0.1,65519]'::face_embedding::real[], '[0.1,1]'::face_embedding::double precision[];
SELECT '[0:1]={1,2}'::real[]::face_embedding AS "other lower bound";
CREATE TABLE components (c real[]);
INSERT INTO components VALUES ('[1,2]'::face_embedding);
SELECT '[1,2]'::face_embedding(2)::face_embedding(2,7)::face_embedding AS "the stamp stays";
SELECT face_with_model('[1,2]', 7), face_with_model('7:[1,2]', 7), face_with_model(NULL, 7);
SELECT face_dims('7:[1,2,3]'), face_model('7:[1,2,3]'), face_model('[1]'), face_norm('[3,4]'), face_norm('[0.1]') < 0.1;

-- Binary: dimensions, tag, components, big-endian.
SELECT encode(face_embedding_send('7:[1,-0.5,0.1]'), 'hex'), encode(face_embedding_send('[1]'), 'hex');

-- In rows, arrays, domains and defaults.
CREATE DOMAIN passport_template AS face_embedding(2,7) CHECK (face_norm(VALUE) < 10);
SELECT '[1,2]'::passport_template;
SELECT '[100,2]'::passport_template;
SELECT ARRAY['[1,2]', '7:[3,4]']::face_embedding[], (ARRAY['[1,2]', '7:[3,4]']::face_embedding[])[2];
SELECT ROW(1, '7:[3,4]'::face_embedding), ('(1,"7:[3,4]",,)'::enrolled).anything;
SELECT '{"[1,2]","[3,4]"}'::face_embedding(2,7)[];

-- The probe with its threshold.
SELECT '0.42@7:[1,2]'::face_probe, face_probe('[1,2]', '-0'), face_probe('7:[1,2]', 1), ' 1e-3@ [1]'::face_probe;
SELECT encode(face_probe_send('0.5@7:[1]'), 'hex');

-- Probes as values: by embedding, then by threshold.
CREATE TABLE probe (p face_probe);
INSERT INTO probe SELECT p::face_probe FROM unnest('{"0.5@[1,2]","0.25@[1,2]","0.5@7:[1]","0@[1,2]","-0@[1,2]","0.50@[1,2.0]"}'::text[]) p;
SELECT DISTINCT p FROM probe ORDER BY p;
SELECT count(*), count(DISTINCT p) FROM probe;
SELECT a.p, b.p, a.p = b.p AS eq, a.p <> b.p AS ne, a.p < b.p AS lt, a.p <= b.p AS le, a.p > b.p AS gt, a.p >= b.p AS ge
FROM (VALUES ('0.5@[1,2]'::face_probe)) a (p), (SELECT DISTINCT p FROM probe) b ORDER BY 2;
SELECT count(*) AS pairs, count(*) FILTER (WHERE (a.p = b.p) <> (face_probe_hash(a.p) = face_probe_hash(b.p))) AS other_hash,
	count(*) FILTER (WHERE (a.p = b.p) <> (face_probe_hash_extended(a.p, 7) = face_probe_hash_extended(b.p, 7))) AS other_extended,
	count(*) FILTER (WHERE face_probe_hash_extended(a.p, 0) & 4294967295 <> face_probe_hash(a.p)::bigint & 4294967295) AS seed_0_differs
FROM probe a, probe b;
SET enable_hashagg = off;
SELECT p, count(*) FROM probe GROUP BY p ORDER BY p;
RESET enable_hashagg;
SELECT amname, opcname, amvalidate(c.oid) FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE opcintype = 'face_probe'::regtype ORDER BY 1;
DROP TABLE probe;
