/*-------------------------------------------------------------------------
 *
 * scan_sums_template.h
 *	  Sums over sketches by look-up, for the vector units of x86-64, which
 *	  differ in width and spelling only.
 *
 * Included once by the file of an instruction set, before its other kernels.
 * It defines before:
 *
 *	  TARGET, INLINE, V, Integers	as for scan_template.h
 *	  VECTOR_BYTES		bytes of a vector, which holds that many rows of a block
 *	  load_bytes, common_bits, widen	what is spelt differently
 *
 *-------------------------------------------------------------------------
 */

#define ROWS_A_VECTOR (VECTOR_BYTES / FACE_BLOCK_SLOTS)

/* Vectors of 16-bit sums that cannot overflow: each adds at most two bytes. */
#define VECTORS_A_FLUSH (UINT16_MAX / (2 * UINT8_MAX))

/*
 * Blocks that are summed up together: they share the loads of the tables, and
 * the processor reads several places of memory at a time.  Sixteen registers
 * hold the sums of four.
 */
#define BLOCKS_AT_ONCE 4

/*
 * 16-bit sums of one block: slots 0, 2, 4… and slots 1, 3, 5… of the rows of a
 * vector.  "mixed" also holds the odd slots' bytes times 256, taken off at the
 * end.
 */
typedef struct Sums16
{
	Integers	mixed;
	Integers	odd;
} Sums16;

INLINE Sums16
no_sums(void)
{
	const Integers zero = V(set1_epi8) (0);

	return (Sums16) {zero, zero};
}

INLINE void
add_entries(Sums16 *sums, Integers low, Integers high)
{
	sums->mixed = V(add_epi16) (sums->mixed, V(add_epi16) (low, high));
	sums->odd = V(add_epi16) (sums->odd, V(add_epi16) (V(srli_epi16) (low, 8), V(srli_epi16) (high, 8)));
}

INLINE Integers
low_nibbles(Integers codes)
{
	return common_bits(codes, V(set1_epi8) (0x0F));
}

INLINE Integers
high_nibbles(Integers codes)
{
	return low_nibbles(V(srli_epi16) (codes, 4));
}

INLINE void
flush(const Sums16 *part, uint32 *sums)
{
	__m256i		even = widen(V(sub_epi16) (part->mixed, V(slli_epi16) (part->odd, 8)));
	__m256i		odd = widen(part->odd);
	__m256i		low = _mm256_unpacklo_epi32(even, odd); /* slots 0-3, 8-11 */
	__m256i		high = _mm256_unpackhi_epi32(even, odd);	/* slots 4-7, 12-15 */
	__m256i    *out = (__m256i *) sums;

	_mm256_storeu_si256(out, _mm256_add_epi32(_mm256_loadu_si256(out), _mm256_permute2x128_si256(low, high, 0x20)));
	out++;
	_mm256_storeu_si256(out, _mm256_add_epi32(_mm256_loadu_si256(out), _mm256_permute2x128_si256(low, high, 0x31)));
}

/*
 * One stage of the transposition of sixteen rows of sixteen bytes, in all parts
 * of the vectors at once: four such stages make it whole.
 */
INLINE void
interleave(const Integers *from, Integers *to)
{
#pragma GCC unroll 8
	for (int i = 0; i < FACE_BLOCK_SLOTS / 2; i++)
	{
		to[2 * i] = V(unpacklo_epi8) (from[i], from[i + FACE_BLOCK_SLOTS / 2]);
		to[2 * i + 1] = V(unpackhi_epi8) (from[i], from[i + FACE_BLOCK_SLOTS / 2]);
	}
}

/* Of each part of sixteen codes byte j, for each j: as a block of sketches has them. */
INLINE void
transpose(Integers *rows)
{
	Integers	columns[FACE_BLOCK_SLOTS];

	interleave(rows, columns);
	interleave(columns, rows);
	interleave(rows, columns);
	interleave(columns, rows);
}

/* Fewer codes of one bit than this are done one by one. */
#define FEW_CODES	5

/* What one vector adds to the sums of block i of those that are summed up together. */
INLINE void
add_block(Sums16 *sums, const FaceBlocks *blocks, int i, size_t offset, Integers even_tables, Integers odd_tables)
{
	Integers	codes = load_bytes(blocks->first + i * blocks->stride + offset);

	if (offset % FACE_CACHE_LINE == 0)
		__builtin_prefetch(blocks->ahead + i * blocks->stride + offset);
	add_entries(sums, V(shuffle_epi8) (even_tables, low_nibbles(codes)), V(shuffle_epi8) (odd_tables, high_nibbles(codes)));
}

/* A few blocks, a constant number of them.  Written out, for the sums to stay in registers. */
INLINE void
sum_blocks(int n, const FaceBlocks *blocks, int first, const uint8 *tables, uint32 *sums)
{
	const int	vectors = blocks->groups / 2 / ROWS_A_VECTOR;
	const uint8 *odd_tables = tables + vectors * VECTOR_BYTES;

	memset(sums, 0, n * FACE_BLOCK_SLOTS * sizeof(uint32));
	for (int start = 0; start < vectors; start += VECTORS_A_FLUSH)
	{
		int			end = vectors - start > VECTORS_A_FLUSH ? start + VECTORS_A_FLUSH : vectors;
		Sums16		part0 = no_sums();
		Sums16		part1 = no_sums();
		Sums16		part2 = no_sums();
		Sums16		part3 = no_sums();

		for (int v = start; v < end; v++)
		{
			size_t		offset = v * VECTOR_BYTES;
			Integers	even = load_bytes(tables + offset);
			Integers	odd = load_bytes(odd_tables + offset);

			add_block(&part0, blocks, first, offset, even, odd);
			if (n > 1)
				add_block(&part1, blocks, first + 1, offset, even, odd);
			if (n > 2)
				add_block(&part2, blocks, first + 2, offset, even, odd);
			if (n > 3)
				add_block(&part3, blocks, first + 3, offset, even, odd);
		}
		flush(&part0, sums);
		if (n > 1)
			flush(&part1, sums + FACE_BLOCK_SLOTS);
		if (n > 2)
			flush(&part2, sums + 2 * FACE_BLOCK_SLOTS);
		if (n > 3)
			flush(&part3, sums + 3 * FACE_BLOCK_SLOTS);
	}
	for (int i = first; i < first + n; i++)
		face_prefetch_scalars(blocks->ahead + i * blocks->stride + vectors * VECTOR_BYTES);
}

TARGET static void
KERNEL(sketch_sums) (const FaceBlocks *blocks, const uint8 *tables, uint32 *sums)
{
	int			block = 0;

	for (; block + BLOCKS_AT_ONCE <= blocks->nblocks; block += BLOCKS_AT_ONCE)
		sum_blocks(BLOCKS_AT_ONCE, blocks, block, tables, sums + block * FACE_BLOCK_SLOTS);
	sums += block * FACE_BLOCK_SLOTS;
	switch (blocks->nblocks - block)
	{
		case 3:
			sum_blocks(3, blocks, block, tables, sums);
			break;
		case 2:
			sum_blocks(2, blocks, block, tables, sums);
			break;
		case 1:
			sum_blocks(1, blocks, block, tables, sums);
			break;
	}
}
