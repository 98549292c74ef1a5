/*-------------------------------------------------------------------------
 *
 * test_codec.h
 *	  The parts of the codec's unit test, and the templates they use.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_TEST_CODEC_H
#define FACEMATCH_TEST_CODEC_H

#include "index/codec.h"

/* rounds: how often each randomised test is repeated, from 1 */
extern void test_rotation(int rounds);
extern void test_tail(int rounds);
extern void test_quantizer(void);
extern void test_bounds(int rounds);

/* test_templates.c: what a test searches in */
typedef enum TemplateKind
{
	KIND_RANDOM,				/* uniform directions */
	KIND_FULL_RANK,				/* a strong model: mates at 0.65, and a common mean */
	KIND_CLUSTERED,				/* four families, nearly alike within */
	KIND_DUPLICATES,			/* eight templates again and again, and their negatives */
	KIND_ONE_HOT,				/* a single component, of either sign */
	KIND_CENTRE,				/* equal to the centre, but for a few */
	KIND_NORMS,					/* uniform directions of extreme lengths */
	NUM_KINDS
} TemplateKind;

extern const char *const kind_names[NUM_KINDS];

extern double random_normal(uint64 *state);

/* rounds to half; a vector that would be zero gets one component */
extern FaceEmbedding *template_from_doubles(int dims, const double *values);

/* n templates of a kind */
extern FaceEmbedding **make_templates(TemplateKind kind, int dims, int n, uint64 *state);

/* a probe for them: a mate or a copy of one, its negative, or a stranger */
extern FaceEmbedding *make_probe(TemplateKind kind, int dims, FaceEmbedding **templates, int n, uint64 *state);

/* zero for the kinds whose mean is, else the mean */
extern FaceCentre *make_centre(TemplateKind kind, const FaceCodec *codec, FaceEmbedding **templates, int n);

#endif							/* FACEMATCH_TEST_CODEC_H */
