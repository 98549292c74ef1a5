/*-------------------------------------------------------------------------
 *
 * query.h
 *	  A query of the caller's, read row by row with the caller's own rights.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_BASE_QUERY_H
#define FACEMATCH_BASE_QUERY_H

#include "postgres.h"

#include "executor/spi.h"

extern char *face_type_schema(void);
extern SPIPlanPtr face_prepare_query(const char *sql);
extern Portal face_open_query(SPIPlanPtr plan);

#endif							/* FACEMATCH_BASE_QUERY_H */
