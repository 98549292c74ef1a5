/*-------------------------------------------------------------------------
 *
 * scan_template.h
 *	  Bounds from sketch sums and what follows from them, for the vector units
 *	  of x86-64, which differ in width and spelling only.
 *
 * Included once by the file of an instruction set, behind its other kernels.
 * It defines before:
 *
 *	  LEVEL, TARGET, INLINE		as for distance_template.h
 *	  WIDTH			float32 lanes of a vector
 *	  V(operation)	the intrinsic of an operation that is spelt alike but for the width
 *	  Floats, Integers, Mask	vectors of WIDTH numbers, and of WIDTH decisions
 *	  load_integers, load_words, as_floats, with_sign, above, up_to, choose, mask_bits, smallest_lane
 *					what is spelt differently
 *
 * No fused multiply-add, which would round differently from scan_portable.c.
 *
 *-------------------------------------------------------------------------
 */

/* Upper bounds on the cosines between probe and WIDTH templates. */
INLINE Floats
cosine_upper(const FaceBoundTerms *t, const uint32 *sums, const FaceBlockScalars *s, int slot)
{
	const Floats one = V(set1_ps) (1.0f);
	Floats		sum = V(cvtepi32_ps) (load_integers(sums));
	Floats		product = V(cvtepi32_ps) (V(cvtepi16_epi32) (load_words(s->centre_product + slot)));
	Floats		a = V(add_ps) (V(mul_ps) (sum, V(set1_ps) (t->sum_scale)), V(set1_ps) (t->sum_offset));
	Floats		b = V(mul_ps) (V(cvtph_ps) (load_words(s->tangent + slot)), V(set1_ps) (t->width));
	Floats		d = V(add_ps) (V(mul_ps) (b, b), one);
	Floats		residual;
	Floats		length;

	product = V(mul_ps) (product, V(set1_ps) (t->centre_scale));
	a = V(mul_ps) (a, V(cvtph_ps) (load_words(s->inverse + slot)));
	a = V(max_ps) (V(min_ps) (a, one), V(set1_ps) (-1.0f));

	residual = V(mul_ps) (b, V(sqrt_ps) (V(sub_ps) (d, V(mul_ps) (a, a))));
	residual = V(div_ps) (V(add_ps) (a, residual), d);
	residual = V(add_ps) (residual, V(set1_ps) (t->residual_slack));

	length = V(sub_ps) (V(set1_ps) (t->residual_base), V(add_ps) (product, product));
	length = V(add_ps) (length, with_sign(residual, t->residual_error));
	length = V(sqrt_ps) (V(max_ps) (length, V(setzero_ps) ()));
	residual = V(mul_ps) (residual, V(mul_ps) (length, V(set1_ps) (t->probe_residual)));

	product = V(add_ps) (product, V(set1_ps) (t->cosine_offset));
	return V(min_ps) (V(add_ps) (product, residual), V(set1_ps) (t->cosine_limit));
}

/* The template norms that WIDTH codes stand for, or with step 1 those of the next codes. */
INLINE Floats
norm_values(const FaceBlockScalars *s, int slot, int step)
{
	Integers	code = V(add_epi32) (V(cvtepu16_epi32) (load_words(s->norm + slot)), V(set1_epi32) (step));

	return as_floats(V(add_epi32) (V(slli_epi32) (code, FACE_NORM_SHIFT), V(set1_epi32) (FACE_NORM_BASE)));
}

INLINE Floats
cosine_distance(const FaceBoundTerms *t, Floats cosine, const FaceBlockScalars *s, int slot)
{
	return V(sub_ps) (V(set1_ps) (1.0f), cosine);
}

INLINE Floats
euclidean_distance(const FaceBoundTerms *t, Floats cosine, const FaceBlockScalars *s, int slot)
{
	const Floats one = V(set1_ps) (1.0f);
	const Floats probe_norm = V(set1_ps) (t->probe_norm);
	Floats		along;
	Floats		gap;
	Floats		across;

	cosine = V(max_ps) (V(min_ps) (cosine, one), V(set1_ps) (-1.0f));
	along = V(mul_ps) (probe_norm, cosine);
	gap = V(max_ps) (V(min_ps) (along, norm_values(s, slot, 1)), norm_values(s, slot, 0));
	gap = V(sub_ps) (gap, along);
	across = V(mul_ps) (V(sub_ps) (one, cosine), V(add_ps) (one, cosine));
	across = V(mul_ps) (V(mul_ps) (probe_norm, probe_norm), across);
	across = V(sqrt_ps) (V(add_ps) (V(mul_ps) (gap, gap), across));
	return V(mul_ps) (across, V(set1_ps) (t->distance_shrink));
}

INLINE Floats
inner_product_distance(const FaceBoundTerms *t, Floats cosine, const FaceBlockScalars *s, int slot)
{
	Mask		negative = above(V(setzero_ps) (), cosine);
	Floats		norm = choose(negative, norm_values(s, slot, 0), norm_values(s, slot, 1));
	Floats		product = V(mul_ps) (V(mul_ps) (norm, V(set1_ps) (t->probe_norm)), cosine);

	return V(sub_ps) (V(setzero_ps) (), product);
}

typedef Floats (*Distance) (const FaceBoundTerms *t, Floats cosine, const FaceBlockScalars *s, int slot);

INLINE float
bounds(const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit, float *lower,
	   Distance distance)
{
	const Floats infinity = V(set1_ps) (INFINITY);
	Floats		smallest = infinity;

	for (int block = 0; block < blocks->nblocks; block++)
	{
		const FaceBlockScalars *scalars = face_block_scalars(blocks, block);

		for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot += WIDTH)
		{
			Floats		bound = distance(terms, cosine_upper(terms, sums, scalars, slot), scalars, slot);

			/* of a number that is none, the second operand */
			bound = V(max_ps) (bound, V(set1_ps) (-FLT_MAX));
			bound = choose(above(bound, V(set1_ps) (limit)), infinity, bound);
			smallest = V(min_ps) (smallest, bound);
			V(storeu_ps) (lower, bound);
			sums += WIDTH;
			lower += WIDTH;
		}
	}
	return smallest_lane(smallest);
}

TARGET static float
KERNEL(cosine_bounds) (const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit, float *lower)
{
	return bounds(terms, blocks, sums, limit, lower, cosine_distance);
}

TARGET static float
KERNEL(euclidean_bounds) (const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit,
						  float *lower)
{
	return bounds(terms, blocks, sums, limit, lower, euclidean_distance);
}

TARGET static float
KERNEL(inner_product_bounds) (const FaceBoundTerms *terms, const FaceBlocks *blocks, const uint32 *sums, float limit,
							  float *lower)
{
	return bounds(terms, blocks, sums, limit, lower, inner_product_distance);
}

TARGET static float
KERNEL(take_slots) (int nblocks, float limit, float *lower, uint16 *taken)
{
	const Floats infinity = V(set1_ps) (INFINITY);
	Floats		smallest = infinity;

	for (int block = 0; block < nblocks; block++)
	{
		int			bits = 0;

		for (int slot = 0; slot < FACE_BLOCK_SLOTS; slot += WIDTH)
		{
			Floats		bound = V(loadu_ps) (lower);
			Mask		take = up_to(bound, V(set1_ps) (limit));

			bits |= mask_bits(take) << slot;
			bound = choose(take, infinity, bound);
			smallest = V(min_ps) (smallest, bound);
			V(storeu_ps) (lower, bound);
			lower += WIDTH;
		}
		taken[block] = bits;
	}
	return smallest_lane(smallest);
}

const FaceScanKernels FACE_NAME(face_scan, LEVEL) = {
	.sketch_sums = KERNEL(sketch_sums),
	.cosine_bounds = KERNEL(cosine_bounds),
	.euclidean_bounds = KERNEL(euclidean_bounds),
	.inner_product_bounds = KERNEL(inner_product_bounds),
	.take_slots = KERNEL(take_slots),
	.bit_sums = KERNEL(bit_sums),
	.dot2 = KERNEL(dot2),
	.dot4 = KERNEL(dot4),
	.dot8 = KERNEL(dot8),
	.quantize = KERNEL(quantize),
};
