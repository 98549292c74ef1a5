/*-------------------------------------------------------------------------
 *
 * enrol.h
 *	  What makes a row a reference: it is whole, and its template is of its
 *	  gallery's model.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_GALLERY_ENROL_H
#define FACEMATCH_GALLERY_ENROL_H

#include "postgres.h"

#include "base/row.h"

/* Column numbers of facematch.reference. */
typedef struct FaceEnrolment
{
	AttrNumber	gallery;
	AttrNumber	subject;
	AttrNumber	class;
	AttrNumber	template;
	AttrNumber	source;
	AttrNumber	quality;
	AttrNumber	enrolled;
} FaceEnrolment;

extern void face_check_whole(const FaceEnrolment *columns, const FaceRow *row);
extern void face_stamp(const FaceEnrolment *columns, FaceRow *row);
extern void face_check_quality(const FaceEnrolment *columns, const FaceRow *row);
extern void face_check_member(const FaceEnrolment *columns, const FaceRow *row);

#endif							/* FACEMATCH_GALLERY_ENROL_H */
