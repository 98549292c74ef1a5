-- Hostile input: the right SQLSTATE, no crash, and no component in any message.
-- Every input carries the mark 0.7310586 (or its digits), which no error may repeat.

CREATE TABLE hostile (
	id int GENERATED ALWAYS AS IDENTITY,
	what text NOT NULL,
	expression text NOT NULL,
	input text NOT NULL,
	state text NOT NULL
);

-- As text.
INSERT INTO hostile (what, expression, input, state)
SELECT what, '$1::face_embedding', input, state FROM (VALUES
	('empty string', '', '22P02'),
	('white space only', E' \t\n', '22P02'),
	('no bracket', '0.7310586', '22P02'),
	('no brackets, list', '0.7310586,0.5', '22P02'),
	('braces', '{0.7310586,0.5}', '22P02'),
	('parentheses', '(0.7310586,0.5)', '22P02'),
	('not closed', '[0.7310586', '22P02'),
	('not closed after comma', '[0.7310586,', '22P02'),
	('closed by parenthesis', '[0.7310586)', '22P02'),
	('only opened', '[', '22P02'),
	('only closed', ']', '22P02'),
	('no component', '[]', '22P02'),
	('white space for component', '[ ]', '22P02'),
	('only a comma', '[,]', '22P02'),
	('leading comma', '[,0.7310586]', '22P02'),
	('trailing comma', '[0.7310586,]', '22P02'),
	('missing component', '[0.7310586,,2]', '22P02'),
	('separated by space', '[0.7310586 0.5]', '22P02'),
	('separated by semicolon', '[0.7310586;0.5]', '22P02'),
	('decimal commas', '[0,7310586;0,5]', '22P02'),
	('trailing text', '[0.7310586]x', '22P02'),
	('trailing number', '[0.7310586]0.7310586', '22P02'),
	('two templates', '[0.7310586][0.7310586]', '22P02'),
	('trailing bracket', '[0.7310586]]', '22P02'),
	('nested', '[[0.7310586]]', '22P02'),
	('nested within', '[0.7310586,[0.5]]', '22P02'),
	('quoted component', '["0.7310586"]', '22P02'),
	('word', '[0.7310586,abc]', '22P02'),
	('NULL as component', '[0.7310586,NULL]', '22P02'),
	('word after number', '[0.7310586abc]', '22P02'),
	('hexadecimal', '[0x7310586]', '22P02'),
	('two points', '[0.7310586.5]', '22P02'),
	('point only', '[0.7310586,.]', '22P02'),
	('sign only', '[0.7310586,-]', '22P02'),
	('two signs', '[--0.7310586]', '22P02'),
	('sign after number', '[0.7310586-]', '22P02'),
	('space after sign', '[- 0.7310586]', '22P02'),
	('exponent without digits', '[0.7310586e]', '22P02'),
	('exponent with sign only', '[0.7310586e+]', '22P02'),
	('fractional exponent', '[0.7310586e0.5]', '22P02'),
	('exponent only', '[0.7310586,e5]', '22P02'),
	('underscore', '[0.731_0586]', '22P02'),
	('Arabic-Indic digits', '[٠.٧]', '22P02'),
	('full-width brackets', '［0.7310586］', '22P02'),
	('no-break space', E'[\u00a00.7310586]', '22P02'),
	('minus sign U+2212', E'[\u22120.7310586]', '22P02'),
	('byte order mark', E'\ufeff[0.7310586]', '22P02'),
	('SQL comment', '[0.7310586/**/]', '22P02'),
	('tag without components', '7:', '22P02'),
	('tag without bracket', '7:0.7310586', '22P02'),
	('tag without colon', '7[0.7310586]', '22P02'),
	('colon without tag', ':[0.7310586]', '22P02'),
	('two tags', '7:8:[0.7310586]', '22P02'),
	('space before colon', '7 :[0.7310586]', '22P02'),
	('negative tag', '-7:[0.7310586]', '22P02'),
	('fractional tag', '7.0:[0.7310586]', '22P02'),
	('word for tag', 'facenet:[0.7310586]', '22P02'),
	('tag after', '[0.7310586]:7', '22P02'),
	('tag 0', '0:[0.7310586]', '22003'),
	('tag 32768', '32768:[0.7310586]', '22003'),
	('tag beyond 64 bits', '7310586731058673105867310586:[0.7310586]', '22003'),
	('NaN', '[0.7310586,NaN]', '22000'),
	('nan first', '[nan,0.7310586]', '22000'),
	('-nan', '[0.7310586,-nan]', '22000'),
	('nan with payload', '[0.7310586,nan(7310586)]', '22000'),
	('Infinity', '[0.7310586,Infinity]', '22000'),
	('-inf', '[0.7310586,-inf]', '22000'),
	('+INF', '[0.7310586,+INF]', '22000'),
	('beyond double', '[0.7310586,1e400]', '22003'),
	('beyond single', '[0.7310586,1e39]', '22003'),
	('negative, beyond single', '[0.7310586,-1e39]', '22003'),
	('beyond half', '[0.7310586,73105.86]', '22003'),
	('65520', '[0.7310586,65520]', '22003'),
	('-65520', '[0.7310586,-65520]', '22003'),
	('65519.9999 rounds to 65520 in single', '[0.7310586,65519.9999]', '22003'),
	('exponent beyond 64 bits', '[0.7310586e73105867310586731058673105860]', '22003'),
	('zero vector', '[0,0,0]', '22000'),
	('negative zeros', '[-0,-0.0]', '22000'),
	('rounds to zero', '[7.310586e-9,-7.310586e-9]', '22000'),
	('underflows double', '[7.310586e-400]', '22000')
) AS v(what, input, state);

INSERT INTO hostile (what, expression, input, state) VALUES
	('3,585 components', '$1::face_embedding', '[' || repeat('0.7310586,', 3584) || '1]', '54000'),
	('100,001 components', '$1::face_embedding', '[' || repeat('0.7310586,', 100000) || '1]', '54000'),
	('100,000 opening brackets', '$1::face_embedding', repeat('[', 100000), '22P02'),
	('a number of a million digits', '$1::face_embedding', '[0.7310586,' || repeat('7310586', 150000) || ']', '22003'),
	('a million spaces', '$1::face_embedding', '[0.7310586' || repeat(' ', 1000000), '22P02');

-- Modifiers and casts.
INSERT INTO hostile (what, expression, input, state) VALUES
	('fewer dimensions than declared', '$1::face_embedding(3)', '[0.7310586,0.5]', '22000'),
	('more dimensions than declared', '$1::face_embedding(1)', '[0.7310586,0.5]', '22000'),
	('other tag than declared', '$1::face_embedding(2,7)', '8:[0.7310586,0.5]', '22023'),
	('other dimensions and tag', '$1::face_embedding(3,7)', '8:[0.7310586,0.5]', '22000'),
	('column of other dimensions', '$1::face_embedding(2)::face_embedding(3)', '[0.7310586,0.5]', '22000'),
	('stamped, then another tag', '$1::face_embedding(2,7)::face_embedding(2,8)', '[0.7310586,0.5]', '22023'),
	('modifier of 0 dimensions', '$1::face_embedding(0)', '[0.7310586]', '22023'),
	('modifier of negative dimensions', '$1::face_embedding(-1)', '[0.7310586]', '22023'),
	('modifier of 3,585 dimensions', '$1::face_embedding(3585)', '[0.7310586]', '22023'),
	('modifier with tag 0', '$1::face_embedding(1,0)', '[0.7310586]', '22023'),
	('modifier with tag 32768', '$1::face_embedding(1,32768)', '[0.7310586]', '22023'),
	('modifier of three numbers', '$1::face_embedding(1,2,3)', '[0.7310586]', '22023'),
	('modifier of no number', '$1::face_embedding(x)', '[0.7310586]', '22P02'),
	('modifier beyond int4', '$1::face_embedding(99999999999)', '[0.7310586]', '22003'),
	('empty array', '$1::real[]::face_embedding', '{}', '22000'),
	('NULL in array', '$1::real[]::face_embedding', '{0.7310586,NULL}', '22004'),
	('array of NULLs', '$1::double precision[]::face_embedding', '{NULL,NULL}', '22004'),
	('array of two dimensions', '$1::real[]::face_embedding', '{{0.7310586,0.5}}', '2202E'),
	('NaN in array', '$1::real[]::face_embedding', '{0.7310586,NaN}', '22000'),
	('infinity in array', '$1::real[]::face_embedding', '{0.7310586,Infinity}', '22003'),
	('beyond half in array', '$1::real[]::face_embedding', '{0.7310586,73105.86}', '22003'),
	('beyond single in array', '$1::double precision[]::face_embedding', '{7.310586e300}', '22003'),
	('NaN in array of numeric', '$1::numeric[]::face_embedding', '{0.7310586,NaN}', '22000'),
	('beyond double in array of numeric', '$1::numeric[]::face_embedding', '{7.310586e500}', '22003'),
	('beyond half in array of integer', '$1::integer[]::face_embedding', '{7310586}', '22003'),
	('zeros in array', '$1::real[]::face_embedding', '{0,0}', '22000'),
	('array of 3,585', 'array_fill($1::real, ARRAY[3585])::face_embedding', '0.7310586', '54000'),
	('array of 100,001', 'array_fill($1::real, ARRAY[100001])::face_embedding', '0.7310586', '54000'),
	('array of other dimensions than declared', '$1::real[]::face_embedding(3)', '{0.7310586,0.5}', '22000'),
	('NULL in array, declared', '$1::real[]::face_embedding(2,7)', '{0.7310586,NULL}', '22004');

-- Functions and operators.
INSERT INTO hostile (what, expression, input, state) VALUES
	('<=> of unequal dimensions', $$$1::face_embedding <=> '[1]'$$, '[0.7310586,0.5]', '22000'),
	('<-> of unequal dimensions', $$$1::face_embedding <-> '[1]'$$, '[0.7310586,0.5]', '22000'),
	('<#> of unequal dimensions', $$$1::face_embedding <#> '[1]'$$, '[0.7310586,0.5]', '22000'),
	('<=> of two models', $$$1::face_embedding <=> '8:[1,2]'$$, '7:[0.7310586,0.5]', '22023'),
	('<-> of two models', $$$1::face_embedding <-> '8:[1,2]'$$, '7:[0.7310586,0.5]', '22023'),
	('<#> of two models', $$$1::face_embedding <#> '8:[1,2]'$$, '7:[0.7310586,0.5]', '22023'),
	('face_similarity of two models', $$face_similarity($1::face_embedding, '8:[1,2]')$$, '7:[0.7310586,0.5]', '22023'),
	('face_match of unequal dimensions', $$face_match($1::face_embedding, '[1]', 0.5)$$, '[0.7310586,0.5]', '22000'),
	('face_match of two models', $$face_match($1::face_embedding, '8:[1,2]', 0.5)$$, '7:[0.7310586,0.5]', '22023'),
	('face_match above 1', $$face_match($1::face_embedding, '[1,2]', 1.0000001)$$, '[0.7310586,0.5]', '22003'),
	('face_match below -1', $$face_match($1::face_embedding, '[1,2]', -1.5)$$, '[0.7310586,0.5]', '22003'),
	('face_match of infinity', $$face_match($1::face_embedding, '[1,2]', 'inf')$$, '[0.7310586,0.5]', '22003'),
	('face_match of NaN', $$face_match($1::face_embedding, '[1,2]', 'nan')$$, '[0.7310586,0.5]', '22023'),
	('face_with_model 0', 'face_with_model($1::face_embedding, 0)', '[0.7310586,0.5]', '22003'),
	('face_with_model -1', 'face_with_model($1::face_embedding, -1)', '[0.7310586,0.5]', '22003'),
	('face_with_model 32768', 'face_with_model($1::face_embedding, 32768)', '[0.7310586,0.5]', '22003'),
	('face_with_model over another', 'face_with_model($1::face_embedding, 8)', '7:[0.7310586,0.5]', '22023'),
	('mean of unequal dimensions', $$(SELECT avg(e) FROM (VALUES ($1::face_embedding), ('[1]')) AS v(e))$$, '[0.7310586,0.5]', '22000'),
	('mean of two models', $$(SELECT avg(e) FROM (VALUES ($1::face_embedding), ('8:[1,1]')) AS v(e))$$, '7:[0.7310586,0.5]', '22023'),
	('mean of two models around an untagged one', $$(SELECT avg(e) FROM (VALUES ('[1,1]'), ($1::face_embedding), ('8:[1,1]')) AS v(e))$$, '7:[0.7310586,0.5]', '22023'),
	('mean of zero norm', $$(SELECT avg(e) FROM (VALUES ($1::face_embedding), (('[-' || substr($1, 2))::face_embedding)) AS v(e))$$, '[0.7310586]', '22000'),
	('probe without threshold', '$1::face_probe', '[0.7310586]', '22P02'),
	('probe without template', '$1::face_probe', '0.7310586@', '22P02'),
	('probe of a word', '$1::face_probe', 'x@[0.7310586]', '22P02'),
	('probe with threshold 1.5', '$1::face_probe', '1.5@[0.7310586]', '22003'),
	('probe with threshold NaN', '$1::face_probe', 'nan@[0.7310586]', '22023'),
	('probe of a bad template', '$1::face_probe', '0.5@[0.7310586,x]', '22P02'),
	('face_probe above 1', 'face_probe($1::face_embedding, 2)', '[0.7310586]', '22003'),
	('=~ of two models', $$$1::face_embedding =~ '0.5@8:[1,2]'$$, '7:[0.7310586,0.5]', '22023');

-- Run one and record all that the client and the log would see.
CREATE FUNCTION try_hostile(expression text, input text, OUT state text, OUT message text, OUT told text)
LANGUAGE plpgsql AS $$
DECLARE detail text; hint text; context text; result text;
BEGIN
	EXECUTE format('SELECT (%s)::text', expression) INTO result USING input;
	state := '00000';
	message := 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	told := concat_ws(E'\n', message, detail, hint, context);
END $$;

CREATE TEMP TABLE outcome AS
SELECT h.id, h.what, h.state AS expected, t.* FROM hostile h, LATERAL try_hostile(h.expression, h.input) t ORDER BY h.id;

SELECT count(*) >= 80 AS "at least 80" FROM outcome;
SELECT what, expected, state, message FROM outcome WHERE state <> expected ORDER BY id;
SELECT what, told FROM outcome WHERE told ~ '7310|\.731' ORDER BY id;
SELECT what, state, message FROM outcome ORDER BY id;

-- A failed COPY names the line and the column, not the value.
CREATE TABLE enrolled (id int, embedding face_embedding(2,7));
\set SHOW_CONTEXT always
COPY enrolled FROM stdin;
1	[0.7310586,x]
\.
COPY enrolled FROM stdin;
1	[0.7310586,0.5]
2	[0.7310586,0.5,0.25]
\.
COPY enrolled FROM stdin (FORMAT csv);
1,"8:[0.7310586,0.5]"
\.
COPY enrolled FROM stdin;
1	[0.7310586,70000]
\.
