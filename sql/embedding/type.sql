/*
 * The type face_embedding: a template with its model tag (src/embedding).
 *
 * SQLSTATEs: 22P02 malformed text, 22P03 malformed binary, 22003 component or
 * tag out of range, 22000 NaN, infinity, zero norm or other dimensions, 22023
 * another model, 22004 NULL component, 2202E array of several dimensions,
 * 54000 more than 3584 components.  No message repeats a component.
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
	'biometric template: 1 to 3584 half-precision components with their norm and the tag of the model that made it. '
	'face_embedding(512,7): 512 dimensions, model 7; the column stamps the tag on untagged templates and refuses '
	'other tags. Text [0.1,-0.2], tagged 7:[0.1,-0.2]; binary int16 dimensions, int16 tag (0: none), float4 '
	'components, big-endian';
COMMENT ON FUNCTION face_embedding_in(cstring, oid, integer) IS 'I/O: reads [0.1,-0.2] or 7:[0.1,-0.2]';
COMMENT ON FUNCTION face_embedding_out(face_embedding) IS 'I/O: shortest decimals that read back to the same '
	'half-precision components; whole numbers from 4096 on as they are';
COMMENT ON FUNCTION face_embedding_recv(internal, oid, integer)
	IS 'I/O: reads int16 dimensions, int16 model tag, float4 components, big-endian';
COMMENT ON FUNCTION face_embedding_send(face_embedding) IS 'I/O: writes int16 dimensions, int16 model tag, float4 '
	'components, big-endian';
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
COMMENT ON FUNCTION face_dims(face_embedding) IS 'number of dimensions, 1 to 3584';

CREATE FUNCTION face_model(face_embedding) RETURNS integer
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_model(face_embedding) IS
	'tag of the model that made the template, 1 to 32767; 0 for an untagged template';

-- Not LEAKPROOF: of a sealed one it is an error.
CREATE FUNCTION face_norm(face_embedding) RETURNS double precision
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_norm(face_embedding) IS
	'Euclidean norm of the stored components, single precision rounded towards zero; about 1 for models that '
	'normalise. Of a sealed template: 55000';

CREATE FUNCTION face_with_model(face_embedding, model integer) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION face_with_model(face_embedding, integer) IS
	'the template with this model tag, 1 to 32767 (22003 otherwise); a template that carries another tag is refused '
	'(22023)';
