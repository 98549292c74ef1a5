/*
 * What the server's log shows of a text (src/redaction/redact.c), and the log
 * of what was done (60_audit.sql): no template.
 */

CREATE FUNCTION facematch_internal.redacted(value text) RETURNS text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_redacted';
COMMENT ON FUNCTION facematch_internal.redacted(text) IS
	'a text as the server''s log would have it while the library is loaded and facematch.redact_log is on: lists of numbers and long stretches of hexadecimal, octal or base64 bytes are replaced by how many there were';

CREATE FUNCTION facematch_internal.redacted(value jsonb) RETURNS jsonb
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_redacted_json';
COMMENT ON FUNCTION facematch_internal.redacted(jsonb) IS
	'an object or array with facematch_internal.redacted(text) of each text in it: what facematch.audit_event.detail has';
