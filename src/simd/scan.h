/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  Kernels of the index: sketch sums, sketch bounds, refinement dots,
 *	  quantisation.
 *
 * Beside simd.h in the lowest layer; each table of distance kernels there has
 * one of these, so they are chosen together.  Every result has the same bits
 * on every instruction set: integers are exact, and floats go only through
 * operations that IEEE 754 defines to the last bit, in one order.
 * docs/exactness.md derives the arithmetic, index/codec.h gives it meaning.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_SIMD_SCAN_H
#define FACEMATCH_SIMD_SCAN_H

#include "c.h"

/* Templates whose sketches are interleaved so that one shuffle scores all. */
#define FACE_BLOCK_SLOTS	16

/*
 * The numbers beside the sketches of one block, by kind, 128 bytes.  See
 * FaceScalars in index/codec.h for what they are.
 */
typedef struct FaceBlockScalars
{
	uint16		inverse[FACE_BLOCK_SLOTS];
	uint16		tangent[FACE_BLOCK_SLOTS];
	int16		centre_product[FACE_BLOCK_SLOTS];
	uint16		norm[FACE_BLOCK_SLOTS];
} FaceBlockScalars;

/*
 * The stored norm is the float32 without its lowest 13 bits, less this
 * exponent: six bits of exponent and ten of mantissa from 2^-25 upwards.  The
 * true norm lies between the value of the code and that of the next code.
 */
#define FACE_NORM_SHIFT		13
#define FACE_NORM_BASE		((uint32) 102 << 23)

/* What the bound kernels need of a probe. */
typedef struct FaceBoundTerms
{
	float		sum_scale;		/* A = (sum * sum_scale + sum_offset) * inverse */
	float		sum_offset;
	float		width;			/* B = tangent * width */
	float		residual_slack; /* added to the bound of the residuals' cosine */
	float		centre_scale;	/* centre_product * this = unit template . centre */
	float		residual_base;	/* 1 + |centre|^2 */
	float		residual_error; /* of the template residual's squared length */
	float		probe_residual; /* length of the probe's residual */
	float		cosine_offset;	/* centre . probe residual, and slack */
	float		cosine_limit;	/* no upper bound need be higher */
	float		probe_norm;
	float		distance_shrink;	/* Euclidean: factor just below 1 */
} FaceBoundTerms;

/*
 * Blocks at equal distances.  Each is groups / 2 rows of FACE_BLOCK_SLOTS
 * bytes, one byte a template: low nibble group 2 p, high nibble group 2 p + 1;
 * then its FaceBlockScalars.  groups is a multiple of 16.
 */
typedef struct FaceBlocks
{
	int			nblocks;
	int			groups;
	size_t		stride;			/* bytes from one block to the next */
	const uint8 *first;
	const uint8 *ahead;			/* what is to be read next: fetched, as many bytes as the blocks take */
} FaceBlocks;

static inline const FaceBlockScalars *
face_block_scalars(const FaceBlocks *blocks, int i)
{
	return (const FaceBlockScalars *) (blocks->first + i * blocks->stride + blocks->groups / 2 * FACE_BLOCK_SLOTS);
}

/*
 * Lower bounds on the distance, infinity where they are beyond the limit, the
 * lowest number where damage makes them none.  Returns the smallest.
 */
typedef float (*FaceBoundKernel) (const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums,
								  float limit, float *lower);

/* Bytes of a vector of codes of one bit, and from one such code to the next. */
#define FACE_BITS_VECTOR	32
#define FACE_BITS_STRIDE(n)	(((size_t) (n) / 8 + FACE_BITS_VECTOR - 1) / FACE_BITS_VECTOR * FACE_BITS_VECTOR)

/* Of the most dimensions that kernels take. */
#define FACE_BITS_MOST		FACE_BITS_STRIDE(4096)

/* Of each byte of such a code, the look-up tables of its two nibbles: two bytes for each of 16 values. */
#define FACE_BITS_TABLES(n) (FACE_BITS_STRIDE(n) * 2 * 2 * 16)

/*
 * A query for codes of one bit.  The tables may be missing, for a query that
 * few codes are compared with.  A table has, for each value of a nibble, the
 * sum of the query's values at its bits, less the table's lowest, which fits
 * 16 bits: lower byte of each, then the upper ones, in tables of their own.
 * Tables of bytes j and 16 + j of each 32 lie side by side, in the order that
 * face_bits_table() tells.
 */
typedef struct FaceBitQuery
{
	const int16 *values;		/* n */
	const uint8 *tables;		/* FACE_BITS_TABLES(n), or NULL */
	int32		lowest;			/* of all tables together */
} FaceBitQuery;

/* Where the table of a nibble's lower or upper bytes begins. */
static inline size_t
face_bits_table(int byte, int nibble, int upper)
{
	return (((size_t) (byte / FACE_BITS_VECTOR * 16 + byte % 16) * 2 + nibble) * 2 + upper) * FACE_BITS_VECTOR +
		byte % FACE_BITS_VECTOR / 16 * 16;
}

typedef struct FaceScanKernels
{
	/*
	 * Sums of table entries, FACE_BLOCK_SLOTS a block.  tables: 16 entries for
	 * every even group, then 16 for every odd one.
	 */
	void		(*sketch_sums) (const FaceBlocks *blocks, const uint8 *tables, uint32 *sums);

	/* Lower bounds on the distance by metric, from those sums. */
	FaceBoundKernel cosine_bounds;
	FaceBoundKernel euclidean_bounds;
	FaceBoundKernel inner_product_bounds;

	/*
	 * Take the slots with bounds up to the limit, which is finite: their bits
	 * into taken, an element a block, and infinity into their bounds.  Returns
	 * the smallest bound left.
	 */
	float		(*take_slots) (int nblocks, float limit, float *lower, uint16 *taken);

	/*
	 * Sum of code[i] * query[i]; n is a multiple of 64 (at most 4096) and of
	 * 32 (at most 256).  4 bits: of every 32 bytes, nibble m of the 16-bit
	 * word j is dimension 16 m + j.  8 bits: byte m of word j is 16 m + j.
	 * 2 bits: of every 16 bytes, bits 2 m and 2 m + 1 of byte j are it.
	 */
	int32		(*dot2) (int n, const uint8 *codes, const int16 *query);
	int32		(*dot4) (int n, const uint8 *codes, const int16 *query);
	int32		(*dot8) (int n, const uint8 *codes, const int16 *query);

	/*
	 * For each of the codes, FACE_BLOCK_SLOTS at most, the sum of the query's
	 * values where bit i of it is set, bit i % 8 of byte i / 8.  n is a multiple
	 * of 64, at most 4096.  The codes are FACE_BITS_STRIDE(n) bytes apart, with
	 * room for FACE_BLOCK_SLOTS; what lies behind their n bits does not count.
	 */
	void		(*bit_sums) (int n, const FaceBitQuery *query, int count, const uint8 *codes, int32 *sums);

	/*
	 * codes[i] = r[i] * scale rounded down to one of max_code + 1 levels, half
	 * of them negative.  With level = code - max_code / 2: *dot = sum of
	 * level * r[i], *length_squared = sum of level^2.  n: multiple of 64.
	 */
	void		(*quantize) (int n, const float *r, float scale, int max_code, uint8 *codes,
							 float *dot, float *length_squared);
} FaceScanKernels;

extern const FaceScanKernels face_scan_portable;
#if defined(__x86_64__)
extern const FaceScanKernels face_scan_avx2;
extern const FaceScanKernels face_scan_avx512;
#elif defined(__aarch64__)
extern const FaceScanKernels face_scan_neon;
#endif

#endif							/* FACEMATCH_SIMD_SCAN_H */
