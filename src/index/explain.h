/*-------------------------------------------------------------------------
 *
 * explain.h
 *	  What EXPLAIN shows of index scans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_INDEX_EXPLAIN_H
#define FACEMATCH_INDEX_EXPLAIN_H

/* When the module is loaded; does nothing before PostgreSQL 18. */
extern void face_explain_init(void);

#endif							/* FACEMATCH_INDEX_EXPLAIN_H */
