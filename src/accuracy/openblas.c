/*-------------------------------------------------------------------------
 *
 * openblas.c
 *	  Matrix multiplication by the serial OpenBLAS.
 *
 * Debian has OpenBLAS in three builds under one SONAME.  The one with threads
 * wins the alternatives, starts its threads when it is loaded, and nothing
 * takes them away again; a backend must have one thread.  So the serial build
 * is not linked, where a search path or a library that came first could put
 * another in its place, but opened by its own path, at the first comparison
 * that needs it, and asked whether it really is serial.  RTLD_LOCAL keeps its
 * names from everything else in the process.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dlfcn.h>

#include "accuracy/openblas.h"

/* `make FACEMATCH_OPENBLAS=PATH` where it lies elsewhere. */
#ifndef FACEMATCH_OPENBLAS
#if defined(__x86_64__)
#define FACEMATCH_OPENBLAS	"/usr/lib/x86_64-linux-gnu/openblas-serial/libopenblas.so.0"
#elif defined(__aarch64__)
#define FACEMATCH_OPENBLAS	"/usr/lib/aarch64-linux-gnu/openblas-serial/libopenblas.so.0"
#else
#define FACEMATCH_OPENBLAS	"/usr/lib/openblas-serial/libopenblas.so.0"
#endif
#endif

#define HOW_TO_GET_IT \
	"Install the serial OpenBLAS (Debian: libopenblas0-serial), or build with FACEMATCH_OPENBLAS naming it."

/* From the standard interface, cblas.h, which need not be installed. */
enum
{
	CBLAS_ROW_MAJOR = 101,
	CBLAS_NO_TRANS = 111,
	CBLAS_TRANS = 112
};

typedef void (*SgemmFunction) (int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
							   const float *b, int ldb, float beta, float *c, int ldc);

/* What openblas_get_parallel() answers. */
#define OPENBLAS_SEQUENTIAL	0

typedef int (*ParallelFunction) (void);

static SgemmFunction sgemm = NULL;

static void *
find(void *library, const char *name)
{
	void	   *symbol = dlsym(library, name);

	if (symbol == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("\"%s\" has no function %s", FACEMATCH_OPENBLAS, name),
				 errhint(HOW_TO_GET_IT)));
	return symbol;
}

static void
load_openblas(void)
{
	void	   *library = dlopen(FACEMATCH_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
	ParallelFunction parallel;

	if (library == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("could not load the serial OpenBLAS: %s", dlerror()),
				 errhint(HOW_TO_GET_IT)));
	parallel = (ParallelFunction) find(library, "openblas_get_parallel");
	if (parallel() != OPENBLAS_SEQUENTIAL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" is an OpenBLAS with threads", FACEMATCH_OPENBLAS),
				 errdetail("A PostgreSQL backend must have one thread."),
				 errhint(HOW_TO_GET_IT)));
	sgemm = (SgemmFunction) find(library, "cblas_sgemm");
}

void
face_sgemm(int m, int n, int k, const float *a, const float *b, float *scores)
{
	if (unlikely(sgemm == NULL))
		load_openblas();
	for (int first = 0; first < k; first += FACE_SGEMM_CHUNK)
		sgemm(CBLAS_ROW_MAJOR, CBLAS_NO_TRANS, CBLAS_TRANS, m, n, Min(FACE_SGEMM_CHUNK, k - first),
			  1.0f, a + first, k, b + first, k, first == 0 ? 0.0f : 1.0f, scores, n);
}
