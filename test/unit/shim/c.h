/*-------------------------------------------------------------------------
 *
 * c.h
 *	  The few names of PostgreSQL's c.h that src/simd uses, so that its files
 *	  build for any target, without a PostgreSQL for that target.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_TEST_C_H
#define FACEMATCH_TEST_C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int16_t int16;
typedef int32_t int32;
typedef uint8_t uint8;
typedef uint16_t uint16;
typedef uint32_t uint32;
typedef uint64_t uint64;
typedef size_t Size;

#define pg_attribute_always_inline __attribute__((always_inline)) inline
#define StaticAssertDecl(condition, message) _Static_assert(condition, message)

#endif							/* FACEMATCH_TEST_C_H */
