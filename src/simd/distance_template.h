/*-------------------------------------------------------------------------
 *
 * distance_template.h
 *	  The loops of the distance kernels, which all vector units share.
 *
 * Included once by the file of an instruction set, which defines before:
 *
 *	  LEVEL			its name
 *	  INLINE		static, inlined, with the target attribute; TARGET the attribute alone
 *	  WIDTH			float32 lanes of a vector
 *	  Floats		a vector
 *	  Lanes			FACE_LANES sums, by vectors
 *	  Add			function that adds what WIDTH components of two templates give to so many sums
 *	  load, store, store_halves		WIDTH components as float32, and both ways back
 *	  add_products, add_squares		the two functions of type Add
 *	  step			what FACE_LANES components add to all lanes
 *	  reduce		the sum of all lanes
 *
 *-------------------------------------------------------------------------
 */

StaticAssertDecl(sizeof(Lanes) == FACE_LANES * sizeof(float), "Lanes must hold FACE_LANES sums");

INLINE double
accumulate(int n, const uint16 *a, const uint16 *b, Add add)
{
	Lanes		lanes = {0};
	int			i;

	for (i = 0; i + FACE_LANES <= n; i += FACE_LANES)
		step(&lanes, a + i, b + i, add);
	if (i < n)
	{
		uint16		tail_a[FACE_LANES];
		uint16		tail_b[FACE_LANES];

		face_pad_tail(tail_a, a + i, n - i);
		face_pad_tail(tail_b, b + i, n - i);
		step(&lanes, tail_a, tail_b, add);
	}
	return reduce(lanes);
}

TARGET static double
KERNEL(dot) (int n, const uint16 *a, const uint16 *b)
{
	return accumulate(n, a, b, add_products);
}

TARGET static double
KERNEL(l2_squared) (int n, const uint16 *a, const uint16 *b)
{
	return accumulate(n, a, b, add_squares);
}

TARGET static void
KERNEL(half_to_float) (int n, const uint16 *src, float *dst)
{
	int			i;

	for (i = 0; i + WIDTH <= n; i += WIDTH)
		store(dst + i, load(src + i));
	for (; i < n; i++)
		dst[i] = half_to_float(src[i]);
}

TARGET static void
KERNEL(float_to_half) (int n, const float *src, uint16 *dst)
{
	int			i;

	for (i = 0; i + WIDTH <= n; i += WIDTH)
		store_halves(dst + i, src + i);
	for (; i < n; i++)
		dst[i] = half_from_float(src[i]);
}

const FaceKernels FACE_NAME(face_kernels, LEVEL) = {
	.name = FACE_STRING(LEVEL),
	.dot = KERNEL(dot),
	.l2_squared = KERNEL(l2_squared),
	.half_to_float = KERNEL(half_to_float),
	.float_to_half = KERNEL(float_to_half),
	.scan = &FACE_NAME(face_scan, LEVEL),
};
