/*-------------------------------------------------------------------------
 *
 * src/words.c
 *		The words of the tables as enums.  See words.h.
 *
 *-------------------------------------------------------------------------
 */
#include "words.h"

#include <stddef.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const char *const action_names[] = {
	NULL, "power_on", "power_off", "refresh"
};

static const char *const event_status_names[] = {
	"pending", "running", "success", "failed", "cancelled"
};

static const char *const agent_result_names[] = {
	"none", "accepted", "confirmed", "partial", "refused", "unknown"
};

static const char *const error_source_names[] = {
	NULL, "request", "transport", "agent", "database"
};

static const char *const power_state_names[] = {
	"unknown", "running", "stopped", "starting", "stopping", "terminated",
	"partial"
};

const char *
pa_action_name(PaAction action)
{
	return action_names[action];
}

const char *
pa_event_status_name(PaEventStatus status)
{
	return event_status_names[status];
}

const char *
pa_agent_result_name(PaAgentResult result)
{
	return agent_result_names[result];
}

const char *
pa_error_source_name(PaErrorSource source)
{
	return error_source_names[source];
}

const char *
pa_power_state_name(PaPowerState state)
{
	return power_state_names[state];
}

PaAction
pa_action_from_name(const char *name)
{
	for (size_t i = 1; i < LENGTH(action_names); i++)
		if (strcmp(name, action_names[i]) == 0)
			return (PaAction) i;
	return PA_ACTION_INVALID;
}

PaAgentResult
pa_agent_result_from_name(const char *name)
{
	for (size_t i = 0; i < LENGTH(agent_result_names); i++)
		if (strcmp(name, agent_result_names[i]) == 0)
			return (PaAgentResult) i;
	return PA_RESULT_NONE;
}
