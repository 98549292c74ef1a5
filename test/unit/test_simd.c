/*-------------------------------------------------------------------------
 *
 * test_simd.c
 *	  Unit test of src/simd: every kernel table that can run here, or, built
 *	  with FACE_SIMDE, the emulated AVX-512 one.
 *
 *-------------------------------------------------------------------------
 */
#include "test_simd.h"

#include <stdio.h>
#include <string.h>

#include "harness.h"

static void
test_table(const FaceKernels *kernels)
{
	printf("%s\n", kernels->name);
	test_half(kernels);
	test_distances(kernels);
	test_scan(kernels);
}

#ifndef FACE_SIMDE
static void
test_dispatch(void)
{
	const FaceKernels *const *tables = face_simd_available();
	int			n = 0;

	check(face_kernels == &face_kernels_portable, "portable until face_simd_init()");
	face_simd_init();
	check(face_kernels == tables[0], "face_simd_init() takes the best table");
	for (; tables[n] != NULL; n++)
	{
		check(face_simd_select(tables[n]->name) && face_kernels == tables[n],
			  "%s can be selected", tables[n]->name);
		check(face_simd_find(tables[n]->name) == tables[n], "%s can be found", tables[n]->name);
	}
	check(n > 0 && tables[n - 1] == &face_kernels_portable, "portable is the last choice");
	check(!face_simd_select("sse") && face_kernels == &face_kernels_portable,
		  "an unknown name changes nothing");
	check(face_simd_select("auto") && face_kernels == tables[0], "auto is the best table");
#if defined(__x86_64__)
	check(face_simd_find("neon") == NULL, "no neon on x86-64");
#endif
}
#endif

int
main(void)
{
#ifdef FACE_SIMDE
	printf("through SIMDe: ");
	test_table(&face_kernels_avx512);
#else
	test_dispatch();
	for (const FaceKernels *const *table = face_simd_available(); *table != NULL; table++)
		test_table(*table);
#endif
	return check_summary();
}
