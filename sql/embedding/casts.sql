-- Casts of face_embedding.

CREATE FUNCTION face_embedding(face_embedding, typmod integer, explicit boolean) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'face_embedding_cast';
COMMENT ON FUNCTION face_embedding(face_embedding, integer, boolean) IS
	'cast to face_embedding(dimensions, model): stamps the tag on an untagged template, refuses other dimensions '
	'(22000) and other models (22023)';

CREATE FUNCTION face_embedding(real[], typmod integer, explicit boolean) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'array_to_face_embedding';
CREATE FUNCTION face_embedding(double precision[], typmod integer, explicit boolean) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'array_to_face_embedding';
CREATE FUNCTION face_embedding(integer[], typmod integer, explicit boolean) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'array_to_face_embedding';
CREATE FUNCTION face_embedding(numeric[], typmod integer, explicit boolean) RETURNS face_embedding
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'array_to_face_embedding';
COMMENT ON FUNCTION face_embedding(real[], integer, boolean) IS 'cast: components rounded to half precision, untagged';
COMMENT ON FUNCTION face_embedding(double precision[], integer, boolean)
	IS 'cast: components rounded to single, then half precision, untagged';
COMMENT ON FUNCTION face_embedding(integer[], integer, boolean)
	IS 'cast: components rounded to half precision, untagged';
COMMENT ON FUNCTION face_embedding(numeric[], integer, boolean)
	IS 'cast: components rounded to single, then half precision, untagged';

CREATE FUNCTION face_embedding_to_real(face_embedding) RETURNS real[]
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'face_embedding_to_float4';
CREATE FUNCTION face_embedding_to_double(face_embedding) RETURNS double precision[]
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'face_embedding_to_float8';
COMMENT ON FUNCTION face_embedding_to_real(face_embedding) IS 'cast: the stored components, exactly; the model tag is '
	'lost';
COMMENT ON FUNCTION face_embedding_to_double(face_embedding) IS 'cast: the stored components, exactly; the model tag '
	'is lost';

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
