/*-------------------------------------------------------------------------
 *
 * src/agent/health.c
 *		The answer of grpc.health.v1.Health/Check.  Contract in health.h.
 *
 *-------------------------------------------------------------------------
 */
#include "health.h"

#include <stdbool.h>
#include <string.h>

#include "health.pb-c.h"
#include "status_name.h"

int
pa_health_check(const uint8_t *bytes, size_t length, uint8_t *reply,
				size_t *reply_length, const char **message)
{
	Grpc__Health__V1__HealthCheckRequest *request =
		grpc__health__v1__health_check_request__unpack(NULL, length, bytes);
	Grpc__Health__V1__HealthCheckResponse response =
		GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
	bool		known;

	if (request == NULL)
	{
		*message = "the request is not a HealthCheckRequest";
		return PA_STATUS_INVALID_ARGUMENT;
	}

	/* the empty name is the server as a whole */
	known = request->service[0] == '\0' ||
		strcmp(request->service, "agent.AgentService") == 0;
	grpc__health__v1__health_check_request__free_unpacked(request, NULL);
	if (!known)
	{
		*message = "unknown service: known are \"\" and \"agent.AgentService\"";
		return PA_STATUS_NOT_FOUND;
	}
	response.status =
		GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	*reply_length = grpc__health__v1__health_check_response__pack(&response, reply);
	return PA_STATUS_OK;
}
