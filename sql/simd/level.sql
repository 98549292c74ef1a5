-- Which distance kernels are in use.

CREATE FUNCTION facematch.simd_level() RETURNS text
	LANGUAGE C STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'facematch_simd_level';

COMMENT ON FUNCTION facematch.simd_level() IS
	'instruction set of the distance kernels in use: avx512, avx2, neon or portable; all return the same distances. Set facematch.simd to force one.';
