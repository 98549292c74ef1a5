/*-------------------------------------------------------------------------
 *
 * gallery_size.h
 *	  How many references a gallery has, asked at every search.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_GALLERY_GALLERY_SIZE_H
#define FACEMATCH_GALLERY_GALLERY_SIZE_H

extern void face_gallery_size_init(void);

#endif							/* FACEMATCH_GALLERY_GALLERY_SIZE_H */
