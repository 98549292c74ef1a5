/*-------------------------------------------------------------------------
 *
 * harness.h
 *	  Counts of checks, guarded arrays and repeatable random numbers for the
 *	  unit tests.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_TEST_HARNESS_H
#define FACEMATCH_TEST_HARNESS_H

#include "c.h"

/* Count one check; print the first few that fail, and say what failed. */
extern void check(bool ok, const char *format,...) __attribute__((format(printf, 2, 3)));

/* Print "N passed, N failed"; the exit status of the program. */
extern int	check_summary(void);

/*
 * Memory whose last byte is the last of a page and is followed by a page that
 * may not be read: a kernel that reads past its array dies.
 */
typedef struct GuardedArea
{
	uint8	   *end;			/* first byte that may not be touched */
	size_t		size;
} GuardedArea;

extern GuardedArea guarded_area(size_t size);

/* n halves that end "gap" elements before the guard page. */
static inline uint16 *
guarded_halves(const GuardedArea *area, int n, int gap)
{
	return (uint16 *) area->end - gap - n;
}

/* xorshift64*: the same sequence on every machine */
extern uint64 random_bits(uint64 *state);

/* uniform in [0, 1) */
extern double random_uniform(uint64 *state);

#endif							/* FACEMATCH_TEST_HARNESS_H */
