/*-------------------------------------------------------------------------
 *
 * src/courier/channel.h
 *		The servers that the worker configured, their channels, and what is
 *		known of their connections.
 *
 * The table belongs to the reader thread.  A server is counted: it lives, and
 * keeps its channel, while it is in the table or a call uses it.  Changes of
 * connectivity arrive at the completion thread.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_CHANNEL_H
#define PA_COURIER_CHANNEL_H

#include <stdbool.h>

#include <grpc/grpc.h>

#include "courier.pb-c.h"

typedef struct PaServer PaServer;

/* all events go to this queue */
extern void pa_channel_begin(grpc_completion_queue *queue);

/* the reader thread */
extern void pa_channel_configure(const Courier__Configure *configure);
extern void pa_channel_remove(const char *server_name);
extern void pa_channel_remove_all(void);

/*
 * The server of that name with its use count raised, NULL if there is none;
 * the reader thread.  Released by any thread.
 */
extern PaServer *pa_channel_acquire(const char *server_name);
extern void pa_channel_release(PaServer *server);

/* false: gRPC cannot make sense of the target, calls would be in vain */
extern bool pa_channel_usable(const PaServer *server);

/*
 * A new call, which the caller owns.  NULL if the method is none.  The server
 * must be acquired.
 */
extern grpc_call *pa_channel_create_call(PaServer *server,
										 Courier__Method method,
										 gpr_timespec deadline);

/* the target as gRPC knows it, owned by the server */
extern const char *pa_channel_target(const PaServer *server);

#endif							/* PA_COURIER_CHANNEL_H */
