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

const FaceKernels *const face_simd_built[] = {
#if defined(__x86_64__)
	&face_kernels_avx512,
	&face_kernels_avx2,
#elif defined(__aarch64__)
	&face_kernels_neon,
#endif
	&face_kernels_portable,
	NULL
};

#define MAX_TABLES	(sizeof(face_simd_built) / sizeof(*face_simd_built))

const FaceKernels *face_kernels = &face_kernels_portable;

static const FaceKernels *available[MAX_TABLES];
static FaceMixedKernels mixed;

/* All functions of a table, some by way of its table of scan kernels. */
typedef struct Member
{
	const char *name;
	bool		scan;
	size_t		offset;
} Member;

#define DISTANCE_KERNEL(name) {#name, false, offsetof(FaceKernels, name)}
#define SCAN_KERNEL(name) {#name, true, offsetof(FaceScanKernels, name)}

static const Member members[] = {
	DISTANCE_KERNEL(dot),
	DISTANCE_KERNEL(l2_squared),
	DISTANCE_KERNEL(half_to_float),
	DISTANCE_KERNEL(float_to_half),
	SCAN_KERNEL(sketch_sums),
	SCAN_KERNEL(cosine_bounds),
	SCAN_KERNEL(euclidean_bounds),
	SCAN_KERNEL(inner_product_bounds),
	SCAN_KERNEL(take_slots),
	SCAN_KERNEL(bit_sums),
	SCAN_KERNEL(dot2),
	SCAN_KERNEL(dot4),
	SCAN_KERNEL(dot8),
	SCAN_KERNEL(quantize),
};

#define MEMBERS ((int) (sizeof(members) / sizeof(*members)))

typedef void (*AnyKernel) (void);

StaticAssertDecl(sizeof(FaceKernels) + sizeof(FaceScanKernels) ==
				 sizeof(members) / sizeof(*members) * sizeof(AnyKernel) + 2 * sizeof(void *),
				 "every kernel is listed, beside a name and a pointer");

/* Where a narrower set of instructions is faster, if the wider one works in halves: README.md has the figures. */
typedef struct Preference
{
	const char *kernel;
	const char *level;
	const char *instead_of;
} Preference;

static const Preference preferences[] = {
	{"dot", "avx2", "avx512"},
};

#define PREFERENCES ((int) (sizeof(preferences) / sizeof(*preferences)))

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

/* AMD's first with AVX-512 does (Zen 4, family 19h), the next has them whole. */
bool
face_simd_has_halves(void)
{
#if defined(__x86_64__)
	unsigned int eax,
				ebx,
				ecx,
				edx;

	if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx) || ebx != signature_AMD_ebx ||
		!__get_cpuid(1, &eax, &ebx, &ecx, &edx))
		return false;
	/* the base family is 0Fh where the extended one counts */
	return ((eax >> 8) & 0x0F) + ((eax >> 20) & 0xFF) == 0x19;
#else
	return false;
#endif
}

/*
 * __builtin_cpu_supports() also asks (XGETBV) whether the operating system
 * saves the wider registers; without that the instructions would fault.
 */
static bool
can_run(const FaceKernels *table)
{
#if defined(__x86_64__)
	if (table != &face_kernels_portable)
	{
		__builtin_cpu_init();
		if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !cpu_has_f16c())
			return false;
		if (table == &face_kernels_avx512)
			return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
	}
#endif
	return true;
}

const FaceKernels *const *
face_simd_available(void)
{
	int			n = 0;

	if (available[0] == NULL)
		for (int i = 0; face_simd_built[i] != NULL; i++)
			if (can_run(face_simd_built[i]))
				available[n++] = face_simd_built[i];
	return available;
}

/* The table of this name; NULL if it is not among these. */
static const FaceKernels *
find_table(const FaceKernels *const *tables, const char *name)
{
	while (*tables != NULL && strcmp((*tables)->name, name) != 0)
		tables++;
	return *tables;
}

static char *
member_place(const FaceKernels *table, const Member *member)
{
	return (member->scan ? (char *) table->scan : (char *) table) + member->offset;
}

static const Member *
find_member(const char *name)
{
	const Member *member = members;

	while (strcmp(member->name, name) != 0)
		member++;
	return member;
}

const FaceKernels *
face_simd_mix(const FaceKernels *const *tables, bool halves, FaceMixedKernels *mix)
{
	const FaceKernels *result = tables[0];

	for (int i = 0; halves && i < PREFERENCES; i++)
	{
		const FaceKernels *better = find_table(tables, preferences[i].level);
		const Member *member = find_member(preferences[i].kernel);

		if (strcmp(tables[0]->name, preferences[i].instead_of) != 0 || better == NULL)
			continue;
		if (result == tables[0])
		{
			mix->kernels = *tables[0];
			mix->scan = *tables[0]->scan;
			mix->kernels.scan = &mix->scan;
			result = &mix->kernels;
		}
		memcpy(member_place(result, member), member_place(better, member), sizeof(AnyKernel));
	}
	return result;
}

bool
face_simd_part(const FaceKernels *table, int number, FaceKernelPart *part)
{
	const Member *member = &members[number];

	if (number < 0 || number >= MEMBERS)
		return false;
	part->kernel = member->name;
	part->level = NULL;
	for (int i = 0; face_simd_built[i] != NULL && part->level == NULL; i++)
		if (memcmp(member_place(table, member), member_place(face_simd_built[i], member), sizeof(AnyKernel)) == 0)
			part->level = face_simd_built[i]->name;
	return true;
}

const FaceKernels *
face_simd_find(const char *name)
{
	const FaceKernels *const *tables = face_simd_available();

	return strcmp(name, "auto") == 0 ? face_simd_mix(tables, face_simd_has_halves(), &mixed) : find_table(tables, name);
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
	(void) face_simd_select("auto");
}
