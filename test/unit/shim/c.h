/*-------------------------------------------------------------------------
 *
 * c.h
 *	  The few names of PostgreSQL's c.h that src/simd and the readers of
 *	  src/embedding use, so that their files build for any target, without a
 *	  PostgreSQL for that target.
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
typedef int64_t int64;
typedef uint8_t uint8;
typedef uint16_t uint16;
typedef uint32_t uint32;
typedef uint64_t uint64;
typedef size_t Size;

#define pg_attribute_always_inline __attribute__((always_inline)) inline
#define UINT64CONST(x) UINT64_C(x)
#define likely(x) __builtin_expect((x) != 0, 1)
#define unlikely(x) __builtin_expect((x) != 0, 0)
#define pg_unreachable() __builtin_unreachable()
#define pg_noinline __attribute__((noinline))
#define StaticAssertDecl(condition, message) _Static_assert(condition, message)

#endif							/* FACEMATCH_TEST_C_H */
