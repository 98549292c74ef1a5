/*-------------------------------------------------------------------------
 *
 * staging.h
 *	  Which galleries a role that may only stage works with, and who reads
 *	  templates.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_GALLERY_STAGING_H
#define FACEMATCH_GALLERY_STAGING_H

#include "postgres.h"

extern bool face_may_stage(int64 gallery_id);
extern bool face_reads_templates(void);

#endif							/* FACEMATCH_GALLERY_STAGING_H */
