/*-------------------------------------------------------------------------
 *
 * src/agent/health.h
 *		The answer of grpc.health.v1.Health/Check.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_HEALTH_H
#define PA_AGENT_HEALTH_H

#include <stddef.h>
#include <stdint.h>

#define PA_HEALTH_SERVICE	"/grpc.health.v1.Health/"
#define PA_HEALTH_PATH		"/grpc.health.v1.Health/Check"
#define PA_HEALTH_REPLY		16	/* bytes, at most */

/*
 * Reads a HealthCheckRequest and writes the reply to "reply".  Returns the
 * gRPC status, and with one that is not OK its text in "message".  An agent
 * that is asked serves: one that drains takes no calls.
 */
extern int	pa_health_check(const uint8_t *bytes, size_t length,
							uint8_t *reply, size_t *reply_length,
							const char **message);

#endif							/* PA_AGENT_HEALTH_H */
