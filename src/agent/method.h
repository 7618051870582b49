/*-------------------------------------------------------------------------
 *
 * src/agent/method.h
 *		The methods of agent.AgentService.
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
	PA_METHOD_UNKNOWN			/* any other; also the number of ours */
} PaMethod;

#endif							/* PA_AGENT_METHOD_H */
