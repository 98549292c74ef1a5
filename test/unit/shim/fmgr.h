/*-------------------------------------------------------------------------
 *
 * fmgr.h
 *	  What src/embedding/embedding.h declares with, for the unit tests.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_TEST_FMGR_H
#define FACEMATCH_TEST_FMGR_H

#endif							/* FACEMATCH_TEST_FMGR_H */
