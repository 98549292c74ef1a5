/*
 * Looking inside the access method.
 */
CREATE FUNCTION facematch.last_scan(
	OUT lists bigint, OUT pages bigint, OUT sketches bigint,
	OUT planes bigint, OUT refined bigint, OUT measured bigint, OUT returned bigint)
	RETURNS record LANGUAGE C VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'facematch_last_scan';
COMMENT ON FUNCTION facematch.last_scan() IS
	'what this session''s last scan of a facematch index did: posting lists and sketch pages read, templates whose '
	'sketch was compared, whose second bits were (if the sketch has one bit for each dimension), whose refinement '
	'code was, templates that were read from the table and compared exactly, and rows handed to the executor';

/* In the manner of pgstattuple. */
CREATE FUNCTION facematch.index_stats(index regclass, count_dead boolean DEFAULT false,
	OUT version integer, OUT index_size bigint, OUT lists bigint, OUT templates bigint, OUT null_embeddings bigint,
	OUT dead bigint, OUT slots bigint, OUT free_slots bigint, OUT fill_percent double precision,
	OUT directory_pages bigint, OUT centre_pages bigint, OUT sketch_pages bigint, OUT plane_pages bigint,
	OUT refine_pages bigint,
	OUT free_pages bigint, OUT damaged_pages bigint, OUT sketch_bytes bigint, OUT bytes_per_template double precision)
	RETURNS record LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'facematch_index_stats';
COMMENT ON FUNCTION facematch.index_stats(regclass, boolean) IS
	'what a facematch index holds: version of its pages, size in bytes, posting lists (one for each combination of '
	'keys and each model), templates and null embeddings, dead entries that VACUUM has yet to remove (read from '
	'the table, only when count_dead is true), slots and how many are free, slots in use in percent, pages by kind '
	'(with the one meta page they make the whole index; free ones are reused), bytes of the templates'' sketches '
	'alone (a search reads at least these), index bytes for each template. Reads the whole index, and does not '
	'block changes. Errors: 42809 for anything but a facematch index, XX002 for a damaged one';

CREATE FUNCTION facematch_internal.index_epochs(index regclass, counted boolean DEFAULT true)
	RETURNS TABLE (epoch integer, dims integer, model integer, sketch_bits integer, plane_bits integer,
		refine_bits integer, rotation_seed text, centre_length double precision, templates bigint, slots bigint,
		sketch_pages bigint, plane_pages bigint, refine_pages bigint,
		sketch_bytes integer, plane_bytes integer, refine_bytes integer)
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'facematch_index_epochs';
COMMENT ON FUNCTION facematch_internal.index_epochs(regclass, boolean) IS
	'how a facematch index encodes templates, a row for each epoch: dimensions (0: null embeddings) and model tag (0: '
	'none), bits a dimension of sketch, plane (0: none) and refinement code, seed of the random rotation (16 hexadecimal '
	'digits; keep it from those who enrol templates, who could choose ones with wide bounds), length of the centre that '
	'is subtracted from unit templates (0 to 1; 0: none), templates, slots and pages of the epoch, bytes of one '
	'template''s sketch, second bits and refinement code. Reads the whole index; if counted is false, only its meta '
	'page, and templates, slots and pages are NULL. Errors as of index_stats';

GRANT EXECUTE ON FUNCTION facematch.index_stats(regclass, boolean) TO pg_stat_scan_tables;

/* In the manner of amcheck. */
CREATE FUNCTION facematch.index_check(index regclass, heapallindexed boolean DEFAULT false)
	RETURNS void LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'facematch_index_check';
COMMENT ON FUNCTION facematch.index_check(regclass, boolean) IS
	'raises XX002 (index_corrupted), with the block, on the first error in a facematch index: pages, directory, '
	'chains of posting lists, unreachable pages, slots and the numbers beside codes. Holds AccessShareLock, so '
	'that others can read, write and vacuum. With heapallindexed also compares it with the table under ShareLock, '
	'which lets others only read: every row has exactly one entry, in the right posting list, with exactly the '
	'codes that its template gives; no entry belongs to a row that does not exist. Takes 32 bytes of memory for '
	'each page, and maintenance_work_mem for the table''s rows';

CREATE FUNCTION facematch_internal.index_problems(index regclass, heapallindexed boolean DEFAULT false)
	RETURNS TABLE (block bigint, problem text)
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'facematch_index_check';
COMMENT ON FUNCTION facematch_internal.index_problems(regclass, boolean) IS
	'everything that index_check would raise, as rows: block number and what is wrong there. A page that the server '
	'itself refuses to read, or a damaged meta page, is still an error';

