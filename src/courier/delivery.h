/*-------------------------------------------------------------------------
 *
 * src/courier/delivery.h
 *		Tells whether a call that failed surely never reached its agent.
 *
 * Pure; any thread.
 *
 * gRPC core does not tell it, and no single sign is enough:
 * - The text of the status may be the agent's own: one that is a client of
 *   gRPC itself passes on "failed to connect to all addresses" of its cloud,
 *   after it has acted.
 * - grpc_call_get_peer() names the connection that took the call, else the
 *   target of the channel; but core also forgets the connection when a call
 *   is cancelled or one of its operations fails.
 * - The error string names the peer if the status came from it, in words that
 *   are no contract.
 * All three together leave only calls that failed before a connection was
 * chosen for them.  Deadlines and cancellations look alike before and after
 * that moment: they count as perhaps delivered.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_DELIVERY_H
#define PA_COURIER_DELIVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* what gRPC says about a call; strings are NULL where it says nothing */
typedef struct PaDeliverySigns
{
	uint32_t	status;
	const char *details;		/* of the status; not terminated */
	size_t		details_length;
	const char *error_string;	/* with the status, for debugging */
	const char *peer;			/* grpc_call_get_peer */
	const char *target;			/* grpc_channel_get_target */
} PaDeliverySigns;

/*
 * Returns the target in a spelling, equal in meaning, that differs from the
 * name of the connection it leads to: "unix:/path" and "ipv4:1.2.3.4:5" are
 * such names themselves.  malloc'd; NULL when memory is exhausted.
 */
extern char *pa_delivery_target(const char *target);

/* true: surely not delivered; false when in doubt */
extern bool pa_delivery_excluded(const PaDeliverySigns *signs);

#endif							/* PA_COURIER_DELIVERY_H */
