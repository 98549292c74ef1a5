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

CREATE FUNCTION face_match(reference face_embedding, probe face_embedding, min_similarity double precision)
	RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4
	SUPPORT face_match_support
	AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_match(face_embedding, face_embedding, double precision) IS
	'whether the cosine similarity of reference and probe is at least min_similarity: exactly '
	'face_similarity(reference, probe) >= min_similarity. min_similarity -1 to 1 (22003; NaN: 22023); unequal '
	'dimensions: 22000; different models: 22023; a sealed template, for a role that may not read templates: 42501';

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
	'a probe with its threshold, the right-hand side of =~. Text 0.42@[0.1,-0.2] (minimum similarity), '
	'<->0.9@[0.1,-0.2] (maximum distance by that operator); binary int16 kind, float8 limit, then the embedding''s '
	'binary form';
COMMENT ON FUNCTION face_probe_in(cstring) IS 'I/O: reads 0.42@[0.1,-0.2]';
COMMENT ON FUNCTION face_probe_out(face_probe) IS 'I/O: writes 0.42@[0.1,-0.2]';
COMMENT ON FUNCTION face_probe_recv(internal) IS 'I/O: reads int16 kind, float8 limit, then a binary face_embedding';
COMMENT ON FUNCTION face_probe_send(face_probe) IS 'I/O: writes int16 kind, float8 limit, then a binary '
	'face_embedding';

UPDATE pg_catalog.pg_type
	SET typanalyze = '@extschema@.face_embedding_typanalyze(internal)'::pg_catalog.regprocedure
	WHERE oid = '@extschema@.face_probe[]'::pg_catalog.regtype;

CREATE FUNCTION face_probe(probe face_embedding, min_similarity double precision) RETURNS face_probe
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe(face_embedding, double precision) IS
	'a probe with its threshold: min_similarity -1 to 1 (22003; NaN: 22023)';

CREATE FUNCTION face_probe_within(probe face_embedding, kind smallint, bound double precision, factor double precision,
	addend double precision) RETURNS face_probe
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe_within(face_embedding, smallint, double precision, double precision, double precision)
	IS
	'a probe with a most distance by <=> (kind 1), <-> (2) or <#> (3): bound * factor + addend. What the planner makes '
	'of a threshold';

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
	'reference matches probe: reference =~ face_probe(probe, t) is face_match(reference, probe, t). Unequal '
	'dimensions: 22000; different models: 22023; a sealed template, for a role that may not read templates: 42501';

CREATE FUNCTION face_embedding_may_match_probe(face_embedding, face_probe) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF COST 4 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_may_match_probe(face_embedding, face_probe) IS 'implementation of =~? operator';

CREATE OPERATOR =~? (
	FUNCTION = face_embedding_may_match_probe,
	LEFTARG = face_embedding, RIGHTARG = face_probe,
	RESTRICT = face_probe_sel, JOIN = contjoinsel
);
COMMENT ON OPERATOR =~? (face_embedding, face_probe) IS
	'reference may match probe: true of all that =~ accepts, of a millionth more, of what cannot be compared with '
	'the probe, and of sealed templates, unless an index can tell; raises no error';
