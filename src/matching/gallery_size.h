/*-------------------------------------------------------------------------
 *
 * gallery_size.h
 *	  How many references a gallery has, asked at every search.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_MATCHING_GALLERY_SIZE_H
#define FACEMATCH_MATCHING_GALLERY_SIZE_H

extern void face_gallery_size_init(void);

#endif							/* FACEMATCH_MATCHING_GALLERY_SIZE_H */
