/*-------------------------------------------------------------------------
 *
 * test_codec.c
 *	  Unit test of the codec in src/index, with the best kernels that this
 *	  CPU can run.  With the argument "short", for emulators, the tests of
 *	  chance are few.
 *
 *-------------------------------------------------------------------------
 */
#include "test_codec.h"

#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "simd/simd.h"

int
main(int argc, char **argv)
{
	int			rounds = argc > 1 && strcmp(argv[1], "short") == 0 ? 1 : 4;

	face_simd_init();
	test_rotation(rounds);
	test_tail(rounds);
	test_quantizer();
	printf("%s\n", face_kernels->name);
	test_bounds(rounds);
	return check_summary();
}
