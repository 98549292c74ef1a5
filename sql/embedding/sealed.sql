/*
 * Sealed values: their key, and what they were (src/embedding/sealed.c).
 */

CREATE FUNCTION facematch_internal.sealed_by(template @extschema@.face_embedding) RETURNS uuid
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_sealed_by';
COMMENT ON FUNCTION facematch_internal.sealed_by(@extschema@.face_embedding) IS
	'the name of the key that a template is sealed with; NULL: it is not sealed';

CREATE FUNCTION facematch_internal.opened(template @extschema@.face_embedding) RETURNS @extschema@.face_embedding
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_opened';
COMMENT ON FUNCTION facematch_internal.opened(@extschema@.face_embedding) IS
	'a template as it was before it was sealed; NULL: its key has been destroyed. Not the bytes that were sealed:'
	' XX001; the key is missing: 55000; facematch.key_command failed: 38000. For facematch.unseal() and'
	' facematch.read_templates() only';
