/*-------------------------------------------------------------------------
 *
 * src/agent/method.c
 *		The names of the methods that the agent knows.
 *
 *-------------------------------------------------------------------------
 */
#include "method.h"

const char *
pa_method_name(PaMethod method)
{
	static const char *const names[] = {
		[PA_METHOD_POWER_ON] = "PowerOnCluster",
		[PA_METHOD_POWER_OFF] = "PowerOffCluster",
		[PA_METHOD_GET_STATE] = "GetClusterPowerState",
		[PA_METHOD_UNKNOWN] = "unknown",
		[PA_METHOD_HEALTH] = "HealthCheck",
		[PA_METHOD_STREAM] = "PowerStream"
	};

	return names[method];
}
