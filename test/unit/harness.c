/*-------------------------------------------------------------------------
 *
 * harness.c
 *	  See harness.h.
 *
 *-------------------------------------------------------------------------
 */
#include "harness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_PRINTED 20			/* enough to see a pattern */

static unsigned long passed = 0;
static unsigned long failed = 0;

void
check(bool ok, const char *format,...)
{
	va_list		args;

	if (ok)
	{
		passed++;
		return;
	}
	if (failed++ >= MAX_PRINTED)
		return;
	printf("FAILED: ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

int
check_summary(void)
{
	printf("%lu passed, %lu failed\n", passed, failed);
	return (failed > 0 || passed == 0) ? EXIT_FAILURE : EXIT_SUCCESS;
}

GuardedArea
guarded_area(size_t size)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	size_t		usable = (size + page - 1) / page * page;
	uint8	   *memory;
	GuardedArea area;

	memory = mmap(NULL, usable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || mprotect(memory + usable, page, PROT_NONE) != 0)
	{
		perror("guarded_area");
		exit(EXIT_FAILURE);
	}
	area.end = memory + usable;
	area.size = usable;
	return area;
}

uint64
random_bits(uint64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545F4914F6CDD1D);
}

double
random_uniform(uint64 *state)
{
	return (double) (random_bits(state) >> 11) * 0x1p-53;
}
