/*-------------------------------------------------------------------------
 *
 * deleted.h
 *	  Codes of the persons in a receipt, for users who can name the person.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_DELETED_H
#define FACEMATCH_RETENTION_DELETED_H

#include "postgres.h"

#include "utils/array.h"

extern void face_write_receipt_persons(ArrayType *subjects);

#endif							/* FACEMATCH_RETENTION_DELETED_H */
