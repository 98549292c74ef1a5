\echo Use "CREATE EXTENSION facematch CASCADE" to load this file. \quit

/*
 * The extension script is joined from sql/NN_*.sql in the order of their numbers:
 *   00      this head
 *   1x      the type face_embedding, its operators and operator classes (in @extschema@)
 *   2x      the access method (in @extschema@)
 *   4x      models, galleries and references
 *   5x      pseudonyms and matching
 *   6x      retention, opt-outs, encounters and purges
 *   9x      accuracy and reports
 */

CREATE SCHEMA facematch;
COMMENT ON SCHEMA facematch IS
	'facematch: galleries of face templates, 1:1 and 1:N matching, opt-outs, retention and purges. Nothing in it is granted to PUBLIC.';
/*
 * The type face_embedding: a template with its model tag (src/embedding).
 *
 * SQLSTATEs: 22P02 malformed text, 22P03 malformed binary, 22003 component or
 * tag out of range, 22000 NaN, infinity, zero norm or other dimensions, 22023
 * another model, 22004 NULL component, 2202E array of several dimensions,
 * 54000 more than 4000 components.  No message repeats a component.
 */

CREATE TYPE face_embedding;

CREATE FUNCTION face_embedding_in(cstring, oid, integer) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_out(face_embedding) RETURNS cstring
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_recv(internal, oid, integer) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_send(face_embedding) RETURNS bytea
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_typmod_in(cstring[]) RETURNS integer
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_typmod_out(integer) RETURNS cstring
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_typanalyze(internal) RETURNS boolean
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME';

-- Storage plain: a template is never compressed and never moved to a TOAST table, where a purge would not find it.
CREATE TYPE face_embedding (
	INPUT = face_embedding_in,
	OUTPUT = face_embedding_out,
	RECEIVE = face_embedding_recv,
	SEND = face_embedding_send,
	TYPMOD_IN = face_embedding_typmod_in,
	TYPMOD_OUT = face_embedding_typmod_out,
	ANALYZE = face_embedding_typanalyze,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = int4,
	STORAGE = plain
);

COMMENT ON TYPE face_embedding IS
	'biometric template: 1 to 4000 half-precision components with their norm and the tag of the model that made it. face_embedding(512,7): 512 dimensions, model 7; the column stamps the tag on untagged templates and refuses other tags. Text [0.1,-0.2], tagged 7:[0.1,-0.2]; binary int16 dimensions, int16 tag (0: none), float4 components, big-endian';
COMMENT ON FUNCTION face_embedding_in(cstring, oid, integer) IS 'I/O: reads [0.1,-0.2] or 7:[0.1,-0.2]';
COMMENT ON FUNCTION face_embedding_out(face_embedding) IS 'I/O: shortest decimals that read back to the same half-precision components';
COMMENT ON FUNCTION face_embedding_recv(internal, oid, integer) IS 'I/O: reads int16 dimensions, int16 model tag, float4 components, big-endian';
COMMENT ON FUNCTION face_embedding_send(face_embedding) IS 'I/O: writes int16 dimensions, int16 model tag, float4 components, big-endian';
COMMENT ON FUNCTION face_embedding_typmod_in(cstring[]) IS 'I/O: reads (dimensions) or (dimensions, model tag)';
COMMENT ON FUNCTION face_embedding_typmod_out(integer) IS 'I/O: writes (dimensions) or (dimensions,model tag)';
COMMENT ON FUNCTION face_embedding_typanalyze(internal) IS
	'ANALYZE: null fraction and width only, so that no template reaches pg_statistic';

/*
 * Arrays of templates would be analyzed by the standard routine, which copies
 * elements and whole arrays into pg_statistic.  ALTER TYPE does not reach an
 * array type, so its catalog row is changed directly; both functions are this
 * extension's, so nothing dangles when it is dropped.
 */
UPDATE pg_catalog.pg_type
	SET typanalyze = '@extschema@.face_embedding_typanalyze(internal)'::pg_catalog.regprocedure
	WHERE oid = '@extschema@.face_embedding[]'::pg_catalog.regtype;

CREATE FUNCTION face_dims(face_embedding) RETURNS integer
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_dims(face_embedding) IS 'number of dimensions, 1 to 4000';

CREATE FUNCTION face_model(face_embedding) RETURNS integer
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_model(face_embedding) IS
	'tag of the model that made the template, 1 to 32767; 0 for an untagged template';

CREATE FUNCTION face_norm(face_embedding) RETURNS double precision
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_norm(face_embedding) IS
	'Euclidean norm of the stored components, single precision rounded towards zero; about 1 for models that normalise';

CREATE FUNCTION face_with_model(face_embedding, model integer) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_with_model(face_embedding, integer) IS
	'the template with this model tag, 1 to 32767 (22003 otherwise); a template that carries another tag is refused (22023)';
-- Casts of face_embedding.

CREATE FUNCTION face_embedding(face_embedding, typmod integer, explicit boolean) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'face_embedding_cast';
COMMENT ON FUNCTION face_embedding(face_embedding, integer, boolean) IS
	'cast to face_embedding(dimensions, model): stamps the tag on an untagged template, refuses other dimensions (22000) and other models (22023)';

CREATE FUNCTION face_embedding(real[], typmod integer, explicit boolean) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'array_to_face_embedding';
CREATE FUNCTION face_embedding(double precision[], typmod integer, explicit boolean) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'array_to_face_embedding';
CREATE FUNCTION face_embedding(integer[], typmod integer, explicit boolean) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'array_to_face_embedding';
CREATE FUNCTION face_embedding(numeric[], typmod integer, explicit boolean) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'array_to_face_embedding';
COMMENT ON FUNCTION face_embedding(real[], integer, boolean) IS 'cast: components rounded to half precision, untagged';
COMMENT ON FUNCTION face_embedding(double precision[], integer, boolean) IS 'cast: components rounded to single, then half precision, untagged';
COMMENT ON FUNCTION face_embedding(integer[], integer, boolean) IS 'cast: components rounded to half precision, untagged';
COMMENT ON FUNCTION face_embedding(numeric[], integer, boolean) IS 'cast: components rounded to single, then half precision, untagged';

CREATE FUNCTION face_embedding_to_real(face_embedding) RETURNS real[]
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'face_embedding_to_float4';
CREATE FUNCTION face_embedding_to_double(face_embedding) RETURNS double precision[]
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'face_embedding_to_float8';
COMMENT ON FUNCTION face_embedding_to_real(face_embedding) IS 'cast: the stored components, exactly; the model tag is lost';
COMMENT ON FUNCTION face_embedding_to_double(face_embedding) IS 'cast: the stored components, exactly; the model tag is lost';

CREATE CAST (face_embedding AS face_embedding)
	WITH FUNCTION face_embedding(face_embedding, integer, boolean) AS IMPLICIT;
CREATE CAST (real[] AS face_embedding)
	WITH FUNCTION face_embedding(real[], integer, boolean) AS ASSIGNMENT;
CREATE CAST (double precision[] AS face_embedding)
	WITH FUNCTION face_embedding(double precision[], integer, boolean) AS ASSIGNMENT;
CREATE CAST (integer[] AS face_embedding)
	WITH FUNCTION face_embedding(integer[], integer, boolean) AS ASSIGNMENT;
CREATE CAST (numeric[] AS face_embedding)
	WITH FUNCTION face_embedding(numeric[], integer, boolean) AS ASSIGNMENT;

-- Explicit only: components must not slip into another column by assignment.
CREATE CAST (face_embedding AS real[]) WITH FUNCTION face_embedding_to_real(face_embedding);
CREATE CAST (face_embedding AS double precision[]) WITH FUNCTION face_embedding_to_double(face_embedding);
/*
 * Operators of face_embedding.
 *
 * COST: a 512-d comparison takes about four times a cheap operator, call included.
 *
 * The value comparisons below never fail and are LEAKPROOF.  The distances are
 * not, by what LEAKPROOF promises: they raise an error for arguments of unequal
 * dimensions or models, and so tell something about rows that a policy hides.
 */

CREATE FUNCTION face_embedding_cosine_distance(face_embedding, face_embedding) RETURNS double precision
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4 AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_euclidean_distance(face_embedding, face_embedding) RETURNS double precision
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4 AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_negative_inner_product(face_embedding, face_embedding) RETURNS double precision
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4 AS 'MODULE_PATHNAME';
CREATE FUNCTION face_similarity(face_embedding, face_embedding) RETURNS double precision
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4 AS 'MODULE_PATHNAME';

COMMENT ON FUNCTION face_embedding_cosine_distance(face_embedding, face_embedding) IS 'implementation of <=> operator';
COMMENT ON FUNCTION face_embedding_euclidean_distance(face_embedding, face_embedding) IS 'implementation of <-> operator';
COMMENT ON FUNCTION face_embedding_negative_inner_product(face_embedding, face_embedding) IS 'implementation of <#> operator';
COMMENT ON FUNCTION face_similarity(face_embedding, face_embedding) IS
	'cosine similarity, -1 to 1: exactly 1 minus the operator <=>. Unequal dimensions: 22000; different models: 22023; an untagged template compares with any model';

CREATE OPERATOR <=> (
	FUNCTION = face_embedding_cosine_distance,
	LEFTARG = face_embedding, RIGHTARG = face_embedding,
	COMMUTATOR = <=>
);
CREATE OPERATOR <-> (
	FUNCTION = face_embedding_euclidean_distance,
	LEFTARG = face_embedding, RIGHTARG = face_embedding,
	COMMUTATOR = <->
);
CREATE OPERATOR <#> (
	FUNCTION = face_embedding_negative_inner_product,
	LEFTARG = face_embedding, RIGHTARG = face_embedding,
	COMMUTATOR = <#>
);
COMMENT ON OPERATOR <=> (face_embedding, face_embedding) IS
	'cosine distance, 0 to 2. Unequal dimensions: 22000; different models: 22023';
COMMENT ON OPERATOR <-> (face_embedding, face_embedding) IS
	'Euclidean distance, 0 or more. Unequal dimensions: 22000; different models: 22023';
COMMENT ON OPERATOR <#> (face_embedding, face_embedding) IS
	'negative inner product, so that ascending order has the most similar first. Unequal dimensions: 22000; different models: 22023';

-- Templates as values: a total order by model tag, dimensions and components, which says nothing about likeness.

CREATE FUNCTION face_embedding_cmp(face_embedding, face_embedding) RETURNS integer
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_cmp(face_embedding, face_embedding) IS
	'btree: -1, 0 or 1 by model tag, then dimensions, then components';

CREATE FUNCTION face_embedding_eq(face_embedding, face_embedding) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_eq(face_embedding, face_embedding) IS 'implementation of = operator';
CREATE FUNCTION face_embedding_ne(face_embedding, face_embedding) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_ne(face_embedding, face_embedding) IS 'implementation of <> operator';
CREATE FUNCTION face_embedding_lt(face_embedding, face_embedding) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_lt(face_embedding, face_embedding) IS 'implementation of < operator';
CREATE FUNCTION face_embedding_le(face_embedding, face_embedding) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_le(face_embedding, face_embedding) IS 'implementation of <= operator';
CREATE FUNCTION face_embedding_gt(face_embedding, face_embedding) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_gt(face_embedding, face_embedding) IS 'implementation of > operator';
CREATE FUNCTION face_embedding_ge(face_embedding, face_embedding) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_ge(face_embedding, face_embedding) IS 'implementation of >= operator';

CREATE OPERATOR = (
	FUNCTION = face_embedding_eq,
	LEFTARG = face_embedding, RIGHTARG = face_embedding,
	COMMUTATOR = =, NEGATOR = <>,
	RESTRICT = eqsel, JOIN = eqjoinsel,
	HASHES, MERGES
);
COMMENT ON OPERATOR = (face_embedding, face_embedding) IS 'equal: same model tag, dimensions and components';

CREATE OPERATOR <> (
	FUNCTION = face_embedding_ne,
	LEFTARG = face_embedding, RIGHTARG = face_embedding,
	COMMUTATOR = <>, NEGATOR = =,
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR <> (face_embedding, face_embedding) IS 'not equal as values';

CREATE OPERATOR < (
	FUNCTION = face_embedding_lt,
	LEFTARG = face_embedding, RIGHTARG = face_embedding,
	COMMUTATOR = >, NEGATOR = >=,
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR < (face_embedding, face_embedding) IS 'less than, in the order of values';

CREATE OPERATOR <= (
	FUNCTION = face_embedding_le,
	LEFTARG = face_embedding, RIGHTARG = face_embedding,
	COMMUTATOR = >=, NEGATOR = >,
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR <= (face_embedding, face_embedding) IS 'less than or equal, in the order of values';

CREATE OPERATOR > (
	FUNCTION = face_embedding_gt,
	LEFTARG = face_embedding, RIGHTARG = face_embedding,
	COMMUTATOR = <, NEGATOR = <=,
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR > (face_embedding, face_embedding) IS 'greater than, in the order of values';

CREATE OPERATOR >= (
	FUNCTION = face_embedding_ge,
	LEFTARG = face_embedding, RIGHTARG = face_embedding,
	COMMUTATOR = <=, NEGATOR = <,
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR >= (face_embedding, face_embedding) IS 'greater than or equal, in the order of values';

CREATE FUNCTION face_embedding_hash(face_embedding) RETURNS integer
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_hash(face_embedding) IS 'hash of model tag and components';
CREATE FUNCTION face_embedding_hash_extended(face_embedding, bigint) RETURNS bigint
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_hash_extended(face_embedding, bigint) IS 'hash of model tag and components, with a seed';

CREATE OPERATOR CLASS face_embedding_ops DEFAULT FOR TYPE face_embedding USING btree AS
	OPERATOR 1 < ,
	OPERATOR 2 <= ,
	OPERATOR 3 = ,
	OPERATOR 4 >= ,
	OPERATOR 5 > ,
	FUNCTION 1 face_embedding_cmp(face_embedding, face_embedding);
COMMENT ON OPERATOR CLASS face_embedding_ops USING btree IS 'order of templates as values, for DISTINCT and GROUP BY; not likeness';

CREATE OPERATOR CLASS face_embedding_ops DEFAULT FOR TYPE face_embedding USING hash AS
	OPERATOR 1 = ,
	FUNCTION 1 face_embedding_hash(face_embedding),
	FUNCTION 2 face_embedding_hash_extended(face_embedding, bigint);
COMMENT ON OPERATOR CLASS face_embedding_ops USING hash IS 'equality of templates as values';

-- Template fusion.

CREATE FUNCTION face_embedding_avg_accum(internal, face_embedding) RETURNS internal
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_avg_combine(internal, internal) RETURNS internal
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_avg_serialize(internal) RETURNS bytea
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_avg_deserialize(bytea, internal) RETURNS internal
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION face_embedding_avg_final(internal) RETURNS face_embedding
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_avg_accum(internal, face_embedding) IS 'aggregate transition function';
COMMENT ON FUNCTION face_embedding_avg_combine(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION face_embedding_avg_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION face_embedding_avg_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION face_embedding_avg_final(internal) IS 'aggregate final function';

CREATE AGGREGATE avg(face_embedding) (
	SFUNC = face_embedding_avg_accum,
	STYPE = internal,
	SSPACE = 4096,
	FINALFUNC = face_embedding_avg_final,
	COMBINEFUNC = face_embedding_avg_combine,
	SERIALFUNC = face_embedding_avg_serialize,
	DESERIALFUNC = face_embedding_avg_deserialize,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE avg(face_embedding) IS
	'template fusion: the arithmetic mean, computed in double precision, with the model tag of the templates. NULL of no template; templates of unequal dimensions: 22000, of different models: 22023, a mean of zero norm: 22000';
/*
 * The threshold decision (src/matching).
 *
 * Neither face_match nor =~ is LEAKPROOF: both raise an error for a row of
 * other dimensions or of another model, which tells of rows that a policy hides.
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
	'a probe with its threshold, the right-hand side of =~. Text 0.42@[0.1,-0.2]; binary float8 threshold, then the embedding''s binary form';
COMMENT ON FUNCTION face_probe_in(cstring) IS 'I/O: reads 0.42@[0.1,-0.2]';
COMMENT ON FUNCTION face_probe_out(face_probe) IS 'I/O: writes 0.42@[0.1,-0.2]';
COMMENT ON FUNCTION face_probe_recv(internal) IS 'I/O: reads float8 threshold, then a binary face_embedding';
COMMENT ON FUNCTION face_probe_send(face_probe) IS 'I/O: writes float8 threshold, then a binary face_embedding';

UPDATE pg_catalog.pg_type
	SET typanalyze = '@extschema@.face_embedding_typanalyze(internal)'::pg_catalog.regprocedure
	WHERE oid = '@extschema@.face_probe[]'::pg_catalog.regtype;

CREATE FUNCTION face_probe(probe face_embedding, min_similarity double precision) RETURNS face_probe
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_probe(face_embedding, double precision) IS
	'a probe with its threshold: min_similarity -1 to 1 (22003; NaN: 22023)';

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
-- Which distance kernels are in use.

CREATE FUNCTION facematch.simd_level() RETURNS text
	LANGUAGE C STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'facematch_simd_level';

COMMENT ON FUNCTION facematch.simd_level() IS
	'instruction set of the distance kernels in use: avx512, avx2, neon or portable; all return the same distances. Set facematch.simd to force one.';
/*
 * The access method: exact search among the templates of a gallery.
 *
 *   CREATE INDEX ON reference USING facematch (gallery_id, embedding);
 *
 * Keys come first, any number of them, the embedding last.  src/index/README.md
 * tells how it works.
 */
CREATE FUNCTION facematch_handler(internal) RETURNS index_am_handler
	LANGUAGE C AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION facematch_handler(internal) IS 'handler of the facematch access method';

CREATE ACCESS METHOD facematch TYPE INDEX HANDLER facematch_handler;
COMMENT ON ACCESS METHOD facematch IS
	'exact 1:N search: posting lists of face_embedding codes by gallery key. Answers key equality, face_match thresholds and ORDER BY <=>, <->, <#>';

/* The embedding: three orderings and the threshold, in one class. */
CREATE OPERATOR CLASS face_embedding_ops DEFAULT FOR TYPE face_embedding USING facematch AS
	OPERATOR 1 <=> (face_embedding, face_embedding) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 2 <-> (face_embedding, face_embedding) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 3 <#> (face_embedding, face_embedding) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 4 =~ (face_embedding, face_probe);
COMMENT ON OPERATOR CLASS face_embedding_ops USING facematch IS
	'cosine, Euclidean and inner product order, and face_match thresholds, from the same codes';

/*
 * Keys: equality and an extended hash function that agrees with it.  A type
 * that is not here gets its class the same way.
 */
CREATE OPERATOR FAMILY integer_ops USING facematch;
CREATE OPERATOR CLASS int2_ops DEFAULT FOR TYPE pg_catalog.int2 USING facematch FAMILY integer_ops AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashint2extended(int2, int8);
CREATE OPERATOR CLASS int4_ops DEFAULT FOR TYPE pg_catalog.int4 USING facematch FAMILY integer_ops AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashint4extended(int4, int8);
CREATE OPERATOR CLASS int8_ops DEFAULT FOR TYPE pg_catalog.int8 USING facematch FAMILY integer_ops AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashint8extended(int8, int8);
ALTER OPERATOR FAMILY integer_ops USING facematch ADD
	OPERATOR 1 pg_catalog.= (int2, int4), OPERATOR 1 pg_catalog.= (int2, int8),
	OPERATOR 1 pg_catalog.= (int4, int2), OPERATOR 1 pg_catalog.= (int4, int8),
	OPERATOR 1 pg_catalog.= (int8, int2), OPERATOR 1 pg_catalog.= (int8, int4);

CREATE OPERATOR FAMILY text_ops USING facematch;
CREATE OPERATOR CLASS text_ops DEFAULT FOR TYPE pg_catalog.text USING facematch FAMILY text_ops AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashtextextended(text, int8);
CREATE OPERATOR CLASS bpchar_ops DEFAULT FOR TYPE pg_catalog.bpchar USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashbpcharextended(bpchar, int8);
CREATE OPERATOR CLASS name_ops DEFAULT FOR TYPE pg_catalog.name USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashnameextended(name, int8);
CREATE OPERATOR CLASS uuid_ops DEFAULT FOR TYPE pg_catalog.uuid USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.uuid_hash_extended(uuid, int8);
CREATE OPERATOR CLASS bool_ops DEFAULT FOR TYPE pg_catalog.bool USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashcharextended("char", int8);
CREATE OPERATOR CLASS char_ops DEFAULT FOR TYPE pg_catalog."char" USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashcharextended("char", int8);
CREATE OPERATOR CLASS oid_ops DEFAULT FOR TYPE pg_catalog.oid USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashoidextended(oid, int8);
CREATE OPERATOR CLASS bytea_ops DEFAULT FOR TYPE pg_catalog.bytea USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashvarlenaextended(internal, int8);
CREATE OPERATOR CLASS float4_ops DEFAULT FOR TYPE pg_catalog.float4 USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashfloat4extended(float4, int8);
CREATE OPERATOR CLASS float8_ops DEFAULT FOR TYPE pg_catalog.float8 USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashfloat8extended(float8, int8);
CREATE OPERATOR CLASS numeric_ops DEFAULT FOR TYPE pg_catalog.numeric USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hash_numeric_extended(numeric, int8);
CREATE OPERATOR CLASS date_ops DEFAULT FOR TYPE pg_catalog.date USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashint4extended(int4, int8);
CREATE OPERATOR CLASS time_ops DEFAULT FOR TYPE pg_catalog.time USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.time_hash_extended(time, int8);
CREATE OPERATOR CLASS timetz_ops DEFAULT FOR TYPE pg_catalog.timetz USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.timetz_hash_extended(timetz, int8);
CREATE OPERATOR CLASS timestamp_ops DEFAULT FOR TYPE pg_catalog.timestamp USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.timestamp_hash_extended(timestamp, int8);
CREATE OPERATOR CLASS timestamptz_ops DEFAULT FOR TYPE pg_catalog.timestamptz USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.timestamp_hash_extended(timestamp, int8);
CREATE OPERATOR CLASS interval_ops DEFAULT FOR TYPE pg_catalog.interval USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.interval_hash_extended(interval, int8);
CREATE OPERATOR CLASS inet_ops DEFAULT FOR TYPE pg_catalog.inet USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashinetextended(inet, int8);
CREATE OPERATOR CLASS macaddr_ops DEFAULT FOR TYPE pg_catalog.macaddr USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashmacaddrextended(macaddr, int8);
CREATE OPERATOR CLASS macaddr8_ops DEFAULT FOR TYPE pg_catalog.macaddr8 USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashmacaddr8extended(macaddr8, int8);
CREATE OPERATOR CLASS pg_lsn_ops DEFAULT FOR TYPE pg_catalog.pg_lsn USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.pg_lsn_hash_extended(pg_lsn, int8);
CREATE OPERATOR CLASS jsonb_ops DEFAULT FOR TYPE pg_catalog.jsonb USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.jsonb_hash_extended(jsonb, int8);
CREATE OPERATOR CLASS enum_ops DEFAULT FOR TYPE pg_catalog.anyenum USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashenumextended(anyenum, int8);
CREATE OPERATOR CLASS array_ops DEFAULT FOR TYPE pg_catalog.anyarray USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hash_array_extended(anyarray, int8);
CREATE OPERATOR CLASS record_ops DEFAULT FOR TYPE pg_catalog.record USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hash_record_extended(record, int8);
CREATE OPERATOR CLASS range_ops DEFAULT FOR TYPE pg_catalog.anyrange USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hash_range_extended(anyrange, int8);

/* A comment on every key class, which all say the same of their types. */
DO $comment$
DECLARE
	class record;
BEGIN
	FOR class IN
		SELECT n.nspname, o.opcname, o.opcintype FROM pg_catalog.pg_opclass o
		JOIN pg_catalog.pg_namespace n ON n.oid = o.opcnamespace JOIN pg_catalog.pg_am a ON a.oid = o.opcmethod
		WHERE a.amname = 'facematch' AND pg_catalog.obj_description(o.oid, 'pg_opclass') IS NULL
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON OPERATOR CLASS %I.%I USING facematch IS %L', class.nspname, class.opcname,
			pg_catalog.format('gallery keys of type %s: equality', pg_catalog.format_type(class.opcintype, NULL)));
	END LOOP;
END $comment$;
/*
 * Looking inside the access method.
 */
CREATE FUNCTION facematch.last_scan(
	OUT lists bigint, OUT pages bigint, OUT sketches bigint,
	OUT refined bigint, OUT measured bigint, OUT returned bigint)
	RETURNS record LANGUAGE C VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'facematch_last_scan';
COMMENT ON FUNCTION facematch.last_scan() IS
	'what this session''s last scan of a facematch index did: posting lists and sketch pages read, templates whose sketch was compared, whose refinement code was compared, who were read from the table and compared exactly, and rows handed to the executor';

/* In the manner of pgstattuple. */
CREATE FUNCTION facematch.index_stats(index regclass, count_dead boolean DEFAULT false,
	OUT version integer, OUT index_size bigint, OUT lists bigint, OUT templates bigint, OUT null_embeddings bigint,
	OUT dead bigint, OUT slots bigint, OUT free_slots bigint, OUT fill_percent double precision,
	OUT directory_pages bigint, OUT centre_pages bigint, OUT sketch_pages bigint, OUT refine_pages bigint,
	OUT free_pages bigint, OUT damaged_pages bigint, OUT sketch_bytes bigint, OUT bytes_per_template double precision)
	RETURNS record LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'facematch_index_stats';
COMMENT ON FUNCTION facematch.index_stats(regclass, boolean) IS
	'what a facematch index holds: version of its pages, size in bytes, posting lists (one for each combination of keys and each model), templates and null embeddings, dead entries that VACUUM has yet to remove (read from the table, only when count_dead is true), slots and how many are free, slots in use in percent, pages by kind (with the one meta page they make the whole index; free ones are reused), bytes that the templates'' sketches alone take (what a search reads at least), index bytes a template. Reads the whole index, without keeping anybody from changing it. Errors: 42809 for anything but a facematch index, XX002 for a damaged one';

CREATE FUNCTION facematch.index_epochs(index regclass)
	RETURNS TABLE (epoch integer, dims integer, model integer, sketch_bits integer, refine_bits integer, rotation_seed text,
		centre_length double precision, templates bigint, slots bigint, sketch_pages bigint, refine_pages bigint,
		sketch_bytes integer, refine_bytes integer)
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'facematch_index_epochs';
COMMENT ON FUNCTION facematch.index_epochs(regclass) IS
	'how a facematch index encodes templates, a row for each epoch: dimensions (0: null embeddings) and model tag (0: none), bits a dimension of sketch and refinement code, seed of the random rotation (16 hexadecimal digits; keep it from those who enrol templates, who could choose ones with wide bounds), length of the centre that is subtracted from unit templates (0 to 1; 0: none), templates, slots and pages of the epoch, bytes of one template''s sketch and refinement code. Errors as of index_stats';

REVOKE ALL ON FUNCTION facematch.index_stats(regclass, boolean), facematch.index_epochs(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION facematch.index_stats(regclass, boolean) TO pg_stat_scan_tables;

/* In the manner of amcheck. */
CREATE FUNCTION facematch.index_check(index regclass, heapallindexed boolean DEFAULT false)
	RETURNS void LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'facematch_index_check';
COMMENT ON FUNCTION facematch.index_check(regclass, boolean) IS
	'raises XX002 (index_corrupted), with the block, on the first thing that is wrong with a facematch index: pages, directory, chains of posting lists, unreachable pages, slots and the numbers beside codes. Holds AccessShareLock, so that others go on reading, writing and vacuuming. With heapallindexed also compares it with the table under ShareLock, which lets others only read: every row has exactly one entry, in the right posting list, with the very codes that its template gives; no entry has a row that does not exist. Takes 32 bytes of memory a page, and maintenance_work_mem for the table''s rows';

CREATE FUNCTION facematch.index_problems(index regclass, heapallindexed boolean DEFAULT false)
	RETURNS TABLE (block bigint, problem text)
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'facematch_index_problems';
COMMENT ON FUNCTION facematch.index_problems(regclass, boolean) IS
	'everything that index_check would raise, as rows: block number and what is wrong there. A page that the server itself refuses to read, or a damaged meta page, is still an error';

REVOKE ALL ON FUNCTION facematch.index_check(regclass, boolean), facematch.index_problems(regclass, boolean) FROM PUBLIC;
/*
 * Models, galleries and references: the plain tables that everything is about.
 *
 * That a reference is a template of its gallery's model is declared, not
 * programmed: the tag and dimensions of the template are generated columns, and
 * a foreign key demands that they are the gallery's, whose own foreign key
 * demands that they are the model's.  So it holds for COPY, for concurrent
 * sessions at every isolation level, and after a restore; and a model or a
 * gallery cannot be turned into another one under its references.
 */

CREATE FUNCTION facematch.is_name(value text) RETURNS boolean
	LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF length(value) NOT BETWEEN 1 AND 200 OR value ~ '^[[:space:]]|[[:space:]]$|[[:cntrl:]]' THEN
		RETURN false;
	END IF;
	-- Normal forms are defined for Unicode only, and the test is an error in another encoding.
	RETURN CASE WHEN getdatabaseencoding() = 'UTF8' THEN value IS NFC NORMALIZED ELSE true END;
END
$$;
COMMENT ON FUNCTION facematch.is_name(text) IS
	'whether a text can be a name: 1 to 200 characters, no white space at the ends, no control characters, Unicode normal form C; so that names that look the same are the same';

---------------------------------------------------------------- models

CREATE TABLE facematch.model (
	name		text NOT NULL CONSTRAINT model_name_is_a_name CHECK (facematch.is_name(name)),
	tag			smallint NOT NULL CONSTRAINT model_tag_range CHECK (tag >= 1),
	dims		smallint NOT NULL CONSTRAINT model_dims_range CHECK (dims BETWEEN 1 AND 4000),
	created_at	timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT model_pkey PRIMARY KEY (name),
	CONSTRAINT model_tag_key UNIQUE (tag),
	CONSTRAINT model_name_tag_dims_key UNIQUE (name, tag, dims)
);
COMMENT ON TABLE facematch.model IS 'face recognition algorithms, one row for each version whose templates cannot be compared with another''s';
COMMENT ON COLUMN facematch.model.name IS 'name and version of the algorithm';
COMMENT ON COLUMN facematch.model.tag IS 'the number that templates of this model carry, 1 to 32767; cannot change while a gallery with references uses the model';
COMMENT ON COLUMN facematch.model.dims IS 'number of components of a template, 1 to 4000; cannot change while a gallery with references uses the model';
COMMENT ON COLUMN facematch.model.created_at IS 'when the row was made';

---------------------------------------------------------------- galleries

CREATE TABLE facematch.gallery_kind (
	name		text NOT NULL CONSTRAINT gallery_kind_name_is_a_name CHECK (facematch.is_name(name)),
	description	text NOT NULL,
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT gallery_kind_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE facematch.gallery_kind IS 'what a gallery can be for; a site adds its own rows';
COMMENT ON COLUMN facematch.gallery_kind.name IS 'the word that gallery.kind uses';
COMMENT ON COLUMN facematch.gallery_kind.description IS 'what such a gallery holds and when it is searched';
COMMENT ON COLUMN facematch.gallery_kind.shipped IS 'true for the rows that come with the extension, which a dump leaves to it';

INSERT INTO facematch.gallery_kind (name, description, shipped) VALUES
	('flight', 'the travelers on a flight''s manifest, searched at boarding or arrival', true),
	('cruise', 'the travelers on a ship''s manifest, searched at debarkation', true),
	('crossing', 'the frequent crossers of a land port', true),
	('watchlist', 'subjects of interest, searched beside the travelers', true),
	('enrolment', 'people enrolled once and searched over a long time', true);

CREATE TABLE facematch.gallery (
	gallery_id		bigint GENERATED ALWAYS AS IDENTITY,
	name			text NOT NULL CONSTRAINT gallery_name_is_a_name CHECK (facematch.is_name(name)),
	kind			text NOT NULL,
	model			text NOT NULL,
	model_tag		smallint NOT NULL,
	dims			smallint NOT NULL,
	min_similarity	double precision NOT NULL CONSTRAINT gallery_min_similarity_range CHECK (min_similarity BETWEEN -1 AND 1),
	anchor_at		timestamptz CONSTRAINT gallery_anchor_is_finite CHECK (isfinite(anchor_at)),
	created_at		timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT gallery_pkey PRIMARY KEY (gallery_id),
	CONSTRAINT gallery_name_key UNIQUE (name),
	CONSTRAINT gallery_model_key UNIQUE (gallery_id, model_tag, dims),
	CONSTRAINT gallery_kind_exists FOREIGN KEY (kind) REFERENCES facematch.gallery_kind ON UPDATE CASCADE,
	CONSTRAINT gallery_model_exists FOREIGN KEY (model, model_tag, dims)
		REFERENCES facematch.model (name, tag, dims) ON UPDATE CASCADE
);
COMMENT ON TABLE facematch.gallery IS 'sets of references to search: the travelers of a flight, a watchlist';
COMMENT ON COLUMN facematch.gallery.gallery_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.gallery.name IS 'name, unique: by it a search names its gallery';
COMMENT ON COLUMN facematch.gallery.kind IS 'what the gallery is for, a row of facematch.gallery_kind';
COMMENT ON COLUMN facematch.gallery.model IS 'the model of all its templates, a row of facematch.model; cannot become another model while the gallery has references';
COMMENT ON COLUMN facematch.gallery.model_tag IS 'tag of the model, filled in from facematch.model';
COMMENT ON COLUMN facematch.gallery.dims IS 'dimensions of the model, filled in from facematch.model';
COMMENT ON COLUMN facematch.gallery.min_similarity IS 'threshold: the least cosine similarity of a candidate, -1 to 1; choose it for a false match rate of the model in use';
COMMENT ON COLUMN facematch.gallery.anchor_at IS 'the event that retention counts from, such as the departure; NULL if there is none';
COMMENT ON COLUMN facematch.gallery.created_at IS 'when the row was made';
CREATE INDEX gallery_model_idx ON facematch.gallery (model);

CREATE FUNCTION facematch.fill_gallery_model() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT m.tag, m.dims INTO NEW.model_tag, NEW.dims FROM facematch.model m WHERE m.name = NEW.model;
	IF NOT FOUND THEN
		RAISE foreign_key_violation USING
			MESSAGE = format('gallery %L names model %L, which is not there', NEW.name, NEW.model),
			HINT = 'Add the model to facematch.model, with its tag and dimensions, before its first gallery.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch.fill_gallery_model() IS 'trigger: a gallery''s model tag and dimensions are its model''s';

-- Only what a user may set: a new tag or new dimensions come from the model itself, by its foreign key.
CREATE TRIGGER gallery_10_model BEFORE INSERT OR UPDATE OF model ON facematch.gallery
	FOR EACH ROW EXECUTE FUNCTION facematch.fill_gallery_model();
COMMENT ON TRIGGER gallery_10_model ON facematch.gallery IS 'fills in model_tag and dims';

---------------------------------------------------------------- references

-- For a row that breaks a constraint PostgreSQL prints the row, and here that would print a template.  So a trigger looks
-- first, and says what is wrong without it; the constraint is for who gets round triggers.  Both ask this function, which
-- the planner inlines; its body is bound to pg_catalog's functions when it is created, whatever the caller's search_path.
CREATE FUNCTION facematch.reference_fault(gallery_id bigint, subject_id uuid, retention_class text, embedding @extschema@.face_embedding,
										  source text, quality smallint, enrolled_at timestamptz) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE
		WHEN gallery_id IS NULL THEN 'gallery_id is NULL'
		WHEN subject_id IS NULL THEN 'subject_id is NULL'
		WHEN embedding IS NULL THEN 'embedding is NULL'
		WHEN retention_class IS NULL OR retention_class = '' OR retention_class <> btrim(retention_class) THEN 'retention_class is not a name'
		WHEN source IS NULL OR source = '' OR source <> btrim(source) THEN 'source is not a name'
		WHEN quality NOT BETWEEN 0 AND 100 THEN 'quality is outside 0 to 100'
		WHEN enrolled_at IS NULL OR NOT isfinite(enrolled_at) THEN 'enrolled_at is not a moment'
	END;
COMMENT ON FUNCTION facematch.reference_fault(bigint, uuid, text, @extschema@.face_embedding, text, smallint, timestamptz) IS
	'what makes a row of facematch.reference impossible; NULL if nothing does';

CREATE TABLE facematch.reference (
	reference_id	bigint GENERATED ALWAYS AS IDENTITY,
	gallery_id		bigint NOT NULL,
	subject_id		uuid NOT NULL,
	retention_class	text NOT NULL,
	embedding		@extschema@.face_embedding NOT NULL,
	model_tag		smallint NOT NULL GENERATED ALWAYS AS (@extschema@.face_model(embedding)) STORED,
	dims			smallint NOT NULL GENERATED ALWAYS AS (@extschema@.face_dims(embedding)) STORED,
	source			text NOT NULL,
	quality			smallint,
	enrolled_at		timestamptz NOT NULL DEFAULT now(),
	purge_after		timestamptz NOT NULL,
	CONSTRAINT reference_pkey PRIMARY KEY (reference_id),
	CONSTRAINT reference_is_whole CHECK
		(facematch.reference_fault(gallery_id, subject_id, retention_class, embedding, source, quality, enrolled_at) IS NULL),
	CONSTRAINT reference_is_of_its_gallerys_model FOREIGN KEY (gallery_id, model_tag, dims)
		REFERENCES facematch.gallery (gallery_id, model_tag, dims) ON DELETE CASCADE
);
COMMENT ON TABLE facematch.reference IS 'enrolled templates, each in one gallery; a person may have several. Deleting a gallery deletes its references';
COMMENT ON COLUMN facematch.reference.reference_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.reference.gallery_id IS 'the gallery it is searched in';
COMMENT ON COLUMN facematch.reference.subject_id IS 'pseudonym of the person, from facematch.subject_id()';
COMMENT ON COLUMN facematch.reference.retention_class IS 'the class of persons whose retention rules apply, such as us_citizen';
COMMENT ON COLUMN facematch.reference.embedding IS 'the template: of the gallery''s model, which an untagged one is stamped with';
COMMENT ON COLUMN facematch.reference.model_tag IS 'model tag of the template, computed';
COMMENT ON COLUMN facematch.reference.dims IS 'dimensions of the template, computed';
COMMENT ON COLUMN facematch.reference.source IS 'where the photograph came from: passport, visa, earlier encounter…';
COMMENT ON COLUMN facematch.reference.quality IS 'quality of the photograph, 0 to 100, in the manner of ISO/IEC 29794-5; NULL if it was not assessed';
COMMENT ON COLUMN facematch.reference.enrolled_at IS 'when the template was enrolled';
COMMENT ON COLUMN facematch.reference.purge_after IS 'from this moment on the reference is no candidate, whether or not it has been purged; infinity if no deadline applies. Computed from the retention rules; it can be brought nearer, never pushed away';

CREATE INDEX reference_gallery_id_idx ON facematch.reference (gallery_id);
CREATE INDEX reference_subject_id_idx ON facematch.reference (subject_id);
-- What will be due, in the order of a purge.
CREATE INDEX reference_purge_after_idx ON facematch.reference (purge_after) WHERE purge_after < 'infinity';

CREATE FUNCTION facematch.refuse_reference() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE check_violation USING
		MESSAGE = 'the row is no reference: ' || facematch.reference_fault(NEW.gallery_id, NEW.subject_id, NEW.retention_class,
			NEW.embedding, NEW.source, NEW.quality, NEW.enrolled_at),
		HINT = 'The comments on the columns of facematch.reference say what each holds.',
		SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = 'reference_is_whole';
END
$$;
COMMENT ON FUNCTION facematch.refuse_reference() IS 'trigger: refuses an impossible row without printing it';

CREATE TRIGGER reference_00_whole BEFORE INSERT OR UPDATE ON facematch.reference
	FOR EACH ROW WHEN (facematch.reference_fault(NEW.gallery_id, NEW.subject_id, NEW.retention_class,
			NEW.embedding, NEW.source, NEW.quality, NEW.enrolled_at) IS NOT NULL)
	EXECUTE FUNCTION facematch.refuse_reference();
COMMENT ON TRIGGER reference_00_whole ON facematch.reference IS 'refuses impossible rows without printing them';

CREATE FUNCTION facematch.stamp_reference_model() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tag smallint := (SELECT g.model_tag FROM facematch.gallery g WHERE g.gallery_id = NEW.gallery_id);
BEGIN
	-- Without a gallery the foreign key refuses the row, and says it better.
	IF tag IS NOT NULL THEN
		NEW.embedding := @extschema@.face_with_model(NEW.embedding, tag);
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch.stamp_reference_model() IS 'trigger: gives an untagged template the tag of its gallery''s model';

CREATE TRIGGER reference_10_model BEFORE INSERT OR UPDATE OF gallery_id, embedding ON facematch.reference
	FOR EACH ROW WHEN (@extschema@.face_model(NEW.embedding) = 0)
	EXECUTE FUNCTION facematch.stamp_reference_model();
COMMENT ON TRIGGER reference_10_model ON facematch.reference IS 'stamps untagged templates';

---------------------------------------------------------------- dumps

-- Rows are the users', not the extension's: pg_dump carries them, and the identities go on from where they were.
SELECT pg_catalog.pg_extension_config_dump('facematch.model', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.gallery_kind', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('facematch.gallery', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.gallery_gallery_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.reference', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.reference_reference_id_seq', '');
/*
 * Pseudonyms: a person is known by a keyed hash of a travel document, never by
 * the document.
 *
 * subject_id = the first 128 bits of HMAC-SHA256(key, normalised document), of
 * which RFC 9562 takes 6 to mark a UUID of version 8.  Among a billion documents
 * the odds of any two sharing a pseudonym are about 1 in 10^19.
 *
 * The key is 256 random bits made by CREATE EXTENSION.  Without it a pseudonym
 * tells nothing about a document; with it, every document number can be tried.
 * So no role but a superuser reads it: the table grants nothing, and row
 * security without a policy hides the row from pg_read_all_data too.  The key
 * is part of a superuser's dump, because a restored database must go on giving
 * the same pseudonyms; docs/pseudonyms.md says how to keep the two apart.
 */

CREATE TABLE facematch.pseudonym_key (
	key_id		uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
	key			bytea NOT NULL CONSTRAINT pseudonym_key_is_256_bits CHECK (octet_length(key) = 32),
	created_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT pseudonym_key_pkey PRIMARY KEY (key_id)
);
COMMENT ON TABLE facematch.pseudonym_key IS
	'the secret of the pseudonyms: the oldest row is the key in use, so that a restored key takes the place of the one a fresh CREATE EXTENSION made. For superusers only';
COMMENT ON COLUMN facematch.pseudonym_key.key_id IS 'identifier, random';
COMMENT ON COLUMN facematch.pseudonym_key.key IS '256 random bits, the key of HMAC-SHA256';
COMMENT ON COLUMN facematch.pseudonym_key.created_at IS 'when the key was made';
ALTER TABLE facematch.pseudonym_key ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON facematch.pseudonym_key FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('facematch.pseudonym_key', '');

-- pgcrypto may stand in any schema: its functions are named by the schema that its own catalogue entry gives.
DO $install$
DECLARE
	pgcrypto name := (SELECT n.nspname FROM pg_catalog.pg_extension e
					  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
					  WHERE e.extname OPERATOR(pg_catalog.=) 'pgcrypto');
BEGIN
	EXECUTE pg_catalog.format('INSERT INTO facematch.pseudonym_key (key) VALUES (%I.gen_random_bytes(32))', pgcrypto);
	-- An SQL-standard body keeps the function it found, wherever pgcrypto moves.
	EXECUTE pg_catalog.format($create$
		CREATE FUNCTION facematch.keyed_hash(value bytea) RETURNS bytea
			LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
		BEGIN ATOMIC
			SELECT %I.hmac(value, k.key, 'sha256'::text) FROM facematch.pseudonym_key k ORDER BY k.created_at, k.key_id LIMIT 1;
		END
		$create$, pgcrypto);
END
$install$;
COMMENT ON FUNCTION facematch.keyed_hash(bytea) IS 'HMAC-SHA256 of a value with the key of the pseudonyms; for subject_id() only';
REVOKE ALL ON FUNCTION facematch.keyed_hash(bytea) FROM PUBLIC;

CREATE FUNCTION facematch.normal_document_part(value text, what text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	folded text := value;
BEGIN
	IF getdatabaseencoding() = 'UTF8' THEN
		folded := normalize(folded, NFKC);
	END IF;
	-- Capitals of ASCII only, so that the answer is the same under every locale; then the letters and digits that a
	-- machine-readable zone can hold: spaces, hyphens and its filler '<' differ between a page and its zone.
	folded := regexp_replace(upper(folded COLLATE "C"), '[ -/:-@\[-`{-~[:space:]]', '', 'g');
	IF folded IS NULL OR folded = '' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('the %s of a document is missing or empty', what),
			HINT = 'A pseudonym is made from issuing country, kind and number of a travel document.';
	ELSIF folded COLLATE "C" !~ '^[A-Z0-9]+$' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('the %s of a document has characters other than letters A to Z and digits', what),
			HINT = 'Give it as the machine-readable zone has it: ICAO Doc 9303 transliterates other letters.';
	END IF;
	RETURN folded;
END
$$;
COMMENT ON FUNCTION facematch.normal_document_part(text, text) IS
	'one form for all ways of writing a part of a document: Unicode NFKC, capitals, letters and digits only. Empty or other letters: 22023; the message does not repeat the value';

CREATE FUNCTION facematch.subject_id(country text, doc_type text, doc_number text) RETURNS uuid
	LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- The separator is no character of a part: different documents cannot run together into one text.
	document text := concat_ws('<',
		facematch.normal_document_part(country, 'country'),
		facematch.normal_document_part(doc_type, 'kind'),
		facematch.normal_document_part(doc_number, 'number'));
	hash bytea := substring(facematch.keyed_hash(convert_to(document, 'UTF8')) FROM 1 FOR 16);
BEGIN
	IF hash IS NULL THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = 'there is no key to make pseudonyms with',
			HINT = 'Restore the row of facematch.pseudonym_key that this database had.';
	END IF;
	hash := set_byte(hash, 6, get_byte(hash, 6) & 15 | 128);	-- version 8
	hash := set_byte(hash, 8, get_byte(hash, 8) & 63 | 128);	-- the variant of RFC 9562
	RETURN encode(hash, 'hex')::uuid;
END
$$;
COMMENT ON FUNCTION facematch.subject_id(text, text, text) IS
	'pseudonym of the holder of a travel document: the same for all ways of writing it, useless without the key. Whoever may call it can try document numbers, so it is granted to nobody. Empty parts and letters other than A to Z: 22023';
REVOKE ALL ON FUNCTION facematch.subject_id(text, text, text) FROM PUBLIC;
/*
 * Identification (1:N) and verification (1:1) over galleries and references.
 *
 * Both are exact.  Every operator is named with its schema and the search path
 * is pinned, so nobody's settings change what a search compares.  The time that
 * decides whether a reference is due is the clock's, not the transaction's
 * start: a gate that keeps a transaction open gains nothing by it.
 */

-- What is wrong with a probe or a threshold is said before anything is compared, so that an empty gallery says it too.
CREATE FUNCTION facematch.check_comparison(probe @extschema@.face_embedding, gallery facematch.gallery,
										   min_similarity double precision) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF probe IS NULL THEN
		RAISE null_value_not_allowed USING
			MESSAGE = 'there is no probe to compare',
			HINT = 'A capture that gave no template is a failure to acquire, not a search without candidates.';
	ELSIF @extschema@.face_model(probe) NOT IN (0, gallery.model_tag) THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('the probe is of model %s, but gallery %L is of model %s', @extschema@.face_model(probe), gallery.name, gallery.model_tag),
			HINT = format('Make the template with model %L.', gallery.model);
	ELSIF @extschema@.face_dims(probe) <> gallery.dims THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('the probe has %s dimensions, but gallery %L has %s', @extschema@.face_dims(probe), gallery.name, gallery.dims),
			HINT = format('Make the template with model %L.', gallery.model);
	ELSIF min_similarity NOT BETWEEN -1 AND 1 THEN
		RAISE numeric_value_out_of_range USING
			MESSAGE = format('min_similarity is %s', min_similarity),
			HINT = 'A threshold is a cosine similarity, -1 to 1.';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.check_comparison(@extschema@.face_embedding, facematch.gallery, double precision) IS
	'refuses what cannot be compared: no probe (22004), another model or other dimensions than the gallery''s (22023), a threshold outside -1 to 1 (22003)';

CREATE FUNCTION facematch.identify(probe @extschema@.face_embedding, gallery text, max_candidates integer DEFAULT 10,
								   min_similarity double precision DEFAULT NULL)
	RETURNS TABLE (rank integer, reference_id bigint, subject_id uuid, similarity double precision)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10
	SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
	searched facematch.gallery;
	threshold double precision;
	moment timestamptz := clock_timestamp();
BEGIN
	SELECT g.* INTO searched FROM facematch.gallery g WHERE g.name = identify.gallery;
	IF NOT FOUND THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no gallery %L', gallery),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	ELSIF max_candidates < 1 OR max_candidates IS NULL THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('max_candidates is %s', coalesce(max_candidates::text, 'NULL')),
			HINT = 'Ask for at least one candidate.';
	END IF;
	threshold := coalesce(identify.min_similarity, searched.min_similarity);
	PERFORM facematch.check_comparison(probe, searched, threshold);

	-- Planned once a session: planning it for each search would cost more than searching a flight.
	-- The inner query is what an index can answer.  WITH TIES keeps all that are equally far at the end of the list, and the
	-- outer one puts ties in order of reference_id: the same list every time, whatever the plan.
	RETURN QUERY
	SELECT row_number() OVER (ORDER BY c.distance, c.reference_id)::integer, c.reference_id, c.subject_id, c.similarity
	FROM (SELECT r.reference_id, r.subject_id, @extschema@.face_similarity(r.embedding, probe) AS similarity,
				 r.embedding OPERATOR(@extschema@.<=>) probe AS distance
		  FROM facematch.reference r
		  WHERE r.gallery_id = searched.gallery_id
			AND @extschema@.face_match(r.embedding, probe, threshold)
			AND r.purge_after > moment
		  ORDER BY r.embedding OPERATOR(@extschema@.<=>) probe
		  FETCH FIRST max_candidates ROWS WITH TIES) c
	ORDER BY c.distance, c.reference_id
	LIMIT max_candidates;
END
$$;
COMMENT ON FUNCTION facematch.identify(@extschema@.face_embedding, text, integer, double precision) IS
	'identification, 1:N: the candidate list of a gallery by name, most similar first, at most max_candidates, each with a cosine similarity of at least min_similarity (the gallery''s, unless given). Exact; ties in order of reference_id; a due reference is no candidate. No row: no candidate. No such gallery: P0002; another model''s probe or max_candidates below 1: 22023; threshold outside -1 to 1: 22003; NULL probe: 22004';

CREATE FUNCTION facematch.verify(probe @extschema@.face_embedding, reference_id bigint, min_similarity double precision DEFAULT NULL)
	RETURNS TABLE (match boolean, similarity double precision, threshold double precision, subject_id uuid)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	reference facematch.reference;
	compared facematch.gallery;
BEGIN
	SELECT r.* INTO reference FROM facematch.reference r
	WHERE r.reference_id = verify.reference_id AND r.purge_after > clock_timestamp();
	IF NOT FOUND THEN
		IF probe IS NULL THEN
			PERFORM facematch.check_comparison(probe, NULL, NULL);
		END IF;
		match := false;
		RETURN NEXT;
		RETURN;
	END IF;
	SELECT g.* INTO STRICT compared FROM facematch.gallery g WHERE g.gallery_id = reference.gallery_id;
	threshold := coalesce(verify.min_similarity, compared.min_similarity);
	PERFORM facematch.check_comparison(probe, compared, threshold);
	similarity := @extschema@.face_similarity(reference.embedding, probe);
	match := similarity >= threshold;
	subject_id := reference.subject_id;
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION facematch.verify(@extschema@.face_embedding, bigint, double precision) IS
	'verification, 1:1: whether the probe''s cosine similarity to one reference is at least the threshold (the gallery''s, unless given). Always one row; with no such reference, or one that is due, match is false and the rest NULL. Errors as identify()';
/*
 * The log: events in a hash chain, and receipts for rows that went.
 *
 * Each event's hash covers the event and the hash before it, so that a change
 * in the middle shows, and a second row after the same predecessor is refused.
 * Numbers have no gaps.  Neither table holds a template or a document number.
 */

CREATE TABLE facematch.audit_event (
	event_id	bigint NOT NULL,
	at			timestamptz NOT NULL,
	actor		text NOT NULL,
	action		text NOT NULL,
	detail		jsonb NOT NULL,
	previous	bytea NOT NULL,
	hash		bytea NOT NULL,
	CONSTRAINT audit_event_pkey PRIMARY KEY (event_id),
	CONSTRAINT audit_event_follows_one UNIQUE (previous)
);
COMMENT ON TABLE facematch.audit_event IS 'what was done to deadlines, opt-outs and holds beyond what their own rows say; a hash chain, rows are never changed';
COMMENT ON COLUMN facematch.audit_event.event_id IS 'number, from 1, without gaps';
COMMENT ON COLUMN facematch.audit_event.at IS 'when it happened';
COMMENT ON COLUMN facematch.audit_event.actor IS 'the session''s user';
COMMENT ON COLUMN facematch.audit_event.action IS 'what happened, such as deadline_lengthened';
COMMENT ON COLUMN facematch.audit_event.detail IS 'particulars; never a template';
COMMENT ON COLUMN facematch.audit_event.previous IS 'hash of the event before; of the first, 32 zero bytes';
COMMENT ON COLUMN facematch.audit_event.hash IS 'SHA-256 of facematch.audit_content() of the row';

CREATE FUNCTION facematch.audit_content(event facematch.audit_event) RETURNS bytea
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT event.previous || convert_to(jsonb_build_array(event.event_id, extract(epoch FROM event.at)::text, event.actor, event.action,
														  event.detail)::text, 'UTF8')
$$;
COMMENT ON FUNCTION facematch.audit_content(facematch.audit_event) IS 'the bytes that an event''s hash is of: the hash before it, then number, seconds since 1970, actor, action and detail as JSON in UTF-8';

CREATE FUNCTION facematch.write_audit(action text, detail jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	event facematch.audit_event;
BEGIN
	-- One writer at a time, until it commits: the next event needs this one's hash.
	LOCK TABLE facematch.audit_event IN SHARE ROW EXCLUSIVE MODE;
	SELECT * INTO event FROM facematch.audit_event e ORDER BY e.event_id DESC LIMIT 1;
	event := ROW(coalesce(event.event_id, 0) + 1, clock_timestamp(), session_user, write_audit.action, write_audit.detail,
				 coalesce(event.hash, decode(repeat('00', 32), 'hex')), NULL);
	event.hash := sha256(facematch.audit_content(event));
	INSERT INTO facematch.audit_event SELECT event.*;
END
$$;
COMMENT ON FUNCTION facematch.write_audit(text, jsonb) IS 'appends an event to the log; for the extension''s own functions';
REVOKE ALL ON FUNCTION facematch.write_audit(text, jsonb) FROM PUBLIC;

CREATE FUNCTION facematch.verify_audit() RETURNS TABLE (intact boolean, events bigint, first_broken bigint)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT count(broken) = 0, count(*), min(broken)
	FROM (SELECT CASE WHEN e.event_id = row_number() OVER w
						   AND e.previous = lag(e.hash, 1, decode(repeat('00', 32), 'hex')) OVER w
						   AND e.hash = sha256(facematch.audit_content(e))
					  THEN NULL ELSE e.event_id END AS broken
		  FROM facematch.audit_event e WINDOW w AS (ORDER BY e.event_id)) checked
$$;
COMMENT ON FUNCTION facematch.verify_audit() IS
	'whether the log is whole: every event hashes to what it says and follows the one before. Always one row; first_broken is the number of the first event that does not. Events cut off at the end do not show: keep the last hash elsewhere';
REVOKE ALL ON FUNCTION facematch.verify_audit() FROM PUBLIC;

CREATE TABLE facematch.purge_receipt (
	receipt_id		bigint GENERATED ALWAYS AS IDENTITY,
	purged_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	cause			text NOT NULL CONSTRAINT purge_receipt_cause_is_known CHECK (cause IN ('retention', 'opt_out')),
	table_name		text NOT NULL,
	retention_class	text,
	rule			text,
	rows_purged		bigint NOT NULL,
	rows_held		bigint NOT NULL DEFAULT 0,
	earliest_due	timestamptz,
	latest_due		timestamptz,
	lateness		interval GENERATED ALWAYS AS (purged_at - earliest_due) STORED,
	actor			text NOT NULL DEFAULT session_user,
	CONSTRAINT purge_receipt_pkey PRIMARY KEY (receipt_id)
);
COMMENT ON TABLE facematch.purge_receipt IS 'one row for each batch and class of rows that went; rows are never changed';
COMMENT ON COLUMN facematch.purge_receipt.receipt_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.purge_receipt.purged_at IS 'when the rows were deleted';
COMMENT ON COLUMN facematch.purge_receipt.cause IS 'retention (the rows were due) or opt_out';
COMMENT ON COLUMN facematch.purge_receipt.table_name IS 'the table they were in';
COMMENT ON COLUMN facematch.purge_receipt.retention_class IS 'their retention class; NULL for an opt-out';
COMMENT ON COLUMN facematch.purge_receipt.rule IS 'the retention rule of that class at the time of the purge; NULL for an opt-out';
COMMENT ON COLUMN facematch.purge_receipt.rows_purged IS 'how many rows were deleted, or had their template cleared';
COMMENT ON COLUMN facematch.purge_receipt.rows_held IS 'how many rows of an opt-out a hold kept: they are due, and purged when the hold ends';
COMMENT ON COLUMN facematch.purge_receipt.earliest_due IS 'deadline of the row that was due longest; NULL for an opt-out';
COMMENT ON COLUMN facematch.purge_receipt.latest_due IS 'deadline of the row that was due last; NULL for an opt-out';
COMMENT ON COLUMN facematch.purge_receipt.lateness IS 'how long after earliest_due the rows were deleted; they were no candidates meanwhile';
COMMENT ON COLUMN facematch.purge_receipt.actor IS 'the session''s user';

CREATE FUNCTION facematch.refuse_change() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE integrity_constraint_violation USING
		MESSAGE = format('%s of %I is refused', lower(TG_OP), TG_TABLE_NAME),
		DETAIL = CASE TG_OP WHEN 'TRUNCATE' THEN 'It would pass by holds and receipts.' ELSE 'Its rows are a record.' END,
		HINT = CASE TG_OP WHEN 'TRUNCATE' THEN 'DELETE rows, or CALL facematch.purge() for what is due.' ELSE 'Nothing but the extension''s own functions writes it.' END;
END
$$;
COMMENT ON FUNCTION facematch.refuse_change() IS 'trigger: refuses what it is put on (23000)';

CREATE TRIGGER audit_event_10_is_a_record BEFORE UPDATE OR DELETE ON facematch.audit_event
	FOR EACH ROW EXECUTE FUNCTION facematch.refuse_change();
CREATE TRIGGER audit_event_20_is_a_record BEFORE TRUNCATE ON facematch.audit_event
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
CREATE TRIGGER purge_receipt_10_is_a_record BEFORE UPDATE OR DELETE ON facematch.purge_receipt
	FOR EACH ROW EXECUTE FUNCTION facematch.refuse_change();
CREATE TRIGGER purge_receipt_20_is_a_record BEFORE TRUNCATE ON facematch.purge_receipt
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.audit_event ENABLE ALWAYS TRIGGER audit_event_10_is_a_record, ENABLE ALWAYS TRIGGER audit_event_20_is_a_record;
ALTER TABLE facematch.purge_receipt ENABLE ALWAYS TRIGGER purge_receipt_10_is_a_record, ENABLE ALWAYS TRIGGER purge_receipt_20_is_a_record;

SELECT pg_catalog.pg_extension_config_dump('facematch.audit_event', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.purge_receipt', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.purge_receipt_receipt_id_seq', '');
/*
 * How long things are kept: classes of persons and dated rules.
 *
 * A rule counts from events: its terms are pairs of an anchor and an interval,
 * of which the earliest (or the latest) decides; the fallback applies while the
 * anchor has not come.  Days and months are counted in UTC.  Where several rules
 * of a class and kind of row are in force, the one that took force last applies.
 */

CREATE TABLE facematch.retention_class (
	name		text NOT NULL CONSTRAINT retention_class_name_is_a_name CHECK (facematch.is_name(name)),
	description	text NOT NULL,
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT retention_class_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE facematch.retention_class IS 'classes of persons and things that the law keeps for different times; a site adds its own';
COMMENT ON COLUMN facematch.retention_class.name IS 'the word that references, encounters and galleries use';
COMMENT ON COLUMN facematch.retention_class.description IS 'who is in the class';
COMMENT ON COLUMN facematch.retention_class.shipped IS 'true for the rows that come with the extension, which a dump leaves to it';

CREATE TABLE facematch.event_kind (
	name		text NOT NULL CONSTRAINT event_kind_name_is_a_name CHECK (facematch.is_name(name)),
	description	text NOT NULL,
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT event_kind_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE facematch.event_kind IS 'events that a deadline can count from; a site adds its own, and records them in facematch.anchor_event';
COMMENT ON COLUMN facematch.event_kind.name IS 'the word that rules use as an anchor';
COMMENT ON COLUMN facematch.event_kind.description IS 'what has to happen';
COMMENT ON COLUMN facematch.event_kind.shipped IS 'true for the rows that come with the extension, which a dump leaves to it';

CREATE TABLE facematch.retention_rule (
	name			text NOT NULL CONSTRAINT retention_rule_name_is_a_name CHECK (facematch.is_name(name)),
	retention_class	text NOT NULL,
	what			text NOT NULL CONSTRAINT retention_rule_what_is_a_name CHECK (facematch.is_name(what)),
	anchors			text[] NOT NULL,
	keep			interval[] NOT NULL,
	take			text NOT NULL DEFAULT 'earliest' CONSTRAINT retention_rule_take_is_known CHECK (take IN ('earliest', 'latest')),
	fallback_anchor	text,
	fallback_keep	interval CONSTRAINT retention_rule_fallback_not_negative CHECK (fallback_keep >= interval '0'),
	notice_before	interval CONSTRAINT retention_rule_notice_not_negative CHECK (notice_before >= interval '0'),
	follows_anchor	boolean NOT NULL DEFAULT false,
	lengthens		boolean NOT NULL DEFAULT false,
	citation		text NOT NULL CONSTRAINT retention_rule_is_cited CHECK (citation <> ''),
	valid_from		timestamptz NOT NULL DEFAULT now(),
	valid_to		timestamptz NOT NULL DEFAULT 'infinity',
	shipped			boolean NOT NULL DEFAULT false,
	CONSTRAINT retention_rule_pkey PRIMARY KEY (name),
	CONSTRAINT retention_rule_class_exists FOREIGN KEY (retention_class) REFERENCES facematch.retention_class ON UPDATE RESTRICT,
	CONSTRAINT retention_rule_terms_are_pairs CHECK (cardinality(anchors) = cardinality(keep) AND cardinality(anchors) <= 8
		AND array_ndims(anchors) IS NOT DISTINCT FROM array_ndims(keep)
		AND array_position(anchors, NULL) IS NULL AND array_position(keep, NULL) IS NULL),
	CONSTRAINT retention_rule_keeps_not_negative CHECK (interval '0' <= ALL (keep)),
	CONSTRAINT retention_rule_fallback_is_whole CHECK ((fallback_anchor IS NULL) = (fallback_keep IS NULL)),
	CONSTRAINT retention_rule_validity CHECK (valid_from < valid_to)
);
COMMENT ON TABLE facematch.retention_rule IS 'how long rows are kept: class × what is kept × dates. Once in force, a rule can only be ended; a site''s own rules are dumped';
COMMENT ON COLUMN facematch.retention_rule.name IS 'name of the rule; the shipped ones begin with their authority';
COMMENT ON COLUMN facematch.retention_rule.retention_class IS 'whom it is about, a row of facematch.retention_class';
COMMENT ON COLUMN facematch.retention_rule.what IS 'what is kept: reference, encounter, gallery, or the word that facematch.retain() was given';
COMMENT ON COLUMN facematch.retention_rule.anchors IS 'events that the deadline counts from, rows of facematch.event_kind; none: no deadline';
COMMENT ON COLUMN facematch.retention_rule.keep IS 'for each anchor, how long after it; days and months in UTC';
COMMENT ON COLUMN facematch.retention_rule.take IS 'earliest: of the anchors that have come, the first deadline; latest: the last one, once all have come';
COMMENT ON COLUMN facematch.retention_rule.fallback_anchor IS 'what to count from while no anchor has come; NULL: no deadline until then';
COMMENT ON COLUMN facematch.retention_rule.fallback_keep IS 'how long after the fallback anchor';
COMMENT ON COLUMN facematch.retention_rule.notice_before IS 'how long before the deadline facematch.due_soon() lists the row, where the law demands advance notice';
COMMENT ON COLUMN facematch.retention_rule.follows_anchor IS 'whether an anchor that moves away (a delayed departure) takes the deadline of rows that are not due along; logged';
COMMENT ON COLUMN facematch.retention_rule.lengthens IS 'whether the rule applies to rows that exist even where it is longer; logged. Of several such rules for the same rows, give each a statement of its own. Without it, only rows recorded from valid_from on are kept longer';
COMMENT ON COLUMN facematch.retention_rule.citation IS 'the law or notice that says so';
COMMENT ON COLUMN facematch.retention_rule.valid_from IS 'from when it applies; rows that exist then and would be kept longer come nearer at that moment';
COMMENT ON COLUMN facematch.retention_rule.valid_to IS 'until when rows that are recorded fall under it';
COMMENT ON COLUMN facematch.retention_rule.shipped IS 'true for the rows that come with the extension, which a dump leaves to it';
CREATE INDEX retention_rule_class_idx ON facematch.retention_rule (retention_class);

-- pg_dump loads an extension's tables in order of their names where no foreign key says otherwise: the events of subjects
-- have to be there before the rows whose deadlines count from them.
CREATE TABLE facematch.anchor_event (
	event_id	bigint GENERATED ALWAYS AS IDENTITY,
	subject_id	uuid NOT NULL,
	event		text NOT NULL,
	occurred_at	timestamptz NOT NULL DEFAULT clock_timestamp() CONSTRAINT anchor_event_occurred_is_finite CHECK (isfinite(occurred_at)),
	CONSTRAINT anchor_event_pkey PRIMARY KEY (event_id),
	CONSTRAINT anchor_event_kind_exists FOREIGN KEY (event) REFERENCES facematch.event_kind ON UPDATE RESTRICT
);
COMMENT ON TABLE facematch.anchor_event IS 'events in a subject''s life that deadlines count from, such as an exit; of several of a kind the latest counts';
COMMENT ON COLUMN facematch.anchor_event.event_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.anchor_event.subject_id IS 'pseudonym of the person';
COMMENT ON COLUMN facematch.anchor_event.event IS 'what happened, a row of facematch.event_kind';
COMMENT ON COLUMN facematch.anchor_event.occurred_at IS 'when; may lie ahead, such as the end of an authorised stay';
CREATE INDEX anchor_event_subject_idx ON facematch.anchor_event (subject_id, event, occurred_at);

INSERT INTO facematch.event_kind (name, description, shipped) VALUES
	('recorded', 'the photograph was taken, or the template enrolled', true),
	('verification', 'the person''s identity was verified', true),
	('gallery_anchor', 'the event the gallery is for, such as the departure: gallery.anchor_at', true),
	('exit', 'the person left the territory', true),
	('stay_expiry', 'the person''s authorised stay ends', true);

INSERT INTO facematch.retention_class (name, description, shipped) VALUES
	('us_citizen', 'citizens of the United States', true),
	('exempt_alien', 'aliens exempt from biometric collection', true),
	('noncitizen', 'in-scope noncitizens', true),
	('unmatched', 'persons at a gate whose identity no comparison has shown', true),
	('watchlist', 'subjects of interest', true),
	('gallery', 'galleries themselves', true);

INSERT INTO facematch.retention_rule
	(name, retention_class, what, anchors, keep, fallback_anchor, fallback_keep, follows_anchor, citation, valid_from, shipped) VALUES
	('cbp/us_citizen/encounter', 'us_citizen', 'encounter', '{verification}', '{12 hours}', 'recorded', '12 hours', false,
	 'CBP Biometrics Privacy Policy (cbp.gov/travel/biometrics/privacy-policy): photographs of U.S. citizens are kept no more than 12 hours after identity verification, for continuity of operations only; DHS/CBP/PIA-056', '-infinity', true),
	('cbp/exempt_alien/encounter', 'exempt_alien', 'encounter', '{verification}', '{12 hours}', 'recorded', '12 hours', false,
	 'CBP Biometric Exit FAQs, footnote 1: biometrically exempt aliens as U.S. citizens, 12 hours', '-infinity', true),
	('cbp/noncitizen/encounter', 'noncitizen', 'encounter', '{verification}', '{14 days}', 'recorded', '14 days', false,
	 'DHS 2024 report on face recognition: in-scope noncitizens up to 14 days in TVS; DHS/CBP/PIA-056', '-infinity', true),
	('cbp/unmatched/encounter', 'unmatched', 'encounter', '{recorded}', '{12 hours}', NULL, NULL, false,
	 'No published rule: the person may be a U.S. citizen, so the shortest clock applies (CBP Biometrics Privacy Policy, 12 hours)', '-infinity', true),
	('cbp/us_citizen/reference', 'us_citizen', 'reference', '{gallery_anchor,recorded}', '{12 hours,14 days}', NULL, NULL, true,
	 'CBP Biometrics Privacy Policy, 12 hours, counted from the departure; at most 14 days after staging. The flight''s galleries are purged on the same clock: to be confirmed against DHS/CBP/PIA-056', '-infinity', true),
	('cbp/exempt_alien/reference', 'exempt_alien', 'reference', '{gallery_anchor,recorded}', '{12 hours,14 days}', NULL, NULL, true,
	 'CBP Biometric Exit FAQs, footnote 1, 12 hours, counted from the departure; at most 14 days after staging', '-infinity', true),
	('cbp/noncitizen/reference', 'noncitizen', 'reference', '{gallery_anchor}', '{14 days}', 'recorded', '14 days', true,
	 'DHS 2024 report on face recognition: in-scope noncitizens up to 14 days in TVS, counted from the departure', '-infinity', true),
	('cbp/watchlist/reference', 'watchlist', 'reference', '{recorded}', '{75 years}', NULL, NULL, false,
	 'DHS IDENT/HART: biometrics of noncitizens up to 75 years', '-infinity', true),
	('cbp/watchlist/encounter', 'watchlist', 'encounter', '{recorded}', '{12 hours}', NULL, NULL, false,
	 'No published rule for a photograph that matched a watchlist: the shortest clock applies (CBP Biometrics Privacy Policy, 12 hours); an inquiry places a hold', '-infinity', true),
	('cbp/gallery', 'gallery', 'gallery', '{gallery_anchor}', '{14 days}', NULL, NULL, true,
	 'The longest clock of the templates in a flight''s gallery, 14 days after the departure (DHS/CBP/PIA-056)', '-infinity', true);

---------------------------------------------------------------- what may be changed

CREATE FUNCTION facematch.check_rule() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	anchor text;
BEGIN
	IF TG_OP <> 'INSERT' AND OLD.shipped THEN
		RAISE integrity_constraint_violation USING
			MESSAGE = format('retention rule %L comes with the extension and cannot be changed', OLD.name),
			HINT = 'Insert a rule for the same class and what: the one that took force last applies.';
	ELSIF TG_OP <> 'INSERT' AND OLD.valid_from <= now() THEN
		IF TG_OP = 'DELETE' THEN
			RAISE integrity_constraint_violation USING
				MESSAGE = format('retention rule %L has taken force and cannot be deleted', OLD.name),
				HINT = 'End it: UPDATE its valid_to, and insert the rule that follows.';
		ELSIF (to_jsonb(NEW) - 'valid_to') IS DISTINCT FROM (to_jsonb(OLD) - 'valid_to') OR NEW.valid_to < least(now(), OLD.valid_to) THEN
			RAISE integrity_constraint_violation USING
				MESSAGE = format('retention rule %L has taken force: only its end can be changed, to a time that has not passed', OLD.name),
				HINT = 'End it: UPDATE its valid_to, and insert the rule that follows.';
		END IF;
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	FOREACH anchor IN ARRAY NEW.anchors || NEW.fallback_anchor LOOP
		IF anchor IS NOT NULL AND NOT EXISTS (SELECT FROM facematch.event_kind k WHERE k.name = anchor) THEN
			RAISE foreign_key_violation USING
				MESSAGE = format('retention rule %L counts from %L, which is no event', NEW.name, anchor),
				HINT = 'facematch.event_kind has the events; add a site''s own there.';
		END IF;
	END LOOP;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch.check_rule() IS 'trigger: a rule counts from known events (23503), and once it has taken force only its end can be changed, and nothing of a shipped one (23000)';
REVOKE ALL ON FUNCTION facematch.check_rule() FROM PUBLIC;

CREATE FUNCTION facematch.rule_changed() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_rule_changed';
COMMENT ON FUNCTION facematch.rule_changed() IS 'trigger: computes the deadlines of rows anew that the rule is about, and tells every session';

CREATE TRIGGER retention_rule_10_check BEFORE INSERT OR UPDATE OR DELETE ON facematch.retention_rule
	FOR EACH ROW EXECUTE FUNCTION facematch.check_rule();
CREATE TRIGGER retention_rule_20_changed AFTER INSERT OR UPDATE OR DELETE ON facematch.retention_rule
	FOR EACH ROW EXECUTE FUNCTION facematch.rule_changed();
CREATE TRIGGER retention_rule_30_truncate BEFORE TRUNCATE ON facematch.retention_rule
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.retention_rule ENABLE ALWAYS TRIGGER retention_rule_10_check,
	ENABLE ALWAYS TRIGGER retention_rule_20_changed, ENABLE ALWAYS TRIGGER retention_rule_30_truncate;

CREATE FUNCTION facematch.event_happened() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_event_happened';
COMMENT ON FUNCTION facematch.event_happened() IS 'trigger: computes the deadlines of the subject''s rows anew';

CREATE TRIGGER anchor_event_10_is_a_record BEFORE UPDATE ON facematch.anchor_event
	FOR EACH ROW EXECUTE FUNCTION facematch.refuse_change();
CREATE TRIGGER anchor_event_20_happened AFTER INSERT ON facematch.anchor_event
	FOR EACH ROW EXECUTE FUNCTION facematch.event_happened();
ALTER TABLE facematch.anchor_event ENABLE ALWAYS TRIGGER anchor_event_10_is_a_record,
	ENABLE ALWAYS TRIGGER anchor_event_20_happened;

SELECT pg_catalog.pg_extension_config_dump('facematch.retention_class', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('facematch.event_kind', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('facematch.retention_rule', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('facematch.anchor_event', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.anchor_event_event_id_seq', '');
/*
 * The tables under retention, and the guard before each of their rows
 * (src/retention/guard.c).
 */

CREATE TABLE facematch.retained (
	table_name		regclass NOT NULL,
	what			text NOT NULL CONSTRAINT retained_what_is_a_name CHECK (facematch.is_name(what)),
	key_column		name NOT NULL,
	class_column	name NOT NULL,
	recorded_column	name NOT NULL,
	subject_column	name,
	template_column	name,
	gallery_column	name,
	verified_column	name,
	anchor_column	name,
	keeps_row		boolean NOT NULL DEFAULT false,
	row_security	boolean NOT NULL DEFAULT false,
	shipped			boolean NOT NULL DEFAULT false,
	CONSTRAINT retained_pkey PRIMARY KEY (table_name)
);
COMMENT ON TABLE facematch.retained IS 'the tables under retention: the extension''s own and those that facematch.retain() attached';
COMMENT ON COLUMN facematch.retained.table_name IS 'the table';
COMMENT ON COLUMN facematch.retained.what IS 'what its rows are to the rules: retention_rule.what';
COMMENT ON COLUMN facematch.retained.key_column IS 'the column that holds name rows by';
COMMENT ON COLUMN facematch.retained.class_column IS 'text column, the retention class';
COMMENT ON COLUMN facematch.retained.recorded_column IS 'timestamptz column, when the row was recorded';
COMMENT ON COLUMN facematch.retained.subject_column IS 'uuid column, the pseudonym; NULL: opt-outs and holds of a subject do not reach the table';
COMMENT ON COLUMN facematch.retained.template_column IS 'the template; NULL: none';
COMMENT ON COLUMN facematch.retained.gallery_column IS 'bigint column, the gallery whose anchor and deadline apply; NULL: none';
COMMENT ON COLUMN facematch.retained.verified_column IS 'timestamptz column, when identity was verified; NULL: none';
COMMENT ON COLUMN facematch.retained.anchor_column IS 'timestamptz column that stands in for a gallery''s anchor; NULL: none';
COMMENT ON COLUMN facematch.retained.keeps_row IS 'whether an opt-out clears the template and leaves the row';
COMMENT ON COLUMN facematch.retained.row_security IS 'whether facematch.retain() turned row security on, so that facematch.release() turns it off';
COMMENT ON COLUMN facematch.retained.shipped IS 'true for the extension''s own tables';
-- A table that was dropped has left its number here, which may be another table's where the dump is restored.
SELECT pg_catalog.pg_extension_config_dump('facematch.retained',
	'WHERE NOT shipped AND table_name::pg_catalog.oid IN (SELECT c.oid FROM pg_catalog.pg_class c)');

CREATE FUNCTION facematch.guard() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_guard';
COMMENT ON FUNCTION facematch.guard() IS
	'trigger before each row of a table under retention: computes purge_after, refuses to push it away (23000), to add a template of a subject who has opted out (23000), a row without a rule (23503), and to delete what is held or to change its key, subject or template (23000)';

CREATE FUNCTION facematch.report_skipped() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_report_skipped';
COMMENT ON FUNCTION facematch.report_skipped() IS 'trigger after each inserting statement: warns of rows that facematch.on_opt_out = skip left out';

CREATE FUNCTION facematch.skipped() RETURNS TABLE (table_name regclass, subject_id uuid, gallery_id bigint)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_skipped';
COMMENT ON FUNCTION facematch.skipped() IS 'rows that this session left out in its last transaction that left out any, because their subjects had opted out';

CREATE FUNCTION facematch.gallery_moved() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_gallery_moved';
COMMENT ON FUNCTION facematch.gallery_moved() IS 'trigger: computes the deadlines of a gallery''s rows anew';

---------------------------------------------------------------- galleries

ALTER TABLE facematch.gallery
	ADD COLUMN retention_class text NOT NULL DEFAULT 'gallery',
	ADD COLUMN retention_rule text NOT NULL,
	ADD COLUMN closed_at timestamptz,
	ADD COLUMN purge_after timestamptz NOT NULL,
	ADD CONSTRAINT gallery_retention_class_exists FOREIGN KEY (retention_class) REFERENCES facematch.retention_class ON UPDATE RESTRICT,
	-- Besides what it says, this makes a dump load the rules before all that they are about.
	ADD CONSTRAINT gallery_retention_rule_exists FOREIGN KEY (retention_rule) REFERENCES facematch.retention_rule ON UPDATE RESTRICT;
COMMENT ON COLUMN facematch.gallery.retention_class IS 'the class whose rules for galleries apply';
COMMENT ON COLUMN facematch.gallery.retention_rule IS 'the rule that gives the deadline, filled in';
COMMENT ON COLUMN facematch.gallery.closed_at IS 'when facematch.close_gallery() ended staging; NULL while it is open';
COMMENT ON COLUMN facematch.gallery.purge_after IS 'from this moment on none of its references is a candidate, and the next purge deletes it; infinity if no deadline applies. Computed from the retention rules';
CREATE INDEX gallery_retention_class_idx ON facematch.gallery (retention_class);
CREATE INDEX gallery_retention_rule_idx ON facematch.gallery (retention_rule);
CREATE INDEX gallery_purge_after_idx ON facematch.gallery (purge_after) WHERE purge_after < 'infinity';

CREATE TRIGGER gallery_20_guard BEFORE INSERT OR UPDATE OR DELETE ON facematch.gallery
	FOR EACH ROW EXECUTE FUNCTION facematch.guard('what=gallery', 'key=gallery_id', 'class=retention_class', 'recorded=created_at',
		'purge=purge_after', 'anchor=anchor_at', 'rule=retention_rule');
CREATE TRIGGER gallery_30_moved AFTER UPDATE ON facematch.gallery
	FOR EACH ROW EXECUTE FUNCTION facematch.gallery_moved();
CREATE TRIGGER gallery_40_truncate BEFORE TRUNCATE ON facematch.gallery
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.gallery ENABLE ALWAYS TRIGGER gallery_20_guard, ENABLE ALWAYS TRIGGER gallery_30_moved,
	ENABLE ALWAYS TRIGGER gallery_40_truncate;

---------------------------------------------------------------- references

CREATE TRIGGER reference_20_guard BEFORE INSERT OR UPDATE OR DELETE ON facematch.reference
	FOR EACH ROW EXECUTE FUNCTION facematch.guard('what=reference', 'key=reference_id', 'class=retention_class', 'recorded=enrolled_at',
		'purge=purge_after', 'subject=subject_id', 'template=embedding', 'gallery=gallery_id');
CREATE TRIGGER reference_30_skipped AFTER INSERT ON facematch.reference
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.report_skipped();
CREATE TRIGGER reference_40_truncate BEFORE TRUNCATE ON facematch.reference
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.reference ENABLE ALWAYS TRIGGER reference_20_guard, ENABLE ALWAYS TRIGGER reference_40_truncate;

-- Due means gone for everyone but the owner, who purges.
ALTER TABLE facematch.reference ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_open ON facematch.reference USING (true) WITH CHECK (true);
CREATE POLICY facematch_due ON facematch.reference AS RESTRICTIVE FOR ALL USING (purge_after > clock_timestamp()) WITH CHECK (true);
COMMENT ON POLICY facematch_open ON facematch.reference IS 'what is granted may be used';
COMMENT ON POLICY facematch_due ON facematch.reference IS 'except rows that are due';

INSERT INTO facematch.retained (table_name, what, key_column, class_column, recorded_column, subject_column, template_column,
								gallery_column, anchor_column, shipped) VALUES
	('facematch.gallery', 'gallery', 'gallery_id', 'retention_class', 'created_at', NULL, NULL, NULL, 'anchor_at', true),
	('facematch.reference', 'reference', 'reference_id', 'retention_class', 'enrolled_at', 'subject_id', 'embedding', 'gallery_id', NULL, true);

---------------------------------------------------------------- classes in use stay

CREATE FUNCTION facematch.keep_class_in_use() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch.retained;
	used boolean;
BEGIN
	IF TG_OP = 'UPDATE' AND NEW.name = OLD.name AND NEW.shipped = OLD.shipped THEN
		RETURN NEW;
	ELSIF OLD.shipped OR TG_OP = 'UPDATE' THEN
		RAISE integrity_constraint_violation USING
			MESSAGE = format('retention class %L cannot be renamed, nor a shipped one deleted', OLD.name),
			HINT = 'Insert a class of another name.';
	END IF;
	FOR t IN SELECT r.* FROM facematch.retained r JOIN pg_class c ON c.oid = r.table_name LOOP
		-- Nobody may be about to add a row of the class.
		EXECUTE format('LOCK TABLE %s IN SHARE MODE', t.table_name);
		EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %I = $1)', t.table_name, t.class_column) INTO used USING OLD.name;
		IF used THEN
			RAISE foreign_key_violation USING
				MESSAGE = format('retention class %L is in use in %s', OLD.name, t.table_name),
				HINT = 'It can go when the last of its rows has been purged.';
		END IF;
	END LOOP;
	RETURN OLD;
END
$$;
COMMENT ON FUNCTION facematch.keep_class_in_use() IS 'trigger: refuses to delete a retention class that rows are in (23503), and to rename one (23000)';
REVOKE ALL ON FUNCTION facematch.keep_class_in_use() FROM PUBLIC;
CREATE TRIGGER retention_class_10_in_use BEFORE UPDATE OR DELETE ON facematch.retention_class
	FOR EACH ROW EXECUTE FUNCTION facematch.keep_class_in_use();
ALTER TABLE facematch.retention_class ENABLE ALWAYS TRIGGER retention_class_10_in_use;

---------------------------------------------------------------- why

CREATE FUNCTION facematch.retention_due(what text, retention_class text, recorded_at timestamptz, verified_at timestamptz,
										anchor_at timestamptz, gallery_id bigint, subject_id uuid,
										OUT rule text, OUT anchor text, OUT anchor_time timestamptz, OUT keep interval,
										OUT due timestamptz, OUT capped boolean, OUT lengthened boolean) RETURNS record
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_retention_due';
COMMENT ON FUNCTION facematch.retention_due(text, text, timestamptz, timestamptz, timestamptz, bigint, uuid) IS
	'the deadline that the rules give for these facts, and the rule: what the guard computes. due is infinity when there is none; capped: the gallery''s own deadline comes first. All NULL: no rule';
REVOKE ALL ON FUNCTION facematch.retention_due(text, text, timestamptz, timestamptz, timestamptz, bigint, uuid) FROM PUBLIC;

CREATE FUNCTION facematch.explain_retention(table_name regclass, row_id text)
	RETURNS TABLE (retention_class text, rule text, citation text, anchor text, anchor_at timestamptz, keep interval,
				   due timestamptz, purge_after timestamptz, is_due boolean, held boolean, explanation text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch.retained;
	facts record;
	reason record;
BEGIN
	SELECT r.* INTO t FROM facematch.retained r
	WHERE r.table_name IN (SELECT pg_partition_ancestors(explain_retention.table_name) UNION ALL SELECT explain_retention.table_name);
	IF NOT FOUND THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('table %s is not under retention', table_name),
			HINT = 'facematch.retain() attaches a table.';
	END IF;
	EXECUTE format('SELECT %I AS class, %I AS recorded, %s AS verified, %s AS anchor, %s AS gallery, %s AS subject, purge_after'
				   ' FROM %s WHERE %I::text = $1',
				   t.class_column, t.recorded_column,
				   coalesce(quote_ident(t.verified_column), 'NULL::timestamptz'), coalesce(quote_ident(t.anchor_column), 'NULL::timestamptz'),
				   coalesce(quote_ident(t.gallery_column), 'NULL::bigint'), coalesce(quote_ident(t.subject_column), 'NULL::uuid'),
				   t.table_name, t.key_column)
		INTO facts USING explain_retention.row_id;
	IF facts.class IS NULL THEN
		RETURN;
	END IF;
	SELECT d.*, r.citation INTO reason
	FROM facematch.retention_due(t.what, facts.class, facts.recorded, facts.verified, facts.anchor, facts.gallery, facts.subject) d
	LEFT JOIN facematch.retention_rule r ON r.name = d.rule;
	retention_class := facts.class;
	rule := reason.rule;
	citation := reason.citation;
	anchor := reason.anchor;
	anchor_at := reason.anchor_time;
	keep := reason.keep;
	due := reason.due;
	purge_after := facts.purge_after;
	is_due := facts.purge_after <= clock_timestamp();
	held := EXISTS (SELECT FROM facematch.hold h
					WHERE h.released_at IS NULL AND (h.until IS NULL OR h.until > clock_timestamp())
					  AND (h.subject_id = facts.subject OR (h.table_name = t.table_name AND h.row_id = explain_retention.row_id)));
	explanation := concat_ws('; ',
		CASE WHEN reason.rule IS NULL THEN 'no rule is in force for the class'
			 WHEN reason.anchor IS NULL THEN format('rule %s: no deadline until its anchor comes', reason.rule)
			 ELSE format('rule %s: %s after %s (%s)', reason.rule, reason.keep, reason.anchor, reason.anchor_time) END,
		CASE WHEN reason.capped THEN 'its gallery goes first' END,
		CASE WHEN reason.lengthened THEN 'a later rule made it longer' END,
		CASE WHEN facts.purge_after < reason.due THEN 'brought nearer: a deadline that came nearer stays' END,
		CASE WHEN is_due THEN 'due: no candidate any more' END,
		CASE WHEN held THEN 'held: not purged while the hold stands' END);
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION facematch.explain_retention(regclass, text) IS
	'why a row is kept and until when: rule, citation, the event it counts from, the deadline the rules give and the one in force. No row: no such row. A table that is not under retention: 22023';
REVOKE ALL ON FUNCTION facematch.explain_retention(regclass, text) FROM PUBLIC;

CREATE FUNCTION facematch.explain_retention(table_name regclass, row_id bigint)
	RETURNS TABLE (retention_class text, rule text, citation text, anchor text, anchor_at timestamptz, keep interval,
				   due timestamptz, purge_after timestamptz, is_due boolean, held boolean, explanation text)
	LANGUAGE sql VOLATILE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT * FROM facematch.explain_retention($1, $2::text)
$$;
COMMENT ON FUNCTION facematch.explain_retention(regclass, bigint) IS 'the same for a row with a number';
REVOKE ALL ON FUNCTION facematch.explain_retention(regclass, bigint) FROM PUBLIC;

---------------------------------------------------------------- receipts name the rule

CREATE FUNCTION facematch.write_receipt(cause text, table_name text, retention_class text, rows_purged bigint, rows_held bigint,
										earliest_due timestamptz, latest_due timestamptz) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO facematch.purge_receipt (cause, table_name, retention_class, rule, rows_purged, rows_held, earliest_due, latest_due)
	SELECT $1, $2, nullif($3, ''),
		   (SELECT r.name FROM facematch.retention_rule r JOIN facematch.retained t USING (what)
			WHERE t.table_name = to_regclass($2) AND r.retention_class = $3
			  AND r.valid_from <= clock_timestamp() AND clock_timestamp() < r.valid_to
			ORDER BY r.valid_from DESC, r.name COLLATE "C" DESC LIMIT 1),
		   $4, $5, nullif($6, '-infinity'), nullif($7, '-infinity')
$$;
COMMENT ON FUNCTION facematch.write_receipt(text, text, text, bigint, bigint, timestamptz, timestamptz) IS
	'writes a receipt; for the extension''s own functions';
REVOKE ALL ON FUNCTION facematch.write_receipt(text, text, text, bigint, bigint, timestamptz, timestamptz) FROM PUBLIC;
/*
 * Opt-outs, exemptions and holds: what a person, a law or a court says about rows.
 */

---------------------------------------------------------------- opt-outs

CREATE TABLE facematch.opt_out (
	opt_out_id	bigint GENERATED ALWAYS AS IDENTITY,
	subject_id	uuid NOT NULL,
	scope		text NOT NULL DEFAULT 'standing' CONSTRAINT opt_out_scope_is_known CHECK (scope IN ('encounter', 'until', 'standing')),
	gallery_id	bigint,
	until		timestamptz,
	alternative	text NOT NULL DEFAULT 'manual document inspection' CONSTRAINT opt_out_alternative_is_said CHECK (alternative <> ''),
	noticed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	recorded_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	recorded_by	text NOT NULL DEFAULT session_user,
	revoked_at	timestamptz,
	CONSTRAINT opt_out_pkey PRIMARY KEY (opt_out_id),
	CONSTRAINT opt_out_encounter_names_its_gallery CHECK ((scope = 'encounter') = (gallery_id IS NOT NULL)),
	CONSTRAINT opt_out_until_names_its_end CHECK ((scope = 'until') = (until IS NOT NULL))
);
COMMENT ON TABLE facematch.opt_out IS 'subjects who decline: their templates go in the inserting transaction, and none can be added while it stands';
COMMENT ON COLUMN facematch.opt_out.opt_out_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.opt_out.subject_id IS 'pseudonym of the person, from facematch.subject_id()';
COMMENT ON COLUMN facematch.opt_out.scope IS 'standing: everywhere until it is revoked; until: everywhere until a date; encounter: at the flight or crossing of one gallery';
COMMENT ON COLUMN facematch.opt_out.gallery_id IS 'the gallery of scope encounter; kept when the gallery is gone';
COMMENT ON COLUMN facematch.opt_out.until IS 'the end of scope until';
COMMENT ON COLUMN facematch.opt_out.alternative IS 'what is done instead of a photograph';
COMMENT ON COLUMN facematch.opt_out.noticed_at IS 'when the person gave notice, in advance or at the gate';
COMMENT ON COLUMN facematch.opt_out.recorded_at IS 'when the row was inserted';
COMMENT ON COLUMN facematch.opt_out.recorded_by IS 'the session''s user who inserted it';
COMMENT ON COLUMN facematch.opt_out.revoked_at IS 'when the person revoked it; NULL while it stands';
CREATE INDEX opt_out_subject_id_idx ON facematch.opt_out (subject_id);
SELECT pg_catalog.pg_extension_config_dump('facematch.opt_out', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.opt_out_opt_out_id_seq', '');

CREATE FUNCTION facematch.keep_opt_out() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		IF OLD.revoked_at IS NULL AND (OLD.until IS NULL OR OLD.until > clock_timestamp()) THEN
			RAISE integrity_constraint_violation USING
				MESSAGE = 'an opt-out that stands cannot be deleted',
				HINT = 'If the person revokes it, UPDATE revoked_at.';
		END IF;
		RETURN OLD;
	ELSIF (to_jsonb(NEW) - 'revoked_at') IS DISTINCT FROM (to_jsonb(OLD) - 'revoked_at') OR OLD.revoked_at IS NOT NULL
		OR NEW.revoked_at > clock_timestamp() THEN
		RAISE integrity_constraint_violation USING
			MESSAGE = 'of an opt-out only revoked_at can be set, once, and not ahead of time',
			HINT = 'Insert another opt-out for another scope.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch.keep_opt_out() IS 'trigger: an opt-out can be revoked, not rewritten, and deleted when it stands no more (23000)';

CREATE FUNCTION facematch.remove_opted_out() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_opted_out';
COMMENT ON FUNCTION facematch.remove_opted_out() IS 'trigger: removes the subject''s templates from every table under retention; held ones become due';

CREATE TRIGGER opt_out_10_keep BEFORE UPDATE OR DELETE ON facematch.opt_out
	FOR EACH ROW EXECUTE FUNCTION facematch.keep_opt_out();
CREATE TRIGGER opt_out_20_remove AFTER INSERT ON facematch.opt_out
	FOR EACH ROW EXECUTE FUNCTION facematch.remove_opted_out();
CREATE TRIGGER opt_out_30_truncate BEFORE TRUNCATE ON facematch.opt_out
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.opt_out ENABLE ALWAYS TRIGGER opt_out_10_keep, ENABLE ALWAYS TRIGGER opt_out_20_remove,
	ENABLE ALWAYS TRIGGER opt_out_30_truncate;

CREATE FUNCTION facematch.is_opted_out(subject_id uuid, gallery_id bigint DEFAULT NULL) RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM facematch.opt_out o
				   WHERE o.subject_id = $1 AND o.revoked_at IS NULL AND (o.until IS NULL OR o.until > clock_timestamp())
					 AND (o.gallery_id IS NULL OR o.gallery_id = $2))
$$;
COMMENT ON FUNCTION facematch.is_opted_out(uuid, bigint) IS 'whether a subject has an opt-out that stands: everywhere, or for this gallery';
REVOKE ALL ON FUNCTION facematch.is_opted_out(uuid, bigint) FROM PUBLIC;

---------------------------------------------------------------- exemptions

CREATE TABLE facematch.exemption (
	name		text NOT NULL CONSTRAINT exemption_name_is_a_name CHECK (facematch.is_name(name)),
	description	text NOT NULL,
	citation	text NOT NULL CONSTRAINT exemption_is_cited CHECK (citation <> ''),
	valid_from	timestamptz NOT NULL DEFAULT now(),
	valid_to	timestamptz NOT NULL DEFAULT 'infinity',
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT exemption_pkey PRIMARY KEY (name),
	CONSTRAINT exemption_validity CHECK (valid_from < valid_to)
);
COMMENT ON TABLE facematch.exemption IS 'grounds on which the law exempts a person from being photographed, with the dates it was the law';
COMMENT ON COLUMN facematch.exemption.name IS 'the ground';
COMMENT ON COLUMN facematch.exemption.description IS 'who is exempt';
COMMENT ON COLUMN facematch.exemption.citation IS 'the law';
COMMENT ON COLUMN facematch.exemption.valid_from IS 'from when it is the law';
COMMENT ON COLUMN facematch.exemption.valid_to IS 'until when it was the law';
COMMENT ON COLUMN facematch.exemption.shipped IS 'true for the rows that come with the extension, which a dump leaves to it';

INSERT INTO facematch.exemption (name, description, citation, valid_from, valid_to, shipped) VALUES
	('age', 'under 14 or over 79 on the date of departure', '8 CFR 215.8(a)(2), before 90 FR 48604', '-infinity', '2025-12-26 00:00:00+00', true),
	('diplomat', 'visas A-1, A-2, C-3 (not servants), G-1 to G-4, NATO-1 to NATO-6, certain Taiwan E-1', '8 CFR 215.8(a)(2), before 90 FR 48604', '-infinity', '2025-12-26 00:00:00+00', true),
	('canadian', 'visa-exempt citizens of Canada', '8 CFR 215.8(a)(2), before 90 FR 48604', '-infinity', '2025-12-26 00:00:00+00', true);

CREATE TABLE facematch.exempt_subject (
	subject_id	uuid NOT NULL,
	exemption	text NOT NULL,
	noted_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	until		timestamptz NOT NULL DEFAULT 'infinity',
	CONSTRAINT exempt_subject_pkey PRIMARY KEY (subject_id, exemption),
	CONSTRAINT exempt_subject_exemption_exists FOREIGN KEY (exemption) REFERENCES facematch.exemption ON UPDATE RESTRICT
);
COMMENT ON TABLE facematch.exempt_subject IS 'who is exempt, and on what ground; holds while the ground is the law';
COMMENT ON COLUMN facematch.exempt_subject.subject_id IS 'pseudonym of the person';
COMMENT ON COLUMN facematch.exempt_subject.exemption IS 'the ground, a row of facematch.exemption';
COMMENT ON COLUMN facematch.exempt_subject.noted_at IS 'when it was noted';
COMMENT ON COLUMN facematch.exempt_subject.until IS 'until when the ground holds for the person';
SELECT pg_catalog.pg_extension_config_dump('facematch.exemption', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('facematch.exempt_subject', '');

CREATE FUNCTION facematch.is_exempt(subject_id uuid) RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM facematch.exempt_subject s JOIN facematch.exemption e ON e.name = s.exemption
				   WHERE s.subject_id = $1 AND s.until > clock_timestamp()
					 AND e.valid_from <= clock_timestamp() AND clock_timestamp() < e.valid_to)
$$;
COMMENT ON FUNCTION facematch.is_exempt(uuid) IS 'whether the law exempts a subject from being photographed today';
REVOKE ALL ON FUNCTION facematch.is_exempt(uuid) FROM PUBLIC;

---------------------------------------------------------------- holds

CREATE TABLE facematch.hold (
	hold_id		bigint GENERATED ALWAYS AS IDENTITY,
	table_name	regclass,
	row_id		text COLLATE "C",
	subject_id	uuid,
	reason		text NOT NULL CONSTRAINT hold_reason_is_said CHECK (reason <> ''),
	authority	text NOT NULL CONSTRAINT hold_authority_is_said CHECK (authority <> ''),
	until		timestamptz,
	placed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	placed_by	text NOT NULL DEFAULT session_user,
	released_at	timestamptz,
	released_by	text,
	CONSTRAINT hold_pkey PRIMARY KEY (hold_id),
	CONSTRAINT hold_names_a_row_or_a_subject CHECK ((table_name IS NULL) = (row_id IS NULL) AND (row_id IS NULL) <> (subject_id IS NULL)),
	CONSTRAINT hold_release_is_attributed CHECK ((released_at IS NULL) = (released_by IS NULL))
);
COMMENT ON TABLE facematch.hold IS 'suspends the deletion of a row or of all rows of a subject; a held row that is due is still no candidate';
COMMENT ON COLUMN facematch.hold.hold_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.hold.table_name IS 'the table of the row, one of facematch.retained; NULL with a subject';
COMMENT ON COLUMN facematch.hold.row_id IS 'the row''s key, as text; NULL with a subject';
COMMENT ON COLUMN facematch.hold.subject_id IS 'pseudonym of the person whose rows are held; NULL with a row';
COMMENT ON COLUMN facematch.hold.reason IS 'why';
COMMENT ON COLUMN facematch.hold.authority IS 'who ordered it';
COMMENT ON COLUMN facematch.hold.until IS 'when it ends by itself; NULL: when it is released';
COMMENT ON COLUMN facematch.hold.placed_at IS 'when the row was inserted';
COMMENT ON COLUMN facematch.hold.placed_by IS 'the session''s user who inserted it';
COMMENT ON COLUMN facematch.hold.released_at IS 'when it was released; NULL while it stands';
COMMENT ON COLUMN facematch.hold.released_by IS 'the session''s user who released it, filled in';
CREATE INDEX hold_row_idx ON facematch.hold (table_name, row_id);
CREATE INDEX hold_subject_id_idx ON facematch.hold (subject_id);
SELECT pg_catalog.pg_extension_config_dump('facematch.hold', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.hold_hold_id_seq', '');

-- The type of the column that holds name rows of a table by; NULL: the table is not under retention.
CREATE FUNCTION facematch.key_type(table_name regclass) RETURNS regtype
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT a.atttypid FROM facematch.retained r JOIN pg_attribute a ON a.attrelid = r.table_name AND a.attname = r.key_column
	WHERE r.table_name = $1 AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'text'::regtype, 'varchar'::regtype, 'uuid'::regtype)
$$;
COMMENT ON FUNCTION facematch.key_type(regclass) IS 'type of the key column of a table under retention; NULL for other tables';

CREATE FUNCTION facematch.keep_hold() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'INSERT' THEN
		NEW.table_name := coalesce(pg_partition_root(NEW.table_name), NEW.table_name);
		-- Holds are looked up by the text of the key: however it was written, it becomes what the row's own key reads.
		IF facematch.key_type(NEW.table_name) IS NOT NULL THEN
			EXECUTE format('SELECT $1::%s::text', facematch.key_type(NEW.table_name)) INTO NEW.row_id USING NEW.row_id;
		END IF;
		RETURN NEW;
	ELSIF TG_OP = 'DELETE' THEN
		IF OLD.released_at IS NULL AND (OLD.until IS NULL OR OLD.until > clock_timestamp()) THEN
			RAISE integrity_constraint_violation USING
				MESSAGE = 'a hold that stands cannot be deleted',
				HINT = 'Release it: UPDATE released_at.';
		END IF;
		RETURN OLD;
	ELSIF (to_jsonb(NEW) - '{released_at,released_by}'::text[]) IS DISTINCT FROM (to_jsonb(OLD) - '{released_at,released_by}'::text[])
		OR OLD.released_at IS NOT NULL OR NEW.released_at > clock_timestamp() THEN
		RAISE integrity_constraint_violation USING
			MESSAGE = 'of a hold only released_at can be set, once, and not ahead of time',
			HINT = 'Insert another hold for other rows or another end.';
	END IF;
	NEW.released_by := session_user;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch.keep_hold() IS 'trigger: writes the row''s key as the row has it; a hold can be released, not rewritten, and deleted when it stands no more (23000)';

CREATE FUNCTION facematch.place_hold() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch.retained;
	found_one int;
BEGIN
	SELECT r.* INTO t FROM facematch.retained r WHERE r.table_name = NEW.table_name;
	-- A dump may load holds before the list of the tables they are about.
	IF NOT FOUND THEN
		IF NEW.table_name IS NOT NULL THEN
			RAISE WARNING 'table % is not under retention: the hold keeps nothing until it is', NEW.table_name;
		END IF;
		RETURN NULL;
	END IF;
	-- Whoever is deleting the row is waited for; from now on the guard refuses.
	EXECUTE format('SELECT 1 FROM %s WHERE %I = $1::%s FOR KEY SHARE', NEW.table_name, t.key_column,
				   facematch.key_type(NEW.table_name))
		INTO found_one USING NEW.row_id;
	IF found_one IS NULL THEN
		RAISE WARNING 'the row that the hold names is not in %', NEW.table_name;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch.place_hold() IS 'trigger: waits for whoever is deleting the row, and warns if it is gone';
REVOKE ALL ON FUNCTION facematch.place_hold() FROM PUBLIC;

CREATE TRIGGER hold_10_keep BEFORE INSERT OR UPDATE OR DELETE ON facematch.hold
	FOR EACH ROW EXECUTE FUNCTION facematch.keep_hold();
CREATE TRIGGER hold_20_place AFTER INSERT ON facematch.hold
	FOR EACH ROW EXECUTE FUNCTION facematch.place_hold();
CREATE TRIGGER hold_30_truncate BEFORE TRUNCATE ON facematch.hold
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.hold ENABLE ALWAYS TRIGGER hold_10_keep, ENABLE ALWAYS TRIGGER hold_30_truncate;

CREATE VIEW facematch.held AS
	SELECT h.hold_id, h.table_name, h.row_id, h.subject_id, h.reason, h.authority, h.until, h.placed_at, h.placed_by
	FROM facematch.hold h
	WHERE h.released_at IS NULL AND (h.until IS NULL OR h.until > clock_timestamp());
COMMENT ON VIEW facematch.held IS 'holds that stand: what is held, and why';
COMMENT ON COLUMN facematch.held.hold_id IS 'identifier of the hold';
COMMENT ON COLUMN facematch.held.table_name IS 'the table of the row; NULL with a subject';
COMMENT ON COLUMN facematch.held.row_id IS 'the row''s key; NULL with a subject';
COMMENT ON COLUMN facematch.held.subject_id IS 'the person whose rows are held; NULL with a row';
COMMENT ON COLUMN facematch.held.reason IS 'why';
COMMENT ON COLUMN facematch.held.authority IS 'who ordered it';
COMMENT ON COLUMN facematch.held.until IS 'when it ends by itself; NULL: when it is released';
COMMENT ON COLUMN facematch.held.placed_at IS 'when it was placed';
COMMENT ON COLUMN facematch.held.placed_by IS 'who placed it';
/*
 * Encounters at a gate, their candidate lists, and the privacy notices that were
 * posted there.
 */

---------------------------------------------------------------- notices

CREATE TABLE facematch.notice (
	notice_id	bigint GENERATED ALWAYS AS IDENTITY,
	title		text NOT NULL CONSTRAINT notice_has_a_title CHECK (title <> ''),
	language	text NOT NULL DEFAULT 'en' CONSTRAINT notice_language_is_named CHECK (language <> ''),
	body		text NOT NULL CONSTRAINT notice_has_a_body CHECK (body <> ''),
	valid_from	timestamptz NOT NULL DEFAULT now(),
	valid_to	timestamptz NOT NULL DEFAULT 'infinity',
	CONSTRAINT notice_pkey PRIMARY KEY (notice_id),
	CONSTRAINT notice_validity CHECK (valid_from < valid_to)
);
COMMENT ON TABLE facematch.notice IS 'privacy notices: what travelers are told, in the words of the day';
COMMENT ON COLUMN facematch.notice.notice_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.notice.title IS 'what it is called';
COMMENT ON COLUMN facematch.notice.language IS 'language of the text, as BCP 47 has it';
COMMENT ON COLUMN facematch.notice.body IS 'the text';
COMMENT ON COLUMN facematch.notice.valid_from IS 'from when the text is right';
COMMENT ON COLUMN facematch.notice.valid_to IS 'until when the text was right';

CREATE TABLE facematch.notice_posting (
	posting_id	bigint GENERATED ALWAYS AS IDENTITY,
	notice_id	bigint NOT NULL,
	port		text NOT NULL CONSTRAINT notice_posting_port_is_a_name CHECK (facematch.is_name(port)),
	lane		text CONSTRAINT notice_posting_lane_is_a_name CHECK (facematch.is_name(lane)),
	posted_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	removed_at	timestamptz,
	CONSTRAINT notice_posting_pkey PRIMARY KEY (posting_id),
	CONSTRAINT notice_posting_notice_exists FOREIGN KEY (notice_id) REFERENCES facematch.notice,
	CONSTRAINT notice_posting_times CHECK (removed_at >= posted_at)
);
COMMENT ON TABLE facematch.notice_posting IS 'where and when a notice was shown';
COMMENT ON COLUMN facematch.notice_posting.posting_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.notice_posting.notice_id IS 'the notice';
COMMENT ON COLUMN facematch.notice_posting.port IS 'the port';
COMMENT ON COLUMN facematch.notice_posting.lane IS 'the lane; NULL: all lanes of the port';
COMMENT ON COLUMN facematch.notice_posting.posted_at IS 'when it was put up';
COMMENT ON COLUMN facematch.notice_posting.removed_at IS 'when it was taken down; NULL while it hangs';
CREATE INDEX notice_posting_port_idx ON facematch.notice_posting (port, lane);
CREATE INDEX notice_posting_notice_idx ON facematch.notice_posting (notice_id);

---------------------------------------------------------------- encounters

-- As with references: a trigger says what is wrong without printing the row, which holds a template; the constraint is for
-- who gets round triggers.
CREATE FUNCTION facematch.encounter_fault(gallery text, occurred_at timestamptz, port text, lane text, direction text, mode text,
										  outcome text, threshold double precision, model text, retention_class text,
										  override_reason text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE
		WHEN gallery IS NULL THEN 'gallery is NULL'
		WHEN occurred_at IS NULL OR NOT isfinite(occurred_at) THEN 'occurred_at is not a moment'
		WHEN port IS NULL OR port = '' OR port <> btrim(port) THEN 'port is not a name'
		WHEN lane = '' OR lane <> btrim(lane) THEN 'lane is not a name'
		WHEN direction NOT IN ('entry', 'exit') THEN 'direction is neither entry nor exit'
		WHEN mode NOT IN ('air', 'sea', 'land') THEN 'mode is neither air, sea nor land'
		WHEN outcome IS NULL OR outcome NOT IN ('match', 'no_match', 'manual_inspection') THEN 'outcome is neither match, no_match nor manual_inspection'
		WHEN threshold IS NULL OR threshold NOT BETWEEN -1 AND 1 THEN 'threshold is outside -1 to 1'
		WHEN model IS NULL THEN 'model is NULL'
		WHEN retention_class IS NULL THEN 'retention_class is NULL'
		WHEN override_reason = '' THEN 'override_reason is empty'
	END;
COMMENT ON FUNCTION facematch.encounter_fault(text, timestamptz, text, text, text, text, text, double precision, text, text, text) IS
	'what makes a row of facematch.encounter impossible; NULL if nothing does';

CREATE TABLE facematch.encounter (
	encounter_id	bigint GENERATED ALWAYS AS IDENTITY,
	idempotency_key	text,
	gallery_id		bigint,
	gallery			text NOT NULL,
	occurred_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	port			text NOT NULL,
	lane			text,
	direction		text,
	mode			text,
	outcome			text NOT NULL,
	referred		boolean NOT NULL GENERATED ALWAYS AS (outcome <> 'match') STORED,
	reason			text,
	subject_id		uuid,
	reference_id	bigint,
	similarity		double precision,
	threshold		double precision NOT NULL,
	model			text NOT NULL,
	posting_id		bigint,
	probe			@extschema@.face_embedding,
	retention_class	text NOT NULL,
	verified_at		timestamptz,
	override_reason	text,
	overridden_by	text,
	overridden_at	timestamptz,
	recorded_by		text NOT NULL DEFAULT session_user,
	purge_after		timestamptz NOT NULL,
	CONSTRAINT encounter_pkey PRIMARY KEY (encounter_id),
	CONSTRAINT encounter_idempotency_key_key UNIQUE (idempotency_key),
	CONSTRAINT encounter_gallery_exists FOREIGN KEY (gallery_id) REFERENCES facematch.gallery ON DELETE SET NULL,
	CONSTRAINT encounter_posting_exists FOREIGN KEY (posting_id) REFERENCES facematch.notice_posting,
	CONSTRAINT encounter_is_whole CHECK (facematch.encounter_fault(gallery, occurred_at, port, lane, direction, mode, outcome, threshold,
		model, retention_class, override_reason) IS NULL),
	CONSTRAINT encounter_match_is_a_match CHECK (outcome <> 'match' OR subject_id IS NOT NULL
		AND ((reference_id IS NOT NULL AND similarity IS NOT NULL AND similarity >= threshold) OR override_reason IS NOT NULL)),
	CONSTRAINT encounter_override_is_attributed CHECK ((override_reason IS NULL) = (overridden_by IS NULL)
		AND (override_reason IS NULL) = (overridden_at IS NULL))
);
COMMENT ON TABLE facematch.encounter IS 'what happened at a gate: the search, the decision, and what it was made with';
COMMENT ON COLUMN facematch.encounter.encounter_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.encounter.idempotency_key IS 'the caller''s name for the call, so that a retry does not record twice';
COMMENT ON COLUMN facematch.encounter.gallery_id IS 'the gallery that was searched; NULL when it is gone';
COMMENT ON COLUMN facematch.encounter.gallery IS 'its name';
COMMENT ON COLUMN facematch.encounter.occurred_at IS 'when the probe was taken';
COMMENT ON COLUMN facematch.encounter.port IS 'port';
COMMENT ON COLUMN facematch.encounter.lane IS 'gate or lane';
COMMENT ON COLUMN facematch.encounter.direction IS 'entry or exit';
COMMENT ON COLUMN facematch.encounter.mode IS 'air, sea or land';
COMMENT ON COLUMN facematch.encounter.outcome IS 'match; no_match, which refers the traveler to an officer; or manual_inspection: no photograph was to be compared, or an officer decided';
COMMENT ON COLUMN facematch.encounter.referred IS 'whether an officer has to look at the document: whenever it is no match';
COMMENT ON COLUMN facematch.encounter.reason IS 'why no photograph was compared: opted_out, exempt, no_probe';
COMMENT ON COLUMN facematch.encounter.subject_id IS 'pseudonym of the person, once known';
COMMENT ON COLUMN facematch.encounter.reference_id IS 'the reference that matched; it may be gone since';
COMMENT ON COLUMN facematch.encounter.similarity IS 'cosine similarity of the best candidate, -1 to 1; NULL: none was above the threshold';
COMMENT ON COLUMN facematch.encounter.threshold IS 'the threshold in use';
COMMENT ON COLUMN facematch.encounter.model IS 'name of the model in use';
COMMENT ON COLUMN facematch.encounter.posting_id IS 'the privacy notice that hung there; NULL: none was on record';
COMMENT ON COLUMN facematch.encounter.probe IS 'the template of the photograph; NULL: none was taken, or the person has opted out since';
COMMENT ON COLUMN facematch.encounter.retention_class IS 'the class whose rules apply: the matched person''s, else unmatched';
COMMENT ON COLUMN facematch.encounter.verified_at IS 'when identity was verified, by the match or by an officer';
COMMENT ON COLUMN facematch.encounter.override_reason IS 'why an officer made it a match against the comparison';
COMMENT ON COLUMN facematch.encounter.overridden_by IS 'the session''s user who did, filled in';
COMMENT ON COLUMN facematch.encounter.overridden_at IS 'when, filled in';
COMMENT ON COLUMN facematch.encounter.recorded_by IS 'the session''s user who recorded it';
COMMENT ON COLUMN facematch.encounter.purge_after IS 'from this moment on the row is gone for all but the owner, whether or not it has been purged. Computed from the retention rules';
CREATE INDEX encounter_gallery_id_idx ON facematch.encounter (gallery_id);
CREATE INDEX encounter_subject_id_idx ON facematch.encounter (subject_id) WHERE subject_id IS NOT NULL;
CREATE INDEX encounter_posting_id_idx ON facematch.encounter (posting_id) WHERE posting_id IS NOT NULL;
CREATE INDEX encounter_purge_after_idx ON facematch.encounter (purge_after) WHERE purge_after < 'infinity';

CREATE TABLE facematch.candidate (
	encounter_id	bigint NOT NULL,
	rank			integer NOT NULL CONSTRAINT candidate_rank_range CHECK (rank >= 1),
	reference_id	bigint NOT NULL,
	subject_id		uuid NOT NULL,
	similarity		double precision NOT NULL,
	CONSTRAINT candidate_pkey PRIMARY KEY (encounter_id, rank),
	CONSTRAINT candidate_encounter_exists FOREIGN KEY (encounter_id) REFERENCES facematch.encounter ON DELETE CASCADE
);
COMMENT ON TABLE facematch.candidate IS 'the candidate list of an encounter; it goes with the encounter';
COMMENT ON COLUMN facematch.candidate.encounter_id IS 'the encounter';
COMMENT ON COLUMN facematch.candidate.rank IS 'place in the list, from 1';
COMMENT ON COLUMN facematch.candidate.reference_id IS 'the reference; it may be gone since';
COMMENT ON COLUMN facematch.candidate.subject_id IS 'pseudonym of its person';
COMMENT ON COLUMN facematch.candidate.similarity IS 'cosine similarity, -1 to 1';

---------------------------------------------------------------- nobody turns a referral into a match unseen

CREATE FUNCTION facematch.attribute_override() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	compared boolean := NEW.reference_id IS NOT NULL AND coalesce(NEW.similarity >= NEW.threshold, false);
	fault text := facematch.encounter_fault(NEW.gallery, NEW.occurred_at, NEW.port, NEW.lane, NEW.direction, NEW.mode, NEW.outcome,
											NEW.threshold, NEW.model, NEW.retention_class, NEW.override_reason);
BEGIN
	IF fault IS NOT NULL THEN
		RAISE check_violation USING
			MESSAGE = 'the row is no encounter: ' || fault,
			HINT = 'The comments on the columns of facematch.encounter say what each holds.',
			SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = 'encounter_is_whole';
	END IF;
	IF TG_OP = 'UPDATE' THEN
		IF (NEW.similarity, NEW.threshold, NEW.reference_id, NEW.model) IS DISTINCT FROM (OLD.similarity, OLD.threshold, OLD.reference_id, OLD.model)
			OR OLD.override_reason IS NOT NULL AND (NEW.override_reason, NEW.overridden_by, NEW.overridden_at)
												   IS DISTINCT FROM (OLD.override_reason, OLD.overridden_by, OLD.overridden_at) THEN
			RAISE integrity_constraint_violation USING
				MESSAGE = 'what an encounter was decided with is a record',
				HINT = 'An officer''s decision sets outcome, subject_id and override_reason.';
		END IF;
	END IF;
	IF NEW.outcome = 'match' AND NEW.subject_id IS NULL THEN
		RAISE integrity_constraint_violation USING
			MESSAGE = 'a match names its subject',
			HINT = 'Set subject_id.';
	ELSIF NEW.outcome = 'match' AND NOT compared AND NEW.override_reason IS NULL THEN
		RAISE integrity_constraint_violation USING
			MESSAGE = 'the comparison did not match: the traveler has to be referred',
			HINT = 'An officer who verified the identity gives override_reason; it is recorded with the user''s name.';
	END IF;
	-- A row that brings its attribution and its deadline comes from a dump.
	IF NEW.override_reason IS NULL THEN
		NEW.overridden_by := NULL;
		NEW.overridden_at := NULL;
	ELSIF TG_OP = 'UPDATE' AND OLD.override_reason IS NULL
		OR TG_OP = 'INSERT' AND (NEW.overridden_by IS NULL OR NEW.overridden_at IS NULL OR NEW.purge_after IS NULL) THEN
		NEW.overridden_by := session_user;
		NEW.overridden_at := clock_timestamp();
	END IF;
	IF NEW.outcome = 'match' AND NEW.verified_at IS NULL THEN
		NEW.verified_at := CASE WHEN compared THEN NEW.occurred_at ELSE clock_timestamp() END;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch.attribute_override() IS 'trigger: refuses an impossible row without printing it (23514); no match without a comparison above the threshold or a recorded, attributed reason (23000); scores and thresholds are never changed (23000)';

CREATE TRIGGER encounter_10_override BEFORE INSERT OR UPDATE ON facematch.encounter
	FOR EACH ROW EXECUTE FUNCTION facematch.attribute_override();
CREATE TRIGGER encounter_20_guard BEFORE INSERT OR UPDATE OR DELETE ON facematch.encounter
	FOR EACH ROW EXECUTE FUNCTION facematch.guard('what=encounter', 'key=encounter_id', 'class=retention_class', 'recorded=occurred_at',
		'purge=purge_after', 'subject=subject_id', 'template=probe', 'gallery=gallery_id', 'verified=verified_at');
CREATE TRIGGER encounter_30_skipped AFTER INSERT ON facematch.encounter
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.report_skipped();
CREATE TRIGGER encounter_40_truncate BEFORE TRUNCATE ON facematch.encounter
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.encounter ENABLE ALWAYS TRIGGER encounter_10_override, ENABLE ALWAYS TRIGGER encounter_20_guard,
	ENABLE ALWAYS TRIGGER encounter_40_truncate;

ALTER TABLE facematch.encounter ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_open ON facematch.encounter USING (true) WITH CHECK (true);
CREATE POLICY facematch_due ON facematch.encounter AS RESTRICTIVE FOR ALL USING (purge_after > clock_timestamp()) WITH CHECK (true);
COMMENT ON POLICY facematch_open ON facematch.encounter IS 'what is granted may be used';
COMMENT ON POLICY facematch_due ON facematch.encounter IS 'except rows that are due';
ALTER TABLE facematch.candidate ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_due ON facematch.candidate
	USING (EXISTS (SELECT FROM facematch.encounter e WHERE e.encounter_id = candidate.encounter_id AND e.purge_after > clock_timestamp()))
	WITH CHECK (true);
COMMENT ON POLICY facematch_due ON facematch.candidate IS 'a candidate list is seen with its encounter';

INSERT INTO facematch.retained (table_name, what, key_column, class_column, recorded_column, subject_column, template_column,
								gallery_column, verified_column, keeps_row, shipped) VALUES
	('facematch.encounter', 'encounter', 'encounter_id', 'retention_class', 'occurred_at', 'subject_id', 'probe',
	 'gallery_id', 'verified_at', true, true);

SELECT pg_catalog.pg_extension_config_dump('facematch.notice', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.notice_notice_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.notice_posting', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.notice_posting_posting_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.encounter', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.encounter_encounter_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.candidate', '');
/*
 * record_encounter(): the search, the decision, the record and the start of the
 * retention clock, in one call.
 */

CREATE TYPE facematch.decision AS (
	encounter_id	bigint,
	outcome			text,
	subject_id		uuid,
	reference_id	bigint,
	similarity		double precision,
	threshold		double precision,
	reason			text,
	purge_after		timestamptz
);
COMMENT ON TYPE facematch.decision IS 'what a gate is told of an encounter';
COMMENT ON COLUMN facematch.decision.encounter_id IS 'the encounter';
COMMENT ON COLUMN facematch.decision.outcome IS 'match, no_match or manual_inspection';
COMMENT ON COLUMN facematch.decision.subject_id IS 'pseudonym of the person, if known';
COMMENT ON COLUMN facematch.decision.reference_id IS 'the reference that matched';
COMMENT ON COLUMN facematch.decision.similarity IS 'its cosine similarity, -1 to 1';
COMMENT ON COLUMN facematch.decision.threshold IS 'the threshold in use';
COMMENT ON COLUMN facematch.decision.reason IS 'why no photograph was compared: opted_out, exempt, no_probe';
COMMENT ON COLUMN facematch.decision.purge_after IS 'the record''s deadline';

-- The encounter that was recorded under a key, as its caller was told.
CREATE FUNCTION facematch.recorded_decision(idempotency_key text, gallery text) RETURNS facematch.decision
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	earlier facematch.encounter;
BEGIN
	SELECT e.* INTO earlier FROM facematch.encounter e WHERE e.idempotency_key = recorded_decision.idempotency_key;
	IF NOT FOUND THEN
		RETURN NULL;
	ELSIF earlier.gallery <> recorded_decision.gallery THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('idempotency key %L was used for an encounter with gallery %L', idempotency_key, earlier.gallery),
			HINT = 'A key names one call and its retries.';
	END IF;
	RETURN ROW(earlier.encounter_id, earlier.outcome, earlier.subject_id, earlier.reference_id, earlier.similarity, earlier.threshold,
			   earlier.reason, earlier.purge_after)::facematch.decision;
END
$$;
COMMENT ON FUNCTION facematch.recorded_decision(text, text) IS 'the encounter recorded under an idempotency key; NULL: none. A key of another gallery: 22023';
REVOKE ALL ON FUNCTION facematch.recorded_decision(text, text) FROM PUBLIC;

CREATE FUNCTION facematch.record_encounter(
	gallery text, probe @extschema@.face_embedding DEFAULT NULL, port text DEFAULT NULL, lane text DEFAULT NULL,
	direction text DEFAULT NULL, mode text DEFAULT NULL, subject_id uuid DEFAULT NULL, idempotency_key text DEFAULT NULL,
	max_candidates integer DEFAULT 10, occurred_at timestamptz DEFAULT NULL)
	RETURNS SETOF facematch.decision
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	searched facematch.gallery;
	e facematch.encounter;
	told facematch.decision;
	candidates facematch.candidate[] := '{}';
	best facematch.candidate;
BEGIN
	IF idempotency_key IS NOT NULL THEN
		-- A record that is due answers nobody.
		UPDATE facematch.encounter t SET idempotency_key = NULL
		WHERE t.idempotency_key = record_encounter.idempotency_key AND t.purge_after <= clock_timestamp();
		told := facematch.recorded_decision(idempotency_key, gallery);
		IF told.encounter_id IS NOT NULL THEN
			RETURN NEXT told;
			RETURN;
		END IF;
	END IF;
	SELECT g.* INTO searched FROM facematch.gallery g WHERE g.name = record_encounter.gallery;
	IF NOT FOUND THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no gallery %L', gallery),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	END IF;

	-- Who has declined or is exempt is not compared, and a photograph that was taken all the same is not kept.
	e.reason := CASE WHEN facematch.is_opted_out(record_encounter.subject_id, searched.gallery_id) THEN 'opted_out'
					 WHEN facematch.is_exempt(record_encounter.subject_id) THEN 'exempt'
					 WHEN probe IS NULL THEN 'no_probe' END;
	e.outcome := 'manual_inspection';
	e.subject_id := record_encounter.subject_id;
	IF e.reason IS NULL THEN
		SELECT coalesce(array_agg(ROW(NULL, i.rank, i.reference_id, i.subject_id, i.similarity)::facematch.candidate ORDER BY i.rank), '{}')
		INTO candidates FROM facematch.identify(probe, gallery, max_candidates) i;
		best := candidates[1];
		e.outcome := CASE WHEN best.rank IS NULL THEN 'no_match' ELSE 'match' END;
		-- A document that names another person than the best candidate is for an officer to look at.
		IF best.subject_id <> e.subject_id THEN
			e.outcome := 'no_match';
		ELSIF best.rank IS NOT NULL THEN
			e.subject_id := best.subject_id;
			e.reference_id := best.reference_id;
		END IF;
		e.similarity := best.similarity;
	END IF;

	e.occurred_at := least(coalesce(record_encounter.occurred_at, clock_timestamp()), clock_timestamp());
	e.verified_at := CASE e.outcome WHEN 'match' THEN e.occurred_at END;
	e.retention_class := coalesce((SELECT r.retention_class FROM facematch.reference r
								   WHERE r.reference_id = e.reference_id AND r.gallery_id = searched.gallery_id), 'unmatched');
	e.posting_id := (SELECT p.posting_id FROM facematch.notice_posting p
					 WHERE p.port = record_encounter.port AND (p.lane IS NULL OR p.lane = record_encounter.lane)
					   AND p.posted_at <= e.occurred_at AND (p.removed_at IS NULL OR p.removed_at > e.occurred_at)
					 ORDER BY p.lane IS NULL, p.posted_at DESC, p.posting_id DESC LIMIT 1);
	IF direction = 'exit' AND e.outcome = 'match' THEN
		INSERT INTO facematch.anchor_event (subject_id, event, occurred_at) VALUES (e.subject_id, 'exit', e.occurred_at);
	END IF;

	INSERT INTO facematch.encounter (idempotency_key, gallery_id, gallery, occurred_at, port, lane, direction, mode, outcome, reason, subject_id,
									 reference_id, similarity, threshold, model, posting_id, probe, retention_class, verified_at)
	VALUES (record_encounter.idempotency_key, searched.gallery_id, searched.name, e.occurred_at, record_encounter.port, record_encounter.lane,
			record_encounter.direction, record_encounter.mode, e.outcome, e.reason, e.subject_id, e.reference_id, e.similarity,
			searched.min_similarity, searched.model, e.posting_id, CASE WHEN e.reason IS NULL THEN probe END, e.retention_class, e.verified_at)
	ON CONFLICT ON CONSTRAINT encounter_idempotency_key_key DO NOTHING
	RETURNING encounter.encounter_id, encounter.purge_after INTO e.encounter_id, e.purge_after;
	IF e.encounter_id IS NULL THEN
		-- The same call came in twice at once: the other one has just been committed.
		told := facematch.recorded_decision(idempotency_key, gallery);
		IF told.encounter_id IS NULL THEN
			RAISE serialization_failure USING
				MESSAGE = 'the same encounter is being recorded by another session',
				HINT = 'Retry the call.';
		END IF;
		RETURN NEXT told;
		RETURN;
	END IF;
	INSERT INTO facematch.candidate (encounter_id, rank, reference_id, subject_id, similarity)
	SELECT e.encounter_id, c.rank, c.reference_id, c.subject_id, c.similarity FROM unnest(candidates) c;
	RETURN NEXT ROW(e.encounter_id, e.outcome, e.subject_id, e.reference_id, e.similarity, searched.min_similarity, e.reason, e.purge_after)::facematch.decision;
END
$$;
COMMENT ON FUNCTION facematch.record_encounter(text, @extschema@.face_embedding, text, text, text, text, uuid, text, integer, timestamptz) IS
	'an encounter at a gate, in one transaction: searches the gallery, decides (match; no_match, which refers the traveler; manual_inspection without a probe, and for who has opted out or is exempt), records it with candidates, threshold, model and notice, and starts the retention clock. One row. The same idempotency_key again: the recorded answer. No such gallery: P0002; port missing: 23514; other errors as identify()';
REVOKE ALL ON FUNCTION facematch.record_encounter(text, @extschema@.face_embedding, text, text, text, text, uuid, text, integer, timestamptz) FROM PUBLIC;

CREATE FUNCTION facematch.resolve_encounter(encounter_id bigint, subject_id uuid, retention_class text, reason text) RETURNS facematch.decision
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e facematch.encounter;
BEGIN
	UPDATE facematch.encounter t
	SET outcome = 'match', subject_id = resolve_encounter.subject_id, retention_class = resolve_encounter.retention_class,
		verified_at = coalesce(t.verified_at, clock_timestamp()), override_reason = resolve_encounter.reason,
		probe = CASE WHEN facematch.is_opted_out(resolve_encounter.subject_id, t.gallery_id) THEN NULL ELSE t.probe END
	WHERE t.encounter_id = resolve_encounter.encounter_id AND t.outcome <> 'match' AND t.purge_after > clock_timestamp()
	RETURNING t.* INTO e;
	IF NOT FOUND THEN
		RAISE no_data_found USING
			MESSAGE = format('encounter %s is not there to resolve', encounter_id),
			HINT = 'Only a referred encounter that is not due can be resolved.';
	END IF;
	RETURN ROW(e.encounter_id, e.outcome, e.subject_id, e.reference_id, e.similarity, e.threshold, e.reason, e.purge_after)::facematch.decision;
END
$$;
COMMENT ON FUNCTION facematch.resolve_encounter(bigint, uuid, text, text) IS
	'an officer has looked at the document of a referred traveler: records who it is, the reason and the officer''s user name, and applies the class''s rules from now. Not referred, due or gone: P0002; no reason: 23000';
REVOKE ALL ON FUNCTION facematch.resolve_encounter(bigint, uuid, text, text) FROM PUBLIC;
/*
 * The purge, what will be due, and the tables of users.
 */

CREATE PROCEDURE facematch.purge(batch integer DEFAULT 10000)
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_purge';
COMMENT ON PROCEDURE facematch.purge(integer) IS
	'deletes what is due in every table under retention, the longest due first, and writes receipts. Commits after every batch of rows (within a transaction block it cannot, and does all in one); several may run at once. Held rows stay; a gallery goes with its last reference. A batch below 1: 22023';
REVOKE ALL ON PROCEDURE facematch.purge(integer) FROM PUBLIC;

---------------------------------------------------------------- advance notice

CREATE FUNCTION facematch.due_soon(within interval DEFAULT NULL)
	RETURNS TABLE (table_name regclass, row_id text, subject_id uuid, retention_class text, rule text, purge_after timestamptz)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch.retained;
BEGIN
	FOR t IN SELECT r.* FROM facematch.retained r JOIN pg_class c ON c.oid = r.table_name ORDER BY r.table_name::text LOOP
		RETURN QUERY EXECUTE format(
			'SELECT $2, d.%I::text, %s, d.%I, u.name, d.purge_after'
			' FROM (SELECT DISTINCT ON (u.retention_class) u.* FROM facematch.retention_rule u'
			'       WHERE u.what = $3 AND u.valid_from <= now() AND now() < u.valid_to ORDER BY u.retention_class, u.valid_from DESC) u'
			' JOIN %s d ON d.%I = u.retention_class'
			' WHERE d.purge_after > now() AND d.purge_after <= now() + coalesce($1, u.notice_before) ORDER BY d.purge_after',
			t.key_column, CASE WHEN t.subject_column IS NULL THEN 'NULL::uuid' ELSE format('d.%I', t.subject_column) END,
			t.class_column, t.table_name, t.class_column)
			USING within, t.table_name, t.what;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch.due_soon(interval) IS
	'rows that will be due within an interval; without one, within the advance notice that their rule demands (retention_rule.notice_before)';
REVOKE ALL ON FUNCTION facematch.due_soon(interval) FROM PUBLIC;
/*
 * The same retention on a user's own table.
 */

-- A trigger, policy or column name of the user's is quoted wherever it goes into a statement.
CREATE FUNCTION facematch.only_column(table_name regclass, of_type regtype) RETURNS name
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names name[] := ARRAY(SELECT a.attname FROM pg_attribute a
						  WHERE a.attrelid = only_column.table_name AND a.atttypid = of_type AND a.attnum > 0 AND NOT a.attisdropped);
BEGIN
	RETURN CASE WHEN cardinality(names) = 1 THEN names[1] END;
END
$$;
COMMENT ON FUNCTION facematch.only_column(regclass, regtype) IS 'the column of a type, if the table has exactly one; else NULL';

CREATE FUNCTION facematch.check_column(table_name regclass, column_name name, of_types regtype[], purpose text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found regtype := (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = check_column.table_name AND a.attname = column_name
					  AND a.attnum > 0 AND NOT a.attisdropped);
BEGIN
	IF found IS NULL THEN
		RAISE undefined_column USING
			MESSAGE = format('table %s has no column %I for the %s', table_name, column_name, purpose),
			HINT = 'Name the column in the call of facematch.retain().';
	ELSIF found <> ALL (of_types) THEN
		RAISE datatype_mismatch USING
			MESSAGE = format('column %I of table %s is of type %s', column_name, table_name, found),
			HINT = format('The %s needs one of: %s.', purpose, array_to_string(of_types, ', '));
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.check_column(regclass, name, regtype[], text) IS 'refuses a column that is missing (42703) or of another type (42804)';

CREATE FUNCTION facematch.retain(table_name regclass, what text, key_column name DEFAULT 'id', class_column name DEFAULT 'retention_class',
								 recorded_column name DEFAULT 'recorded_at', subject_column name DEFAULT 'subject_id',
								 template_column name DEFAULT NULL, gallery_column name DEFAULT NULL,
								 verified_column name DEFAULT NULL, anchor_column name DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	relation pg_class;
	arguments text;
BEGIN
	SELECT c.* INTO STRICT relation FROM pg_class c WHERE c.oid = table_name;
	IF relation.relkind NOT IN ('r', 'p') OR relation.relispartition OR relation.relnamespace = 'facematch'::regnamespace THEN
		RAISE wrong_object_type USING
			MESSAGE = format('%s cannot be put under retention', table_name),
			HINT = 'Attach an ordinary or a partitioned table of your own; of a partition, the table it is part of.';
	ELSIF EXISTS (SELECT FROM facematch.retained r WHERE r.table_name = retain.table_name) THEN
		RAISE duplicate_object USING
			MESSAGE = format('table %s is under retention already', table_name),
			HINT = 'facematch.release() detaches it.';
	END IF;
	template_column := coalesce(template_column, facematch.only_column(table_name, '@extschema@.face_embedding'::regtype));
	PERFORM facematch.check_column(table_name, key_column, '{int2,int4,int8,text,varchar,uuid}', 'key');
	PERFORM facematch.check_column(table_name, class_column, '{text}', 'retention class');
	PERFORM facematch.check_column(table_name, recorded_column, '{timestamptz}', 'time of recording');
	PERFORM facematch.check_column(table_name, subject_column, '{uuid}', 'pseudonym') WHERE subject_column IS NOT NULL;
	PERFORM facematch.check_column(table_name, gallery_column, '{int8}', 'gallery') WHERE gallery_column IS NOT NULL;
	PERFORM facematch.check_column(table_name, verified_column, '{timestamptz}', 'time of verification') WHERE verified_column IS NOT NULL;
	PERFORM facematch.check_column(table_name, anchor_column, '{timestamptz}', 'anchor') WHERE anchor_column IS NOT NULL;
	IF template_column IS NULL THEN
		RAISE undefined_column USING
			MESSAGE = format('table %s does not have exactly one column of type face_embedding', table_name),
			HINT = 'Name it: template_column => ''…''.';
	END IF;
	PERFORM facematch.check_column(table_name, template_column, ARRAY['@extschema@.face_embedding'::regtype], 'template');

	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', table_name);
	EXECUTE format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS purge_after timestamptz', table_name);
	PERFORM facematch.check_column(table_name, 'purge_after', '{timestamptz}', 'deadline');
	INSERT INTO facematch.retained (table_name, what, key_column, class_column, recorded_column, subject_column, template_column,
									gallery_column, verified_column, anchor_column, row_security)
	VALUES (table_name, what, key_column, class_column, recorded_column, subject_column, template_column,
			gallery_column, verified_column, anchor_column, NOT relation.relrowsecurity);

	SELECT string_agg(quote_literal(name || '=' || value), ', ') INTO arguments
	FROM (VALUES ('what', what), ('key', key_column::text), ('class', class_column::text), ('recorded', recorded_column::text),
				 ('purge', 'purge_after'), ('subject', subject_column::text), ('template', template_column::text), ('gallery', gallery_column::text),
				 ('verified', verified_column::text), ('anchor', anchor_column::text)) a (name, value)
	WHERE value IS NOT NULL;
	EXECUTE format('CREATE TRIGGER facematch_20_guard BEFORE INSERT OR UPDATE OR DELETE ON %s'
				   ' FOR EACH ROW EXECUTE FUNCTION facematch.guard(%s)', table_name, arguments);
	EXECUTE format('CREATE TRIGGER facematch_30_skipped AFTER INSERT ON %s'
				   ' FOR EACH STATEMENT EXECUTE FUNCTION facematch.report_skipped()', table_name);
	EXECUTE format('CREATE TRIGGER facematch_40_truncate BEFORE TRUNCATE ON %s'
				   ' FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change()', table_name);
	EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER facematch_20_guard, ENABLE ALWAYS TRIGGER facematch_40_truncate', table_name);
	-- The guard computes the deadlines of the rows that are there; the templates of who has opted out go.
	EXECUTE format('UPDATE %s SET purge_after = purge_after', table_name);
	IF subject_column IS NOT NULL THEN
		EXECUTE format('DELETE FROM %s t WHERE EXISTS (SELECT FROM facematch.opt_out o WHERE o.subject_id = t.%I AND o.revoked_at IS NULL'
					   ' AND (o.until IS NULL OR o.until > clock_timestamp()) AND (o.gallery_id IS NULL OR o.gallery_id = %s))',
					   table_name, subject_column, CASE WHEN gallery_column IS NULL THEN 'NULL' ELSE format('t.%I', gallery_column) END);
	END IF;
	EXECUTE format('ALTER TABLE %s ALTER COLUMN purge_after SET NOT NULL', table_name);
	EXECUTE format('CREATE INDEX ON %s (purge_after) WHERE purge_after < ''infinity''', table_name);

	IF NOT relation.relrowsecurity THEN
		EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', table_name);
		EXECUTE format('CREATE POLICY facematch_open ON %s USING (true) WITH CHECK (true)', table_name);
	END IF;
	EXECUTE format('CREATE POLICY facematch_due ON %s AS RESTRICTIVE USING (purge_after > clock_timestamp()) WITH CHECK (true)', table_name);
END
$$;
COMMENT ON FUNCTION facematch.retain(regclass, text, name, name, name, name, name, name, name, name) IS
	'puts a table with templates under retention: deadlines by the rules for "what", opt-outs, holds and the purge, as on references. Adds a column purge_after, triggers and row security (due rows are gone for all but the owner), and computes the deadlines of the rows that are there. Partitioned tables too. Run it as the table''s owner who may write facematch.retained. Missing column: 42703; of another type: 42804; a class without a rule: 23503; attached already: 42710';
REVOKE ALL ON FUNCTION facematch.retain(regclass, text, name, name, name, name, name, name, name, name) FROM PUBLIC;

CREATE FUNCTION facematch.release(table_name regclass) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch.retained;
BEGIN
	DELETE FROM facematch.retained r WHERE r.table_name = release.table_name AND NOT r.shipped RETURNING * INTO t;
	IF NOT FOUND THEN
		RAISE undefined_object USING
			MESSAGE = format('table %s was not attached', table_name),
			HINT = 'facematch.attached lists the tables that can be released.';
	END IF;
	EXECUTE format('DROP TRIGGER IF EXISTS facematch_20_guard ON %s', table_name);
	EXECUTE format('DROP TRIGGER IF EXISTS facematch_30_skipped ON %s', table_name);
	EXECUTE format('DROP TRIGGER IF EXISTS facematch_40_truncate ON %s', table_name);
	EXECUTE format('DROP POLICY IF EXISTS facematch_due ON %s', table_name);
	IF t.row_security THEN
		EXECUTE format('DROP POLICY IF EXISTS facematch_open ON %s', table_name);
		EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', table_name);
	END IF;
	EXECUTE format('ALTER TABLE %s ALTER COLUMN purge_after DROP NOT NULL', table_name);
	PERFORM facematch.write_audit('table_released', jsonb_build_object('table', table_name::text, 'what', t.what));
END
$$;
COMMENT ON FUNCTION facematch.release(regclass) IS 'takes a table out of retention again: triggers and policies go, rows and their purge_after stay. Logged. Not attached: 42704';
REVOKE ALL ON FUNCTION facematch.release(regclass) FROM PUBLIC;

CREATE VIEW facematch.attached AS
	SELECT r.table_name, r.what, r.key_column, r.class_column, r.recorded_column, r.subject_column, r.template_column, r.gallery_column,
		   r.verified_column, r.anchor_column
	FROM facematch.retained r JOIN pg_catalog.pg_class c ON c.oid = r.table_name WHERE NOT r.shipped;
COMMENT ON VIEW facematch.attached IS 'tables of users under retention';
COMMENT ON COLUMN facematch.attached.table_name IS 'the table';
COMMENT ON COLUMN facematch.attached.what IS 'what its rows are to the rules';
COMMENT ON COLUMN facematch.attached.key_column IS 'the column that holds name rows by';
COMMENT ON COLUMN facematch.attached.class_column IS 'the retention class';
COMMENT ON COLUMN facematch.attached.recorded_column IS 'when the row was recorded';
COMMENT ON COLUMN facematch.attached.subject_column IS 'the pseudonym; NULL: none';
COMMENT ON COLUMN facematch.attached.template_column IS 'the template';
COMMENT ON COLUMN facematch.attached.gallery_column IS 'the gallery; NULL: none';
COMMENT ON COLUMN facematch.attached.verified_column IS 'when identity was verified; NULL: none';
COMMENT ON COLUMN facematch.attached.anchor_column IS 'what stands in for a gallery''s anchor; NULL: none';
/*
 * Galleries' life: staging again when the manifest changes, closing, and putting
 * together what belongs to one person.
 */

CREATE FUNCTION facematch.restage_gallery(gallery text, manifest uuid[])
	RETURNS TABLE (subject_id uuid, state text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	staged facematch.gallery;
BEGIN
	SELECT g.* INTO staged FROM facematch.gallery g WHERE g.name = restage_gallery.gallery FOR UPDATE;
	IF NOT FOUND THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no gallery %L', gallery),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	ELSIF manifest IS NULL OR array_position(manifest, NULL) IS NOT NULL THEN
		RAISE null_value_not_allowed USING
			MESSAGE = 'the manifest, or a subject on it, is NULL',
			HINT = 'An empty manifest is ''{}'': it removes everyone.';
	END IF;
	RETURN QUERY
	WITH removed AS (
		DELETE FROM facematch.reference r WHERE r.gallery_id = staged.gallery_id AND r.subject_id <> ALL (manifest)
			AND NOT EXISTS (SELECT FROM facematch.held h WHERE h.subject_id = r.subject_id
							OR (h.table_name = 'facematch.reference'::regclass AND h.row_id = r.reference_id::text))
		RETURNING r.subject_id)
	SELECT DISTINCT d.subject_id, 'removed' FROM removed d
	UNION ALL
	SELECT DISTINCT m.subject_id,
		   CASE WHEN facematch.is_opted_out(m.subject_id, staged.gallery_id) THEN 'opted_out'
				WHEN facematch.is_exempt(m.subject_id) THEN 'exempt'
				WHEN EXISTS (SELECT FROM facematch.reference r WHERE r.gallery_id = staged.gallery_id AND r.subject_id = m.subject_id
							 AND r.purge_after > clock_timestamp()) THEN 'staged'
				ELSE 'missing' END
	FROM unnest(manifest) m (subject_id);
END
$$;
COMMENT ON FUNCTION facematch.restage_gallery(text, uuid[]) IS
	'the manifest has changed: removes the references of who is no longer on it, except held ones, and tells of each subject: removed, staged, missing (to be staged), opted_out or exempt (neither). No such gallery: P0002; NULL: 22004';
REVOKE ALL ON FUNCTION facematch.restage_gallery(text, uuid[]) FROM PUBLIC;

CREATE FUNCTION facematch.close_gallery(gallery text) RETURNS timestamptz
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	deadline timestamptz;
BEGIN
	UPDATE facematch.gallery g SET closed_at = coalesce(g.closed_at, clock_timestamp()), anchor_at = least(g.anchor_at, clock_timestamp())
	WHERE g.name = close_gallery.gallery RETURNING g.purge_after INTO deadline;
	IF NOT FOUND THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no gallery %L', gallery),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	END IF;
	RETURN deadline;
END
$$;
COMMENT ON FUNCTION facematch.close_gallery(text) IS
	'the doors are closed: nothing more is staged into the gallery, and its anchor is now, or earlier if it was. Returns its deadline. No such gallery: P0002';
REVOKE ALL ON FUNCTION facematch.close_gallery(text) FROM PUBLIC;

CREATE FUNCTION facematch.merge_references(gallery text, subject_id uuid) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kept bigint;
	fused @extschema@.face_embedding;
	deadline timestamptz;
	ids bigint[];
BEGIN
	SELECT array_agg(r.reference_id ORDER BY r.quality DESC NULLS LAST, r.reference_id) INTO ids
	FROM (SELECT t.reference_id, t.quality FROM facematch.reference t JOIN facematch.gallery g USING (gallery_id)
		  WHERE g.name = merge_references.gallery AND t.subject_id = merge_references.subject_id AND t.purge_after > clock_timestamp()
		  FOR UPDATE OF t) r;
	IF ids IS NULL THEN
		RAISE no_data_found USING
			MESSAGE = format('the subject has no reference in gallery %L', gallery),
			HINT = 'References that are due are not merged.';
	END IF;
	kept := ids[1];
	SELECT @extschema@.avg(r.embedding), min(r.purge_after) INTO fused, deadline FROM facematch.reference r WHERE r.reference_id = ANY (ids);
	UPDATE facematch.reference r SET embedding = fused, purge_after = deadline WHERE r.reference_id = kept;
	DELETE FROM facematch.reference r WHERE r.reference_id = ANY (ids[2:]);
	RETURN kept;
END
$$;
COMMENT ON FUNCTION facematch.merge_references(text, uuid) IS
	'replaces a person''s references in a gallery by one, their average, with the earliest of their deadlines; returns its reference_id, that of the best quality. None: P0002; a held one: 23000';
REVOKE ALL ON FUNCTION facematch.merge_references(text, uuid) FROM PUBLIC;

CREATE FUNCTION facematch.merge_subjects(kept uuid, merged uuid) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	moved bigint;
BEGIN
	IF kept = merged OR kept IS NULL OR merged IS NULL THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'two different subjects are needed',
			HINT = 'The second one''s rows become the first one''s.';
	END IF;
	-- Who has declined under one document has declined under the other.
	INSERT INTO facematch.opt_out (subject_id, scope, gallery_id, until, alternative, noticed_at)
	SELECT CASE o.subject_id WHEN merge_subjects.kept THEN merge_subjects.merged ELSE merge_subjects.kept END, o.scope, o.gallery_id, o.until,
		   o.alternative, o.noticed_at
	FROM facematch.opt_out o
	WHERE o.subject_id IN (merge_subjects.kept, merge_subjects.merged) AND o.revoked_at IS NULL AND (o.until IS NULL OR o.until > clock_timestamp());
	INSERT INTO facematch.hold (subject_id, reason, authority, until)
	SELECT merge_subjects.kept, h.reason, h.authority, h.until FROM facematch.held h WHERE h.subject_id = merge_subjects.merged;
	INSERT INTO facematch.anchor_event (subject_id, event, occurred_at)
	SELECT merge_subjects.kept, e.event, e.occurred_at FROM facematch.anchor_event e WHERE e.subject_id = merge_subjects.merged;
	UPDATE facematch.reference r SET subject_id = merge_subjects.kept WHERE r.subject_id = merge_subjects.merged;
	GET DIAGNOSTICS moved = ROW_COUNT;
	UPDATE facematch.encounter e SET subject_id = merge_subjects.kept WHERE e.subject_id = merge_subjects.merged;
	UPDATE facematch.candidate c SET subject_id = merge_subjects.kept WHERE c.subject_id = merge_subjects.merged;
	PERFORM facematch.write_audit('subjects_merged', jsonb_build_object('kept', merge_subjects.kept, 'merged', merge_subjects.merged, 'references', moved));
	RETURN moved;
END
$$;
COMMENT ON FUNCTION facematch.merge_subjects(uuid, uuid) IS
	'two pseudonyms are one person''s (two passports): references and encounters of the second become the first''s, opt-outs of either hold for both. Returns how many references moved. Logged. The same subject twice, or NULL: 22023';
REVOKE ALL ON FUNCTION facematch.merge_subjects(uuid, uuid) FROM PUBLIC;
/*
 * Jobs, where pg_cron is installed in this database.
 */

CREATE FUNCTION facematch.check_cron() RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = 'pg_cron is not installed in this database',
			HINT = 'Set cron.database_name to this database, restart, and CREATE EXTENSION pg_cron; or let another scheduler CALL facematch.purge(). Due rows match nobody either way.';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.check_cron() IS 'refuses (55000) where there is no pg_cron';

CREATE FUNCTION facematch.schedule(purge text DEFAULT '* * * * *') RETURNS bigint
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	job bigint;
BEGIN
	PERFORM facematch.check_cron();
	EXECUTE 'SELECT cron.schedule($1, $2, $3)' INTO job
		USING 'facematch purge in ' || current_database(), schedule.purge, 'CALL facematch.purge()';
	RETURN job;
END
$$;
COMMENT ON FUNCTION facematch.schedule(text) IS
	'makes pg_cron call facematch.purge(), by default every minute; a new schedule replaces the old one. pg_cron 1.5 and later also take ''10 seconds''. Returns the job''s number. No pg_cron: 55000';
REVOKE ALL ON FUNCTION facematch.schedule(text) FROM PUBLIC;

CREATE FUNCTION facematch.unschedule() RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	jobs bigint;
BEGIN
	PERFORM facematch.check_cron();
	EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job j WHERE j.jobname = $1' INTO jobs
		USING 'facematch purge in ' || current_database();
	RETURN jobs > 0;
END
$$;
COMMENT ON FUNCTION facematch.unschedule() IS 'takes the job away; whether there was one. No pg_cron: 55000';
REVOKE ALL ON FUNCTION facematch.unschedule() FROM PUBLIC;
/*
 * What deleted rows have left behind.
 */

CREATE FUNCTION facematch.leftovers(table_name regclass)
	RETURNS TABLE (relation regclass, pages bigint, dead_tuples bigint, fading_tuples bigint, stray_bytes bigint, clean boolean)
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_leftovers';
COMMENT ON FUNCTION facematch.leftovers(regclass) IS
	'looks at every page of a table and of its TOAST table: deleted rows whose bytes are whole (dead_tuples), deleted rows that an old snapshot may see (fading_tuples), and other bytes outside rows that are not zero. Reads only';
REVOKE ALL ON FUNCTION facematch.leftovers(regclass) FROM PUBLIC;

CREATE FUNCTION facematch.verify_erased(table_name regclass)
	RETURNS TABLE (relation regclass, pages bigint, dead_tuples bigint, fading_tuples bigint, stray_bytes bigint, clean boolean)
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.* FROM (SELECT p.relid FROM pg_partition_tree($1) p WHERE p.isleaf
					 UNION SELECT c.oid FROM pg_class c WHERE c.oid = $1 AND c.relkind = 'r') leaf
	CROSS JOIN LATERAL facematch.leftovers(leaf.relid) l
$$;
COMMENT ON FUNCTION facematch.verify_erased(regclass) IS
	'whether deleted rows of a table are gone from its pages: one row for each table and TOAST table, clean when nothing is left. Indexes, WAL, backups and standbys are not looked at';
REVOKE ALL ON FUNCTION facematch.verify_erased(regclass) FROM PUBLIC;
/*
 * What weakens the guarantees in this database.
 */

-- Triggers that must be there and fire in every session, replicas included.
CREATE FUNCTION facematch.expected_triggers() RETURNS TABLE (table_name regclass, trigger_name name)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT t.tgrelid::regclass, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
	WHERE c.relnamespace = 'facematch'::regnamespace AND NOT t.tgisinternal AND t.tgname !~ '_skipped$|_10_model$|_00_whole$'
	UNION
	SELECT e.table_name, e.trigger_name FROM (VALUES
		('facematch.gallery'::regclass, 'gallery_20_guard'::name), ('facematch.gallery', 'gallery_30_moved'),
		('facematch.gallery', 'gallery_40_truncate'), ('facematch.reference', 'reference_20_guard'),
		('facematch.reference', 'reference_40_truncate'), ('facematch.encounter', 'encounter_10_override'),
		('facematch.encounter', 'encounter_20_guard'), ('facematch.encounter', 'encounter_40_truncate'),
		('facematch.opt_out', 'opt_out_10_keep'), ('facematch.opt_out', 'opt_out_20_remove'), ('facematch.opt_out', 'opt_out_30_truncate'),
		('facematch.hold', 'hold_10_keep'), ('facematch.hold', 'hold_30_truncate'),
		('facematch.retention_rule', 'retention_rule_10_check'), ('facematch.retention_rule', 'retention_rule_20_changed'),
		('facematch.retention_rule', 'retention_rule_30_truncate'), ('facematch.anchor_event', 'anchor_event_20_happened'),
		('facematch.audit_event', 'audit_event_10_is_a_record'), ('facematch.audit_event', 'audit_event_20_is_a_record')) e (table_name, trigger_name)
	UNION
	SELECT p.relid, e.trigger_name FROM facematch.attached a, pg_partition_tree(a.table_name) p, (VALUES ('facematch_20_guard'::name)) e (trigger_name)
	UNION
	SELECT a.table_name, e.trigger_name FROM facematch.attached a, (VALUES ('facematch_20_guard'::name), ('facematch_40_truncate')) e (trigger_name)
$$;
COMMENT ON FUNCTION facematch.expected_triggers() IS 'the triggers that the guarantees rest on';

CREATE FUNCTION facematch.check_policies() RETURNS TABLE (severity text, object text, finding text, remedy text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch.retained;
	overdue bigint;
	longest interval;
	templates bigint;
BEGIN
	RETURN QUERY
	SELECT 'error', format('%s on %s', e.trigger_name, e.table_name),
		   CASE WHEN g.oid IS NULL THEN 'the trigger is missing' ELSE 'the trigger is disabled' END,
		   CASE WHEN g.oid IS NULL THEN 'detach and attach the table, or restore the trigger from the extension''s script'
				ELSE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', e.table_name, e.trigger_name) END
	FROM facematch.expected_triggers() e LEFT JOIN pg_trigger g ON g.tgrelid = e.table_name AND g.tgname = e.trigger_name
	WHERE g.oid IS NULL OR g.tgenabled = 'D' ORDER BY 2;

	RETURN QUERY
	SELECT 'warning', format('%s on %s', e.trigger_name, e.table_name),
		   CASE g.tgenabled WHEN 'R' THEN 'the trigger fires in replica sessions only' ELSE 'the trigger does not fire where session_replication_role is replica' END,
		   format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', e.table_name, e.trigger_name)
	FROM facematch.expected_triggers() e JOIN pg_trigger g ON g.tgrelid = e.table_name AND g.tgname = e.trigger_name
	WHERE g.tgenabled IN ('R', 'O') AND g.tgname NOT LIKE '%_20_place' ORDER BY 2;

	RETURN QUERY
	SELECT 'error', r.table_name::text, 'row security does not hide due rows',
		   format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY; the policy is facematch_due', r.table_name)
	FROM facematch.retained r JOIN pg_class c ON c.oid = r.table_name
	WHERE r.what <> 'gallery'
	  AND (NOT c.relrowsecurity OR NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'facematch_due' AND NOT p.polpermissive))
	ORDER BY 2;

	RETURN QUERY
	SELECT 'warning', format('role %I', o.rolname), 'sees due rows: it ' || CASE WHEN o.rolbypassrls THEN 'bypasses row security' ELSE 'owns tables under retention' END,
		   'let applications connect as another role'
	FROM pg_roles o
	WHERE o.rolcanlogin AND NOT o.rolsuper
	  AND (o.rolbypassrls OR EXISTS (SELECT FROM facematch.retained r JOIN pg_class c ON c.oid = r.table_name WHERE pg_has_role(o.oid, c.relowner, 'MEMBER')))
	ORDER BY 2;

	RETURN QUERY
	SELECT 'error', CASE WHEN s.setrole = 0 THEN 'all roles' ELSE format('role %I', s.setrole::regrole) END,
		   'session_replication_role is set to replica', 'ALTER ROLE or ALTER DATABASE … RESET session_replication_role'
	FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE c LIKE 'session\_replication\_role=replica' ORDER BY 2;

	RETURN QUERY
	SELECT 'error', format('class %s', c.name), 'has no rule in force for references and encounters: nothing can be recorded in it',
		   'INSERT INTO facematch.retention_rule'
	FROM facematch.retention_class c
	WHERE NOT EXISTS (SELECT FROM facematch.retention_rule r WHERE r.retention_class = c.name AND r.valid_from <= now() AND now() < r.valid_to) ORDER BY 2;

	RETURN QUERY
	SELECT 'error', format('class %s', c.name), 'has a rule for references and none for encounters: a match at a gate would be an error',
		   'INSERT INTO facematch.retention_rule'
	FROM facematch.retention_class c
	WHERE EXISTS (SELECT FROM facematch.retention_rule r WHERE r.retention_class = c.name AND r.what = 'reference'
				  AND r.valid_from <= now() AND now() < r.valid_to)
	  AND NOT EXISTS (SELECT FROM facematch.retention_rule r WHERE r.retention_class = c.name AND r.what = 'encounter'
					  AND r.valid_from <= now() AND now() < r.valid_to) ORDER BY 2;

	RETURN QUERY
	SELECT 'warning', v.oid::regclass::text,
		   CASE v.relkind WHEN 'm' THEN 'the materialized view copies rows under retention' ELSE 'the view shows its readers due rows, with its owner''s rights' END,
		   CASE v.relkind WHEN 'm' THEN 'DROP it, or refresh it after each purge' ELSE format('ALTER VIEW %s SET (security_invoker = true)', v.oid::regclass) END
	FROM pg_class v
	WHERE v.relkind IN ('v', 'm') AND v.relnamespace <> 'facematch'::regnamespace
	  AND NOT EXISTS (SELECT FROM pg_options_to_table(v.reloptions) o WHERE o.option_name = 'security_invoker' AND o.option_value::boolean)
	  AND EXISTS (SELECT FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
				  JOIN facematch.retained r ON r.table_name = d.refobjid AND d.refclassid = 'pg_class'::regclass
				  WHERE w.ev_class = v.oid AND r.what <> 'gallery') ORDER BY 2;

	RETURN QUERY
	SELECT 'error', format('hold %s', h.hold_id), format('names a row of %s, which is not under retention', h.table_name), 'facematch.retain() attaches the table'
	FROM facematch.held h
	WHERE h.table_name IS NOT NULL AND NOT EXISTS (SELECT FROM facematch.retained r WHERE r.table_name = h.table_name) ORDER BY h.hold_id;

	RETURN QUERY
	SELECT 'warning', format('rule %s', r.name), 'gives no deadline while its anchor has not come', 'give the rule a fallback'
	FROM facematch.retention_rule r
	WHERE r.valid_to > now() AND r.fallback_anchor IS NULL AND r.what <> 'gallery' AND NOT 'recorded' = ANY (r.anchors) ORDER BY 2;

	RETURN QUERY
	SELECT 'warning', 'opt-outs', 'references of subjects who have opted out are there', 'delete them, or revoke the opt-out'
	WHERE EXISTS (SELECT FROM facematch.opt_out o JOIN facematch.reference r USING (subject_id)
				  WHERE o.revoked_at IS NULL AND (o.until IS NULL OR o.until > clock_timestamp())
					AND (o.gallery_id IS NULL OR o.gallery_id = r.gallery_id) AND r.purge_after > clock_timestamp());

	FOR t IN SELECT r.* FROM facematch.retained r JOIN pg_class c ON c.oid = r.table_name ORDER BY r.table_name::text LOOP
		EXECUTE format('SELECT count(*), clock_timestamp() - min(d.purge_after) FROM %s d WHERE d.purge_after <= clock_timestamp()'
					   ' AND NOT EXISTS (SELECT FROM facematch.held h WHERE h.table_name = $1 AND h.row_id = d.%I::text%s)',
					   t.table_name, t.key_column, CASE WHEN t.subject_column IS NULL THEN '' ELSE format(' OR h.subject_id = d.%I', t.subject_column) END)
			INTO overdue, longest USING t.table_name;
		IF overdue > 0 THEN
			severity := CASE WHEN longest > interval '1 hour' THEN 'error' ELSE 'notice' END;
			object := t.table_name;
			finding := format('%s rows are due and not purged, the oldest for %s', overdue, date_trunc('second', longest));
			remedy := 'CALL facematch.purge()';
			RETURN NEXT;
		END IF;
		IF t.template_column IS NOT NULL THEN
			SELECT count(*) INTO templates FROM pg_statistic s
			WHERE s.starelid = t.table_name AND s.staattnum = (SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = t.table_name AND a.attname = t.template_column)
			  AND (s.stavalues1 IS NOT NULL OR s.stavalues2 IS NOT NULL OR s.stavalues3 IS NOT NULL OR s.stavalues4 IS NOT NULL OR s.stavalues5 IS NOT NULL);
			IF templates > 0 THEN
				severity := 'error';
				object := t.table_name;
				finding := 'ANALYZE has left templates in pg_statistic';
				remedy := 'DELETE FROM pg_statistic for the column, as superuser, and ANALYZE';
				RETURN NEXT;
			END IF;
		END IF;
	END LOOP;

	IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		RETURN QUERY SELECT 'notice', 'purge', 'pg_cron is not installed in this database: nothing here calls the purge',
			'let another scheduler CALL facematch.purge(); due rows match nobody either way';
	ELSE
		RETURN QUERY EXECUTE 'SELECT ''warning'', ''purge'', ''no active job calls facematch.purge()'', ''SELECT facematch.schedule()'''
			' WHERE NOT EXISTS (SELECT FROM cron.job j WHERE j.active AND j.database = current_database() AND j.command ILIKE ''%facematch.purge%'')';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.check_policies() IS
	'what weakens the guarantees in this database: triggers missing or disabled, row security off, roles and views that pass it by, replica sessions, classes without a rule, holds that keep nothing, overdue rows, missing jobs, templates in statistics. severity: error, warning, notice. No row: nothing found';
REVOKE ALL ON FUNCTION facematch.check_policies() FROM PUBLIC;
/*
 * Reports: counts, never rows.
 */

CREATE FUNCTION facematch.count_retained()
	RETURNS TABLE (table_name regclass, retention_class text, rows_kept bigint, rows_due bigint, rows_held bigint,
				   next_due timestamptz, longest_overdue interval)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch.retained;
	moment timestamptz := clock_timestamp();
BEGIN
	FOR t IN SELECT r.* FROM facematch.retained r JOIN pg_class c ON c.oid = r.table_name ORDER BY r.table_name::text LOOP
		RETURN QUERY EXECUTE format(
			'SELECT $1, d.%1$I, count(*) FILTER (WHERE d.purge_after > $2), count(*) FILTER (WHERE d.purge_after <= $2),'
			' count(*) FILTER (WHERE EXISTS (SELECT FROM facematch.held h WHERE h.table_name = $1 AND h.row_id = d.%2$I::text)%3$s),'
			' min(d.purge_after) FILTER (WHERE d.purge_after > $2), $2 - min(d.purge_after) FILTER (WHERE d.purge_after <= $2)'
			' FROM %4$s d GROUP BY 2 ORDER BY 2', t.class_column, t.key_column,
			CASE WHEN t.subject_column IS NULL THEN '' ELSE format(' OR d.%I IN (SELECT h.subject_id FROM facematch.held h)', t.subject_column) END,
			t.table_name) USING t.table_name, moment;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch.count_retained() IS 'what is kept in each table under retention, by class';
REVOKE ALL ON FUNCTION facematch.count_retained() FROM PUBLIC;

CREATE VIEW facematch.report_retention AS
	SELECT c.table_name::text, c.retention_class, c.rows_kept, c.rows_due, c.rows_held, c.next_due, c.longest_overdue,
		   p.rows_purged, p.last_purge, p.worst_lateness
	FROM facematch.count_retained() c
	LEFT JOIN (SELECT pg_catalog.to_regclass(r.table_name) AS table_name, r.retention_class, sum(r.rows_purged)::bigint AS rows_purged,
					  max(r.purged_at) AS last_purge, max(r.lateness) AS worst_lateness
			   FROM facematch.purge_receipt r WHERE r.cause = 'retention' GROUP BY 1, 2) p USING (table_name, retention_class);
COMMENT ON VIEW facematch.report_retention IS 'what is kept, due, held and purged, by table and retention class';
COMMENT ON COLUMN facematch.report_retention.table_name IS 'the table under retention';
COMMENT ON COLUMN facematch.report_retention.retention_class IS 'the class';
COMMENT ON COLUMN facematch.report_retention.rows_kept IS 'rows that are not due';
COMMENT ON COLUMN facematch.report_retention.rows_due IS 'rows that are due and not purged yet: no candidates any more';
COMMENT ON COLUMN facematch.report_retention.rows_held IS 'rows that a hold names, or whose subject it names';
COMMENT ON COLUMN facematch.report_retention.next_due IS 'when the next row will be due';
COMMENT ON COLUMN facematch.report_retention.longest_overdue IS 'for how long the oldest due row has been due';
COMMENT ON COLUMN facematch.report_retention.rows_purged IS 'rows purged because they were due, as receipts have it';
COMMENT ON COLUMN facematch.report_retention.last_purge IS 'when the last of them were';
COMMENT ON COLUMN facematch.report_retention.worst_lateness IS 'the longest that one was due before it was purged';

CREATE VIEW facematch.report_matching AS
	SELECT (e.occurred_at AT TIME ZONE 'UTC')::date AS day_utc, e.port, e.gallery, e.model, e.threshold, count(*) AS encounters,
		   count(*) FILTER (WHERE e.outcome = 'match' AND e.override_reason IS NULL) AS matches,
		   count(*) FILTER (WHERE e.outcome = 'no_match') AS no_matches,
		   count(*) FILTER (WHERE e.outcome = 'manual_inspection') AS manual_inspections,
		   count(*) FILTER (WHERE e.override_reason IS NOT NULL) AS overrides,
		   count(*) FILTER (WHERE e.posting_id IS NULL) AS without_notice,
		   min(e.similarity) FILTER (WHERE e.outcome = 'match' AND e.override_reason IS NULL) AS least_similarity
	FROM facematch.encounter e
	WHERE e.purge_after > clock_timestamp()
	GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW facematch.report_matching IS 'outcomes at the gates, over the encounters that are not due';
COMMENT ON COLUMN facematch.report_matching.day_utc IS 'day, in UTC';
COMMENT ON COLUMN facematch.report_matching.port IS 'port';
COMMENT ON COLUMN facematch.report_matching.gallery IS 'name of the gallery';
COMMENT ON COLUMN facematch.report_matching.model IS 'model in use';
COMMENT ON COLUMN facematch.report_matching.threshold IS 'threshold in use';
COMMENT ON COLUMN facematch.report_matching.encounters IS 'how many encounters';
COMMENT ON COLUMN facematch.report_matching.matches IS 'of them, matches by comparison';
COMMENT ON COLUMN facematch.report_matching.no_matches IS 'of them, travelers referred because nothing matched';
COMMENT ON COLUMN facematch.report_matching.manual_inspections IS 'of them, travelers whose document was looked at instead';
COMMENT ON COLUMN facematch.report_matching.overrides IS 'of them, matches that an officer decided';
COMMENT ON COLUMN facematch.report_matching.without_notice IS 'of them, at places where no posted notice was on record';
COMMENT ON COLUMN facematch.report_matching.least_similarity IS 'the lowest similarity of a match';

CREATE VIEW facematch.report_opt_out AS
	SELECT o.scope, o.alternative, count(*) AS opt_outs,
		   count(*) FILTER (WHERE o.revoked_at IS NULL AND (o.until IS NULL OR o.until > clock_timestamp())) AS standing,
		   count(*) FILTER (WHERE o.revoked_at IS NOT NULL) AS revoked,
		   count(*) FILTER (WHERE o.revoked_at IS NULL AND o.until <= clock_timestamp()) AS ended,
		   min(o.noticed_at) AS first_noticed, max(o.noticed_at) AS last_noticed
	FROM facematch.opt_out o GROUP BY 1, 2;
COMMENT ON VIEW facematch.report_opt_out IS 'who declined, in numbers';
COMMENT ON COLUMN facematch.report_opt_out.scope IS 'standing, until or encounter';
COMMENT ON COLUMN facematch.report_opt_out.alternative IS 'what is done instead';
COMMENT ON COLUMN facematch.report_opt_out.opt_outs IS 'how many were filed';
COMMENT ON COLUMN facematch.report_opt_out.standing IS 'how many stand';
COMMENT ON COLUMN facematch.report_opt_out.revoked IS 'how many were revoked';
COMMENT ON COLUMN facematch.report_opt_out.ended IS 'how many have ended by their date';
COMMENT ON COLUMN facematch.report_opt_out.first_noticed IS 'the first notice';
COMMENT ON COLUMN facematch.report_opt_out.last_noticed IS 'the last notice';
