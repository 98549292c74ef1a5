-- What the log shows of a text.  That everything that reaches the log goes through this is tested in test/t/050_log_hygiene.pl.
CREATE FUNCTION shown(value text) RETURNS text LANGUAGE sql AS $$ SELECT facematch.redacted(value) $$;
-- Templates, however they are written.
SELECT shown(v) FROM (VALUES
	('[0.1,-0.2,3e-5]'), ('INSERT INTO t VALUES (1, ''7:[0.1,0.2]'', 2)'), ('SELECT ''[ 0.1 , 0.2 ]''::face_embedding <=> e'),
	('''{0.1,-0.2,NaN,0.3}''::real[]'), ('ARRAY[0.1,-.2,+3.]'), ('ARRAY[''0.1''::real, ''-0.2''::double precision]'), ('ARRAY[(-0.1)::real, (0.2)]'),
	('{"embedding": [0.1, 0.2]}'), ('{"Query Text": "SELECT \"[0.1,0.2]\""}'), (E'[\n   0.1,\n   -0.2\n]'),
	('COPY t, line 1, column e: "[0.0123,0.0234,0.0345..."'), (E'COPY t, line 1: "1\t[0.0123,0.0234"'),
	('[1,2,3,4,5,6,7,8,9,10,11,12]'), ('{1,0,0,1,0,0,1,0,0,1,0,0,1}'),
	('parameters: $1 = ''7:[0.5,0.25]'', $2 = ''42'''), ('[0.1,0.2] and [0.3,0.4]')) t (v);
SELECT shown('VALUES (' || string_agg((n / 7.0)::real::text, ', ') || ')') FROM generate_series(1, 512) n;
SELECT shown(string_agg((n / 7.0)::real::text, E'\t')) FROM generate_series(1, 512) n;
SELECT shown(string_agg((n / 7.0)::real::text, E'\n')) FROM generate_series(1, 512) n;
SELECT shown('[' || string_agg(n::text, ',') || ']') FROM generate_series(-64, 63) n;
-- Bytes.
SELECT shown('SELECT ''\x' || repeat('3c00', 512) || '''::bytea'), shown('\\x' || repeat('AB', 17)), shown(repeat('3c00', 512));
SELECT shown(regexp_replace(encode(decode(repeat('00ff3c00', 200), 'hex'), 'base64'), '^', '''') || ''''), shown(encode(decode(repeat('00ff3c41', 200), 'hex'), 'escape'));
-- What is none of these stays.
SELECT v, shown(v) = v AS stays FROM (VALUES
	('SELECT * FROM t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)'), ('LIMIT 10 OFFSET 20'), ('a[1], b[2:3]'), ('ARRAY[1,2,3]'), ('cost=0.42..8.44 rows=1 width=8'),
	('2026-11-23 08:51:08.618314+00'), ('127.0.0.1, 10.0.0.1'), ('duration: 12.345 ms'), ('numeric(10,2), point(1.5, 2.5)'), ('VALUES (1, 2.5), (2, 3.5), (3, 4.5)'),
	('00000000-0000-0000-0000-000000000003'), ('\xdeadbeef'), (encode(sha256('x'), 'hex')), ('null, null'), ('[null]'), ('{}'), ('[0.1]'),
	('/usr/lib/postgresql/15/lib/pgxs/src/test/regress'), ('C:\temp\new\000'), ('1e5'), ('x1, x2, x3'), (''), ('-'), ('('), ('[(.')) t (v);
-- Never longer, and clean when it has been done.
SELECT count(*) FILTER (WHERE length(shown(v)) > length(v)) AS longer, count(*) FILTER (WHERE shown(shown(v)) <> shown(v)) AS twice
FROM (SELECT left(right('ab''7:[' || string_agg(round((n / 7.0)::numeric, n % 7)::text, ',') || ']'' c \x' || repeat('ab', 40), -i), j) AS v
	  FROM generate_series(1, 9) n, generate_series(0, 40) i, generate_series(1, 130, 3) j GROUP BY i, j) t;
-- Numbers with many decimals, whatever is between them; escapes; bytes in pieces; base64 as in addresses.
CREATE FUNCTION parts(form text, sep text, n int DEFAULT 20) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format(form, i, round((sin(i * 7.3) / 3)::numeric, 6)), sep ORDER BY i) FROM generate_series(1, n) i $$;
SELECT facematch.redacted(v) FROM (VALUES (parts('(%s,%s)', ', ')), ('[' || parts('{"i": %s, "v": %s}', ', ') || ']'), ('{' || parts('"d%s": %s', ', ') || '}'),
	('parameters: ' || parts('$%s = ''%s''', ', ')), (parts('a[%s] := %s', '; ')), (parts('CAST(%2$s AS real)', ', ')), (parts('%2$s::numeric(9,6)', ', ')),
	(parts('(''%2$s''::double precision)', ', ')), (parts('<v n="%s">%s</v>', E'\n')), (parts('[%2$s]', ',')), (parts('%2$s/**/', ','))) v (v);
SELECT facematch.redacted(v) FROM (VALUES ('E''' || regexp_replace(encode(convert_to(parts('%2$s', ','), 'UTF8'), 'hex'), '(..)', '\\x\1', 'g') || ''''),
	('E''' || regexp_replace(encode(convert_to(parts('%2$s', ','), 'UTF8'), 'hex'), '(..)', '\\u00\1', 'g') || ''''),
	(regexp_replace(repeat('00ff1c9a', 64), '(.{16})', '''\\x\1''::bytea || ', 'g')), (regexp_replace(repeat('00ff1c9a', 8), '(..)', '\1 ', 'g')),
	(regexp_replace(repeat('00ff1c9a', 8), '(..)', '0x\1, ', 'g')), (repeat('PgPgAD4U-YAA_72W', 20))) v (v);
-- What is none: times, plans, places on a map, a line, a few.
SELECT facematch.redacted(v) = v AS left_alone FROM (VALUES (repeat('Seq Scan on t  (cost=0.00..35.50 rows=2550 width=4) (actual time=0.012..12.345 rows=7 loops=1)' || E'\n', 20)),
	('POINT(48.856614 2.352222)'), (repeat('-', 200)), (repeat('a_name_', 10)), (parts('%2$s', ', ', 11)), ('1e-5, 1e-6'), (repeat('''2026-11-23 13:14:15.123456+00'', ', 30)))v (v);
DROP FUNCTION parts;
