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

/* A table has every kernel, and none that is another table's: one may be built, tested and yet never run. */
static void
test_whole(const FaceKernels *table)
{
	FaceKernelPart part;
	int			n = 0;

	for (; face_simd_part(table, n, &part); n++)
	{
		const char *level = part.level != NULL ? part.level : "nobody's";

		check(strcmp(level, table->name) == 0, "%s of %s is %s", part.kernel, table->name, level);
		for (const FaceKernels *const *other = face_simd_built; *other != NULL; other++)
		{
			FaceKernelPart theirs;

			check(*other == table || (face_simd_part(*other, n, &theirs) && strcmp(theirs.level, table->name) != 0),
				  "%s of %s is not that of %s", part.kernel, table->name, (*other)->name);
		}
	}
	check(n == 14, "a table has %d kernels", n);
}

/* "auto" of all tables of the build, which is made without running any: the widest but for what is told here. */
static void
test_mixed(void)
{
	FaceMixedKernels mix;
	const FaceKernels *table = face_simd_mix(face_simd_built, true, &mix);
	FaceKernelPart part;

	check(strcmp(table->name, face_simd_built[0]->name) == 0, "auto is named by the widest table");
	for (int i = 0; face_simd_part(table, i, &part); i++)
	{
		const char *expected = face_simd_built[0]->name;

		if (strcmp(expected, "avx512") == 0 && strcmp(part.kernel, "dot") == 0)
			expected = "avx2";
		check(part.level != NULL && strcmp(part.level, expected) == 0, "auto takes %s of %s", part.kernel, expected);
	}
	table = face_simd_mix(face_simd_built + 1, true, &mix);
	check(table == face_simd_built[1], "auto is a table as it is where none of its kernels is slower");
	table = face_simd_mix(face_simd_built, false, &mix);
	check(table == face_simd_built[0], "auto is the widest table of a processor that has its instructions whole");
}

#ifndef FACE_SIMDE
/* The table in use is the one of this name, in every part. */
static void
check_in_use(const char *name)
{
	FaceKernelPart part;

	check(strcmp(face_kernels->name, name) == 0, "%s is in use", name);
	for (int i = 0; face_simd_part(face_kernels, i, &part); i++)
		check(part.level != NULL && strcmp(part.level, name) == 0, "%s of %s is in use", part.kernel, name);
}

static void
test_dispatch(void)
{
	const FaceKernels *const *tables = face_simd_available();
	FaceMixedKernels mix;
	const FaceKernels *best = face_simd_mix(tables, face_simd_has_halves(), &mix);
	int			n = 0;

	check(face_kernels == &face_kernels_portable, "portable until face_simd_init()");
	face_simd_init();
	check(strcmp(face_kernels->name, best->name) == 0, "face_simd_init() takes the best table");
	for (; tables[n] != NULL; n++)
	{
		check(face_simd_select(tables[n]->name) && face_kernels == tables[n],
			  "%s can be selected", tables[n]->name);
		check(face_simd_find(tables[n]->name) == tables[n], "%s can be found", tables[n]->name);
		check_in_use(tables[n]->name);
	}
	check(n > 0 && tables[n - 1] == &face_kernels_portable, "portable is the last choice");
	check(!face_simd_select("sse") && face_kernels == &face_kernels_portable,
		  "an unknown name changes nothing");
	check(face_simd_select("auto"), "auto can be selected");
	for (int i = 0;; i++)
	{
		FaceKernelPart used;
		FaceKernelPart expected;

		if (!face_simd_part(face_kernels, i, &used) || !face_simd_part(best, i, &expected))
			break;
		check(used.level == expected.level, "auto has %s of %s", used.kernel, expected.level);
	}
#if defined(__x86_64__)
	check(face_simd_find("neon") == NULL, "no neon on x86-64");
#endif
}
#endif

int
main(void)
{
	for (const FaceKernels *const *table = face_simd_built; *table != NULL; table++)
		test_whole(*table);
	test_mixed();
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
