-- What the log shows of a text.  That everything that reaches the log goes through this is tested in test/redaction/log_hygiene.pl.
CREATE FUNCTION shown(value text) RETURNS text LANGUAGE sql AS $$ SELECT facematch_internal.redacted(value) $$;
-- Templates, however they are written.
SELECT shown(v) FROM (VALUES
	('[0.1,-0.2,3e-5]'), ('INSERT INTO t VALUES (1, ''7:[0.1,0.2]'', 2)'), ('SELECT ''[ 0.1 , 0.2 ]''::face_embedding <=> e'),
	('''{0.1,-0.2,NaN,0.3}''::real[]'), ('ARRAY[0.1,-.2,+3.]'), ('ARRAY[''0.1''::real, ''-0.2''::double precision]'), ('ARRAY[(-0.1)::real, (0.2)]'),
	('{"embedding": [0.1, 0.2]}'), ('{"Query Text": "SELECT \"[0.1,0.2]\""}'), (E'[\n   0.1,\n   -0.2\n]'),
	('COPY t, line 1, column e: "[0.0123,0.0234,0.0345..."'), (E'COPY t, line 1: "1\t[0.0123,0.0234"'),
	('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]'), ('{1,0,0,1,0,0,1,0,0,1,0,0,1,0,0,1,0,0}'), (E'COPY t, line 1: "1\t-2\t3\t-4\t5\t-6\t7\t-8\t9\t-10\t11\t-12\t13\t-14\t15\t-16\t17\t-18"'),
	('parameters: $1 = ''7:[0.5,0.25]'', $2 = ''42'''), ('[0.1,0.2] and [0.3,0.4]')) t (v);
SELECT shown('VALUES (' || string_agg((n / 7.0)::real::text, ', ') || ')') FROM generate_series(1, 512) n;
SELECT shown(string_agg((n / 7.0)::real::text, E'\t')) FROM generate_series(1, 512) n;
SELECT shown(string_agg((n / 7.0)::real::text, E'\n')) FROM generate_series(1, 512) n;
SELECT shown('[' || string_agg(n::text, ',') || ']') FROM generate_series(-64, 63) n;
-- Bytes.
SELECT shown('SELECT ''\x' || repeat('3c00', 512) || '''::bytea'), shown('\\x' || repeat('AB', 32)), shown(repeat('3c00', 512));
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
CREATE FUNCTION parts(form text, sep text, n int DEFAULT 20, decimals int DEFAULT 6) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format(form, i, round((sin(i * 7.3) / 3)::numeric, decimals)), sep ORDER BY i) FROM generate_series(1, n) i $$;
SELECT facematch_internal.redacted(v) FROM (VALUES (parts('(%s,%s)', ', ')), ('[' || parts('{"i": %s, "v": %s}', ', ') || ']'), ('{' || parts('"d%s": %s', ', ') || '}'),
	('parameters: ' || parts('$%s = ''%s''', ', ')), (parts('a[%s] := %s', '; ')), (parts('CAST(%2$s AS real)', ', ')), (parts('%2$s::numeric(9,6)', ', ')),
	(parts('(''%2$s''::double precision)', ', ')), (parts('<v n="%s">%s</v>', E'\n')), (parts('[%2$s]', ',')), (parts('%2$s/**/', ','))) v (v);
SELECT facematch_internal.redacted(v) FROM (VALUES ('E''' || regexp_replace(encode(convert_to(parts('%2$s', ','), 'UTF8'), 'hex'), '(..)', '\\x\1', 'g') || ''''),
	('E''' || regexp_replace(encode(convert_to(parts('%2$s', ','), 'UTF8'), 'hex'), '(..)', '\\u00\1', 'g') || ''''),
	(regexp_replace(repeat('00ff1c9a', 64), '(.{16})', '''\\x\1''::bytea || ', 'g')), (regexp_replace(repeat('00ff1c9a', 8), '(..)', '\1 ', 'g')),
	(regexp_replace(repeat('00ff1c9a', 8), '(..)', '0x\1, ', 'g')), (repeat('PgPgAD4U-YAA_72W', 20))) v (v);
-- What is none: times, plans, places on a map, a line, a few.
SELECT facematch_internal.redacted(v) = v AS left_alone FROM (VALUES (repeat('Seq Scan on t  (cost=0.00..35.50 rows=2550 width=4) (actual time=0.012..12.345 rows=7 loops=1)' || E'\n', 20)),
	('POINT(48.856614 2.352222)'), (repeat('-', 200)), (repeat('a_name_', 10)), (parts('%2$s', ', ', 11)), ('1e-5, 1e-6'), (repeat('''2026-11-23 13:14:15.123456+00'', ', 30)))v (v);
-- Fractions that are further apart, with long names between them; with fewer decimals, more of them.
SELECT facematch_internal.redacted(v) FROM (VALUES
	(parts('{"component_index": %s, "model": "arcface-r100", "subject_reference": "abc", "component_value": %s}', ', ')),
	(parts('UPDATE embedding_component SET value_of_component = %2$s WHERE subject = 42 AND component_number = %1$s', E';\n')),
	(parts('(%s,%s)', ', ', 24, 3)), (parts('(17,%s,%s)', ', ', 24, 2)), ('{' || parts('"d%s": %s', ', ', 24, 3) || '}'), ('parameters: ' || parts('$%s = ''%s''', ', ', 24, 3)),
	('ARRAY[' || parts('CAST(%2$s AS real)', ', ', 24, 3) || ']'), ('ARRAY[' || parts('real ''%2$s''', ', ', 24, 3) || ']'), ('ARRAY[' || parts('float4(%2$s)', ', ', 24, 3) || ']'),
	(parts('{"component_index": %s, "model": "arcface-r100", "subject_reference": "abc", "component_value": %s}', ', ', 24, 3)), (parts('{"cost": %2$s, "of": %1$s}', ', ', 60, 3)), (parts('<v>%2$s</v>', '', 24, 3)), (parts('[%2$s]', ',', 24, 3)), (parts('array_append(', '', 3) || parts('%2$s)', ',', 24, 3)), ('ARRAY[' || parts('- 0.%1$s', ', ', 24) || ']')) v (v);
-- A template has numbers of fewer decimals, too, and begins with one.
SELECT facematch_internal.redacted(string_agg(format('{"component_index": %s, "model": "arcface-r100", "subject_reference": "abc", "component_value": %s}', i, round((sin(i * 7.3) / 3)::numeric, 3 + (i - 1) % 3)), ', ' ORDER BY i)),
	facematch_internal.redacted('1:[0.282,' || string_agg(round((sin(i * 7.3) / 3)::numeric, 3 + i % 3)::text, ',') || ',0.376]') FROM generate_series(1, 40) i;
-- Base64 in lines, however they are joined, and with / and + as JSON and addresses write them; hexadecimal in pieces; dumps; lists of UUIDs.
CREATE FUNCTION image(n int DEFAULT 512) RETURNS bytea LANGUAGE sql AS $$ SELECT substr(string_agg(sha256(i::text::bytea), '' ORDER BY i), 1, n) FROM generate_series(1, 64) i $$;
CREATE FUNCTION lines(joint text, n int DEFAULT 60) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(replace(encode(image(), 'base64'), E'\n', ''), '(.{' || n || '})(?!$)', '\1' || replace(joint, '\', '\\'), 'g') $$;
CREATE FUNCTION pieces(joint text, digits int, n int DEFAULT 512) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(encode(image(n), 'hex'), '(.{' || digits || '})(?!$)', '\1' || replace(joint, '\', '\\'), 'g') $$;
CREATE FUNCTION uuids(joint text, n int) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(encode(substr(image(), 1 + i * 16, 16), 'hex')::uuid::text, joint ORDER BY i) FROM generate_series(0, n - 1) i $$;
SELECT facematch_internal.redacted('{"image": "' || lines(joint, n) || '", "of": 1}'), joint FROM (VALUES ('\n', 76), ('\r\n', 76), ('\\n', 76), ('\\r\\n', 64), (E'\n', 64), (E'\r\n    ', 60)) j (joint, n);
SELECT facematch_internal.redacted('SELECT ''' || lines(joint) || ''' AS image'), joint FROM (VALUES (''' || '''), (E'\'\n\t\''), (''' || E'''), (''' || E''\n'' || '''), (''', ''base64'') || decode(''')) j (joint);
SELECT facematch_internal.redacted('["' || lines('","') || '"]'), facematch_internal.redacted(replace(lines(''), '/', '\/')),
	facematch_internal.redacted(replace(replace(lines(''), '/', '%2F'), '+', '%2b')), facematch_internal.redacted(replace(lines(''), '/', '\u002f'));
SELECT facematch_internal.redacted('SELECT ''' || pieces(joint, digits) || ''' AS image'), joint
FROM (VALUES (''' || ''', 64), (''' || ''', 32), (''', ''hex'') || decode(''', 64), (''', ''', 64), (E'\'\n\'', 40), (''', ''', 16), (' ', 8), (', 0x', 4)) j (joint, digits);
SELECT facematch_internal.redacted(string_agg(format('%s  %s %s', lpad(to_hex(i * 16), 8, '0'), regexp_replace(encode(substr(image(), i * 16 + 1, 16), 'hex'), '(' || repeat('.', digits) || ')', '\1 ', 'g'), beside), E'\n' ORDER BY i))
FROM generate_series(0, 31) i, (VALUES (4, ''), (4, 'k..s.4..mk.N.Z?W'), (2, ''), (2, '|k..s.4..mk.N.Z?W|')) d (digits, beside) GROUP BY digits, beside ORDER BY digits, beside;
SELECT facematch_internal.redacted('IN (''' || uuids(''', ''', 8) || ''')'), facematch_internal.redacted('{' || uuids(',', 32) || '}'), facematch_internal.redacted('VALUES (''' || uuids('''::uuid), (''', 9) || '''::uuid)');
-- What is none of these: few prices, plans in every format, addresses, few identifiers, tokens and hashes, rows that have them among others, a remark.
SELECT left(v, 60) AS v, facematch_internal.redacted(v) = v AS stays FROM (VALUES
	('Gate 12, seat 14A, 3 bags, 2026-11-23 17:45'), ('INSERT INTO bag VALUES (''14A'', 23.5, 1), (''14B'', 19.25, 2), (''15C'', 7.0, 1)'), (uuids(',', 5)), (left(lines(''), 90)),
	('Bearer ' || left(lines(''), 64) || '.' || right(left(lines(''), 90), 30)), (pieces(''', ''', 64, 96)), ('decode(''' || pieces(''' || ''', 32, 48) || ''', ''hex'')'),
	('SELECT a1, b2, c3, d4 FROM t1 WHERE id IN (''a1b2c3d4'', ''b2c3d4e5'', ''c3d4e5f6'')'), ('{"sha256": "' || pieces('", "size": 12, "name": "a.jpg"}, {"sha256": "', 64, 96) || '"}'),
	('VALUES (''' || uuids(''', ''Bob'', 1), (''', 5) || ''', ''Bob'', 1)')) t (v);
SELECT facematch_internal.redacted(v) = v AS stays FROM (VALUES
	(repeat('Seq Scan on t  (cost=0.00..35.50 rows=2550 width=4) (actual time=0.012..12.345 rows=7.50 loops=2)' || E'\n', 20)),
	(repeat('"Startup Cost": 0.00, "Total Cost": 35.50, "Plan Rows": 10, "Actual Startup Time": 0.012, "Actual Total Time": 12.345, "Actual Rows": 7.50, ', 20)),
	(repeat('<Startup-Cost>0.00</Startup-Cost> <Total-Cost>35.50</Total-Cost> <Actual-Rows>7.50</Actual-Rows>' || E'\n', 20)), (repeat('Total Cost: 35.50' || E'\n', 40)),
	(repeat('127.0.0.1, ', 40)), (repeat('''0.1.0'', ', 40)), (repeat('(''2026-11-23 17:45:00.123+00'', 12), ', 40)), (parts('(%s, ''bag'', %s)', ', ', 8, 2)),
	(repeat('(1000, ''bag''),' || E'\n', 100)), (repeat('t.a1 = u.b2 AND ', 100))) t (v);
-- Statements: each constant longer than 40 bytes, and all constants where there are many, whatever they hold.
CREATE FUNCTION statement(value text) RETURNS text LANGUAGE sql AS $$ SELECT facematch_internal.redacted(value, true) $$;
SELECT left(statement(v), 110) AS shown FROM (VALUES
	('INSERT INTO t VALUES (1, ''7:[' || parts('%2$s', ',') || ']'', ''passport'', now())'), ('SELECT ''a reason that is told in more than forty characters'''),
	('SELECT ARRAY[' || parts('%2$s', ', ') || ']::real[]::face_embedding <=> e FROM t WHERE id = 17'), ('SELECT ARRAY[' || parts('CAST(%2$s AS real)', ', ', 17) || ']'),
	('INSERT INTO t VALUES ' || parts('(%s,%s)', ',')), ('SELECT E''' || repeat('\''', 30) || ''' AS x'), ('SELECT $a$' || parts('%2$s', ',') || '$a$, $1, $2'),
	('SELECT U&''' || repeat('\0041', 20) || ''', B''' || repeat('01', 30) || ''', x''' || repeat('1f', 30) || ''', N''' || repeat('it''''s', 10) || ''''),
	('SELECT 1 /* ' || parts('%2$s', ',') || ' /* nested */ */, 2 -- ' || parts('%2$s', ',')), ('SELECT 1 AS "' || parts('%2$s', ',') || '", 2 AS x' || repeat('1f', 40)),
	('SELECT ' || repeat('1', 50) || ', 0x' || repeat('1f', 30)), (E'SELECT \'' || lines(E'\'\n\t\'') || E'\''), ('DO $$ BEGIN PERFORM ''[' || parts('%2$s', ',') || ']''::face_embedding; END $$'),
	('/* 0.1 */ ' || parts('SELECT /*%s*/ a /* %2$s */', '; ')), ('SELECT ' || parts('"%2$s"', ', ')), ('SELECT decode(''' || pieces(''' || ''', 32) || ''', ''hex'')'), ('SELECT ' || lines('') || ', 1'),
	('IN (''' || uuids(''', ''', 6) || ''')')) t (v);
-- What is no statement, or one in two ways, is replaced whole: a quote too few makes data of what is none and the other way round.
SELECT statement(v) FROM (VALUES ('SELECT ''a, 0.1, 0.2'', ''0.3, 0.4'), ('SELECT $a$ FROM t WHERE x = 1'), ('SELECT "x FROM t WHERE x = 1'), ('SELECT 1 /* /* */ FROM t'), ('SELECT 12abc FROM t'), ('SELECT ' || uuids(',', 30)),
	('SELECT ''it\''s'', 0.1 FROM t'), ('SELECT E''it\''s'', 0.1 FROM t'), ('SELECT ''it\\'', 0.1 FROM t')) t (v);
-- What a statement shows.
SELECT statement(v) = v AS stays FROM (VALUES
	('SELECT * FROM facematch.reference WHERE subject_id = ''00000000-0000-0000-0000-000000000003'' AND purge_after < ''2026-11-23 08:51:08.618314+00'' LIMIT 10'),
	('SELECT id FROM t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10) AND name LIKE ''Bob%'' AND "Seat"."Row" = 12.5 AND a$b = $1'), ('INSERT INTO bag VALUES (''14A'', 23.5, 1), (''14B'', 19.25, 2), (''15C'', 7.0, 1)'),
	('SELECT U&"\0441\043B" FROM "a ""quoted"" name" -- why'), ('SELECT $1, $2, ''[0.1,0.2]''::face_embedding <#> e'), (''), ('SELECT a.b.c, x[1:2], 1..2, .5, 1.e5, 1_000')) t (v);
-- Once more changes nothing, and a statement stays one.
SELECT count(*) FILTER (WHERE length(v2) > length(v)) AS longer, count(*) FILTER (WHERE v3 <> v2) AS twice, count(DISTINCT v2) > 50 AS many
FROM (SELECT v, statement(v) AS v2, statement(statement(v)) AS v3 FROM (SELECT left(right(format('SELECT %L, %s, $a$%s$a$ /* %s */, "b"', parts('%2$s', ',', n), parts('%2$s', ',', n), n, n), -i), j) AS v
	  FROM generate_series(1, 20, 4) n, generate_series(0, 40) i, generate_series(1, 400, 7) j) t) u;
DROP FUNCTION parts, lines, pieces, uuids, image;
