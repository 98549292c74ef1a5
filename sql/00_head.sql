\echo Use "CREATE EXTENSION facematch" to load this file. \quit

-- Type, operators and access method live in the schema the extension is created in; everything else here.
CREATE SCHEMA facematch;

COMMENT ON SCHEMA facematch IS 'face matching in galleries, opt-outs, retention and erasure';
