/* What is taken out of texts and statements (src/redaction/README.md): templates and images. */

CREATE FUNCTION facematch_internal.redacted(value text, is_statement boolean DEFAULT false) RETURNS text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_redacted';
COMMENT ON FUNCTION facematch_internal.redacted(text, boolean) IS
	'a text, or a statement, as the server''s log has it while the library is loaded and facematch.redact_log is on';

CREATE FUNCTION facematch_internal.redacted(value jsonb) RETURNS jsonb
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_redacted_json';
COMMENT ON FUNCTION facematch_internal.redacted(jsonb) IS
	'an object or array with facematch_internal.redacted(text) of each text in it: what facematch.audit_event.detail has';
