/*
 * Where keys are (src/keys).
 */

CREATE FUNCTION facematch_internal.keys_are_possible() RETURNS boolean
	LANGUAGE C STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_keys_are_possible';
COMMENT ON FUNCTION facematch_internal.keys_are_possible() IS
	'whether facematch.key_directory or facematch.key_command is set, so that templates can be sealed';
