/*-------------------------------------------------------------------------
 *
 * src/verdict.h
 *		What an agent's answer means for the action.
 *
 * Pure: from a status, an error and the states of instances to a verdict.
 * What is written because of it is decided in outcome.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_VERDICT_H
#define PA_VERDICT_H

#include <stdbool.h>

#include "words.h"

typedef enum PaVerdict
{
	PA_VERDICT_CONFIRMED,		/* every instance is where it should be */
	PA_VERDICT_ACCEPTED,		/* OK without states: taken, not confirmed */
	PA_VERDICT_MOVING,			/* some are on their way: ask again */
	PA_VERDICT_PARTIAL,			/* none is on its way, some did not follow */
	PA_VERDICT_REFUSED,			/* final, the agent did not act */
	PA_VERDICT_RETRY,			/* failed, another attempt may succeed */
	PA_VERDICT_UNKNOWN,			/* final, the agent may have acted */
	PA_VERDICT_NOT_DELIVERED,	/* did not reach the agent: no attempt */
	PA_VERDICT_STALE_ORDER,		/* refused as older than another order */
	PA_VERDICT_NO_STATES		/* GetClusterPowerState is not to be had */
} PaVerdict;

/* A state that the reply does not tell. */
#define PA_POWER_NOT_REPORTED	(-1)

/*
 * The verdict on a call that did not bring a reply with status OK and error
 * 0.  asking: the call was GetClusterPowerState.
 */
extern PaVerdict pa_verdict_of_status(int code, const char *message,
									  bool not_delivered, bool asking);

/*
 * Whether one instance has reached what the action wants, is on its way, or
 * does not follow.  A terminated instance is off for ever; one whose state is
 * unknown or not reported is asked for again.
 */
typedef enum PaProgress
{
	PA_PROGRESS_DONE,
	PA_PROGRESS_MOVING,
	PA_PROGRESS_FAILED
} PaProgress;

extern PaProgress pa_verdict_progress(PaAction action, int state);

/*
 * The verdict on the states of the instances that were named in the request;
 * "states" has one for each, PA_POWER_NOT_REPORTED where the reply is silent.
 * For PA_ACTION_REFRESH any state that is told is what was wanted.  Sets
 * *done to the number of instances that are where they should be.
 */
extern PaVerdict pa_verdict_of_states(PaAction action, const int *states,
									  int count, int *done);

/* The status of a cluster whose instances are in these states. */
extern PaPowerState pa_verdict_cluster_state(const int *states, int count);

#endif							/* PA_VERDICT_H */
