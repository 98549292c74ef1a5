/*
 * Looking inside the access method.
 */
CREATE FUNCTION facematch.last_scan(
	OUT lists bigint, OUT pages bigint, OUT sketches bigint,
	OUT refined bigint, OUT measured bigint, OUT returned bigint)
	RETURNS record LANGUAGE C VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'facematch_last_scan';
COMMENT ON FUNCTION facematch.last_scan() IS
	'what this session''s last scan of a facematch index did: posting lists and sketch pages read, templates whose sketch was compared, whose refinement code was compared, who were read from the table and compared exactly, and rows handed to the executor';
