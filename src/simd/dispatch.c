/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *	  Which kernels this CPU can run, and which of them are in use.
 *
 * One binary for all CPUs of an architecture: each table's functions carry
 * their own target attribute, and only what the CPU and the operating system
 * support is ever listed here.
 *
 *-------------------------------------------------------------------------
 */
#include "c.h"

#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "simd/kernels.h"

#define MAX_TABLES	4			/* three at most, and the NULL at the end */

const FaceKernels *face_kernels = &face_kernels_portable;

static const FaceKernels *available[MAX_TABLES];

#if defined(__x86_64__)
/* clang's __builtin_cpu_supports() has no name for this one */
static bool
cpu_has_f16c(void)
{
	unsigned int eax,
				ebx,
				ecx,
				edx;

	return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) != 0;
}
#endif

/*
 * __builtin_cpu_supports() also asks (XGETBV) whether the operating system
 * saves the wider registers; without that the instructions would fault.
 */
static int
list_vector_tables(const FaceKernels **tables)
{
	int			n = 0;

#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && cpu_has_f16c())
	{
		if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
			tables[n++] = &face_kernels_avx512;
		tables[n++] = &face_kernels_avx2;
	}
#elif defined(__aarch64__)
	tables[n++] = &face_kernels_neon;
#endif
	return n;
}

const FaceKernels *const *
face_simd_available(void)
{
	if (available[0] == NULL)
	{
		const FaceKernels *tables[MAX_TABLES] = {NULL};

		tables[list_vector_tables(tables)] = &face_kernels_portable;
		memcpy(available, tables, sizeof(available));
	}
	return available;
}

const FaceKernels *
face_simd_find(const char *name)
{
	const FaceKernels *const *table = face_simd_available();

	if (strcmp(name, "auto") == 0)
		return table[0];
	while (*table != NULL && strcmp((*table)->name, name) != 0)
		table++;
	return *table;
}

bool
face_simd_select(const char *name)
{
	const FaceKernels *table = face_simd_find(name);

	if (table != NULL)
		face_kernels = table;
	return table != NULL;
}

void
face_simd_init(void)
{
	face_kernels = face_simd_available()[0];
}
