/*-------------------------------------------------------------------------
 *
 * stringinfo.h
 *	  What src/embedding/embedding.h declares with, for the unit tests.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_TEST_STRINGINFO_H
#define FACEMATCH_TEST_STRINGINFO_H

typedef struct StringInfoData *StringInfo;

#endif							/* FACEMATCH_TEST_STRINGINFO_H */
