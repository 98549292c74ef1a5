/*
 * The threshold decision.
 *
 * Neither face_match nor =~ is LEAKPROOF: both raise an error for a row of
 * other dimensions or of another model, which tells of rows that a policy hides.
 * =~? accepts such rows.  The planner adds it to every threshold that is written
 * in another way (src/index/spelling.c), so that the index is used for it, under
 * row security too; the threshold itself stays as a filter.
 */

CREATE FUNCTION face_match_support(internal) RETURNS internal
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_match_support(internal) IS 'planner support of face_match: selectivity and cost';

CREATE FUNCTION face_match(reference face_embedding, probe face_embedding, min_similarity double precision) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4
	SUPPORT face_match_support
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_match(face_embedding, face_embedding, double precision) IS
	'whether the cosine similarity of reference and probe is at least min_similarity: exactly face_similarity(reference, probe) >= min_similarity. min_similarity -1 to 1 (22003; NaN: 22023); unequal dimensions: 22000; different models: 22023';

CREATE TYPE face_probe;

CREATE FUNCTION face_probe_in(cstring) RETURNS face_probe
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_probe_out(face_probe) RETURNS cstring
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_probe_recv(internal) RETURNS face_probe
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_probe_send(face_probe) RETURNS bytea
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE TYPE face_probe (
	INPUT = face_probe_in,
	OUTPUT = face_probe_out,
	RECEIVE = face_probe_recv,
	SEND = face_probe_send,
	ANALYZE = face_embedding_typanalyze,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = double,
	STORAGE = plain
);
COMMENT ON TYPE face_probe IS
	'a probe with its threshold, the right-hand side of =~. Text 0.42@[0.1,-0.2] (least similarity), <->0.9@[0.1,-0.2] (most distance by that operator); binary int16 kind, float8 limit, then the embedding''s binary form';
COMMENT ON FUNCTION face_probe_in(cstring) IS 'I/O: reads 0.42@[0.1,-0.2]';
COMMENT ON FUNCTION face_probe_out(face_probe) IS 'I/O: writes 0.42@[0.1,-0.2]';
COMMENT ON FUNCTION face_probe_recv(internal) IS 'I/O: reads int16 kind, float8 limit, then a binary face_embedding';
COMMENT ON FUNCTION face_probe_send(face_probe) IS 'I/O: writes int16 kind, float8 limit, then a binary face_embedding';

UPDATE pg_catalog.pg_type
	SET typanalyze = '@extschema@.face_embedding_typanalyze(internal)'::pg_catalog.regprocedure
	WHERE oid = '@extschema@.face_probe[]'::pg_catalog.regtype;

CREATE FUNCTION face_probe(probe face_embedding, min_similarity double precision) RETURNS face_probe
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe(face_embedding, double precision) IS
	'a probe with its threshold: min_similarity -1 to 1 (22003; NaN: 22023)';

-- Probes as values: a total order by embedding, then threshold.

CREATE FUNCTION face_probe_cmp(face_probe, face_probe) RETURNS integer
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_cmp(face_probe, face_probe) IS
	'btree: -1, 0 or 1 by embedding, then threshold';

CREATE FUNCTION face_probe_eq(face_probe, face_probe) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_eq(face_probe, face_probe) IS 'implementation of = operator';
CREATE FUNCTION face_probe_ne(face_probe, face_probe) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_ne(face_probe, face_probe) IS 'implementation of <> operator';
CREATE FUNCTION face_probe_lt(face_probe, face_probe) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_lt(face_probe, face_probe) IS 'implementation of < operator';
CREATE FUNCTION face_probe_le(face_probe, face_probe) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_le(face_probe, face_probe) IS 'implementation of <= operator';
CREATE FUNCTION face_probe_gt(face_probe, face_probe) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_gt(face_probe, face_probe) IS 'implementation of > operator';
CREATE FUNCTION face_probe_ge(face_probe, face_probe) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_ge(face_probe, face_probe) IS 'implementation of >= operator';

CREATE OPERATOR = (
	FUNCTION = face_probe_eq,
	LEFTARG = face_probe, RIGHTARG = face_probe,
	COMMUTATOR = =, NEGATOR = <>,
	RESTRICT = eqsel, JOIN = eqjoinsel,
	HASHES, MERGES
);
COMMENT ON OPERATOR = (face_probe, face_probe) IS 'equal: same embedding and threshold';

CREATE OPERATOR <> (
	FUNCTION = face_probe_ne,
	LEFTARG = face_probe, RIGHTARG = face_probe,
	COMMUTATOR = <>, NEGATOR = =,
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR <> (face_probe, face_probe) IS 'not equal as values';

CREATE OPERATOR < (
	FUNCTION = face_probe_lt,
	LEFTARG = face_probe, RIGHTARG = face_probe,
	COMMUTATOR = >, NEGATOR = >=,
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR < (face_probe, face_probe) IS 'less than, in the order of values';

CREATE OPERATOR <= (
	FUNCTION = face_probe_le,
	LEFTARG = face_probe, RIGHTARG = face_probe,
	COMMUTATOR = >=, NEGATOR = >,
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR <= (face_probe, face_probe) IS 'less than or equal, in the order of values';

CREATE OPERATOR > (
	FUNCTION = face_probe_gt,
	LEFTARG = face_probe, RIGHTARG = face_probe,
	COMMUTATOR = <, NEGATOR = <=,
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR > (face_probe, face_probe) IS 'greater than, in the order of values';

CREATE OPERATOR >= (
	FUNCTION = face_probe_ge,
	LEFTARG = face_probe, RIGHTARG = face_probe,
	COMMUTATOR = <=, NEGATOR = <,
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR >= (face_probe, face_probe) IS 'greater than or equal, in the order of values';

CREATE FUNCTION face_probe_hash(face_probe) RETURNS integer
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_hash(face_probe) IS 'hash of embedding and threshold';
CREATE FUNCTION face_probe_hash_extended(face_probe, bigint) RETURNS bigint
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_hash_extended(face_probe, bigint) IS 'hash of embedding and threshold, with a seed';

CREATE OPERATOR CLASS face_probe_ops DEFAULT FOR TYPE face_probe USING btree AS
	OPERATOR 1 < ,
	OPERATOR 2 <= ,
	OPERATOR 3 = ,
	OPERATOR 4 >= ,
	OPERATOR 5 > ,
	FUNCTION 1 face_probe_cmp(face_probe, face_probe);
COMMENT ON OPERATOR CLASS face_probe_ops USING btree IS 'order of probes as values, for DISTINCT and GROUP BY; not likeness';

CREATE OPERATOR CLASS face_probe_ops DEFAULT FOR TYPE face_probe USING hash AS
	OPERATOR 1 = ,
	FUNCTION 1 face_probe_hash(face_probe),
	FUNCTION 2 face_probe_hash_extended(face_probe, bigint);
COMMENT ON OPERATOR CLASS face_probe_ops USING hash IS 'equality of probes as values';

CREATE FUNCTION face_probe_within(probe face_embedding, kind smallint, bound double precision, factor double precision,
	addend double precision) RETURNS face_probe
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_within(face_embedding, smallint, double precision, double precision, double precision) IS
	'a probe with a most distance by <=> (kind 1), <-> (2) or <#> (3): bound * factor + addend. What the planner makes of a threshold';

CREATE FUNCTION face_probe_sel(internal, oid, internal, integer) RETURNS double precision
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_sel(internal, oid, internal, integer) IS
	'restriction selectivity of =~: normal tail of non-mated similarities';

CREATE FUNCTION face_embedding_matches_probe(face_embedding, face_probe) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_matches_probe(face_embedding, face_probe) IS 'implementation of =~ operator';

CREATE OPERATOR =~ (
	FUNCTION = face_embedding_matches_probe,
	LEFTARG = face_embedding, RIGHTARG = face_probe,
	RESTRICT = face_probe_sel, JOIN = contjoinsel
);
COMMENT ON OPERATOR =~ (face_embedding, face_probe) IS
	'reference matches probe: reference =~ face_probe(probe, t) is face_match(reference, probe, t). Unequal dimensions: 22000; different models: 22023';

CREATE FUNCTION face_embedding_may_match_probe(face_embedding, face_probe) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF COST 4 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_may_match_probe(face_embedding, face_probe) IS 'implementation of =~? operator';

CREATE OPERATOR =~? (
	FUNCTION = face_embedding_may_match_probe,
	LEFTARG = face_embedding, RIGHTARG = face_probe,
	RESTRICT = face_probe_sel, JOIN = contjoinsel
);
COMMENT ON OPERATOR =~? (face_embedding, face_probe) IS
	'reference may match probe: all that =~ accepts, a millionth more, and what cannot be compared with the probe; raises no error';
