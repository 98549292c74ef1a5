/*-------------------------------------------------------------------------
 *
 * texts.h
 *	  No template in the texts that the extension keeps.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_REDACTION_TEXTS_H
#define FACEMATCH_REDACTION_TEXTS_H

#include "postgres.h"

#include "utils/jsonb.h"

extern Jsonb *face_redact_json(Jsonb *value);

#endif							/* FACEMATCH_REDACTION_TEXTS_H */
