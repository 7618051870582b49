/*-------------------------------------------------------------------------
 *
 * src/agent/method.h
 *		The methods that the agent knows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_METHOD_H
#define PA_AGENT_METHOD_H

typedef enum PaMethod
{
	PA_METHOD_POWER_ON,
	PA_METHOD_POWER_OFF,
	PA_METHOD_GET_STATE,
	PA_METHOD_UNKNOWN,			/* any other; also how many come before it, */
	/* which are those that a call of a stream may have */
	PA_METHOD_HEALTH,			/* grpc.health.v1.Health/Check */
	PA_METHOD_STREAM			/* PowerStream, as a whole */
} PaMethod;

/* as logs and metrics have it */
extern const char *pa_method_name(PaMethod method);

#endif							/* PA_AGENT_METHOD_H */
