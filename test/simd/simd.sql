-- Which kernels are there depends on the machine; that all of them give the same bits does not.
SELECT facematch.simd_level() ~ '^(avx512|avx2|neon|portable)(, \w+ by \w+)*$' AS known;
SHOW facematch.simd;
SET facematch.simd = 'portable';
SELECT facematch.simd_level();

-- Templates of many dimensions, whole vectors and remainders, components of every size.
CREATE TABLE pair AS
SELECT d,
	(SELECT array_agg((sin(i * 12.9898 + d) * 2 ^ (i % 20 - 12))::real ORDER BY i) FROM generate_series(1, d) i)::face_embedding AS a,
	(SELECT array_agg((cos(i * 78.233 - d) * 2 ^ (i % 17 - 9))::real ORDER BY i) FROM generate_series(1, d) i)::face_embedding AS b
FROM unnest(ARRAY[1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1024, 2000]) d;
CREATE TABLE portable AS
SELECT d, float8send(a <=> b) AS cosine, float8send(a <-> b) AS euclidean, float8send(a <#> b) AS product FROM pair;

DO $$
DECLARE
	level text;
	differing int;
BEGIN
	FOREACH level IN ARRAY ARRAY['auto', 'avx512', 'avx2', 'neon'] LOOP
		BEGIN
			PERFORM set_config('facematch.simd', level, false);
		EXCEPTION WHEN invalid_parameter_value THEN
			CONTINUE;
		END;
		IF level <> 'auto' AND facematch.simd_level() <> level THEN
			RAISE EXCEPTION '% was set, % is in use', level, facematch.simd_level();
		END IF;
		SELECT count(*) INTO differing FROM pair JOIN portable USING (d)
		WHERE (float8send(a <=> b), float8send(a <-> b), float8send(a <#> b)) IS DISTINCT FROM (cosine, euclidean, product);
		IF differing > 0 THEN
			RAISE EXCEPTION '% distances by % differ from the portable ones', differing, level;
		END IF;
	END LOOP;
END $$;

-- A setting that this server cannot run changes nothing; x86-64 and ARM never have both.
SET facematch.simd = 'portable';
DO $$
DECLARE
	refused int := 0;
	level text;
	hint text;
BEGIN
	FOREACH level IN ARRAY ARRAY['avx2', 'neon'] LOOP
		BEGIN
			PERFORM set_config('facematch.simd', level, false);
			PERFORM set_config('facematch.simd', 'portable', false);
		EXCEPTION WHEN invalid_parameter_value THEN
			GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
			refused := refused + (hint LIKE 'Available values: auto, %portable.')::int;
		END;
	END LOOP;
	IF refused = 0 THEN
		RAISE EXCEPTION 'one of avx2 and neon must be refused, with the values that are not';
	END IF;
END $$;
SELECT facematch.simd_level();
SET facematch.simd = 'sse';
SET facematch.no_such_setting = 1;
RESET facematch.simd;
SHOW facematch.simd;
DROP TABLE pair, portable;
