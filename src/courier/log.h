/*-------------------------------------------------------------------------
 *
 * src/courier/log.h
 *		Messages for the server log, ours and those of gRPC, as Log frames.
 *
 * Any thread, even from within gRPC.  At most a few messages a second get
 * through; what was left out is counted and told with the next one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_LOG_H
#define PA_COURIER_LOG_H

#include "courier.pb-c.h"

/*
 * Takes over the log of gRPC; before grpc_init.  What it logs is chosen by
 * GRPC_VERBOSITY, by default only its errors.  They arrive as warnings: what
 * fails for gRPC is a call or a connection, which the worker judges.  Errors of
 * TLS, which repeat themselves, are for debugging.
 */
extern void pa_log_begin(void);

extern void pa_log_send(Courier__LogLevel level, const char *format,...)
			__attribute__((format(printf, 2, 3)));

#endif							/* PA_COURIER_LOG_H */
