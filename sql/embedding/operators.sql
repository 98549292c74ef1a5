/*
 * Operators of face_embedding.
 *
 * COST: a 512-d comparison takes about four times a cheap operator, call included.
 *
 * The distances are not LEAKPROOF: they raise an error for arguments of unequal
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
COMMENT ON FUNCTION face_embedding_euclidean_distance(face_embedding, face_embedding)
	IS 'implementation of <-> operator';
COMMENT ON FUNCTION face_embedding_negative_inner_product(face_embedding, face_embedding)
	IS 'implementation of <#> operator';
COMMENT ON FUNCTION face_similarity(face_embedding, face_embedding) IS
	'cosine similarity, -1 to 1: exactly 1 minus the operator <=>. Unequal dimensions: 22000; different models: '
	'22023; an untagged template compares with any model. NULL: the key of a sealed one was destroyed; a sealed '
	'one, for a role that may not read templates: 42501';

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
	'cosine distance, 0 to 2. Unequal dimensions: 22000; different models: 22023; a sealed one, for a role that '
	'may not read templates: 42501';
COMMENT ON OPERATOR <-> (face_embedding, face_embedding) IS
	'Euclidean distance, 0 or more. Unequal dimensions: 22000; different models: 22023; a sealed one, for a role '
	'that may not read templates: 42501';
COMMENT ON OPERATOR <#> (face_embedding, face_embedding) IS
	'negative inner product, so that ascending order has the most similar first. Unequal dimensions: 22000; '
	'different models: 22023; a sealed one, for a role that may not read templates: 42501';

-- A template as a vector.

CREATE FUNCTION l2_normalize(face_embedding) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'face_embedding_normalize';
COMMENT ON FUNCTION l2_normalize(face_embedding) IS
	'the template divided by its Euclidean norm, rounded to half precision; keeps the model tag';

CREATE FUNCTION face_embedding_concat(face_embedding, face_embedding) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_concat(face_embedding, face_embedding) IS
	'implementation of || operator: the components of both, untagged; more than 4000: 54000';
CREATE OPERATOR || (
	LEFTARG = face_embedding, RIGHTARG = face_embedding, FUNCTION = face_embedding_concat
);
COMMENT ON OPERATOR || (face_embedding, face_embedding) IS
	'the components of both in one untagged template, as pgvector joins vectors';

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
CREATE FUNCTION face_embedding_sum_final(internal) RETURNS face_embedding
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_embedding_avg_final(internal) IS 'aggregate final function';
COMMENT ON FUNCTION face_embedding_sum_final(internal) IS 'aggregate final function';

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
	'template fusion: the arithmetic mean, computed in double precision, with the model tag of the templates. NULL of '
	'no template; templates of unequal dimensions: 22000, of different models: 22023, a mean of zero norm: 22000';

-- Citus computes avg() as sum() / count() whatever the type is; this name it leaves alone.
CREATE AGGREGATE face_mean(face_embedding) (
	SFUNC = face_embedding_avg_accum,
	STYPE = internal,
	SSPACE = 4096,
	FINALFUNC = face_embedding_avg_final,
	COMBINEFUNC = face_embedding_avg_combine,
	SERIALFUNC = face_embedding_avg_serialize,
	DESERIALFUNC = face_embedding_avg_deserialize,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE face_mean(face_embedding) IS 'avg(face_embedding) under a name that Citus does not rewrite';

CREATE AGGREGATE sum(face_embedding) (
	SFUNC = face_embedding_avg_accum,
	STYPE = internal,
	SSPACE = 4096,
	FINALFUNC = face_embedding_sum_final,
	COMBINEFUNC = face_embedding_avg_combine,
	SERIALFUNC = face_embedding_avg_serialize,
	DESERIALFUNC = face_embedding_avg_deserialize,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE sum(face_embedding) IS
	'the sum of each component, computed in double precision. NULL of no template; a component beyond 65504: 22003; '
	'else as avg';
