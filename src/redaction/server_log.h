/*-------------------------------------------------------------------------
 *
 * server_log.h
 *	  No template and no image in the server's log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FACEMATCH_REDACTION_SERVER_LOG_H
#define FACEMATCH_REDACTION_SERVER_LOG_H

extern void face_server_log_init(void);

#endif							/* FACEMATCH_REDACTION_SERVER_LOG_H */
