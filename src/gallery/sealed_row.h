/*-------------------------------------------------------------------------
 *
 * sealed_row.h
 *	  Templates that are sealed as they are stored, and their keys on receipts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_GALLERY_SEALED_ROW_H
#define FACEMATCH_GALLERY_SEALED_ROW_H

#include "postgres.h"

/* Says on the receipt that was just written which keys the rows were under.  Within SPI_connect. */
extern void face_write_receipt_keys(Oid relid, const char *class);

extern void face_sealed_row_init(void);

#endif							/* FACEMATCH_GALLERY_SEALED_ROW_H */
