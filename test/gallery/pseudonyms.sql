-- subject_id(): one pseudonym for one document, however it is written, and nothing without the key.
\set VERBOSITY terse
CREATE TEMP TABLE written (country text, doc_type text, doc_number text);
INSERT INTO written VALUES
  ('USA', 'passport', 'P1234567'), ('usa', 'Passport', 'p1234567'), (' USA ', 'PASSPORT', 'P 123 4567'), ('USA', 'passport', 'P-123-4567'),
  ('USA', 'passport', 'P1234567<<'), ('U.S.A.', 'pass port', E'P1234567\t'), (U&'\FF35\FF33\FF21', 'passport', U&'\FF30\FF11\FF12\FF13\FF14\FF15\FF16\FF17');
SELECT count(DISTINCT facematch.subject_id(country, doc_type, doc_number)) AS pseudonyms FROM written;

-- Different documents, and parts that would run together, have different ones.
SELECT count(DISTINCT facematch.subject_id(c, t, n)) AS different
FROM (VALUES ('USA', 'passport', 'P1'), ('USA', 'passport', 'P2'), ('CAN', 'passport', 'P1'), ('USA', 'visa', 'P1'),
             ('US', 'Apassport', 'P1'), ('USA', 'passportP', '1'), ('USAP', 'assport', 'P1')) d(c, t, n);

-- A UUID of version 8 and RFC variant, the same every time.
SELECT facematch.subject_id('UTO', 'passport', 'L898902C3')::text ~ '^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' AS version_8,
       facematch.subject_id('UTO', 'passport', 'L898902C3') = facematch.subject_id('UTO', 'passport', 'L898902C3') AS stable;

-- It is HMAC-SHA256: here with a known key, against the formula of RFC 2104 by the server's own sha256().
BEGIN;
UPDATE facematch.pseudonym_key SET key = decode(repeat('0b', 32), 'hex');
WITH pad AS (
  SELECT decode(string_agg(lpad(to_hex(k # 54), 2, '0'), ''), 'hex') AS inner_pad, decode(string_agg(lpad(to_hex(k # 92), 2, '0'), ''), 'hex') AS outer_pad
  FROM (SELECT CASE WHEN i <= 32 THEN 11 ELSE 0 END AS k FROM generate_series(1, 64) i ORDER BY i) key_block),
mac AS (SELECT encode(sha256(outer_pad || sha256(inner_pad || 'UTO<PASSPORT<L898902C3'::bytea)), 'hex') AS h FROM pad)
SELECT overlay(overlay(left(h, 32) PLACING '8' FROM 13) PLACING
               substr('89ab89ab89ab89ab', ('x' || substr(h, 17, 1))::bit(4)::int + 1, 1) FROM 17)::uuid
       = facematch.subject_id('uto', 'passport', 'L898902C3') AS as_computed_here
FROM mac;
ROLLBACK;

-- Refused.
SELECT facematch.subject_id('', 'passport', 'P1');
SELECT facematch.subject_id('USA', NULL, 'P1');
SELECT facematch.subject_id('USA', 'passport', ' - ');
SELECT facematch.subject_id('USA', 'passport', NULL);
SELECT facematch.subject_id('RUS', 'passport', U&'\0410\0411123456');
SELECT facematch.subject_id('USA', 'passport', U&'P1\200B');

-- Who can do what.
CREATE ROLE facematch_test_clerk;
GRANT pg_read_all_data TO facematch_test_clerk;
SET ROLE facematch_test_clerk;
SELECT facematch.subject_id('USA', 'passport', 'P1');
SELECT facematch_internal.keyed_hash('P1');
SELECT count(*) AS keys_seen FROM facematch.pseudonym_key;
RESET ROLE;
GRANT USAGE ON SCHEMA facematch, facematch_internal TO facematch_test_clerk;
GRANT EXECUTE ON FUNCTION facematch.subject_id(text, text, text) TO facematch_test_clerk;
SET ROLE facematch_test_clerk;
SELECT facematch.subject_id('USA', 'passport', 'P1') IS NOT NULL AS granted;
-- Functions of the caller's own, first in the search path, are not what it calls.
CREATE FUNCTION pg_temp.hmac(bytea, bytea, text) RETURNS bytea LANGUAGE sql AS 'SELECT $2';
CREATE FUNCTION pg_temp.upper(text) RETURNS text LANGUAGE sql AS $$SELECT 'X'$$;
SET search_path = pg_temp, public;
SELECT facematch.subject_id('usa', 'passport', 'p1') = facematch.subject_id('USA', 'passport', 'P1') AS same;
RESET search_path;
RESET ROLE;

-- A key restored from a dump, made earlier, takes the place of the fresh one; without any key there is no pseudonym.
CREATE TEMP TABLE before AS SELECT facematch.subject_id('USA', 'passport', 'P1') AS id;
INSERT INTO facematch.pseudonym_key (key, created_at) VALUES (decode(repeat('0c', 32), 'hex'), '2020-01-01');
SELECT id <> facematch.subject_id('USA', 'passport', 'P1') AS restored_key_in_use FROM before;
DELETE FROM facematch.pseudonym_key WHERE created_at = '2020-01-01';
SELECT id = facematch.subject_id('USA', 'passport', 'P1') AS back FROM before;
INSERT INTO facematch.pseudonym_key (key) VALUES ('short');
DELETE FROM facematch.pseudonym_key;
SELECT facematch.subject_id('USA', 'passport', 'P1');

-- pgcrypto in a schema of its own.
DROP EXTENSION facematch;
DROP EXTENSION pgcrypto;
CREATE SCHEMA "the crypto";
CREATE EXTENSION pgcrypto SCHEMA "the crypto";
CREATE SCHEMA faces;
CREATE EXTENSION facematch SCHEMA faces;
SELECT facematch.subject_id('USA', 'passport', 'P1') = facematch.subject_id('usa', 'Passport', 'p1') AS same;
ALTER EXTENSION pgcrypto SET SCHEMA public;
SELECT facematch.subject_id('USA', 'passport', 'P1') IS NOT NULL AS moved;
REVOKE ALL ON FUNCTION facematch.subject_id(text, text, text) FROM PUBLIC;
DROP OWNED BY facematch_test_clerk;
DROP ROLE facematch_test_clerk;
