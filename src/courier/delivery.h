/*-------------------------------------------------------------------------
 *
 * src/courier/delivery.h
 *		Tells whether a call that failed surely never reached its agent.
 *
 * Pure; any thread.
 *
 * The text of a status proves nothing: an agent that is itself a client of
 * gRPC passes on "failed to connect to all addresses" of its own cloud, after
 * it has acted.  What proves it is that gRPC never handed the call to a
 * connection.  It tells so by grpc_call_get_peer(): the address of the
 * connection once a transport has taken the stream (before a byte of it is
 * written), else the target of the channel.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_DELIVERY_H
#define PA_COURIER_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Returns the target in a spelling, equal in meaning, that differs from the
 * name of the connection it leads to: "unix:/path" and "ipv4:1.2.3.4:5" are
 * such names themselves.  malloc'd; NULL when memory is exhausted.
 */
extern char *pa_delivery_target(const char *target);

/*
 * status: the gRPC status of the call.  channel_target and call_peer as
 * grpc_channel_get_target() and grpc_call_get_peer() return them; NULL where
 * unknown.  False when in doubt.
 */
extern bool pa_delivery_excluded(uint32_t status, const char *channel_target,
								 const char *call_peer);

#endif							/* PA_COURIER_DELIVERY_H */
