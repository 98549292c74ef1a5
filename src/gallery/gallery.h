/*-------------------------------------------------------------------------
 *
 * gallery.h
 *	  A gallery as it stays until the transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_GALLERY_GALLERY_H
#define FACEMATCH_GALLERY_GALLERY_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef struct FaceGallery
{
	int64		gallery_id;
	bool		exists;
	bool		closed;
	bool		sealed;			/* its templates are stored sealed */
	int16		model_tag;
	int16		dims;
	int16		min_quality;	/* of references; 0: any, also one that was not assessed */
	TimestampTz anchor;			/* DT_NOEND: none */
	TimestampTz purge_after;
} FaceGallery;

extern const FaceGallery *face_gallery(int64 gallery_id, bool lock);
extern void face_forget_galleries(void);
extern void face_gallery_init(void);

#endif							/* FACEMATCH_GALLERY_GALLERY_H */
