/*-------------------------------------------------------------------------
 *
 * module.c
 *	  facematch_accuracy: batch comparison, a module of its own.
 *
 * A backend that only searches never loads it, and so never OpenBLAS.  It
 * calls the main module by its SQL-callable functions only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"

FACE_MODULE_MAGIC;
