/*-------------------------------------------------------------------------
 *
 * postgres.h
 *	  The few names of PostgreSQL's postgres.h that the codec uses, so that
 *	  src/index builds for any target.  Tests keep what they allocate until
 *	  they free or end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_TEST_POSTGRES_H
#define FACEMATCH_TEST_POSTGRES_H

#include <stdlib.h>
#include <string.h>

#include "c.h"

typedef int64_t int64;
typedef float float4;

#define PG_VERSION_NUM	150000	/* what compat.h takes for the oldest: needs nothing else */
#define FLEXIBLE_ARRAY_MEMBER
#define BITS_PER_BYTE	8
#define PG_INT16_MAX	INT16_MAX
#define PG_INT32_MIN	INT32_MIN
#define PG_UINT16_MAX	UINT16_MAX
#define Min(x, y)		((x) < (y) ? (x) : (y))
#define Max(x, y)		((x) > (y) ? (x) : (y))

static inline void *
palloc0(Size size)
{
	void	   *p = calloc(1, size);

	if (p == NULL)
		abort();
	return p;
}

#define palloc(size)	palloc0(size)
#define pfree(p)		free(p)

#endif							/* FACEMATCH_TEST_POSTGRES_H */
