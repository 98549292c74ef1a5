/*-------------------------------------------------------------------------
 *
 * deleted.h
 *	  Whose rows a receipt is of, for who can name the person.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_RETENTION_DELETED_H
#define FACEMATCH_RETENTION_DELETED_H

#include "postgres.h"

#include "utils/array.h"

extern void face_write_receipt_persons(ArrayType *subjects);

#endif							/* FACEMATCH_RETENTION_DELETED_H */
