-- Which distance kernels are in use.

CREATE FUNCTION facematch.simd_level() RETURNS text
	LANGUAGE C STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'facematch_simd_level';

COMMENT ON FUNCTION facematch.simd_level() IS
	'instruction set of the kernels in use, of distances and of index searches: avx512, avx2, neon or portable, '
	'then the kernels of another set, which are faster, for example "avx512, dot by avx2". All return the same '
	'distances. Set facematch.simd to force one.';
