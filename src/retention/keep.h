/*-------------------------------------------------------------------------
 *
 * keep.h
 *	  Refuses ordinary DDL that would remove what the law keeps.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_KEEP_H
#define FACEMATCH_RETENTION_KEEP_H

extern void face_keep_init(void);

#endif							/* FACEMATCH_RETENTION_KEEP_H */
