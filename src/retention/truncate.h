/*-------------------------------------------------------------------------
 *
 * truncate.h
 *	  TRUNCATE is refused by us before it is refused for another reason.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_TRUNCATE_H
#define FACEMATCH_RETENTION_TRUNCATE_H

extern void face_truncate_init(void);

#endif							/* FACEMATCH_RETENTION_TRUNCATE_H */
