/*-------------------------------------------------------------------------
 *
 * src/verdict.c
 *		What an agent's answer means for the action.  See verdict.h.
 *
 *-------------------------------------------------------------------------
 */
#include "verdict.h"

#include "status_code.h"

PaVerdict
pa_verdict_of_status(int code, const char *message, bool not_delivered,
					 bool asking)
{
	if (not_delivered)
		return PA_VERDICT_NOT_DELIVERED;
	if (pa_status_stale_order(code, message))
		return PA_VERDICT_STALE_ORDER;
	if (asking && code == PA_STATUS_UNIMPLEMENTED)
		return PA_VERDICT_NO_STATES;
	if (pa_status_retryable(code))
		return PA_VERDICT_RETRY;
	return pa_status_may_have_acted(code, message) && !asking ?
		PA_VERDICT_UNKNOWN : PA_VERDICT_REFUSED;
}

PaProgress
pa_verdict_progress(PaAction action, int state)
{
	if (action == PA_ACTION_REFRESH)
		return state == PA_POWER_NOT_REPORTED ?
			PA_PROGRESS_FAILED : PA_PROGRESS_DONE;

	switch (state)
	{
		case PA_POWER_RUNNING:
			return action == PA_ACTION_POWER_ON ?
				PA_PROGRESS_DONE : PA_PROGRESS_FAILED;
		case PA_POWER_STOPPED:
		case PA_POWER_TERMINATED:
			return action == PA_ACTION_POWER_OFF ?
				PA_PROGRESS_DONE : PA_PROGRESS_FAILED;
		default:
			return PA_PROGRESS_MOVING;
	}
}

PaVerdict
pa_verdict_of_states(PaAction action, const int *states, int count, int *done)
{
	int			reported = 0;
	int			moving = 0;

	*done = 0;
	for (int i = 0; i < count; i++)
	{
		if (states[i] != PA_POWER_NOT_REPORTED)
			reported++;
		switch (pa_verdict_progress(action, states[i]))
		{
			case PA_PROGRESS_DONE:
				(*done)++;
				break;
			case PA_PROGRESS_MOVING:
				moving++;
				break;
			case PA_PROGRESS_FAILED:
				break;
		}
	}

	if (reported == 0)
		return PA_VERDICT_ACCEPTED;
	if (moving > 0)
		return PA_VERDICT_MOVING;
	return *done == count ? PA_VERDICT_CONFIRMED : PA_VERDICT_PARTIAL;
}

PaPowerState
pa_verdict_cluster_state(const int *states, int count)
{
	int			seen[PA_POWER_PARTIAL] = {0};
	int			alive;

	for (int i = 0; i < count; i++)
		if (states[i] >= 0 && states[i] < PA_POWER_PARTIAL)
			seen[states[i]]++;
		else
			seen[PA_POWER_UNKNOWN]++;

	/* what is terminated says nothing about the rest */
	alive = count - seen[PA_POWER_TERMINATED];
	if (count > 0 && alive == 0)
		return PA_POWER_TERMINATED;
	if (alive == 0 || seen[PA_POWER_UNKNOWN] > 0)
		return PA_POWER_UNKNOWN;
	if (seen[PA_POWER_RUNNING] == alive)
		return PA_POWER_RUNNING;
	if (seen[PA_POWER_STOPPED] == alive)
		return PA_POWER_STOPPED;
	if (seen[PA_POWER_STARTING] > 0 && seen[PA_POWER_STOPPING] == 0)
		return PA_POWER_STARTING;
	if (seen[PA_POWER_STOPPING] > 0 && seen[PA_POWER_STARTING] == 0)
		return PA_POWER_STOPPING;
	return PA_POWER_PARTIAL;
}
